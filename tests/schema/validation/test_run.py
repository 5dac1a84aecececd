"""A data set as a whole: many faults at once, what the converters make, and what is kept when all is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from domainvl.cli.main import main
from domainvl.errors import InputNotFoundError
from domainvl.schema import ImageStore
from domainvl.schema.validation import KEPT_PER_RULE, Severity, ValidationOptions, validate


def found_in(dataset: Path, **options) -> set[tuple[str, str, int | None]]:
    report = validate(dataset, ValidationOptions(**options))
    return {(finding.rule, finding.file, finding.line) for finding in report.findings}


def test_no_fault_hides_another(planter):
    """One fault a line and a file, all at once; each is found where it is."""
    planter.line("train.jsonl", 1, b"{\n")
    planter.line("train.jsonl", 2, b"\xff\n")
    planter.edit("train.jsonl", 3, lambda record: record["domainvl"]["answer"].update(correct=5))
    planter.edit("train.jsonl", 7, lambda record: record.update(image="/a.png"))
    planter.edit("val.jsonl", 1, lambda record: record.update(id="e/1"))
    planter.edit("test.jsonl", 1, lambda record: record["domainvl"].update(split="val"))
    planter.image("test.jsonl", 3).write_bytes(b"")
    planter.edit_json("meta.json", lambda meta: meta["small"].update(length=0))
    (planter.dataset / "card.md").unlink()

    assert found_in(planter.dataset) == {
        ("line-not-json", "train.jsonl", 1),
        ("line-not-utf8", "train.jsonl", 2),
        ("choice-index", "train.jsonl", 3),
        ("image-path", "train.jsonl", 7),
        ("id-duplicate", "test.jsonl", 1),
        ("split-mismatch", "test.jsonl", 1),
        ("image-empty", "test.jsonl", 3),
        ("meta-length", "meta.json", None),
        ("file-missing", "card.md", None),
        ("croissant-sha256", "croissant.json", None),
    }


def test_findings_come_by_file_and_line_with_the_values_seen(planter):
    planter.edit("train.jsonl", 5, lambda record: record.update(id="a/what"))
    planter.edit("train.jsonl", 2, lambda record: record["domainvl"].update(schema_version=3))
    planter.sign()

    report = validate(planter.dataset)

    assert [(finding.line, finding.message) for finding in report.findings] == [
        (2, "schema_version must be 1, got 3"),
        (5, "the id 'a/what' was used in train.jsonl:1"),
    ]
    assert report.counts == {"schema-version": 1, "id-duplicate": 1}
    assert (report.count(Severity.ERROR), report.count(Severity.WARNING)) == (2, 0)


def test_a_wrong_image_is_reported_once_however_many_lines_name_it(planter):
    for line in (1, 3, 4):
        planter.edit("train.jsonl", line, lambda record: record.update(width=91))
    planter.sign()

    [finding] = validate(planter.dataset).findings

    assert (finding.rule, finding.line) == ("image-size", 1)
    assert "has 90x64 px, and the record says 91x64, and so do 2 more lines" in finding.message


def test_what_is_in_two_splits_is_named_on_both_sides(planter):
    planter.edit("test.jsonl", 4, lambda record: record["domainvl"].update(group="a"))
    planter.sign()

    [finding] = validate(planter.dataset).findings

    assert finding.message == "the group 'a' is also in train.jsonl:1"


def test_geo_41_a_planted_duplicate_is_reported_with_both_ids(planter, draw_picture):
    planter.show("val.jsonl", draw_picture(1, (90, 64)))  # that of a/what
    planter.sign()

    [finding] = validate(planter.dataset).findings

    path = f"{planter.record('val.jsonl', 1)['image']!r}"
    assert (finding.rule, finding.file, finding.line) == ("image-in-two-splits", "val.jsonl", 1)
    assert finding.message == (
        f"{path} of sample 'd/1' has the same pixels as {path} of sample 'a/what' in train.jsonl:1"
    )


@pytest.mark.parametrize("pixels", [True, False])
def test_geo_41_a_planted_near_duplicate_is_reported_with_both_ids(planter, draw_picture, pixels):
    planter.show("val.jsonl", draw_picture(1, (90, 64)) + np.uint8(9))
    planter.sign()

    findings = validate(planter.dataset, ValidationOptions(pixels=pixels)).findings

    assert [finding.rule for finding in findings] == ["near-duplicate"] * pixels  # it takes decoding
    for finding in findings:
        assert "of sample 'd/1' differs in 0 of 64 bits from" in finding.message
        assert finding.message.endswith("of sample 'a/what' in train.jsonl:1")


def test_geo_41_flat_images_are_no_near_duplicates_and_counted(planter):
    # Both fall by 7 grey levels from left to right, less than the 8 from which on a look says something.
    slope = (np.arange(72) * 8 // 72).astype(np.uint8)[np.newaxis, :, np.newaxis]
    planter.show("test.jsonl", np.broadcast_to(60 - slope, (64, 72, 3)))
    planter.show("val.jsonl", np.broadcast_to(90 - slope, (64, 72, 3)))
    planter.sign()

    report = validate(planter.dataset)

    assert "near-duplicate" not in report.counts
    assert report.unchecked == {"flat images, not compared by their look": 2}


def test_of_very_many_findings_the_first_are_kept_and_all_counted(planter):
    line = planter.lines("train.jsonl")[7]
    count = KEPT_PER_RULE + 500
    with (planter.dataset / "train.jsonl").open("ab") as file:
        file.writelines(line.replace(b'"text"', f'"text{number}"'.encode(), 1) for number in range(count))
        file.writelines([line] * count)
    planter.sign()

    report = validate(planter.dataset)

    kept = [finding for finding in report.findings if finding.rule == "id-duplicate"]
    assert report.counts["id-duplicate"] == count
    assert [finding.line for finding in kept] == list(range(8 + count + 1, 8 + count + 1 + KEPT_PER_RULE))


def test_a_folder_of_too_many_files(planter):
    folder = planter.dataset / "images" / "full"
    folder.mkdir()
    for number in range(1000):
        (folder / f"{number}.png").write_bytes(b"x")
    assert "image-folder-full" not in validate(planter.dataset).counts

    (folder / "1000.png").write_bytes(b"x")

    assert validate(planter.dataset).counts == {"image-folder-full": 1, "image-unreferenced": 1001}
    assert ("image-folder-full", "images/full", None) in found_in(planter.dataset)


def test_no_samples_at_all(planter):
    for name in ("train.jsonl", "val.jsonl", "test.jsonl"):
        (planter.dataset / name).write_bytes(b"")

    report = validate(planter.dataset)

    assert report.samples == 0
    assert report.counts["samples-none"] == 1


def test_a_folder_without_samples_is_no_data_set(tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        validate(tmp_path / "nowhere")
    with pytest.raises(InputNotFoundError, match="none of train.jsonl"):
        validate(tmp_path)


def test_a_folder_of_images_that_is_a_link(planter, tmp_path):
    (planter.dataset / "images").rename(tmp_path / "elsewhere")
    (planter.dataset / "images").symlink_to(tmp_path / "elsewhere")
    assert found_in(planter.dataset) == set()

    (planter.dataset / "images" / "stray.png").write_bytes(b"x")
    assert found_in(planter.dataset) == {("image-unreferenced", "images/stray.png", None)}


def test_a_path_in_another_form_names_the_same_file(planter):
    planter.edit("train.jsonl", 1, lambda record: record.update(image="./" + record["image"]))
    planter.sign()

    assert found_in(planter.dataset) == set()


def test_images_may_lie_in_other_folders(planter):
    source = planter.image("test.jsonl", 1)
    (planter.dataset / "pictures").mkdir()
    for line in (1, 2):
        planter.edit("test.jsonl", line, lambda record: record.update(image="pictures/e.png"))
    source.rename(planter.dataset / "pictures" / "e.png")
    planter.sign()

    assert found_in(planter.dataset) == set()


def test_names_of_stray_files_are_looked_through(planter):
    (planter.dataset / "images" / "Ashdown^Avelina.png").write_bytes(b"x")

    path = "images/Ashdown^Avelina.png"
    assert found_in(planter.dataset, identifiers=True) == {
        ("image-unreferenced", path, None),
        ("phi-person-name", path, None),
    }


def test_a_broken_line_is_looked_through_for_identifiers_too(planter):
    planter.line("train.jsonl", 1, b'{"note": "Ashdown^Avelina"\n')
    planter.sign()

    assert found_in(planter.dataset, identifiers=True) == {
        ("line-not-json", "train.jsonl", 1),
        ("phi-person-name", "train.jsonl", 1),
    }


def test_flat_images_are_no_near_duplicates(planter):
    """Two greys without structure have one difference hash, and say nothing of each other."""
    planter.show("val.jsonl", np.full((30, 40), 100, np.uint8))
    planter.show("test.jsonl", np.full((40, 30), 200, np.uint8))
    planter.sign()

    assert found_in(planter.dataset) == set()


def test_pictures_that_are_alike_within_a_split_are_fine(planter, draw_picture):
    stored = ImageStore(planter.dataset).put_pixels(draw_picture(5, (54, 32)) + np.uint8(3))
    planter.edit(
        "test.jsonl",
        2,
        lambda record: (
            record.update(image=stored.path),
            record["domainvl"]["images"][0].update(pixel_sha256=stored.pixel_sha256),
        ),
    )
    planter.sign()

    assert found_in(planter.dataset) == set()


@pytest.mark.skipif(os.geteuid() == 0 if hasattr(os, "geteuid") else True, reason="root may read everything")
def test_files_that_may_not_be_read(planter):
    (planter.dataset / "val.jsonl").chmod(0)
    planter.image("train.jsonl", 1).chmod(0)

    assert found_in(planter.dataset) >= {
        ("file-unreadable", "val.jsonl", None),
        ("image-unreadable", "train.jsonl", 1),
    }


def test_a_file_that_cannot_be_read_does_not_stop_the_others(planter, monkeypatch):
    from domainvl.schema.validation import run as run_module

    check_lines = run_module.check_lines

    def refuse(dataset, split, **rest):
        if split == "val":
            raise PermissionError(13, "Permission denied")
        check_lines(dataset, split, **rest)

    monkeypatch.setattr(run_module, "check_lines", refuse)

    assert found_in(planter.dataset) == {("file-unreadable", "val.jsonl", None)}


def test_progress_is_told_to_its_end(pristine):
    told = {}
    validate(pristine, on_progress=lambda what, done, total: told.update({what: (done, total)}))

    sizes = {name: (pristine / name).stat().st_size for name in ("train.jsonl", "val.jsonl", "test.jsonl")}
    assert told == {name: (size, size) for name, size in sizes.items()} | {"images": (6, 6)}


def test_nothing_is_written(dataset):
    before = {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()}
    validate(dataset, ValidationOptions(identifiers=True))

    assert {path: path.read_bytes() for path in dataset.rglob("*") if path.is_file()} == before


# What the converters make of generated input: no error, no warning, and nothing that looks like an identifier.


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    from domainvl.converters.dicom.generate import generate_series
    from domainvl.converters.geotiff.generate import generate_scenes
    from domainvl.converters.nuscenes.generate import generate_dataroot

    folder = tmp_path_factory.mktemp("converted")
    generate_scenes(folder / "scenes", scene_count=6, seed=1)
    generate_series(folder / "series", patient_count=9, seed=1)
    generate_dataroot(folder / "dataroot", scene_count=6, frames_per_scene=1, seed=1)
    (folder / "key").write_bytes(b"ab" * 32)
    labels = str(folder / "scenes" / "labels.geojson")
    arguments = {
        "geotiff": ["scenes", "--labels", labels, "--label-field", "class", "--tile-px", "128"],
        "dicom": ["series", "--deid-key", str(folder / "key"), "--labels", str(folder / "series" / "labels.csv")],
        "nuscenes": ["dataroot"],
    }
    for name, (source, *rest) in arguments.items():
        split = ["--val-fraction", "0.2", "--test-fraction", "0.3", "--licence", "CC0-1.0"]
        assert main(["convert", name, str(folder / source), "--out", str(folder / name), *rest, *split]) == 0
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", ["geotiff", "dicom", "nuscenes"])
def test_what_a_converter_makes_has_no_findings(converted, name):
    report = validate(converted / name, ValidationOptions(identifiers=True))

    assert list(report.findings) == []
    assert report.samples > 50


@pytest.mark.slow
def test_names_of_the_source_are_found_where_a_converter_would_let_them_through(converted):
    """The families of the generated patients, as canaries: none in what the converter made, all where planted."""
    from domainvl.schema.validation import read_canaries

    families = sorted({path.name.split("_")[0] for path in (converted / "series").iterdir() if path.is_dir()})
    (converted / "names.txt").write_text("\n".join(families))
    canaries = read_canaries(converted / "names.txt")
    assert validate(converted / "dicom", ValidationOptions(canaries=canaries)).counts == {}

    rejects = converted / "dicom" / "rejects.jsonl"
    reject = {"stage": "read", "reason": "x", "message": "m", "action": None, "severity": "failed"}
    rejects.write_text("".join(json.dumps(reject | {"input": f"{family}.dcm"}) + "\n" for family in families))

    assert validate(converted / "dicom", ValidationOptions(canaries=canaries)).counts == {
        "manifest-rejects": 1,
        "phi-canary": len(families),
    }
