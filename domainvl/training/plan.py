"""The plan of a run, made before it: which units there are, how large, in which packs, in which steps.

It is a function of recipe, sources and tokenizer alone, so that the number of steps is known and resuming means going
on at step n.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import numpy.typing as npt

from domainvl.errors import DatasetError, NothingToDoError
from domainvl.training.mixture import MixtureSpec, draw, samples_per_epoch
from domainvl.training.packing import fewest_packs, pack
from domainvl.training.recipe import Packing, Recipe
from domainvl.training.sources import ModelInput, Source
from domainvl.training.units import EncodedUnit

Arrangement = Literal["packed", "grouped"]

Micro = list[int]
"""Units that are computed at a time: of a pack, or rows that are padded to one length."""

SHOWN = 5
"""Examples of a kind of finding in a message."""


@dataclass(frozen=True)
class PlannedUnit:
    """A unit and its size.

    Attributes:
        source: Index of its source.
        indices: Of its samples.
        max_tiles: Most tiles a sample.
        tokens: Tokens in all.
        tiles: Tiles in all.
        supervised: Tokens that the loss counts.
        longest: Tokens of its longest sample.
    """

    source: int
    indices: range
    max_tiles: int
    tokens: int
    tiles: int
    supervised: int
    longest: int


@dataclass(frozen=True)
class OverLong:
    """A sample that is longer than the recipe allows.

    Attributes:
        source: Name of its source.
        sample: Its id.
        tokens: Its tokens, visual ones included.
        tiles: Its tiles.
        max_tiles: The limit of tiles with which it fits; None where it fits with none.
    """

    source: str
    sample: str
    tokens: int
    tiles: int
    max_tiles: int | None


class Measurer:
    """Finds the units of sources, and what is too long.

    Args:
        sources: The sources.
        model: What they are encoded for.
        limits: The recipe's.
    """

    def __init__(self, sources: Sequence[Source], model: ModelInput, limits: Packing) -> None:
        self._sources = sources
        self._model = model
        self._limits = limits
        self.units: list[PlannedUnit] = []
        self.over_long: dict[tuple[int, int], OverLong] = {}
        self._known: dict[tuple[int, range], list[int]] = {}

    def measure(self, source: int, indices: range) -> list[int]:
        """Return the numbers of the units that some samples about the same images make.

        Samples that share nothing, or are too long together, are units of their own; one that is left out makes none.
        """
        key = (source, indices)
        if key not in self._known:
            self._known[key] = self._find(source, indices)
        return self._known[key]

    def _find(self, source: int, indices: range) -> list[int]:
        tiles = self._model.preprocessing.max_tiles
        encoded = self._sources[source].encode(indices, self._model, tiles)
        if len(encoded) == 1 and self._fits(encoded[0]):
            return [self._add(source, indices, encoded[0])]
        if len(indices) > 1:
            return [unit for index in indices for unit in self.measure(source, range(index, index + 1))]
        fitting = self._with_fewer_tiles(source, indices, tiles)
        too_long = encoded[0]
        self.over_long[source, indices.start] = OverLong(
            self._sources[source].name,
            too_long.names[0],
            len(too_long.input_ids),
            sum(too_long.tile_counts),
            None if fitting is None else fitting.max_tiles,
        )
        return [] if fitting is None else [self._add(source, indices, fitting)]

    def _with_fewer_tiles(self, source: int, indices: range, tiles: int) -> EncodedUnit | None:
        while tiles > 1 and self._limits.over_long != "refuse":
            tiles //= 2
            (encoded,) = self._sources[source].encode(indices, self._model, tiles)
            if self._fits(encoded):
                return encoded
        return None

    def _fits(self, unit: EncodedUnit) -> bool:
        limits = self._limits
        longest = min(limits.max_sample_tokens, self._model.longest or limits.max_sample_tokens)
        return (
            unit.longest_sample <= longest
            and len(unit.input_ids) <= limits.max_tokens
            and sum(unit.tile_counts) <= limits.max_tiles
        )

    def _add(self, source: int, indices: range, unit: EncodedUnit) -> int:
        self.units.append(
            PlannedUnit(
                source,
                indices,
                unit.max_tiles,
                len(unit.input_ids),
                sum(unit.tile_counts),
                sum(unit.supervised),
                unit.longest_sample,
            )
        )
        return len(self.units) - 1


@dataclass(frozen=True)
class TrainingPlan:
    """The plan of a run.

    Attributes:
        source_names: The sources.
        units: All units that are seen.
        steps: Of each step what is computed at a time.
        arrangement: Packed or grouped.
        over_long: Samples that are longer than the recipe allows.
        limits: Tokens and tiles of a pack.
    """

    source_names: tuple[str, ...]
    units: list[PlannedUnit]
    steps: list[list[Micro]]
    arrangement: Arrangement
    over_long: list[OverLong]
    limits: tuple[int, int]

    @property
    def packs(self) -> Iterator[Micro]:
        """What is computed at a time, over the whole run."""
        return (micro for step in self.steps for micro in step)

    def digest(self) -> str:
        """Return a hash of which samples each step sees, however they are put together."""
        steps = [
            sorted(
                (self.units[unit].source, self.units[unit].indices.start, len(self.units[unit].indices))
                for unit in (unit for micro in step for unit in micro)
            )
            for step in self.steps
        ]
        return hashlib.sha256(json.dumps(steps).encode()).hexdigest()

    @cached_property
    def sizes(self) -> npt.NDArray[np.int64]:
        """Tokens and tiles of each unit, shape (units, 2)."""
        return sizes_of(self.units)

    def row_tokens(self, micro: Micro) -> int:
        """Tokens of what is computed at a time, padding included."""
        lengths = [self.units[unit].tokens for unit in micro]
        return sum(lengths) if self.arrangement == "packed" else max(lengths) * len(lengths)

    def share(self, step: int, rank: int, processes: int, parts_per_pack: int = 1) -> list[Micro]:
        """Return what one of several processes computes of a step; each gets equally many parts, some may be empty.

        Args:
            step: From 0.
            rank: Of the process.
            processes: How many there are.
            parts_per_pack: Divide each pack into so many parts; into more where there are fewer packs than processes.
        """
        packs = self.steps[step]
        parts = max(parts_per_pack, math.ceil(processes / len(packs)))
        divided = [part for one in packs for part in self._divide(one, parts)]
        count = math.ceil(len(divided) / processes)
        own = divided[rank::processes]
        return own + [[] for _ in range(count - len(own))]

    def _divide(self, micro: Micro, parts: int) -> list[Micro]:
        """Divide units over parts of about equally many tokens, the largest unit first to the emptiest part."""
        divided: list[Micro] = [[] for _ in range(min(parts, len(micro)))]
        tokens = [0] * len(divided)
        for unit in sorted(micro, key=lambda unit: -self.units[unit].tokens):
            part = tokens.index(min(tokens))
            divided[part].append(unit)
            tokens[part] += self.units[unit].tokens
        return [sorted(part, key=micro.index) for part in divided]


def make_plan(
    recipe: Recipe, spec: MixtureSpec, sources: Sequence[Source], model: ModelInput, arrangement: Arrangement
) -> TrainingPlan:
    """Plan a run.

    Args:
        recipe: What is trained how.
        spec: The sources as they were named.
        sources: The sources.
        model: What they are encoded for.
        arrangement: ``packed`` or ``grouped``.

    Raises:
        DatasetError: If a sample is too long and the recipe refuses that.
        NothingToDoError: If nothing is left.
        UsageError: If the mixture contradicts itself.
    """
    measurer = Measurer(sources, model, recipe.packing)
    counts = samples_per_epoch(spec, [len(source) for source in sources], recipe.mixture)
    questions = recipe.optimisation.questions_per_pass
    if recipe.optimisation.packs_per_step is None:
        questions = min(questions, recipe.optimisation.batch_size)
    passes = [source.passes(questions) for source in sources]
    steps: list[list[Micro]] = []
    epoch_steps: list[int] = []
    settings = recipe.optimisation
    epochs = math.inf if settings.epochs is None else settings.epochs
    while len(epoch_steps) < epochs and len(steps) < (settings.max_steps or math.inf):
        random = np.random.default_rng([recipe.seed, len(epoch_steps)])
        units = [
            unit
            for source, count in enumerate(counts)
            for indices in draw(passes[source], count, random)
            for unit in measurer.measure(source, indices)
        ]
        _refuse_over_long(measurer, recipe.packing, model.longest)
        if not units:
            raise NothingToDoError("Cannot train", rule="every sample was left out as too long")
        planned = _arrange(recipe, measurer.units, random.permutation(units), random, model.rope_border, arrangement)
        steps += planned
        epoch_steps.append(len(planned))
    if len(epoch_steps) > epochs:  # the last one in part
        share = epochs - len(epoch_steps) + 1
        del steps[sum(epoch_steps[:-1]) + math.ceil(share * epoch_steps[-1]) :]
    del steps[settings.max_steps or len(steps) :]
    return TrainingPlan(
        tuple(source.name for source in sources),
        measurer.units,
        steps,
        arrangement,
        [measurer.over_long[key] for key in sorted(measurer.over_long)],
        (recipe.packing.max_tokens, recipe.packing.max_tiles),
    )


def plan_all(recipe: Recipe, sources: Sequence[Source], model: ModelInput, arrangement: Arrangement) -> TrainingPlan:
    """Plan one pass over all samples, each for itself and in order; what is too long is left out.

    Args:
        recipe: Says how samples are put together.
        sources: The sources; held-out samples as a rule.
        model: What they are encoded for.
        arrangement: ``packed`` or ``grouped``.
    """
    limits = recipe.packing.model_copy(update={"over_long": "leave-out"})
    measurer = Measurer(sources, model, limits)
    for number, source in enumerate(sources):
        for index in range(len(source)):
            measurer.measure(number, range(index, index + 1))
    order = np.arange(len(measurer.units))
    micros: list[Micro] = []
    if arrangement == "packed":
        micros = _packs(recipe, measurer.units, sizes_of(measurer.units), order, model.rope_border)
    elif measurer.units:
        micros = _micro_batches(recipe, order.tolist(), measurer.units, model.rope_border)
    return TrainingPlan(
        tuple(source.name for source in sources),
        measurer.units,
        [micros] if micros else [],
        arrangement,
        [measurer.over_long[key] for key in sorted(measurer.over_long)],
        (limits.max_tokens, limits.max_tiles),
    )


def _refuse_over_long(measurer: Measurer, limits: Packing, own: int | None) -> None:
    lost = [one for _, one in sorted(measurer.over_long.items()) if one.max_tiles is None]
    if not lost or limits.over_long == "leave-out":
        return
    examples = "; ".join(
        f"{one.sample} of {one.source}: {one.tokens} tokens, {one.tiles} tiles" for one in lost[:SHOWN]
    )
    raise DatasetError(
        "Cannot train",
        rule=f"a sample must have at most {limits.max_sample_tokens} tokens (packing.max_sample_tokens)"
        f"{'' if own is None else f', for this model {own}'}, and with "
        f"those about the same images {limits.max_tokens} tokens and {limits.max_tiles} tiles (a pack); "
        f"{len(lost)} are longer: {examples}",
        action="Raise the limit, allow fewer tiles with --set packing.over_long=fewer-tiles, or leave them out with "
        "--set packing.over_long=leave-out",
    )


def _arrange(
    recipe: Recipe,
    units: Sequence[PlannedUnit],
    order: npt.NDArray[np.int64],
    random: np.random.Generator,
    rope_border: int | None,
    arrangement: Arrangement,
) -> list[list[Micro]]:
    settings = recipe.optimisation
    if settings.packs_per_step is not None:
        packs = _packs(recipe, units, sizes_of(units), order, rope_border)
        shuffled = [packs[index] for index in random.permutation(len(packs))]
        size = settings.packs_per_step
        return [shuffled[start : start + size] for start in range(0, len(shuffled), size)]
    steps = _random_steps(units, order, settings.batch_size)
    if arrangement == "packed":
        sizes = sizes_of(units)
        return [_packs(recipe, units, sizes, step, rope_border) for step in steps]
    return [_micro_batches(recipe, step.tolist(), units, rope_border) for step in steps]


def _random_steps(
    units: Sequence[PlannedUnit], order: npt.NDArray[np.int64], batch_size: int
) -> list[npt.NDArray[np.int64]]:
    """Cut the units in their random order into steps of about so many samples.

    What is in a step has nothing to do with lengths. Steps of similar lengths would leave less room in packs, but
    length goes with the task: each step would then follow the gradient of one task alone, and a small model does not
    learn to look.
    """
    samples = np.array([len(units[unit].indices) for unit in order], np.int64)
    middles = np.cumsum(samples) - samples / 2
    starts = np.flatnonzero(np.diff(middles // batch_size, prepend=-1.0))
    return np.split(order, starts[1:])


def _packs(
    recipe: Recipe,
    units: Sequence[PlannedUnit],
    sizes: npt.NDArray[np.int64],
    order: npt.NDArray[np.int64],
    rope_border: int | None,
) -> list[Micro]:
    sides = [order] if rope_border is None else _sides(units, order, rope_border)
    limits = (recipe.packing.max_tokens, recipe.packing.max_tiles)
    return [one for side in sides for one in pack(sizes, limits, side)]


def sizes_of(units: Sequence[PlannedUnit]) -> npt.NDArray[np.int64]:
    """Return tokens and tiles of each unit, shape (units, 2)."""
    return np.array([(unit.tokens, unit.tiles) for unit in units], np.int64).reshape(-1, 2)


def _sides(units: Sequence[PlannedUnit], order: npt.NDArray[np.int64], rope_border: int) -> list[npt.NDArray[np.int64]]:
    beyond = np.array([units[unit].longest > rope_border for unit in order], bool)
    return [order[~beyond], order[beyond]]


def _micro_batches(
    recipe: Recipe, step: Sequence[int], units: Sequence[PlannedUnit], rope_border: int | None
) -> list[Micro]:
    """Put the units of a step that are about equally long together, as many as the recipe says and the limits allow."""

    def is_beyond(unit: int) -> bool:
        return rope_border is not None and units[unit].longest > rope_border

    def fits(part: Micro, unit: int) -> bool:
        members = [*part, unit]  # in the order of their length, so that the last is the longest
        return (
            sum(len(units[one].indices) for one in members) <= recipe.optimisation.micro_batch_size
            and len(members) * units[unit].tokens <= recipe.packing.max_tokens
            and sum(units[one].tiles for one in members) <= recipe.packing.max_tiles
            and is_beyond(part[0]) == is_beyond(unit)
        )

    parts: list[Micro] = []
    for unit in sorted(step, key=lambda unit: (is_beyond(unit), units[unit].tokens)):
        if parts and fits(parts[-1], unit):
            parts[-1].append(unit)
        else:
            parts.append([unit])
    return parts


@dataclass(frozen=True)
class Fill:
    """How well a plan uses what it computes.

    Attributes:
        tokens: Tokens that are computed, without padding.
        computed_tokens: With padding.
        packs: What is computed at a time, in number.
        fewest_packs: The least possible by tokens and tiles, if steps did not matter.
        fewest_in_steps: The least possible if each step keeps its samples.
        tiles: Tiles.
        samples: Samples.
    """

    tokens: int
    computed_tokens: int
    packs: int
    fewest_packs: float
    fewest_in_steps: int
    tiles: int
    samples: int


def measure_fill(plan: TrainingPlan) -> Fill:
    """Say how well a plan uses what it computes."""
    micros = list(plan.packs)
    used = [unit for micro in micros for unit in micro]
    sizes = plan.sizes[used]
    return Fill(
        tokens=int(sizes[:, 0].sum()),
        computed_tokens=sum(plan.row_tokens(micro) for micro in micros),
        packs=len(micros),
        fewest_packs=fewest_packs(sizes, plan.limits),
        fewest_in_steps=sum(
            math.ceil(fewest_packs(plan.sizes[[unit for micro in step for unit in micro]], plan.limits))
            for step in plan.steps
        ),
        tiles=int(sizes[:, 1].sum()),
        samples=sum(len(plan.units[unit].indices) for unit in used),
    )
