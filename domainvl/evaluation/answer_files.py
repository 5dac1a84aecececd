"""Reads answers of other models: which format a file has, and which sample each answer is about.

- ``ours``: ``predictions.jsonl`` of this package.
- ``geochat``: a line each of ``{"question_id", "image_id", "answer"}`` and more (mbzuai-oryx/GeoChat,
  geochat/eval/batch_geochat_vqa.py, _scene.py, _grounding.py and _referring.py); its boxes are brought to thousandths.
- ``llava-med``: a line each of ``{"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}``
  (microsoft/LLaVA-Med, llava/eval/model_vqa.py and model_vqa_med.py); the text is taken as it is.
- ``drivelm``: ``output.json``, a list of ``{"id", "question", "answer"}`` (OpenDriveLab/DriveLM,
  challenge/evaluation.py reads id and answer; OpenGVLab/InternVL, eval/domain_specific/drivelm/evaluate.py writes it),
  or ``submission.json`` with that list under ``results`` (challenge/prepare_submission.py). Points stay in pixels, as
  the rules of DriveLM score them.
- ``plain``: CSV with a head or JSON lines with ``id`` and ``answer``, and perhaps ``image`` and ``question``.

Which sample an answer is about is never guessed: it must be exactly one, and where image or question are given too,
they must be that sample's.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal, TypeAlias, get_args

from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.evaluation.geochat_boxes import to_our_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction, broken_line, read_predictions
from domainvl.schema import Sample
from domainvl.schema.sample import EXAMPLE_OF

AnswerFormat: TypeAlias = Literal["ours", "geochat", "llava-med", "drivelm", "plain"]

AUTO = "auto"

_EXAMPLES = 3

_OFFICIAL_IDS = ("question_id", "ques_id", "qid", "id", "row")
"""Details of an image in which converters keep the id that the makers of a benchmark gave a question."""

_DRIVELM = "drivelm"
"""Detail of an image under which the converter of DriveLM keeps what the file says of a question, its id too."""

_OF_JSON_LINES: Mapping[AnswerFormat, frozenset[str]] = {
    "ours": frozenset({"sample_id", "text"}),
    "llava-med": frozenset({"question_id", "text", "answer_id", "model_id"}),
    "geochat": frozenset({"question_id", "image_id", "answer"}),
    "plain": frozenset({"id", "answer"}),
}
"""Keys that tell a file of JSON lines: it must have those of exactly one format."""


@dataclass(frozen=True)
class _Columns:
    """Where a format says what; None where it does not say it."""

    id: str
    answer: str
    image: str | None = None
    question: str | None = None


_COLUMNS: Mapping[AnswerFormat, _Columns] = {
    "geochat": _Columns("question_id", "answer", "image_id", None),  # its question may be of other words than ours
    "llava-med": _Columns("question_id", "text", None, "prompt"),
    "drivelm": _Columns("id", "answer"),
    "plain": _Columns("id", "answer", "image", "question"),
}


@dataclass(frozen=True)
class _Row:
    """One answer of a file.

    Attributes:
        id: By which the file names it.
        answer: The answer.
        image: The image, as the file names it; None if it does not.
        question: The question; None if the file does not say it.
    """

    id: str
    answer: str
    image: str | None
    question: str | None


def read_answer_file(path: Path, format: str, samples: Sequence[Sample]) -> list[Prediction]:
    """Read the answers of any model.

    Args:
        path: The file.
        format: ``auto`` to tell by the file, or one of :data:`AnswerFormat`.
        samples: All samples that the file may answer, those too that are not asked here.

    Returns:
        One prediction an answer, in file order. Samples without one are for whoever pairs them to find.

    Raises:
        InputNotFoundError: If there is no such file.
        UsageError: If the format is unknown or cannot be told.
        DatasetError: If the file is empty, cut off or broken, or answers are repeated or about no sample or several;
            with the counts and the first examples.
    """
    if not path.is_file():
        raise InputNotFoundError("Cannot read answers", where=path, rule="there is no such file", action="Check it")
    if _is_blank(path):
        raise DatasetError("Cannot read answers", where=path, rule="the file is empty", action="Make the answers again")
    known: AnswerFormat = _tell_format(path, samples) if format == AUTO else _known_format(format)
    if known == "ours":
        return read_predictions(path)
    rows = [_to_row(row, known, f"{path}:{number}") for number, row in _read_rows(path, known)]
    if not rows:
        raise DatasetError("Cannot read answers", where=path, rule="it must have an answer, it has none")
    found = _assign(rows, samples, path)
    return [
        Prediction(sample_id=sample.id, text=_to_our_text(row.answer, known, sample))
        for row, sample in zip(rows, found, strict=True)
    ]


def _to_our_text(answer: str, known: AnswerFormat, sample: Sample) -> str:
    if known != "geochat":
        return answer
    own = _own_images(sample)
    # Boxes of a sample with several images would be of no one knows which.
    return to_our_boxes(answer, own[0].width_px, own[0].height_px) if len(own) == 1 else answer


def _known_format(name: str) -> AnswerFormat:
    for known in get_args(AnswerFormat):
        if name == known:
            return known  # type: ignore[no-any-return]
    raise UsageError(
        "Cannot read answers",
        rule=f"the format must be {AUTO} or one of {', '.join(get_args(AnswerFormat))}, got {name!r}",
    )


def _tell_format(path: Path, samples: Sequence[Sample]) -> AnswerFormat:
    """Tell a format by the keys of a file's first row; it must fit exactly one."""
    if path.suffix.lower() == ".csv":
        return "plain"
    if _is_json_document(path):
        if any(_drivelm_id(sample) is not None for sample in samples):
            return "drivelm"
        found: list[AnswerFormat] = []
        keys: frozenset[str] = frozenset()
    else:
        _, first = next(_json_lines(path), (0, {}))
        keys = frozenset(first)
        found = [name for name, wanted in _OF_JSON_LINES.items() if wanted <= keys]
    if len(found) != 1:
        told = f"its first line has {', '.join(sorted(keys))}" if keys else "it is one JSON document"
        raise UsageError(
            "Cannot tell the format of answers",
            where=path,
            rule=f"it must fit exactly one, but {told}, which fits {' and '.join(found) or 'none'}",
            action=f"Name it with --answers-format, one of: {', '.join(get_args(AnswerFormat))}",
        )
    return found[0]


