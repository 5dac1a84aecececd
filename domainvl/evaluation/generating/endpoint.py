"""Answers from a server that speaks OpenAI's chat protocol.

The server tiles the images itself: whether it does so as the model was trained is for who runs it to see to.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

from domainvl.endpoint import EndpointSettings, complete
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Sample
from domainvl.schema.sample import IMAGE_PLACEHOLDER, Turn


class EndpointAnswerer:
    """A server that answers samples.

    Args:
        settings: The server.
        dataset: Folder of the data set, for its images.
        max_new_tokens: Longest answer.
    """

    def __init__(self, settings: EndpointSettings, dataset: Path, max_new_tokens: int) -> None:
        self._settings = settings
        self._dataset = dataset
        self._max_new_tokens = max_new_tokens

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers depend on, as far as it can be known."""
        return {
            "endpoint": self._settings.url,
            "endpoint's model": self._settings.model,
            "longest answer": str(self._max_new_tokens),
        }

    @property
    def device(self) -> str:
        """Where it runs: that is the server's affair."""
        return f"{self._settings.model} at {self._settings.url}"

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Nothing: the server is ready."""

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        """Answer samples, several requests at a time.

        Raises:
            UsageError: If the server refuses a request.
            StoppedError: If it cannot be reached.
        """
        with ThreadPoolExecutor(self._settings.parallel) as pool:
            left = iter(samples)
            while some := list(islice(left, 2 * self._settings.parallel)):
                yield list(pool.map(self._ask, some))

    def _ask(self, sample: Sample) -> Prediction:
        messages = to_messages(sample.turns[:-1], [self._dataset / image.path for image in sample.images])
        said = complete(self._settings, messages, max_new_tokens=self._max_new_tokens)
        return Prediction(
            sample_id=sample.id,
            text=said.text,
            likelihood=said.likelihood,
            token_count=said.token_count,
            cut_off=said.cut_off,
        )

    def visual_tokens(self, samples: Sequence[Sample]) -> None:
        """Not known."""

    def ms_per_image(self, samples: Sequence[Sample]) -> None:
        """Not measured: the way to the server would be measured with it."""

    def peak_memory_gb(self) -> None:
        """Not known."""


def to_messages(turns: Sequence[Turn], images: Sequence[Path]) -> list[dict[str, Any]]:
    """Write a conversation in OpenAI's form, each image where its placeholder stands, as a data URL of its own bytes.

    Args:
        turns: Human and assistant turns, the last by a human.
        images: Files of the images, in the order of their placeholders; PNG or JPEG.
    """
    left = iter(images)
    messages: list[dict[str, Any]] = []
    for turn in turns:
        if turn.role == "assistant":
            messages.append({"role": "assistant", "content": turn.text})
            continue
        first, *rest = turn.text.split(IMAGE_PLACEHOLDER)
        parts: list[dict[str, Any]] = [{"type": "text", "text": first}] if first else []
        for text in rest:
            parts.append({"type": "image_url", "image_url": {"url": _data_url(next(left))}})
            if text.strip():
                parts.append({"type": "text", "text": text.removeprefix("\n")})
        messages.append({"role": "user", "content": parts})
    return messages


def _data_url(path: Path) -> str:
    kind = "png" if path.suffix.lower() == ".png" else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
