"""What the nuScenes converter plans: one unit a scene, small enough to be handed to any process."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from domainvl.engine import WHERE
from domainvl.schema import Split


@dataclass(frozen=True)
class SceneUnit:
    """A scene to be converted.

    Attributes:
        dataroot: Folder to which file names are relative.
        index: File of the index that holds the scene.
        token: The scene in it.
        content_sha256: Hash of what the index holds of the scene.
        name: The scene's name.
        views: The views to show, in order.
        clip_view: The one of them that clips show.
        classes: All class names that things were labelled with anywhere in the data set.
        group: What must not be divided over splits.
        fixed_split: The split where it is not drawn.
        can_files: Files of the CAN bus about the scene.
    """

    dataroot: Path
    index: Path = field(metadata={WHERE: True})
    token: str
    content_sha256: str
    name: str
    views: tuple[str, ...]
    clip_view: str
    classes: tuple[str, ...]
    group: str
    fixed_split: Split | None
    can_files: tuple[Path, ...] = ()
