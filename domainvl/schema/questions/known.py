"""What labelled objects allow to be known: which are clear, and of which classes the count is certain."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from domainvl.schema.questions.area import covered_px
from domainvl.schema.questions.settings import ObjectQuestions
from domainvl.schema.sample import Object

_SLACK = 1.001
"""What a covered area may exceed that of the image by: polygons are clipped and repaired in floating point."""


@dataclass(frozen=True)
class Known:
    """The objects of the images that are asked about.

    Attributes:
        key: Names the images; equal keys give equal choices.
        settings: Which questions are asked.
        objects: All objects, the ignored ones too, in order of their ids.
        clear: The objects that are not ignored, by annotated class; the classes in alphabetical order.
        certain: The same of the classes without an ignored object: of these count, absence and area are known.
    """

    key: str
    settings: ObjectQuestions
    objects: tuple[Object, ...]
    clear: dict[str, list[Object]]
    certain: dict[str, list[Object]]

    @classmethod
    def of(cls, objects: Sequence[Object], classes: Iterable[str], key: str, settings: ObjectQuestions) -> Known:
        """Sort objects by what is known of them.

        Args:
            objects: All labelled objects; each thing once.
            classes: All classes that were annotated in these images, present or not.
            key: Names the images.
            settings: Which questions are asked.
        """
        wanted = [thing for thing in objects if settings.image is None or thing.image == settings.image]
        wanted.sort(key=lambda thing: thing.id)
        unclear = {thing.label for thing in wanted if thing.ignore}
        clear: dict[str, list[Object]] = {label: [] for label in sorted(set(classes))}
        for thing in wanted:
            if thing.label in clear and not thing.ignore:
                clear[thing.label].append(thing)
        certain = {label: things for label, things in clear.items() if label not in unclear}
        return cls(key, settings, tuple(wanted), clear, certain)

    @property
    def prefix(self) -> str:
        """What the keys of questions begin with: the number of the image, where only one is asked about."""
        return "" if self.settings.image is None else f"image{self.settings.image + 1}-"

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each class whose count is certain and not too large."""
        return {label: len(things) for label, things in self.certain.items() if len(things) <= self.settings.max_count}

    def share(self, label: str) -> float | None:
        """Return the share of the image that a class covers, from 0 to 1.

        Returns:
            None where it is not known: an object has no polygon, or the objects cover more than there is of the image.
        """
        image_px = self.settings.image_px
        covered = covered_px(self.certain[label])
        if image_px is None or covered is None or covered > image_px * _SLACK:
            return None
        return min(covered / image_px, 1.0)
