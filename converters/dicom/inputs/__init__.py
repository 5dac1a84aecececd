"""From what the user names to headers: files, archives and DICOMDIRs, read without unpacking anything to disk."""
