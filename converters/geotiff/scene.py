"""Converts a scene band by band: its tiles, what is seen in each, and the questions about it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import rasterio
from pydantic import JsonValue
from rasterio.windows import Window
from rasterio.windows import transform as window_transform

from domainvl.conversion import Division, UnitResult
from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.schema import (
    Image,
    ImageStore,
    Object,
    Provenance,
    Question,
    Reject,
    Sample,
    Severity,
    Source,
    Task,
    TextAnswer,
    ask_about_objects,
    samples_from_questions,
)

from .bands import BandChoice, choose_bands
from .grid import Tile, plan_tiles, uncovered_px
from .objects import LabelIndex
from .planning import ObjectLabels, Scene, SceneLabel
from .raster import Mask, Pixels, describe_crs, ground_sampling_m, open_scene, read_window
from .settings import GeotiffSettings, StretchMode, parse_bands, parse_nodata, parse_stretch
from .stretch import Stretch, find_stretch
from .vectors import Label, LabelReader, bounds_in_labels, labels_in_scene

DOMAIN = "remote-sensing"


_TILES_A_BAND = 32
"""About so many tiles are converted at once: enough to pay for opening the scene, few enough to share it out."""


@dataclass(frozen=True)
class SceneBand:
    """Some rows of a scene's tiles, with what is the same for all of them.

    Attributes:
        scene: The scene and what is known about it.
        first_row: First row of tiles.
        stop_row: The row after the last.
        is_whole: Whether these are all rows of the scene.
        bands: The bands to show.
        stretch: How stored values become 8 bits.
        sha256: Hash of the scene's file.
        size_bytes: Its size.
    """

    scene: Scene
    first_row: int
    stop_row: int
    is_whole: bool
    bands: BandChoice
    stretch: Stretch
    sha256: str
    size_bytes: int

    @property
    def uri(self) -> str:
        """Name of the band in messages: of its scene and, where it is not all of it, its rows of tiles."""
        rows = "" if self.is_whole else f", tile rows {self.first_row} to {self.stop_row - 1}"
        return f"{self.scene.uri}{rows}"


@dataclass(frozen=True)
class _OpenBand:
    """A band with its open scene and its labels."""

    band: SceneBand
    dataset: rasterio.DatasetReader
    source: Source
    labels: LabelIndex | None

    @property
    def scene(self) -> Scene:
        return self.band.scene

    @property
    def bands(self) -> BandChoice:
        return self.band.bands

    @property
    def stretch(self) -> Stretch:
        return self.band.stretch


def divide_scene(scene: Scene, settings: GeotiffSettings, reader: LabelReader) -> Division[SceneBand]:
    """Find what is the same for all tiles of a scene, and divide them into bands.

    Args:
        scene: The scene and what is known about it.
        settings: The converter's settings.
        reader: Reads its labels.

    Raises:
        ItemError: If the scene as a whole cannot be used.
    """
    with open_scene(scene.path, scene.uri) as dataset:
        tiles = _plan_tiles(dataset, settings)
        row_count = tiles[-1].row + 1
        rows_a_band = max(1, _TILES_A_BAND // (tiles[-1].col + 1))
        is_whole = row_count <= rows_a_band
        rejects: list[Reject] = []
        if not is_whole:  # else the band itself finds out
            _, rejects = _read_labels(scene, dataset, None, reader)
        bands = choose_bands(dataset, parse_bands(settings.bands), uri=scene.uri)
        mode = StretchMode("none") if bands.palette else parse_stretch(settings.stretch)
        stretch = find_stretch(dataset, bands.numbers, mode, nodata=parse_nodata(settings.nodata), uri=scene.uri)
        rejects += _left_out(scene, dataset, tiles)
    sha256, size_bytes = hash_file(scene.path), scene.path.stat().st_size
    units = [
        SceneBand(scene, row, min(row + rows_a_band, row_count), is_whole, bands, stretch, sha256, size_bytes)
        for row in range(0, row_count, rows_a_band)
    ]
    return Division(units, rejects)


def convert_band(
    band: SceneBand, settings: GeotiffSettings, images: ImageStore, provenance: Provenance, reader: LabelReader
) -> UnitResult:
    """Convert one band of a scene, tile by tile.

    Args:
        band: The band.
        settings: The converter's settings.
        images: Takes the pixels.
        provenance: What makes the samples.
        reader: Reads the scene's labels.

    Raises:
        ItemError: If the band as a whole cannot be used.
    """
    scene = band.scene
    samples: list[Sample] = []
    rejects: list[Reject] = []
    with open_scene(scene.path, scene.uri) as dataset:
        tiles = [tile for tile in _plan_tiles(dataset, settings) if band.first_row <= tile.row < band.stop_row]
        index = None
        if isinstance(scene.truth, ObjectLabels):
            rows_px = None if band.is_whole else (tiles[0].y_px, tiles[-1].y_px + tiles[-1].height_px)
            labels, unusable = _read_labels(scene, dataset, rows_px, reader)
            index = LabelIndex(labels)
            rejects += unusable if band.is_whole else []  # of a part they would be listed once a band
        source = Source(uri=scene.uri, sha256=band.sha256, size_bytes=band.size_bytes)
        opened = _OpenBand(band, dataset, source, index)
        for tile in tiles:
            try:
                samples += _convert_tile(opened, tile, settings, images, provenance)
            except _TileLeftOutError as reason:
                rejects.append(reason.reject)
            except ItemError as error:
                rejects.append(Reject(_name(scene, tile), "read", error.reason, str(error), error.action))
    return UnitResult(samples, rejects)


def _plan_tiles(dataset: rasterio.DatasetReader, settings: GeotiffSettings) -> list[Tile]:
    return plan_tiles(
        dataset.width,
        dataset.height,
        tile_px=settings.tile_px,
        overlap_px=settings.overlap_px,
        edge=settings.edge,
    )


def _read_labels(
    scene: Scene, dataset: rasterio.DatasetReader, rows_px: tuple[int, int] | None, reader: LabelReader
) -> tuple[list[Label], list[Reject]]:
    """Read the labels of a scene, or of some rows of it; a scene without any may not have been labelled.

    Raises:
        ItemError: If there are none in all of the scene.
    """
    truth = scene.truth
    if not isinstance(truth, ObjectLabels):
        return [], []
    labels, unusable = labels_in_scene(truth.file, dataset, uri=scene.uri, rows_px=rows_px, reader=reader)
    if rows_px is None and not labels and (truth.shared or truth.file.feature_count):
        raise ItemError(
            "There are no labels for a scene",
            reason="no-labels",
            where=scene.uri,
            rule=f"none of the {truth.file.feature_count} features of {truth.file.uri} meets it",
            action="Leave the scene out if nobody labelled it; else check the CRS of both files",
        )
    return labels, unusable


def _left_out(scene: Scene, dataset: rasterio.DatasetReader, tiles: list[Tile]) -> Iterator[Reject]:
    missing_px = uncovered_px(dataset.width, dataset.height, tiles)
    if missing_px:
        yield Reject(
            scene.uri,
            "tile",
            "edge-dropped",
            f"{missing_px} pixels right of and below the last whole tiles are in no tile",
            "Use --edge pad or --edge shift",
            Severity.SKIPPED,
        )


class _TileLeftOutError(Exception):
    """A tile is left out as intended."""

    def __init__(self, name: str, reason: str, message: str, action: str | None = None) -> None:
        self.reject = Reject(name, "tile", reason, message, action, Severity.SKIPPED)
        super().__init__(message)


def _convert_tile(
    opened: _OpenBand, tile: Tile, settings: GeotiffSettings, images: ImageStore, provenance: Provenance
) -> Iterator[Sample]:
    scene = opened.scene
    name = _name(scene, tile)
    window = Window(tile.x_px, tile.y_px, tile.width_px, tile.height_px)
    pixels, valid = read_window(
        opened.dataset, opened.bands.numbers, window, nodata=parse_nodata(settings.nodata), uri=scene.uri
    )
    valid_fraction = float(valid.mean())
    if valid_fraction < settings.min_valid:
        message = f"{valid_fraction:.3f} of its pixels are valid, less than --min-valid {settings.min_valid:g}"
        raise _TileLeftOutError(name, "min-valid", message)
    objects: list[Object] = []
    warnings = [opened.bands.warning] if opened.bands.warning else []
    if opened.labels is not None:
        objects, repaired = opened.labels.objects_in(tile, valid, min_visible=settings.min_visible)
        if repaired:
            warnings.append(f"{repaired} of the objects had invalid rings, which were repaired")
        _check_annotated(opened, tile, objects)
    questions = _ask(scene, objects, name)
    if not questions:
        raise _TileLeftOutError(name, "no-question", "every class has an object that is too little visible")
    stored = images.put_pixels(_render(opened, pixels, valid, settings))
    details = _details(opened, tile, settings, valid_fraction)
    image: Image = stored.to_image(opened.source.model_copy(update={"details": details}))
    return samples_from_questions(
        questions,
        id_prefix=name,
        domain=DOMAIN,
        images=[image],
        objects=objects,
        group=scene.stem,
        provenance=provenance,
        warnings=warnings,
    )


def _check_annotated(opened: _OpenBand, tile: Tile, objects: list[Object]) -> None:
    """Leave out an empty tile outside all labels of a shared file: nobody may have looked for objects there."""
    truth = opened.scene.truth
    if objects or not isinstance(truth, ObjectLabels) or not truth.shared:
        return
    box_px = (tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px)
    left, bottom, right, top = bounds_in_labels(truth.file, opened.dataset, box_px)
    labels_left, labels_bottom, labels_right, labels_top = truth.file.bounds
    if left >= labels_right or right <= labels_left or bottom >= labels_top or top <= labels_bottom:
        message = f"it lies outside the box around all features of {truth.file.uri}, where nothing may be labelled"
        action = "Where such tiles are known to be empty, give each scene a label file of its own in a folder"
        raise _TileLeftOutError(_name(opened.scene, tile), "outside-labels", message, action)


def _ask(scene: Scene, objects: list[Object], name: str) -> list[Question]:
    if isinstance(scene.truth, SceneLabel):
        text = f"Classify the image within one of the given classes: {', '.join(scene.truth.classes)}."
        return [Question("class", Task.CLASSIFICATION, text, TextAnswer(text=scene.truth.label))]
    return ask_about_objects(objects, scene.truth.classes, key=name)


def _render(opened: _OpenBand, pixels: Pixels, valid: Mask, settings: GeotiffSettings) -> npt.NDArray[np.uint8]:
    """Make the image of a tile: (tile, tile) for grey, (tile, tile, 3) for colour."""
    shown = opened.stretch.apply(pixels)
    if opened.bands.palette:
        shown = _palette(opened.dataset, opened.bands.numbers[0])[shown[0]].transpose(2, 0, 1)
    image = np.full((len(shown), settings.tile_px, settings.tile_px), settings.fill_grey, dtype=np.uint8)
    height_px, width_px = valid.shape
    image[:, :height_px, :width_px] = np.where(valid, shown, settings.fill_grey)
    return np.ascontiguousarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def _palette(dataset: rasterio.DatasetReader, band: int) -> npt.NDArray[np.uint8]:
    colours = np.zeros((256, 3), dtype=np.uint8)
    for index, colour in dataset.colormap(band).items():
        colours[index] = colour[:3]
    return colours


def _details(opened: _OpenBand, tile: Tile, settings: GeotiffSettings, valid_fraction: float) -> dict[str, JsonValue]:
    """Say how to get from the scene to the tile's pixels, and from those to the ground."""
    dataset = opened.dataset
    window = Window(tile.x_px, tile.y_px, tile.width_px, tile.height_px)
    details: dict[str, JsonValue] = {
        "window": {"col": tile.x_px, "row": tile.y_px, "width": tile.width_px, "height": tile.height_px},
        "transform": list(window_transform(window, dataset.transform)[:6]),
        "bands": list(opened.bands.numbers),
        "palette": opened.bands.palette,
        "stretch": opened.stretch.record(),
        "tile_px": settings.tile_px,
        "fill_grey": settings.fill_grey,
        "valid_fraction": valid_fraction,
    }
    if dataset.crs is not None:
        details["crs"] = describe_crs(dataset.crs)
    gsd_m = ground_sampling_m(dataset)
    if gsd_m is not None:
        details["gsd_m"] = gsd_m
    return details


def _name(scene: Scene, tile: Tile) -> str:
    return f"{scene.stem}/r{tile.row}c{tile.col}"
