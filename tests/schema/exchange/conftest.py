"""A data set of every kind of sample, exported once to each format."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from varied import write_varied

from domainvl.schema import Sample, Split


@dataclass(frozen=True)
class Varied:
    """The data set: its folder, and its samples in the order of its files."""

    folder: Path
    samples: list[Sample]

    def of(self, split: Split) -> list[Sample]:
        return [sample for sample in self.samples if sample.split is split]


@pytest.fixture(scope="session")
def varied(tmp_path_factory) -> Varied:
    folder = tmp_path_factory.mktemp("varied") / "data"
    return Varied(folder, write_varied(folder))


@pytest.fixture(scope="session")
def exported(varied, tmp_path_factory):
    """Return a function that gives the folder of an export with the default settings; made once each."""
    from domainvl.schema.exchange import export_dataset

    folders: dict[str, Path] = {}

    def export(name: str) -> Path:
        if name not in folders:
            out = tmp_path_factory.mktemp("exported") / "out"
            export_dataset(varied.folder, out, format_name=name)
            folders[name] = out
        return folders[name]

    return export
