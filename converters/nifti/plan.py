"""From a folder of files to units of work, under pseudonyms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.conversion import Plan
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema.writer import Reject, Severity

from ..dicom.privacy.pseudonyms import SOURCE_HASHES, Pseudonyms, read_key
from ..dicom.privacy.reid_map import MapRow, write_map
from ..medical.findings import SliceTruth
from ..medical.label_table import LabelTable, open_table
from ..medical.looks import Look
from ..medical.selection import SelectionRule
from ..medical.stack_samples import parse_forms, spread
from ..medical.tasks import parse_marks, parse_tasks
from .class_names import beside, read_class_names
from .cutting import cut_of
from .files import FoundFiles, NiftiFile, find_files
from .header import VolumeHeader, read_header
from .naming import Named, Patient, name_files, parse_expression, patient_of
from .pairing import Pairing, pair, parse_pattern
from .settings import NiftiSettings
from .units import MaskRef, VolumeUnit

_KEY = "file_name"
_LABELS_SOURCE, _NAMES_SOURCE = "labels", "class-names"


@dataclass(frozen=True)
class PlannedFile:
    """One file that is converted.

    Attributes:
        named: Its names.
        header: Its header.
        units: Its volumes that are converted.
    """

    named: Named
    header: VolumeHeader
    units: tuple[VolumeUnit, ...]


@dataclass(frozen=True)
class VolumePlan:
    """What is to be converted, with what was seen of it.

    Attributes:
        plan: The plan.
        files: The files that are converted, by name.
    """

    plan: Plan[VolumeUnit]
    files: tuple[PlannedFile, ...]


def plan_volumes(source: Path, settings: NiftiSettings) -> Plan[VolumeUnit]:
    """Read all headers below ``source`` and plan one unit a volume; the re-identification map is written if asked for.

    Raises:
        UsageError: If a setting cannot be used.
        NothingToDoError: If there is no volume.
    """
    return survey_volumes(source, settings, writes_map=True).plan


def survey_volumes(source: Path, settings: NiftiSettings, *, writes_map: bool = False) -> VolumePlan:
    """Plan, and keep what was seen.

    Raises:
        UsageError: If a setting cannot be used.
        NothingToDoError: If there is no volume.
    """
    check_settings(settings)
    pseudonyms = Pseudonyms(read_key(settings.deid_key)) if settings.deid_key is not None else None
    planner = _Planner(source, settings, pseudonyms)
    planned = planner.plan()
    if writes_map and settings.reid_map is not None and pseudonyms is not None:
        write_map(settings.reid_map, planner.map_rows(pseudonyms), pseudonyms)
    return planned


def check_settings(settings: NiftiSettings) -> None:
    """Read all settings that are text, so that a mistake is found before the first file is opened.

    Raises:
        UsageError: If one cannot be used.
    """
    Look.parse(settings.windows, settings.pack, settings.percentiles)
    SelectionRule.parse(settings.select)
    parse_forms(settings.forms)
    parse_tasks(settings.tasks)
    parse_marks(settings.marks)
    parse_expression(settings.patient_from)
    parse_pattern(settings.mask_pattern)
    if settings.reid_map is not None and settings.deid_key is None:
        raise UsageError(
            "Cannot write --reid-map",
            rule="it says what hashes under a key stand for, and no --deid-key is given",
            action="Make a key with: openssl rand -hex 32 > deid.key, and add --deid-key deid.key",
        )


class _Planner:
    def __init__(self, source: Path, settings: NiftiSettings, pseudonyms: Pseudonyms | None) -> None:
        self._settings = settings
        self._pseudonyms = pseudonyms
        self._source_key = b"" if pseudonyms is None else pseudonyms.subkey(SOURCE_HASHES)
        self._found, masks = _find(source, settings)
        self._pairing = pair(self._found.files, masks, parse_pattern(settings.mask_pattern))
        self._table = open_table(settings.labels, settings.properties)
        self._class_names = read_class_names(settings.class_names) if settings.class_names is not None else None
        if self._table is not None and self._table.key != _KEY:
            raise UsageError(
                "Cannot use --labels",
                where=settings.labels,
                rule=f"volumes have no {self._table.key}: the join key must be {_KEY}",
                action="Name files relative to the input",
            )
        if not self._pairing.volumes:
            raise _no_volume(source, self._found, self._pairing)
        expression = parse_expression(settings.patient_from)
        told = [(file, patient_of(file, expression)) for file, _ in self._pairing.volumes]
        self._patients: list[tuple[NiftiFile, Patient]] = [(file, who) for file, who in told if who is not None]
        self._names = name_files(self._patients, pseudonyms)
        self._rejects: list[Reject] = list(_nobody([file for file, who in told if who is None]))

    def plan(self) -> VolumePlan:
        headers = dict(self._headers())
        volumes = [(file, masks) for file, masks in self._pairing.volumes if file in headers]
        if self._table is not None:
            self._rejects += self._match(self._table, headers)
        self._rejects += [_ambiguous(self._names[file]) for file in self._pairing.ambiguous if file in self._names]
        self._rejects += [_unmatched(self._mask_name(number)) for number, _ in enumerate(self._pairing.unmatched)]
        planned = [self._file(file, masks, headers[file]) for file, masks in volumes]
        units = sorted((unit for file in planned for unit in file.units), key=lambda unit: unit.name)
        plan = Plan(
            units=units,
            sources=self._sources(units),
            rejects=sorted(self._rejects, key=lambda reject: (reject.stage, reject.reason, reject.input)),
            notes=tuple(self._notes(units)),
            source_key=self._source_key,
        )
        return VolumePlan(plan, tuple(sorted(planned, key=lambda file: file.named.source)))

    def map_rows(self, pseudonyms: Pseudonyms) -> Iterator[MapRow]:
        """Say which pseudonym stands for which patient and file."""
        for file, patient in self._patients:
            yield MapRow(self._names[file].patient, "patient", patient.identifier)
            yield MapRow(pseudonyms.of("file", file.relative), "file", "", str(file.path))
        for number, file in enumerate(self._pairing.unmatched):
            yield MapRow(self._mask_name(number), "file", "", str(file.path))

    def _headers(self) -> Iterator[tuple[NiftiFile, VolumeHeader]]:
        for file, _ in self._patients:
            try:
                yield file, read_header(file)
            except ItemError as error:
                self._rejects.append(Reject(self._names[file].source, "plan", error.reason, str(error), error.action))

    def _match(self, table: LabelTable, headers: Mapping[NiftiFile, VolumeHeader]) -> tuple[Reject, ...]:
        keys, counts = [], []
        for file, header in headers.items():
            for name in _file_names(file):
                keys.append({_KEY: name})
                counts.append(header.shape[cut_of(header, self._settings.plane).axis])
        return table.match(keys, counts)

    def _file(self, file: NiftiFile, masks: Sequence[NiftiFile], header: VolumeHeader) -> PlannedFile:
        named = self._names[file]
        refs = tuple(self._mask(mask, number) for number, mask in enumerate(masks, start=1))
        truths = self._truths(file, header)
        units = tuple(
            VolumeUnit(file, named.patient, named.source, volume, header.volume_count, refs, self._source_key, truths)
            for volume in self._volumes(header, named)
        )
        return PlannedFile(named, header, units)

    def _mask(self, mask: NiftiFile, number: int) -> MaskRef:
        names = self._class_names
        if names is None:
            table = beside(mask)
            names = {} if table is None else read_class_names(table)
        return MaskRef(mask, f"mask-{number}", tuple(sorted(names.items())))

    def _truths(self, file: NiftiFile, header: VolumeHeader) -> tuple[SliceTruth | None, ...]:
        if self._table is None:
            return ()
        found = []
        for index in range(header.shape[cut_of(header, self._settings.plane).axis]):
            said = (self._table.truth_for({_KEY: name}, index) for name in _file_names(file))
            found.append(next((truth for truth in said if truth is not None), None))
        return tuple(found) if any(truth is not None for truth in found) else ()

    def _volumes(self, header: VolumeHeader, named: Named) -> list[int]:
        """Choose the volumes of a file."""
        count, wanted = header.volume_count, self._settings.volume_index
        if wanted is not None:
            if wanted < count:
                return [wanted]
            rule = f"--volume-index is {wanted}, and it has {count} volumes, counted from 0"
            self._rejects.append(Reject(named.source, "plan", "volume-index", rule, "Name one that it has"))
            return []
        chosen = spread(range(count), self._settings.max_volumes)
        if len(chosen) < count:
            self._rejects.append(
                Reject(
                    named.source,
                    "plan",
                    "volume-limit",
                    f"it has {count} volumes, of which {len(chosen)} are converted",
                    "Raise --max-volumes to convert more",
                    Severity.SKIPPED,
                )
            )
        return chosen

    def _mask_name(self, number: int) -> str:
        if self._pseudonyms is None:
            return f"mask-{number + 1:04d}"
        return self._pseudonyms.of("file", self._pairing.unmatched[number].relative)

    def _sources(self, units: Sequence[VolumeUnit]) -> dict[str, Path]:
        sources: dict[str, Path] = {}
        for unit in units:
            files = {unit.source: unit.file, **{f"{unit.source}/{mask.name}": mask.file for mask in unit.masks}}
            for name, file in files.items():
                sources[name] = file.pixels
                if file.path != file.pixels:
                    sources[f"{name}/header"] = file.path
        if self._settings.labels is not None:
            sources[_LABELS_SOURCE] = self._settings.labels
        if self._settings.class_names is not None:
            sources[_NAMES_SOURCE] = self._settings.class_names
        return sources

    def _notes(self, units: Sequence[VolumeUnit]) -> Iterator[str]:
        told = Counter(patient.told_by for _, patient in self._patients)
        by = ", ".join(f"{how} ({count} files)" for how, count in sorted(told.items()))
        patients = len({patient.identifier for _, patient in self._patients})
        yield f"{patients} patients are told apart by {by}; say it otherwise with --patient-from"
        with_masks = len({unit.source for unit in units if unit.masks})
        yield f"{with_masks} of {len({unit.source for unit in units})} files have masks"
        if any(not mask.names for unit in units for mask in unit.masks):
            yield "the values of masks have no names, and nothing is asked about them: name them with --class-names"
        if self._found.other_count:
            yield f"{self._found.other_count} files of the input are no NIfTI files, and were not looked at"
        yield (
            "NIfTI does not say what part of the body is shown: if it is the head, a face can be recognised unless the "
            "volumes were defaced"
        )


def _find(source: Path, settings: NiftiSettings) -> tuple[FoundFiles, tuple[NiftiFile, ...] | None]:
    folder = settings.masks
    if folder is None or folder.resolve() == source.resolve():
        return find_files(source), None
    if not folder.is_dir():
        raise UsageError("Cannot use --masks", where=folder, rule="it must be a folder")
    if source.resolve().is_relative_to(folder.resolve()):
        raise UsageError("Cannot use --masks", where=folder, rule="it must not hold the input")
    return find_files(source, [folder]), find_files(folder).files


def _file_names(file: NiftiFile) -> list[str]:
    """Return what a row of a table may name a file by: its path below the input, or its name alone."""
    return list(dict.fromkeys((file.relative, file.path.name)))


def _nobody(files: Sequence[NiftiFile]) -> Iterator[Reject]:
    for number, _ in enumerate(files, start=1):
        yield Reject(
            f"nobody/file-{number:04d}",
            "plan",
            "patient-unknown",
            "--patient-from finds nothing in its path, so that it cannot be told which files must stay together",
            "Widen the expression",
        )


def _unmatched(name: str) -> Reject:
    return Reject(
        name,
        "label",
        "mask-unmatched",
        "its name is that of a mask, and no volume that is converted has that name",
        "Name it after its volume, or say how they are named with --mask-pattern",
        Severity.SKIPPED,
    )


def _ambiguous(named: Named) -> Reject:
    return Reject(
        named.source,
        "label",
        "mask-ambiguous",
        "several files of one name could be its mask, and none is used",
        "Keep masks in the same folders as their volumes, one of each name",
    )


def _no_volume(source: Path, found: FoundFiles, pairing: Pairing) -> NothingToDoError:
    return NothingToDoError(
        "There is no NIfTI volume",
        where=source,
        rule=f"{found.other_count} other files and {len(pairing.unmatched)} masks without a volume were found",
        action="Name a folder with .nii, .nii.gz or .hdr and .img files",
    )
