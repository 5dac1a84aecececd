"""A client of servers that speak OpenAI's chat protocol, such as vLLM or LMDeploy, which need an environment each."""

from __future__ import annotations

import http.client
import json
import math
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import InputNotFoundError, StoppedError, UsageError

_TRIES = 4
_FIRST_WAIT_S = 1.0
_BUSY = frozenset({408, 429, 500, 502, 503, 504})
"""Statuses after which the same request may succeed."""


@dataclass(frozen=True)
class EndpointSettings:
    """A server.

    Attributes:
        url: Up to and including the version, such as ``http://localhost:8000/v1``.
        model: Name by which it knows the model.
        key: Sent as a bearer token; None where it wants none.
        timeout_s: Longest wait for one answer.
        parallel: Requests at a time.
    """

    url: str
    model: str
    key: str | None = None
    timeout_s: float = 300.0
    parallel: int = 8


@dataclass(frozen=True)
class Completion:
    """What a server answered.

    Attributes:
        text: The answer.
        likelihood: Normalised likelihood of the answer; None if the server does not say.
        token_count: Tokens of the answer; None if the server does not say.
        cut_off: Whether it was longer than allowed.
    """

    text: str
    likelihood: float | None
    token_count: int | None
    cut_off: bool


def read_key(path: Path | None) -> str | None:
    """Read a key from a file.

    Raises:
        InputNotFoundError: If there is no such file.
    """
    if path is None:
        return None
    if not path.is_file():
        raise InputNotFoundError("Cannot read a key", where=path, rule="there is no such file", action="Check the path")
    return path.read_text(encoding="utf-8").strip()


def complete(
    settings: EndpointSettings, messages: Sequence[Mapping[str, Any]], *, max_new_tokens: int, temperature: float = 0.0
) -> Completion:
    """Ask a server once; a busy server is asked again a few times, each time later.

    Args:
        settings: The server.
        messages: In OpenAI's form.
        max_new_tokens: Longest answer.
        temperature: 0 for the most probable answer.

    Raises:
        UsageError: If the server refuses the request.
        StoppedError: If it cannot be reached, stays busy or answers something else.
    """
    content = {
        "model": settings.model,
        "messages": list(messages),
        "max_tokens": max_new_tokens,
        "temperature": temperature,
        "logprobs": True,
    }
    reply = _post(settings, content)
    try:
        choice = reply["choices"][0]
        # Half of a surrogate pair, which JSON can hold and UTF-8 cannot, becomes a question mark.
        text = str(choice["message"]["content"] or "").strip().encode("utf-8", "replace").decode("utf-8")
        logprobs = [float(token["logprob"]) for token in (choice.get("logprobs") or {}).get("content") or ()]
        count = (reply.get("usage") or {}).get("completion_tokens")
        return Completion(
            text=text,
            likelihood=min(1.0, math.exp(sum(logprobs) / len(logprobs))) if logprobs else None,
            token_count=count if isinstance(count, int) and count >= 0 else None,
            cut_off=choice.get("finish_reason") == "length",
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        rule = f"it must answer as OpenAI's chat completions do ({type(error).__name__}: {error}), got {reply!r:.200}"
        raise StoppedError("Cannot read the server's answer", where=settings.url, rule=rule) from error


def _post(settings: EndpointSettings, content: Mapping[str, Any]) -> Any:
    if not settings.url.startswith(("http://", "https://")):
        rule = "its address must begin with http:// or https://"
        raise UsageError("Cannot ask the server", where=settings.url, rule=rule)
    headers = {"Content-Type": "application/json"}
    if settings.key:
        headers["Authorization"] = f"Bearer {settings.key}"
    request = urllib.request.Request(
        f"{settings.url.rstrip('/')}/chat/completions", json.dumps(content).encode(), headers
    )
    wait_s, problem = _FIRST_WAIT_S, ""
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(wait_s)
            wait_s *= 2
        try:
            with urllib.request.urlopen(request, timeout=settings.timeout_s) as reply:
                return json.loads(reply.read())
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:200]
            problem = f"it said {error.code} {error.reason}: {said}"
            if error.code not in _BUSY:
                raise UsageError(
                    "Cannot ask the server",
                    where=settings.url,
                    rule=problem,
                    action="Check --endpoint, --endpoint-model and --endpoint-key",
                ) from error
        except ValueError as error:
            raise UsageError(
                "Cannot ask the server",
                where=settings.url,
                rule=f"it must answer JSON ({error})",
                action="Name the address of its API, up to and including /v1",
            ) from error
        except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
            problem = str(error) or type(error).__name__
    raise StoppedError(
        "Cannot ask the server",
        where=settings.url,
        rule=f"after {_TRIES} tries: {problem}",
        action="Start the server; the same command goes on from the answers that are there",
    )
