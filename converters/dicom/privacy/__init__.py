"""Keeps persons out of what is written: pseudonyms, dates, text in pixels and reports, faces, and the log of it."""
