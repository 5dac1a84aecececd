"""Converts a site band by band: its tiles, what is known of each, and the questions about it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import shapely
from pydantic import JsonValue

from domainvl.conversion import Division, UnitResult
from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.schema import Enhanced, ImageStore, Provenance, Reject, Sample, Severity

from .enhancing import Enlarger
from .georeference import SceneGrid, describe_crs
from .grid import Tile, plan_tiles, uncovered_px
from .knowledge import Knowledge, find_knowledge
from .labels.pixel_labels import place_pixel_labels
from .labels.truth import PixelObjects, VectorObjects
from .labels.vector_file import IN_MEMORY_BYTES, LabelReader
from .looks import choose_views, grid_of, ground_of, native_reader_of, reader_of, stretch_views
from .marked import enhanced_already
from .planning import Scene, Site, grid_request
from .products import Product
from .reading import OpenProduct, open_product
from .settings import GeotiffSettings
from .splitting import Splitter
from .tile_images import SceneImages
from .tile_samples import SourceFile, TileContext, TileLeftOutError, convert_tile
from .views import View

_MORE_TILES = 8
_TILES_A_BAND = 32
"""About so many tiles are converted at once: enough to pay for opening the scene, few enough to share it out."""


@dataclass(frozen=True)
class SiteBand:
    """Some rows of a site's tiles, with what is the same for all of them.

    Attributes:
        site: The site and what is known about it.
        first_row: First row of tiles.
        stop_row: The row after the last.
        is_whole: Whether these are all rows of the site.
        views: The views of each scene.
        sources: The file of each scene.
        enhanced: What enlarges its pixels, or did before they were given.
    """

    site: Site
    first_row: int
    stop_row: int
    is_whole: bool
    views: tuple[tuple[View, ...], ...]
    sources: tuple[SourceFile, ...]
    enhanced: Enhanced | None = None

    @property
    def uri(self) -> str:
        """Name of the band in messages: of its site and, where it is not all of it, its rows of tiles."""
        rows = "" if self.is_whole else f", tile rows {self.first_row} to {self.stop_row - 1}"
        return f"{self.site.uri}{rows}"


def divide_site(site: Site, settings: GeotiffSettings, reader: LabelReader) -> Division[SiteBand]:
    """Find what is the same for all tiles of a site, and divide them into bands.

    Args:
        site: The site and what is known about it.
        settings: The converter's settings.
        reader: Reads its labels.

    Raises:
        ItemError: If the site as a whole cannot be used.
    """
    with ExitStack() as stack:
        products = [stack.enter_context(open_product(scene.product)) for scene in site.scenes]
        grid, views = _settle_views(site, products, settings)
        enhanced = _what_enlarged(site, products, views)
        tiles = tiles_of(grid, settings)
        row_count = tiles[-1].row + 1
        rows_a_band = max(1, _tiles_a_band(site) // (tiles[-1].col + 1) // len(products))
        is_whole = row_count <= rows_a_band
        rejects: list[Reject] = []
        if not is_whole:  # else the band itself finds out
            rejects += stack.enter_context(find_knowledge(site, grid, settings, None, reader)).rejects
        rejects += _left_out(site, grid, tiles)
    sources = tuple(_source_file(scene.product) for scene in site.scenes)
    spans_px = [] if is_whole else [_spans_of_labels(scene, grid) for scene in site.scenes]
    bands = []
    for row in range(0, row_count, rows_a_band):
        stop_row = min(row + rows_a_band, row_count)
        part = site if is_whole else _with_labels_of(site, spans_px, [t for t in tiles if row <= t.row < stop_row])
        bands.append(SiteBand(part, row, stop_row, is_whole, views, sources, enhanced))
    return Division(bands, rejects, _facts(site, grid, views, len(tiles), settings, enhanced))


def convert_band(
    band: SiteBand,
    settings: GeotiffSettings,
    images: ImageStore,
    provenance: Provenance,
    reader: LabelReader,
    enlarger: Enlarger | None = None,
) -> UnitResult:
    """Convert one band of a site, tile by tile.

    Args:
        band: The band.
        settings: The converter's settings.
        images: Takes the pixels.
        provenance: What makes the samples.
        reader: Reads the site's labels.
        enlarger: Enlarges the site, where it says so.

    Raises:
        ItemError: If the band as a whole cannot be used.
    """
    site = band.site
    if band.enhanced is not None:
        provenance = provenance.model_copy(update={"enhanced": band.enhanced})
    samples: list[Sample] = []
    rejects: list[Reject] = []
    with _open_band(band, settings, reader, enlarger) as (context, tiles):
        if band.is_whole:  # of a part they would be listed once a band
            rejects += context.knowledge.rejects
        for tile in tiles:
            name = f"{site.name}/r{tile.row}c{tile.col}"
            try:
                converted, left_out = convert_tile(context, tile, name, images, provenance)
                samples += converted
                rejects += left_out
            except TileLeftOutError as reason:
                rejects.append(reason.reject)
            except ItemError as error:
                rejects.append(Reject(name, "read", error.reason, str(error), error.action))
    return UnitResult(samples, rejects)


@contextmanager
def _open_band(
    band: SiteBand, settings: GeotiffSettings, reader: LabelReader, enlarger: Enlarger | None
) -> Iterator[tuple[TileContext, list[Tile]]]:
    site = band.site
    with ExitStack() as stack:
        products = [stack.enter_context(open_product(scene.product)) for scene in site.scenes]
        grid = grid_of(products[0], band.views[0], grid_request(settings, site.enhancement))
        tiles = tiles_of(grid, settings)
        wanted = [tile for tile in tiles if band.first_row <= tile.row < band.stop_row]
        knowledge = stack.enter_context(find_knowledge(site, grid, settings, (wanted, tiles), reader))
        scenes = [
            _scene_images(opened, views, grid, settings, enlarger)
            for opened, views in zip(products, band.views, strict=True)
        ]
        splitter = Splitter(site.rule, grid, uri=site.uri)
        native = _native_px(site, band.enhanced, settings)
        yield TileContext(band.site, grid, scenes, band.sources, knowledge, splitter, settings, native), wanted


def _scene_images(
    opened: OpenProduct,
    views: tuple[View, ...],
    grid: SceneGrid,
    settings: GeotiffSettings,
    enlarger: Enlarger | None,
) -> SceneImages:
    ground = ground_of(opened, views, grid, settings)
    return SceneImages(opened, reader_of(opened, grid, settings, enlarger), views, ground, settings)


@dataclass(frozen=True)
class OpenSite:
    """A site with all of its tiles, open to be looked at.

    Attributes:
        site: The site.
        grid: Its grid.
        products: Its scenes.
        views: The views of each scene.
        images: Draw the tiles of each scene.
        tiles: Its tiles.
        knowledge: What is known about each scene.
        splitter: Puts tiles into splits.
        enhanced: What enlarges its pixels, or did before they were given.
    """

    site: Site
    grid: SceneGrid
    products: list[OpenProduct]
    views: tuple[tuple[View, ...], ...]
    images: list[SceneImages]
    tiles: list[Tile]
    knowledge: Knowledge
    splitter: Splitter
    enhanced: Enhanced | None


@contextmanager
def open_site(
    site: Site, settings: GeotiffSettings, reader: LabelReader, enlarger: Enlarger | None = None
) -> Iterator[OpenSite]:
    """Open a site to look at it as a whole.

    Args:
        site: The site.
        settings: The converter's settings.
        reader: Reads its labels.
        enlarger: Enlarges it, where it says so.

    Raises:
        ItemError: If the site as a whole cannot be used.
    """
    with ExitStack() as stack:
        products = [stack.enter_context(open_product(scene.product)) for scene in site.scenes]
        grid, views = _settle_views(site, products, settings)
        tiles = tiles_of(grid, settings)
        knowledge = stack.enter_context(find_knowledge(site, grid, settings, (tiles, tiles), reader))
        images = [
            _scene_images(opened, of_scene, grid, settings, enlarger)
            for opened, of_scene in zip(products, views, strict=True)
        ]
        splitter = Splitter(site.rule, grid, uri=site.uri)
        enhanced = _what_enlarged(site, products, views)
        yield OpenSite(site, grid, products, views, images, tiles, knowledge, splitter, enhanced)


def _settle_views(
    site: Site, products: list[OpenProduct], settings: GeotiffSettings
) -> tuple[SceneGrid, tuple[tuple[View, ...], ...]]:
    """Choose the views of each scene and find their stretches; the grid is that of the first."""
    chosen = [choose_views(opened, settings) for opened in products]
    grid = grid_of(products[0], chosen[0], grid_request(settings, site.enhancement))
    return grid, tuple(
        stretch_views(views, opened, native_reader_of(opened, grid, settings), settings, site.shared_limits)
        for views, opened in zip(chosen, products, strict=True)
    )


def _what_enlarged(site: Site, products: list[OpenProduct], views: tuple[tuple[View, ...], ...]) -> Enhanced | None:
    """Say what enlarges a site, or did before it was given: never both, see :func:`.enhancing.check_scenes`."""
    return enhanced_already(products, views) if site.enhancement is None else site.enhancement.provenance()


def _native_px(site: Site, enhanced: Enhanced | None, settings: GeotiffSettings) -> int | None:
    """Return how many pixels of the grid one of the sensor is wide; None where nothing enlarged it, or none can say."""
    if enhanced is None:
        return None
    is_of_one_scene = len(site.scenes) == 1 and grid_request(settings).is_native
    return enhanced.scale if site.enhancement is not None or is_of_one_scene else None


def tiles_of(grid: SceneGrid, settings: GeotiffSettings) -> list[Tile]:
    """Cut a grid into tiles."""
    return plan_tiles(
        grid.width_px, grid.height_px, tile_px=settings.tile_px, overlap_px=settings.overlap_px, edge=settings.edge
    )


def _tiles_a_band(site: Site) -> int:
    """Return more than usual where each band would read all of a large label file again."""
    files = [scene.truth.file for scene in site.scenes if isinstance(scene.truth, VectorObjects)]
    is_read_whole = any(not file.indexed and file.path.stat().st_size > IN_MEMORY_BYTES for file in files)
    return _TILES_A_BAND * (_MORE_TILES if is_read_whole else 1)


def _spans_of_labels(scene: Scene, grid: SceneGrid) -> dict[str, tuple[float, float]]:
    """Return first and last row of the grid that each label in pixels reaches, by its id."""
    if not isinstance(scene.truth, PixelObjects):
        return {}
    placed, _ = place_pixel_labels(scene.truth.labels, grid)
    spans = shapely.bounds(placed.areas_px)[:, [1, 3]].tolist()
    return {name: (top, bottom) for name, (top, bottom) in zip(placed.ids, spans, strict=True)}


def _with_labels_of(site: Site, spans_px: list[dict[str, tuple[float, float]]], tiles: list[Tile]) -> Site:
    """Return the site with those of its labels in pixels that some tiles show: a unit of work is small."""
    top_px, bottom_px = tiles[0].y_px, max(tile.y_px + tile.height_px for tile in tiles)
    scenes = []
    for scene, spans in zip(site.scenes, spans_px, strict=True):
        truth = scene.truth
        if isinstance(truth, PixelObjects):
            shown = {name for name, (top, bottom) in spans.items() if top < bottom_px and bottom > top_px}
            objects = tuple(thing for thing in truth.labels.objects if thing.id in shown)
            truth = replace(truth, labels=replace(truth.labels, objects=objects, rejects=()))
        scenes.append(replace(scene, truth=truth))
    return replace(site, scenes=tuple(scenes))


def _source_file(product: Product) -> SourceFile:
    if not product.files:
        return SourceFile(None, None)
    path = Path(product.locate(product.files[0][1]))
    return SourceFile(hash_file(path), path.stat().st_size)


def _left_out(site: Site, grid: SceneGrid, tiles: list[Tile]) -> Iterator[Reject]:
    missing_px = uncovered_px(grid.width_px, grid.height_px, tiles)
    if missing_px:
        yield Reject(
            site.uri,
            "tile",
            "edge-dropped",
            f"{missing_px} pixels right of and below the last whole tiles are in no tile",
            "Use --edge pad or --edge shift",
            Severity.SKIPPED,
        )


def _facts(
    site: Site,
    grid: SceneGrid,
    views: tuple[tuple[View, ...], ...],
    tile_count: int,
    settings: GeotiffSettings,
    enhanced: Enhanced | None,
) -> dict[str, JsonValue]:
    """Say what the manifest says about a site: all that a recipe needs to make the same pixels of another scene."""
    facts: dict[str, JsonValue] = {
        "tiles": tile_count,
        "tile_px": settings.tile_px,
        "size_px": [grid.width_px, grid.height_px],
        "scenes": [
            {"uri": scene.product.uri, "date": scene.date, "views": [view.record() for view in of_scene]}
            for scene, of_scene in zip(site.scenes, views, strict=True)
        ],
    }
    gsd_m = grid.gsd_m()
    if gsd_m is not None:
        facts["gsd_m"] = gsd_m
    if enhanced is not None:
        facts["enhanced"] = enhanced.model_dump(mode="json")
        native_px = _native_px(site, enhanced, settings)
        if gsd_m is not None and native_px is not None:
            facts["native_gsd_m"] = gsd_m * native_px
    if grid.crs is not None and settings.location == "keep":
        facts["crs"] = describe_crs(grid.crs)
    return facts
