"""What all questions about a scene share, and the images of a key frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from domainvl.errors import ItemError
from domainvl.schema import (
    Image,
    Object,
    Phrasing,
    Provenance,
    Question,
    Reject,
    Sample,
    Severity,
    Split,
    samples_from_questions,
)

from ..driving.motion import MotionSource
from ..driving.settings import DOMAIN
from .pictures import Pictures
from .scenes import Frame, Scene, Shot
from .settings import NuscenesSettings

_NOT_FETCHED = frozenset({"missing-camera", "missing-image"})
"""What is expected of a partial download."""

_NO_CLIP = frozenset({"clip-too-short", "too-few-images"})
"""What is expected of a short scene."""


@dataclass(frozen=True)
class SceneContext:
    """What all samples of a scene share.

    Attributes:
        scene: The scene.
        views: The views to show, in order.
        clip_view: The one of them that clips show.
        classes: All classes that things were labelled with anywhere in the data set.
        group: What must not be divided over splits.
        fixed_split: The split where it is not drawn.
        settings: The settings.
        pictures: The images of the scene.
        motion: How the vehicle moved; None where it is not known.
        provenance: What makes the samples.
    """

    scene: Scene
    views: tuple[str, ...]
    clip_view: str
    classes: tuple[str, ...]
    group: str
    fixed_split: Split | None
    settings: NuscenesSettings
    pictures: Pictures
    motion: MotionSource | None
    provenance: Provenance

    def samples(
        self, questions: Iterable[Question], key: str, images: Sequence[Image], objects: Sequence[Object]
    ) -> Iterator[Sample]:
        """Turn questions about images into samples."""
        settings = self.settings
        return samples_from_questions(
            questions,
            id_prefix=key,
            domain=DOMAIN,
            images=images,
            objects=objects,
            group=self.group,
            fixed_split=self.fixed_split,
            provenance=self.provenance,
            phrasing=Phrasing(varied=settings.phrasing == "varied", seed=settings.phrasing_seed),
        )

    def reject(self, name: str, error: ItemError) -> Reject:
        """Say what could not be used; what was not fetched counts as left out, unless all must be there."""
        expected = error.reason in _NO_CLIP or (error.reason in _NOT_FETCHED and not self.settings.strict)
        severity = Severity.SKIPPED if expected else Severity.FAILED
        return Reject(name, "convert", error.reason, str(error), error.action, severity)


def complete_shots(frame: Frame, views: Sequence[str]) -> tuple[Shot, ...]:
    """Return the images of a frame, one a view, in the order of the views.

    Raises:
        ItemError: If a view has no image.
    """
    by_view = {shot.view: shot for shot in frame.shots}
    missing = [view for view in views if view not in by_view]
    if missing:
        raise ItemError(
            "Cannot use a key frame",
            reason="missing-camera",
            rule=f"the tables have no image of {', '.join(missing)}",
            action="Name the cameras that the rig has with --cameras",
        )
    return tuple(by_view[view] for view in views)


def check_images(pictures: Pictures, shots: Sequence[Shot]) -> None:
    """Check that images are on disk.

    Raises:
        ItemError: If one is not.
    """
    missing = pictures.missing(shots)
    if missing:
        raise ItemError(
            "Cannot use images",
            reason="missing-image",
            where=missing[0].filename,
            rule=f"{len(missing)} of {len(shots)} images are not on disk: "
            f"{', '.join(sorted({shot.view for shot in missing}))}",
            action="Fetch the part of the data set that holds them, or name the cameras that are there with --cameras",
        )
