"""What a model says of the images of a DICOM study: about which instance, and where in stored pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domainvl.converters.medical.pixel_map import PixelMap
from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.model.generation import GeneratedAnswer
from domainvl.prediction.answering import LIKELIHOOD_DECIMALS
from domainvl.prediction.asking import BOX_TASKS
from domainvl.prediction.found_boxes import place_found
from domainvl.schema import Box, ChoiceAnswer, Sample, Task, to_box_px


@dataclass(frozen=True)
class ImageRef:
    """A stored image, or a frame of one.

    Attributes:
        sop_class_uid: SOPClassUID.
        sop_instance_uid: SOPInstanceUID.
        series_uid: SeriesInstanceUID.
        frame: Number of the frame, from 1; None where the instance has one only.
    """

    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    frame: int | None = None

    def record(self) -> dict[str, str | int]:
        """Return it under the names that DICOM has for these."""
        named: dict[str, str | int] = {
            "SOPClassUID": self.sop_class_uid,
            "SOPInstanceUID": self.sop_instance_uid,
            "SeriesInstanceUID": self.series_uid,
        }
        return named if self.frame is None else named | {"frame": self.frame}


@dataclass(frozen=True)
class ShownImage:
    """A stored image with the way from its pixels to those that a model was shown.

    Attributes:
        ref: Which one.
        columns: Columns of stored pixels.
        rows: Rows of stored pixels.
        map: From stored pixels to those that were shown.
    """

    ref: ImageRef
    columns: int
    rows: int
    map: PixelMap

    def to_stored(self, box_1000: Box) -> Box:
        """Bring a box of an answer to stored pixels; it is not cut to the image.

        Args:
            box_1000: In thousandths of what was shown.
        """
        shown = to_box_px(box_1000, self.map.width_px, self.map.height_px)
        stored: Box = self.map.inverse(self.columns, self.rows).box(shown)
        return stored


@dataclass(frozen=True)
class FoundBox:
    """Something that was found.

    Attributes:
        label: What.
        box_px: Where, in stored pixels: columns before rows, (0, 0) the upper left corner of the first pixel.
    """

    label: str
    box_px: Box


@dataclass(frozen=True)
class SeriesAnswer:
    """An answer about one stored image, or about several at once.

    Attributes:
        images: Those that it is about.
        task: What kind of question it was.
        question: The question.
        text: The answer as the model wrote it.
        likelihood: Of its tokens.
        value: What is read from it: the option that it names, yes or no; None where nothing is.
        boxes: What was found.
        unread: Why it says nothing that can be used, such as ``no-box``; None where it does.
        cut_off: Whether it met the limit of tokens before its end.
    """

    images: tuple[ImageRef, ...]
    task: Task
    question: str
    text: str
    likelihood: float
    value: str | None = None
    boxes: tuple[FoundBox, ...] = ()
    unread: str | None = None
    cut_off: bool = False

    def record(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return {
            "images": [image.record() for image in self.images],
            "task": self.task.value,
            "question": self.question,
            "answer": self.text,
            "likelihood": self.likelihood,
            "value": self.value,
            "boxes": [{"label": found.label, "box_px": list(found.box_px)} for found in self.boxes],
            "unread": self.unread,
            "cut_off": self.cut_off,
        }


def read_answer(sample: Sample, answer: GeneratedAnswer, images: Sequence[ShownImage]) -> SeriesAnswer:
    """Read what a model answered.

    Args:
        sample: What it was asked.
        answer: What it said.
        images: The stored images that it was shown, one unless it is asked about several.
    """
    value: str | None = None
    boxes: tuple[FoundBox, ...] = ()
    unread: str | None = None
    if sample.task in BOX_TASKS:
        image = images[0]
        size_px = (image.columns, image.rows)
        placed, unread = place_found(sample.task, sample.question, answer.text, image.to_stored, size_px)
        boxes = tuple(FoundBox(label, box) for label, box in placed)
    elif isinstance(sample.answer, ChoiceAnswer):
        choice = read_choice(answer.text, sample.answer.options)
        if choice is None:
            unread = "no-option"
        else:
            value = sample.answer.options[choice]
    elif not answer.text.strip():
        unread = "empty"
    elif normalise_text(answer.text) in ("yes", "no"):
        value = normalise_text(answer.text)
    return SeriesAnswer(
        tuple(image.ref for image in images),
        sample.task,
        sample.question,
        answer.text,
        round(answer.likelihood, LIKELIHOOD_DECIMALS),
        value,
        boxes,
        unread,
        answer.cut_off,
    )


def counted(answers: Sequence[SeriesAnswer]) -> Mapping[str, int]:
    """Count answers, boxes, and what could not be read, by its code."""
    counts = {"answers": len(answers), "boxes": sum(len(answer.boxes) for answer in answers)}
    for answer in answers:
        if answer.unread is not None:
            counts[answer.unread] = counts.get(answer.unread, 0) + 1
        if answer.cut_off:
            counts["cut-off"] = counts.get("cut-off", 0) + 1
    return counts
