"""MIMIC-CXR: official split by subject, views, labels, sections, DICOM through the grey levels, no identifiers."""

from __future__ import annotations

import csv
import gzip
import json
import secrets
import shutil

import numpy as np
import pytest
from PIL import Image as PillowImage
from pydicom import dcmread

from domainvl.conversion import convert
from domainvl.converters.benchmarks.generate_medical_images import generate_mimic_cxr
from domainvl.converters.benchmarks.mimic_cxr import CONVERTER
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task
from domainvl.schema.reader import read_samples

METADATA, SPLIT, CHEXPERT = (f"mimic-cxr-2.0.0-{part}.csv" for part in ("metadata", "split", "chexpert"))


@pytest.fixture
def mini(tmp_path):
    generate_mimic_cxr(tmp_path / "mimic", subject_count=4)
    (tmp_path / "key").write_text(secrets.token_hex(16))
    return tmp_path / "mimic"


def run(folder, out, **settings):
    key = {"deid_key": folder.parent / "key"}
    return convert(CONVERTER, folder, out, CONVERTER.settings_type(**key | settings))


def samples_of(out):
    return [sample for split in Split for sample in read_samples(out, split)]


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def table(folder, name):
    with (folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


def write(folder, name, rows):
    with (folder / name).open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def test_med_74_the_official_split_is_honoured_by_subject(mini, tmp_path):
    summary = run(mini, tmp_path / "out")

    assert summary.exit_code is ExitCode.DONE
    samples = samples_of(tmp_path / "out")
    groups = {split: {one.group for one in samples if one.split is split} for split in Split}
    assert {split: len(names) for split, names in groups.items()} == {Split.TRAIN: 2, Split.VAL: 1, Split.TEST: 1}
    assert len(set.union(*groups.values())) == 4
    assert all(sample.fixed_split is sample.split for sample in samples)
    # The last subject of the table is the tested one, and its frontal image is AP.
    views = {sample.answer.text for sample in samples if sample.split is Split.TEST and sample.id.endswith("/view")}
    assert views == {"anteroposterior", "lateral"}


def test_med_74_views_are_those_of_the_metadata_and_not_told_in_the_prompt(mini, tmp_path):
    run(mini, tmp_path / "out", tasks="view")

    samples = samples_of(tmp_path / "out")
    assert sorted(sample.answer.text for sample in samples) == (
        ["anteroposterior"] * 2 + ["lateral"] * 4 + ["posteroanterior"] * 2
    )
    assert {sample.task for sample in samples} == {Task.CLASSIFICATION}
    assert all(sample.turns[0].text.startswith("<image>\nClassify") for sample in samples)
    positions = {"PA": "posteroanterior", "AP": "anteroposterior", "LATERAL": "lateral"}
    for sample in samples:
        assert sample.answer.text == positions[sample.images[0].source.details["view_position"]]


def test_med_74_labels_are_asked_where_they_are_certain(mini, tmp_path):
    rows = table(mini, CHEXPERT)
    rows[0].update({"Fracture": "0.0", "Pneumonia": "-1.0", "Support Devices": "1.0"})
    write(mini, CHEXPERT, rows)

    run(mini, tmp_path / "out", tasks="labels", ask="all")

    found = {}
    for sample in samples_of(tmp_path / "out"):
        found.setdefault(sample.group, {})[sample.question] = sample.answer.text
    ill = {"Is there any pleural effusion in the study?": "yes", "Is there any pneumothorax in the study?": "no"}
    more = {"Is there any fracture in the study?": "no", "Is there any support devices in the study?": "yes"}
    well = {"Is the study without any finding?": "yes"}
    assert sorted(found.values(), key=repr) == sorted([ill | more, well, ill, well], key=repr)


def test_med_74_sections_of_reports_are_captions_of_all_images_of_a_study(mini, tmp_path):
    run(mini, tmp_path / "out", tasks="report")

    samples = samples_of(tmp_path / "out")
    assert len(samples) == 8  # two sections of four studies
    assert {sample.task for sample in samples} == {Task.CAPTION}
    texts = {sample.answer.text for sample in samples}
    assert texts == {
        "There is a right pleural effusion. The cardiomediastinal silhouette is normal.",
        "There is no pleural effusion. The cardiomediastinal silhouette is normal.",
        "Right pleural effusion.",
        "No acute cardiopulmonary process.",
    }
    for sample in samples:
        assert [image.view for image in sample.images][1] == "Lateral view"
        assert sample.images[0].view in ("Posteroanterior view", "Anteroposterior view")


def test_med_74_dicom_goes_through_the_grey_level_pipeline_and_jpg_is_marked_as_equalised(mini, tmp_path):
    generate_mimic_cxr(tmp_path / "dicom", subject_count=3, dicom=True)

    run(tmp_path / "dicom", tmp_path / "out", tasks="view")
    run(mini, tmp_path / "jpg", tasks="view")

    expected = []
    for path in (tmp_path / "dicom").rglob("*.dcm"):
        # Window 2048/4096 of PS3.3 C.11.2.1.2 by hand, then inverted as MONOCHROME1 is.
        values = dcmread(path).pixel_array.astype(float)
        grey = np.clip((values - 2047.5) / 4095 + 0.5, 0, 1) * 255
        expected.append((255 - np.rint(grey)).tobytes())
    shown = []
    for sample in samples_of(tmp_path / "out"):
        assert sample.warnings == ()
        with PillowImage.open(tmp_path / "out" / sample.images[0].path) as image:
            shown.append(np.asarray(image).astype(float).tobytes())
    assert sorted(shown) == sorted(expected)
    for sample in samples_of(tmp_path / "jpg"):
        assert sample.warnings == ("The grey levels are those of MIMIC-CXR-JPG, histogram equalised by its makers",)


def test_dicom_is_taken_before_jpg_unless_one_is_asked_for(mini, tmp_path):
    generate_mimic_cxr(tmp_path / "dicom", subject_count=4, dicom=True)
    shutil.copytree(mini / "files", tmp_path / "dicom" / "files", dirs_exist_ok=True)

    for edition, expected in (("auto", "dicom"), ("jpg", "jpg"), ("dicom", "dicom")):
        out = tmp_path / f"out-{edition}"
        run(tmp_path / "dicom", out, tasks="view", edition=edition)
        details = {one.images[0].source.details["edition"] for one in samples_of(out)}
        assert details == {expected}, edition


def test_med_74_no_number_of_a_subject_study_or_image_is_written(mini, tmp_path):
    rows = table(mini, METADATA)
    broken = next((mini / "files").rglob(f"{rows[0]['dicom_id']}.jpg"))
    broken.write_bytes(b"no image")
    next((mini / "files").rglob(f"s{rows[2]['study_id']}.txt")).write_bytes(b"\xff\xfe")
    rows[7]["subject_id"] = "../1"
    write(mini, METADATA, rows)

    summary = run(mini, tmp_path / "out")

    assert summary.exit_code is ExitCode.PARTIAL
    assert {item["reason"] for item in rejects_of(tmp_path / "out")} == {"image-decode", "report-read", "row-invalid"}
    canaries = {row[name] for row in rows for name in ("dicom_id", "subject_id", "study_id")} - {"../1"}
    assert len(canaries) == 8 + 4 + 4
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        content = path.read_bytes() + path.name.encode()
        assert not [canary for canary in canaries if canary.encode() in content], path.name


def test_another_key_gives_other_names_of_the_same_groups(mini, tmp_path):
    run(mini, tmp_path / "a", tasks="view")
    (tmp_path / "key").write_text(secrets.token_hex(16))
    run(mini, tmp_path / "b", tasks="view")
    groups = [{sample.group for sample in samples_of(tmp_path / name)} for name in "ab"]
    assert len(groups[0]) == len(groups[1]) == 4
    assert groups[0].isdisjoint(groups[1])


def test_without_a_key_nothing_is_converted(mini, tmp_path):
    with pytest.raises(UsageError, match="--deid-key"):
        convert(CONVERTER, mini, tmp_path / "out")


def test_each_frontal_image_may_be_asked_about_alone(mini, tmp_path):
    run(mini, tmp_path / "out", tasks="labels,report", show="frontal")

    samples = samples_of(tmp_path / "out")
    assert all(len(sample.images) == 1 for sample in samples)
    assert {one.images[0].source.details["view_position"] for one in samples} == {"PA", "AP"}
    assert len({sample.id for sample in samples}) == len(samples)
    assert {one.question for one in samples if "presence" in one.id and "pneumothorax" in one.id} == {
        "Is there any pneumothorax in the image?"
    }


def test_what_a_copy_does_not_hold_is_counted(mini, tmp_path):
    rows = table(mini, METADATA)
    next((mini / "files").rglob(f"{rows[1]['dicom_id']}.jpg")).unlink()
    write(mini, SPLIT, [row for row in table(mini, SPLIT) if row["dicom_id"] != rows[3]["dicom_id"]])

    run(mini, tmp_path / "out")

    assert [(item["reason"], item["severity"], item["message"][:7]) for item in rejects_of(tmp_path / "out")] == [
        ("image-missing", "skipped", "1 rows:"),
        ("no-split", "failed", "1 rows:"),
    ]


def test_images_beyond_the_limit_are_the_last_of_a_study(mini, tmp_path):
    run(mini, tmp_path / "out", tasks="view", images_per_study=1)

    views = {one.images[0].source.details["view_position"] for one in samples_of(tmp_path / "out")}
    assert views == {"PA", "AP"}
    (reject,) = rejects_of(tmp_path / "out")
    assert (reject["reason"], reject["message"]) == ("study-images", "4 images are more than 1 of their study")


def test_packed_tables_and_reports_elsewhere(mini, tmp_path):
    run(mini, tmp_path / "plain")
    for path in mini.glob("*.csv"):
        with gzip.open(f"{path}.gz", "wb") as packed:
            packed.write(path.read_bytes())
        path.unlink()
    for path in (mini / "files").rglob("*.txt"):
        target = tmp_path / "reports" / path.relative_to(mini)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    run(mini, tmp_path / "packed", reports=tmp_path / "reports")

    assert samples_of(tmp_path / "packed") == samples_of(tmp_path / "plain")


def test_reports_without_a_wanted_section_are_counted(mini, tmp_path):
    run(mini, tmp_path / "out", tasks="view,report", report_sections="recommendation")
    assert [item["reason"] for item in rejects_of(tmp_path / "out")] == ["report-no-section"] * 4


def test_the_input_is_checked(mini, tmp_path):
    for settings, message in (({"tasks": "view,age"}, "got 'age'"), ({"report_sections": "poem"}, "poem")):
        with pytest.raises(UsageError, match=message):
            run(mini, tmp_path / "out", **settings)
    rows = table(mini, CHEXPERT)
    write(mini, CHEXPERT, [{key: row[key] for key in row if key != "Edema"} for row in rows])
    with pytest.raises(DatasetError, match="column Edema is missing"):
        run(mini, tmp_path / "out")
    (mini / CHEXPERT).unlink()
    with pytest.raises(InputNotFoundError, match=r"mimic-cxr-2\.0\.0-chexpert\.csv is missing"):
        run(mini, tmp_path / "out")
    run(mini, tmp_path / "negbio", labels="negbio")
    shutil.rmtree(mini / "files")
    with pytest.raises(NothingToDoError, match="no image of the table"):
        run(mini, tmp_path / "out", tasks="view")


def test_med_74_studies_without_a_report_are_counted(mini, tmp_path):
    """Two of four reports are gone; without labels and views, nothing is asked of their two images each."""
    for path in sorted(mini.rglob("s*.txt"))[:2]:
        path.unlink()

    summary = run(mini, tmp_path / "out", tasks="report")

    assert summary.exit_code is ExitCode.DONE
    assert len(samples_of(tmp_path / "out")) == 2 * 2
    rejects = rejects_of(tmp_path / "out")
    assert [item["message"] for item in rejects if item["reason"] == "report-missing"] == [
        "2 studies of 4: there is no file of the report"
    ]
    assert sorted(item["reason"] for item in rejects) == ["no-question"] * 4 + ["report-missing"]

    run(mini, tmp_path / "views", tasks="view")
    assert not rejects_of(tmp_path / "views")


def test_med_74_images_of_other_views_are_listed_where_frontal_ones_are_shown(mini, tmp_path):
    rows = table(mini, METADATA)
    for row in rows:
        row["ViewPosition"] = {"PA": "SWIMMERS"}.get(row["ViewPosition"], row["ViewPosition"])
    write(mini, METADATA, rows)
    views = [row["ViewPosition"] for row in rows]
    assert (views.count("SWIMMERS"), views.count("AP"), views.count("LATERAL")) == (2, 2, 4)

    for tasks, left_out in (("labels,report", 6), ("view,labels,report", 2)):  # a lateral view is asked for
        out = tmp_path / f"out-{left_out}"
        run(mini, out, tasks=tasks, show="frontal")
        rejects = rejects_of(out)
        assert [(one["reason"], one["severity"]) for one in rejects] == [("not-frontal", "skipped")] * left_out
        shown = {image.path for sample in samples_of(out) for image in sample.images}
        assert len(shown) + left_out == len(rows)


def test_med_74_subjects_in_several_splits_are_told_with_what_can_be_done(mini, tmp_path):
    """Of a subject with an image for training and one for testing, the one for testing stays."""
    rows = table(mini, SPLIT)
    assert rows[0]["subject_id"] == rows[1]["subject_id"]
    assert rows[0]["split"] == "train"
    rows[1]["split"] = "test"
    write(mini, SPLIT, rows)

    summary = run(mini, tmp_path / "out", tasks="view")

    assert any("1 of 4 subjects lie in several official splits" in note for note in summary.manifest["notes"])
    (reject,) = rejects_of(tmp_path / "out")
    assert reject["reason"] == "image-in-test"
    assert "leakage" not in str(reject) + str(summary.manifest["notes"])  # no setting of this converter
    assert rows[1]["subject_id"] not in str(reject)
