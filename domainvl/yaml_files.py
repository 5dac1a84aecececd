"""Strict reading of YAML files, whatever they set: recipes, mixtures, protocols; a key that stands twice is refused."""

from __future__ import annotations

from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml

from domainvl.errors import RecipeError


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


def read_text(source: Traversable | Path, where: str, *, what: str) -> str:
    """Read a file as UTF-8.

    Args:
        source: The file.
        where: What messages call it.
        what: What fails where it cannot be read, such as ``Cannot load a recipe``.

    Raises:
        RecipeError: If it cannot be read.
    """
    try:
        return source.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(what, where=where, rule=f"it is not UTF-8: {error}") from error
    except OSError as error:
        raise RecipeError(what, where=where, rule=error.strerror or str(error)) from error


def read_mapping(source: Traversable | Path, where: str, *, what: str) -> dict[str, Any]:
    """Read a file that holds keys with values; the arguments are those of :func:`read_text`.

    Raises:
        RecipeError: If it cannot be read, is no YAML, has a key twice, or holds something else.
    """
    content = parse_yaml(read_text(source, where, what=what), where, what=what)
    if not isinstance(content, dict):
        raise RecipeError(what, where=where, rule="it must be a mapping of keys to values")
    return content


def parse_yaml(text: str, where: str, *, what: str) -> Any:
    """Parse YAML.

    Args:
        text: The YAML.
        where: What messages call the place that it is from.
        what: What fails where it cannot be parsed.

    Raises:
        RecipeError: If it is no YAML, or a key stands twice in one section.
    """
    try:
        return yaml.load(text, _Loader)
    except _DuplicateKeyError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RecipeError(
            what,
            where=where,
            rule=f"the key {error.problem!r} stands twice in one section, again in line {line}",
            action="Leave one of them out",
        ) from error
    except yaml.YAMLError as error:
        raise RecipeError(what, where=where, rule=f"it is not YAML: {error}") from error
