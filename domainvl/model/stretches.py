"""Tokenising stretches of ordinary text between special tokens, so that nothing in a text is taken for one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def stretch_encoders(tokenizer: Tokenizer) -> tuple[Tokenizer, Tokenizer]:
    """Return tokenizers for the stretches of text between special tokens.

    Both read special tokens that are written in the text as ordinary characters, and add none. The caller takes off
    what a special token strips: blanks to the right of one with ``rstrip``, to the left of one with ``lstrip``.

    Args:
        tokenizer: Tokenizes whole texts; it is not changed.

    Returns:
        The tokenizer for a stretch right behind a special token, which gives the ids that it gets in the whole
        text, and that for text which goes on from other text, which never gets a blank that is not there.
    """
    whole = json.loads(tokenizer.to_str())
    for token in whole["added_tokens"]:
        token["special"] = True  # encode_special_tokens leaves the others in force
    whole |= {"post_processor": None, "truncation": None, "padding": None}
    parts = [*_parts(whole["normalizer"]), *_parts(whole["pre_tokenizer"])]
    always = any(
        part["type"] == "Prepend" or part.get("prepend_scheme") == "always" or part.get("add_prefix_space")
        for part in parts
    )
    return _stretch_encoder(whole, prefixed=always), _stretch_encoder(whole, prefixed=False)


def _stretch_encoder(whole: Mapping[str, Any], *, prefixed: bool) -> Tokenizer:
    from tokenizers import Tokenizer

    steps = {name: _stretch_step(whole[name], prefixed) for name in ("normalizer", "pre_tokenizer", "decoder")}
    encoder = Tokenizer.from_str(json.dumps({**whole, **steps}))
    encoder.encode_special_tokens = True
    return encoder


def _stretch_step(step: dict[str, Any] | None, prefixed: bool) -> dict[str, Any] | None:
    """Return a step of a pipeline without a prefix at the start of the text and, unless ``prefixed``, elsewhere."""
    if step is None or (not prefixed and (step["type"] == "Prepend" or _strips_prefix(step))):
        return None
    changed = dict(step)
    if "prepend_scheme" in step:
        changed["prepend_scheme"] = "always" if prefixed and step["prepend_scheme"] == "always" else "never"
    if "add_prefix_space" in step:
        changed["add_prefix_space"] = step["add_prefix_space"] and prefixed
    for key in ("normalizers", "pretokenizers", "decoders"):
        if key in step:
            changed[key] = [inner for inner in (_stretch_step(one, prefixed) for one in step[key]) if inner is not None]
    return changed


def _strips_prefix(step: Mapping[str, Any]) -> bool:
    return step["type"] == "Strip" and step.get("content") == " "  # the decoder of that name, not the normaliser


def _parts(step: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if step is not None:
        yield step
        for key in ("normalizers", "pretokenizers"):
            for inner in step.get(key, ()):
                yield from _parts(inner)
