from __future__ import annotations

import csv
from collections import Counter

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.uid import UID

from domainvl.conversion import convert
from domainvl.converters.dicom import CONVERTER, DicomSettings
from domainvl.converters.dicom.generate import ENCODINGS, generate_series
from domainvl.converters.dicom.wheel import wheel_files
from domainvl.schema import Split, Task, read_samples


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    out = tmp_path_factory.mktemp("generated") / "series"
    generate_series(out, patient_count=36, seed=5)
    return out


@pytest.fixture(scope="module")
def converted(series, tmp_path_factory):
    """The data set of the series, which none of the tests changes."""
    folder = tmp_path_factory.mktemp("converted")
    (folder / "deid.key").write_bytes(b"0123456789abcdef" * 2)
    settings = DicomSettings(deid_key=folder / "deid.key", labels=series / "labels.csv")
    convert(CONVERTER, series, folder / "out", settings)
    return folder / "out"


def samples_of(dataset):
    return [sample for split in Split for sample in read_samples(dataset, split)]


def datasets(folder):
    return [pydicom.dcmread(path) for path in sorted(folder.rglob("IM*"))]


def test_equal_seeds_give_equal_bytes(tmp_path):
    trees = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        generate_series(tmp_path / name, patient_count=7, seed=seed)
        trees.append(
            {
                p.relative_to(tmp_path / name): p.read_bytes()
                for p in sorted((tmp_path / name).rglob("*"))
                if p.is_file()
            }
        )
    assert trees[0] == trees[1]
    assert not set(trees[0].values()) & set(trees[2].values())
    # Not the identifiers alone are others: so are the findings.
    boxes = [
        {row.split(",", 1)[1] for row in (tmp_path / name / "labels.csv").read_text().split()[1:]} for name in "ac"
    ]
    assert len(boxes[0] & boxes[1]) < len(boxes[0]) / 2


def test_every_modality_comes_in_every_encoding(series):
    made = datasets(series)
    seen = {({"DX": "CR"}.get(d.Modality, d.Modality), d.file_meta.TransferSyntaxUID) for d in made}
    assert seen == {(modality, UID(syntax)) for modality in ("CT", "MR", "CR") for syntax in ENCODINGS}
    assert len({d.SOPInstanceUID for d in made}) == len(made)
    per_patient = Counter(d.PatientID for d in made)
    assert len(per_patient) == 36
    assert {count for d, count in per_patient.items()} <= {2, 3, 4}
    assert all(d.PatientName and d.PatientBirthDate and d.RequestAttributesSequence for d in made)
    assert {d.PhotometricInterpretation for d in made if d.Modality in ("CR", "DX")} == {"MONOCHROME1"}


def asked_about(samples):
    """The slices whose findings are known: each is asked whether something is there, or is not."""
    return {sample.id.rpartition("/")[0] for sample in samples if sample.task is Task.PRESENCE}


