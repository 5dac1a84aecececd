"""DriveLM's scores: as its challenge has them, flaw for flaw, and right; published rows follow from their parts."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.evaluation.metrics.drivelm import (
    WITHOUT_JUDGE_MAX,
    Exchange,
    accuracy_score,
    counted_by_graph,
    final_score,
    language_score,
    match_f1_score,
    match_points,
    match_score,
    points_without_judge,
    read_points,
)

TRUTH = "There are <c1,CAM_FRONT,100.0,200.0> and <c2,CAM_BACK,700.5,300.5>."
BOTH = pytest.mark.parametrize("as_published", [True, False])


def value(score):
    return float(score.combine(score.terms.sum(axis=0)))


def f1(answer, truth=TRUTH, *, as_published):
    return match_points(answer, truth, as_published=as_published).f1


# Accuracy, GPT, BLEU-1 to 4, ROUGE-L, CIDEr, match, final: the complete rows of arXiv 2410.16261's table of DriveLM.
ROWS = {
    "InternVL4Drive-v2": (0.7339, 65.25, 0.7787, 0.7176, 0.6608, 0.6059, 0.7449, 0.2061, 47.65, 0.6002),
    "Mini 4B": (0, 54.45, 0.2405, 0.0801, 0.0252, 0.0084, 0.1927, 0.0018, 34.30, 0.3051),
    "InternVL2-76B": (0, 52.50, 0.2100, 0.0884, 0.0249, 0.0078, 0.1848, 0.0001, 34.22, 0.2963),
    "DA-1B": (0.7007, 63.84, 0.7362, 0.6767, 0.6214, 0.5678, 0.7365, 0.1669, 39.76, 0.5686),
    "DA-2B": (0.7628, 65.23, 0.7616, 0.7012, 0.6452, 0.5908, 0.7447, 0.1914, 43.24, 0.5958),
    "DA-4B": (0.7296, 63.97, 0.7642, 0.7032, 0.6463, 0.5914, 0.7427, 0.1976, 42.16, 0.5821),
    # Match is printed as 0.45 and meant as 45; two digits a part give 0.5972 where 0.5974 is printed.
    "MTMM": (0.7473, 65.59, 0.76, 0.70, 0.64, 0.59, 0.74, 0.18, 45, 0.5972),
    # challenge/README.md of DriveLM, the baseline on its sample, to all digits; its match is 28.25.
    "LLaMA-Adapter": (
        0.0, 65.11111111111111, 0.0495223110147729, 0.00021977465683011536, 3.6312541763196866e-05,
        1.4776149283286042e-05, 0.08383567940883102, 0.09901486412073952, 28.25, 0.3240234750718823,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_published_finals_follow_from_their_parts(name):
    accuracy, gpt, *language, match, final = ROWS[name]
    computed = final_score(np.array([accuracy, gpt / 100, language_score(np.array(language)), match / 100]))
    assert float(computed) == pytest.approx(final, abs=1e-12 if name == "LLaMA-Adapter" else 1e-4)


def test_the_misprint_is_one():
    accuracy, gpt, *language, match, _ = ROWS["MTMM"]
    parts = np.array([accuracy, gpt / 100, language_score(np.array(language)), match / 100])
    assert float(final_score(parts)) == pytest.approx(0.5974, abs=3e-4)
    parts[3] = 0.0045
    assert float(final_score(parts)) < 0.52


def test_formulas_take_many_resamples_at_once():
    language = language_score(np.tile(np.array([[0.8], [0.6], [0.4], [0.2], [0.7], [2.0]]), 3))
    assert language == pytest.approx(np.full(3, (0.5 + 0.7 + 0.2) / 3))
    assert final_score(np.array([[1, 0], [0, 1], [0, 0], [0, 0]])) == pytest.approx([0.2, 0.4])


def test_half_of_the_final_score_needs_no_judge():
    assert WITHOUT_JUDGE_MAX == 0.5
    accuracy, language, mean_f1 = 0.6, 0.5, 0.4
    known = float(points_without_judge(np.array([accuracy, language, mean_f1])))
    finals = [
        float(final_score(np.array([accuracy, gpt, language, match_score(mean_f1, of_matches)])))
        for gpt, of_matches in ((0, 0), (1, 1), (0.7, 0.2))
    ]
    assert finals[0] == pytest.approx(known) and finals[1] == pytest.approx(known + 0.5)
    assert finals[2] == pytest.approx(known + 0.4 * 0.7 + 0.1 * 0.2)


@BOTH
def test_a_right_answer_is_right(as_published):
    # As published it stays just below 1: precision and recall are 2 / (2 + 1e-8), and F1 has 1e-8 more below.
    match = match_points(TRUTH, TRUTH, as_published=as_published)
    assert (match.right, match.surplus, match.missed) == (2, 0, 0)
    assert match.f1 == pytest.approx(1, abs=2e-8) and (match.f1 < 1) == as_published


@BOTH
def test_a_hit_is_nearer_than_16_px_in_x_and_y_together(as_published):
    for moved, right in (("108.0,207.9", 1), ("108.0,208.0", 0), ("84.1,200.0", 1), ("84.0,200.0", 0)):
        match = match_points(f"<c1,CAM_FRONT,{moved}>", TRUTH, as_published=as_published)
        assert (match.right, match.surplus, match.missed) == (right, 1 - right, 2 - right)
    # One of two found, nothing wrong: precision 1, recall 1/2.
    assert f1("<c1,CAM_FRONT,100.0,200.0>", as_published=as_published) == pytest.approx(2 / 3)


@BOTH
def test_naming_a_thing_twice_is_once_too_often(as_published):
    answer = "<c1,CAM_FRONT,100.0,200.0>, <c3,CAM_FRONT,101.0,200.0>"
    assert match_points(answer, TRUTH, as_published=as_published).surplus == 1


def test_whole_numbers_are_lost_as_published_only():
    answer = "<c1,CAM_FRONT,100,200> and <c2,CAM_BACK,700.5,300.5>"
    assert f1(answer, as_published=True) == pytest.approx(2 / 3)
    assert f1(answer, as_published=False) == 1
    # Half of a point without its decimal: what is left pairs up wrongly.
    answer = "<c1,CAM_FRONT,100,200.0> and <c2,CAM_BACK,700.5,300.5>"
    assert read_points(answer, as_published=True).points == (("", 200.0, 700.5),)
    assert f1(answer, as_published=True) == 0
    assert f1(answer, as_published=False) == 1


def test_the_camera_matters_where_it_is_right():
    answer = TRUTH.replace("CAM_BACK", "CAM_BACK_LEFT")
    assert f1(answer, as_published=True) == pytest.approx(1)
    assert f1(answer, as_published=False) == 0.5


def test_the_order_of_an_answer_decides_as_published_only():
    truth = "<c1,CAM_FRONT,100.0,100.0>, <c2,CAM_FRONT,110.0,100.0>"
    # 104 is nearest to 100 and takes it; 96 then has only 110 left, 14 px away: both hit.
    # The other way round 96 takes 100 and 104 takes 110.
    near, low = "<c1,CAM_FRONT,104.0,100.0>", "<c2,CAM_FRONT,96.0,100.0>"
    far = "<c2,CAM_FRONT,90.0,100.0>"  # 10 px from the first, 20 px from the second
    assert f1(f"{near} {low}", truth, as_published=True) == pytest.approx(1)
    assert f1(f"{near} {far}", truth, as_published=True) == pytest.approx(0.5)
    assert f1(f"{far} {near}", truth, as_published=True) == pytest.approx(1)
    for answer in (f"{near} {far}", f"{far} {near}"):
        assert f1(answer, truth, as_published=False) == 1


def test_three_numbers_in_a_tag_stop_nothing():
    answer = "<c3,CAM_FRONT,1100.0,500.0,50.0>"  # as in DriveLM's issue 29
    truth = "<c3,CAM_FRONT,1100.0,500.0>"
    assert f1(answer, truth, as_published=True) == pytest.approx(1)  # the third number is left over
    strict = match_points(answer, truth, as_published=False)
    assert (strict.f1, strict.unreadable, strict.surplus, strict.missed) == (0, 1, 1, 1)
    # In the middle of an answer it shifts all that follows.
    answer = f"{answer} <c4,CAM_BACK,20.0,30.0>"
    assert read_points(answer, as_published=True).points == (("", 1100.0, 500.0), ("", 50.0, 20.0))
    for as_published in (True, False):
        assert match_points(truth, answer, as_published=as_published).f1 is not None
        assert counted_by_graph([Exchange("Q", truth, truth), Exchange(answer, "", "")], as_published=as_published)


@pytest.mark.parametrize(
    ("answer", "published", "strict", "unreadable"),
    [
        ("<c1,CAM_FRONT,100.0,200.0>, <c2,CAM_BACK,700.5,300.5>", 1, 1, 0),  # pixels
        ("<c1,CAM_FRONT,[62,222]>, <c2,CAM_BACK,[438,334]>", 0, 0, 2),  # thousandths of each view
        ("<c1,CAM_FRONT,62,222>, <c2,CAM_BACK,438,334>", 0, 0, 0),  # the same, taken for pixels
        ("<c1,CAM_FRONT,62.5,222.2>, <c2,CAM_BACK,437.8,333.9>", 0, 0, 0),
        ("<c1,CAM_FRONT,0.0625,0.2222>, <c2,CAM_BACK,0.4378,0.3339>", 0, 0, 0),  # shares of each view
        ("100.0, 200.0, 700.5, 300.5", 1, 0, 0),  # no tags: nobody knows of which camera
    ],
)
def test_units_are_not_confused(answer, published, strict, unreadable):
    assert f1(answer, as_published=True) == pytest.approx(published)
    match = match_points(answer, TRUTH, as_published=False)
    assert (match.f1, match.unreadable) == (strict, unreadable)


@BOTH
def test_an_empty_answer_is_wrong_and_counted(as_published):
    match = match_points("", TRUTH, as_published=as_published)
    assert (match.f1, match.missed) == (0, 2)
    score = match_f1_score([match, match_points(TRUTH, TRUTH, as_published=as_published)])
    assert value(score) == pytest.approx(0.5)
    assert value(accuracy_score(["", "A"], ["A", "A"], as_published=as_published)) == 0.5


def test_nothing_to_hit_is_zero_as_published_and_no_item_else():
    assert f1("<c1,CAM_FRONT,1.0,2.0>", "None.", as_published=True) == 0
    assert f1("None.", "None.", as_published=True) == 0
    assert f1("None.", "None.", as_published=False) is None


def test_random_points_score_about_nothing():
    rng = np.random.default_rng(0)

    def answer():
        points = rng.uniform((0, 0), (1600, 900), (4, 2))
        return " ".join(f"<c{index},CAM_FRONT,{x:.1f},{y:.1f}>" for index, (x, y) in enumerate(points))

    for as_published in (True, False):
        matches = [match_points(answer(), answer(), as_published=as_published) for _ in range(500)]
        # A point is hit from 2 * 16 * 16 of 1600 x 900 px. Four by four make 0.0057 hits, an F1 of 0.0014.
        assert value(match_f1_score(matches)) < 0.01


@BOTH
def test_an_item_weighs_the_same_however_many_points_it_has(as_published):
    one, two = "<c1,CAM_FRONT,5.0,5.0>", "<c1,CAM_BACK,5.0,5.0> <c1,CAM_BACK,90.0,90.0>"
    matches = [
        match_points(one, one, as_published=as_published),
        None,  # gated
        match_points("", two, as_published=as_published),
    ]
    score = match_f1_score(matches)
    assert score.terms[1].tolist() == [0, 0]
    assert value(score) == pytest.approx(0.5)


FRAME = [
    Exchange("What are the important objects?", "<c1,CAM_FRONT,101.0,200.0>, <c2,CAM_BACK,10.0,10.0>", TRUTH),
    Exchange("What is <c1,CAM_FRONT,100.0,200.0> doing?", "", ""),  # hit by the first answer
    Exchange("What is <c2,CAM_BACK,700.5,300.5> doing?", "", ""),  # missed by it
    Exchange("Do <c1,CAM_FRONT,100.0,200.0> and <c2,CAM_BACK,700.5,300.5> meet?", "", ""),
    Exchange("What is at <c1,CAM_FRONT,101.0,200.0>?", "", ""),  # what was answered, not what is true
    Exchange("Is it safe to go on?", "", ""),
]


@BOTH
def test_the_graph_gates_what_was_not_found(as_published):
    assert counted_by_graph(FRAME, as_published=as_published) == [True, True, False, False, False, True]


@BOTH
def test_the_first_question_is_scored_whatever_it_names(as_published):
    first = Exchange("What is <c9,CAM_FRONT,1.0,1.0>?", "", TRUTH)
    assert counted_by_graph([first, *FRAME[1:]], as_published=as_published) == [True, *[False] * 4, True]
    assert counted_by_graph([], as_published=as_published) == []


def test_gating_by_whole_numbers_and_cameras():
    whole = Exchange("What is <c1,CAM_FRONT,100,200> doing?", "", "")
    other = Exchange("What is <c1,CAM_BACK,100.0,200.0> doing?", "", "")
    frame = [FRAME[0], whole, other]
    nothing = [Exchange("Q", "", TRUTH), whole, other]
    assert counted_by_graph(frame, as_published=True) == [True, True, True]
    assert counted_by_graph(frame, as_published=False) == [True, True, False]
    assert counted_by_graph(nothing, as_published=True) == [True, True, False]  # whole numbers are not seen
    assert counted_by_graph(nothing, as_published=False) == [True, False, False]


def test_accuracy():
    answers, truths = ["A", "a", "a.", " Yes.", "", "B"], ["A", "A", "A", "Yes", "", "A"]
    assert value(accuracy_score(answers, truths, as_published=True)) == 2 / 6  # "A", and nothing for nothing
    assert value(accuracy_score(answers, truths, as_published=False)) == 4 / 6
