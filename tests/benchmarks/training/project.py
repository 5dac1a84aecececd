"""The project's own training on a job, packed or grouped.

    python project.py JOB.json MEASURED.json {padded|grouped|packed} MAX_TOKENS LEVER...

``padded`` pads all samples of a step to one length: what it gains is that logits are computed where there is a label
alone. ``grouped`` pads those of a step together that are about equally long, a quarter of them at a time. Levers:
``shared`` (questions about the same images share one pass), ``cached`` (a frozen vision encoder's features are kept on
disk; filling that cache counts). Time counts from the first step on, for the others too.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from meter import Meter
from settings import Job, Result, load_job, run_measured


def train_project(job: Job, work: Path, arrangement: str, max_tokens: int, levers: tuple[str, ...] = ()) -> Result:
    """Run this file in a process of its own."""
    name = "-".join(("domainvl", arrangement, *levers))
    path, measured = work / f"{name}-job.json", work / f"{name}.json"
    job.save(path)
    command = [sys.executable, __file__, str(path), str(measured), arrangement, str(max_tokens), *levers]
    return run_measured(", ".join(("domainvl", arrangement, *levers)), command, measured, folder=work)


def recipe_of(job: Job, arrangement: str, max_tokens: int, levers: tuple[str, ...]) -> Any:
    """Express a job as a recipe."""
    from domainvl.training.recipe import Recipe

    packed = arrangement == "packed"
    at_a_time = {"padded": job.batch_size, "grouped": max(1, job.batch_size // 4), "packed": 1}[arrangement]
    # One pack has as many tokens as the samples of a batch on average: about as many steps in either arrangement.
    step = {"packs_per_step": 1} if packed else {"batch_size": job.batch_size, "micro_batch_size": at_a_time}
    content = {
        "name": "benchmark",
        "model": str(job.model),
        "method": "full",
        "full": {"vision": not job.freeze_vision},
        "preprocessing": {"max_tiles": job.max_tiles},
        "packing": {
            "arrangement": "packed" if packed else "grouped",
            "max_tokens": max_tokens,
            "max_tiles": 1000,
            "max_sample_tokens": max_tokens,
        },
        "optimisation": {
            **step,
            "epochs": job.epochs,
            "questions_per_pass": 8 if "shared" in levers else 1,
            "learning_rate": job.learning_rate,
            "warmup_ratio": job.warmup_ratio,
            "weight_decay": job.weight_decay,
            "betas": job.betas,
            "max_grad_norm": job.max_grad_norm,
        },
        "compute": {"device": "cpu", "precision": "fp32", "cache_vision": "cached" in levers},
        "validation": {"every_steps": job.evaluated_every_steps, "max_samples": 1000, "answers": 0},
        "saving": {"every_steps": 1_000_000},
        "seed": job.seed,
    }
    return Recipe.model_validate(content)


def main() -> None:
    """Train in this process."""
    from domainvl.training.run import Reporting, finetune

    job, measured, arrangement, max_tokens = load_job(Path(sys.argv[1])), *sys.argv[2:5]
    meter = Meter()

    waiting: list[float] = []

    def heed(row: dict[str, Any]) -> None:
        if row["kind"] == "train":
            waiting.append(row["waiting_share"])
            meter.step_done(row["step"])
            meter.loss_known(row["loss"])
        elif row["kind"] == "validation":
            meter.evaluated(row["step"], row["loss"])

    recipe = recipe_of(job, arrangement, int(max_tokens), tuple(sys.argv[5:]))
    reporting = Reporting(on_row=heed, on_start=meter.begin)
    finetune(recipe, job.dataset, Path(measured).with_suffix(""), reporting=reporting)
    Path(measured).write_text(json.dumps({**meter.measured(), "waiting_share": waiting[-1]}))


if __name__ == "__main__":
    main()
