"""Fixtures of the tests of pages and statistics."""

from __future__ import annotations

import shutil
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


CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    """Chromium; tests that need it are skipped where there is none."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium on the PATH")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()
