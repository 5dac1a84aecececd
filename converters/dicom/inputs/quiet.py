"""Keeps pydicom from reporting what it reads: its warnings and its log quote headers, which name people."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator

from pydicom.config import disable_value_validation

_SILENT = logging.CRITICAL + 1


@contextlib.contextmanager
def quiet_pydicom() -> Iterator[None]:
    """Read without warnings, log entries or checks of values; as they were before at the end of the block."""
    log = logging.getLogger("pydicom")
    level = log.level
    log.setLevel(_SILENT)
    try:
        with warnings.catch_warnings(), disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
