"""Scores images and texts with models from local folders, and places images by similarity."""
