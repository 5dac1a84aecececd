"""Answers of a server: what it is sent, what is read, and what happens when it is busy, gone or wrong."""

from __future__ import annotations

import base64
from pathlib import Path

from chat_server import chat_server, completion

from domainvl.endpoint import EndpointSettings
from domainvl.evaluation.generating.answerer import answer_all
from domainvl.evaluation.generating.endpoint import EndpointAnswerer, to_messages
from domainvl.schema import Split, Turn, read_samples


def test_every_sample_is_asked_once_with_its_own_images(squares: Path, tmp_path: Path) -> None:
    samples = list(read_samples(squares, Split.TEST))
    with chat_server(lambda request: completion(f"about {request['messages'][-1]['content'][-1]['text']}")) as (
        url,
        seen,
    ):
        answerer = EndpointAnswerer(EndpointSettings(url, "m", key="secret"), squares, max_new_tokens=7)
        answered = answer_all(answerer, samples, tmp_path / "journal", {"data": "x"})
        again = answer_all(answerer, samples, tmp_path / "journal", {"data": "x"})
    assert len(seen) == len(samples)
    assert again.predictions == answered.predictions
    assert (answered.cost.answers, again.cost) == (len(samples), None)
    for sample, prediction in zip(samples, answered.predictions, strict=True):
        assert prediction.sample_id == sample.id
        assert prediction.text == f"about {sample.turns[0].text.split('<image>')[-1].strip()}"
    request = next(one for one in seen if len(one["messages"][0]["content"]) == 5)
    assert (request["path"], request["model"], request["max_tokens"], request["temperature"]) == (
        "/v1/chat/completions", "m", 7, 0.0,
    )  # fmt: skip
    assert request["headers"]["Authorization"] == "Bearer secret"
    kinds = [part["type"] for part in request["messages"][0]["content"]]
    assert kinds == ["text", "image_url", "text", "image_url", "text"]
    sent = base64.b64decode(request["messages"][0]["content"][1]["image_url"]["url"].partition(",")[2])
    assert sent in {path.read_bytes() for path in (squares / "images").rglob("*.png")}


def test_earlier_rounds_keep_their_images_in_place(tmp_path: Path) -> None:
    first, second = tmp_path / "a.jpg", tmp_path / "b.png"
    first.write_bytes(b"first")
    second.write_bytes(b"second")
    turns = [
        Turn(role="human", text="<image>\nWhat is it?"),
        Turn(role="assistant", text="a lung"),
        Turn(role="human", text="Image-1: <image>\nAnd this?"),
    ]
    question, answer, last = to_messages(turns, [first, second])
    assert question["content"][0]["image_url"]["url"] == "data:image/jpeg;base64," + base64.b64encode(b"first").decode()
    assert question["content"][1]["text"] == "What is it?"
    assert answer == {"role": "assistant", "content": "a lung"}
    assert [part["type"] for part in last["content"]] == ["text", "image_url", "text"]
    assert last["content"][1]["image_url"]["url"].startswith("data:image/png;base64,")
