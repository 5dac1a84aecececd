"""Answers about a DICOM study: slices are chosen and drawn as for training, answers are JSON and a DICOM SR."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydicom import Dataset, dcmread

from domainvl.converters.dicom.convert import facts_of_stack
from domainvl.converters.dicom.inputs.quiet import quiet_pydicom
from domainvl.converters.dicom.inputs.reading import FileReader
from domainvl.converters.dicom.knowledge import what_is_known
from domainvl.converters.dicom.plan import check_settings, plan_survey
from domainvl.converters.dicom.privacy.handling import PixelHandling
from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms
from domainvl.converters.dicom.settings import DicomSettings
from domainvl.converters.dicom.stack_reader import DicomStackReader
from domainvl.converters.dicom.survey import Survey, instance_name, survey_input
from domainvl.converters.dicom.units import SliceRef, StackUnit
from domainvl.converters.medical.stack import Shown, StackFacts
from domainvl.converters.medical.stack_samples import FORMS, MIP, SLICES, convert_stack, parse_forms
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.files import write_atomically
from domainvl.prediction.answering import Model, Progress
from domainvl.prediction.asking import BOX_TASKS, PROVENANCE, Asked
from domainvl.prediction.outputs import check_new_files, check_suffix
from domainvl.prediction.series_answers import ImageRef, SeriesAnswer, ShownImage, counted, read_answer
from domainvl.prediction.structured_report import ReportFacts, check_evidence, write_report
from domainvl.prediction.trained_settings import agree, settings_of_dataset, settings_of_training
from domainvl.schema import ImageStore, Reject, Sample, Severity

CONVERTER = "dicom"

LOOK = (
    "windows", "pack", "percentiles", "display", "keep_aspect", "images_per_sample", "suv", "overlays", "left_facing",
    "crop_breast", "blur_faces",
)  # fmt: skip
"""Settings of the converter that decide what a model sees of a study: they must be those of its training."""

CHOICE = ("select", "max_frames", "burnt_in", "for_processing", "unpack_limit_gb")
"""Those that say which images are shown: another study may need others."""

REPORT_SUFFIX = ".sr.dcm"
"""In place of ``.json``, it names the structured report; not ``.dcm`` alone, which may be the name of an image."""

_KEY = b"domainvl predict dicom"
"""The converter works under pseudonyms. Those of this key never leave this module: results name instances by UID."""

_TASK = "report"
"""The converter asks questions of this task of everything that it shows, as it does those about a report."""

_FIRST = 3
"""So many of what is wrong are named in an error."""


@dataclass(frozen=True)
class DicomPrediction:
    """How a study is asked about.

    Attributes:
        questions: What is asked of each image.
        at: When; results say so.
        given: Settings of the converter that the user gave, by name.
        settings_of: Data set whose settings count in place of the checkpoint's.
        form: What one question is about, of slices, series, montage and video; as trained where None.
        sr: Write a structured report too.
        overwrite: Replace files that are there.
    """

    questions: tuple[Asked, ...]
    at: datetime
    given: Mapping[str, Any] = field(default_factory=dict)
    settings_of: Path | None = None
    form: str | None = None
    sr: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class DicomResult:
    """What a prediction made.

    Attributes:
        out: The JSON file.
        report: The DICOM SR; None where none was asked for.
        counts: Of answers, boxes, and what could not be read.
        left_out: What was not asked about, with a count a reason.
        failed: What could not be, with a count a reason.
        notes: What the user should know.
    """

    out: Path
    report: Path | None
    counts: Mapping[str, int]
    left_out: Mapping[str, int]
    failed: Mapping[str, int]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> ExitCode:
        """Partial where images could not be shown."""
        return ExitCode.PARTIAL if self.failed else ExitCode.DONE


def predict_study(
    source: Path, out: Path, model: Model, wanted: DicomPrediction, on_progress: Progress | None = None
) -> DicomResult:
    """Ask a model about the images of one study, and write what it says.

    Args:
        source: File, folder or archive.
        out: JSON file to make; the structured report lies beside it, with :data:`REPORT_SUFFIX`.
        model: Answers.
        wanted: How it is asked about.
        on_progress: Told how many answers there are and will be, of the stacks so far.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        UsageError: If something that is given is wrong, or there are images of several patients or studies.
        NothingToDoError: If no image can be shown.
        OutputError: If a file cannot be written.
    """
    report = out.with_suffix(REPORT_SUFFIX) if wanted.sr else None
    check_suffix(out, ".json")
    check_new_files((out,) if report is None else (out, report), overwrite=wanted.overwrite)
    study = open_study(source, model.training, wanted.settings_of, wanted.given, wanted.form)
    study.check_keeps((out, report))
    if study.form != SLICES and any(asked.task in BOX_TASKS for asked in wanted.questions):
        raise UsageError(
            "Cannot ask for boxes",
            rule=f"a box must be in one image, got --form {study.form}",
            action=f"Ask for boxes with --form {SLICES}",
        )
    evidence = study.headers() if wanted.sr else {}
    check_evidence(list(evidence.values()))
    answers: list[SeriesAnswer] = []
    for unit in study.units:
        answers += _ask(study, unit, model, wanted.questions, len(answers), on_progress)
    if not answers:
        raise _nothing(source, study.rejects)
    failed = _reasons(study.rejects, Severity.FAILED)
    is_complete = not failed and not any(answer.cut_off for answer in answers)
    record = _record(study, answers, model, wanted, is_complete)
    write_atomically(out, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    if report is not None:
        asked = dict.fromkeys(image.sop_instance_uid for answer in answers for image in answer.images)
        facts = ReportFacts(model.identity, study.parameters(), is_complete, wanted.at)
        write_atomically(report, write_report(answers, [evidence[uid] for uid in asked], facts))
    left_out = _reasons(study.rejects, Severity.SKIPPED)
    return DicomResult(out, report, counted(answers), left_out, failed, tuple(study.notes))


@dataclass
class Study:
    """The images of one patient's study, ready to be shown.

    Attributes:
        source: Where they lie.
        settings: How they are shown.
        form: What one question is about.
        units: Their stacks.
        rejects: What is left out so far, named by UID or by file.
        notes: What the user should know.
        names: UIDs and files by the pseudonyms of the converter.
    """

    source: Path
    settings: DicomSettings
    form: str
    units: list[StackUnit]
    rejects: list[Reject]
    notes: list[str]
    names: Mapping[str, str]

    def headers(self) -> dict[str, Dataset]:
        """Read the headers of all instances, without pixels, by SOPInstanceUID."""
        found: dict[str, Dataset] = {}
        with FileReader() as files, quiet_pydicom():
            for ref in (ref for unit in self.units for ref in unit.slices):
                if ref.place.sop_uid not in found:
                    content = io.BytesIO(files.read(ref.file))
                    found[ref.place.sop_uid] = dcmread(content, force=True, stop_before_pixels=True)
        return found

    def check_keeps(self, outputs: Iterable[Path | None]) -> None:
        """Check that no file of the study would be replaced, whatever may be overwritten.

        Raises:
            UsageError: If one would.
        """
        files = {path.resolve() for unit in self.units for path in unit.files}
        for path in outputs:
            if path is not None and path.resolve() in files:
                rule = "it is a file of the study, which would be lost"
                raise UsageError("Cannot write predictions", where=path, rule=rule, action="Name another file")

    def parameters(self) -> list[str]:
        """Say how images are made, a line a setting."""
        return [f"form: {self.form}", *(f"{name}: {getattr(self.settings, name)}" for name in (*LOOK, "select"))]

    def add_rejects(self, rejects: Sequence[Reject]) -> None:
        """Take note of what is left out, under names that the user knows."""
        self.rejects += [replace(reject, input=self.names.get(reject.input, reject.input)) for reject in rejects]


def open_study(
    source: Path,
    training: Mapping[str, Any],
    settings_of: Path | None = None,
    given: Mapping[str, Any] | None = None,
    form: str | None = None,
) -> Study:
    """Find the images of a study and how they are to be shown.

    Args:
        source: File, folder or archive.
        training: What a checkpoint says of its training.
        settings_of: A data set whose settings count in place of those in the checkpoint.
        given: Settings of the converter that the user gave, by name.
        form: What one question is about; as trained where None.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        UsageError: If settings are unknown, disagree or cannot be used, or there are several patients or studies.
        NothingToDoError: If there is no DICOM image.
    """
    if not source.exists():
        raise InputNotFoundError("Cannot read a DICOM study", where=source, rule="there is no such file or folder")
    if settings_of is None:
        found = settings_of_training(training, CONVERTER)
    else:
        found = settings_of_dataset(settings_of, CONVERTER)
    settings, form, notes = _settings(found, given or {}, form)
    pseudonyms = Pseudonyms(_KEY)
    survey = survey_input(source, settings, pseudonyms)
    _check_is_one_study(source, survey)
    plan = plan_survey(survey, settings, _KEY)
    units = [unit for unit in plan.units if isinstance(unit, StackUnit)]
    study = Study(source, settings, form, units, [], notes, _names(source, survey, pseudonyms, units))
    study.add_rejects(plan.rejects)
    for unit in units:
        named = f"series {unit.slices[0].place.series_uid or '(without UID)'}, {len(unit.slices)} slices"
        study.notes += [f"{named}: {warning}" for warning in unit.warnings]
    return study


def _settings(
    found: list[Mapping[str, Any]], given: Mapping[str, Any], form: str | None
) -> tuple[DicomSettings, str, list[str]]:
    chosen = agree(found, given, fixed=LOOK, free=CHOICE)
    notes = []
    if not found:
        notes.append("the checkpoint does not say how its images were made; they are shown as the options say")
    if str(chosen.get("select", "")).startswith("around:") and "select" not in given:
        notes.append("the model was trained on slices around findings; all slices are asked about, as none is known")
        chosen["select"] = "all"
    form = _form({name for settings in found for name in parse_forms(settings.get("forms", SLICES))}, form)
    # Nothing of an image is kept but answers, so that text in it is looked for in the header alone.
    settings = DicomSettings(**chosen, forms=form, tasks=_TASK, pixel_text="off")
    check_settings(settings)
    return settings, form, notes


def _form(trained: set[str], form: str | None) -> str:
    """Choose what one question is about."""
    possible: list[str] = [name for name in FORMS if name != MIP and (not trained or name in trained)]
    chosen = form if form is not None else next(iter(possible), MIP)
    if chosen in possible:
        return chosen
    rule = f"--form must be one of {', '.join(possible)}, as the model was trained, got {chosen}"
    if not possible:
        rule = f"the model was trained on projections ({MIP}) alone, of which no instance can be named"
    raise UsageError("Cannot show the model what it was trained on", rule=rule)


def _check_is_one_study(source: Path, survey: Survey) -> None:
    images = [instance for series in survey.series for instance in series.instances]
    patients = Counter(instance.patient for instance in images)
    if len(patients) > 1:
        counts = ", ".join(str(count) for _, count in patients.most_common(_FIRST))
        raise UsageError(
            "Cannot ask about several patients at once",
            where=source,
            rule=f"all images must be of one patient, got {len(patients)} patients with {counts} images",
            action="Give each patient a folder of its own",
        )
    studies = Counter(instance.study_uid for instance in images)
    if len(studies) > 1:
        counts = ", ".join(f"{uid or '(none)'} ({count} images)" for uid, count in studies.most_common(_FIRST))
        raise UsageError(
            "Cannot ask about several studies at once",
            where=source,
            rule=f"all images must be of one study, got {len(studies)}: {counts}",
            action="Give each study a folder of its own",
        )


def _names(source: Path, survey: Survey, pseudonyms: Pseudonyms, units: Sequence[StackUnit]) -> dict[str, str]:
    """Name by UID, and what has none by its file, what the converter names by pseudonyms."""
    instances = [instance for series in survey.series for instance in series.instances]
    instances += [*survey.annotations, *survey.videos]
    names = {instance_name(instance, pseudonyms): instance.sop_uid for instance in instances}
    for pseudonym, refs in survey.left_out_files.items():
        root = source if source.is_dir() else source.parent
        names[pseudonym] = ", ".join(
            ref.member or (str(ref.path.relative_to(root)) if ref.path.is_relative_to(root) else ref.path.name)
            for ref in refs
        )
    for unit in units:
        names[unit.name] = f"series {unit.slices[0].place.series_uid}"
        for ref in unit.slices:
            frame = f" frame {ref.frame + 1}" if ref.frame_count > 1 else ""
            names[f"{unit.series_name}/{ref.index:04d}"] = f"{ref.place.sop_uid}{frame}"
    return names


class _Mapped:
    """Shows the slices of a stack, and keeps how each came to be shown.

    Args:
        reader: Shows them.
        unit: The stack.

    Attributes:
        shown: The slices that were shown, by their index in the series.
    """

    def __init__(self, reader: DicomStackReader, unit: StackUnit) -> None:
        self._reader = reader
        self._unit = unit
        self.shown: dict[int, ShownImage] = {}

    def show(self, place: int) -> Shown:
        """Show a slice."""
        ref = self._unit.slices[place]
        shown = self._reader.show(place)
        sop_class = str(self._reader.load(ref.file).get("SOPClassUID", ""))
        self.shown[ref.index] = ShownImage(_image_ref(ref, sop_class), ref.place.columns, ref.place.rows, shown.map)
        return shown

    def project(self, places: Sequence[int]) -> Shown:
        """Show a projection."""
        return self._reader.project(places)


def _image_ref(ref: SliceRef, sop_class: str) -> ImageRef:
    frame = ref.frame + 1 if ref.frame_count > 1 else None
    return ImageRef(sop_class, ref.place.sop_uid, ref.place.series_uid, frame)


def show_stack(
    study: Study, unit: StackUnit, questions: Sequence[Asked], store: ImageStore
) -> tuple[list[Sample], dict[int, ShownImage]]:
    """Draw the chosen slices of a stack and make a sample of each question about them, as for training.

    Args:
        study: The study; what cannot be shown is added to its rejects.
        unit: The stack.
        questions: What is asked.
        store: Where images go.

    Returns:
        The samples, and the shown images by the index that the details of a sample's images say.
    """
    asked = tuple(one.question(str(number)) for number, one in enumerate(questions))
    with FileReader() as files, quiet_pydicom():
        handling = PixelHandling(study.settings, quarantined_count=0, shows_face=unit.shows_face)
        reader = DicomStackReader(unit, study.settings, files, handling)
        known = what_is_known(unit, study.settings, files)
        stack: StackFacts = replace(facts_of_stack(unit, reader, known), reports=asked, report_on_slices=True)
        mapped = _Mapped(reader, unit)
        result = convert_stack(stack, mapped, study.settings, store, PROVENANCE)
    study.add_rejects(result.rejects)
    return list(result.samples), mapped.shown


def _ask(
    study: Study,
    unit: StackUnit,
    model: Model,
    questions: Sequence[Asked],
    before: int,
    on_progress: Progress | None,
) -> list[SeriesAnswer]:
    def count(done: int, total: int) -> None:
        if on_progress is not None:
            on_progress(before + done, before + total)

    with TemporaryDirectory(prefix="domainvl-") as folder:
        samples, shown = show_stack(study, unit, questions, ImageStore(Path(folder)))
        answers = model.answer(samples, Path(folder), count)
    return [
        read_answer(sample, answer, [shown[index] for index in _indices(sample)])
        for sample, answer in zip(samples, answers, strict=True)
    ]


def _indices(sample: Sample) -> list[int]:
    """Return the indices of the slices that a sample shows, each once, whatever the number of its windows."""
    found: dict[int, None] = {}
    for image in sample.images:
        several = image.source.details.get("montage_of")
        one = image.source.details["slice_index"]
        found.update(dict.fromkeys(map(_whole, several if isinstance(several, list) else [one])))
    return list(found)


def _whole(value: Any) -> int:
    return int(value)


def _record(
    study: Study, answers: Sequence[SeriesAnswer], model: Model, wanted: DicomPrediction, is_complete: bool
) -> dict[str, Any]:
    """Return what the JSON file says; of the patient, nothing."""
    return {
        "model": model.identity.record(),
        "at": wanted.at.isoformat(timespec="seconds"),
        "settings": {
            "form": study.form,
            **{name: value for name, value in study.settings.public().items() if name in (*LOOK, *CHOICE)},
        },
        "is_complete": is_complete,
        "counts": dict(counted(answers)),
        "answers": [answer.record() for answer in answers],
        "left_out": [
            {
                "input": reject.input,
                "severity": reject.severity.value,
                "reason": reject.reason,
                "message": reject.message,
            }
            for reject in study.rejects
        ],
        "notes": study.notes,
    }


def _reasons(rejects: Sequence[Reject], severity: Severity) -> dict[str, int]:
    return dict(sorted(Counter(reject.reason for reject in rejects if reject.severity is severity).items()))


def _nothing(source: Path, rejects: Sequence[Reject]) -> NothingToDoError:
    counts = Counter(reject.reason for reject in rejects)
    seen = ", ".join(f"{count} x {reason}" for reason, count in sorted(counts.items()))
    first = next((reject for reject in rejects if reject.severity is Severity.FAILED), rejects[0] if rejects else None)
    return NothingToDoError(
        "No image can be asked about",
        where=source,
        rule=seen if first is None else f"{seen} (the first: {first.input}: {first.message})",
        action=None if first is None else first.action,
    )
