"""Answers about a scene of any size: asked tile by tile, merged over the tiles, handed back on the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.georeference import SceneGrid, describe_crs
from domainvl.converters.geotiff.settings import GeotiffSettings
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.prediction.answering import Model, Progress
from domainvl.prediction.asking import BOX_TASKS
from domainvl.prediction.scene_answers import Reading, SceneAnswers, Tally
from domainvl.prediction.scene_tiles import (
    LOOK,
    PLACE,
    SceneTiles,
    choose_settings,
    find_site,
    open_scene,
    shared_limits_of,
)
from domainvl.prediction.vector_files import Feature, Ring, check_crs, check_output, write_features, write_record
from domainvl.schema import Box

ATTRIBUTES = ("label", "answer", "likelihood", "tile", "task", "question", "cut", "pieces", "model")
"""What each polygon says: boxes have a label, tiles an answer."""


@dataclass(frozen=True)
class GeotiffPrediction:
    """How a scene is asked about.

    Attributes:
        reading: What is asked, and what of the answers counts.
        given: Settings of the converter that the user gave, by name.
        settings_of: Data set whose settings count in place of the checkpoint's.
        out_crs: CRS of the result; the scene's own where None.
        overwrite: Replace a file that is there.
    """

    reading: Reading
    given: Mapping[str, Any] = field(default_factory=dict)
    settings_of: Path | None = None
    out_crs: str | None = None
    overwrite: bool = False


@dataclass(frozen=True)
class GeotiffResult:
    """What a prediction made.

    Attributes:
        out: The file.
        record: Record of the run beside it.
        features: Polygons in the file.
        crs: CRS of the file; None for pixels.
        tally: What became of tiles, answers and boxes.
        notes: What the user should know.
    """

    out: Path
    record: Path
    features: int
    crs: str | None
    tally: Tally
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Partial where tiles could not be read."""
        return ExitCode.PARTIAL if self.tally.failed else ExitCode.DONE


def predict_scene(
    source: Path, out: Path, model: Model, wanted: GeotiffPrediction, on_progress: Progress | None = None
) -> GeotiffResult:
    """Ask a model about a scene, and write what it says as polygons.

    Args:
        source: The scene: a file, or the folder of a product.
        out: File to make: .geojson or .gpkg.
        model: Answers.
        wanted: How it is asked about.
        on_progress: Told how many tiles are done and there are.

    Raises:
        UsageError: If something that is given is wrong, or the scene cannot be used.
        NothingToDoError: If no tile shows enough.
        OutputError: If the file cannot be written.
    """
    check_output(out, overwrite=wanted.overwrite)
    settings, is_on_record = choose_settings(model.training, wanted.settings_of, wanted.given)
    site = find_site(source, settings, shared_limits_of(settings, wanted.settings_of))
    with open_scene(site, settings) as scene:
        place = _Place(scene.grid, _output_crs(scene.grid, wanted.out_crs))
        check_crs(out, place.crs)
        _check_sums(scene, settings, wanted.reading)
        answers = SceneAnswers(scene, settings, model, wanted.reading)
        for done in answers.ask():
            if on_progress is not None:
                on_progress(done, len(scene.tiles))
        _check_asked(answers.tally, source)
        features = [*_box_features(answers, wanted.reading, place), *_tile_features(answers, place)]
        name = model.identity.name
        features = [Feature(one.ring, {**one.attributes, "model": name}) for one in features]
        notes = _notes(scene, place, answers.tally, is_on_record=is_on_record)
        record = _describe(scene, settings, wanted.reading, model)
    write_features(out, features, place.crs, ATTRIBUTES)
    crs = None if place.crs is None else describe_crs(place.crs)
    record |= {"crs": crs, "features": len(features), "counts": answers.tally.record(), "notes": notes}
    return GeotiffResult(out, write_record(out, record), len(features), crs, answers.tally, tuple(notes))


def _output_crs(grid: SceneGrid, name: str | None) -> CRS | None:
    """Return the CRS of the result: that which is named, else the scene's own; None without georeference."""
    if name is None:
        return grid.stored.crs if grid.is_georeferenced else None
    if not grid.is_georeferenced:
        raise UsageError(
            "Cannot place what is found",
            rule=f"the scene has no georeference, so --out-crs {name} means nothing",
            action="Leave the option out to get pixels, or write the georeference into the scene",
        )
    try:
        return CRS.from_user_input(name)
    except (CRSError, ValueError) as error:  # ValueError of what follows "EPSG:"
        rule = f"it must name a CRS, such as EPSG:4326, got {name!r}"
        raise UsageError("Cannot read --out-crs", rule=rule) from error


def _check_sums(scene: SceneTiles, settings: GeotiffSettings, reading: Reading) -> None:
    if reading.sum_counts and scene.has_overlaps():
        raise UsageError(
            "Cannot add up counts",
            rule=f"tiles must not overlap, got --overlap-px {settings.overlap_px} and --edge {settings.edge}",
            action="Use --overlap-px 0 and --edge pad",
        )


