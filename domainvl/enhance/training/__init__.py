"""Training an enhancer on registered pairs: crops, steps, resuming, pictures."""
