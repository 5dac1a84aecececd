"""What one record breaks: every rule, not only the first.

A record that the reader takes costs little: what is left to check is what the reader does not look at. One that it
refuses is looked at part by part.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from domainvl.errors import DatasetError
from domainvl.schema.phrases import prompts
from domainvl.schema.record import from_record
from domainvl.schema.sample import IMAGE_PLACEHOLDER, Record, Sample, Split
from domainvl.schema.validation.diagnosis import diagnose
from domainvl.schema.validation.findings import Problem, show
from domainvl.schema.validation.image_columns import ImageColumns, read_image_columns
from domainvl.schema.wording import WORDING_VERSION, escape_special, word_sample

_TOP_KEYS = frozenset({"id", "image", "width", "height", "width_list", "height_list", "conversations", "domainvl"})
_TURN_KEYS = frozenset({"from", "value"})
_POINTING_TASKS = frozenset({"grounding", "detection", "region", "conversation"})
_POINTING_TOKEN = re.compile(r"</?(?:ref|box)>")
_SPLITS = tuple(part.value for part in Split)


def check_record(record: Record, split: Split) -> tuple[list[Problem], ImageColumns]:
    """Check one record by itself.

    Args:
        record: The object of a line.
        split: The split in whose file the line stands.

    Returns:
        All that is wrong, and the images that it names.
    """
    columns = read_image_columns(record)
    problems = list(columns.problems)
    sample = _read(record)
    if not isinstance(sample, Sample):
        found = list(diagnose(record, columns))
        if not found and not problems:
            found = [("record-invalid", sample)]
        problems += found
    problems += _beside_the_reader(record, split)
    # Where a size or a token is wrong, the wording would only say so again.
    if isinstance(sample, Sample) and not columns.problems and not any(code == "special-token" for code, _ in problems):
        problems += _check_wording(sample)
    return problems, columns


def _read(record: Record) -> Sample | str:
    """Return the sample, or why the reader refuses it."""
    try:
        return from_record(record)
    except DatasetError as error:
        return error.rule or error.what


def _beside_the_reader(record: Record, split: Split) -> Iterator[Problem]:
    extra = record.keys() - _TOP_KEYS
    if extra:
        yield "key-extra", f"the keys {_join(extra)} are not InternVL's"
    truth = record.get("domainvl")
    if isinstance(truth, dict):
        own = truth.get("split")
        if own != split.value and own in _SPLITS:
            yield "split-mismatch", f"split is {own}, but the line stands in {split.value}.jsonl"
        question = truth.get("question")
        if isinstance(question, str) and question and not question.strip():
            yield "question-empty", f"question is blank, got {show(question)}"
        provenance = truth.get("provenance")
        if isinstance(provenance, dict):
            empty = [key for key, value in provenance.items() if value == ""]
            if empty:
                yield "provenance", f"provenance.{empty[0]} is empty"
    yield from _check_tokens(record)


def _check_tokens(record: Record) -> Iterator[Problem]:
    pointing = _points(record.get("domainvl"))
    earlier = _earlier_count(record.get("domainvl"))
    for index, turn in enumerate(_turns(record)):
        extra = turn.keys() - _TURN_KEYS
        if extra:
            yield "key-extra", f"turn {index} has the keys {_join(extra)}, which are not InternVL's"
        text = turn.get("value")
        if not isinstance(text, str) or "<" not in text:
            continue
        rest = text.replace(IMAGE_PLACEHOLDER, "")
        if pointing or index < earlier:
            rest = _POINTING_TOKEN.sub("", rest)
        escaped = escape_special(rest)
        if escaped != rest:
            start = next(place for place, pair in enumerate(zip(rest, escaped, strict=False)) if pair[0] != pair[1])
            token = rest[start : rest.index(">", start) + 1]
            yield "special-token", f"turn {index} holds {show(token)}, which no wording of this task writes"


def _points(truth: object) -> bool:
    """Say whether the wording marks names and boxes in the turns of this record."""
    if not isinstance(truth, dict):
        return False
    answer = truth.get("answer")
    task = truth.get("task")
    return (isinstance(task, str) and task in _POINTING_TASKS) or (
        isinstance(answer, dict) and (answer.get("kind") == "boxes" or bool(answer.get("about")))
    )


def _earlier_count(truth: object) -> int:
    """Return how many turns were said before the question; names and boxes may be marked in them."""
    earlier = truth.get("earlier") if isinstance(truth, dict) else None
    return len(earlier) if isinstance(earlier, list) else 0


def _turns(record: Record) -> list[dict[str, Any]]:
    turns = record.get("conversations")
    return [turn for turn in turns if isinstance(turn, dict)] if isinstance(turns, list) else []


def _check_wording(sample: Sample) -> Iterator[Problem]:
    prompt_count = len(prompts(sample.domain, sample.task))
    if (sample.phrasing or 0) >= prompt_count:
        yield "value-invalid", f"phrasing must be below {prompt_count} for this task, got {sample.phrasing}"
        return
    try:
        expected = word_sample(sample)
    except DatasetError as error:
        yield "answer-kind", f"{error.what}: {error.rule}"
        return
    if sample.provenance.wording != WORDING_VERSION or sample.turns == expected:
        return
    if len(sample.turns) != len(expected):
        yield "wording-stale", f"there are {len(sample.turns)} turns, where the wording writes {len(expected)}"
        return
    index = next(index for index, turn in enumerate(sample.turns) if turn != expected[index])
    yield (
        "wording-stale",
        f"turn {index} is {show(sample.turns[index].text)}, where the wording writes {show(expected[index].text)}",
    )


def _join(keys: set[str]) -> str:
    return ", ".join(show(key) for key in sorted(keys))
