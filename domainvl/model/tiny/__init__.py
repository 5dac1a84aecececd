"""The shipped model tiny: its checkpoint in transformers' native layout; examples/tiny says how it was made."""
