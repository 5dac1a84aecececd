"""The hidden folder in which an evaluation is prepared: its answers outlive a kill, and one process at a time is in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from domainvl.errors import UsageError
from domainvl.files import hidden_sibling, output_errors

_LOCK_NAME = ".lock"
_JOURNALS = "answers-*.jsonl"


def journal_path(work: Path, name: str) -> Path:
    """Return where the answers of a system, or of one at some setting, are kept until all is done."""
    return work / _JOURNALS.replace("*", name)


@contextmanager
def open_workplace(out: Path) -> Iterator[Path]:
    """Open the hidden folder beside a target; at the end of the block it takes the target's name, without journals.

    What an earlier run left there is removed, but for its journals. If the block fails, all stays.

    Args:
        out: Folder to make.

    Yields:
        The hidden folder.

    Raises:
        UsageError: If the target is there, or another process is at work on it.
        OutputError: If it cannot be written.
    """
    if out.exists():
        raise UsageError("Cannot evaluate", where=out, rule="the folder exists", action="Name another")
    work = hidden_sibling(out, "partial")
    with output_errors(work):
        work.mkdir(parents=True, exist_ok=True)
    lock = FileLock(work / _LOCK_NAME)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            "Cannot evaluate", where=out, rule="another run is at work on it", action="Wait until it has ended"
        ) from error
    try:
        _tidy(work)
        yield work
        with output_errors(out):
            for done in (*work.glob(_JOURNALS), work / _LOCK_NAME):
                done.unlink(missing_ok=True)
            work.rename(out)
    finally:
        lock.release()
        if work.is_dir() and {path.name for path in work.iterdir()} <= {_LOCK_NAME}:
            shutil.rmtree(work)  # nothing to go on from


def _tidy(work: Path) -> None:
    kept = {path.name for path in work.glob(_JOURNALS)} | {_LOCK_NAME}
    for path in work.iterdir():
        if path.name not in kept:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
