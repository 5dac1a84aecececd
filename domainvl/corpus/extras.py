"""Libraries that only corpora need, imported when they are used."""

from __future__ import annotations

import importlib
from types import ModuleType

from domainvl.errors import UsageError, install_hint


def require(module: str, *, extra: str = "corpus") -> ModuleType:
    """Import a library.

    Args:
        module: Its name, such as ``pyarrow.parquet``.
        extra: The extra of domainvl that brings it.

    Raises:
        UsageError: If it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(
            "Cannot work on a corpus", rule=f"{module} cannot be imported ({error})", action=install_hint(extra)
        ) from error
