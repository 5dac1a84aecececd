"""Looking at a data set: a page of samples, and its counts and distributions. Imports no torch."""
