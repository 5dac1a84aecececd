"""The log on disk: after kills, resumes, numbers that are not finite, and a full disk."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from domainvl.errors import OutputError, UsageError
from domainvl.training.log import Log, read_log


def train(step: int) -> dict[str, Any]:
    return {"kind": "train", "step": step, "loss": 1 / step}


class Recorder:
    def __init__(self) -> None:
        self.steps: list[int] = []
        self.flushed = self.closed = 0

    def write(self, row: Mapping[str, Any]) -> None:
        self.steps.append(row["step"])

    def flush(self) -> None:
        self.flushed += 1

    def close(self) -> None:
        self.closed += 1


def write_steps(path: Path, *steps: int, first_step: int = 0) -> None:
    with Log(path, first_step) as log:
        for step in steps:
            log.write(train(step))


def test_resumed_log_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    write_steps(tmp_path / "whole", 1, 2, 3, 4)
    write_steps(tmp_path / "parts", 1, 2, 3)
    write_steps(tmp_path / "parts", 3, 4, first_step=2)
    assert (tmp_path / "parts").read_bytes() == (tmp_path / "whole").read_bytes()


def test_rows_of_before_are_kept_and_not_shown_again(tmp_path: Path) -> None:
    write_steps(tmp_path / "log", 1, 2, 3)
    shown: list[int] = []
    tracker = Recorder()
    with Log(tmp_path / "log", 2, lambda row: shown.append(row["step"]), [tracker]) as log:
        assert [row["step"] for row in log.rows] == [1, 2]
        log.write(train(3))
        assert [row["step"] for row in log.rows] == [1, 2, 3]
    assert shown == tracker.steps == [3]
    assert tracker.closed == 1


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    write_steps(tmp_path / "log", 1, 2)
    write_steps(tmp_path / "log", 1)
    assert [row["step"] for row in read_log(tmp_path / "log")] == [1]


@pytest.mark.parametrize(
    "tail", ['{"kind": "train", "st', '{"kind": "train", "step": 3}', '{"kind": "tr\n', "\0\0\0\n"]
)
def test_a_half_written_last_line_is_no_row(tmp_path: Path, tail: str) -> None:
    write_steps(tmp_path / "log", 1, 2)
    with (tmp_path / "log").open("a") as file:
        file.write(tail)
    write_steps(tmp_path / "log", 3, first_step=2)
    assert [row["step"] for row in read_log(tmp_path / "log")] == [1, 2, 3]


@pytest.mark.parametrize("damaged", ["{", "3", '{"step": 2}', '{"kind": "train"}', '{"kind": "train", "step": "2"}'])
def test_another_damaged_line_is_named(tmp_path: Path, damaged: str) -> None:
    write_steps(tmp_path / "log", 1, 2, 3)
    lines = (tmp_path / "log").read_text().splitlines()
    content = "\n".join([lines[0], damaged, lines[2]]) + "\n"
    (tmp_path / "log").write_text(content)
    with pytest.raises(UsageError, match=r"log:2: each line must be one JSON object"):
        Log(tmp_path / "log", 3)
    assert (tmp_path / "log").read_text() == content


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    row = {"kind": "answer", "step": 1, "answered": "a\u2028b\x85c\r\nd"}
    with Log(tmp_path / "log") as log:
        log.write(row)
        log.write(train(1))
    assert read_log(tmp_path / "log") == [row, train(1)]


def test_numbers_that_are_not_finite_are_null(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.write({**train(1), "loss": math.nan, "source_losses": {"a": math.inf, "b": 1.0}, "list": (2.0, -math.inf)})
    expected = {**train(1), "loss": None, "source_losses": {"a": None, "b": 1.0}, "list": [2.0, None]}
    assert read_log(tmp_path / "log") == log.rows == [expected]


def test_each_row_is_on_its_way_at_once(tmp_path: Path) -> None:
    with Log(tmp_path / "log") as log:
        log.write(train(1))
        assert json.loads((tmp_path / "log").read_text()) == train(1)


def test_where_another_process_writes_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tracker = Recorder()
    with Log(None, 2, trackers=[tracker]) as log:
        log.write(train(3))
        log.sync()
    assert log.rows == [train(3)]
    assert list(tmp_path.iterdir()) == []
    assert tracker.flushed == 1


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    log = Log(tmp_path / "log")
    assert log._file is not None
    log._file.close()
    log._file = open("/dev/full", "a")
    with pytest.raises(OutputError, match=r"Cannot write in .*log: No space left on device"):
        log.write(train(1))
    with pytest.raises(OutputError, match="No space left on device"), log:
        pass


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Cannot write"):
        Log(tmp_path / "file" / "log")
