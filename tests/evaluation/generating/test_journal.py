"""The journal keeps what was answered through any kill, and never mixes answers of different runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.errors import UsageError
from domainvl.evaluation.generating.journal import Journal
from domainvl.evaluation.predictions import Prediction

IDENTITY = {"weights": "abc", "data": "def"}
ANSWERS = [
    Prediction(sample_id="a", text="left\nlung \u2028", likelihood=0.5, options={"yes": 0.25, "no": 0.75}),
    Prediction(sample_id="b", text="", likelihood=0.0, cut_off=True),
    Prediction(sample_id="c", text="<box>[[1, 2, 3, 4]]</box>", token_count=9),
]


def test_a_file_cut_anywhere_keeps_every_complete_answer(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path, IDENTITY) as journal:
        journal.add(ANSWERS)
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        complete = whole[:length].count(b"\n") - 1
        with Journal(path, IDENTITY) as journal:
            assert list(journal.answers.values()) == ANSWERS[: max(complete, 0)]
            journal.add(ANSWERS[max(complete, 0) :])
        assert path.read_bytes() == whole


def test_zeros_that_a_failing_machine_left_are_dropped(tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    with Journal(path, IDENTITY) as journal:
        journal.add(ANSWERS[:1])
    path.write_bytes(path.read_bytes() + b"\0" * 30 + b"\n")
    with Journal(path, IDENTITY) as journal:
        assert list(journal.answers) == ["a"]
        journal.add(ANSWERS[1:])
    with Journal(path, IDENTITY) as journal:
        assert list(journal.answers) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"identity": {"weights": "other", "data": "def"}}\n', "weights was other and is abc"),
        ('{"identity": {"data": "def"}}\n', "weights was None and is abc"),
        ("[]\n", "does not say what it is about"),
        ('{"sample_id": "a", "text": "yes"}\n', "does not say what it is about"),
    ],
)
def test_answers_of_another_run_are_refused_and_kept(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "answers.jsonl"
    path.write_text(content)
    with pytest.raises(UsageError, match=message):
        Journal(path, IDENTITY)
    assert path.read_text() == content
