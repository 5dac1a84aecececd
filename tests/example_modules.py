"""Importing the modules of an example, which has no package: two examples may both have a ``run.py``."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def importing_from(folder: Path) -> Iterator[None]:
    """Let modules of a folder be imported by name, and forget them afterwards."""
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = before
        for name, module in list(sys.modules.items()):
            if Path(getattr(module, "__file__", None) or "/").parent == folder:
                del sys.modules[name]
