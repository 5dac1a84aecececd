"""The same work on a local Ray: the same outcomes, the same isolation."""

from __future__ import annotations

import contextlib
import os
import sys

import pytest
from faults import Unloadable, work

from domainvl.engine import Limits, run_units
from domainvl.engine.on_ray import RayExecutor
from domainvl.errors import StoppedError, UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module", autouse=True)
def cluster():
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    before = dict(os.environ)
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    runtime_env = {"env_vars": {"PYTHONPATH": os.pathsep.join(sys.path)}}
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=runtime_env)
    yield
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


def run(units, **limits):
    with contextlib.closing(RayExecutor(work, limits=Limits(**limits))) as executor:
        return list(run_units(units, executor))


def test_failures_are_isolated_and_crashes_tried_again(tmp_path):
    once = ("fail once", "exit", str(tmp_path / "crashed"))
    outcomes = run([("double", 1), ("boom",), ("exit",), ("item",), once, ("double", 2)])

    found = {outcome.unit: outcome.failure.reason if outcome.failure else outcome.result for outcome in outcomes}
    assert found == {
        ("double", 1): 2,
        ("boom",): "internal-error",
        ("exit",): "crash",
        ("item",): "bad-item",
        once: "at last",
        ("double", 2): 4,
    }


def test_a_hang_is_ended():
    outcomes = run([("double", 1), ("hang",)], timeout_s=4.0)

    assert {outcome.unit: outcome.failure and outcome.failure.reason for outcome in outcomes} == {
        ("double", 1): None,
        ("hang",): "timeout",
    }


def test_a_full_disk_stops_the_run():
    with pytest.raises(StoppedError, match="No space left"):
        run([("full",)])


def test_work_that_the_cluster_cannot_load_stops_the_run():
    with pytest.raises(StoppedError, match="Install the same domainvl and converters on all nodes"):
        with contextlib.closing(RayExecutor(Unloadable())) as executor:
            list(run_units([1], executor))


def test_its_absence_is_told_with_the_way_out(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'domainvl\[ray\]'"):
        RayExecutor(work)
