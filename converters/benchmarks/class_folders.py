"""Class folders: one folder a class with its images, as in EuroSAT, UC Merced, RESISC45 and WHU-RS19.

The classes are the names of the folders, sorted; each question lists them in this order, and the details of an image
say which of them it is. Official splits of such data sets are lists of file names (torchgeo's ``eurosat-train.txt`` for
one). Where there is none, each class is divided by itself, by a hash of the names: equal names and an equal seed give
an equal split, and every class has its share in each part.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.phrases import Phrasing
from domainvl.schema.questions import ClassQuestions, ask_for_class, samples_from_questions
from domainvl.schema.sample import Provenance, Sample, Split
from domainvl.schema.writer import Reject, Severity

from .class_folder_splits import LISTS, SplitLists, class_uri, draw_splits
from .image_files import IMAGE_SUFFIXES, put_image
from .reading import reject_of, source_of

DOMAIN = "remote-sensing"

_IMAGES_A_UNIT = 32
"""Images of such data sets are small; a unit each would cost more than the work."""


class ClassFoldersSettings(ConverterSettings):
    """Settings of the converter of class folders."""

    plan_fields = frozenset(LISTS)

    train_list: Path | None = Field(
        default=None, description="File that lists the training images, one a line; others are then left out."
    )
    val_list: Path | None = Field(default=None, description="File that lists the validation images, one a line.")
    test_list: Path | None = Field(default=None, description="File that lists the test images, one a line.")
    options: int | None = Field(
        default=None, ge=2, le=4, description="Ask also for a letter among so many classes, drawn for each image."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed draws other words and other options.")

    def lists(self) -> dict[str, Path | None]:
        """Return the files that list the images of a split, by the name of the setting."""
        return {name: getattr(self, name) for name in LISTS}


@dataclass(frozen=True)
class ClassFoldersUnit:
    """Some images of one class, each with its split.

    Attributes:
        classes: All classes, in the order in which questions list them.
        label: The class of these images.
        images: File and split of each image.
    """

    classes: tuple[str, ...]
    label: str
    images: tuple[tuple[Path, Split], ...]


class ClassFoldersConverter:
    """Turns folders of images into scene classification, one question an image."""

    name = "class-folders"
    summary = "Scene classification: a folder for each class (EuroSAT, UC Merced, RESISC45, WHU-RS19)."
    settings_type = ClassFoldersSettings
    licence = None  # each data set has its own

    def plan(self, source: Path, settings: ClassFoldersSettings) -> Plan[ClassFoldersUnit]:
        """List the images of each class and divide them.

        Raises:
            UsageError: If there are fewer than two classes, or a list cannot be read.
            NothingToDoError: If no image is left.
        """
        rejects: list[Reject] = []
        by_class = _list_images(source, rejects)
        listed = SplitLists(settings.lists(), settings.split_fractions(), by_class, rejects)
        classes = tuple(by_class)
        units: list[ClassFoldersUnit] = []
        for label, paths in by_class.items():
            known, free = listed.divide(label, paths, rejects)
            drawn = draw_splits(free, label, listed.fractions, settings.split_seed)
            images = sorted([*known.items(), *drawn.items()])
            for start in range(0, len(images), _IMAGES_A_UNIT):
                units.append(ClassFoldersUnit(classes, label, tuple(images[start : start + _IMAGES_A_UNIT])))
        if not units:
            raise NothingToDoError("Nothing to convert", where=source, rule="no image is in a class folder and a list")
        sources = {class_uri(path): path for unit in units for path, _ in unit.images}
        return Plan(units=units, sources=sources | listed.sources, rejects=rejects)

    def convert(
        self, unit: ClassFoldersUnit, settings: ClassFoldersSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images and ask for the class of each."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for path, split in unit.images:
            try:
                stored = put_image(images, path)
            except ItemError as error:
                rejects.append(reject_of(class_uri(path), error, "convert"))
                continue
            samples += _samples(unit, path, split, stored, settings=settings, provenance=provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: ClassFoldersUnit) -> str:
        """Name a unit by its first and last image; the names hold no identifiers."""
        first, last = unit.images[0][0], unit.images[-1][0]
        return class_uri(first) if first == last else f"{class_uri(first)} to {last.name}"

    def unit_files(self, unit: ClassFoldersUnit) -> list[Path]:
        """Name the images."""
        return [path for path, _ in unit.images]


CONVERTER = ClassFoldersConverter()


def _samples(
    unit: ClassFoldersUnit,
    path: Path,
    split: Split,
    stored: StoredImage,
    *,
    settings: ClassFoldersSettings,
    provenance: Provenance,
) -> Iterator[Sample]:
    key = f"{settings.phrasing_seed}/{class_uri(path)}"
    questions = [ask_for_class(unit.label, unit.classes, key=key)]
    if settings.options is not None:
        choice = ClassQuestions(options=settings.options)
        questions.append(ask_for_class(unit.label, unit.classes, key=key, settings=choice))
    place = unit.classes.index(unit.label)
    details = {"class": unit.label, "class_index": place, "class_count": len(unit.classes)}
    return samples_from_questions(
        questions,
        id_prefix=f"class-folders/{class_uri(path)}",
        domain=DOMAIN,
        images=[stored.to_image(source_of(path, class_uri(path), **details))],
        # Fixed even where it was drawn: the frame draws by name alone, and classes would not have equal shares.
        fixed_split=split,
        group=class_uri(path),
        provenance=provenance,
        phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
    )


def _list_images(source: Path, rejects: list[Reject]) -> dict[str, list[Path]]:
    """Return the images of each class, classes and names sorted."""
    folders = [path for path in sorted(source.iterdir()) if path.is_dir()] if source.is_dir() else []
    by_class: dict[str, list[Path]] = {}
    for folder in folders:
        entries = sorted(folder.iterdir())
        images = [path for path in entries if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES]
        if images:
            by_class[folder.name] = images
        rejects.extend(_no_image(class_uri(path)) for path in sorted(set(entries) - set(images)))
    if len(by_class) < 2:
        raise UsageError(
            "Cannot read class folders",
            where=source,
            rule=f"at least two folders must hold images (JPEG, PNG or TIFF), got {len(by_class)} of {len(folders)}",
            action="Name the folder that has one folder for each class directly in it",
        )
    rejects.extend(_no_image(path.name) for path in sorted(source.iterdir()) if path.is_file())
    return by_class


def _no_image(name: str) -> Reject:
    return Reject(name, "plan", "no-image", "it is no image in a class folder", None, Severity.SKIPPED)
