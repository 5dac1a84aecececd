"""The questions that DriveLM's challenge takes from a frame (OpenDriveLab/DriveLM, challenge/extract_data.py).

The script is followed to the letter, for what it gives is what the leaderboard's numbers are of:

- of perception the first question whose answer names all key objects by their visual description up to its first full
  stop (tag 2), and the first about a moving status (tag 0);
- of prediction the first whose answer holds the tags of all key objects (tag 3), and the first whose answer holds
  "yes" or "no" (tag 0), which it also does in "now", "not", "none" or "notice";
- of planning the first about actions that the vehicle could take, the first about a collision, and the first about safe
  actions (tag 1); a question that is two of these is taken twice;
- all of behaviour (tag 0).

Case does not count. A frame without key objects makes every answer fit, so the first question is taken. A question
that is taken twice stands there twice, with the tag that it got last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from domainvl.errors import ItemError

from .choices import STATUS_WORDS
from .frames import BEHAVIOR, PERCEPTION, PLANNING, PREDICTION, Frame, Pair

ACCURACY, GPT, LANGUAGE, MATCH = 0, 1, 2, 3
"""Tags: by which of the challenge's metrics a question is scored (challenge/evaluation.py)."""

_ACTIONS = "what actions could the ego vehicle take"
_COLLISION = "lead to a collision"
_SAFE = "safe actions"


def challenge_subset(frame: Frame) -> list[Pair]:
    """Return the questions that the challenge takes, each with its tag, in the order in which it counts them.

    Raises:
        ItemError: If the frame does not say what is asked of its key objects, as the script would.
    """
    classes, locations = _named(frame.key_objects)
    perception, prediction, planning, behavior = (
        [pair for pair in frame.pairs if pair.category == category]
        for category in (PERCEPTION, PREDICTION, PLANNING, BEHAVIOR)
    )
    return [
        *_tagged(
            [
                (LANGUAGE, _first(perception, lambda pair: _holds_all(pair, classes))),
                (ACCURACY, _first(perception, lambda pair: STATUS_WORDS in pair.question.lower())),
            ]
        ),
        *_tagged(
            [
                (MATCH, _first(prediction, lambda pair: _holds_all(pair, locations))),
                (ACCURACY, _first(prediction, _says_yes_or_no)),
            ]
        ),
        *_tagged([(GPT, pair) for pair in _of_planning(planning)]),
        *_tagged([(ACCURACY, pair) for pair in behavior]),
    ]


def _named(key_objects: Mapping[str, Any] | None) -> tuple[list[str], list[str]]:
    """Return classes and tags of the key objects, in lower case."""
    if key_objects is None:
        raise _error("the frame must list its key objects (key_object_infos)")
    classes = []
    for tag, info in key_objects.items():
        description = info.get("Visual_description") if isinstance(info, dict) else None
        if not isinstance(description, str):
            raise _error(f"each key object must have a Visual_description, {tag} has none")
        classes.append(description.split(".")[0].lower())
    return classes, [tag.lower() for tag in key_objects]


def _first(pairs: Sequence[Pair], fits: Callable[[Pair], bool]) -> Pair | None:
    return next((pair for pair in pairs if fits(pair)), None)


def _holds_all(pair: Pair, parts: Sequence[str]) -> bool:
    answer = (pair.answer or "").lower()
    return all(part in answer for part in parts)


def _says_yes_or_no(pair: Pair) -> bool:
    answer = (pair.answer or "").lower()
    return "yes" in answer or "no" in answer


def _of_planning(pairs: Sequence[Pair]) -> Iterator[Pair]:
    wanted = [_ACTIONS, _COLLISION, _SAFE]
    for pair in pairs:
        said = [words for words in wanted if words in pair.question.lower()]
        for words in said:
            wanted.remove(words)
            yield pair


def _tagged(taken: Sequence[tuple[int, Pair | None]]) -> Iterator[Pair]:
    last = {pair.row: tag for tag, pair in taken if pair is not None}
    for _, pair in taken:
        if pair is not None:
            yield replace(pair, tag=(last[pair.row],))


def _error(rule: str) -> ItemError:
    return ItemError(
        "Cannot take the challenge's questions from a frame",
        reason="no-key-objects",
        rule=rule,
        action="Convert without --challenge-subset, or take the complete file",
    )
