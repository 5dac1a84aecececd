"""Rules for any data set; the golden cases hold the usual, here is what they leave out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from protocol_cases import make_item, value_of

from domainvl.errors import DatasetError, RecipeError
from domainvl.evaluation.items import score
from domainvl.evaluation.protocols import rules_generic
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.loading import load_protocol, protocol_names
from domainvl.evaluation.protocols.rules import RULES
from domainvl.schema import Task

CAT = [["cat", [0, 0, 400, 400]]]


def text(truth: str, said: str, options: dict[str, float] | None = None, **details: str) -> Item:
    item = make_item(said, answer={"kind": "text", "text": truth}, details=details)
    prediction = item.prediction.model_copy(update={"options": options})
    return Item(item.sample, prediction, item.facts)


def count(truth: int, said: str) -> Item:
    return make_item(said, task="counting", answer={"kind": "count", "count": truth})


def measure(truth: float, unit: str, said: str) -> Item:
    return make_item(said, task="area", answer={"kind": "measure", "value": truth, "unit": unit})


def box_answer(rng: np.random.Generator) -> str:
    boxes = [[label, *rng.integers(0, 1001, 4).tolist()] for label in rng.choice(["cat", "dog"], rng.integers(0, 4))]
    return "".join(f"<ref>{label}</ref><box>[[{a}, {b}, {c}, {d}]]</box>" for label, a, b, c, d in boxes)


def test_boxes_are_right_by_the_same_rule_as_in_items():
    rng = np.random.default_rng(0)
    said = [*(box_answer(rng) for _ in range(200)), "None", "", "<ref>cat</ref><box>[[0, 0, 500, 500]]</box>"]
    for task in ("grounding", "detection", "region"):
        for boxes in (CAT, [*CAT, ["dog", [0, 0, 800, 800]]]):
            items = [make_item(answer, task=task, boxes=boxes) for answer in said]
            known = [score(item.sample, item.prediction) for item in items]
            right = RULES["iou-accuracy"](items).right
            assert right is not None and right.tolist() == [found.correct for found in known]
            ious = [found.iou or 0.0 for found in known]
            assert value_of(RULES["mean-iou"](items).score) == pytest.approx(np.mean(ious))
    assert right[-1] == (len(boxes) == 1)


def test_a_threshold_is_inclusive_and_bears_on_the_worst_box():
    items = [make_item("[[0, 0, 500, 350]]", task="grounding", boxes=CAT)]  # IoU 0.7
    assert [value_of(RULES["iou-accuracy"](items, threshold=t).score) for t in (0.7, 0.71)] == [1, 0]


def test_the_threshold_of_detection_is_that_of_the_column():
    said = "<ref>cat</ref><box>[[0, 0, 500, 300]]</box>"  # IoU 0.6
    items = [make_item(said, task="detection", boxes=CAT)]
    for rule, at_half, above in (
        ("iou-accuracy", {}, {"threshold": 0.7}),
        ("detection-f1", {}, {"threshold": 0.7}),
        ("detection-ap", {}, {"thresholds": (0.7,)}),
    ):
        assert value_of(RULES[rule](items, **at_half).score) == pytest.approx(1.0)
        assert value_of(RULES[rule](items, **above).score) == 0.0
    assert value_of(RULES["detection-ap"](items, thresholds=(0.5, 0.7)).score) == pytest.approx(0.5)


def test_random_boxes_score_about_nothing():
    rng = np.random.default_rng(1)
    items = [make_item(box_answer(rng), task="grounding", boxes=CAT) for _ in range(300)]
    assert value_of(RULES["iou-accuracy"](items).score) < 0.05


@pytest.mark.parametrize(
    ("item", "unreadable"),
    [
        (text("lung", "anything"), 0),
        (text("lung", " "), 1),
        (text("yes", "perhaps"), 1),
        (count(2, "many"), 1),
        (measure(2, "%", "2 acres"), 1),
        (make_item("both", task="multiple-choice", answer={"kind": "choice", "options": ["a", "b"], "correct": 0}), 1),
        (make_item("there", task="grounding", boxes=CAT), 1),
        (make_item("None", task="detection", boxes=CAT), 0),
    ],
)
def test_answers_of_another_kind_are_wrong_and_counted(item, unreadable):
    result = RULES["accuracy"]([item])
    assert (value_of(result.score), result.unreadable) == (0.0, unreadable)


def test_the_metric_says_what_makes_an_answer_right():
    assert RULES["accuracy"]([text("a", "a"), count(1, "1"), text("b", "b")]).metric == "exact match / exact count"


def test_always_the_frequent_class_has_high_accuracy_but_no_kappa():
    items = [text("cat", "cat")] * 9 + [text("dog", "cat")]
    assert value_of(RULES["accuracy"](items).score) == pytest.approx(0.9)
    assert value_of(RULES["macro-recall"](items).score) == pytest.approx(0.5)
    assert value_of(RULES["kappa"](items).score) == pytest.approx(0.0)


def test_classes_of_choices_are_their_options_not_their_letters():
    options = {"kind": "choice", "options": ["cat", "dog"], "correct": 0}
    turned = {"kind": "choice", "options": ["dog", "cat"], "correct": 0}
    items = [
        make_item("A", task="multiple-choice", answer=options),  # cat, said cat
        make_item("A", task="multiple-choice", answer=turned),  # dog, said dog
        make_item("B", task="multiple-choice", answer=turned),  # dog, said cat
    ]
    # 2 of 3 agree; true 1 cat, 2 dog, said 2 cat, 1 dog: 4/9 by chance.
    assert value_of(RULES["kappa"](items).score) == pytest.approx((2 / 3 - 4 / 9) / (1 - 4 / 9))


def test_samples_without_the_fact_are_left_out_of_a_mean_over_it():
    items = [
        text("a", "a", modality="CT"),
        text("a", "b", modality="MR"),
        text("a", "a", modality="CT"),
        text("a", "b"),
    ]
    result = RULES["macro-accuracy"](items, fact="modality")
    assert value_of(result.score) == pytest.approx(0.5)
    assert result.uncounted == 1 and result.counted is not None and result.counted.tolist() == [True] * 3 + [False]


def test_auroc_takes_the_likelihood_of_yes_where_it_is_stored():
    sure, unsure = {"Yes": 0.9, "No": 0.1}, {"Yes": 0.2, "No": 0.8}
    items = [text("yes", "no", sure), text("no", "yes", unsure), text("no", "no")]
    result = RULES["auroc"](items)
    assert (value_of(result.score), result.uncounted) == (1.0, 1)
    assert math.isnan(value_of(RULES["auroc"](items[2:]).score))


def test_yes_and_no_must_be_what_is_true():
    with pytest.raises(DatasetError, match="its true answer must be yes or no, got 'lung'"):
        RULES["sensitivity"]([text("lung", "yes")])


@pytest.mark.parametrize(("truth", "error"), [(7, 7), (0, 1)])
def test_silence_does_not_pay_where_counts_are_asked_for(truth, error):
    assert value_of(RULES["count-error"]([count(truth, "")]).score) == error


def test_errors_of_measures_are_of_one_kind():
    with pytest.raises(RecipeError, match="got the units %, m2"):
        RULES["measure-error"]([measure(1, "%", "1%"), measure(1, "m2", "1 m2")])
    result = RULES["measure-error"]([measure(200, "m2", ""), measure(0, "m2", "5 m2"), measure(100, "m2", "0.015 ha")])
    # Nothing read is as far off as 0, a true 0 has no relative error, 150 for 100.
    assert (value_of(result.score), result.uncounted) == (pytest.approx((1 + 0.5) / 2), 1)
    assert not result.higher_is_better
    assert value_of(RULES["measure-error"]([measure(0.2, "%", "")]).score) == 1.0  # at least the tolerance


def test_a_detectors_scores_decide_the_order_of_its_boxes():
    said = "<ref>cat</ref><box>[[600, 600, 900, 900], [0, 0, 500, 500]]</box>"
    item = make_item(said, task="detection", boxes=CAT)

    def precision(*scores: float) -> float:
        prediction = item.prediction.model_copy(update={"box_scores": scores or None})
        return value_of(RULES["detection-ap"]([Item(item.sample, prediction, item.facts)]).score)

    assert (precision(0.1, 0.9), precision(0.9, 0.1)) == (pytest.approx(1.0), pytest.approx(0.5))
    assert "no scores" in RULES["detection-ap"]([item]).metric


def test_several_right_descriptions_count():
    item = make_item("a b c d", task="caption", answer={"kind": "text", "text": "x y", "accepted": ["a b c d"]})
    assert value_of(RULES["rouge-l"]([item]).score) == pytest.approx(1.0)
    with pytest.raises(DatasetError, match="its true answer must be a text"):
        RULES["bleu"]([make_item("a", task="grounding", boxes=CAT)])


def test_what_is_not_installed_has_no_value_and_says_why():
    for rule, words in (("meteor", "needs Java"), ("factuality", "no scorer is installed")):
        result = RULES[rule]([text("a", "a")])
        assert math.isnan(value_of(result.score)) and words in result.metric and result.uncounted == 1


def test_an_installed_scorer_of_factuality_is_used(monkeypatch):
    class Scorer:
        name = "words in common 1.0"

        def score(self, candidates, references):
            return [float(said in texts) for said, texts in zip(candidates, references, strict=True)]

    monkeypatch.setattr(rules_generic, "factuality_scorers", lambda: ["words"])
    monkeypatch.setattr(rules_generic, "load_factuality_scorer", lambda name: {"words": Scorer()}[name])
    result = RULES["factuality"]([text("a", "a"), text("b", "a")])
    assert (value_of(result.score), result.metric) == (0.5, "factuality by words in common 1.0")


def test_every_task_but_conversation_has_a_protocol_with_the_columns_of_the_one_for_all():
    together = load_protocol("generic")
    alone = {name.removeprefix("generic-") for name in protocol_names() if name.startswith("generic-")}
    assert alone == {task.value for task in Task} - {Task.CONVERSATION.value}
    (excluded,) = together.excluded
    assert excluded.where == {"task": "conversation"}
    for task in alone:
        protocol = load_protocol(f"generic-{task}")
        own = {
            column.name: (column.rule, column.settings, column.where | protocol.where) for column in protocol.columns
        }
        assert own == {
            column.name.removeprefix(f"{task} "): (column.rule, column.settings, column.where)
            for column in together.columns
            if column.where.get("task") == task
        }
