"""What DICOM objects say about images: segmentations, contours, structured reports, key object notes."""
