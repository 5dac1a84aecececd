"""What all contenders of the training benchmark share: the job, and what comes back of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

METER = Path(__file__).parent / "meter.py"


@dataclass(frozen=True)
class Job:
    """What is trained on what; every contender takes the same.

    Attributes:
        name: Of the data.
        dataset: Its folder.
        model: Checkpoint to start from; all of it is trained, unless the vision encoder is frozen.
        max_tiles: Of a sample.
        freeze_vision: Leave the vision encoder as it is.
        epochs: Passes over the data.
        batch_size: Samples a step; a packed step has as many tokens as so many samples have on average.
        evaluated_every_steps: How often the held-out samples are looked at.
        learning_rate: Highest.
        warmup_ratio: Share of the steps in which it rises; then it falls along a half cosine.
        weight_decay: On matrices.
        betas: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
        seed: Of the order.
    """

    name: str
    dataset: Path
    model: Path
    max_tiles: int = 12
    freeze_vision: bool = False
    epochs: int = 1
    batch_size: int = 8
    evaluated_every_steps: int = 10
    learning_rate: float = 1e-3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0
    seed: int = 0

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), default=str))


def load_job(path: Path) -> Job:
    """Read what :meth:`Job.save` wrote."""
    content = json.loads(path.read_text())
    paths = {"dataset": Path(content["dataset"]), "model": Path(content["model"]), "betas": tuple(content["betas"])}
    return Job(**{**content, **paths})


@dataclass(frozen=True)
class Result:
    """What a contender did with a job.

    Attributes:
        contender: Its name.
        cpu_s: Processor seconds of training, evaluation left out.
        peak_gb: The most that the process held.
        grown_gb: How much more that is than before the first step.
        steps: ``step``, ``cpu_s`` and ``loss`` of each step.
        evaluations: The same of each evaluation.
        failure: Command and message, where it did not run.
        waiting_share: Share of the time of the last steps that was spent waiting for data, by the clock; None where
            that is not known.
    """

    contender: str
    cpu_s: float = 0.0
    peak_gb: float = 0.0
    grown_gb: float = 0.0
    steps: Sequence[dict[str, float]] = field(default_factory=list)
    evaluations: Sequence[dict[str, float]] = field(default_factory=list)
    failure: str | None = None
    waiting_share: float | None = None

    def seconds_to(self, loss: float) -> float | None:
        """Return the processor seconds after which the held-out loss was first so low, None if it never was."""
        return next((row["cpu_s"] for row in self.evaluations if row["loss"] <= loss), None)


def run_measured(
    contender: str, command: Sequence[str], measured: Path, *, folder: Path, environment: dict[str, str] | None = None
) -> Result:
    """Run a contender in a process of its own, on one thread and off the network.

    Args:
        contender: Its name.
        command: Ends with ``measured`` written.
        measured: JSON of what it cost.
        folder: Where the command is started; its output goes to ``<measured>.log``.
        environment: Variables besides those of this process.
    """
    fixed = {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    log = measured.with_suffix(".log")
    with log.open("w") as output:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **fixed, **(environment or {})},
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode or not measured.is_file():
        return Result(contender, failure=f"$ {' '.join(map(str, command))}\n{_last_error(log.read_text())}")
    content: dict[str, Any] = json.loads(measured.read_text())
    return Result(contender, **content)


def _last_error(log: str) -> str:
    """Return the last line that names an exception, else the last line."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"^(\[rank\d+\]: )?[\w.]*(Error|Exception)\b", line)]
    return (errors or lines or ["no output"])[-1][:600]
