import hashlib
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.enhance.rasters import Raster, masked
from domainvl.enhance.upscaler import identity, open_upscaler
from domainvl.errors import CheckpointError, UsageError

RANDOM = np.random.default_rng(0)


def view(bands: int, low: float = 0.0, high: float = 255.0) -> View:
    return View(bands=bands, dtype="uint8", low=(low,) * bands, high=(high,) * bands)


def made(
    folder: Path, *, low: View | None = None, high: View | None = None, mosaic: bool = False, **changes: object
) -> str:
    given = {"scale": 2, "in_bands": 3, "out_bands": 3, "features": 8, "blocks": 1, "pack_block": 2, **changes}
    settings = NetworkSettings(**given)
    network = MisalignedSR(settings)
    network.initialise(0)
    views = {
        "low_view": low or view(settings.in_bands),
        "high_view": high or view(settings.out_bands),
    }
    save_checkpoint(folder, network, Enhancer(network=settings, mosaic=mosaic, **views))
    return str(folder)


def raster(bands: int = 3, rows: int = 12, columns: int = 10, valid: np.ndarray | None = None) -> Raster:
    mask = np.ones((rows, columns), dtype=bool) if valid is None else valid
    return masked(RANDOM.uniform(0, 255, (bands, rows, columns)), mask, np.uint8)


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_bicubic_needs_no_checkpoint_and_takes_any_bands(scale):
    upscaler, low = open_upscaler(f"bicubic-x{scale}"), raster(bands=5)

    assert (upscaler.name, upscaler.scale) == (f"bicubic-x{scale}", scale)
    assert (upscaler.in_bands, upscaler.out_bands, upscaler.takes_reference) == (None, None, False)
    expected = Image.fromarray(low.pixels[4]).resize((10 * scale, 12 * scale), Image.Resampling.BICUBIC)
    np.testing.assert_allclose(upscaler.upscale(low)[4], np.asarray(expected), atol=1e-3)


def test_a_network_is_named_by_kind_scale_and_weights(tmp_path):
    name = made(tmp_path / "sdan")
    sha256 = hashlib.sha256((tmp_path / "sdan" / "weights.safetensors").read_bytes()).hexdigest()
    upscaler = open_upscaler(name)

    assert upscaler.name == f"sdan-x2-{sha256[:8]}"
    assert (upscaler.scale, upscaler.in_bands, upscaler.out_bands, upscaler.takes_reference) == (2, 3, 3, True)
    assert identity(name) == {"name": upscaler.name, "scale": 2, "sha256": sha256, "mode": "zero offset"}
    assert identity("bicubic-x4") == {"name": "bicubic-x4", "scale": 4, "sha256": None, "mode": "zero offset"}
    plain = open_upscaler(made(tmp_path / "plain", alignment="none"))
    assert plain.name.startswith("plain-x2-")
    assert not plain.takes_reference


def test_a_runs_folder_opens_its_checkpoint(tmp_path):
    made(tmp_path / "run" / "checkpoint")

    assert open_upscaler(str(tmp_path / "run")).name == open_upscaler(str(tmp_path / "run" / "checkpoint")).name
    assert identity(str(tmp_path / "run"))["name"] == open_upscaler(str(tmp_path / "run")).name


def test_values_pass_through_the_ranges_of_both_views(tmp_path):
    # The skip makes an untrained network bicubic in normalised units: low 100..300 is seen as high -1..1.
    low, high = view(1, 100.0, 300.0), view(1, -1.0, 1.0)
    name = made(tmp_path / "made", low=low, high=high, in_bands=1, out_bands=1, bicubic_skip=True)
    constant = masked(np.full((1, 4, 4), 250.0), np.ones((4, 4), dtype=bool), np.uint16)
    found = open_upscaler(name).upscale(constant)

    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.full((1, 8, 8), 0.5), atol=1e-6)


