"""Answers to DriveLM's questions as its challenge reads them.

``output.json`` is a list of ``{"id", "question", "answer", "gt_answers"}``, as OpenGVLab/InternVL,
internvl_chat/eval/domain_specific/drivelm/evaluate.py writes it; DriveLM's own scorer reads ``id`` and ``answer``
(challenge/evaluation.py). ``submission.json`` holds the same under ``results``, with who submits
(challenge/prepare_submission.py).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from domainvl.conversion.answers import GivenAnswer, WrittenAnswers
from domainvl.errors import DatasetError, UsageError
from domainvl.schema import ChoiceAnswer, Reject, Sample, Severity
from domainvl.schema.wording import option_letter

from ..driving.canvas import Layout as CanvasLayout
from ..driving.point_tags import find_tags, to_pixels
from ..losses import counted
from .asking import DETAILS
from .choices import with_options
from .pixel_boxes import boxes_to_pixels

OUTPUT_NAME, SUBMISSION_NAME = "output.json", "submission.json"


class Submission(BaseModel):
    """Who submits, as prepare_submission.py asks for it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    method: str = ""
    team: str = ""
    authors: list[str] = Field(default_factory=lambda: [""])
    email: str = ""
    institution: str = ""
    country: str = ""

    def missing(self) -> list[str]:
        """Return the names of what is not said."""
        return [name for name, value in self if not value or value == [""]]


@dataclass(frozen=True)
class _Facts:
    """What a sample says of its question."""

    official_id: str
    question: str
    answer: str | None
    drawn_options: list[str] | None
    options: list[str] | None
    is_graph: bool
    earlier_rounds: int
    view_of_boxes: str | None
    layout: CanvasLayout
    sizes_px: dict[str, tuple[int, int]]


def write_submission(given: Iterable[GivenAnswer], out: Path, about: Mapping[str, JsonValue]) -> WrittenAnswers:
    """Write ``output.json`` and ``submission.json``.

    Points and boxes go back to pixels of their own view, always with one decimal; a multiple-choice answer goes out as
    its letter where it names an option, else as it was given. Of a graph the last question is answered.

    An answer whose tags cannot be read is written with them as they are: the challenge wants an answer to every
    question. What was amiss is listed among the rejects as skipped, a line for each tag.

    Args:
        given: The answers.
        out: Folder to write in.
        about: Who submits: some of method, team, authors, email, institution, country.

    Raises:
        UsageError: If ``about`` says something else, or two samples answer the same question.
        DatasetError: If a sample does not hold what the converter of this version writes.
    """
    submission = _read_about(about)
    told = _Told()
    results = list(_results(given, told))
    _write(out / OUTPUT_NAME, results)
    _write(out / SUBMISSION_NAME, submission.model_dump() | {"results": results})
    notes = list(told.notes(len(results)))
    if submission.missing():
        notes.append(
            f"{SUBMISSION_NAME} does not say {', '.join(submission.missing())}; name them in a YAML file with --about"
        )
    return WrittenAnswers((OUTPUT_NAME, SUBMISSION_NAME), len(results), told.rejects, notes)


@dataclass
class _Told:
    """What is to be said of the answers.

    Attributes:
        rejects: Answers that were left out, and tags that were written as they were.
        graphs: Answers that end a graph.
        earlier_rounds: Questions before these, which have no answer in the files.
        tags: Tags that were not rewritten as they stood, by the code of their fault.
        answered: The sample that answers each question, by its official id.
    """

    rejects: list[Reject] = field(default_factory=list)
    graphs: int = 0
    earlier_rounds: int = 0
    tags: Counter[str] = field(default_factory=Counter)
    answered: dict[str, str] = field(default_factory=dict)

    def about(self, sample: Sample, facts: _Facts) -> None:
        """Take note of a sample.

        Raises:
            UsageError: If another one answers the same question.
        """
        other = self.answered.setdefault(facts.official_id, sample.id)
        if other != sample.id:
            raise UsageError(
                "Cannot write answers",
                rule=f"each question must be answered once, but {other} and {sample.id} are both about "
                f"{facts.official_id}",
                action="Take the data sets one by one: one made with other --rounds, or with and without "
                "--challenge-subset, counts the same questions again",
            )
        if facts.is_graph:
            self.graphs += 1
            self.earlier_rounds += facts.earlier_rounds

    def tag(self, sample: Sample, reason: str, message: str) -> None:
        """Take note of a tag that was not rewritten as it stands."""
        self.tags[reason] += 1
        action = "Nothing, if the model wrote it: the answer is in the files"
        self.rejects.append(Reject(sample.id, "answers", reason, message, action, Severity.SKIPPED))

    def notes(self, count: int) -> Iterator[str]:
        """Yield what the user should know."""
        if self.graphs:
            yield (
                f"{self.graphs} of {count} answers are to the last question of a graph; the "
                f"{counted(self.earlier_rounds, 'question')} before them have no answer in the files. To answer all: "
                "convert with --rounds single"
            )
        if self.tags:
            codes = ", ".join(f"{number} x {reason}" for reason, number in sorted(self.tags.items()))
            yield (
                f"{counted(self.tags.total(), 'tag')} could not be changed back to pixels as written: {codes}. Those "
                "outside are moved to the border; the others stay as they are, and the official scorer sees no number "
                "of theirs that has no decimal point"
            )


