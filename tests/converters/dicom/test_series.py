from __future__ import annotations

import io
import itertools
import random
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from highdicom.spatial import get_series_volume_positions
from pydicom.dataset import Dataset

from domainvl.converters.dicom.calibration import spacing_of
from domainvl.converters.dicom.frames import GROUP, frames_of
from domainvl.converters.dicom.headers import frame_header, number_of, text_of
from domainvl.converters.dicom.instance import FileRef, FrameFacts, ImageFacts, Instance, Kind
from domainvl.converters.dicom.series import StackKind, stacks_of
from domainvl.converters.medical.display import display_of
from domainvl.converters.medical.geometry import Geometry, plane_of, runs_along_axis
from domainvl.converters.medical.regularity import Status

AXIAL = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0))
CORONAL = ((1.0, 0.0, 0.0), (0.0, 0.0, -1.0))
SAGITTAL = ((0.0, 1.0, 0.0), (0.0, 0.0, -1.0))
FACTS = ImageFacts("MR", "", 8, 8, (1.0, 1.0), (), "MONOCHROME2", "")

_numbers = itertools.count()


def group(**values):
    return tuple(values.get(name.replace("-", "_"), "") for name in GROUP)


def image(place=None, *, uid=None, number=None, directions=AXIAL, order=(), facts=FACTS, **more):
    """A slice at a height above the origin or at a position; one without geometry where it is None."""
    values = {name: more.pop(name) for name in list(more) if name.replace("_", "-") in GROUP}
    position = place if isinstance(place, tuple) else (0.0, 0.0, place)
    geometry = None if place is None else Geometry(position, *directions)
    uid = uid or f"9.{next(_numbers)}"
    given = {"study_uid": "1", "series_uid": "2", "patient": ("patient", "", "P"), **more}
    frames = given.pop("frames", (FrameFacts(geometry, group(**values), order),))
    return Instance(
        FileRef(Path(uid)), Kind.IMAGE, sop_uid=uid, instance_number=number, facts=facts, frames=frames, **given
    )


def uids(stack):
    return [thing.instance.sop_uid for thing in stack.slices]


def of_header(dataset: Dataset, name: str = "") -> Instance:
    """Make the instance of a real file."""
    first = frame_header(dataset, 0)
    image_type = tuple(dataset.get("ImageType") or ())
    size = int(dataset.Rows), int(dataset.Columns)
    spacing = spacing_of(first).spacing_mm
    return Instance(
        file=FileRef(Path(name)),
        kind=Kind.IMAGE,
        sop_uid=text_of(dataset, "SOPInstanceUID"),
        study_uid=text_of(dataset, "StudyInstanceUID"),
        series_uid=text_of(dataset, "SeriesInstanceUID"),
        patient=("patient", "", text_of(dataset, "PatientID")),
        frame_of_reference_uid=text_of(dataset, "FrameOfReferenceUID"),
        instance_number=number_of(dataset, "InstanceNumber"),
        facts=ImageFacts(text_of(dataset, "Modality"), "", *size, spacing, image_type, "", ""),
        frames=frames_of(dataset),
    )


# MED-21: order.


def test_med_21_order_is_along_the_normal_for_every_order_names_and_numbers():
    # InstanceNumber runs against the geometry, UIDs run across both.
    slices = [image(5.0 * i, number=10 - i, uid="dbcae"[i]) for i in range(5)]
    for shuffled in itertools.permutations(slices):
        assert uids(stacks_of(shuffled)[0]) == list("dbcae")
    drawn = random.Random(0)
    for _ in range(20):
        again = [
            replace(thing, instance_number=float(drawn.randrange(99)), file=FileRef(Path(str(drawn.random()))))
            for thing in slices
        ]
        drawn.shuffle(again)
        assert uids(stacks_of(again)[0]) == list("dbcae")


def test_med_21_order_follows_the_normal_of_a_sagittal_series_and_not_one_axis():
    # A sagittal normal points to -x: the slice farthest to the right (largest -x) comes last.
    slices = [image((x, 0.0, 0.0), number=x, uid=str(x), directions=SAGITTAL) for x in (1.0, 2.0, 3.0)]
    (stack,) = stacks_of(slices)
    assert uids(stack) == ["3.0", "2.0", "1.0"]
    assert stack.positions_mm == (-3.0, -2.0, -1.0)


def test_med_21_ties_go_by_instance_number_then_uid():
    slices = [
        image(0.0, number=2, uid="a"),
        image(0.0004, number=1, uid="c"),
        image(0.0006, number=1, uid="b"),
        image(-1.0, number=9, uid="z"),
    ]
    for shuffled in itertools.permutations(slices):
        assert uids(stacks_of(shuffled)[0]) == ["z", "b", "c", "a"]


