"""The plan of a run: what it needs, whether that fits, and what would."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from domainvl.errors import RecipeError, UsageError
from domainvl.model.checkpoint import rope_border_of
from domainvl.planning.footprint import GIB, Footprint
from domainvl.planning.proposals import Choice, Step, free_changes, harmful_steps
from domainvl.planning.samples import Samples, assume_samples, count_samples
from domainvl.planning.subject import Subject, find_subject
from domainvl.tiling import MAX_TILES_LIMIT
from domainvl.training.recipe import Method, Recipe
from domainvl.training.recipe_files import load_recipe

if TYPE_CHECKING:
    from domainvl.planning.rehearsal import DeviceKind, Row, TrainingRehearsal

PlanMethod = Literal["lora", "full", "qlora"]

_UNITS = {"GB": 10**9, "GIB": GIB, "MB": 10**6, "MIB": 1 << 20}
_QUANTISATION = "nf4-double"
"""Of ``qlora``: NF4 with double quantisation, as the paper has it (arXiv 2305.14314)."""


@dataclass(frozen=True)
class PlanSettings:
    """What is asked.

    Attributes:
        model: Name of a size, or a checkpoint.
        method: lora, full or qlora.
        recipe: Name of a recipe or a .yaml file; what the shipped recipes of the method share where None.
        overrides: Changes of the recipe.
        max_tiles: Most tiles a sample, thumbnail not counted; the recipe's where None.
        text_tokens: Tokens of a sample that are not visual, where no data set says.
        answer_tokens: How many of them are the answer; half where None.
        micro_batch_size: Samples at a time; the recipe's where None.
        dataset: A data set to count.
        sample_count: How many training samples there are, where there is no data set.
        memory_bytes: What there is; None asks no verdict.
        answer_batch_size: Prompts at a time when answers are generated.
        new_tokens: Longest answer that is generated.
    """

    model: str
    method: PlanMethod | None = None
    recipe: str | None = None
    overrides: tuple[str, ...] = ()
    max_tiles: int | None = None
    text_tokens: int = 256
    answer_tokens: int | None = None
    micro_batch_size: int | None = None
    dataset: Path | None = None
    sample_count: int | None = None
    memory_bytes: int | None = None
    answer_batch_size: int = 32
    new_tokens: int = 64


@dataclass(frozen=True)
class Trial:
    """One way to train and what it needs.

    Attributes:
        choice: The way.
        footprint: Its peak; where ``at_least``, weights, gradients and optimizer state alone.
        needed_bytes: With what a GPU needs besides.
        at_least: Whether no step was rehearsed, because what stays does not fit already.
        fits: Whether it fits; None where nothing was said of the memory there is.
    """

    choice: Choice
    footprint: Footprint
    needed_bytes: int
    at_least: bool
    fits: bool | None


@dataclass(frozen=True)
class Plan:
    """What a run will take.

    Attributes:
        subject: The model.
        recipe: How it is trained.
        device: Whose kernels were rehearsed.
        samples: What it goes through.
        memory_bytes: What there is, if it was said.
        training: The run as it was asked for.
        trials: What was tried where that does not fit, in order of harm; the last one fits, if any does.
        answer_batch_size: Prompts at a time when answers are generated.
        answering: Peak of generating answers, by the type of the weights.
    """

    subject: Subject
    recipe: Recipe
    device: DeviceKind
    samples: Samples
    memory_bytes: int | None
    training: Trial
    trials: tuple[Trial, ...]
    answer_batch_size: int
    answering: dict[str, Footprint]

    @property
    def solution(self) -> Trial | None:
        """The first way that fits; None where none does or nothing was asked."""
        return next((trial for trial in (self.training, *self.trials) if trial.fits), None)


def parse_memory(text: str) -> int:
    """Return bytes for ``24GB``, ``24GiB``, ``80000MB`` or ``81920MiB``; GB are 10^9 bytes, GiB 2^30.

    Raises:
        UsageError: If it cannot be read.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,6})?)\s*([A-Za-z]+)", text.strip())
    value = float(match[1]) * _UNITS.get(match[2].upper(), 0) if match else 0
    if value <= 0:
        raise UsageError(
            f"Cannot read the memory {text!r}", rule="it must be a number and GB, GiB, MB or MiB, such as 24GB"
        )
    return round(value)


