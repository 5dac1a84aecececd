"""Whole conversions: what becomes of a folder of volumes, masks and a table of labels."""

import json
import pickle
from pathlib import Path

import nibabel
import numpy as np
import pytest
from converted import Converted

from domainvl.conversion import RunSettings, convert
from domainvl.conversion.work import ConversionWork, Staging
from domainvl.converters.nifti import CONVERTER, NiftiSettings
from domainvl.converters.nifti.generate import DESCRIPTION, NAMES_FILE, generate_volumes
from domainvl.errors import NothingToDoError, UsageError

KEY = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nifti") / "Dunmarrow"
    generate_volumes(folder, patient_count=6, seed=0)
    return folder


@pytest.fixture(scope="module")
def converted(volumes, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "set"
    return Converted(
        CONVERTER, volumes, out, class_names=volumes / NAMES_FILE, modality="MR", select="every:10",
        forms="slices,series,montage,mip", slab_mm=20.0,
    )  # fmt: skip


def test_med_40_masks_become_questions_with_places(converted):
    tasks = {sample.task.value for sample in converted.samples.values()}
    assert {"classification", "presence", "grounding", "counting"} <= tasks
    labels = {thing.label for sample in converted.samples.values() for thing in sample.objects}
    assert labels == {"organ", "lesion"}
    answers = {sample.answer.text for sample in converted.samples.values() if sample.id.endswith(("modality", "plane"))}
    assert answers == {"MR", "axial"}
    assert converted.summary.exit_code == 0
    assert {reason for _, reason in converted.reasons()} == {"not-selected"}


def test_med_28_levels_do_not_depend_on_the_axis_order(converted):
    """Six axis orders: the same levels, at multiples of 10 mm."""
    levels = {}
    for sample in converted.samples.values():
        if sample.id.split("/")[-1] == "plane" and len(sample.id.split("/")) == 4:
            levels.setdefault(sample.group, set()).add(sample.images[0].source.details["position_mm"])
    assert len(levels) == 6
    assert all(found == {-50, -40, -30, -20, -10, 0, 10, 20, 30, 40} for found in levels.values())


def test_series_and_projections_say_what_they_are(converted):
    series = next(sample for sample in converted.samples.values() if "/series/" in sample.id)
    assert series.preface.startswith("The 8 images are axial MR slices from feet to head, at 0, 10, ")
    assert len(series.images) == 8
    projection = next(sample for sample in converted.samples.values() if "/mip/" in sample.id)
    assert "maximum-intensity projection of axial MR slices over 20 mm" in projection.preface


def test_med_70_patients_are_not_divided(converted):
    groups = [{sample.group for sample in samples} for samples in converted.of_split.values()]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 6


def test_med_60_neither_paths_nor_headers_are_written(volumes, converted):
    canaries = ["Dunmarrow", "Avelina", "sub-0", "T1w", "dseg", "nii"]
    assert DESCRIPTION.encode() in (volumes_bytes := _unpacked(volumes))
    assert volumes_bytes
    for name, content in converted.files().items():
        for canary in canaries:
            assert canary not in name
            assert canary.encode() not in content, (name, canary)


def _unpacked(folder: Path) -> bytes:
    import gzip

    return gzip.decompress(next(folder.rglob("*.nii.gz")).read_bytes())


def test_sources_and_notes_stand_in_the_manifest(converted):
    uris = {source["uri"] for source in converted.manifest["sources"]}
    assert {"patient-0001/file-0001", "patient-0001/file-0001/mask-1", "class-names"} <= uris
    notes = converted.manifest["notes"]
    assert notes[0].startswith("6 patients are told apart by sub-XXX in the path (6 files)")
    assert any("a face can be recognised" in note for note in notes)
    assert converted.manifest["settings"]["class_names"] is True
    assert "deid_key" not in converted.manifest["settings"]


def test_two_workers_give_the_same_bytes(volumes, tmp_path):
    settings = NiftiSettings(class_names=volumes / NAMES_FILE, select="even:2")
    outs = [tmp_path / name / "set" for name in ("one", "two")]
    for out, workers in zip(outs, (0, 2), strict=True):
        convert(CONVERTER, volumes, out, settings, run=RunSettings(workers=workers))
    one, two = ({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()} for out in outs)
    assert one == two


def test_med_60_hashes_under_a_key_and_a_map(volumes, tmp_path):
    (tmp_path / "key").write_bytes(KEY)
    found = Converted(
        CONVERTER, volumes, tmp_path / "set", deid_key=tmp_path / "key", reid_map=tmp_path / "map.csv", select="even:1"
    )
    names = {sample.id.rsplit("/", 2)[0] for sample in found.samples.values()}
    rows = (tmp_path / "map.csv").read_text()
    assert len(names) == 6
    for name in names:
        patient, file = name.split("/")
        assert patient in rows
        assert file in rows
    assert "sub-01_T1w.nii.gz" in rows


def test_settings_that_act_on_the_plan_alone(volumes, tmp_path):
    def keys(**settings):
        chosen = NiftiSettings(**settings)
        work = ConversionWork(CONVERTER, chosen, volumes, Staging(tmp_path / "staging"))
        units = CONVERTER.plan(volumes, chosen).units
        assert pickle.loads(pickle.dumps(units)) == units
        return {work.task(unit).key for unit in units}

    before = keys()
    assert keys(max_volumes=3, split_seed=4, mask_pattern="{case}_dseg") == before
    assert not keys(class_names=volumes / NAMES_FILE) & before
    assert not keys(plane="coronal") & before


def test_med_51_damaged_files_are_counted_and_the_rest_is_converted(tmp_path, write):
    source = tmp_path / "in"
    voxels = np.random.default_rng(0).integers(0, 99, (16, 16, 4)).astype(np.int16)
    write(source / "a.nii.gz", voxels)
    (source / "b.nii.gz").write_bytes((source / "a.nii.gz").read_bytes()[:-600])
    (source / "c.nii").write_bytes(b"nothing")
    write(source / "d.nii", voxels.astype(np.complex64))
    write(source / "e_mask.nii", voxels)
    found = Converted(CONVERTER, source, tmp_path / "out")

    assert sorted(found.reasons()) == [
        ("mask-0001", "mask-unmatched"),
        ("patient-0002/file-0001", "truncated"),
        ("patient-0003/file-0001", "header"),
        ("patient-0004/file-0001", "data-type"),
    ]
    assert all(reject["action"] for reject in found.rejects)
    assert {sample.group for sample in found.samples.values()} == {"patient-0001"}
    assert found.summary.exit_code == 8


def test_volumes_of_a_4d_file_are_of_one_patient(tmp_path, write):
    voxels = np.random.default_rng(0).integers(0, 99, (9, 8, 2, 12)).astype(np.int16)
    write(tmp_path / "in" / "a.nii.gz", voxels)
    found = Converted(CONVERTER, tmp_path / "in", tmp_path / "out", max_volumes=3)

    names = {sample.id.rsplit("/", 2)[0] for sample in found.samples.values()}
    assert names == {f"patient-0001/file-0001-v{volume:03d}" for volume in (2, 6, 10)}
    assert {sample.group for sample in found.samples.values()} == {"patient-0001"}
    (reject,) = found.rejects
    assert (reject["reason"], reject["message"]) == ("volume-limit", "it has 12 volumes, of which 3 are converted")

    one = Converted(CONVERTER, tmp_path / "in", tmp_path / "one", volume_index=11)
    assert {sample.id.rsplit("/", 2)[0] for sample in one.samples.values()} == {"patient-0001/file-0001-v011"}
    with pytest.raises(NothingToDoError):
        Converted(CONVERTER, tmp_path / "in", tmp_path / "none", volume_index=12)


def test_a_table_of_labels(tmp_path, write):
    """Slice 2 of the file is the second from the feet; of the other file axes run the other way."""
    voxels = np.random.default_rng(0).integers(0, 99, (16, 12, 3)).astype(np.int16)
    write(tmp_path / "in" / "p" / "a.nii", voxels)
    write(tmp_path / "in" / "q" / "b.nii", voxels, np.diag([-1.0, -1, -1, 1]))
    table = tmp_path / "labels.csv"
    table.write_text(
        "file_name,frame,label,x_min_px,y_min_px,x_max_px,y_max_px\n"
        "a.nii,2,cyst,2,1,6,4\np/a.nii,1,,,,,\nq/b.nii,1,cyst,2,1,6,4\nr/c.nii,1,cyst,2,1,6,4\n"
    )
    found = Converted(CONVERTER, tmp_path / "in", tmp_path / "out", labels=table, tasks="presence,grounding")

    boxes = {
        sample.id.rsplit("/", 1)[0]: sample.objects[0].box_px for sample in found.samples.values() if sample.objects
    }
    assert boxes == {
        "patient-0001/file-0001/0001": (10, 8, 14, 11),  # flipped: 16 - 6, 12 - 4
        "patient-0002/file-0001/0002": (2, 1, 6, 4),  # stored as it is shown, and from the head down
    }
    assert ("labels row 5", "label-unmatched") in found.reasons()
    empty = [sample for sample in found.samples.values() if sample.id.startswith("patient-0001/file-0001/0000")]
    assert [sample.answer.text for sample in empty] == ["no"]


def test_a_table_by_other_keys_is_refused(tmp_path, write):
    write(tmp_path / "in" / "a.nii", np.zeros((4, 4, 2), np.uint8))
    (tmp_path / "labels.csv").write_text("patient_id,label\n1,cyst\n")
    with pytest.raises(UsageError, match="the join key must be file_name"):
        CONVERTER.plan(tmp_path / "in", NiftiSettings(labels=tmp_path / "labels.csv"))


def test_bids_names_beside_a_mask(tmp_path, write):
    voxels = np.random.default_rng(0).integers(0, 99, (16, 12, 3)).astype(np.int16)
    labels = np.zeros((16, 12, 3), np.uint8)
    labels[2:9, 2:9] = 3
    folder = tmp_path / "in" / "sub-1" / "anat"
    write(folder / "sub-1_T1w.nii.gz", voxels)
    write(folder / "sub-1_dseg.nii.gz", labels)
    (folder / "sub-1_dseg.tsv").write_text("index\tname\n3\tcaudate\n")
    found = Converted(CONVERTER, tmp_path / "in", tmp_path / "out", tasks="grounding")

    assert {thing.label for sample in found.samples.values() for thing in sample.objects} == {"caudate"}
    assert {sample.objects[0].box_px for sample in found.samples.values()} == {(7, 3, 14, 10)}


def test_a_folder_of_masks_inside_of_the_input(tmp_path, write):
    voxels = np.random.default_rng(0).integers(0, 99, (16, 12, 3)).astype(np.int16)
    write(tmp_path / "in" / "imagesTr" / "x_0000.nii.gz", voxels)
    write(tmp_path / "in" / "labelsTr" / "x.nii.gz", (voxels > 50).astype(np.uint8))
    (tmp_path / "in" / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "bright": 1}}))
    found = Converted(
        CONVERTER, tmp_path / "in", tmp_path / "out", masks=tmp_path / "in" / "labelsTr", tasks="presence",
        class_names=tmp_path / "in" / "dataset.json",
    )  # fmt: skip

    assert {sample.group for sample in found.samples.values()} == {"patient-0001"}
    assert {thing.label for sample in found.samples.values() for thing in sample.objects} == {"bright"}


