"""Metrics: every accepted form, and answers that must not be taken for right."""

from __future__ import annotations

import random

import pytest
import shapely

from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.boxes import box_iou, match_greedily
from domainvl.evaluation.metrics.reading import read_boxes, read_choice, read_count
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import ChoiceAnswer, CountAnswer, Task, TextAnswer
from domainvl.schema.sample import BoxesAnswer


def answer(sample, text):
    return score(sample, Prediction(sample_id=sample.id, text=text, likelihood=1.0))


# --- text


@pytest.mark.parametrize("text", ["Left lung", "left lung", " LEFT \n  lung. ", "left lung ."])
def test_text_is_compared_without_case_blanks_and_full_stop(make_sample, text):
    assert answer(make_sample(answer=TextAnswer(text="Left  lung.")), text).correct


@pytest.mark.parametrize("text", ["lung", "the left lung", "left lung..", "left lungs", "left-lung", "leftlung", ""])
def test_other_text_is_wrong(make_sample, text):
    assert not answer(make_sample(answer=TextAnswer(text="left lung")), text).correct


def test_accepted_alternatives_are_right(make_sample):
    sample = make_sample(answer=TextAnswer(text="x-ray", accepted=("Radiograph", "plain film")))
    assert [answer(sample, text).correct for text in ("radiograph", "Plain film.", "X-ray", "film")] == [
        True,
        True,
        True,
        False,
    ]


def test_text_that_the_wording_escapes_is_right_in_both_forms(make_sample):
    sample = make_sample(answer=TextAnswer(text="<box>"))
    assert sample.turns[1].text == "&lt;box&gt;"
    assert answer(sample, "&lt;box&gt;").correct
    assert answer(sample, "<box>").correct


def test_normalising_keeps_inner_punctuation_and_decimals():
    assert normalise_text(" T2-weighted,  3.5 CM. ") == "t2-weighted, 3.5 cm"


@pytest.mark.parametrize(
    "truth",
    [
        TextAnswer(text="."),
        ChoiceAnswer(options=("", "x"), correct=0),
        CountAnswer(count=0),
        BoxesAnswer(object_ids=()),
    ],
)
@pytest.mark.parametrize("text", ["", "  \n"])
def test_an_empty_answer_is_wrong_and_counted_as_empty(make_sample, truth, text):
    task = Task.MULTIPLE_CHOICE if isinstance(truth, ChoiceAnswer) else None
    result = answer(make_sample(answer=truth, task=task), text)
    assert result.empty
    assert not result.correct
    assert not answer(make_sample(answer=truth, task=task), "something").empty


def test_a_score_carries_what_it_is_grouped_by(make_sample):
    result = answer(make_sample("q7", group="patient-3", domain="driving"), "lung")
    assert (result.sample_id, result.group, result.domain, result.task) == ("q7", "patient-3", "driving", Task.VQA)
    assert (result.iou, result.count_error) == (None, None)


# --- choice

OPTIONS = ("a car", "Building", "no. 3")


@pytest.mark.parametrize(
    ("text", "index"),
    [
        ("B", 1),
        ("b", 1),
        ("B.", 1),
        ("(B)", 1),
        ("(b) building", 1),
        ("B. foo", 1),
        ("B) foo", 1),
        ("B: foo", 1),
        ("B, foo\nmore", 1),
        ("building.", 1),
        ("A car", 0),
        ("No. 3", 2),
        ("C. Building", 2),
        ("D", None),
        ("A building", None),
        ("AB", None),
        ("A.B.", None),
        ("car", None),
        ("", None),
        ("B. a car", 1),  # an article is no letter
        ("B. Building, because a car is smaller", 1),
        ("(b) b is right", 1),
        ("B. It is not D.", 1),  # which is no option
        # Several options are no choice.
        ("A, B, C", None),
        ("A, B or C", None),
        ("A or B", None),
        ("A/B", None),
        ("(A) (B)", None),
        ("a: no, B", None),
        ("A: no, B is right", None),
        ("B. a.", None),
        ("A. a car, B. Building, C. no. 3", None),
        ("B: Building or C: no. 3", None),
        ("a car or Building", None),
    ],
)
def test_an_option_is_read_by_letter_or_text(text, index):
    assert read_choice(text, OPTIONS) == index


