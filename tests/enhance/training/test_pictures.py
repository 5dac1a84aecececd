"""Pictures of a run show what there is, flow by direction and length."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from domainvl.enhance.training.look import Seen
from domainvl.enhance.training.pictures import draw_flow, draw_panel
from domainvl.enhance.training.views import Window


def opened(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def a_sight(bands: int, high: float, *, aligned: bool = True, same_bands: bool = True) -> Seen:
    low = np.full((bands if same_bands else 1, 8, 8), 0.2, np.float32)
    high_view = np.full((bands, 16, 16), high, np.float32)
    window = Window(low, low, high_view, np.ones((16, 16), bool))
    picture = np.full_like(high_view, 0.4)
    guided = picture if aligned else None
    flow = np.zeros((2, 8, 8), np.float32) if aligned else None
    return Seen(
        "scene $1 \\frac{$", window, np.full_like(high_view, 0.2) if same_bands else None, picture, guided, flow
    )


@pytest.mark.parametrize(
    ("bands", "aligned", "same_bands", "panels"), [(3, True, True, 4), (1, False, True, 3), (5, True, False, 4)]
)
def test_a_panel_shows_what_was_given_made_and_wanted(bands: int, aligned: bool, same_bands: bool, panels: int) -> None:
    drawn = opened(draw_panel(a_sight(bands, 1.7, aligned=aligned, same_bands=same_bands)))
    middle = drawn[drawn.shape[0] // 2]
    greys = [round(255 * share) for share in (0.2, 0.4)]
    assert all((np.abs(middle - grey) <= 1).all(axis=1).sum() > 100 for grey in greys)
    width = drawn.shape[1]
    assert abs(width / panels - 352) < 2  # 3.2 inches at 110 dots each


def test_flow_down_and_flow_right_have_the_wheel_s_colours() -> None:
    flow = np.zeros((2, 32, 32), np.float32)
    flow[0, :, :16] = 2.0  # left half: down
    flow[1, :, 16:] = 2.0  # right half: right
    drawn = opened(draw_flow(flow, "scene"))
    red = (np.abs(drawn - [255, 0, 0]).sum(axis=2) < 30).nonzero()[1]
    green = (np.abs(drawn - [128, 255, 0]).sum(axis=2) < 30).nonzero()[1]
    assert len(red) > 5000
    assert len(green) > 5000
    assert np.median(green) < np.median(red)


def test_no_flow_at_all_is_white() -> None:
    drawn = opened(draw_flow(np.zeros((2, 16, 16), np.float32), "scene"))
    assert (drawn[100:-100, 100:300] > 200).mean() > 0.9