def test_med_70_a_path_that_names_nobody_is_left_out(tmp_path, write):
    voxels = np.random.default_rng(0).integers(0, 99, (16, 12, 3)).astype(np.int16)
    write(tmp_path / "in" / "P1-a.nii", voxels)
    write(tmp_path / "in" / "other.nii", voxels)
    found = Converted(CONVERTER, tmp_path / "in", tmp_path / "out", patient_from="^P([0-9]+)-")

    assert found.reasons() == [("nobody/file-0001", "patient-unknown")]
    assert {sample.group for sample in found.samples.values()} == {"patient-0001"}


def test_colour_has_no_projection(tmp_path):
    voxels = np.zeros((6, 5, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    voxels["R"][2:] = 200
    (tmp_path / "in").mkdir()
    nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), tmp_path / "in" / "a.nii.gz")
    found = Converted(CONVERTER, tmp_path / "in", tmp_path / "out", forms="slices,mip")

    assert [reason for _, reason in found.reasons()] == ["colour"]
    assert len(found.samples) == 3


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"windows": "x"}, "--windows"),
        ({"forms": "x"}, "--forms"),
        ({"tasks": "x"}, "--tasks"),
        ({"select": "x"}, "--select"),
        ({"patient_from": "x"}, "--patient-from"),
        ({"mask_pattern": "x"}, "--mask-pattern"),
        ({"reid_map": Path("x")}, "--reid-map"),
        ({"masks": Path("none")}, "--masks"),
        ({"class_names": Path("none")}, "--class-names"),
    ],
)
def test_settings_that_cannot_be_used(volumes, settings, message):
    with pytest.raises(UsageError, match=message):
        CONVERTER.plan(volumes, NiftiSettings(**settings))


