"""Recipes as files: the shipped ones, inheritance, changes from the command line, saving, comparing."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from domainvl.errors import RecipeError
from domainvl.training.recipe import Method, Recipe

_MAX_INHERITANCE = 8


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
    name = reference
    if "/" not in reference and not reference.endswith((".yaml", ".yml")):
        name = f"{reference}/{method or 'lora'}"
    content = _load_with_parents(_find(name, reference), depth=0)
    content.setdefault("name", name)
    if method is not None:
        content["method"] = method
    if model is not None:
        content["model"] = model
    for override in overrides:
        _apply_override(content, override)
        _refuse_other_method(override, content.get("method"))
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise _explain(error, reference) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe; loading it gives the same recipe."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _find(name: str, reference: str) -> Traversable | Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError("Cannot load a recipe", where=reference, rule="there is no such file")
    packaged = resources.files("domainvl.recipes").joinpath(f"{name}.yaml")
    if packaged.is_file():
        return packaged
    families = {known.split("/")[0] for known in recipe_names()}
    raise RecipeError(
        f"There is no recipe {reference!r}",
        rule=_nearest(reference, [*families, *recipe_names()]),
        action=f"Recipes are: {', '.join(recipe_names())}; or name a .yaml file",
    )


def _load_with_parents(source: Traversable | Path, *, depth: int) -> dict[str, Any]:
    if depth > _MAX_INHERITANCE:
        raise RecipeError("Cannot load a recipe", where=str(source), rule="'extends' goes round in a circle")
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError("Cannot load a recipe", where=str(source), rule=f"it is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError("Cannot load a recipe", where=str(source), rule="it must be a mapping of keys to values")
    parent = content.pop("extends", None)
    if parent is None:
        return content
    return _merge(_load_with_parents(_find(parent, parent), depth=depth + 1), content)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(
            f"Cannot apply {override!r}", rule="a change has the form key=value", action="For example: --set seed=1"
        )
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise RecipeError(f"Cannot apply {override!r}", rule=f"{parent} is a value, not a section")
    target[last] = yaml.safe_load(value)


def _refuse_other_method(override: str, method: Any) -> None:
    """Refuse a change of the section that the method does not read."""
    section = override.partition(".")[0]
    if section in ("lora", "full") and method in ("lora", "full") and section != method:
        raise RecipeError(
            f"Cannot apply {override!r}",
            rule=f"{section}.* does nothing with method: {method}",
            action=f"Use --method {section}, or change {method}.*",
        )


def _explain(error: ValidationError, reference: str) -> RecipeError:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"unknown key {key} ({_nearest(str(problem['loc'][-1]), _fields_at(problem['loc'][:-1]))})")
        elif problem["type"] == "missing":
            problems.append(f"{key} is missing")
        elif problem["type"] == "value_error":  # of a rule over several keys, which names them
            problems.append(str(problem["ctx"]["error"]))
        else:
            problems.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return RecipeError("Invalid recipe", where=reference, rule="; ".join(problems), action="Correct it and try again")


def _fields_at(location: Sequence[str | int]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)


def _nearest(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(sorted(known))}"
