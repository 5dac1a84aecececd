"""Finds held-out samples that a system was trained on: about a group or an image that it has seen."""

from __future__ import annotations

from collections.abc import Sequence

from domainvl.evaluation.results import Leak
from domainvl.model.trained_on import TrainedOn, digest_group, read_trained_on
from domainvl.schema import Sample
from domainvl.schema.sample import EXAMPLE_OF

__all__ = ["TrainedOn", "find_leak", "read_trained_on"]

_EXAMPLES = 3


def find_leak(system: str, trained_on: TrainedOn, samples: Sequence[Sample]) -> Leak | None:
    """Return what held-out samples share with what a system was trained on; None if they share nothing.

    A sample's images count by their pixels and by the images that they were made of, so that one of several stitched
    views is enough. Images of solved examples before the question do not count: those are meant to be training images.
    Two blank images are alike wherever they come from.

    Args:
        system: Name of the system.
        trained_on: What it was trained on.
        samples: What is asked.
    """
    groups: set[int] = set()
    images: set[str] = set()
    shared: list[str] = []
    for sample in samples:
        own = [image for image in sample.images if EXAMPLE_OF not in image.source.details]
        seen = [image.pixel_sha256 for image in own if trained_on.has_image(image)]
        images.update(seen)
        is_of_group = trained_on.has_group(sample)
        if is_of_group:
            groups.add(digest_group(sample))
        if is_of_group or seen:
            shared.append(sample.id)
    if not shared:
        return None
    return Leak(
        system=system,
        groups=len(groups),
        images=len(images),
        samples=len(shared),
        examples=tuple(shared[:_EXAMPLES]),
    )
