"""Tiles of networks: with zero offsets equal to the whole, with references blended."""

from __future__ import annotations

import numpy as np
import pytest
import rasterio
import torch

from domainvl.enhance.applying.modes import Mode, open_enhancement
from domainvl.enhance.applying.scene import enhance_file
from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.enhance.rasters import read_raster
from domainvl.errors import UsageError


def _view(bands, dtype="float32"):
    return View(bands=bands, dtype=dtype, low=(0.0,) * bands, high=(200.0,) * bands)


@pytest.fixture
def checkpoint(tmp_path):
    def checkpoint(alignment="shared", in_bands=3, scale=2):
        settings = NetworkSettings(
            scale=scale, in_bands=in_bands, features=8, blocks=1, pack_block=2, alignment=alignment
        )
        network = MisalignedSR(settings)
        network.initialise(0)
        with torch.no_grad():  # attention that does not look at its tile would prove nothing
            for parameter in network.parameters():
                if parameter.numel() == 1:
                    parameter.fill_(0.5)
        enhancer = Enhancer(network=settings, low_view=_view(in_bands), high_view=_view(3))
        save_checkpoint(tmp_path / "checkpoint", network, enhancer)
        return str(tmp_path / "checkpoint")

    return checkpoint


def _run(path, tmp_path, enhancement):
    out = tmp_path / "high.tif"
    facts = enhance_file(path, out, enhancement, png=None, medical=False, on_tile=lambda done, total: None)
    with rasterio.open(out) as high:
        return facts, high.read()


@pytest.mark.parametrize("name", ["shared", "none", "bicubic-x2", "bicubic-x4"])
@pytest.mark.parametrize("holes", [False, True])
def test_tiles_with_zero_offsets_equal_the_whole(write, tmp_path, noise, checkpoint, name, holes):
    low = noise(3, 90, 75, dtype=np.float32)
    if holes:
        low[:, noise(90, 75, lowest=0, highest=3) == 0] = -1
        low[:, 20:60, 30:50] = -1
    path = write(low, nodata=-1)
    enhancement = open_enhancement(name if name.startswith("bicubic") else checkpoint(name), tile_px=32)

    facts, tiled = _run(path, tmp_path, enhancement)

    raster = read_raster(path)
    whole = enhancement.upscaler.upscale(raster)
    seen = raster.valid.repeat(enhancement.scale, axis=0).repeat(enhancement.scale, axis=1)
    assert facts.tiles == 9
    np.testing.assert_allclose(tiled[:, seen], whole[:, seen], atol=1e-3)
    assert (tiled[:, ~seen] == -1).all()


def test_own_colours_within_one_tile_are_what_the_network_gives(write, tmp_path, noise, checkpoint):
    path = write(noise(3, 30, 28, dtype=np.float32))
    enhancement = open_enhancement(checkpoint(), mode=Mode.SELF, tile_px=32)

    _, found = _run(path, tmp_path, enhancement)

    low = read_raster(path)
    expected = enhancement.upscaler.upscale(low, reference=enhancement.upscaler.own_colours(low))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    zero = enhancement.upscaler.upscale(low)
    assert np.abs(found - zero).max() > 1e-2


def test_own_colours_leave_no_seam_where_tiles_meet(write, tmp_path, checkpoint):
    rows, columns = np.mgrid[:96, :96]
    low = (100 + 50 * np.sin(rows / 7) * np.cos(columns / 9)).astype(np.float32)[None].repeat(3, axis=0)
    enhancement = open_enhancement(checkpoint(), mode=Mode.SELF, tile_px=32)

    _, found = _run(write(low), tmp_path, enhancement)

    for axis in (1, 2):
        steps = np.abs(np.diff(found, axis=axis)).max(axis=(0, 3 - axis))
        borders = steps[[63, 127]]
        inside = np.delete(steps[4:-4], [*range(52, 68), *range(116, 132)])
        assert borders.max() <= inside.max()


def test_modes_that_do_not_fit_a_network_are_refused(tmp_path, checkpoint):
    with pytest.raises(UsageError, match="bicubic-x2: it has no alignment, and the mode is own colours"):
        open_enhancement("bicubic-x2", mode=Mode.SELF)
    with pytest.raises(UsageError, match="it has no alignment"):
        open_enhancement(checkpoint("none"), mode=Mode.SELF)
    with pytest.raises(UsageError, match="it takes 1 bands, a raw mosaic perhaps, and needs 3 of colour"):
        open_enhancement(checkpoint(in_bands=1), mode=Mode.SELF)
    with pytest.raises(UsageError, match="a reference is for --mode given"):
        open_enhancement(checkpoint(), mode=Mode.GIVEN)
    with pytest.raises(UsageError, match="a reference is for --mode given"):
        open_enhancement(checkpoint(), reference=tmp_path)
    with pytest.raises(UsageError, match="it does not exist"):
        open_enhancement(checkpoint(), mode=Mode.GIVEN, reference=tmp_path / "none.png")
