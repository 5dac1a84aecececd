"""The distillation run: a frozen teacher, a student that learns its last hidden states, and a model to take it.

The order of images is known ahead and nothing else is random, so a run that is resumed goes on with the very step at
which it stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.files import write_atomically
from domainvl.model.attention import choose_attention
from domainvl.model.checkpoint import absolute_reference, find_checkpoint, hash_weights, read_spec, save_checkpoint
from domainvl.model.device import choose_device, choose_precision
from domainvl.model.preprocessing import TileReader, Tiles, normalise
from domainvl.model.read_ahead import read_ahead
from domainvl.training.distillation.assembly import Projector, check_place, slot_in
from domainvl.training.distillation.images import (
    INVENTORY_NAME,
    FoundImage,
    over_budget,
    read_inventory,
    take_inventory,
    write_inventory,
)
from domainvl.training.distillation.matching import cosines, last_states, with_maps
from domainvl.training.distillation.order import ImageOrder
from domainvl.training.distillation.picture import draw_distillation
from domainvl.training.distillation.recipe import DistillationRecipe, save_distillation_recipe
from domainvl.training.distillation.student import build_student, load_vision_tower
from domainvl.training.log import LOG_NAME, Log, LogRow
from domainvl.training.optimiser import learning_rate, set_learning_rates
from domainvl.training.processes import Processes, join_processes
from domainvl.training.rates import Rates, peak_memory
from domainvl.training.state import STATES_FOLDER, restore_state, save_state
from domainvl.training.stopping import StopRequest, not_finite, stopped

if TYPE_CHECKING:
    import torch

PICTURE_NAME = "distillation.png"
RECIPE_NAME = "recipe.yaml"
REJECTS_NAME = "rejects.jsonl"


@dataclass(frozen=True)
class DistillationSummary:
    """What a run did.

    Attributes:
        out: The run's folder.
        steps: Steps done in all.
        images: Number of images of each use.
        unusable: How many images could not be used; each is listed in ``rejects.jsonl``.
        before: Held-out cosine of each matched layer before the first step.
        after: Likewise after the last.
        constants: Of the best constant for each position, learned from training images: what can be had blindly.
        student_parameters: Weights of the student's vision encoder.
        teacher_parameters: Weights of the teacher's.
        projector: Whether the model's projector was kept.
        seconds: Time of this call.
    """

    out: Path
    steps: int
    images: dict[str, int]
    unusable: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    constants: tuple[float, ...]
    student_parameters: int
    teacher_parameters: int
    projector: Projector
    seconds: float


def distil(
    recipe: DistillationRecipe,
    teacher: str,
    images: Sequence[Path],
    out: Path,
    *,
    into: str | None = None,
    resume: bool = False,
    stop_after_step: int | None = None,
    on_row: Callable[[LogRow], None] | None = None,
    announce: Callable[[str], None] | None = None,
) -> DistillationSummary:
    """Distil a vision encoder and put it into a model.

    Args:
        recipe: What to do.
        teacher: Checkpoint whose vision encoder is the teacher.
        images: Folders of images, or data sets.
        out: Folder of the run to make; with ``resume``, the one to go on with.
        into: Checkpoint that the student is put into; the teacher's where None.
        resume: Go on where the run stopped.
        stop_after_step: Save the state and stop after this step, as if a signal had asked for it.
        on_row: Called with each row of the log.
        announce: Called with what a signal leads to.

    Returns:
        What was done.

    Raises:
        UsageError: If ``out`` is there already or cannot be resumed, or student, teacher and model do not match.
        NothingToDoError: If there are no images.
        DatasetError: If too many images are unusable.
        StoppedError: If the run was asked to stop, after saving its state, or diverged.
    """
    started = time.perf_counter()
    if out.exists() and not resume:
        raise UsageError(
            "Cannot start a run", where=out, rule="the folder exists", action="Name another, or add --resume"
        )
    run = _Run(recipe, teacher, images, out, into=into, resume=resume)
    out.mkdir(parents=True, exist_ok=True)
    save_distillation_recipe(recipe, out / RECIPE_NAME)
    write_inventory(run.inventory, out / INVENTORY_NAME)
    first_step = run.restore() if resume else 0
    with Log(out / LOG_NAME, first_step, on_row) as log, StopRequest(announce) as stop:
        last_step = run.train(first_step, log, lambda step: stop.requested or step == stop_after_step)
        draw_distillation(log.rows, out / PICTURE_NAME)
    if last_step < run.step_count:
        raise stopped(last_step, run.step_count, out)
    looks = [tuple(row["cosine_by_layer"]) for row in log.rows if row["kind"] == "validation"]
    constants = next(tuple(row["by_position"]) for row in log.rows if row["kind"] == "constants")
    projector = run.save_model(looks[0], looks[-1])
    shutil.rmtree(out / STATES_FOLDER, ignore_errors=True)
    return DistillationSummary(
        out,
        last_step,
        run.inventory.counts(),
        len(run.unusable),
        looks[0],
        looks[-1],
        constants,
        *run.parameters,
        projector,
        time.perf_counter() - started,
    )


class _Run:
    """Everything of one run that is loaded once."""

    def __init__(
        self,
        recipe: DistillationRecipe,
        teacher: str,
        images: Sequence[Path],
        out: Path,
        *,
        into: str | None,
        resume: bool,
    ) -> None:
        import torch

        self._recipe = recipe
        self._out = out
        self._teacher_name = teacher
        self._into = into or teacher
        self._device = choose_device(recipe.compute.device)
        self._processes = _only_process(self._device)
        self._arithmetic = choose_precision(recipe.compute.precision, self._device)
        self._preprocessing = recipe.preprocessing.applied_to(read_spec(find_checkpoint(teacher)).preprocessing)
        self._teacher = load_vision_tower(teacher, self._arithmetic).requires_grad_(False).eval()
        check_place(self._into, self._teacher.config, self._preprocessing)
        attention = choose_attention(self._device, self._arithmetic, packs=False)["vision_config"]
        torch.manual_seed(recipe.seed)
        tower = build_student(recipe.student, self._teacher, attention=attention).train()
        self._check_layers(tower.config.num_hidden_layers, self._teacher.config.num_hidden_layers)
        if recipe.compute.gradient_checkpointing:
            tower.activation_checkpointing_enable({"use_reentrant": False})
        self._teacher.set_attn_implementation(attention)
        self._teacher.to(self._device)
        student = with_maps(tower, recipe.matching.last_layers, self._teacher.config.hidden_size)
        self._student = student.to(self._device)
        self._optimizer = _build_optimizer(self._student, recipe)
        self.inventory = (
            read_inventory(out / INVENTORY_NAME)
            if resume
            else take_inventory(images, recipe.images, seed=recipe.seed, readers=recipe.compute.readers)
        )
        self._trained, self._held_out = self.inventory.of("train"), self.inventory.of("held-out")
        self._reader = TileReader(Path(), self._preprocessing)  # paths are absolute
        self._order = ImageOrder(
            [self._preprocessing.grids([image.as_image()])[0].tile_count for image in self._trained],
            tiles_per_step=recipe.optimisation.tiles_per_step,
            epochs=recipe.optimisation.epochs,
            seed=recipe.seed,
            max_steps=recipe.optimisation.max_steps,
        )
        self.unusable: dict[str, str] = {}
        self._identity = {
            "recipe": hashlib.sha256(recipe.model_dump_json().encode()).hexdigest(),
            "folders": hashlib.sha256("\n".join(str(one.resolve()) for one in images).encode()).hexdigest(),
            "images": self.inventory.sha256(),
            "teacher": hash_weights(find_checkpoint(teacher)),
            "model": hash_weights(find_checkpoint(self._into)),
        }

    @property
    def step_count(self) -> int:
        """Steps of the whole run."""
        return self._order.step_count

    @property
    def parameters(self) -> tuple[int, int]:
        """Weights of the student and of the teacher."""
        towers = (self._student.tower, self._teacher)
        student, teacher = (sum(value.numel() for value in tower.parameters()) for tower in towers)
        return student, teacher

    def restore(self) -> int:
        """Go back to the saved state and return its step."""
        restored = restore_state(
            self._out,
            identity=self._identity,
            parameters=dict(self._student.named_parameters()),
            optimizer=self._optimizer,
            processes=self._processes,
        )
        self.unusable = restored.extra["unusable"]
        return restored.step

    def train(self, first_step: int, log: Log, is_last: Callable[[int], bool]) -> int:
        """Do the steps after ``first_step`` and return the last one."""
        for image in self.inventory.of("unusable"):
            self._leave_out(image, image.why)
        if first_step == 0:
            log.write({"kind": "constants", "step": 0, "of": self.step_count, **self._constants()})
            self._validate(0, log)
        rates = Rates(first_step, self.step_count, time.perf_counter)
        step, saved = first_step, first_step
        steps = self._read(first_step)
        while step < self.step_count:
            with rates.waiting():
                step, tiles = next(steps)
            row = self._step(step, tiles, saved)
            count = sum(len(part) for part in tiles)
            row |= rates.finish_step(samples=len(tiles), tokens=count * self._tokens_per_tile(), tiles=count)
            log.write({"kind": "train", "step": step, "of": self.step_count, **row, **peak_memory(self._device)})
            with rates.paused():
                if step % self._recipe.validation.every_steps == 0 or step == self.step_count:
                    self._validate(step, log)
                stopping = is_last(step)
                if step < self.step_count and (stopping or step % self._recipe.saving.every_steps == 0):
                    log.sync()
                    self._save(step)
                    saved = step
            if stopping:
                break
        steps.close()
        return step

    def save_model(self, before: tuple[float, ...], after: tuple[float, ...]) -> Projector:
        """Put the student into the model, save that, and return whether its projector was kept."""
        training = {
            "method": "distillation",
            "recipe": self._recipe.name,
            "teacher": absolute_reference(self._teacher_name),
            "model": absolute_reference(self._into),
            "last_layers": self._recipe.matching.last_layers,
            "images": self.inventory.counts(),
            "held_out_cosine_before": list(before),
            "held_out_cosine_after": list(after),
            **{f"{key}_sha256": value for key, value in self._identity.items()},
        }
        loaded, projector = slot_in(self._into, self._student.tower, training, seed=self._recipe.seed)
        save_checkpoint(loaded, self._out / "checkpoint")
        return projector

    def _check_layers(self, student_layers: int, teacher_layers: int) -> None:
        wanted = self._recipe.matching.last_layers
        if wanted > min(student_layers, teacher_layers):
            raise UsageError(
                "Cannot match the last layers",
                rule=f"matching.last_layers must be at most {min(student_layers, teacher_layers)}, the layers that "
                f"student ({student_layers}) and teacher ({teacher_layers}) both have, got {wanted}",
                action=f"Add --set matching.last_layers={min(student_layers, teacher_layers)}",
            )

    def _tokens_per_tile(self) -> int:
        return int(self._teacher.embeddings.position_embeddings.shape[1])

    def _save(self, step: int) -> None:
        save_state(
            self._out,
            step=step,
            identity=self._identity,
            extra={"unusable": self.unusable},
            parameters=dict(self._student.named_parameters()),
            optimizer=self._optimizer,
            processes=self._processes,
        )

    def _step(self, step: int, tiles: Sequence[Tiles], saved: int) -> LogRow:
        import torch

        settings = self._recipe.optimisation
        set_learning_rates(self._optimizer, step, self.step_count, settings.warmup_ratio)
        rate = learning_rate(settings.learning_rate, step, self.step_count, settings.warmup_ratio)
        if not tiles:  # all images of the step turned out unusable
            return {"loss": None, "learning_rate": rate, "images": 0, "tiles": 0}
        self._student.train()
        whole = np.concatenate(tiles)
        sums = torch.zeros(self._recipe.matching.last_layers, dtype=torch.float64)
        for part in _parts(whole, settings.micro_batch_tiles):
            with self._autocast():
                pixels = self._pixels(part)
                by_layer = cosines(self._student(pixels), self._teach(pixels))
            ((1 - by_layer.mean()) * (len(part) / len(whole))).backward()  # type: ignore[no-untyped-call]
            sums += by_layer.detach().double().cpu() * len(part)
        gradient_norm = torch.nn.utils.clip_grad_norm_(self._student.parameters(), settings.max_grad_norm).item()
        cosine = (sums / len(whole)).mean().item()
        last_good = f"the state of step {saved}" if saved else None
        if error := not_finite(cosine, gradient_norm, step=step, out=self._out, last_good=last_good):
            raise error
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return {
            "loss": 1 - cosine,
            "negative_cosine": -cosine,
            "learning_rate": rate,
            "gradient_norm": gradient_norm,
            "images": len(tiles),
            "tiles": len(whole),
        }

    def _validate(self, step: int, log: Log) -> None:
        import torch

        self._student.eval()
        sums, count = torch.zeros(self._recipe.matching.last_layers, dtype=torch.float64), 0
        with torch.inference_mode(), self._autocast():
            for part in self._held_out_parts():
                pixels = self._pixels(part)
                sums += cosines(self._student(pixels), self._teach(pixels)).double().cpu() * len(part)
                count += len(part)
        if not count:
            raise NothingToDoError("Cannot validate", where=self._out, rule="no held-out image can be read")
        by_layer = (sums / count).tolist()
        loss = 1 - sum(by_layer) / len(by_layer)
        log.write(
            {
                "kind": "validation",
                "step": step,
                "of": self.step_count,
                "loss": loss,
                "negative_cosine": loss - 1,
                "cosine_by_layer": by_layer,
                "tiles": count,
            }
        )

    def _constants(self) -> dict[str, list[float]]:
        """Return how near constants come to the teacher's held-out states: what a student learns that sees nothing.

        The best constant is the mean of the unit vectors of states: one for all tokens, or one for each position in
        a tile. They are taken from training images, as many as are held out.
        """
        import torch

        means: list[Any] = [0] * self._recipe.matching.last_layers
        sums = torch.zeros(2, len(means), dtype=torch.float64)
        count = 0
        with torch.inference_mode(), self._autocast():
            for part in self._tile_parts(self._trained[:: max(1, len(self._trained) // len(self._held_out))]):
                states = self._teach(self._pixels(part))
                means = [
                    mean + torch.nn.functional.normalize(state.float(), dim=-1).sum(0)
                    for mean, state in zip(means, states, strict=True)
                ]
            for part in self._held_out_parts():
                states = self._teach(self._pixels(part))
                for row, constants in enumerate(([mean.sum(0, keepdim=True) for mean in means], means)):
                    sums[row] += cosines([one[None] for one in constants], states).double().cpu() * len(part)
                count += len(part)
        single, by_position = (sums / max(1, count)).tolist()
        return {"single": single, "by_position": by_position}

    def _teach(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        import torch

        with torch.no_grad():
            return last_states(self._teacher, pixels, self._recipe.matching.last_layers)

    def _pixels(self, tiles: Tiles) -> torch.Tensor:
        import torch

        return normalise(torch.from_numpy(tiles).to(self._device), self._preprocessing, self._arithmetic)

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        if self._arithmetic == torch.float32:
            return nullcontext()
        return torch.autocast(self._device.type, dtype=self._arithmetic)

    def _read(self, first_step: int) -> Generator[tuple[int, list[Tiles]], None, None]:
        """Yield each step with the tiles of its images, reading ahead."""
        planned = ((step, self._trained[index]) for step, images in self._order.steps(first_step) for index in images)
        current, tiles = first_step + 1, list[Tiles]()
        for step, found in read_ahead(
            lambda item: (item[0], self._try_read(item[1])), planned, worker_count=self._recipe.compute.readers
        ):
            if step != current:
                yield current, tiles
                current, tiles = step, []
            tiles += self._counted(found)
        yield current, tiles

    def _held_out_parts(self) -> Iterator[Tiles]:
        return self._tile_parts(self._held_out)

    def _tile_parts(self, images: Sequence[FoundImage]) -> Iterator[Tiles]:
        for found in read_ahead(self._try_read, images, worker_count=self._recipe.compute.readers):
            for tiles in self._counted(found):
                yield from _parts(tiles, self._recipe.optimisation.micro_batch_tiles)

    def _try_read(self, image: FoundImage) -> tuple[FoundImage, Tiles | DatasetError]:
        try:
            return image, self._reader.read([image.as_image()])[0]
        except DatasetError as error:
            return image, error

    def _counted(self, found: tuple[FoundImage, Tiles | DatasetError]) -> list[Tiles]:
        image, tiles = found
        if not isinstance(tiles, DatasetError):
            return [tiles]
        self._leave_out(image, tiles.rule or tiles.what)
        return []

    def _leave_out(self, image: FoundImage, why: str) -> None:
        """Count and list an unusable image, once however often it is met.

        Raises:
            DatasetError: If there are too many.
        """
        self.unusable[image.path] = why
        rows = [json.dumps({"path": path, "why": reason}) for path, reason in self.unusable.items()]
        write_atomically(self._out / REJECTS_NAME, ("\n".join(rows) + "\n").encode())
        count, settings = len(self.inventory.images), self._recipe.images
        if len(self.unusable) > settings.error_budget * count:
            raise over_budget(self.unusable, count, settings)


def _only_process(device: torch.device) -> Processes:
    """Refuse several processes, which would all write the same run.

    Raises:
        UsageError: If a launcher started more than one.
    """
    with join_processes(device) as processes:
        if processes.world_size > 1:
            raise UsageError(
                "Cannot distil with several processes",
                rule=f"it runs in one, got {processes.world_size}",
                action="Start domainvl distill without a launcher",
            )
        return processes


def _build_optimizer(student: Any, recipe: DistillationRecipe) -> torch.optim.Optimizer:
    """Return AdamW; matrices and positions are decayed, norms, biases and scales of layers are not."""
    import torch

    settings = recipe.optimisation
    groups = [
        {
            "params": [value for value in student.parameters() if (value.ndim > 1) == decayed],
            "weight_decay": settings.weight_decay if decayed else 0.0,
            "peak": settings.learning_rate,
        }
        for decayed in (True, False)
    ]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=settings.betas)


def _parts(tiles: Tiles, most: int) -> Iterator[Tiles]:
    for start in range(0, len(tiles), most):
        yield tiles[start : start + most]
