"""Enlarging pictures, folders of them and GeoTIFFs of any size with a trained network or bicubic interpolation."""
