"""What a sample is: images, what is true about them, what is asked, and where it all came from.

The truth (objects in float pixels, the answer as a value) is kept apart from the conversation, which the
wording layer writes from it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from domainvl.schema.boxes import Box, Point

SCHEMA_VERSION = 1
"""Version of the ``domainvl`` part of a record."""

Domain: TypeAlias = str
"""A field, such as ``"remote-sensing"``, ``"medical"``, ``"driving"`` or ``"general"``."""


class Split(enum.StrEnum):
    """Which part of the data set a sample belongs to."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Task(enum.StrEnum):
    """What kind of question a sample asks; it decides the wording and the metric."""

    VQA = "vqa"
    CLASSIFICATION = "classification"
    MULTIPLE_CHOICE = "multiple-choice"
    PRESENCE = "presence"
    COUNTING = "counting"
    COMPARISON = "comparison"
    AREA = "area"
    LENGTH = "length"
    GROUNDING = "grounding"
    DETECTION = "detection"
    REGION = "region"
    CAPTION = "caption"
    CONVERSATION = "conversation"


class _Part(BaseModel):
    """Base of all parts: immutable, unknown keys refused, no NaN or infinity (JSON has none)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


MADE_OF = "made_of_pixel_sha256"
"""Detail of a source that lists the pixel hashes of the images that an image was made of, such as stitched views."""

EXAMPLE_OF = "few_shot_example"
"""Detail of an image's source: the id of the training sample that it belongs to, of which a solved example is shown."""


class Source(_Part):
    """Where an image came from and how to get back to it.

    Attributes:
        uri: Path relative to the input folder, or a pseudonym where paths may name people.
        sha256: Hash of the source file.
        size_bytes: Size of the source file.
        details: What the converter did: window, transform, CRS, stretch limits, series geometry, tokens.
    """

    uri: str
    sha256: str | None = None
    size_bytes: int | None = None
    details: dict[str, JsonValue] = Field(default_factory=dict)


class Image(_Part):
    """One stored image.

    Attributes:
        path: Path relative to the data set's folder, with forward slashes.
        width_px: Width of the stored image.
        height_px: Height of the stored image.
        pixel_sha256: Hash of shape, dtype and pixels; equal images have equal hashes however encoded.
        view: Name of the camera or projection, such as ``"CAM_FRONT"``.
        frame: Number of the video frame, counted from 1.
        source: Where it came from.
    """

    path: str
    width_px: int = Field(gt=0)
    height_px: int = Field(gt=0)
    pixel_sha256: str
    view: str | None = None
    frame: int | None = Field(default=None, ge=1)
    source: Source


class OrientedBox(_Part):
    """A rotated box: centre and sides in pixels; the angle turns the x axis towards y (clockwise on screen)."""

    center_x_px: float
    center_y_px: float
    width_px: float = Field(gt=0)
    height_px: float = Field(gt=0)
    angle_deg: float


class Object(_Part):
    """One labelled thing in one of the sample's images.

    Attributes:
        id: Identifier, unique in the sample.
        label: Class name.
        image: Index into the sample's images.
        box_px: Axis-aligned box (x_min, y_min, x_max, y_max), corners on pixel edges.
        polygons_px: Rings of (x, y); the exterior rings of the visible parts.
        point_px: A single point (x, y).
        oriented_box_px: Rotated box.
        visible_fraction: Share of the object's area that lies inside the image.
        truncated: Whether the image border cuts the object.
        ignore: Whether the object is too little visible to be asked about; it is then not counted either.
        attributes: Further facts, such as height or distance, with the unit in the key.
    """

    id: str
    label: str = Field(min_length=1)
    image: int = Field(default=0, ge=0)
    box_px: Box | None = None
    polygons_px: tuple[tuple[Point, ...], ...] | None = None
    point_px: Point | None = None
    oriented_box_px: OrientedBox | None = None
    visible_fraction: float = Field(default=1.0, ge=0.0, le=1.0)
    truncated: bool = False
    ignore: bool = False
    attributes: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("box_px")
    @classmethod
    def _box_is_ordered(cls, box_px: Box | None) -> Box | None:
        if box_px is None:
            return None
        if not (box_px[0] < box_px[2] and box_px[1] < box_px[3]):
            raise ValueError(f"box_px must have x_min < x_max and y_min < y_max, got {box_px}")
        return box_px


