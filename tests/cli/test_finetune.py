"""``domainvl finetune``: options, stopping and going on, full disks, several processes; by exit code and message."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from domainvl.cli.main import main
from domainvl.errors import ExitCode
from domainvl.training.log import read_log
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune
from domainvl.training.state import newest_state

STEPS = 30
CHANGES = [
    f"optimisation.max_steps={STEPS}",
    "optimisation.batch_size=4",
    "optimisation.learning_rate=1e-3",
    "validation.max_samples=3",
    "validation.answers=0",
    "validation.max_new_tokens=3",
    "packing.arrangement=packed",
]
TIMEOUT_S = 240


def command(model: Path, out: Path, *more: object, changes: tuple[str, ...] = ()) -> list[str]:
    settings = [text for change in (*CHANGES, *changes) for text in ("--set", change)]
    fixed = ["finetune", "--recipe", "quickstart/medical", "--model", str(model), "--out", str(out)]
    return [*fixed, *settings, *(str(one) for one in more)]


def train_rows(run: Path) -> list[dict]:
    return [row for row in read_log(run / "log.jsonl") if row["kind"] == "train"]


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in train_rows(run)]


def seen_samples(run: Path) -> dict[str, int]:
    rows = train_rows(run)
    return {name: sum(row["source_samples"][name] for row in rows) for name in rows[0]["source_samples"]}


@pytest.fixture(scope="module")
def untroubled(squares: Path, untrained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process that nothing happened to."""
    out = tmp_path_factory.mktemp("untroubled") / "run"
    assert main(command(untrained, out, "--data", squares)) == 0
    return out


@contextlib.contextmanager
def started(arguments: list[str], *launcher: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Start the command line as a process of its own, and leave none behind."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    process = subprocess.Popen(
        [sys.executable, *launcher, "-m", "domainvl", *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def wait_for_steps(count: int, run: Path, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end:
        if (run / "log.jsonl").is_file() and len(train_rows(run)) >= count:
            return
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)
    raise AssertionError(f"{count} steps took more than {TIMEOUT_S} s")


def stop_after(step: int, model: Path, data: Path, out: Path) -> None:
    """Start the run of the command and stop it after a step."""
    finetune(load_recipe("quickstart/medical", model=str(model), overrides=CHANGES), data, out, stop_after_step=step)


# Which data


def test_data_sets_of_the_domain_and_general_ones(squares: Path, untrained: Path, tmp_path: Path) -> None:
    more, general = (shutil.copytree(squares, tmp_path / name) for name in ("more", "general"))
    out = tmp_path / "run"
    data = ["--data", squares, "--data", more, "--general", general]
    changes = ("mixture.general_ratio=0.25", "optimisation.max_steps=null", "optimisation.epochs=1")
    changes += ("optimisation.batch_size=30",)
    assert main(command(untrained, out, *data, changes=changes)) == 0
    assert seen_samples(out) == {"squares": 36, "more": 36, "general": 18}
    sources = json.loads((out / "checkpoint" / "domainvl.json").read_text())["training"]["sources"]
    assert {name: source["role"] for name, source in sources.items()} == {
        "squares": "domain",
        "more": "domain",
        "general": "general",
    }


def test_a_mixture_file(squares: Path, untrained: Path, tmp_path: Path) -> None:
    shutil.copytree(squares, tmp_path / "web")
    sources = {"shapes": {"path": str(squares)}, "rest": {"path": "web", "role": "general", "repeat": 0.5}}
    (tmp_path / "mixture.yaml").write_text(yaml.safe_dump({"sources": sources}))
    out = tmp_path / "run"
    changes = ("optimisation.max_steps=null", "optimisation.epochs=1", "optimisation.batch_size=30")
    assert main(command(untrained, out, "--mixture", tmp_path / "mixture.yaml", changes=changes)) == 0
    assert seen_samples(out) == {"shapes": 36, "rest": 18}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "either --data or --mixture must be given, and not both"),
        (["--data", "DATA", "--mixture", "m.yaml"], "either --data or --mixture must be given, and not both"),
        (["--mixture", "m.yaml", "--general", "DATA"], "--general goes with --data"),
        (["--general", "DATA"], "either --data or --mixture must be given"),
        (["--data", "DATA", "--data", "DATA"], "it is named twice"),
        (["--data", "DATA", "lora.rank=2,4"], "'lora.rank=2,4' stands alone. Values to try go with --sweep."),
        (["--data", "DATA", "--sweep", "lora.rank=2,4", "--dry-run"], "--sweep does not go with --dry-run"),
        (["--data", "DATA", "--sweep", "lora.rank=2,4", "--vision-cache", "x"], "does not go with --vision-cache"),
        (["--data", "DATA", "--sweep", "lora.rnk=2,4"], "unknown key lora.rnk (did you mean rank?)"),
        (["--data", "DATA", "--sweep", "lora.rank"], "a dimension has the form key=value,value"),
    ],
)
def test_options_that_contradict_each_other(
    squares: Path, untrained: Path, tmp_path: Path, capsys, options: list[str], message: str
) -> None:
    given = [str(squares) if option == "DATA" else option for option in options]
    assert main(command(untrained, tmp_path / "run", *given)) == ExitCode.USAGE
    error = " ".join(capsys.readouterr().err.split())
    assert error.count("Error: ") == 1
    assert message in error
    assert not (tmp_path / "run").exists()


