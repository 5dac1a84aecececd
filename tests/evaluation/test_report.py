"""Rows, JSON and Markdown of scores."""

from __future__ import annotations

import json

import pytest

from domainvl.errors import DatasetError
from domainvl.evaluation.items import score_system
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.report import difference_rows, markdown_table, summarise, write_scores
from domainvl.evaluation.statistics.bootstrap import BootstrapSettings
from domainvl.schema import CountAnswer, MeasureAnswer, Task, TextAnswer


def predict(sample_id, text):
    return Prediction(sample_id=sample_id, text=text, likelihood=0.5)


@pytest.fixture
def samples(make_sample):
    """Four questions in two groups, three counts and two boxes."""
    return [
        *(make_sample(f"t{i}", answer=TextAnswer(text="yes"), group="ab"[i % 2]) for i in range(4)),
        *(make_sample(f"c{i}", answer=CountAnswer(count=2), task=Task.COUNTING, group=str(i)) for i in range(3)),
        *(make_sample(f"b{i}", boxes=[("car", (0.0, 0.0, 250.0, 100.0))], group="ab"[i]) for i in range(2)),
    ]


@pytest.fixture
def predictions():
    answers = {
        "t0": "yes",
        "t1": "Yes.",
        "t2": "yes",
        "t3": "",
        "c0": "2",
        "c1": "5",
        "c2": "many",
        "b0": "[[0, 0, 500, 500]]",
        "b1": "[[0, 0, 200, 500]]",
    }
    return [predict(sample_id, text) for sample_id, text in answers.items()]


def test_scores_come_in_the_order_of_the_samples(samples, predictions):
    scores = score_system(samples, reversed(predictions))
    assert [item.sample_id for item in scores] == [sample.id for sample in samples]
    assert [item.correct for item in scores] == [True, True, True, False, True, False, False, True, False]


def test_predictions_that_do_not_fit_are_counted_and_named(samples, predictions):
    wrong = [item for item in predictions if not item.sample_id.startswith("t")]
    wrong += [predict("b0", "again"), predict("x1", "who?")]
    with pytest.raises(DatasetError) as caught:
        score_system(samples, wrong)
    assert caught.value.rule == (
        "there must be one for each of 9 samples, got 4 missing (t0, t1, t2, ...); 1 repeated (b0); 1 unknown (x1)"
    )


def test_rows_hold_what_was_counted(samples, predictions):
    count, boxes, text = summarise(score_system(samples, predictions))
    assert (count.task, boxes.task, text.task) == ("counting", "grounding", "vqa")
    assert (text.metric, text.n, text.groups, text.mean, text.empty) == ("exact match", 4, 2, 0.75, 1)
    assert (text.mean_iou, text.mean_count_error, text.counts_read) == (None, None, 0)
    # Group a has 2 of 2, group b 1 of 2: resamples of two groups have means 1/2, 3/4, 3/4, 1.
    assert (text.low, text.high) == (0.5, 1.0)
    assert (count.n, count.groups, count.mean) == (3, 3, pytest.approx(1 / 3))
    assert (count.mean_count_error, count.counts_read, count.empty) == (1.5, 2, 0)
    assert (boxes.metric, boxes.mean) == ("IoU >= 0.5", 0.5)
    assert boxes.mean_iou is not None
    assert boxes.mean_iou.mean == pytest.approx((1 + 0.4) / 2)
    assert (boxes.mean_iou.low, boxes.mean_iou.high) == (pytest.approx(0.4), pytest.approx(1.0))


def test_measures_have_a_row_for_each_tolerance(make_sample):
    shares = [make_sample(f"p{i}", answer=MeasureAnswer(value=40.0, unit="%"), task=Task.AREA) for i in range(3)]
    areas = [make_sample(f"a{i}", answer=MeasureAnswer(value=2.0, unit="ha"), task=Task.AREA) for i in range(2)]
    answers = {"p0": "43%", "p1": "50%", "p2": "much", "a0": "2 ha", "a1": "3 ha"}
    scores = score_system([*shares, *areas], [predict(name, text) for name, text in answers.items()])

    area, share = summarise(scores)

    assert (area.task, area.metric, area.n, area.mean) == ("area", "within 10%", 2, 0.5)
    assert (area.mean_measure_error, area.measures_read) == (pytest.approx(0.25), 2)
    assert (share.task, share.metric, share.n) == ("area", "within 10% or 1 point", 3)
    assert share.mean == pytest.approx(1 / 3)
    assert (share.mean_measure_error, share.measures_read) == (pytest.approx(6.5), 2)
    assert (share.mean_count_error, share.mean_iou) == (None, None)


