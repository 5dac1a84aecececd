"""From files to ordered, turned and square images: the geometry of whole series, through the converter."""

from __future__ import annotations

import csv
import itertools
import json
import random

import numpy as np
import pytest
from dicom_series import (
    AXIAL,
    CORONAL,
    SAGITTAL,
    details_of,
    make_series,
    make_slice,
    numbered,
    pixels_of,
    save,
    slice_number,
    write_series,
)
from pydicom.uid import MRImageStorage

from domainvl.errors import ExitCode
from domainvl.schema import Task

ONLY = {"tasks": "modality"}
"""One sample a slice."""


def files_of(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


# MED-20: what a series is divided by


def test_med_20_a_localiser_of_three_orientations_is_three_stacks(tmp_path, convert_dicom):
    for number, cosines in enumerate((AXIAL, CORONAL, SAGITTAL)):
        write_series(
            tmp_path / "in" / str(number), numbered(2), cosines=cosines, root=f"1.2.{number}", Modality="MR",
            SeriesInstanceUID="1.2.3.3",
        )  # fmt: skip
    summary, samples, rejects = convert_dicom(tmp_path / "in", tasks="plane")
    assert not rejects
    assert len(summary.manifest["units"]) == 3
    assert [slice_number(sample) for sample in samples] == [f"{number:04d}" for number in range(6)]
    planes = [sample.answer.text for sample in samples]
    assert sorted(planes) == ["axial"] * 2 + ["coronal"] * 2 + ["sagittal"] * 2
    assert [plane for plane, _ in itertools.groupby(planes)] == planes[::2]  # stack by stack
    assert {tuple(details_of(sample)["series_split_by"]) for sample in samples} == {("orientation",)}
    assert {details_of(sample)["spacing_between_slices_mm"] for sample in samples} == {5.0}


@pytest.mark.parametrize(
    ("keyword", "values", "name"),
    [("EchoNumbers", (1, 2), "echo"), ("DiffusionBValue", (0.0, 1000.0), "b-value"),
     ("TemporalPositionIdentifier", (1, 2), "temporal-position"), ("AcquisitionNumber", (1, 2), "acquisition"),
     ("ImageType", (["ORIGINAL", "PRIMARY", "M"], ["ORIGINAL", "PRIMARY", "P"]), "image-type")],
)  # fmt: skip
def test_med_20_a_series_of_two_volumes_is_two_stacks(tmp_path, convert_dicom, keyword, values, name):
    for number, value in enumerate(values):
        for dataset in make_series(numbered(3, first=10 + 100 * number), root=f"1.2.{number}", Modality="MR"):
            setattr(dataset, keyword, value)
            save(dataset, tmp_path / "in" / f"{dataset.InstanceNumber}-{number}")
    summary, samples, _ = convert_dicom(tmp_path / "in", **ONLY)
    assert len(summary.manifest["units"]) == 2
    assert [pixels_of(tmp_path / "out", sample)[9, 9] for sample in samples] == [10, 20, 30, 110, 120, 130]
    assert {details_of(sample)["geometry"]["status"] for sample in samples} == {"uniform"}
    assert {tuple(details_of(sample)["series_split_by"]) for sample in samples} == {(name,)}


def test_med_20_sizes_and_spacings_are_never_mixed(tmp_path, convert_dicom):
    cases = ((24, 16, 1.0), (24, 18, 1.0), (24, 16, 0.5))
    for number, (rows, columns, spacing) in enumerate(cases):
        write_series(
            tmp_path / "in" / str(number), numbered(2, rows, columns), spacing_mm=(spacing, spacing), root=f"1.{number}"
        )
    summary, samples, _ = convert_dicom(tmp_path / "in", **ONLY)
    assert len(summary.manifest["units"]) == 3
    assert len(samples) == 6


# MED-21: the order of slices


def test_med_21_names_of_files_change_no_byte(tmp_path, convert_dicom):
    slices = make_series(numbered(6))
    orders = [list(range(6)), [3, 0, 5, 1, 4, 2]]
    seen = []
    for order in orders:
        folder = tmp_path / f"in{len(seen)}"
        for name, place in enumerate(order):
            save(slices[place], folder / ("deep" if name % 2 else ".") / f"{name}")
        convert_dicom(folder, out=tmp_path / f"{len(seen)}" / "data")
        seen.append(files_of(tmp_path / f"{len(seen)}" / "data"))
    assert seen[0] == seen[1]


def test_med_21_random_instance_numbers_change_neither_images_nor_samples(tmp_path, convert_dicom):
    """The numbers are part of the files, whose hashes are in the records: those alone may differ."""

    def seen(folder, out):
        _, samples, _ = convert_dicom(folder, out=out)
        records = [json.loads(sample.model_dump_json()) for sample in samples]
        for record in records:
            for image in record["images"]:
                assert image["source"].pop("sha256")
                del image["source"]["size_bytes"]
        return records, {name: content for name, content in files_of(out).items() if name.startswith("images/")}

    write_series(tmp_path / "in", numbered(6))
    shuffled = random.Random(0).sample(range(1, 100), 6)
    assert shuffled != sorted(shuffled)
    for number, dataset in zip(shuffled, make_series(numbered(6)), strict=True):
        dataset.InstanceNumber = number
        save(dataset, tmp_path / "other" / f"{number:03d}")
    assert seen(tmp_path / "in", tmp_path / "1" / "data") == seen(tmp_path / "other", tmp_path / "2" / "data")


def test_med_21_without_geometry_the_instance_number_counts(tmp_path, convert_dicom):
    for number, value in ((3, 30), (1, 10), (2, 20)):
        save(make_slice(np.full((16, 16), value, np.int16), SOPInstanceUID=f"1.{9 - number}", InstanceNumber=number),
             tmp_path / "in" / f"{value}")  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", **ONLY)
    assert [pixels_of(tmp_path / "out", sample)[0, 0] for sample in samples] == [10, 20, 30]
    assert {details_of(sample)["geometry"]["status"] for sample in samples} == {"no-geometry"}


# MED-22 and MED-23: how evenly slices follow each other


def irregular(name):
    """Slices of a stack that is not even, with the status, the spacing and the warning that it must have."""
    volume = numbered(4)
    match name:
        case "missing":
            # 0, 3, 6, 15: two slices are missing. The thickness of 10 mm must not be taken for the spacing.
            slices = make_series(volume, heights_mm=[0, 3, 6, 15], SliceThickness=10, SpacingBetweenSlices=10)
            return slices, "missing-slices", 3.0, "2 slices are missing"
        case "variable":
            return make_series(volume, heights_mm=[0, 3, 7, 9]), "variable", None, "2 to 4 mm apart"
        case "duplicate":
            slices = make_series(volume, heights_mm=[0, 5, 5, 10])
            return slices, "duplicate-positions", 5.0, "1 slice is at the place of another one"
        case "tilt":
            slices = make_series(volume)
            for number, dataset in enumerate(slices):  # atan(1 / 5) = 11.31 degrees
                dataset.ImagePositionPatient = [0, number, 5 * number]
            return slices, "gantry-tilt", 5.0, "11.3 degrees off their normal"
        case _:
            return make_series(volume), "uniform", 5.0, None


@pytest.mark.parametrize("name", ["missing", "variable", "duplicate", "tilt", "uniform"])
def test_med_23_irregular_stacks_are_converted_in_order_with_a_warning(tmp_path, convert_dicom, name):
    slices, status, spacing_mm, warning = irregular(name)
    for number, dataset in enumerate(reversed(slices)):
        save(dataset, tmp_path / "in" / f"{number}")
    summary, samples, rejects = convert_dicom(tmp_path / "in", **ONLY)
    assert summary.exit_code is ExitCode.DONE
    assert not rejects
    assert [pixels_of(tmp_path / "out", sample)[9, 9] for sample in samples] == [10, 20, 30, 40]
    for sample in samples:
        assert details_of(sample)["geometry"]["status"] == status
        assert details_of(sample).get("spacing_between_slices_mm") == spacing_mm
        assert (warning is None and not sample.warnings) or any(warning in text for text in sample.warnings)


# MED-24: display orientation


def permutations():
    """All 48 ways to store a volume: which patient axis runs along rows, columns and slices, and which way each."""
    for axes in itertools.permutations(range(3)):
        yield from ((axes, signs) for signs in itertools.product((1, -1), repeat=3))


PATIENT = np.arange(60, dtype=np.int16).reshape(3, 4, 5) * 4 + 2
"""A phantom whose every voxel has a value of its own; axes to the patient's left, back and head (PS3.3 C.7.6.2.1.1)."""
MARKED = (0, 2, 4)
"""On the patient's right, towards the back, at the head."""


def stored(axes, signs):
    """The phantom as slices (slices, rows, columns), with the direction cosines of rows and columns and the first
    positions."""
    along_row, along_column, along_slices = axes
    volume = PATIENT.transpose(along_slices, along_column, along_row)
    volume = volume[:: signs[2], :: signs[1], :: signs[0]]
    unit = np.eye(3)
    row, column = signs[0] * unit[along_row], signs[1] * unit[along_column]
    corner = np.zeros(3)
    for axis, sign in zip(axes, signs, strict=True):
        corner[axis] = 0 if sign == 1 else PATIENT.shape[axis] - 1
    positions = [corner + number * signs[2] * unit[along_slices] for number in range(len(volume))]
    return volume, [*row, *column], positions


def as_displayed(normal_axis, place):
    """The slice as a reader expects it: axial from the feet with the front up, coronal from the front, sagittal from
    the left; the patient's right on the left side of the first two, the head up in the last two."""
    if normal_axis == 2:
        return PATIENT[:, :, place].T
    if normal_axis == 1:
        return PATIENT[:, place, ::-1].T
    return PATIENT[place, :, ::-1].T


def write_permutations(folder):
    rows = ["sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px"]
    for series, (axes, signs) in enumerate(permutations()):
        volume, cosines, positions = stored(axes, signs)
        for number, (pixels, position) in enumerate(zip(volume, positions, strict=True)):
            uid = f"1.2.{series}.{number + 1}"
            dataset = make_slice(
                np.ascontiguousarray(pixels), SOPInstanceUID=uid, SeriesInstanceUID=f"1.3.{series}",
                StudyInstanceUID=f"1.4.{series}", PatientID=f"P{series}", PixelSpacing=[1, 1],
                ImageOrientationPatient=list(cosines), ImagePositionPatient=list(position),
            )  # fmt: skip
            save(dataset, folder / f"{series:02d}" / f"{number}.dcm")
            for y, x in np.argwhere(pixels == PATIENT[MARKED]):
                rows.append(f"{uid},thing,{x},{y},{x + 1},{y + 1}")
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def test_med_24_all_48_permutations_come_out_in_display_orientation_with_their_boxes(tmp_path, convert_dicom):
    cases = list(permutations())
    assert len(set(cases)) == 48
    folder = write_permutations(tmp_path / "in")
    _, samples, rejects = convert_dicom(
        folder, labels=folder / "labels.csv", reid_map=tmp_path / "map.csv", tasks="plane,grounding"
    )
    assert not rejects
    with (tmp_path / "map.csv").open(encoding="utf-8", newline="") as file:
        series_of = {row["pseudonym"]: row["identifier"] for row in csv.DictReader(file) if row["kind"] == "series"}
    seen, boxes = {}, {}
    for sample in samples:
        series = int(series_of[sample.id.split("/")[1]].rpartition(".")[2])
        if sample.task is Task.VQA:
            seen.setdefault(series, []).append((pixels_of(tmp_path / "out", sample), sample.answer.text))
        else:
            (thing,) = sample.answer_objects()
            boxes[series] = (pixels_of(tmp_path / "out", sample), thing.box_px)
    for series, (axes, signs) in enumerate(cases):
        normal_axis = axes[2]
        count = PATIENT.shape[normal_axis]
        # Slices come in the order of their right-handed normal, whatever the order of files.
        permutation_sign = round(np.linalg.det(np.eye(3)[list(axes)]))
        rises = permutation_sign * signs[0] * signs[1] > 0
        order = range(count) if rises else reversed(range(count))
        for (pixels, plane), place in zip(seen[series], order, strict=True):
            np.testing.assert_array_equal(pixels, as_displayed(normal_axis, place), err_msg=str((axes, signs)))
            assert plane == ("sagittal", "coronal", "axial")[normal_axis]
        pixels, (x_min, y_min, x_max, y_max) = boxes[series]
        assert (x_max - x_min, y_max - y_min) == (1, 1)
        assert pixels[int(y_min), int(x_min)] == PATIENT[MARKED]
        if normal_axis in (1, 2):
            assert x_min == 0  # the patient's right is on the left of the image


def test_med_24_no_affine_is_invented(tmp_path, convert_dicom):
    """Rows and columns that are stored as they are where the header places nothing."""
    pixels = numbered(1)[0]
    save(make_slice(pixels, SOPClassUID=MRImageStorage, Modality="MR", PixelSpacing=[1, 1]), tmp_path / "in" / "a")
    _, samples, _ = convert_dicom(tmp_path / "in")
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", samples[0]), pixels)
    assert details_of(samples[0])["geometry"] == {"status": "no-geometry"}
    assert not {"display", "position_mm", "spacing_between_slices_mm"} & set(details_of(samples[0]))


# MED-25: square pixels


def test_med_25_pixels_that_are_twice_as_high_double_the_height_and_the_box(tmp_path, convert_dicom):
    """PixelSpacing is between rows first: [2, 1] makes pixels that are 2 mm high and 1 mm wide."""
    pixels = np.array([[10, 60], [110, 160], [210, 255]], np.int16)  # 3 rows, 2 columns
    labels = tmp_path / "labels.csv"
    labels.write_text("sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px\n1.2.3.4.1,thing,1,1,2,3\n")
    write_series(tmp_path / "in", pixels[None], spacing_mm=(2, 1))
    _, samples, _ = convert_dicom(tmp_path / "in", labels=labels)
    grounding = next(sample for sample in samples if sample.task is Task.GROUNDING)
    image = grounding.images[0]
    assert (image.width_px, image.height_px) == (2, 6)
    assert grounding.answer_objects()[0].box_px == (1, 2, 2, 6)
    assert details_of(grounding)["pixel_spacing_mm"] == [2, 1]
    _, samples, _ = convert_dicom(tmp_path / "in", labels=labels, keep_aspect=True)
    grounding = next(sample for sample in samples if sample.task is Task.GROUNDING)
    np.testing.assert_array_equal(pixels_of(tmp_path / "out", grounding), pixels)
    assert grounding.answer_objects()[0].box_px == (1, 1, 2, 3)


def test_med_25_a_disc_in_a_phantom_of_unequal_spacing_comes_out_round(tmp_path, convert_dicom):
    """A disc of 20 mm radius, sampled every 0.5 mm down and every 2 mm across, on a sagittal slice too."""
    rows, columns = 160, 40
    y, x = (np.arange(rows) + 0.5) * 0.5 - 40, (np.arange(columns) + 0.5) * 2 - 40
    disc = np.where(np.hypot(y[:, None], x[None, :]) <= 20, 255, 0).astype(np.int16)
    for number, cosines in enumerate((AXIAL, SAGITTAL)):
        write_series(
            tmp_path / "in" / str(number), disc[None], cosines=cosines, spacing_mm=(0.5, 2), root=f"1.2.{number}",
            SeriesInstanceUID=f"1.3.{number}",
        )  # fmt: skip
    _, samples, _ = convert_dicom(tmp_path / "in", **ONLY)
    for sample in samples:
        shown = pixels_of(tmp_path / "out", sample)
        assert shown.shape == (160, 160)
        inside = np.argwhere(shown > 127)
        height, width = np.ptp(inside, axis=0) + 1
        assert height == pytest.approx(80, abs=4)  # 40 mm at 0.5 mm
        assert width == pytest.approx(80, abs=4)
