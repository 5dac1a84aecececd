"""From a tile to its samples: images, what is known about them, questions, and the way back to the ground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from affine import Affine
from pydantic import JsonValue
from rasterio.features import geometry_mask
from rasterio.windows import Window
from shapely import Polygon, box

from domainvl.errors import ItemError
from domainvl.schema import (
    Box,
    Image,
    ImageStore,
    Provenance,
    Reject,
    Sample,
    Severity,
    Source,
    samples_from_questions,
)
from domainvl.schema.phrases import Phrasing

from .georeference import LONLAT, SceneGrid, describe_crs
from .grid import Tile
from .headers import outline_in
from .knowledge import Knowledge, KnownCover, KnownObjects
from .labels.class_raster import ClassNumbers, shares
from .labels.vectors import bounds_in_labels
from .objects import CutSettings, TileObjects
from .planning import Site
from .reading import Mask
from .settings import GeotiffSettings
from .splitting import NoSplitError, Place, Splitter
from .tile_images import DrawnTile, DrawnView, SceneImages, pad, share_of
from .tile_questions import Shown, ask

DOMAIN = "remote-sensing"

_MIN_KNOWN = 0.99
"""Share of the valid pixels whose class must be known: areas are not extrapolated over what nobody classified."""


@dataclass(frozen=True)
class SourceFile:
    """Hash and size of the file that stands for a scene; None of an address in the network."""

    sha256: str | None
    size_bytes: int | None


@dataclass(frozen=True)
class TileContext:
    """What is the same for all tiles of a site.

    Attributes:
        site: The site.
        grid: Its grid.
        scenes: Draw the tiles of each scene.
        sources: The file of each scene.
        knowledge: What is known about each scene.
        splitter: Puts tiles into splits.
        settings: The converter's settings.
        native_px: How many pixels of the grid one of the sensor is wide; None where nothing enlarged it.
    """

    site: Site
    grid: SceneGrid
    scenes: Sequence[SceneImages]
    sources: Sequence[SourceFile]
    knowledge: Knowledge
    splitter: Splitter
    settings: GeotiffSettings
    native_px: int | None = None

    def gsd_m(self, tile: Tile) -> float | None:
        """Return the side of a pixel on the ground in the middle of a tile; that of the metadata without a map."""
        middle_px = (tile.x_px + tile.width_px / 2, tile.y_px + tile.height_px / 2)
        on_map_m = self.grid.gsd_m(middle_px)
        stated_m = self.site.scenes[0].product.gsd_m
        return on_map_m if on_map_m is not None or stated_m is None else stated_m / self.grid.scale

    @cached_property
    def crs_name(self) -> str | None:
        """The CRS of the grid, as a record says it."""
        return None if self.grid.crs is None else describe_crs(self.grid.crs)


class TileLeftOutError(Exception):
    """A tile is left out as intended."""

    def __init__(self, name: str, stage: str, reason: str, message: str, action: str | None = None) -> None:
        self.reject = Reject(name, stage, reason, message, action, Severity.SKIPPED)
        super().__init__(message)


def convert_tile(
    context: TileContext, tile: Tile, name: str, images: ImageStore, provenance: Provenance
) -> tuple[list[Sample], list[Reject]]:
    """Convert a tile.

    Args:
        context: What is the same for all tiles of the site.
        tile: The tile.
        name: Start of the ids of its samples.
        images: Takes the pixels.
        provenance: What makes the samples.

    Returns:
        Its samples, and what was left out of them.

    Raises:
        TileLeftOutError: If it is left out as intended.
        ItemError: If it cannot be read.
    """
    _check_filled(context, tile, name)
    try:
        place = context.splitter.place(tile)
    except NoSplitError as error:
        raise TileLeftOutError(name, "split", error.reason, error.message, error.action) from error
    drawn, rejects = _draw(context, tile, name)
    shown, unseen = _look(context, tile, name, drawn)
    if context.settings.too_little == "mask":
        shown = [_masked(scene, tile, context.settings) for scene in shown]
    questions = ask(shown, gsd_m=context.gsd_m(tile), key=name, settings=context.settings)
    if not questions:
        message = "nothing that --tasks names can be asked: too little of every class is clear"
        raise TileLeftOutError(name, "tile", "no-question", message)
    stored = [image for scene in shown for image in _store(context, tile, scene, place, images)]
    samples = samples_from_questions(
        questions,
        id_prefix=name,
        domain=DOMAIN,
        images=stored,
        objects=[thing for scene in shown for thing in scene.objects],
        group=place.group,
        fixed_split=place.split,
        provenance=provenance,
        warnings=_warnings(shown),
        phrasing=Phrasing(varied=context.settings.phrasing == "varied", seed=context.settings.phrasing_seed),
    )
    return list(samples), [*rejects, *unseen]


def _check_filled(context: TileContext, tile: Tile, name: str) -> None:
    """Leave out a tile that is mostly padding; a scene that is smaller than a tile has no other."""
    side_px, min_filled = context.settings.tile_px, context.settings.min_filled
    filled = (
        tile.width_px * tile.height_px / (min(side_px, context.grid.width_px) * min(side_px, context.grid.height_px))
    )
    if filled < min_filled:
        message = f"the scene fills {filled:.3f} of it, less than --min-filled {min_filled:g}; the rest is padding"
        action = "Use --edge shift to move such tiles back into the scene"
        raise TileLeftOutError(name, "tile", "min-filled", message, action)


def _draw(context: TileContext, tile: Tile, name: str) -> tuple[dict[int, DrawnTile], list[Reject]]:
    """Draw the scenes that show enough of a tile, by their number."""
    drawn: dict[int, DrawnTile] = {}
    rejects = []
    damage: ItemError | None = None
    for number, scene in enumerate(context.scenes):
        of_date = f"{name}{_at(context, number)}"
        try:
            of_scene = scene.draw(tile)
        except ItemError as error:
            damage = error
            rejects.append(Reject(of_date, "read", error.reason, str(error), error.action))
            continue
        valid_fraction = share_of(of_scene.valid)
        if valid_fraction >= context.settings.min_valid:
            drawn[number] = of_scene
            continue
        message = f"{valid_fraction:.3f} of its pixels are valid, less than --min-valid {context.settings.min_valid:g}"
        left_out = TileLeftOutError(of_date, "tile", "min-valid", message)
        if len(context.scenes) == 1:
            raise left_out
        rejects.append(left_out.reject)
    if len(drawn) < min(len(context.scenes), 2):
        if damage is not None:  # it is to blame rather than what the others lack
            raise damage
        message = f"only {len(drawn)} of {len(context.scenes)} dates show enough of it"
        raise TileLeftOutError(name, "tile", "too-few-dates", message)
    return drawn, rejects


def _at(context: TileContext, number: int) -> str:
    return f"@{context.site.scenes[number].date}" if len(context.scenes) > 1 else ""


def _look(context: TileContext, tile: Tile, name: str, drawn: dict[int, DrawnTile]) -> tuple[list[Shown], list[Reject]]:
    """Say what is known of what each scene shows; objects that are too small to be seen are listed."""
    shown: list[Shown] = []
    rejects: list[Reject] = []
    several = len(drawn) > 1
    first_image = 0
    for number, of_scene in drawn.items():
        known = context.knowledge.scenes[number]
        scene = Shown(number, first_image, context.site.scenes[number].date, of_scene, known)
        if isinstance(known, KnownObjects):
            seen = known.index.objects_in(tile, of_scene.valid, settings=cut_settings(context.settings))
            _check_annotated(context, known, tile, name, seen)
            rejects += _unseen(f"{name}{_at(context, number)}", seen, context.settings)
            prefix = f"{scene.date}/" if several and _labelled_scenes(context, drawn) > 1 else ""
            scene = scene.with_objects(seen, prefix)
        elif isinstance(known, KnownCover):
            window = Window(tile.x_px, tile.y_px, tile.width_px, tile.height_px)
            numbers, named = known.cover.read(window)
            scene, left_out = _with_cover(scene, known, numbers, named & of_scene.valid, context)
            if left_out is not None:
                unknown = TileLeftOutError(f"{name}{_at(context, number)}", "label", "unknown-class", left_out)
                if not several:
                    raise unknown
                rejects.append(unknown.reject)
        shown.append(scene)
        first_image += len(of_scene.views)
    if not any(scene.known for scene in shown):
        raise TileLeftOutError(name, "label", "no-labelled-date", "the dates that have labels show too little of it")
    return shown, rejects


def _with_cover(
    scene: Shown, known: KnownCover, numbers: ClassNumbers, named: Mask, context: TileContext
) -> tuple[Shown, str | None]:
    """Add the share of the image of each class, padding and missing pixels counted in; nothing if too much is unknown.

    Returns:
        The scene, and why nothing is known about it.
    """
    valid_count, known_count = int(np.count_nonzero(scene.drawn.valid)), int(np.count_nonzero(named))
    if known_count < _MIN_KNOWN * valid_count:
        share = known_count / max(valid_count, 1)
        message = f"the class of {share:.3f} of its valid pixels is known, less than {_MIN_KNOWN}"
        return replace(scene, known=None), message
    filled = known_count / context.settings.tile_px**2
    of_image = {label: share * filled for label, share in shares(numbers, named, known.names).items()}
    return replace(scene, shares=of_image, is_cover_complete=known_count == valid_count), None


def _labelled_scenes(context: TileContext, drawn: Iterable[int]) -> int:
    return sum(isinstance(context.knowledge.scenes[number], KnownObjects) for number in drawn)


def cut_settings(settings: GeotiffSettings) -> CutSettings:
    """Return how labels are cut to a tile."""
    return CutSettings(settings.min_visible, settings.min_object_px, settings.multipart, settings.oriented_boxes)


def _unseen(name: str, seen: TileObjects, settings: GeotiffSettings) -> Iterator[Reject]:
    for reason, count in sorted(seen.dropped.items()):
        message = f"{count} objects show less than --min-object-px {settings.min_object_px:g} in it"
        yield Reject(name, "label", reason, message, severity=Severity.SKIPPED)


def _check_annotated(context: TileContext, known: KnownObjects, tile: Tile, name: str, seen: TileObjects) -> None:
    """Leave out an empty tile outside all labels of a shared file: nobody may have looked for objects there."""
    file = known.shared_file
    if file is None or seen.objects or seen.elsewhere:
        return
    left, bottom, right, top = bounds_in_labels(file, context.grid, _box_px(tile))
    labels_left, labels_bottom, labels_right, labels_top = file.bounds
    if left >= labels_right or right <= labels_left or bottom >= labels_top or top <= labels_bottom:
        message = f"it lies outside the box around all features of {file.uri}, where nothing may be labelled"
        action = "Where such tiles are known to be empty, give each scene a label file of its own in a folder"
        raise TileLeftOutError(name, "label", "outside-labels", message, action)


def _box_px(tile: Tile) -> Box:
    return tile.x_px, tile.y_px, tile.x_px + tile.width_px, tile.y_px + tile.height_px


def _masked(scene: Shown, tile: Tile, settings: GeotiffSettings) -> Shown:
    """Fill the pixels of objects that are too little visible, but for those of clear ones, and forget the objects."""
    clear = [thing for thing in scene.objects if not thing.ignore]
    if len(clear) == len(scene.objects):
        return scene
    shape = scene.drawn.valid.shape
    to_tile = Affine.translation(tile.x_px, tile.y_px)
    hidden = geometry_mask(scene.ignored_areas, shape, transform=to_tile, all_touched=True, invert=True)
    kept = [Polygon(ring) for thing in clear for ring in thing.polygons_px or ()]
    kept += [box(*thing.box_px) for thing in clear if thing.polygons_px is None and thing.box_px is not None]
    if kept:
        hidden &= geometry_mask(kept, shape, transform=Affine.identity(), all_touched=False)
    views = []
    for view in scene.drawn.views:
        pixels = view.pixels.copy()
        pixels[hidden] = settings.fill_grey
        views.append(replace(view, pixels=pixels, shown=view.shown & ~hidden))
    return replace(scene, objects=tuple(clear), drawn=DrawnTile(tuple(views), scene.drawn.valid & ~hidden))


def _store(context: TileContext, tile: Tile, scene: Shown, place: Place, images: ImageStore) -> Iterator[Image]:
    file = context.sources[scene.number]
    product = context.site.scenes[scene.number].product
    for view in scene.drawn.views:
        settings = context.settings
        stored = images.put_pixels(pad(view.pixels, settings.tile_px, settings.fill_grey))
        details = _ground(context, tile) | _look_details(context, tile, scene, view)
        source = Source(uri=product.uri, sha256=file.sha256, size_bytes=file.size_bytes, details=details)
        yield stored.to_image(source, view=_view_name(context, scene, view))


def _view_name(context: TileContext, scene: Shown, view: DrawnView) -> str | None:
    """Name an image in the prompt, where there are several: by its date, what it shows, or both."""
    parts = []
    if len(context.scenes) > 1 and scene.date is not None:
        parts.append(scene.date)
    if len(scene.drawn.views) > 1:
        parts.append(view.view.title)
    return ", ".join(parts) or None


def _ground(context: TileContext, tile: Tile) -> dict[str, JsonValue]:
    """Say where the pixels of the tile lie on the ground, as exactly as --location allows."""
    grid, settings = context.grid, context.settings
    middle_px = (tile.x_px + tile.width_px / 2, tile.y_px + tile.height_px / 2)
    ground: dict[str, JsonValue] = {}
    gsd_m = context.gsd_m(tile)
    if gsd_m is not None:
        ground["gsd_m"] = gsd_m
        if context.native_px is not None:
            ground["native_gsd_m"] = gsd_m * context.native_px
    if grid.transform is None or settings.location == "drop":
        return ground
    if settings.location == "coarse":
        outline = outline_in(grid, LONLAT, (*middle_px, *middle_px)) if grid.crs is not None else None
        return ground if outline is None else ground | {"lonlat": [round(float(value), 1) for value in outline[0]]}
    ground["transform"] = list((grid.transform @ Affine.translation(tile.x_px, tile.y_px))[:6])
    if context.crs_name is not None:
        ground["crs"] = context.crs_name
    step_px = settings.tile_px - settings.overlap_px
    # A tile that --edge shift moved lies beside the common tiles, so it has no key.
    if settings.align == "geo" and (tile.x_px, tile.y_px) == (tile.col * step_px, tile.row * step_px):
        ground["grid_key"] = [
            round(grid.transform.f / (grid.transform.e * step_px)) + tile.row,
            round(grid.transform.c / (grid.transform.a * step_px)) + tile.col,
        ]
    return ground


def _look_details(context: TileContext, tile: Tile, scene: Shown, view: DrawnView) -> dict[str, JsonValue]:
    """Say how the pixels were made from the scene."""
    product = context.site.scenes[scene.number].product
    details: dict[str, JsonValue] = {
        "window": {"col": tile.x_px, "row": tile.y_px, "width": tile.width_px, "height": tile.height_px},
        "view": view.view.record(),
        "tile_px": context.settings.tile_px,
        "fill_grey": context.settings.fill_grey,
        "valid_fraction": share_of(view.shown),
    }
    if scene.date is not None:
        details["date"] = scene.date
    if product.sensor is not None:
        details["sensor"] = product.sensor
    if product.details:
        details["product"] = dict(product.details)
    return details


def _warnings(shown: Sequence[Shown]) -> list[str]:
    warnings = [view.view.warning for scene in shown for view in scene.drawn.views if view.view.warning is not None]
    repaired = sum(scene.repaired for scene in shown)
    if repaired:
        warnings.append(f"{repaired} of the objects had invalid rings, which were repaired")
    return list(dict.fromkeys(warnings))
