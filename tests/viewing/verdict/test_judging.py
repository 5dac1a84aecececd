"""Single answers are judged by the protocol's own rules."""

from __future__ import annotations

from builders import make_sample

from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.protocol import Column, Protocol
from domainvl.evaluation.protocols.scoring import select_samples
from domainvl.schema import CountAnswer, Task, TextAnswer
from domainvl.viewing.verdict.judging import Judgement, judge


def protocol(*columns):
    return Protocol(
        name="p", version=1, title="P", domain="d", sources=("s",), columns=columns, headline=columns[0].name
    )


def answers(**texts):
    return {name: Prediction(sample_id=name, text=text) for name, text in texts.items()}


def test_by_the_first_column_that_judges_single_answers():
    samples = [
        make_sample("a", answer=TextAnswer(text="yes")),
        make_sample("b", answer=TextAnswer(text="yes")),
        make_sample("c", task=Task.COUNTING, answer=CountAnswer(count=2)),
        make_sample("d", answer=TextAnswer(text="yes")),
    ]
    rules = protocol(
        Column(name="text overlap", where={"task": "vqa"}, rule="bleu"),  # of all texts together
        Column(name="vqa", where={"task": "vqa"}, rule="accuracy"),
        Column(name="error", where={"task": "counting"}, rule="count-error"),
    )
    judged = judge(rules, select_samples(rules, samples), answers(a="yes", b="no", c="2"))
    assert judged == {
        "a": Judgement("vqa", True),
        "b": Judgement("vqa", False),
        "c": Judgement("error", None),
    }


def test_columns_with_the_official_flaws_judge_nothing():
    rules = protocol(
        Column(name="strict", where={"task": "vqa"}, rule="accuracy"),
        Column(name="official", rule="accuracy", variant="as-published"),
    )
    samples = [make_sample("a", task=Task.COUNTING, answer=CountAnswer(count=2))]
    assert judge(rules, select_samples(rules, samples), answers(a="2")) == {}
