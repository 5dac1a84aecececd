"""The list of answers, made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from domainvl.evaluation.specialists.answer_list import LEAST_SAMPLES, AnswerList, closed_answer
from domainvl.evaluation.specialists.specialist import CannotAnswerError
from domainvl.schema import ChoiceAnswer, CountAnswer, MeasureAnswer, Task, TextAnswer


@pytest.fixture
def texts(make_sample):
    """Build text samples from (question, answer)."""

    def build(*pairs, **options):
        return [make_sample(question=question, answer=TextAnswer(text=text), **options) for question, text in pairs]

    return build


def choice(make_sample, *options, correct=0):
    answer = ChoiceAnswer(options=options, correct=correct)
    return make_sample(answer=answer, task=Task.MULTIPLE_CHOICE)


def test_equal_answers_are_one_class_written_as_most_often(texts):
    samples = texts(("Organ?", "Lung"), ("What?", "Lung"), ("Organ?", "lung."), ("Organ?", "Heart"))
    answers = AnswerList.learn(samples, by="task", most=10)
    assert answers.answers == ("Lung", "Heart")


def test_the_most_frequent_stay_and_the_rest_cannot_be_learnt(texts):
    samples = texts(("Organ?", "lung"), ("Organ?", "lung"), ("Organ?", "heart"))
    answers = AnswerList.learn(samples, by="task", most=1)
    assert answers.answers == ("lung",)
    with pytest.raises(CannotAnswerError, match="too rare"):
        answers.target(samples[2], answers.possible(samples[2]))


def test_by_question_classes_are_not_shared(texts):
    pairs = [("Lung there?", "yes"), ("Heart there?", "yes"), ("Heart there?", "no")] * LEAST_SAMPLES
    answers = AnswerList.learn(texts(*pairs), by="question", most=10)
    assert sorted(answers.answers) == ["no", "yes", "yes"]
    (lung,), (heart,) = texts(("lung there?", "yes")), texts(("Heart  there?", "no"))
    assert [answers.answers[place] for place in answers.possible(lung)] == ["yes"]
    assert sorted(answers.answers[place] for place in answers.possible(heart)) == ["no", "yes"]


def test_by_question_rare_questions_have_no_classes(texts):
    samples = texts(*[("Often?", "yes")] * LEAST_SAMPLES, *[("Seldom?", "yes")] * (LEAST_SAMPLES - 1))
    answers = AnswerList.learn(samples, by="question", most=10)
    assert answers.answers == ("yes",)
    with pytest.raises(CannotAnswerError, match="the question was not trained"):
        answers.possible(samples[-1])


def test_tasks_do_not_answer_each_other(texts, make_sample):
    count = make_sample(answer=CountAnswer(count=3), task=Task.COUNTING)
    samples = [*texts(("Organ?", "lung")), count]
    answers = AnswerList.learn(samples, by="task", most=10)
    assert [answers.answers[place] for place in answers.possible(count)] == ["3"]
    other = texts(("Organ?", "lung"), domain="driving")[0]
    with pytest.raises(CannotAnswerError, match="the task was not trained"):
        answers.possible(other)


def test_a_choice_is_answered_by_its_letter_with_all_options(make_sample):
    seen = [choice(make_sample, "lung", "heart", correct=index % 2) for index in range(4)]
    answers = AnswerList.learn(seen, by="task", most=10)
    asked = choice(make_sample, "Spleen", "Heart", "Lung", correct=1)
    possible = answers.possible(asked)
    probabilities = np.array([0.7 if answers.answers[place] == "heart" else 0.3 for place in possible])
    prediction = answers.prediction(asked, possible, probabilities)
    assert (prediction.text, prediction.likelihood) == ("B", pytest.approx(0.7))
    assert prediction.options == {"A": 0.0, "B": pytest.approx(0.7), "C": pytest.approx(0.3)}


def test_a_choice_of_unknown_options_cannot_be_answered(make_sample):
    answers = AnswerList.learn([choice(make_sample, "lung", "heart")], by="task", most=10)
    with pytest.raises(CannotAnswerError, match="no option is a known answer"):
        answers.possible(choice(make_sample, "liver", "spleen"))


def test_what_is_no_closed_answer(make_sample, texts):
    assert closed_answer(make_sample(boxes=[("car", (0.0, 0.0, 9.0, 9.0))])) is None
    assert closed_answer(make_sample(answer=MeasureAnswer(value=3.0, unit="m"), task=Task.LENGTH)) is None
    assert closed_answer(texts(("Describe it.", "A lung."), task=Task.CAPTION)[0]) is None
    with pytest.raises(CannotAnswerError, match="answers of kind measure are no closed answers"):
        AnswerList(by="task", answers=(), groups=()).possible(
            make_sample(answer=MeasureAnswer(value=3.0, unit="m"), task=Task.LENGTH)
        )
