"""A plan as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from domainvl.model.sizes import count_parameters
from domainvl.planning.footprint import GPU_CONTEXT_BYTES, Footprint, Kind
from domainvl.planning.plan import Plan, Trial
from domainvl.planning.proposals import Choice

_GB = 1e9
_SMALLEST_SHOWN_BYTES = 5_000_000


def plan_to_json(plan: Plan) -> str:
    """Return a plan as JSON; memory in bytes."""
    samples = plan.samples
    content: dict[str, Any] = {
        "model": plan.subject.name,
        "size": plan.subject.size,
        "recipe": plan.recipe.name,
        "method": plan.recipe.method,
        "quantisation": plan.recipe.quantisation,
        "device": plan.device,
        "sample": {
            "tiles": samples.row.tiles,
            "tokens_median": samples.percentile(0.5),
            "tokens_p95": samples.percentile(0.95),
            "tokens_max": samples.tokens[-1],
            "text_counted": samples.text_counted,
        },
        "samples": samples.count,
        "steps_per_epoch": samples.steps_per_epoch,
        "memory_bytes": plan.memory_bytes,
        "training": _trial(plan.training),
        "tried": [_trial(trial) for trial in plan.trials],
        "solution": None if plan.solution is None else _trial(plan.solution),
        "answering": {name: _footprint(footprint, plan) for name, footprint in plan.answering.items()},
    }
    return json.dumps(content, indent=1)


def _trial(trial: Trial) -> dict[str, Any]:
    return {
        "said": trial.choice.said,
        "options": _options(trial.choice),
        "needed_bytes": trial.needed_bytes,
        "at_least": trial.at_least,
        "fits": trial.fits,
        "bytes": {kind.value: size for kind, size in trial.footprint.bytes_by_kind.items()},
    }


def _footprint(footprint: Footprint, plan: Plan) -> dict[str, Any]:
    return {
        "needed_bytes": footprint.needed_bytes(on_gpu=plan.device == "gpu"),
        "bytes": {kind.value: size for kind, size in footprint.bytes_by_kind.items()},
    }


def format_plan(plan: Plan) -> str:
    """Return a plan as text; GB are 10^9 bytes."""
    return "\n".join([*_subject_lines(plan), *_training_lines(plan), *_verdict_lines(plan), *_answering_lines(plan)])


def _subject_lines(plan: Plan) -> Iterator[str]:
    from domainvl.model.sizes import build_on_meta

    parts = count_parameters(build_on_meta(plan.subject.config))
    recipe, samples = plan.recipe, plan.samples
    yield f"model      {plan.subject.name}: {parts.total:,} parameters"
    yield (
        f"           vision {parts.vision:,}, projector {parts.projector:,}, language model {parts.language_model:,}"
    )
    method = {"lora": "LoRA", "full": "all weights"}[recipe.method]
    if recipe.quantisation != "none":
        method = f"QLoRA ({recipe.quantisation})"
    yield f"training   {method}; steps of {_step(plan)}, {_at_once(plan)} at a time; activations {_kept(plan)}"
    counted = "counted" if samples.text_counted else "assumed"
    visual = samples.row.tiles * plan.subject.preprocessing.tokens_per_tile
    if len(samples.tokens) == 1:
        yield (
            f"sample     {samples.tokens[0]:,} tokens: {samples.row.tiles} tiles are {visual:,}, "
            f"text {samples.row.text_tokens:,} ({counted})"
        )
    else:
        yield (
            f"sample     median {samples.percentile(0.5):,} tokens, p95 {samples.percentile(0.95):,}, "
            f"longest {samples.tokens[-1]:,}; at most {samples.row.tiles} tiles; text {counted}"
        )
    if samples.count is None:
        yield "epoch      unknown: give --data or --samples"
    else:
        yield f"epoch      {samples.count:,} samples, {samples.steps_per_epoch:,} steps"


def _step(plan: Plan) -> str:
    settings = plan.recipe.optimisation
    packs = settings.packs_per_step
    return f"{settings.batch_size} samples" if packs is None else f"{packs} packs"


def _at_once(plan: Plan) -> str:
    shape = plan.samples.shape(plan.recipe.compute.parts_per_pack)
    if shape.rows > 1:
        return f"{shape.rows} rows"
    whole = "a pack" if plan.recipe.compute.parts_per_pack == 1 else "a part of a pack"
    samples, tiles = shape.units * shape.questions, shape.tiles
    most = "up to " if plan.samples.count is not None and plan.samples.text_counted else ""
    return f"{whole} of {most}{_count(samples, 'sample')} and {_count(tiles, 'tile')}"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _kept(plan: Plan) -> str:
    parts = sorted(plan.recipe.compute.checkpointed_parts())
    if not parts:
        return "kept"
    where = "" if len(parts) > 1 else f" in the {parts[0].replace('_', ' ')}"
    return f"computed again in the backward pass{where}"


def _training_lines(plan: Plan) -> Iterator[str]:
    footprint = plan.training.footprint
    yield f"memory     {_gb(plan.training.needed_bytes)} at the peak of a training step"
    for kind in Kind:
        size = footprint.bytes_by_kind.get(kind, 0)
        if size >= _SMALLEST_SHOWN_BYTES:
            yield f"           {_gb(size)}  {kind.value}"
    if plan.device == "gpu":
        yield f"           {_gb(footprint.allowance_bytes)}  CUDA context and fragmentation: an allowance"


def _verdict_lines(plan: Plan) -> Iterator[str]:
    if plan.memory_bytes is None:
        return
    if plan.training.fits:
        spare = plan.memory_bytes - plan.training.needed_bytes
        yield f"verdict    fits in {_gb(plan.memory_bytes).strip()}, with {_gb(spare).strip()} to spare"
        return
    yield f"verdict    does not fit in {_gb(plan.memory_bytes).strip()}; tried, in order of harm:"
    for trial in plan.trials:
        least = "at least" if trial.at_least else "        "
        yield f"           {least} {_gb(trial.needed_bytes)}  {trial.choice.said}{', fits' if trial.fits else ''}"
    if plan.solution is None:
        yield "           nothing that is known here fits"
    else:
        yield f"take       {' '.join(_options(plan.solution.choice))}"


def _answering_lines(plan: Plan) -> Iterator[str]:
    label = "answering"
    for name, footprint in plan.answering.items():
        needed = footprint.needed_bytes(on_gpu=plan.device == "gpu")
        verdict = ""
        if plan.memory_bytes is not None:
            fitting = _fitting_batch(plan, footprint)
            verdict = "; fits" if needed <= plan.memory_bytes else f"; about {fitting} at a time fit"
        yield f"{label:11}{_gb(needed)} with weights in {name}, {plan.answer_batch_size} prompts at a time{verdict}"
        label = ""


def _fitting_batch(plan: Plan, footprint: Footprint) -> int:
    """Return about how many prompts fit: all but the weights grows with their number."""
    weights = footprint.bytes_by_kind[Kind.WEIGHTS]
    fixed = weights + (GPU_CONTEXT_BYTES if plan.device == "gpu" else 0)
    each = (footprint.needed_bytes(on_gpu=plan.device == "gpu") - fixed) / plan.answer_batch_size
    return max(0, int(((plan.memory_bytes or 0) - fixed) / each))


def _options(choice: Choice) -> list[str]:
    options = ["--method", choice.method]
    if choice.size is not None:
        options = ["--model", choice.size, *options]
    for key, value in choice.changes:
        options += ["--set", f"{key}={value}"]
    return options


def _gb(size_bytes: int) -> str:
    return f"{size_bytes / _GB:6.2f} GB"
