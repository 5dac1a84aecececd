"""The run: load, adapt, step, look at held-out samples, save.

The loop is the project's own and short. What a step is made of is decided ahead of the run by the plan, so a run that
is resumed goes on with the very pack at which it stopped.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError
from domainvl.files import complete_folder, output_errors, write_atomically
from domainvl.model.checkpoint import find_checkpoint, hash_weights, read_config, save_checkpoint
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.parts import layers_of
from domainvl.schema import Split
from domainvl.training.arrangement import choose_plan
from domainvl.training.best import BestLook, Look
from domainvl.training.curve import draw_loss_curve
from domainvl.training.held_out import HeldOut, Scorer, answer_rows, score_answers
from domainvl.training.loading import SKIPPED_NAME, ErrorBudget, ImageLoader, LoadedPack, PackLoader
from domainvl.training.log import LOG_NAME, Log, LogRow
from domainvl.training.mixture import MixtureSpec, check_held_out, mixture_of, open_sources
from domainvl.training.optimiser import build_optimizer, learning_rate, rates_by_part, set_learning_rates
from domainvl.training.parallel import check_parallel, needs_blank, parallelise
from domainvl.training.plan import TrainingPlan, measure_fill
from domainvl.training.preparation import prepare_model, read_model_input, text_attention
from domainvl.training.processes import Processes, join_processes
from domainvl.training.rates import Rates, peak_memory
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import load_recipe, save_recipe, values_of
from domainvl.training.sources import Source
from domainvl.training.state import STATES_FOLDER, newest_state, restore_state, save_state
from domainvl.training.stepping import Seen, Stepper, memory_errors, seed_randomness
from domainvl.training.stopping import StopRequest, not_finite, stopped
from domainvl.training.trackers import check_trackers, make_trackers

if TYPE_CHECKING:
    pass

CURVE_NAME = "loss.png"
RECIPE_NAME = "recipe.yaml"
OVER_LONG_NAME = "over-long.jsonl"
LEFT_OUT_NAME = "left-out.jsonl"
CHECKPOINT, BEST = "checkpoint", "best"
VISION_CACHE = "vision-cache"
LAST_STEPS = 20
"""Steps whose mean loss a summary gives."""


@dataclass(frozen=True)
class FinetuneSummary:
    """What a run did.

    Attributes:
        out: The run's folder.
        steps: Steps done in all.
        final_loss: Mean training loss of the last steps.
        trainable_parameters: How many weights were trained.
        seconds: Time of this call.
        skipped: Samples that could not be read, by reason.
        best: The best look at held-out samples; None if there was none.
        is_first: Whether this is the process that tells of the run.
        ended_early: Why the run ended before its last step; None if it did not.
    """

    out: Path
    steps: int
    final_loss: float
    trainable_parameters: int
    seconds: float
    skipped: Mapping[str, int]
    best: Look | None
    is_first: bool
    ended_early: str | None


@dataclass(frozen=True)
class Reporting:
    """Whom a run tells what; all of it optional.

    Attributes:
        on_row: Called with each row of the log.
        say: Called with a line of text.
        on_start: Called when all is loaded and the first step begins.
        score: Scores answers to held-out questions.
    """

    on_row: Callable[[LogRow], None] | None = None
    say: Callable[[str], None] = lambda line: None
    on_start: Callable[[], None] = lambda: None
    score: Scorer | None = None


def finetune(
    recipe: Recipe,
    data: MixtureSpec | Path,
    out: Path,
    *,
    resume: bool = False,
    stop_after_step: int | None = None,
    vision_cache: Path | None = None,
    reporting: Reporting | None = None,
) -> FinetuneSummary:
    """Adapt a model to data.

    Started by a launcher such as torchrun, this is one process of several.

    Args:
        recipe: What to do.
        data: What to train on: a mixture, or the folder of one data set.
        out: Folder of the run to make; with ``resume``, the one to go on with.
        resume: Go on where the run stopped; at the start if it stopped before anything was saved.
        stop_after_step: Save the state and stop after this step, as if interrupted.
        vision_cache: Where features of a frozen vision encoder are kept, if the recipe wants that; in ``out`` where
            None.
        reporting: Whom to tell what.

    Returns:
        What was done.

    Raises:
        UsageError: If ``out`` is there already, or cannot be resumed, or recipe and data contradict each other.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If a source has no training samples.
        StoppedError: If the run was asked to stop, diverged, ran out of disk or met too many unreadable samples.
    """
    started = time.perf_counter()
    reporting = reporting or Reporting()
    if vision_cache is not None and not recipe.compute.cache_vision:
        raise UsageError(
            "Cannot keep features of the vision encoder",
            rule="a folder for them is given, but compute.cache_vision is false",
            action="Add --set compute.cache_vision=true",
        )
    check_trackers(recipe.tracking)
    spec = data if isinstance(data, MixtureSpec) else mixture_of([data])
    with ExitStack() as stack:
        processes = stack.enter_context(join_processes(choose_device(recipe.compute.device)))
        request = stack.enter_context(StopRequest(_announce if processes.is_first else None))
        goes_on = _agree(processes, lambda: _goes_on(out, resume, reporting.say))
        run = _Run(recipe, spec, out, processes, reporting, vision_cache)
        return run.run(goes_on, stop_after_step, started, request)


def _goes_on(out: Path, resume: bool, say: Callable[[str], None]) -> bool:
    """Return whether a run goes on from a saved state.

    Raises:
        UsageError: If the folder is taken, or the run is finished.
    """
    if (out / CHECKPOINT).is_dir():
        raise UsageError(
            "Cannot start a run", where=out, rule="the run in it is finished", action="Name another folder"
        )
    if not out.exists():
        return False
    if not resume:
        raise UsageError(
            "Cannot start a run", where=out, rule="the folder exists", action="Name another, or add --resume"
        )
    if newest_state(out) is None:
        say("no state was saved yet: the run begins at the start")
        return False
    return True


def _agree(processes: Processes, decide: Callable[[], bool]) -> bool:
    """Let the first process decide for all: a disk that only it sees must not set the others on another way.

    Raises:
        UsageError: If it refuses, on all of them.
    """
    decided: bool | UsageError | None = None
    if processes.is_first:
        try:
            decided = decide()
        except UsageError as error:
            decided = error
    decided = processes.gather_objects(decided)[0]
    if isinstance(decided, UsageError):
        raise decided
    return bool(decided)


class _Run:
    """Everything of one run that is loaded once."""

    def __init__(
        self,
        recipe: Recipe,
        spec: MixtureSpec,
        out: Path,
        processes: Processes,
        reporting: Reporting,
        vision_cache: Path | None,
    ) -> None:
        self._recipe, self._spec, self._out = recipe, spec, out
        self._processes, self._reporting = processes, reporting
        self._arithmetic = choose_precision(recipe.compute.precision, processes.device)
        # What takes long, the model, comes after what can be wrong: the data.
        folder = find_checkpoint(recipe.model)
        self._model_input = read_model_input(recipe)
        self._sources = open_sources(spec, self._model_input, recipe.packing.longest_window())
        check_held_out(spec)
        attention = text_attention(recipe, processes.device)
        chosen = choose_plan(recipe, spec, self._sources, self._model_input, read_config(folder), attention)
        self._plan, self.step_count = chosen.plan, len(chosen.plan.steps)
        self._say(chosen.said)
        weights_sha256 = hash_weights(folder)
        seed_randomness(recipe.seed)
        with self._memory_errors("the model was loaded"):
            self.loaded = prepare_model(recipe, processes.device, {}, weights_sha256)
        self._identity = _identity(recipe, self._sources, self._plan, weights_sha256)
        self._check_same_everywhere()
        record = _training_record(recipe, self._sources, self._identity)
        self.loaded.spec = self.loaded.spec.model_copy(update={"training": record})
        self._prepare_module(out / VISION_CACHE if vision_cache is None else vision_cache)
        self._optimizer = build_optimizer(self.loaded.model, recipe.optimisation)
        self._held_out = HeldOut(spec, recipe, self._model_input, self._plan.arrangement, self._cache)
        self._identity["held-out data"] = self._held_out.digest
        self._check_looks(reporting.score)
        self._best = BestLook(recipe.validation.best_by, recipe.validation.patience)
        self._told: set[tuple[str, ...]] = set()
        self._budget = ErrorBudget(recipe.mixture.error_budget, measure_fill(self._plan).samples)

    def _check_same_everywhere(self) -> None:
        """Refuse processes that would not do the same.

        Raises:
            UsageError: If recipe, data or model differ between them, naming which.
        """
        own = {**self._identity, "whole recipe": self._recipe.model_dump_json()}
        everywhere = self._processes.gather_objects(own)
        different = sorted(key for key in own if len({one[key] for one in everywhere}) > 1)
        if different:
            raise UsageError(
                "Cannot train together",
                rule=f"the processes do not agree in: {', '.join(different)}",
                action="Give all of them the same options, data and model",
            )

    def _check_looks(self, score: Scorer | None) -> None:
        """Refuse what the held-out samples cannot decide, before anything is trained.

        Raises:
            UsageError: If a best checkpoint or an early stop is wanted and nothing can tell.
        """
        settings = self._recipe.validation
        if (settings.keep_best or settings.patience is not None) and not self._held_out:
            raise UsageError(
                "Cannot choose the best checkpoint",
                rule="validation.keep_best or validation.patience is set, but no source has held-out samples",
                action="Convert with a share for validation, or leave both out",
            )
        if settings.best_by == "answers" and not self._held_out.can_be_scored(score):
            raise UsageError(
                "Cannot choose the best checkpoint",
                rule="validation.best_by is 'answers', but no held-out answer of the domain can be scored",
                action="Use validation.best_by=loss",
            )

    def _prepare_module(self, cache_folder: Path) -> None:
        from domainvl.model.vision_cache import VisionCache
        from domainvl.training.loss import AnswerLoss

        recipe, processes = self._recipe, self._processes
        kind = check_parallel(recipe, processes)
        arithmetic = None if self._arithmetic == self.loaded.internvl.dtype else self._arithmetic
        cache = VisionCache(cache_folder, self.loaded, arithmetic) if recipe.compute.cache_vision else None
        self._cache = cache
        self._loader = PackLoader(
            self._plan,
            self._sources,
            [self._image_loader(source, cache) for source in self._sources],
            self._model_input,
            recipe.optimisation.loss_weighting,
        )
        module = AnswerLoss(
            self.loaded,
            len(self._sources),
            cache=cache,
            run_vision_always=needs_blank(self.loaded.model, processes, kind),
        )
        layers = [*layers_of(self.loaded.internvl, "vision"), *layers_of(self.loaded.internvl, "language_model")]
        self._parallel = parallelise(module, layers, processes, kind)
        self._stepper = Stepper(self._parallel, processes, len(self._sources), self._autocast, recipe.seed)

    def _image_loader(self, source: Source, cache: Any) -> ImageLoader:
        cache_bytes = (self._recipe.compute.tile_cache_mb << 20) // len(self._sources)
        return ImageLoader(source.folder, self.loaded.spec.preprocessing, cache=cache, cache_bytes=cache_bytes)

    @property
    def trainable_parameters(self) -> int:
        """How many weights are trained."""
        return sum(value.numel() for value in self._parallel.parameters.values())

    def run(self, resume: bool, stop_after_step: int | None, started: float, request: StopRequest) -> FinetuneSummary:
        """Do the whole run, from the start or from where it was saved."""
        first_step = self._restore() if resume else 0
        out, writes = self._out, self._processes.is_first
        if writes:
            with output_errors(out):
                out.mkdir(parents=True, exist_ok=True)
                save_recipe(self._recipe, out / RECIPE_NAME)
            self._write_left_out()
        with ExitStack() as stack:
            log = stack.enter_context(self._open_log(first_step))
            skipped = stack.enter_context(Log(out / SKIPPED_NAME if writes else None, first_step))
            step, early = self._train(first_step, stop_after_step, log, skipped, request)
            if writes:
                draw_loss_curve(log.rows, out / CURVE_NAME)
            if step == self.step_count or early:
                self._save_checkpoint(CHECKPOINT)  # with which the run is finished, so last of all
                self._remove_states()
            nothing_skipped = not skipped.rows
            final_losses = [row["loss"] for row in log.rows if row["kind"] == "train"][-LAST_STEPS:]
        if writes and nothing_skipped:
            (out / SKIPPED_NAME).unlink(missing_ok=True)
        return FinetuneSummary(
            out,
            step,
            sum(final_losses) / max(1, len(final_losses)),
            self.trainable_parameters,
            time.perf_counter() - started,
            dict(self._budget.counts),
            self._best.best,
            writes,
            early,
        )

    def _open_log(self, first_step: int) -> Log:
        if not self._processes.is_first:
            return Log(None, first_step)
        trackers = make_trackers(self._recipe.tracking, self._out, recipe=self._recipe, first_step=first_step)
        return Log(self._out / LOG_NAME, first_step, self._reporting.on_row, trackers)

    def _say(self, line: str) -> None:
        if self._processes.is_first:
            self._reporting.say(line)

    def _restore(self) -> int:
        self._refuse_other_recipe()
        restored = restore_state(
            self._out,
            identity=self._identity,
            parameters=self._parallel.parameters,
            optimizer=self._optimizer,
            processes=self._processes,
        )
        self._best.restore(restored.extra["best"])
        self._budget.counts.update(restored.extra["skipped"])
        self._told = {tuple(samples) for samples in restored.extra["told"]}
        return restored.step

    def _refuse_other_recipe(self) -> None:
        """Say which values of the recipe were others when the state was saved; the rest its identity says.

        Raises:
            UsageError: If any of them changes what is learned.
        """
        path = self._out / RECIPE_NAME
        if not path.is_file():
            return
        before = values_of(load_recipe(str(path)))
        changed = [
            f"{key} was {before.get(key)!r} and is {value!r}"
            for key, value in values_of(self._recipe).items()
            if key.split(".")[0] not in _NOT_LEARNED and key not in _NOT_LEARNED and before.get(key) != value
        ]
        if changed:
            raise UsageError(
                "Cannot resume",
                where=self._out,
                rule=f"the recipe has changed since the run was saved: {', '.join(changed)}",
                action="Use the same values, or start a new run",
            )

    def _train(
        self, first_step: int, stop_after_step: int | None, log: Log, skipped: Log, request: StopRequest
    ) -> tuple[int, str | None]:
        """Do the steps after ``first_step``; return the last one, and why it is the last if there are more."""
        self._reporting.on_start()
        rates = Rates(first_step, self.step_count, time.perf_counter)
        step = first_step
        with closing(self._loader.read_all(self._own_packs(first_step), self._recipe.compute.readers)) as packs:
            while step < self.step_count:
                step += 1
                seen = self._step(step, _timed(packs, rates), log, skipped, rates, request)
                asked = seen.stopping
                if step % self._recipe.validation.every_steps == 0 or step == self.step_count:
                    with rates.paused(), self._saved_if_it_fails(step, log):
                        self._look(step, log, skipped)
                    if self._best.should_stop and step < self.step_count:
                        return step, self._best.stop_message()
                    asked = self._processes.any(asked or request.requested)
                stopping = asked or step == stop_after_step
                if (stopping or step % self._recipe.saving.every_steps == 0) and step < self.step_count:
                    with rates.paused():
                        self._save_state(step, log)
                if stopping and step < self.step_count:
                    if asked:
                        raise stopped(step, self.step_count, self._out)
                    return step, None
        return step, None

    def _own_packs(self, first_step: int) -> Iterator[list[int]]:
        for step in range(first_step, self.step_count):
            yield from self._share(step)

    def _share(self, step: int) -> list[list[int]]:
        processes = self._processes
        return self._plan.share(step, processes.rank, processes.world_size, self._recipe.compute.parts_per_pack)

    def _step(
        self, step: int, packs: Iterator[LoadedPack], log: Log, skipped: Log, rates: Rates, request: StopRequest
    ) -> Seen:
        self.loaded.model.train()
        settings = self._recipe.optimisation
        set_learning_rates(self._optimizer, step, self.step_count, settings.warmup_ratio)
        seen = self._stepper.backward(step, packs, len(self._share(step - 1)), stopping=lambda: request.requested)
        for row in self._budget.spend(seen.skipped):
            skipped.write({"kind": "skipped", "step": step, **row})
        self._budget.check()
        with self._memory_errors("gradients were clipped"):
            norm = self._stepper.clip(seen.weight, settings.max_grad_norm) if seen.weight else 0.0
        good = self._last_good()
        diverged = not_finite(seen.loss, norm, step=step, out=self._out, last_good=good, samples=seen.names)
        if diverged is not None:
            raise diverged
        if seen.weight:
            with self._memory_errors("the optimizer moved the weights"):
                self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        names = self._plan.source_names
        log.write(
            {
                "kind": "train",
                "step": step,
                "of": self.step_count,
                "loss": seen.loss,
                "source_losses": seen.source_losses(names),
                "learning_rate": learning_rate(settings.learning_rate, step, self.step_count, settings.warmup_ratio),
                **({"learning_rates": rates_by_part(self._optimizer)} if settings.learning_rates.named() else {}),
                "gradient_norm": norm,
                "samples": sum(seen.samples),
                "tokens": sum(seen.tokens),
                "tiles": seen.tiles,
                "source_samples": dict(zip(names, seen.samples, strict=True)),
                "source_tokens": dict(zip(names, seen.tokens, strict=True)),
                "skipped": dict(self._budget.counts),
                **rates.finish_step(samples=sum(seen.samples), tokens=sum(seen.tokens), tiles=seen.tiles),
                **peak_memory(self._processes.device),
            }
        )
        return seen

    def _look(self, step: int, log: Log, skipped: Log) -> None:
        if not self._held_out:
            return
        self.loaded.model.eval()
        with self._memory_errors("held-out samples were looked at"):
            with closing(self._held_out.packs(self._processes)) as packs:
                seen = self._stepper.look(packs)
            with self._autocast():
                answered = self._parallel.run(lambda: self._held_out.answers(self.loaded))
        for one in seen.skipped:
            if one.samples not in self._told:
                self._told.add(one.samples)
                row = {"source": one.source, "samples": list(one.samples), "reason": one.reason}
                skipped.write({"kind": "skipped-held-out", "step": step, **row, "message": one.message})
                self._say(f"a held-out sample cannot be read: {one.message}")
        if not seen.weight:
            return
        # One process decides, for the others may round otherwise, and all must save or stop together.
        score = self._processes.gather_objects(score_answers(self._reporting.score, answered))[0]
        loss = self._processes.gather_objects(self._held_out_loss(seen))[0]
        is_best = self._best.add(Look(step, loss, score))
        log.write(
            {
                "kind": "validation",
                "step": step,
                "of": self.step_count,
                "loss": loss,
                "source_losses": seen.source_losses(self._plan.source_names),
                "samples": sum(seen.samples),
                "answered": len(answered),
                "answers_score": score,
                "best": is_best,
            }
        )
        for row in answer_rows(answered):
            log.write({"kind": "answer", "step": step, **row})
        if is_best and self._recipe.validation.keep_best:
            self._save_checkpoint(BEST)

    @contextmanager
    def _saved_if_it_fails(self, step: int, log: Log) -> Iterator[None]:
        """Save the state where a look fails, so that the steps before it are not lost; that look is then passed over.

        Several processes cannot: one that fails alone must not wait for the others.
        """
        try:
            yield
        except Exception:
            if self._processes.world_size == 1 and step < self.step_count:
                self._save_state(step, log)
            raise

    def _held_out_loss(self, seen: Seen) -> float:
        """Return the loss of the domain's held-out samples; where there are none, of all."""
        domain = [index for index, source in enumerate(self._sources) if source.role == "domain"]
        return seen.loss_of(domain) if any(seen.weights[index] for index in domain) else seen.loss

    def _save_state(self, step: int, log: Log) -> None:
        log.sync()
        save_state(
            self._out,
            step=step,
            identity=self._identity,
            extra={
                "best": self._best.state(),
                "skipped": dict(self._budget.counts),
                "told": sorted(self._told),
            },
            parameters=self._parallel.parameters,
            optimizer=self._optimizer,
            processes=self._processes,
            keep=self._recipe.saving.keep,
        )

    def _memory_errors(self, said: str) -> AbstractContextManager[None]:
        return memory_errors(f"it was when {said}", several_processes=self._processes.world_size > 1)

    def _last_good(self) -> str | None:
        state = newest_state(self._out)
        return None if state is None else f"the state {state.name}"

    def _save_checkpoint(self, name: str) -> None:
        """Write a checkpoint under a name, whole or not at all."""
        adapter = self.loaded.spec.kind == "adapter"
        weights = self._parallel.full_weights(self.loaded.model, trained_only=adapter)
        if self._processes.is_first:
            folder = self._out / name
            with complete_folder(folder) as partial:
                save_checkpoint(self.loaded, partial, weights)
        self._processes.barrier()

    def _remove_states(self) -> None:
        if self._processes.is_first:
            shutil.rmtree(self._out / STATES_FOLDER, ignore_errors=True)

    def _write_left_out(self) -> None:
        """List what is too long, and what of the sources cannot be used."""
        over_long = [
            {"split": split.value, **asdict(one)}
            for split, found in ((Split.TRAIN, self._plan.over_long), (Split.VAL, self._held_out.over_long))
            for one in found
        ]
        left_out = [{"source": source.name, **one} for source in self._sources for one in source.listed]
        for name, rows in ((OVER_LONG_NAME, over_long), (LEFT_OUT_NAME, left_out)):
            if rows:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                write_atomically(self._out / name, lines.encode())
        for source in self._sources:
            for reason, count in source.left_out.items():
                self._say(f"{source.name}: left out {count:,}, {reason}; see {LEFT_OUT_NAME}")
        shorter = sum(one["max_tiles"] is not None for one in over_long)
        if over_long:
            self._say(
                f"too long: {shorter:,} samples get fewer tiles, {len(over_long) - shorter:,} are left out; "
                f"see {OVER_LONG_NAME}"
            )

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self._arithmetic == torch.float32:
            return nullcontext()
        return torch.autocast(self._processes.device.type, dtype=self._arithmetic)


