"""Pictures of a run show what there is, flow by direction and length."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from domainvl.enhance.training.look import Seen
from domainvl.enhance.training.pictures import draw_flow, draw_panel, valid_in
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


@pytest.mark.parametrize("same_bands", [True, False])
def test_what_is_not_valid_is_grey_in_every_view(same_bands: bool) -> None:
    seen = a_sight(3, 1.0, same_bands=same_bands)
    whole = opened(draw_panel(seen))
    seen.window.valid[:, 8:] = False
    drawn = opened(draw_panel(seen))
    grey = (np.abs(drawn - 127.5) < 1).all(axis=2)
    assert not (np.abs(whole - 127.5) < 1).all(axis=2).any(axis=1)[100:-100].any()
    # Half of each of the four views.
    for part in np.array_split(grey[grey.shape[0] // 2], 4):
        assert 0.4 < part.mean() < 0.5


def test_a_low_pixel_is_valid_where_any_of_its_high_pixels_is() -> None:
    valid = np.zeros((4, 6), bool)
    valid[3, 2] = True
    assert valid_in(valid, (2, 3)).tolist() == [[False] * 3, [False, True, False]]
    assert (valid_in(valid, (4, 6)) == valid).all()


def test_flow_where_nothing_is_valid_is_grey_and_does_not_scale_the_rest() -> None:
    flow = np.zeros((2, 32, 32), np.float32)
    flow[0, :, :16] = 2.0
    flow[1, :, 16:] = 50.0
    valid = np.zeros((32, 32), bool)
    valid[:, :16] = True
    drawn = opened(draw_flow(flow, "scene", valid))
    assert (np.abs(drawn - [128, 255, 0]).sum(axis=2) < 30).sum() > 5000  # down at full depth
    assert (np.abs(drawn - 127.5).max(axis=2) < 1).sum() > 5000
