"""Several processes: who they are, and that none waits for one that is dead."""

import socket
from pathlib import Path

import pytest
import torch
from training import workers

from domainvl.errors import ExitCode, UsageError
from domainvl.training import processes as module
from domainvl.training.processes import _read_launcher, join_processes

LAUNCHED = {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
CPU = torch.device("cpu")


def test_without_a_launcher_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in LAUNCHED:
        monkeypatch.delenv(name, raising=False)
    with join_processes(CPU) as processes:
        assert (processes.rank, processes.world_size, processes.device, processes.is_first) == (0, 1, CPU, True)
        assert processes.sum([1, 2.5]) == [1.0, 2.5]
        assert processes.any(True) and not processes.any(False)
        assert processes.gather_objects("x") == ["x"]
        processes.barrier()
        assert not torch.distributed.is_initialized()


def test_a_launcher_of_one_process_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**LAUNCHED, "RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}.items():
        monkeypatch.setenv(name, value)
    with join_processes(CPU) as processes:
        assert processes.world_size == 1 and not torch.distributed.is_initialized()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"MASTER_PORT": ""}, "missing: ['MASTER_PORT']"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number, got 'two'"),
        ({"RANK": "2"}, "RANK must be below WORLD_SIZE, got 2 and 2"),
    ],
)
def test_variables_that_contradict_each_other(changes: dict[str, str], rule: str) -> None:
    with pytest.raises(UsageError) as raised:
        _read_launcher({**LAUNCHED, **changes})
    assert rule in str(raised.value) and "torchrun" in str(raised.value)


@pytest.mark.slow
def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with workers.started("join", tmp_path, ranks=(0,), port=port) as (first,):
            assert first.wait() != 0
        assert f"UsageError: Cannot start the processes in 127.0.0.1:{port}: the port is in use." in first.output


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_a_process_that_does_not_come(tmp_path: Path, rank: int) -> None:
    """The scenario waits three seconds."""
    with workers.started("join", tmp_path, ranks=(rank,)) as (alone,):
        assert alone.wait() != 0
    assert "UsageError" in alone.output and "waited 3 s and not all 2 came" in alone.output


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["raise", "die"])
def test_a_process_that_fails_or_is_killed_ends_the_other(tmp_path: Path, scenario: str) -> None:
    with workers.started(scenario, tmp_path) as (first, second):
        second.wait()
        assert first.wait() != 0
    assert "StoppedError: The run ended: another of its processes died or ended with an error." in first.output
    assert ("rank 1 found something wrong" in second.output) == (scenario == "raise")


@pytest.mark.slow
def test_a_killed_process_ends_one_that_hears_nothing(tmp_path: Path) -> None:
    """As where a GPU waits: no call fails, and only the watch beside it can end the process."""
    with workers.started("busy", tmp_path) as (first, second):
        second.wait()
        assert first.wait() == ExitCode.STOPPED
    assert "The run ended: another of its processes died" in first.output and "--resume" in first.output


def test_a_dead_process_is_missed_within_a_minute() -> None:
    assert module._ROUND_S + module._SILENCE_S + module._GRACE_S < 60
