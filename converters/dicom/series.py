"""Divides images into stacks of slices that belong behind each other, and orders each by geometry.

A series is divided by what the standard lets differ within it: several orientations of a localizer, echoes, b-values,
phases of a dynamic. Neither the order in which images come nor the names of their files mean anything.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..medical.geometry import Geometry, Vector, dot
from ..medical.regularity import SAME_PLACE_MM, Regularity, Status, regularity_of, without_geometry
from .frames import GROUP, group_value
from .instance import FrameFacts, ImageFacts, Instance, Kind

_SAME_ORIENTATION = 0.01
"""Largest difference of a direction cosine between slices of one stack: 0.6 degrees."""

_SAME_SPACING = 1e-3
"""Relative; spacings that differ by less are one, rounded differently."""

_REPEATS = ("temporal-position", "acquisition", "trigger-time")
"""What divides slices only where it tells repeats of a place apart: some scanners count acquisitions slice by slice,
and every slice of a gated series has its own trigger time."""

_EXACT = tuple(name for name in GROUP if name not in _REPEATS)


class StackKind(enum.StrEnum):
    """What the slices of a stack are to each other."""

    VOLUME = "volume"
    TIME = "time-series"
    FRAMES = "frames"
    IMAGES = "images"
    SINGLE = "single"


@dataclass(frozen=True)
class StackSlice:
    """One slice: a file, or a frame of it.

    Attributes:
        instance: The file.
        frame: Index of the frame.
        geometry: Where it lies, if the header says so.
    """

    instance: Instance
    frame: int
    geometry: Geometry | None

    @property
    def facts(self) -> FrameFacts:
        """What is known of the frame."""
        return self.instance.frames[self.frame]

    def tie_break(self) -> tuple[tuple[float, ...], float, str, int]:
        """Order slices at one place: by what orders frames, InstanceNumber, SOP UID and frame."""
        return (self.facts.order, *self.file_order())

    def file_order(self) -> tuple[float, str, int]:
        """Order slices without a place: by InstanceNumber, SOP UID and frame."""
        number = self.instance.instance_number
        return math.inf if number is None else number, self.instance.sop_uid, self.frame


@dataclass(frozen=True)
class Stack:
    """Slices that belong behind each other.

    Attributes:
        slices: In order: along their right-handed normal (image position times normal); without geometry by
            InstanceNumber, SOP UID and frame.
        positions_mm: Where each lies along the normal, rising; None without geometry.
        regularity: How evenly they follow each other.
        kind: ``volume``; ``time-series`` (one place at several times); ``frames`` (of one file, unplaced); ``images``
            (of several files, unplaced); ``single``.
        split_by: Names of what divides the series that it comes from; empty where that is one stack.
    """

    slices: tuple[StackSlice, ...]
    positions_mm: tuple[float, ...] | None
    regularity: Regularity
    kind: StackKind
    split_by: tuple[str, ...] = ()

    @property
    def warning(self) -> str | None:
        """What is irregular about it, if anything is."""
        return None if self.kind is StackKind.TIME else self.regularity.warning


_Group: TypeAlias = tuple[list[StackSlice], dict[str, Hashable]]
"""Slices, and what is common to them by the name of what may divide a series."""


def stacks_of(instances: Sequence[Instance]) -> list[Stack]:
    """Divide images into stacks.

    Args:
        instances: Objects of any number of patients, in any order; what is no image is passed over.

    Returns:
        The stacks, patient by patient, study by study, series by series; those of one series by what divides it, and
        those without geometry last, by InstanceNumber.
    """
    series: dict[tuple[Hashable, ...], list[StackSlice]] = {}
    for instance in instances:
        if instance.kind is not Kind.IMAGE:
            continue
        # Without a series UID nothing says that two files belong together.
        uid = instance.series_uid or f"instance {instance.sop_uid}"
        things = series.setdefault((instance.patient, instance.study_uid, uid), [])
        things += [StackSlice(instance, frame, facts.geometry) for frame, facts in enumerate(instance.frames)]
    ordered = sorted(series.items(), key=lambda entry: tuple(map(str, entry[0])))
    return [stack for _, things in ordered if things for stack in _stacks_of_series(things)]


def _stacks_of_series(things: Sequence[StackSlice]) -> list[Stack]:
    groups: list[_Group] = [
        part
        for exact in _exactly(things)
        for spaced in _nearly(exact, "spacing", _spacing, _same_spacing)
        for turned in _nearly(spaced, "orientation", _cosines, _same_orientation)
        for part in _repeats(turned)
    ]
    # What a group is not divided by is the same in all groups, or not known of it.
    names = dict.fromkeys(name for _, common in groups for name in common)
    split_by = tuple(name for name in names if len({common.get(name) for _, common in groups}) > 1)
    stacks = [_stack(group, split_by) for group, _ in groups]
    placed = [stack for stack in stacks if stack.positions_mm is not None]
    unplaced = [stack for stack in stacks if stack.positions_mm is None]
    return [*placed, *sorted(unplaced, key=lambda stack: stack.slices[0].file_order())]


def _clips(things: Sequence[StackSlice]) -> set[str]:
    """Name the files of several frames that lie at one place, or at none: each is a course in time, or a cine."""
    instances = {thing.instance.sop_uid: thing.instance for thing in things if len(thing.instance.frames) > 1}
    return {
        uid
        for uid, instance in instances.items()
        if all(facts.geometry == instance.frames[0].geometry for facts in instance.frames)
    }


def _exact_values(thing: StackSlice, clips: set[str]) -> dict[str, Hashable]:
    instance, facts = thing.instance, thing.instance.facts
    placed = thing.geometry is not None
    return {
        "frame-of-reference": instance.frame_of_reference_uid,
        "modality": "" if facts is None else facts.modality,
        "size": (0, 0) if facts is None else (facts.rows, facts.columns),
        "geometry": placed,
        **{name: group_value(thing.facts, name) for name in _EXACT},
        # Frames of one clip belong together, and not with those of the next.
        "file": instance.sop_uid if instance.sop_uid in clips else "",
        # Views of a radiograph are no slices of one thing.
        "view": "" if placed or facts is None else f"{facts.view_position} {facts.laterality}".strip(),
    }


def _exactly(things: Sequence[StackSlice]) -> Iterator[_Group]:
    clips = _clips(things)
    groups: dict[tuple[tuple[str, Hashable], ...], list[StackSlice]] = {}
    for thing in things:
        groups.setdefault(tuple(_exact_values(thing, clips).items()), []).append(thing)
    for values, group in sorted(groups.items(), key=lambda entry: [_sort_key(value) for _, value in entry[0]]):
        yield group, dict(values)


def _sort_key(value: Hashable) -> tuple[float, str]:
    """Order numbers by their value, and before other text."""
    text = str(value)
    try:
        return float(text), text
    except ValueError:
        return math.inf, text


def _spacing(thing: StackSlice) -> tuple[float, ...]:
    facts: ImageFacts | None = thing.instance.facts
    return () if facts is None or facts.spacing_mm is None else facts.spacing_mm


def _same_spacing(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return len(one) == len(other) and all(
        math.isclose(a, b, rel_tol=_SAME_SPACING) for a, b in zip(one, other, strict=True)
    )


def _cosines(thing: StackSlice) -> tuple[float, ...]:
    return () if thing.geometry is None else (*thing.geometry.row, *thing.geometry.column)


def _same_orientation(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return all(abs(a - b) <= _SAME_ORIENTATION for a, b in zip(one, other, strict=True))


def _nearly(
    group: _Group,
    name: str,
    value_of: Callable[[StackSlice], tuple[float, ...]],
    same: Callable[[tuple[float, ...], tuple[float, ...]], bool],
) -> Iterator[_Group]:
    """Divide by values that are equal up to rounding: each joins the first part whose first value it equals."""
    things, common = group
    values: dict[tuple[float, ...], list[StackSlice]] = {}
    for thing in things:
        values.setdefault(value_of(thing), []).append(thing)
    parts: dict[tuple[float, ...], list[StackSlice]] = {}
    for value in sorted(values):
        first = next((first for first in parts if same(first, value)), value)
        parts.setdefault(first, []).extend(values[value])
    for first, part in parts.items():
        yield part, {**common, name: first}


def _repeats(group: _Group) -> Iterator[_Group]:
    """Divide slices that repeat places by what tells the repeats apart.

    A value does so where it has no more values than there are slices at the place that has most of them. Slices at a
    single place stay together: they are its course in time.
    """
    things, common = group
    levels = _levels(things) if things[0].geometry is not None else []
    if len(levels) < 2:
        yield things, common
        return
    most = max(map(len, levels))
    for name in _REPEATS:
        parts: dict[str, list[StackSlice]] = {}
        for thing in things:
            parts.setdefault(group_value(thing.facts, name), []).append(thing)
        if 1 < len(parts) <= most:
            for value in sorted(parts, key=_sort_key):
                yield from _repeats((parts[value], {**common, name: value}))
            return
    phases = _phases(levels)
    for number, phase in enumerate(phases):
        yield phase, {**common, "phase": number} if len(phases) > 1 else common


def _phases(levels: Sequence[Sequence[StackSlice]]) -> list[list[StackSlice]]:
    """Divide a gated series by the order of trigger times at each place; heartbeats differ, so that no time recurs.

    It stays whole where places have different numbers of slices, or a place has a time twice or none.
    """
    phases: list[list[StackSlice]] = [[] for _ in levels[0]]
    for level in levels:
        times = {group_value(thing.facts, "trigger-time"): thing for thing in level}
        if len(times) != len(phases) or len(level) != len(phases) or "" in times:
            return [[thing for level in levels for thing in level]]
        for phase, time in zip(phases, sorted(times, key=_sort_key), strict=True):
            phase.append(times[time])
    return phases


def _normal(things: Sequence[StackSlice]) -> Vector | None:
    """Return the normal of the slices, by that with the least direction cosines, so that no number decides."""
    geometry = min(things, key=_cosines).geometry
    return None if geometry is None else geometry.normal()


def _height(thing: StackSlice, normal: Vector) -> float:
    return -math.inf if thing.geometry is None else dot(thing.geometry.position_mm, normal)


def _levels(things: Sequence[StackSlice]) -> list[list[StackSlice]]:
    """Gather slices by their place along their normal, from the lowest place up."""
    normal = _normal(things)
    if normal is None:
        return [list(things)]
    levels: list[list[StackSlice]] = []
    last = -math.inf
    for height, thing in sorted(((_height(thing, normal), thing) for thing in things), key=lambda entry: entry[0]):
        if height - last > SAME_PLACE_MM:
            levels.append([])
        levels[-1].append(thing)
        last = height
    return levels


def _stack(things: Sequence[StackSlice], split_by: tuple[str, ...]) -> Stack:
    normal = _normal(things)
    if normal is None:
        unplaced = tuple(sorted(things, key=StackSlice.file_order))
        kind = StackKind.FRAMES if len(unplaced[0].instance.frames) > 1 else StackKind.IMAGES
        return Stack(unplaced, None, without_geometry(), kind if len(unplaced) > 1 else StackKind.SINGLE, split_by)
    ordered = [thing for level in _levels(things) for thing in sorted(level, key=StackSlice.tie_break)]
    regularity = regularity_of([thing.geometry.position_mm for thing in ordered if thing.geometry is not None], normal)
    heights = tuple(_height(thing, normal) for thing in ordered)
    return Stack(tuple(ordered), heights, regularity, _placed_kind(ordered, regularity), split_by)


def _placed_kind(ordered: Sequence[StackSlice], regularity: Regularity) -> StackKind:
    if len(ordered) == 1:
        return StackKind.SINGLE
    if regularity.status is Status.DUPLICATE_POSITIONS and not regularity.gaps_mm:
        times = {(thing.facts.order, *(group_value(thing.facts, name) for name in _REPEATS)) for thing in ordered}
        if len(times) == len(ordered):
            return StackKind.TIME
    return StackKind.VOLUME