def test_med_21_instance_number_counts_where_geometry_is_absent():
    slices = [image(number=number, uid=uid) for number, uid in [(3, "a"), (1, "b"), (None, "d"), (2, "c"), (10, "e")]]
    for shuffled in itertools.permutations(slices):
        (stack,) = stacks_of(shuffled)
        assert uids(stack) == ["b", "c", "a", "e", "d"]
        assert (stack.kind, stack.positions_mm) == (StackKind.IMAGES, None)
        assert stack.regularity.status is Status.NO_GEOMETRY


def test_med_21_numbers_do_not_decide_between_orientations_that_differ_by_rounding():
    turned = ((0.99998, 0.0, 0.006), (0.0, 1.0, 0.0))
    slices = [image((90.0, 0.0, 5.0 * i), uid=str(i), directions=AXIAL if i % 2 else turned) for i in range(6)]
    found = {
        stacks_of(
            [replace(thing, instance_number=float(number)) for thing, number in zip(slices, numbers, strict=True)]
        )[0].positions_mm
        for numbers in itertools.permutations(range(6))
    }
    assert len(found) == 1


# MED-20: what makes stacks.


def test_med_20_orientations_make_stacks():
    slices = [image((0.0, y, 0.0), uid=f"c{y}", directions=CORONAL) for y in (2.0, 1.0)]
    slices += [image(z, uid=f"a{z}") for z in (7.0, 3.0)]
    # Half a hundredth off, as headers are: still one stack.
    slices.append(image(5.0, uid="a5.0", directions=((0.99999, 0.005, 0.0), (-0.005, 0.99999, 0.0))))
    stacks = stacks_of([*slices, image(uid="none")])
    assert sorted(uids(stack) for stack in stacks) == [["a3.0", "a5.0", "a7.0"], ["c1.0", "c2.0"], ["none"]]
    assert uids(stacks[-1]) == ["none"]
    assert {stack.split_by for stack in stacks[:2]} == {("geometry", "orientation")}


DIFFERENCES = [
    ("size", {"facts": replace(FACTS, rows=9)}),
    ("modality", {"facts": replace(FACTS, modality="CT")}),
    ("spacing", {"facts": replace(FACTS, spacing_mm=(1.0, 2.0))}),
    ("frame-of-reference", {"frame_of_reference_uid": "7"}),
    ("image-type", {"image_type": "DERIVED\\PRIMARY\\MPR"}),
    ("echo", {"echo": "2"}),
    ("b-value", {"b_value": "1000"}),
    ("stack", {"stack": "2"}),
]


@pytest.mark.parametrize(("name", "difference"), DIFFERENCES)
def test_med_20_a_series_is_split_by_what_differs(name, difference):
    # The two lie between each other, so that geometry alone would take them for one.
    slices = [image(10.0 * i, uid=f"a{i}") for i in range(3)] + [
        image(10.0 * i + 5, uid=f"b{i}", **difference) for i in range(3)
    ]
    random.Random(1).shuffle(slices)
    stacks = stacks_of(slices)
    assert sorted(uids(stack) for stack in stacks) == [["a0", "a1", "a2"], ["b0", "b1", "b2"]]
    assert all(stack.split_by == (name,) for stack in stacks)
    assert all(stack.regularity.spacing_mm == 10 for stack in stacks)


@pytest.mark.parametrize("difference", [{"patient": ("patient", "", "Q")}, {"study_uid": "5"}, {"series_uid": "5"}])
def test_med_20_patients_studies_and_series_never_share_a_stack(difference):
    stacks = stacks_of([image(0.0), image(1.0, **difference)])
    assert [len(stack.slices) for stack in stacks] == [1, 1]
    assert all(stack.split_by == () for stack in stacks)


def test_med_20_files_without_a_series_do_not_belong_together():
    assert len(stacks_of([image(0.0, series_uid=""), image(1.0, series_uid="")])) == 2


def test_med_20_spacings_that_differ_by_rounding_are_one():
    facts = [replace(FACTS, spacing_mm=(value, value)) for value in (0.46875, 0.468749, 0.468751)]
    (stack,) = stacks_of([image(float(i), facts=facts[i]) for i in range(3)])
    assert stack.regularity.status is Status.UNIFORM