# Without training, and many times


def test_a_dry_run_says_what_would_happen_and_writes_nothing(
    squares: Path, untrained: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, model = shutil.copytree(squares, tmp_path / "data"), shutil.copytree(untrained, tmp_path / "model")
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    changes = ("compute.cache_vision=true", "lora.vision=frozen")
    assert main(command(model, tmp_path / "run", "--data", data, "--dry-run", changes=changes)) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    lines = capsys.readouterr().out.splitlines()
    said = {line.split()[0] for line in lines if not line.startswith(" ")}
    assert said >= {"recipe", "source", "plan", "steps", "fill", "memory", "time"}
    assert any(line.startswith(f"steps      {STEPS}, ") for line in lines)


@pytest.mark.slow
def test_a_sweep_of_two_keys(squares: Path, untrained: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "sweep"
    sweep = ["--sweep", "optimisation.learning_rate=1e-3,3e-3", "lora.rank=2,4"]
    changes = ("optimisation.max_steps=1", "validation.max_samples=0")
    assert main(command(untrained, out, "--data", squares, *sweep, changes=changes)) == 0
    names = {f"learning_rate={rate}_rank={rank}" for rate in ("1e-3", "3e-3") for rank in (2, 4)}
    assert {path.name for path in out.iterdir() if path.is_dir()} == names
    assert all((out / name / "checkpoint").is_dir() for name in names)
    assert (out / "sweep.md").read_text().strip() in capsys.readouterr().out
    assert len((out / "sweep.csv").read_text().splitlines()) == 5


# Stopping and going on


@pytest.mark.slow
def test_a_signal_ends_a_run_that_then_goes_on(
    squares: Path, untrained: Path, untroubled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    arguments = command(untrained, out, "--data", squares)
    with started(arguments) as process:
        wait_for_steps(1, out, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=TIMEOUT_S)
    assert process.returncode == ExitCode.STOPPED, output
    said = " ".join(output.split())
    assert "SIGTERM: stopping after this step" in said
    assert f"Error: Stopped in {out}: at step " in said
    assert f" of {STEPS}, the state is saved. Go on with the same command and --resume." in said
    assert "Traceback" not in output
    assert 0 < len(losses(out)) < STEPS
    assert not (out / "checkpoint").exists()
    assert main([*arguments, "--resume"]) == 0
    assert losses(out) == losses(untroubled)
    assert (out / "checkpoint").is_dir() and newest_state(out) is None


def test_a_run_of_other_data_is_not_gone_on_with(squares: Path, untrained: Path, tmp_path: Path, capsys) -> None:
    data, out = shutil.copytree(squares, tmp_path / "squares"), tmp_path / "run"
    arguments = command(untrained, out, "--data", data)
    stop_after(1, untrained, data, out)
    more = shutil.copytree(squares, tmp_path / "more")
    assert main([*arguments, "--data", str(more), "--resume"]) == ExitCode.USAGE
    assert "changed since the run was saved: data, held-out data, plan. Use the same recipe" in " ".join(
        capsys.readouterr().err.split()
    )
    lines = (data / "train.jsonl").read_text().splitlines()
    (data / "train.jsonl").write_text("\n".join(reversed(lines)) + "\n")
    assert main([*arguments, "--resume"]) == ExitCode.USAGE
    assert "Error: Cannot resume" in capsys.readouterr().err
    assert newest_state(out).name == "step-000001"


def test_a_run_that_exists_is_kept_and_one_without_a_state_begins_at_the_start(
    squares: Path, untrained: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "run").mkdir()
    assert main(command(untrained, tmp_path / "run", "--data", squares)) == ExitCode.USAGE
    assert "the folder exists. Name another, or add --resume." in " ".join(capsys.readouterr().err.split())
    assert main(command(untrained, tmp_path / "run", "--data", squares, "--resume")) == ExitCode.DONE
    assert "the run begins at the start" in " ".join(capsys.readouterr().err.split())
    assert main(command(untrained, tmp_path / "run", "--data", squares, "--resume")) == ExitCode.USAGE
    assert "the run in it is finished." in " ".join(capsys.readouterr().err.split())


def test_numbers_that_are_no_longer_finite(squares: Path, untrained: Path, tmp_path: Path, capsys) -> None:
    changes = ("optimisation.learning_rate=1e30", "saving.every_steps=1")
    out = tmp_path / "run"
    assert main(command(untrained, out, "--data", squares, changes=changes)) == ExitCode.STOPPED
    error = " ".join(capsys.readouterr().err.split())
    assert error.count("Error: ") == 1
    assert "Error: The run diverged at step " in error
    assert f"; the state {newest_state(out).name} is kept" in error
    assert not (out / "checkpoint").exists()


# A full disk

WITH_FULL_DISK = """
import json, resource, sys
from domainvl.cli.main import main

_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
for limit, arguments in json.loads(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    sys.stderr.write(f"exit code {main(arguments)}\\n")
"""
"""Runs commands one after the other while no file may be longer than a limit, as if a disk filled up there."""


@pytest.mark.slow
def test_a_full_disk_ends_the_run_with_one_message_and_keeps_what_was_saved(
    squares: Path, untrained: Path, untroubled: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    stop_after(2, untrained, squares, out)
    saved = {path: path.read_bytes() for path in newest_state(out).rglob("*") if path.is_file()}
    resumed = command(untrained, out, "--data", squares, "--resume")
    best = ["--set", "validation.every_steps=1", "--set", "validation.keep_best=true"]
    cases = {
        f"{out / 'recipe.yaml'}: ": (10, resumed),  # not even the recipe can be written
        f"{out / 'state' / '.step-000003.partial'}: ": (10_000, [*resumed, "--set", "saving.every_steps=1"]),
        f"{out / '.best.partial'}: ": (10_000, [*resumed, *best]),
    }
    done = subprocess.run(
        [sys.executable, "-c", WITH_FULL_DISK, json.dumps(list(cases.values()))],
        capture_output=True, text=True, timeout=TIMEOUT_S, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith(("Error: ", "Internal error: ", "exit"))]
    assert errors[1::2] == [f"exit code {ExitCode.STOPPED:d}"] * len(cases), errors
    for place, error in zip(cases, errors[::2], strict=True):
        assert error.startswith(f"Error: Cannot write in {place}")
        assert error.endswith(
            "File too large. Make room or make the folder writable, then give the same command again."
        )
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in newest_state(out).rglob("*") if path.is_file()} == saved
    assert not (out / "best").exists()
    assert main(resumed) == 0
    assert losses(out) == losses(untroubled)


# Several processes


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["fsdp"])  # what DDP does is tested without the command line
def test_two_processes_equal_one_and_one_goes_on_where_two_stopped(
    squares: Path, untrained: Path, untroubled: Path, tmp_path: Path, parallel: str
) -> None:
    """torchrun passes the signal on; what is done until then is compared, and so is what comes after."""
    out = tmp_path / "run"
    arguments = command(untrained, out, "--data", squares, changes=(f"compute.parallel={parallel}",))
    with started(arguments, *TORCHRUN) as launcher:
        wait_for_steps(8, out, launcher)
        launcher.send_signal(signal.SIGTERM)
        output, _ = launcher.communicate(timeout=TIMEOUT_S)
    assert launcher.returncode != 0
    assert "the state is saved. Go on with the same command and --resume." in " ".join(output.split()), output
    done = len(losses(out))
    assert 8 <= done < STEPS
    assert newest_state(out).name == f"step-{done:06d}"
    assert main([*arguments, "--resume"]) == 0
    assert losses(out) == pytest.approx(losses(untroubled), rel=1e-5)


def test_a_port_in_use(squares: Path, untrained: Path, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for name, value in {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": 2, "MASTER_PORT": port}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
        assert main(command(untrained, tmp_path / "run", "--data", squares)) == ExitCode.USAGE
    error = " ".join(capsys.readouterr().err.split())
    assert error.count("Error: ") == 1
    assert f"127.0.0.1:{port}: the port is in use. Name another port: torchrun --master-port, or MASTER_PORT." in error
    assert not (tmp_path / "run").exists()
