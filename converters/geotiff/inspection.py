"""A look at scenes before they are converted: a line a scene, and a sheet of tiles with boxes drawn on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from domainvl.conversion import Inspection
from domainvl.conversion.contact_sheet import SheetTile, draw_sheet
from domainvl.errors import ItemError
from domainvl.schema import Enhanced, Object, Reject, assign_split
from domainvl.tiling import TOKENS_PER_TILE, choose_grid

from .enhancing import Enlarger, Enlargers
from .georeference import describe_crs
from .headers import bands_of
from .knowledge import KnownCover, KnownObjects
from .labels.truth import SceneLabel
from .labels.vector_file import LabelReader
from .planning import Site, plan_sites
from .reading import OpenProduct
from .scene import OpenSite, open_site
from .settings import GeotiffSettings
from .splitting import NoSplitError
from .tile_images import pad
from .tile_samples import cut_settings
from .views import View

COLUMNS = (
    "scene",
    "size px",
    "bands (roles)",
    "type",
    "CRS",
    "GSD m",
    "nodata",
    "limits (0 to 255)",
    "labels inside",
    "tiles",
    "visual tokens",
    "split",
)
_SHEET_TILES = 12
_TILES_A_SITE = 3
_UNKNOWN = "-"


@dataclass(frozen=True)
class _Look:
    """What one site gives: its line, tiles of it for the sheet, how many there would be by split, what enlarged it."""

    row: tuple[str, ...]
    tiles: list[SheetTile]
    splits: Counter[str]
    token_count: int
    enhanced: Enhanced | None


def inspect_scenes(source: Path, settings: GeotiffSettings) -> Inspection:
    """Look at scenes; labels may be missing.

    Args:
        source: File or folder.
        settings: The converter's settings, as the conversion would have them.

    Raises:
        UsageError: If the input or a setting is wrong as a whole.
        NothingToDoError: If there is no scene.
    """
    plan = plan_sites(source, settings, need_labels=False)
    reader, enlargers = LabelReader(), Enlargers()
    rows: list[tuple[str, ...]] = []
    rejects: list[Reject] = list(plan.rejects)
    sheet: list[SheetTile] = []
    splits: Counter[str] = Counter()
    enlarged: dict[tuple[Enhanced, bool], list[str]] = {}
    token_count = 0
    for site in plan.units:
        try:
            enlarger = enlargers.of(site.enhancement)
            tiles_wanted = min(_TILES_A_SITE, _SHEET_TILES - len(sheet))
            look = _look_at(site, settings, reader, enlarger, tiles_wanted=tiles_wanted)
        except ItemError as error:
            rows.append((site.uri, f"cannot be used: {error.reason}", *[_UNKNOWN] * (len(COLUMNS) - 2)))
            rejects.append(Reject(site.uri, "inspect", error.reason, str(error), error.action))
            continue
        rows.append(look.row)
        sheet += look.tiles
        splits += look.splits
        token_count += look.token_count
        if look.enhanced is not None:
            enlarged.setdefault((look.enhanced, site.enhancement is not None), []).append(site.uri)
    notes = [
        f"{splits.total()} tiles before those with too little data or nothing to ask are left out: "
        + (", ".join(f"{count} {split}" for split, count in sorted(splits.items())) or "none"),
        f"{token_count} visual tokens a question about each tile, at {TOKENS_PER_TILE} a tile of the model",
        *(_note_on_enlarged(*told, uris) for told, uris in enlarged.items()),
    ]
    picture = draw_sheet(sheet) if sheet else None
    return Inspection(COLUMNS, rows, notes, rejects, picture)


def _note_on_enlarged(enhanced: Enhanced, is_asked_for: bool, uris: Sequence[str]) -> str:
    """Say whose pixels sizes and GSDs are: not those of a sensor."""
    if is_asked_for:
        return (
            f"size and GSD are those of the grid that {enhanced.name} enlarges {enhanced.scale} times: pixels of the "
            f"scenes themselves are {enhanced.scale} times as large"
        )
    more = f" and {len(uris) - 1} more" if len(uris) > 1 else ""
    return (
        f"{uris[0]}{more}: enlarged {enhanced.scale} times by {enhanced.name} ({enhanced.mode}) before, as tags say; "
        "size and GSD are those of the enlarged pixels, and each sample says so"
    )


def _look_at(
    site: Site, settings: GeotiffSettings, reader: LabelReader, enlarger: Enlarger | None, *, tiles_wanted: int
) -> _Look:
    with ExitStack() as stack:
        opened = stack.enter_context(open_site(site, settings, reader, enlarger))
        splits = _split_preview(opened, settings)
        tokens = _tokens_a_tile(opened, settings)
        grid = opened.grid
        gsd_m = grid.gsd_m()
        row = (
            "\n".join(scene.product.uri + (f" ({scene.date})" if scene.date else "") for scene in site.scenes),
            f"{grid.width_px} x {grid.height_px}",
            _bands(opened.products[0], settings),
            _types(opened.products[0], opened.views[0]),
            _UNKNOWN if grid.crs is None else describe_crs(grid.crs).partition("[")[0],
            _UNKNOWN if gsd_m is None else f"{gsd_m:.3g}",
            _nodata(opened.products[0], opened.views[0], settings),
            "\n".join(_limits(view) for view in opened.views[0]),
            "\n".join(_labels(opened)),
            str(len(opened.tiles)),
            str(tokens * len(opened.tiles)),
            ", ".join(f"{count} {split}" for split, count in sorted(splits.items())),
        )
        drawn = list(_sheet_tiles(opened, settings, tiles_wanted)) if tiles_wanted > 0 else []
        return _Look(row, drawn, splits, tokens * len(opened.tiles), opened.enhanced)


def _split_preview(opened: OpenSite, settings: GeotiffSettings) -> Counter[str]:
    """Count the tiles by split, and those that would be left out between two."""
    found: Counter[str] = Counter()
    fractions = settings.split_fractions()
    for tile in opened.tiles:
        try:
            place = opened.splitter.place(tile)
        except NoSplitError as error:
            found[error.reason] += 1
        else:
            found[place.split or assign_split(place.group, fractions)] += 1
    return found


def _tokens_a_tile(opened: OpenSite, settings: GeotiffSettings) -> int:
    """Return the visual tokens of the images of one tile, each as the model cuts it by default."""
    image_count = sum(len(views) for views in opened.views)
    return choose_grid(settings.tile_px, settings.tile_px).tile_count * TOKENS_PER_TILE * image_count


def _bands(opened: OpenProduct, settings: GeotiffSettings) -> str:
    bands = bands_of(opened, scaling=settings.scaling == "apply")
    return ", ".join(band.name if band.role in (None, band.name) else f"{band.name} ({band.role})" for band in bands)


def _types(opened: OpenProduct, views: Sequence[View]) -> str:
    bands = dict.fromkeys(band for view in views for band in view.bands)
    return ", ".join(dict.fromkeys(opened.dataset(band.path).dtypes[band.number - 1] for band in bands))


def _nodata(opened: OpenProduct, views: Sequence[View], settings: GeotiffSettings) -> str:
    if settings.nodata is not None:
        return f"{settings.nodata} (--nodata)"
    band = views[0].bands[0]
    if band.nodata is not None:
        return f"{band.nodata:g}"
    dataset = opened.dataset(band.path)
    if dataset.nodata is not None:
        return f"{dataset.nodata:g}"
    flags = {flag.name for of_band in dataset.mask_flag_enums for flag in of_band}
    return "alpha" if "alpha" in flags else "mask" if "per_dataset" in flags else _UNKNOWN


def _limits(view: View) -> str:
    parts = ", ".join(f"{channel.stretch.low:.5g} to {channel.stretch.high:.5g}" for channel in view.channels)
    how = "" if view.mode is None else f" ({view.mode})"
    return f"{view.name}: {parts}{how}"


def _labels(opened: OpenSite) -> Iterator[str]:
    for known in opened.knowledge.scenes:
        match known:
            case None:
                yield _UNKNOWN
            case SceneLabel(label=label):
                yield label
            case KnownObjects(counts=counts):
                yield ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "none"
            case KnownCover(names=names):
                yield f"classes {', '.join(sorted(set(names.values())))}"


def _sheet_tiles(opened: OpenSite, settings: GeotiffSettings, wanted: int) -> Iterator[SheetTile]:
    """Draw the tiles with most objects, one image each; of a site without objects some from all over."""
    number, objects_of = _first_with_objects(opened)
    ranked = opened.tiles[:: max(1, len(opened.tiles) // wanted)]
    if objects_of is not None:
        ranked = sorted(opened.tiles, key=lambda tile: -objects_of.index.label_count(tile))
    for tile in ranked[:wanted]:
        try:
            drawn = opened.images[number].draw(tile)
        except ItemError:
            continue  # the conversion lists it
        view = drawn.views[0]
        objects: list[Object] = []
        if objects_of is not None:
            objects = objects_of.index.objects_in(tile, drawn.valid, settings=cut_settings(settings)).objects
        boxes = [(thing.box_px, thing.label, thing.ignore) for thing in objects if thing.box_px is not None]
        pixels: npt.NDArray[np.uint8] = pad(view.pixels, settings.tile_px, settings.fill_grey)
        yield SheetTile(f"{opened.site.name} r{tile.row}c{tile.col}", pixels, boxes)


def _first_with_objects(opened: OpenSite) -> tuple[int, KnownObjects | None]:
    """Return the first scene whose objects are known, or the first scene."""
    for number, known in enumerate(opened.knowledge.scenes):
        if isinstance(known, KnownObjects):
            return number, known
    return 0, None
