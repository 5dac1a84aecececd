"""Pages on which people look at what the filters of a corpus kept and dropped."""
