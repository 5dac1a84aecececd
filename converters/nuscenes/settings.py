"""What can be set when nuScenes data is converted."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field, field_validator

from ..driving.rig import in_order, view_of
from ..driving.settings import TableSettings, ViewSettings

Reader: TypeAlias = Literal["own", "devkit"]
SplitBy: TypeAlias = Literal["official", "scene", "log", "location"]
Motion: TypeAlias = Literal["pose", "can"]

TASKS = (
    "view",
    "presence",
    "counting",
    "distance",
    "motion",
    "grounding",
    "region",
    "caption",
    "behaviour",
    "scene",
    "clip-behaviour",
    "clip-motion",
)
"""Kinds of questions; those of clips are about several frames of one camera."""

CLIP_TASKS = frozenset({"clip-behaviour", "clip-motion"})

FRAME_TASKS = frozenset(TASKS) - CLIP_TASKS - {"scene"}


class NuscenesSettings(ViewSettings, TableSettings):
    """Settings of the nuScenes converter."""

    plan_fields = frozenset({"version", "cameras", "reader", "index", "split_by"})

    panels: ClassVar[dict[str, tuple[str, ...]]] = {
        "Input": ("version", "cameras", "strict", "reader", "index"),
        "Images": ("layout", "draw_labels"),
        "Boxes": ("min_visible", "max_occluded", "min_side_px", "min_lidar_points", "max_distance_m"),
        "Questions": ("tasks", "questions_per_task", "camera_samples_per_frame", "phrasing", "phrasing_seed"),
        "Motion and clips": (
            "motion",
            "can_bus",
            "behaviour_s",
            "clip_camera",
            "clip_s",
            "clip_fps",
            "clip_max_frames",
            "clip_video",
        ),
        "Splits": ("split_by", "val_fraction", "test_fraction", "split_seed"),
    }

    cameras: str | None = Field(
        default=None,
        description="Cameras to use, with or without CAM_, separated by commas; all that the rig has where left out.",
    )
    reader: Reader = Field(
        default="own",
        description="What reads the tables: domainvl, or nuScenes' own devkit (extra devkit), to compare with.",
    )
    min_visible: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Objects with a smaller share of themselves inside the image, by solid angle, are not asked about, "
        "unless they cover a tenth of the image.",
    )
    max_occluded: float = Field(
        default=0.7,
        ge=0.0,
        le=1.0,
        description="Objects of which nearer boxes hide a larger share are not asked about.",
    )
    min_side_px: float = Field(
        default=8.0, ge=0.0, description="Objects whose box has a shorter side in the image are not asked about."
    )
    min_lidar_points: int = Field(
        default=0, ge=0, description="Objects with fewer lidar points in their box are not asked about."
    )
    max_distance_m: float | None = Field(
        default=None, gt=0.0, description="Objects farther from the vehicle are not asked about; no limit by default."
    )
    tasks: str = Field(default=",".join(TASKS), description=f"What is asked, separated by commas: {', '.join(TASKS)}.")
    questions_per_task: int = Field(
        default=1, ge=1, description="Most questions of each kind about one frame, one view or one clip."
    )
    camera_samples_per_frame: int = Field(
        default=2,
        ge=0,
        description="Images of a frame that are also asked about alone, chosen by the frame's name among those with "
        "objects. As many as the rig has cameras asks about all.",
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed varies the words otherwise.")
    motion: Motion = Field(
        default="pose", description="Where the vehicle's own motion comes from: its poses, or the CAN bus."
    )
    can_bus: Path | None = Field(
        default=None, description="Folder of the CAN bus files; can_bus in the data root where left out."
    )
    behaviour_s: float = Field(
        default=1.0, gt=0.0, le=5.0, description="Seconds after a frame over which the vehicle's behaviour is judged."
    )
    clip_camera: str | None = Field(
        default=None,
        description="Camera of the clips, with or without CAM_; FRONT where it is among the cameras, else the first.",
    )
    clip_s: float = Field(default=4.0, gt=0.0, description="Length of a clip.")
    clip_fps: float | None = Field(
        default=None,
        gt=0.0,
        description="Frames a second of a clip, taken from all images nearest in time; the key frames, 2 a second in "
        "nuScenes, where left out.",
    )
    clip_max_frames: int = Field(default=40, ge=2, description="Most frames of a clip.")
    clip_video: Path | None = Field(
        default=None, description="Folder into which each clip is also written as an MP4 file (extra video)."
    )
    split_by: SplitBy | None = Field(
        default=None,
        description="What is not divided over splits: a scene, a log (several scenes) or a location; or official: the "
        "scene lists of nuScenes, whose validation scenes become the test split, so that --test-fraction is not used. "
        "Left out: official for nuScenes itself, else scene.",
    )

    @field_validator("cameras")
    @classmethod
    def _views_in_order(cls, cameras: str | None) -> str | None:
        if cameras is None:
            return None
        names = [view_of(name.strip()) for name in cameras.split(",")]
        if not all(names) or len(set(names)) != len(names):
            raise ValueError("it must name cameras, each once")
        return ",".join(in_order(names))

    @field_validator("tasks")
    @classmethod
    def _known_tasks(cls, tasks: str) -> str:
        names = [name.strip() for name in tasks.split(",")]
        if not set(names) <= set(TASKS) or len(set(names)) != len(names):
            raise ValueError(f"it must name some of {', '.join(TASKS)}, each once")
        return ",".join(name for name in TASKS if name in names)

    @field_validator("clip_camera")
    @classmethod
    def _view_of_clips(cls, name: str | None) -> str | None:
        return None if name is None else view_of(name.strip())

    @property
    def views(self) -> tuple[str, ...] | None:
        """Names of the views, in the order in which they are shown; None for all that the rig has."""
        return None if self.cameras is None else tuple(self.cameras.split(","))

    @property
    def asked(self) -> frozenset[str]:
        """The kinds of questions that are asked."""
        return frozenset(self.tasks.split(","))

    @property
    def needs_sweeps(self) -> bool:
        """Whether clips need images between the key frames."""
        return self.clip_fps is not None and not self.asked.isdisjoint(CLIP_TASKS)


def can_folder(dataroot: Path, settings: NuscenesSettings) -> Path:
    """Return the folder of the CAN bus files."""
    return settings.can_bus or dataroot / "can_bus"
