"""Asks about the key frames of a scene: about all views together, and about single views."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from domainvl.errors import ItemError
from domainvl.schema import Object, Question, Reject, Sample, Severity
from domainvl.schema.splitting import uniform_from_key

from ..driving.behaviour import ask_behaviour, behaviour_after
from ..driving.canvas import Canvas
from ..driving.frame_questions import FrameQuestions, ask_about_one_view, ask_about_views
from ..driving.stitching import views_note
from .pictures import on_canvas
from .scene_context import SceneContext, complete_shots
from .scenes import Frame, Shot, frame_name
from .seen import Seen


@dataclass
class FrameSamples:
    """Asks about the key frames of a scene.

    Attributes:
        context: The scene.
        seen: What is seen in its frames.
        rejects: What was left out so far.
    """

    context: SceneContext
    seen: Seen
    rejects: list[Reject] = field(default_factory=list)

    def __post_init__(self) -> None:
        settings = self.context.settings
        self._questions = FrameQuestions(tasks=settings.asked, per_task=settings.questions_per_task)
        # Where nothing was annotated, or no camera sees what was, nothing is known to be absent.
        self._stitched = settings.layout == "stitched" and len(self.context.views) > 1
        # Where views have no name of their own in the prompt, it is said which is where.
        named_apart = len(self.context.views) > 1 and not self._stitched
        self._preface = None if named_apart else views_note(Canvas.stitched(self.context.views))
        self._classes = self.context.classes if any(self.seen.complete.values()) else ()

    def ask(self) -> Iterator[Sample]:
        """Ask about all frames; one that cannot be used is rejected alone."""
        for frame in self.context.scene.frames:
            if frame.index not in self.seen.complete:
                continue
            name = frame_name(self.context.scene.name, frame.index)
            try:
                samples = self._ask_about(frame, name)
            except ItemError as error:
                self.rejects.append(self.context.reject(name, error))
                continue
            if not samples:
                why = (
                    "No question about the key frame: nothing of what is asked for is known of it, or nothing has the "
                    "answer that was drawn"
                )
                action = "Ask for other tasks with --tasks"
                self.rejects.append(Reject(name, "convert", "no-question", why, action, Severity.SKIPPED))
            yield from samples

    def _ask_about(self, frame: Frame, name: str) -> list[Sample]:
        shots, objects = complete_shots(frame, self.context.views), self.seen.complete[frame.index]
        samples = [*self._ask_about_all(frame, name, shots, objects)]
        for index in self._alone(objects, name):
            samples += self._ask_about_one(shots[index], index, name, objects)
        return samples

    def _ask_about_all(
        self, frame: Frame, name: str, shots: Sequence[Shot], objects: Sequence[Object]
    ) -> Iterator[Sample]:
        context = self.context
        if self._stitched:
            images = [context.pictures.stitched(shots, labels=context.settings.draw_labels)]
            objects = on_canvas(objects, shots)
        else:
            images = [context.pictures.of(shot) for shot in shots]
        # Nothing is said to be absent from a frame without any annotation, which may just not be labelled.
        classes = self._classes if frame.cuboids else ()
        questions = ask_about_views(
            objects, context.views, classes, key=name, settings=self._questions, stitched=self._stitched
        )
        return context.samples([*questions, *self._behaviour(frame, name)], name, images, objects)

    def _ask_about_one(self, shot: Shot, index: int, name: str, objects: Sequence[Object]) -> Iterator[Sample]:
        context, key = self.context, f"{name}/{shot.view}"
        here = [thing.model_copy(update={"image": 0}) for thing in objects if thing.image == index]
        questions = ask_about_one_view(here, view=shot.view, classes=self._classes, key=key, settings=self._questions)
        return context.samples(questions, key, [context.pictures.of(shot)], here)

    def _behaviour(self, frame: Frame, name: str) -> list[Question]:
        """Ask what the vehicle does next; nothing at the end of a scene, or where its motion is not known."""
        context = self.context
        if "behaviour" not in context.settings.asked or context.motion is None:
            return []
        behaviour = behaviour_after(context.motion, frame.timestamp_us, context.settings.behaviour_s)
        return [] if behaviour is None else [ask_behaviour(behaviour, name, self._preface)]

    def _alone(self, objects: Sequence[Object], name: str) -> list[int]:
        """Choose the images that are also asked about alone."""
        occupied = sorted({thing.image for thing in objects})
        limit = self.context.settings.camera_samples_per_frame
        drawn = sorted(occupied, key=lambda index: uniform_from_key(f"{name}/alone/{index}"))
        return sorted(drawn[:limit])
