"""Which official ids a submission needs and the data set lacks.

DriveLM's scorer looks up the answer to every id of its reference and stops with an error at the first that is not there
(OpenDriveLab/DriveLM, challenge/evaluation.py), so that one missing answer costs all the others.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from domainvl.schema import Reject, Sample, Severity

from .asking import DETAILS

_NAME = re.compile(r"(?P<scene>[^_\s]+)(?:_(?P<frame>[^_\s]+)(?:_(?P<number>\d+))?)?")
"""What a reject is about: a scene, a key frame or a question."""

_TOKEN = re.compile(r"[0-9a-f]{32}")
"""A token of nuScenes' tables; a reject of another converter has no name like that."""

_NOT_ASKED = frozenset({"no-answer", "answer-not-listed", "no-key-frame"})
"""Reasons by which the reference cannot hold a question either: it has no answer, or the challenge's own script
(convert_data.py) stops at it."""


@dataclass
class _Asked:
    """What some samples ask: scenes, and names of key frames and questions."""

    scenes: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    @classmethod
    def of(cls, samples: Iterable[Sample]) -> _Asked:
        asked = cls()
        for sample in samples:
            details: Any = sample.images[0].source.details.get(DETAILS) if sample.images else None
            if isinstance(details, dict) and "scene" in details:
                asked.scenes.add(str(details["scene"]))
                asked.names |= {f"{details['scene']}_{details['frame']}", str(details["id"])}
        return asked


def missing_answers(rejects: Iterable[Reject], here: Iterable[Sample], elsewhere: Iterable[Sample]) -> list[Reject]:
    """Name the official ids that a submission needs and that the data set lacks.

    A question or key frame that was left out belongs to the split in which its scene has samples. Where a scene has
    none at all, what failed of it counts, and so does each question that was left out alone: those of key frames
    without answers are, and belong to a submission.

    Args:
        rejects: What was left out when the data set was made.
        here: The samples of the split that is answered; read where something was left out.
        elsewhere: All other samples; read where it is not in a scene of this split.

    Returns:
        One reject each, failed unless the official reference cannot hold it either.
    """
    found = [(match, reject) for reject in rejects if (match := _NAME.fullmatch(reject.input))]
    found = [(match, reject) for match, reject in found if match["number"] or reject.reason not in _EMPTY]
    if not found:
        return []
    ours = _Asked.of(here)
    left = [(match, reject) for match, reject in found if reject.input not in ours.names]
    if any(match["scene"] not in ours.scenes for match, _ in left):
        others = _Asked.of(elsewhere).scenes
        left = [
            (match, reject)
            for match, reject in left
            if match["scene"] in ours.scenes or (match["scene"] not in others and _counts_alone(match, reject))
        ]
    return [_missing(reject) for _, reject in left]


_EMPTY = frozenset({"no-question", "no-answer"})
"""Reasons by which a whole key frame is left out that asks nothing, or that was left out on purpose."""


def _counts_alone(match: re.Match[str], reject: Reject) -> bool:
    """Say whether something of a scene without samples belongs to a submission."""
    if not all(_TOKEN.fullmatch(token) for token in (match["scene"], match["frame"]) if token):
        return False
    return reject.severity is Severity.FAILED or match["number"] is not None


def _missing(reject: Reject) -> Reject:
    severity = Severity.SKIPPED if reject.reason in _NOT_ASKED else Severity.FAILED
    message = f"The data set lacks it, and so do these files. It was left out as {reject.reason}: {reject.message}"
    return Reject(reject.input, "answers", "not-in-dataset", message, reject.action, severity)
