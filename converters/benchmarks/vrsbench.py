"""VRSBench: captions, referred objects and questions about 512 px patches of DOTA-v2 and DIOR.

Li, Ding and Elhoseiny, VRSBench: A Versatile Vision-Language Benchmark Dataset for Remote Sensing Image Understanding,
NeurIPS 2024. Read as published (huggingface.co/datasets/xiang709/VRSBench): one JSON file a patch in
``Annotations_train/`` and ``Annotations_val/``, the patches in ``Images_train/`` and ``Images_val/``. The official
results are measured on the val folder, so it is the test split here; validation is drawn from training.

Coordinates are shares of the image's sides. ``obj_corner`` holds the four corners, from which the official evaluation
takes the upright box; ``obj_coord``, with two decimals, is what GPT-4V was shown (prepare_eval_all.ipynb of
github.com/lx709/VRSBench), and is read where there are no corners. A patch is named by its scene and a number: the
scene is the group.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field, JsonValue

from domainvl.conversion import ConverterSettings, Plan, UnitResult
from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.questions import Question, samples_from_questions
from domainvl.schema.sample import Answer, BoxesAnswer, Object, Provenance, Sample, Split, Task, TextAnswer
from domainvl.schema.writer import Reject, Severity

from .image_files import IMAGE_SUFFIXES, put_image
from .official_splits import Leakage, OfficialSplits, group_of
from .reading import check_input, count_or_text, image_rejected, source_of
from .vrsbench_files import Annotation, VrsbenchQuestion, objects_in_image, read_annotation

DOMAIN = "remote-sensing"

SPLITS = {"train": None, "val": Split.TEST}
"""The official folders, and the split that each is fixed to; of training a share is drawn for validation."""

CAPTION_PROMPT = "Describe the image in detail"
"""What the official evaluation asks (prepare_eval_all.ipynb)."""

TASKS = {"object existence": Task.PRESENCE, "object quantity": Task.COUNTING}
"""Types of questions with a task of their own; the others are asked as any question."""


class VrsbenchSettings(ConverterSettings):
    """Settings of the VRSBench converter."""

    plan_fields = frozenset({"leakage"})

    test_fraction: float = Field(
        default=0.0, ge=0.0, le=0.0, description="Always 0: the test split is the official val folder."
    )
    leakage: Leakage = Field(
        default=Leakage.EXCLUDE_TEST_IMAGES,
        description="Scenes in both official sets: leave out their training patches, leave out their test patches, or "
        "keep them as published.",
    )


@dataclass(frozen=True)
class VrsbenchUnit:
    """One patch: its annotation and image, and the official folders in which its scene occurs."""

    official_split: str
    annotation: Path
    image: Path
    scene_splits: tuple[str, ...]

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"Annotations_{self.official_split}/{self.annotation.name}"

    @property
    def scene(self) -> str:
        """The scene that it was cut from: "P1427" of "P1427_0151"."""
        return self.annotation.stem.rpartition("_")[0] or self.annotation.stem


class VrsbenchConverter:
    """Turns VRSBench into captions, grounding and questions."""

    name = "vrsbench"
    summary = "VRSBench's JSON files and image patches: captions, referred objects, questions; val held out as test."
    settings_type = VrsbenchSettings
    # The authors give the annotations under CC-BY-4.0; DOTA, of which the images are, is for academic purposes only.
    licence = "CC-BY-4.0 AND academic use only (images of DOTA-v2 and DIOR)"

    def plan(self, source: Path, settings: VrsbenchSettings) -> Plan[VrsbenchUnit]:
        """List annotations and images; nothing is read yet.

        Raises:
            InputNotFoundError: If a folder is missing.
            NothingToDoError: If no annotation has its image.
        """
        rejects: list[Reject] = []
        found = [unit for split in _splits_of(source) for unit in _list_split(source, split, rejects)]
        by_scene: dict[str, list[VrsbenchUnit]] = defaultdict(list)
        for unit in found:
            by_scene[unit.scene].append(unit)
        units = []
        shared = OfficialSplits(settings.leakage, rejects, things="scenes", rows="patches")
        for scene, patches in sorted(by_scene.items()):
            patches = shared.settle(f"scene {scene}", patches)
            splits = tuple(sorted({unit.official_split for unit in patches}))
            units += [VrsbenchUnit(unit.official_split, unit.annotation, unit.image, splits) for unit in patches]
        if not units:
            raise NothingToDoError("Nothing to convert", where=source, rule="no annotation has its image")
        sources = {path.relative_to(source).as_posix(): path for unit in units for path in self.unit_files(unit)}
        return Plan(units=units, sources=sources, rejects=rejects, notes=shared.notes())

    def convert(
        self, unit: VrsbenchUnit, settings: VrsbenchSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Copy the image and word what is said about it."""
        annotation = read_annotation(unit.annotation, unit.name, unit.image.name)
        try:
            stored = put_image(images, unit.image)
        except ItemError as error:
            return image_rejected(unit.name, error, "the patch with all that is said about it")
        objects, rejects = objects_in_image(annotation, stored.width_px, stored.height_px, unit.name)
        samples = _samples(unit, annotation, stored, objects, provenance)
        return UnitResult(samples=list(samples), rejects=[*annotation.rejects, *rejects])

    def unit_name(self, unit: VrsbenchUnit) -> str:
        """Name a unit by its annotation; the names hold no identifiers."""
        return unit.name

    def unit_files(self, unit: VrsbenchUnit) -> list[Path]:
        """Name the annotation and the image."""
        return [unit.annotation, unit.image]


