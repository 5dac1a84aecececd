"""Choosing between packing and grouping by what each would cost on the machine, and saying which and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvl.model.packed_attention import DENSE, PackLayout, UnitPlace, attention_pairs
from domainvl.training.mixture import MixtureSpec
from domainvl.training.plan import Arrangement, TrainingPlan, make_plan, measure_fill
from domainvl.training.recipe import Recipe
from domainvl.training.sources import ModelInput, Source

if TYPE_CHECKING:
    from transformers import InternVLConfig


@dataclass(frozen=True)
class ChosenPlan:
    """The plan of a run, and why it is packed or grouped.

    Attributes:
        plan: The plan.
        said: The choice in words.
    """

    plan: TrainingPlan
    said: str


def choose_plan(
    recipe: Recipe,
    spec: MixtureSpec,
    sources: Sequence[Source],
    model: ModelInput,
    config: InternVLConfig,
    implementation: str,
) -> ChosenPlan:
    """Plan a run, packed or grouped as the recipe says, or as costs less.

    Attention that computes each sample for itself costs the same either way, so that packing only saves padding.
    With a dense mask a long pack costs tokens x tokens, and grouping may be cheaper.

    Args:
        recipe: What is trained how.
        spec: The sources as they were named.
        sources: The sources.
        model: What they are encoded for.
        config: Of the model; says what a token costs.
        implementation: Of the language model's attention.

    Raises:
        DatasetError: If a sample is too long and the recipe refuses that.
        NothingToDoError: If nothing is left.
        UsageError: If the mixture contradicts itself.
    """
    wanted = recipe.packing.arrangement

    def plan(arrangement: Arrangement) -> TrainingPlan:
        return make_plan(recipe, spec, sources, model, arrangement)

    if wanted != "auto":
        made = plan(wanted)
        return ChosenPlan(made, f"{wanted}, as the recipe says: {_fill_said(made)}")
    packed = plan("packed")
    if implementation not in DENSE or recipe.optimisation.packs_per_step is not None:
        return ChosenPlan(packed, f"packed: {_fill_said(packed)}")
    grouped = plan("grouped")
    costs = {one.arrangement: flops(one, config, implementation) for one in (packed, grouped)}
    chosen, other = (packed, grouped) if costs["packed"] <= costs["grouped"] else (grouped, packed)
    return ChosenPlan(
        chosen,
        f"{chosen.arrangement}: {_fill_said(chosen)}; with {implementation} attention {other.arrangement} would take "
        f"{costs[other.arrangement] / costs[chosen.arrangement]:.2f} times the arithmetic",
    )


def flops(plan: TrainingPlan, config: InternVLConfig, implementation: str) -> float:
    """Return what the language model computes in a forward pass over the whole run, in floating-point operations.

    Two for each weight of the layers and token, four for each query-key pair and element of the width of attention
    (scores, and the weighted values).
    """
    text = config.text_config
    heads: int = text.num_attention_heads
    head: int = getattr(text, "head_dim", None) or text.hidden_size // heads
    keys = getattr(text, "num_key_value_heads", None) or heads
    attention_weights = text.hidden_size * head * (2 * heads + 2 * keys)
    layer_weights = attention_weights + 3 * text.hidden_size * text.intermediate_size
    tokens = pairs = 0
    for micro in plan.packs:
        tokens += plan.row_tokens(micro)
        pairs += attention_pairs(layout_of(plan, micro), implementation)
    layers: int = text.num_hidden_layers
    operations: float = layers * (2.0 * layer_weights * tokens + 4.0 * heads * head * pairs)
    return operations


def layout_of(plan: TrainingPlan, micro: Sequence[int]) -> PackLayout:
    """Return where the units of a pack stand, each taken for one sample."""
    lengths = [plan.units[unit].tokens for unit in micro]
    if plan.arrangement == "grouped":
        return PackLayout(
            tuple(UnitPlace(row, 0, 0, (length,)) for row, length in enumerate(lengths)), len(lengths), max(lengths)
        )
    starts = [sum(lengths[:index]) for index in range(len(lengths))]
    places = tuple(UnitPlace(0, start, 0, (length,)) for start, length in zip(starts, lengths, strict=True))
    return PackLayout(places, 1, sum(lengths))


def _fill_said(plan: TrainingPlan) -> str:
    fill = measure_fill(plan)
    padding = 1 - fill.tokens / fill.computed_tokens
    if plan.arrangement == "grouped":
        return f"{fill.packs:,} batches, {padding:.1%} padding"
    return (
        f"{fill.packs:,} packs in {len(plan.steps):,} steps, {fill.packs / fill.fewest_in_steps:.2f} times the fewest "
        f"that {plan.limits[0]:,} tokens and {plan.limits[1]} tiles a pack allow"
    )
