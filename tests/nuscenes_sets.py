"""Converts data roots in the layout of nuScenes for tests, edits their tables, and reads what came out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from domainvl.conversion import ConversionSummary, RunSettings, convert
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.schema import Image, Sample, Split, Task, read_samples

VIEWS = ["FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT"]

Rows = list[dict[str, Any]]
Change = Callable[[Rows], object]


@dataclass(frozen=True)
class Made:
    """A data set that was made.

    Attributes:
        folder: The data set.
        summary: What the conversion said of it.
    """

    folder: Path
    summary: ConversionSummary

    @cached_property
    def samples(self) -> list[Sample]:
        """All samples, of all splits."""
        return [sample for split in Split for sample in read_samples(self.folder, split)]

    @cached_property
    def rejects(self) -> list[dict[str, Any]]:
        """What was left out."""
        return [json.loads(line) for line in (self.folder / "rejects.jsonl").read_text().splitlines()]

    @property
    def manifest(self) -> dict[str, Any]:
        """What the manifest says."""
        return dict(json.loads((self.folder / "manifest.json").read_text()))

    @property
    def by_id(self) -> dict[str, Sample]:
        """The samples by their ids."""
        return {sample.id: sample for sample in self.samples}

    @property
    def frames(self) -> set[str]:
        """Key frames that are asked about, such as ``scene-0001/0002``."""
        names = ("/".join(sample.id.split("/")[:2]) for sample in self.samples)
        return {name for name in names if name[-4:].isdigit() and "/" in name}

    @property
    def clips(self) -> dict[str, list[Image]]:
        """Images of each clip, such as ``scene-0001/clip00``."""
        return {sample.id.rsplit("/", 1)[0]: list(sample.images) for sample in self.samples if "/clip" in sample.id}

    def of(self, task: Task, part: str = "") -> list[Sample]:
        """The samples of a task whose id has a part."""
        return [sample for sample in self.samples if sample.task is task and part in sample.id]

    def reasons(self) -> Counter[str]:
        """How often there is each reason."""
        return Counter(reject["reason"] for reject in self.rejects)


def make_set(root: Path, folder: Path, *, workers: int = 0, **settings: Any) -> Made:
    """Convert a data root into ``folder/set``; the index goes beside it."""
    chosen = NuscenesSettings(**{"index": folder / "index", **settings})
    return Made(folder / "set", convert(CONVERTER, root, folder / "set", chosen, run=RunSettings(workers=workers)))


def tables_of(root: Path) -> Path:
    """The only folder of tables in a data root."""
    (tables,) = root.glob("v1.0-*")
    return tables


def rows_of(root: Path, table: str) -> Rows:
    """The rows of a table."""
    return list(json.loads((tables_of(root) / f"{table}.json").read_text()))


def edit(root: Path, table: str, change: Change) -> None:
    """Change the rows of a table in place."""
    rows = rows_of(root, table)
    change(rows)
    (tables_of(root) / f"{table}.json").write_text(json.dumps(rows))


def keep(root: Path, table: str, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Remove all rows of a table but some."""
    rows = [row for row in rows_of(root, table) if wanted(row)]
    (tables_of(root) / f"{table}.json").write_text(json.dumps(rows))


def shots_of(root: Path, view: str) -> Rows:
    """Images of the key frames of a view, in time."""
    rows = [row for row in rows_of(root, "sample_data") if f"/CAM_{view}/" in row["filename"] and row["is_key_frame"]]
    return sorted(rows, key=lambda row: int(row["timestamp"]))
