"""A judge model: what it is asked, what is read of its replies."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from chat_server import chat_server, completion

from domainvl.endpoint import EndpointSettings
from domainvl.errors import UsageError
from domainvl.evaluation.judge import (
    OUR_PROMPT,
    CheckpointJudge,
    EndpointJudge,
    JudgePrompt,
    judge_answers,
    judged_by_drivelm,
    read_prompt,
    read_rating,
    write_judgements,
)
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.statistics.resampling import Resamples
from domainvl.schema import Sample, Source

SampleMaker = Callable[..., Sample]


@contextmanager
def server(reply: Callable[[str], str]) -> Iterator[tuple[EndpointSettings, list[dict[str, Any]]]]:
    """A chat server on this machine, and the requests that it got."""
    with chat_server(lambda request: completion(reply(request["messages"][0]["content"]))) as (url, requests):
        yield EndpointSettings(url, "rater", parallel=2), requests


def answered(make: SampleMaker, texts: Sequence[str]) -> tuple[list[Sample], list[Prediction]]:
    samples = [make(f"s{index}", group=f"g{index}", question=f"What is {index}?") for index in range(len(texts))]
    return samples, [Prediction(sample_id=one.id, text=text) for one, text in zip(samples, texts, strict=True)]


def test_ratings_are_averaged_and_what_is_no_rating_is_counted(make_sample: SampleMaker, tmp_path: Path) -> None:
    replies = {"good": "90", "middling": "<think>0 or 100?</think> 40.", "odd": "I cannot say"}

    def reply(prompt: str) -> str:
        return next(text for answer, text in replies.items() if f"rate: {answer}\n" in prompt)

    samples, predictions = answered(make_sample, ["good", "", "odd", "middling"])
    with server(reply) as (settings, requests):
        judged = judge_answers(EndpointJudge(settings), samples, predictions)
    assert [one.rating for one in judged.judgements] == [0.9, 0.0, None, 0.4]
    assert judged.unreadable == 1
    assert len(requests) == 3  # neither the empty answer is asked about, nor the unreadable reply asked for again
    assert {request["model"] for request in requests} == {"rater"}
    first = next(request["messages"][0]["content"] for request in requests if "good" in str(request))
    assert "Question: What is 0?" in first and "True answer: lung" in first
    estimate = Resamples([one.group for one in samples]).estimate(judged.score())
    assert estimate.value == pytest.approx((0.9 + 0.0 + 0.4) / 3)
    assert estimate.low is not None and estimate.low < estimate.value
    assert judged.about["judge"] == "rater"
    assert judged.about["judge's prompt"] == OUR_PROMPT.name
    write_judgements(tmp_path / "judge.jsonl", judged)
    head, *rows = map(json.loads, (tmp_path / "judge.jsonl").read_text().splitlines())
    assert head == judged.about
    assert rows[2] == {"sample_id": "s2", "rating": None, "reply": "I cannot say"}


@pytest.mark.parametrize(
    ("reply", "rating"),
    [
        ("85", 0.85),
        ("85.", 0.85),
        (" 62.5\n", 0.625),
        ("Score: 85/100", 0.85),
        ("I give 85 out of 100.", 0.85),
        ("0", 0.0),
        ("100", 1.0),
        ("<think>7, 8?</think>9", 0.09),
        ("", None),
        ("eighty", None),
        ("-5", None),
        ("101", None),
        ("It is 7 or 8", None),
        ("8/10", None),
        ("1,000", None),
        ("85/1000", None),
        ("v2", None),
    ],
)
def test_what_is_read_of_a_reply(reply: str, rating: float | None) -> None:
    assert read_rating(reply) == pytest.approx(rating)


def test_braces_in_answers_are_no_placeholders() -> None:
    prompt = JudgePrompt("x", "{reference}|{answer}|{other}")
    assert prompt.fill("q", "{answer}", "{reference}") == "{answer}|{reference}|{other}"


def test_a_prompt_of_the_users(tmp_path: Path) -> None:
    (tmp_path / "mine-2.txt").write_text("{reference} or {answer}?")
    prompt = read_prompt(tmp_path / "mine-2.txt")
    assert (prompt.name, prompt.fill("q", "a", "b")) == ("mine-2", "a or b?")
    (tmp_path / "bad.txt").write_text("{answer}?")
    with pytest.raises(UsageError, match=r"must hold \{reference\}"):
        read_prompt(tmp_path / "bad.txt")
    with pytest.raises(UsageError, match="there is no such file"):
        read_prompt(tmp_path / "none.txt")


def test_a_checkpoint_judges_without_images(make_sample: SampleMaker, untrained: Path) -> None:
    """Random weights say no number; that is counted. What an answer holds is not read as an image."""
    samples, predictions = answered(make_sample, ["a <image> of <|im_end|>", "two"])
    judge = CheckpointJudge(str(untrained), device="cpu", max_new_tokens=4)
    judged = judge_answers(judge, samples, predictions)
    assert [one.sample_id for one in judged.judgements] == ["s0", "s1"]
    assert judged.about["judge's weights"]
    assert judged.unreadable == sum(read_rating(one.reply) is None for one in judged.judgements)


def test_drivelm_says_which_answers_are_judged(make_sample: SampleMaker) -> None:
    def tagged(tags: list[int]) -> Sample:
        sample = make_sample("s")
        source = Source(uri="x", details={"drivelm": {"id": "a_b_0", "tag": tags}})
        return sample.model_copy(update={"images": (sample.images[0].model_copy(update={"source": source}),)})

    assert judged_by_drivelm(tagged([1, 2]))
    assert not judged_by_drivelm(tagged([0, 3]))
    assert judged_by_drivelm(tagged([3]), tag=3)
    assert not judged_by_drivelm(make_sample("s"))
