"""The lines that a judge's ratings make, by the formula of DriveLM's challenge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from drivelm_files import LIGHT, SUV, Given, make_frame, make_scenes, pair, write_plain_images
from protocol_cases import value_of

from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.judging import FINAL, GPT_PART, MATCH, RATING, Judging, judge_system
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.scoring import score_protocol
from domainvl.schema import Task, TextAnswer

FRAME = make_frame(
    perception=[pair("What is important?", f"{SUV} and {LIGHT}", tag=[3]), pair(f"Does {SUV} move?", "Yes", tag=[0])],
    prediction=[pair(f"Why does {LIGHT} matter?", "It is red", tag=[1]), pair("And now?", "Wait", tag=[1])],
    planning=[pair("What now?", "go on slowly then", tag=[2])],
)


class Rater:
    """Gives the ratings it is told to, one after the other, and remembers what it was asked."""

    identity = {"judge": "rater"}  # noqa: RUF012

    def __init__(self, *replies: str) -> None:
        self.replies, self.prompts = replies, []

    def reply(self, prompts: Sequence[str]) -> list[str]:
        self.prompts += prompts
        return list(self.replies)


def judged(rater: Rater, samples, texts, folder: Path):
    predictions = [Prediction(sample_id=one.id, text=text) for one, text in zip(samples, texts, strict=True)]
    items = [Item(one, said, sample_facts(one)) for one, said in zip(samples, predictions, strict=True)]
    further = judge_system(Judging(rater), samples, predictions, folder / "judgements.jsonl", folder / "journal.jsonl")
    protocol = load_protocol("drivelm" if samples[0].domain == "driving" else "generic")
    others = {(line.variant, line.name): line for line in score_protocol(protocol, items)}
    values = {name: value_of(line.score) for (variant, name), line in others.items() if variant == "strict"}
    return values, None if further is None else {line.name: line for line in further(others)}


def test_the_final_score_is_that_of_the_challenge(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    write_plain_images(tmp_path / "plain")
    (tmp_path / "drivelm").mkdir()
    _, samples, _ = Given(tmp_path / "drivelm", tmp_path / "plain").convert(make_scenes(FRAME))
    samples = sorted(samples, key=lambda sample: sample.id)
    rater = Rater("80", "no idea", "60")  # of both answers with tag 1, then of the one with tag 3
    values, lines = judged(rater, samples, [sample.turns[-1].text for sample in samples], tmp_path)
    assert len(rater.prompts) == 3
    again = Rater()
    assert judged(again, samples, [sample.turns[-1].text for sample in samples], tmp_path)[1][FINAL].unreadable == 1
    assert again.prompts == []  # what was asked before is not asked again
    assert "Wait" in rater.prompts[1]
    assert lines[GPT_PART].members.tolist() == [2]
    assert lines[GPT_PART].unreadable == 1
    assert value_of(lines[GPT_PART].score) == pytest.approx(0.8)
    assert value_of(lines[MATCH].score) == pytest.approx((values["match F1"] + 0.6) / 2)
    expected = 0.2 * values["accuracy"] + 0.4 * 0.8 + 0.2 * values["language"] + 0.2 * (values["match F1"] + 0.6) / 2
    assert value_of(lines[FINAL].score) == pytest.approx(expected)
    assert "not comparable" in lines[FINAL].metric
    rows = [json.loads(line) for line in (tmp_path / "judgements.jsonl").read_text().splitlines()]
    assert rows[0]["judge"] == "rater"
    assert [row["rating"] for row in rows[1:]] == [0.8, None, 0.6]


def test_descriptions_of_other_sets_are_rated_and_nothing_else(make_sample, tmp_path: Path) -> None:
    report = make_sample("report", answer=TextAnswer(text="No effusion."), task=Task.CAPTION)
    words = make_sample("words", answer=TextAnswer(text="lung"))
    _, lines = judged(Rater("50"), [words, report], ["lung", "Clear."], tmp_path)
    assert list(lines) == [RATING]
    assert lines[RATING].members.tolist() == [1]
    assert value_of(lines[RATING].score) == pytest.approx(0.5)
    rater = Rater()
    assert judged(rater, [words], ["lung"], tmp_path)[1] is None
    assert rater.prompts == []
