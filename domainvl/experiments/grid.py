"""The grid of a sweep: which values of which keys of a recipe are tried, and how each trial is called."""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.errors import RecipeError
from domainvl.training.recipe import Recipe

_EXAMPLE = "For example: --sweep optimisation.learning_rate=1e-5,4e-5 --sweep lora.rank=8,16"
_CLOSED_BY = {"[": "]", "{": "}", "(": ")"}
_MAX_NAME_LENGTH = 100


@dataclass(frozen=True)
class Dimension:
    """A key of the recipe and the values that are tried, as they were written."""

    key: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        name: Of its folder, such as ``learning_rate=1e-5_rank=8``.
        values: Value of each key that is swept, as it was written.
        recipe: What is run.
    """

    name: str
    values: dict[str, str]
    recipe: Recipe


def parse_dimensions(texts: Sequence[str]) -> list[Dimension]:
    """Read ``key=value,value``; commas and spaces within brackets belong to a value.

    Args:
        texts: One or more dimensions each, divided by spaces.

    Raises:
        RecipeError: If one has another form, or names a key or a value twice.
    """
    dimensions: list[Dimension] = []
    for text in [part for given in texts for part in _split(given, " ") if part]:
        key, separator, rest = text.partition("=")
        values = _split(rest, ",")
        if not separator or not key or not all(values):
            raise _refuse(text, "a dimension has the form key=value,value")
        if len(set(values)) < len(values):
            raise _refuse(text, "a value is named twice")
        if key in (dimension.key for dimension in dimensions):
            raise _refuse(text, f"{key} is named twice")
        dimensions.append(Dimension(key, tuple(values)))
    if not dimensions:
        raise _refuse(" ".join(texts), "nothing is varied")
    return dimensions


def make_trials(recipe: Recipe, dimensions: Sequence[Dimension]) -> list[Trial]:
    """Return one trial for each combination of values, the last key varying fastest; each recipe is valid.

    Raises:
        RecipeError: If a key is unknown, a value breaks a rule, or two trials would be the same.
    """
    trials: list[Trial] = []
    for combination in itertools.product(*(dimension.values for dimension in dimensions)):
        values = {dimension.key: value for dimension, value in zip(dimensions, combination, strict=True)}
        changed = _changed(recipe, values)
        same = next((trial for trial in trials if trial.recipe == changed), None)
        if same is not None:
            raise _refuse(_shown(values), f"it is the same as {_shown(same.values)}")
        name = _name(values, {trial.name for trial in trials})
        trials.append(Trial(name, values, changed))
    return trials


def _split(text: str, separator: str) -> list[str]:
    """Split at a separator that stands outside brackets.

    Raises:
        RecipeError: If brackets are not closed.
    """
    parts, expected = [""], ""
    for character in text:
        if character in _CLOSED_BY:
            expected += _CLOSED_BY[character]
        elif expected and character == expected[-1]:
            expected = expected[:-1]
        elif character in _CLOSED_BY.values():
            raise _refuse(text, f"{character} closes no bracket")
        if character == separator and not expected:
            parts.append("")
        else:
            parts[-1] += character
    if expected:
        raise _refuse(text, f"{expected[-1]} is missing")
    return parts


def _changed(recipe: Recipe, values: dict[str, str]) -> Recipe:
    try:
        return recipe.changed(values)
    except RecipeError as error:
        rule = error.rule or error.what
        raise RecipeError("Cannot sweep", where=_shown(values), rule=rule, action=error.action) from error


def _name(values: dict[str, str], taken: set[str]) -> str:
    last_parts = [key.rpartition(".")[2] for key in values]
    keys = last_parts if len(set(last_parts)) == len(last_parts) else list(values)
    name = "_".join(f"{key}={_as_name(value)}" for key, value in zip(keys, values.values(), strict=True))
    if name in taken or len(name) > _MAX_NAME_LENGTH:
        digest = hashlib.sha256(_shown(values).encode()).hexdigest()[:8]
        name = f"{name[: _MAX_NAME_LENGTH - len(digest) - 1]}-{digest}"
    return name


def _as_name(value: str) -> str:
    return re.sub(r"[^\w.+-]+", "-", value, flags=re.ASCII).strip("-") or "empty"


def _shown(values: dict[str, str]) -> str:
    return " ".join(f"{key}={value}" for key, value in values.items())


def _refuse(text: str, rule: str) -> RecipeError:
    return RecipeError(f"Cannot sweep {text!r}", rule=rule, action=_EXAMPLE)
