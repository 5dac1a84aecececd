"""How long the samples of a data set are, and how many steps see each of them once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import NothingToDoError
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.planning.rehearsal import Row
from domainvl.schema import SampleFile, Split
from domainvl.training.batches import BatchPlan, group_into_passes
from domainvl.training.recipe import Optimisation


@dataclass(frozen=True)
class Samples:
    """What a run goes through.

    Attributes:
        row: The longest tiles, text and answer of any sample, as one row: no sample needs more.
        tokens: Tokens of each sample, ascending, visual ones included; one number where there is no data set.
        count: Samples; None where it is not known.
        steps_per_epoch: Optimizer steps that see each sample once; None where ``count`` is.
        text_counted: Whether a tokenizer counted the text; else it is assumed.
    """

    row: Row
    tokens: Sequence[int]
    count: int | None
    steps_per_epoch: int | None
    text_counted: bool

    def percentile(self, share: float) -> int:
        """Return the number of tokens that ``share`` of the samples do not exceed (nearest rank)."""
        return self.tokens[max(0, math.ceil(share * len(self.tokens)) - 1)]


def assume_samples(row: Row, tokens_per_tile: int, count: int | None, settings: Optimisation) -> Samples:
    """Take all samples to be as long as one row.

    Args:
        row: How long.
        tokens_per_tile: Visual tokens of a tile.
        count: How many; None where that is not known.
        settings: Decide how many make a step.
    """
    steps = None if count is None else math.ceil(count / settings.batch_size)
    return Samples(row, [row.tokens(tokens_per_tile)], count, steps, text_counted=False)


def count_samples(
    dataset: Path,
    preprocessing: Preprocessing,
    encoder: ConversationEncoder | None,
    assumed: Row,
    settings: Optimisation,
    seed: int,
) -> Samples:
    """Count the training samples of a data set.

    Args:
        dataset: Its folder.
        preprocessing: Decides how many tiles an image has.
        encoder: Counts text; where None, each sample has the text of ``assumed``.
        assumed: Text and answer where there is no encoder.
        settings: Decide how many make a step.
        seed: Of the recipe.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If there are no training samples.
    """
    samples = SampleFile(dataset, Split.TRAIN)
    if not samples:
        raise NothingToDoError("Cannot plan a run", where=dataset, rule="train.jsonl is empty")
    rows = []
    for index in range(len(samples)):
        sample = samples[index]
        tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
        text, answer = assumed.text_tokens, assumed.answer_tokens
        if encoder is not None:
            encoded = encoder.encode(sample.turns, tile_counts)
            text = len(encoded.input_ids) - sum(tile_counts) * preprocessing.tokens_per_tile
            answer = sum(encoded.supervised)
        rows.append(Row(sum(tile_counts), text, answer))
    longest = Row(
        max(row.tiles for row in rows), max(row.text_tokens for row in rows), max(row.answer_tokens for row in rows)
    )
    plan = BatchPlan(group_into_passes(samples, settings.questions_per_pass), settings.batch_size, seed)
    tokens = sorted(row.tokens(preprocessing.tokens_per_tile) for row in rows)
    return Samples(longest, tokens, len(rows), plan.steps_per_epoch, text_counted=encoder is not None)
