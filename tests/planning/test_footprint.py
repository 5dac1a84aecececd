"""Adding up a footprint, and the allowance of a GPU."""

from __future__ import annotations

import pytest

from domainvl.planning.footprint import Footprint, Kind

FOOTPRINT = Footprint({Kind.WEIGHTS: 1000, Kind.OPTIMIZER: 500, Kind.GRADIENTS: 200, Kind.ACTIVATIONS: 300})


def test_total_is_the_sum():
    assert FOOTPRINT.total_bytes == 2000


def test_allowance_is_seven_eighths_of_a_gib_and_a_quarter_of_what_comes_and_goes():
    assert FOOTPRINT.allowance_bytes == 896 * 1024 * 1024 + 125


@pytest.mark.parametrize(
    ("staying_gb", "coming_and_going_gb", "taken_gb"),
    [(2.11, 2.18, 5.42), (2.11, 4.29, 7.55), (1.58, 2.18, 4.77), (11.26, 7.37, 21.24)],
    ids=["LoRA, 1 sample", "LoRA, 2 samples", "QLoRA", "full"],
)
def test_the_allowance_covers_what_a_process_took_on_an_h100(staying_gb, coming_and_going_gb, taken_gb):
    predicted = Footprint({Kind.WEIGHTS: round(staying_gb * 1e9), Kind.WORKING: round(coming_and_going_gb * 1e9)})

    assert taken_gb < predicted.needed_bytes(on_gpu=True) / 1e9 < 1.13 * taken_gb


def test_a_cpu_needs_the_tensors_alone():
    assert FOOTPRINT.needed_bytes(on_gpu=False) == 2000
    assert FOOTPRINT.needed_bytes(on_gpu=True) == 2000 + FOOTPRINT.allowance_bytes
