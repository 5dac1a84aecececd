"""What samples show of a series, and what they ask: forms, choices of slices, windows, marks and tasks."""

from __future__ import annotations

import numpy as np
import pytest
from dicom_annotations import write_key_objects, write_segmentation
from dicom_series import (
    details_of,
    make_series,
    make_slice,
    numbered,
    pixels_of,
    save,
    slice_number,
    write_series,
)
from pydicom.uid import UltrasoundMultiFrameImageStorage

from domainvl.converters.medical.tasks import TASKS
from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import Task

FROM_HEAD = (-1, 0, 0, 0, 1, 0)
"""Axial slices whose rows run to the patient's right: their normal points to the feet."""


def write_labels(path, *rows):
    path.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n" + "\n".join(rows) + "\n")
    return path


def shades(out, sample):
    """The value of the pixel that tells slices of :func:`numbered` apart, image by image."""
    return [int(pixels_of(out, sample, image)[9, 9]) for image in range(len(sample.images))]


def asked(sample):
    """The first human turn."""
    return sample.turns[0].text


# Forms


@pytest.mark.parametrize(("cosines", "step"), [((1, 0, 0, 0, 1, 0), 5), (FROM_HEAD, 5), ((1, 0, 0, 0, 1, 0), -5)])
def test_med_28_a_series_runs_from_feet_to_head_with_its_positions_in_the_prompt(
    tmp_path, convert_dicom, cosines, step
):
    write_series(tmp_path / "in", numbered(3), cosines=cosines, step_mm=step)
    _, (sample,), _ = convert_dicom(tmp_path / "in", forms="series", tasks="modality")
    # The first slice written lies at the feet, unless the normal points there or the steps go back.
    is_reversed = (cosines == FROM_HEAD) != (step < 0)
    assert shades(tmp_path / "out", sample) == ([30, 20, 10] if is_reversed else [10, 20, 30])
    assert [image.view for image in sample.images] == ["Slice 1 (0 mm)", "Slice 2 (5 mm)", "Slice 3 (10 mm)"]
    assert "The 3 images are axial CT slices from feet to head, at 0, 5 and 10 mm." in asked(sample)
    assert asked(sample).count("<image>") == 3
    assert slice_number(sample) == "0000-0002"


def test_med_28_a_series_holds_no_more_images_than_asked_for(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(9))
    _, (sample,), rejects = convert_dicom(
        tmp_path / "in", forms="series", tasks="modality", images_per_sample=3, select="every:10"
    )
    # Of 40 mm at every 10 mm five slices are chosen, and of these the middles of three equal parts.
    assert shades(tmp_path / "out", sample) == [10, 50, 90]
    assert "at 0, 20 and 40 mm." in asked(sample)
    assert [reject["reason"] for reject in rejects] == ["not-selected"]


def test_med_28_a_montage_shows_the_slices_row_by_row_with_their_boxes(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(3))
    labels = write_labels(tmp_path / "l.csv", "1.2.3.4.2,cyst,3,4,9,11", "1.2.3.4.3,cyst,2,2,6,8", "1.2.3.4.1,,,,,")
    _, samples, _ = convert_dicom(tmp_path / "in", forms="montage", labels=labels, tasks="modality,presence")
    sample = samples[0]
    shown = pixels_of(tmp_path / "out", sample)
    volume = numbered(3)
    empty = np.zeros((24, 16))
    np.testing.assert_array_equal(shown, np.block([[volume[0], volume[1]], [volume[2], empty]]))
    # The second slice stands 16 px to the right, the third 24 px down.
    assert [thing.box_px for thing in sample.objects] == [(19, 4, 25, 11), (2, 26, 6, 32)]
    assert "The image shows 3 axial CT slices from feet to head, row by row from the upper left" in asked(sample)
    assert {sample.task for sample in samples} == {Task.CLASSIFICATION, Task.PRESENCE}


