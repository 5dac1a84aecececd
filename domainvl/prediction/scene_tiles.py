"""A scene, cut and drawn as the scenes were that a model was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from domainvl.converters.geotiff.enhancing import Enlargers
from domainvl.converters.geotiff.georeference import SceneGrid
from domainvl.converters.geotiff.grid import Tile
from domainvl.converters.geotiff.labels.vector_file import LabelReader
from domainvl.converters.geotiff.parsing import parse_stretch
from domainvl.converters.geotiff.planning import Site, plan_sites
from domainvl.converters.geotiff.scene import OpenSite, open_site
from domainvl.converters.geotiff.settings import GeotiffSettings
from domainvl.converters.geotiff.stretch import Stretch
from domainvl.converters.geotiff.tile_images import DrawnTile, pad, share_of
from domainvl.errors import ItemError, UsageError
from domainvl.prediction.enhanced_look import ENHANCE, choose_enhancement
from domainvl.prediction.trained_settings import agree, settings_of_dataset, settings_of_training
from domainvl.schema import Box, Image, ImageStore, Source, read_manifest

CONVERTER = "geotiff"

LOOK = (
    "bands", "view", "sar_values", "gsd_m", "resampling", "enhance", "tile_px", "stretch", "stretch_scope", "scaling",
    "fill_grey", "prompt_gsd",
)  # fmt: skip
"""Settings of the converter that decide what a model sees of a scene: they must be those of its training."""

PLACE = ("crs", "align", "overlap_px", "edge", "sensor", "nodata", "min_valid", "min_filled", "remote")
"""Those that belong to a scene, or only decide where its tiles lie: another scene may need others."""


def choose_settings(
    training: Mapping[str, Any], settings_of: Path | None, given: Mapping[str, Any]
) -> tuple[GeotiffSettings, bool]:
    """Choose how a scene becomes tiles.

    Args:
        training: What a checkpoint says of its training.
        settings_of: A data set whose settings count in place of those in the checkpoint.
        given: What the user gave: settings of the converter by name, none that was left out.

    Returns:
        The settings, and whether all that decide what the model sees are on record.

    Raises:
        UsageError: If they are not known, disagree or cannot be used.
    """
    if settings_of is None:
        found = settings_of_training(training, CONVERTER)
    else:
        found = settings_of_dataset(settings_of, CONVERTER)
    if any(settings.get("series") for settings in found):
        raise UsageError(
            "Cannot predict on a scene",
            rule="the model was trained on series of dates, and a prediction shows one scene",
            action="Convert the dates with domainvl convert geotiff --series, and ask with domainvl eval",
        )
    others = {name: value for name, value in given.items() if name != ENHANCE}
    chosen = agree(found, others, fixed=[name for name in LOOK if name != ENHANCE], free=PLACE)
    chosen[ENHANCE] = choose_enhancement(found, given.get(ENHANCE))
    try:
        settings = GeotiffSettings.model_validate(chosen)
    except ValidationError as error:
        problem = error.errors()[0]
        option = f"--{str(problem['loc'][0]).replace('_', '-')}"
        rule = f"{option}: {problem['msg']}, got {problem['input']!r}"
        raise UsageError("Cannot show a scene", rule=rule) from error
    settings.check()
    return settings, bool(found)


def shared_limits_of(settings: GeotiffSettings, settings_of: Path | None) -> tuple[tuple[str, Stretch], ...]:
    """Return the limits of the stretch that all scenes of the training shared; nothing where each had its own.

    Raises:
        UsageError: If they were shared and no data set tells them.
    """
    mode = parse_stretch(settings.stretch)
    if settings.stretch_scope == "scene" or (mode is not None and not mode.looks_at_pixels):
        return ()
    limits = {} if settings_of is None else _limits_on_record(read_manifest(settings_of))
    if not limits:
        raise UsageError(
            "Cannot show the model what it was trained on",
            rule="all scenes that it was trained on were stretched with the same limits, which its checkpoint lacks",
            action="Name the data set that it was trained on with --settings-of DATASET",
        )
    return tuple(sorted(limits.items()))


def _limits_on_record(manifest: Mapping[str, Any]) -> dict[str, Stretch]:
    """Return the limits of each band by its name."""
    limits = {}
    for facts in manifest.get("units", {}).values():
        for scene in facts.get("scenes", ()):
            for view in scene["views"]:
                for channel in view["channels"]:
                    if channel["kind"] == "band":
                        limits[channel["bands"][0]["name"]] = Stretch(*channel["limits"])
    return limits


@dataclass(frozen=True)
class ShownTile:
    """A tile as a model is shown it.

    Attributes:
        name: Its place, as ``r0c0``.
        tile: What it shows of the scene.
        images: Its views.
    """

    name: str
    tile: Tile
    images: tuple[Image, ...]


class TileLeftOutError(Exception):
    """A tile shows too little.

    Args:
        reason: A stable code to count by: that of the converter.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class SceneTiles:
    """The tiles of an open scene.

    Args:
        site: The scene.
        settings: How it is shown.
    """

    def __init__(self, site: OpenSite, settings: GeotiffSettings) -> None:
        self._site = site
        self._settings = settings
        self._images = site.images[0]
        self.product = site.site.scenes[0].product
        self.tiles: Sequence[Tile] = site.tiles

    @property
    def grid(self) -> SceneGrid:
        """The pixels that tiles are cut from."""
        return self._site.grid

    @property
    def views(self) -> list[dict[str, Any]]:
        """What is shown, with the limits of the stretch, as samples record it."""
        return [view.record() for view in self._images.views]

    @property
    def warnings(self) -> list[str]:
        """What a careful reader should know about the choice of bands."""
        return list(dict.fromkeys(view.warning for view in self._images.views if view.warning is not None))

    def show(self, tile: Tile, store: ImageStore) -> ShownTile:
        """Draw a tile and store its images; nothing but its window is read.

        Raises:
            TileLeftOutError: If it shows too little, by the rules of the converter.
            ItemError: If it cannot be read.
        """
        side_px = self._settings.tile_px
        room_px = min(side_px, self.grid.width_px) * min(side_px, self.grid.height_px)
        if tile.width_px * tile.height_px / room_px < self._settings.min_filled:
            raise TileLeftOutError("min-filled")
        drawn = self._images.draw(tile)
        if share_of(drawn.valid) < self._settings.min_valid:
            raise TileLeftOutError("min-valid")
        return ShownTile(f"r{tile.row}c{tile.col}", tile, tuple(self._store(drawn, store)))

    def gsd_m(self, tile: Tile) -> float | None:
        """Return the side of a pixel on the ground in the middle of a tile; that of the metadata without a map."""
        on_map_m: float | None = self.grid.gsd_m((tile.x_px + tile.width_px / 2, tile.y_px + tile.height_px / 2))
        stated_m: float | None = self.product.gsd_m
        return on_map_m if on_map_m is not None or stated_m is None else stated_m / self.grid.scale

    def has_overlaps(self) -> bool:
        """Say whether any two tiles show the same ground."""
        first = self.tiles[0]
        columns = sorted({tile.x_px for tile in self.tiles})
        rows = sorted({tile.y_px for tile in self.tiles})
        return any(
            after - before < side_px
            for starts, side_px in ((columns, first.width_px), (rows, first.height_px))
            for before, after in pairwise(starts)
        )

    def _store(self, drawn: DrawnTile, store: ImageStore) -> Iterator[Image]:
        for view in drawn.views:
            stored = store.put_pixels(pad(view.pixels, self._settings.tile_px, self._settings.fill_grey))
            title = view.view.title if len(drawn.views) > 1 else None
            yield stored.to_image(Source(uri=self.product.uri), view=title)


