"""From a survey of an input to units of work, under pseudonyms."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from domainvl.conversion import Plan
from domainvl.schema.writer import Reject, Severity

from ..medical.findings import SliceTruth
from ..medical.label_table import LabelTable, open_table
from ..medical.looks import Look
from ..medical.report_sections import parse_sections
from ..medical.reports import Study, read_reports
from ..medical.selection import SelectionRule
from ..medical.stack_samples import SLICES, parse_forms
from ..medical.tasks import parse_marks, parse_tasks
from .annotations.places import SlicePlace
from .calibration import PROJECTIONS
from .instance import FileRef, ImageFacts, Instance, Kind
from .privacy.dates import DateShift
from .privacy.identifiers import NAMING_KINDS, Identifier, IdentifierKind
from .privacy.label_words import LabelWords
from .privacy.outside import check_outside
from .privacy.pixel_text import check_installed
from .privacy.pseudonyms import SOURCE_HASHES, Pseudonyms, read_key
from .privacy.reid_map import MapRow, write_map
from .privacy.scrub import scrub
from .series import Stack, StackKind, StackSlice
from .settings import DicomSettings
from .survey import Series, Survey, instance_name, series_key, series_name, study_name, survey_input
from .units import AnnotationRef, SliceRef, StackUnit, VideoUnit

_SHORT = {
    Kind.SEGMENTATION: "seg",
    Kind.STRUCTURE_SET: "rtstruct",
    Kind.STRUCTURED_REPORT: "sr",
    Kind.KEY_OBJECTS: "kos",
}
_DRAWN = (Kind.SEGMENTATION, Kind.STRUCTURE_SET)
_OF_MANY = ("series_instance_uid", "study_instance_uid", "accession_number", "patient_id")
"""Join keys that name many slices."""

_LABELS_SOURCE, _REPORTS_SOURCE = "labels", "reports"


def plan_series(source: Path, settings: DicomSettings) -> Plan[StackUnit | VideoUnit]:
    """Read all headers below ``source`` and plan one unit a stack.

    Raises:
        UsageError: If a setting cannot be used.
        NothingToDoError: If there is no file, or none that holds an image.
    """
    key = read_key(settings.deid_key)
    check_settings(settings)
    check_outside(source, settings)
    pseudonyms = Pseudonyms(key)
    survey = survey_input(source, settings, pseudonyms)
    planner = _Planner(survey, settings, pseudonyms, DateShift(key), source)
    plan = planner.plan()
    if settings.reid_map is not None:
        write_map(settings.reid_map, planner.map_rows(), pseudonyms)
    return plan


def plan_survey(survey: Survey, settings: DicomSettings, key: bytes) -> Plan[StackUnit | VideoUnit]:
    """Plan what a survey has found; nothing is written.

    Args:
        survey: What lies in the input.
        settings: The converter's settings.
        key: The key of the pseudonyms of the survey.

    Raises:
        UsageError: If labels or reports cannot be used.
    """
    return _Planner(survey, settings, Pseudonyms(key), DateShift(key)).plan()


def check_settings(settings: DicomSettings) -> None:
    """Check what can be before the first file is opened: all settings that are text, and the extra that they need.

    Raises:
        UsageError: If one cannot be used.
    """
    Look.parse(settings.windows, settings.pack, settings.percentiles, suv=settings.suv, overlays=settings.overlays)
    SelectionRule.parse(settings.select)
    parse_forms(settings.forms)
    parse_tasks(settings.tasks)
    parse_marks(settings.marks)
    parse_sections(settings.report_sections)
    check_installed(settings.pixel_text)


@dataclass(frozen=True)
class _Report:
    """A report without what names people, and what was taken out of it, by kind."""

    sections: tuple[tuple[str, str], ...]
    replacements: tuple[tuple[str, int], ...]


class _Planner:
    def __init__(
        self,
        survey: Survey,
        settings: DicomSettings,
        pseudonyms: Pseudonyms,
        dates: DateShift,
        source: Path | None = None,
    ) -> None:
        self._survey = survey
        self._source = source
        self._settings = settings
        self._pseudonyms = pseudonyms
        self._dates = dates
        self._words = LabelWords()
        self._table = open_table(settings.labels, settings.properties)
        self._rejects = list(survey.rejects)
        self._reports: Mapping[str, _Report] = {}
        self._issuers = {
            (pseudonyms.of(*patient), patient[-1]): patient[1]
            for series in survey.series
            for patient in {instance.patient for instance in series.instances}
            if patient[0] == "patient"
        }
        """Issuer of PatientID by the pseudonym and the PatientID of patients."""

    def plan(self) -> Plan[StackUnit | VideoUnit]:
        kept = [thing.instance for series in self._survey.series for stack in series.stacks for thing in stack.slices]
        kept = list({instance.sop_uid: instance for instance in kept}.values())
        if self._table is not None:
            images = [instance for series in self._survey.series for instance in series.instances]
            counts = [len(instance.frames) for instance in images]
            self._rejects += self._table.match([_keys(instance) for instance in images], counts)
            self._withhold_names(self._table, images)
        self._reports = self._read_reports(kept)
        stacks = [unit for series in self._survey.series for unit in self._stacks(series)]
        stacks = self._with_reports(self._with_annotations(stacks))
        videos = list(self._videos())
        everything: list[StackUnit | VideoUnit] = [*stacks, *videos]
        units = sorted(everything, key=lambda unit: unit.name)
        return Plan(
            units=units,
            sources=self._sources(stacks, videos),
            rejects=sorted(self._rejects, key=lambda reject: (reject.stage, reject.reason, reject.input)),
            notes=(*self._survey.notes, *self._notes()),
            source_key=self._pseudonyms.subkey(SOURCE_HASHES),
        )

    def _notes(self) -> Iterator[str]:
        if self._table is not None and self._table.key in _OF_MANY and SLICES in parse_forms(self._settings.forms):
            yield (
                f"labels by {self._table.key} are asked of every slice that it names; --forms series asks them once a "
                "stack"
            )

    def _withhold_names(self, table: LabelTable, images: Sequence[Instance]) -> None:
        """Find labels that name the patient whose image they are about: they must be classes of nobody else either."""
        words_of: dict[tuple[str, ...], LabelWords] = {}
        naming: set[str] = set()
        for instance in images:
            if instance.patient not in words_of:
                words = words_of[instance.patient] = LabelWords()
                words.learn_names(
                    [
                        Identifier(IdentifierKind.NAME, instance.patient_name, "PatientName"),
                        Identifier(IdentifierKind.ID, instance.patient[-1], "PatientID"),
                    ]
                )
            for frame in range(len(instance.frames)):
                truth = table.truth_for(_keys(instance), frame) or SliceTruth()
                labels = (*(thing.label for thing in truth.findings), *(label for label, _ in truth.stated))
                naming.update(label for label in labels if words_of[instance.patient].name_someone_as_label(label))
        self._words.withhold(naming)
        if naming:
            self._rejects.append(
                Reject(
                    _LABELS_SOURCE,
                    "label",
                    "label-identifies",
                    f"{len(naming)} of its labels seem to name the patient they are about, and are asked of nobody",
                    "Take names, dates and numbers of patients out of the table",
                    Severity.SKIPPED,
                )
            )

    def _stacks(self, series: Series) -> Iterator[StackUnit]:
        """Make the units of one series; slices are numbered through all of its stacks."""
        stacks: list[tuple[Stack, list[SliceRef]]] = []
        start = 0
        for stack in series.stacks:
            stacks.append((stack, [self._slice(stack, place, start + place) for place in range(len(stack.slices))]))
            start += len(stack.slices)
        # The frames of a file may lie in several stacks, such as the phases of a heart. Those of a volume are slices,
        # of which --select chooses by millimetres.
        frames = [ref for stack, own in stacks if stack.kind is not StackKind.VOLUME for ref in own]
        kept = {ref.index for stack, own in stacks if stack.kind is StackKind.VOLUME for ref in own}
        kept |= _spread_frames(frames, self._settings.max_frames)
        self._rejects += _frame_limits(frames, kept)
        quarantined_count = series.quarantined_count(self._settings)
        for stack, own in stacks:
            chosen = [ref for ref in own if ref.index in kept]
            if chosen:
                yield self._unit(stack, chosen, quarantined_count)
                quarantined_count = 0

    def _unit(self, stack: Stack, refs: Sequence[SliceRef], quarantined_count: int) -> StackUnit:
        first = stack.slices[0].instance
        patient, series = series_name(first, self._pseudonyms).split("/")
        return StackUnit(
            patient=patient,
            series=series,
            slices=tuple(refs),
            annotations=(),
            modality=_facts(first).modality,
            kind=stack.kind.value,
            status=stack.regularity.status.value,
            spacing_mm=stack.regularity.spacing_mm,
            tilt_deg=stack.regularity.tilt_deg,
            split_by=stack.split_by,
            warnings=(stack.warning,) if stack.warning else (),
            study=study_name(first, self._pseudonyms),
            study_date=self._dates.shifted(first.study_date, *first.patient)
            if self._settings.dates == "shift"
            else None,
            source_key=self._pseudonyms.subkey(SOURCE_HASHES),
            quarantined_count=quarantined_count,
            shows_face=any(thing.instance.face_risk for thing in stack.slices),
        )

    def _slice(self, stack: Stack, place: int, index: int) -> SliceRef:
        thing = stack.slices[place]
        instance = thing.instance
        positions = stack.positions_mm
        truth = self._table.truth_for(_keys(instance), thing.frame) if self._table is not None else None
        truth = None if truth is None else self._words.cleaned_truth(truth)
        return SliceRef(
            file=instance.file,
            source=instance_name(instance, self._pseudonyms),
            frame=thing.frame,
            frame_count=len(instance.frames),
            index=index,
            position_mm=None if positions is None else round(positions[place], 4),
            place=_place(thing),
            facts=_facts(instance),
            suspected=instance.risk is not None,
            truth=truth,
        )

    def _with_annotations(self, units: Sequence[StackUnit]) -> list[StackUnit]:
        """Give each unit the objects that are about its slices; those of other slices are listed."""
        found: dict[str, list[AnnotationRef]] = {}
        numbers: Counter[str] = Counter()
        for annotation in self._survey.annotations:
            source = instance_name(annotation, self._pseudonyms)
            concerned = [unit for unit in units if self._is_about(annotation, unit)]
            if not concerned:
                self._rejects.append(_unmatched(annotation, source))
            short = _SHORT[annotation.kind]
            for unit in concerned:
                numbers[f"{unit.name}/{short}"] += 1
                name = f"{short}-{numbers[f'{unit.name}/{short}']}"
                is_first = unit is concerned[0]
                elsewhere = tuple(ref.place for other in concerned[1:] for ref in other.slices) if is_first else ()
                ref = AnnotationRef(annotation.file, annotation.kind, name, source, is_first, elsewhere)
                found.setdefault(unit.name, []).append(ref)
        return [replace(unit, annotations=tuple(found.get(unit.name, ()))) for unit in units]

    def _is_about(self, annotation: Instance, unit: StackUnit) -> bool:
        """Say whether an annotation names slices of a stack, or failing that lies in its coordinate system.

        Segmentations and contours that name images are about the stacks of these and not about others of the series:
        what was drawn on one phase or echo says nothing of the next.
        """
        if not self._may_be_of(annotation.patient, unit.patient):
            return False
        named = annotation.references
        if named.sop_uids and annotation.kind in _DRAWN:
            return any(ref.place.sop_uid in named.sop_uids for ref in unit.slices)
        if named.sop_uids or named.series_uids:
            return any(
                ref.place.sop_uid in named.sop_uids or ref.place.series_uid in named.series_uids for ref in unit.slices
            )
        frame = annotation.frame_of_reference_uid
        return bool(frame) and any(ref.place.frame_of_reference_uid == frame for ref in unit.slices)

    def _may_be_of(self, patient: tuple[str, ...], unit_patient: str) -> bool:
        """Whether an annotation may be of the patient of a stack.

        What other programs write often lacks the issuer of PatientID, or all that names the patient; references by UID
        then tell.
        """
        if self._pseudonyms.of(*patient) == unit_patient or patient[0] != "patient":
            return True
        _, issuer, patient_id = patient
        others = self._issuers.get((unit_patient, patient_id))
        return others is not None and (not issuer or not others)

    def _read_reports(self, kept: Sequence[Instance]) -> dict[str, _Report]:
        """Join reports to studies and take out of them what names people; by the name of the study."""
        settings = self._settings
        if settings.reports is None:
            return {}
        # One UID under two patients is two studies, of which a report by UID fits neither.
        numbers: dict[str, set[str]] = {}
        images: dict[str, Instance] = {}
        for instance in kept:
            name = study_name(instance, self._pseudonyms)
            images[name] = instance
            numbers.setdefault(name, set()).update({instance.accession_number} - {""})
        studies = [Study(name, images[name].study_uid, frozenset(numbers[name])) for name in sorted(images)]
        joined = read_reports(settings.reports, parse_sections(settings.report_sections)).join(studies)
        self._rejects += joined.rejects
        reports = {name: self._scrub(texts, name, images[name]) for name, texts in joined.by_study.items()}
        return {name: report for name, report in reports.items() if report is not None}

    def _scrub(self, texts: Mapping[str, str], study: str, image: Instance) -> _Report | None:
        """Take out of a report what names people; None where something is left that looks like it."""
        patient = image.patient
        stand_in = self._pseudonyms.of(*patient)
        own = {value for value in patient[1:] if value}
        counts: Counter[str] = Counter()
        sections = []
        for name, text in texts.items():
            scrubbed = scrub(
                text,
                self._survey.identifiers.get(image.study_uid, ()),
                lambda identifier: stand_in if identifier.text in own else None,
                shift_date=(lambda date: self._dates.shifted(date, *patient))
                if self._settings.dates == "shift"
                else None,
            )
            if scrubbed.residual:
                self._rejects.append(_residual(study, scrubbed.residual))
                return None
            counts.update(scrubbed.counts)
            sections.append((name, scrubbed.text))
        return _Report(tuple(sections), tuple(sorted(counts.items())))

    def _with_reports(self, units: Sequence[StackUnit]) -> list[StackUnit]:
        """Give the report of a study to its radiographs, else to the largest of its stacks."""
        largest: dict[str, StackUnit] = {}
        for unit in units:
            best = largest.get(unit.study)
            if best is None or len(unit.slices) > len(best.slices):
                largest[unit.study] = unit
        with_radiographs = {unit.study for unit in units if unit.modality in PROJECTIONS}
        result = []
        for unit in units:
            shows_it = unit.modality in PROJECTIONS or (
                unit.study not in with_radiographs and largest[unit.study] is unit
            )
            report = self._reports.get(unit.study)
            if shows_it and report is not None:
                unit = replace(unit, report=report.sections, report_replacements=report.replacements)
            result.append(unit)
        return result

    def _videos(self) -> Iterator[VideoUnit]:
        for instance in self._survey.videos:
            name = instance_name(instance, self._pseudonyms)
            if self._settings.videos is None:
                self._rejects.append(
                    Reject(
                        name,
                        "plan",
                        "video",
                        "its pixels are a video (MPEG-2, MPEG-4 or HEVC), which is not decoded",
                        "Take the videos out as they are with --videos FOLDER",
                        Severity.SKIPPED,
                    )
                )
            else:
                yield VideoUnit(instance.file, name, str(self._settings.videos))

    def map_rows(self) -> Iterator[MapRow]:
        """Say which pseudonym stands for which identifier and file."""
        survey, pseudonyms = self._survey, self._pseudonyms
        images = [instance for series in survey.series for instance in series.instances]
        for instance in (*images, *survey.annotations, *survey.videos):
            file = _file_name(instance.file)
            yield MapRow(pseudonyms.of(*instance.patient), "patient", instance.patient[-1])
            yield MapRow(pseudonyms.of("study", instance.study_uid), "study", instance.study_uid)
            series = series_key(instance)
            yield MapRow(pseudonyms.of("series", *series), "series", series[-1])
            yield MapRow(pseudonyms.of("instance", instance.sop_uid), "instance", instance.sop_uid, file)
        for study_uid, identifiers in survey.identifiers.items():
            study = pseudonyms.of("study", study_uid)
            named = (thing for thing in identifiers if thing.kind in NAMING_KINDS)
            yield from (MapRow(study, thing.kind.value, thing.text) for thing in named)
        archives = {
            instance.file.path for instance in (*images, *survey.annotations, *survey.videos) if instance.file.member
        }
        yield from (MapRow(self._archive_name(path), "file", "", str(path)) for path in sorted(archives))
        for name, refs in survey.left_out_files.items():
            yield from (MapRow(name, "file", "", _file_name(ref)) for ref in refs)

    def _sources(self, stacks: Sequence[StackUnit], videos: Sequence[VideoUnit]) -> dict[str, Path]:
        """Name the files that are read; an archive counts as one, under a name made of its place in the input."""
        refs = [(ref.source, ref.file) for unit in stacks for ref in unit.slices]
        refs += [(ref.source, ref.file) for unit in stacks for ref in unit.annotations]
        refs += [(unit.source, unit.file) for unit in videos]
        sources = {name: file.path for name, file in refs if not file.member}
        sources |= {self._archive_name(path): path for path in sorted({file.path for _, file in refs if file.member})}
        if self._settings.labels is not None:
            sources[_LABELS_SOURCE] = self._settings.labels
        if self._settings.reports is not None and self._settings.reports.is_file():
            sources[_REPORTS_SOURCE] = self._settings.reports
        return sources

    def _archive_name(self, path: Path) -> str:
        """Name an archive by its path below the input, so that where the input lies changes nothing."""
        root = path.parent
        if self._source is not None and self._source in path.parents:
            root = self._source
        # Names may hold bytes that are no text.
        place = hashlib.sha256(os.fsencode(path.relative_to(root))).hexdigest()
        return f"archive-{self._pseudonyms.of('file', place)}"


def _file_name(file: FileRef) -> str:
    return f"{file.path}!{file.member}" if file.member else str(file.path)


def _keys(instance: Instance) -> dict[str, str]:
    """Return what a row of a table may name an image by."""
    return {
        "sop_instance_uid": instance.sop_uid,
        "series_instance_uid": instance.series_uid,
        "study_instance_uid": instance.study_uid,
        "accession_number": instance.accession_number,
        "patient_id": instance.patient[-1] if instance.patient[0] == "patient" else "",
    }


def _facts(instance: Instance) -> ImageFacts:
    if instance.facts is None:
        raise ValueError("an image has facts")
    return instance.facts


def _place(thing: StackSlice) -> SlicePlace:
    instance, facts = thing.instance, _facts(thing.instance)
    return SlicePlace(
        sop_uid=instance.sop_uid,
        frame=thing.frame,
        geometry=thing.geometry,
        spacing_mm=facts.spacing_mm,
        rows=facts.rows,
        columns=facts.columns,
        frame_of_reference_uid=instance.frame_of_reference_uid,
        series_uid=instance.series_uid,
    )


def _spread_frames(refs: Sequence[SliceRef], max_frames: int) -> set[int]:
    """Choose which slices to convert: at most ``max_frames`` a file, evenly over their geometric order."""
    by_file: dict[str, list[int]] = {}
    for ref in refs:
        by_file.setdefault(ref.source, []).append(ref.index)
    kept: set[int] = set()
    for indices in by_file.values():
        count = min(len(indices), max_frames)
        kept.update(indices[(2 * step + 1) * len(indices) // (2 * count)] for step in range(count))
    return kept


def _frame_limits(refs: Sequence[SliceRef], kept: Collection[int]) -> list[Reject]:
    """Say of each file whose frames are not all kept how many are."""
    counts: dict[str, tuple[int, int]] = {}
    for ref in refs:
        frames, converted = counts.get(ref.source, (0, 0))
        counts[ref.source] = frames + 1, converted + (ref.index in kept)
    return [
        Reject(
            source,
            "plan",
            "frame-limit",
            f"the file has {frames} frames, of which {converted} are converted",
            "Raise --max-frames to convert more",
            Severity.SKIPPED,
        )
        for source, (frames, converted) in counts.items()
        if converted < frames
    ]


def _residual(study: str, codes: Sequence[str]) -> Reject:
    return Reject(
        f"study {study}",
        "label",
        "report-identifies",
        f"after identifiers were taken out, its report still has what looks like one: {', '.join(codes)}",
        "Take it out of the report by hand",
    )


def _unmatched(annotation: Instance, source: str) -> Reject:
    return Reject(
        source,
        "label",
        "annotation-unmatched",
        f"it is a {annotation.kind.value} about images that are not among those converted",
        "Add the series that it names to the input",
        Severity.SKIPPED,
    )
