"""What the cameras see in the key frames of a scene, for questions about frames and about clips alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domainvl.errors import ItemError
from domainvl.schema import Object, Reject, Severity

from .objects import BoxRules, objects_of, speeds_of
from .scene_context import SceneContext, check_images, complete_shots
from .scenes import Frame, Scene, frame_name
from .settings import FRAME_TASKS


@dataclass(frozen=True)
class Seen:
    """What is seen in the key frames of a scene; boxes in pixels of the views.

    Attributes:
        complete: Objects by index of the frame, of frames of which all images are there.
        by_clips: Objects in the view of clips, by index of the frame, of all frames of which that image is there.
        rejects: Frames that lack an image.
    """

    complete: Mapping[int, Sequence[Object]]
    by_clips: Mapping[int, Sequence[Object]]
    rejects: Sequence[Reject] = ()


def look_at_frames(context: SceneContext) -> Seen:
    """Project the cuboids of all key frames of a scene; nothing where no task needs them."""
    asked = context.settings.asked
    asks_frames, asks_clips = not asked.isdisjoint(FRAME_TASKS), "clip-motion" in asked
    if not (asks_frames or asks_clips):
        return Seen({}, {})
    rules, speeds = BoxRules.from_settings(context.settings), speeds_of(context.scene)
    complete: dict[int, list[Object]] = {}
    by_clips: dict[int, list[Object]] = {}
    rejects: list[Reject] = []
    for frame in context.scene.frames:
        if asks_frames:
            try:
                shots = complete_shots(frame, context.views)
                check_images(context.pictures, shots)
                complete[frame.index] = objects_of(context.scene, frame, shots, rules, speeds)
            except ItemError as error:
                rejects.append(context.reject(frame_name(context.scene.name, frame.index), error))
        if asks_clips:
            by_clips |= _in_clip_view(context, frame, complete.get(frame.index), rules, speeds)
    found = [*complete.values(), *by_clips.values()]
    if found and any(frame.cuboids for frame in context.scene.frames) and not any(found):
        rejects.append(_nothing_in_view(context.scene))
    return Seen(complete, by_clips, rejects)


def _in_clip_view(
    context: SceneContext,
    frame: Frame,
    known: Sequence[Object] | None,
    rules: BoxRules,
    speeds: Mapping[int, Mapping[str, float]],
) -> dict[int, list[Object]]:
    """Return what the camera of the clips sees in a frame, also where other images of the frame are missing."""
    if known is None:
        shots = [shot for shot in frame.shots if shot.view == context.clip_view]
        if not shots or context.pictures.missing(shots):
            return {}
        known = objects_of(context.scene, frame, shots, rules, speeds)
    return {frame.index: [thing for thing in known if thing.id.endswith(f"/{context.clip_view}")]}


def _nothing_in_view(scene: Scene) -> Reject:
    count = sum(len(frame.cuboids) for frame in scene.frames)
    return Reject(
        f"{scene.name}/cuboids",
        "convert",
        "nothing-in-view",
        f"No image shows any of the {count} cuboids: by the tables, no camera looks at one",
        "Check rotations in calibrated_sensor: a camera looks along its z, with x to the right and y down",
        Severity.SKIPPED,
    )
