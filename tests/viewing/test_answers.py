"""Answers by task, and the share that a constant answer is right for."""

from __future__ import annotations

import pytest
from builders import make_image, make_sample

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    Split,
    Task,
    TextAnswer,
)
from domainvl.viewing.answers import AnswerTally, answer_dict, answer_kind, constant_rows


def tally(*samples):
    tally = AnswerTally()
    for sample in samples:
        tally.add(sample)
    return tally


def texts(split, *answers):
    return [make_sample(answer=TextAnswer(text=text), split=split, images=[]) for text in answers]


def rows(tally, kind="text"):
    keys = ("split", "samples", "answer", "share", "train_answer", "train_answer_share")
    return [tuple(row[key] for key in keys) for row in constant_rows(("general", "vqa", kind), tally)]


def test_the_constant_answer_of_each_split_and_that_of_training():
    answers = tally(
        *texts(Split.TRAIN, "a lung", "A  lung.", "a heart", "left"),
        *texts(Split.TEST, "a heart", "a heart", "a lung"),
    )

    assert rows(answers) == [
        ("train", 4, "a lung", 0.5, "a lung", 0.5),
        ("test", 3, "a heart", pytest.approx(2 / 3), "a lung", pytest.approx(1 / 3)),
    ]


def test_without_training_samples_there_is_no_answer_of_training():
    assert rows(tally(*texts(Split.VAL, "yes", "no", "no"))) == [("val", 3, "no", pytest.approx(2 / 3), None, None)]


def test_yes_and_no_are_balanced_or_not():
    summary = answer_dict(("general", "presence", "text"), tally(*texts(Split.TRAIN, "yes", "no", "No.", "maybe")))

    assert summary == {
        "domain": "general",
        "task": "presence",
        "kind": "text",
        "samples": 4,
        "distinct": 3,
        "top": [{"answer": "no", "count": 2}, {"answer": "maybe", "count": 1}, {"answer": "yes", "count": 1}],
        "other": 0,
        "yes_no": {"yes": 1, "no": 2},
        "counts": None,
        "correct_option": None,
        "option_counts": None,
        "boxes_per_answer": None,
    }


def test_counts_are_distributed():
    samples = [make_sample(task=Task.COUNTING, answer=CountAnswer(count=count)) for count in (2, 0, 10, 2)]
    summary = answer_dict(("general", "counting", "count"), tally(*samples))

    assert summary["counts"] == {"0": 1, "2": 2, "10": 1}
    assert list(summary["counts"]) == ["0", "2", "10"]  # as numbers
    assert rows(tally(*samples), "count") == [("train", 4, "2", 0.5, "2", 0.5)]


def test_a_constant_measure_is_right_within_the_tolerance():
    def area(value, unit, split=Split.TRAIN):
        return make_sample(task=Task.AREA, answer=MeasureAnswer(value=value, unit=unit), split=split)

    # 14 lies within a tenth or a point of 13, 14 and 15; of the others none does of more than two.
    shares = [area(value, "%") for value in (10.4, 13.0, 14.0, 15.0, 40.0)]
    answers = tally(*shares, area(15.0, "%", Split.TEST), area(16.0, "%", Split.TEST))
    assert rows(answers, "measure in %") == [
        ("train", 5, "14%", 0.6, "14%", 0.6),
        ("test", 2, "15%", 1.0, "14%", 0.5),
    ]
    # 100 m2 are within 10 % of 110 and 95.
    areas = tally(*(area(value, "m2") for value in (100.0, 110.0, 95.0, 300.0)))
    assert rows(areas, "measure in m2")[0][2:4] == ("100 m2", 0.75)
    assert {answer_kind(area(1.0, unit)) for unit in ("%", "ha")} == {"measure in %", "measure in ha"}
    assert answer_kind(make_sample()) == "text"


