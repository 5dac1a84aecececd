"""RSVQA, low and high resolution: questions about Sentinel-2 tiles and aerial photographs, in the official splits.

Lobry et al., RSVQA: Visual Question Answering for Remote Sensing Data, IEEE TGRS 58(12), 2020. Read as published
(Zenodo 6344334, low resolution; 6344367, high): three JSON files a split and images named by number. Each file lists
the whole database and marks as inactive what is in another split, so a number is a place in these lists
(``AutomaticDB/Splits.py`` and ``VQA_model/VQALoader.py`` of github.com/syvlo/RSVQA).

Counts and areas keep the raw answer, "12m2", by which they are scored exactly. Published protocols sort both into
ranges first and average over some of the types alone (Mini-InternVL's ``rs_vqa/score.py``); that is not there yet. A
sample's type is kept in the details of its image, and of the two test sets of the high resolution its id and details
say which it is in.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Answer, Provenance, Sample, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .image_files import put_image
from .official_splits import OfficialSplitSettings
from .reading import check_input, count_or_text, image_rejected, source_of
from .rsvqa_files import RsvqaRow, read_split

DOMAIN = "remote-sensing"

EDITIONS = {"rsvqa-lr": "LR_split_", "rsvqa-hr": "USGS_split_"}
"""The two data sets, with what the names of their files begin with."""

SPLITS = {"train": Split.TRAIN, "val": Split.VAL, "test": Split.TEST, "test_phili": Split.TEST}
"""The official splits; the second test set, of the high resolution only, shows Philadelphia."""

TASKS = {"presence": Task.PRESENCE, "count": Task.COUNTING, "comp": Task.COMPARISON, "area": Task.AREA}
"""The types with a task of their own; ``rural_urban`` is asked as any other question (Mini-InternVL's evaluation)."""

_PARTS = ("images", "questions", "answers")
_LAYOUT = "LR_split_SPLIT_PART.json or USGS_split_SPLIT_PART.json for images, questions and answers, and the images"


class RsvqaSettings(OfficialSplitSettings):
    """Settings of the RSVQA converter."""

    plan_fields = frozenset({"images"})

    images: str | None = Field(
        default=None, description="Folder of the images, below the input; the only one with .tif files if left out."
    )


@dataclass(frozen=True)
class RsvqaUnit:
    """One image with all questions about it."""

    edition: str
    official_split: str
    image_id: int
    uri: str
    path: Path
    rows: tuple[RsvqaRow, ...]


class RsvqaConverter:
    """Turns RSVQA into samples, one a question."""

    name = "rsvqa"
    summary = "RSVQA-LR or RSVQA-HR: the official JSON files and TIFF images, official splits and types kept."
    settings_type = RsvqaSettings
    licence = "CC-BY-4.0"  # of both records on Zenodo

    def plan(self, source: Path, settings: RsvqaSettings) -> Plan[RsvqaUnit]:
        """Read the JSON files of every split that is there and gather the questions by image.

        Raises:
            InputNotFoundError: If a file of a split or the folder of images is missing.
            DatasetError: If a file is not in the published layout.
            NothingToDoError: If no question can be used.
        """
        edition = _edition_of(source)
        folder = _image_folder(source, settings.images)
        there = {path.name: path for path in folder.iterdir()}
        rejects: list[Reject] = []
        units: list[RsvqaUnit] = []
        sources: dict[str, Path] = {}
        taken: dict[int, str] = {}
        for official_split in reversed(_splits_of(source, edition)):  # an image of two splits stays held out
            of_split: list[RsvqaUnit] = []
            files = {part: source / f"{EDITIONS[edition]}{official_split}_{part}.json" for part in _PARTS}
            sources |= {path.name: path for path in files.values()}
            for image_id, rows in read_split(files, rejects):
                name = f"{image_id}.tif"
                if image_id in taken:
                    rejects.append(_in_two_splits(name, official_split, taken[image_id], len(rows)))
                elif name not in there:
                    rejects.append(_image_missing(name, folder.name, len(rows)))
                else:
                    uri = there[name].relative_to(source).as_posix()
                    of_split.append(RsvqaUnit(edition, official_split, image_id, uri, there[name], tuple(rows)))
                taken.setdefault(image_id, official_split)
            units = of_split + units
        if not units:
            raise NothingToDoError(
                "Nothing to convert", where=source, rule=f"none of {len(taken)} named images is in {folder.name}"
            )
        rejects.extend(_unused_images(there, taken))
        return Plan(units=units, sources=sources | {unit.uri: unit.path for unit in units}, rejects=rejects)

    def convert(
        self, unit: RsvqaUnit, settings: RsvqaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the image and word its questions."""
        try:
            stored = put_image(images, unit.path)
        except ItemError as error:
            return image_rejected(unit.uri, error, _questions(len(unit.rows)))
        return UnitResult(samples=list(_samples(unit, stored, provenance)))

    def unit_name(self, unit: RsvqaUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.uri

    def unit_files(self, unit: RsvqaUnit) -> list[Path]:
        """Name the image; what the JSON files say about it stands in the unit."""
        return [unit.path]


CONVERTER = RsvqaConverter()


def _samples(unit: RsvqaUnit, stored: StoredImage, provenance: Provenance) -> Iterator[Sample]:
    source = source_of(unit.path, unit.uri, official_split=unit.official_split, image_id=unit.image_id)
    for row in unit.rows:
        details = {**source.details, "question_id": row.question_id, "question_type": row.kind}
        task = TASKS.get(row.kind, Task.VQA)
        yield from samples_from_questions(
            [Question(str(row.question_id), task, row.question, _answer(task, row.answer))],
            id_prefix=f"{unit.edition}/{unit.official_split}",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            fixed_split=SPLITS[unit.official_split],
            group=f"{unit.edition} image {unit.image_id}",
            provenance=provenance,
        )


def _answer(task: Task, text: str) -> Answer:
    return count_or_text(text) if task is Task.COUNTING else TextAnswer(text=text)


def _edition_of(source: Path) -> str:
    found = [edition for edition in EDITIONS if _splits_of(source, edition)]
    if not found:
        rule = "there is neither a file LR_split_*.json nor one USGS_split_*.json"
        raise InputNotFoundError(
            "Cannot read RSVQA", where=source, rule=rule, action=f"Name the folder that holds {_LAYOUT}"
        )
    if len(found) > 1:
        raise DatasetError(
            "Cannot read RSVQA",
            where=source,
            rule="it holds both the low and the high resolution",
            action="Put each in a folder of its own; domainvl merge joins the data sets",
        )
    prefix = EDITIONS[found[0]]
    names = [f"{prefix}{split}_{part}.json" for split in _splits_of(source, found[0]) for part in _PARTS]
    check_input(source, names, benchmark="RSVQA", layout=_LAYOUT)
    return found[0]


def _splits_of(source: Path, edition: str) -> list[str]:
    """Return the official splits of which at least one file is there; a single test set may be all that was fetched."""
    names = {path.name for path in source.iterdir()}
    return [split for split in SPLITS if any(f"{EDITIONS[edition]}{split}_{part}.json" in names for part in _PARTS)]


def _image_folder(source: Path, name: str | None) -> Path:
    """Find the folder of images: its name differs between what Zenodo's two archives unpack to."""
    if name is not None:
        check_input(source, [f"{name}/"], benchmark="RSVQA", layout=_LAYOUT)
        return source / name
    folders = [source, *sorted(path for path in source.iterdir() if path.is_dir())]
    found = [folder for folder in folders if any(path.suffix == ".tif" for path in folder.iterdir())]
    if len(found) != 1:
        rule = f"one folder must hold the .tif images, got {len(found)}"
        if found:
            rule += f" ({', '.join(folder.relative_to(source).as_posix() for folder in found)})"
        raise InputNotFoundError("Cannot read RSVQA", where=source, rule=rule, action="Name the folder with --images")
    return found[0]


def _in_two_splits(name: str, official_split: str, other: str, count: int) -> Reject:
    return Reject(
        f"{official_split} image {name}",
        "plan",
        "image-in-two-splits",
        f"{name} is in the {other} split already; left out with it: {_questions(count)}",
        "Fetch the JSON files again; the official splits share no image",
    )


def _image_missing(name: str, folder: str, count: int) -> Reject:
    message = f"{name} is not in {folder}; left out with it: {_questions(count)}"
    return Reject(name, "plan", "image-missing", message, "Fetch the complete set of images")


def _unused_images(there: Mapping[str, Path], taken: Mapping[int, str]) -> Iterator[Reject]:
    named = {f"{image_id}.tif" for image_id in taken}
    for name in sorted(there):
        if name.endswith(".tif") and name not in named:
            yield Reject(name, "plan", "no-question", "no question is about it", None, Severity.SKIPPED)


def _questions(count: int) -> str:
    return "1 question" if count == 1 else f"{count} questions"
