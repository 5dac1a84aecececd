"""Yes-no questions from labels of a whole image."""

from __future__ import annotations

import pytest

from domainvl.converters.benchmarks.label_questions import Ask, ask_about_labels
from domainvl.schema import Task

LABELS = {"Mass": True, "nodule": False, "edema": False, "hernia": True, "fibrosis": False, "effusion": False}


def answers(labels, **options):
    questions = list(ask_about_labels(labels, **{"key": "k", "ask": Ask.BALANCED} | options))
    assert all(question.task is Task.PRESENCE for question in questions)
    assert len({question.key for question in questions}) == len(questions)
    return {question.text: question.answer.text for question in questions}


def test_all_asks_about_each_label_with_its_truth():
    assert answers(LABELS, ask=Ask.ALL) == {
        "Is there any Mass in the image?": "yes",
        "Is there any nodule in the image?": "no",
        "Is there any edema in the image?": "no",
        "Is there any hernia in the image?": "yes",
        "Is there any fibrosis in the image?": "no",
        "Is there any effusion in the image?": "no",
    }


def test_balanced_asks_about_all_that_is_there_and_as_much_that_is_not():
    found = answers(LABELS)
    assert [list(found.values()).count(answer) for answer in ("yes", "no")] == [2, 2]
    assert found == answers(LABELS)


def test_balanced_asks_about_one_thing_where_nothing_is_there():
    assert list(answers(dict.fromkeys(LABELS, False)).values()) == ["no"]


def test_every_absent_label_is_asked_about_for_some_image():
    asked = set()
    for number in range(60):
        asked |= {text for text, answer in answers(LABELS, key=str(number)).items() if answer == "no"}
    assert len(asked) == 4


def test_labels_that_differ_only_in_signs_have_keys_of_their_own():
    assert len(answers({"a b": True, "a-b": False, "+": True}, ask=Ask.ALL)) == 3


@pytest.mark.parametrize("label", ["No Finding", "no finding", "No_Finding"])
def test_med_74_no_finding_has_words_of_its_own(label):
    assert answers({label: True}) == {"Is the image without any finding?": "yes"}
    assert answers({label: False}, whole="the study") == {"Is the study without any finding?": "no"}


def test_questions_name_what_is_shown():
    assert list(answers({"edema": True}, whole="the study")) == ["Is there any edema in the study?"]
