"""How long the samples of a data set are, and how many steps see each of them once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.planning.rehearsal import BatchShape, Row
from domainvl.schema import Sample
from domainvl.training.mixture import MixtureSpec, SourceSpec
from domainvl.training.plan import Arrangement, TrainingPlan
from domainvl.training.plan import make_plan as make_training_plan
from domainvl.training.recipe import Recipe
from domainvl.training.sources import DatasetSource, ModelInput


@dataclass(frozen=True)
class Samples:
    """What a run goes through.

    Attributes:
        row: The longest tiles, text and answer of any sample, as one row: no sample needs more.
        tokens: Tokens of each sample, ascending, visual ones included; one number where there is no data set.
        count: Samples; None where it is not known.
        steps_per_epoch: Optimizer steps that see each sample once; None where ``count`` is.
        text_counted: Whether a tokenizer counted the text; else it is assumed.
        shape: The most that is computed at a time.
    """

    row: Row
    tokens: Sequence[int]
    count: int | None
    steps_per_epoch: int | None
    text_counted: bool
    shape: BatchShape

    def percentile(self, share: float) -> int:
        """Return the number of tokens that ``share`` of the samples do not exceed (nearest rank)."""
        return self.tokens[max(0, math.ceil(share * len(self.tokens)) - 1)]


def assume_samples(row: Row, tokens_per_tile: int, count: int | None, recipe: Recipe) -> Samples:
    """Take all samples to be as long as one row.

    Args:
        row: How long.
        tokens_per_tile: Visual tokens of a tile.
        count: How many; None where that is not known.
        recipe: Decides how many are computed at a time, and how many make a step.
    """
    shape = _assumed_shape(row, tokens_per_tile, recipe)
    settings = recipe.optimisation
    step = settings.batch_size if settings.packs_per_step is None else settings.packs_per_step * shape.units
    steps = None if count is None else math.ceil(count / step)
    return Samples(row, [row.tokens(tokens_per_tile)], count, steps, text_counted=False, shape=shape)


def _assumed_shape(row: Row, tokens_per_tile: int, recipe: Recipe) -> BatchShape:
    if recipe.packing.arrangement == "grouped":
        shape = BatchShape.of(row, rows=recipe.optimisation.micro_batch_size)
    else:
        limits = recipe.packing
        room = limits.max_tokens // row.tokens(tokens_per_tile)
        if row.tiles:
            room = min(room, limits.max_tiles // row.tiles)
        if recipe.optimisation.packs_per_step is None:
            room = min(room, recipe.optimisation.batch_size)
        shape = BatchShape.of(row, units=max(1, room))
    return shape.divided(recipe.compute.parts_per_pack)


def count_samples(
    dataset: Path,
    preprocessing: Preprocessing,
    encoder: ConversationEncoder | None,
    assumed: Row,
    recipe: Recipe,
    rope_border: int | None = None,
) -> Samples:
    """Count the training samples of a data set.

    Args:
        dataset: Its folder.
        preprocessing: Decides how many tiles an image has.
        encoder: Counts text; where None, each sample has the text of ``assumed``.
        assumed: Text and answer where there is no encoder.
        recipe: Decides how samples are put together.
        rope_border: See ``LoadedModel.rope_border``.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If there are no training samples.
    """
    source = DatasetSource(dataset, dataset.name, "domain")
    rows = [_measure(sample, preprocessing, encoder, assumed) for sample in source.samples()]
    longest = Row(
        max(row.tiles for row in rows), max(row.text_tokens for row in rows), max(row.answer_tokens for row in rows)
    )
    tokens = sorted(row.tokens(preprocessing.tokens_per_tile) for row in rows)
    if encoder is None:
        found = assume_samples(longest, preprocessing.tokens_per_tile, len(rows), recipe)
        return replace(found, tokens=tokens)
    once = recipe.model_copy(
        update={"optimisation": recipe.optimisation.model_copy(update={"epochs": 1.0, "max_steps": None})}
    )
    arrangement: Arrangement = "grouped" if recipe.packing.arrangement == "grouped" else "packed"
    plan = make_training_plan(
        once,
        MixtureSpec(sources={source.name: SourceSpec(path=dataset)}),
        [source],
        ModelInput(encoder, preprocessing, rope_border),
        arrangement,
    )
    return Samples(
        longest,
        tokens,
        len(rows),
        len(plan.steps),
        text_counted=True,
        shape=largest_shape(plan, preprocessing.tokens_per_tile).divided(recipe.compute.parts_per_pack),
    )


def _measure(sample: Sample, preprocessing: Preprocessing, encoder: ConversationEncoder | None, assumed: Row) -> Row:
    tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
    if encoder is None:
        return Row(sum(tile_counts), assumed.text_tokens, assumed.answer_tokens)
    encoded = encoder.encode(sample.turns, tile_counts)
    text = len(encoded.input_ids) - sum(tile_counts) * preprocessing.tokens_per_tile
    return Row(sum(tile_counts), text, sum(encoded.supervised))


def largest_shape(plan: TrainingPlan, tokens_per_tile: int) -> BatchShape:
    """Return the most tiles, text, answers and samples of anything that a plan computes at a time."""
    packed = plan.arrangement == "packed"
    shapes = []
    for micro in plan.packs:
        units = [plan.units[unit] for unit in micro]
        total = sum if packed else max
        tiles = total(unit.tiles for unit in units)
        text = total(unit.tokens - unit.tiles * tokens_per_tile for unit in units)
        answers = total(unit.supervised for unit in units)
        rows, in_a_row = (1, len(units)) if packed else (len(units), 1)
        shapes.append((rows, in_a_row, tiles, text, answers))
    return BatchShape(*(max(column) for column in zip(*shapes, strict=True)))
