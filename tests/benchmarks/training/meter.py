"""Runs another trainer's command under transformers' Trainer's callbacks, and writes what it cost.

This file is run by the Python of the other trainer's environment and needs nothing but its transformers:

    PYTHON meter.py MEASURED.json MODULE[:FUNCTION] ARGUMENT...

Both LLaMA-Factory and ms-swift train with a Trainer of transformers, so one meter reads both, and the plain one too.
Time is processor time of this process in training, evaluation left out; memory is the most that the process held from
the first step on, beside what it held then.
"""

from __future__ import annotations

import importlib
import json
import re
import runpy
import sys
import time
from pathlib import Path
from typing import Any


class Meter:
    """Collects losses, times and memory.

    Attributes:
        steps: ``step``, ``cpu_s`` since training began and ``loss`` of each step.
        evaluations: The same of each evaluation, with the held-out loss.
    """

    def __init__(self) -> None:
        self.steps: list[dict[str, float]] = []
        self.evaluations: list[dict[str, float]] = []
        self._begun_s = self._paused_s = time.process_time()
        self._held_gb = memory_gb("VmRSS")

    def begin(self) -> None:
        """Say that training begins: from here on the peak of the memory counts."""
        Path("/proc/self/clear_refs").write_text("5")
        self._held_gb = memory_gb("VmRSS")
        self._begun_s = self._paused_s = time.process_time()

    def step_done(self, step: int) -> None:
        """Say that a step is done."""
        self._paused_s = time.process_time()
        self.steps.append({"step": step, "cpu_s": self._paused_s - self._begun_s})

    def loss_known(self, loss: float) -> None:
        """Give the loss of the last step."""
        self.steps[-1]["loss"] = loss

    def evaluated(self, step: int, loss: float) -> None:
        """Give the held-out loss after the last step; the time since then does not count."""
        self.evaluations.append({"step": step, "cpu_s": self._paused_s - self._begun_s, "loss": loss})
        self._begun_s += time.process_time() - self._paused_s
        self._paused_s = time.process_time()

    def measured(self) -> dict[str, Any]:
        """Return all of it."""
        return {
            "cpu_s": self.steps[-1]["cpu_s"],
            "peak_gb": memory_gb("VmHWM"),
            "grown_gb": memory_gb("VmHWM") - self._held_gb,
            "steps": self.steps,
            "evaluations": self.evaluations,
        }


def memory_gb(field: str) -> float:
    """Read a field of this process's memory: VmRSS is what it holds, VmHWM the most that it held."""
    found = re.search(rf"{field}:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise SystemExit(f"/proc/self/status has no {field}")
    return int(found[1]) / 1e6


def trainer_callback(meter: Meter) -> Any:
    """Return a callback of transformers that feeds a meter."""
    from transformers import TrainerCallback

    class MeterCallback(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            meter.begin()

        def on_step_end(self, _: Any, state: Any, *__: Any, **___: Any) -> None:
            meter.step_done(state.global_step)

        def on_log(self, _: Any, __: Any, ___: Any, logs: dict[str, float], **____: Any) -> None:
            if "loss" in logs and meter.steps:
                meter.loss_known(float(logs["loss"]))

        def on_evaluate(self, _: Any, state: Any, __: Any, metrics: dict[str, float], **___: Any) -> None:
            loss = next(value for name, value in metrics.items() if name.endswith("_loss"))
            meter.evaluated(state.global_step, float(loss))

    return MeterCallback()


def main() -> None:
    """Run the command with the meter in every Trainer that it makes."""
    out, command, *arguments = sys.argv[1:]
    from transformers import Trainer

    meter, train = Meter(), Trainer.train

    def train_measured(self: Any, *positional: Any, **named: Any) -> Any:
        self.add_callback(trainer_callback(meter))
        return train(self, *positional, **named)

    Trainer.train = train_measured
    module, _, function = command.partition(":")
    sys.argv = [module, *arguments]
    if function:
        getattr(importlib.import_module(module), function)()
    else:
        runpy.run_module(module, run_name="__main__")
    Path(out).write_text(json.dumps(meter.measured()))


if __name__ == "__main__":
    main()
