"""What is known about a site, open: labels of its scenes, placed and found by tile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.errors import ItemError
from domainvl.schema import Reject, Severity

from .georeference import SceneGrid
from .grid import Tile
from .headers import footprint
from .labels.class_raster import ClassRaster, Cover, open_cover
from .labels.pixel_labels import place_pixel_labels
from .labels.placed import PlacedLabels
from .labels.truth import ClassCover, PixelObjects, SceneLabel, Truth, VectorObjects
from .labels.vector_file import LabelReader, VectorFile
from .labels.vectors import describe_bounds, place_vector_labels, where_both_lie
from .objects import LabelIndex
from .planning import Scene, Site
from .settings import GeotiffSettings


@dataclass(frozen=True)
class KnownObjects:
    """Labelled objects of a scene.

    Attributes:
        index: Finds those of a tile.
        classes: All classes that were annotated.
        shared_file: The label file, where it covers several scenes: outside of all its features nobody may have looked.
        counts: Number of usable labels by class.
        unclear: Classes of which something is in the scene or the file, nobody knows where.
    """

    index: LabelIndex
    classes: tuple[str, ...]
    shared_file: VectorFile | None
    counts: Mapping[str, int]
    unclear: frozenset[str] = frozenset()


@dataclass(frozen=True)
class KnownCover:
    """The class of each pixel of a scene.

    Attributes:
        cover: Reads it.
        names: Class of each number.
    """

    cover: Cover
    names: Mapping[int, str]


Known: TypeAlias = SceneLabel | KnownObjects | KnownCover


@dataclass(frozen=True)
class Knowledge:
    """What is known about a site.

    Attributes:
        scenes: For each scene what is known about it, or None.
        rejects: Labels that cannot be used.
    """

    scenes: tuple[Known | None, ...]
    rejects: tuple[Reject, ...]


@contextmanager
def find_knowledge(
    site: Site,
    grid: SceneGrid,
    settings: GeotiffSettings,
    part: tuple[Sequence[Tile], Sequence[Tile]] | None,
    reader: LabelReader,
) -> Iterator[Knowledge]:
    """Read and place the labels of a site.

    Args:
        site: The site.
        grid: Its grid.
        settings: The converter's settings.
        part: The tiles that will be asked for and all tiles of the site; where None, none will be, and only the rejects
            are wanted.
        reader: Reads vector labels.

    Raises:
        ItemError: If a scene has labels that cannot be placed, or none in all of it.
    """
    with ExitStack() as stack:
        scenes: list[Known | None] = []
        rejects: list[Reject] = []
        may_say_where = settings.location == "keep"
        for scene in site.scenes:
            match scene.truth:
                case None | SceneLabel():
                    scenes.append(scene.truth)
                case ClassCover(raster=raster):
                    cover = stack.enter_context(open_cover(raster, grid))
                    _check_that_cover_meets(scene, raster, cover, grid, may_say_where=may_say_where)
                    scenes.append(KnownCover(cover, raster.names))
                case VectorObjects() | PixelObjects() as truth:
                    labels, unusable = _place(scene, truth, grid, part, reader, may_say_where=may_say_where)
                    rejects += unusable
                    scenes.append(_known_objects(labels, truth, part, settings))
        yield Knowledge(tuple(scenes), tuple(rejects))


def _known_objects(
    labels: PlacedLabels,
    truth: VectorObjects | PixelObjects,
    part: tuple[Sequence[Tile], Sequence[Tile]] | None,
    settings: GeotiffSettings,
) -> KnownObjects:
    wanted, tiles = part or ((), ())
    index = LabelIndex(labels, wanted, assign=settings.assign, all_tiles=tiles, classes=truth.classes)
    counts = Counter(name for name, unusable in zip(labels.names, labels.unusable, strict=True) if not unusable)
    return KnownObjects(index, truth.classes, _shared_file(truth), counts, truth.unclear)


def _place(
    scene: Scene,
    truth: VectorObjects | PixelObjects,
    grid: SceneGrid,
    part: tuple[Sequence[Tile], Sequence[Tile]] | None,
    reader: LabelReader,
    *,
    may_say_where: bool,
) -> tuple[PlacedLabels, list[Reject]]:
    if isinstance(truth, PixelObjects):
        labels, unusable = place_pixel_labels(truth.labels, grid)
        return labels, [*truth.labels.rejects, *unusable]
    rows_px = None
    if part is not None and len(part[0]) < len(part[1]):
        rows_px = (min(tile.y_px for tile in part[0]), max(tile.y_px + tile.height_px for tile in part[0]))
    labels, unusable = place_vector_labels(truth.file, grid, uri=scene.product.uri, rows_px=rows_px, reader=reader)
    if rows_px is not None:
        return labels, unusable
    placed_count = truth.file.feature_count - truth.placeless_count
    if not len(labels) and (truth.shared or placed_count):
        where = where_both_lie(truth.file, grid) if may_say_where else None
        raise _no_labels(scene, f"none of the {truth.file.feature_count} features of {truth.file.uri} meets it", where)
    if not truth.shared and placed_count > len(labels):
        unusable.append(_outside(truth.file, placed_count - len(labels)))
    return labels, unusable


def _outside(file: VectorFile, count: int) -> Reject:
    message = f"{count} of its {file.feature_count} features lie outside the scene"
    return Reject(file.uri, "label", "outside-scene", message, severity=Severity.SKIPPED)


def _check_that_cover_meets(
    scene: Scene, raster: ClassRaster, cover: Cover, grid: SceneGrid, *, may_say_where: bool
) -> None:
    if cover.place is None:
        return
    known, shown = footprint(cover.place), footprint(grid)
    if known is None or shown is None or (known.intersects(shown) and not known.touches(shown)):
        return
    where = f"in longitude and latitude the raster lies in {describe_bounds(known.bounds)}, the scene in "
    where += describe_bounds(shown.bounds)
    raise _no_labels(scene, f"{raster.uri} does not meet it", where if may_say_where else None)


def _no_labels(scene: Scene, rule: str, where: str | None) -> ItemError:
    return ItemError(
        "There are no labels for a scene",
        reason="no-labels",
        where=scene.product.uri,
        rule=rule if where is None else f"{rule}: {where}",
        action="Leave the scene out if nobody labelled it; else check the CRS of both files",
    )


def _shared_file(truth: Truth) -> VectorFile | None:
    return truth.file if isinstance(truth, VectorObjects) and truth.shared else None
