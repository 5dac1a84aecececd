"""Which views of a scene are made, and with which stretch: the same for all of its tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.enums import Resampling

from domainvl.errors import ItemError

from .drawing import Ground
from .enlarged_reading import EnlargedReader, Enlarges
from .georeference import SceneGrid
from .headers import bands_of, palette_band, reference_path
from .parsing import StretchMode, ViewRequest, parse_bands, parse_nodata, parse_stretch, parse_views
from .products import Band, Product
from .reading import GridReader, OpenProduct, WindowReader, open_product
from .sampling import MAX_VALUES, BandSample, sample_bands
from .scene_grid import GridRequest, plan_grid
from .settings import GeotiffSettings
from .stretch import Stretch, check_types, choose_mode, find_limits
from .views import BandChooser, View, choose_view

_FULL_BLOCK_PX = (512, 512)


def choose_views(opened: OpenProduct, settings: GeotiffSettings) -> tuple[View, ...]:
    """Choose the views of a scene; their stretches are still to be found.

    Raises:
        ItemError: If the scene cannot be opened or lacks a band.
    """
    bands_there = bands_of(opened, scaling=settings.scaling == "apply")
    chooser = BandChooser(bands_there, missing=opened.product.missing, uri=opened.uri)
    palette = palette_band(opened)
    bands = parse_bands(settings.bands)
    if bands is not None:
        return (choose_view(ViewRequest("bands", bands), chooser, palette_band=palette),)
    requests = parse_views(settings.view)
    if requests:
        return tuple(choose_view(request, chooser, palette_band=palette) for request in requests)
    return (chooser.default(palette=palette is not None),)


def bands_in(views: Sequence[View]) -> tuple[Band, ...]:
    """Return the bands that views need, each once."""
    return tuple(dict.fromkeys(band for view in views for band in view.bands))


def grid_of(opened: OpenProduct, views: Sequence[View], request: GridRequest) -> SceneGrid:
    """Choose the grid of a scene: that of the finest band that is shown.

    Raises:
        ItemError: If the scene cannot be opened or the request cannot be met.
    """
    path = reference_path(opened.product, bands_in(views))
    return plan_grid(opened.stored_pixels(path), request, uri=opened.uri)


def native_reader_of(opened: OpenProduct, grid: SceneGrid, settings: GeotiffSettings) -> GridReader:
    """Return what reads what the sensor took of a scene, on the native grid, as the settings say."""
    resampling = None if settings.resampling == "auto" else Resampling[settings.resampling]
    if palette_band(opened) is not None:
        resampling = Resampling.nearest  # between two indexes lies another colour
    return opened.reader(grid.native or grid, nodata=parse_nodata(settings.nodata), resampling=resampling)


def reader_of(
    opened: OpenProduct, grid: SceneGrid, settings: GeotiffSettings, enlarger: Enlarges | None = None
) -> WindowReader:
    """Return what reads a scene on a grid, as the settings say.

    Args:
        opened: The open scene.
        grid: The grid.
        settings: How it is warped and what of it is missing.
        enlarger: Makes the pixels of a grid that is not native.

    Raises:
        ValueError: If the grid is enlarged and there is nothing that makes its pixels.
    """
    native = native_reader_of(opened, grid, settings)
    if grid.native is None:
        return native
    if enlarger is None:
        raise ValueError("an enlarged grid needs what makes its pixels")
    return EnlargedReader(native, grid, enlarger)


@dataclass(frozen=True)
class _Stretched:
    """The bands of a view that are shown as they are, and how."""

    mode: StretchMode
    dtypes: dict[Band, np.dtype[Any]]


def stretch_views(
    views: Sequence[View],
    opened: OpenProduct,
    reader: GridReader,
    settings: GeotiffSettings,
    shared: Sequence[tuple[str, Stretch]] = (),
) -> tuple[View, ...]:
    """Find the stretches of a scene's views.

    Args:
        views: The views.
        opened: The open scene.
        reader: Reads what the sensor took: limits are the same whether a scene is enlarged or not.
        settings: Names the method.
        shared: Limits by band name that are those of all scenes together.

    Raises:
        ItemError: If the method does not suit the scene's type or no pixel is valid.
    """
    plans = [_plan_stretch(view, opened, settings) for view in views]
    given = dict(shared)
    looked_at = [band for plan in plans if plan.mode.looks_at_pixels for band in plan.dtypes if band.name not in given]
    sample = _sample(tuple(dict.fromkeys(looked_at)), opened, reader) if looked_at else None
    stretched = []
    for view, plan in zip(views, plans, strict=True):
        limits = {}
        for band, dtype in plan.dtypes.items():
            known = given.get(band.name) if plan.mode.looks_at_pixels else None
            values = sample[band] if sample is not None and band in sample.values else np.empty(0)
            low, high = (
                (known.low, known.high) if known else find_limits(plan.mode, dtype, values, band.scale, band.offset)
            )
            scale, offset = (1.0, 0.0) if plan.mode.kind == "none" else (band.scale, band.offset)
            limits[band] = Stretch(low, high, scale, offset)
        statistics = None
        if plan.dtypes and plan.mode.looks_at_pixels:
            statistics = "all scenes together" if given else sample.method if sample else None
        stretched.append(view.with_stretches(limits, plan.mode, statistics) if plan.dtypes else view)
    return tuple(stretched)


@dataclass(frozen=True)
class _PhysicalSample:
    values: dict[Band, npt.NDArray[np.float64]]
    method: str

    def __getitem__(self, band: Band) -> npt.NDArray[np.float64]:
        return self.values[band]


def _plan_stretch(view: View, opened: OpenProduct, settings: GeotiffSettings) -> _Stretched:
    check_types([_dtype_of(opened, band) for band in view.bands], uri=opened.uri)
    dtypes = {band: _dtype_of(opened, band) for band in view.stretched_bands}
    mode = choose_mode(parse_stretch(settings.stretch), list(dtypes.values()), uri=opened.uri)
    return _Stretched(mode, dtypes)


def _dtype_of(opened: OpenProduct, band: Band) -> np.dtype[Any]:
    dtype: np.dtype[Any] = np.dtype(opened.dataset(band.path).dtypes[band.number - 1])
    return dtype


def _sample(
    bands: tuple[Band, ...], opened: OpenProduct, reader: GridReader, max_values: int = MAX_VALUES
) -> _PhysicalSample:
    block_px = _FULL_BLOCK_PX
    if reader.grid.stored_to_grid is not None:
        block_px = opened.dataset(reference_path(opened.product, bands)).block_shapes[0]
    sample = sample_bands(reader, bands, block_px, uri=opened.uri, max_values=max_values)
    return _PhysicalSample(_to_physical(bands, sample), sample.method)


def _to_physical(bands: Sequence[Band], sample: BandSample) -> dict[Band, npt.NDArray[np.float64]]:
    return {
        band: stored.astype(np.float64) * band.scale + band.offset
        for band, stored in zip(bands, sample.stored, strict=True)
    }


def ground_of(opened: OpenProduct, views: Sequence[View], grid: SceneGrid, settings: GeotiffSettings) -> Ground:
    """Return what the views need to know of the ground."""
    palettes = [view.bands[0] for view in views if view.channels[0].kind == "palette"]
    return Ground(
        pixel_m=grid.pixel_m(),
        sar_values=settings.sar_values,
        palette=_read_palette(opened, palettes[0]) if palettes else None,
    )


def _read_palette(opened: OpenProduct, band: Band) -> npt.NDArray[np.uint8]:
    """Return the colours of a band by index, black where an index has none."""
    dataset = opened.dataset(band.path)
    colours = np.zeros((1 << (8 * np.dtype(dataset.dtypes[band.number - 1]).itemsize), 3), dtype=np.uint8)
    for index, colour in dataset.colormap(band.number).items():
        colours[index] = colour[:3]
    return colours


_LEAST_VALUES, _MOST_VALUES = 1 << 12, 1 << 16
"""So many values stand for each scene when limits are found for all together."""


def shared_limits(
    products: Sequence[Product], settings: GeotiffSettings, request: GridRequest
) -> tuple[tuple[str, Stretch], ...]:
    """Find the limits of the stretch of all scenes together, by band name.

    Each scene counts as much as any other, whatever its size. Scenes that cannot be read are passed over: the units
    that read them say why.

    Args:
        products: The scenes.
        settings: Names the method.
        request: What the grids must be.
    """
    max_values = max(MAX_VALUES // max(len(products), 1), _LEAST_VALUES)
    count = min(max_values, _MOST_VALUES)
    pooled: dict[str, list[npt.NDArray[np.float64]]] = {}
    plans: dict[str, tuple[StretchMode, np.dtype[Any]]] = {}
    for product in products:
        try:
            with open_product(product) as opened:
                views = choose_views(opened, settings)
                stretches = [_plan_stretch(view, opened, settings) for view in views]
                dtypes = {
                    band: dtype
                    for plan in stretches
                    if plan.mode.looks_at_pixels
                    for band, dtype in plan.dtypes.items()
                }
                if not dtypes:
                    continue
                reader = native_reader_of(opened, grid_of(opened, views, request), settings)
                sample = _sample(tuple(dtypes), opened, reader, max_values)
        except ItemError:
            continue
        mode = next(plan.mode for plan in stretches if plan.mode.looks_at_pixels)
        for band, values in sample.values.items():
            pooled.setdefault(band.name, []).append(_quantiles(values, count))
            plans[band.name] = (mode, dtypes[band])
    limits = []
    for name in sorted(pooled):
        mode, dtype = plans[name]
        low, high = find_limits(mode, dtype, np.concatenate(pooled[name]), 1.0, 0.0)
        limits.append((name, Stretch(low, high)))
    return tuple(limits)


def _quantiles(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Return so many values that are distributed as the given ones, however many those are."""
    ordered = np.sort(values)  # np.quantile of so many shares takes minutes
    places = (np.arange(count) + 0.5) / count * (len(ordered) - 1)
    middles: npt.NDArray[np.float64] = np.interp(places, np.arange(len(ordered)), ordered)
    return middles
