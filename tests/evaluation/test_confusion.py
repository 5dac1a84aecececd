"""Confusion matrices count what was said where what was true."""

from __future__ import annotations

from domainvl.evaluation.confusion import MOST_LABELS, OTHER, RARER, confusion_matrices
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.schema import ChoiceAnswer, CountAnswer, Task, TextAnswer


def item(make_sample, answer, said: str, task: Task = Task.VQA) -> Item:
    return Item(make_sample(answer=answer, task=task), Prediction(sample_id="s", text=said), {})


def test_words_are_compared_normalised_and_synonyms_count_as_the_true_one(make_sample) -> None:
    lung = TextAnswer(text="Left lung", accepted=("lungs",))
    heart = TextAnswer(text="heart")
    items = [
        item(make_sample, lung, "left  lung."),
        item(make_sample, lung, "Lungs"),
        item(make_sample, lung, "heart"),
        item(make_sample, heart, "a kidney"),
        item(make_sample, heart, ""),
    ]
    (matrix,) = confusion_matrices("system", items)
    assert (matrix.labels, matrix.said) == (("left lung", "heart"), ("left lung", "heart", OTHER))
    assert matrix.counts == ((2, 1, 0), (0, 0, 2))


def test_each_task_has_its_own_and_choices_go_by_the_text_of_their_options(make_sample) -> None:
    def choice(correct: int, said: str, *options: str) -> Item:
        answer = ChoiceAnswer(options=options, correct=correct)
        return item(make_sample, answer, said, Task.MULTIPLE_CHOICE)

    items = [
        choice(0, "B", "cat", "dog"),
        choice(1, "B", "cat", "dog"),
        choice(0, "(A)", "dog", "cat"),
        item(make_sample, CountAnswer(count=2), "Two.", Task.COUNTING),
        item(make_sample, CountAnswer(count=3), "many", Task.COUNTING),
    ]
    counting, choices = confusion_matrices("system", items)
    assert (choices.name, choices.labels, choices.counts) == (
        "multiple-choice", ("dog", "cat"), ((2, 0, 0), (1, 0, 0)),
    )  # fmt: skip
    assert (counting.labels, counting.counts) == (("2", "3"), ((1, 0, 0), (0, 0, 1)))


def test_rare_answers_go_together_and_open_questions_have_none(make_sample) -> None:
    few = [item(make_sample, TextAnswer(text=f"class {number % 15:02d}"), "class 00") for number in range(31)]
    (matrix,) = confusion_matrices("system", few)
    assert len(matrix.labels) == MOST_LABELS
    assert (matrix.labels[0], matrix.labels[-1], matrix.said[-1]) == ("class 00", RARER, OTHER)
    assert sum(map(sum, matrix.counts)) == 31
    assert matrix.counts[-1] == (8, *[0] * (MOST_LABELS - 1))  # four classes twice
    many = [item(make_sample, TextAnswer(text=f"word {number}"), "x") for number in range(61)]
    assert confusion_matrices("system", many) == []
    assert confusion_matrices("system", many[:1]) == []


def test_a_class_called_other_is_a_class(make_sample) -> None:
    other, cat = TextAnswer(text="Other"), TextAnswer(text="cat")
    items = [item(make_sample, *pair) for pair in ((other, "other"), (other, "a dog"), (other, "cat"), (cat, "cat"))]
    (matrix,) = confusion_matrices("system", items)
    assert (matrix.labels, matrix.said) == (("other", "cat"), ("other", "cat", OTHER))
    assert matrix.counts == ((1, 1, 1), (0, 1, 0))


def test_nothing_that_is_true_or_said_has_the_name_of_what_is_gathered(make_sample) -> None:
    items = [item(make_sample, TextAnswer(text=name), name) for name in (OTHER, RARER)]
    (matrix,) = confusion_matrices("system", items)
    assert set(matrix.labels) == {OTHER.lower(), RARER.lower()}
    assert matrix.counts == ((1, 0, 0), (0, 1, 0))
