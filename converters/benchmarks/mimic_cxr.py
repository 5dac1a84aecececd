"""MIMIC-CXR: chest radiographs with reports and labels, in the official split, identifiers only as keyed hashes.

For the layout and the sources see :mod:`.mimic_cxr_files`. Where the DICOM edition is there, images go through the
pipeline of the DICOM converter, with the grey levels that the files ask for; those of MIMIC-CXR-JPG were histogram
equalised by their makers, and samples say so.

Labels were found in reports by a program, so they are of a study: they and the sections of the report are asked of all
its images together, or of each frontal one. Uncertain (-1) and unmentioned labels are not asked about. A view is asked
of each image. The group is the subject.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.phrases import Phrasing
from domainvl.schema.questions import Question, ask_for_class, samples_from_questions
from domainvl.schema.sample import Image, Provenance, Sample, Source, Split
from domainvl.schema.writer import Reject, Severity

from ..dicom.privacy.pseudonyms import SOURCE_HASHES, Pseudonyms, read_key
from ..medical.report_sections import ask_for_report, parse_sections, wanted_sections
from .label_questions import ASK_HELP, Ask, ask_about_labels
from .mimic_cxr_files import CHEXPERT, METADATA, NEGBIO, SPLIT, ImageRow, find_table, read_images, read_labels
from .official_splits import Leakage, OfficialSplits, OfficialSplitSettings
from .reading import reject_of

DOMAIN = "medical"

TASKS = ("view", "labels", "report")

VIEWS = {"PA": "posteroanterior", "AP": "anteroposterior", "LATERAL": "lateral", "LL": "lateral"}
"""Views that are asked for. LL is the left lateral of PS3.3 C.8.11.1; other views are rare or not told apart."""

_FRONTAL = ("PA", "AP")
_CLASSES = ("posteroanterior", "anteroposterior", "lateral")

_EQUALISED = "The grey levels are those of MIMIC-CXR-JPG, histogram equalised by its makers"
_ONE_VERSION = "Fetch the tables of metadata and of splits again, both of one version"
_STUDIES_A_UNIT = 16


class MimicCxrSettings(OfficialSplitSettings):
    """Settings of the MIMIC-CXR converter."""

    plan_fields = frozenset({"deid_key", "reports", "edition", "labels", "show", "images_per_study"})

    deid_key: Path | None = Field(
        default=None,
        description="File with the secret key, at least 16 bytes, under which subjects, studies and images are hashed. "
        "Required.",
    )
    reports: Path | None = Field(
        default=None, description="Folder that holds files/ with the reports; the input if left out."
    )
    edition: Literal["auto", "dicom", "jpg"] = Field(
        default="auto", description="Which images are read: DICOM where it is there, else JPG; or one of them alone."
    )
    tasks: str = Field(default="view,labels,report", description="What is asked: view, labels, report.")
    labels: Literal["chexpert", "negbio"] = Field(default="chexpert", description="Whose labels are taken.")
    ask: Ask = Field(default=Ask.BALANCED, description=ASK_HELP)
    report_sections: str = Field(
        default="findings,impression", description="Sections of reports that are asked for, by name."
    )
    show: Literal["study", "frontal"] = Field(
        default="study",
        description="Ask for labels and reports about all images of a study, or each frontal one alone.",
    )
    images_per_study: int = Field(
        default=4, ge=1, le=16, description="Images of a study that are shown, frontal first."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed varies the words in another way.")

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say: no key and no local folder."""
        content = super().public()
        del content["deid_key"]
        return content | {"reports": self.reports is not None}


@dataclass(frozen=True)
class MimicImage:
    """One image.

    Attributes:
        name: Its pseudonym.
        path: The file.
        view: ViewPosition.
    """

    name: str
    path: Path
    view: str


@dataclass(frozen=True)
class MimicStudy:
    """One study.

    Attributes:
        name: Its pseudonym.
        subject: Pseudonym of the patient.
        split: The official split.
        images: Its images, frontal ones first.
        labels: Each label that is certain, and whether it is there.
        report: The file of its report, where it is there.
        together: Whether labels and report are asked of all images at once.
    """

    name: str
    subject: str
    split: Split
    images: tuple[MimicImage, ...]
    labels: tuple[tuple[str, bool], ...]
    report: Path | None
    together: bool


@dataclass(frozen=True)
class MimicUnit:
    """Some studies."""

    studies: tuple[MimicStudy, ...]


