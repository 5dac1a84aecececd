"""Average precision agrees with pycocotools, follows from its definition in small cases, and can be resampled."""

from __future__ import annotations

import contextlib
import io

import numpy as np
import pytest

from domainvl.errors import DatasetError
from domainvl.evaluation.metrics.boxes import f1_score, precision_score, recall_score
from domainvl.evaluation.metrics.detection import (
    COCO_THRESHOLDS,
    DetectionItem,
    FoundBox,
    TrueBox,
    average_precision,
    average_precision_by_label,
    average_precision_name,
    detection_counts,
    read_detection,
)
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Task

LABELS = ("car", "ship", "tree")
HERE, THERE, AWAY = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def item(true=(), found=(), label="car"):
    """An item of one label: boxes, and (box, score)."""
    return DetectionItem(
        tuple(TrueBox(label, box) for box in true), tuple(FoundBox(label, box, score) for box, score in found)
    )


def value(score):
    return score.compute(np.ones(score.item_count))


def random_items(rng, images, *, ignore=0.0):
    """Images with true boxes, of which found ones are near or anywhere, with scores that never tie."""

    def anywhere():
        x, y = rng.uniform(0, 80, 2)
        width, height = rng.uniform(5, 40, 2)
        return x, y, x + width, y + height

    items = []
    for _ in range(images):
        true = [
            TrueBox(str(rng.choice(LABELS)), anywhere(), bool(rng.random() < ignore)) for _ in range(rng.integers(0, 6))
        ]
        found = []
        for thing in true:
            for _ in range(rng.integers(0, 3)):
                # Sorted, because noise can swap the corners of a small box.
                moved = np.sort((np.array(thing.box) + rng.normal(0, 2, 4)).reshape(2, 2), axis=0)
                found.append(FoundBox(thing.label, tuple(moved.ravel().tolist()), float(rng.random())))
        found += [FoundBox(str(rng.choice(LABELS)), anywhere(), float(rng.random())) for _ in range(rng.integers(0, 4))]
        items.append(DetectionItem(tuple(true), tuple(found)))
    return items


def coco_precision(items):
    """Precision by pycocotools, shape (10 thresholds, 101 recalls, labels).

    What it ignores by area stands for what is ignored: it ignores a true box of an area out of range.
    """
    coco = pytest.importorskip("pycocotools.coco")
    cocoeval = pytest.importorskip("pycocotools.cocoeval")

    def annotation(box):
        x_min, y_min, x_max, y_max = box.box
        width, height = x_max - x_min, y_max - y_min
        return {
            "category_id": LABELS.index(box.label) + 1,
            "bbox": [x_min, y_min, width, height],
            "area": width * height,
        }

    true, found = [], []
    for index, one in enumerate(items, start=1):
        for box in one.true:
            area = {"area": 1e12} if box.ignored else {}
            true.append({**annotation(box), **area, "image_id": index, "iscrowd": 0, "id": len(true) + 1})
        for box in one.found:
            found.append({**annotation(box), "image_id": index, "score": box.score})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO()
        truth.dataset = {
            "images": [{"id": index + 1} for index in range(len(items))],
            "categories": [{"id": index + 1} for index in range(len(LABELS))],
            "annotations": true,
        }
        truth.createIndex()
        evaluation = cocoeval.COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"][..., 0, -1]  # all areas, up to 100 boxes


@pytest.mark.parametrize(("seed", "ignore"), [(0, 0.0), (1, 0.0), (2, 0.3), (3, 0.3)])
def test_it_agrees_with_pycocotools(seed, ignore):
    items = random_items(np.random.default_rng(seed), 40, ignore=ignore)
    precision = coco_precision(items)
    assert (precision >= 0).all()
    assert value(average_precision(items, COCO_THRESHOLDS)) == pytest.approx(precision.mean(), abs=1e-9)
    assert value(average_precision(items)) == pytest.approx(precision[0].mean(), abs=1e-9)
    for place, label in enumerate(LABELS):
        by_label = average_precision_by_label(items, (0.5, 0.75))[label]
        assert value(by_label) == pytest.approx(precision[[0, 5], :, place].mean(), abs=1e-9)


def test_it_agrees_with_pycocotools_where_a_label_is_never_there():
    items = [item([HERE], [(HERE, 0.9)]), item([], [(HERE, 0.8)], label="ship")]
    precision = coco_precision(items)
    assert value(average_precision(items)) == pytest.approx(precision[0][precision[0] > -1].mean())


