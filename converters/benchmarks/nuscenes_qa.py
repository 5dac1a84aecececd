"""NuScenes-QA: questions about key frames of nuScenes with one answer of 30, official val set held out as the test.

Qian et al., NuScenes-QA: A Multi-modal Visual Question Answering Benchmark for Autonomous Driving Scenario, AAAI 2024
(arXiv 2305.14836); see :mod:`domainvl.converters.benchmarks.nuscenes_qa_files`. The questions were made from the scene
graphs of the 3D boxes, so that some are about things that no camera shows; nothing in the files tells which.

The group is the scene. The official results are measured on the val file, so it is the test split here; validation is
drawn from the logs of training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.schema.images import ImageStore
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Provenance, Sample
from domainvl.schema.writer import Reject

from ..driving.settings import DOMAIN
from ..losses import counted
from .nuscenes_frames import FrameImages, NuscenesFrameSettings, SceneFrames, find_scenes, settle
from .nuscenes_qa_files import NuscenesQaRow, find_files, read_questions
from .official_splits import OfficialSplits
from .reading import image_rejected

_BySample = Mapping[str, Sequence[NuscenesQaRow]]


class NuscenesQaSettings(NuscenesFrameSettings):
    """Settings of the NuScenes-QA converter."""


@dataclass(frozen=True)
class NuscenesQaUnit:
    """One scene with all questions about its key frames."""

    scene: SceneFrames
    rows: tuple[NuscenesQaRow, ...]


class NuscenesQaConverter:
    """Turns NuScenes-QA into samples of six views, one a question."""

    name = "nuscenes-qa"
    summary = "NuScenes-QA's JSON files on nuScenes: questions about six views, official val set held out as the test."
    settings_type = NuscenesQaSettings
    licence = "MIT AND CC-BY-NC-SA-4.0"  # of qiantianwen/NuScenes-QA, and of nuScenes with its images

    def plan(self, source: Path, settings: NuscenesQaSettings) -> Plan[NuscenesQaUnit]:
        """Read the questions and gather them by scene.

        Raises:
            InputNotFoundError: If both files of questions are missing.
            UsageError: If the tables of nuScenes are missing or unreadable, or no scene has a place in a split.
            DatasetError: If a file of questions is not in the published layout.
            NothingToDoError: If no question can be used.
        """
        files = find_files(source)
        rejects: list[Reject] = []
        by_sample: dict[str, list[NuscenesQaRow]] = defaultdict(list)
        for split, path in files.items():
            for row in read_questions(path, split, rejects):
                by_sample[row.sample_token].append(row)
        asked = Counter({token: len(rows) for token, rows in by_sample.items()})
        found = find_scenes(source, settings, asked, rejects)
        shared = OfficialSplits(settings.leakage, rejects, things="scenes")
        units = [
            NuscenesQaUnit(scene, settle(scene, _rows(scene, by_sample), shared, settings)) for scene in found.scenes
        ]
        if not units:
            raise NothingToDoError(
                "Nothing to convert",
                where=source,
                rule=f"none of the {len(by_sample)} key frames that are asked about is there with its six images",
                action="Name the data root that holds v1.0-trainval and samples with --dataroot",
            )
        sources = {path.name: path for path in files.values()} | {**found.tables}
        return Plan(units=units, sources=sources, rejects=rejects, notes=[*found.notes, *shared.notes()])

    def convert(
        self, unit: NuscenesQaUnit, settings: NuscenesQaSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Put the key frames of a scene into the data set and word the questions about them."""
        frames = FrameImages(unit.scene, settings, images)
        by_sample: dict[str, list[NuscenesQaRow]] = defaultdict(list)
        for row in unit.rows:
            by_sample[row.sample_token].append(row)
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for token, rows in by_sample.items():
            try:
                frames.show(token, {})
            except ItemError as error:
                rejects += image_rejected(frames.name_of(token), error, counted(len(rows), "question")).rejects
                continue
            samples += _samples(unit, rows, frames, provenance)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: NuscenesQaUnit) -> str:
        """Name a unit by its scene."""
        return unit.scene.name

    def unit_files(self, unit: NuscenesQaUnit) -> list[Path]:
        """Name the images; the questions stand in the unit."""
        return unit.scene.files()


CONVERTER = NuscenesQaConverter()


def _rows(scene: SceneFrames, by_sample: _BySample) -> list[NuscenesQaRow]:
    return [row for token in scene.frames for row in by_sample[token]]


def _samples(
    unit: NuscenesQaUnit, rows: Sequence[NuscenesQaRow], frames: FrameImages, provenance: Provenance
) -> Iterator[Sample]:
    splits = {row.official_split for row in unit.rows}
    for row in rows:
        details: dict[str, JsonValue] = {
            "official_split": row.official_split,
            "row": row.number,
            "template_type": row.template_type,
            "num_hop": row.num_hop,
        }
        place = unit.scene.place.of(row.official_split, splits)
        yield from samples_from_questions(
            [Question(str(row.number), row.task, row.question, row.truth(), preface=frames.preface())],
            id_prefix=f"nuscenes-qa/{row.official_split}",
            domain=DOMAIN,
            images=frames.show(row.sample_token, details),
            fixed_split=place.fixed_split,
            group=place.group,
            provenance=provenance,
            warnings=place.warnings,
        )
