"""Whether a model learns from solved examples in its prompt: its score by the number of examples, and the slope.

As OmniCorpus evaluates it (arXiv 2406.08418; OpenGVLab/OmniCorpus, mllm_internvl/rices.py): examples of the training
split, drawn at random or by the likeness of their images (RICES, the most similar last), as earlier turns of one
conversation. Its convention for zero shots of Flamingo's kind, two examples without their images, is not offered: 0 is
the question alone.

The same samples are asked at every number of shots, and those who have 4 examples have the last 2 of them at 2 shots.
So the curve compares like with like.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from pydantic import BaseModel, ConfigDict

from domainvl.errors import CheckpointError, NothingToDoError, UsageError
from domainvl.evaluation.headline import headline_of
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import Selection
from domainvl.evaluation.results import Cost, Value
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Estimate, Resamples, interval_limits
from domainvl.evaluation.tables import format_markdown, value_cell
from domainvl.model.checkpoint import find_checkpoint, read_config, read_spec, read_tokenizer
from domainvl.model.encoding import ConversationEncoder
from domainvl.schema import Sample
from domainvl.schema.operations.few_shot import FewShotSettings, ImageFeatures, examples_of, with_examples
from domainvl.schema.sample import EXAMPLE_OF

Select: TypeAlias = Literal["random", "rices"]

DEFAULT_SHOTS = (0, 1, 2, 4, 8)

TOO_LONG = "too-long"

_NO_LIMIT = 1 << 30
"""Images of a sample with its examples: how many fit, the model's context says."""

Answer: TypeAlias = Callable[[Sequence[Sample]], tuple[Sequence[Prediction], Cost | None]]
"""Answers samples and says what that took."""


@dataclass(frozen=True)
class ShotSamples:
    """The same held-out samples at each number of shots.

    Attributes:
        samples: As they are, in their order.
        by_shots: The same with their examples, by number of shots, rising.
        left_out: Number of samples that are not among them, by reason.
        select: How examples were chosen.
        seed: Of the choice.
    """

    samples: tuple[Sample, ...]
    by_shots: Mapping[int, tuple[Sample, ...]]
    left_out: Mapping[str, int]
    select: Select
    seed: int


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ShotPoint(_Part):
    """A score at a number of shots.

    Attributes:
        shots: Solved examples before each question.
        score: The score.
        cost: What the answers took; None where that is not known.
    """

    shots: int
    score: Value
    cost: Cost | None = None


class ShotCurve(_Part):
    """How a score changes with the number of shots.

    Attributes:
        name: Of the line.
        metric: What is measured.
        n: Number of samples, the same at every number of shots.
        groups: Number of their groups.
        points: By number of shots, rising.
        slope: Score a shot, by least squares over the numbers of shots, with its interval over groups.
        left_out: Samples without enough examples or with too long a prompt, by reason.
        select: How examples were chosen.
        seed: Of the choice.
    """

    name: str
    metric: str
    n: int
    groups: int
    points: tuple[ShotPoint, ...]
    slope: Value
    left_out: dict[str, int]
    select: Select
    seed: int


