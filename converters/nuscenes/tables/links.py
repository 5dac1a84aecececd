"""Checks the links from row to row in time: each must lead to a later row, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from .faults import Fault
from .rows import SampleRow


class Linked(Protocol):
    """A row that names the one after it."""

    @property
    def token(self) -> str:
        """Its token."""

    @property
    def timestamp(self) -> int:
        """Its time in microseconds."""

    @property
    def next(self) -> str | None:
        """The token of the row after it; empty or None in the last."""


def faults_in_time(rows: Mapping[str, Linked]) -> Iterator[tuple[tuple[str, str], Fault]]:
    """Yield the links that lead to a row that is not later.

    Args:
        rows: Rows by token; what a link names and is not among them is passed over.

    Yields:
        The tokens of both ends, and what is wrong: ``link-loop`` or ``backwards-timestamp``. Which end is to blame, the
        tables do not say.
    """
    looped = _on_loops(rows)
    for row in rows.values():
        after = rows.get(row.next or "")
        if after is None or after.timestamp > row.timestamp:
            continue
        ends = (row.token, after.token)
        if row.token in looped:
            yield ends, Fault("link-loop", f"next must not lead back, from {row.token} over {after.token} it does")
        else:
            yield (
                ends,
                Fault(
                    "backwards-timestamp",
                    f"next must be later, {after.token} at {after.timestamp} us follows {row.token} at "
                    f"{row.timestamp} us",
                ),
            )


def faults_of_samples(samples: Mapping[str, SampleRow]) -> Iterator[tuple[str, Fault]]:
    """Yield what is wrong with the links and times of key frames, with the token of each frame that it concerns."""
    for ends, fault in faults_in_time(samples):
        for token in dict.fromkeys(ends):
            yield token, fault
    for row in samples.values():
        for name, other in (("prev", row.prev), ("next", row.next)):
            if other and (fault_of_link := _fault_of_link(row, name, samples.get(other), other)):
                yield row.token, fault_of_link
    yield from _equal_times(samples)


def _fault_of_link(row: SampleRow, name: str, other: SampleRow | None, token: str) -> Fault | None:
    if other is None:
        return Fault("dangling-token", f"{name} names sample {token}, which is in no table")
    if other.scene_token != row.scene_token:
        return Fault("link-across-scenes", f"{name} names sample {token}, which is in another scene")
    back = other.next if name == "prev" else other.prev
    # An empty link is not contradicted: some tables hold links in one direction only.
    if back and back != row.token:
        return Fault("one-sided-link", f"{name} names sample {token}, which names {back} instead of this one")
    return None


def _equal_times(samples: Mapping[str, SampleRow]) -> Iterator[tuple[str, Fault]]:
    """Yield the key frames that share scene and time with another; the first by token stays."""
    first: dict[tuple[str, int], str] = {}
    for token, row in sorted(samples.items()):
        other = first.setdefault((row.scene_token, row.timestamp), token)
        if other != token:
            yield token, Fault("duplicate-timestamp", f"sample {other} of its scene has its time, {row.timestamp} us")


def _on_loops(rows: Mapping[str, Linked]) -> set[str]:
    """Return the tokens of rows that ``next`` leads back to."""
    done: set[str] = set()
    looped: set[str] = set()
    for start in rows:
        path: dict[str, None] = {}
        token = start
        while token in rows and token not in done and token not in path:
            path[token] = None
            token = rows[token].next or ""
        if token in path:
            walked = list(path)
            looped.update(walked[walked.index(token) :])
        done.update(path)
    return looped