@pytest.mark.parametrize("cosines", [(1, 0, 0, 0, 1, 0), FROM_HEAD])
def test_med_28_a_projection_holds_the_maxima_of_its_slab(tmp_path, convert_dicom, cosines):
    volume = np.random.default_rng(0).integers(0, 256, (5, 12, 10)).astype(np.int16)
    write_series(tmp_path / "in", volume, cosines=cosines)
    _, samples, rejects = convert_dicom(tmp_path / "in", forms="mip", slab_mm=10, tasks="modality")
    # Slices at 0 and 5, at 10 and 15 mm; the one at 20 mm is alone in its slab.
    expected = [volume[:2].max(axis=0), volume[2:4].max(axis=0)]
    assert [(reject["input"].split("/")[2], reject["severity"]) for reject in rejects] == [("0004-0004", "skipped")]
    for sample, maxima in zip(samples, expected, strict=True):
        shown = pixels_of(tmp_path / "out", sample)
        np.testing.assert_array_equal(shown, maxima if cosines != FROM_HEAD else maxima[:, ::-1])
        assert "maximum-intensity projection of axial CT slices over 10 mm" in asked(sample)
    assert details_of(samples[1])["projection"] == {"maximum_of": [2, 3]}


def test_med_28_a_projection_needs_geometry(tmp_path, convert_dicom):
    for number in range(2):
        save(make_slice(numbered(2)[number], SOPInstanceUID=f"1.{number}", InstanceNumber=number),
             tmp_path / "in" / f"{number}")  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in", forms="mip,slices", tasks="modality")
    assert len(samples) == 2
    assert [(reject["reason"], reject["severity"]) for reject in rejects] == [("mip-no-volume", "skipped")]


def test_med_27_a_video_shows_the_frames_of_a_cine_in_order_of_time(tmp_path, convert_dicom):
    frames = numbered(4, 16, 16).astype(np.uint8)
    cine = make_slice(
        frames.reshape(64, 16), Rows=16, NumberOfFrames=4, Modality="US", FrameTime=40,
        SOPClassUID=UltrasoundMultiFrameImageStorage,
    )  # fmt: skip
    save(cine, tmp_path / "in" / "a")
    _, (sample,), _ = convert_dicom(
        tmp_path / "in", forms="video", tasks="modality", burnt_in="allow", pixel_text="off"
    )
    assert shades(tmp_path / "out", sample) == [10, 20, 30, 40]
    assert [image.frame for image in sample.images] == [1, 2, 3, 4]
    assert asked(sample).startswith("Frame1: <image>\nFrame2: <image>\n")
    assert "The 4 images are ultrasound frames of one recording in order of time." in asked(sample)


def test_med_28_all_forms_at_once_show_the_same_slices(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(3))
    _, samples, rejects = convert_dicom(
        tmp_path / "in", forms="slices,series,montage,mip,video", tasks="modality", slab_mm=100
    )
    assert not rejects
    kinds = [sample.id.split("/")[2:-1] for sample in samples]
    assert sorted(map(tuple, kinds)) == [
        ("0000",), ("0000-0002", "mip"), ("0000-0002", "montage"), ("0000-0002", "series"), ("0000-0002", "video"),
        ("0001",), ("0002",),
    ]  # fmt: skip
    assert {sample.answer.text for sample in samples} == {"CT"}


def test_a_slice_that_cannot_be_read_is_left_out_of_the_series(tmp_path, convert_dicom):
    slices = make_series(numbered(3))
    slices[1].PixelData = slices[1].PixelData[:100]
    for dataset in slices:
        save(dataset, tmp_path / "in" / f"{dataset.InstanceNumber}")
    _, (sample,), rejects = convert_dicom(tmp_path / "in", forms="series", tasks="modality")
    assert shades(tmp_path / "out", sample) == [10, 30]
    assert "The 2 images are axial CT slices from feet to head, at 0 and 10 mm." in asked(sample)
    assert [reject["reason"] for reject in rejects] == ["truncated"]


def test_forms_that_do_not_exist_are_refused(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(1))
    with pytest.raises(UsageError, match="--forms"):
        convert_dicom(tmp_path / "in", forms="slices,hologram")


# Which slices


@pytest.mark.parametrize(
    ("select", "places"),
    [
        ("all", [0, 1, 2, 3, 4, 5]),
        ("every:10", [0, 2, 4]),  # at 0, 10 and 20 of 0 to 25 mm
        ("even:2", [1, 4]),  # the middles of two halves, 6.25 and 18.75 mm, lie nearest to 5 and 20 mm
        ("around:5", [1, 2, 3]),
    ],
)
def test_med_28_slices_are_selected_in_millimetres(tmp_path, convert_dicom, select, places):
    write_series(tmp_path / "in", numbered(6))
    labels = write_labels(tmp_path / "labels.csv", "1.2.3.4.3,cyst,3,4,9,11", "1.2.3.4.6,,,,,")
    _, samples, rejects = convert_dicom(tmp_path / "in", select=select, labels=labels, tasks="modality")
    assert [int(slice_number(sample)) for sample in samples] == places
    left_out = [reject for reject in rejects if reject["reason"] == "not-selected"]
    assert [reject["message"] for reject in left_out] == (
        [] if select == "all" else [f"{6 - len(places)} of 6 slices are left out by --select {select}"]
    )


