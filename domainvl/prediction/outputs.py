"""Checks before the work begins that the files of a prediction can be written."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from domainvl.errors import UsageError

_WHAT = "Cannot write predictions"


def check_new_files(paths: Iterable[Path], *, overwrite: bool) -> None:
    """Check that files are not there yet, or may be replaced.

    Raises:
        UsageError: If one is there.
    """
    for path in paths:
        if path.exists() and not (overwrite and path.is_file()):
            action = "Name another file, or add --overwrite" if path.is_file() else "Name another file"
            raise UsageError(_WHAT, where=path, rule="it exists", action=action)


def check_suffix(out: Path, suffix: str) -> None:
    """Check that the name of a file tells its format.

    Raises:
        UsageError: If it ends otherwise.
    """
    if out.suffix.lower() != suffix:
        raise UsageError(_WHAT, where=out, rule=f"its name must end in {suffix}, got {out.name!r}")