CONVERTER = VrsbenchConverter()


def _samples(
    unit: VrsbenchUnit, annotation: Annotation, stored: StoredImage, objects: list[Object], provenance: Provenance
) -> Iterator[Sample]:
    source = source_of(
        unit.image,
        f"{unit.image.parent.name}/{unit.image.name}",
        official_split=unit.official_split,
        annotation=unit.name,
    )
    group, warnings = group_of(unit.scene, unit.official_split, unit.scene_splits, "scene")
    for question, told, shown in _questions(annotation, objects):
        details = {**source.details, **told}
        yield from samples_from_questions(
            [question],
            id_prefix=f"vrsbench/{unit.official_split}/{unit.annotation.stem}",
            domain=DOMAIN,
            images=[stored.to_image(source.model_copy(update={"details": details}))],
            objects=shown,
            fixed_split=SPLITS[unit.official_split],
            group=group,
            provenance=provenance,
            warnings=warnings,
        )


def _questions(
    annotation: Annotation, objects: list[Object]
) -> Iterator[tuple[Question, dict[str, JsonValue], list[Object]]]:
    """Yield each question with its details and the objects that go with it: all with the caption, one referred to."""
    if annotation.caption is not None:
        yield Question("caption", Task.CAPTION, CAPTION_PROMPT, TextAnswer(text=annotation.caption)), {}, objects
    for thing in objects:
        sentence = annotation.sentences.get(thing.id)
        if sentence is not None:
            answer = BoxesAnswer(object_ids=(thing.id,))
            question = Question(f"refer-{thing.id}", Task.GROUNDING, sentence, answer)
            yield question, {"obj_id": thing.id, "is_unique": thing.attributes.get("is_unique")}, [thing]
    for asked in annotation.questions:
        task = TASKS.get(asked.kind, Task.VQA)
        details: dict[str, JsonValue] = {"ques_id": asked.id, "question_type": asked.kind}
        yield Question(f"vqa-{asked.id}", task, asked.text, _answer(task, asked)), details, []


def _answer(task: Task, asked: VrsbenchQuestion) -> Answer:
    return count_or_text(asked.answer) if task is Task.COUNTING else TextAnswer(text=asked.answer)


def _splits_of(source: Path) -> list[str]:
    splits = [split for split in SPLITS if (source / f"Annotations_{split}").is_dir()]
    layout = "Annotations_train/ and Images_train/, Annotations_val/ and Images_val/, unpacked"
    if not splits:
        raise InputNotFoundError(
            "Cannot read VRSBench",
            where=source,
            rule="there is neither a folder Annotations_train nor Annotations_val",
            action=f"Name the folder that holds {layout}",
        )
    check_input(source, [f"Images_{split}/" for split in splits], benchmark="VRSBench", layout=layout)
    return splits


def _list_split(source: Path, split: str, rejects: list[Reject]) -> Iterator[VrsbenchUnit]:
    folder = source / f"Images_{split}"
    there = {path.stem: path for path in sorted(folder.iterdir()) if path.suffix.lower() in IMAGE_SUFFIXES}
    for annotation in sorted((source / f"Annotations_{split}").glob("*.json")):
        image = there.pop(annotation.stem, None)
        if image is not None:
            yield VrsbenchUnit(split, annotation, image, (split,))
            continue
        name, message = f"Annotations_{split}/{annotation.name}", f"its image is not in Images_{split}"
        rejects.append(Reject(name, "plan", "image-missing", message, "Fetch the complete set of images"))
    for image in there.values():
        uri = f"Images_{split}/{image.name}"
        rejects.append(Reject(uri, "plan", "no-annotation", "no annotation is about it", None, Severity.SKIPPED))
