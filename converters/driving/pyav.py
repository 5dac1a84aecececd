"""Finds PyAV, the extra ``video``, where a video is read or written."""

from __future__ import annotations

import importlib
from typing import Any

from domainvl.errors import UsageError, install_hint


def import_av() -> Any:
    """Return PyAV.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module("av")
    except ImportError as error:
        raise UsageError(
            "Cannot use videos", rule="the package av is not installed", action=install_hint("video")
        ) from error