class MimicCxrConverter:
    """Turns MIMIC-CXR into questions about views, labels and reports."""

    name = "mimic-cxr"
    summary = "MIMIC-CXR's chest radiographs (DICOM or JPG) with views, labels and reports, official split kept."
    settings_type = MimicCxrSettings
    licence = "PhysioNet Credentialed Health Data License 1.5.0"

    def plan(self, source: Path, settings: MimicCxrSettings) -> Plan[MimicUnit]:
        """Join the tables, and find images and reports.

        Raises:
            InputNotFoundError: If a table or the key is missing.
            DatasetError: If a table is not in the layout.
            UsageError: If a setting is wrong, or there is no key.
            NothingToDoError: If no image of the table is there.
        """
        tasks = _tasks(settings.tasks)
        parse_sections(settings.report_sections)
        pseudonyms = Pseudonyms(read_key(settings.deid_key))
        tables = {part: find_table(source, part, needed=True) for part in (METADATA, SPLIT)}
        if "labels" in tasks:
            part = CHEXPERT if settings.labels == "chexpert" else NEGBIO
            tables[part] = find_table(source, part, needed=True)
        paths = {part: path for part, path in tables.items() if path is not None}
        rejects: list[Reject] = []
        rows, bad = read_images(paths[METADATA], paths[SPLIT])
        files = _Files(source, settings)
        notes: list[str] = []
        rows = _settled(_usable(rows, files, bad, rejects), rejects, notes)
        if not rows:
            raise NothingToDoError(
                "Nothing to convert",
                where=source,
                rule="no image of the table of metadata is there",
                action="Put files/p10/... beside the tables; the folders are those of PhysioNet",
            )
        labels = next((read_labels(path) for part, path in paths.items() if part in (CHEXPERT, NEGBIO)), {})
        studies = _studies(rows, files, labels, pseudonyms, settings, rejects)
        if "report" in tasks:
            _count_missing_reports(studies, rejects)
        units = [
            MimicUnit(tuple(studies[start : start + _STUDIES_A_UNIT]))
            for start in range(0, len(studies), _STUDIES_A_UNIT)
        ]
        sources = {path.name: path for path in paths.values()}
        for study in studies:
            sources |= {f"image {image.name}": image.path for image in study.images}
            if study.report is not None:
                sources[f"report {study.name}"] = study.report
        return Plan(
            units=units, sources=sources, rejects=rejects, source_key=pseudonyms.subkey(SOURCE_HASHES), notes=notes
        )

    def convert(
        self, unit: MimicUnit, settings: MimicCxrSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Store the images of some studies and word their questions."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for study in unit.studies:
            shown: list[tuple[MimicImage, Image, tuple[str, ...]]] = []
            for image in study.images:
                try:
                    shown.append((image, *_store(image, study, images)))
                except ItemError as error:
                    rejects.append(_reject(f"image {image.name}", error))
            samples += _samples(study, shown, rejects, settings=settings, provenance=provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: MimicUnit) -> str:
        """Name a unit by the pseudonyms of its first and last study."""
        first, last = unit.studies[0].name, unit.studies[-1].name
        return f"study {first}" if first == last else f"studies {first} to {last}"

    def unit_files(self, unit: MimicUnit) -> list[Path]:
        """Name the images and reports."""
        files = [image.path for study in unit.studies for image in study.images]
        return files + [study.report for study in unit.studies if study.report is not None]


CONVERTER = MimicCxrConverter()


class _Files:
    """Finds images and reports in the published folders."""

    def __init__(self, source: Path, settings: MimicCxrSettings) -> None:
        self._source = source
        self._reports = settings.reports if settings.reports is not None else source
        self._endings = {"auto": (".dcm", ".jpg"), "dicom": (".dcm",), "jpg": (".jpg",)}[settings.edition]

    def image(self, row: ImageRow) -> Path | None:
        """Return the file of an image, DICOM before JPG; None where there is none."""
        paths = (self._source / row.folder / f"{row.dicom_id}{ending}" for ending in self._endings)
        return next((path for path in paths if path.is_file()), None)

    def report(self, row: ImageRow) -> Path | None:
        """Return the file of a study's report; None where there is none."""
        path = self._reports / f"{row.folder}.txt"
        return path if path.is_file() else None


def _usable(rows: Sequence[ImageRow], files: _Files, bad: int, rejects: list[Reject]) -> list[ImageRow]:
    """Return the images that are there and in a split; the others are counted: most copies hold a part of the set."""
    there = [row for row in rows if files.image(row) is not None]
    placed = [row for row in there if row.official_split]
    for count, reason, message, action, severity in (
        (
            bad,
            "row-invalid",
            "dicom_id, subject_id or study_id is not as published",
            "Fetch the table again",
            Severity.FAILED,
        ),
        (
            len(rows) - len(there),
            "image-missing",
            "there is no file of the image",
            "Fetch the rest of files/, if it is wanted",
            Severity.SKIPPED,
        ),
        (
            len(there) - len(placed),
            "no-split",
            "the table of splits does not have the image",
            "Fetch the table of the same version",
            Severity.FAILED,
        ),
    ):
        if count:
            rejects.append(Reject("metadata", "plan", reason, f"{count} rows: {message}", action, severity))
    return placed


def _settled(rows: Sequence[ImageRow], rejects: list[Reject], notes: list[str]) -> list[ImageRow]:
    """Keep each subject in one split. In the published table all are; one that has others is not that table."""
    by_subject: dict[str, list[ImageRow]] = defaultdict(list)
    for row in rows:
        by_subject[row.subject_id].append(row)
    left_out: list[Reject] = []
    splits = OfficialSplits(Leakage.EXCLUDE_TEST_IMAGES, left_out, things="subjects", rows="images")
    kept = [row for subject in sorted(by_subject) for row in splits.settle("its subject", by_subject[subject])]
    rejects += [replace(reject, action=_ONE_VERSION) for reject in left_out]
    count = sum(len({row.official_split for row in own}) > 1 for own in by_subject.values())
    if count:
        notes.append(
            f"{count} of {len(by_subject)} subjects lie in several official splits, which none does as published; "
            f"{len(left_out)} of their images were left out to keep each in the most held-out one. {_ONE_VERSION}."
        )
    return kept


def _count_missing_reports(studies: Sequence[MimicStudy], rejects: list[Reject]) -> None:
    missing = sum(study.report is None for study in studies)
    if missing:
        message = f"{missing} studies of {len(studies)}: there is no file of the report"
        action = "Name the folder that holds files/ of MIMIC-CXR with --reports, or leave report out of --tasks"
        rejects.append(Reject("metadata", "plan", "report-missing", message, action, Severity.SKIPPED))


def _studies(
    rows: Sequence[ImageRow],
    files: _Files,
    labels: dict[str, tuple[tuple[str, bool], ...]],
    pseudonyms: Pseudonyms,
    settings: MimicCxrSettings,
    rejects: list[Reject],
) -> list[MimicStudy]:
    """Gather images by study, in the order of pseudonyms."""
    by_study: dict[tuple[str, str], list[ImageRow]] = defaultdict(list)
    for row in rows:
        by_study[row.subject_id, row.study_id].append(row)
    studies = []
    left_out = 0
    for (subject_id, study_id), own in by_study.items():
        own.sort(key=lambda row: (_order_of(row.view), row.dicom_id))
        left_out += len(own[settings.images_per_study :])
        images = []
        for row in own[: settings.images_per_study]:
            path = files.image(row)
            if path is not None:
                images.append(MimicImage(pseudonyms.of("mimic-cxr image", row.dicom_id), path, row.view))
        studies.append(
            MimicStudy(
                name=pseudonyms.of("mimic-cxr study", study_id),
                subject=pseudonyms.of("mimic-cxr subject", subject_id),
                split=Split(own[0].official_split),
                images=tuple(images),
                labels=labels.get(study_id, ()),
                report=files.report(own[0]),
                together=settings.show == "study",
            )
        )
    if left_out:
        message = f"{left_out} images are more than {settings.images_per_study} of their study"
        action = "Raise --images-per-study to show them too"
        rejects.append(Reject("metadata", "plan", "study-images", message, action, Severity.SKIPPED))
    return sorted(studies, key=lambda study: study.name)


def _order_of(view: str) -> int:
    return list(VIEWS).index(view) if view in VIEWS else len(VIEWS)


def _store(image: MimicImage, study: MimicStudy, images: ImageStore) -> tuple[Image, tuple[str, ...]]:
    """Store one image.

    Returns:
        The image, and what a careful reader should know about it.

    Raises:
        ItemError: If it cannot be decoded.
    """
    details: dict[str, Any] = {"study": study.name, "official_split": study.split.value, "view_position": image.view}
    view = f"{VIEWS[image.view].capitalize()} view" if image.view in VIEWS else None
    if image.path.suffix == ".jpg":
        stored = images.put_file(image.path)
        warnings: tuple[str, ...] = (_EQUALISED,)
        details["edition"] = "jpg"
    else:
        pixels, technical, warnings = _render(image.path)
        stored = images.put_pixels(pixels)
        details |= {"edition": "dicom", **technical}
    return stored.to_image(Source(uri=f"image {image.name}", details=details), view=view), warnings


def _render(path: Path) -> tuple[Any, dict[str, Any], tuple[str, ...]]:
    """Return the 8-bit pixels of a DICOM file, with technical facts and warnings."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    from ..dicom.decode import decode_frame
    from ..dicom.headers import PARSE_ERRORS, frame_header
    from ..dicom.inputs.quiet import quiet_pydicom
    from ..dicom.inputs.reading import FileReader
    from ..dicom.instance import FileRef
    from ..dicom.rendering import render_frame
    from ..medical.looks import Look

    try:
        with FileReader() as files, quiet_pydicom():
            dataset = dcmread(io.BytesIO(files.read(FileRef(path))))
            header = frame_header(dataset, 0)
    except (InvalidDicomError, *PARSE_ERRORS) as error:
        raise ItemError(
            "Cannot read a DICOM file",
            reason="not-dicom",
            rule=f"its header could not be read ({type(error).__name__})",
            action="Fetch the file again",
        ) from error
    rendered = render_frame(header, decode_frame(dataset, 0), Look.parse())
    view = rendered.views[0]
    return view.pixels, {**rendered.details, **view.details}, rendered.warnings


def _samples(
    study: MimicStudy,
    shown: Sequence[tuple[MimicImage, Image, tuple[str, ...]]],
    rejects: list[Reject],
    *,
    settings: MimicCxrSettings,
    provenance: Provenance,
) -> Iterator[Sample]:
    tasks = _tasks(settings.tasks)
    whole = _sections_and_labels(study, tasks, settings, rejects)
    together = tuple(shown)
    asked: list[tuple[str, Sequence[tuple[MimicImage, Image, tuple[str, ...]]], list[Question]]] = []
    for one in shown:
        if "view" in tasks and one[0].view in VIEWS:
            asked.append((f"image-{one[0].name}", (one,), [_view_question(one[0])]))
        if not study.together and one[0].view in _FRONTAL:
            asked.append((f"image-{one[0].name}", (one,), whole))
    if study.together and together:
        asked.append((f"study-{study.name}", together, whole))
    used = {image.name for _, parts, questions in asked if questions for image, _, _ in parts}
    rejects += [_nothing_asked(image, study) for image, _, _ in shown if image.name not in used]
    for name, parts, questions in asked:
        yield from samples_from_questions(
            questions,
            id_prefix=f"mimic-cxr/{name}",
            domain=DOMAIN,
            images=[image for _, image, _ in parts],
            fixed_split=study.split,
            group=f"subject {study.subject}",
            provenance=provenance,
            warnings=sorted({warning for _, _, warnings in parts for warning in warnings}),
            phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
        )


def _view_question(image: MimicImage) -> Question:
    return replace(ask_for_class(VIEWS[image.view], _CLASSES, key=image.name), key="view")


def _sections_and_labels(
    study: MimicStudy, tasks: Sequence[str], settings: MimicCxrSettings, rejects: list[Reject]
) -> list[Question]:
    """Ask for what is known of a study as a whole."""
    questions: list[Question] = []
    if "labels" in tasks:
        key = f"{settings.phrasing_seed}/{study.name}"
        whole = "the study" if study.together else "the image"
        questions += ask_about_labels(dict(study.labels), key=key, ask=settings.ask, whole=whole)
    if "report" in tasks and study.report is not None:
        try:
            text = study.report.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            rule = f"it must be text in UTF-8 ({type(error).__name__})"
            failure = ItemError("Cannot read a report", reason="report-read", rule=rule, action="Fetch the file again")
            rejects.append(_reject(f"report {study.name}", failure))
        else:
            sections = wanted_sections(text, parse_sections(settings.report_sections))
            if not sections:
                rejects.append(_no_section(study))
            questions += ask_for_report(sections, what="chest radiograph study")
    return questions


def _nothing_asked(image: MimicImage, study: MimicStudy) -> Reject:
    """Say why an image is in no sample."""
    name = f"image {image.name}"
    if not study.together and image.view not in _FRONTAL:
        message = "its view is neither PA nor AP, and --show frontal asks for labels and reports of these alone"
        return Reject(
            name, "convert", "not-frontal", message, "Show it too with --show study", severity=Severity.SKIPPED
        )
    message = "neither its view nor the labels and the report of its study give a question among --tasks"
    return Reject(name, "convert", "no-question", message, "Ask for more --tasks", severity=Severity.SKIPPED)


def _no_section(study: MimicStudy) -> Reject:
    message = "it has none of the sections that are asked for"
    action = "Ask for others with --report-sections, or for the whole text with --report-sections text"
    return Reject(f"report {study.name}", "convert", "report-no-section", message, action, Severity.SKIPPED)


def _reject(name: str, error: ItemError) -> Reject:
    """Turn an error into a reject without the name of the file, which is an identifier."""
    told = ItemError(error.what, reason=error.reason, rule=error.rule, action=error.action)
    return reject_of(name, told, "convert")


def _tasks(text: str) -> tuple[str, ...]:
    tasks = tuple(part.strip() for part in text.split(","))
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise UsageError("Cannot use --tasks", rule=f"it must list some of {', '.join(TASKS)}, got {unknown[0]!r:.40}")
    return tasks
