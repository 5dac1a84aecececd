"""What a run would do, without training: sources, packs, steps, what is too long, memory, and roughly the time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import rope_border_of
from domainvl.model.device import choose_device, choose_precision
from domainvl.planning.rehearsal import TrainingRehearsal
from domainvl.planning.samples import largest_shape
from domainvl.planning.subject import Subject, find_subject
from domainvl.training.arrangement import choose_plan, flops
from domainvl.training.mixture import MixtureSpec, open_sources
from domainvl.training.plan import SHOWN, TrainingPlan, measure_fill
from domainvl.training.recipe import Recipe
from domainvl.training.sources import ModelInput, Source

if TYPE_CHECKING:
    import torch

_GB = 1e9
_BACKWARD = 2.0
"""A backward pass is two products of matrices for each one of the forward pass."""

_USED_SHARE = 0.5
"""Share of the speed of one large product of matrices that a step is taken to reach; ours, and rough."""

_MATRIX_SIDE = 1024


def describe_run(recipe: Recipe, spec: MixtureSpec) -> Iterator[str]:
    """Yield lines that say what a run would do.

    Args:
        recipe: What would be done.
        spec: What would be trained on.

    Raises:
        CheckpointError: If there is no such model.
        DatasetError: If a sample breaks a rule, or is too long and the recipe refuses that.
        NothingToDoError: If a source has no training samples.
        UsageError: If recipe and data contradict each other.
    """
    subject = find_subject(recipe.model)
    sources = open_sources(spec)
    device = choose_device(recipe.compute.device)
    arithmetic = choose_precision(recipe.compute.precision, device)
    wanted = None if recipe.compute.attention == "auto" else recipe.compute.attention
    attention = choose_attention(device, arithmetic, dense_mask=True, requested=wanted)
    subject.config.text_config._attn_implementation = attention["text_config"]
    encoder = subject.encoder()
    if encoder is None:
        raise ValueError("a checkpoint that can be trained has a tokenizer")
    preprocessing = recipe.preprocessing.applied_to(subject.preprocessing)
    model = ModelInput(encoder, preprocessing, rope_border_of(subject.config))
    chosen = choose_plan(recipe, spec, sources, model, subject.config)
    yield f"recipe     {recipe.name}: {recipe.method}, model {recipe.model}"
    yield from _source_lines(chosen.plan, sources)
    yield f"plan       {chosen.said}"
    yield from _step_lines(recipe, chosen.plan)
    yield from _over_long_lines(chosen.plan)
    yield from _memory_lines(recipe, subject, chosen.plan, device)
    yield from _time_lines(subject, chosen.plan, attention["text_config"], device, arithmetic)


def _source_lines(plan: TrainingPlan, sources: Sequence[Source]) -> Iterator[str]:
    samples, tokens = Counter[int](), Counter[int]()
    for micro in plan.packs:
        for number in micro:
            unit = plan.units[number]
            samples[unit.source] += len(unit.indices)
            tokens[unit.source] += unit.tokens
    for index, source in enumerate(sources):
        share = tokens[index] / max(1, sum(tokens.values()))
        yield (
            f"source     {source.name} ({source.role}): {len(source):,} samples, seen {samples[index]:,} times in all, "
            f"{tokens[index]:,} tokens, {share:.0%}"
        )


def _step_lines(recipe: Recipe, plan: TrainingPlan) -> Iterator[str]:
    fill = measure_fill(plan)
    steps = len(plan.steps)
    yield (
        f"steps      {steps:,}, each of about {fill.samples / steps:.1f} samples, {fill.tokens / steps:,.0f} tokens "
        f"and {fill.tiles / steps:.1f} tiles; saved every {recipe.saving.every_steps}, looked at every "
        f"{recipe.validation.every_steps}"
    )
    yield f"fill       {fill.tokens / fill.computed_tokens:.1%} of the tokens that are computed are no padding"


def _over_long_lines(plan: TrainingPlan) -> Iterator[str]:
    lost = [one for one in plan.over_long if one.max_tiles is None]
    cut = [one for one in plan.over_long if one.max_tiles is not None]
    if cut:
        yield f"too long   {len(cut):,} samples, which get fewer tiles"
    if lost:
        yield f"too long   {len(lost):,} samples, which are left out"
    for one in plan.over_long[:SHOWN]:
        fits = "left out" if one.max_tiles is None else f"fits with at most {one.max_tiles} tiles"
        yield f"           {one.source} {one.sample}: {one.tokens:,} tokens, {one.tiles} tiles; {fits}"


def _memory_lines(recipe: Recipe, subject: Subject, plan: TrainingPlan, device: torch.device) -> Iterator[str]:
    kind = "gpu" if device.type == "cuda" else "cpu"
    shape = largest_shape(plan, subject.preprocessing.tokens_per_tile).divided(recipe.compute.parts_per_pack)
    footprint = TrainingRehearsal(subject.config, recipe, "gpu" if kind == "gpu" else "cpu").peak(shape)
    needed = footprint.needed_bytes(on_gpu=kind == "gpu")
    yield f"memory     {needed / _GB:.2f} GB at the peak of a step, predicted for the largest pack"
    available = _memory_of(device)
    if available is not None:
        verdict = "fits" if needed <= available else "does not fit: see domainvl plan for what would"
        yield f"           {available / _GB:.2f} GB are there: {verdict}"


def _memory_of(device: torch.device) -> int | None:
    import psutil
    import torch

    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[1])
    return int(psutil.virtual_memory().available) if device.type == "cpu" else None


def _time_lines(
    subject: Subject, plan: TrainingPlan, implementation: str, device: torch.device, arithmetic: torch.dtype
) -> Iterator[str]:
    forward = flops(plan, subject.config, implementation) + _vision_flops(plan, subject.config)
    speed = _matrix_flops_per_second(device, arithmetic)
    hours = (1 + _BACKWARD) * forward / (_USED_SHARE * speed) / 3600
    yield (
        f"time       roughly {_duration(hours)} on this machine, at {_USED_SHARE:.0%} of the {speed / 1e12:.2f} "
        "TFLOP/s that it was just seen to reach; without looks, and without what checkpointing computes again"
    )


def _vision_flops(plan: TrainingPlan, config: Any) -> float:
    """Return the forward pass of the vision encoder: two operations a weight and patch, four a pair and width."""
    vision = config.vision_config
    patches = (vision.image_size[0] // vision.patch_size[0]) ** 2 + 1
    layer_weights = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    tiles = sum(plan.units[unit].tiles for micro in plan.packs for unit in micro)
    layer = 2.0 * layer_weights * patches + 4.0 * vision.hidden_size * patches**2
    return float(tiles * vision.num_hidden_layers * layer)


def _matrix_flops_per_second(device: torch.device, arithmetic: torch.dtype) -> float:
    import torch

    matrix = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE, device=device, dtype=arithmetic)

    def seconds() -> float:
        started = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])  # waits for the device
        return time.perf_counter() - started

    return 2.0 * _MATRIX_SIDE**3 / min(seconds() for _ in range(5))


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:.1f} hours"
    return f"{hours * 60:.0f} minutes" if hours * 60 >= 1 else "less than a minute"