def test_nothing_to_convert(tmp_path, write):
    (tmp_path / "a.txt").touch()
    write(tmp_path / "a_seg.nii", np.zeros((4, 4, 2), np.uint8))
    with pytest.raises(NothingToDoError, match="1 other files and 1 masks without a volume"):
        CONVERTER.plan(tmp_path, NiftiSettings())


def test_real_volumes_of_nibabel(tmp_path):
    """Functional, anatomical and 4D volumes of scanners, as nibabel ships them for its own tests."""
    folder = Path(nibabel.__file__).parent / "tests" / "data"
    if not (folder / "example4d.nii.gz").is_file():
        pytest.skip("nibabel is installed without its test data")
    found = Converted(CONVERTER, folder, tmp_path / "out", select="even:2", modality="MR", tasks="plane")

    reasons = [reason for _, reason in found.reasons() if reason not in ("not-selected", "volume-limit")]
    # A connectivity matrix in NIfTI, and headers whose images are not among nibabel's files.
    assert set(reasons) <= {"dimensions", "pair-incomplete", "header", "no-question"}
    formats = {image.source.details["format"] for sample in found.samples.values() for image in sample.images}
    assert {"NIfTI-1", "NIfTI-2"} <= formats
    assert {sample.answer.text for sample in found.samples.values()} == {"axial"}
