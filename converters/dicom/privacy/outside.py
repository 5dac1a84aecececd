"""Keeps what a run writes outside of the folder that it reads: the next run would read it as input."""

from __future__ import annotations

from pathlib import Path

from domainvl.errors import UsageError

from ..settings import DicomSettings


def check_outside(source: Path, settings: DicomSettings) -> None:
    """Refuse a re-identification map or a folder for videos inside the input.

    Args:
        source: File or folder that is converted.
        settings: The converter's settings.

    Raises:
        UsageError: If one lies inside, links followed.
    """
    for option, path in (("--reid-map", settings.reid_map), ("--videos", settings.videos)):
        if path is not None and path.resolve().is_relative_to(source.resolve()):
            raise UsageError(
                f"Cannot write {option}",
                rule="it lies inside the input: the next run would read it as input",
                action="Name a place elsewhere",
            )