def shot_samples(
    dataset: Path,
    held_out: Sequence[Sample],
    shots: Sequence[int] = DEFAULT_SHOTS,
    *,
    select: Select = "random",
    seed: int = 0,
    features: ImageFeatures | None = None,
    fits: Callable[[Sample], bool] = lambda sample: True,
) -> ShotSamples:
    """Put training examples before held-out samples, in memory.

    Examples are of the same task and domain and of other groups and pixels. Those of fewer shots are the last of those
    of more: of equal seed the same that ``domainvl few-shot`` puts there.

    Args:
        dataset: Folder of the data set, whose training split gives the examples.
        held_out: What is asked.
        shots: Numbers of examples.
        select: ``random``, or ``rices`` for those whose images look most alike.
        seed: Another seed draws others.
        features: Looks at images, for ``rices``.
        fits: Says whether a sample with all of its examples is short enough for the model.

    Raises:
        UsageError: If numbers are negative or ``features`` and ``select`` do not fit, or samples show solved examples
            already.
        NothingToDoError: If no sample can have so many examples.
        DatasetError: If a line of the data set is no sample or an image is missing.
    """
    numbers = _checked(shots, held_out)
    if not held_out:
        raise NothingToDoError("Nothing to evaluate", where=dataset, rule="there is no held-out sample")
    most = numbers[-1]
    found: Sequence[list[Sample] | str] = [[] for _ in held_out]
    if most:
        settings = FewShotSettings(
            shots=most, by="similar" if select == "rices" else "random", seed=seed, max_images=_NO_LIMIT
        )
        found = examples_of(dataset, held_out, settings, features=features)
    left_out: Counter[str] = Counter()
    kept: list[Sample] = []
    by_shots: dict[int, list[Sample]] = {number: [] for number in numbers}
    for sample, examples in zip(held_out, found, strict=True):
        if isinstance(examples, str):
            left_out[examples] += 1
        elif not fits(with_examples(sample, examples)):
            left_out[TOO_LONG] += 1
        else:
            kept.append(sample)
            for number in numbers:
                by_shots[number].append(with_examples(sample, examples[len(examples) - number :]))
    if not kept:
        told = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items()))
        raise NothingToDoError(
            "No sample can have so many examples",
            where=dataset,
            rule=f"{most} examples are wanted before each of {len(held_out)} samples: {told}",
            action="Ask for fewer shots",
        )
    return ShotSamples(
        tuple(kept),
        {number: tuple(samples) for number, samples in by_shots.items()},
        dict(sorted(left_out.items())),
        select,
        seed,
    )


def _checked(shots: Sequence[int], held_out: Sequence[Sample]) -> list[int]:
    numbers = sorted(set(shots))
    if not numbers or numbers[0] < 0:
        raise UsageError("Cannot choose examples", rule=f"--shots must be numbers from 0 on, got {list(shots)}")
    shown = [one.id for one in held_out if any(EXAMPLE_OF in image.source.details for image in one.images)]
    if shown:
        raise UsageError(
            "Cannot choose examples",
            rule=f"samples must show no solved examples already, {len(shown)} do ({', '.join(shown[:3])})",
            action="Name the data set that domainvl few-shot was given",
        )
    return numbers


def fits_context(reference: str, max_new_tokens: int, *, max_tiles: int | None = None) -> Callable[[Sample], bool]:
    """Return what says whether a sample and its answer fit the positions that a checkpoint has.

    Args:
        reference: The checkpoint.
        max_new_tokens: Longest answer.
        max_tiles: Most tiles a sample; the checkpoint's own where None.

    Raises:
        CheckpointError: If it cannot be read.
    """
    folder = find_checkpoint(reference)
    spec = read_spec(folder)
    holder = folder if spec.base is None else find_checkpoint(spec.base.name)
    limit = read_config(holder).text_config.max_position_embeddings
    if not isinstance(limit, int):
        raise CheckpointError("Cannot tell how long a prompt may be", where=holder, rule="its config does not say it")
    preprocessing = spec.preprocessing.limited_to(max_tiles or spec.preprocessing.max_tiles)
    encoder = ConversationEncoder(read_tokenizer(folder), spec.chat, preprocessing.tokens_per_tile)

    def fits(sample: Sample) -> bool:
        tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
        return len(encoder.encode(sample.turns[:-1], tile_counts).input_ids) + max_new_tokens <= limit

    return fits