def test_own_colours_are_the_input_in_the_high_views_units(tmp_path):
    name = made(tmp_path / "made", low=view(3, 100.0, 300.0), high=view(3, -1.0, 1.0))
    valid = np.ones((4, 4), dtype=bool)
    valid[0, 0] = False
    own = open_upscaler(name).own_colours(masked(np.full((3, 4, 4), 250.0), valid, np.uint16))

    assert own.pixels[:, 1, 1].tolist() == [0.5] * 3
    assert own.pixels[:, 0, 0].tolist() == [0.0] * 3
    assert np.array_equal(own.valid, valid)


def test_a_reference_changes_the_output(tmp_path):
    upscaler, low = open_upscaler(made(tmp_path / "made")), raster()
    zero, own, other = (upscaler.upscale(low, reference=given) for given in (None, upscaler.own_colours(low), raster()))

    assert zero.shape == own.shape == (3, 24, 20)
    assert not np.allclose(own, zero)
    assert not np.allclose(own, other)


@pytest.mark.parametrize("kind", ["shared", "none"])
def test_a_tile_with_its_overlap_equals_the_whole_with_holes_in_it_too(tmp_path, kind):
    upscaler = open_upscaler(made(tmp_path / "made", alignment=kind))
    around = upscaler.overlap_px
    low = raster(rows=2 * around + 20, columns=2 * around + 20)
    valid = RANDOM.uniform(size=low.size_px) < 0.6
    # A hole deeper than any reach: what fills it at column 18 would be column 8, which the second tile lacks.
    valid[:, 9 : 2 * around + 10] = False
    low = masked(low.pixels, valid, np.uint8)
    whole = upscaler.upscale(low)[:, 2 * around : 2 * around + 40, 2 * around : 2 * around + 40]
    for row in (0, 10):
        tile = upscaler.upscale(low.crop(row, row, 2 * around + 10, 2 * around + 10))
        inner = slice(2 * around, 2 * around + 20)
        kept = whole[:, 2 * row : 2 * row + 20, 2 * row : 2 * row + 20]
        np.testing.assert_allclose(tile[:, inner, inner], kept, atol=1e-3)


def test_bicubic_tiles_equal_the_whole_where_pixels_are_valid():
    upscaler = open_upscaler("bicubic-x2")
    around, valid = upscaler.overlap_px, RANDOM.uniform(size=(40, 40)) < 0.4
    low = raster(rows=40, columns=40, valid=valid)
    whole, tile = upscaler.upscale(low), upscaler.upscale(low.crop(10, 10, 20, 20))
    inner = slice(2 * around, 40 - 2 * around)
    outer = slice(20 + 2 * around, 60 - 2 * around)
    seen = valid.repeat(2, 0).repeat(2, 1)[outer, outer]

    np.testing.assert_allclose(tile[:, inner, inner][:, seen], whole[:, outer, outer][:, seen], atol=1e-3)


def test_what_is_not_valid_does_not_reach_the_output(tmp_path):
    upscaler = open_upscaler(made(tmp_path / "made"))
    valid = np.ones((12, 10), dtype=bool)
    valid[:4] = False
    one, other = raster(valid=valid), raster(valid=valid)
    other = Raster(np.where(valid, one.pixels, 12345.0).astype(np.float32), valid, one.dtype)

    np.testing.assert_array_equal(upscaler.upscale(one), upscaler.upscale(other))


def test_a_raster_with_nothing_valid_still_gives_finite_values(tmp_path):
    nothing = raster(valid=np.zeros((12, 10), dtype=bool))

    for name in (made(tmp_path / "made"), "bicubic-x2"):
        assert np.isfinite(open_upscaler(name).upscale(nothing)).all()


def test_values_that_overflow_are_a_message(tmp_path):
    huge = masked(np.full((3, 4, 4), 3e38), np.ones((4, 4), dtype=bool), np.float32)

    with pytest.raises(UsageError, match=r"gives no finite values: values from 3e\+38 to 3e\+38"):
        open_upscaler(made(tmp_path / "made", low=view(3, 0.0, 0.01), bicubic_skip=True)).upscale(huge)


