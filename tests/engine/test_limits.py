"""What a unit may take: what the user says, else a share of the machine."""

from __future__ import annotations

import os

import psutil
import pytest

from domainvl.engine import default_limits, limits, usable_cores
from domainvl.engine.limits import usable_memory_bytes


def test_workers_share_four_fifths_of_the_memory_and_one_alone_has_them_all(monkeypatch):
    monkeypatch.setattr(limits, "usable_memory_bytes", lambda: 1000)

    found = default_limits(4, timeout_s=3.0, memory_bytes=None)

    assert (found.timeout_s, found.memory_bytes, found.memory_alone_bytes) == (3.0, 200, 800)
    assert (found.memory_limit_bytes(alone=False), found.memory_limit_bytes(alone=True)) == (200, 800)


def test_what_the_user_says_holds_alone_too():
    found = default_limits(4, timeout_s=None, memory_bytes=77)

    assert (found.timeout_s, found.memory_bytes, found.memory_alone_bytes) == (None, 77, 77)


@pytest.mark.parametrize(("text", "is_lower"), [("4096\n", True), ("max\n", False), (str(1 << 60), False)])
def test_a_container_may_have_less_than_the_machine(tmp_path, monkeypatch, text, is_lower):
    (tmp_path / "memory.max").write_text(text)
    monkeypatch.setattr(limits, "_CGROUP_LIMITS", (tmp_path / "absent", tmp_path / "memory.max"))

    assert usable_memory_bytes() == (4096 if is_lower else psutil.virtual_memory().total)


def test_a_job_may_have_less_than_its_container(tmp_path, monkeypatch):
    (tmp_path / "slurm" / "job1" / "step0").mkdir(parents=True)
    (tmp_path / "slurm" / "job1" / "memory.max").write_text("8192\n")
    (tmp_path / "slurm" / "job1" / "step0" / "memory.max").write_text("max\n")
    (tmp_path / "own").write_text("1:name=systemd:/other\n0::/slurm/job1/step0\n")
    monkeypatch.setattr(limits, "_CGROUP_LIMITS", ())
    monkeypatch.setattr(limits, "_CGROUP_ROOT", tmp_path)
    monkeypatch.setattr(limits, "_OWN_CGROUP", tmp_path / "own")

    assert usable_memory_bytes() == 8192


def test_only_cores_that_may_be_used_count():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert usable_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)
