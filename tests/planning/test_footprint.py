"""Adding up a footprint, and the allowance of a GPU."""

from __future__ import annotations

from domainvl.planning.footprint import Footprint, Kind

FOOTPRINT = Footprint({Kind.WEIGHTS: 1000, Kind.OPTIMIZER: 500, Kind.GRADIENTS: 200, Kind.ACTIVATIONS: 300})


def test_total_is_the_sum():
    assert FOOTPRINT.total_bytes == 2000


def test_allowance_is_half_a_gib_and_a_tenth_of_what_comes_and_goes():
    assert FOOTPRINT.allowance_bytes == 512 * 1024 * 1024 + 50


def test_a_cpu_needs_the_tensors_alone():
    assert FOOTPRINT.needed_bytes(on_gpu=False) == 2000
    assert FOOTPRINT.needed_bytes(on_gpu=True) == 2000 + FOOTPRINT.allowance_bytes
