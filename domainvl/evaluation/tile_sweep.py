"""The same model and samples at several limits of tiles: what more pixels bring, and what they cost.

InternVL 1.5's experiment (arXiv 2404.16821, figure 6): documents and small things gain from more tiles, other tasks
lose a little. Each limit is compared with the recipe's own on the same samples.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from pydantic import BaseModel, ConfigDict

from domainvl.errors import UsageError
from domainvl.evaluation.headline import headline_of
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import Selection
from domainvl.evaluation.results import Cost, Value
from domainvl.evaluation.statistics.paired import Counted, compare_pairs, holm
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.tables import format_markdown, value_cell
from domainvl.schema import Sample

Answer: TypeAlias = Callable[[Sequence[Sample], int], tuple[Sequence[Prediction], Cost | None]]
"""Answers samples with at most so many tiles each, and says what that took; None where all was answered before."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TilePoint(_Part):
    """A limit of tiles.

    Attributes:
        max_tiles: Most tiles a sample.
        score: The score.
        cost: What the answers took; None where a run that was stopped had given them all.
        difference: This score minus that at the recipe's own limit, on the same samples; None for the own limit.
        p_holm: Of the difference, by the paired bootstrap, corrected for the number of limits.
    """

    max_tiles: int
    score: Value
    cost: Cost | None
    difference: Value | None = None
    p_holm: float | None = None


class TileSweep(_Part):
    """A score at several limits of tiles.

    Attributes:
        name: Of the line.
        metric: What is measured.
        own: The recipe's own limit.
        n: Number of samples.
        groups: Number of their groups.
        points: By limit, rising.
    """

    name: str
    metric: str
    own: int
    n: int
    groups: int
    points: tuple[TilePoint, ...]


def sweep_tiles(
    protocol: Protocol,
    selection: Selection,
    limits: Sequence[int],
    own: int,
    answer: Answer,
    settings: BootstrapSettings,
) -> TileSweep:
    """Score a model at several limits of tiles by the headline of a protocol.

    Args:
        protocol: The protocol.
        selection: What it asks.
        limits: Limits of tiles a sample; the own one is added.
        own: The limit that the model was trained with, of its preprocessing.
        answer: Answers the samples at a limit.
        settings: How intervals are made.

    Raises:
        UsageError: If a limit is below 1.
        NothingToDoError: If no sample is of the headline.
        DatasetError: If answers are missing.
    """
    check_limits(limits)
    wanted = sorted({*limits, own})
    answered = {limit: answer(selection.samples, limit) for limit in wanted}
    lines = {limit: headline_of(protocol, selection, predictions) for limit, (predictions, _) in answered.items()}
    resamples = Resamples([sample.group for sample in selection.samples], settings)
    found = resamples.estimates([line.score for line in lines.values()], [line.members for line in lines.values()])
    estimates = dict(zip(wanted, found, strict=True))
    counted = {limit: Counted(lines[limit].score, lines[limit].members, estimates[limit]) for limit in wanted}
    others = [limit for limit in wanted if limit != own]
    pairs = compare_pairs([(counted[limit], counted[own]) for limit in others], resamples)
    differences = {limit: pair.difference for limit, pair in zip(others, pairs, strict=True)}
    corrected = dict(zip(differences, holm([one.p for one in differences.values()]), strict=True))
    return TileSweep(
        name=lines[own].name,
        metric=lines[own].metric,
        own=own,
        n=len(lines[own].members),
        groups=resamples.count_groups(lines[own].members),
        points=tuple(
            TilePoint(
                max_tiles=limit,
                score=Value(
                    value=estimate.value, low=estimate.low, high=estimate.high, unreadable=lines[limit].unreadable
                ),
                cost=answered[limit][1],
                difference=None
                if limit == own
                else Value(value=differences[limit].value, low=differences[limit].low, high=differences[limit].high),
                p_holm=corrected.get(limit),
            )
            for limit, estimate in estimates.items()
        ),
    )


def check_limits(limits: Sequence[int]) -> None:
    """Refuse limits that are none.

    Raises:
        UsageError: If there is none, or one is below 1.
    """
    if not limits or min(limits) < 1:
        raise UsageError("Cannot sweep tiles", rule=f"--sweep-tiles must be numbers from 1 on, got {list(limits)}")


def sweep_table(sweep: TileSweep) -> str:
    """Lay out score and cost by limit; ``own`` marks the recipe's."""
    head = [
        "tiles",
        f"{sweep.name} ({sweep.metric})",
        "minus own",
        "p (Holm)",
        "visual tokens",
        "seconds",
        "ms an image",
    ]
    return format_markdown([head, *(_cells(point, sweep.own) for point in sweep.points)])


def _cells(point: TilePoint, own: int) -> list[str]:
    cost = point.cost
    return [
        f"{point.max_tiles}{' (own)' if point.max_tiles == own else ''}",
        value_cell(point.score),
        value_cell(point.difference),
        "-" if point.p_holm is None else f"{point.p_holm:.2g}",
        "-" if cost is None or cost.visual_tokens is None else f"{cost.visual_tokens:,}",
        "-" if cost is None else f"{cost.seconds:.1f}",
        "-" if cost is None or cost.ms_per_image is None else f"{cost.ms_per_image:.0f}",
    ]
