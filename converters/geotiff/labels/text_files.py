"""Reads label files that are text."""

from __future__ import annotations

from pathlib import Path

from .pixel_labels import unusable_file


def read_text(path: Path, uri: str) -> str:
    """Read a file of UTF-8.

    Args:
        path: The file.
        uri: Its name in messages.

    Raises:
        ItemError: If it cannot be read or is something else.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise unusable_file(uri, f"it must be UTF-8 ({error})", "Write it again as UTF-8") from error
    except OSError as error:
        raise unusable_file(uri, error.strerror or str(error)) from error
