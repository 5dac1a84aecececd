"""Reads the questions of NuScenes-QA.

``NuScenes_train_questions.json`` and ``NuScenes_val_questions.json`` hold ``{"info", "questions"}``; a question has
``sample_token``, ``question``, ``answer``, ``template_type`` and ``num_hop`` (qiantianwen/NuScenes-QA,
src/datasets/nuscenes_qa.py and src/execution/result_eval.py; the release keeps both files in ``questions``). The
official evaluation goes through the file in order, compares answers as text and counts by type and number of hops.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.schema.sample import Answer, CountAnswer, Task, TextAnswer
from domainvl.schema.writer import Reject

from .reading import count_or_text, expect_list, read_json, reject_of, row_error, text_of

FILES = {"train": "NuScenes_train_questions.json", "val": "NuScenes_val_questions.json"}
"""The file of each official split."""

TASKS = {
    "exist": Task.PRESENCE,
    "count": Task.COUNTING,
    "object": Task.VQA,
    "status": Task.VQA,
    "comparison": Task.VQA,
}
"""What kind of question each template asks."""

_FOLDERS = (".", "questions", "data/questions")
_YES_NO = ("yes", "no")


@dataclass(frozen=True)
class NuscenesQaRow:
    """One question, checked.

    Attributes:
        official_split: Name of its official split.
        number: Place in its file, from 1.
        sample_token: The key frame that it is about.
        question: What is asked.
        answer: The answer.
        template_type: Its template.
        num_hop: 0 where it names a thing directly, 1 where by another one.
    """

    official_split: str
    number: int
    sample_token: str
    question: str
    answer: str
    template_type: str
    num_hop: int

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{FILES[self.official_split]} row {self.number}"

    @property
    def task(self) -> Task:
        """What kind of question it is."""
        return TASKS[self.template_type]

    def truth(self) -> Answer:
        """Return the answer: a count where it is counted, else a text."""
        return count_or_text(self.answer) if self.task is Task.COUNTING else TextAnswer(text=self.answer)


def find_files(source: Path) -> dict[str, Path]:
    """Find the files of questions by their split; one may be all that was fetched, or named alone.

    Raises:
        InputNotFoundError: If there is none.
    """
    named = {split: source for split, name in FILES.items() if source.name == name and source.is_file()}
    if named:
        return named
    for folder in _FOLDERS:
        found = {split: source / folder / name for split, name in FILES.items() if (source / folder / name).is_file()}
        if found:
            return found
    raise InputNotFoundError(
        "Cannot read NuScenes-QA",
        where=source,
        rule=f"it is neither {' nor '.join(FILES.values())}, nor a folder with one of them",
        action="Name the folder that holds them, and the data root of nuScenes with --dataroot",
    )


def read_questions(path: Path, official_split: str, rejects: list[Reject]) -> Iterator[NuscenesQaRow]:
    """Yield the questions of a file.

    Args:
        path: The file.
        official_split: The split that it is.
        rejects: Takes rows that cannot be used.

    Raises:
        DatasetError: If it is not JSON in the published layout.
    """
    content = read_json(path)
    if not isinstance(content, dict) or "questions" not in content:
        raise DatasetError(
            "Unreadable file",
            where=path,
            rule="it must be an object with a list under questions",
            action="Take the published file",
        )
    for number, row in enumerate(expect_list(content["questions"], path), start=1):
        name = f"{FILES[official_split]} row {number}"
        try:
            yield _check(row, official_split, number, name)
        except ItemError as error:
            rejects.append(reject_of(name, error))


def _check(row: Any, official_split: str, number: int, where: str) -> NuscenesQaRow:
    if not isinstance(row, dict):
        raise row_error("row-invalid", where, f"a row must be an object, got {type(row).__name__}")
    template = text_of(row, "template_type", where)
    if template not in TASKS:
        rule = f"template_type must be one of {', '.join(TASKS)}, got {template!r:.40}"
        raise row_error("template-unknown", where, rule)
    checked = NuscenesQaRow(
        official_split=official_split,
        number=number,
        sample_token=text_of(row, "sample_token", where),
        question=text_of(row, "question", where),
        answer=text_of(row, "answer", where),
        template_type=template,
        num_hop=_hops(row, where),
    )
    _check_answer(checked, where)
    return checked


def _hops(row: dict[str, Any], where: str) -> int:
    hops = row.get("num_hop")
    if isinstance(hops, bool) or not isinstance(hops, int) or hops < 0:
        raise row_error("row-invalid", where, f"num_hop must be a whole number, got {hops!r:.40}")
    return hops


def _check_answer(row: NuscenesQaRow, where: str) -> None:
    if row.task is Task.PRESENCE and row.answer not in _YES_NO:
        raise row_error("answer-unknown", where, f"the answer to exist must be yes or no, got {row.answer!r:.40}")
    if row.task is Task.COUNTING and not isinstance(row.truth(), CountAnswer):
        raise row_error("answer-unknown", where, f"the answer to count must be a number, got {row.answer!r:.40}")