def _results(given: Iterable[GivenAnswer], told: _Told) -> Iterator[dict[str, str]]:
    for answer in given:
        facts = _facts(answer.sample)
        told.about(answer.sample, facts)
        if answer.is_reference and facts.answer is None:
            why = "its reference is a placeholder: no answer was published"
            action = "Make predictions and name them with --predictions"
            told.rejects.append(Reject(answer.sample.id, "answers", "no-answer", why, action, Severity.FAILED))
            continue
        yield {
            "id": facts.official_id,
            "question": (with_options(facts.question, facts.drawn_options) if facts.drawn_options else facts.question),
            "answer": _answer(answer, facts, told),
            "gt_answers": _reference(answer.sample, facts),
        }


def _answer(given: GivenAnswer, facts: _Facts, told: _Told) -> str:
    option = given.option
    if option is None and facts.options and given.read_choice is not None:
        option = given.read_choice(given.text, facts.options)
    if option is not None:
        return option_letter(option)
    text = given.text.strip()
    for tag in find_tags(text):
        if tag.unit == "pixels" and tag.fault is None and any("." not in number for number in tag.text.split(",")[-2:]):
            message = (
                f"a tag must have its numbers in brackets, got {tag.text}; it is taken for pixels and left as it is"
            )
            told.tag(given.sample, "tag-without-brackets", message)
    if facts.view_of_boxes is not None:
        text = boxes_to_pixels(text, facts.view_of_boxes, facts.layout, facts.sizes_px)
    written = to_pixels(text, facts.layout, facts.sizes_px)
    for fault in written.faults:
        told.tag(given.sample, fault.reason, f"{fault.rule}; it is left as it is")
    for tag in written.outside:
        told.tag(
            given.sample, "tag-outside", f"{tag.text} lies outside the image of its camera; it is moved to the border"
        )
    return written.text


def _reference(sample: Sample, facts: _Facts) -> str:
    if facts.answer is not None and isinstance(sample.answer, ChoiceAnswer):
        return option_letter(sample.answer.correct)
    return facts.answer or ""


def _facts(sample: Sample) -> _Facts:
    try:
        details: Any = sample.images[0].source.details[DETAILS]
        return _Facts(
            official_id=details["id"],
            question=details["question"],
            answer=details.get("answer"),
            drawn_options=details.get("drawn_options"),
            options=details.get("options"),
            is_graph="rounds" in details,
            earlier_rounds=len(details.get("rounds", ())) - 1,
            view_of_boxes=details.get("boxes_of_view"),
            layout=details["layout"],
            sizes_px={view: (size[0], size[1]) for view, size in details["sizes_px"].items()},
        )
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise DatasetError(
            "Cannot write an answer",
            where=sample.id,
            rule=f"the details of its first image must hold what DriveLM says of the question ({error!r})",
            action="Make the data set again with domainvl convert drivelm",
        ) from error


def _read_about(about: Mapping[str, JsonValue]) -> Submission:
    try:
        return Submission.model_validate(dict(about))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UsageError(
            "Cannot write a submission",
            rule=f"{place}: {first['msg']}, got {first['input']!r}",
            action=f"Say {', '.join(Submission.model_fields)}; authors is a list",
        ) from error


def _write(path: Path, content: object) -> None:
    # As json.dump of the official scripts: four blanks, and what is not ASCII escaped.
    path.write_text(json.dumps(content, indent=4) + "\n", encoding="utf-8")
