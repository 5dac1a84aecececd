"""From a sample to its card: shapes in image pixels, conversation, truth, and where these two disagree."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD, box_iou
from domainvl.evaluation.metrics.reading import read_boxes, read_labelled_boxes
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.schema import (
    Box,
    BoxesAnswer,
    Image,
    Object,
    Sample,
    Task,
    Turn,
    escape_special,
    to_box_1000,
    to_box_px,
)
from domainvl.schema.sample import placed_count
from domainvl.viewing.truths import Truth, describe_answer, object_text, written_box

HUES = 8
"""Number of colours that classes take in turn."""

CROWD = 16
"""With more objects than this a card labels only those of the answer; enlarged, all have their labels."""

COLUMN_PX = 512
"""Most width of a card among others; a narrower image gains nothing from more."""

_AGREEMENT_1000 = 1.0
"""How far a coordinate in the text may lie from the true one: what rounding and widening (to_box_1000) can do."""

_LABEL_ROOM = 0.09
"""A label stands above its box, unless the box begins in this upper share of the image: it would be cut off."""

_LABEL_TURN = 0.6
"""From this share of the width on, a label ends at the right side of its box instead of starting at the left one."""

_MARKER = re.compile(r"(<image>|</?ref>|</?box>)")
_BOXES_IN_TEXT = re.compile(r"(?:<ref>([^<>]*)</ref>)?\s*<box>(.*?)</box>", re.DOTALL)


@dataclass(frozen=True)
class Label:
    """Where a shape's label stands, in image pixels."""

    text: str
    x_px: float
    y_px: float
    above: bool
    at_end: bool


@dataclass(frozen=True)
class Drawn:
    """One object as it is drawn, in pixels of its image.

    Attributes:
        thing: The object.
        hue: Number of its class's colour.
        is_answer: Whether a boxes answer names it.
        label: Its label; None where it has no place in the image.
        title: What is known about it, for the tooltip.
    """

    thing: Object
    hue: int
    is_answer: bool
    label: Label | None
    title: str

    @property
    def classes(self) -> str:
        """Return the CSS classes of its group."""
        names = ["object", f"hue-{self.hue}"]
        return " ".join(names + ["answer"] * self.is_answer + ["ignored"] * self.thing.ignore)


@dataclass(frozen=True)
class TextBox:
    """One box that is written in the conversation.

    Attributes:
        label: What the text calls it, if it does.
        box_1000: The box as it is written.
        image: Index of the image that it belongs to; None where the text does not say.
        agrees: Whether it is the box of an object, with the same label where the text names one.
        by: Who wrote it: ``"human"`` or ``"assistant"``.
    """

    label: str | None
    box_1000: Box
    image: int | None
    agrees: bool
    by: str


@dataclass(frozen=True)
class DrawnText:
    """A box of the text as it is drawn, in pixels of its image."""

    box_px: Box
    label: Label
    title: str
    agrees: bool


@dataclass(frozen=True)
class CardImage:
    """One image of a card.

    Attributes:
        image: The image.
        name: Its view, frame or running number; empty for the only image.
        objects: What is drawn on it.
        texts: The boxes of the conversation that belong to it.
        alternative: What is in it, in words.
        details: The converter's details as JSON text.
    """

    image: Image
    name: str
    objects: tuple[Drawn, ...]
    texts: tuple[DrawnText, ...]
    alternative: str
    details: str

    @property
    def crowded(self) -> bool:
        """Whether labels would cover each other on a card."""
        return len(self.objects) > CROWD


