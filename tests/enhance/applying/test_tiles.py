"""Spans of tiles and the weights with which they are blended."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.enhance.applying.tiles import Box, Span, even_spans, fade, full_spans


@pytest.mark.parametrize("length_px", [1, 31, 32, 33, 64, 65, 200, 1000])
def test_even_spans_cover_a_length_with_none_shorter_than_half_a_tile(length_px):
    spans = even_spans(length_px, 32)

    assert [span.start for span in spans] == [0, *(span.stop for span in spans[:-1])]
    assert spans[-1].stop == length_px
    assert max(span.length for span in spans) <= 32
    assert min(span.length for span in spans) >= min(16, length_px)
    assert len(spans) == -(-length_px // 32)


def test_full_spans_end_at_multiples_of_the_tile():
    assert full_spans(70, 32) == [Span(0, 32), Span(32, 64), Span(64, 70)]


@pytest.mark.parametrize("length_px", [32, 65, 100, 1000])
def test_the_weights_of_overlapping_tiles_add_up_to_one(length_px):
    scale, blend_px = 2, 4
    total = np.zeros(length_px * scale)
    for core in even_spans(length_px, 32):
        total[core.grown(blend_px, length_px).times(scale).slice] += fade(core, blend_px, length_px, scale)

    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_weight_rises_as_a_raised_cosine_across_the_border():
    weights = fade(Span(10, 20), 2, 30, 1)

    # Four pixels around each border, at t = 1/8, 3/8, 5/8, 7/8: (1 - cos(pi t)) / 2.
    rise = [0.0380602, 0.3086583, 0.6913417, 0.9619398]
    np.testing.assert_allclose(weights, [*rise, *[1] * 6, *rise[::-1]], atol=1e-6)


def test_a_window_is_grown_within_the_picture_and_counted_from_another():
    core = Box(Span(0, 8), Span(8, 16))
    outer = core.grown(3, (20, 17))

    assert outer == Box(Span(0, 11), Span(5, 17))
    assert core.within(outer) == Box(Span(0, 8), Span(3, 11))
    assert core.times(4) == Box(Span(0, 32), Span(32, 64))
