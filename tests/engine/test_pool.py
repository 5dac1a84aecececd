"""Units in processes of their own: whatever one does to its process, the others are done."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest
from faults import SlowToLoad, Unloadable, work

from domainvl.engine import Limits, run_units
from domainvl.engine.pool import ProcessPool
from domainvl.errors import StoppedError

GOOD = [("double", n) for n in range(6)]
MEGABYTE = 1 << 20


def run(units, *, workers=2, **limits):
    with contextlib.closing(ProcessPool(work, workers=workers, limits=Limits(**limits))) as pool:
        return list(run_units(units, pool))


def test_units_are_done_in_as_many_processes_as_asked_for():
    outcomes = run([("pid",)] * 12, workers=3)

    pids = {outcome.result for outcome in outcomes}
    assert len(outcomes) == 12
    assert 1 < len(pids) <= 3
    assert os.getpid() not in pids


@pytest.mark.parametrize(
    ("kind", "limits", "reason", "part_of_message"),
    [
        ("boom", {}, "internal-error", "ZeroDivisionError at faults.py"),
        ("item", {}, "bad-item", "it is bad"),
        ("memory", {}, "out-of-memory", "could not get the memory"),
        ("odd result", {}, "internal-error", "its result cannot be sent"),
        ("exit", {}, "crash", "exit code 7"),
        ("segv", {}, "crash", f"signal {int(signal.SIGSEGV)} (Segmentation fault)"),
        ("hang", {"timeout_s": 0.5}, "timeout", "not done after 0.5 s"),
        (
            "hog",
            {"memory_bytes": 400 * MEGABYTE, "memory_alone_bytes": 500 * MEGABYTE},
            "out-of-memory",
            "more than 500 MiB",
        ),
    ],
)
def test_a_unit_that_goes_wrong_fails_alone(kind, limits, reason, part_of_message):
    outcomes = run([*GOOD[:3], (kind,), *GOOD[3:]], **limits)

    assert sorted(outcome.result for outcome in outcomes if outcome.failure is None) == [0, 2, 4, 6, 8, 10]
    ((unit, failure),) = [(outcome.unit, outcome.failure) for outcome in outcomes if outcome.failure is not None]
    assert unit == (kind,)
    assert failure.reason == reason
    assert part_of_message in failure.message


def test_a_hang_is_ended_while_others_keep_ending(tmp_path):
    """Each of the others is heard of long before the limit; all together they would take much longer than it."""
    other = ("note time", str(tmp_path / "note.txt"), 0.05)
    ended = []
    with contextlib.closing(ProcessPool(work, workers=2, limits=Limits(timeout_s=0.5))) as pool:
        pool.submit(("hang",), alone=False)
        pool.submit(other, alone=False)
        while len(ended) < 100 and not any(outcome.failure for outcome in ended):
            ended.append(pool.next_outcome())
            if ended[-1].failure is None:
                pool.submit(other, alone=False)

    assert ended[-1].failure.reason == "timeout"
    assert len(ended) < 60


def test_a_process_that_ended_while_it_was_idle_is_no_fault_of_the_next_unit():
    with contextlib.closing(ProcessPool(work, workers=1)) as pool:
        pool.submit(("pid",), alone=True)
        worker = psutil.Process(pool.next_outcome().result)
        worker.kill()
        # Waiting for it would take its exit code from the pool. Its pipe is open until its last thread has ended.
        while worker.status() != psutil.STATUS_ZOMBIE or worker.num_threads() > 1:
            time.sleep(0.01)
        pool.submit(("double", 4), alone=True)

        assert pool.next_outcome().result == 8


def test_a_crash_that_does_not_come_again_costs_nothing(tmp_path):
    outcomes = run([*GOOD, ("fail once", "exit", str(tmp_path / "crashed"))])

    assert [outcome.failure for outcome in outcomes] == [None] * 7
    assert outcomes[-1].result == "at last"


def test_the_second_try_has_the_machine_to_itself(tmp_path):
    """It fails at once and would be tried again while the others still run."""

    units = [("fail once", "segv", str(tmp_path / "crashed"))]
    units += [("note time", str(tmp_path / f"{n}.txt"), 0.4) for n in range(4)]
    ends = []
    with contextlib.closing(ProcessPool(work, workers=2)) as pool:
        for outcome in run_units(units, pool):
            ends.append((outcome.unit[0], time.monotonic()))

    assert ends[-1][0] == "fail once"
    assert all(float((tmp_path / f"{n}.txt").read_text().split()[1]) <= ends[-1][1] for n in range(4))


def test_one_that_runs_alone_may_take_more_memory():
    """Killed at its share beside others; alone it may take all, and so it ends by itself."""
    outcomes = run([("hog",)], memory_bytes=300 * MEGABYTE, memory_alone_bytes=8 << 30)

    assert outcomes[0].failure.reason == "internal-error"
    assert "AssertionError" in outcomes[0].failure.message


def test_the_time_of_a_process_to_start_is_not_the_units():
    """Starting takes longer than the limit here, and the unit less."""
    with contextlib.closing(ProcessPool(SlowToLoad(1.5), workers=1, limits=Limits(timeout_s=1.0))) as pool:
        (outcome,) = run_units([0.3], pool)

    assert outcome.failure is None


def test_a_process_says_as_much_as_its_parent_would(capfd, caplog):
    """What --debug promises; otherwise nothing, for the text of an error may hold names."""
    caplog.set_level("INFO", logger="domainvl")
    run([("boom",)])
    assert "the work broke" not in capfd.readouterr().err

    caplog.set_level("DEBUG", logger="domainvl")
    run([("boom",)])
    assert "ZeroDivisionError: the work broke" in capfd.readouterr().err


def test_a_full_disk_stops_the_run_and_no_process_is_left():
    pool = ProcessPool(work, workers=2)
    with pytest.raises(StoppedError, match="No space left"), contextlib.closing(pool):
        list(run_units([("hang",), ("full",)], pool))

    assert [child for child in psutil.Process().children() if "spawn_main" in " ".join(child.cmdline())] == []


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", [1, bytes(1 << 20)], ids=["small", "larger than a pipe"])
def test_work_that_no_process_can_load_stops_the_run(unit):
    with pytest.raises(StoppedError, match="Cannot start worker processes"):
        with contextlib.closing(ProcessPool(Unloadable(), workers=1)) as pool:
            list(run_units([unit], pool))


@pytest.mark.parametrize("kind", ["hang", "hang with the lock"])
def test_workers_end_with_the_parent_even_while_a_unit_hangs(tmp_path, kind):
    script = tmp_path / "parent.py"
    script.write_text(
        "import sys, time\n"
        "from faults import work\n"
        "from domainvl.engine.pool import ProcessPool\n"
        "if __name__ == '__main__':\n"
        "    pool = ProcessPool(work, workers=1)\n"
        "    pool.submit(('pid',), alone=False)\n"
        "    print(pool.next_outcome().result, flush=True)\n"
        f"    pool.submit(({kind!r},), alone=False)\n"
        "    time.sleep(60)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True, env=environment)
    with parent:
        worker = psutil.Process(int(parent.stdout.readline()))
        time.sleep(0.5)  # so that it hangs by then
        parent.kill()

    worker.wait(timeout=10)