def test_it_leaves_out_what_comes_after_a_hundred_boxes():
    found = [(AWAY, 0.9 - index / 1000) for index in range(100)] + [(HERE, 0.1)]
    items = [item([HERE], found)]
    assert value(average_precision(items)) == coco_precision(items)[0, :, 0].mean() == 0
    # Precision, recall and F1 are of the whole answer.
    assert detection_counts(items).tolist() == [[1, 100, 0]]


def test_a_weight_is_as_many_images():
    items = random_items(np.random.default_rng(4), 12)
    weights = np.array([0, 1, 2, 1, 0, 3, 1, 1, 0, 2, 1, 0])
    repeated = [one for one, times in zip(items, weights, strict=True) for _ in range(times)]
    for thresholds in ((0.5,), COCO_THRESHOLDS):
        resampled = average_precision(items, thresholds).compute(weights.astype(float))
        assert resampled == pytest.approx(value(average_precision(repeated, thresholds)), abs=1e-12)


def test_a_resample_without_true_boxes_has_no_score():
    score = average_precision([item([HERE], [(HERE, 1.0)]), item([], [(HERE, 1.0)])])
    assert np.isnan(score.compute(np.array([0.0, 3.0])))
    assert np.isnan(value(average_precision([item()])))


def test_by_hand():
    # Ranked: right, wrong, right; of two. Precision 1 up to recall 0.5 (51 of the 101 recalls), then 2/3 (50).
    items = [item([HERE, THERE], [(HERE, 0.9), (AWAY, 0.8), (THERE, 0.7)])]
    assert value(average_precision(items)) == pytest.approx((51 + 50 * 2 / 3) / 101)
    # A second box on the same thing is wrong, and what is missed is never reached: precision 1 up to 0.5, then 0.
    items = [item([HERE, THERE], [(HERE, 0.9), (HERE, 0.8)])]
    assert value(average_precision(items)) == pytest.approx(51 / 101)
    assert value(average_precision([item([HERE], [])])) == 0


def test_labels_count_alike():
    right = item([HERE], [(HERE, 1.0)])
    wrong = item([HERE], [(AWAY, 1.0)], label="ship")
    assert value(average_precision([right, right, right, wrong])) == 0.5
    assert {label: value(score) for label, score in average_precision_by_label([right, wrong]).items()} == {
        "car": 1.0,
        "ship": 0.0,
    }


def test_a_box_of_another_label_is_wrong():
    items = [DetectionItem((TrueBox("car", HERE),), (FoundBox("ship", HERE, 0.9),))]
    assert value(average_precision(items)) == 0
    assert detection_counts(items).tolist() == [[0, 1, 1]]


def test_without_scores_no_order_decides():
    # One operating point, precision 2/3 at recall 1; ranked by where they stand, a part would have precision 1.
    first, second = item([HERE], [(HERE, None)]), item([HERE], [(AWAY, None), (HERE, None)])
    expected = 2 / 3
    for items in ([first, second], [second, first]):
        assert value(average_precision(items)) == pytest.approx(expected)
        assert average_precision_name(items) == "mAP, IoU >= 0.5 (no scores: all boxes ranked as one)"
    # Nor the order within an answer: a loose box of IoU 0.6 that comes first takes a truth from an exact one.
    loose, other = (0, 0, 10, 6), (0, 4.5, 10, 10)
    true = [(0, 0, 10, 10), (0, 0, 10, 5.5)]
    for found in ([loose, true[0]], [true[0], loose]):
        assert detection_counts([item(true, [(box, None) for box in found])]).tolist() == [[2, 0, 0]]
    assert detection_counts([item(true, [(other, None), (true[0], None)])]).tolist() == [[1, 1, 1]]


def test_the_name_says_what_is_measured():
    scored = [item([HERE], [(HERE, 0.4)])]
    assert average_precision_name(scored) == "mAP, IoU >= 0.5"
    assert average_precision_name(scored, COCO_THRESHOLDS) == "mAP, IoU >= 0.5 to 0.95"
    assert average_precision_name([item([HERE], [])]) == "mAP, IoU >= 0.5"


def test_some_scores_are_not_enough():
    with pytest.raises(DatasetError, match="got 1 with and 2 without"):
        average_precision([item([], [(HERE, 0.5), (HERE, None)]), item([], [(HERE, None)])])


def test_counts_make_precision_recall_and_f1():
    items = [item([HERE, THERE], [(HERE, 0.1), (AWAY, 0.9), (AWAY, 0.8)]), item([HERE], [(HERE, 0.2)]), item()]
    counts = detection_counts(items)
    assert counts.tolist() == [[1, 2, 1], [1, 0, 0], [0, 0, 0]]
    scores = [make(counts) for make in (precision_score, recall_score, f1_score)]
    assert [float(score.combine(score.terms.sum(axis=0))) for score in scores] == pytest.approx([2 / 4, 2 / 3, 4 / 7])


