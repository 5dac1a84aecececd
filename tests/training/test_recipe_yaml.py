"""Layers and explanations, on a schema of their own: nothing in them is of one kind of recipe."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.errors import RecipeError
from domainvl.training.recipe_yaml import (
    Layer,
    as_yaml,
    merge,
    origin_of,
    parse_change,
    validate,
    with_changes,
)
from domainvl.yaml_files import read_mapping


class Inner(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    count: int = Field(default=1, ge=1)
    pair: tuple[float, float] = (0.0, 1.0)


class Outer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    word: str
    inner: Inner = Inner()
    switch: bool | Inner = False
    named: dict[str, Inner] = {}

    @model_validator(mode="after")
    def _check(self) -> Outer:
        if self.word == "wrong":
            raise ValueError("word must not be wrong")
        return self


def outer(*layers: Layer) -> Outer:
    return validate(Outer, layers, own="own.yaml", what="Invalid thing", where="thing")


BASE = Layer("base.yaml", {"word": "a", "inner": {"count": 2}})


def test_the_last_layer_wins_key_by_key_and_says_so() -> None:
    layers = [BASE, Layer("own.yaml", {"inner": {"pair": [1, 2]}}), Layer("--set", {"inner": {"count": 3}})]

    assert merge(layers) == {"word": "a", "inner": {"count": 3, "pair": [1, 2]}}
    assert [origin_of(layers, key.split(".")) for key in ("word", "inner.pair", "inner.count", "inner.none")] == [
        "base.yaml",
        "own.yaml",
        "--set",
        None,
    ]
    assert BASE.content == {"word": "a", "inner": {"count": 2}}


def test_a_value_replaces_a_section_and_a_section_a_value() -> None:
    section, value = Layer("a", {"switch": {"count": 2}}), Layer("b", {"switch": True})
    assert merge([section, value]) == {"switch": True}
    assert merge([value, section]) == {"switch": {"count": 2}}


def test_changes_apply_one_after_the_other() -> None:
    texts = ["inner={count: 4}", "inner.count=5", "inner={pair: [3, 4]}", "word=b=c"]
    layers = with_changes(Outer, [BASE], [parse_change(text) for text in texts])

    assert outer(*layers) == Outer(word="b=c", inner=Inner(count=5, pair=(3, 4)))
    assert {layer.label for layer in layers[1:]} == {"--set"}


def test_what_is_written_is_read_as_the_same(tmp_path: Path) -> None:
    held = Outer(word="null", inner=Inner(pair=(1e-5, 2e20)), named={"é": Inner(count=7)})
    (tmp_path / "a.yaml").write_text(as_yaml(held), encoding="utf-8")
    assert outer(Layer("a", read_mapping(tmp_path / "a.yaml", "a", what="Cannot read"))) == held


@pytest.mark.parametrize(
    ("layer", "said"),
    [
        ({"wrod": 1}, "Invalid thing in thing: unknown key wrod (did you mean word?). Correct it and try again."),
        ({"inner": {"zzz": 1}}, "unknown key inner.zzz (known are count, pair)."),
        ({"inner": {"count": 0}}, "inner.count: Input should be greater than or equal to 1, got 0."),
        ({"inner": {"pair": [1, "x"]}}, "inner.pair.1: "),
        ({"named": {"mine": {"cuont": 1}}}, "unknown key named.mine.cuont (did you mean count?)."),
        ({"named": {"count": {"count": 0}}}, "named.count.count: Input should be greater"),
        ({"switch": {"cuont": 1}}, "thing: unknown key switch.cuont (did you mean count?)."),
        ({"word": "wrong"}, "thing: word must not be wrong."),
    ],
)
def test_what_is_wrong_is_said_by_its_key(layer: dict[str, object], said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        outer(BASE, Layer("own.yaml", layer))
    assert said in str(raised.value)


def test_all_is_said_at_once_with_what_sets_it_unless_that_is_the_own_file() -> None:
    layers = [
        Layer("base.yaml", {"inner": {"count": -1}}),
        Layer("own.yaml", {"switch": 3}),
        Layer("--set", {"inner": {"pari": 1}}),
    ]
    with pytest.raises(RecipeError) as raised:
        outer(*layers)
    rules = str(raised.value.rule).split("; ")
    assert [rule.rpartition(", set by ")[2] for rule in rules if ", set by " in rule] == ["base.yaml", "--set"]
    assert "word is missing" in rules  # which no layer sets
    assert any(rule.startswith("switch: ") and rule.endswith("got 3") for rule in rules)


def test_a_rule_over_the_whole_names_no_layer() -> None:
    with pytest.raises(RecipeError, match=r"word must not be wrong\. Correct"):
        outer(Layer("own.yaml", {"word": "wrong"}), Layer("--set", {"inner": {"count": 2}}))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("word.x", "Cannot set word.x: word is a value, not a section. Set all of word at once."),
        ("inner.pair.0", "pair is a list, not a section"),
        ("switch.count", "switch is a value, not a section"),
    ],
)
def test_what_is_within_a_value_is_not_changed(key: str, said: str) -> None:
    with pytest.raises(RecipeError) as raised:
        with_changes(Outer, [BASE, Layer("own.yaml", {"switch": True})], [(key, 1)])
    assert said in str(raised.value)


def test_a_section_that_nothing_says_yet_is_made() -> None:
    (layer,) = with_changes(Outer, [], [("switch.count", 2)])
    assert layer == Layer("--set", {"switch": {"count": 2}})