def make_plan(settings: PlanSettings, on_trial: Callable[[str], None] = lambda said: None) -> Plan:
    """Predict what a run takes and, if that is too much, look for what takes less.

    Args:
        settings: What is asked.
        on_trial: Called with what is rehearsed next, in words.

    Raises:
        CheckpointError: If there is no such model.
        RecipeError: If there is no such recipe, or a change breaks its rules.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If the data set has no training samples.
        UsageError: If the settings contradict each other or make no sense.
    """
    _check(settings)
    subject = find_subject(settings.model)
    planner = _Planner(settings, subject, on_trial)
    return planner.plan()


def _check(settings: PlanSettings) -> None:
    if settings.dataset is not None and settings.sample_count is not None:
        raise UsageError("Cannot plan a run", rule="--data counts the samples, so --samples must not be given too")
    if settings.max_tiles is not None and not 1 <= settings.max_tiles <= MAX_TILES_LIMIT:
        raise UsageError("Cannot plan a run", rule=f"tiles must be 1 to {MAX_TILES_LIMIT}, got {settings.max_tiles}")
    answer = settings.answer_tokens
    if answer is not None and not 1 <= answer < settings.text_tokens:
        raise UsageError(
            "Cannot plan a run",
            rule=f"the answer must have 1 token or more and fewer than the text's {settings.text_tokens}, got {answer}",
        )


def _until_one_fits(trials: Iterator[Trial]) -> Iterator[Trial]:
    for trial in trials:
        yield trial
        if trial.fits:
            return