class TextAnswer(_Part):
    """A word or phrase.

    Attributes:
        text: The answer.
        accepted: Other answers that count as right.
        about: Ids of objects that the question points at: their boxes stand behind it.
    """

    kind: Literal["text"] = "text"
    text: str = Field(min_length=1)
    accepted: tuple[str, ...] = ()
    about: tuple[str, ...] | None = None


class ChoiceAnswer(_Part):
    """One of several options, by index."""

    kind: Literal["choice"] = "choice"
    options: tuple[str, ...] = Field(min_length=2, max_length=26)
    correct: int = Field(ge=0)

    @model_validator(mode="after")
    def _correct_is_an_option(self) -> ChoiceAnswer:
        if self.correct >= len(self.options):
            raise ValueError(f"correct must be below {len(self.options)}, the number of options; got {self.correct}")
        return self


class CountAnswer(_Part):
    """How many."""

    kind: Literal["count"] = "count"
    count: int = Field(ge=0)


class MeasureAnswer(_Part):
    """How much, not rounded: a share in percent, an area on the ground or in the body, or a length or distance."""

    kind: Literal["measure"] = "measure"
    value: float = Field(ge=0)
    unit: Literal["%", "m2", "ha", "mm", "mm2", "m"]


class BoxesAnswer(_Part):
    """The boxes of some of the sample's objects; an empty list says that there is none."""

    kind: Literal["boxes"] = "boxes"
    object_ids: tuple[str, ...]


Answer: TypeAlias = Annotated[
    TextAnswer | ChoiceAnswer | CountAnswer | MeasureAnswer | BoxesAnswer, Field(discriminator="kind")
]


class Turn(_Part):
    """One utterance of the conversation."""

    role: Literal["human", "assistant"]
    text: str


class Translation(_Part):
    """What put the sample into another language.

    Attributes:
        language: The language, as a BCP 47 tag such as ``"de"``.
        by: Name of the model that translated it.
        source_id: Id of the sample that was translated.
        source_sha256: Hash of the texts of its turns, as a JSON list.
    """

    language: str
    by: str
    source_id: str
    source_sha256: str


class Enhanced(_Part):
    """What synthesised the pixels that lie between those of the source.

    Attributes:
        name: The enhancer, such as ``"bicubic-x2"`` or ``"sdan-x4-"`` and the start of its weights' hash.
        scale: How many times the rows and columns of the source the images have.
        mode: What the pixels were aligned to: ``"zero offset"`` for nothing but the source itself.
        sha256: Hash of the weights' file; None where there are none.
    """

    name: str = Field(min_length=1)
    scale: int = Field(ge=2)
    mode: str = Field(min_length=1)
    sha256: str | None = None


class Provenance(_Part):
    """What made the sample.

    Attributes:
        converter: Name of the converter.
        version: Version of domainvl.
        settings_sha256: Hash of the settings that shaped it: all but those of the splits and the licence.
        wording: Version of the wording that wrote the turns.
        translation: What translated it; None where its texts are as the converter made them.
        enhanced: What enlarged its images; None where all pixels are those of the source.
    """

    converter: str
    version: str
    settings_sha256: str
    wording: str
    translation: Translation | None = None
    enhanced: Enhanced | None = None


