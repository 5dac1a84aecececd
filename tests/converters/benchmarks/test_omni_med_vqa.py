"""OmniMedVQA: options in their order, all held out, what the answer names, and what is not published with it."""

from __future__ import annotations

import json

import pytest

from domainvl.conversion import convert
from domainvl.converters.benchmarks.generate_medical_choices import generate_omni_med_vqa
from domainvl.converters.benchmarks.omni_med_vqa import CONVERTER, place_of_answer
from domainvl.errors import ExitCode, InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema import Split, Task
from domainvl.schema.reader import read_samples


@pytest.fixture
def mini(tmp_path):
    generate_omni_med_vqa(tmp_path / "omni", image_count=3)
    return tmp_path / "omni"


def rows_of(folder):
    return json.loads((folder / "QA_information/Open-access/ACRIMA.json").read_text())


def write(folder, rows):
    (folder / "QA_information/Open-access/ACRIMA.json").write_text(json.dumps(rows))


def all_samples(out):
    return {sample.id: sample for split in Split for sample in read_samples(out, split)}


def rejects_of(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def test_med_73_omni_med_vqa_is_multiple_choice_in_the_published_order_and_all_for_testing(mini, tmp_path):
    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert (summary.sample_count, summary.exit_code) == (6, ExitCode.DONE)
    samples = all_samples(tmp_path / "out")
    assert {sample.split for sample in samples.values()} == {Split.TEST}
    assert {sample.fixed_split for sample in samples.values()} == {Split.TEST}
    first, second = samples["omni-med-vqa/ACRIMA_0000"], samples["omni-med-vqa/ACRIMA_0003"]
    assert first.task is Task.MULTIPLE_CHOICE
    assert first.answer.options == ("CT scan", "Fundus imaging", "PET scan", "Ultrasound")
    assert first.answer.correct == 1
    assert second.answer.options == ("Glaucoma", "No, It's normal.")
    assert second.answer.correct == 1  # of the second image
    assert first.images[0].source.details == {
        "dataset": "ACRIMA",
        "question_type": "Modality Recognition",
        "modality_type": "Fundus Photography",
        "access": "Open-access",
        "official_split": "test",
    }
    assert first.group == first.images[0].source.uri == "Images/ACRIMA/Im000_ACRIMA.png"


def test_a_restricted_set_without_images_is_one_reject(mini, tmp_path):
    convert(CONVERTER, mini, tmp_path / "out")

    (reject,) = rejects_of(tmp_path / "out")
    assert (reject["input"], reject["reason"]) == ("Restricted-access/AIDA.json", "images-not-published")
    assert "left out: 1 question" in reject["message"]
    assert reject["severity"] == "skipped"


def test_images_that_are_missing_are_listed_with_their_questions(mini, tmp_path):
    (mini / "Images/ACRIMA/Im001_ACRIMA.png").unlink()

    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert (summary.sample_count, summary.exit_code) == (4, ExitCode.PARTIAL)
    (reject,) = [item for item in rejects_of(tmp_path / "out") if item["severity"] == "failed"]
    assert (reject["input"], reject["reason"]) == ("Images/ACRIMA/Im001_ACRIMA.png", "image-missing")
    assert "2 questions" in reject["message"]


def test_splits_may_be_drawn_to_train_on_it(mini, tmp_path):
    settings = CONVERTER.settings_type(splits="drawn", val_fraction=0.0, test_fraction=0.0)
    convert(CONVERTER, mini, tmp_path / "out", settings)

    assert {(sample.split, sample.fixed_split) for sample in all_samples(tmp_path / "out").values()} == {
        (Split.TRAIN, None)
    }


@pytest.mark.parametrize(
    ("answer", "options", "place"),
    [
        ("CT", ("MR", "CT"), 1),
        ("ct", ("CT.", "X-ray"), 0),  # case and full stop
        ("CT", ("ct", "CT"), 1),  # the exact one of two that are equal otherwise
    ],
)
def test_the_option_that_an_answer_names(answer, options, place):
    assert place_of_answer(answer, options, "row") == place


@pytest.mark.parametrize(
    ("answer", "options", "reason"),
    [
        ("US", ("MR", "CT"), "answer-not-an-option"),
        ("CT", ("CT", "CT"), "answer-ambiguous"),
        ("CT.", ("CT", "ct"), "answer-ambiguous"),
    ],
)
def test_an_answer_that_names_no_option_or_two(answer, options, reason):
    with pytest.raises(ItemError) as caught:
        place_of_answer(answer, options, "row")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"gt_answer": "Ultrasound imaging"}, "answer-not-an-option"),
        ({"image_path": "../secret.png"}, "row-invalid"),
        ({"question": None}, "field-missing"),
        ({"option_A": "", "option_B": None, "option_C": ""}, "options-missing"),
        ({"question_id": "ACRIMA_0001"}, "question-repeated"),
    ],
)
def test_a_bad_row_is_rejected_and_the_others_go_on(mini, tmp_path, change, reason):
    first, *others = rows_of(mini)
    write(mini, [*others, first | change])

    summary = convert(CONVERTER, mini, tmp_path / "out")

    assert summary.sample_count == 5
    (reject,) = [item for item in rejects_of(tmp_path / "out") if item["severity"] == "failed"]
    assert (reject["input"], reject["reason"]) == ("Open-access/ACRIMA.json row 6", reason)


def test_the_row_that_says_modality_is_read_too(mini, tmp_path):
    first, *others = rows_of(mini)
    first["modality"] = first.pop("modality_type")
    write(mini, [first, *others])

    convert(CONVERTER, mini, tmp_path / "out")

    details = all_samples(tmp_path / "out")["omni-med-vqa/ACRIMA_0000"].images[0].source.details
    assert details["modality_type"] == "Fundus Photography"


def test_what_is_no_omni_med_vqa_is_refused(mini, tmp_path):
    with pytest.raises(InputNotFoundError, match="QA_information is missing"):
        convert(CONVERTER, mini / "Images", tmp_path / "out")
    for path in (mini / "Images").rglob("*.png"):
        path.unlink()
    with pytest.raises(NothingToDoError, match="none of the images"):
        convert(CONVERTER, mini, tmp_path / "out")
