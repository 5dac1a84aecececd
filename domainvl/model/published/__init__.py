"""The layout in which InternVL checkpoints were published, and its two-way map to transformers' own classes."""
