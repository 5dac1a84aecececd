"""What a model has forgotten: the evaluation on the general set, and that it is never another model's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from domainvl.errors import UsageError
from domainvl.evaluation.contestants import ADAPTED, BASE, Contestants
from domainvl.evaluation.forgetting import evaluate_with_general
from domainvl.evaluation.results import read_results
from domainvl.evaluation.run import EvaluationSettings

SETTINGS = EvaluationSettings(max_new_tokens=2, measure_cost=False, limit=6)


class _Killed(Exception):
    pass


def test_it_goes_on_from_the_general_set_of_the_same_run_alone(untrained: Path, squares: Path, tmp_path: Path) -> None:
    contestants = Contestants(model=str(untrained), base=str(untrained))
    systems: list[str] = []

    def kill(system: str, done: int, _: int) -> None:
        systems.append(system)
        if not system.endswith(", general"):
            raise _Killed

    def run(settings: EvaluationSettings, on_progress=None) -> None:
        evaluate_with_general(
            contestants, squares, tmp_path / "out", squares, settings=settings, on_progress=on_progress
        )

    with pytest.raises(_Killed):
        run(SETTINGS, kill)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="the general set there is of another limit"):
        run(replace(SETTINGS, limit=5))
    other = replace(SETTINGS, max_new_tokens=3)
    with pytest.raises(UsageError, match="of another longest answer"):
        run(other)
    shutil.rmtree(tmp_path / ".out.partial")
    systems.clear()
    run(replace(SETTINGS, batch_size=1), lambda system, *_: systems.append(system))
    assert not [system for system in systems if system.endswith(", general")]
    general = read_results(tmp_path / "out" / "general")
    assert [system.name for system in general.systems] == [ADAPTED, BASE]
    assert general.data.limit == 6
    assert not list(tmp_path.glob(".out*"))


def test_it_needs_a_model(squares: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--general needs --model"):
        evaluate_with_general(Contestants(), squares, tmp_path / "other", squares, settings=SETTINGS)
