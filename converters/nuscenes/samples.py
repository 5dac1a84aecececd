"""Asks about the key frames of a scene.

A frame gives samples with all views (which view shows it, how many are there) and samples with one view
(is there one, where is it). The group is the scene; several scenes may come from one log.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.schema import (
    Image,
    ImageStore,
    Object,
    ObjectQuestions,
    Provenance,
    Question,
    Sample,
    Source,
    Task,
    TextAnswer,
    ask_about_objects,
    samples_from_questions,
)
from domainvl.schema.splitting import uniform_from_key

from .objects import objects_of, one_for_each_instance
from .scenes import Frame, SceneUnit, Shot, frame_name
from .settings import NuscenesSettings

_VIEW_QUESTIONS_PER_FRAME = 4
_COUNT_WORDS = ("no", "one", "two", "three", "four", "five", "six")


@dataclass(frozen=True)
class SceneJob:
    """Converts the frames of one scene; pixels go to ``store``."""

    unit: SceneUnit
    settings: NuscenesSettings
    store: ImageStore
    provenance: Provenance

    def samples_of(self, frame: Frame) -> list[Sample]:
        """Ask about one frame.

        Raises:
            ItemError: If an image is missing, does not decode or has another size than the table says.
        """
        key = frame_name(self.unit.name, frame.index)
        paths = [_existing(self.unit.dataroot, shot) for shot in frame.shots]
        images = [self._store(shot, path) for shot, path in zip(frame.shots, paths, strict=True)]
        objects = objects_of(frame, self.settings)
        samples: list[Sample] = []
        if len(images) > 1:
            questions = [*_ask_which_view(objects, images, key), *self._count(objects, len(images), key)]
            samples += self._to_samples(questions, key, images, objects)
        for index in self._alone(objects, key):
            image = images[index]
            here = [thing.model_copy(update={"image": 0}) for thing in objects if thing.image == index]
            image_key = f"{key}/{image.view}"
            wanted = ObjectQuestions(tasks=(Task.GROUNDING, Task.PRESENCE))
            questions = ask_about_objects(here, self.unit.classes, key=image_key, settings=wanted)
            samples += self._to_samples(questions, image_key, [image], here)
        return samples

    def _store(self, shot: Shot, path: Path) -> Image:
        stored = self.store.put_file(path)
        if (stored.width_px, stored.height_px) != (shot.width_px, shot.height_px):
            raise ItemError(
                "Cannot use an image",
                reason="image-size",
                where=shot.filename,
                rule=f"it must be {shot.width_px}x{shot.height_px} px as sample_data says, got "
                f"{stored.width_px}x{stored.height_px}",
                action="Take the image that belongs to the tables; boxes would be misplaced on another size",
            )
        source = Source(
            uri=shot.filename,
            sha256=hash_file(path),
            size_bytes=path.stat().st_size,
            # The token leads to pose and calibration in the tables.
            details={"sample_data_token": shot.token},
        )
        return stored.to_image(source, view=shot.view)

    def _count(self, objects: Sequence[Object], view_count: int, key: str) -> list[Question]:
        """Count one class over all views: one that is there, or one that is not."""
        things = one_for_each_instance(objects)
        present = {thing.label for thing in things}
        absent = sorted(set(self.unit.classes) - present)
        # One absent class only: among all classes of the data set, most would have the answer 0.
        if absent:
            present.add(absent[int(uniform_from_key(f"{key}/absent") * len(absent))])
        settings = ObjectQuestions(tasks=(Task.COUNTING,), place=f"in the {_COUNT_WORDS[view_count]} views")
        return ask_about_objects(things, present, key=key, settings=settings)

    def _alone(self, objects: Sequence[Object], key: str) -> list[int]:
        """Choose the images that are also asked about alone."""
        occupied = sorted({thing.image for thing in objects})
        limit = self.settings.camera_samples_per_frame
        if limit is None or limit >= len(occupied):
            return occupied
        return sorted(sorted(occupied, key=lambda index: uniform_from_key(f"{key}/alone/{index}"))[:limit])

    def _to_samples(
        self, questions: Sequence[Question], key: str, images: Sequence[Image], objects: Sequence[Object]
    ) -> Iterator[Sample]:
        return samples_from_questions(
            questions,
            id_prefix=key,
            domain="driving",
            images=images,
            objects=objects,
            group=self.unit.name,
            provenance=self.provenance,
        )


def _existing(dataroot: Path, shot: Shot) -> Path:
    path = dataroot / shot.filename
    if not path.is_file():
        raise ItemError(
            "Cannot use a key frame",
            reason="missing-image",
            where=shot.filename,
            rule=f"the image of {shot.view} is not on disk",
            action="Fetch the part of the data set that holds it",
        )
    return path


def _ask_which_view(objects: Sequence[Object], images: Sequence[Image], key: str) -> list[Question]:
    """Ask for classes that one view shows clearly and no other view shows at all."""
    views: dict[str, set[int]] = {}
    for thing in objects:
        views.setdefault(thing.label, set()).add(thing.image)
    unclear = {thing.label for thing in objects if thing.ignore}
    labels = sorted(label for label, indices in views.items() if len(indices) == 1 and label not in unclear)
    labels.sort(key=lambda label: uniform_from_key(f"{key}/view/{label}"))
    return [
        Question(
            f"view-{label.replace(' ', '-')}",
            Task.VQA,
            f"Which view shows the {label}?",
            TextAnswer(text=str(images[min(views[label])].view)),
        )
        for label in labels[:_VIEW_QUESTIONS_PER_FRAME]
    ]