def test_converted_slices_show_the_findings_where_the_table_says(series, converted):
    samples = samples_of(converted)
    assert not (converted / "rejects.jsonl").read_text()
    with (series / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    listed = {row["sop_instance_uid"] for row in rows}
    assert len(listed) == len(asked_about(samples))
    checked = Counter()
    for sample in samples:
        if sample.task is not Task.GROUNDING:
            continue
        pixels = np.asarray(Image.open(converted / sample.images[0].path))
        (finding,) = sample.answer_objects()
        x_min, y_min, x_max, y_max = map(int, finding.box_px)
        bright = pixels > (140 if finding.label == "nodule" else 200)
        inside = bright[y_min:y_max, x_min:x_max]
        ys, xs = np.nonzero(inside)
        # The bright part of a finding fills its box to within a pixel on each side.
        assert xs.min() <= 1 and ys.min() <= 1
        assert xs.max() >= x_max - x_min - 2 and ys.max() >= y_max - y_min - 2
        center = pixels[(y_min + y_max) // 2, (x_min + x_max) // 2]
        low, high = {"cavity": (0, 80), "nodule": (140, 200), "drain": (200, 256)}[finding.label]
        assert low <= center < high
        share = inside.mean()
        assert share < 0.6 if finding.label != "nodule" else share > 0.65
        assert 18 <= x_max - x_min <= 38 and 18 <= y_max - y_min <= 38
        checked[finding.label] += 1
    assert min(checked.values()) > 10
    assert set(checked) == {"nodule", "cavity", "drain"}


def test_boxes_do_not_overlap_and_are_three_at_most(series):
    with (series / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))
    by_slice = {}
    for row in rows:
        if row["label"]:
            by_slice.setdefault(row["sop_instance_uid"], []).append([int(row[k]) for k in list(row)[2:]])
    assert max(map(len, by_slice.values())) == 3
    for boxes in by_slice.values():
        for number, one in enumerate(boxes):
            for other in boxes[number + 1 :]:
                assert one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def test_answers_are_spread(converted):
    samples = samples_of(converted)
    counts = Counter(sample.answer.count for sample in samples if sample.task is Task.COUNTING)
    assert set(counts) == {0, 1, 2, 3}
    assert max(counts.values()) < 0.75 * counts.total()
    presence = Counter(sample.answer.text for sample in samples if sample.task is Task.PRESENCE)
    assert 0.4 < presence["yes"] / presence.total() < 0.6
    planes = Counter(
        sample.answer.text for sample in samples
        if sample.task is Task.VQA and sample.images[0].source.details["modality"] == "MR"
    )  # fmt: skip
    assert min(planes[plane] for plane in ("axial", "coronal", "sagittal")) >= 12


@pytest.mark.parametrize(("limit", "of_four"), [(1, {2}), (2, {1, 3}), (0, set()), (9, {0, 1, 2, 3})])
def test_headers_are_asked_about_in_the_middle_of_equal_parts(tmp_path, convert_dicom, limit, of_four):
    generate_series(tmp_path / "series", patient_count=9, seed=5)
    labels = tmp_path / "series" / "labels.csv"
    settings = {"labels": labels, "pixel_text": "off", "header_slices_per_stack": limit}
    _, samples, _ = convert_dicom(tmp_path / "series", **settings)
    length = Counter(name.rpartition("/")[0] for name in asked_about(samples))
    asked = {name: set() for name in length}
    for sample in samples:
        if sample.task is Task.CLASSIFICATION:
            asked[sample.id.rsplit("/", 2)[0]].add(sample.images[0].source.details["slice_index"])
    assert len(set(length.values())) > 1
    assert {frozenset(indices) for name, indices in asked.items() if length[name] == 4} == {frozenset(of_four)}
    assert all(len(indices) == min(limit, length[name]) for name, indices in asked.items())


def test_personal_data_do_not_pass(series, converted):
    written = b"\n".join(path.read_bytes() for path in converted.rglob("*") if path.is_file())
    for made in datasets(series):
        for value in (made.PatientID, made.PatientName.family_name, made.SOPInstanceUID, made.StudyInstanceUID,
                      made.AccessionNumber, made.InstitutionName):  # fmt: skip
            assert str(value).encode() not in written


def test_wheel_files_convert_without_a_failure(tmp_path, convert_dicom):
    files = wheel_files()
    assert {"CT_small.dcm", "MR_small.dcm", "examples_palette.dcm", "examples_ybr_color.dcm"} <= {p.name for p in files}
    (tmp_path / "in").mkdir()
    for path in files:
        (tmp_path / "in" / path.name).symlink_to(path)
    # The quickstart's tests convert these files with the search for text in their pixels.
    summary, samples, rejects = convert_dicom(tmp_path / "in", burnt_in="allow", pixel_text="off")
    assert summary.failed_count == 0
    assert not rejects
    assert {sample.images[0].source.uri for sample in samples} == {s["uri"] for s in summary.manifest["sources"]}
    assert len(summary.manifest["sources"]) == len(files)