def test_what_is_ignored_is_neither_asked_nor_wrong():
    true = (TrueBox("car", HERE), TrueBox("car", THERE, ignored=True))
    found = (FoundBox("car", THERE, 0.9), FoundBox("car", HERE, 0.8))
    assert value(average_precision([DetectionItem(true, found)])) == 1
    assert detection_counts([DetectionItem(true, found)]).tolist() == [[1, 0, 0]]
    assert detection_counts([DetectionItem(true, (*found, found[0]))]).tolist() == [[1, 1, 0]]
    assert list(average_precision_by_label([DetectionItem(true[1:], found)])) == []


def predicted(text, scores=None):
    return Prediction(sample_id="s", text=text, box_scores=scores)


@pytest.fixture
def two_ships(make_sample):
    """In an image of 500 x 200 px."""
    boxes = [("Ship", (100, 50, 300, 150)), ("Ship", (400, 0, 500, 40))]
    return make_sample(boxes=boxes, task=Task.DETECTION, question="ship")


def test_an_answer_is_read_in_thousandths_with_its_scores(two_ships):
    text = "<ref>ship</ref><box>[[200, 250, 600, 750], [800, 0, 1000, 200]]</box>"
    read = read_detection(two_ships, predicted(text, (0.75, 0.5)))
    assert [(box.label, box.box, box.score) for box in read.found] == [
        ("ship", (200, 250, 600, 750), 0.75),
        ("ship", (800, 0, 1000, 200), 0.5),
    ]
    assert value(average_precision([read], (0.99,))) == 1


@pytest.mark.parametrize(
    ("boxes", "right"),
    [
        ("[[200, 250, 600, 750], [800, 0, 1000, 200]]", 2),
        ("[[200.0, 250.0, 600.0, 750.0], [800.0, 0.0, 1000.0, 200.0]]", 2),  # decimals are thousandths too
        ("[[100, 50, 300, 150], [400, 0, 500, 40]]", 0),  # pixels
        ("[[0.2, 0.25, 0.6, 0.75], [0.8, 0.0, 1.0, 0.2]]", 0),  # shares of the sides
    ],
)  # fmt: skip
def test_other_units_are_not_mistaken(two_ships, boxes, right):
    read = read_detection(two_ships, predicted(f"<ref>ship</ref><box>{boxes}</box>"))
    assert detection_counts([read]).tolist() == [[right, 2 - right, 2 - right]]


@pytest.mark.parametrize("text", ["", "None", "two ships", "[[200, 250, 600, 750]]"])
def test_an_answer_without_labelled_boxes_finds_nothing(two_ships, text):
    read = read_detection(two_ships, predicted(text))
    assert value(average_precision([read])) == 0
    assert detection_counts([read]).tolist() == [[0, 0, 2]]


def test_grounding_needs_no_label(make_sample):
    sample = make_sample(boxes=[("the ship", (100, 50, 300, 150))])
    assert detection_counts([read_detection(sample, predicted("[[200, 250, 600, 750]]"))]).tolist() == [[1, 0, 0]]


def test_ignored_objects_of_a_sample_are_ignored(two_ships):
    small = two_ships.objects[1].model_copy(update={"id": "hidden", "ignore": True})
    asked = two_ships.answer.model_copy(update={"object_ids": ("0",)})
    sample = two_ships.model_copy(update={"answer": asked, "objects": (two_ships.objects[0], small)})
    text = "<ref>ship</ref><box>[[200, 250, 600, 750], [800, 0, 1000, 200]]</box>"
    assert detection_counts([read_detection(sample, predicted(text))]).tolist() == [[1, 0, 0]]


def test_each_box_needs_its_score(two_ships):
    with pytest.raises(DatasetError, match="got 1 scores and 2 boxes"):
        read_detection(two_ships, predicted("<ref>ship</ref><box>[[1, 2, 3, 4], [5, 6, 7, 8]]</box>", (0.5,)))


def test_random_boxes_score_about_nothing():
    rng = np.random.default_rng(6)
    corners = np.sort(rng.uniform(0, 1000, (300, 4, 2, 2)), axis=2).reshape(300, 4, 4).tolist()
    items = [item(boxes[:2], [(box, rng.random()) for box in boxes[2:]]) for boxes in corners]
    assert value(average_precision(items)) < 0.02
