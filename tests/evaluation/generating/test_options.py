"""Which options a sample has, and which of them is true."""

from __future__ import annotations

from domainvl.evaluation.generating.options import Options, true_option
from domainvl.schema import ChoiceAnswer, CountAnswer, Task, TextAnswer


def test_choices_have_their_letters(make_sample) -> None:
    sample = make_sample(
        answer=ChoiceAnswer(options=("a lung", "a heart", "a liver"), correct=2), task=Task.MULTIPLE_CHOICE
    )
    options = Options([sample])(sample)
    assert options == ("A", "B", "C")
    assert true_option(sample, options) == "C"


def test_yes_and_no_are_written_as_the_set_writes_them(make_sample) -> None:
    for text, pair in (("yes", ("yes", "no")), ("No", ("Yes", "No")), ("NO", ("YES", "NO"))):
        sample = make_sample(answer=TextAnswer(text=text))
        assert Options([sample])(sample) == pair
        assert true_option(sample, pair) == text


def test_classes_are_those_of_the_same_question(make_sample) -> None:
    def classified(name: str, answer: str, question: str):
        return make_sample(name, answer=TextAnswer(text=answer), task=Task.CLASSIFICATION, question=question)

    scenes = [classified("1", "forest", "Which scene?"), classified("2", "airport", "which  scene?")]
    crops = [classified("3", "maize", "Which crop?")]
    many = [classified(f"m{number}", f"class {number}", "Which of many?") for number in range(27)]
    options = Options([*scenes, *crops, *many])
    assert options(scenes[0]) == options(scenes[1]) == ("airport", "forest")
    assert options(crops[0]) is None  # one class is no choice
    assert options(many[0]) is None


def test_open_questions_have_none(make_sample) -> None:
    for answer in (TextAnswer(text="left lung"), CountAnswer(count=3)):
        sample = make_sample(answer=answer)
        assert Options([sample])(sample) is None
