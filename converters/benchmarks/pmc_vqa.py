"""PMC-VQA: multiple-choice questions about figures of open-access papers, official test set held out.

Zhang et al., PMC-VQA: Visual Instruction Tuning for Medical Visual Question Answering, arXiv 2305.10415. Read as
published (huggingface.co/datasets/xmcmic/PMC-VQA) in one of its two versions:

- 1, whole figures: ``train.csv``, ``test.csv``, ``test_clean.csv`` (the part of it that people checked) with
  Figure_path, Question, Answer, Choice A to D and Answer_label, and ``images.zip``, which unpacks to ``images/``;
- 2, single panels: ``train_2.csv`` and ``test_2.csv``, whose Answer is the letter, and ``images_2.zip``, which unpacks
  to ``figures/``.

Options stand in the files as "A:Diffuse uptake pattern" and keep their order. A figure is named by its paper
(``PMC1064097_F1.jpg``). Panels of one figure and figures of one case report show the same patient, so that the paper is
the group.
"""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import ChoiceAnswer, Provenance, Sample, Split, Task
from domainvl.schema.writer import Reject, Severity

from .image_files import IMAGE_SUFFIXES, put_image
from .llava_json import find_images
from .official_splits import Leakage, OfficialSplits, group_of
from .reading import check_input, image_name_of, image_rejected, reject_of, row_error, source_of, text_of

DOMAIN = "medical"

LETTERS = "ABCD"
_FILES = {"1": {"train": "train.csv", "test": "test.csv"}, "2": {"train": "train_2.csv", "test": "test_2.csv"}}
_CLEAN = "test_clean.csv"
_FOLDERS = {
    "1": ("images", "images/images", "."),
    "2": ("figures", "images_2/figures", "images2/figures", "images/figures", "."),
}
_ARCHIVES = {"1": "images.zip", "2": "images_2.zip"}
_LAYOUT = "train.csv and test.csv with images/, or train_2.csv and test_2.csv with figures/"
_PAPER = re.compile(r"PMC\d+")
_COLUMNS = ("Figure_path", "Question", "Answer", *(f"Choice {letter}" for letter in LETTERS))


class PmcVqaSettings(ConverterSettings):
    """Settings of the PMC-VQA converter."""

    plan_fields = frozenset({"group_by", "images", "leakage", "test_set", "version"})

    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is the official test set."
    )
    version: Literal["1", "2"] | None = Field(
        default=None, description="1: whole figures, 2: single panels; which of them is there if left out."
    )
    test_set: Literal["all", "clean"] = Field(
        default="all", description="Questions of version 1 to test on: all, or those that people checked."
    )
    images: str | None = Field(
        default=None, description="Folder of the images, below the input; where the archives put them if left out."
    )
    group_by: Literal["paper", "image"] = Field(
        default="paper", description="What no two splits share: figures of one paper, or one image only."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Papers (or images) in both official sets: leave out their training questions, leave out their "
        "test questions, or keep the published split.",
    )


@dataclass(frozen=True)
class PmcVqaRow:
    """One question, checked."""

    official_split: str
    file: str
    number: int
    question: str
    options: tuple[str, ...]
    correct: int

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{self.file} row {self.number}"


@dataclass(frozen=True)
class PmcVqaUnit:
    """One image with all questions about it, and what its reader should know."""

    uri: str
    path: Path
    group: str
    warnings: tuple[str, ...]
    rows: tuple[PmcVqaRow, ...]