class _Planner:
    def __init__(self, settings: PlanSettings, subject: Subject, on_trial: Callable[[str], None]) -> None:
        self._settings = settings
        self._subject = subject
        self._on_trial = on_trial
        changes = []
        if settings.max_tiles is not None:
            changes.append(("preprocessing.max_tiles", str(settings.max_tiles)))
        if settings.micro_batch_size is not None:
            changes.append(("packing.arrangement", "grouped"))
            changes.append(("optimisation.micro_batch_size", str(settings.micro_batch_size)))
        if settings.method == "qlora":
            changes.append(("quantisation", _QUANTISATION))
        method: Method | None = "lora" if settings.method == "qlora" else settings.method
        recipe = self._load(method, [f"{key}={value}" for key, value in changes])
        self._recipe = recipe
        self._device: DeviceKind = "cpu" if recipe.compute.device == "cpu" else "gpu"
        if self._device == "cpu" and settings.memory_bytes is not None:
            raise UsageError("Cannot plan for a GPU", rule="compute.device is 'cpu', but --gpu is given")
        self._counted: dict[str, Samples] = {}
        self._given = Choice(subject.size, recipe.method, tuple(changes))
        self._encoder = subject.encoder() if settings.dataset is not None else None

    def plan(self) -> Plan:
        samples = self._samples(self._recipe)
        trials = self._trials()
        training = next(trials)
        others = tuple(_until_one_fits(trials)) if training.fits is False else ()
        return Plan(
            self._subject,
            self._recipe,
            self._device,
            samples,
            self._settings.memory_bytes,
            training,
            others,
            self._settings.answer_batch_size,
            self._answering(samples.row),
        )

    def _load(self, method: Method | None, changes: Sequence[str]) -> Recipe:
        reference = self._settings.recipe or f"_shared/{method or 'lora'}"
        return load_recipe(
            reference, method=method, overrides=[*self._settings.overrides, *changes], model=self._settings.model
        )

    def _recipe_of(self, choice: Choice) -> Recipe:
        return self._load(choice.method, [f"{key}={value}" for key, value in choice.changes])

    def _trials(self) -> Iterator[Trial]:
        """Yield what was asked for, then what needs less, until something fits."""
        rehearsal = self._rehearsal(self._given, self._recipe)
        choice, floor_fits = self._given, self._floor(self._given, rehearsal).fits
        yield self._try(choice, choice, rehearsal)
        if floor_fits is not False:
            yield from self._without_harm(choice, self._recipe, rehearsal, skip_first=True)
        put_off: list[Step] = []
        for step in itertools.chain(harmful_steps(self._given, self._recipe), put_off):
            if floor_fits is False and not step.spares_what_stays:
                if step not in put_off:  # it may help once a smaller model has made room
                    put_off.append(step)
                continue
            changed = step.apply(choice)
            try:
                recipe = self._recipe_of(changed)
            except RecipeError:
                continue  # the recipe has a setting that goes with what is changed, such as a rate of a frozen part
            choice = changed
            self._on_trial(choice.said)
            rehearsal = self._rehearsal(choice, recipe)
            floor = self._floor(choice, rehearsal)
            floor_fits = floor.fits
            if floor_fits is False:
                yield floor
            else:
                yield from self._without_harm(choice, recipe, rehearsal)

    def _without_harm(
        self, start: Choice, recipe: Recipe, rehearsal: TrainingRehearsal, *, skip_first: bool = False
    ) -> Iterator[Trial]:
        choices = free_changes(start, recipe, on_gpu=self._device == "gpu")
        for choice in itertools.islice(choices, int(skip_first), None):
            self._on_trial(choice.said)
            yield self._try(choice, start, rehearsal)

    def _floor(self, choice: Choice, rehearsal: TrainingRehearsal) -> Trial:
        return self._judge(choice, rehearsal.floor, at_least=True)

    def _rehearsal(self, choice: Choice, recipe: Recipe) -> TrainingRehearsal:
        from domainvl.model.sizes import size_config
        from domainvl.planning.rehearsal import TrainingRehearsal

        own = choice.size == self._subject.size
        config = self._subject.config if own or choice.size is None else size_config(choice.size)
        return TrainingRehearsal(config, recipe, self._device)

    def _try(self, choice: Choice, started_from: Choice, rehearsal: TrainingRehearsal) -> Trial:
        recipe = self._recipe_of(choice)
        only_the_batch = {key for key, _ in set(choice.changes) ^ set(started_from.changes)} <= {
            "optimisation.micro_batch_size",
            "compute.parts_per_pack",
        }
        if not only_the_batch:
            rehearsal = self._rehearsal(choice, recipe)
        samples = self._samples(recipe)
        shape = samples.shape(recipe.compute.parts_per_pack)
        whole_step = samples.packs_per_step == 1 and shape == samples.pack
        return self._judge(choice, rehearsal.peak(shape, whole_step=whole_step), at_least=False)

    def _judge(self, choice: Choice, footprint: Footprint, *, at_least: bool) -> Trial:
        needed = footprint.needed_bytes(on_gpu=self._device == "gpu")
        limit = self._settings.memory_bytes
        return Trial(choice, footprint, needed, at_least, None if limit is None else needed <= limit)

    def _samples(self, recipe: Recipe) -> Samples:
        from domainvl.planning.rehearsal import Row

        settings = self._settings
        preprocessing = recipe.preprocessing.applied_to(self._subject.preprocessing)
        limit = recipe.preprocessing.max_tiles
        tiles = limit + (limit > 1 and recipe.preprocessing.use_thumbnail)
        answer = settings.answer_tokens if settings.answer_tokens is not None else settings.text_tokens // 2
        row = Row(tiles, settings.text_tokens, answer)
        if settings.dataset is None:
            return assume_samples(row, preprocessing.tokens_per_tile, settings.sample_count, recipe)
        # An optimizer or rates that change make no other packs.
        steps = recipe.optimisation.model_dump(
            include={"batch_size", "packs_per_step", "micro_batch_size", "questions_per_pass"}
        )
        key = f"{recipe.preprocessing} {recipe.packing} {steps}"
        if key not in self._counted:
            self._counted[key] = count_samples(
                settings.dataset, preprocessing, self._encoder, row, recipe, rope_border_of(self._subject.config)
            )
        return self._counted[key]

    def _answering(self, row: Row) -> dict[str, Footprint]:
        import torch

        from domainvl.planning.rehearsal import rehearse_answering

        self._on_trial("answers")
        prompt = replace(row, answer_tokens=0)
        return {
            name: rehearse_answering(
                self._subject.config,
                dtype,
                self._device,
                row=prompt,
                batch_size=self._settings.answer_batch_size,
                new_tokens=self._settings.new_tokens,
            )
            for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16))
        }
