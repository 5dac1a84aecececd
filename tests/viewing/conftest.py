"""Fixtures of the tests of pages and statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from gallery import write_dataset, write_gallery

from domainvl.schema import Sample


@pytest.fixture(scope="session")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set that has one of everything that can be drawn, filtered or counted."""
    return write_gallery(tmp_path_factory.mktemp("viewing") / "gallery")


@pytest.fixture(scope="session")
def save() -> Callable[[Path, Iterable[Sample]], Path]:
    """Writes samples as a data set."""
    return write_dataset
