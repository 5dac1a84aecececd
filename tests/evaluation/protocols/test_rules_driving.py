"""MME-RealWorld's answer reader, BDD-X's clips and signals, and text to the letter."""

from __future__ import annotations

import pytest
from protocol_cases import make_item, value_of

from domainvl.errors import DatasetError
from domainvl.evaluation.protocols.rules_driving import (
    score_full_description,
    score_mme_realworld_as_published,
    score_signal_error,
    score_signal_within,
)
from domainvl.evaluation.protocols.rules_text import score_exact_text

OPTIONS = ["two cars", "a bus", "no sign", "it turns left", "it is hidden"]


@pytest.mark.parametrize(
    ("said", "letter"),
    [
        ("B", "B"),
        ("(D) it turns left", "D"),
        ("The best answer is C.", "C"),
        ("Best answer: E", "E"),  # the opening has a capital B, and goes
        ("Cars are shown", "C"),  # any capital counts
        ("No, A then B", "A"),  # the first of them
        ("b", "B"),  # no capital; the first option with a "b" is "(b) a bus"
        ("The answer is bus", "B"),  # " bus" stands in "(b) a bus"
        ("The best option is bus", ""),  # a missing comma: this opening stays
        ("The correct option is bus", ""),
        ("", "A"),  # nothing stands in every option
        ("zebra", ""),
        ("one two three four five six seven eight nine ten eleven", ""),
    ],
)
def test_mme_realworld_reads_answers_flaw_for_flaw(said, letter):
    rights = [
        bool(score_mme_realworld_as_published([choice(said, correct)]).right[0]) for correct in range(len(OPTIONS))
    ]
    assert rights == [letter == "ABCDE"[correct] for correct in range(len(OPTIONS))]


def choice(said, correct):
    answer = {"kind": "choice", "options": OPTIONS, "correct": correct}
    return make_item(said, task="multiple-choice", answer=answer)


def test_answers_without_a_letter_are_counted():
    result = score_mme_realworld_as_published([choice("zebra", 0), choice("A", 0), choice("", 0)])
    assert result.unreadable == 1
    assert value_of(result.score) == pytest.approx(2 / 3)


def test_options_are_needed():
    with pytest.raises(DatasetError, match="in sample s: it must have options, its answer is of kind text"):
        score_mme_realworld_as_published([signal("5.0 m/s", "A")])


def caption(clip, question, truth, said):
    return make_item(said, id=f"bdd-x/{clip}/{question}", task="caption", answer={"kind": "text", "text": truth})


def test_action_and_justification_of_a_clip_are_one_text():
    items = [
        caption("v/1", "justification", "for it is red", "for it is red"),
        caption("v/1", "action", "the car stops here", "the car stops here"),
        caption("v/2", "action", "it turns", "it turns"),
    ]
    result = score_full_description(items, measure="BLEU-4")
    assert value_of(result.score) == pytest.approx(1)
    assert result.counted.tolist() == [True, True, False]
    assert result.uncounted == 1


def test_the_action_comes_first_whatever_the_order_of_the_items():
    """Of 8 words the last is wrong: 7 of 8, 6 of 7, 5 of 6 and 4 of 5 runs match; the other way round 1 of 5."""
    items = [
        caption("v/1", "justification", "for it is red", "for it is green"),
        caption("v/1", "action", "the car stops here", "the car stops here"),
    ]
    assert value_of(score_full_description(items, measure="BLEU-4").score) == pytest.approx(0.5**0.25, abs=1e-6)


def signal(truth, said):
    return make_item(said, answer={"kind": "text", "text": truth})


def test_an_answer_without_a_number_is_the_worst_one_or_left_out():
    items = [signal("4.0 m/s", "7.0 m/s"), signal("4.0 m/s", "0 m/s"), signal("4.0 m/s", "fast")]
    error = score_signal_error(items, unit="m/s", leave_out_unread=True)
    assert value_of(error.score) == pytest.approx((25 / 2) ** 0.5)
    assert (error.unreadable, error.uncounted, error.higher_is_better) == (1, 1, False)
    assert error.counted.tolist() == [True, True, False]
    strict = score_signal_error(items, unit="m/s")
    assert value_of(strict.score) == pytest.approx((50 / 3) ** 0.5)  # off by 5, the largest tolerance
    assert (strict.unreadable, strict.uncounted, strict.counted, strict.higher_is_better) == (1, 0, None, False)
    assert strict.metric != error.metric
    within = score_signal_within(items, unit="m/s", tolerance=3.5)
    assert within.right.tolist() == [True, False, False]
    assert value_of(within.score) == pytest.approx(1 / 3)


def test_to_be_silent_where_it_is_hard_does_not_pay():
    """Every answer within the range of the true numbers is at least as good as none."""
    truths = ("0.0", "12.0", "3.0", "30.0")
    said = [signal(f"{truth} degrees", "0.1 degrees") for truth in truths]
    for place, hard in enumerate(truths):
        silent = [*said]
        silent[place] = signal(f"{hard} degrees", "I do not know")
        of_silent = value_of(score_signal_error(silent, unit="degrees").score)
        for answer in range(31):
            said[place] = signal(f"{hard} degrees", f"{answer} degrees")
            assert value_of(score_signal_error(said, unit="degrees").score) <= of_silent + 1e-9
        said[place] = signal(f"{hard} degrees", "0.1 degrees")


def test_a_truth_without_a_number_is_refused():
    with pytest.raises(DatasetError, match="must be a number in degrees, got 'left'"):
        score_signal_error([signal("left", "3")], unit="degrees")


def test_text_to_the_letter():
    items = [signal("Yes", said) for said in ("Yes", "yes", "Yes.", " Yes", "")]
    assert score_exact_text(items).right.tolist() == [True, False, False, False, False]
    assert score_exact_text(items, ignore_case=True).right.tolist() == [True, True, False, False, False]
