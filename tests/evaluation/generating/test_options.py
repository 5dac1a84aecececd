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
    assert true_option(sample, ("A liver", "a lung")) == "A liver"  # other systems may name them by text
    assert true_option(sample, ("A", "B")) is None


def test_yes_and_no_are_written_as_the_set_writes_them_most_often(make_sample) -> None:
    """So that the way they are written does not tell which is true."""

    def asked(name: str, text: str):
        return make_sample(name, answer=TextAnswer(text=text))

    mixed = [asked("1", "Yes"), asked("2", "no"), asked("3", "No"), asked("4", "Yes")]
    options = Options(mixed)
    assert {options(sample) for sample in mixed} == {("Yes", "No")}
    assert [true_option(sample, ("Yes", "No")) for sample in mixed] == ["Yes", "No", "No", "Yes"]
    lower = [asked("1", "yes"), asked("2", "No"), asked("3", "no")]
    assert Options(lower)(lower[1]) == ("yes", "no")


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
