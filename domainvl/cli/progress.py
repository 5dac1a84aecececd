"""The bar that training shows on a terminal."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress


def training_bar() -> Progress:
    """Return a bar with what was done, the time it took and the time that is left; on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed}/{task.total}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


@contextmanager
def unstarted_bar() -> Iterator[Progress]:
    """Hold the same bar, of which nothing is seen before its ``start()``: no empty bar stands above an early error."""
    progress = training_bar()
    try:
        yield progress
    finally:
        if progress.live.is_started:
            progress.stop()