def test_a_letter_beyond_the_options_is_read_as_text():
    assert read_choice("Y", ("x", "y")) == 1


@pytest.mark.parametrize(("text", "index"), [("A. Vitamin B", 0), ("A: vitamin B.", 0), ("A. Vitamin B or B", None)])
def test_the_text_of_an_option_names_no_other(text, index):
    assert read_choice(text, ("Vitamin B", "Vitamin A")) == index


@pytest.mark.parametrize("text", ["B, e.g. a house", "B, i.e. it is", "B. It can't, I think", "B. T-cells, not a-c."])
def test_no_letter_is_read_out_of_a_word(text):
    assert read_choice(text, [f"option {number}" for number in range(26)]) == 1


def test_a_choice_is_scored_by_the_option_it_names(make_sample):
    sample = make_sample(answer=ChoiceAnswer(options=OPTIONS, correct=1), task=Task.MULTIPLE_CHOICE)
    assert answer(sample, "B. a car").correct
    assert not answer(sample, "A. Building").correct


# --- count


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("2", 2),
        ("2 cars", 2),
        ("There are 12 cars, 3 of them red.", 12),
        ("(0)", 0),
        ("007", 7),
        ("Two.", 2),
        ("ten", 10),
        ("zero", 0),
        ("2.", 2),
        ("5, 3 of them red", 5),
        ("2 trucks and 3 cars", 2),
        # Several numbers are offered: none is said. "2, 3" was 2 before, so that a list of all numbers could not fail.
        ("2, 3", None),
        ("1, 2, 3 or 4", None),
        ("3 or 4", None),
        ("3 or four cars", None),
        ("3 cars or 4 cars", None),
        ("3 or maybe 4", None),
        ("3 or more", None),
        ("between 3 and 4", None),
        ("3 to 4", None),
        ("3 – 4", None),
        ("3 or so", 3),
        ("one or two", None),
        ("2.5", None),
        ("2.0", None),
        (".5", None),
        ("-2", None),
        ("2-3", None),
        ("1/2", None),
        ("1,000", None),
        ("2.5e3", None),
        ("1e1", None),
        ("B2", None),
        ("no one", None),
        ("two cars", None),
        ("twenty one", None),
        ("none", None),
        ("9" * 5000, None),
        ("", None),
    ],
)
def test_a_count_is_the_first_plain_number(text, count):
    assert read_count(text) == count


def test_a_count_is_scored_with_its_distance(make_sample):
    sample = make_sample(answer=CountAnswer(count=3), task=Task.COUNTING)
    scores = [answer(sample, text) for text in ("3", "5", "1 car", "many")]
    assert [item.correct for item in scores] == [True, False, False, False]
    assert [item.count_error for item in scores] == [0, 2, 2, None]


# --- boxes


def test_iou_equals_shapely():
    rng = random.Random(0)
    for _ in range(300):
        x_min, y_min, a_min, b_min = (rng.uniform(0, 50) for _ in range(4))
        one = (x_min, y_min, x_min + rng.uniform(0.1, 60), y_min + rng.uniform(0.1, 60))
        two = (a_min, b_min, a_min + rng.uniform(0.1, 60), b_min + rng.uniform(0.1, 60))
        a, b = shapely.box(*one), shapely.box(*two)
        expected = a.intersection(b).area / a.union(b).area
        assert box_iou(one, two) == pytest.approx(expected, abs=1e-9)
        assert box_iou(one, two) == box_iou(two, one)


@pytest.mark.parametrize("empty", [(5.0, 5.0, 5.0, 9.0), (5.0, 9.0, 9.0, 5.0), (9.0, 9.0, 5.0, 5.0), (0.0,) * 4])
def test_iou_with_a_box_without_area_is_zero(empty):
    assert box_iou(empty, (0.0, 0.0, 10.0, 10.0)) == 0.0
    assert box_iou(empty, empty) == 0.0


