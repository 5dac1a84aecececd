"""Experiments on the samples of an evaluation are made beside it, by the same questions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domainvl.errors import UsageError
from domainvl.evaluation.contestants import Contestants
from domainvl.evaluation.further import shot_experiment, tile_experiment
from domainvl.evaluation.results import read_results
from domainvl.evaluation.run import EvaluationSettings, evaluate


def test_tiles_and_shots_are_written_beside_and_told(untrained: Path, squares: Path, tmp_path: Path) -> None:
    seen: set[str] = set()
    experiments = [
        tile_experiment(str(untrained), [1, 2], lambda name, *_: seen.add(name)),
        shot_experiment(str(untrained), [0, 1], "rices"),
    ]
    settings = EvaluationSettings(max_new_tokens=2, measure_cost=False, limit=6)
    contestants = Contestants(model=str(untrained), baselines=False)
    evaluate(contestants, squares, tmp_path / "scores", settings=settings, further=experiments)
    tiles = json.loads((tmp_path / "scores" / "tiles.json").read_text())
    shots = json.loads((tmp_path / "scores" / "shots.json").read_text())
    limits = [point["max_tiles"] for point in tiles["points"]]
    assert {1, 2} <= set(limits)
    assert [point["shots"] for point in shots["points"]] == [0, 1]
    assert shots["n"] == 6
    tables = (tmp_path / "scores" / "scores.md").read_text()
    assert "| tiles " in tables
    assert "slope a shot: " in tables
    assert {f"tiles-{limit}" for limit in limits} == seen
    results = read_results(tmp_path / "scores")
    headline = next(line for line in results.lines if line.name == results.headline)
    own = next(point for point in tiles["points"] if point["max_tiles"] == tiles["own"])
    assert own["score"]["value"] == headline.values["adapted"].value == shots["points"][0]["score"]["value"]
    assert not list((tmp_path / "scores").glob("answers-*"))


def test_another_way_to_choose_is_refused(untrained: Path) -> None:
    with pytest.raises(UsageError, match="random or rices, got 'best'"):
        shot_experiment(str(untrained), [0], "best")
    with pytest.raises(UsageError, match=r"numbers from 1 on, got \[0\]"):
        tile_experiment(str(untrained), [0])
