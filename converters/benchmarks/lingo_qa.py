"""LingoQA: questions about five frames of a drive, answered in sentences; its evaluation set is the test split.

Marcu et al., LingoQA: Visual Question Answering for Autonomous Driving, ECCV 2024 (arXiv 2312.14115). Read as
published; see :mod:`domainvl.converters.benchmarks.lingo_qa_files`. The frames are numbered as those of a video and
copied as they are. Answers are sentences, so that nothing is added to the question; the second reference of a question
to test on is an accepted answer. The identifiers by which the official evaluation asks for predictions stand with the
images.

The group is the segment of video.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, JsonValue

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Image, Provenance, Sample, Source, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from ..driving.settings import DOMAIN
from ..losses import counted, left_out_with_it
from .lingo_qa_files import TABLES, LingoQaRow, find_parts, read_questions
from .official_splits import Leakage, OfficialSplits, group_of
from .reading import image_rejected, source_of

_Frames = tuple[tuple[StoredImage, Source], ...]


class LingoQaSettings(ConverterSettings):
    """Settings of the LingoQA converter."""

    plan_fields = frozenset({"leakage", "strict"})

    strict: bool = Field(
        default=False,
        description="A frame that is not on disk counts as failed. Its questions are left out in any case; by default "
        "it counts as one that was not downloaded.",
    )
    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is the official evaluation set."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Segments in both training and evaluation: leave out their training questions, leave out their "
        "test questions, or keep the published split.",
    )


@dataclass(frozen=True)
class LingoQaUnit:
    """One segment with all questions about it; what their frames are relative to."""

    root: Path
    segment: str
    rows: tuple[LingoQaRow, ...]


class LingoQaConverter:
    """Turns LingoQA into samples of several frames, one a question."""

    name = "lingo-qa"
    summary = "LingoQA's Parquet tables and frames: questions about a drive, evaluation set held out."
    settings_type = LingoQaSettings
    licence = "Wayve Dataset Licence Agreement for Non-Commercial Use (February 2024)"  # wayveai/LingoQA, LICENCE

    def plan(self, source: Path, settings: LingoQaSettings) -> Plan[LingoQaUnit]:
        """Read the tables that are there and gather the questions by segment.

        Raises:
            InputNotFoundError: If there is no table, or one without its folder of images.
            DatasetError: If a table is no Parquet file or lacks a column.
            UsageError: If pyarrow is not installed.
            NothingToDoError: If no question can be used.
        """
        parts = find_parts(source)
        rejects: list[Reject] = []
        by_segment: dict[str, list[LingoQaRow]] = defaultdict(list)
        for row in read_questions(source, parts, rejects):
            by_segment[row.segment].append(row)
        shared = OfficialSplits(settings.leakage, rejects, things="segments")
        units = []
        for segment in sorted(by_segment):
            settled = shared.settle(segment, by_segment[segment])
            rows = _with_frames(source, segment, settled, rejects, strict=settings.strict)
            if rows:
                units.append(LingoQaUnit(source, segment, tuple(rows)))
        if not units:
            rule = f"none of {len(by_segment)} segments has a question and all its frames"
            action = "Unpack the complete images.zip of each part"
            raise NothingToDoError("Nothing to convert", where=source, rule=rule, action=action)
        # The hash of each frame stands in its samples.
        sources = {f"{part}/{TABLES[part]}": source / part / TABLES[part] for part in parts}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: LingoQaUnit, settings: LingoQaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the frames and word the questions about them."""
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for paths, rows in _by_frames(unit.rows).items():
            try:
                frames = tuple((images.put_file(unit.root / path), source_of(unit.root / path, path)) for path in paths)
            except ItemError as error:
                rejects += image_rejected(f"segment {unit.segment}", error, counted(len(rows), "question")).rejects
                continue
            samples += _samples(unit, rows, frames, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: LingoQaUnit) -> str:
        """Name a unit by its segment, a hash."""
        return f"segment {unit.segment}"

    def unit_files(self, unit: LingoQaUnit) -> list[Path]:
        """Name the frames; what the tables say about them stands in the unit."""
        return [unit.root / path for path in dict.fromkeys(path for row in unit.rows for path in row.frames)]


CONVERTER = LingoQaConverter()


def _by_frames(rows: Sequence[LingoQaRow]) -> dict[tuple[str, ...], list[LingoQaRow]]:
    by_frames: dict[tuple[str, ...], list[LingoQaRow]] = defaultdict(list)
    for row in rows:
        by_frames[row.frames].append(row)
    return by_frames


def _with_frames(
    source: Path, segment: str, rows: Sequence[LingoQaRow], rejects: list[Reject], *, strict: bool
) -> list[LingoQaRow]:
    """Return the questions whose frames are all there."""
    kept = []
    severity = Severity.FAILED if strict else Severity.SKIPPED
    for paths, own in _by_frames(rows).items():
        missing = [path for path in paths if not (source / path).is_file()]
        if missing:
            lost = left_out_with_it(counted(len(own), "question"))
            message = f"{missing[0]} is missing, one of {len(missing)} of its {len(paths)} frames. {lost}"
            action = "Fetch the complete images.zip of this part"
            rejects.append(Reject(f"segment {segment}", "plan", "image-missing", message, action, severity))
        else:
            kept += own
    return kept


def _samples(
    unit: LingoQaUnit, rows: Sequence[LingoQaRow], frames: _Frames, provenance: Provenance
) -> Iterator[Sample]:
    splits = {row.official_split for row in unit.rows}
    for row in rows:
        group, warnings = group_of(unit.segment, row.official_split, splits, "segment")
        yield from samples_from_questions(
            [Question(row.key, Task.CONVERSATION, row.question, TextAnswer(text=row.answer, accepted=row.accepted))],
            id_prefix="lingo-qa",
            domain=DOMAIN,
            images=_images_of(row, frames),
            fixed_split=Split.TEST if row.official_split == "test" else None,
            group=group,
            provenance=provenance,
            warnings=warnings,
        )


def _images_of(row: LingoQaRow, frames: _Frames) -> list[Image]:
    details: dict[str, JsonValue] = {
        "official_split": row.official_split,
        "part": row.part,
        "question_id": row.question_id,
        "segment_id": row.segment,
    }
    return [
        stored.to_image(source.model_copy(update={"details": details}), frame=number)
        for number, (stored, source) in enumerate(frames, start=1)
    ]