def _is_blank(path: Path) -> bool:
    with path.open("rb") as file:
        return not any(line.strip() for line in file)


def _is_json_document(path: Path) -> bool:
    """Return whether a file is one list or one object that holds it, not a line for each answer; names do not tell."""
    with path.open("rb") as file:
        first = next((line for line in file if line.strip()), b"")
    try:
        row = json.loads(first)
    except ValueError:  # the first line of several
        return first.strip() in (b"{", b"[") or first.lstrip().startswith(b"[")
    return isinstance(row, list) or (isinstance(row, dict) and isinstance(row.get("results"), list))


def _read_rows(path: Path, known: AnswerFormat) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """Yield each row with its line, or with its place from 1."""
    if path.suffix.lower() == ".csv":
        yield from _csv_rows(path)
    elif known == "drivelm" or _is_json_document(path):
        yield from _document_rows(path)
    else:
        yield from _json_lines(path)


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    whole = 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except ValueError as error:  # not JSON, or not UTF-8
                raise DatasetError(
                    "Cannot read answers",
                    where=f"{path}:{number}",
                    rule=broken_line(line, error, whole),
                    action="Make the answers again",
                ) from error
            yield number, _checked_object(row, f"{path}:{number}")
            whole += 1


def _document_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        rule = f"it must be one whole JSON document ({error})"
        raise DatasetError("Cannot read answers", where=path, rule=rule, action="Make the answers again") from error
    rows = content.get("results") if isinstance(content, dict) else content
    if not isinstance(rows, list):
        raise DatasetError("Cannot read answers", where=path, rule="it must be a list, or hold one under 'results'")
    for number, row in enumerate(rows, start=1):
        yield number, _checked_object(row, f"{path}:{number}")


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            for row in reader:
                if None in row or None in row.values():
                    rule = f"each row must have {len(reader.fieldnames or ())} fields, as the head has"
                    raise DatasetError("Cannot read answers", where=f"{path}:{reader.line_num}", rule=rule)
                yield reader.line_num, row
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError("Cannot read answers", where=path, rule=f"it must be CSV in UTF-8 ({error})") from error


def _checked_object(row: object, where: str) -> Mapping[str, Any]:
    if not isinstance(row, dict):
        raise DatasetError(
            "Cannot read answers", where=where, rule=f"each answer must be a JSON object, got {row!r:.80}"
        )
    return row


