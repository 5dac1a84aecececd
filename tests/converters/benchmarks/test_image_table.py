"""Images with a table: ISIC's layouts, groups that stay whole, guesses that are told, names that may be hidden."""

from __future__ import annotations

import csv
import hashlib
import json
import secrets

import numpy as np
import pytest
from openpyxl import Workbook
from openpyxl.styles import Font
from PIL import Image as PillowImage
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from domainvl.conversion import convert
from domainvl.converters.benchmarks.generate_medical_images import generate_isic
from domainvl.converters.benchmarks.image_table import CONVERTER
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split, Task
from domainvl.schema.reader import read_manifest, read_samples


def make(folder, header, rows, *, name="table.csv", images=None):
    """Write a table and a JPEG for each row, of a colour of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images if images is not None else [row[0] for row in rows]):
        path = folder / "images" / (image if "." in image else f"{image}.jpg")
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((6, 8, 3), (number * 7 % 256, 90, 200), np.uint8)
        PillowImage.fromarray(pixels).save(path)
    if name.endswith(".xlsx"):
        book = Workbook()
        for row in [header, *rows]:
            book.active.append(row)
        book.save(folder / name)
    else:
        with (folder / name).open("w", newline="") as file:
            csv.writer(file, delimiter="\t" if name.endswith(".tsv") else ",").writerows([header, *rows])
    return folder


def run(folder, out, **settings):
    return convert(CONVERTER, folder, out, CONVERTER.settings_type(**settings))


def samples_of(out):
    return {sample.id: sample for split in Split for sample in read_samples(out, split)}


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def notes_of(out):
    return " ".join(read_manifest(out)["notes"])


def test_isic_2019_is_one_class_an_image_and_lesions_stay_whole(tmp_path):
    generate_isic(tmp_path / "isic", image_count=64)
    truth, metadata = (tmp_path / "isic" / f"ISIC_2019_Training_{part}.csv" for part in ("GroundTruth", "Metadata"))

    summary = run(
        tmp_path / "isic", tmp_path / "out", table=truth, groups=metadata, names="isic", val_fraction=0.3, keep=None
    )

    samples = samples_of(tmp_path / "out")
    assert (len(samples), summary.exit_code) == (64, ExitCode.DONE)
    first = samples["image-table/ISIC_2019_Training_Input/ISIC_0000000.jpg/class"]
    assert (first.task, first.answer.text) == (Task.CLASSIFICATION, "melanoma")
    assert "melanoma, melanocytic nevus, basal cell carcinoma, actinic keratosis, benign keratosis" in first.question
    with truth.open() as file:
        rows = list(csv.DictReader(file))
    columns = list(rows[0])[1:]
    for row in rows:
        details = samples[f"image-table/ISIC_2019_Training_Input/{row['image']}.jpg/class"].images[0].source.details
        assert row[columns[details["class_index"]]] == "1.0"
    splits = {}
    for sample in samples.values():
        splits.setdefault(sample.group, set()).add(sample.split)
    assert len(splits) == 32
    assert all(len(of_lesion) == 1 for of_lesion in splits.values())
    assert {split for of_lesion in splits.values() for split in of_lesion} == set(Split)
    assert "Images with the same lesion_id are in one split" in notes_of(tmp_path / "out")


def test_several_labels_are_asked_for_one_by_one_and_unknown_ones_not_at_all(tmp_path):
    rows = [["a", "1", "0", "-1"], ["b", "1.0", "1.0", "0"], ["c", "", "0", "0"]]
    make(tmp_path / "in", ["image_id", "melanoma", "seborrheic_keratosis", "naevus"], rows)

    run(tmp_path / "in", tmp_path / "out", ask="all", names="seborrheic_keratosis=seborrheic keratosis")

    found = {key.partition(".jpg/presence-")[::2]: one.answer.text for key, one in samples_of(tmp_path / "out").items()}
    assert found == {
        ("image-table/images/a", "melanoma"): "yes",
        ("image-table/images/a", "seborrheic-keratosis"): "no",
        ("image-table/images/b", "melanoma"): "yes",
        ("image-table/images/b", "seborrheic-keratosis"): "yes",
        ("image-table/images/b", "naevus"): "no",
        ("image-table/images/c", "seborrheic-keratosis"): "no",
        ("image-table/images/c", "naevus"): "no",
    }


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.xlsx"])
def test_a_column_of_classes_as_in_ham10000(tmp_path, name):
    header = ["lesion_id", "image_id", "dx", "age"]
    rows = [["L1", "a", "nv", 50], ["L2", "b", "mel", 60], ["L2", "c", "mel", 60]]
    make(tmp_path / "in", header, rows, name=name, images="abc")

    run(tmp_path / "in", tmp_path / "out", keep="age", options=2)

    samples = samples_of(tmp_path / "out")
    assert len(samples) == 6
    first = samples["image-table/images/b.jpg/class"]
    assert first.question.endswith("mel, nv.")
    assert (first.answer.text, first.group) == ("mel", "lesion_id L2")
    assert first.images[0].source.details == {"class": "mel", "class_index": 0, "class_count": 2, "age": "60"}
    notes = notes_of(tmp_path / "out")
    assert "The 2 classes are those of dx" in notes
    assert "the values of lesion_id are written as they are" in notes


def test_official_splits_are_honoured_and_divided_groups_put_on_one_side(tmp_path):
    rows = [[f"i{number}", ("x", "y")[number % 2], f"p{number // 2}"] for number in range(6)]
    splits = ["train", "Training", "validation", "test", "train", "test"]
    rows = [[*row, split] for row, split in zip(rows, splits, strict=True)]
    make(tmp_path / "in", ["image", "label", "patient_id", "part"], rows)

    run(tmp_path / "in", tmp_path / "out", split_column="part")

    found = {key[-10:-6]: (one.split, one.fixed_split) for key, one in samples_of(tmp_path / "out").items()}
    kept = {sample.images[0].source.uri[-6:-4]: sample.split for sample in samples_of(tmp_path / "out").values()}
    assert kept == {"i0": Split.TRAIN, "i1": Split.TRAIN, "i3": Split.TEST, "i5": Split.TEST}
    assert all(split is fixed for split, fixed in found.values())
    assert [(item["input"], item["reason"]) for item in rejects_of(tmp_path / "out")][:2] == [
        ("table.csv row 4", "image-in-test"),
        ("table.csv row 6", "image-in-test"),
    ]
    assert "1 of the 2 groups of the official test set also occur in the official train set" in notes_of(
        tmp_path / "out"
    )
    run(tmp_path / "in", tmp_path / "published", split_column="part", leakage="as-published")
    samples = samples_of(tmp_path / "published")
    assert len(samples) == 6
    assert samples["image-table/images/i5.jpg/class"].warnings != ()
    by_group = {}
    for sample in samples.values():
        by_group.setdefault(sample.group, set()).add(sample.split)
    assert all(len(of_group) == 1 for of_group in by_group.values())


PARTED = [[f"i{number}", "xy"[number % 2], ("train", "Test")[number // 3]] for number in range(6)]
"""Six images, the last three of which the makers have for testing."""


def test_med_71_a_column_of_official_splits_is_found_and_honoured(tmp_path):
    make(tmp_path / "in", ["image", "label", "Split"], PARTED)

    run(tmp_path / "in", tmp_path / "out", val_fraction=0.0, test_fraction=0.0)

    samples = samples_of(tmp_path / "out")
    assert [samples[f"image-table/images/i{number}.jpg/class"].split for number in range(6)] == [
        Split.TRAIN, Split.TRAIN, Split.TRAIN, Split.TEST, Split.TEST, Split.TEST
    ]  # fmt: skip
    assert {sample.images[0].source.details["official_split"] for sample in samples.values()} == {"train", "test"}
    assert "Splits are the official ones of Split; to draw them instead, set --split drawn." in notes_of(
        tmp_path / "out"
    )


def test_med_71_a_row_without_an_official_split_is_rejected_where_others_have_one(tmp_path):
    make(tmp_path / "in", ["image", "label", "split"], [*PARTED, ["i6", "x", ""], ["i7", "y", "maybe"]])
    run(tmp_path / "in", tmp_path / "out")
    assert [(item["input"], item["reason"]) for item in rejects_of(tmp_path / "out")][:2] == [
        ("table.csv row 8", "split-unknown"),
        ("table.csv row 9", "split-unknown"),
    ]
    assert len(samples_of(tmp_path / "out")) == 6


def test_med_71_a_column_that_only_looks_like_splits_is_told_of(tmp_path):
    make(tmp_path / "in", ["image", "label", "used_for"], PARTED)
    run(tmp_path / "in", tmp_path / "out")
    assert {sample.fixed_split for sample in samples_of(tmp_path / "out").values()} == {None}
    assert "What used_for says of splits is not used; to honour it, set --split-column." in notes_of(tmp_path / "out")


def test_splits_are_drawn_or_one_where_that_is_asked_for(tmp_path):
    make(tmp_path / "in", ["image", "label", "split"], PARTED)
    for split, fixed in (("drawn", None), ("val", Split.VAL)):
        run(tmp_path / "in", tmp_path / split, split=split)
        assert {sample.fixed_split for sample in samples_of(tmp_path / split).values()} == {fixed}
        assert "plits are the official" not in notes_of(tmp_path / split)
    with pytest.raises(UsageError, match="exclude each other"):
        run(tmp_path / "in", tmp_path / "out", split="drawn", split_column="split")


def test_a_column_called_split_of_other_things_is_none(tmp_path):
    rows = [[*row[:2], f"part {number}"] for number, row in enumerate(PARTED)]
    make(tmp_path / "in", ["image", "label", "split"], rows)
    run(tmp_path / "in", tmp_path / "out")
    assert {sample.fixed_split for sample in samples_of(tmp_path / "out").values()} == {None}


def test_a_column_of_classes_goes_before_columns_of_zeros_and_ones(tmp_path):
    rows = [
        [f"i{number}", ("nevus", "melanoma")[number % 2], number % 2, number // 3, "ab"[number % 2]]
        for number in range(6)
    ]
    make(tmp_path / "in", ["image", "dx", "biopsied", "flash", "category"], rows)

    run(tmp_path / "in", tmp_path / "out")

    samples = samples_of(tmp_path / "out").values()
    assert {sample.task for sample in samples} == {Task.CLASSIFICATION}
    assert {sample.answer.text for sample in samples} == {"nevus", "melanoma"}
    notes = notes_of(tmp_path / "out")
    assert "The 2 classes are those of dx" in notes
    assert "category, biopsied, flash could be asked about instead, and are not." in notes


def test_a_column_of_one_class_does_not_hide_columns_of_labels(tmp_path):
    rows = [[f"i{number}", "skin", number % 2, number // 3] for number in range(6)]
    make(tmp_path / "in", ["image", "category", "naevus", "melanoma"], rows)
    run(tmp_path / "in", tmp_path / "out")
    assert {sample.task for sample in samples_of(tmp_path / "out").values()} == {Task.PRESENCE}


def test_an_image_of_two_groups_is_rejected_and_one_that_is_listed_twice_is_not(tmp_path):
    make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"], ["c", "x"], ["d", "y"]])
    groups = tmp_path / "groups.csv"
    groups.write_text("image,patient_id\na,P1\nb,P1\nb,P2\nc,P3\nc,P3\nd,\n")

    run(tmp_path / "in", tmp_path / "out", groups=groups)

    assert {sample.group for sample in samples_of(tmp_path / "out").values()} == {"patient_id P1", "patient_id P3"}
    assert [(item["input"], item["reason"]) for item in rejects_of(tmp_path / "out")] == [
        ("table.csv row 3", "group-contradiction"),
        ("table.csv row 5", "group-missing"),
    ]


def test_rows_have_the_numbers_of_a_spreadsheet(tmp_path):
    folder = make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"]])
    (folder / "table.csv").write_text('image,label\na,x\n\n,\n"gone\nfor good",x\nb,y\nlost,y\n')
    run(folder, tmp_path / "out")
    assert [item["input"] for item in rejects_of(tmp_path / "out")] == ["table.csv row 5", "table.csv row 7"]


def test_a_formatted_column_without_a_name_is_none(tmp_path):
    folder = make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"]])
    (folder / "table.csv").unlink()
    book = Workbook()
    for row in (["image", "label"], ["a", "x"], ["b", "y"]):
        book.active.append(row)
    book.active.cell(1, 4).font = Font(bold=True)
    book.save(folder / "table.xlsx")
    assert run(folder, tmp_path / "out").sample_count == 2


def test_a_key_changes_no_pixel(tmp_path):
    folder = make(tmp_path / "in", ["image", "label"], [["a.tif", "x"], ["b.tif", "y"], ["c", "x"]], images=["c"])
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    for name, tags in (("a.tif", {262: 0}), ("b.tif", {274: 6})):
        directory = ImageFileDirectory_v2()
        for tag, value in tags.items():
            directory[tag] = value
        PillowImage.fromarray(grey).save(folder / name, tiffinfo=directory, compression="tiff_lzw")
    (tmp_path / "key").write_text(secrets.token_hex(16))

    run(folder, tmp_path / "open")
    run(folder, tmp_path / "hidden", deid_key=tmp_path / "key")

    hashes = [
        sorted(one.images[0].pixel_sha256 for one in samples_of(tmp_path / out).values()) for out in ("open", "hidden")
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 3


def test_with_a_key_the_manifest_tells_no_file_by_its_name_or_hash(tmp_path):
    folder = make(tmp_path / "in" / "Jane-Doe", ["image", "label"], [["a", "x"], ["b", "y"]], name="Jane-Doe.csv")
    groups = tmp_path / "Jane-Doe-groups.csv"
    groups.write_text("image,patient_id\na,P1\nb,P2\n")
    (tmp_path / "key").write_text(secrets.token_hex(16))
    settings = {"table": folder / "Jane-Doe.csv", "groups": groups, "images": "Jane-Doe/images"}

    run(tmp_path / "in", tmp_path / "out", deid_key=tmp_path / "key", **settings)

    text = (tmp_path / "out" / "manifest.json").read_text()
    assert "Doe" not in text
    for path in (groups, *folder.rglob("*.*")):
        assert hashlib.sha256(path.read_bytes()).hexdigest() not in text
    assert {"groups", "table"} < {source["uri"] for source in read_manifest(tmp_path / "out")["sources"]}


def test_a_table_may_be_that_of_one_official_split(tmp_path):
    make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"]])
    run(tmp_path / "in", tmp_path / "out", split="test")
    assert {sample.fixed_split for sample in samples_of(tmp_path / "out").values()} == {Split.TEST}


def test_with_a_key_nothing_of_names_or_metadata_is_written(tmp_path):
    names = ["Jane-Doe-1", "Jane-Doe-2", "John-Roe"]
    rows = [[names[0], "x", "MRN777123"], [names[1], "y", "MRN777123"], [names[2], "x", "MRN888456"]]
    make(tmp_path / "in", ["image", "label", "patient_id"], rows)
    for path in (tmp_path / "in" / "images").iterdir():
        with PillowImage.open(path) as image:
            exif = image.getexif()
            exif[0x010E] = "Doe^Jane"
            image.save(path, exif=exif)
    (tmp_path / "in" / "images" / "Mary-Poe.jpg").write_bytes(b"no image")
    rows.append(["Mary-Poe", "y", "MRN999"])
    make(tmp_path / "in", ["image", "label", "patient_id"], rows, images=[])
    (tmp_path / "key").write_text(secrets.token_hex(16))

    summary = run(tmp_path / "in", tmp_path / "out", deid_key=tmp_path / "key", val_fraction=0.0, test_fraction=0.0)

    assert summary.exit_code is ExitCode.PARTIAL
    samples = list(samples_of(tmp_path / "out").values())
    assert len(samples) == 3
    assert len({sample.group for sample in samples}) == 2
    for path in (path for path in (tmp_path / "out").rglob("*") if path.is_file()):
        content = path.read_bytes() + path.name.encode()
        for canary in ("Doe", "Roe", "Poe", "MRN777123", "MRN888456", "MRN999"):
            assert canary.encode() not in content, (canary, path.name)
    with PillowImage.open(tmp_path / "out" / samples[0].images[0].path) as image:
        assert image.format == "PNG"
    (reject,) = rejects_of(tmp_path / "out")
    assert (reject["input"], reject["reason"]) == ("table row 5", "image-decode")


def test_rows_that_cannot_be_used_are_listed_and_the_others_go_on(tmp_path):
    rows = [
        ["a", "x", "p1"],
        ["gone", "x", "p1"],
        ["a", "y", "p1"],
        ["b", "", "p1"],
        ["c", "y", ""],
        ["twice", "y", "p2"],
    ]
    folder = make(tmp_path / "in", ["image", "label", "patient_id"], rows, images=["a", "b", "c", "twice", "d"])
    (folder / "more").mkdir()
    (folder / "more" / "twice.jpg").write_bytes((folder / "images" / "twice.jpg").read_bytes())

    run(folder, tmp_path / "out")

    assert [(item["input"], item["reason"]) for item in rejects_of(tmp_path / "out")] == [
        ("table.csv row 3", "image-missing"),
        ("table.csv row 4", "image-repeated"),
        ("table.csv row 5", "label-missing"),
        ("table.csv row 6", "group-missing"),
        ("table.csv row 7", "image-ambiguous"),
        ("images", "no-label"),
    ]
    assert "gone" not in (tmp_path / "out" / "rejects.jsonl").read_text()


def test_images_are_found_by_path_and_with_an_ending(tmp_path):
    rows = [["one/a.jpg", "x"], ["two/a.jpg", "y"], ["b.1", "x"]]
    make(tmp_path / "in", ["path", "label"], rows, images=["one/a.jpg", "two/a.jpg", "b.1.jpg"])

    run(tmp_path / "in", tmp_path / "out", images="images")

    assert {key for key in samples_of(tmp_path / "out")} == {
        "image-table/one/a.jpg/class",
        "image-table/two/a.jpg/class",
        "image-table/b.1.jpg/class",
    }


@pytest.mark.parametrize(
    ("header", "settings", "message"),
    [
        (["picture", "label"], {}, "no column is called image"),
        (["image", "what"], {}, "no column is called label"),
        (["image", "label"], {"class_column": "kind"}, "must have a column 'kind'"),
        (["image", "label"], {"split_column": "part"}, "must have a column 'part'"),
        (["image", "label"], {"class_column": "label", "label_columns": "label"}, "exclude each other"),
        (["image", "label"], {"names": "x"}, "must be like MEL=melanoma"),
        (["image", "label"], {"names": "x=one,y=one"}, "at least two classes"),
    ],
)
def test_what_cannot_be_guessed_is_asked_for(tmp_path, header, settings, message):
    make(tmp_path / "in", header, [["a", "x"], ["b", "y"]])
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "in", tmp_path / "out", **settings)


def test_a_table_that_cannot_be_read_is_refused(tmp_path):
    folder = make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"]])
    (folder / "table.csv").write_bytes(b"image,label\na,\xff\n")
    with pytest.raises(DatasetError, match="CSV in UTF-8"):
        run(folder, tmp_path / "out")
    (folder / "table.csv").write_text("image,image\na,b\n")
    with pytest.raises(DatasetError, match="each in another way"):
        run(folder, tmp_path / "out")
    (folder / "table.csv").write_text("image,label\na,x,y\n")
    with pytest.raises(DatasetError, match="row 2 must have 2 fields"):
        run(folder, tmp_path / "out")
    (folder / "table.csv").rename(folder / "table.xlsx")
    with pytest.raises(DatasetError, match="Excel"):
        run(folder, tmp_path / "out")
    (folder / "other.csv").write_text("image,label\n")
    with pytest.raises(InputNotFoundError, match="one table .* got 2"):
        run(folder, tmp_path / "out")


def test_no_image_is_nothing_to_do(tmp_path):
    make(tmp_path / "in", ["image", "label"], [["a", "x"], ["b", "y"]], images=[])
    with pytest.raises(NothingToDoError, match="none of 2 rows"):
        run(tmp_path / "in", tmp_path / "out")
