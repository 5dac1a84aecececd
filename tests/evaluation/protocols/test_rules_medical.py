"""Rules of medical benchmarks: flaws as they are in the official code, each by an answer that shows it."""

from __future__ import annotations

import difflib

import numpy as np
import pytest
from protocol_cases import make_item, value_of

from domainvl.errors import DatasetError
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.rules import RULES
from domainvl.evaluation.protocols.rules_medical import normalise_llava_med, read_letters


def text(truth: str, said: str) -> Item:
    return make_item(said, answer={"kind": "text", "text": truth})


def choice(said: str, *options: str, correct: int = 0) -> Item:
    answer = {"kind": "choice", "options": options, "correct": correct}
    return make_item(said, task="multiple-choice", answer=answer)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("The Right Lung.", "right lung"),
        ("x-ray", "x ray"),  # a mark between letters becomes a blank
        ("x-ray - frontal", "xray frontal"),  # but not if it stands beside a blank somewhere
        ("left, right", "left right"),
        ("1,000 cells/ml", "1000 cellsml"),  # every mark is taken away where there are thousands
        ("3.5 cm.", "3.5 cm"),
        ("None", "0"),
        ("two of a kind", "2 of kind"),
        ("a.b " * 33, "ab " * 31 + "ab a.b"),  # only 32 full stops are taken away
        ("", ""),
    ],
)
def test_llava_med_brings_text_to_a_form_with_its_mistakes(given, expected):
    assert normalise_llava_med(given) == expected


@pytest.mark.parametrize(
    ("truth", "said", "counted", "right"),
    [
        ("yes", "Yes, there is.", True, True),
        ("no", "abnormal", True, True),  # "abnormal" holds "no"
        ("yes", "no", False, None),
        ("left", "right", True, False),
        ("left", "left", True, False),
        ("left", "not left", True, True),
        ("no", "", True, False),
    ],
)
def test_llava_meds_closed_questions(truth, said, counted, right):
    result = RULES["llava-med-closed"]([text(truth, said)])
    value = value_of(result.score)
    assert (result.uncounted == 0) == counted
    assert np.isnan(value) if right is None else value == float(right)


@pytest.mark.parametrize(
    ("truth", "said", "published", "clipped"),
    [
        ("right lung", "lung", 1 / 2, 1 / 2),
        ("right lung", "lung lung lung", 3 / 4, 1 / 2),
        ("right lung", "every word of the right and left lung", 1, 1),
        ("lung lung", "lung", 1, 1 / 2),  # a true word said once is found as a whole
        ("lung", "", 0, 0),
    ],
)
def test_token_recall(truth, said, published, clipped):
    items = [text(truth, said)]
    assert value_of(RULES["llava-med-recall"](items).score) == pytest.approx(published)
    assert value_of(RULES["token-recall"](items).score) == pytest.approx(clipped)


def test_omnimedvqa_takes_whatever_is_most_similar():
    items = [
        choice("It is not a glaucoma", "Glaucoma", "Cataract"),  # right, though it is denied
        choice("A", "Cataract", "A cyst", correct=0),  # a letter is taken for a text
        choice("1", "Glaucoma", "Cataract"),  # nothing in common
        choice("ab", "ab", "ab c"),
    ]
    result = RULES["omni-med-similar"](items)
    assert result.right is not None and result.right.tolist() == [True, False, False, True]
    assert result.unreadable == 1


def test_of_equally_similar_options_the_first_counts():
    ratios = [difflib.SequenceMatcher(None, option, "ab").ratio() for option in ("ax", "ay")]
    assert ratios[0] == ratios[1]
    assert value_of(RULES["omni-med-similar"]([choice("ab", "ax", "ay", correct=0)]).score) == 1


def test_the_likeliest_option_counts_by_letter_or_text_whatever_is_said():
    items = [choice("B", "cat", "dog"), choice("A", "cat", "dog"), choice("A", "cat", "dog")]
    options = [{"A": 0.6, "B": 0.4}, {"cat": 0.2, "dog": 0.8}, None]
    told = [
        Item(item.sample, item.prediction.model_copy(update={"options": likelihoods}), item.facts)
        for item, likelihoods in zip(items, options, strict=True)
    ]
    result = RULES["most-likely-option"](told)
    assert (value_of(result.score), result.uncounted) == (0.5, 1)
    assert result.right is not None and result.right.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("said", "right", "readable"),
    [
        ("A", True, True),
        ("(A).", True, True),
        ("The answer is A", True, True),
        ("A or B", False, False),
        ("b", False, False),  # small letters are none
        ("a mass", True, True),
        ("there is no mass", True, True),
        ("mass or cyst", False, False),
        ("A cyst", True, True),  # the article is the letter A
        ("Cannot determine the answer, A", False, False),
        ("Z mass", False, False),  # Z is how failures are written there
    ],
)
def test_vlmevalkit_infers_an_option(said, right, readable):
    result = RULES["vlmevalkit-choice"]([choice(said, "mass", "cyst")])
    assert (value_of(result.score) == 1, result.unreadable == 0) == (right, readable)


@pytest.mark.parametrize(
    ("said", "letters"),
    [
        ("A, C", "AC"), ("(a) and (c)", "AC"), ("AC", "AC"), ("B", "B"), ("A. C.", "AC"), ("A;B", "AB"),
        ("none of these", ""), ("A mass", ""), ("", ""), ("AA", ""), ("I see a cat", ""),
    ],
)  # fmt: skip
def test_letters_are_read_where_nothing_else_is_said(said, letters):
    assert read_letters(said) == frozenset(letters)


def test_several_right_letters_need_true_letters():
    with pytest.raises(DatasetError, match="its true answer must be letters"):
        RULES["several-letters"]([text("lung", "A")], of="true")
    with pytest.raises(ValueError, match="of must be predicted or true"):
        RULES["several-letters"]([text("A", "A")], of="all")


def test_options_are_needed_where_an_option_is_scored():
    for rule in ("omni-med-similar", "most-likely-option", "vlmevalkit-choice"):
        with pytest.raises(DatasetError, match="its true answer must be an option"):
            RULES[rule]([text("lung", "A")])