class PmcVqaConverter:
    """Turns PMC-VQA into multiple-choice samples, one a question."""

    name = "pmc-vqa"
    summary = "PMC-VQA's CSV files and figures: multiple choice with four options, official test set held out."
    settings_type = PmcVqaSettings
    licence = "CC-BY-SA"  # as its card says, without a version; the figures are CC0 or CC-BY

    def plan(self, source: Path, settings: PmcVqaSettings) -> Plan[PmcVqaUnit]:
        """Read the CSV files of one version and gather the questions by paper and image.

        Raises:
            UsageError: If both versions are there and none is named, or a clean test set of version 2 is asked for.
            InputNotFoundError: If a file or the images are missing.
            DatasetError: If a file is no CSV in the published layout.
            NothingToDoError: If no question can be used.
        """
        version = settings.version or _version_of(source)
        files = _files(source, version, settings.test_set)
        rejects: list[Reject] = []
        by_group: dict[str, list[tuple[str, PmcVqaRow]]] = defaultdict(list)
        for split, path in files.items():
            for image, row in read_rows(path, split, rejects):
                by_group[_group_name(image, settings.group_by)].append((image, row))
        named = [image for rows in by_group.values() for image, _ in rows]
        if not named:
            rule = f"no row can be used of {', '.join(path.name for path in files.values())}"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule)
        folder = _image_folder(source, version, named, settings.images)
        things = "images" if settings.group_by == "image" else "papers"
        shared = OfficialSplits(settings.leakage, rejects, things=things)
        units: list[PmcVqaUnit] = []
        for group in sorted(by_group):
            image_of = {row.name: image for image, row in by_group[group]}
            rows = shared.settle(group, [row for _, row in by_group[group]])
            units += _units(source, folder, group, rows, image_of, things.removesuffix("s"), rejects)
        if not units:
            raise NothingToDoError(
                "Nothing to convert", where=folder, rule=f"none of {len(set(named))} images is there"
            )
        rejects.extend(_unused_images(folder, set(named)))
        sources = {path.name: path for path in files.values()} | {unit.uri: unit.path for unit in units}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: PmcVqaUnit, settings: PmcVqaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word its questions."""
        try:
            stored = put_image(images, unit.path)
        except ItemError as error:
            return image_rejected(unit.uri, error, f"its {len(unit.rows)} questions")
        return UnitResult(samples=list(_samples(unit, stored, provenance)))

    def unit_name(self, unit: PmcVqaUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.uri

    def unit_files(self, unit: PmcVqaUnit) -> list[Path]:
        """Name the image; what the CSV files say about it stands in the unit."""
        return [unit.path]


CONVERTER = PmcVqaConverter()


def _version_of(source: Path) -> str:
    there = [version for version, names in _FILES.items() if any((source / name).is_file() for name in names.values())]
    if not there and (source / _CLEAN).is_file():
        return "1"
    if not there:
        raise InputNotFoundError(
            "Cannot read PMC-VQA",
            where=source,
            rule="there is neither train.csv or test.csv nor train_2.csv or test_2.csv",
            action=f"Name the folder that holds {_LAYOUT}",
        )
    if len(there) > 1:
        raise UsageError(
            "Cannot read PMC-VQA",
            where=source,
            rule="it holds both versions, which have papers and questions in common",
            action="Name one with --version 1 or --version 2",
        )
    return there[0]


def _files(source: Path, version: str, test_set: str) -> dict[str, Path]:
    """Return the files of the splits that are there; a single test set may be all that was fetched."""
    names = dict(_FILES[version])
    if test_set == "clean":
        if version != "1":
            raise UsageError("Cannot read PMC-VQA", rule=f"--test-set clean is of version 1, got version {version}")
        names["test"] = _CLEAN
        check_input(source, [_CLEAN], benchmark="PMC-VQA", layout=_CLEAN)
    elif version == "1" and not (source / names["test"]).is_file() and (source / _CLEAN).is_file():
        raise UsageError(
            "Cannot read PMC-VQA",
            where=source,
            rule=f"{_CLEAN} is there and {names['test']} is not",
            action="To test on the questions that people checked, set --test-set clean",
        )
    found = {split: source / name for split, name in names.items() if (source / name).is_file()}
    if not found:
        check_input(source, names.values(), benchmark="PMC-VQA", layout=_LAYOUT)
    return found


def read_rows(path: Path, official_split: str, rejects: list[Reject]) -> Iterator[tuple[str, PmcVqaRow]]:
    """Yield the questions of a file, each with the name of its image.

    Args:
        path: The CSV file.
        official_split: The split that it is.
        rejects: Takes rows that cannot be used.

    Raises:
        DatasetError: If it is no CSV file with the published columns.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or ())]
            if missing:
                rule = f"it must have the columns {', '.join(_COLUMNS)}; missing: {', '.join(missing)}"
                raise DatasetError("Unreadable file", where=path, rule=rule, action="Fetch the file again")
            for number, content in enumerate(reader, start=1):
                name = f"{path.name} row {number}"
                try:
                    yield _row(content, official_split, path.name, number)
                except ItemError as error:
                    rejects.append(reject_of(name, error))
    except (csv.Error, UnicodeDecodeError) as error:
        raise DatasetError("Unreadable file", where=path, rule=f"it must be CSV in UTF-8 ({error})") from error


def _row(content: Mapping[str, str], official_split: str, file: str, number: int) -> tuple[str, PmcVqaRow]:
    where = f"{file} row {number}"
    if None in content:  # csv gathers there what is beyond the last column
        raise row_error("row-invalid", where, "it has more cells than there are columns")
    options = tuple(_option(content, letter, where) for letter in LETTERS)
    question = text_of(content, "Question", where)
    correct = _correct(content, options, where)
    image = image_name_of(content, "Figure_path", where)
    return image, PmcVqaRow(official_split, file, number, question, options, correct)


