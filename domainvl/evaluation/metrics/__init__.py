"""Metrics as pure functions: numbers and texts in, numbers out; no file, no model, no settings."""
