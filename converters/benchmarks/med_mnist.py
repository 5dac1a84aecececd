"""MedMNIST: small images and volumes of 18 data sets, in the official splits.

Yang et al., MedMNIST v2, Scientific Data 10:41, 2023 (Zenodo 10519652, also in sizes of 64, 128 and 224 pixels). Read
as published: ``pathmnist.npz``, ``pathmnist_224.npz``, ``nodulemnist3d_64.npz`` and so on, with ``train_images``,
``train_labels`` and the same for val and test. Pixels become PNG as they are.

A volume is shown to a model of images as a montage of slices, in their order, or as its three middle planes. There are
no patient identifiers; the group is the image.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.phrases import Phrasing
from domainvl.schema.questions import ClassQuestions, Question, ask_for_class, samples_from_questions
from domainvl.schema.sample import Image, Provenance, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.writer import Reject

from ..medical.volumes import montage
from .label_questions import ASK_HELP, Ask, ask_about_labels
from .med_mnist_classes import GRADE_QUESTION, SETS, LabelKind, MnistSet
from .med_mnist_files import Member, read_labels, read_members, stream_images
from .official_splits import OfficialSplitSettings

DOMAIN = "medical"

_FEWEST_IMAGES_A_UNIT = 256
_MOST_UNITS_A_SPLIT = 32
"""An array may be packed, and a unit unpacks what lies before its images."""

_FILE_NAME = re.compile(r"(?P<set>[a-z0-9]+mnist(?:3d)?)(?:_(?P<size>\d+))?")
_PLANES = ("first axis", "second axis", "third axis")


class MedMnistSettings(OfficialSplitSettings):
    """Settings of the MedMNIST converter."""

    ask: Ask = Field(default=Ask.BALANCED, description=ASK_HELP)
    volume: Literal["montage", "planes"] = Field(
        default="montage",
        description="Show a volume as a montage of slices in one image, or its three middle planes as three images.",
    )
    montage_slices: int = Field(default=16, ge=4, le=64, description="Slices of a montage, evenly spread.")
    options: int | None = Field(
        default=None, ge=2, le=4, description="Ask also for a letter among so many classes, drawn for each image."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed draws other words and other options.")


@dataclass(frozen=True)
class MedMnistUnit:
    """Some images of one split of one file.

    Attributes:
        uri: Name of the file.
        path: The file.
        name: Name of the data set, without the size.
        split: The split.
        member: The array of images.
        start: The first image.
        labels: Labels of each image.
    """

    uri: str
    path: Path
    name: str
    split: Split
    member: Member
    start: int
    labels: tuple[tuple[int, ...], ...]


class MedMnistConverter:
    """Turns MedMNIST files into classification, grading and presence questions."""

    name = "med-mnist"
    summary = "MedMNIST's .npz files, 2D and 3D, of any size, official splits kept."
    settings_type = MedMnistSettings
    licence = "CC-BY-4.0 (DermaMNIST: CC-BY-NC-4.0)"  # medmnist.com

    def plan(self, source: Path, settings: MedMnistSettings) -> Plan[MedMnistUnit]:
        """Read the labels of each file and divide the images.

        Raises:
            InputNotFoundError: If there is no file.
            DatasetError: If one is not in the layout.
            UsageError: If one is none of the published sets.
            NothingToDoError: If no file has images.
        """
        files = [source] if source.is_file() else sorted(source.glob("*.npz"))
        if not files:
            raise InputNotFoundError(
                "Cannot read MedMNIST",
                where=source,
                rule="there is no .npz file in it",
                action="Name the folder that holds pathmnist.npz and others, or one file",
            )
        units: list[MedMnistUnit] = []
        rejects: list[Reject] = []
        for path in files:
            units += _units(path, rejects)
        if not units:
            raise NothingToDoError("Nothing to convert", where=source, rule="no file has images with labels")
        return Plan(units=units, sources={path.name: path for path in files}, rejects=rejects)

    def convert(
        self, unit: MedMnistUnit, settings: MedMnistSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store some images and word their questions."""
        samples: list[Sample] = []
        pixels = stream_images(unit.path, unit.member, unit.start, len(unit.labels))
        for number, (image, labels) in enumerate(zip(pixels, unit.labels, strict=True), start=unit.start):
            samples += _samples(unit, number, image, labels, settings=settings, images=images, provenance=provenance)
        return UnitResult(samples=samples)

    def unit_name(self, unit: MedMnistUnit) -> str:
        """Name a unit by its images."""
        last = unit.start + len(unit.labels) - 1
        return f"{unit.uri} {unit.split.value} images {unit.start} to {last}"

    def unit_files(self, unit: MedMnistUnit) -> list[Path]:
        """Name the file."""
        return [unit.path]