def test_free_text_is_counted_and_not_scored(samples, predictions, make_sample, tmp_path):
    """Neither a caption that is word for word right nor one that is not says anything: the row holds no score."""
    free = [
        make_sample(f"{task}{n}", task=task, answer=TextAnswer(text="There is one ship."), group="ab"[n % 2])
        for task in (Task.CAPTION, Task.CONVERSATION)
        for n in range(3)
    ]
    texts = ["There is one ship.", "A ship.", ""]
    answers = [predict(sample.id, texts[n % 3]) for n, sample in enumerate(free)]
    scores = score_system([*samples, *free], [*predictions, *answers])
    rows = {row.task: row for row in summarise(scores)}
    plain = {row.task: row for row in summarise(score_system(samples, predictions))}
    difference = {row.task: row for row in difference_rows(scores, scores)}

    for task in ("caption", "conversation"):
        for row in (rows[task], difference[task]):
            assert (row.metric, row.n, row.groups, row.empty) == ("not scored", 3, 2, 1)
            assert (row.mean, row.low, row.high, row.mean_iou) == (None, None, None, None)
    assert {task: row for task, row in rows.items() if task in plain} == plain
    line = next(line for line in markdown_table({"a": list(rows.values())}).splitlines() if "caption" in line)
    assert " ".join(line.split()) == "| medical | caption | not scored | 3 | 2 | - |"
    write_scores(tmp_path / "scores.json", {"a": list(rows.values())})
    content = json.loads((tmp_path / "scores.json").read_text())
    assert [row["mean"] for row in content["scores"] if row["task"] == "caption"] == [None]


def test_differences_are_those_of_the_means(samples, predictions):
    good = score_system(samples, predictions)
    none = score_system(samples, [predict(sample.id, "") for sample in samples])
    count, boxes, text = difference_rows(good, none)
    assert (count.mean, boxes.mean, text.mean) == (pytest.approx(1 / 3), 0.5, 0.75)
    assert boxes.mean_iou is not None
    assert boxes.mean_iou.mean == pytest.approx(0.7)
    assert [row.mean for row in difference_rows(none, good)] == [pytest.approx(-1 / 3), -0.5, -0.75]


def test_domains_are_kept_apart(make_sample):
    samples = [make_sample("a", domain="medical"), make_sample("b", domain="driving")]
    rows = summarise(score_system(samples, [predict("a", "lung"), predict("b", "no")]))
    assert [(row.domain, row.mean) for row in rows] == [("driving", 0.0), ("medical", 1.0)]


def test_scores_on_disk_hold_every_system_in_the_order_given(tmp_path, samples, predictions):
    settings = BootstrapSettings(resamples=100, confidence=0.9, seed=3)
    good = summarise(score_system(samples, predictions), settings)
    none = summarise(score_system(samples, [predict(sample.id, "") for sample in samples]), settings)
    path = tmp_path / "scores.json"
    write_scores(path, {"base": none, "adapted": good}, settings)
    content = json.loads(path.read_text())
    assert content["settings"] == {"resamples": 100, "confidence": 0.9, "seed": 3}
    assert content["systems"] == ["base", "adapted"]
    assert [(row["task"], row["system"]) for row in content["scores"]] == [
        (task, system) for task in ("counting", "grounding", "vqa") for system in ("base", "adapted")
    ]
    base_boxes, adapted_boxes = content["scores"][2:4]
    assert set(base_boxes) == {
        *("domain", "task", "system", "metric", "n", "groups", "mean", "low", "high"),
        *("mean_iou", "mean_count_error", "counts_read", "empty", "mean_measure_error", "measures_read"),
    }
    assert (base_boxes["mean"], base_boxes["empty"], base_boxes["mean_iou"]["mean"]) == (0.0, 2, 0.0)
    assert adapted_boxes["mean_iou"]["mean"] == pytest.approx(0.7)
    assert [entry.name for entry in tmp_path.iterdir()] == ["scores.json"]


def test_the_table_has_one_column_a_system_and_a_line_for_the_mean_iou(samples, predictions):
    rows = summarise(score_system(samples, predictions))
    table = markdown_table({"adapted": rows, "majority": [row for row in rows if row.task == "vqa"]})
    lines = [" ".join(line.split()) for line in table.splitlines()]
    assert lines[0] == "| domain | task | metric | n | groups | adapted | majority |"
    assert set(lines[1]) == set("| -")
    assert lines[3] == "| medical | grounding | IoU >= 0.5 | 2 | 2 | 0.50 [0.00, 1.00] | - |"
    assert lines[4] == "| medical | grounding | mean IoU | 2 | 2 | 0.70 [0.40, 1.00] | - |"
    assert lines[5] == "| medical | vqa | exact match | 4 | 2 | 0.75 [0.50, 1.00] | 0.75 [0.50, 1.00] |"
    assert len(lines) == 6
