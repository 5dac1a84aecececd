"""Six views become one image: which goes where, what is written into them, and where a point lands."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.ft2font import FT2Font
from PIL import Image as PillowImage

from domainvl.converters.driving.canvas import Canvas
from domainvl.converters.driving.rig import VIEW_ORDER
from domainvl.converters.driving.stitching import stitch, views_note
from domainvl.errors import ItemError

CORNERS = {
    "FRONT_LEFT": (0, 0), "FRONT": (896, 0), "FRONT_RIGHT": (1792, 0),
    "BACK_LEFT": (0, 448), "BACK": (896, 448), "BACK_RIGHT": (1792, 448),
}  # fmt: skip
MAGENTA = (255, 0, 255)


def flat(value, size_px=(1600, 900)):
    return np.full((size_px[1], size_px[0], 3), value, dtype=np.uint8)


def greys():
    return {view: flat(20 + 30 * place) for place, view in enumerate(CORNERS)}


def magenta(pixels):
    return (pixels == MAGENTA).all(axis=-1)


def test_drv_10_views_are_stitched_in_the_fixed_order_whatever_theirs_was():
    shuffled = {view: greys()[view] for view in sorted(CORNERS, reverse=True)}
    assert tuple(shuffled) != VIEW_ORDER
    whole = stitch(shuffled, labels=False)
    assert whole.shape == (896, 2688, 3)
    assert whole.dtype == np.uint8
    for place, (left, top) in enumerate(CORNERS.values()):
        assert (whole[top : top + 448, left : left + 896] == 20 + 30 * place).all()
    assert np.array_equal(whole, stitch(greys(), labels=False))


@pytest.mark.parametrize("view", CORNERS)
@pytest.mark.parametrize("corner", [(0.0, 0.0), (1600.0, 900.0)])
def test_drv_11_a_marked_corner_lands_where_the_formula_says(view, corner):
    images = {name: flat(0) for name in CORNERS}
    inward_x, inward_y = (1 if corner[0] == 0 else -1), (1 if corner[1] == 0 else -1)
    columns = slice(0, 50) if corner[0] == 0 else slice(1550, 1600)
    rows = slice(0, 60) if corner[1] == 0 else slice(840, 900)
    images[view][rows, columns] = 255
    lit_rows, lit_columns = np.nonzero(stitch(images, labels=False).max(axis=-1) > 127)
    # 50 of 1600 px are 28 of 896, 60 of 900 px are 29.9 of 448.
    found_x = [lit_columns.min(), lit_columns.max() + 1]
    found_y = [lit_rows.min(), lit_rows.max() + 1]
    x, y = CORNERS[view][0] + corner[0] * 0.56, CORNERS[view][1] + corner[1] * 448 / 900
    assert found_x == sorted([round(x), round(x) + 28 * inward_x])
    assert found_y == sorted([round(y), round(y) + 30 * inward_y])
    assert Canvas.stitched().to_canvas(view, corner, (1600, 900)) == pytest.approx((x, y))


def test_drv_11_a_view_is_squeezed_as_pillow_does_by_default():
    noise = np.random.default_rng(0).integers(0, 256, (900, 1600, 3), dtype=np.uint8)
    whole = stitch({**greys(), "BACK": noise}, labels=False)
    assert np.array_equal(whole[448:, 896:1792], PillowImage.fromarray(noise).resize((896, 448)))


def test_drv_11_labels_are_as_wide_as_the_channels_names_in_bold():
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans-Bold.ttf"
    font = FT2Font(str(path))
    font.set_size(50, 72)
    whole = stitch(dict.fromkeys(CORNERS, flat(0)), labels=True)
    for view, (left, top) in CORNERS.items():
        font.set_text(f"CAM_{view}")
        columns = np.flatnonzero(whole[top : top + 448, left : left + 896].any(axis=(0, 2)))
        # In 64ths of a pixel; the two rasterisers fit letters to the grid in their own ways.
        assert columns.max() - columns.min() == pytest.approx(font.get_width_height()[0] / 64, rel=0.03)


def test_drv_11_labels_are_magenta_in_the_upper_left_of_each_view_and_nowhere_else():
    whole = stitch(greys(), labels=True)
    changed = (whole != stitch(greys(), labels=False)).any(axis=-1)
    width_of = {}
    for view, (left, top) in CORNERS.items():
        cell = changed[top : top + 448, left : left + 896]
        rows, columns = np.nonzero(cell)
        assert rows.max() < 65
        assert rows.min() < 20
        assert columns.min() < 10
        width_of[view] = columns.max()
        assert magenta(whole[top : top + 448, left : left + 896]).sum() > 1500
    # The longer the name, the wider; CAM_FRONT_RIGHT has fifteen letters, CAM_BACK eight.
    assert sorted(width_of, key=width_of.get) == [
        "BACK", "FRONT", "BACK_LEFT", "FRONT_LEFT", "BACK_RIGHT", "FRONT_RIGHT",
    ]  # fmt: skip


def test_drv_11_labels_are_written_where_no_font_is_installed(monkeypatch):
    expected = stitch(greys(), labels=True)
    asked = []

    def only_files(font=None, *args, **options):
        asked.append(str(font))
        return truetype(font, *args, **options)

    from domainvl.converters.driving import stitching

    truetype = stitching.ImageFont.truetype
    # An absolute path is opened as it is; a bare name would be looked for in the machine's font folders.
    monkeypatch.setattr(stitching.ImageFont, "truetype", only_files)
    monkeypatch.setenv("XDG_DATA_DIRS", "/nowhere")
    stitching._label_font.cache_clear()
    assert np.array_equal(stitch(greys(), labels=True), expected)
    assert len(asked) == 1
    assert asked[0].startswith("/")
    assert "matplotlib" in asked[0]


def test_drv_11_a_missing_view_is_named():
    images = greys()
    del images["BACK"]
    with pytest.raises(ItemError, match="none of BACK") as caught:
        stitch(images)
    assert caught.value.reason == "missing-image"


def test_drv_11_an_image_of_a_view_that_is_not_shown_is_refused():
    with pytest.raises(ItemError, match="'TOP'") as caught:
        stitch({**greys(), "TOP": flat(1)})
    assert caught.value.reason == "unknown-camera"


def test_drv_11_a_rig_with_other_cameras_and_sizes_is_stitched_by_the_same_rule():
    canvas = Canvas.stitched(["C", "A", "D", "B", "E"])
    assert canvas.views == ("A", "B", "C", "D", "E")
    assert canvas.size_px == (3 * 896, 2 * 448)
    images = {
        view: PillowImage.new("L", (300 + 10 * place, 200), 40 * place + 40) for place, view in enumerate("ABCDE")
    }
    whole = stitch(images, labels=False, canvas=canvas)
    assert [int(whole[100, 100 + 896 * column, 0]) for column in range(3)] == [40, 80, 120]
    assert [int(whole[548, 100 + 896 * column, 0]) for column in range(3)] == [160, 200, 0]


@pytest.mark.parametrize(("count", "size_px"), [(1, (896, 448)), (2, (896, 896)), (3, (1792, 896)), (7, (3584, 896))])
def test_drv_11_the_grid_has_two_rows(count, size_px):
    assert Canvas.stitched([f"V{number}" for number in range(count)]).size_px == size_px


@given(
    view=st.sampled_from(VIEW_ORDER),
    x=st.floats(0, 1),
    y=st.floats(0, 1),
    size_px=st.tuples(st.integers(1, 4000), st.integers(1, 4000)),
)
def test_drv_11_points_and_boxes_come_back_from_the_canvas(view, x, y, size_px):
    canvas = Canvas.stitched()
    point_px = (x * size_px[0], y * size_px[1])
    there = canvas.to_canvas(view, point_px, size_px)
    left, top = CORNERS[view]
    assert left <= there[0] <= left + 896
    assert top <= there[1] <= top + 448
    assert canvas.from_canvas(view, there, size_px) == pytest.approx(point_px, abs=1e-6)
    box_px = (0.0, 0.0, *point_px)
    assert canvas.box_to_canvas(view, box_px, size_px) == pytest.approx((left, top, *there))
    assert canvas.box_from_canvas(view, (left, top, *there), size_px) == pytest.approx(box_px, abs=1e-6)


@pytest.mark.parametrize(
    ("canvas", "said"),
    [
        (
            Canvas.stitched(),
            "The image shows six views of the ego vehicle. Upper row: FRONT_LEFT, FRONT, FRONT_RIGHT; "
            "lower row: BACK_LEFT, BACK, BACK_RIGHT.",
        ),
        (
            Canvas.stitched(["C", "A", "D", "B", "E"]),
            "The image shows five views of the ego vehicle. Upper row: A, B, C; lower row: D, E.",
        ),
        (Canvas.stitched(["A", "B"]), "The image shows two views of the ego vehicle. Upper row: A; lower row: B."),
        (Canvas(("A", "B"), 2, 8, 8), "The image shows two views of the ego vehicle. From left to right: A, B."),
        (Canvas(tuple("ABCDE"), 2, 8, 8), "The image shows five views of the ego vehicle. "
         "Row 1: A, B; row 2: C, D; row 3: E."),
        (Canvas.single("FRONT", 1600, 900), "This is the FRONT view of the ego vehicle."),
    ],
)  # fmt: skip
def test_drv_11_it_is_said_which_view_is_where(canvas, said):
    assert views_note(canvas) == said


@given(st.lists(st.sampled_from("ABCDEFGHIJK"), min_size=2, unique=True))
def test_drv_11_views_stand_in_the_row_in_which_they_are_said_to_stand(views):
    canvas = Canvas.stitched(views)
    upper, lower = views_note(canvas).removesuffix(".").split("Upper row: ")[1].split("; lower row: ")
    for row, said in enumerate((upper, lower)):
        corners = [canvas.corner_of(view) for view in said.split(", ")]
        assert {top for _, top in corners} == {row * 448}
        assert corners == sorted(corners)
    assert sorted([*upper.split(", "), *lower.split(", ")]) == sorted(views)


def test_drv_11_the_canvas_of_a_layout_shows_the_view_and_points_are_kept_inside_its_image():
    sizes_px = {"FRONT": (1600, 900), "BACK": (800, 600)}
    assert Canvas.of("stitched", "BACK", sizes_px) == Canvas.stitched(["FRONT", "BACK"])
    assert Canvas.of("single", "BACK", sizes_px) == Canvas.single("BACK", 800, 600)
    assert Canvas.clamp((-0.0, 601.0), (800, 600)) == (0.0, 600.0)
    assert str(Canvas.clamp((-0.0, -0.0), (800, 600))) == "(0.0, 0.0)"
    assert Canvas.clamp((801.5, 12.5), (800, 600)) == (800.0, 12.5)


def test_drv_11_a_view_alone_keeps_its_pixels():
    canvas = Canvas.single("FRONT", 1600, 900)
    assert canvas.size_px == (1600, 900)
    assert canvas.to_canvas("FRONT", (12.5, 7.0), (1600, 900)) == pytest.approx((12.5, 7.0))
    with pytest.raises(ItemError, match="'BACK'"):
        canvas.to_canvas("BACK", (1.0, 1.0), (1600, 900))