@dataclass(frozen=True)
class Utterance:
    """One turn of the conversation, cut at its markers: pieces of text, and whether each is a marker."""

    role: str
    pieces: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Card:
    """All that is shown of one sample.

    Attributes:
        sample: The sample.
        images: Its images with what is drawn on them.
        turns: Its conversation.
        truth: Its true answer.
        labels: The classes of its objects, sorted.
        notes: Where truth and conversation disagree.
    """

    sample: Sample
    images: tuple[CardImage, ...]
    turns: tuple[Utterance, ...]
    truth: Truth
    labels: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def wide(self) -> bool:
        """Whether it needs a row of its own: an image too wide for a column, such as several views in one."""
        sizes = [(shown.image.width_px, shown.image.height_px) for shown in self.images]
        return any(width_px > 2 * height_px and width_px > COLUMN_PX for width_px, height_px in sizes)

    @property
    def noted(self) -> bool:
        """Whether there is something that a careful reader should know."""
        return bool(self.notes or self.sample.warnings)


def make_card(sample: Sample, hues: Mapping[str, int]) -> Card:
    """Lay out one sample.

    Args:
        sample: The sample.
        hues: Number of the colour of each class.
    """
    texts, unread = boxes_in_text(sample)
    return Card(
        sample=sample,
        images=tuple(_card_image(sample, index, texts, hues) for index in range(len(sample.images))),
        turns=tuple(Utterance(turn.role, split_at_markers(turn.text)) for turn in sample.turns),
        truth=describe_answer(sample),
        labels=tuple(sorted({thing.label for thing in sample.objects})),
        notes=tuple(find_disagreements(sample, texts, unread)),
    )


def assign_hues(samples: Sequence[Sample]) -> dict[str, int]:
    """Give each class a colour, in alphabetical order; beyond :data:`HUES` classes they repeat."""
    labels = sorted({thing.label for sample in samples for thing in sample.objects})
    return {label: index % HUES for index, label in enumerate(labels)}


def split_at_markers(text: str) -> tuple[tuple[str, bool], ...]:
    """Cut text at ``<image>``, ``<ref>`` and ``<box>``; each piece says whether it is such a marker."""
    pieces = _MARKER.split(text)
    return tuple((piece, index % 2 == 1) for index, piece in enumerate(pieces) if piece)


def image_name(image: Image, index: int, count: int) -> str:
    """Name an image by its view and frame, or by its number where there are several."""
    parts = [image.view] if image.view else []
    if image.frame is not None:
        parts.append(f"frame {image.frame}")
    if not parts and count > 1:
        parts.append(f"image {index + 1}")
    return ", ".join(parts)


def _card_image(sample: Sample, index: int, texts: Sequence[TextBox], hues: Mapping[str, int]) -> CardImage:
    image = sample.images[index]
    named = set(sample.answer.object_ids) if isinstance(sample.answer, BoxesAnswer) else set()
    objects = [
        Drawn(thing, hues[thing.label], thing.id in named, _object_label(thing, image), _object_title(thing))
        for thing in sample.objects
        if thing.image == index
    ]
    name = image_name(image, index, len(sample.images))
    # Answers come last: what is drawn last lies on top.
    objects.sort(key=lambda drawn: (drawn.is_answer, not drawn.thing.ignore))
    labels = ", ".join(drawn.thing.label for drawn in objects) or "no labelled objects"
    return CardImage(
        image=image,
        name=name,
        objects=tuple(objects),
        texts=tuple(_drawn_text(text, image) for text in texts if text.image == index),
        alternative=f"{name}: {labels}" if name else labels,
        details=_pretty(image.source.details),
    )


