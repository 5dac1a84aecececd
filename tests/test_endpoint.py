"""What a server is sent, what is read, and what happens when it is busy, gone or wrong."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from chat_server import chat_server, completion

from domainvl import endpoint
from domainvl.endpoint import EndpointSettings, complete, read_key
from domainvl.errors import InputNotFoundError, StoppedError, UsageError


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_FIRST_WAIT_S", 0.0)


def test_likelihood_is_that_of_the_tokens() -> None:
    with chat_server(lambda _: completion(" yes \n", logprobs=[-0.5, -1.5], finish="length")) as (url, _seen):
        said = complete(EndpointSettings(url, "m"), [], max_new_tokens=2)
    assert (said.text, said.cut_off, said.token_count) == ("yes", True, 1)
    assert said.likelihood == pytest.approx(math.exp(-1.0))


def test_a_busy_server_is_asked_again_and_a_refusal_is_not() -> None:
    replies = iter([(503, "busy"), (429, "later"), completion("at last")])
    with chat_server(lambda _: next(replies)) as (url, seen):
        assert complete(EndpointSettings(url, "m"), [], max_new_tokens=2).text == "at last"
        assert len(seen) == 3
    with chat_server(lambda _: (404, "no such model")) as (url, seen):
        with pytest.raises(UsageError, match="404.*no such model"):
            complete(EndpointSettings(url, "m"), [], max_new_tokens=2)
        assert len(seen) == 1


def test_a_server_that_is_gone_or_speaks_otherwise_stops_the_run() -> None:
    with chat_server(lambda _: {"choices": []}) as (url, _seen):
        with pytest.raises(StoppedError, match="as OpenAI's chat completions do"):
            complete(EndpointSettings(url, "m"), [], max_new_tokens=2)
    with pytest.raises(StoppedError, match="after 4 tries"):
        complete(EndpointSettings(url, "m"), [], max_new_tokens=2)


def test_a_key_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("secret\n")
    assert read_key(tmp_path / "key") == "secret"
    assert read_key(None) is None
    with pytest.raises(InputNotFoundError):
        read_key(tmp_path / "none")