def _check_asked(tally: Tally, source: Path) -> None:
    if tally.asked:
        return
    raise NothingToDoError(
        "Cannot predict on a scene",
        where=source,
        rule=f"none of its {tally.tiles} tiles can be asked about ({counted(tally.skipped + tally.failed)})",
        action=tally.damage or "Say in --nodata what marks missing pixels, or lower --min-valid or --min-filled",
    )


def counted(counts: Counter[str]) -> str:
    """Write counts in one line."""
    return ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))


class _Place:
    """Brings boxes in pixels of the grid to the CRS of the result."""

    def __init__(self, grid: SceneGrid, crs: CRS | None) -> None:
        self._grid = grid
        self.crs = crs

    def ring(self, box_px: Box) -> Ring:
        """Return the corners of a box, counter-clockwise on the map."""
        left, top, right, bottom = box_px
        corners = np.array([(left, top), (left, bottom), (right, bottom), (right, top)])
        if self.crs is None:
            return _pairs(corners / self._grid.scale)  # pixels of the scene as it is stored
        on_map = self._grid.to_map(corners)
        if self.crs != self._grid.crs:
            xs, ys = transform_coordinates(self._grid.crs, self.crs, on_map[:, 0], on_map[:, 1])
            on_map = np.column_stack([np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)])
            if self.crs.is_geographic and np.ptp(on_map[:, 0]) > 180.0:  # across the antimeridian
                on_map[:, 0] += 360.0 * (on_map[:, 0] < 0)
        return _pairs(on_map if _signed_area(on_map) > 0 else on_map[::-1])


def _pairs(points: npt.NDArray[np.float64]) -> Ring:
    return [(float(x), float(y)) for x, y in points]


def _signed_area(points: npt.NDArray[np.float64]) -> float:
    x, y = (points - points.mean(axis=0)).T
    return float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)) / 2)


def _box_features(answers: SceneAnswers, reading: Reading, place: _Place) -> Iterator[Feature]:
    tasks = {asked.text: asked.task.value for asked in reading.questions if asked.task in BOX_TASKS}
    for one in answers.detections:
        yield Feature(
            place.ring(one.box_px),
            {
                "label": one.label,
                "answer": None,
                "likelihood": one.likelihood,
                "tile": one.window.name,
                "task": tasks[one.question],
                "question": one.question,
                "cut": bool(one.cut),
                "pieces": one.pieces,
            },
        )


def _tile_features(answers: SceneAnswers, place: _Place) -> Iterator[Feature]:
    for one in answers.tile_answers:
        yield Feature(
            place.ring(one.box_px),
            {
                "label": None,
                "answer": one.text,
                "likelihood": one.likelihood,
                "tile": one.name,
                "task": one.asked.task.value,
                "question": one.asked.text,
                "cut": False,
                "pieces": 1,
            },
        )


def _notes(scene: SceneTiles, place: _Place, tally: Tally, *, is_on_record: bool) -> list[str]:
    notes = list(scene.warnings)
    if scene.grid.native is not None:
        notes.append(
            f"the scene was seen {scene.grid.scale} times larger, with pixels that no sensor took: what is smaller "
            "than its own pixels may be invented"
        )
    if place.crs is None:
        why = "is placed by rational polynomials (RPCs) only" if scene.grid.stored.has_rpcs else "has no georeference"
        notes.append(f"the scene {why}: coordinates are its pixels, x to the right and y down, and no place on Earth")
    if not is_on_record:
        notes.append("the checkpoint does not say how its images were made: options that were left out are at default")
    if tally.cut_off:
        notes.append(f"{tally.cut_off} answers were longer than allowed and may lack boxes; raise --max-new-tokens")
    if tally.damage is not None:
        notes.append(f"parts of the scene cannot be read: {tally.damage}")
    return notes


def _describe(scene: SceneTiles, settings: GeotiffSettings, reading: Reading, model: Model) -> dict[str, Any]:
    """Say what made a result: all that is needed to make it again, and no time or path of this machine."""
    product, public = scene.product, settings.public()
    source = Path(product.locate(product.files[0][1])) if product.files else None
    return {
        "model": model.identity.record(),
        "scene": {
            "uri": product.uri,
            "sha256": None if source is None else hash_file(source),
            "size_px": [scene.grid.width_px, scene.grid.height_px],
            "gsd_m": scene.grid.gsd_m() or (product.gsd_m and product.gsd_m / scene.grid.scale),
            "views": scene.views,
        },
        "settings": {name: public[name] for name in (*LOOK, *PLACE)},
        "questions": [
            {"task": asked.task.value, "text": asked.text, "options": list(asked.options)}
            for asked in reading.questions
        ],
        "min_likelihood": reading.min_likelihood,
        "check_presence": reading.check_presence,
        "merge": reading.merge,
    }
