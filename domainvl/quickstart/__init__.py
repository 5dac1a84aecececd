"""Generated inputs to finished comparison, for each domain, in one go."""
