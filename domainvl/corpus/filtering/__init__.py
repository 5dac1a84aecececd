"""Measures documents first and applies thresholds after, by profiles of a field."""
