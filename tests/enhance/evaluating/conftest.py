"""Small sets of registered pairs whose high views are known, and enhancers whose pictures are."""

import json
from dataclasses import dataclass

import numpy as np
import pytest

from domainvl.enhance.pairs.records import PairIndex, PairRecord, PairSet, View
from domainvl.enhance.rasters import Raster, write_tiff
from domainvl.enhance.resampling import enlarge, shrink

LOW_PX = 26


def view(bands, dtype="uint8", high=255.0):
    return View(bands=bands, dtype=dtype, low=(0.0,) * bands, high=(high,) * bands)


def detailed(seed, bands=3, rows=2 * LOW_PX, columns=2 * LOW_PX):
    """A high view with detail that its low view cannot hold."""
    rng = np.random.default_rng(seed)
    small = np.ones((rows // 4, columns // 4), dtype=bool)
    soft = enlarge(rng.uniform(90, 160, (bands, rows // 4, columns // 4)).astype(np.float32), small, 4)
    return np.rint(np.clip(soft + rng.normal(0, 14, soft.shape), 0, 255)).astype(np.float32)


def lowered(high, scale=2, dtype="uint8"):
    low, _ = shrink(high, np.ones(high.shape[1:], dtype=bool), scale)
    return Raster(np.rint(np.clip(low, 0, 255)), np.ones(low.shape[1:], dtype=bool), np.dtype(dtype))


@pytest.fixture(scope="session")
def write_pairs():
    """Write views as a set of registered pairs; ``views`` are (group, low raster, high raster)."""

    def write(folder, views, *, low_view=None, high_view=None, mosaic=False, split="test"):
        low_view = low_view or view(views[0][1].bands)
        high_view = high_view or view(views[0][2].bands)
        index = PairIndex(
            scale=2, layout="folders", mosaic=mosaic, low_view=low_view, high_view=high_view,
            settings={}, counts={split: len(views)}, rejected={},
        )  # fmt: skip
        lines = []
        for number, (group, low, high) in enumerate(views):
            name = f"pair-{number}"
            write_tiff(folder / "low" / f"{name}.tif", low)
            write_tiff(folder / "high" / f"{name}.tif", high)
            record = PairRecord(
                id=name, group=group, split=split, low=f"low/{name}.tif", high=f"high/{name}.tif", low_source="l",
                high_source="h", shift_px=(0, 0), affine=(1, 0, 0, 1), residual_px=0, similarity=1, similarity_before=1,
            )  # fmt: skip
            lines.append(json.dumps(record.model_dump()))
        (folder / "pairs.json").write_text(index.model_dump_json())
        (folder / "pairs.jsonl").write_text("\n".join(lines) + "\n")
        return PairSet(folder)

    return write


@pytest.fixture(scope="session")
def pairs(write_pairs, tmp_path_factory):
    """Eight pairs of eight scenes in three bands at x2."""
    views = []
    for seed in range(8):
        high = detailed(seed)
        valid = np.ones(high.shape[1:], dtype=bool)
        views.append((f"scene-{seed}", lowered(high), Raster(high, valid, np.dtype("uint8"))))
    return write_pairs(tmp_path_factory.mktemp("pairs"), views)


@dataclass
class Recalling:
    """Makes a picture that a test has prepared for each low view; remembers the references it was given."""

    picture_of: dict
    name: str = "recalling-x2"
    scale: int = 2
    in_bands: int | None = 3
    out_bands: int | None = 3
    overlap_px: int = 0
    takes_reference: bool = False

    def __post_init__(self):
        self.references = []

    def upscale(self, low, *, reference=None):
        self.references.append(reference)
        return self.picture_of[low.pixels.tobytes()]

    def own_colours(self, low):
        return low


@pytest.fixture(scope="session")
def recalling():
    """Make an enhancer that turns each low view of a set into what ``make(high pixels, low raster)`` returns."""

    def build(pairs, make, **settings):
        pictures = {}
        for record in pairs.records:
            low, high = pairs.read(record)
            pictures[low.pixels.tobytes()] = np.float32(make(high.pixels, low))
        return Recalling(pictures, **settings)

    return build
