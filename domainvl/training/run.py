"""The run: load, adapt, step, look at held-out samples, save.

The loop is the project's own and short. What a step is made of is decided ahead of the run by the batch
plan, so a run that is resumed goes on with the very batch at which it stopped.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.model.checkpoint import find_checkpoint, hash_weights, save_checkpoint
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.generation import generate_answers
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Sample, SampleFile, Split, read_manifest
from domainvl.training.batches import BatchPlan, EncodedPass, collate, encode_pass, group_into_passes, micro_batches
from domainvl.training.curve import draw_loss_curve
from domainvl.training.loss import answer_loss
from domainvl.training.optimiser import build_optimizer, learning_rate, rates_by_part, set_learning_rates
from domainvl.training.preparation import prepare_model
from domainvl.training.recipe import Recipe
from domainvl.training.recipe_files import save_recipe
from domainvl.training.state import STATE_NAME, restore_state, save_state

LOG_NAME = "log.jsonl"
CURVE_NAME = "loss.png"
RECIPE_NAME = "recipe.yaml"

LogRow = dict[str, Any]


@dataclass(frozen=True)
class FinetuneSummary:
    """What a run did.

    Attributes:
        out: The run's folder.
        steps: Steps done in all.
        final_loss: Mean training loss of the last steps.
        trainable_parameters: How many weights were trained.
        seconds: Time of this call.
    """

    out: Path
    steps: int
    final_loss: float
    trainable_parameters: int
    seconds: float


def finetune(
    recipe: Recipe,
    dataset: Path,
    out: Path,
    *,
    resume: bool = False,
    stop_after_step: int | None = None,
    on_row: Callable[[LogRow], None] | None = None,
) -> FinetuneSummary:
    """Adapt a model to a data set.

    Args:
        recipe: What to do.
        dataset: The data set's folder.
        out: Folder of the run to make; with ``resume``, the one to go on with.
        resume: Go on where the run stopped.
        stop_after_step: Save the state and stop after this step, as if interrupted.
        on_row: Called with each row of the log.

    Returns:
        What was done.

    Raises:
        UsageError: If ``out`` is there already, or cannot be resumed.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If there are no training samples.
    """
    started = time.perf_counter()
    if out.exists() and not resume:
        raise UsageError(
            "Cannot start a run", where=out, rule="the folder exists", action="Name another, or add --resume"
        )
    run = _Run(recipe, dataset, out)
    out.mkdir(parents=True, exist_ok=True)
    save_recipe(recipe, out / RECIPE_NAME)
    first_step = run.restore() if resume else 0
    with _Log(out / LOG_NAME, first_step, on_row) as log:
        last_step = run.train(first_step, stop_after_step, log)
        finished = last_step == run.step_count
        if finished:
            save_checkpoint(run.loaded, out / "checkpoint")
            (out / STATE_NAME).unlink(missing_ok=True)
        draw_loss_curve(log.rows, out / CURVE_NAME)
        final_losses = [row["loss"] for row in log.rows if row["kind"] == "train"][-20:]
    return FinetuneSummary(
        out,
        last_step,
        sum(final_losses) / max(1, len(final_losses)),
        run.trainable_parameters,
        time.perf_counter() - started,
    )


class _Run:
    """Everything of one run that is loaded once."""

    def __init__(self, recipe: Recipe, dataset: Path, out: Path) -> None:
        import torch

        self._recipe = recipe
        self._out = out
        self._train = SampleFile(dataset, Split.TRAIN)
        self._val = _spread(SampleFile(dataset, Split.VAL), recipe.validation.max_samples)
        if not self._train:
            raise NothingToDoError("Cannot train", where=dataset, rule="train.jsonl is empty")
        self._device = choose_device(recipe.compute.device)
        self._arithmetic = choose_precision(recipe.compute.precision, self._device)
        torch.manual_seed(recipe.seed)
        self._identity = {
            "recipe": hashlib.sha256(recipe.model_dump_json().encode()).hexdigest(),
            "data": hash_file(dataset / "train.jsonl"),
            "model": hash_weights(find_checkpoint(recipe.model)),
        }
        self.loaded = prepare_model(
            recipe, self._device, _training_record(recipe, dataset, self._identity), self._identity["model"]
        )
        self._preprocessing = self.loaded.spec.preprocessing
        self._reader = TileReader(dataset, self._preprocessing, cache_bytes=recipe.compute.tile_cache_mb << 20)
        self._encoder = self.loaded.encoder()
        self._padding_id = self.loaded.tokenizer.pad_token_id or 0
        passes = group_into_passes(self._train, recipe.optimisation.questions_per_pass)
        self._plan = BatchPlan(passes, recipe.optimisation.batch_size, recipe.seed)
        planned = math.ceil(self._plan.steps_per_epoch * recipe.optimisation.epochs)
        self.step_count = min(planned, recipe.optimisation.max_steps or planned)
        self._optimizer = build_optimizer(self.loaded.model, recipe.optimisation)

    @property
    def trainable_parameters(self) -> int:
        """How many weights are trained."""
        return sum(value.numel() for value in self.loaded.model.parameters() if value.requires_grad)

    def restore(self) -> int:
        """Go back to the saved state and return its step."""
        return restore_state(self._out, identity=self._identity, model=self.loaded.model, optimizer=self._optimizer)

    def train(self, first_step: int, stop_after_step: int | None, log: _Log) -> int:
        """Do the steps after ``first_step`` and return the last one."""
        step = first_step
        for step, passes in self._steps(first_step):
            row = self._step(step, [[self._train[index] for index in indices] for indices in passes])
            log.write({"kind": "train", "step": step, "of": self.step_count, **row})
            if step % self._recipe.validation.every_steps == 0 or step == self.step_count:
                self._validate(step, log)
            stopping = step == stop_after_step
            if (stopping or step % self._recipe.saving.every_steps == 0) and step < self.step_count:
                self._save(step)
            if stopping:
                break
        return step

    def _save(self, step: int) -> None:
        save_state(self._out, step=step, identity=self._identity, model=self.loaded.model, optimizer=self._optimizer)

    def _steps(self, first_step: int) -> Iterator[tuple[int, list[range]]]:
        per_epoch = self._plan.steps_per_epoch
        step = first_step
        while step < self.step_count:
            batches = self._plan.epoch(step // per_epoch)
            for passes in batches[step % per_epoch :]:
                step += 1
                yield step, passes
                if step == self.step_count:
                    return

    def _step(self, step: int, passes: Sequence[Sequence[Sample]]) -> LogRow:
        import torch

        self.loaded.model.train()
        settings = self._recipe.optimisation
        set_learning_rates(self._optimizer, step, self.step_count, settings.warmup_ratio)
        encoded = self._encode(passes)
        batches = [
            collate(part, self._padding_id, settings.loss_weighting)
            for part in micro_batches(encoded, settings.micro_batch_size, self.loaded.rope_border)
        ]
        total_weight = sum(batch.weights.sum().item() for batch in batches)
        loss_sum = 0.0
        for batch in batches:
            with self._autocast():
                loss = answer_loss(self.loaded, batch)
            (loss / total_weight).backward()  # type: ignore[no-untyped-call]
            loss_sum += loss.item()
        gradient_norm = torch.nn.utils.clip_grad_norm_(
            [value for value in self.loaded.model.parameters() if value.requires_grad],
            settings.max_grad_norm,
        )
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return {
            "loss": loss_sum / total_weight,
            "learning_rate": learning_rate(settings.learning_rate, step, self.step_count, settings.warmup_ratio),
            **({"learning_rates": rates_by_part(self._optimizer)} if settings.learning_rates.named() else {}),
            "gradient_norm": gradient_norm.item(),
            "samples": sum(len(samples) for samples in passes),
            "tokens": sum(len(one.input_ids) for one in encoded),
            "tiles": sum(len(part) for one in encoded for part in one.tiles),
        }

    def _validate(self, step: int, log: _Log) -> None:
        import torch

        if not self._val:
            return
        self.loaded.model.eval()
        loss_sum, total_weight = 0.0, 0.0
        size = self._recipe.optimisation.micro_batch_size
        with torch.inference_mode(), self._autocast():
            for start in range(0, len(self._val), size):
                encoded = self._encode([[sample] for sample in self._val[start : start + size]])
                for part in micro_batches(encoded, size, self.loaded.rope_border):
                    batch = collate(part, self._padding_id, self._recipe.optimisation.loss_weighting)
                    loss_sum += answer_loss(self.loaded, batch).item()
                    total_weight += batch.weights.sum().item()
            log.write({"kind": "validation", "step": step, "of": self.step_count, "loss": loss_sum / total_weight})
            shown = _spread(self._val, self._recipe.validation.answers)
            by_id = {sample.id: sample for sample in shown}
            for answer in generate_answers(
                self.loaded, shown, self._reader, max_new_tokens=self._recipe.validation.max_new_tokens
            ):
                log.write(
                    {
                        "kind": "answer",
                        "step": step,
                        "sample": answer.sample_id,
                        "expected": by_id[answer.sample_id].turns[-1].text,
                        "answered": answer.text,
                        "likelihood": answer.likelihood,
                    }
                )

    def _encode(self, passes: Sequence[Sequence[Sample]]) -> list[EncodedPass]:
        return [
            encoded
            for samples in passes
            for encoded in encode_pass(
                samples, self._encoder, self._reader, self._preprocessing, self.loaded.rope_border
            )
        ]

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self._arithmetic == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._arithmetic)


class _Log:
    """Writes the run's log, one JSON object a line; when resuming, rows after the saved step are cut off."""

    def __init__(self, path: Path, first_step: int, on_row: Callable[[LogRow], None] | None) -> None:
        kept = []
        if first_step and path.is_file():
            rows = (json.loads(line) for line in path.read_text(encoding="utf-8").splitlines())
            kept = [row for row in rows if row["step"] <= first_step]
        self.rows: list[LogRow] = []
        self._on_row = None
        self._file = path.open("w", encoding="utf-8")
        for row in kept:
            self.write(row)
        self._on_row = on_row

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, row: LogRow) -> None:
        """Append a row."""
        self.rows.append(row)
        self._file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self._file.flush()
        if self._on_row is not None:
            self._on_row(row)


def _spread(samples: Sequence[Sample], count: int) -> list[Sample]:
    """Take ``count`` samples, evenly spread over the file."""
    if count == 0:
        return []
    return [samples[index] for index in range(0, len(samples), max(1, math.ceil(len(samples) / count)))]


def _training_record(recipe: Recipe, dataset: Path, identity: dict[str, str]) -> dict[str, Any]:
    """Say what the model was trained on: bands, windows and stretch of the data set are in its settings."""
    manifest = read_manifest(dataset)
    return {
        "recipe": recipe.name,
        "method": recipe.method,
        **({} if recipe.quantisation == "none" else {"quantisation": recipe.quantisation}),
        "dataset": manifest["name"],
        "command": manifest["command"],
        "conversion_settings": manifest["settings"],
        **{f"{key}_sha256": value for key, value in identity.items()},
    }
