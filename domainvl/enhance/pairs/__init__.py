"""Zoom pairs: finding them in their layouts, lining them up globally, cutting and storing them."""
