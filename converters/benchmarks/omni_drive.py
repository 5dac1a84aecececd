"""OmniDrive-nuScenes: descriptions of key frames of nuScenes, and questions about driving in them, written by GPT-4.

Wang et al., OmniDrive: A Holistic Vision-Language Dataset for Autonomous Driving with Counterfactual Reasoning, CVPR
2025 (arXiv 2405.01533); see :mod:`domainvl.converters.benchmarks.omni_drive_files`. The questions that the official
loader makes up from 3D boxes, lanes and trajectories while it trains are not in the files and are not made here.

The prompt names the city first, as the official one does. To test, each question is asked alone, as there. For
training, the rounds of one file make one conversation, in their order; the official loader joins all four files of a
key frame, shuffled, into one.

The group is the scene. The official results are measured on the val folders, so they are the test split here;
validation is drawn from the logs of training.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from domainvl.conversion import Plan, UnitResult
from domainvl.errors import ItemError, NothingToDoError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Image, Provenance, Sample, Task, TextAnswer, Turn
from domainvl.schema.writer import Reject

from ..driving.settings import DOMAIN
from ..losses import counted
from .nuscenes_frames import FrameImages, NuscenesFrameSettings, SceneFrames, find_scenes, settle
from .official_splits import OfficialSplits
from .omni_drive_files import Annotation, Round, list_annotations, read_rounds
from .reading import image_rejected, reject_of

_TASKS = {"keywords": Task.CAPTION, "desc": Task.CAPTION, "vqa": Task.CONVERSATION, "conv": Task.CONVERSATION}


class OmniDriveSettings(NuscenesFrameSettings):
    """Settings of the OmniDrive converter."""

    rounds: Literal["file", "single"] = Field(
        default="file",
        description="Training questions of one file: all as rounds of one conversation, or each alone. Test questions "
        "are always asked alone.",
    )


@dataclass(frozen=True)
class OmniDriveUnit:
    """One scene with all files about its key frames."""

    scene: SceneFrames
    annotations: tuple[Annotation, ...]


class OmniDriveConverter:
    """Turns OmniDrive into captions and conversations about six views."""

    name = "omni-drive"
    summary = "OmniDrive's JSON files on nuScenes: descriptions and conversations about six views, val held out."
    settings_type = OmniDriveSettings
    # Of NVlabs/OmniDrive ("research or evaluation purposes only"), and of nuScenes with its images.
    licence = "NVIDIA License (non-commercial) AND CC-BY-NC-SA-4.0"

    def plan(self, source: Path, settings: OmniDriveSettings) -> Plan[OmniDriveUnit]:
        """List the files and gather them by scene; none is opened yet.

        The manifest names the tables of nuScenes as sources; the hash of each file stands in its samples.

        Raises:
            InputNotFoundError: If there is none of the folders.
            UsageError: If the tables of nuScenes are missing or unreadable, or no scene has a place in a split.
            NothingToDoError: If no file is about a key frame that is there.
        """
        rejects: list[Reject] = []
        by_sample: dict[str, list[Annotation]] = defaultdict(list)
        for annotation in list_annotations(source, rejects):
            by_sample[annotation.token].append(annotation)
        asked = Counter({token: len(files) for token, files in by_sample.items()})
        found = find_scenes(source, settings, asked, rejects, things="file")
        shared = OfficialSplits(settings.leakage, rejects, things="scenes", rows="files")
        units = []
        for scene in found.scenes:
            files = [annotation for token in scene.frames for annotation in by_sample[token]]
            units.append(OmniDriveUnit(scene, settle(scene, files, shared, settings)))
        if not units:
            raise NothingToDoError(
                "Nothing to convert",
                where=source,
                rule=f"none of the {len(by_sample)} key frames that are described is there with its six images",
                action="Name the data root that holds v1.0-trainval and samples with --dataroot",
            )
        return Plan(units=units, sources=found.tables, rejects=rejects, notes=[*found.notes, *shared.notes()])

    def convert(
        self, unit: OmniDriveUnit, settings: OmniDriveSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Put the key frames of a scene into the data set and word what is said about them."""
        job = _SceneJob(unit, settings, FrameImages(unit.scene, settings, images), provenance)
        by_sample: dict[str, list[Annotation]] = defaultdict(list)
        for annotation in unit.annotations:
            by_sample[annotation.token].append(annotation)
        samples: list[Sample] = []
        rejects: list[Reject] = []
        for token, files in by_sample.items():
            try:
                job.frames.show(token, {})
            except ItemError as error:
                rejects += image_rejected(job.frames.name_of(token), error, counted(len(files), "file")).rejects
                continue
            for annotation in files:
                try:
                    rounds, bad = read_rounds(annotation)
                except ItemError as error:
                    rejects.append(reject_of(annotation.name, error, "convert"))
                    continue
                rejects += bad
                samples += job.samples_of(annotation, rounds)
        return UnitResult(samples=samples, rejects=rejects)

    def unit_name(self, unit: OmniDriveUnit) -> str:
        """Name a unit by its scene."""
        return unit.scene.name

    def unit_files(self, unit: OmniDriveUnit) -> list[Path]:
        """Name the images and the files about them."""
        return [*unit.scene.files(), *(annotation.path for annotation in unit.annotations)]


CONVERTER = OmniDriveConverter()


@dataclass(frozen=True)
class _SceneJob:
    """Words the files of one scene."""

    unit: OmniDriveUnit
    settings: OmniDriveSettings
    frames: FrameImages
    provenance: Provenance

    def samples_of(self, annotation: Annotation, rounds: Sequence[Round]) -> Iterator[Sample]:
        splits = {other.official_split for other in self.unit.annotations}
        place = self.unit.scene.place.of(annotation.official_split, splits)
        # Of the published test, whatever split is drawn here.
        is_test = annotation.official_split == "val"
        return samples_from_questions(
            _questions(annotation, rounds, self._preface(), alone=is_test or self.settings.rounds == "single"),
            id_prefix=f"omni-drive/{annotation.official_split}/{self.frames.name_of(annotation.token)}",
            domain=DOMAIN,
            images=self._images(annotation),
            fixed_split=place.fixed_split,
            group=place.group,
            provenance=self.provenance,
            warnings=place.warnings,
        )

    def _preface(self) -> str | None:
        """Name the views of a stitched image, and the city as the official prompt does: boston of boston-seaport."""
        location = self.frames.location
        city = None if location is None else f"You are driving in {location.partition('-')[0]}."
        return "\n".join(said for said in (self.frames.preface(), city) if said) or None

    def _images(self, annotation: Annotation) -> list[Image]:
        details = {
            "official_split": annotation.official_split,
            "annotation": annotation.name,
            "annotation_sha256": hash_file(annotation.path),
        }
        return self.frames.show(annotation.token, details)


def _questions(
    annotation: Annotation, rounds: Sequence[Round], preface: str | None, *, alone: bool
) -> Iterator[Question]:
    """Ask each round alone, or the last one after the others."""
    kind, task = annotation.kind, _TASKS[annotation.kind]
    if not alone and len(rounds) > 1:
        last = rounds[-1]
        earlier = tuple(_turns(rounds[:-1]))
        yield Question(kind, task, last.question, TextAnswer(text=last.answer), earlier, preface=preface)
        return
    for said in rounds:
        key = kind if task is Task.CAPTION else f"{kind}-{said.number}"
        yield Question(key, task, said.question, TextAnswer(text=said.answer), preface=preface)


def _turns(rounds: Sequence[Round]) -> Iterator[Turn]:
    for said in rounds:
        yield Turn(role="human", text=said.question)
        yield Turn(role="assistant", text=said.answer)
