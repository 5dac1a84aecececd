"""The rule for file names that stand in a data set: they must not lead out of the folder that they are relative to."""

from __future__ import annotations

from pathlib import PurePosixPath


def is_inside(name: str) -> bool:
    """Say whether a path names something below the folder that it is relative to.

    Absolute paths, steps upwards and the folder itself do not. Neither does a backslash, which divides folders on some
    systems and could hide a step upwards there.
    """
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not {"\0", "\\"} & {*name}
