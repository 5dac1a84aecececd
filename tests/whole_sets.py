"""Small data sets on disk, made from a few words, for the tests of what works on whole data sets."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from builders import make_sample

from domainvl.schema import DatasetWriter, Reject, Sample, Source, Split, read_samples

SIZE_PX = (200, 100)


@dataclass(frozen=True)
class Given:
    """One sample: its images are plain squares of the given greys."""

    id: str
    group: str = "g"
    split: Split = Split.TRAIN
    greys: Sequence[int] = (7,)
    fields: Mapping[str, Any] = field(default_factory=dict)


def write_set(
    folder: Path,
    samples: Iterable[Given],
    *,
    name: str | None = None,
    rejects: Iterable[Reject] = (),
    **facts: Any,
) -> Path:
    """Write a data set; ``facts`` replace what the manifest says by default."""
    told = {"command": "toy", "settings": {"grey": 1}, "sources": [], "versions": {}, "licence": "CC0-1.0"} | facts
    with DatasetWriter(folder, name=name or folder.name) as writer:
        for given in samples:
            images = [
                writer.images.put_pixels(np.full(SIZE_PX[::-1], grey, np.uint8)).to_image(Source(uri=f"{grey}.tif"))
                for grey in given.greys
            ]
            writer.add(make_sample(given.id, images=images, group=given.group, split=given.split, **given.fields))
        for reject in rejects:
            writer.reject(reject)
        writer.finish(**told)
    return folder


def samples_of(folder: Path) -> dict[str, Sample]:
    """Read all samples back through the reader that training and evaluation use."""
    return {sample.id: sample for split in Split for sample in read_samples(folder, split)}


def lines_of(folder: Path) -> list[str]:
    """All lines of all splits."""
    return [line for split in Split for line in (folder / f"{split}.jsonl").read_text("utf-8").splitlines()]


def images_in(folder: Path) -> set[str]:
    """The image files that are there."""
    return {path.relative_to(folder).as_posix() for path in (folder / "images").rglob("*") if path.is_file()}


def images_of(samples: Iterable[Sample]) -> set[str]:
    """The image files that samples name."""
    return {image.path for sample in samples for image in sample.images}


def content_of(folder: Path) -> dict[str, bytes]:
    """All files with their bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def splits_by_group(folder: Path) -> dict[str, set[Split]]:
    """In which splits each group is."""
    found: dict[str, set[Split]] = {}
    for sample in samples_of(folder).values():
        found.setdefault(sample.group, set()).add(sample.split)
    return found


def edit_lines(folder: Path, split: Split, change: Any) -> None:
    """Change each record of a split in place; ``change`` gets the record and returns it."""
    path = folder / f"{split}.jsonl"
    records = [change(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


def edit_manifest(folder: Path, **facts: Any) -> None:
    """Change what the manifest says."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | facts), "utf-8")