def _to_row(row: Mapping[str, Any], known: AnswerFormat, where: str) -> _Row:
    columns = _COLUMNS[known]
    for key in (columns.id, columns.answer):
        if not isinstance(row.get(key), str | int | float) or isinstance(row[key], bool):
            raise DatasetError(
                "Cannot read answers",
                where=where,
                rule=f"{key} must be a text or a number, got {row.get(key)!r:.80}",
                action=f"Name the file's format with --answers-format; {known} was taken",
            )

    def optional(key: str | None) -> str | None:
        value = row.get(key) if key is not None else None
        return str(value) if value not in (None, "") else None

    return _Row(str(row[columns.id]), str(row[columns.answer]), optional(columns.image), optional(columns.question))


def _assign(rows: Sequence[_Row], samples: Sequence[Sample], path: Path) -> list[Sample]:
    """Find the sample of each answer.

    Raises:
        DatasetError: If an answer is about none, several or one that was answered before; with counts and examples.
    """
    index = _Index(samples)
    found = [index.find(row) for row in rows]
    counts = Counter(one[0].id for one in found if len(one) == 1)
    faults = {
        "about no sample": [row.id for row, one in zip(rows, found, strict=True) if not one],
        "about several samples": [row.id for row, one in zip(rows, found, strict=True) if len(one) > 1],
        "repeated": [sample_id for sample_id, count in counts.items() if count > 1],
    }
    told = [f"{len(ids)} {fault} ({_examples(ids)})" for fault, ids in faults.items() if ids]
    if told:
        raise DatasetError(
            "Cannot use answers",
            where=path,
            rule=f"each of {len(rows)} answers must be about one of {len(samples)} samples, got {'; '.join(told)}",
            action="Name samples by their id, or by the benchmark's own id, image and question",
        )
    return [one[0] for one in found]


class _Index:
    """Finds samples by what a file may say of them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._by_id = {sample.id: sample for sample in samples}
        self._by_official: dict[str, list[Sample]] = defaultdict(list)
        self._by_image: dict[str, list[Sample]] = defaultdict(list)
        for sample in samples:
            for official in _official_ids(sample):
                self._by_official[official].append(sample)
            for name in _image_names(sample):
                self._by_image[name].append(sample)

    def find(self, row: _Row) -> Sequence[Sample]:
        """Return the samples that an answer may be about: those of its id that fit what else the row says.

        An id that no sample has may be the name of an image. An id of another sample counts only where image and
        question say otherwise together: it is then of another numbering.
        """
        of_id = [self._by_id[row.id]] if row.id in self._by_id else self._by_official.get(row.id, [])
        fitting = [sample for sample in of_id if _fits(row, sample)]
        says_both = row.image is not None and row.question is not None
        if fitting or (of_id and not says_both):
            return fitting
        of_image = self._by_image.get(_image_name(row.id if row.image is None else row.image), [])
        return [sample for sample in of_image if _fits(row, sample)]


def _fits(row: _Row, sample: Sample) -> bool:
    """Return whether a sample shows the image and asks the question that a row names."""
    if row.image is not None and _image_name(row.image) not in _image_names(sample):
        return False
    if row.question is None:
        return True
    asked = normalise_text(row.question)
    return normalise_text(sample.question) in (asked, normalise_text(_without_suffix(row.question)))


def _without_suffix(prompt: str) -> str:
    """Return the first line of a prompt that is not the image's place: what follows says how to answer."""
    lines = [line.strip() for line in prompt.splitlines()]
    return next((line for line in lines if line and line != "<image>"), "")


def _own_images(sample: Sample) -> list[Any]:
    return [image for image in sample.images if EXAMPLE_OF not in image.source.details]


def _official_ids(sample: Sample) -> set[str]:
    found = {
        str(image.source.details[key])
        for image in _own_images(sample)
        for key in _OFFICIAL_IDS
        if isinstance(image.source.details.get(key), str | int)
    }
    drivelm = _drivelm_id(sample)
    # Converters end a sample's id with that of the question.
    return found | {sample.id.rpartition("/")[2]} | ({drivelm} if drivelm is not None else set())


def _drivelm_id(sample: Sample) -> str | None:
    own = _own_images(sample)
    told = own[0].source.details.get(_DRIVELM) if own else None
    return str(told["id"]) if isinstance(told, dict) and "id" in told else None


def _image_names(sample: Sample) -> set[str]:
    return {_image_name(image.source.uri) for image in _own_images(sample)}


def _image_name(uri: str) -> str:
    """Return the name of an image without folders and extension: benchmarks differ in both."""
    return PurePosixPath(uri.replace("\\", "/")).stem.lower()


def _examples(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_EXAMPLES]) + (", ..." if len(ids) > _EXAMPLES else "")
