"""The state of an unfinished run: exact, atomic, and refused where it does not fit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from training import workers

from domainvl.errors import CheckpointError, OutputError, UsageError
from domainvl.training.parallel import Parallel
from domainvl.training.processes import Processes
from domainvl.training.state import newest_state

ONE = Processes(0, 1, 0, torch.device("cpu"))


def run_of(optimizer_class: type, seed: int = 0) -> SimpleNamespace:
    """A module, of which one bias is frozen, with weights large enough for 8 bits (bitsandbytes: 4096 numbers)."""
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(100, 80), nn.Linear(80, 64))
    module[0].bias.requires_grad_(False)
    parallel = Parallel(module, module, 1)
    return SimpleNamespace(
        module=module, parallel=parallel, optimizer=optimizer_class(parallel.parameters.values(), lr=1e-2)
    )


def steps(run: SimpleNamespace, first: int, last: int) -> None:
    for step in range(first, last):
        torch.manual_seed(step)
        run.module(torch.randn(4, 100)).pow(2).sum().backward()
        run.optimizer.step()
        run.optimizer.zero_grad()


def save(out: Path, run: SimpleNamespace, step: int = 3, **changes) -> None:
    workers.save(out, run.parallel, run.optimizer, ONE, step, **changes)


def restore(out: Path, run: SimpleNamespace, identity: dict | None = None):
    return workers.restore(out, run.parallel, run.optimizer, ONE, identity)


def optimizer_class(name: str) -> type:
    if name == "AdamW8bit":
        return pytest.importorskip("bitsandbytes").optim.AdamW8bit
    return getattr(torch.optim, name)


@pytest.mark.parametrize("name", ["AdamW", "AdamW8bit", "SGD"])
def test_resumed_equals_uninterrupted_to_the_last_bit(tmp_path: Path, name: str) -> None:
    kind = optimizer_class(name)
    whole, first, second = run_of(kind), run_of(kind), run_of(kind, seed=1)
    second.module[0].bias.data.copy_(first.module[0].bias)
    steps(whole, 0, 6)
    steps(first, 0, 3)
    save(tmp_path, first)
    assert restore(tmp_path, second).step == 3
    steps(second, 3, 6)
    for key, value in whole.module.state_dict().items():
        assert torch.equal(value, second.module.state_dict()[key]), key
    if name == "AdamW8bit":  # else the test would say nothing of 8 bits
        assert second.optimizer.state[second.module[0].weight]["state1"].dtype == torch.uint8


def test_only_what_is_trained_is_saved_and_nothing_is_pickled(tmp_path: Path) -> None:
    run = run_of(torch.optim.AdamW)
    steps(run, 0, 1)
    save(tmp_path, run, extra={"samples": 7, "name": "ä"})
    folder = newest_state(tmp_path)
    suffixes = {path.suffix for path in folder.iterdir()}
    assert suffixes == {".json", ".safetensors"}
    names = {name for path in folder.glob("*.safetensors") for name in load_file(path)}
    assert {name for name in names if name.startswith("parameter")} == {
        "parameter 0.weight",
        "parameter 1.weight",
        "parameter 1.bias",
    }
    assert restore(tmp_path, run).extra == {"samples": 7, "name": "ä"}


def test_frozen_weights_in_4_bits_are_no_part_of_it(tmp_path: Path) -> None:
    bitsandbytes = pytest.importorskip("bitsandbytes")
    torch.manual_seed(0)
    quantised = bitsandbytes.nn.Linear4bit(64, 64, bias=False, quant_type="nf4").to("cpu")
    module = nn.Sequential(quantised, nn.Linear(64, 64))
    quantised.requires_grad_(False)
    parallel = Parallel(module, module, 1)
    optimizer = bitsandbytes.optim.AdamW8bit(parallel.parameters.values(), lr=1e-2)
    module(torch.randn(2, 64)).sum().backward()
    optimizer.step()
    kept = {name: value.clone() for name, value in parallel.parameters.items()}
    workers.save(tmp_path, parallel, optimizer, ONE, 1)
    workers.with_noise(parallel)
    workers.restore(tmp_path, parallel, optimizer, ONE)
    assert kept.keys() == {"1.weight", "1.bias"}
    assert all(torch.equal(value, parallel.parameters[name]) for name, value in kept.items())


def test_the_last_states_are_kept(tmp_path: Path) -> None:
    run = run_of(torch.optim.AdamW)
    assert newest_state(tmp_path) is None
    for step in (3, 20, 100, 1_000_000):
        save(tmp_path, run, step, keep=2)
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == ["step-000100", "step-1000000"]
    assert newest_state(tmp_path).name == "step-1000000"
    assert restore(tmp_path, run).step == 1_000_000


def test_a_state_of_the_same_step_is_left_as_it_is(tmp_path: Path) -> None:
    run = run_of(torch.optim.AdamW)
    save(tmp_path, run, extra={"first": True})
    save(tmp_path, run, extra={"first": False})
    assert restore(tmp_path, run).extra == {"first": True}


def test_says_what_changed(tmp_path: Path) -> None:
    run = run_of(torch.optim.AdamW)
    save(tmp_path, run)
    with pytest.raises(UsageError, match=r"changed since the run was saved: data, model\."):
        restore(tmp_path, run, {"recipe": "a", "data": "c", "model": "d"})


def test_nothing_to_resume(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no saved state"):
        restore(tmp_path, run_of(torch.optim.AdamW))


@pytest.mark.parametrize("change", ["another size", "one more", "one less"])
def test_another_model_is_refused(tmp_path: Path, change: str) -> None:
    run = run_of(torch.optim.AdamW)
    save(tmp_path, run)
    module = nn.Sequential(nn.Linear(100, 80), nn.Linear(80, 32 if change == "another size" else 64))
    module[0].bias.requires_grad_(change == "one more")
    module[1].bias.requires_grad_(change != "one less")
    parallel = Parallel(module, module, 1)
    optimizer = torch.optim.AdamW(parallel.parameters.values())
    with pytest.raises(CheckpointError, match="not those of this model"):
        workers.restore(tmp_path, parallel, optimizer, ONE)


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    run = run_of(torch.optim.AdamW)
    save(tmp_path, run)
    file = next(newest_state(tmp_path).glob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="the state is damaged"):
        restore(tmp_path, run)
    (newest_state(tmp_path) / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="the state is damaged"):
        restore(tmp_path, run)


def test_a_full_disk_leaves_the_older_state(tmp_path: Path) -> None:
    """The limit of a file's size is met where a full disk would be: in the middle of writing the tensors."""
    program = f"""
import resource, signal, sys
sys.path[:0] = {[str(workers.HERE.parent), str(workers.HERE.parents[1])]!r}
import torch, workers
from pathlib import Path
from domainvl.errors import OutputError
from domainvl.training.processes import Processes
one = Processes(0, 1, 0, torch.device("cpu"))
parallel, optimizer = workers.linear_run()
out = Path({str(tmp_path)!r})
workers.save(out, parallel, optimizer, one, 1)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
try:
    workers.save(out, parallel, optimizer, one, 2)
except OutputError as error:
    sys.stdout.write(str(error))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=300)
    assert "Cannot write in" in done.stdout and "File too large" in done.stdout, done.stderr
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-000001"]


def test_a_full_disk_for_the_record_leaves_the_older_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(torch.optim.AdamW)
    save(tmp_path, run, 1)

    def refuse(*_: object, **__: object) -> int:
        raise OSError(28, os.strerror(28))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        with pytest.raises(OutputError, match="No space left"):
            save(tmp_path, run, 2)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["step-000001"]


@pytest.mark.slow
def test_killed_at_any_moment_the_newest_state_loads(tmp_path: Path) -> None:
    """Each state is all of one number: half of one and half of another would be seen."""
    parallel, optimizer = workers.linear_run()
    out = tmp_path / "run"
    environment = workers.environment(0, 1, 1)
    command = [sys.executable, str(workers.HERE), "save_in_a_loop", str(out)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "saving\n"
        copies = []
        for number in range(12):  # what a kill would leave: a copy of the names while the writer is stopped
            time.sleep(0.05 + 0.007 * number)
            writer.send_signal(signal.SIGSTOP)
            copies.append(tmp_path / f"copy-{number}")
            shutil.copytree(out, copies[-1])
            writer.send_signal(signal.SIGCONT)
        writer.kill()
    for folder in [*copies, out]:
        record = json.loads((newest_state(folder) / "state.json").read_text())
        restored = workers.restore(folder, parallel, optimizer, ONE)
        assert restored.step == record["step"]
        assert all(bool((value == restored.step).all()) for value in parallel.parameters.values())
    workers.save(out, parallel, optimizer, ONE, 10**6)  # and what was left half done is removed
    assert [path.name for path in (out / "state").iterdir()] == ["step-1000000"]