CONVERTER = MedMnistConverter()


def _units(path: Path, rejects: list[Reject]) -> Iterator[MedMnistUnit]:
    """Divide the images of one file."""
    name = _set_of(path)
    members = read_members(path)
    for split in Split:
        images, labels = members.get(f"{split.value}_images"), members.get(f"{split.value}_labels")
        if images is None or labels is None:
            raise DatasetError(
                "Unreadable file",
                where=path,
                rule=f"{split.value}_images and {split.value}_labels must be in it",
                action="Fetch the file again",
            )
        _check_images(path, images)
        values = read_labels(path, labels)
        _check_labels(path, split, images, values, SETS[name])
        count = max(_FEWEST_IMAGES_A_UNIT, -(-len(values) // _MOST_UNITS_A_SPLIT))
        for start in range(0, len(values), count):
            part = tuple(tuple(int(value) for value in row) for row in values[start : start + count])
            yield MedMnistUnit(path.name, path, name, split, images, start, part)


def _set_of(path: Path) -> str:
    found = _FILE_NAME.fullmatch(path.stem)
    if path.suffix != ".npz" or found is None or found["set"] not in SETS:
        raise UsageError(
            "Cannot read MedMNIST",
            where=path,
            rule="the name of a file says what its labels mean, and it must be that of a published one",
            action=f"Name it NAME.npz or NAME_SIZE.npz with NAME among {', '.join(SETS)}",
        )
    return str(found["set"])


def _check_images(path: Path, member: Member) -> None:
    """Check that images are grey, colour or volumes of 8 bits."""
    shape = member.shape
    is_flat = len(shape) == 3 or (len(shape) == 4 and shape[3] == 3)
    is_volume = len(shape) == 4 and shape[3] > 3
    if np.dtype(member.dtype) != np.uint8 or not (is_flat or is_volume) or 0 in shape[1:]:
        rule = (
            f"{member.name} must be uint8 of shape (images, y, x), (images, y, x, 3) or (images, z, y, x), "
            f"got {member.dtype} {shape}"
        )
        raise DatasetError("Unreadable file", where=path, rule=rule, action="Fetch the file again")


def _check_labels(path: Path, split: Split, images: Member, labels: npt.NDArray[np.int64], published: MnistSet) -> None:
    """Check that each image has labels, and that these are known."""
    several = published.kind is LabelKind.LABELS
    columns = len(published.classes) if several else 1
    most = 1 if several else len(published.classes) - 1
    if len(labels) != images.shape[0] or (len(labels) and labels.shape[1] != columns):
        rule = (
            f"{split.value}_labels must have the shape ({images.shape[0]}, {columns}), "
            f"got ({len(labels)}, {labels.shape[1] if len(labels) else 0})"
        )
        raise DatasetError("Unreadable file", where=path, rule=rule)
    if labels.size and not 0 <= labels.min() <= labels.max() <= most:
        rule = f"{split.value}_labels must be 0 to {most}, got {labels.min()} to {labels.max()}"
        raise DatasetError("Unreadable file", where=path, rule=rule)


def _samples(
    unit: MedMnistUnit,
    number: int,
    pixels: npt.NDArray[np.uint8],
    labels: Sequence[int],
    *,
    settings: MedMnistSettings,
    images: ImageStore,
    provenance: Provenance,
) -> Iterator[Sample]:
    stem = unit.uri.removesuffix(".npz")
    name = f"{stem}/{unit.split.value}/{number}"
    published = SETS[unit.name]
    details: dict[str, Any] = {
        "data_set": unit.name,
        "shows": published.shows,
        "official_split": unit.split.value,
        "index": number,
        "labels": [published.classes[place] for place in _true_places(labels, published)],
    }
    stored, preface = _store(unit.uri, pixels, details, settings, images)
    questions = _questions(labels, published, f"{settings.phrasing_seed}/{name}", settings)
    yield from samples_from_questions(
        [replace(question, preface=preface) for question in questions],
        id_prefix=f"med-mnist/{name}",
        domain=DOMAIN,
        images=stored,
        fixed_split=unit.split,
        group=name,
        provenance=provenance,
        phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
    )


def _true_places(labels: Sequence[int], published: MnistSet) -> list[int]:
    if published.kind is LabelKind.LABELS:
        return [place for place, value in enumerate(labels) if value]
    return [labels[0]]


def _questions(labels: Sequence[int], published: MnistSet, key: str, settings: MedMnistSettings) -> Iterator[Question]:
    classes = published.classes
    if published.kind is LabelKind.LABELS:
        known = {label: bool(value) for label, value in zip(classes, labels, strict=True)}
        yield from ask_about_labels(known, key=key, ask=settings.ask)
        return
    label = classes[labels[0]]
    if published.kind is LabelKind.GRADE:
        yield Question("grade", Task.CLASSIFICATION, GRADE_QUESTION, TextAnswer(text=label))
        return
    yield ask_for_class(label, classes, key=key)
    if settings.options is not None:
        yield ask_for_class(label, classes, key=key, settings=ClassQuestions(options=settings.options))


def _store(
    uri: str,
    pixels: npt.NDArray[np.uint8],
    details: Mapping[str, Any],
    settings: MedMnistSettings,
    images: ImageStore,
) -> tuple[list[Image], str | None]:
    """Store an image, or what is shown of a volume.

    Returns:
        The images, and what the prompt says of them.
    """
    if pixels.ndim == 2 or pixels.shape[2] == 3:
        return [images.put_pixels(pixels).to_image(Source(uri=uri, details=dict(details)))], None
    if settings.volume == "planes":
        shown = []
        for axis, plane in enumerate(_PLANES):
            place = pixels.shape[axis] // 2
            cut = np.ascontiguousarray(np.take(pixels, place, axis=axis))
            source = Source(uri=uri, details={**details, "plane": plane, "slice": place})
            shown.append(images.put_pixels(cut).to_image(source, view=f"Middle slice of the {plane}"))
        return shown, "The images are slices of one volume."
    shown_slices, places = slices_side_by_side(pixels, settings.montage_slices)
    source = Source(uri=uri, details={**details, "montage_slices": places})
    preface = f"The image shows {len(places)} slices of one volume, in order from left to right and top to bottom."
    return [images.put_pixels(shown_slices).to_image(source)], preface


def slices_side_by_side(volume: npt.NDArray[np.uint8], count: int) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Put slices of a volume into one image, evenly spread along its first axis.

    Args:
        volume: uint8 of shape (z, y, x).
        count: How many at most.

    Returns:
        The image, uint8 of shape (rows * y, columns * x), black where no slice is, and the places of the slices.
    """
    depth = volume.shape[0]
    count = min(count, depth)
    # The middles of equal parts, so that neither end is seen more than the other.
    places = [int((place + 0.5) * depth / count) for place in range(count)]
    pixels, _ = montage([volume[place] for place in places])
    return pixels, places
