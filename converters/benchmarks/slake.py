"""SLAKE: questions about radiology images in English and Chinese, with boxes and masks of organs and lesions.

Liu et al., SLAKE: A Semantically-Labeled Knowledge-Enhanced Dataset for Medical Visual Question Answering, ISBI 2021
(arXiv 2102.09542): 642 images, 14,028 questions. Read as published (BoKelvin/SLAKE on Hugging Face, ``imgs.zip``
unpacked); see :mod:`domainvl.converters.benchmarks.slake_files`. The splits are the official ones.

The official questions stay as they are, in their language. From boxes and masks come further ones, in English, for
their names are English: where something is (``grounding``), what is at a place (``region``) and where everything is
(``detection``). No presence is asked from them: nothing says which classes were looked for in an image, so that the
answer could only be yes; the official questions of ``content_type`` Organ ask it with both answers.

There are no patient identifiers. The group is the image, which is the best that can be done: slices of one patient may
lie in several splits.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, JsonValue

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import ObjectQuestions, Question, ask_about_objects, samples_from_questions
from domainvl.schema.sample import BoxesAnswer, Object, Provenance, Sample, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .official_splits import Leakage, OfficialSplits, OfficialSplitSettings, group_of
from .reading import check_input, image_rejected, reject_of, row_error, source_of
from .slake_files import (
    DETECTION,
    FILES,
    IMAGES,
    MASK,
    MASK_NAMES,
    SlakeRow,
    add_regions,
    read_boxes,
    read_mask,
    read_mask_names,
    read_rows,
)

DOMAIN = "medical"

_LAYOUT = "train.json, validate.json or test.json, and imgs/ (unpacked from imgs.zip) with mask.txt beside it"
_BOX_TASKS = (Task.GROUNDING, Task.REGION, Task.DETECTION)
_TASKS = (Task.VQA, *_BOX_TASKS)

_AGREEMENT = 0.5
"""Below this IoU of box and mask a reader is warned; it is the one at which a predicted box counts as right."""


class SlakeSettings(OfficialSplitSettings):
    """Settings of the SLAKE converter."""

    plan_fields = frozenset({"lang", "leakage"})

    lang: Literal["en", "zh", "both"] = Field(
        default="both", description="Language of the official questions that are kept; en is what most papers report."
    )
    tasks: str = Field(
        default="vqa,grounding",
        description="What is asked, several with commas: vqa (the official questions), and from boxes and masks, in "
        "English: grounding, region, detection.",
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Images in several official splits: keep them in the most held-out one, in the least held-out one, "
        "or as published.",
    )


@dataclass(frozen=True)
class SlakeUnit:
    """One image with its questions, and the files that say what is in it.

    Attributes:
        image: Path of the image below ``imgs``.
        path: Its file.
        rows: The official questions.
        official_split: The split of questions that are asked from boxes.
        detection: The file of boxes; None where it is missing or not asked for.
        mask: The mask; None where it is missing, not asked for, or its values have no names.
        mask_names: What the values of the mask stand for.
    """

    image: str
    path: Path
    rows: tuple[SlakeRow, ...]
    official_split: str
    detection: Path | None
    mask: Path | None
    mask_names: tuple[tuple[int, str], ...]

    @property
    def folder(self) -> str:
        """Its folder below ``imgs``, such as ``xmlab0``, which names it in ids."""
        return PurePosixPath(self.image).parent.as_posix()


class SlakeConverter:
    """Turns SLAKE into samples: its questions, and where the boxed and masked things are."""

    name = "slake"
    summary = "SLAKE's JSON files, radiology images, boxes and masks: English and Chinese questions, and grounding."
    settings_type = SlakeSettings
    licence = "CC-BY-4.0"  # as stated by the authors' edition, huggingface.co/datasets/BoKelvin/SLAKE

    def plan(self, source: Path, settings: SlakeSettings) -> Plan[SlakeUnit]:
        """Read the questions of every split that is there and gather them by image.

        Raises:
            UsageError: If ``--tasks`` names something else.
            InputNotFoundError: If the images or all files of questions are missing.
            DatasetError: If a file is not in the published layout.
            NothingToDoError: If no question can be used.
        """
        tasks = parse_tasks(settings.tasks)
        _check_files(source)
        rejects: list[Reject] = []
        by_image: dict[str, list[SlakeRow]] = defaultdict(list)
        for image, row in read_rows(source, rejects):
            if settings.lang in (row.language, "both"):
                by_image[image].append(row)
            else:
                rejects.append(_other_language(row, settings.lang))
        with_boxes = settings.lang != "zh" and any(task in tasks for task in _BOX_TASKS)
        names = _mask_names(source, rejects) if with_boxes else {}
        shared = OfficialSplits(settings.leakage, rejects)
        units = []
        for image in sorted(by_image):
            rows = shared.settle(image, by_image[image])
            path = source / IMAGES / image
            if path.is_file():
                units.append(_unit(image, path, rows, names if with_boxes else None))
            else:
                rejects.extend(_image_missing(image, rows))
        rejects.extend(_unused_folders(source, by_image))
        if not units:
            rule = f"none of {len(by_image)} named images is in {IMAGES}/"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule)
        sources = {name: source / name for name in (*FILES.values(), MASK_NAMES) if (source / name).is_file()}
        sources |= {path.relative_to(source).as_posix(): path for unit in units for path in self.unit_files(unit)}
        notes = [*shared.notes(), *_notes(units, settings, tasks, names)]
        return Plan(units=units, sources=sources, rejects=rejects, notes=notes)

    def convert(
        self, unit: SlakeUnit, settings: SlakeSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word what is asked about it."""
        try:
            stored = images.put_file(unit.path)
        except ItemError as error:
            return image_rejected(unit.image, error, f"its {len(unit.rows)} questions, boxes and mask")
        tasks = parse_tasks(settings.tasks)
        objects, rejects = _objects(unit, stored)
        samples = list(_official_samples(unit, stored, provenance)) if Task.VQA in tasks else []
        samples += _box_samples(unit, stored, objects, tasks, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: SlakeUnit) -> str:
        """Name a unit by its image; the names hold no identifiers."""
        return unit.image

    def unit_files(self, unit: SlakeUnit) -> list[Path]:
        """Name the image and what is read beside it; the questions stand in the unit."""
        return [path for path in (unit.path, unit.detection, unit.mask) if path is not None]


