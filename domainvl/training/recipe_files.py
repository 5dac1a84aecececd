"""Recipes as files: the shipped ones, inheritance, where a value comes from, changes, saving, comparing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from domainvl.errors import RecipeError
from domainvl.files import write_atomically
from domainvl.training.recipe import METHODS, Method, Recipe, refuse_unread
from domainvl.training.recipe_yaml import (
    Layer,
    as_yaml,
    merge,
    nearest,
    origin_of,
    parse_change,
    validate,
    with_changes,
)
from domainvl.yaml_files import read_mapping, read_text

DEFAULT = "default"
"""Origin of a value that no file and no change sets."""

NOT_READ = "(not read)"
"""Stands for a value of the section that a recipe's method does not read."""

HEADER_ITEMS = ("for", "data", "memory", "time", "launch")
"""What the comments at the head of each shipped recipe say: ``# Data: ...``, continued on indented lines."""

_CANNOT_LOAD = "Cannot load a recipe"


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
    layers.insert(0, Layer(DEFAULT, {"name": _own_name(chain[-1])}))
    if method is not None:
        layers.append(Layer("--method", {"method": method}))
    if model is not None:
        layers.append(Layer("--model", {"model": model}))
    changes = [parse_change(override) for override in overrides]
    layers = with_changes(Recipe, layers, changes)
    refuse_unread((key for key, _ in changes), merge(layers).get("method"))
    recipe = validate(Recipe, layers, own=chain[-1], what="Invalid recipe", where=reference)
    origins = {key: origin_of(layers, key.split(".")) or DEFAULT for key in values_of(recipe)}
    return TracedRecipe(recipe, chain, origins)


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe, whole or not at all; loading it gives the same recipe.

    Raises:
        OutputError: If it cannot be written.
    """
    write_atomically(path, as_yaml(recipe).encode())


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
        unread = tuple(f"{section}." for section in METHODS if section != recipe.method)
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
    file = _find_named(reference, method)
    for line in read_text(file.source, file.label, what=_CANNOT_LOAD).splitlines():
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
        raise RecipeError(_CANNOT_LOAD, where=where or said, rule=f"there is no file {path}")
    packaged = resources.files("domainvl.recipes").joinpath(f"{name}.yaml")
    if packaged.is_file():
        return _File(name, packaged)
    families = {known.split("/")[0] for known in recipe_names()}
    raise RecipeError(
        f"There is no recipe {said!r}, which is extended" if where else f"There is no recipe {said!r}",
        where=where,
        rule=nearest(said, [*sorted(families), *recipe_names()]),
        action="List them with: domainvl recipe list; or name a .yaml file",
    )


def _is_file_name(name: str) -> bool:
    return name.endswith((".yaml", ".yml"))


def _own_name(label: str) -> str:
    return Path(label).stem if _is_file_name(label) else label


def _without_name(layer: Layer) -> Layer:
    return Layer(layer.label, {key: value for key, value in layer.content.items() if key != "name"})


def _read_chain(file: _File) -> list[Layer]:
    """Read a file and all that it extends, the base first."""
    layers: list[Layer] = []
    seen: dict[str, str] = {}
    while True:
        if file.identity in seen:
            way = " > ".join([*seen.values(), file.label])
            first = next(iter(seen.values()))
            raise RecipeError(_CANNOT_LOAD, where=first, rule=f"'extends' goes round in a circle: {way}")
        seen[file.identity] = file.label
        content = read_mapping(file.source, file.label, what=_CANNOT_LOAD)
        parent = content.pop("extends", None)
        layers.insert(0, Layer(file.label, content))
        if parent is None:
            return layers
        if not isinstance(parent, str):
            raise RecipeError(
                _CANNOT_LOAD, where=file.label, rule=f"extends must name one recipe or file, got {parent!r}"
            )
        file = _find(parent, parent_of=file)


def _flatten(held: Mapping[str, Any], before: str) -> Iterator[tuple[str, Any]]:
    for key, value in held.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", value
