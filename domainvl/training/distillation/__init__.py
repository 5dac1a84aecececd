"""Distillation: a smaller vision encoder learns another's hidden states from images without labels."""
