"""Which questions are asked about labelled objects."""

from __future__ import annotations

from dataclasses import dataclass

from domainvl.schema.questions.question import scale_note
from domainvl.schema.sample import Task


@dataclass(frozen=True)
class ObjectQuestions:
    """Which questions to ask about labelled objects, and what is known of the image.

    Attributes:
        tasks: Among presence, counting, comparison, area, grounding, region, caption, detection and classification.
        place: How the question names where to look; it begins with "in".
        max_count: Largest count that is asked for; beyond it a count is not a fair question.
        image: Index of the only image that is asked about, where a sample has several; then ``place`` should say
            which one, and the keys of the questions begin with its number. All images where None.
        size_px: Width and height of that image; without them neither areas nor places in the image are asked for.
        gsd_m: Side of a pixel on the ground; without it nothing is said in metres.
        prompt_gsd: Whether the prompt states ``gsd_m``, where it is known.
        several_images: Whether the sample has several images, of all of which it is stated; it does where ``image``
            is given.
    """

    tasks: tuple[Task, ...] = (Task.PRESENCE, Task.COUNTING, Task.GROUNDING)
    place: str = "in the image"
    max_count: int = 100
    image: int | None = None
    size_px: tuple[int, int] | None = None
    gsd_m: float | None = None
    prompt_gsd: bool = False
    several_images: bool = False

    @property
    def whole(self) -> str:
        """What is looked at as a thing: ``place`` without its "in"."""
        return self.place.removeprefix("in ")

    @property
    def preface(self) -> str | None:
        """What the prompt says before the question."""
        several_images = self.several_images or self.image is not None
        return scale_note(self.gsd_m, several_images=several_images) if self.prompt_gsd else None

    @property
    def preface_of_image(self) -> str | None:
        """The same for questions that do not say in their own words which of several images they are about."""
        which = None if self.image is None else f"This is asked about {self.whole}."
        return " ".join(part for part in (self.preface, which) if part) or None

    @property
    def image_px(self) -> float | None:
        """Number of pixels that shares are taken of."""
        return None if self.size_px is None else float(self.size_px[0] * self.size_px[1])
