"""Packs keep the limits, hold each unit once, and are close to as few as can be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domainvl.conversion import convert, load_converter
from domainvl.errors import UsageError
from domainvl.model.checkpoint import find_checkpoint, read_spec, read_tokenizer
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Split, read_samples
from domainvl.training.packing import fewest_packs, pack

LIMITS = (100, 10)


@settings(max_examples=80, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(1, 100), st.integers(0, 10)), min_size=1, max_size=120),
    window=st.integers(1, 130),
    seed=st.integers(0, 3),
)
def test_each_unit_once_and_no_limit_exceeded(sizes: list[tuple[int, int]], window: int, seed: int) -> None:
    array = np.array(sizes, np.int64)
    order = np.random.default_rng(seed).permutation(len(sizes))
    packs = pack(array, LIMITS, order, window)
    assert sorted(unit for one in packs for unit in one) == list(range(len(sizes)))
    assert all((array[one].sum(axis=0) <= LIMITS).all() for one in packs)
    assert len(packs) >= fewest_packs(array, LIMITS)
    place = {unit: index for index, unit in enumerate(order.tolist())}
    assert all(one == sorted(one, key=place.__getitem__) for one in packs)
    # No two packs of one window could be one: the smaller would have been put into the larger.
    if window >= len(sizes):
        loads = [array[one].sum(axis=0) for one in packs]
        assert not any(
            (loads[a] + loads[b] <= LIMITS).all() for a in range(len(packs)) for b in range(a) if len(packs[a]) == 1
        )


def test_what_fits_exactly_leaves_nothing() -> None:
    sizes = np.array([(60, 0), (50, 0), (50, 0), (40, 0)], np.int64)
    assert sorted(map(sorted, pack(sizes, (100, 1), np.arange(4)))) == [[0, 3], [1, 2]]


def test_the_scarcer_limit_decides() -> None:
    sizes = np.array([(10, 6), (10, 6), (10, 4), (10, 4)], np.int64)
    assert len(pack(sizes, LIMITS, np.arange(4))) == 2
    assert fewest_packs(sizes, LIMITS) == pytest.approx(2.0)
    assert fewest_packs(sizes[:, :1], (100,)) == pytest.approx(0.4)


def test_only_what_is_in_the_order_is_packed() -> None:
    sizes = np.array([(10, 0)] * 5, np.int64)
    assert pack(sizes, LIMITS, np.array([3, 1])) == [[3, 1]]
    assert pack(sizes, LIMITS, np.array([], np.int64)) == []


def test_a_unit_that_is_too_large_is_refused_with_its_size() -> None:
    with pytest.raises(UsageError, match=r"exceed \(100, 10\), but unit 1 has \(50, 11\)"):
        pack(np.array([(50, 10), (50, 11)], np.int64), LIMITS, np.arange(2))


def test_lengths_of_one_to_twenty_fill_packs_in_small_windows_too() -> None:
    random = np.random.default_rng(3)
    tokens = np.exp(random.uniform(np.log(100), np.log(2000), 8000)).astype(np.int64)
    sizes = np.stack([tokens, np.minimum(tokens // 256, 7)], axis=1)
    for window in (200, 4096):
        packs = pack(sizes, (16_384, 48), random.permutation(len(sizes)), window)
        assert len(packs) <= 1.05 * fewest_packs(sizes, (16_384, 48))


@pytest.fixture(scope="module")
def vqa_rad(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packing") / "vqa-rad"
    converter = load_converter("vqa-rad")
    source = real_data / "medical" / "longle0702__med-v2qa" / "data_RAD"
    convert(converter, source, folder, converter.settings_type(leakage="as-published"))
    return folder


@pytest.mark.parametrize("max_tiles", [6, 12])
def test_vqa_rad_is_packed_close_to_the_bound(vqa_rad: Path, max_tiles: int) -> None:
    """At the published sizes: 256 tokens a tile, packs of 16,384 tokens and 48 tiles (mini-internvl.md, section 1.1).

    With 12 tiles most images have 13 with the thumbnail, of which three fit a pack and nine tiles are left over.
    """
    tiny = find_checkpoint("tiny")
    preprocessing = Preprocessing(max_tiles=max_tiles)
    encoder = ConversationEncoder(read_tokenizer(tiny), read_spec(tiny).chat, preprocessing.tokens_per_tile)
    rows = []
    for sample in read_samples(vqa_rad, Split.TRAIN):
        tiles = [grid.tile_count for grid in preprocessing.grids(sample.images)]
        rows.append((len(encoder.encode(sample.turns, tiles).input_ids), sum(tiles)))
    sizes = np.array(rows, np.int64)
    assert len(sizes) > 2500
    packs = pack(sizes, (16_384, 48), np.random.default_rng(0).permutation(len(sizes)))
    assert len(packs) <= 1.10 * fewest_packs(sizes, (16_384, 48))
