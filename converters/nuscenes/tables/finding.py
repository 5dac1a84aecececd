"""Finds the folder of tables in a data root, and the files in it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from domainvl.errors import UsageError

TABLES_USED = (
    "attribute",
    "calibrated_sensor",
    "category",
    "ego_pose",
    "instance",
    "log",
    "sample",
    "sample_annotation",
    "sample_data",
    "scene",
    "sensor",
    "visibility",
)
"""The tables that are read where they are there; ``attribute``, ``log``, ``visibility`` and, with
``sample_annotation`` empty or absent, ``category`` and ``instance`` may be absent."""

RELEASES = "v1.0-*"
"""How the folders of tables of nuScenes and nuImages are called."""

_TABLE_FOLDERS = (RELEASES, "annotation")
"""Of nuScenes and data sets in its layout; the second is that of T4 data sets (github.com/tier4/t4-devkit)."""


def table_path(folder: Path, name: str) -> Path:
    """Return the file of a table."""
    return folder / f"{name}.json"


def has_table(folder: Path, name: str) -> bool:
    """Return whether there is a table, or anything else in its place: a folder or a dead link is no missing table."""
    return os.path.lexists(table_path(folder, name))


def find_tables(source: Path, version: str | None) -> Path:
    """Return the folder of tables.

    Args:
        source: The data root.
        version: Name of the folder; None where there is only one.

    Raises:
        UsageError: If it is not clear which.
    """
    return find_together(source, version, patterns=_TABLE_FOLDERS)[0]


def find_together(
    source: Path, version: str | None, *, patterns: Sequence[str] = (RELEASES,), together: Sequence[str] = ()
) -> list[Path]:
    """Return the folders of tables to read.

    Args:
        source: The data root.
        version: Name of the only folder to read; None for all of ``together`` that are there, or the only other one.
        patterns: What folders of tables are called.
        together: Names of folders that may be read together, in order.

    Raises:
        UsageError: If there is none, or it is not clear which.
    """
    found = {path.name: path for pattern in patterns for path in sorted(source.glob(pattern)) if path.is_dir()}
    names = [name for name in together if name in found] or list(found)
    if version is not None:
        if version in found:
            return [found[version]]
        rule = f"there is no folder of tables {version!r}"
    elif len(names) == 1 or (names and names[0] in together):
        return [found[name] for name in names]
    else:
        known = f"{', '.join(together)} or " if together else ""
        rule = f"there must be {known}one folder of tables, v1.0-*, or one must be named"
    present = f"present are: {', '.join(sorted(found))}" if found else "none is present"
    action = "Name one with --version" if found else "Name the data root, the folder that holds v1.0-* and samples"
    raise UsageError("Cannot find the tables", where=source, rule=f"{rule}; {present}", action=action)