def _announce(text: str) -> None:
    """Tell the user within a signal handler, where anything that can be interrupted itself must not be called."""
    os.write(2, f"{text}\n".encode())


def _timed(packs: Iterator[LoadedPack], rates: Rates) -> Iterator[LoadedPack]:
    while True:
        with rates.waiting():
            pack = next(packs, None)
        if pack is None:
            return
        yield pack


_NOT_LEARNED = frozenset(
    {
        "compute",
        "validation",
        "saving",
        "tracking",
        "name",
        "description",
        "model",
        "optimisation.micro_batch_size",
        "mixture.error_budget",
    }
)
"""What of a recipe may differ when a run goes on: it does not change what is learned beyond rounding. The model's
weights are compared, not its name."""


def _identity(recipe: Recipe, sources: Sequence[Source], plan: TrainingPlan, weights_sha256: str) -> dict[str, str]:
    learned = {
        key: value
        for key, value in values_of(recipe).items()
        if key not in _NOT_LEARNED and key.split(".")[0] not in _NOT_LEARNED
    }
    return {
        "recipe": hashlib.sha256(json.dumps(learned, sort_keys=True).encode()).hexdigest(),
        "data": hashlib.sha256(" ".join(source.digest for source in sources).encode()).hexdigest(),
        "plan": plan.digest(),
        "model": weights_sha256,
    }


def _training_record(recipe: Recipe, sources: Sequence[Source], identity: Mapping[str, str]) -> dict[str, Any]:
    """Say what the model was trained on: bands, windows and stretch of the data sets are in their settings."""
    return {
        "recipe": recipe.name,
        "method": recipe.method,
        **({} if recipe.quantisation == "none" else {"quantisation": recipe.quantisation}),
        "sources": {source.name: source.record for source in sources},
        **{f"{key}_sha256": value for key, value in identity.items()},
    }
