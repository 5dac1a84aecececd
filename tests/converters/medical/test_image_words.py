"""What prompts say of series and windows, and that the wording takes the names of images."""

from __future__ import annotations

import pytest

from domainvl.converters.medical.image_words import projection_preface, series_preface, window_preface, with_preface
from domainvl.converters.medical.looks import Look
from domainvl.schema import Image, Source, Task, TextAnswer
from domainvl.schema.questions import Question
from domainvl.schema.wording import image_prefix


def test_a_series_is_said_in_its_order_with_its_places():
    said, names = series_preface([10.0, 15.0, 22.46], plane="axial", modality="CT", along_axis=True)

    assert said == "The 3 images are axial CT slices from feet to head, at 0, 5 and 12.5 mm."
    assert names == ["Slice 1 (0 mm)", "Slice 2 (5 mm)", "Slice 3 (12.5 mm)"]


# x points to the patient's left, y to the back, z to the head (PS3.3 C.7.6.2.1.1).
@pytest.mark.parametrize(
    ("plane", "along", "against"),
    [
        ("axial", "from feet to head", "from head to feet"),
        ("coronal", "from front to back", "from back to front"),
        ("sagittal", "from right to left", "from left to right"),
    ],
)
def test_the_way_through_the_patient(plane, along, against):
    assert f"{plane} slices {along}, at" in series_preface([0, 1], plane=plane, along_axis=True)[0]
    assert f"{plane} slices {against}, at" in series_preface([0, 1], plane=plane, along_axis=False)[0]
    assert f"{plane} slices in anatomical order, at 0 and 1 mm." in series_preface([0, 1], plane=plane)[0]


def test_positions_may_run_down():
    assert series_preface([30.0, 20.0, 5.0], plane=None)[0].endswith("at 0, 10 and 25 mm.")


@pytest.mark.parametrize("positions", [[None, None], [0.0, None]])
def test_unknown_places_are_not_said(positions):
    said, names = series_preface(positions, plane="coronal", modality="MR", along_axis=True)

    assert said == "The 2 images are coronal MR slices."
    assert names == ["Slice 1", "Slice 2"]


def test_a_cine_is_in_order_of_time():
    said, names = series_preface([None] * 2, plane=None, modality="ultrasound", is_cine=True)

    assert said == "The 2 images are ultrasound frames of one recording in order of time."
    assert names == ["Frame 1", "Frame 2"]


def test_a_montage_is_one_image():
    said, _ = series_preface([0, 4], plane="axial", modality="CT", along_axis=True, in_one_image=True)

    assert said == (
        "The image shows 2 axial CT slices from feet to head, row by row from the upper left, at 0 and 4 mm."
    )


def test_a_projection_says_how_thick_it_is():
    assert projection_preface(10.0, plane="axial", modality="CT") == (
        "The image is a maximum-intensity projection of axial CT slices over 10 mm."
    )


def test_med_03_windows_are_declared_in_the_prompt():
    lung, bone, packed = (Look.parse(text) for text in ("lung", "40/400", "lung,soft,bone"))

    assert window_preface(lung.windows[0].name) == "The image shows the lung window."
    assert "40" in window_preface(bone.windows[0].name)
    name = ", ".join(
        f"{colour}: {thing.name}" for colour, thing in zip(("red", "green", "blue"), packed.windows, strict=True)
    )
    assert window_preface(name) == (
        "The colours of the image are three windows (red: lung window, green: soft tissue window, blue: bone window)."
    )


def test_the_default_window_is_not_said():
    assert window_preface(Look.parse().windows[0].name) is None
    assert window_preface(None) is None
    assert window_preface("") is None


def test_names_of_images_stand_before_them():
    images = [
        Image(path="a.png", width_px=1, height_px=1, pixel_sha256="0", view=name, source=Source(uri="a"))
        for name in series_preface([0, 5], plane=None)[1]
    ]

    assert image_prefix(images) == "Slice 1 (0 mm): <image>\nSlice 2 (5 mm): <image>\n"


def test_a_preface_comes_before_another():
    asked = [
        Question("a", Task.VQA, "What?", TextAnswer(text="x")),
        Question("b", Task.VQA, "What?", TextAnswer(text="x"), preface="Second."),
    ]

    assert [question.preface for question in with_preface(asked, "First.")] == ["First.", "First. Second."]
    assert with_preface(asked, None) == asked
