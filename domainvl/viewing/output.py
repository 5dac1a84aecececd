"""Writes the counts of a data set with their pictures into a folder."""

from __future__ import annotations

import json
from pathlib import Path

from domainvl.errors import UsageError
from domainvl.files import output_errors, write_atomically
from domainvl.viewing.charts import CHARTS, draw_charts
from domainvl.viewing.stats import DatasetStats

STATS_NAME = "stats.json"


def to_json(stats: DatasetStats) -> str:
    """Return the counts as JSON text of ASCII characters, fit for any terminal and file."""
    return json.dumps(stats.to_dict(), indent=1)


def check_stats_target(folder: Path) -> None:
    """Refuse a folder that holds anything but what :func:`write_stats` writes.

    Raises:
        UsageError: Naming what is in the way.
    """
    if not folder.exists():
        return
    foreign = "it is a file"
    if folder.is_dir():
        entries = sorted(entry.name for entry in folder.iterdir())
        foreign = next((f"it holds {name}" for name in entries if name != STATS_NAME and name not in CHARTS), "")
    if foreign:
        raise UsageError("Cannot write statistics", where=folder, rule=foreign, action="Name a folder to make")


def write_stats(stats: DatasetStats, folder: Path) -> list[Path]:
    """Write ``stats.json`` and the pictures; those of an earlier run are replaced.

    Args:
        stats: The counts.
        folder: Folder to make.

    Returns:
        The files.

    Raises:
        UsageError: If the folder holds something else.
        OutputError: If it cannot be written.
    """
    check_stats_target(folder)
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name in CHARTS:  # not each data set has every picture
            (folder / name).unlink(missing_ok=True)
        pictures = draw_charts(stats, folder)
    write_atomically(folder / STATS_NAME, (to_json(stats) + "\n").encode())
    return [folder / STATS_NAME, *pictures]
