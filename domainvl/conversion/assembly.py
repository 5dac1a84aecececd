"""From parts to a data set, in the order of the plan, whoever made them and when."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from domainvl.conversion.exclusion import excluded_image
from domainvl.conversion.work import FACTS, REJECT, SAMPLE, Staging
from domainvl.engine import Part
from domainvl.errors import DatasetError
from domainvl.schema.sample import Record
from domainvl.schema.splitting import SplitFractions, assign_split
from domainvl.schema.writer import DatasetWriter, Reject, Severity


@dataclass(frozen=True)
class PlannedUnit:
    """One unit of the plan, done or failed, and where its part lies.

    Attributes:
        key: Names its part.
        name: Names it in messages.
        staging: Where its part and its images are.
    """

    key: str
    name: str
    staging: Staging


def assemble(
    units: Iterable[PlannedUnit],
    failures: Mapping[str, Reject],
    writer: DatasetWriter,
    fractions: SplitFractions,
    *,
    excluded: frozenset[str] = frozenset(),
    on_record: Callable[[PlannedUnit, Record], None] | None = None,
) -> None:
    """Write the samples and rejects of all units.

    Args:
        units: In the order of the plan.
        failures: What became of units without a part, by key.
        writer: Takes them.
        fractions: How groups are drawn into splits.
        excluded: Pixel hashes of images that must not be in it.
        on_record: Called for each record before it is written.

    Raises:
        DatasetError: If a part is missing that should be there, or a group would be divided.
    """
    for unit in units:
        for line in _lines_of(unit, failures):
            if isinstance(line, Reject):
                writer.reject(line)
                continue
            if isinstance(line, UnitFacts):
                writer.describe_unit(line.name, line.facts)
                continue
            truth = line["domainvl"]
            truth["split"] = truth.get("fixed_split") or assign_split(truth["group"], fractions).value
            if writer.holds(line["id"]):
                writer.reject(_duplicate(line, unit))
                continue
            if excluded and excluded_image(line, excluded):
                writer.reject(_excluded(line))
                continue
            if on_record is not None:
                on_record(unit, line)
            writer.add_record(line)


@dataclass(frozen=True)
class UnitFacts:
    """What the manifest says about a unit."""

    name: str
    facts: dict[str, Any]


def piece_keys(part: Part) -> list[tuple[str, str]]:
    """Return key and name of the pieces that a unit was divided into."""
    return [(key, name) for key, name in part.info["pieces"]]


def _lines_of(unit: PlannedUnit, failures: Mapping[str, Reject]) -> Iterator[Record | Reject | UnitFacts]:
    if unit.key in failures:
        yield failures[unit.key]
        return
    part = unit.staging.ledger.get(unit.key)
    if part is None or not unit.staging.has_images(part):
        what = f"the part of {unit.name} is" if part is None else f"the images of {unit.name} are"
        raise DatasetError(
            "Cannot put a data set together",
            where=unit.staging.folder,
            rule=f"{what} missing or damaged",
            action="Remove the folder and give the command that made it again",
        )
    for text in part.lines:
        line = json.loads(text)
        if FACTS in line:
            yield UnitFacts(unit.name, line[FACTS])
        else:
            yield line[SAMPLE] if SAMPLE in line else Reject.read(line[REJECT])
    for key, name in piece_keys(part):
        yield from _lines_of(PlannedUnit(key, name, unit.staging), failures)


def _excluded(record: Record) -> Reject:
    return Reject(
        record["id"],
        "assemble",
        "excluded-image",
        "an image of it has the pixels of one that --exclude-hashes names, or was made of one",
        "Nothing: it is left out as asked; without --exclude-hashes it is kept",
        Severity.SKIPPED,
    )


def _duplicate(record: Record, unit: PlannedUnit) -> Reject:
    return Reject(
        unit.name,
        "assemble",
        "duplicate-id",
        f"another sample has the id {record['id']!r}; the first in the order of the plan was kept",
        "Give the two inputs different names",
    )
