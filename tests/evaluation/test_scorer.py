"""Scores while a model is trained are those of the evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.evaluation.scorer import share_right
from domainvl.schema import Split, Task, read_samples


def test_right_and_wrong_answers_are_counted(squares: Path) -> None:
    samples = list(read_samples(squares, Split.VAL))
    right = [(sample, sample.turns[-1].text) for sample in samples]
    assert share_right(right) == 1.0
    assert share_right([*right, *((sample, "nothing") for sample, _ in right)]) == pytest.approx(0.5)


def test_free_text_is_left_aside(squares: Path) -> None:
    sample = next(iter(read_samples(squares, Split.VAL)))
    caption = sample.model_copy(update={"task": Task.CAPTION})
    assert share_right([(caption, "anything")]) is None
    assert share_right([(caption, "anything"), (sample, sample.turns[-1].text)]) == 1.0
    assert share_right([]) is None
