"""Recipes as files: the shipped ones, inheritance, where a value comes from, changes, saving, comparing."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from domainvl.errors import RecipeError
from domainvl.training.recipe import Method, Recipe

DEFAULT = "default"
"""Origin of a value that no file and no change sets."""

NOT_READ = "(not read)"
"""Stands for a value of the section that a recipe's method does not read."""

HEADER_ITEMS = ("for", "data", "memory", "time", "launch")
"""What the comments at the head of each shipped recipe say: ``# Data: ...``, continued on indented lines."""

_METHOD_SECTIONS = ("lora", "full")


@dataclass(frozen=True)
class TracedRecipe:
    """A recipe and where its values come from.

    Attributes:
        recipe: The recipe.
        chain: Its file and those it extends, the base first.
        origins: For each key of :func:`values_of` the file of the chain, the option, or :data:`DEFAULT`.
    """

    recipe: Recipe
    chain: tuple[str, ...]
    origins: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """A value that two recipes have differently.

    Attributes:
        key: The key, sections before it, divided by dots.
        first: Value of the one recipe.
        second: Value of the other.
    """

    key: str
    first: Any
    second: Any


@dataclass(frozen=True)
class _Layer:
    """What one file or one change says; the layer behind it wins over it."""

    label: str
    content: Mapping[str, Any]


