"""YAML of recipes and mixtures, whatever their schema: layers, changes, and what is wrong in words."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domainvl.errors import RecipeError
from domainvl.yaml_files import parse_yaml

Schema = TypeVar("Schema", bound=BaseModel)

SET = "--set"
"""Label of the layers that changes make."""


@dataclass(frozen=True)
class Layer:
    """What one file or one change says; the layer behind it wins over it.

    Attributes:
        label: The file or the option, as messages call it.
        content: What it says.
    """

    label: str
    content: Mapping[str, Any]


def as_yaml(held: BaseModel) -> str:
    """Write all values; what is validated from it is equal."""
    text: str = yaml.safe_dump(held.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def merge(layers: Sequence[Layer]) -> dict[str, Any]:
    """Return what layers say together: of sections each key is that of the last layer that has it."""
    content: dict[str, Any] = {}
    for layer in layers:
        content = _merge(content, layer.content)
    return content


def _merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def origin_of(layers: Sequence[Layer], key: Sequence[str]) -> str | None:
    """Return the label of the layer that sets a value last; None if none does.

    Args:
        layers: The layers.
        key: The key, sections before it.
    """
    for layer in reversed(layers):
        held: Any = layer.content
        for part in key:
            if not isinstance(held, Mapping) or part not in held:
                break
            held = held[part]
        else:
            return layer.label
    return None


def parse_change(change: str) -> tuple[str, Any]:
    """Read ``key=value``, whose value is YAML; sections stand before the key, divided by dots.

    Raises:
        RecipeError: If it has another form.
    """
    key, separator, text = change.partition("=")
    if not separator or not key:
        raise RecipeError(
            f"Cannot apply {change!r}", rule="a change has the form key=value", action="For example: --set seed=1"
        )
    return key, parse_yaml(text, f"{SET} {change}", what="Cannot change a recipe")


def with_changes(
    schema: type[BaseModel], layers: Sequence[Layer], changes: Sequence[tuple[str, Any]], *, label: str = SET
) -> list[Layer]:
    """Return layers and behind them one for each change; unknown keys are left to :func:`validate`, which names all.

    Args:
        schema: What the layers are to become.
        layers: What is changed.
        changes: Keys, sections before them, divided by dots, and their values; a section is merged as a file's is.
        label: Of the new layers.

    Raises:
        RecipeError: If something within a value or a list would be changed.
    """
    changed = list(layers)
    for key, value in changes:
        parts = key.split(".")
        _refuse_values_as_sections(schema, key, parts, merge(changed))
        content = value
        for part in reversed(parts):
            content = {part: content}
        changed.append(Layer(label, content))
    return changed


def _refuse_values_as_sections(
    schema: type[BaseModel], key: str, parts: Sequence[str], content: Mapping[str, Any]
) -> None:
    section: type[BaseModel] | None = schema
    held: Any = content
    for part in parts[:-1]:
        if section is None or part not in section.model_fields:
            return
        annotation = section.model_fields[part].annotation
        section = _section_in(annotation)
        held = held.get(part) if isinstance(held, Mapping) else None
        if section is None or not (held is None or isinstance(held, Mapping)):
            kind = "list" if get_origin(annotation) is tuple else "value"
            raise RecipeError(
                f"Cannot set {key}", rule=f"{part} is a {kind}, not a section", action=f"Set all of {part} at once"
            )


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key can hold, itself or by names; None if it holds values only."""
    options = (annotation, *get_args(annotation))
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def validate(
    schema: type[Schema],
    layers: Sequence[Layer],
    *,
    own: str,
    what: str,
    where: str | None,
    action: str = "Correct it and try again",
) -> Schema:
    """Make of layers what they say together.

    Args:
        schema: What they are to become.
        layers: The layers.
        own: Label of the layers that messages need not name.
        what: What fails if a rule is broken, such as ``Invalid recipe``.
        where: What messages call the whole.
        action: What can be done then.

    Raises:
        RecipeError: Naming all problems: key, rule, value, the nearest known key, and the layer that set it.
    """
    try:
        return schema.model_validate(merge(layers))
    except ValidationError as error:
        raise RecipeError(what, where=where, rule=_explain(error, schema, layers, own), action=action) from error


def _explain(error: ValidationError, schema: type[BaseModel], layers: Sequence[Layer], own: str) -> str:
    problems = []
    for problem in error.errors():
        if problem["type"] == "bool_type" and isinstance(problem["input"], Mapping):
            continue  # it can be a section too, of which the next problem speaks
        parts, known = _place(schema, problem["loc"])
        origin = origin_of(layers, parts) if parts else None  # a rule over several sections is of no one layer
        said = _problem(problem, parts, known)
        problems.append(said if origin in (None, own) else f"{said}, set by {origin}")
    return "; ".join(problems)


def _problem(problem: ErrorDetails, parts: Sequence[str], known: Sequence[str]) -> str:
    key = ".".join(parts)
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key {key} ({nearest(parts[-1], known)})"
        case "missing":
            return f"{key} is missing"
        case "value_error":  # of a rule over several keys, which names them
            return str(problem["ctx"]["error"])
    return f"{key}: {problem['msg']}, got {problem['input']!r}"


def _place(schema: type[BaseModel], location: Sequence[str | int]) -> tuple[list[str], list[str]]:
    """Return the key that pydantic speaks of, and the keys that its section can have."""
    section: type[BaseModel] | None = schema
    parts: list[str] = []
    known = list(schema.model_fields)
    names_option = named_freely = False
    for part in location:
        if names_option:  # of several types that a key can hold, which pydantic puts into the place
            names_option = False
            continue
        parts.append(str(part))
        if named_freely:  # one of several sections of one kind, whose name is the user's
            named_freely = False
            continue
        known = list(section.model_fields) if section is not None else []
        annotation = section.model_fields[str(part)].annotation if str(part) in known and section else None
        names_option = get_origin(annotation) in (Union, UnionType)
        named_freely = get_origin(annotation) is dict
        section = _section_in(annotation)
    return parts, known


def nearest(name: str, known: Sequence[str]) -> str:
    """Say which known name is meant, or all of them."""
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(sorted(known))}"
