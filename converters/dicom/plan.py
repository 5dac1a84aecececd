"""Divides the images of a folder into series, in geometric order, under pseudonyms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
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
        findings: Labelled findings; None where nobody looked.
        warnings: What is irregular about its stack.
    """

    path: Path
    source: str
    frame: int
    frame_count: int
    index: int
    spacing_mm: float | None
    findings: tuple[Finding, ...] | None
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class SeriesUnit:
    """One series: the unit of work.

    Attributes:
        patient: Pseudonym of the patient; the group that is never divided.
        series: Pseudonym of the series.
        slices: Its slices in geometric order.
        classes: All labels of the table of findings.
    """

    patient: str
    series: str
    slices: tuple[SliceRef, ...]
    classes: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the series, without identifiers; the start of its samples' ids."""
        return f"{self.patient}/{self.series}"


def plan_series(source: Path, settings: DicomSettings) -> Plan[SeriesUnit]:
    """Read all headers below ``source`` and plan one unit a series.

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
    units: list[SeriesUnit] = []
    for series in series_of(instances):
        unit, left_out = _unit(series, pseudonyms, table, settings.max_frames)
        units.append(unit)
        rejects += left_out
    sources = {thing.source: thing.path for unit in units for thing in unit.slices}
    if settings.labels is not None:
        sources[_LABELS_SOURCE] = settings.labels
    return Plan(
        units=sorted(units, key=lambda unit: unit.name),
        sources=sources,
        rejects=sorted(rejects, key=lambda reject: (reject.stage, reject.reason, reject.input)),
    )


def _unit(
    series: Sequence[Instance], pseudonyms: Pseudonyms, table: LabelTable | None, max_frames: int
) -> tuple[SeriesUnit, list[Reject]]:
    patient = pseudonyms.of(*series[0].patient)
    name = pseudonyms.of("series", *series[0].series)
    by_uid = {instance.sop_uid: instance for instance in series}
    placed = [
        Placed(geometry, instance.instance_number, instance.sop_uid, frame)
        for instance in series
        for frame, geometry in enumerate(instance.frames)
    ]
    slices: list[SliceRef] = []
    for stack in stacks_in_order(placed):
        spacing = spacing_of(stack)
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
                    findings=_findings(table, instance),
                    warnings=(spacing.warning,) if spacing.warning else (),
                )
            )
    kept = _spread(slices, max_frames)
    rejects = [
        Reject(
            f"{patient}/{name}/{thing.index:04d}",
            "plan",
            "frame-limit",
            f"the file has {thing.frame_count} frames, of which {max_frames} are converted",
            "Raise --max-frames to convert more",
            Severity.SKIPPED,
        )
        for thing in slices
        if thing.index not in kept
    ]
    classes = table.classes if table is not None else ()
    return SeriesUnit(patient, name, tuple(thing for thing in slices if thing.index in kept), classes), rejects


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