def _option(content: Mapping[str, str], letter: str, where: str) -> str:
    """Return an option without the letter before it."""
    key = f"Choice {letter}"
    text = text_of(content, key, where)
    bare = re.sub(rf"^{letter}\s*:\s*", "", text)
    if not bare:
        raise row_error("field-missing", where, f"{key} is empty")
    return bare


def _correct(content: Mapping[str, str], options: Sequence[str], where: str) -> int:
    """Return the place of the right option; where label and text are both given, they must agree."""
    answer = text_of(content, "Answer", where)
    if "Answer_label" not in content:
        return _place_of(answer, "Answer", where)
    correct = _place_of(text_of(content, "Answer_label", where), "Answer_label", where)
    bare = re.sub(r"^[A-D]\s*:\s*", "", answer)
    if options[correct].casefold() not in (answer.casefold(), bare.casefold()):
        rule = f"Answer must be the text of option {LETTERS[correct]}, which Answer_label names"
        raise row_error("answer-mismatch", where, rule)
    return correct


def _place_of(letter: str, key: str, where: str) -> int:
    if letter not in tuple(LETTERS):
        raise row_error("answer-unknown", where, f"{key} must be one of {', '.join(LETTERS)}, got {letter!r:.20}")
    return LETTERS.index(letter)


def _group_name(image: str, group_by: str) -> str:
    paper = _PAPER.match(Path(image).name) if group_by == "paper" else None
    return image if paper is None else paper[0]


def _image_folder(source: Path, version: str, named: Sequence[str], given: str | None) -> Path:
    try:
        return find_images(source, named, _FOLDERS[version], given)
    except InputNotFoundError as error:
        archive = source / _ARCHIVES[version]
        if given is not None or not archive.is_file():
            raise
        raise InputNotFoundError(
            "Cannot find the images", where=archive, rule="it is not unpacked", action=f"Run: unzip {archive.name}"
        ) from error


def _units(
    source: Path,
    folder: Path,
    group: str,
    rows: Sequence[PmcVqaRow],
    image_of: Mapping[str, str],
    thing: str,
    rejects: list[Reject],
) -> Iterator[PmcVqaUnit]:
    """Make a unit of each image of a group, or two where both official sets ask about it."""
    splits = {row.official_split for row in rows}
    by_image: dict[tuple[str, str], list[PmcVqaRow]] = defaultdict(list)
    for row in rows:
        by_image[image_of[row.name], row.official_split].append(row)
    for image, official_split in sorted(by_image):
        own = by_image[image, official_split]
        path = folder / image
        if not path.is_file():
            rejects.extend(_image_missing(image, folder.name, own))
            continue
        name, warnings = group_of(group, official_split, splits, thing)
        yield PmcVqaUnit(path.relative_to(source).as_posix(), path, name, tuple(warnings), tuple(own))


def _image_missing(image: str, folder: str, rows: Sequence[PmcVqaRow]) -> Iterator[Reject]:
    for row in rows:
        message = f"{image} is not in {folder}/"
        yield Reject(row.name, "plan", "image-missing", message, "Fetch the complete set of images")


def _unused_images(folder: Path, named: Set[str]) -> Iterator[Reject]:
    """Count the images that nothing is asked about; one reject for all, for the archive holds those of all files."""
    there = {path.name for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES}
    count = len(there - named)
    if count:
        message = f"no question is about {count} of its {len(there)} images"
        yield Reject(folder.name, "plan", "no-question", message, None, Severity.SKIPPED)


def _samples(unit: PmcVqaUnit, stored: StoredImage, provenance: Provenance) -> Iterator[Sample]:
    source = source_of(unit.path, unit.uri)
    for row in unit.rows:
        details = {"official_split": row.official_split, "file": row.file, "row": row.number}
        yield from samples_from_questions(
            [Question(str(row.number), Task.MULTIPLE_CHOICE, row.question, _answer(row))],
            id_prefix=f"pmc-vqa/{row.file.removesuffix('.csv')}",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            fixed_split=Split.TEST if row.official_split == "test" else None,
            group=unit.group,
            provenance=provenance,
            warnings=unit.warnings,
        )


def _answer(row: PmcVqaRow) -> ChoiceAnswer:
    return ChoiceAnswer(options=row.options, correct=row.correct)
