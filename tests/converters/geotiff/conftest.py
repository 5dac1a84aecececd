"""Writers of small scenes and label files whose content the test states."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from converted import Converted
from PIL import Image as PILImage
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.conversion import ConversionSummary, convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.schema import Sample, Split, read_samples

UTM = "EPSG:32633"
ORIGIN = from_origin(400_000, 5_600_000, 10, 10)


@pytest.fixture
def write_scene() -> Callable[..., Path]:
    """Write pixels of shape (bands, height, width), by default at 10 m in UTM zone 33."""

    def write(
        path: Path,
        pixels: np.ndarray,
        *,
        crs: str | None = UTM,
        transform: Affine | None = ORIGIN,
        descriptions: Sequence[str] | None = None,
        **options: Any,
    ) -> Path:
        count, height, width = pixels.shape
        path.parent.mkdir(parents=True, exist_ok=True)
        profile = {"driver": "GTiff", "count": count, "height": height, "width": width, "dtype": pixels.dtype}
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **options) as dataset:
            dataset.write(pixels)
            if descriptions:
                dataset.descriptions = tuple(descriptions)
        return path

    return write


@pytest.fixture
def lonlat_ring() -> Callable[..., list[list[float]]]:
    """Bring corners in pixels of a scene to longitude and latitude."""

    def ring(
        corners_px: Sequence[tuple[float, float]], *, crs: str = UTM, transform: Affine = ORIGIN
    ) -> list[list[float]]:
        a, b, c, d, e, f = transform[:6]
        xs, ys = zip(*((a * x + b * y + c, d * x + e * y + f) for x, y in [*corners_px, corners_px[0]]), strict=True)
        lons, lats = transform_coordinates(crs, "EPSG:4326", xs, ys)
        return [list(pair) for pair in zip(lons, lats, strict=True)]

    return ring


@pytest.fixture
def write_geojson() -> Callable[..., Path]:
    """Write features given as (properties, geometry)."""

    def write(path: Path, features: Sequence[tuple[dict[str, Any], dict[str, Any] | None]], **members: Any) -> Path:
        collection = {
            "type": "FeatureCollection",
            **members,
            "features": [
                {"type": "Feature", "properties": properties, "geometry": geometry} for properties, geometry in features
            ],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(collection))
        return path

    return write


@pytest.fixture
def write_boxes(lonlat_ring, write_geojson) -> Callable[..., Path]:
    """Write boxes given as (class, x_min, y_min, x_max, y_max) in pixels of a scene, in longitude and latitude."""

    def write(path: Path, boxes: Sequence[tuple[str, float, float, float, float]], **georeference: Any) -> Path:
        features = []
        for name, x_min, y_min, x_max, y_max in boxes:
            corners = [(x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max)]
            geometry = {"type": "Polygon", "coordinates": [lonlat_ring(corners, **georeference)]}
            features.append(({"class": name}, geometry))
        return write_geojson(path, features)

    return write


@pytest.fixture
def run(tmp_path) -> Callable[..., ConversionSummary]:
    """Convert into a new folder; the settings are those of ``GeotiffSettings``."""

    def run_converter(source: Path, *, out: str = "out", **settings: Any) -> ConversionSummary:
        return convert(CONVERTER, source, tmp_path / out, GeotiffSettings(**settings))

    return run_converter


@pytest.fixture
def samples_of() -> Callable[[ConversionSummary], dict[str, Sample]]:
    """Read all samples of all splits, by id."""

    def read(summary: ConversionSummary) -> dict[str, Sample]:
        return {sample.id: sample for split in Split for sample in read_samples(summary.out, split)}

    return read


@pytest.fixture
def rejects_of() -> Callable[[ConversionSummary], list[dict[str, Any]]]:
    """Read all rejects."""

    def read(summary: ConversionSummary) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]

    return read


@pytest.fixture
def write_table(tmp_path) -> Callable[..., Path]:
    """Write a CSV that gives scenes a label each."""

    def write(**labels: str) -> Path:
        path = tmp_path / "labels.csv"
        path.write_text("scene,label\n" + "".join(f"{scene},{label}\n" for scene, label in labels.items()))
        return path

    return write


@pytest.fixture
def pixels_of() -> Callable[..., np.ndarray]:
    """Read the pixels of one image of a sample."""

    def read(summary: ConversionSummary, sample: Sample, image: int = 0) -> np.ndarray:
        with PILImage.open(summary.out / sample.images[image].path) as stored:
            return np.asarray(stored)

    return read


@pytest.fixture
def tiles_of(samples_of) -> Callable[[ConversionSummary], dict[str, Sample]]:
    """Read one sample a tile, by the name of the tile."""

    def read(summary: ConversionSummary) -> dict[str, Sample]:
        return {sample_id.rpartition("/")[0]: sample for sample_id, sample in samples_of(summary).items()}

    return read


class ConvertedScenes(Converted):
    """What came out of scenes: samples by id, one of each tile, pixels, rejects and the manifest."""

    @property
    def tiles(self) -> dict[str, Sample]:
        """One sample a tile, by the name of the tile."""
        return {sample_id.rpartition("/")[0]: sample for sample_id, sample in self.samples.items()}

    def pixels(self, tile: str, image: int = 0) -> np.ndarray:
        """The pixels of one image of a tile."""
        with PILImage.open(self.out / self.tiles[tile].images[image].path) as stored:
            return np.asarray(stored)

    def details(self, tile: str, image: int = 0) -> dict[str, Any]:
        """What the record says about one image of a tile."""
        return self.tiles[tile].images[image].source.details

    def questions(self, tile: str) -> dict[str, Sample]:
        """The samples of a tile by the last part of their id."""
        return {
            sample_id.rpartition("/")[2]: sample
            for sample_id, sample in self.samples.items()
            if sample_id.rpartition("/")[0] == tile
        }


@pytest.fixture
def convert_scenes(tmp_path) -> Callable[..., ConvertedScenes]:
    """Convert into a new folder and read what came out."""

    def run_converter(source: Path, *, out: str = "out", **settings: Any) -> ConvertedScenes:
        return ConvertedScenes("geotiff", source, tmp_path / out, **settings)

    return run_converter
