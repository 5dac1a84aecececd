"""A data set of every kind of sample, with files beside that no sample needs."""

from __future__ import annotations

from pathlib import Path

import pytest
from varied import write_varied


@pytest.fixture(scope="session")
def dataset(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("varied") / "data"
    write_varied(folder)
    (folder / "images" / "unused.png").write_bytes(b"no sample shows this")
    (folder / "notes" / "deep").mkdir(parents=True)
    (folder / "notes" / "deep" / "read me: ä.txt").write_text("Of 2024.")
    return folder
