"""Asks about clips of one camera: what the vehicle does, how things move, and what the whole scene is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from domainvl.errors import ItemError
from domainvl.files import write_atomically
from domainvl.schema import Object, Question, Reject, Sample, Severity

from ..driving.behaviour import Behaviour, behaviour_of
from ..driving.clip_questions import ask_about_clip, objects_to_keep
from ..driving.clips import Clip, make_clips
from ..driving.scene_text import ask_for_scene
from ..driving.write_video import encode_mp4
from .scene_context import SceneContext, check_images
from .scenes import Shot
from .settings import CLIP_TASKS

_SCENE_IMAGES = 8
"""Images that stand for a whole scene: the fewest that the published loader of videos takes (``min_num_frame``)."""


@dataclass
class ClipSamples:
    """Asks about the clips of a scene.

    Attributes:
        context: The scene.
        objects: What the camera of the clips sees in the key frames, by index.
        rejects: What was left out so far.
    """

    context: SceneContext
    objects: Mapping[int, Sequence[Object]]
    rejects: list[Reject] = field(default_factory=list)

    def ask(self) -> Iterator[Sample]:
        """Ask about all clips, and about the scene; what cannot be used is rejected alone."""
        asked = self.context.settings.asked
        if not asked.isdisjoint(CLIP_TASKS):
            yield from self._ask_about_clips()
        if "scene" in asked:
            yield from self._ask_about_scene()

    def _ask_about_clips(self) -> Iterator[Sample]:
        context, settings = self.context, self.context.settings
        name = f"{context.scene.name}/clips"
        try:
            cut = make_clips(
                context.scene,
                view=context.clip_view,
                clip_s=settings.clip_s,
                fps=settings.clip_fps,
                max_frames=settings.clip_max_frames,
            )
        except ItemError as error:
            self._reject(name, error)
            return
        for gap in cut.gaps:
            self.rejects.append(_left_out(name, "clip-gap", gap.message, "Nothing: the clip was split there"))
        for left_over in cut.left_over:
            self.rejects.append(_left_out(name, "clip-too-short", left_over.message, "Nothing: it begins no clip"))
        for clip in cut.clips:
            yield from self._ask_about_clip(clip)

    def _ask_about_clip(self, clip: Clip[Shot]) -> Iterator[Sample]:
        context, key = self.context, f"{self.context.scene.name}/clip{clip.index:02d}"
        sightings = self._sightings(clip)
        questions = ask_about_clip(
            key=key,
            behaviour=self._behaviour(clip),
            sightings=sightings,
            tasks=context.settings.asked,
            per_task=context.settings.questions_per_task,
        )
        if not questions:
            why = (
                f"No question about clip {clip.index}: nothing of what is asked for is known of it, or nothing has the "
                "answer that was drawn"
            )
            self.rejects.append(_left_out(key, "no-question", why, "Ask for other tasks with --tasks"))
            return
        samples = [*self._samples(questions, key, clip.shots, objects_to_keep(sightings))]
        if samples:
            self._write_video(clip, key)
        yield from samples

    def _write_video(self, clip: Clip[Shot], key: str) -> None:
        folder = self.context.settings.clip_video
        if folder is None:
            return
        try:
            content = encode_mp4([self.context.pictures.path_of(shot) for shot in clip.shots], clip.times_s)
        except ItemError as error:
            self._reject(key, error)
            return
        write_atomically(folder / f"{key.replace('/', '_')}.mp4", content)

    def _behaviour(self, clip: Clip[Shot]) -> Behaviour | None:
        motion = self.context.motion
        if motion is None:
            return None
        during = motion.motion(clip.shots[0].timestamp_us, clip.shots[-1].timestamp_us)
        return None if during is None else behaviour_of(during)

    def _sightings(self, clip: Clip[Shot]) -> dict[int, list[Object]]:
        """Return what is seen in those images of a clip that belong to a key frame, by their place in it."""
        found: dict[int, list[Object]] = {}
        frames = self.context.scene.frames
        for place, number in enumerate(clip.frames):
            index = None if number is None else frames[number].index
            if index is not None and index in self.objects:
                found[place] = [*self.objects[index]]
        return found

    def _ask_about_scene(self) -> Iterator[Sample]:
        """Ask what the scene is about, over images from its beginning to its end."""
        context, view = self.context, self.context.clip_view
        question = ask_for_scene(context.scene.description)
        if question is None:
            return
        shots = [shot for frame in context.scene.frames for shot in frame.shots if shot.view == view]
        there = [shot for shot in shots if not context.pictures.missing([shot])]
        if not there:
            self._reject(f"{context.scene.name}/scene", _nothing_to_show(view))
            return
        count = min(len(there), _SCENE_IMAGES)
        chosen = [there[round(place * (len(there) - 1) / max(count - 1, 1))] for place in range(count)]
        yield from self._samples([question], context.scene.name, chosen, ())

    def _samples(
        self, questions: Sequence[Question], key: str, shots: Sequence[Shot], objects: Sequence[Object]
    ) -> Iterator[Sample]:
        context = self.context
        try:
            check_images(context.pictures, shots)
            images = [context.pictures.of(shot, frame=number) for number, shot in enumerate(shots, start=1)]
        except ItemError as error:
            self._reject(key, error)
            return
        yield from context.samples(questions, key, images, objects)

    def _reject(self, name: str, error: ItemError) -> None:
        self.rejects.append(self.context.reject(name, error))


def _nothing_to_show(view: str) -> ItemError:
    return ItemError(
        "Cannot ask about a scene",
        reason="missing-image",
        rule=f"no image of {view} is on disk",
        action="Fetch the part of the data set that holds them, or name another camera with --clip-camera",
    )


def _left_out(name: str, reason: str, message: str, action: str) -> Reject:
    return Reject(name, "convert", reason, message, action, Severity.SKIPPED)
