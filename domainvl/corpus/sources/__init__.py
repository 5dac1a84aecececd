"""Reads documents of all kinds into slots of text and images, in the order of the page."""
