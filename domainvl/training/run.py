"""The run: load, adapt, step, look at held-out samples, save.

The loop is the project's own and short. What a step is made of is decided ahead of the run by the plan, so a run that
is resumed goes on with the very pack at which it stopped.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from domainvl.errors import OutputError, UsageError
from domainvl.files import complete_folder, output_errors, write_atomically
from domainvl.model.checkpoint import find_checkpoint, save_checkpoint
from domainvl.model.device import choose_device
from domainvl.model.trained_on import TrainedOn, read_trained_on, write_trained_on
from domainvl.schema import Split
from domainvl.training.assembly import Assembly, assemble
from domainvl.training.best import BestLook, Look
from domainvl.training.curve import draw_loss_curve
from domainvl.training.held_out import Scorer, answer_rows, score_answers
from domainvl.training.identity import all_trained_on, check_same_recipe
from domainvl.training.loading import SKIPPED_NAME, ErrorBudget, LoadedPack
from domainvl.training.log import LOG_NAME, Log, LogRow
from domainvl.training.mixture import MixtureSpec, mixture_of
from domainvl.training.optimiser import learning_rate, rates_by_part, set_learning_rates
from domainvl.training.plan import measure_fill
from domainvl.training.processes import Processes, join_processes
from domainvl.training.rates import Rates, peak_memory
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import save_recipe
from domainvl.training.state import STATES_FOLDER, newest_state, restore_state, save_state
from domainvl.training.stepping import Seen
from domainvl.training.stopping import StopRequest, announce, not_finite, stopped
from domainvl.training.trackers import check_trackers, make_trackers

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
        request = stack.enter_context(StopRequest(announce if processes.is_first else None))
        goes_on = _agree(processes, lambda: _goes_on(out, resume, reporting.say))

        def say(line: str) -> None:
            if processes.is_first:
                reporting.say(line)

        cache_folder = out / VISION_CACHE if vision_cache is None else vision_cache
        assembly = assemble(recipe, spec, processes, cache_folder, say)
        return _Run(assembly, out, replace(reporting, say=say)).run(goes_on, stop_after_step, started, request)


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
    """One run: steps, looks, saves."""

    def __init__(self, assembly: Assembly, out: Path, reporting: Reporting) -> None:
        self._parts = assembly
        self._recipe, self._processes = assembly.recipe, assembly.processes
        self._out, self._reporting = out, reporting
        self._check_looks(reporting.score)
        self._trained_before = read_trained_on(find_checkpoint(self._recipe.model)) or TrainedOn()
        self._best = BestLook(self._recipe.validation.best_by, self._recipe.validation.patience)
        self._told: set[tuple[str, ...]] = set()
        self._budget = ErrorBudget(self._recipe.mixture.error_budget, measure_fill(assembly.plan).samples)

    def _check_looks(self, score: Scorer | None) -> None:
        """Refuse what the held-out samples cannot decide, before anything is trained.

        Raises:
            UsageError: If a best checkpoint or an early stop is wanted and nothing can tell.
        """
        settings = self._recipe.validation
        if (settings.keep_best or settings.patience is not None) and not self._parts.held_out:
            raise UsageError(
                "Cannot choose the best checkpoint",
                rule="validation.keep_best or validation.patience is set, but no source has held-out samples",
                action="Convert with a share for validation, or leave both out",
            )
        if settings.best_by == "answers" and not self._parts.held_out.can_be_scored(score):
            raise UsageError(
                "Cannot choose the best checkpoint",
                rule="validation.best_by is 'answers', but no held-out answer of the domain can be scored",
                action="Use validation.best_by=loss",
            )

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
            if step == self._parts.step_count or early:
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
            sum(value.numel() for value in self._parts.parallel.parameters.values()),
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

    def _restore(self) -> int:
        check_same_recipe(self._recipe, self._out / RECIPE_NAME)
        restored = restore_state(
            self._out,
            identity=self._parts.identity,
            parameters=self._parts.parallel.parameters,
            optimizer=self._parts.optimizer,
            processes=self._processes,
        )
        self._best.restore(restored.extra["best"])
        self._budget.counts.update(restored.extra["skipped"])
        self._told = {tuple(samples) for samples in restored.extra["told"]}
        return restored.step

    def _train(
        self, first_step: int, stop_after_step: int | None, log: Log, skipped: Log, request: StopRequest
    ) -> tuple[int, str | None]:
        """Do the steps after ``first_step``; return the last one, and why it is the last if there are more."""
        self._reporting.on_start()
        rates = Rates(first_step, self._parts.step_count, time.perf_counter)
        step = first_step
        with closing(self._parts.packs(first_step)) as packs:
            while step < self._parts.step_count:
                step += 1
                seen = self._step(step, _timed(packs, rates), log, skipped, rates, request)
                asked = seen.stopping
                if step % self._recipe.validation.every_steps == 0 or step == self._parts.step_count:
                    with rates.paused(), self._saved_if_it_fails(step, log):
                        self._look(step, log, skipped)
                    if self._best.should_stop and step < self._parts.step_count:
                        return step, self._best.stop_message()
                    asked = self._processes.any(asked or request.requested)
                stopping = asked or step == stop_after_step
                if (stopping or step % self._recipe.saving.every_steps == 0) and step < self._parts.step_count:
                    with rates.paused():
                        self._save_state(step, log)
                if stopping and step < self._parts.step_count:
                    if asked:
                        raise stopped(step, self._parts.step_count, self._out)
                    return step, None
        return step, None

    def _step(
        self, step: int, packs: Iterator[LoadedPack], log: Log, skipped: Log, rates: Rates, request: StopRequest
    ) -> Seen:
        self._parts.loaded.model.train()
        settings = self._recipe.optimisation
        set_learning_rates(self._parts.optimizer, step, self._parts.step_count, settings.warmup_ratio)
        seen = self._parts.stepper.backward(
            step, packs, len(self._parts.share(step - 1)), stopping=lambda: request.requested
        )
        for row in self._budget.spend(seen.skipped):
            skipped.write({"kind": "skipped", "step": step, **row})
        self._budget.check()
        with self._parts.memory_errors("gradients were clipped"):
            norm = self._parts.stepper.clip(seen.weight, settings.max_grad_norm) if seen.weight else 0.0
        self._refuse_not_finite(step, seen, norm)
        if seen.weight:
            with self._parts.memory_errors("the optimizer moved the weights"):
                self._parts.optimizer.step()
        self._parts.optimizer.zero_grad(set_to_none=True)
        names = self._parts.plan.source_names
        log.write(
            {
                "kind": "train",
                "step": step,
                "of": self._parts.step_count,
                "loss": seen.loss,
                "source_losses": seen.source_losses(names),
                "learning_rate": learning_rate(
                    settings.learning_rate, step, self._parts.step_count, settings.warmup_ratio
                ),
                **({"learning_rates": rates_by_part(self._parts.optimizer)} if settings.learning_rates.named() else {}),
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

    def _refuse_not_finite(self, step: int, seen: Seen, norm: float) -> None:
        """End the run before the weights move by what is no number.

        Raises:
            DivergedError: If loss or gradient is not finite.
        """
        if math.isfinite(seen.loss) and math.isfinite(norm):
            return  # so that the disk is not asked for the last state at each step
        good = self._last_good()
        diverged = not_finite(seen.loss, norm, step=step, out=self._out, last_good=good, samples=seen.names)
        if diverged is not None:
            raise diverged

    def _look(self, step: int, log: Log, skipped: Log) -> None:
        if not self._parts.held_out:
            return
        self._parts.loaded.model.eval()
        with self._parts.memory_errors("held-out samples were looked at"):
            with closing(self._parts.held_out.packs(self._processes)) as packs:
                seen = self._parts.stepper.look(packs)
            with self._parts.autocast():
                answered = self._parts.parallel.run(lambda: self._parts.held_out.answers(self._parts.loaded))
        for one in seen.skipped:
            if one.samples not in self._told:
                self._told.add(one.samples)
                row = {"source": one.source, "samples": list(one.samples), "reason": one.reason}
                skipped.write({"kind": "skipped-held-out", "step": step, **row, "message": one.message})
                self._reporting.say(f"a held-out sample cannot be read: {one.message}")
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
                "of": self._parts.step_count,
                "loss": loss,
                "source_losses": seen.source_losses(self._parts.plan.source_names),
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
            if self._processes.world_size == 1 and step < self._parts.step_count:
                with suppress(OutputError):  # where the disk is full, the look has failed of that and says so
                    self._save_state(step, log)
            raise

    def _held_out_loss(self, seen: Seen) -> float:
        """Return the loss of the domain's held-out samples; where there are none, of all."""
        domain = [index for index, source in enumerate(self._parts.sources) if source.role == "domain"]
        return seen.loss_of(domain) if any(seen.weights[index] for index in domain) else seen.loss

    def _save_state(self, step: int, log: Log) -> None:
        log.sync()
        save_state(
            self._out,
            step=step,
            identity=self._parts.identity,
            extra={
                "best": self._best.state(),
                "skipped": dict(self._budget.counts),
                "told": sorted(self._told),
            },
            parameters=self._parts.parallel.parameters,
            optimizer=self._parts.optimizer,
            processes=self._processes,
            keep=self._recipe.saving.keep,
        )

    def _last_good(self) -> str | None:
        state = newest_state(self._out)
        return None if state is None else f"the state {state.name}"

    def _save_checkpoint(self, name: str) -> None:
        """Write a checkpoint under a name, whole or not at all."""
        adapter = self._parts.loaded.spec.kind == "adapter"
        weights = self._parts.parallel.full_weights(self._parts.loaded.model, trained_only=adapter)
        if self._processes.is_first:
            folder = self._out / name
            with complete_folder(folder) as partial:
                save_checkpoint(self._parts.loaded, partial, weights)
                write_trained_on(partial, self._trained_on)
        self._processes.barrier()

    @cached_property
    def _trained_on(self) -> TrainedOn:
        return all_trained_on(self._trained_before, self._parts.sources)

    def _remove_states(self) -> None:
        if self._processes.is_first:
            shutil.rmtree(self._out / STATES_FOLDER, ignore_errors=True)

    def _write_left_out(self) -> None:
        """List what is too long, and what of the sources cannot be used."""
        over_long = [
            {"split": split.value, **asdict(one)}
            for split, found in ((Split.TRAIN, self._parts.plan.over_long), (Split.VAL, self._parts.held_out.over_long))
            for one in found
        ]
        left_out = [{"source": source.name, **one} for source in self._parts.sources for one in source.listed]
        for name, rows in ((OVER_LONG_NAME, over_long), (LEFT_OUT_NAME, left_out)):
            if rows:
                lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                write_atomically(self._out / name, lines.encode())
        for source in self._parts.sources:
            for reason, count in source.left_out.items():
                self._reporting.say(f"{source.name}: left out {count:,}, {reason}; see {LEFT_OUT_NAME}")
        shorter = sum(one["max_tiles"] is not None for one in over_long)
        if over_long:
            self._reporting.say(
                f"too long: {shorter:,} samples get fewer tiles, {len(over_long) - shorter:,} are left out; "
                f"see {OVER_LONG_NAME}"
            )


def _timed(packs: Iterator[LoadedPack], rates: Rates) -> Iterator[LoadedPack]:
    while True:
        with rates.waiting():
            pack = next(packs, None)
        if pack is None:
            return
        yield pack
