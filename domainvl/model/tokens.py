"""InternVL's special tokens, which its tokenizers got on top of those of their language model."""

from __future__ import annotations

IMAGE_START = "<img>"
IMAGE_CONTEXT = "<IMG_CONTEXT>"
IMAGE_END = "</img>"

ADDED_TOKENS = (
    IMAGE_START,
    IMAGE_END,
    IMAGE_CONTEXT,
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)
"""In the order in which they were added."""

MARKUP = tuple(token for token in ADDED_TOKENS if token != IMAGE_CONTEXT)
"""Tokens that a conversation's text may hold. Any other special token in a text is written out as ordinary
characters: a question that quotes an end marker must not end the turn."""