CONVERTER = SlakeConverter()


def parse_tasks(text: str) -> tuple[Task, ...]:
    """Read ``--tasks``.

    Raises:
        UsageError: If it names nothing, or something else than the tasks of SLAKE.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    allowed = {task.value: task for task in _TASKS}
    wrong = [name for name in names if name not in allowed]
    if wrong or not names:
        got = repr(wrong[0]) if wrong else "nothing"
        raise UsageError("Cannot read --tasks", rule=f"it must list some of {', '.join(allowed)}, got {got}")
    return tuple(allowed[name] for name in dict.fromkeys(names))


def _check_files(source: Path) -> None:
    check_input(source, [f"{IMAGES}/"], benchmark="SLAKE", layout=_LAYOUT)
    if not any((source / name).is_file() for name in FILES.values()):
        raise InputNotFoundError(
            "Cannot read SLAKE",
            where=source,
            rule=f"none of {', '.join(FILES.values())} is there",
            action=f"Name the folder that holds {_LAYOUT}",
        )


def _mask_names(source: Path, rejects: list[Reject]) -> dict[int, str]:
    """Return what values of masks are called; none where that cannot be read, which costs the masks only."""
    path = source / MASK_NAMES
    if not path.is_file():
        return {}
    try:
        return read_mask_names(path)
    except ItemError as error:
        rejects.append(reject_of(MASK_NAMES, error))
        return {}


def _unit(image: str, path: Path, rows: Sequence[SlakeRow], names: Mapping[int, str] | None) -> SlakeUnit:
    """Make a unit; without names of classes (None) nothing but its questions is read."""
    detection, mask = path.with_name(DETECTION), path.with_name(MASK)
    return SlakeUnit(
        image=image,
        path=path,
        rows=tuple(rows),
        official_split=max((row.official_split for row in rows), key=list(FILES).index),
        detection=detection if names is not None and detection.is_file() else None,
        mask=mask if names and mask.is_file() else None,
        mask_names=tuple(sorted((names or {}).items())),
    )


def _notes(
    units: Sequence[SlakeUnit], settings: SlakeSettings, tasks: Sequence[Task], names: Mapping[int, str]
) -> Iterator[str]:
    """Say why less is asked from boxes and masks than ``--tasks`` names."""
    asked = ", ".join(task for task in tasks if task in _BOX_TASKS)
    if not asked:
        return
    if settings.lang == "zh":
        yield f"Boxes and masks have English names: with --lang zh nothing is asked from them ({asked})."
        return
    if not names:
        yield f"{MASK_NAMES} gives no names, so that nothing is known of the values of masks; only boxes are used."
    without = sum(unit.detection is None and unit.mask is None for unit in units)
    if without:
        yield f"{without} of {len(units)} images have neither boxes nor a mask that can be used: no {asked} from them."


def _objects(unit: SlakeUnit, stored: StoredImage) -> tuple[list[Object], list[Reject]]:
    """Read boxes and mask of an image; what cannot be used of them is rejected, the rest goes on."""
    objects: list[Object] = []
    rejects: list[Reject] = []
    if unit.detection is not None:
        name = f"{unit.folder}/{DETECTION}"
        objects, rejects = read_boxes(unit.detection, name, stored.width_px, stored.height_px)
    if unit.mask is None:
        return objects, rejects
    name = f"{unit.folder}/{MASK}"
    try:
        regions = read_mask(unit.mask, name, dict(unit.mask_names), (stored.width_px, stored.height_px))
    except ItemError as error:
        return objects, [*rejects, reject_of(name, error, "convert")]
    objects, strays = add_regions(objects, regions)
    for label, count in strays.items():
        rule = f"{count} of its regions of {label!r} touch no box of that class"
        rejects.append(reject_of(name, row_error("region-outside-boxes", name, rule), "convert"))
    return objects, rejects


def _official_samples(unit: SlakeUnit, stored: StoredImage, provenance: Provenance) -> Iterator[Sample]:
    source = source_of(unit.path, f"{IMAGES}/{unit.image}")
    splits = {row.official_split for row in unit.rows}
    for row in unit.rows:
        told: dict[str, JsonValue] = {
            key: list(value) if isinstance(value, tuple) else value for key, value in row.details
        }
        details: dict[str, JsonValue] = {**told, "official_split": row.official_split}
        group, warnings = group_of(unit.image, row.official_split, splits)
        yield from samples_from_questions(
            [Question(row.qid, Task.VQA, row.question, TextAnswer(text=row.answer))],
            id_prefix="slake",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            fixed_split=Split(row.official_split),
            group=group,
            provenance=provenance,
            warnings=warnings,
        )


def _box_samples(
    unit: SlakeUnit, stored: StoredImage, objects: Sequence[Object], tasks: Sequence[Task], provenance: Provenance
) -> Iterator[Sample]:
    """Ask where things are; a sample holds the objects that its answer names."""
    wanted = tuple(task for task in tasks if task in _BOX_TASKS)
    classes = {thing.label for thing in objects}
    source = source_of(unit.path, f"{IMAGES}/{unit.image}", official_split=unit.official_split)
    group, warnings = group_of(unit.image, unit.official_split, {row.official_split for row in unit.rows})
    for question in ask_about_objects(objects, classes, key=unit.folder, settings=ObjectQuestions(tasks=wanted)):
        ids = question.answer.object_ids if isinstance(question.answer, BoxesAnswer) else ()
        shown = [thing for thing in objects if thing.id in ids]
        yield from samples_from_questions(
            [question],
            id_prefix=f"slake/{unit.folder}",
            domain=DOMAIN,
            images=[stored.to_image(source)],
            objects=shown,
            fixed_split=Split(unit.official_split),
            group=group,
            provenance=provenance,
            warnings=[*warnings, *_box_warnings(shown)],
        )


def _box_warnings(objects: Sequence[Object]) -> Iterator[str]:
    if any(thing.truncated for thing in objects):
        yield "An annotated box reached beyond the image and was cut"
    worst = min((iou for thing in objects if isinstance(iou := thing.attributes.get("mask_iou"), float)), default=1.0)
    if worst < _AGREEMENT:
        yield f"Box and mask of an object disagree (IoU {worst:.2f}); the box is the one asked for"


def _other_language(row: SlakeRow, wanted: str) -> Reject:
    message = f"its language is {row.language}, asked for is {wanted}"
    return Reject(row.name, "plan", "other-language", message, "To have both, set --lang both", Severity.SKIPPED)


def _image_missing(image: str, rows: Sequence[SlakeRow]) -> Iterator[Reject]:
    for row in rows:
        message = f"{image} is not in {IMAGES}/"
        yield Reject(row.name, "plan", "image-missing", message, "Fetch the complete set of images")


def _unused_folders(source: Path, named: Mapping[str, list[SlakeRow]]) -> Iterator[Reject]:
    used = {PurePosixPath(image).parts[0] for image in named}
    for path in sorted((source / IMAGES).iterdir()):
        if path.name not in used and path.is_dir():
            uri = f"{IMAGES}/{path.name}"
            yield Reject(uri, "plan", "no-question", "no question is about it", None, Severity.SKIPPED)
