"""One checkpoint on several devices: a process each, which answers its share."""

from __future__ import annotations

import multiprocessing
import queue
import traceback
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from domainvl.errors import DomainvlError, StoppedError
from domainvl.evaluation.generating.checkpoint import CheckpointAnswerer, CheckpointSettings, image_paths, on_device
from domainvl.evaluation.generating.options import Options
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import Sample

if TYPE_CHECKING:
    from multiprocessing.process import BaseProcess

_POLL_S = 1.0
_END_S = 10.0


class SeveralDevices:
    """A checkpoint that answers on several devices at once.

    Args:
        settings: How it answers; its device is left aside.
        options: Which options a sample has.
        devices: Where; one may be named twice.
    """

    def __init__(self, settings: CheckpointSettings, options: Options, devices: Sequence[str]) -> None:
        self._shares = [on_device(settings, device) for device in devices]
        self._options = options
        self._first = CheckpointAnswerer(self._shares[0], options)
        self._peak_gb: list[float] = []

    @property
    def identity(self) -> Mapping[str, str]:
        """What the answers depend on."""
        return self._first.identity

    @property
    def device(self) -> str:
        """Where it runs."""
        return f"{len(self._shares)} x {self._first.device}"

    def prepare(self, samples: Sequence[Sample]) -> None:
        """Nothing: each process loads its own model while it is timed."""

    def answer(self, samples: Sequence[Sample]) -> Iterator[list[Prediction]]:
        """Answer samples, in the order in which they come from the devices.

        Raises:
            StoppedError: If a process ends before its answers are there.
            DomainvlError: What a process raised.
        """
        context = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        answers: Any = context.Queue()
        parts = divide(samples, len(self._shares))
        processes: list[BaseProcess] = [
            context.Process(target=_work, args=(share, self._options, part, answers), daemon=True)
            for share, part in zip(self._shares, parts, strict=True)
            if part
        ]
        for process in processes:
            process.start()
        running = len(processes)
        try:
            while running:
                kind, content = _next(answers, processes)
                if kind == "answers":
                    yield content
                elif kind == "done":
                    self._peak_gb.append(content)
                    running -= 1
                else:
                    raise content
        finally:
            for process in processes:
                if running:
                    process.terminate()
                process.join(_END_S)

    def visual_tokens(self, samples: Sequence[Sample]) -> int:
        """Return how many visual tokens the samples have together."""
        return self._first.visual_tokens(samples)

    def ms_per_image(self, samples: Sequence[Sample]) -> float | None:
        """Measure the time of an image at batch 1 on the first device."""
        return self._first.ms_per_image(samples)

    def peak_memory_gb(self) -> float | None:
        """Return the largest memory of a device."""
        return max(self._peak_gb) if self._peak_gb else None


def divide(samples: Sequence[Sample], count: int) -> list[list[Sample]]:
    """Divide samples so that those about the same images stay together, which are encoded once."""
    by_images: dict[tuple[str, ...], list[Sample]] = {}
    for sample in samples:
        by_images.setdefault(image_paths(sample), []).append(sample)
    parts: list[list[Sample]] = [[] for _ in range(count)]
    for together in sorted(by_images.values(), key=len, reverse=True):
        min(parts, key=len).extend(together)
    return parts


def _next(answers: Any, processes: Sequence[BaseProcess]) -> tuple[str, Any]:
    while True:
        try:
            kind, content = answers.get(timeout=_POLL_S)
        except queue.Empty:
            dead = next((process for process in processes if process.exitcode not in (None, 0)), None)
            if dead is not None:
                raise StoppedError(
                    "Cannot go on answering",
                    rule=f"the process of one device ended with {dead.exitcode}, perhaps for lack of memory",
                    action="The same command goes on from the answers that are there; try a smaller --batch-size",
                ) from None
        else:
            return kind, content


def _work(settings: CheckpointSettings, options: Options, samples: Sequence[Sample], answers: Any) -> None:
    try:
        answerer = CheckpointAnswerer(settings, options)
        for batch in answerer.answer(samples):
            answers.put(("answers", batch))
        answers.put(("done", answerer.peak_memory_gb()))
    except DomainvlError as error:
        answers.put(("failed", error))
    except Exception as error:  # noqa: BLE001 - the border of a process: what it raised is raised again by its parent
        told = "".join(traceback.format_exception_only(error)).strip()
        answers.put(("failed", StoppedError("Cannot go on answering", where=settings.device, rule=told)))
