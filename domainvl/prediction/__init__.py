"""Answers about new imagery, handed back in the format that it came in."""
