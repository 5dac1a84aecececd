"""The run: load the pairs, step, look at held-out pairs, save; resumed, it goes on with the very crop it stopped at."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts

import domainvl
from domainvl.enhance.checkpoint import CHECKPOINT_FOLDER, Enhancer, save_checkpoint
from domainvl.enhance.network.losses import pair_losses
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.pairs.records import PairSet
from domainvl.enhance.threads import torch_threads
from domainvl.enhance.training.crops import Sampler
from domainvl.enhance.training.guard import Guard, gradient_norm
from domainvl.enhance.training.identity import SETTINGS_NAME, check_fits, check_folder, check_steps, digest
from domainvl.enhance.training.look import LOOKED_AT, HeldOut
from domainvl.enhance.training.memory import memory_errors
from domainvl.enhance.training.pictures import draw_flow, draw_panel, valid_in
from domainvl.enhance.training.reporting import Reporting, TrainingSummary
from domainvl.enhance.training.settings import MAY_CHANGE, TrainingSettings
from domainvl.enhance.training.tracking import TensorBoard
from domainvl.enhance.training.views import LoadedPair, check_ranges, load_pairs, refuse_none
from domainvl.files import complete_folder, write_atomically
from domainvl.model.device import choose_device
from domainvl.training.log import LOG_NAME, Log, LogRow
from domainvl.training.processes import Processes
from domainvl.training.state import newest_state, restore_state, save_state
from domainvl.training.stopping import StopRequest, stopped
from domainvl.training.trackers import check_trackers

LEFT_OUT_NAME = "left-out.jsonl"
PICTURES_FOLDER = "pictures"
LAST_STEPS = 20
"""Steps whose mean loss stands for the end of a run."""
_DRAWN = 4
"""Held-out pairs of which pictures are drawn."""
_LEAST_HELD_OUT_PX = 8

Tracking = Literal["tensorboard", "none"]


def train_enhancer(
    pairs: PairSet,
    out: Path,
    settings: TrainingSettings,
    *,
    resume: bool = False,
    device: str = "auto",
    threads: int | None = None,
    tracking: Tracking = "tensorboard",
    stop_after_step: int | None = None,
    reporting: Reporting | None = None,
) -> TrainingSummary:
    """Train an enhancer.

    On a CPU a run that was stopped and resumed comes to the same weights, bit by bit, as one that was not, with the
    same number of threads.

    Args:
        pairs: Registered pairs; those of the train split are trained on, those of the val split looked at.
        out: The run's folder to make; with ``resume`` the one to go on with.
        settings: How to train. A run that is resumed may have other steps and other intervals of looks and saves.
        resume: Go on where the run stopped; at the start if it stopped before anything was saved.
        device: auto, cpu or cuda.
        threads: Threads of torch; None leaves them.
        tracking: Where the numbers go besides the log.
        stop_after_step: Save the state and stop after this step, as if a signal had asked for it.
        reporting: Whom to tell what.

    Raises:
        UsageError: If ``out`` is there already or cannot be resumed, has more steps than asked for, or a view is not as
            the pairs' index says.
        NothingToDoError: If no pair can be trained on.
        StoppedError: If the run was asked to stop, diverged, or ran out of memory or disk.
    """
    started = time.perf_counter()
    if tracking == "tensorboard":
        check_trackers(["tensorboard"])
    check_folder(out, settings, resume=resume)
    check_fits(pairs, settings)
    where = choose_device(device)
    run = _Run(pairs, out, settings, where, reporting or Reporting())
    first_step = run.restore() if newest_state(out) is not None else 0
    check_steps(out, first_step, settings)
    if resume and not first_step:
        run.reporting.say("no state was saved yet: the run begins at the start")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / SETTINGS_NAME, (settings.model_dump_json(indent=1) + "\n").encode())
    run.write_left_out()
    board = TensorBoard(out, first_step) if tracking == "tensorboard" else None
    with (
        torch_threads(threads),
        Log(out / LOG_NAME, first_step, run.reporting.on_row, [board] if board else []) as log,
        StopRequest(run.reporting.announce) as stop,
        memory_errors(settings.batch, settings.crop_px, out),
    ):
        last_step = run.train(first_step, log, board, lambda step: stop.requested or step == stop_after_step)
    if last_step < settings.steps:
        raise stopped(last_step, settings.steps, out)
    return run.summary(last_step, first_step, log.rows, time.perf_counter() - started)


class _Run:
    def __init__(
        self, pairs: PairSet, out: Path, settings: TrainingSettings, device: torch.device, reporting: Reporting
    ) -> None:
        self.reporting = reporting
        self._set = pairs
        self._out = out
        self._settings = settings
        self._processes = Processes(0, 1, 0, device)
        check_ranges(pairs)
        records, held_out_records = pairs.of_split("train"), pairs.of_split("val")[:LOOKED_AT]
        loaded, left_out = load_pairs(pairs, records, least_px=settings.crop_px)
        refuse_none(loaded, left_out, pairs)
        held_out, held_left_out = load_pairs(pairs, held_out_records, least_px=_LEAST_HELD_OUT_PX)
        index, network = pairs.index, settings.network
        same_bands = network.in_bands == network.out_bands and not index.mosaic
        self._held_out = HeldOut(held_out, scale=index.scale, compares_with_bicubic=same_bands)
        self._counts = (len(loaded), self._held_out.count)
        self._left_out = (*left_out, *held_left_out, *self._held_out.left_out)
        self._say_what_is_loaded([*loaded, *held_out])
        self._sampler = Sampler(
            loaded,
            batch=settings.batch,
            crop_px=settings.crop_px,
            least_valid=settings.least_valid,
            augment=settings.augment,
            mosaic=index.mosaic,
            seed=settings.seed,
        )
        self._network = MisalignedSR(network)
        self._network.initialise(settings.seed, zero_first_offsets=settings.zero_first_offsets)
        self._network.to(device).train()
        self._optimizer = torch.optim.Adam(self._network.parameters(), lr=settings.learning_rate, betas=settings.betas)
        self._schedule = CosineAnnealingWarmRestarts(
            self._optimizer, settings.restart_every, T_mult=2, eta_min=settings.lowest_rate
        )
        self._pairs_sha256 = digest(pairs, [*records, *held_out_records])
        learned = settings.model_dump_json(exclude=set(MAY_CHANGE))
        self._identity = {"settings": hashlib.sha256(learned.encode()).hexdigest(), "pairs": self._pairs_sha256}

    def restore(self) -> int:
        """Go back to the saved state and return its step."""
        return restore_state(
            self._out,
            identity=self._identity,
            parameters=dict(self._network.named_parameters()),
            optimizer=self._optimizer,
            processes=self._processes,
        ).step

    def train(self, first_step: int, log: Log, board: TensorBoard | None, is_last: Callable[[int], bool]) -> int:
        """Do the steps after ``first_step`` and return the last one."""
        settings, step = self._settings, first_step
        if first_step == 0:
            self._look(0, log, board)
        while step < settings.steps:
            step += 1
            log.write(self._step(step))
            stopping = is_last(step)
            ends = step == settings.steps
            if ends or step % settings.validate_every == 0:
                self._look(step, log, board)
            if ends or stopping or step % settings.save_every == 0:
                self._save(step, log)
            if stopping:
                break
        if step == first_step:  # it was done before, but may have been killed before its checkpoint was written
            self._save_checkpoint(step, log)
        return step

    def write_left_out(self) -> None:
        """List the pairs that are not used."""
        if self._left_out:
            rows = [json.dumps({"id": one.id, "reason": one.reason, "what": one.message}) for one in self._left_out]
            write_atomically(self._out / LEFT_OUT_NAME, "".join(f"{row}\n" for row in rows).encode())

    def summary(self, step: int, first_step: int, rows: list[LogRow], seconds: float) -> TrainingSummary:
        """Say what was done."""
        trained = [row for row in rows if row["kind"] == "train"]
        looks = [row for row in rows if row["kind"] == "validation"]
        return TrainingSummary(
            self._out,
            step,
            step - first_step,
            sum(value.numel() for value in self._network.parameters()),
            self._counts[0],
            self._left_out,
            self._counts[1],
            _last_loss(rows),
            sum(row["redrawn"] for row in trained),
            sum(row["few_valid"] for row in trained),
            {key: value for key, value in looks[-1].items() if key not in ("kind", "step", "of")} if looks else {},
            seconds,
        )

    def _step(self, step: int) -> LogRow:
        settings, network, device = self._settings, self._network, self._processes.device
        self._schedule.step(step - 1)
        rate = self._optimizer.param_groups[0]["lr"]
        batch = self._sampler.draw(step)
        inputs = {"low": batch.low.to(device)}
        if settings.network.alignment != "none":
            inputs["reference"] = batch.reference.to(device)
        losses = pair_losses(
            network(**inputs),
            batch.high.to(device),
            batch.reference.to(device),
            batch.valid.to(device),
            border_px=settings.border_px,
        )
        weights = {"picture": 1.0, "alignment": settings.alignment_weight}
        loss = torch.stack([value * weights[name] for name, value in losses.items()]).sum()
        numbers = {f"{name}_loss": value.item() for name, value in losses.items()}
        guard = Guard(network, step, batch.ids, self._out, self._kept)
        guard.check_losses({**numbers, "loss": loss.item()}, inputs)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = gradient_norm(network)
        guard.check_gradients(norm)
        self._optimizer.step()
        guard.check_weights()
        return {
            "kind": "train",
            "step": step,
            "of": settings.steps,
            "loss": loss.item(),
            **numbers,
            "learning_rate": rate,
            "gradient_norm": norm,
            "redrawn": batch.redrawn,
            "few_valid": batch.few_valid,
        }

    def _look(self, step: int, log: Log, board: TensorBoard | None) -> None:
        numbers, seen = self._held_out.look(self._network, keep=_DRAWN)
        if not numbers["pairs"]:
            return
        log.write({"kind": "validation", "step": step, "of": self._settings.steps, **numbers})
        for one in seen:
            pictures = {one.id: draw_panel(one)}
            if one.flow_px is not None:
                pictures[f"{one.id}-flow"] = draw_flow(
                    one.flow_px, one.id, valid_in(one.window.valid, one.flow_px.shape[1:])
                )
            for name, png in pictures.items():
                write_atomically(self._out / PICTURES_FOLDER / f"step-{step:06d}-{name}.png", png)
                if board is not None:
                    board.show(f"pictures/{name}", png, step)

    def _save(self, step: int, log: Log) -> None:
        log.sync()
        save_state(
            self._out,
            step=step,
            identity=self._identity,
            extra={},
            parameters=dict(self._network.named_parameters()),
            optimizer=self._optimizer,
            processes=self._processes,
        )
        self._save_checkpoint(step, log)

    def _save_checkpoint(self, step: int, log: Log) -> None:
        index = self._set.index
        trained = {
            "steps": step,
            "loss": _last_loss(log.rows),
            "seed": self._settings.seed,
            "pairs": self._counts[0],
            "pairs_sha256": self._pairs_sha256,
            "domainvl": domainvl.__version__,
        }
        enhancer = Enhancer(
            network=self._settings.network,
            low_view=index.low_view,
            high_view=index.high_view,
            mosaic=index.mosaic,
            trained=trained,
        )
        with complete_folder(self._out / CHECKPOINT_FOLDER) as partial:
            save_checkpoint(partial, self._network, enhancer)

    def _kept(self) -> str:
        state = newest_state(self._out)
        if state is None:
            return "nothing was saved before"
        return f"the checkpoint and the state of step {int(state.name.removeprefix('step-'))} are kept"

    def _say_what_is_loaded(self, in_memory: list[LoadedPair]) -> None:
        mib = sum(pair.held_bytes for pair in in_memory) / 2**20
        trained_on, looked_at = self._counts
        self.reporting.say(f"{trained_on} pairs to train on, {looked_at} to look at, {mib:,.0f} MiB in memory")
        if not looked_at:
            self.reporting.say("no pair is held out: nothing says whether the network gets better on others")
        for one in self._left_out[:3]:
            self.reporting.say(f"left out: {one.message}")
        if len(self._left_out) > 3:
            self.reporting.say(f"left out: {len(self._left_out) - 3} more, see {LEFT_OUT_NAME}")


def _last_loss(rows: list[LogRow]) -> float:
    losses = [row["loss"] for row in rows if row["kind"] == "train"][-LAST_STEPS:]
    return sum(losses) / len(losses) if losses else 0.0
