"""From a scene in the index to its samples: key frames first, then clips, and what the manifest says about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError
from domainvl.schema import Provenance, Reject, Severity

from ..driving.behaviour import BehaviourThresholds
from ..driving.clip_questions import ClipThresholds
from ..driving.motion import MotionSource, track_of
from .can_bus import CanBus, CanScene
from .clip_samples import ClipSamples
from .frame_samples import FrameSamples
from .pictures import Pictures
from .scene_context import SceneContext
from .scenes import Scene
from .seen import look_at_frames
from .settings import NuscenesSettings, can_folder
from .tables.index import read_scene
from .units import SceneUnit

_ABOUT_THE_VEHICLE = frozenset({"behaviour", "clip-behaviour"})
"""Tasks that need to know how the vehicle moved."""


def ask_about_scene(
    unit: SceneUnit, settings: NuscenesSettings, pictures: Pictures, provenance: Provenance
) -> UnitResult:
    """Ask about a scene.

    Args:
        unit: The scene.
        settings: What is asked.
        pictures: The images of the scene.
        provenance: What makes the samples.
    """
    scene = read_scene(unit.index, unit.token, unit.content_sha256)
    rejects: list[Reject] = []
    motion = _motion(scene, unit.dataroot, settings, rejects)
    context = SceneContext(
        scene=scene,
        views=unit.views,
        clip_view=unit.clip_view,
        classes=unit.classes,
        group=unit.group,
        fixed_split=unit.fixed_split,
        settings=settings,
        pictures=pictures,
        motion=motion,
        provenance=provenance,
    )
    seen = look_at_frames(context)
    frames, clips = FrameSamples(context, seen), ClipSamples(context, seen.by_clips)
    samples = [*frames.ask(), *clips.ask()]
    return UnitResult(samples, [*rejects, *seen.rejects, *frames.rejects, *clips.rejects], _facts(context))


def _motion(scene: Scene, dataroot: Path, settings: NuscenesSettings, rejects: list[Reject]) -> MotionSource | None:
    """Return how the vehicle moved, from its poses or the CAN bus; None where nobody asks or it is not known."""
    if settings.asked.isdisjoint(_ABOUT_THE_VEHICLE):
        return None
    if settings.motion == "pose":
        return track_of(shot for frame in scene.frames for shot in frame.shots)
    try:
        return CanBus(can_folder(dataroot, settings)).of(scene.name)
    except ItemError as error:
        severity = Severity.SKIPPED if error.reason == "no-can" else Severity.FAILED
        rejects.append(Reject(f"{scene.name}/can", "convert", error.reason, str(error), error.action, severity))
        return None


def _facts(context: SceneContext) -> dict[str, JsonValue]:
    """Say what a scene is and by which rules motion was named."""
    scene, settings = context.scene, context.settings
    facts: dict[str, JsonValue] = {"log": scene.log, "key_frames": len(scene.frames)}
    if scene.location is not None:
        facts["location"] = scene.location
    if not settings.asked.isdisjoint(_ABOUT_THE_VEHICLE):
        facts["motion"] = settings.motion
        facts["behaviour_thresholds"] = {**BehaviourThresholds().to_dict()}
    if isinstance(context.motion, CanScene):
        facts |= context.motion.facts()
    if "clip-motion" in settings.asked:
        facts["clip_thresholds"] = {**ClipThresholds().to_dict()}
    return facts


def images_of(scene: Scene, views: Sequence[str], clip_view: str) -> list[str]:
    """Return the file names of all images that samples of a scene may show."""
    shots = [shot for frame in scene.frames for shot in frame.shots if shot.view in views]
    between = [shot for shot in scene.sweeps if shot.view == clip_view]
    return [*dict.fromkeys(shot.filename for shot in (*shots, *between))]
