"""What a run would do, without training: sources, packs, steps, what is too long, memory, and roughly the time."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from domainvl.model.checkpoint import find_checkpoint, read_config
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.liger import require_liger
from domainvl.planning.duration import USED_SHARE, format_duration, matrix_flops_per_second, training_flops
from domainvl.planning.rehearsal import TrainingRehearsal
from domainvl.planning.samples import largest_shape
from domainvl.training.arrangement import choose_plan
from domainvl.training.mixture import MixtureSpec, check_held_out, open_sources
from domainvl.training.plan import SHOWN, TrainingPlan, measure_fill
from domainvl.training.preparation import read_model_input, text_attention
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_check import check_against_dataset
from domainvl.training.sources import Source
from domainvl.training.trackers import check_trackers

if TYPE_CHECKING:
    import torch
    from transformers import InternVLConfig

_GB = 1e9


def describe_run(recipe: Recipe, spec: MixtureSpec) -> Iterator[str]:
    """Yield lines that say what a run would do.

    Args:
        recipe: What would be done.
        spec: What would be trained on.

    Raises:
        CheckpointError: If there is no such model, or it cannot be read.
        InputNotFoundError: If a source is missing.
        DatasetError: If a sample breaks a rule, or is too long and the recipe refuses that.
        NothingToDoError: If a source has no training samples.
        UsageError: If recipe and data contradict each other, or the machine lacks what the recipe asks for.
    """
    device = choose_device(recipe.compute.device)
    check_trackers(recipe.tracking)
    if recipe.compute.liger:
        require_liger(device)
    config = read_config(find_checkpoint(recipe.model))
    model = read_model_input(recipe)
    sources = open_sources(spec, model, recipe.packing.longest_window())
    attention = text_attention(recipe, device)
    check_held_out(spec)
    chosen = choose_plan(recipe, spec, sources, model, config, attention)
    yield f"recipe     {recipe.name}: {recipe.method}, model {recipe.model}"
    yield from _source_lines(chosen.plan, sources)
    yield from _finding_lines(recipe, spec)
    yield f"plan       {chosen.said}"
    yield from _step_lines(recipe, chosen.plan)
    yield from _over_long_lines(chosen.plan)
    yield from _memory_lines(recipe, config, chosen.plan, device)
    speed = matrix_flops_per_second(device, choose_precision(recipe.compute.precision, device))
    yield _time_line(training_flops(recipe, chosen.plan, config, attention), speed)


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
            f"source     {source.name} ({source.role}): {len(source):,} samples, {samples[index]:,} seen in all, "
            f"{tokens[index]:,} tokens, {share:.0%}"
        )
        for reason, count in source.left_out.items():
            yield f"           left out {count:,}, {reason}"


def _finding_lines(recipe: Recipe, spec: MixtureSpec) -> Iterator[str]:
    """Say what is found of recipe and data sets; that general data is wanted, the plan of packs knows better."""
    for name, source in spec.sources.items():
        if source.kind != "dataset":
            continue
        for finding in check_against_dataset(recipe, source.path):
            if not finding.key.startswith("mixture."):
                yield f"{finding.severity:10} {name}, {finding.key}: {finding.said}. {finding.action}"


def _step_lines(recipe: Recipe, plan: TrainingPlan) -> Iterator[str]:
    fill = measure_fill(plan)
    steps = len(plan.steps)
    yield (
        f"steps      {steps:,}, each of about {fill.samples / steps:.1f} samples, {fill.tokens / steps:,.0f} tokens "
        f"and {fill.tiles / steps:.1f} tiles; saved every {recipe.saving.every_steps}, looked at every "
        f"{recipe.validation.every_steps}"
    )
    looks = math.ceil(steps / recipe.validation.every_steps)
    if recipe.validation.patience is not None and looks <= recipe.validation.patience:
        yield (
            f"note       {looks} looks in all: validation.patience={recipe.validation.patience} will never end the run "
            "early; lower validation.every_steps"
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


def _memory_lines(recipe: Recipe, config: InternVLConfig, plan: TrainingPlan, device: torch.device) -> Iterator[str]:
    on_gpu = device.type == "cuda"
    parts = recipe.compute.parts_per_pack
    shape = largest_shape(plan, config.image_seq_length, parts)
    whole_step = all(len(plan.share(step, 0, 1, parts)) == 1 for step in range(len(plan.steps)))
    rehearsal = TrainingRehearsal(config, recipe, "gpu" if on_gpu else "cpu")
    needed = rehearsal.peak(shape, whole_step=whole_step).needed_bytes(on_gpu=on_gpu)
    yield f"memory     {needed / _GB:.2f} GB at the peak of a step on one process, predicted for the largest pack"
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


def _time_line(total_flops: float, flops_per_second: float) -> str:
    return (
        f"time       {format_duration(total_flops / (USED_SHARE * flops_per_second))} on one process of this "
        f"machine, if a step reaches {USED_SHARE:.0%} of the {flops_per_second / 1e12:.2f} TFLOP/s that one product "
        "of matrices was just seen to reach; without looks at held-out samples, saving and reading"
    )