def test_boxes_that_touch_do_not_overlap():
    assert box_iou((0.0, 0.0, 5.0, 5.0), (5.0, 0.0, 10.0, 5.0)) == 0.0


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("<ref>car</ref><box>[[100, 200, 300, 400]]</box>", [(100.0, 200.0, 300.0, 400.0)]),
        ("[[1,2,3,4],[5,6,7,8]] and [[9, 9, 10, 10]]", [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)]),
        ("[[1.5, 2., 3.25, 4]]", [(1.5, 2.0, 3.25, 4.0)]),
        ("[ [ 1 , 2 ,3, 4 ] ]", [(1.0, 2.0, 3.0, 4.0)]),
        ("[[0, 0, 1000, 1000.0]]", [(0.0, 0.0, 1000.0, 1000.0)]),
        # Beyond the image is another unit. These were clamped before, so that a box in pixels of a large image could
        # cover the truth.
        ("[[-5, 0, 900, 1000]]", []),
        ("[[0, 0, 1200, 900]]", []),
        ("[[0, 0, 1000.1, 900]]", []),
        ("[[0, 0, 500, 500], [0, 0, 2000, 500]]", []),
        ("[[300, 400, 100, 200]]", [(300.0, 400.0, 100.0, 200.0)]),
        ("[[1, 2, 3]] [[1, 2, 3, 4]]", [(1.0, 2.0, 3.0, 4.0)]),
        ("[1, 2, 3, 4]", []),
        ("[[1, 2, 3, 4, 5]]", []),
        ("[[1, 2, 3, 4], [5, 6, 7]]", []),
        ("[[a, b, c, d]]", []),
        ("[[1 2 3 4]]", []),
        ("[[1, 2, 3, 4]", []),
        ("[[nan, 2, 3, 4]]", []),
        ("", []),
    ],
)
def test_the_first_list_of_boxes_is_read(text, boxes):
    assert read_boxes(text) == boxes


def test_a_hostile_answer_is_read_in_no_time():
    assert read_boxes("[[" * 20_000 + "1, " * 20_000) == []
    assert read_boxes("[[" + "9" * 5000 + ", 0, 1, 1]]") == []
    assert read_choice("a" + " ,b" * 40_000 + "c", ("x", "y")) is None
    assert read_count("3" + " a" * 40_000 + " or 4") == 3


def test_a_reply_of_the_wording_scores_full(make_sample):
    sample = make_sample(boxes=[("car", (50.0, 20.0, 250.0, 120.0))], question="red car")
    result = answer(sample, sample.turns[1].text)
    assert result.correct
    assert result.iou == pytest.approx(1.0)


def test_the_iou_threshold_is_inclusive(make_sample):
    sample = make_sample(boxes=[("car", (0.0, 0.0, 250.0, 100.0))])  # [0, 0, 500, 500] of 1000
    half = answer(sample, "[[0, 0, 250, 500]]")
    assert half.iou == 0.5
    assert half.correct
    less = answer(sample, "[[0, 0, 249, 500]]")
    assert less.iou == pytest.approx(0.498)
    assert not less.correct


def test_pixels_and_fractions_are_not_taken_for_thousandths(make_sample):
    # The true box as pixels of the 500x200 image, and as fractions; only thousandths are right.
    sample = make_sample(boxes=[("car", (200.0, 80.0, 300.0, 140.0))])
    assert answer(sample, "[[400, 400, 600, 700]]").iou == pytest.approx(1.0)
    assert answer(sample, "[[200, 80, 300, 140]]").iou == 0.0
    assert answer(sample, "[[0.4, 0.4, 0.6, 0.7]]").iou == 0.0


