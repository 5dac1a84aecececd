"""Rates of a run by a clock that is set by hand."""

from __future__ import annotations

import pytest
import torch

from domainvl.training.rates import MEASURED_KEYS, Rates, Totals, peak_memory, without_measured


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_those_of_the_definition() -> None:
    clock = Clock()
    rates = Rates(0, 4, clock)
    with rates.waiting():
        clock.now += 1
    clock.now += 3
    row = rates.finish_step(samples=8, tokens=400, tiles=12)
    assert row == {
        "percent": 25.0,
        "step_seconds": 4.0,
        "seconds_left": 12.0,
        "samples_per_second": 2.0,
        "tokens_per_second": 100.0,
        "tiles_per_second": 3.0,
        "waiting_share": 0.25,
    }


def test_the_slow_first_step_is_forgotten() -> None:
    clock = Clock()
    rates = Rates(0, 10, clock)
    clock.now += 60
    rates.finish_step(samples=1, tokens=1, tiles=1)
    for _ in range(2):
        clock.now += 2
        row = rates.finish_step(samples=4, tokens=10, tiles=0)
    assert row["seconds_left"] == 7 * 2
    assert row["samples_per_second"] == 2.0
    assert row["tiles_per_second"] == 0.0
    assert rates.totals == Totals(steps=3, samples=9, tokens=21, tiles=1, seconds=64.0)


def test_rates_follow_a_change() -> None:
    clock = Clock()
    rates = Rates(0, 100, clock)
    for seconds in [1] * 30 + [3] * 20:
        clock.now += seconds
        row = rates.finish_step(samples=1, tokens=3, tiles=0)
    assert row["tokens_per_second"] == pytest.approx(1.0)
    assert row["seconds_left"] == pytest.approx(50 * 3)


def test_pauses_count_to_the_time_left_and_to_no_step() -> None:
    clock = Clock()
    rates = Rates(0, 10, clock)
    clock.now += 2
    rates.finish_step(samples=1, tokens=1, tiles=1)
    with rates.paused():
        clock.now += 10
    clock.now += 2
    row = rates.finish_step(samples=1, tokens=1, tiles=1)
    assert row["step_seconds"] == 2.0
    assert row["seconds_left"] == 8 * (2 + 10 / 2)  # a pause of 10 s each second step
    clock.now += 2
    assert rates.finish_step(samples=1, tokens=1, tiles=1)["step_seconds"] == 2.0  # a pause counts once
    assert rates.totals.paused_seconds == 10.0


def test_a_resumed_run_counts_from_its_step() -> None:
    clock = Clock()
    rates = Rates(6, 8, clock)
    clock.now += 5
    row = rates.finish_step(samples=1, tokens=1, tiles=1)
    assert row["percent"] == 87.5
    assert row["seconds_left"] == 5.0


def test_a_clock_that_stands_still_divides_by_nothing() -> None:
    row = Rates(0, 1, Clock()).finish_step(samples=1, tokens=1, tiles=1)
    assert row["samples_per_second"] == row["waiting_share"] == row["seconds_left"] == 0.0


def test_all_that_is_measured_is_listed() -> None:
    row = {**Rates(0, 1, Clock()).finish_step(samples=1, tokens=1, tiles=1), **peak_memory(torch.device("cpu"))}
    assert without_measured(row) == {"percent": 100.0}
    assert row.keys() - {"percent"} <= MEASURED_KEYS


def test_memory_is_that_of_the_process() -> None:
    import psutil

    peak = peak_memory(torch.device("cpu"))
    assert peak.keys() == {"peak_memory_bytes"}
    assert 0.5 * psutil.Process().memory_info().rss < peak["peak_memory_bytes"] < psutil.virtual_memory().total
