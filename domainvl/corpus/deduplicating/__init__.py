"""Finds documents, paragraphs and images that are in a corpus more than once."""