def _pretty(content: Mapping[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1) if content else ""


def _drawn_text(text: TextBox, image: Image) -> DrawnText:
    box_px = to_box_px(text.box_1000, image.width_px, image.height_px)
    verdict = "the box of an object" if text.agrees else "no object has this box"
    label = f"text: {text.label}" if text.label else "text"
    return DrawnText(
        box_px,
        _text_label(label, box_px, image),
        f"{label} [{written_box(text.box_1000)}] of 1000, written by the {text.by}: {verdict}",
        text.agrees,
    )


def _text_label(text: str, box_px: Box, image: Image) -> Label:
    # The labels of the text stand below their boxes, those of the truth above: so both can be read.
    x_px, at_end = _label_x(box_px, image)
    return Label(text, x_px, box_px[3], above=box_px[3] > (1 - _LABEL_ROOM) * image.height_px, at_end=at_end)


def draw_answer(sample: Sample, text: str) -> dict[int, list[DrawnText]]:
    """Lay out the boxes of a system's answer, each with its IoU with the object of the answer that it overlaps best.

    Args:
        sample: The sample.
        text: What the system answered.

    Returns:
        By index of the image; a box agrees where that IoU is at least ``IOU_THRESHOLD``, or no box was asked for. Where
        the sample has several images, a box that overlaps no object is drawn on none.
    """
    drawn: dict[int, list[DrawnText]] = {}
    boxes: list[tuple[str | None, Box]] = list(read_labelled_boxes(text))
    for name, box_1000 in boxes or [(None, box) for box in read_boxes(text)]:
        found = _place(sample, Turn(role="assistant", text=text), name, box_1000)
        if found.image is not None and box_1000[0] < box_1000[2] and box_1000[1] < box_1000[3]:
            drawn.setdefault(found.image, []).append(_drawn_answer(found, sample, found.image))
    return drawn


def _drawn_answer(text: TextBox, sample: Sample, index: int) -> DrawnText:
    image = sample.images[index]
    box_px = to_box_px(text.box_1000, image.width_px, image.height_px)
    name = f"answer: {text.label}" if text.label else "answer"
    title = f"{name} [{written_box(text.box_1000)}] of 1000"
    if not isinstance(sample.answer, BoxesAnswer):  # there is no box that it could agree with or not
        return DrawnText(box_px, _text_label(name, box_px, image), title, agrees=True)
    true = [thing.box_px for thing in sample.answer_objects() if thing.image == index and thing.box_px is not None]
    iou = max((box_iou(box_px, one) for one in true), default=0.0)
    return DrawnText(
        box_px,
        _text_label(f"{name}, IoU {iou:.2f}", box_px, image),
        f"{title}: IoU {iou:.3f} with the truth",
        agrees=iou >= IOU_THRESHOLD,
    )


def _label_x(box_px: Box, image: Image) -> tuple[float, bool]:
    at_end = box_px[0] > _LABEL_TURN * image.width_px
    return (box_px[2] if at_end else box_px[0]), at_end


def _object_label(thing: Object, image: Image) -> Label | None:
    extent = object_extent(thing)
    if extent is None:
        return None
    x_px, at_end = _label_x(extent, image)
    return Label(thing.label, x_px, extent[1], above=extent[1] > _LABEL_ROOM * image.height_px, at_end=at_end)


def object_extent(thing: Object) -> Box | None:
    """Return the box that an object spans: its own, or the one around its polygons, rotated box or point."""
    if thing.box_px is not None:
        return thing.box_px
    points = [point for ring in thing.polygons_px or () for point in ring]
    if not points and thing.oriented_box_px is not None:
        box = thing.oriented_box_px
        # Half the diagonal in each direction: enough to place a label by.
        half = (box.width_px**2 + box.height_px**2) ** 0.5 / 2
        points = [(box.center_x_px - half, box.center_y_px - half), (box.center_x_px + half, box.center_y_px + half)]
    if not points and thing.point_px is not None:
        points = [thing.point_px]
    if not points:
        return None
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    return min(xs), min(ys), max(xs), max(ys)


def _object_title(thing: Object) -> str:
    facts = [thing.label, f"id {thing.id}"]
    if thing.visible_fraction < 1:
        facts.append(f"{thing.visible_fraction:.0%} visible")
    facts += ["truncated"] * thing.truncated + ["ignored"] * thing.ignore
    facts += [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in thing.attributes.items()]
    return "\n".join(facts)


def boxes_in_text(sample: Sample) -> tuple[list[TextBox], list[str]]:
    """Find the boxes that are written in the conversation.

    The text does not say which of several images a box belongs to. It is given to the image with the object that it
    overlaps best, among the answer's objects if one of them overlaps it, else among all. Solved examples are passed
    over: the sample does not hold their objects.

    Args:
        sample: The sample.

    Returns:
        The boxes, and the lists that cannot be read.
    """
    found, unread = [], []
    own = len(sample.earlier) if placed_count(sample.earlier) else 0
    for turn in sample.turns[own:]:
        for label, content in _BOXES_IN_TEXT.findall(turn.text):
            boxes = read_boxes(content)
            if not boxes:
                unread.append(content)
            found += [_place(sample, turn, label or None, box) for box in boxes]
    return found, unread


def _place(sample: Sample, turn: Turn, label: str | None, box_1000: Box) -> TextBox:
    agreeing = [thing for thing in sample.objects if _is_box_of(box_1000, label, thing, sample)]
    agreeing.sort(key=lambda thing: thing not in sample.answer_objects())
    if agreeing:
        image: int | None = agreeing[0].image
    elif len(sample.images) == 1:
        image = 0
    else:
        image = _best_image(sample, box_1000, sample.answer_objects())
        image = _best_image(sample, box_1000, sample.objects) if image is None else image
    return TextBox(label, box_1000, image, bool(agreeing), turn.role)


def _is_box_of(box_1000: Box, label: str | None, thing: Object, sample: Sample) -> bool:
    if thing.box_px is None:
        return False
    image = sample.images[thing.image]
    true_1000 = to_box_1000(thing.box_px, image.width_px, image.height_px)
    # Grounding calls the object by an expression, which need not be its class.
    same_name = label is None or sample.task is Task.GROUNDING or _same_name(label, thing.label)
    return same_name and all(abs(a - b) <= _AGREEMENT_1000 for a, b in zip(box_1000, true_1000, strict=True))


def _same_name(written: str, label: str) -> bool:
    return normalise_text(written) == normalise_text(escape_special(label))


def _best_image(sample: Sample, box_1000: Box, objects: Sequence[Object]) -> int | None:
    best, best_iou = None, 0.0
    for thing in objects:
        image = sample.images[thing.image]
        if thing.box_px is not None:
            iou = box_iou(thing.box_px, to_box_px(box_1000, image.width_px, image.height_px))
            if iou > best_iou:
                best, best_iou = thing.image, iou
    return best


def find_disagreements(sample: Sample, texts: Sequence[TextBox], unread: Sequence[str]) -> Iterator[str]:
    """Say where the conversation and the truth do not fit.

    Args:
        sample: The sample.
        texts: The boxes of its conversation.
        unread: The lists of boxes in it that cannot be read.

    Yields:
        One sentence a disagreement.
    """
    for content in unread:
        yield f"The text has a list of boxes that cannot be read: {content}"
    for text in texts:
        written = f"{text.label or 'box'} [{written_box(text.box_1000)}]"
        if not text.agrees:
            yield f"No object has the box of the text: {written}"
        if text.image is None:
            yield f"Not drawn, because the text does not say in which image it is: {written}"
    if not isinstance(sample.answer, BoxesAnswer):
        reply = sample.turns[-1].text
        # A conversation of turns that the sample does not know of may end with another question than its own.
        if len(sample.turns) == len(sample.earlier) + 2 and not score(sample, _prediction(sample, reply)).correct:
            yield f"The answer in the conversation does not count as the true one: {reply}"
        return
    for thing in sample.answer_objects():
        if not any(_is_box_of(text.box_1000, text.label, thing, sample) for text in texts):
            yield f"The text does not have the box of the answer: {object_text(thing, sample)}"


def _prediction(sample: Sample, text: str) -> Prediction:
    return Prediction(sample_id=sample.id, text=text, likelihood=1.0)
