"""What the processes of a test do, and how they are started: as a launcher would, by variables of the environment.

Run as a program, it does one of the scenarios below: ``python workers.py SCENARIO FOLDER``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve()
END_TIMEOUT_S = 300

STEPS = 4
SAVED_STEP = 2
LEARNING_RATE = 1e-2
IDENTITY = {"recipe": "a", "data": "b"}
VARIANTS = {"ddp": ("full", "vision-frozen", "lora"), "fsdp": ("tied", "lora", "lora-bf16", "lora-checkpointed")}
RESUMED = {"ddp": "full", "fsdp": "lora"}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def environment(rank: int, world_size: int, port: int) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "OMP_NUM_THREADS": "1",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(world_size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


class Process:
    """A process of a run of two; what it prints goes to a file, so that none waits for a reader."""

    def __init__(self, scenario: str, folder: Path, rank: int, port: int) -> None:
        self._log = folder / f"{scenario}-{rank}.txt"
        with self._log.open("w") as log:
            self._popen = subprocess.Popen(
                [sys.executable, str(HERE), scenario, str(folder)],
                env=environment(rank, 2, port),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def wait(self) -> int:
        return self._popen.wait(END_TIMEOUT_S)

    def end(self) -> None:
        self._popen.kill()
        self._popen.wait()


@contextlib.contextmanager
def started(scenario: str, folder: Path, *, ranks: tuple[int, ...] = (0, 1), port: int | None = None) -> Any:
    """Start processes of a run of two, and leave none behind."""
    port = port or free_port()
    processes = [Process(scenario, folder, rank, port) for rank in ranks]
    try:
        yield processes
    finally:
        for process in processes:
            process.end()


def run_pair(scenario: str, folder: Path) -> None:
    """Run a scenario in two processes, neither of which may fail."""
    with started(scenario, folder) as processes:
        for process in processes:
            assert process.wait() == 0, process.output


# Models


def loaded_model(variant: str) -> Any:
    """Make a small model ready for training: ``full``, ``tied``, ``vision-frozen``, ``lora`` or ``lora-bf16``."""
    import torch
    from architectures import small_model

    from domainvl.model.adapters import LoraSettings, add_lora
    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.preprocessing import Preprocessing

    model = small_model("llama")
    if variant == "tied":
        model.lm_head.weight = model.get_input_embeddings().weight
    if variant == "lora-bf16":
        model.to(torch.bfloat16)
    wrapped = model
    if variant.startswith("lora"):
        torch.manual_seed(1)
        wrapped = add_lora(model, LoraSettings(rank=2, vision="lora", projector="full", qkv="fused"))
        for name, value in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(value, std=0.1)
    else:
        model.requires_grad_(True)
        model.model.vision_tower.requires_grad_(variant != "vision-frozen")
    spec = SimpleNamespace(kind="model", preprocessing=Preprocessing(tile_side_px=16, tokens_per_tile=4))
    loaded = LoadedModel(wrapped, None, spec)
    if variant == "lora-checkpointed":
        model.gradient_checkpointing_enable({"use_reentrant": False})
    wrapped.train()
    return loaded


def packs(step: int) -> list[Any]:
    """Return the batches of a step: with two images, without any, with one; the second and third supervise little."""
    import numpy as np
    import torch
    from architectures import IMAGE_ID

    from domainvl.model.packed_attention import PackLayout, UnitPlace
    from domainvl.model.visual import VisualInput
    from domainvl.training.batches import IGNORED, Batch

    made = []
    for number, tiles in enumerate((2, 0, 1)):
        random = np.random.default_rng([step, number])
        ids = torch.tensor([[7, *[IMAGE_ID] * 4 * tiles, *random.integers(8, 60, 5 + 3 * number)]])
        labels = torch.full_like(ids, IGNORED)
        labels[:, -3:] = ids[:, -3:]
        made.append(
            Batch(
                ids,
                torch.arange(ids.shape[1])[None],
                labels,
                torch.where(labels == IGNORED, 0.0, 1.0 + number),
                torch.zeros_like(ids),
                PackLayout((UnitPlace(0, 0, 0, (ids.shape[1],)),), *ids.shape),
                tuple(VisualInput(random.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8)) for _ in range(tiles)),
            )
        )
    return made


def no_pack() -> Any:
    from domainvl.training.batches import collate

    return collate([], 0, "packed")


def make_run(variant: str, kind: str, processes: Any) -> tuple[Any, Any, Any]:
    """Return the model, the module as it is trained, and the optimizer."""
    import torch

    from domainvl.model.parts import layers_of
    from domainvl.training.loss import AnswerLoss
    from domainvl.training.parallel import needs_blank, parallelise

    loaded = loaded_model(variant)
    module = AnswerLoss(loaded, run_vision_always=needs_blank(loaded.model, processes, kind))
    layers = [*layers_of(loaded.internvl, "vision"), *layers_of(loaded.internvl, "language_model")]
    parallel = parallelise(module, layers, processes, kind)
    # With a tiny eps, gradients that are zero but for rounding would move weights as far as any other.
    optimizer = torch.optim.AdamW(parallel.parameters.values(), lr=LEARNING_RATE, weight_decay=0.1, eps=1e-3)
    return loaded, parallel, optimizer


def arithmetic(parallel: Any) -> Any:
    """The context of a model in bf16, nothing for others."""
    import torch

    return torch.autocast("cpu", torch.bfloat16, enabled=parallel.module.model.dtype == torch.bfloat16)


def train(parallel: Any, optimizer: Any, processes: Any, first: int, last: int) -> list[tuple[float, float]]:
    """Do some steps; return loss and norm of the gradient of each. The second of two processes has one pack fewer."""
    import torch

    rows = []
    for step in range(first, last):
        made = packs(step)
        weight = sum(float(batch.weights.sum()) for batch in made)
        own = made[processes.rank :: processes.world_size]
        own += [no_pack()] * (-(-len(made) // processes.world_size) - len(own))
        total = 0.0
        for index, batch in enumerate(own):
            # Of dropout: it must not depend on who computes a pack, and a blank tile must not count.
            torch.manual_seed(10 * step + index * processes.world_size + processes.rank)
            with parallel.accumulating(last=index == len(own) - 1):
                with arithmetic(parallel):
                    sums = parallel(batch)
                parallel.backward(sums.sum() / weight)
            total += sums.sum().item() / weight
        norm = parallel.clip(0.5)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        rows.append((processes.sum([total])[0], norm))
    return rows


def weights_of(loaded: Any, parallel: Any) -> dict[str, Any] | None:
    """Return all weights by name on the first process."""
    gathered = parallel.full_weights(loaded.model, trained_only=False)
    return loaded.model.state_dict() if gathered is None else gathered


def answers(loaded: Any, parallel: Any) -> list[int]:
    """Generate some tokens."""
    import torch
    from architectures import small_input

    def generate() -> Any:
        with torch.inference_mode(), arithmetic(parallel):
            inputs = {**small_input(), "pixel_values": small_input()["pixel_values"].to(loaded.internvl.dtype)}
            inputs.pop("use_cache")
            return loaded.internvl.generate(**inputs, max_new_tokens=4, do_sample=False)

    loaded.model.eval()
    generated = parallel.run(generate)[0].tolist()
    loaded.model.train()
    return generated


def looked_at(parallel: Any) -> float:
    """The loss of all packs of a step, computed by every process, without gradients."""
    import torch

    with torch.no_grad(), arithmetic(parallel):
        return sum(parallel(batch).sum().item() for batch in packs(9))


def save(out: Path, parallel: Any, optimizer: Any, processes: Any, step: int = SAVED_STEP, **changes: Any) -> None:
    from domainvl.training.state import save_state

    save_state(
        out,
        **{"step": step, "identity": IDENTITY, "extra": {"seen": 12}, **changes},
        parameters=parallel.parameters,
        optimizer=optimizer,
        processes=processes,
    )


def restore(out: Path, parallel: Any, optimizer: Any, processes: Any, identity: Any = None) -> Any:
    from domainvl.training.state import restore_state

    return restore_state(
        out,
        identity=IDENTITY if identity is None else identity,
        parameters=parallel.parameters,
        optimizer=optimizer,
        processes=processes,
    )


def whole_run(variant: str, kind: str, processes: Any, saved: Path | None = None) -> dict[str, Any]:
    """Train, look, answer, train on; and say what came of it."""
    loaded, parallel, optimizer = make_run(variant, kind, processes)
    rows = train(parallel, optimizer, processes, 0, SAVED_STEP)
    seen, answered = looked_at(parallel), answers(loaded, parallel)
    if saved is not None:
        save(saved, parallel, optimizer, processes)
    rows += train(parallel, optimizer, processes, SAVED_STEP, STEPS)
    result = {"rows": rows, "seen": seen, "answered": answered, "weights": weights_of(loaded, parallel)}
    return {**result, "adapter": parallel.full_weights(loaded.model, trained_only=True)}


def resumed_run(variant: str, kind: str, processes: Any, saved: Path) -> dict[str, Any]:
    """Go on from a saved state."""
    loaded, parallel, optimizer = make_run(variant, kind, processes)
    with_noise(parallel)
    restored = restore(saved, parallel, optimizer, processes)
    rows = train(parallel, optimizer, processes, restored.step, STEPS)
    return {"rows": rows, "extra": restored.extra, "weights": weights_of(loaded, parallel)}


def with_noise(parallel: Any) -> None:
    """Change what is trained, so that only what is restored can make it right."""
    import torch

    with torch.no_grad():
        for value in parallel.parameters.values():
            value.add_(1.0)


# Scenarios


def scenario_compare(folder: Path) -> None:
    """All that two processes must do as one does; what came of it is left in files."""
    import torch

    from domainvl.training.processes import join_processes

    with join_processes(torch.device("cpu")) as processes:
        results: dict[str, Any] = {
            "sum": processes.sum([1.0, processes.rank]),
            "any": (processes.any(processes.rank == 1), processes.any(False)),
            "objects": processes.gather_objects({"rank": processes.rank}),
            "device": str(processes.device),
        }
        for kind, variants in VARIANTS.items():
            for variant in variants:
                saved = folder / kind if variant == RESUMED[kind] else None
                results[f"{kind} {variant}"] = whole_run(variant, kind, processes, saved)
            variant = RESUMED[kind]
            results[f"resumed {kind}"] = resumed_run(variant, kind, processes, folder / f"one {variant}")
        if processes.is_first:
            torch.save(results, folder / "results.pt")


def scenario_raise(folder: Path) -> None:
    """One process fails, and the other is in the middle of a step."""
    _fail_in_the_middle(folder, lambda: (_ for _ in ()).throw(ValueError("rank 1 found something wrong")))


def scenario_die(folder: Path) -> None:
    """One process is killed, and the other is in the middle of a step."""
    _fail_in_the_middle(folder, lambda: os.kill(os.getpid(), signal.SIGKILL))


def scenario_busy(folder: Path) -> None:
    """One process is killed, and the other does something that no message interrupts."""
    import torch

    from domainvl.training.processes import join_processes

    with join_processes(torch.device("cpu")) as processes:
        processes.barrier()
        if processes.rank == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(END_TIMEOUT_S)


def _fail_in_the_middle(folder: Path, fail: Any) -> None:
    import torch

    from domainvl.training.processes import join_processes

    with join_processes(torch.device("cpu")) as processes:
        _, parallel, optimizer = make_run("full", "ddp", processes)
        train(parallel, optimizer, processes, 0, 1)
        if processes.rank == 1:
            fail()
        train(parallel, optimizer, processes, 1, 1000)


def scenario_join(folder: Path) -> None:
    """Only come together."""
    import torch

    from domainvl.training.processes import join_processes

    with join_processes(torch.device("cpu"), rendezvous_s=3) as processes:
        processes.barrier()


def scenario_save_in_a_loop(folder: Path) -> None:
    """Save state after state until killed; one process."""
    import torch

    from domainvl.training.processes import Processes

    processes = Processes(0, 1, 0, torch.device("cpu"))
    parallel, optimizer = linear_run()
    for step in range(1, 100_000):
        set_to(parallel, step)
        save(folder, parallel, optimizer, processes, step, keep=2)
        if step == 1:
            sys.stdout.write("saving\n")
            sys.stdout.flush()


def linear_run() -> tuple[Any, Any]:
    """A module of two matrices and an optimizer that has stepped once."""
    import torch
    from torch import nn

    from domainvl.training.parallel import Parallel

    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(100, 80), nn.Linear(80, 64))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    module(torch.ones(1, 100)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    return Parallel(module, module, 1), optimizer


def set_to(parallel: Any, value: float) -> None:
    import torch

    with torch.no_grad():
        for parameter in parallel.parameters.values():
            parameter.fill_(value)


if __name__ == "__main__":
    faulthandler.dump_traceback_later(END_TIMEOUT_S - 5)  # where a process hangs that should not
    globals()[f"scenario_{sys.argv[1]}"](Path(sys.argv[2]))
