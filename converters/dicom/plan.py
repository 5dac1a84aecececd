"""Divides the images of a folder into series, in geometric order, under pseudonyms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.conversion import Plan
from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema.writer import Reject, Severity

from .deid import Pseudonyms, read_key
from .geometry import Placed, spacing_of, stacks_in_order
from .labels import Finding, LabelTable, read_labels
from .scan import Instance, files_below, scan, series_of
from .settings import DicomSettings
from .windows import parse_window

_LABELS_SOURCE = "labels"


@dataclass(frozen=True)
class SliceRef:
    """One slice to convert: a file, or a frame of it.

    Attributes:
        path: The file.
        source: Its pseudonymous name.
        frame: Index of the frame.
        frame_count: Number of frames in the file.
        index: Place in the series in geometric order, from 0.
        spacing_mm: Median distance of the slices of its stack.
        asks_header: Whether it is asked for what the headers tell, modality and plane.
        findings: Labelled findings; None where nobody looked.
        warnings: What is irregular about its stack.
    """

    path: Path
    source: str
    frame: int
    frame_count: int
    index: int
    spacing_mm: float | None
    asks_header: bool
    findings: tuple[Finding, ...] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class StackUnit:
    """One stack of slices that lie behind each other: the unit of work.

    Attributes:
        patient: Pseudonym of the patient; the group that is never divided.
        series: Pseudonym of the series, which may have several stacks.
        slices: Its slices in geometric order.
        classes: All labels of the table of findings.
    """

    patient: str
    series: str
    slices: tuple[SliceRef, ...]
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the stack, without identifiers, by its slices in the series."""
        return f"{self.series_name}/{self.slices[0].index:04d}-{self.slices[-1].index:04d}"

    @property
    def series_name(self) -> str:
        """Name of the series, without identifiers; the start of its samples' ids."""
        return f"{self.patient}/{self.series}"


def plan_series(source: Path, settings: DicomSettings) -> Plan[StackUnit]:
    """Read all headers below ``source`` and plan one unit a stack.

    Raises:
        UsageError: If key, labels or window are wrong.
        NothingToDoError: If there is no file, or none that holds an image.
    """
    pseudonyms = Pseudonyms(read_key(settings.deid_key))
    parse_window(settings.window)
    table = read_labels(settings.labels) if settings.labels is not None else None
    files = files_below(source, [path for path in (settings.deid_key, settings.labels) if path is not None])
    instances, rejects = scan(files, pseudonyms)
    if not instances:
        reasons = ", ".join(f"{count} {reason}" for reason, count in sorted(Counter(r.reason for r in rejects).items()))
        raise NothingToDoError(
            "There is no DICOM image",
            where=source,
            rule=f"{len(files)} files were looked at" + (f": {reasons}" if reasons else ""),
            action="Name a folder with DICOM files; archives must be unpacked first",
        )
    if table is not None:
        rejects += _match(table, instances, settings)
    units: list[StackUnit] = []
    for series in series_of(instances):
        stacks, left_out = _stacks(series, pseudonyms, table, settings)
        units += stacks
        rejects += left_out
    sources = {thing.source: thing.path for unit in units for thing in unit.slices}
    if settings.labels is not None:
        sources[_LABELS_SOURCE] = settings.labels
    return Plan(
        units=sorted(units, key=lambda unit: unit.name),
        sources=sources,
        rejects=sorted(rejects, key=lambda reject: (reject.stage, reject.reason, reject.input)),
    )


def _stacks(
    series: Sequence[Instance], pseudonyms: Pseudonyms, table: LabelTable | None, settings: DicomSettings
) -> tuple[list[StackUnit], list[Reject]]:
    patient = pseudonyms.of(*series[0].patient)
    name = pseudonyms.of("series", *series[0].series)
    by_uid = {instance.sop_uid: instance for instance in series}
    placed = [
        Placed(geometry, instance.instance_number, instance.sop_uid, frame)
        for instance in series
        for frame, geometry in enumerate(instance.frames)
    ]
    slices: list[SliceRef] = []
    stack_of: list[int] = []
    for number, stack in enumerate(stacks_in_order(placed)):
        spacing = spacing_of(stack)
        stack_of += [number] * len(stack)
        for thing in stack:
            instance = by_uid[thing.sop_uid]
            slices.append(
                SliceRef(
                    path=instance.path,
                    source=f"{patient}/{name}/{pseudonyms.of('instance', instance.sop_uid)}",
                    frame=thing.frame,
                    frame_count=len(instance.frames),
                    index=len(slices),
                    spacing_mm=spacing.median_mm,
                    asks_header=False,
                    findings=_findings(table, instance),
                    warnings=(spacing.warning,) if spacing.warning else (),
                )
            )
    kept = _spread(slices, settings.max_frames)
    asked = _asked_for_header(sorted(kept), settings.header_slices_per_series)
    rejects = [
        Reject(
            f"{patient}/{name}/{thing.index:04d}",
            "plan",
            "frame-limit",
            f"the file has {thing.frame_count} frames, of which {settings.max_frames} are converted",
            "Raise --max-frames to convert more",
            Severity.SKIPPED,
        )
        for thing in slices
        if thing.index not in kept
    ]
    classes = table.classes if table is not None else ()
    by_stack: dict[int, list[SliceRef]] = {}
    for ref in slices:
        if ref.index in kept:
            by_stack.setdefault(stack_of[ref.index], []).append(replace(ref, asks_header=ref.index in asked))
    return [StackUnit(patient, name, tuple(stack), classes) for stack in by_stack.values()], rejects


def _findings(table: LabelTable | None, instance: Instance) -> tuple[Finding, ...] | None:
    return table.of(instance.sop_uid) if table is not None and len(instance.frames) == 1 else None


def _spread(slices: Sequence[SliceRef], max_frames: int) -> set[int]:
    """Choose which slices to convert: at most ``max_frames`` a file, evenly over their geometric order."""
    by_file: dict[Path, list[int]] = {}
    for thing in slices:
        by_file.setdefault(thing.path, []).append(thing.index)
    kept: set[int] = set()
    for indices in by_file.values():
        count = min(len(indices), max_frames)
        kept.update(indices[(2 * step + 1) * len(indices) // (2 * count)] for step in range(count))
    return kept


def _asked_for_header(indices: Sequence[int], limit: int | None) -> set[int]:
    """Choose the slices that are asked for what the headers tell: the middles of equal parts of the series."""
    if limit is None or limit >= len(indices):
        return set(indices)
    return {indices[int((part + 0.5) * len(indices) / limit)] for part in range(limit)}


def _match(table: LabelTable, instances: Sequence[Instance], settings: DicomSettings) -> list[Reject]:
    """List the rows of the table that belong to no slice, and those that are malformed."""
    frames = {instance.sop_uid: len(instance.frames) for instance in instances}
    if table.rows and not any(uid in frames for uid in table.rows):
        raise UsageError(
            "Cannot use --labels",
            where=settings.labels,
            rule=f"none of its {len(table.rows)} instances is among the {len(frames)} images found",
            action="Check that sop_instance_uid holds the SOPInstanceUID of these files",
        )
    rejects = list(table.rejects)
    for uid, rows in table.rows.items():
        if frames.get(uid) == 1:
            continue
        reason, message = (
            ("label-unmatched", "no image has this sop_instance_uid")
            if uid not in frames
            else ("label-multi-frame", "the instance has several frames, and the table does not say which is meant")
        )
        rejects += [Reject(f"labels row {row}", "label", reason, message) for row in rows]
    return rejects
