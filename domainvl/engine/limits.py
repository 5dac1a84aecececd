"""How long a unit may take and how much memory, and what this machine has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_MEMORY_SHARE = 0.8
_CGROUP_ROOT = Path("/sys/fs/cgroup")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says what a container may use (cgroup v2, then v1)."""


@dataclass(frozen=True)
class Limits:
    """What one unit may take.

    Attributes:
        timeout_s: Seconds, or None for any time.
        memory_bytes: Resident memory of its process beside others, or None for any.
        memory_alone_bytes: Resident memory when no other unit runs.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    memory_alone_bytes: int | None = None

    def memory_limit_bytes(self, *, alone: bool) -> int | None:
        """Return the limit beside others or alone."""
        return self.memory_alone_bytes if alone else self.memory_bytes


def usable_cores() -> int:
    """Return how many cores this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def usable_memory_bytes() -> int:
    """Return the memory of this machine, or of the container where that is less."""
    import psutil

    total = int(psutil.virtual_memory().total)
    for path in (*_CGROUP_LIMITS, *_own_cgroup_limits()):
        try:
            text = path.read_text().strip()
        except OSError:
            continue
        if text.isdecimal():
            total = min(total, int(text))
    return total


def _own_cgroup_limits() -> list[Path]:
    """Return where the limits of this process's own group stand, and of those around it: a job has one of its own."""
    try:
        lines = _OWN_CGROUP.read_text().splitlines()
    except OSError:
        return []
    # cgroups(7): cgroup v2 has one line, 0::/path below the mount point.
    paths = [Path(line.removeprefix("0::/")) for line in lines if line.startswith("0::/")]
    return [_CGROUP_ROOT / folder / "memory.max" for path in paths for folder in (path, *path.parents)]


def default_limits(workers: int, *, timeout_s: float | None, memory_bytes: int | None) -> Limits:
    """Fill in what the user did not set: the workers share four fifths of the memory, one alone may have all of them.

    Args:
        workers: How many units run at the same time.
        timeout_s: Seconds a unit may take, or None for any time.
        memory_bytes: Resident memory that a unit may take, or None for the default.
    """
    if memory_bytes is not None:
        return Limits(timeout_s, memory_bytes, memory_bytes)
    budget = int(usable_memory_bytes() * _MEMORY_SHARE)
    return Limits(timeout_s, budget // max(workers, 1), budget)