def test_med_28_series_of_1_and_5_mm_give_the_same_levels(tmp_path, convert_dicom):
    """One phantom whose value is its height: slices at every mm and at every 5 mm, the first at -12 mm and -10 mm."""
    for name, step, start, count in (("thin", 1, -12, 25), ("thick", 5, -10, 5)):
        heights = [start + step * number for number in range(count)]
        volume = np.stack([np.full((16, 16), 100 + height, np.int16) for height in heights])
        volume[:, 0, :2] = 0, 255
        write_series(tmp_path / name, volume, heights_mm=heights)
    seen = {}
    for name in ("thin", "thick"):
        _, samples, _ = convert_dicom(tmp_path / name, select="every:10", tasks="modality")
        seen[name] = [shades(tmp_path / "out", sample) for sample in samples]
    assert seen["thin"] == seen["thick"] == [[90], [100], [110]]


def test_med_42_slices_around_a_key_object_are_selected(tmp_path, convert_dicom):
    slices = make_series(numbered(6))
    for dataset in slices:
        save(dataset, tmp_path / "in" / f"{dataset.InstanceNumber}")
    write_key_objects(tmp_path / "in" / "note", slices[4])
    _, samples, _ = convert_dicom(tmp_path / "in", select="around:5", tasks="modality")
    assert [int(slice_number(sample)) for sample in samples] == [3, 4, 5]


def test_header_questions_are_asked_of_so_many_slices_of_a_stack(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(6))
    labels = write_labels(tmp_path / "labels.csv", *(f"1.2.3.4.{number},,,,," for number in range(1, 7)),
                          "1.2.3.4.1,cyst,3,4,9,11")  # fmt: skip
    _, samples, rejects = convert_dicom(tmp_path / "in", header_slices_per_stack=2, labels=labels)
    modality = [slice_number(sample) for sample in samples if sample.id.endswith("/modality")]
    assert modality == ["0001", "0004"]
    assert {slice_number(sample) for sample in samples if sample.task is Task.PRESENCE} == {
        f"{number:04d}" for number in range(6)
    }
    assert not rejects
    _, samples, rejects = convert_dicom(tmp_path / "in", header_slices_per_stack=2)
    assert {slice_number(sample) for sample in samples} == {"0001", "0004"}
    assert [reject["reason"] for reject in rejects] == ["no-question"] * 4


# Windows


def ct(tmp_path):
    """Values from -1000 to 1550 HU."""
    values = np.arange(-1000, 1560, 10, dtype=np.int16).reshape(16, 16)
    write_series(tmp_path / "in", values[None], WindowCenter=None, WindowWidth=None)
    return values.astype(float)


def linear(values, center, width):
    """PS3.3 C.11.2.1.2.1."""
    return np.rint(np.clip(((values - (center - 0.5)) / (width - 1) + 0.5) * 255, 0, 255)).astype(np.uint8)


WINDOWS = {"lung": (-600, 1500), "soft": (40, 400), "bone": (400, 1800)}


def test_med_03_several_windows_become_several_images_that_prompts_name(tmp_path, convert_dicom):
    values = ct(tmp_path)
    _, samples, _ = convert_dicom(tmp_path / "in", windows="lung,soft,bone", tasks="modality")
    (sample,) = samples
    assert [image.view for image in sample.images] == ["lung window", "soft tissue window", "bone window"]
    for place, window in enumerate(WINDOWS.values()):
        np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample, place), linear(values, *window))
        assert details_of(sample, place)["window"]["center"] == window[0]
    for name in ("lung window", "soft tissue window", "bone window"):
        assert f"{name}: <image>" in asked(sample)


def test_med_03_three_windows_become_the_colours_of_one_image(tmp_path, convert_dicom):
    values = ct(tmp_path)
    _, (sample,), _ = convert_dicom(tmp_path / "in", windows="lung,soft,bone", pack="rgb", tasks="modality")
    shown = pixels_of(tmp_path / "out", sample)
    for channel, window in enumerate(WINDOWS.values()):
        np.testing.assert_array_equal(shown[..., channel], linear(values, *window))
    assert "three windows (red: lung window, green: soft tissue window, blue: bone window)" in asked(sample)


