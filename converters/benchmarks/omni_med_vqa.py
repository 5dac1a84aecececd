"""OmniMedVQA: multiple-choice questions about images of 73 medical data sets, all of them for testing.

Hu et al., OmniMedVQA: A New Large-Scale Comprehensive Evaluation Benchmark for Medical LVLM, CVPR 2024
(arXiv 2402.09181). Read as published (OpenGVLab/Multi-Modality-Arena, MedicalEval): ``QA_information/Open-access`` and
``Restricted-access`` with one JSON list a source data set, and ``Images/``, to which ``image_path`` leads. The images
of restricted sets are not published with it.

The answer is given as text, and now and then differs from its option in case or a full stop: both are then taken for
equal. There are no patient identifiers; the group is the image.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from string import ascii_uppercase
from typing import Any, Literal

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import ChoiceAnswer, Provenance, Sample, Split, Task
from domainvl.schema.writer import Reject, Severity

from ..paths import is_inside
from .image_files import put_image
from .reading import check_input, image_rejected, load_list, reject_of, row_error, source_of, text_of

DOMAIN = "medical"

QA_FOLDER = "QA_information"
ACCESS_FOLDERS = ("Open-access", "Restricted-access")
_LAYOUT = "QA_information/ with Open-access/*.json or Restricted-access/*.json, and Images/"

_DETAILS = ("dataset", "question_type", "modality_type")
_MODALITY_IN_ONE_ROW = "modality"
"""How one row of ``Chest CT Scan.json`` calls its ``modality_type``."""

_IMAGES_A_UNIT = 32


class OmniMedVqaSettings(ConverterSettings):
    """Settings of the OmniMedVQA converter."""

    plan_fields = frozenset({"splits"})

    splits: Literal["official", "drawn"] = Field(
        default="official",
        description="All of it is for testing, as published; or draw splits by image, to train on it: results on the "
        "benchmark then mean nothing.",
    )


@dataclass(frozen=True)
class OmniRow:
    """One question, checked.

    Attributes:
        name: Names it in a reject: file and question.
        qid: Its number.
        question: What is asked.
        options: The options in their order.
        correct: Which of them is right.
        details: What the file says of it.
    """

    name: str
    qid: str
    question: str
    options: tuple[str, ...]
    correct: int
    details: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class OmniImage:
    """One image with all questions about it.

    Attributes:
        uri: Its path in the input.
        path: The file.
        rows: The questions.
    """

    uri: str
    path: Path
    rows: tuple[OmniRow, ...]


@dataclass(frozen=True)
class OmniUnit:
    """Some images; whether they are all for testing."""

    images: tuple[OmniImage, ...]
    held_out: bool


class OmniMedVqaConverter:
    """Turns OmniMedVQA into multiple-choice samples, one a question."""

    name = "omni-med-vqa"
    summary = "OmniMedVQA's JSON files and images: multiple choice over 73 data sets, all held out for testing."
    settings_type = OmniMedVqaSettings
    licence = None  # each of the 73 data sets has its own

    def plan(self, source: Path, settings: OmniMedVqaSettings) -> Plan[OmniUnit]:
        """Read all JSON files and gather the questions by image.

        Raises:
            InputNotFoundError: If the folders are not there.
            DatasetError: If a file is no JSON list.
            NothingToDoError: If no question can be used.
        """
        rejects: list[Reject] = []
        files = _question_files(source)
        by_image: dict[str, list[OmniRow]] = defaultdict(list)
        seen: set[str] = set()
        for file in files:
            rows = list(_read_rows(file, seen, rejects))
            there = [(uri, row) for uri, row in rows if (source / uri).is_file()]
            rejects += _missing(file, [(uri, row) for uri, row in rows if not (source / uri).is_file()], bool(there))
            for uri, row in there:
                by_image[uri].append(row)
        images = [OmniImage(uri, source / uri, tuple(by_image[uri])) for uri in sorted(by_image)]
        if not images:
            rule = f"none of the images that {len(files)} JSON files name is there"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule, action="Unpack Images/ beside them")
        held_out = settings.splits == "official"
        units = [
            OmniUnit(tuple(images[start : start + _IMAGES_A_UNIT]), held_out)
            for start in range(0, len(images), _IMAGES_A_UNIT)
        ]
        sources = {file.relative_to(source).as_posix(): file for file in files}
        return Plan(units=units, sources=sources | {image.uri: image.path for image in images}, rejects=rejects)

    def convert(
        self, unit: OmniUnit, settings: OmniMedVqaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images and word their questions."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for image in unit.images:
            try:
                stored = put_image(images, image.path)
            except ItemError as error:
                rejects += image_rejected(image.uri, error, _questions(len(image.rows))).rejects
                continue
            samples += _samples(image, stored, unit.held_out, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: OmniUnit) -> str:
        """Name a unit by its first and last image; the names hold no identifiers."""
        first, last = unit.images[0].uri, unit.images[-1].uri
        return first if first == last else f"{first} to {last}"

    def unit_files(self, unit: OmniUnit) -> list[Path]:
        """Name the images; what the JSON files say about them stands in the unit."""
        return [image.path for image in unit.images]


CONVERTER = OmniMedVqaConverter()


def _samples(image: OmniImage, stored: StoredImage, held_out: bool, provenance: Provenance) -> Iterator[Sample]:
    source = source_of(image.path, image.uri)
    for row in image.rows:
        question = Question(
            row.qid, Task.MULTIPLE_CHOICE, row.question, ChoiceAnswer(options=row.options, correct=row.correct)
        )
        yield from samples_from_questions(
            [question],
            id_prefix="omni-med-vqa",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": dict(row.details)}))],
            fixed_split=Split.TEST if held_out else None,
            group=image.uri,
            provenance=provenance,
        )


def _question_files(source: Path) -> list[Path]:
    check_input(source, [f"{QA_FOLDER}/"], benchmark="OmniMedVQA", layout=_LAYOUT)
    files = [path for access in ACCESS_FOLDERS for path in sorted((source / QA_FOLDER / access).glob("*.json"))]
    if not files:
        check_input(source / QA_FOLDER, [f"{ACCESS_FOLDERS[0]}/*.json"], benchmark="OmniMedVQA", layout=_LAYOUT)
    return files


def _read_rows(file: Path, seen: set[str], rejects: list[Reject]) -> Iterator[tuple[str, OmniRow]]:
    for number, content in enumerate(load_list(file), start=1):
        where = f"{file.parent.name}/{file.name} row {number}"
        try:
            uri, row = _check(content, file.parent.name, where)
            if row.qid in seen:
                raise row_error("question-repeated", where, f"question_id {row.qid} was used before")
        except ItemError as error:
            rejects.append(reject_of(where, error))
            continue
        seen.add(row.qid)
        yield uri, row


def _check(content: object, access: str, where: str) -> tuple[str, OmniRow]:
    """Check one row.

    Returns:
        The path of its image in the input, and the row.

    Raises:
        ItemError: If a field is missing or of a wrong kind, or the answer is not one of the options.
    """
    if not isinstance(content, dict):
        raise row_error("row-invalid", where, f"a row must be an object, got {type(content).__name__}")
    path = PurePosixPath(text_of(content, "image_path", where))
    if not is_inside(str(path)):
        raise row_error("row-invalid", where, "image_path must lead into the input folder")
    if _MODALITY_IN_ONE_ROW in content:
        content = {_DETAILS[-1]: content[_MODALITY_IN_ONE_ROW], **content}
    options = _options(content, where)
    details = [(name, text_of(content, name, where)) for name in _DETAILS if content.get(name) is not None]
    row = OmniRow(
        name=where,
        qid=text_of(content, "question_id", where),
        question=text_of(content, "question", where),
        options=options,
        correct=place_of_answer(text_of(content, "gt_answer", where), options, where),
        details=(*details, ("access", access), ("official_split", "test")),
    )
    return path.as_posix(), row


def _options(content: Mapping[str, Any], where: str) -> tuple[str, ...]:
    """Return the options that are there: some questions have two or three."""
    keys = [f"option_{letter}" for letter in ascii_uppercase]
    options = tuple(text_of(dict(content), key, where) for key in keys if content.get(key) not in (None, ""))
    if len(options) < 2:
        raise row_error("options-missing", where, f"there must be at least two options, got {len(options)}")
    return options


def place_of_answer(answer: str, options: Sequence[str], where: str) -> int:
    """Find the option that an answer names: exactly, else but for case and a full stop at the end.

    Args:
        answer: The answer as text.
        options: The options.
        where: Names the row in an error.

    Raises:
        ItemError: If none or several are equal to it.
    """
    for fold in (str, lambda text: text.casefold().rstrip(". ")):
        places = [place for place, option in enumerate(options) if fold(option) == fold(answer)]
        if len(places) == 1:
            return places[0]
        if places:
            raise row_error("answer-ambiguous", where, f"the answer must be one option, it is {len(places)} of them")
    raise row_error("answer-not-an-option", where, f"the answer must be one of {len(options)} options, it is none")


def _missing(file: Path, rows: Sequence[tuple[str, OmniRow]], others_there: bool) -> Iterator[Reject]:
    """Say which images are not there: of a restricted set without any image, once."""
    if not rows:
        return
    if file.parent.name == ACCESS_FOLDERS[1] and not others_there:
        yield Reject(
            f"{file.parent.name}/{file.name}",
            "plan",
            "images-not-published",
            f"none of its images is there, as this set may not be passed on; left out: {_questions(len(rows))}",
            "Ask the makers of the source data set for its images and put them where image_path says",
            Severity.SKIPPED,
        )
        return
    counts: dict[str, int] = defaultdict(int)
    for uri, _ in rows:
        counts[uri] += 1
    for uri, count in sorted(counts.items()):
        message = f"the image is not there; left out with it: {_questions(count)}"
        yield Reject(uri, "plan", "image-missing", message, "Fetch the complete set of images")


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"