def test_options_are_counted_by_letter():
    samples = [
        make_sample(task=Task.MULTIPLE_CHOICE, answer=ChoiceAnswer(options=options, correct=correct))
        for options, correct in ((("a", "b"), 1), (("c", "d", "e"), 1), (("c", "d", "e"), 0))
    ]
    summary = answer_dict(("general", "multiple-choice", "choice"), tally(*samples))

    assert summary["correct_option"] == {"A": 1, "B": 2}
    assert summary["option_counts"] == {"2": 1, "3": 2}
    assert rows(tally(*samples), "choice") == [("train", 3, "B", pytest.approx(2 / 3), "B", pytest.approx(2 / 3))]


def grounding(sample_id, *boxes_px, split=Split.TRAIN):
    objects = [Object(id=str(number), label="car", box_px=box) for number, box in enumerate(boxes_px)]
    return make_sample(
        sample_id,
        task=Task.GROUNDING,
        question="car",
        answer=BoxesAnswer(object_ids=tuple(thing.id for thing in objects)),
        objects=objects,
        images=[make_image(size_px=(1000, 1000))],  # so that pixels are thousandths
        split=split,
    )


def test_the_constant_box_is_the_median_and_right_at_half_overlap():
    # Medians of (0, 10, 400), (0, 10, 400), (100, 110, 500), (100, 110, 500).
    train = [
        grounding("a", (0, 0, 100, 100)),
        grounding("b", (10, 10, 110, 110)),  # the median itself
        grounding("c", (400, 400, 500, 500)),
    ]
    test = [
        # 100 x 50 of 100 x 100: exactly half.
        grounding("d", (10, 10, 110, 60), split=Split.TEST),
        grounding("e", (10, 10, 110, 59), split=Split.TEST),
        grounding("f", (10, 10, 110, 110), (500, 500, 600, 600), split=Split.TEST),  # one box cannot be two
        grounding("g", split=Split.TEST),
    ]
    answers = tally(*train, *test)

    # a shares 90 x 90 = 8,100 of 11,900 with the median: 0.68.
    assert rows(answers, "boxes")[0] == (
        "train", 3, "<box>[[10, 10, 110, 110]]</box>", pytest.approx(2 / 3),
        "<box>[[10, 10, 110, 110]]</box>", pytest.approx(2 / 3),
    )  # fmt: skip
    split, count, own, own_share, trained, trained_share = rows(answers, "boxes")[1]
    assert (split, count, trained, trained_share) == ("test", 4, "<box>[[10, 10, 110, 110]]</box>", 0.25)
    # Medians of 60 and 59 are rounded to the even one: 60 (59.5), which d is.
    assert (own, own_share) == ("<box>[[10, 10, 110, 60]]</box>", 0.5)
    assert answer_dict(("general", "grounding", "boxes"), answers)["boxes_per_answer"] == {"0": 1, "1": 5, "2": 1}


def test_none_is_the_constant_where_most_name_no_box():
    answers = tally(grounding("a"), grounding("b"), grounding("c", (0, 0, 10, 10)))

    assert rows(answers, "boxes") == [("train", 3, "None", pytest.approx(2 / 3), "None", pytest.approx(2 / 3))]


def test_half_is_not_most():
    answers = tally(grounding("a"), grounding("b", (0, 0, 10, 10)))

    assert rows(answers, "boxes") == [
        ("train", 2, "<box>[[0, 0, 10, 10]]</box>", 0.5, "<box>[[0, 0, 10, 10]]</box>", 0.5)
    ]


def test_a_region_is_answered_by_its_name():
    objects = [Object(id=str(number), label=label, box_px=(0, 0, 5, 5)) for number, label in enumerate(("Car", "bus"))]
    samples = [
        make_sample(task=Task.REGION, question="q", answer=BoxesAnswer(object_ids=(named,)), objects=objects)
        for named in ("0", "0", "1")
    ]

    assert rows(tally(*samples), "boxes") == [("train", 3, "car", pytest.approx(2 / 3), "car", pytest.approx(2 / 3))]


def test_boxes_of_detection_are_no_constant():
    objects = [Object(id="0", label="car", box_px=(0, 0, 5, 5))]
    sample = make_sample(task=Task.DETECTION, answer=BoxesAnswer(object_ids=("0",)), objects=objects)

    assert rows(tally(sample), "boxes") == [("train", 1, None, None, None, None)]