def test_random_boxes_score_about_nothing(make_sample):
    rng = random.Random(1)
    correct = 0
    for _ in range(1000):
        truth_x, truth_y = rng.uniform(0, 400), rng.uniform(0, 160)
        sample = make_sample(boxes=[("car", (truth_x, truth_y, truth_x + 100, truth_y + 40))])
        x_min, y_min = rng.randrange(900), rng.randrange(900)
        guess = [x_min, y_min, rng.randrange(x_min + 1, 1001), rng.randrange(y_min + 1, 1001)]
        correct += answer(sample, f"[{guess}]").correct
    assert correct < 30


@pytest.mark.parametrize("text", ["the car", "[0, 0, 500, 500]", "None", "<box>[[0, 0, 500]]</box>", ""])
def test_an_answer_without_a_box_is_wrong_with_iou_zero(make_sample, text):
    result = answer(make_sample(boxes=[("car", (0.0, 0.0, 250.0, 100.0))]), text)
    assert (result.correct, result.iou) == (False, 0.0)


def test_surplus_and_missed_boxes_lower_the_mean_iou(make_sample):
    one = make_sample(boxes=[("car", (0.0, 0.0, 250.0, 100.0))])
    surplus = answer(one, "[[0, 0, 500, 500], [600, 600, 700, 700]]")
    assert (surplus.correct, surplus.iou) == (False, 0.5)
    two = make_sample(boxes=[("car", (0.0, 0.0, 250.0, 100.0)), ("car", (300.0, 100.0, 400.0, 200.0))])
    assert (answer(two, "[[0, 0, 500, 500]]").correct, answer(two, "[[0, 0, 500, 500]]").iou) == (False, 0.5)
    # The same box twice does not stand for two.
    assert answer(two, "[[0, 0, 500, 500], [0, 0, 500, 500]]").iou == 0.5
    swapped = answer(two, "[[600, 500, 800, 1000], [0, 0, 500, 500]]")
    assert swapped.correct
    assert swapped.iou == pytest.approx(1.0)
    # One at IoU 1, one at 0.4: the mean is 0.7, but not each is found.
    partly = answer(two, "[[0, 0, 500, 500], [600, 500, 680, 1000]]")
    assert not partly.correct
    assert partly.iou == pytest.approx(0.7)


def test_no_box_is_right_only_where_nothing_is_true(make_sample):
    sample = make_sample(answer=BoxesAnswer(object_ids=()))
    assert (answer(sample, "none.").correct, answer(sample, "none.").iou) == (True, 1.0)
    assert (answer(sample, "[[1, 2, 3, 4]]").correct, answer(sample, "[[1, 2, 3, 4]]").iou) == (False, 0.0)


def test_detection_needs_the_label_too(make_sample):
    sample = make_sample(
        boxes=[("car", (0.0, 0.0, 250.0, 100.0)), ("tree", (300.0, 100.0, 400.0, 200.0))], task=Task.DETECTION
    )
    assert answer(sample, sample.turns[1].text).correct
    exchanged = "<ref>tree</ref><box>[[0, 0, 500, 500]]</box><ref>car</ref><box>[[600, 500, 800, 1000]]</box>"
    assert (answer(sample, exchanged).correct, answer(sample, exchanged).iou) == (False, 0.0)


def test_copying_the_box_out_of_a_region_question_scores_nothing(make_sample):
    sample = make_sample(boxes=[("car", (0.0, 0.0, 250.0, 100.0))], task=Task.REGION)
    assert answer(sample, "<ref>Car</ref><box>[[0, 0, 500, 500]]</box>").correct
    assert answer(sample, "<ref>ship</ref><box>[[0, 0, 500, 500]]</box>").iou == 0.0
    assert answer(sample, "<box>[[0, 0, 500, 500]]</box>").iou == 0.0


def test_matching_takes_the_best_pair_first():
    assert match_greedily([[0.6, 0.9], [0.0, 0.8]]) == [0.9]
    assert match_greedily([[0.6, 0.2], [0.3, 0.8]]) == [0.8, 0.6]
    assert match_greedily([]) == []