@dataclass(frozen=True)
class _File:
    label: str
    source: Traversable | Path

    @property
    def identity(self) -> str:
        """Equal for two ways to name one file."""
        return str(self.source.resolve()) if isinstance(self.source, Path) else self.label


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with domainvl."""
    root = resources.files("domainvl.recipes")
    names = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("_"):
            names += [
                f"{folder.name}/{file.name.removesuffix('.yaml')}"
                for file in folder.iterdir()
                if file.name.endswith(".yaml")
            ]
    return sorted(names)


def load_recipe(
    reference: str, *, method: Method | None = None, overrides: Sequence[str] = (), model: str | None = None
) -> Recipe:
    """Load and validate a recipe.

    Args:
        reference: A path to YAML, a full name such as ``medical/lora``, or a family such as ``medical``.
        method: Which of a family's recipes; LoRA where None.
        overrides: Changes such as ``optimisation.learning_rate=1e-4``; they win over the file.
        model: Checkpoint to start from instead of the recipe's.

    Raises:
        RecipeError: Naming file, key, rule and the nearest valid name.
    """
    return trace_recipe(reference, method=method, overrides=overrides, model=model).recipe


def trace_recipe(
    reference: str, *, method: Method | None = None, overrides: Sequence[str] = (), model: str | None = None
) -> TracedRecipe:
    """Load and validate a recipe as :func:`load_recipe` does, and say where each value comes from.

    Raises:
        RecipeError: Naming file, key, rule and the nearest valid name.
    """
    layers = _read_chain(_find_named(reference, method))
    chain = tuple(layer.label for layer in layers)
    # Not inherited: a recipe that extends another one is not that one.
    layers[:-1] = [_without_name(layer) for layer in layers[:-1]]
    if method is not None:
        layers.append(_Layer("--method", {"method": method}))
    if model is not None:
        layers.append(_Layer("--model", {"model": model}))
    content = _merged(layers)
    for override in overrides:
        layers.append(_read_change(override, content))
        content = _merge(content, layers[-1].content)
        _refuse_other_method(override, content.get("method"))
    content.setdefault("name", _own_name(chain[-1]))
    try:
        recipe = Recipe.model_validate(content)
    except ValidationError as error:
        raise _explain(error, reference, chain[-1], layers) from error
    origins = {key: _origin_of(layers, key.split(".")) or DEFAULT for key in values_of(recipe)}
    return TracedRecipe(recipe, chain, origins)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe; loading it gives the same recipe."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def values_of(recipe: Recipe) -> dict[str, Any]:
    """Return all values by their keys, sections before them, divided by dots, in the order of the schema."""
    return dict(_flatten(recipe.model_dump(mode="json"), ""))


def compare_recipes(first: Recipe, second: Recipe) -> list[Difference]:
    """Return the values that differ, names and descriptions apart.

    What a method does not read counts as :data:`NOT_READ`; of the section that only one of two recipes reads, what is
    None there is left out.
    """
    values = [values_of(first), values_of(second)]
    for recipe, held in zip((first, second), values, strict=True):
        unread = tuple(f"{section}." for section in _METHOD_SECTIONS if section != recipe.method)
        held.update({key: NOT_READ for key in held if key.startswith(unread)})
    return [
        Difference(key, value, values[1][key])
        for key, value in values[0].items()
        if key not in ("name", "description")
        and value != values[1][key]
        and {repr(value), repr(values[1][key])} != {repr(None), repr(NOT_READ)}
    ]


def recipe_header(reference: str, method: Method | None = None) -> dict[str, str]:
    """Return what the comments at the head of a recipe's own file say, by :data:`HEADER_ITEMS`.

    Items that are missing are left out; a recipe of a user need have none.

    Raises:
        RecipeError: If there is no such recipe, or it cannot be read.
    """
    found: dict[str, list[str]] = {}
    item = None
    for line in _read_text(_find_named(reference, method)).splitlines():
        if not line.startswith("#"):
            break
        text = line.removeprefix("#")
        word, colon, rest = text.strip().partition(":")
        if colon and word.lower() in HEADER_ITEMS and not text.startswith("  "):
            item = word.lower()
            found[item] = [rest.strip()]
        elif item is not None and text.startswith("  "):
            found[item].append(text.strip())
        else:
            item = None
    return {item: " ".join(parts).strip() for item, parts in found.items()}


def _find_named(reference: str, method: Method | None) -> _File:
    """Find a recipe as a user names it."""
    if "/" in reference or _is_file_name(reference):
        return _find(reference)
    names = recipe_names()
    family = [name for name in names if name.startswith(f"{reference}/")]
    name = f"{reference}/{method or 'lora'}"
    if family and name not in names:
        raise RecipeError(
            f"There is no recipe {name!r}", rule=f"of {reference} there are {', '.join(family)}", action="Name one"
        )
    return _find(name, said=reference)


def _find(name: str, *, said: str | None = None, parent_of: _File | None = None) -> _File:
    """Find a recipe by its full name or a path.

    Args:
        name: The name or path.
        said: What the user wrote, for messages; the name where None.
        parent_of: The file that extends it: a path is relative to that file's folder.
    """
    said = said or name
    where = None if parent_of is None else parent_of.label
    if _is_file_name(name):
        folder = parent_of.source.parent if parent_of and isinstance(parent_of.source, Path) else Path()
        path = folder / name
        if path.is_file():
            return _File(str(path), path)
        raise RecipeError("Cannot load a recipe", where=where or said, rule=f"there is no file {path}")
    packaged = resources.files("domainvl.recipes").joinpath(f"{name}.yaml")
    if packaged.is_file():
        return _File(name, packaged)
    families = {known.split("/")[0] for known in recipe_names()}
    raise RecipeError(
        f"There is no recipe {said!r}, which is extended" if where else f"There is no recipe {said!r}",
        where=where,
        rule=_nearest(said, [*sorted(families), *recipe_names()]),
        action="List them with: domainvl recipe list; or name a .yaml file",
    )


def _is_file_name(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _own_name(label: str) -> str:
    return Path(label).stem if _is_file_name(label) else label


def _without_name(layer: _Layer) -> _Layer:
    return _Layer(layer.label, {key: value for key, value in layer.content.items() if key != "name"})


def _read_chain(file: _File) -> list[_Layer]:
    """Read a file and all that it extends, the base first."""
    layers: list[_Layer] = []
    seen: dict[str, str] = {}
    while True:
        if file.identity in seen:
            way = " > ".join([*seen.values(), file.label])
            first = next(iter(seen.values()))
            raise RecipeError("Cannot load a recipe", where=first, rule=f"'extends' goes round in a circle: {way}")
        seen[file.identity] = file.label
        content = _read(file)
        parent = content.pop("extends", None)
        layers.insert(0, _Layer(file.label, content))
        if parent is None:
            return layers
        if not isinstance(parent, str):
            raise RecipeError(
                "Cannot load a recipe", where=file.label, rule=f"extends must name one recipe or file, got {parent!r}"
            )
        file = _find(parent, parent_of=file)


def _read(file: _File) -> dict[str, Any]:
    content = _parse(_read_text(file), file.label)
    if not isinstance(content, dict):
        raise RecipeError("Cannot load a recipe", where=file.label, rule="it must be a mapping of keys to values")
    return content


def _read_text(file: _File) -> str:
    try:
        return file.source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError("Cannot load a recipe", where=file.label, rule=f"it is not UTF-8: {error}") from error
    except OSError as error:
        raise RecipeError("Cannot load a recipe", where=file.label, rule=error.strerror or str(error)) from error


class _DuplicateKeyError(yaml.MarkedYAMLError):
    """A mapping has a key twice; YAML forbids it, and PyYAML takes the last one."""


class _Loader(yaml.SafeLoader):
    """Loads plain YAML in which no key stands twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Return a mapping; raises :class:`_DuplicateKeyError`."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _DuplicateKeyError(problem=key.value, problem_mark=key.start_mark)
                seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _parse(text: str, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except _DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError(
            "Cannot load a recipe",
            where=where,
            rule=f"the key {error.problem!r} stands twice in one section, again in line {line}",
            action="Leave one of them out",
        ) from error
    except yaml.YAMLError as error:
        raise RecipeError("Cannot load a recipe", where=where, rule=f"it is not YAML: {error}") from error


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
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


def _origin_of(layers: Sequence[_Layer], key: Sequence[str]) -> str | None:
    """Return what set a value last; None if nothing did."""
    for layer in reversed(layers):
        held: Any = layer.content
        for part in key:
            if not isinstance(held, Mapping) or part not in held:
                break
            held = held[part]
        else:
            return layer.label
    return None


def _flatten(held: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in held.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value


def _read_change(override: str, content: Mapping[str, Any]) -> _Layer:
    """Read ``key=value``."""
    key, separator, text = override.partition("=")
    if not separator or not key:
        raise RecipeError(
            f"Cannot apply {override!r}", rule="a change has the form key=value", action="For example: --set seed=1"
        )
    parts = key.split(".")
    _check_sections(override, parts, content)
    value = _parse(text, f"--set {override}")
    for part in reversed(parts):
        value = {part: value}
    return _Layer("--set", value)


def _check_sections(override: str, parts: Sequence[str], content: Mapping[str, Any]) -> None:
    """Refuse a change of something within a value; unknown keys are left to the schema, which names them all."""
    section: type[BaseModel] | None = Recipe
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
                f"Cannot apply {override!r}",
                rule=f"{part} is a {kind}, not a section",
                action=f"Set all of {part} at once",
            )


def _section_in(annotation: Any) -> type[BaseModel] | None:
    """Return the section that a key can hold; None if it holds values only."""
    options = (annotation, *get_args(annotation))
    return next((one for one in options if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _refuse_other_method(override: str, method: Any) -> None:
    """Refuse a change of the section that the method does not read."""
    section = override.partition("=")[0].partition(".")[0]
    if section in _METHOD_SECTIONS and method in _METHOD_SECTIONS and section != method:
        raise RecipeError(
            f"Cannot apply {override!r}",
            rule=f"{section}.* does nothing with method: {method}",
            action=f"Use --method {section}, or change {method}.*",
        )


def _explain(error: ValidationError, reference: str, own: str, layers: Sequence[_Layer]) -> RecipeError:
    """Say what is wrong; of each key also which file or option sets it, if that is not the recipe's own file."""
    problems = []
    for problem in error.errors():
        if problem["type"] == "bool_type" and isinstance(problem["input"], Mapping):
            continue  # it can be a section too, of which the next problem speaks
        parts, known = _place(problem["loc"])
        origin = _origin_of(layers, parts)
        said = _problem(problem, parts, known)
        problems.append(said if origin in (None, own) else f"{said}, set by {origin}")
    return RecipeError("Invalid recipe", where=reference, rule="; ".join(problems), action="Correct it and try again")


def _problem(problem: ErrorDetails, parts: Sequence[str], known: Sequence[str]) -> str:
    key = ".".join(parts)
    match problem["type"]:
        case "extra_forbidden":
            return f"unknown key {key} ({_nearest(parts[-1], known)})"
        case "missing":
            return f"{key} is missing"
        case "value_error":  # of a rule over several keys, which names them
            return str(problem["ctx"]["error"])
    return f"{key}: {problem['msg']}, got {problem['input']!r}"


def _place(location: Sequence[str | int]) -> tuple[list[str], list[str]]:
    """Return the key that pydantic speaks of, and the keys that its section can have."""
    section: type[BaseModel] | None = Recipe
    parts: list[str] = []
    known = list(Recipe.model_fields)
    names_option = False
    for part in location:
        if names_option:  # of several types that a key can hold, which pydantic puts into the place
            names_option = False
            continue
        parts.append(str(part))
        known = list(section.model_fields) if section is not None else []
        annotation = section.model_fields[str(part)].annotation if str(part) in known and section else None
        names_option = get_origin(annotation) in (Union, UnionType)
        section = _section_in(annotation)
    return parts, known


def _nearest(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(sorted(known))}"
