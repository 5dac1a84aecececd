"""The majority answer, counted by hand."""

from __future__ import annotations

import pytest

from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.reading import read_boxes
from domainvl.evaluation.specialists.majority import majority_predictions
from domainvl.schema import ChoiceAnswer, CountAnswer, MeasureAnswer, Task, TextAnswer
from domainvl.schema.sample import BoxesAnswer


@pytest.fixture
def texts(make_sample):
    """Build text samples from (question, answer)."""

    def build(*pairs, **options):
        return [
            make_sample(f"{question}-{index}", question=question, answer=TextAnswer(text=text), **options)
            for index, (question, text) in enumerate(pairs)
        ]

    return build


def only(predictions):
    assert len(predictions) == 1
    return predictions[0].text, predictions[0].likelihood


def test_the_most_frequent_answer_to_the_same_question(texts):
    train = texts(("Organ?", "Lung"), ("Organ?", "lung."), ("Organ?", "heart"), *[("Plane?", "axial")] * 5)
    text, share = only(majority_predictions(train, texts(("organ? ", "liver"))))
    assert text == "lung"
    assert share == pytest.approx(2 / 3)


def test_a_new_question_falls_back_to_domain_and_task(texts):
    train = [
        *texts(("Organ?", "lung"), ("Plane?", "axial"), ("Side?", "axial")),
        *texts(*[("Where?", "sea")] * 9, domain="remote-sensing"),
        *texts(*[("Any?", "no")] * 9, task=Task.PRESENCE),
    ]
    assert only(majority_predictions(train, texts(("New?", "x")))) == ("axial", pytest.approx(2 / 3))


def test_ties_go_by_alphabet_whatever_the_order(texts):
    pairs = [("Q?", "yes"), ("Q?", "no"), ("Q?", "no"), ("Q?", "yes")]
    for train in (texts(*pairs), texts(*reversed(pairs))):
        assert only(majority_predictions(train, texts(("Q?", "yes")))) == ("no", 0.5)


def test_without_any_training_answer_the_prediction_is_empty(make_sample, texts):
    test = [*texts(("Q?", "yes")), make_sample("box", boxes=[("car", (0.0, 0.0, 10.0, 10.0))])]
    predictions = majority_predictions([], test)
    assert [(item.text, item.likelihood) for item in predictions] == [("", 0.0), ("", 0.0)]
    assert all(score(sample, item).empty for sample, item in zip(test, predictions, strict=True))


def test_counts_and_letters_are_written_as_the_model_writes_them(make_sample):
    counts = [make_sample(str(i), answer=CountAnswer(count=c), task=Task.COUNTING) for i, c in enumerate((0, 3, 3))]
    assert only(majority_predictions(counts, counts[:1])) == ("3", pytest.approx(2 / 3))
    options = ("car", "ship", "tree")
    choices = [
        make_sample(str(i), answer=ChoiceAnswer(options=options, correct=c), task=Task.MULTIPLE_CHOICE)
        for i, c in enumerate((1, 2, 1, 0))
    ]
    predictions = majority_predictions(choices, choices)
    scores = [score(sample, item) for sample, item in zip(choices, predictions, strict=True)]
    assert [item.correct for item in scores] == [True, False, True, False]


def test_measures_are_answered_with_their_median(make_sample):
    # Of 10, 20, 60 the median is 20, which is right for itself only.
    train = [
        make_sample(f"{unit}{value}", answer=MeasureAnswer(value=value, unit=unit), task=Task.AREA)
        for unit in ("%", "ha")
        for value in (10.0, 20.0, 60.0)
    ]
    assert only(majority_predictions(train, train[:1])) == ("20%", pytest.approx(1 / 3))
    assert only(majority_predictions(train, train[-1:])) == ("20 ha", pytest.approx(1 / 3))
    # An even number of shares: 25, within 10 % of 24 and 26.
    train = [
        make_sample(f"{value}", answer=MeasureAnswer(value=value, unit="%"), task=Task.AREA)
        for value in (2.0, 24.0, 26.0, 60.0)
    ]
    assert only(majority_predictions(train, train[:1])) == ("25%", 0.5)


def test_comparisons_are_answered_like_presence(texts):
    train = texts(("More a than b?", "yes"), ("More b than a?", "no"), ("More a than b?", "yes"), task=Task.COMPARISON)
    assert only(majority_predictions(train, train[1:2])) == ("no", 1.0)


def test_the_median_box_of_the_same_expression(make_sample):
    # In thousandths of 500 x 200 px: (0,0,200,500), (100,100,300,600), (200,0,800,1000); medians by hand.
    boxes = [(0.0, 0.0, 100.0, 100.0), (50.0, 20.0, 150.0, 120.0), (100.0, 0.0, 400.0, 200.0)]
    train = [
        make_sample(str(i), boxes=[("car", box)], question="red car", domain="remote-sensing")
        for i, box in enumerate(boxes)
    ]
    far = make_sample("far", boxes=[("car", (490.0, 190.0, 500.0, 200.0))], question="ship", domain="remote-sensing")
    text, share = only(majority_predictions([*train, far], train[:1]))
    assert text == "<ref>red car</ref><box>[[100, 0, 300, 600]]</box>"
    # Of the three only (100,100,300,600) is within IoU 0.5 of it (5/6); the others have 50/170 and 120/600.
    assert share == pytest.approx(1 / 3)
    assert read_boxes(text) == [(100.0, 0.0, 300.0, 600.0)]


def test_an_unknown_expression_takes_the_median_of_the_task(make_sample):
    train = [
        make_sample(str(i), boxes=[("car", (x, 0.0, x + 100.0, 100.0))], question=f"car {i}")
        for i, x in enumerate((0.0, 50.0, 400.0))
    ]
    test = make_sample("t", boxes=[("bus", (0.0, 0.0, 9.0, 9.0))], question="bus")
    text, _ = only(majority_predictions(train, [test]))
    assert text == "<ref>bus</ref><box>[[100, 0, 300, 500]]</box>"


def test_boxes_that_are_mostly_absent_are_answered_with_none(make_sample):
    absent = [make_sample(str(i), answer=BoxesAnswer(object_ids=()), question="car") for i in range(3)]
    present = [
        make_sample(f"p{i}", boxes=[("car", (0.0, 0.0, 50.0, 50.0))], question="car", task=Task.GROUNDING)
        for i in range(2)
    ]
    assert only(majority_predictions([*absent, *present], absent[:1])) == ("None", pytest.approx(3 / 5))
    text, _ = only(majority_predictions([*absent[:1], *present], absent[:1]))
    assert text == "<ref>car</ref><box>[[0, 0, 100, 250]]</box>"


def test_detection_and_regions_name_the_most_frequent_label(make_sample):
    box = (0.0, 0.0, 50.0, 50.0)
    for task, expected in ((Task.DETECTION, "[[0, 0, 100, 250]]"), (Task.REGION, "[[500, 500, 600, 750]]")):
        train = [make_sample(label + str(i), boxes=[(label, box)], task=task) for label in "ab" for i in range(2)]
        train.append(make_sample("more", boxes=[("b", box)], task=task))
        test = make_sample("t", boxes=[("a", (250.0, 100.0, 300.0, 150.0))], task=task)
        text, _ = only(majority_predictions(train, [test]))
        assert text == f"<ref>b</ref><box>{expected}</box>"
