"""Joins the tables of one version of nuImages to annotated images, log by log.

What does not join is left out and said: a token that leads nowhere costs its image, an attribute that is unknown
costs itself only. Of rows with the same token the first counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import msgspec

from domainvl.schema import Reject

from ..driving.rig import view_of
from ..nuscenes.labels import label_of
from ..nuscenes.tables.bounds import fault_of_size
from ..nuscenes.tables.faults import Fault, Faults, unique_rows
from ..nuscenes.tables.images import fault_of_path
from ..nuscenes.tables.rows import AttributeRow, CategoryRow, Row, SensorRow
from ..nuscenes.tables.streaming import stream_rows
from .rows import CalibratedSensorRow, LogRow, ObjectRow, SampleDataRow, SampleRow

_SURFACES = ("flat.", "vehicle.ego")
"""How the categories begin that surface_ann has and object_ann has not (docs/instructions_nuimages.md)."""

_RowT = TypeVar("_RowT", bound=Row)


class Label(msgspec.Struct, frozen=True, array_like=True):
    """A thing in an image, as it was annotated.

    Attributes:
        token: Its token in ``object_ann``.
        category: Its category, such as ``"vehicle.car"``.
        attributes: Names of its attributes.
        bbox: Its box as it stands in the table; not checked.
    """

    token: str
    category: str
    attributes: tuple[str, ...]
    bbox: tuple[float, ...]


class KeyImage(msgspec.Struct, frozen=True, array_like=True):
    """An annotated image.

    Attributes:
        sample_token: Its moment's token in ``sample``.
        token: Its own in ``sample_data``.
        view: Its camera's view, such as ``"FRONT"``.
        filename: Its file, relative to the data root.
        timestamp_us: When it was taken.
        width_px: Width, from the table.
        height_px: Height, from the table.
        labels: The things in it, sorted by token.
    """

    sample_token: str
    token: str
    view: str
    filename: str
    timestamp_us: int
    width_px: int
    height_px: int
    labels: tuple[Label, ...]


@dataclass(frozen=True)
class Joined:
    """What the tables of a version say.

    Attributes:
        images: The annotated images of each log, by its name; each log's in time.
        classes: Labels of all things that were looked for in every image.
        rejects: What does not join.
    """

    images: Mapping[str, list[KeyImage]]
    classes: tuple[str, ...]
    rejects: list[Reject]


def has_labels(tables: Path) -> bool:
    """Say whether any thing is annotated; in v1.0-test none is.

    Raises:
        UsageError: If the table is malformed.
    """
    return (tables / "object_ann.json").is_file() and any(True for _ in stream_rows(tables, "object_ann", ObjectRow))


def join_tables(tables: Path) -> Joined:
    """Read the tables of a version.

    Args:
        tables: Their folder.

    Raises:
        InputNotFoundError: If a table is missing that is needed; that of logs is not.
        UsageError: If one is malformed.
    """
    join = _Join(tables, Faults(tables.name))
    categories = {row.token: row.name for row in join.rows("category", CategoryRow)}
    samples = join.samples()
    shots = join.shots(samples)
    labels = join.labels(categories)
    images: dict[str, list[KeyImage]] = defaultdict(list)
    for sample in samples:
        image = join.image(sample, shots, labels)
        if image is not None:
            images[join.logs.get(sample.log_token, sample.log_token)].append(image)
    for of_log in images.values():
        of_log.sort(key=lambda image: (image.timestamp_us, image.sample_token))
    looked_for = {label_of(name) for name in categories.values() if not name.startswith(_SURFACES)}
    return Joined(dict(sorted(images.items())), tuple(sorted(looked_for)), join.faults.rejects())


@dataclass
class _Join:
    """The steps of a join, and what they leave out."""

    tables: Path
    faults: Faults
    logs: dict[str, str] = field(default_factory=dict)
    spoilt: dict[str, str] = field(default_factory=dict)
    """Why an image cannot be used, by its token: a thing in it has no class, so that no class is known to be absent."""

    key_images: set[str] = field(default_factory=set)
    """Tokens of the images of all moments, those too that cannot be used."""

    def rows(self, table: str, row_type: type[_RowT]) -> Iterator[_RowT]:
        """Yield the rows of a table; of rows with the same token the first."""
        return unique_rows(table, stream_rows(self.tables, table, row_type), self.faults)

    def reject(self, table: str, token: str, reason: str, rule: str) -> None:
        """Note what does not join."""
        self.faults.reject(f"{table} {token}", Fault(reason, rule))

    def samples(self) -> list[SampleRow]:
        """Return the annotated moments, each of an image of its own and of a log that is known."""
        has_logs = (self.tables / "log.json").is_file()
        if has_logs:
            self.logs = {row.token: row.logfile for row in self.rows("log", LogRow)}
        kept: dict[str, SampleRow] = {}
        for row in self.rows("sample", SampleRow):
            self.key_images.add(row.key_camera_token)
            if has_logs and row.log_token not in self.logs:
                self.reject("sample", row.token, "dangling-token", f"there is no log {row.log_token!r}")
            elif row.key_camera_token in kept:
                message = (
                    f"sample_data {row.key_camera_token} is also that of sample {kept[row.key_camera_token].token}"
                )
                self.reject("sample", row.token, "duplicate-token", message)
            else:
                kept[row.key_camera_token] = row
        return list(kept.values())

    def shots(self, samples: Iterable[SampleRow]) -> dict[str, tuple[SampleDataRow, str]]:
        """Return the images of moments with their views, by token."""
        sensors = {row.token: row.channel for row in self.rows("sensor", SensorRow)}
        calibrated = {row.token: row.sensor_token for row in self.rows("calibrated_sensor", CalibratedSensorRow)}
        wanted = {sample.key_camera_token for sample in samples}
        shots: dict[str, tuple[SampleDataRow, str]] = {}
        # Most rows are of sweeps and of lidar; only tokens that are wanted are looked at.
        rows = (row for row in stream_rows(self.tables, "sample_data", SampleDataRow) if row.token in wanted)
        for row in unique_rows("sample_data", rows, self.faults):
            channel = sensors.get(calibrated.get(row.calibrated_sensor_token, ""))
            if channel is None:
                self.spoilt[row.token] = f"calibrated_sensor {row.calibrated_sensor_token!r} leads to no sensor"
            else:
                shots[row.token] = (row, view_of(channel))
        return shots

    def labels(self, categories: Mapping[str, str]) -> dict[str, list[Label]]:
        """Return the things in the images of moments, by the image's token."""
        attributes: dict[str, str] = {}
        if (self.tables / "attribute.json").is_file():
            attributes = {row.token: row.name for row in self.rows("attribute", AttributeRow)}
        labels: dict[str, list[Label]] = defaultdict(list)
        for row in self.rows("object_ann", ObjectRow):
            category = categories.get(row.category_token)
            if row.sample_data_token not in self.key_images:
                message = f"sample_data {row.sample_data_token!r} is the image of no sample"
                self.reject("object_ann", row.token, "dangling-token", message)
            elif category is None:
                message = f"there is no category {row.category_token!r} of object_ann {row.token}"
                self.spoilt.setdefault(row.sample_data_token, message)
            else:
                names = tuple(self._attributes(row, attributes))
                labels[row.sample_data_token].append(Label(row.token, category, names, row.bbox))
        return labels

    def _attributes(self, row: ObjectRow, names: Mapping[str, str]) -> Iterator[str]:
        for token in row.attribute_tokens or ():
            if token in names:
                yield names[token]
            else:
                self.reject(
                    "object_ann", row.token, "dangling-token", f"there is no attribute {token!r}; it is left out"
                )

    def image(
        self, sample: SampleRow, shots: Mapping[str, tuple[SampleDataRow, str]], labels: Mapping[str, list[Label]]
    ) -> KeyImage | None:
        """Put an image together; None where it cannot be used."""
        token = sample.key_camera_token
        shot = shots.get(token)
        if shot is None or token in self.spoilt:
            message = self.spoilt.get(token, f"there is no sample_data {token!r}")
            self.reject("sample", sample.token, "dangling-token", message)
            return None
        row, view = shot
        fault = fault_of_size(token, row.width, row.height) or fault_of_path(token, row.filename)
        if fault is not None:
            self.faults.reject(f"sample {sample.token}", fault)
            return None
        things = tuple(sorted(labels.get(token, ()), key=lambda label: label.token))
        return KeyImage(sample.token, token, view, row.filename, row.timestamp, row.width or 0, row.height or 0, things)
