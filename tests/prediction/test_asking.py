"""What is asked: by option, or as a data set asks."""

from __future__ import annotations

import pytest
from builders import make_image

from domainvl.errors import DomainvlError, UsageError
from domainvl.prediction import asking
from domainvl.prediction.asking import Asked, choose_questions, questions_like, samples_to_ask
from domainvl.schema import Task


def test_questions_come_from_options():
    found = choose_questions(detect=["car", "ship", "car"], ask="Is it wet?", options=["yes", "no"])
    assert found == (
        Asked(Task.GROUNDING, "car"),
        Asked(Task.GROUNDING, "ship"),
        Asked(Task.MULTIPLE_CHOICE, "Is it wet?", ("yes", "no")),
    )
    assert choose_questions(ask="What is it?") == (Asked(Task.VQA, "What is it?"),)
    assert choose_questions(ask="How many?", task="counting") == (Asked(Task.COUNTING, "How many?"),)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "no question is given"),
        ({"task": "vqa"}, "--task is for --ask and --like"),
        ({"detect": ["car"], "options": ["a", "b"]}, "--option is for --ask"),
        ({"ask": "What?", "options": ["a"]}, "2 to 26 of --option, got 1"),
        ({"ask": "What?", "task": "vqa", "options": ["a", "b"]}, "--option is for --task multiple-choice"),
        ({"ask": "What?", "task": "region"}, "--task must be one of .*, got 'region'"),
        ({"ask": "What?", "task": "guess"}, "--task must be one of .*, got 'guess'"),
        ({"detect": [" "]}, "a question is empty"),
    ],
)
def test_options_that_do_not_fit_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        choose_questions(**given)


def test_the_kinds_of_question_of_a_data_set(squares, monkeypatch):
    """Single squares are asked for by colour and place, pairs by number; the training split has red and blue ones."""
    kinds = questions_like(squares)
    assert set(kinds) == {
        Asked(Task.VQA, "What colour is the square?"),
        Asked(Task.GROUNDING, "red square"),
        Asked(Task.GROUNDING, "blue square"),
        Asked(Task.COUNTING, "How many squares are red?"),
    }
    assert choose_questions(like=squares, task="counting") == (Asked(Task.COUNTING, "How many squares are red?"),)
    with pytest.raises(UsageError, match="has none of the task area"):
        questions_like(squares, Task.AREA)
    monkeypatch.setattr(asking, "MOST_KINDS", 3)
    with pytest.raises(UsageError, match="more than 3 different ones"):
        questions_like(squares)
    with pytest.raises(DomainvlError, match="nowhere"):
        choose_questions(like=squares / "nowhere")


def test_the_wording_is_that_of_training():
    images = [make_image()]
    samples = samples_to_ask(
        [Asked(Task.GROUNDING, "car"), Asked(Task.MULTIPLE_CHOICE, "What?", ("a", "b")), Asked(Task.COUNTING, "N?")],
        name="r0c0",
        domain="remote-sensing",
        images=images,
        preface="The image has 10 m per pixel.",
    )
    start = "<image>\nThe image has 10 m per pixel.\n"
    assert [(sample.id, sample.turns[0].text) for sample in samples] == [
        ("r0c0/0", f"{start}Detect <ref>car</ref>"),
        ("r0c0/1", f"{start}What?\nA. a\nB. b\nAnswer with the option's letter from the given choices directly."),
        ("r0c0/2", f"{start}N?\nAnswer the question using a single word or phrase."),
    ]
