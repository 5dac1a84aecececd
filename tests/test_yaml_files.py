"""YAML is read strictly: no key twice, nothing but plain values, and every mistake with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.errors import RecipeError
from domainvl.yaml_files import parse_yaml, read_mapping


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3", "Cannot read in here: the key 'a' stands twice in one section, again in line 3"),
        ("a: {b: 1, b: 1}", "the key 'b' stands twice"),
        ("- {b: 1, b: 1}", "the key 'b' stands twice"),
        ("[1", "Cannot read in here: it is not YAML"),
        ("[1]: 2", "found unhashable key"),
        ("a: !!python/object:object {}", "it is not YAML"),
    ],
)
def test_yaml_is_read_strictly(text: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        parse_yaml(text, "here", what="Cannot read")
    assert said in str(raised.value)


def test_one_key_in_two_sections_is_no_double() -> None:
    assert parse_yaml("a: {c: 1}\nb: {c: 1, a: 2}", "here", what="Cannot read") == {
        "a": {"c": 1},
        "b": {"c": 1, "a": 2},
    }


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="Cannot read in a: No such file"):
        read_mapping(tmp_path / "none.yaml", "a", what="Cannot read")
    with pytest.raises(RecipeError, match="Cannot read in a: Is a directory"):
        read_mapping(tmp_path, "a", what="Cannot read")