@pytest.mark.parametrize("name", ["temporal_position", "acquisition", "trigger_time"])
def test_med_20_repeats_of_a_volume_are_split_by_what_tells_them_apart(name):
    slices = [image(5.0 * z, uid=f"{t}-{z}", number=z * 3 + t, **{name: str(t)}) for t in (2, 10, 9) for z in range(4)]
    random.Random(2).shuffle(slices)
    stacks = stacks_of(slices)
    # In the order of the numbers, not of their text.
    assert [uids(stack) for stack in stacks] == [[f"{t}-{z}" for z in range(4)] for t in (2, 9, 10)]
    assert all(stack.split_by == (name.replace("_", "-"),) for stack in stacks)
    assert all(stack.regularity.status is Status.UNIFORM for stack in stacks)


def test_med_20_an_acquisition_that_is_counted_slice_by_slice_does_not_split():
    (stack,) = stacks_of([image(5.0 * z, acquisition=str(z)) for z in range(6)])
    assert stack.regularity.status is Status.UNIFORM
    # Nor where every slice is there twice: nothing tells which of the two belong together.
    (stack,) = stacks_of([image(5.0 * (z // 2), acquisition=str(z)) for z in range(12)])
    assert stack.regularity.status is Status.DUPLICATE_POSITIONS


def test_med_20_two_acquisitions_of_one_volume_are_one_stack_and_overlapping_ones_are_two():
    # dicom2nifti failing/sliceincrement/001: acquisitions 4, 4, 5, 5.
    (stack,) = stacks_of([image(5.0 * z, acquisition=str(4 + z // 2)) for z in range(4)])
    assert stack.regularity.status is Status.UNIFORM
    overlapping = [image(5.0 * z, acquisition="1") for z in range(4)] + [
        image(5.0 * z, acquisition="2") for z in range(3, 7)
    ]
    assert [len(stack.slices) for stack in stacks_of(overlapping)] == [4, 4]


def test_med_20_phases_of_heartbeats_that_differ_are_split_by_their_order():
    drawn = random.Random(3)
    slices = []
    for z in range(4):
        beat = drawn.uniform(35, 45)
        slices += [image(8.0 * z, uid=f"{phase}-{z}", trigger_time=f"{beat * phase:g}") for phase in range(12)]
    drawn.shuffle(slices)
    stacks = stacks_of(slices)
    assert [uids(stack) for stack in stacks] == [[f"{phase}-{z}" for z in range(4)] for phase in range(12)]
    assert stacks[0].split_by == ("phase",)
    # One phase is missing at one place: nothing is guessed.
    (stack,) = stacks_of([thing for thing in slices if thing.sop_uid != "5-2"])
    assert stack.regularity.status is Status.DUPLICATE_POSITIONS and stack.split_by == ()


# MED-27: time, frames, clips.


def test_med_27_one_place_over_time_is_one_stack_in_the_order_of_time():
    slices = [image(3.0, uid=str(t), number=50 - t, order=(float(t),), trigger_time=f"{t}") for t in range(12)]
    for _ in range(5):
        random.Random(4).shuffle(slices)
        (stack,) = stacks_of(slices)
        assert uids(stack) == [str(t) for t in range(12)]
    assert stack.kind is StackKind.TIME
    assert stack.warning is None
    # Without a time they are repeats, and that is said.
    (stack,) = stacks_of([image(3.0), image(3.0)])
    assert stack.kind is StackKind.VOLUME
    assert "one place" in stack.warning


def test_med_27_clips_of_one_series_stay_apart():
    frames = tuple(FrameFacts(None, group(), (float(i),)) for i in range(3))
    stacks = stacks_of([image(uid="b", number=2, frames=frames), image(uid="a", number=7, frames=frames)])
    assert [uids(stack) for stack in stacks] == [["b"] * 3, ["a"] * 3]
    assert [[thing.frame for thing in stack.slices] for stack in stacks] == [[0, 1, 2]] * 2
    assert all((stack.kind, stack.split_by) == (StackKind.FRAMES, ("file",)) for stack in stacks)
    # The same with a place: two cines of one slice.
    placed = tuple(replace(frame, geometry=Geometry((0, 0, 0), *AXIAL)) for frame in frames)
    stacks = stacks_of([image(uid="a", frames=placed), image(uid="b", frames=placed)])
    assert [stack.kind for stack in stacks] == [StackKind.TIME] * 2


def test_med_27_frames_of_several_files_make_one_volume():
    def part(heights):
        return tuple(FrameFacts(Geometry((0, 0, z), *AXIAL), group()) for z in heights)

    (stack,) = stacks_of([image(uid="a", frames=part([9.0, 3.0])), image(uid="b", frames=part([6.0, 0.0]))])
    assert [(thing.instance.sop_uid, thing.frame) for thing in stack.slices] == [("b", 1), ("a", 1), ("b", 0), ("a", 0)]
    assert stack.regularity.spacing_mm == 3


def test_views_of_a_radiograph_are_no_slices_of_one_thing():
    facts = replace(FACTS, modality="MG", laterality="L")
    views = [image(facts=replace(facts, view_position=view)) for view in ("CC", "MLO")]
    assert [stack.kind for stack in stacks_of(views)] == [StackKind.SINGLE] * 2


def test_objects_that_are_no_images_are_passed_over():
    assert stacks_of([replace(image(0.0), kind=Kind.SEGMENTATION)]) == []
    assert stacks_of([]) == []


# MED-24: all of it, on a phantom.


SIDES = [sign + axis for axis in "xyz" for sign in "+-"]
VOLUMES = [names for names in itertools.permutations(SIDES, 3) if len({name[1] for name in names}) == 3]


def vector(name):
    return tuple((1.0 if name[0] == "+" else -1.0) if axis == name[1] else 0.0 for axis in "xyz")


@pytest.mark.parametrize(("row", "column", "along"), VOLUMES)
def test_med_24_a_shuffled_phantom_in_any_of_48_storages_is_one_stack_in_display_orientation(row, column, along):
    phantom = np.arange(4 * 5 * 6, dtype=np.uint8).reshape(4, 5, 6)  # [x][y][z]: left, back, head
    directions = np.array([vector(name) for name in (row, column, along)])
    shape = np.abs(directions) @ phantom.shape
    origin = np.where(directions.sum(axis=0) < 0, np.array(phantom.shape) - 1, 0)
    pixels, slices = {}, []
    for k in range(int(shape[2])):
        index = [
            tuple((origin + i * directions[0] + j * directions[1] + k * directions[2]).astype(int))
            for j in range(int(shape[1]))
            for i in range(int(shape[0]))
        ]
        pixels[str(k)] = np.array([phantom[place] for place in index]).reshape(int(shape[1]), int(shape[0]))
        slices.append(image(tuple(map(float, index[0])), uid=str(k), directions=(vector(row), vector(column))))
    random.Random(5).shuffle(slices)
    (stack,) = stacks_of(slices)
    assert (stack.regularity.status, stack.regularity.spacing_mm) == (Status.UNIFORM, 1)
    geometry = stack.slices[0].geometry
    plane = plane_of(geometry)
    shown = [display_of(*pixels[uid].shape, geometry, plane, (1.0, 1.0)).apply(pixels[uid]) for uid in uids(stack)]
    shown = shown if runs_along_axis(geometry) else shown[::-1]
    expected = {
        "z": [phantom[:, :, z].T for z in range(6)],  # from feet to head
        "y": [phantom[:, y, ::-1].T for y in range(5)],  # from front to back
        "x": [phantom[x, :, ::-1].T for x in range(4)],  # from right to left
    }[along[1]]
    np.testing.assert_array_equal(np.array(shown), np.array(expected))


# Real series. Expected values: highdicom on the same files, and the table of converters.md 2.4.


def read_folder(folder):
    return [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(folder.iterdir())]


GOLDEN = [
    # folder, status, spacing, missing, tilt, InstanceNumber in order
    ("failing/gantrytilting/001", "gantry-tilt", 4.852, 0, 14.0, [1, 2, 3, 4]),
    ("failing/slicecount/001", "uniform", 1.0, 0, 0.0, [2, 1]),
    ("failing/sliceincrement/001", "missing-slices", 5.0, 1, 0.0, [7, 8, 9, 10]),
    ("generic/rgb/001", "uniform", 3.0, 0, 0.0, [42, 41, 40, 39]),
    ("hitachi/anatomical/001", "uniform", 4.0, 0, 0.0, None),
]


@pytest.mark.parametrize(("name", "status", "spacing_mm", "missing", "tilt_deg", "numbers"), GOLDEN)
def test_med_22_real_series_have_the_golden_status(real_data, name, status, spacing_mm, missing, tilt_deg, numbers):
    datasets = read_folder(real_data / "medical/icometrix__dicom2nifti/tests/data" / name)
    (stack,) = stacks_of([of_header(dataset) for dataset in datasets])
    found = stack.regularity
    assert (found.status, found.missing_count) == (status, missing)
    assert found.spacing_mm == pytest.approx(spacing_mm, abs=1e-3)
    assert found.tilt_deg == pytest.approx(tilt_deg, abs=0.05)
    assert (stack.warning is None) == (status == "uniform")
    if numbers is not None:
        assert [thing.instance.instance_number for thing in stack.slices] == numbers
    strict, _ = get_series_volume_positions(datasets)
    lenient, _ = get_series_volume_positions(datasets, allow_missing_positions=True)
    assert (strict is not None) == (status == "uniform")
    assert (lenient is not None) == (status in ("uniform", "missing-slices"))
    if lenient is not None:
        assert found.spacing_mm == pytest.approx(lenient, rel=1e-6)


def test_med_20_the_real_series_of_two_orientations_makes_two_stacks_of_two(real_data):
    datasets = read_folder(real_data / "medical/icometrix__dicom2nifti/tests/data/failing/sliceorientation/001")
    stacks = stacks_of([of_header(dataset) for dataset in datasets])
    assert [len(stack.slices) for stack in stacks] == [2, 2]
    assert "orientation" in stacks[0].split_by
    assert sorted(stack.regularity.spacing_mm for stack in stacks) == pytest.approx([3.3, 4.4], abs=1e-3)
    # The gaps of the table, 99.5 mm among them, lie between the two.
    assert all(stack.regularity.status is Status.UNIFORM for stack in stacks)


@pytest.mark.parametrize(
    ("heights", "tilt_deg", "status", "spacing_mm"),
    [
        # Rows of the table whose files are not at hand, made from its figures.
        ((7.0, 7.0, 7.0, 7.0), 0.0, "duplicate-positions", None),  # notavolume/001
        ((0.0, 0.75, 1.5, 2.999), 15.5, "gantry-tilt+missing-slices", 0.75),  # sliceincrement/002
        ((3.0, 2.0, 1.0, 0.0), 0.0, "uniform", 1.0),  # generic/compressed_j2k/001, siemens/anatomical/001
    ],
)
def test_med_22_golden_rows_without_files(heights, tilt_deg, status, spacing_mm):
    shift = np.tan(np.radians(tilt_deg))
    slices = [image((0.0, shift * z, z), number=number) for number, z in enumerate(heights)]
    (stack,) = stacks_of(slices)
    assert stack.regularity.status == status
    assert stack.regularity.spacing_mm == (None if spacing_mm is None else pytest.approx(spacing_mm, abs=1e-3))
    assert stack.regularity.tilt_deg == pytest.approx(tilt_deg, abs=0.05)


def test_med_21_a_real_mr_series_is_ordered_by_geometry(real_data):
    """20 ADC slices from foot to head, 3 mm apart; two of their files are out of order."""
    if shutil.which("zstd") is None:
        pytest.skip("no zstd to unpack the series with")
    folder = real_data / "medical/robyoung__dicom-test-files/data/dcmqi/paramaps/701-ADCb500"
    datasets = []
    for path in sorted(folder.glob("*.zst")):
        content = subprocess.run(["zstd", "-dc", str(path)], capture_output=True, check=True).stdout
        datasets.append(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True))
    (stack,) = stacks_of([of_header(dataset) for dataset in datasets])
    # Two of its headers round a direction cosine otherwise.
    spacing_mm, indices = get_series_volume_positions(datasets, orientation_tol=1e-5)
    # highdicom counts down the columns first, so that its normal points the other way.
    ordered = sorted(zip(indices, datasets, strict=True), key=lambda pair: -pair[0])
    by_index = [dataset.SOPInstanceUID for _, dataset in ordered]
    assert uids(stack) == by_index
    assert uids(stack) != [dataset.SOPInstanceUID for dataset in datasets]
    assert stack.regularity.status is Status.UNIFORM
    assert stack.regularity.spacing_mm == pytest.approx(spacing_mm) == pytest.approx(3.0, abs=1e-3)


def test_med_27_real_multi_frame_files_become_the_stacks_that_they_hold(real_data, wheel):
    folder = real_data / "medical/pydicom__pydicom-data/data_store/data"
    (ct,) = stacks_of([of_header(pydicom.dcmread(folder / "eCT_Supplemental.dcm", stop_before_pixels=True))])
    assert (ct.kind, ct.regularity.status, ct.regularity.spacing_mm) == (StackKind.VOLUME, Status.UNIFORM, 10)
    (mr,) = stacks_of([of_header(pydicom.dcmread(folder / "emri_small.dcm", stop_before_pixels=True))])
    assert (mr.kind, len(mr.slices)) == (StackKind.FRAMES, 10)
    (us,) = stacks_of([of_header(pydicom.dcmread(wheel("examples_ybr_color.dcm"), stop_before_pixels=True))])
    assert (us.kind, [thing.frame for thing in us.slices]) == (StackKind.FRAMES, list(range(30)))
