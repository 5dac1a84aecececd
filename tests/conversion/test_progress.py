"""Counts and rates as they follow from their definitions, and one JSON line for each thing that happens."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from domainvl.conversion.progress import EventLog, Progress
from domainvl.errors import OutputError


@pytest.fixture
def progress(monkeypatch):
    """Ten seconds after the start: 20 of 100 units are done, 10 of them by an earlier run."""
    progress = Progress(planned=100, done=20, resumed=10, samples=7, bytes_read=30_000_000, drops=Counter(a=3, b=1))
    progress._started_s = 5.0
    monkeypatch.setattr("time.monotonic", lambda: 15.0)
    return progress


def test_rates(progress):
    assert progress.units_per_s == pytest.approx(1.0)
    assert progress.megabytes_per_s == pytest.approx(3.0)
    assert progress.remaining_s == pytest.approx(80.0)


def test_nothing_is_foretold_before_the_first_unit(progress):
    progress.done = progress.resumed

    assert progress.remaining_s is None
    assert "left" not in progress.summary()


def test_the_line_for_people(progress):
    assert progress.summary() == "20/100 units, 1.0/s, 3.0 MB/s, 7 samples, 80 s left, 3 a, 1 b"


def test_events_are_json_lines_after_those_of_an_earlier_run(tmp_path):
    path = tmp_path / "log.jsonl"
    for number in (1, 2):
        with EventLog(path) as log:
            log.write("unit", name="é", number=number)

    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [(line["event"], line["name"], line["number"]) for line in lines] == [("unit", "é", 1), ("unit", "é", 2)]
    assert all(isinstance(line["time_s"], float) for line in lines)


def test_without_a_file_nothing_is_written(tmp_path):
    with EventLog(None) as log:
        log.write("unit")

    assert list(tmp_path.iterdir()) == []


def test_a_log_that_cannot_be_written_is_told(tmp_path):
    with pytest.raises(OutputError, match="absent"), EventLog(tmp_path / "absent" / "log.jsonl"):
        pass
