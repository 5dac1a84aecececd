"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--real-data", type=Path, default=None, help="folder with the real test files")
    parser.addoption("--quickstart", type=Path, default=None, help="folder of a full run of domainvl quickstart")


@pytest.fixture(scope="session")
def real_data(request: pytest.FixtureRequest) -> Path:
    """The folder of real files; tests that need it are skipped where there is none."""
    folder = request.config.getoption("--real-data") or Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data in {folder}; name a folder with --real-data DIR")
    return Path(folder)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of outputs of the official code; tests that need it are skipped where there is none."""
    folder = Path(__file__).parents[2] / "shared" / "golden"
    if not folder.is_dir():
        pytest.skip(f"no golden files in {folder}")
    return folder


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of single squares on grey: what colour they have, where they are, how many in two images."""
    from squares import write_squares

    folder = tmp_path_factory.mktemp("data") / "squares"
    write_squares(folder)
    return folder


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory, squares: Path) -> Path:
    """A checkpoint of the architecture of tiny with random weights."""
    from squares import write_untrained

    folder = tmp_path_factory.mktemp("model") / "untrained"
    write_untrained(folder, squares)
    return folder
