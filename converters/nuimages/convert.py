"""Finds the tables of nuImages and converts its images; a unit is a part of one log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from domainvl.conversion import Inspection, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema import ImageStore, Provenance, Reject, Sample, Severity

from ..benchmarks.official_splits import OfficialSplits
from ..driving.camera_files import store_camera_file
from ..nuscenes.tables.finding import find_together
from .joining import Joined, KeyImage, has_labels, join_tables
from .samples import samples_of, to_image
from .settings import NuimagesSettings
from .units import VERSIONS, NuimagesUnit, official_split

_TABLES = (
    "attribute",
    "calibrated_sensor",
    "category",
    "log",
    "object_ann",
    "sample",
    "sample_data",
    "sensor",
)
_IMAGES_A_UNIT = 100
_TAKE_LABELLED = "Take a version with annotations: v1.0-mini, v1.0-train or v1.0-val"

NOTES = (
    "Boxes were drawn by people. They stop at the image's border and include, by best guess, what is hidden.",
    "The masks of things and of surfaces are not used.",
)
"""What a reader of the data set should know."""


@dataclass(frozen=True)
class _Row:
    """An image with the official split that it is in."""

    version: str
    image: KeyImage

    @property
    def official_split(self) -> str:
        return official_split(self.version)

    @property
    def name(self) -> str:
        return f"{self.version}/sample {self.image.sample_token}"


class NuimagesConverter:
    """Converts the annotated images of nuImages."""

    name = "nuimages"
    summary = "nuImages' tables and camera images to questions about objects with hand-drawn boxes"
    settings_type = NuimagesSettings
    licence: str | None = "CC-BY-NC-SA-4.0"

    def plan(self, source: Path, settings: NuimagesSettings) -> Plan[NuimagesUnit]:
        """Read and join the tables; no image is opened.

        The manifest names the tables as sources; each image's hash stands in its samples.

        Raises:
            UsageError: If it is not clear where the tables are, or one is missing or malformed.
            NothingToDoError: If no image can be used.
        """
        rejects: list[Reject] = []
        joined: dict[str, Joined] = {}
        folders = find_together(source, settings.version, together=VERSIONS)
        _check_kind(folders)
        for tables in folders:
            if has_labels(tables):
                joined[tables.name] = join_tables(tables)
                rejects += joined[tables.name].rejects
            else:
                message = "no object is annotated in this version, so nothing is known that could be asked"
                rejects.append(Reject(tables.name, "plan", "no-labels", message, _TAKE_LABELLED, Severity.SKIPPED))
        shared = OfficialSplits(settings.leakage, rejects, things="logs", rows="images")
        units = list(_units(source, joined, shared))
        if not units:
            rule = f"no image can be used; {len(rejects)} were left out" if rejects else "there is no annotated image"
            first = f" (the first: {rejects[0].message})" if rejects else ""
            raise NothingToDoError(
                "Nothing to convert",
                where=source,
                rule=rule + first,
                action=_TAKE_LABELLED,
            )
        paths = {
            f"{version}/{table}.json": source / version / f"{table}.json" for version in joined for table in _TABLES
        }
        sources = {name: path for name, path in paths.items() if path.is_file()}
        return Plan(units, sources, rejects, notes=[*NOTES, *shared.notes()])

    def convert(
        self, unit: NuimagesUnit, settings: NuimagesSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy images and ask about each; one that cannot be used is rejected alone."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for image in unit.images():
            try:
                asked, left_out = _samples(unit, image, settings, images, provenance)
            except ItemError as error:
                rejects.append(Reject(image.filename, "convert", error.reason, str(error), error.action))
                continue
            samples += asked
            rejects += left_out
        return UnitResult(samples, rejects)

    def inspect(self, source: Path, settings: NuimagesSettings) -> Inspection:
        """Look at the tables, at which images are there, and at some images with their boxes."""
        from .inspection import inspect

        return inspect(self, source, settings)

    def unit_name(self, unit: NuimagesUnit) -> str:
        """Name a part of a log."""
        return f"{unit.version}/{unit.log} part {unit.part}"

    def unit_files(self, unit: NuimagesUnit) -> list[Path]:
        """Name the images; what the tables say about them stands in the unit."""
        return [unit.path_of(image) for image in unit.images()]


def _samples(
    unit: NuimagesUnit, image: KeyImage, settings: NuimagesSettings, store: ImageStore, provenance: Provenance
) -> tuple[list[Sample], list[Reject]]:
    path = unit.path_of(image)
    if not path.is_file():
        message = f"{image.filename} is not on disk"
        action = "Fetch the part of nuImages that holds it"
        severity = Severity.FAILED if settings.strict else Severity.SKIPPED
        return [], [Reject(image.filename, "convert", "missing-image", message, action, severity)]
    shown = to_image(image, *store_camera_file(store, path, image))
    return samples_of(unit, image, shown, settings, provenance)


def _units(source: Path, joined: Mapping[str, Joined], shared: OfficialSplits) -> Iterator[NuimagesUnit]:
    """Divide the images of each log; a log of several versions is settled first."""
    by_log: dict[str, list[_Row]] = defaultdict(list)
    for version, tables in joined.items():
        for log, images in tables.images.items():
            by_log[log] += [_Row(version, image) for image in images]
    for log, rows in sorted(by_log.items()):
        kept = shared.settle(f"log {log}", rows)
        splits = tuple(sorted({row.official_split for row in kept}))
        for version in sorted({row.version for row in kept}):
            images = [row.image for row in kept if row.version == version]
            for part, start in enumerate(range(0, len(images), _IMAGES_A_UNIT)):
                packed = msgspec.msgpack.encode(images[start : start + _IMAGES_A_UNIT])
                yield NuimagesUnit(source, version, log, part, splits, joined[version].classes, packed)


def _check_kind(folders: Sequence[Path]) -> None:
    """Tell nuScenes from nuImages.

    Raises:
        UsageError: If the tables are those of nuScenes.
    """
    for tables in folders:
        if (tables / "sample_annotation.json").is_file() or (tables / "scene.json").is_file():
            raise UsageError(
                "Cannot read nuImages",
                where=tables,
                rule="these are tables of nuScenes, which have scenes and cuboids",
                action="Use domainvl convert nuscenes",
            )
