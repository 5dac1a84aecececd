"""The JSON files of RSVQA: images, questions and answers of one split, joined.

Each file lists the whole database and marks as inactive what is in another split, so a number is a place in these
lists (``AutomaticDB/Splits.py`` and ``VQA_model/VQALoader.py`` of github.com/syvlo/RSVQA).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import ItemError
from domainvl.schema.writer import Reject, Severity

from .reading import clean_text, expect_list, read_json, reject_of, row_error


@dataclass(frozen=True, slots=True)
class RsvqaRow:
    """One question with its answer: number, type and raw text of both."""

    question_id: int
    kind: str
    question: str
    answer: str


def read_split(files: Mapping[str, Path], rejects: list[Reject]) -> Iterator[tuple[int, list[RsvqaRow]]]:
    """Yield the number of each active image with its questions.

    The files list up to a million entries, so only what is used of each is kept.

    Args:
        files: The files of images, questions and answers, by these words.
        rejects: Takes entries that cannot be used.

    Raises:
        DatasetError: If a file is not in the published layout.
    """
    questions = _Entries(files["questions"], "questions", ("img_id", "type", "question", "answers_ids"))
    answers = _Entries(files["answers"], "answers", ("answer",))
    images = _Entries(files["images"], "images", ("questions_ids",))
    used = bytearray(len(questions))
    shared: dict[str, str] = {}
    for place in range(len(images)):
        if images.is_padding(place):
            continue
        where = f"{images.name} image {place}"
        rows = []
        try:
            question_ids = _numbers(images.get(place, where)[0], "questions_ids", where)
        except ItemError as error:
            rejects.append(reject_of(where, error))
            continue
        for question_id in question_ids:
            where = f"{questions.name} question {question_id}"
            try:
                rows.append(_row(place, question_id, questions, answers, used, shared))
            except ItemError as error:
                rejects.append(reject_of(where, error))
        if rows:
            yield place, rows
    rejects.extend(_unlisted(questions, used))


def _row(
    image_id: int,
    question_id: int,
    questions: _Entries,
    answers: _Entries,
    used: bytearray,
    shared: dict[str, str],
) -> RsvqaRow:
    """Join one question with its answer; equal texts are kept once."""
    where = f"{questions.name} question {question_id}"
    asked_of, kind, question, answer_ids = questions.get(question_id, where)
    if used[question_id]:
        raise row_error("question-repeated", where, "it was used before")
    used[question_id] = 1
    if asked_of != image_id:
        raise row_error("image-mismatch", where, f"image {image_id} lists it, but its img_id is {asked_of!r}")
    answer_ids = _numbers(answer_ids, "answers_ids", where)
    if not answer_ids:
        raise row_error("field-missing", where, "answers_ids is empty")
    texts = [
        clean_text(value, key, where)
        for key, value in (
            ("type", kind),
            ("question", question),
            ("answer", answers.get(answer_ids[0], f"{answers.name} answer {answer_ids[0]}")[0]),
        )
    ]
    return RsvqaRow(question_id, *(shared.setdefault(text, text) for text in texts))


class _Entries:
    """The entries of one file, by place; of padding nothing is kept but its number.

    Args:
        path: The file.
        key: Under which its list stands.
        fields: What is kept of an entry.
    """

    def __init__(self, path: Path, key: str, fields: Sequence[str]) -> None:
        def slim(entry: dict[str, Any]) -> Any:
            if key in entry:
                return entry  # the whole file
            if entry.get("active") is False:
                return (entry.get("id"),)
            return (entry.get("id"), *(entry.get(field) for field in fields))

        content = read_json(path, object_hook=slim)
        self.name = path.name
        self._entries = expect_list(content.get(key) if isinstance(content, dict) else content, path)

    def __len__(self) -> int:
        return len(self._entries)

    def is_padding(self, place: int) -> bool:
        """Say whether the entry at a place is there only so that places are numbers."""
        entry = self._entries[place]
        return isinstance(entry, tuple) and len(entry) == 1

    def get(self, place: int, where: str) -> tuple[Any, ...]:
        """Return the fields of the entry with a number, which is its place.

        Raises:
            ItemError: If there is none, it is padding, or it says that it has another number.
        """
        if not 0 <= place < len(self._entries):
            raise row_error("link-broken", where, f"the file has {len(self._entries)} entries")
        entry = self._entries[place]
        if not isinstance(entry, tuple):
            raise row_error("row-invalid", where, f"an entry must be an object, got {type(entry).__name__}")
        if entry[0] not in (None, place):
            raise row_error("id-not-place", where, f"at its place stands the entry with id {entry[0]!r}")
        if len(entry) == 1:
            raise row_error("link-inactive", where, "it is marked as inactive, but used")
        return entry[1:]


def _numbers(value: object, key: str, where: str) -> list[int]:
    if not isinstance(value, list) or not all(isinstance(number, int) and number >= 0 for number in value):
        raise row_error("row-invalid", where, f"{key} must be a list of numbers, got {value!r:.100}")
    return value


def _unlisted(questions: _Entries, used: bytearray) -> Iterator[Reject]:
    for place in range(len(questions)):
        if not used[place] and not questions.is_padding(place):
            name = f"{questions.name} question {place}"
            yield Reject(name, "plan", "question-unlisted", "no active image lists it", None, Severity.SKIPPED)
