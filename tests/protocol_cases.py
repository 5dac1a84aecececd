"""Reads the golden cases of protocols: a few samples, a system's answers, and the numbers that follow by hand."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from pydantic import TypeAdapter

from domainvl.evaluation.facts import sample_facts
from domainvl.evaluation.predictions import Prediction, read_predictions
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.statistics.scores import CompositeScore, Score, SumScore, WeightedScore
from domainvl.schema import (
    Answer,
    BoxesAnswer,
    Image,
    Object,
    Provenance,
    Sample,
    Source,
    Split,
    Task,
    word,
)
from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import OrientedBox

_ANSWER: TypeAdapter[Answer] = TypeAdapter(Answer)


@dataclass(frozen=True)
class ExpectedLine:
    """A number that follows by hand."""

    name: str
    value: float | None
    n: int
    variant: str = "strict"
    unreadable: int = 0
    uncounted: int = 0


@dataclass(frozen=True)
class Case:
    """A golden case."""

    protocol: Protocol
    samples: list[Sample]
    predictions: list[Prediction]
    lines: list[ExpectedLine]
    left_out: dict[str, int]


def read_case(folder: Path) -> Case:
    """Read ``samples.yaml``, ``predictions.jsonl`` and ``expected.yaml``; the folder has the protocol's name."""
    protocol = load_protocol(folder.name)
    converter = protocol.converters[0] if protocol.converters else "any"
    content = yaml.safe_load((folder / "samples.yaml").read_text(encoding="utf-8"))
    rows = content["samples"] if isinstance(content, dict) else content
    samples = [make_case_sample(**{"converter": converter, "domain": protocol.domain, **row}) for row in rows]
    expected = yaml.safe_load((folder / "expected.yaml").read_text(encoding="utf-8"))
    lines = [ExpectedLine(**{**line, "value": _number(line["value"])}) for line in expected["lines"]]
    predictions = read_predictions(folder / "predictions.jsonl")
    return Case(protocol, samples, predictions, lines, expected.get("left_out", {}))


def make_case_sample(
    id: str,
    *,
    task: str = "vqa",
    answer: dict[str, Any] | None = None,
    boxes: list[tuple[str, list[float]]] | None = None,
    oriented: list[tuple[str, list[float]]] | None = None,
    ignored: list[tuple[str, list[float]]] | None = None,
    group: str | None = None,
    question: str = "What is it?",
    size_px: tuple[int, int] = (800, 800),
    details: dict[str, Any] | None = None,
    converter: str = "any",
    domain: str = "general",
) -> Sample:
    """Build a sample from what a row of ``samples.yaml`` says.

    Args:
        boxes: What is asked for, labels and pixels.
        oriented: What is asked for besides: labels, and centre x and y, width, height in pixels, angle in degrees.
        ignored: Objects to be ignored.
    """
    asked = [Object(id=str(index), label=label, box_px=tuple(box)) for index, (label, box) in enumerate(boxes or [])]
    asked += [_oriented(f"o{index}", label, box) for index, (label, box) in enumerate(oriented or [])]
    objects = (
        *asked,
        *(
            Object(id=f"i{index}", label=label, box_px=tuple(box), ignore=True)
            for index, (label, box) in enumerate(ignored or [])
        ),
    )
    truth: Answer
    if answer is None:
        truth = BoxesAnswer(object_ids=tuple(thing.id for thing in asked))
    else:
        truth = _ANSWER.validate_python(answer)
    source = Source(uri="a.png", details=details or {})
    images = (Image(path="a.png", width_px=size_px[0], height_px=size_px[1], pixel_sha256="0", source=source),)
    kind = Task(task)
    turns = word(domain=domain, task=kind, question=question, answer=truth, images=images, objects=objects)
    return Sample(
        id=id,
        domain=domain,
        task=kind,
        question=question,
        answer=truth,
        images=images,
        objects=objects,
        turns=turns,
        split=Split.TEST,
        group=group or id,
        provenance=Provenance(converter=converter, version="0", settings_sha256="0", wording="0"),
    )


def _oriented(name: str, label: str, box: list[float]) -> Object:
    center_x_px, center_y_px, width_px, height_px, angle_deg = box
    turned = OrientedBox(
        center_x_px=center_x_px, center_y_px=center_y_px, width_px=width_px, height_px=height_px, angle_deg=angle_deg
    )
    xs, ys = zip(*corners_of(turned), strict=True)
    return Object(id=name, label=label, box_px=(min(xs), min(ys), max(xs), max(ys)), oriented_box_px=turned)


def make_item(said: str, *, id: str = "s", **truth: Any) -> Item:
    """Build a sample with an answer to it; see :func:`make_case_sample`."""
    sample = make_case_sample(id, **truth)
    return Item(sample, Prediction(sample_id=id, text=said), sample_facts(sample))


def value_of(score: Score) -> float:
    """Compute a score over all its items, each once."""
    match score:
        case SumScore():
            return float(score.combine(score.terms.sum(axis=0)))
        case WeightedScore():
            return score.compute(np.ones(score.item_count))
        case CompositeScore():
            return float(score.combine(np.array([value_of(part) for part in score.parts])))


def _number(value: str | float | None) -> float | None:
    return None if value is None else float(Fraction(str(value)))
