"""Joins the cuboids of key frames with the names of their classes, attributes and visibility."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec

from ..scenes import Cuboid
from .bounds import fault_of_pose, fault_of_sides
from .faults import Fault, Faults, read_table, unique_rows
from .finding import has_table
from .rows import AnnotationRow, AttributeRow, CategoryRow, InstanceRow, Row, VisibilityRow
from .streaming import stream_rows

RowT = TypeVar("RowT", bound=Row)

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Cuboid).decode


class Cuboids:
    """The cuboids of all key frames; there are none where there is no table of annotations, as in test splits.

    Args:
        tables: The folder of tables.
        faults: Takes what does not join.

    Raises:
        UsageError: If a table breaks the format, or annotations are there and what they name is not.
    """

    def __init__(self, tables: Path, faults: Faults) -> None:
        self._faults = faults
        # Packed, they take a quarter of the memory; the full set has more than a million.
        self._packed: dict[str, list[bytes]] = defaultdict(list)
        if not has_table(tables, "sample_annotation"):
            return
        self._attributes = _read_optional(tables, "attribute", AttributeRow, faults)
        self._levels = _read_optional(tables, "visibility", VisibilityRow, faults)
        self._categories: Mapping[str, str] | None = None
        rows = stream_rows(tables, "sample_annotation", AnnotationRow)
        for row in unique_rows("sample_annotation", rows, faults):
            if self._categories is None:
                self._categories = _categories_of_instances(tables, faults)
            category = self._categories.get(row.instance_token)
            fault = _fault_of(row, category)
            if fault is None and category is not None:
                self._packed[row.sample_token].append(_encode(self._to_cuboid(row, category)))
            elif fault is not None:
                faults.cost_frame(row.sample_token, fault)
        self._reject_repeated_instances()

    def sample_tokens(self) -> set[str]:
        """Return the tokens of key frames that cuboids name."""
        return set(self._packed)

    def of_sample(self, sample_token: str) -> tuple[Cuboid, ...]:
        """Return the cuboids of a key frame by instance; they are forgotten here."""
        return tuple(_unpacked(self._packed.pop(sample_token, ())))

    def _to_cuboid(self, row: AnnotationRow, category: str) -> Cuboid:
        return Cuboid(
            row.instance_token,
            category,
            self._attributes_of(row) if row.attribute_tokens else (),
            self._visibility_of(row) if row.visibility_token else None,
            row.translation,
            row.size,
            row.rotation,
            row.num_lidar_pts,
        )

    def _attributes_of(self, row: AnnotationRow) -> tuple[str, ...]:
        if self._attributes is None or row.attribute_tokens is None:
            return ()
        known = [self._attributes[token].name for token in row.attribute_tokens if token in self._attributes]
        for token in row.attribute_tokens:
            if token not in self._attributes:
                self._tell_unknown(row, "attribute", token)
        return tuple(known)

    def _visibility_of(self, row: AnnotationRow) -> str | None:
        if self._levels is None or row.visibility_token is None:
            return None
        level = self._levels.get(row.visibility_token)
        if level is None:
            self._tell_unknown(row, "visibility", row.visibility_token)
            return None
        return level.level

    def _tell_unknown(self, row: AnnotationRow, what: str, token: str) -> None:
        rule = f"its {what} {token} is in no table; the cuboid is used without"
        self._faults.reject(f"sample_annotation {row.token}", Fault("dangling-token", rule))

    def _reject_repeated_instances(self) -> None:
        for sample_token, packed in self._packed.items():
            names = sorted(cuboid.instance_token for cuboid in map(_decode_name, packed))
            for first, second in itertools.pairwise(names):
                if first == second:
                    fault = Fault("duplicate-instance", f"instance {first} is annotated twice")
                    self._faults.cost_frame(sample_token, fault)


class _Name(msgspec.Struct, frozen=True, array_like=True):
    """The first field of a packed cuboid; the rest is passed over."""

    instance_token: str


_decode_name = msgspec.msgpack.Decoder(_Name).decode


def _unpacked(packed: list[bytes] | tuple[()]) -> list[Cuboid]:
    return sorted(map(_decode, packed), key=lambda cuboid: cuboid.instance_token)


def _categories_of_instances(tables: Path, faults: Faults) -> dict[str, str]:
    """Return the category of each instance, by token; one whose category is not known is left out."""
    categories = read_table(tables, "category", CategoryRow, faults)
    instances = read_table(tables, "instance", InstanceRow, faults)
    return {
        token: categories[row.category_token].name
        for token, row in instances.items()
        if row.category_token in categories
    }


def _read_optional(tables: Path, name: str, row_type: type[RowT], faults: Faults) -> Mapping[str, RowT] | None:
    """Read a table that only some distributions have; None where it is not there."""
    return read_table(tables, name, row_type, faults) if has_table(tables, name) else None


def _fault_of(row: AnnotationRow, category: str | None) -> Fault | None:
    if category is None:
        rule = f"annotation {row.token} names instance {row.instance_token}: no such instance with a category"
        return Fault("dangling-token", rule)
    what = f"annotation {row.token}"
    return fault_of_sides(what, row.size) or fault_of_pose(what, row.translation, row.rotation)
