"""Settings come from the preset, the pairs and what was asked for; what does not fit is said by its option's name."""

from __future__ import annotations

from typing import Any

import pytest

from domainvl.enhance.pairs.records import PairIndex, View
from domainvl.enhance.training.settings import differences, make_settings
from domainvl.errors import UsageError


def an_index(low_bands: int = 3, high_bands: int = 3, *, mosaic: bool = False, scale: int = 4) -> PairIndex:
    low, high = (
        View(bands=bands, dtype="uint8", low=(0.0,) * bands, high=(255.0,) * bands) for bands in (low_bands, high_bands)
    )
    return PairIndex(
        scale=scale,  # type: ignore[arg-type]
        layout="folders",
        mosaic=mosaic,
        low_view=low,
        high_view=high,
        settings={},
        counts={},
        rejected={},
    )


def test_the_published_preset_is_the_published_network_and_crop() -> None:
    settings = make_settings("published", an_index(1, 3, mosaic=True))
    network = settings.network
    assert (network.features, network.blocks, network.pack_block, network.flips) == (64, 16, 8, True)
    assert (network.scale, network.in_bands, network.out_bands, network.bicubic_skip) == (4, 1, 3, False)
    assert (settings.crop_px, settings.border_px, settings.batch) == (144, 32, 8)  # 576 high pixels, 512 in the loss
    assert (settings.learning_rate, settings.betas, settings.lowest_rate) == (2e-4, (0.9, 0.99), 1e-5)
    assert not settings.zero_first_offsets


def test_the_small_preset_adds_to_bicubic_only_where_the_bands_allow_it() -> None:
    assert make_settings("small", an_index(4, 4)).network.bicubic_skip
    assert not make_settings("small", an_index(4, 3)).network.bicubic_skip
    assert not make_settings("small", an_index(1, 1, mosaic=True)).network.bicubic_skip


def test_what_is_asked_for_goes_before_the_preset_and_the_border_follows_the_crop() -> None:
    settings = make_settings("small", an_index(scale=2), {"features": 8, "blocks": None}, {"crop_px": 72, "steps": 7})
    assert (settings.network.features, settings.network.blocks) == (8, 8)
    assert (settings.border_px, settings.steps, settings.validate_every, settings.save_every) == (8, 7, 1, 2)


@pytest.mark.parametrize(
    ("network", "training", "said"),
    [
        ({"pack_block": 8}, {"crop_px": 36}, "crop_px must be a multiple of the packing block of 8 px, got 36"),
        ({}, {"border_px": 64}, "border_px must leave something of 128 high pixels, got 64"),
        ({}, {"learning_rate": 1e-6}, "learning_rate must be at least lowest_rate"),
        ({}, {"learning_rate": -1.0}, "--lr: "),
        ({"largest_offset_px": 0.0}, {}, "--largest-offset-px: "),
        ({"features": 9999}, {}, "--features: "),
    ],
)
def test_what_breaks_a_rule_is_named(network: dict[str, Any], training: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match="Cannot train an enhancer") as caught:
        make_settings("small", an_index(), network, training)
    assert said in str(caught.value)


def test_a_plain_network_packs_nothing_so_any_crop_will_do() -> None:
    assert make_settings("small", an_index(), {"alignment": "none"}, {"crop_px": 30}).crop_px == 30


def test_runs_differ_in_what_changes_a_step_and_not_in_how_long_they_are() -> None:
    before = make_settings("small", an_index(), {}, {"steps": 100})
    longer = make_settings("small", an_index(), {}, {"steps": 900, "validate_every": 3, "save_every": 4})
    assert differences(before, longer) == []
    other = make_settings("small", an_index(), {"features": 16}, {"steps": 100, "learning_rate": 2e-4})
    assert differences(before, other) == ["network.features was 32, is 16", "learning_rate was 0.001, is 0.0002"]
