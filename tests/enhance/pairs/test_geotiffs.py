"""Two GeoTIFFs of one place as pairs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import rasterio
from rasterio.errors import NodataShadowWarning
from rasterio.transform import from_origin
from rasterio.warp import Resampling, calculate_default_transform, reproject

from domainvl.enhance.pairs.geotiffs import is_georeferenced, plan_windows, read_high_window, read_low_window
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.rasters import quiet_gdal

UTM = "EPSG:32633"


def _write(
    path: Path, values: npt.NDArray[np.float32], gsd_m: float, west_m: float = 500_000.0, **options: object
) -> Path:
    bands, rows, columns = values.shape
    profile = {"driver": "GTiff", "count": bands, "height": rows, "width": columns, "dtype": "float32", "crs": UTM}
    profile |= {"transform": from_origin(west_m, 5_000_000.0, gsd_m, gsd_m), **options}
    with quiet_gdal(), rasterio.open(path, "w", **profile) as out:
        out.write(values)
    return path


def _ramp(rows: int, columns: int, gsd_m: float, west_m: float = 0.0) -> npt.NDArray[np.float32]:
    """Two bands: metres down and metres right of the corner, at pixel centres."""
    row, column = (np.mgrid[:rows, :columns] + 0.5) * gsd_m
    return np.stack([row, column + west_m]).astype(np.float32)


def _settings(window_px: int = 32, scale: int = 4) -> RegisterSettings:
    return RegisterSettings.model_validate({"scale": scale, "layout": "geotiffs", "window_px": window_px})


def test_windows_show_the_same_ground_at_the_scale(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(64, 96, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(256, 384, 2.5), 2.5)
    sources, rejects = plan_windows([PairSource("place", "place", low, high)], _settings())
    assert rejects == []
    assert [source.window for source in sources] == [(r, c, 32, 32) for r in (0, 32) for c in (0, 32, 64)]
    assert sources[4].id == "place-r000032c000032"
    ours, theirs = read_low_window(sources[4]), read_high_window(sources[4], 4)
    assert ours.size_px == (32, 32)
    assert theirs.size_px == (128, 128)
    assert theirs.valid.all()
    expected = _ramp(256, 384, 2.5)[:, 128:256, 128:256]
    assert theirs.pixels == pytest.approx(expected, abs=1e-3)  # grids that fit are not resampled


def test_another_coordinate_system_is_warped_onto_the_low_grid(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(32, 32, 10.0), 10.0)
    fine = _ramp(160, 160, 2.5, -40.0) - np.float32([[[40.0]], [[0.0]]])
    grid = from_origin(500_000.0 - 40.0, 5_000_000.0 + 40.0, 2.5, 2.5)
    bounds = rasterio.transform.array_bounds(160, 160, grid)
    transform, width, height = calculate_default_transform(UTM, "EPSG:4326", 160, 160, *bounds)
    values = np.full((2, height, width), -9999, np.float32)
    reproject(fine, values, src_crs=UTM, src_transform=grid, dst_crs="EPSG:4326", dst_transform=transform,
              resampling=Resampling.cubic, dst_nodata=-9999)  # fmt: skip
    high = _write(tmp_path / "high.tif", values, 1.0, crs="EPSG:4326", transform=transform, nodata=-9999)
    (source,), _ = plan_windows([PairSource("place", "place", low, high)], _settings())
    theirs = read_high_window(source, 4)
    assert theirs.valid.mean() > 0.95
    error_m = np.abs(theirs.pixels - _ramp(128, 128, 2.5))[:, theirs.valid]
    assert np.median(error_m) < 0.25  # a tenth of a pixel


def test_windows_outside_of_the_high_raster_are_counted(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(64, 96, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(256, 64, 2.5), 2.5)
    sources, (reject,) = plan_windows([PairSource("place", "place", low, high)], _settings())
    assert len(sources) == 2
    assert reject.reason == "outside"
    assert "4 windows" in reject.message
    assert str(reject.severity) == "skipped"


def test_ground_that_the_high_raster_lacks_is_not_valid(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(32, 32, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(128, 64, 2.5), 2.5)  # no nodata value, no alpha
    (source,), _ = plan_windows([PairSource("place", "place", low, high)], _settings())
    theirs = read_high_window(source, 4)
    assert theirs.valid[:, :63].all()
    assert not theirs.valid[:, 65:].any()


def test_what_the_high_rasters_own_mask_hides_is_not_valid(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(32, 32, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(128, 128, 2.5), 2.5)
    with quiet_gdal(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(high, "r+") as file:
        file.write_mask(np.arange(128)[None].repeat(128, axis=0) < 100)
    theirs = read_high_window(PairSource("place", "place", low, high), 4)
    assert theirs.valid[:, :99].all()
    assert not theirs.valid[:, 101:].any()


def test_a_high_window_is_read_where_it_is_moved_to(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(64, 64, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(256, 256, 2.5), 2.5)
    source = PairSource("place", "place", low, high, window=(0, 32, 32, 32))
    theirs = read_high_window(source, 4, moved_px=(-3, 5))
    assert theirs.size_px == (128, 128)
    assert not theirs.valid[:3].any()  # above the raster
    assert theirs.valid[3:, :123].all()
    assert theirs.pixels[:, 3:, :123] == pytest.approx(_ramp(256, 256, 2.5)[:, :125, 133:256], abs=1e-3)


def test_two_dates_of_a_place_are_in_the_same_groups(tmp_path: Path) -> None:
    pairs = []
    for date in ("june", "july"):
        low = _write(tmp_path / f"{date}-low.tif", _ramp(64, 96, 10.0), 10.0)
        high = _write(tmp_path / f"{date}-high.tif", _ramp(256, 384, 2.5), 2.5)
        pairs.append(PairSource(date, date, low, high))
    sources, _ = plan_windows(pairs, _settings())
    assert len({source.id for source in sources}) == 12
    assert [source.group for source in sources[:6]] == [source.group for source in sources[6:]]
    assert len({source.group for source in sources}) == 6


@pytest.mark.parametrize(
    ("gsd_m", "options", "reason"),
    [
        (2.5, {"west_m": 900_000.0}, "no-overlap"),
        (5.0, {}, "size-does-not-fit"),  # twice as fine only
        (2.5, {"crs": None}, "no-georeference"),
        (2.5, {"crs": 'LOCAL_CS["hall",UNIT["metre",1]]'}, "no-georeference"),  # of no place on the Earth
    ],
)
def test_rasters_that_are_no_pair_are_rejected_with_a_reason(
    tmp_path: Path, gsd_m: float, options: dict[str, object], reason: str
) -> None:
    low = _write(tmp_path / "low.tif", _ramp(32, 32, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(128, 128, gsd_m), gsd_m, **options)  # type: ignore[arg-type]
    sources, (reject,) = plan_windows([PairSource("place", "place", low, high)], _settings())
    assert sources == []
    assert reject.reason == reason
    assert reject.action


def test_a_coarser_high_raster_is_told_to_be_swapped(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", _ramp(32, 32, 10.0), 10.0)
    high = _write(tmp_path / "high.tif", _ramp(128, 128, 2.5), 2.5)
    _, (reject,) = plan_windows([PairSource("place", "place", high, low)], _settings())
    assert str(reject.action).startswith("Swap the two")
    _, (reject,) = plan_windows([PairSource("place", "place", low, high)], _settings(scale=8))
    assert "--scale" in str(reject.action)


def test_windows_of_a_raster_with_alpha_and_nodata_are_read_without_a_warning(
    tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    values = np.full((4, 32, 32), 7, np.uint8)
    options = {"dtype": "uint8", "nodata": 0, "photometric": "rgb", "alpha": "yes"}
    low = _write(tmp_path / "low.tif", values, 10.0, **options)  # type: ignore[arg-type]
    assert read_low_window(PairSource("place", "place", low, low)).bands == 3
    assert [warning for warning in recwarn if issubclass(warning.category, NodataShadowWarning)] == []


def test_numbers_of_a_palette_are_no_colours(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", np.ones((1, 32, 32), np.uint8), 10.0, dtype="uint8", photometric="palette")
    with quiet_gdal(), rasterio.open(low, "r+") as file:
        file.write_colormap(1, {1: (10, 20, 30, 255)})
    _, (reject,) = plan_windows([PairSource("place", "place", low, low)], _settings())
    assert reject.reason == "palette"
    assert "gdal_translate" in str(reject.action)


def test_blocks_hold_neighbours_and_there_are_several(tmp_path: Path) -> None:
    low = _write(tmp_path / "low.tif", np.zeros((1, 512, 512), np.float32), 10.0)
    high = _write(tmp_path / "high.tif", np.zeros((1, 1024, 1024), np.float32), 5.0)
    sources, _ = plan_windows([PairSource("place", "place", low, high)], _settings(scale=2))
    groups: dict[str, list[tuple[int, ...]]] = {}
    for source in sources:
        groups.setdefault(source.group, []).append(source.window or ())
    assert len(sources) == 256
    assert len(groups) == 16
    assert all(max(w[0] for w in ws) - min(w[0] for w in ws) == 96 for ws in groups.values())


def test_only_files_with_a_coordinate_system_are_georeferenced(tmp_path: Path) -> None:
    assert is_georeferenced(_write(tmp_path / "a.tif", _ramp(8, 8, 1.0), 1.0))
    (tmp_path / "b.tif").write_text("no raster")
    assert not is_georeferenced(tmp_path / "b.tif")
