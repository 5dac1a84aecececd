"""Counting live bytes, operation by operation, on real tensors."""

from __future__ import annotations

import pytest
import torch

from domainvl.planning.footprint import Kind
from domainvl.planning.tracking import MemoryTracker


def test_a_tensor_counts_from_its_making_to_its_end():
    with MemoryTracker() as tracker:
        one = torch.ones(1000)  # float32
        assert tracker.live.total_bytes == 4000
        two = one * 2
        assert tracker.live.total_bytes == 8000
        del one
        assert tracker.live.total_bytes == 4000
        del two

    assert tracker.live.total_bytes == 0
    assert tracker.peak.total_bytes == 8000


def test_views_and_work_in_place_cost_nothing():
    with MemoryTracker() as tracker:
        one = torch.ones(10, 100)
        kept = [one.view(1000), one[3:], one.T, one.add_(1), one.detach()]

        assert tracker.live.total_bytes == 4000
        assert len(kept) == 5


def test_a_view_keeps_the_whole():
    with MemoryTracker() as tracker:
        part = torch.ones(1000)[:1]

        assert tracker.live.total_bytes == 4000
        assert part.numel() == 1


def test_what_autograd_keeps_is_held_until_the_backward_pass():
    weight = torch.ones(1000, requires_grad=True)
    with MemoryTracker() as tracker:
        loss = (weight.exp() * 3.0).sum()  # exp keeps its result; the product is gone
        assert tracker.live.total_bytes == 4000 + 4
        loss.backward()
        assert tracker.live.total_bytes == 4000 + 4  # the gradient and the loss

    assert weight.grad is not None


def test_types_count_by_their_bytes():
    with MemoryTracker() as tracker:
        kept = [torch.ones(10, dtype=dtype) for dtype in (torch.float64, torch.bfloat16, torch.bool, torch.int64)]

        assert tracker.live.total_bytes == 80 + 20 + 10 + 80
        assert len(kept) == 4


def test_tensors_count_for_the_phase_they_were_made_in():
    with MemoryTracker() as tracker:
        tracker.phase = Kind.ACTIVATIONS
        first = torch.ones(10)
        tracker.phase = Kind.LOGITS
        second = torch.ones(5)

        assert tracker.live.bytes_by_kind == {Kind.ACTIVATIONS: 40, Kind.LOGITS: 20}
        del first, second


def test_claiming_moves_a_tensor_and_counts_an_older_one():
    before = torch.ones(100)
    with MemoryTracker() as tracker:
        tracker.claim([before, before[:10]], Kind.WEIGHTS)
        tracker.phase = Kind.WORKING
        gradient = torch.ones(50)
        tracker.claim([gradient], Kind.GRADIENTS)

        assert tracker.live.bytes_by_kind == {Kind.WEIGHTS: 400, Kind.GRADIENTS: 200}


def test_the_peak_is_one_moment_and_can_be_forgotten():
    with MemoryTracker() as tracker:
        tracker.phase = Kind.ACTIVATIONS
        high = torch.ones(1000)
        del high
        tracker.phase = Kind.WORKING
        low = torch.ones(10)
        assert tracker.peak.bytes_by_kind == {Kind.ACTIVATIONS: 4000}
        tracker.restart()
        assert tracker.peak.bytes_by_kind == {Kind.WORKING: 40}
        del low


@pytest.mark.parametrize(("elements", "expected"), [(1, 512), (128, 512), (129, 1024), (1000, 4096)])
def test_storages_are_rounded_up_one_by_one(elements, expected):
    with MemoryTracker(granularity_bytes=512) as tracker:
        kept = torch.ones(elements)

        assert tracker.live.total_bytes == expected
        assert kept.numel() == elements


def test_it_can_be_entered_again():
    tracker = MemoryTracker()
    with tracker:
        kept = torch.ones(10)
    with tracker:
        more = kept + 1
        assert tracker.live.total_bytes == 80
        del more
    del kept
    assert tracker.live.total_bytes == 0