def test_other_bands_are_refused_with_both_counts(tmp_path):
    upscaler = open_upscaler(made(tmp_path / "made"))

    with pytest.raises(UsageError, match=rf"the input has 4 and {upscaler.name} takes 3"):
        upscaler.upscale(raster(bands=4))
    with pytest.raises(UsageError, match=rf"the reference has 1 and {upscaler.name} takes 3"):
        upscaler.upscale(raster(), reference=raster(bands=1))


def test_a_reference_of_another_size_is_refused_with_both(tmp_path):
    with pytest.raises(UsageError, match=re.escape("it has (12, 11) rows and columns, the input (12, 10)")):
        open_upscaler(made(tmp_path / "made")).upscale(raster(), reference=raster(columns=11))


def test_what_has_no_alignment_takes_no_reference(tmp_path):
    for name in ("bicubic-x2", made(tmp_path / "made", alignment="none")):
        upscaler = open_upscaler(name)
        with pytest.raises(UsageError, match=rf"{upscaler.name} has no alignment"):
            upscaler.upscale(raster(), reference=raster())
        with pytest.raises(UsageError, match=rf"{upscaler.name} has no alignment"):
            upscaler.own_colours(raster())


@pytest.mark.parametrize(
    ("changes", "given"),
    [({"in_bands": 1, "mosaic": True}, "a raw mosaic"), ({"in_bands": 4}, "4 bands"), ({"in_bands": 1}, "1 band")],
)
def test_a_mosaic_or_other_bands_cannot_be_their_own_reference(tmp_path, changes, given):
    upscaler = open_upscaler(made(tmp_path / "made", **changes))

    with pytest.raises(UsageError, match=f"takes {given}.* and needs 3 bands of colour"):
        upscaler.own_colours(raster(bands=changes["in_bands"]))


@pytest.mark.parametrize("name", ["bicubic-x3", "no/such/folder", "sdan"])
def test_a_name_of_nothing_is_refused_with_what_there_is(name):
    for opens in (open_upscaler, identity):
        with pytest.raises(UsageError, match=f"{name}.*none of bicubic-x2, bicubic-x4, bicubic-x8"):
            opens(name)


def test_identity_says_what_is_missing(tmp_path):
    name = made(tmp_path / "made")
    (tmp_path / "made" / "weights.safetensors").unlink()

    with pytest.raises(CheckpointError, match="no weights.safetensors"):
        identity(name)


def test_threads_are_set_for_the_work_and_restored(tmp_path, monkeypatch):
    before, seen = torch.get_num_threads(), []
    upscaler = open_upscaler(made(tmp_path / "made"), threads=before + 1)
    inner = MisalignedSR.forward

    def watched(self, *given):
        seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled()))
        return inner(self, *given)

    monkeypatch.setattr(MisalignedSR, "forward", watched)
    upscaler.upscale(raster())

    assert seen == [(before + 1, True)]
    assert torch.get_num_threads() == before


def test_an_even_area_is_even_to_its_border(tmp_path):
    low = Raster(np.full((3, 9, 11), 90, np.float32), np.ones((9, 11), bool), np.dtype(np.uint8))

    pixels = open_upscaler(str(made(tmp_path / "made"))).upscale(low)

    # Each of the 2 x 2 places of a pixel has a value of its own.
    np.testing.assert_allclose(pixels[:, 2:], pixels[:, :-2], atol=1e-3)
    np.testing.assert_allclose(pixels[:, :, 2:], pixels[:, :, :-2], atol=1e-3)


def test_the_same_input_gives_the_same_pixels(tmp_path):
    upscaler, low = open_upscaler(made(tmp_path / "made")), raster()

    assert np.array_equal(upscaler.upscale(low), upscaler.upscale(low))