def evaluate_shots(
    protocol: Protocol, selection: Selection, asked: ShotSamples, answer: Answer, settings: BootstrapSettings
) -> ShotCurve:
    """Score a system at each number of shots by the headline of a protocol.

    Args:
        protocol: The protocol.
        selection: What it asks; samples that cannot have all the examples are passed over.
        asked: The samples with their examples.
        answer: Answers them.
        settings: How intervals are made.

    Raises:
        NothingToDoError: If no sample is of the headline.
        DatasetError: If answers are missing.
    """
    kept = _kept(selection, asked.samples)
    answered = {number: answer(samples) for number, samples in asked.by_shots.items()}
    # Against the sample without examples, whose images are counted from 0.
    lines = {number: headline_of(protocol, kept, predictions) for number, (predictions, _) in answered.items()}
    resamples = Resamples([sample.group for sample in kept.samples], settings)
    found = resamples.estimates([line.score for line in lines.values()], [line.members for line in lines.values()])
    estimates = dict(zip(lines, found, strict=True))
    first = next(iter(lines.values()))
    return ShotCurve(
        name=first.name,
        metric=first.metric,
        n=len(first.members),
        groups=resamples.count_groups(first.members),
        points=tuple(
            ShotPoint(
                shots=number,
                score=Value(
                    value=estimate.value, low=estimate.low, high=estimate.high, unreadable=lines[number].unreadable
                ),
                cost=answered[number][1],
            )
            for number, estimate in estimates.items()
        ),
        slope=slope(estimates),
        left_out=dict(asked.left_out),
        select=asked.select,
        seed=asked.seed,
    )


def slope(estimates: Mapping[int, Estimate]) -> Value:
    """Return by how much a score rises a shot: the least-squares line through the scores over the numbers of shots.

    Of shots k and scores s it is ``sum((k - mean(k)) s) / sum((k - mean(k))^2)``. OmniCorpus gives tables and no such
    number; over k and not its logarithm, because 0 shots is a point of the curve and the unit is then plain. The
    interval is of the slopes of the resamples, in which all numbers of shots draw the same groups.

    Args:
        estimates: Of the same resamples, by number of shots.

    Returns:
        The slope; None where there is one number of shots alone, or a score has no value.
    """
    shots = np.array(list(estimates), dtype=np.float64)
    found = list(estimates.values())
    values = [estimate.value for estimate in found]
    if len(shots) < 2 or None in values:
        return Value(value=None)
    centred = shots - shots.mean()
    weights = centred / (centred @ centred)
    draws = np.stack([estimate.draws for estimate in found])
    value = float(weights @ np.array(values, dtype=np.float64))
    bounds = None
    if all(estimate.bounds is not None for estimate in found):
        ends = np.array([estimate.bounds for estimate in found], dtype=np.float64)
        highest = float(np.where(weights > 0, weights * ends[:, 1], weights * ends[:, 0]).sum())
        lowest = float(np.where(weights > 0, weights * ends[:, 0], weights * ends[:, 1]).sum())
        bounds = (lowest, highest)
    groups = min(estimate.groups for estimate in found)
    low, high = interval_limits(value, weights @ draws, groups, bounds, found[0].confidence)
    return Value(value=value, low=low, high=high)


def shot_table(curve: ShotCurve) -> str:
    """Lay out the scores by number of shots, the slope below."""
    rows = [[str(point.shots), value_cell(point.score), str(point.score.unreadable)] for point in curve.points]
    table = format_markdown([["shots", f"{curve.name} ({curve.metric})", "unreadable"], *rows])
    told = f"{curve.n} samples of {curve.groups} groups, the same at each number of shots; examples: {curve.select}"
    left_out = "".join(f"; left out: {count} {reason}" for reason, count in curve.left_out.items())
    return f"{table}\nslope a shot: {_slope_cell(curve.slope)} ({told}{left_out})\n"


def _slope_cell(value: Value) -> str:
    if value.value is None:
        return "-"
    if value.low is None or value.high is None:
        return f"{value.value:+.4f}"
    return f"{value.value:+.4f} [{value.low:+.4f}, {value.high:+.4f}]"


def _kept(selection: Selection, samples: Sequence[Sample]) -> Selection:
    wanted = {sample.id for sample in samples}
    places = [place for place, sample in enumerate(selection.samples) if sample.id in wanted]
    return replace(
        selection,
        samples=tuple(selection.samples[place] for place in places),
        facts=tuple(selection.facts[place] for place in places),
        left_out=(*selection.left_out, *(sample.id for sample in selection.samples if sample.id not in wanted)),
    )