def test_med_03_one_window_is_named_in_the_prompt(tmp_path, convert_dicom):
    values = ct(tmp_path)
    _, (sample,), _ = convert_dicom(tmp_path / "in", windows="40/80", tasks="modality")
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample), linear(values, 40, 80))
    assert "The image shows the window 40/80." in asked(sample)
    assert sample.images[0].view is None
    _, (sample,), _ = convert_dicom(tmp_path / "in", tasks="modality")
    assert "window" not in asked(sample)


def test_med_03_windows_of_the_file_are_chosen_by_number_and_by_explanation(tmp_path, convert_dicom):
    values = ct(tmp_path)
    dataset = make_slice(
        values.astype(np.int16), WindowCenter=[40, -600], WindowWidth=[400, 1500],
        WindowCenterWidthExplanation=["SOFT", "LUNG"],
    )  # fmt: skip
    save(dataset, tmp_path / "in" / "000.dcm")
    for setting, window in (("auto", (40, 400)), ("file:2", (-600, 1500)), ("file:lung", (-600, 1500))):
        _, (sample,), _ = convert_dicom(tmp_path / "in", windows=setting, tasks="modality")
        np.testing.assert_array_equal(pixels_of(tmp_path / "out", sample), linear(values, *window))


# Things on slices


def with_organs(folder):
    """Four slices with a liver on the second and a spleen on the second and third, in masks of highdicom."""
    slices = make_series(numbered(4, 40, 40), BodyPartExamined="ABDOMEN")
    masks = np.zeros((4, 40, 40, 2), bool)
    masks[1, 10:30, 5:20, 0] = True
    masks[1:3, 12:25, 22:38, 1] = True
    for dataset in slices:
        save(dataset, folder / f"{dataset.InstanceNumber}")
    write_segmentation(folder / "seg", slices, masks, ["Liver", "Spleen"])
    return masks


@pytest.mark.parametrize("form", ["contour", "mask", "box"])
def test_a_marked_sample_differs_from_its_slice_in_the_mark_alone(tmp_path, convert_dicom, form):
    masks = with_organs(tmp_path / "in")
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="marked,modality", marks=form)
    plain = {slice_number(sample): sample for sample in samples if sample.id.endswith("/modality")}
    marked = {slice_number(sample): sample for sample in samples if sample.task is Task.MULTIPLE_CHOICE}
    assert set(marked) == {"0001", "0002"}
    for number, sample in marked.items():
        label = sample.answer.options[sample.answer.correct]
        assert label in ("Liver", "Spleen")
        region = masks[int(number), :, :, ("Liver", "Spleen").index(label)]
        shown = pixels_of(tmp_path / "out", sample)
        before = np.repeat(pixels_of(tmp_path / "out", plain[number])[..., None], 3, axis=2)
        changed = (shown != before).any(axis=2)
        assert changed.any()
        if form == "mask":
            np.testing.assert_array_equal(changed, region)
        else:
            rows, columns = np.nonzero(region)
            around = np.zeros_like(region)
            around[rows.min() - 1 : rows.max() + 2, columns.min() - 1 : columns.max() + 2] = True
            np.testing.assert_array_equal(changed, around & ~region)  # the organs are rectangles
        assert sample.turns[1].text == "AB"[sample.answer.correct]
        assert not sample.objects  # a box in the record would give the answer away
        mark = details_of(sample)["mark"]
        rows, columns = np.nonzero(region)
        assert mark["form"] == form
        assert mark["box_px"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        assert sample.group == plain[number].group


def test_components_of_a_segment_are_things_of_their_own_where_asked_for(tmp_path, convert_dicom):
    slices = make_series(numbered(1, 40, 40))
    masks = np.zeros((1, 40, 40, 1), bool)
    masks[0, 5:15, 5:15], masks[0, 20:35, 20:30] = True, True
    save(slices[0], tmp_path / "in" / "a")
    write_segmentation(tmp_path / "in" / "seg", slices, masks, ["Liver"])
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="presence")
    assert [thing.box_px for thing in samples[0].objects] == [(5, 5, 30, 35)]
    _, samples, _ = convert_dicom(tmp_path / "in", tasks="counting", components=True)
    assert [thing.box_px for thing in samples[0].objects] == [(5, 5, 15, 15), (20, 20, 30, 35)]
    assert samples[0].answer.count == 2


# Tasks

