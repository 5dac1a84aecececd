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
from domainvl.training.recipe import Mixture, Recipe
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
        pack: The largest pack, or the largest rows that are padded to one length.
        packs_per_step: How many of them make a step, at most.
        tokens_per_tile: Visual tokens of a tile.
        plan: One pass over the samples, where a tokenizer counted them.
    """

    row: Row
    tokens: Sequence[int]
    count: int | None
    steps_per_epoch: int | None
    text_counted: bool
    pack: BatchShape
    packs_per_step: int
    tokens_per_tile: int
    plan: TrainingPlan | None = None

    def percentile(self, share: float) -> int:
        """Return the number of tokens that ``share`` of the samples do not exceed (nearest rank)."""
        return self.tokens[max(0, math.ceil(share * len(self.tokens)) - 1)]

    def shape(self, parts_per_pack: int) -> BatchShape:
        """Return the most that is computed at a time where each pack is computed in so many parts."""
        if self.plan is None:
            return self.pack.divided(parts_per_pack)
        return largest_shape(self.plan, self.tokens_per_tile, parts_per_pack)


def assume_samples(row: Row, tokens_per_tile: int, count: int | None, recipe: Recipe) -> Samples:
    """Take all samples to be as long as one row.

    Args:
        row: How long.
        tokens_per_tile: Visual tokens of a tile.
        count: How many; None where that is not known.
        recipe: Decides how many are computed at a time, and how many make a step.
    """
    pack = _assumed_pack(row, tokens_per_tile, recipe)
    settings = recipe.optimisation
    at_a_time = pack.rows * pack.units
    packs = settings.packs_per_step or math.ceil(settings.batch_size / at_a_time)
    step = settings.batch_size if settings.packs_per_step is None else packs * at_a_time
    steps = None if count is None else math.ceil(count / step)
    return Samples(row, [row.tokens(tokens_per_tile)], count, steps, False, pack, packs, tokens_per_tile)


def _assumed_pack(row: Row, tokens_per_tile: int, recipe: Recipe) -> BatchShape:
    settings, limits = recipe.optimisation, recipe.packing
    if limits.arrangement == "grouped":
        return BatchShape.of(row, rows=min(settings.micro_batch_size, settings.batch_size))
    room = limits.max_tokens // row.tokens(tokens_per_tile)
    if row.tiles:
        room = min(room, limits.max_tiles // row.tiles)
    if settings.packs_per_step is None:
        room = min(room, settings.batch_size)
    return BatchShape.of(row, units=max(1, room))


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
        recipe: Decides how samples are put together; general data that it mixes in is left aside.
        rope_border: See ``LoadedModel.rope_border``.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If a sample breaks a rule, or is too long and the recipe refuses that.
        NothingToDoError: If there are no training samples.
    """
    source = DatasetSource(dataset, dataset.name, "domain")
    rows = [_measure(sample, preprocessing, encoder, assumed) for sample in source.samples()]
    longest = Row(
        max(row.tiles for row in rows), max(row.text_tokens for row in rows), max(row.answer_tokens for row in rows)
    )
    tokens_per_tile = preprocessing.tokens_per_tile
    tokens = sorted(row.tokens(tokens_per_tile) for row in rows)
    if encoder is None:
        return replace(assume_samples(longest, tokens_per_tile, len(rows), recipe), tokens=tokens)
    plan = _plan_one_epoch(source, dataset, ModelInput(encoder, preprocessing, rope_border), recipe)
    return Samples(
        longest,
        tokens,
        len(rows),
        len(plan.steps),
        True,
        largest_shape(plan, tokens_per_tile),
        max(len(step) for step in plan.steps),
        tokens_per_tile,
        plan,
    )


def _plan_one_epoch(source: DatasetSource, dataset: Path, model: ModelInput, recipe: Recipe) -> TrainingPlan:
    settings = recipe.optimisation.model_copy(update={"epochs": 1.0, "max_steps": None})
    once = recipe.model_copy(update={"optimisation": settings, "mixture": Mixture()})
    arrangement: Arrangement = "grouped" if recipe.packing.arrangement == "grouped" else "packed"
    spec = MixtureSpec(sources={source.name: SourceSpec(path=dataset)})
    return make_training_plan(once, spec, [source], model, arrangement)


def _measure(sample: Sample, preprocessing: Preprocessing, encoder: ConversationEncoder | None, assumed: Row) -> Row:
    tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
    if encoder is None:
        return Row(sum(tile_counts), assumed.text_tokens, assumed.answer_tokens)
    encoded = encoder.encode(sample.turns, tile_counts)
    text = len(encoded.input_ids) - sum(tile_counts) * preprocessing.tokens_per_tile
    return Row(sum(tile_counts), text, sum(encoded.supervised))


def largest_shape(plan: TrainingPlan, tokens_per_tile: int, parts_per_pack: int = 1) -> BatchShape:
    """Return the most tiles, text, answers and samples of anything that one process computes at a time.

    Args:
        plan: Of a run.
        tokens_per_tile: Visual tokens of a tile.
        parts_per_pack: The recipe's.
    """
    packed = plan.arrangement == "packed"
    shapes = []
    for micro in (micro for step in range(len(plan.steps)) for micro in plan.share(step, 0, 1, parts_per_pack)):
        units = [plan.units[unit] for unit in micro]
        total = sum if packed else max
        tiles = total(unit.tiles for unit in units)
        text = total(unit.tokens - unit.tiles * tokens_per_tile for unit in units)
        answers = total(unit.supervised for unit in units)
        rows, in_a_row = (1, len(units)) if packed else (len(units), 1)
        questions = max(len(unit.indices) for unit in units)
        shapes.append((rows, in_a_row, tiles, text, answers, questions))
    return BatchShape(*(max(column) for column in zip(*shapes, strict=True)))
