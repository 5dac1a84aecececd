from __future__ import annotations

import itertools

import numpy as np
import pytest

from domainvl.converters.medical.breast import BreastFacts, breast_box, breast_turn
from domainvl.converters.medical.display import Turn

# PatientOrientation names where the right and the lower side lie; the chest wall is at the back (P).
STORED = [
    ({"patient_orientation": ("A", "R")}, "left"),
    ({"patient_orientation": ("P", "L")}, "right"),
    ({"patient_orientation": ("AR", "FL")}, "left"),
    ({"patient_orientation": ("PL", "FR"), "laterality": "L", "view": "MLO"}, "right"),
    ({"patient_orientation": ("L", "A")}, "top"),
    ({"patient_orientation": ("L", "P")}, "bottom"),
    ({"laterality": "L", "view": "CC"}, "left"),
    ({"laterality": "R", "view": "CC"}, "right"),
    ({"laterality": "L", "view": "MLO", "horizontal_flip": "YES"}, "right"),
    ({"laterality": "R", "view": "MLO", "horizontal_flip": "YES"}, "left"),
    ({"laterality": "R", "view": "MLO", "horizontal_flip": "NO"}, "right"),
]


def breast(side):
    """Half of a disc at the left edge, or at another edge, with a bright label in the far corner."""
    y, x = np.mgrid[0:200, 0:120]
    image = np.where((x / 80) ** 2 + ((y - 100) / 60) ** 2 < 1, 90, 0).astype(np.uint8)
    image[10:22, 100:114] = 255
    return {"left": image, "right": image[:, ::-1], "top": image.T, "bottom": image.T[::-1]}[side]


@pytest.mark.parametrize(("facts", "side"), STORED)
def test_med_29_all_mammograms_face_one_way_with_the_chest_wall_on_the_left(facts, side):
    turn = breast_turn(BreastFacts(**facts))
    shown = turn.apply(breast(side))
    assert shown[100, 0] > 0 and shown[100, -1] == 0
    assert (turn == Turn()) == (side == "left")


@pytest.mark.parametrize(
    "facts",
    [{}, {"laterality": "L"}, {"laterality": "B", "view": "CC"}, {"laterality": "R", "view": "CV"},
     {"patient_orientation": ("L", "F")}, {"patient_orientation": ("", "")}],
)  # fmt: skip
def test_med_29_what_the_header_does_not_tell_is_not_guessed(facts):
    assert breast_turn(BreastFacts(**facts)) is None


@pytest.mark.parametrize(("scale", "colour"), list(itertools.product([1, 9], [False, True])))
def test_med_29_the_crop_is_the_breast_without_labels_and_noise(scale, colour):
    image = np.kron(breast("left"), np.ones((scale, scale), np.uint8))
    image = image + np.random.default_rng(0).integers(0, 3, image.shape, np.uint8).clip(0, 255 - image)
    pixels = np.stack([image] * 3, axis=-1) if colour else image
    x_min, y_min, x_max, y_max = breast_box(pixels)
    # The half disc reaches from 41 to 159 and to column 79 inclusive; the label begins at column 100.
    assert x_min == 0
    for found, side in ((y_min, 41), (x_max, 80), (y_max, 160)):
        assert abs(found - side * scale) <= 2 * scale
    assert y_min <= 41 * scale and x_max >= 80 * scale and y_max >= 160 * scale


@pytest.mark.parametrize("grey", [0, 77])
def test_med_29_an_even_image_is_not_cut(grey):
    assert breast_box(np.full((40, 30), grey, np.uint8)) == (0, 0, 30, 40)
