"""Small rasters, and enlarging one of them."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
from affine import Affine
from repeating_upscaler import RepeatingUpscaler

from domainvl.enhance.applying.modes import Enhancement, Mode
from domainvl.enhance.applying.scene import enhance_file


@pytest.fixture
def write(tmp_path):
    """Writes a GeoTIFF of (bands, rows, columns) and returns its path."""

    def write(values, name="low.tif", *, mask=None, **profile):
        path = tmp_path / name
        bands, rows, columns = values.shape
        profile = {"crs": "EPSG:32633", "transform": Affine(10, 0, 500000, 0, -10, 4600000)} | profile
        with (
            rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True),
            rasterio.open(
                path, "w", driver="GTiff", width=columns, height=rows, count=bands, dtype=values.dtype, **profile
            ) as out,
        ):
            out.write(values)
            if mask is not None:
                out.write_mask(mask)
        return path

    return write


@pytest.fixture
def enhance(tmp_path):
    """Enlarges a file and returns the facts, and the TIFF or PNG that was made."""

    def enhance(path, upscaler=None, *, mode=Mode.ZERO, tile_px=32, png=False, medical=False, **more):
        out, picture = tmp_path / "high.tif", tmp_path / "high.png"
        facts = enhance_file(
            path,
            out,
            Enhancement(upscaler or RepeatingUpscaler(2, takes_reference=True), mode=mode, tile_px=tile_px, **more),
            png=picture if png else None,
            medical=medical,
            on_tile=lambda done, total: None,
        )
        return facts, picture if png else out

    return enhance


@pytest.fixture
def noise():
    """Returns noise of a size and type."""

    def noise(*shape, dtype=np.uint8, lowest=1, highest=200):
        return np.random.default_rng(0).integers(lowest, highest, shape).astype(dtype)

    return noise
