"""A small valid data set with all that can go wrong in it, and fresh copies to break."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from builders import make_sample
from PIL import Image as PillowImage

from domainvl.files import hash_file
from domainvl.schema import (
    WORDING_VERSION,
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    DatasetWriter,
    Image,
    ImageStore,
    Object,
    Provenance,
    Reject,
    Sample,
    Severity,
    Source,
    Split,
    Task,
)

PROVENANCE = Provenance(converter="toy", version="0", settings_sha256="0" * 64, wording=WORDING_VERSION)


def draw(seed: int, size_px: tuple[int, int]) -> np.ndarray:
    """Draw 9 x 8 blocks of random greys with a tint: pictures of other seeds look other."""
    width_px, height_px = size_px
    blocks = np.random.default_rng(seed).integers(0, 200, (8, 9), np.uint8)
    rows, columns = np.arange(height_px) * 8 // height_px, np.arange(width_px) * 9 // width_px
    grey = blocks[rows][:, columns]
    return np.stack([grey, grey // 2 + 40, grey], axis=-1)


def write_dataset(folder: Path, sources: Path) -> None:
    """Write the valid data set.

    Lines of ``train.jsonl``: 1 to 4 ask about image A (PNG), 5 and 6 about B (JPEG) and C (grey PNG) together, 7 about
    C, 8 about nothing. ``val.jsonl``: 1 and 2 about D (JPEG). ``test.jsonl``: 1 and 2 about E, 3 and 4 about F.
    """
    sources.mkdir()
    with DatasetWriter(folder, name="small", overwrite=True) as writer:
        for sample in samples(writer.images, sources):
            writer.add(sample)
        for number, severity in enumerate([Severity.FAILED, Severity.SKIPPED, Severity.SKIPPED]):
            writer.reject(Reject(f"input {number}", "read", "broken", "it broke", "Mend it", severity=severity))
        writer.finish(
            command="convert toy",
            settings={"grey": 7},
            sources=[{"uri": "a.tif", "sha256": "0" * 64, "size_bytes": 1}],
            versions={"domainvl": "0"},
            licence="CC0-1.0",
        )


def samples(store: ImageStore, sources: Path) -> list[Sample]:
    def put(name: str, seed: int, size_px: tuple[int, int], *, jpeg: bool = False, grey: bool = False) -> Image:
        pixels = draw(seed, size_px)
        if jpeg:
            PillowImage.fromarray(pixels).save(sources / f"{name}.jpg", quality=90)
            stored = store.put_file(sources / f"{name}.jpg")
        else:
            stored = store.put_pixels(pixels[..., 0] if grey else pixels)
        return stored.to_image(Source(uri=f"{name}.tif", details={"window": {"col": 0, "note": "whole"}}))

    a, c = put("a", 1, (90, 64)), put("c", 3, (45, 40), grey=True)
    b, d = put("b", 2, (99, 80), jpeg=True), put("d", 4, (72, 48), jpeg=True)
    e, f = put("e", 5, (54, 32)), put("f", 6, (36, 24))
    ponds = (
        Object(id="1", label="pond", box_px=(10.0, 5.0, 40.0, 30.5)),
        Object(id="2", label="tank", box_px=(50.0, 0.0, 90.0, 64.0)),
    )
    choice = ChoiceAnswer(options=("water", "rock"), correct=0)
    rows: list[dict[str, Any]] = [
        {"sample_id": "a/what", "images": [a], "group": "a", "objects": ponds},
        {"sample_id": "a/where", "images": [a], "group": "a", "objects": ponds, "task": Task.GROUNDING}
        | {"question": "pond", "answer": BoxesAnswer(object_ids=("1",))},
        {"sample_id": "a/which", "images": [a], "group": "a", "task": Task.MULTIPLE_CHOICE, "answer": choice},
        {"sample_id": "a/many", "images": [a], "group": "a", "task": Task.COUNTING, "answer": CountAnswer(count=1)},
        {"sample_id": "bc/same", "images": [b, c], "group": "bc"},
        {"sample_id": "bc/all", "images": [b, c], "group": "bc", "task": Task.DETECTION}
        | {"objects": [Object(id="x", label="pond", image=1, box_px=(1, 2, 3, 4))]}
        | {"answer": BoxesAnswer(object_ids=("x",))},
        {"sample_id": "c/what", "images": [c], "group": "bc"},
        {"sample_id": "text", "images": [], "group": "text"},
        {"sample_id": "d/1", "images": [d], "group": "d", "split": Split.VAL},
        {"sample_id": "d/2", "images": [d], "group": "d", "split": Split.VAL, "fixed_split": Split.VAL},
        {"sample_id": "e/1", "images": [e], "group": "e", "split": Split.TEST},
        {"sample_id": "e/2", "images": [e], "group": "e", "split": Split.TEST},
        {"sample_id": "f/1", "images": [f], "group": "f", "split": Split.TEST},
        {"sample_id": "f/2", "images": [f], "group": "g", "split": Split.TEST},
    ]
    return [make_sample(provenance=PROVENANCE, **row) for row in rows]


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pristine")
    write_dataset(folder / "data", folder / "sources")
    return folder / "data"


@pytest.fixture
def dataset(pristine: Path, tmp_path: Path) -> Path:
    """A fresh copy of the valid data set."""
    return Path(shutil.copytree(pristine, tmp_path / "data"))


class Planter:
    """Breaks a data set in one place and keeps the rest in agreement."""

    def __init__(self, dataset: Path) -> None:
        self.dataset = dataset

    def lines(self, name: str) -> list[bytes]:
        return (self.dataset / name).read_bytes().splitlines(keepends=True)

    def record(self, name: str, line: int) -> dict[str, Any]:
        return json.loads(self.lines(name)[line - 1])

    def line(self, name: str, line: int, content: bytes) -> None:
        """Put other bytes, line break included, in the place of a line."""
        lines = self.lines(name)
        lines[line - 1] = content
        (self.dataset / name).write_bytes(b"".join(lines))

    def edit(self, name: str, line: int, change: Callable[[dict[str, Any]], object]) -> None:
        record = self.record(name, line)
        change(record)
        self.line(name, line, json.dumps(record, ensure_ascii=False).encode() + b"\n")

    def edit_json(self, name: str, change: Callable[[dict[str, Any]], object]) -> None:
        content = json.loads((self.dataset / name).read_bytes())
        change(content)
        (self.dataset / name).write_text(json.dumps(content, indent=1) + "\n")

    def image(self, name: str, line: int, which: int = 0) -> Path:
        """Return the file of an image of a line."""
        paths = self.record(name, line)["image"]
        return self.dataset / (paths if isinstance(paths, str) else paths[which])

    def swap_image(self, name: str, path: str, width_px: int, height_px: int, pixel_sha256: str) -> None:
        """Let all lines of a file name this image instead of theirs, and remove theirs."""
        for line in range(1, len(self.lines(name)) + 1):
            self.image(name, line).unlink(missing_ok=True)

            def change(record: dict[str, Any]) -> None:
                record.update(image=path, width=width_px, height=height_px)
                record["domainvl"]["images"][0]["pixel_sha256"] = pixel_sha256

            self.edit(name, line, change)

    def show(self, name: str, pixels: np.ndarray) -> None:
        """Let all lines of a file show these pixels, in a file of the name that the store gives."""
        stored = ImageStore(self.dataset).put_pixels(pixels)
        self.swap_image(name, stored.path, stored.width_px, stored.height_px, stored.pixel_sha256)

    def sign(self) -> None:
        """Write the hashes of the files as they are now into croissant.json."""

        def change(content: dict[str, Any]) -> None:
            for file in content["distribution"]:
                path = self.dataset / file.get("contentUrl", "")
                if path.is_file():
                    file["sha256"] = hash_file(path)

        self.edit_json("croissant.json", change)


@pytest.fixture
def planter(dataset: Path) -> Planter:
    return Planter(dataset)


@pytest.fixture(scope="session")
def draw_picture() -> Callable[[int, tuple[int, int]], np.ndarray]:
    return draw