def box_of(tile: Tile) -> Box:
    """Return what a tile shows of the scene, in pixels of the grid."""
    return float(tile.x_px), float(tile.y_px), float(tile.x_px + tile.width_px), float(tile.y_px + tile.height_px)


def find_site(source: Path, settings: GeotiffSettings, limits: Sequence[tuple[str, Stretch]] = ()) -> Site:
    """Find the one scene of an input.

    Args:
        source: A file, or the folder of a Sentinel-2, Landsat or STAC scene.
        settings: How it is shown.
        limits: Limits of the stretch by band that all scenes of the training shared.

    Raises:
        UsageError: If it is no scene, or there are several.
        NothingToDoError: If there is no scene.
    """
    plan = plan_sites(source, settings, need_labels=False)
    if len(plan.units) != 1:
        told = [site.uri for site in plan.units[:3]] or [reject.message for reject in plan.rejects[:1]]
        raise UsageError(
            "Cannot predict on a scene",
            where=source,
            rule=f"it must be one scene, got {len(plan.units)}{': ' if told else ''}{', '.join(told)}",
            action="Name one scene; each makes a file of its own",
        )
    return replace(plan.units[0], shared_limits=tuple(limits))


@contextmanager
def open_scene(site: Site, settings: GeotiffSettings) -> Iterator[SceneTiles]:
    """Open a scene.

    Args:
        site: The scene.
        settings: How it is shown.

    Raises:
        UsageError: If it cannot be used as a whole.
    """
    with ExitStack() as stack:
        try:
            enlarger = Enlargers().of(site.enhancement)
            opened = stack.enter_context(open_site(site, settings, LabelReader(), enlarger))
        except ItemError as error:
            raise UsageError(error.what, where=error.where, rule=error.rule, action=error.action) from error
        yield SceneTiles(opened, settings)
