"""The global affine transform between two views."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from zoomed_views import make_scene

from domainvl.enhance.pairs.affine import Affine, find_affine
from domainvl.enhance.pairs.planes import Grey


def _views(seed: int, transform: Affine, contrast: float = 1.0) -> tuple[Grey, Grey]:
    scene = make_scene(seed, 120, 140, 1)[0] - 0.5
    fixed = ndimage.map_coordinates(scene, transform.places(120, 140), order=3, mode="nearest")
    everywhere = np.ones(scene.shape, bool)
    return Grey(contrast * fixed, everywhere), Grey(scene, everywhere)


@pytest.mark.parametrize(
    ("seed", "linear", "shift_px"),
    [
        (0, (1.0, 0.0, 0.0, 1.0), (1.5, -2.25)),
        (1, (1.02, 0.0, 0.0, 0.99), (0.0, 0.5)),
        (2, (0.9998, 0.0175, -0.0175, 0.9998), (1.0, 2.0)),  # a degree
    ],
)
def test_a_known_transform_is_found_to_a_tenth_of_a_pixel_everywhere(
    seed: int, linear: tuple[float, float, float, float], shift_px: tuple[float, float]
) -> None:
    truth = Affine(linear, shift_px)
    middle = truth.places(120, 140)[:, 60, 70] - (60, 70)
    found = find_affine(*_views(seed, truth, contrast=0.6), (round(middle[0]), round(middle[1])))
    assert found is not None
    assert np.abs(found.places(120, 140) - truth.places(120, 140)).max() < 0.1


def test_places_between_pixels_are_those_of_the_transform() -> None:
    transform = Affine((1.0, 0.0, 0.0, 1.0), (0.5, -1.0))
    # In twice as many pixels the same shift has twice the length.
    assert (transform.places(2, 3, scale=2) - np.mgrid[:4, :6]) == pytest.approx(
        np.broadcast_to(np.array([1.0, -2.0])[:, None, None], (2, 4, 6))
    )


def test_large_views_are_looked_at_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domainvl.enhance.pairs.affine._LARGEST_SIDE_PX", 70)
    truth = Affine((1.01, 0.005, -0.005, 0.99), (2.0, -1.0))
    found = find_affine(*_views(3, truth), (2.5, -1.5))
    assert found is not None
    assert np.abs(found.places(120, 140) - truth.places(120, 140)).max() < 0.2


def test_a_transform_in_smaller_pixels_leads_to_the_same_places() -> None:
    transform = Affine((1.2, 0.1, -0.1, 0.8), (0.5, -1.0))
    assert transform.in_smaller_pixels(3).places(6, 9) == pytest.approx(transform.places(2, 3, scale=3))


def test_views_of_nothing_have_no_transform() -> None:
    flat = Grey(np.zeros((40, 40)), np.ones((40, 40), bool))
    assert find_affine(flat, flat, (0.0, 0.0)) is None


def test_views_that_hardly_overlap_have_no_transform() -> None:
    fixed, moving = _views(0, Affine((1.0, 0.0, 0.0, 1.0), (0.0, 0.0)))
    assert find_affine(fixed, moving, (100.0, 0.0)) is None
