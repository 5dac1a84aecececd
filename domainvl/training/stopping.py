"""Ending a run before its time: on a signal, with its state saved, or because a number is no longer finite."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from domainvl.errors import StoppedError

_SHOWN_SAMPLES = 3


class DivergedError(StoppedError):
    """The loss or its gradient is no longer a finite number."""


def announce(text: str) -> None:
    """Tell the user within a signal handler, where anything that can be interrupted itself must not be called."""
    os.write(2, f"{text}\n".encode())


class StopRequest:
    """Takes Ctrl-C and SIGTERM as a request to stop after the step; with it no run ends half-way through a step.

    A second Ctrl-C ends the run at once. Python gives signals to the main thread only; elsewhere this does nothing.
    With several processes each must know of the request before any of them stops: only some may have had the signal.

    Args:
        announce: Called within the signal handler with what to tell the user; must not be interruptible by itself, as
            ``os.write`` is not.

    Attributes:
        signal_name: The signal that asked, None where none did.
    """

    def __init__(self, announce: Callable[[str], None] | None = None) -> None:
        self._announce = announce
        self._before: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}
        self.signal_name: str | None = None

    @property
    def requested(self) -> bool:
        """Whether the run should stop after this step."""
        return self.signal_name is not None

    def __enter__(self) -> StopRequest:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            # None stands for a handler that was not set from Python, which cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before.clear()

    def _take(self, number: int, _: FrameType | None) -> None:
        if self.requested:
            if number == signal.SIGINT:
                raise KeyboardInterrupt
            return  # schedulers send SIGTERM more than once
        self.signal_name = signal.Signals(number).name
        if self._announce is not None:
            self._announce(f"{self.signal_name}: stopping after this step; Ctrl-C stops at once, without saving")


def stopped(step: int, step_count: int, out: Path) -> StoppedError:
    """Return the error of a run that was asked to stop and has saved its state.

    Args:
        step: Number of steps done.
        step_count: Number of steps of the whole run.
        out: The run's folder.
    """
    return StoppedError(
        "Stopped",
        where=out,
        rule=f"at step {step} of {step_count}, the state is saved",
        action="Go on with the same command and --resume",
    )


def not_finite(
    loss: float,
    gradient_norm: float,
    *,
    step: int,
    out: Path,
    last_good: str | None = None,
    samples: Sequence[str] = (),
) -> DivergedError | None:
    """Return the error that ends a run whose numbers are no longer finite, None while they are.

    To be asked before the optimizer moves, so that no weight is spoilt and the last good state stays the last.

    Args:
        loss: Loss of the step, over all processes.
        gradient_norm: Norm of its gradient, before clipping.
        step: The step.
        out: The run's folder.
        last_good: What is left that can be used, such as ``the state of step 200``; None where nothing was saved.
        samples: Ids of the step's samples.
    """
    seen = [f"{name} is {value}" for name, value in (("loss", loss), ("gradient norm", gradient_norm))]
    finite = [math.isfinite(value) for value in (loss, gradient_norm)]
    if all(finite):
        return None
    bad = ", ".join(text for text, is_finite in zip(seen, finite, strict=True) if not is_finite)
    named = ", ".join(samples[:_SHOWN_SAMPLES]) + (", ..." if len(samples) > _SHOWN_SAMPLES else "")
    return DivergedError(
        f"The run diverged at step {step}",
        where=out,
        rule=f"loss and gradient must be finite numbers, but {bad}"
        + (f"; samples of the step: {named}" if named else "")
        + (f"; {last_good} is kept" if last_good else "; nothing was saved before"),
        action="Start a new run with a lower optimisation.learning_rate, a higher optimisation.warmup_ratio or "
        "compute.precision=fp32; --resume would meet the same numbers again",
    )
