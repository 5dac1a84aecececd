"""Prefixes of tokenizers of any make; those of the published ones are in published/test_tokenizer.py."""

from typing import Any

from tokenizers import Tokenizer, models, pre_tokenizers

from domainvl.model.stretches import stretch_encoders


def test_stretch_encoders_know_the_prefixes_of_other_tokenizers() -> None:
    def ids(pre_tokenizer: Any, text: str) -> list[list[int]]:
        tokenizer = Tokenizer(models.BPE({"▁": 0, "a": 1, "Ġ": 2, "b": 3}, []))
        tokenizer.pre_tokenizer = pre_tokenizer
        return [encoder.encode(text).ids for encoder in stretch_encoders(tokenizer)]

    assert ids(pre_tokenizers.Metaspace(prepend_scheme="always"), "a") == [[0, 1], [1]]
    assert ids(pre_tokenizers.Metaspace(prepend_scheme="first"), "a") == [[1], [1]]
    assert ids(pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False), "a") == [[2, 1], [1]]
    nested = pre_tokenizers.Sequence([pre_tokenizers.Metaspace(prepend_scheme="always")])
    assert ids(nested, "a") == [[0, 1], [1]]
    at_start = pre_tokenizers.Metaspace(replacement="b", prepend_scheme="first", split=False)
    both = pre_tokenizers.Sequence([at_start, pre_tokenizers.Metaspace(prepend_scheme="always", split=False)])
    assert ids(both, "a") == [[0, 1], [1]]
