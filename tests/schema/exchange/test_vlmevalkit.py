"""The table is read by VLMEvalKit's rules, written down here once more from its readers.

open-compass/VLMEvalKit: vlmeval/dataset/image_base.py (ImageBaseDataset), vlmeval/dataset/image_mcq.py (build_prompt).
"""

from __future__ import annotations

import base64
import io
import string
from pathlib import Path

import numpy as np
import pytest
from builders import make_sample
from PIL import Image as PillowImage

from domainvl.errors import ExitCode, ItemError, NothingToDoError
from domainvl.schema import ChoiceAnswer, DatasetWriter, Source, Split, Task, TextAnswer
from domainvl.schema.exchange import ImageMode, export_dataset, load_format, read_exported
from domainvl.schema.exchange.export import express
from domainvl.schema.exchange.formats import PlacedImage
from domainvl.schema.reader import read_samples
from domainvl.schema.wording import word_sample

pd = pytest.importorskip("pandas")

GROUPS = {
    "clinical vqa task": "Severity Grading",
    "department": "Urology",
    "category": "cyst",
    "row": 7,
    "box": [1, 2],
    "Answer": "D",
}
QUESTION = 'Which one matches "the mark", <image> and all?'


def choice(number, image, **changes):
    answer = ChoiceAnswer(options=("a cyst", '"quoted"', "stone, or not"), correct=number % 3)
    fields = {"task": Task.MULTIPLE_CHOICE, "question": QUESTION, "answer": answer, "split": Split.TEST}
    sample = make_sample(f"c{number}", images=[image], **{**fields, **changes})
    return sample.model_copy(update={"turns": word_sample(sample)})


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Three multiple-choice samples, two of one image, and a question of another kind."""
    out = tmp_path_factory.mktemp("choices") / "data"
    rng = np.random.default_rng(0)
    with DatasetWriter(out, name="choices") as writer:
        first, second = (
            writer.images.put_pixels(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).to_image(
                Source(uri="a", details=GROUPS)
            )
            for _ in range(2)
        )
        writer.add(choice(0, first))
        writer.add(choice(1, first))
        writer.add(choice(2, second, preface="The image has 2 m per pixel."))
        writer.add(make_sample("v", images=[second], split=Split.TEST, answer=TextAnswer(text="no")))
        writer.finish(command="c", settings={}, sources=[], versions={})
    return out


def read_as_vlmevalkit(path):
    """ImageBaseDataset.__init__, and what build_prompt takes for options of each row."""
    data = pd.read_csv(path, sep="\t")
    data = data[~pd.isna(data["image"])] if "image" in data else data
    data["index"] = [str(x) for x in data["index"]]
    if "image" in data:
        image_map = dict(zip(data["index"], [str(x) for x in data["image"]], strict=True))
        for key in image_map:
            if len(image_map[key]) <= 64:
                index = image_map[key]
                assert index in image_map and len(image_map[index]) > 64
                image_map[key] = image_map[index]
        data["image"] = [image_map[key] for key in data["index"]]
    rows = data.to_dict("records")
    for row in rows:
        row["options"] = {
            letter: row[letter] for letter in string.ascii_uppercase if letter in row and not pd.isna(row[letter])
        }
    return rows


def test_med_73_a_reader_of_vlmevalkits_rules_sees_questions_images_and_groups(dataset, tmp_path):
    summary = export_dataset(dataset, tmp_path / "out", format_name="vlmevalkit")

    assert (summary.counts, summary.exit_code) == ({Split.TEST: 3}, ExitCode.PARTIAL)
    assert summary.left_out == {"not-multiple-choice": 1}
    rows = read_as_vlmevalkit(tmp_path / "out" / "test.tsv")
    assert [row["index"] for row in rows] == ["0", "1", "2"]
    assert [row["answer"] for row in rows] == ["A", "B", "C"]
    assert all(row["question"] == QUESTION for row in rows)
    assert all(row["options"] == {"A": "a cyst", "B": '"quoted"', "C": "stone, or not"} for row in rows)
    assert [row["hint"] for row in rows if not pd.isna(row["hint"])] == ["The image has 2 m per pixel."]
    assert {row["clinical vqa task"] for row in rows} == {"Severity Grading"}
    assert ({row["department"] for row in rows}, {row["category"] for row in rows}) == ({"Urology"}, {"cyst"})
    assert {"box", "Answer"}.isdisjoint(rows[0])  # it reads names in whatever case
    samples = list(read_samples(dataset, Split.TEST))
    for row, sample in zip(rows, samples, strict=False):
        shown = PillowImage.open(io.BytesIO(base64.b64decode(row["image"])))
        with PillowImage.open(dataset / sample.images[0].path) as stored:
            assert np.array_equal(np.asarray(shown), np.asarray(stored))


def test_an_image_of_two_rows_is_written_once(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", format_name="vlmevalkit")

    table = pd.read_csv(tmp_path / "out" / "test.tsv", sep="\t", dtype=str)
    assert [len(image) > 64 for image in table["image"]] == [True, False, True]
    assert table["image"][1] == "0"
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["export.json", "rejects.jsonl", "test.tsv"]


def test_it_comes_back(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", format_name="vlmevalkit")
    back = list(read_exported(tmp_path / "out", "vlmevalkit", Split.TEST))

    expected = [sample for sample in read_samples(dataset, Split.TEST) if sample.task is Task.MULTIPLE_CHOICE]
    assert [sample.turns for sample in back] == [sample.turns for sample in expected]
    assert [sample.id for sample in back] == [sample.id for sample in expected]
    assert [sample.images for sample in back] == [(sample.images[0].path,) for sample in expected]


def test_images_may_be_named_by_path(dataset, tmp_path):
    export_dataset(dataset, tmp_path / "out", format_name="vlmevalkit", images=ImageMode.REFERENCE)

    rows = read_as_vlmevalkit(tmp_path / "out" / "test.tsv")
    assert {Path(row["image_path"]) for row in rows} == set((dataset / "images").rglob("*.png"))
    assert "image" not in rows[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"answer": ChoiceAnswer(options=("None", "some"), correct=0)}, "text-changes"),
        ({"answer": ChoiceAnswer(options=("a\tb", "some"), correct=0)}, "text-changes"),
        ({"question": "NA"}, "text-changes"),
        ({"task": Task.VQA, "answer": TextAnswer(text="no")}, "not-multiple-choice"),
    ],
)
def test_what_the_reader_would_not_see_as_it_is_is_left_out(dataset, changes, reason):
    image = next(iter(read_samples(dataset, Split.TEST))).images[0]
    placed = PlacedImage(image.path, dataset / image.path, ImageMode.EMBED)
    with pytest.raises(ItemError) as caught:
        express(load_format("vlmevalkit"), choice(0, image, **changes), [placed])
    assert caught.value.reason == reason


def test_two_images_are_left_out(dataset):
    image = next(iter(read_samples(dataset, Split.TEST))).images[0]
    placed = PlacedImage(image.path, dataset / image.path, ImageMode.EMBED)
    with pytest.raises(ItemError, match="one image"):
        express(load_format("vlmevalkit"), choice(0, image).model_copy(update={"images": (image, image)}), [placed] * 2)


def counting_dataset(out, options_of, details=GROUPS):
    """Samples of one image each but the first two, which share one."""
    rng = np.random.default_rng(0)
    with DatasetWriter(out, name="counting") as writer:
        images = [
            writer.images.put_pixels(rng.integers(0, 256, (9, 7, 3), dtype=np.uint8)).to_image(
                Source(uri=str(number), details=details)
            )
            for number in range(len(options_of))
        ]
        images[1] = images[0]
        for number, options in enumerate(options_of):
            writer.add(choice(number, images[number], answer=ChoiceAnswer(options=options, correct=0)))
        writer.finish(command="c", settings={}, sources=[], versions={})
    return out


def test_med_73_numbers_that_pandas_would_change_are_left_out_and_listed(tmp_path):
    """C has a gap, so that its numbers would be read as 3.0: of the first sample, whose image the second shows too."""
    options = [("2", "4", "3"), ("5", "6"), ("7", "8"), ("9", "10", "11.5")]
    folder = counting_dataset(tmp_path / "data", options)
    summary = export_dataset(folder, tmp_path / "out", format_name="vlmevalkit")

    assert (summary.counts, summary.left_out) == ({Split.TEST: 3}, {"text-changes": 1})
    rows = read_as_vlmevalkit(tmp_path / "out" / "test.tsv")
    assert [[str(text) for text in row["options"].values()] for row in rows] == [list(each) for each in options[1:]]
    assert [row["id"] for row in rows] == ["c1", "c2", "c3"]
    first = next(iter(read_samples(folder, Split.TEST))).images[0]
    shown = PillowImage.open(io.BytesIO(base64.b64decode(rows[0]["image"])))
    with PillowImage.open(folder / first.path) as stored:
        assert np.array_equal(np.asarray(shown), np.asarray(stored))
    rejects = (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()
    assert len(rejects) == 1 and '"c0"' in rejects[0] and "text of C" in rejects[0]
    assert [sample.id for sample in read_exported(tmp_path / "out", "vlmevalkit", Split.TEST)] == ["c1", "c2", "c3"]


def test_med_73_images_are_shared_among_the_rows_that_stay(tmp_path):
    folder = counting_dataset(tmp_path / "data", [("2", "3"), ("4", "5"), ("007", "8")])
    export_dataset(folder, tmp_path / "out", format_name="vlmevalkit")

    table = pd.read_csv(tmp_path / "out" / "test.tsv", sep="\t", dtype=str)
    assert table["index"].tolist() == ["0", "1"]
    assert [len(image) > 64 for image in table["image"]] == [True, False]


def test_med_73_where_no_row_is_left_there_is_no_export(tmp_path):
    folder = counting_dataset(tmp_path / "data", [("true", "false"), ("true", "false")])

    with pytest.raises(NothingToDoError, match="can express none of 2 samples"):
        export_dataset(folder, tmp_path / "out", format_name="vlmevalkit")


def test_med_73_a_detail_called_split_does_not_take_the_place_of_the_split(tmp_path):
    details = {"Split": "val", "split": "train", "category": "cyst"}
    folder = counting_dataset(tmp_path / "data", [("a", "b"), ("c", "d")], details)
    export_dataset(folder, tmp_path / "out", format_name="vlmevalkit")

    rows = read_as_vlmevalkit(tmp_path / "out" / "test.tsv")
    assert [row["split"] for row in rows] == ["test", "test"]
    assert "Split" not in rows[0] and rows[0]["category"] == "cyst"