class Sample(_Part):
    """One question about some images, with its true answer.

    Attributes:
        id: Identifier, unique in the data set.
        domain: The field.
        task: What kind of question this is.
        question: What is asked, without any formatting: a question, or for grounding the expression to find.
        answer: The true answer.
        earlier: What was said before the question: rounds of human and assistant, as the prompt has them. Images that
            they hold, as those of solved examples, stand where they are and come first in ``images``; where they hold
            none, all images are named before the first round, else what is left of them before the question.
        preface: What the prompt says after naming the images, such as the size of a pixel.
        phrasing: Which of the task's phrases is used (:func:`domainvl.schema.phrases.prompts`), counted from the
            published one at 0, for which this is None.
        images: The images, in the order in which the prompt names them.
        objects: What is known to be in them.
        turns: The conversation, written from the above.
        split: Which part of the data set it belongs to.
        fixed_split: The part that the makers of the source put it in, which no drawing of splits may change.
        group: What must never be divided over splits: patient, scene, log or spatial block.
        provenance: What made it.
        warnings: What a careful reader should know about it.
    """

    id: str = Field(min_length=1)
    domain: Domain
    task: Task
    question: str = Field(min_length=1)
    answer: Answer
    earlier: tuple[Turn, ...] = ()
    preface: str | None = Field(default=None, min_length=1)
    phrasing: int | None = Field(default=None, ge=1)
    images: tuple[Image, ...]
    objects: tuple[Object, ...] = ()
    turns: tuple[Turn, ...]
    split: Split
    fixed_split: Split | None = None
    group: str = Field(min_length=1)
    provenance: Provenance
    warnings: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _parts_agree(self) -> Sample:
        if len({thing.id for thing in self.objects}) < len(self.objects):
            raise ValueError("the ids of a sample's objects must be unique")
        for thing in self.objects:
            if thing.image >= len(self.images):
                raise ValueError(f"object {thing.id} is in image {thing.image}, but there are {len(self.images)}")
            self._check_box_in_image(thing)
        named = self._named_ids()
        if named:
            missing = set(named) - {thing.id for thing in self.objects}
            if missing:
                raise ValueError(f"the answer names objects that the sample does not have: {sorted(missing)}")
        if self.fixed_split not in (None, self.split):
            raise ValueError(f"split must be the fixed split {self.fixed_split}, got {self.split}")
        if self.earlier:
            check_turns(self.earlier, min(placed_count(self.earlier), len(self.images)))
        check_turns(self.turns, len(self.images))
        return self

    def _check_box_in_image(self, thing: Object) -> None:
        if thing.box_px is None:
            return
        image = self.images[thing.image]
        x_min, y_min, x_max, y_max = thing.box_px
        if x_min < 0 or y_min < 0 or x_max > image.width_px or y_max > image.height_px:
            raise ValueError(
                f"box_px of object {thing.id} must lie inside the image of {image.width_px}x{image.height_px} px, "
                f"got {thing.box_px}"
            )

    def _named_ids(self) -> tuple[str, ...]:
        if isinstance(self.answer, BoxesAnswer):
            return self.answer.object_ids
        return (self.answer.about or ()) if isinstance(self.answer, TextAnswer) else ()

    def answer_objects(self) -> tuple[Object, ...]:
        """Return the objects that a boxes answer names, in its order; empty for other answers."""
        if not isinstance(self.answer, BoxesAnswer):
            return ()
        by_id = {thing.id: thing for thing in self.objects}
        return tuple(by_id[object_id] for object_id in self.answer.object_ids)


IMAGE_PLACEHOLDER = "<image>"
"""Stands for one image in a human turn."""


def placed_count(turns: Sequence[Turn]) -> int:
    """Count the images that stand in the human turns of a conversation."""
    return sum(turn.text.count(IMAGE_PLACEHOLDER) for turn in turns if turn.role == "human")


def check_turns(turns: tuple[Turn, ...], image_count: int) -> None:
    """Check InternVL's rules of a conversation.

    Human and assistant alternate, human first; the human turns hold one placeholder an image and the
    answers none; no turn is empty.

    Raises:
        ValueError: Naming the rule and the value seen.
    """
    if not turns or len(turns) % 2:
        raise ValueError(f"a conversation needs pairs of question and answer, got {len(turns)} turns")
    for index, turn in enumerate(turns):
        expected = "human" if index % 2 == 0 else "assistant"
        if turn.role != expected:
            raise ValueError(f"turn {index} must be by {expected}, got {turn.role}")
        if not turn.text.strip():
            raise ValueError(f"turn {index} is empty")
        if turn.role == "assistant" and IMAGE_PLACEHOLDER in turn.text:
            raise ValueError(f"turn {index} is an answer and must not hold {IMAGE_PLACEHOLDER}")
    placeholders = sum(turn.text.count(IMAGE_PLACEHOLDER) for turn in turns)
    if placeholders != image_count:
        raise ValueError(
            f"the number of {IMAGE_PLACEHOLDER} placeholders must equal the number of images: "
            f"{placeholders} placeholders, {image_count} images"
        )


Record: TypeAlias = dict[str, Any]
"""One line of the JSONL file: InternVL's keys, and ours under ``domainvl``."""