KEYS = {
    "modality": {"modality"},
    "body-part": {"body-part"},
    "view": {"view"},
    "laterality": {"laterality"},
    "plane": {"plane"},
    "presence": {"presence-yes", "presence-no"},
    "counting": {"counting"},
    "grounding": {"grounding-finding-1", "grounding-finding-2"},
    "region": {"region"},
    "detection": {"detection"},
    "caption": {"caption", "region-caption"},
    "choice": {"choice"},
    "marked": {"marked-contour", "marked-mask", "marked-box"},
    "measurement": {"measurement-area", "measurement-diameter"},
    "label": {"label-yes", "label-no", "label-class", "property-1"},
    "report": {"report-findings", "report-impression"},
}
"""The last part of the ids of samples, by task."""


@pytest.fixture
def everything(tmp_path):
    """What answers every kind of question: a CT with organs and a mammogram with a report and labels."""
    with_organs(tmp_path / "in")
    breast = make_slice(
        np.arange(1600, dtype=np.uint16).reshape(40, 40) % 256, Modality="MG", BodyPartExamined="BREAST",
        ImageLaterality="L", ViewPosition="MLO", SOPInstanceUID="1.9", SeriesInstanceUID="1.8", StudyInstanceUID="1.7",
        AccessionNumber="77",
    )  # fmt: skip
    save(breast, tmp_path / "in" / "mg")
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "77.txt").write_text("FINDINGS: A mass of 8 mm.\nIMPRESSION: Benign.\n")
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,label,present,density\n1.9,mass,1,C\n1.9,cyst,0,\n")
    known = {"labels": labels, "properties": "density", "reports": tmp_path / "reports", "components": True}
    return {"source": tmp_path / "in", **known}


def test_every_task_alone_asks_its_questions_and_no_others(everything, convert_dicom):
    source = everything.pop("source")
    assert set(KEYS) == set(TASKS)
    seen = {}
    for task in TASKS:
        _, samples, _ = convert_dicom(source, **everything, tasks=task)
        seen[task] = {sample.id.split("/", 3)[3] for sample in samples}
        assert seen[task] <= KEYS[task], task
        assert seen[task] == KEYS[task] or task == "marked", task
    _, samples, _ = convert_dicom(source, **everything, tasks="all")
    assert {sample.id.split("/", 3)[3] for sample in samples} == set.union(*seen.values())
    _, samples, _ = convert_dicom(source, **everything)
    automatic = set.union(*(names for task, names in seen.items() if task not in ("region", "detection", "caption")))
    assert {sample.id.split("/", 3)[3] for sample in samples} == automatic


def test_what_is_asked_is_answered_from_the_files(everything, convert_dicom):
    source = everything.pop("source")
    _, samples, _ = convert_dicom(source, **everything)
    by_key = {}
    for sample in samples:
        by_key.setdefault(sample.id.split("/", 3)[3], []).append(sample)
    assert {sample.answer.text for sample in by_key["modality"]} == {"CT", "mammogram"}
    assert [sample.answer.text for sample in by_key["view"]] == ["mediolateral oblique"]
    assert [sample.answer.text for sample in by_key["laterality"]] == ["left"]
    assert {sample.answer.text for sample in by_key["body-part"]} == {"abdomen", "breast"}
    assert [sample.answer.text for sample in by_key["report-findings"]] == ["A mass of 8 mm."]
    assert [sample.answer.text for sample in by_key["property-1"]] == ["C"]
    assert [sample.answer.text for sample in by_key["label-class"]] == ["mass"]
    # Rectangles of 20 x 15 px and of 13 x 16 px of 1 mm.
    sizes = {round(sample.answer.value, 6) for sample in by_key["measurement-area"]}
    assert sizes <= {300.0, 208.0} and sizes
    across = {sample.answer.value for sample in by_key["measurement-diameter"]}
    assert all(any(value == pytest.approx(np.hypot(*sides)) for sides in ((20, 15), (13, 16))) for value in across)


def test_slices_without_a_question_are_listed_with_a_way_out(tmp_path, convert_dicom):
    write_series(tmp_path / "in", numbered(2))
    write_series(
        tmp_path / "in" / "mr", numbered(1), Modality="MR", SeriesInstanceUID="1.7", root="1.8", BodyPartExamined="KNEE"
    )
    _, samples, rejects = convert_dicom(tmp_path / "in", tasks="body-part")
    assert [sample.answer.text for sample in samples] == ["knee"]
    assert [reject["reason"] for reject in rejects] == ["no-question"] * 2
    assert all("--tasks" in reject["action"] for reject in rejects)
    with pytest.raises(NothingToDoError):
        convert_dicom(tmp_path / "in", tasks="marked")
