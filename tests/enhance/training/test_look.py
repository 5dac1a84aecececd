"""What is said of held-out pairs: ratios by their definition, against bicubic, without what does not count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from zoomed_views import write_pairs_folder

from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import PairSet, View
from domainvl.enhance.training.look import HeldOut
from domainvl.enhance.training.views import LoadedPair, load_pairs


def loaded(folder: Path, **options: object) -> list[LoadedPair]:
    write_pairs_folder(folder, **({"counts": (0, 3, 0), "size_low": (16, 20)} | options))  # type: ignore[arg-type]
    pairs = PairSet(folder)
    return load_pairs(pairs, pairs.of_split("val"), least_px=8)[0]


def a_network(**changes: object) -> MisalignedSR:
    options = {"scale": 2, "in_bands": 3, "features": 8, "blocks": 1, "pack_block": 2, "bicubic_skip": True}
    network = MisalignedSR(NetworkSettings(**(options | changes)))  # type: ignore[arg-type]
    network.initialise(0)
    return network.train()


def a_pair(low: np.ndarray, high: np.ndarray, valid: np.ndarray) -> LoadedPair:
    view = View(bands=1, dtype="float32", low=(0.0,), high=(1.0,))
    return LoadedPair("made", 2, low, high, low, valid, view, view)


def test_the_ratio_counts_valid_pixels_away_from_the_border_only() -> None:
    low, high = np.full((1, 8, 8), 0.5, np.float32), np.full((1, 16, 16), 0.6, np.float32)
    high[:, :2] = 5.0  # the border: a low pixel
    high[:, 7, 7] = 9.0
    valid = np.ones((16, 16), bool)
    valid[7, 7] = False
    network = a_network(in_bands=1, out_bands=1, alignment="none")
    numbers, _ = HeldOut([a_pair(low, high, valid)], scale=2, compares_with_bicubic=True).look(network, keep=0)
    assert numbers["bicubic_psnr_db"] == pytest.approx(20.0, abs=1e-4)  # -10 log10(0.1 ** 2)


def test_a_pair_whose_middle_is_not_valid_is_named_and_lowers_no_mean() -> None:
    low, high = np.full((1, 8, 8), 0.5, np.float32), np.full((1, 16, 16), 0.6, np.float32)
    border_only = np.zeros((16, 16), bool)
    border_only[:2] = True
    pairs = [a_pair(low, high, valid) for valid in (border_only, np.ones((16, 16), bool))]
    held_out = HeldOut(pairs, scale=2, compares_with_bicubic=True)
    assert ([one.reason for one in held_out.left_out], held_out.count) == (["no-valid-middle"], 1)
    numbers, _ = held_out.look(a_network(in_bands=1, out_bands=1, alignment="none"), keep=0)
    assert numbers["pairs"] == 1
    assert numbers["bicubic_psnr_db"] == pytest.approx(20.0, abs=1e-4)


def test_a_network_that_begins_as_bicubic_gains_nothing_and_is_left_training(tmp_path: Path) -> None:
    network = a_network()
    held_out = HeldOut(loaded(tmp_path), scale=2, compares_with_bicubic=True)
    numbers, seen = held_out.look(network, keep=2)
    assert numbers["pairs"] == 3
    assert numbers["psnr_db"] == pytest.approx(numbers["bicubic_psnr_db"], abs=1e-3)
    assert numbers["gain_db"] == pytest.approx(0.0, abs=1e-3)
    assert numbers["mean_flow_px"] > 0
    assert [one.id for one in seen] == ["scene-000", "scene-001"]
    assert network.training


def test_offsets_that_are_zero_change_nothing(tmp_path: Path) -> None:
    network = a_network()
    network.initialise(0, zero_first_offsets=True)
    numbers, (seen,) = HeldOut(loaded(tmp_path), scale=2, compares_with_bicubic=True).look(network, keep=1)
    assert numbers["mean_flow_px"] == 0.0
    assert numbers["alignment_loss"] == pytest.approx(numbers["zero_offset_alignment_loss"], rel=1e-5)
    assert seen.guided is not None
    np.testing.assert_allclose(seen.guided, seen.picture, atol=1e-5)


def test_a_plain_network_and_a_mosaic_are_looked_at_without_what_they_lack(tmp_path: Path) -> None:
    plain = a_network(alignment="none")
    numbers, (seen, *_) = HeldOut(loaded(tmp_path / "a"), scale=2, compares_with_bicubic=True).look(plain, keep=9)
    assert set(numbers) == {"psnr_db", "bicubic_psnr_db", "gain_db", "pairs"}
    assert seen.flow_px is None
    mosaic = loaded(tmp_path / "b", mosaic=True)
    numbers, _ = HeldOut(mosaic, scale=2, compares_with_bicubic=False).look(
        a_network(in_bands=1, bicubic_skip=False), keep=0
    )
    assert "bicubic_psnr_db" not in numbers
    assert "mean_flow_px" in numbers


def test_the_middle_of_a_large_view_is_looked_at_from_an_even_pixel(tmp_path: Path) -> None:
    (pair, *_) = loaded(tmp_path, size_low=(103, 110), counts=(0, 1, 0))
    _, (seen,) = HeldOut([pair], scale=2, compares_with_bicubic=True).look(a_network(alignment="none"), keep=1)
    np.testing.assert_array_equal(seen.window.low, pair.window(2, 6, (96, 96)).low)
    assert seen.picture.shape == (3, 192, 192)


def test_nothing_held_out_is_no_look() -> None:
    assert HeldOut([], scale=2, compares_with_bicubic=True).look(a_network(), keep=1) == ({"pairs": 0}, [])


def test_what_is_seen_is_what_the_network_gives(tmp_path: Path) -> None:
    network = a_network(bicubic_skip=False)
    (pair, *_) = loaded(tmp_path)
    _, (seen,) = HeldOut([pair], scale=2, compares_with_bicubic=True).look(network, keep=1)
    with torch.no_grad():
        low, reference = (torch.from_numpy(part)[None] for part in (seen.window.low, seen.window.reference))
        zero, guided = network.eval()(low), network.eval()(low, reference)
    assert seen.guided is not None
    assert seen.flow_px is not None
    np.testing.assert_allclose(seen.picture, zero.picture[0], atol=1e-6)
    np.testing.assert_allclose(seen.guided, guided.picture[0], atol=1e-6)
    np.testing.assert_allclose(seen.flow_px, guided.flow_px[0], atol=1e-6)
