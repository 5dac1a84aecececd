"""Text in which GeoChat or FIT-RS mark names and boxes, in InternVL's marks; the boxes become objects.

``<p>two ships</p> {<..>}<delim>{<..>}`` and ``<ref>ship</ref><rbox>({<..>}, {<..>})</rbox>`` both become
``<ref>ship</ref><box>[[x1, y1, x2, y2], ...]</box>`` with the upright boxes around the rotated ones, in thousandths.
Nothing else of the text is changed, but that the model's special tokens are made harmless; FIT-RS's ``<rel>`` around a
relation stays, for its own evaluation reads it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from domainvl.errors import ItemError
from domainvl.schema.boxes import to_box_1000
from domainvl.schema.sample import Answer, Object, Task, TextAnswer
from domainvl.schema.wording import box_list, escape_special, reference

from .rotated_text import BRACES, BoxNotation, enclosing_box_px, find_boxes, is_line, parse_box

UNNAMED = "object"
"""Class of a box that no name belongs to."""

MARK_REQUEST = "Mark the positions of the objects that you name."
"""Ours: ends a free question whose answer has boxes, as GeoChat's tag [grounding] tells its model to give some."""

_BOXES = rf"(?:<rbox>\s*\(?\s*)?{BRACES}(?:\s*(?:<delim>|,)?\s*{BRACES})*(?:\s*\)?\s*</rbox>)?"
_MARK = re.compile(
    rf"<(?P<tag>p|ref)>(?P<name>.*?)</(?P=tag)>(?:\s*(?P<named>{_BOXES}))?|(?P<bare>{_BOXES})", re.DOTALL
)
_NAME = re.compile(r"</?(?:p|ref)>")
_LEFT_OVER = re.compile(r"\{\s*<|</?(?:rbox|delim|p)>")
_SHORT_SUFFIX = re.compile(
    r"\s*(?:Answer in one word or a short phrase|Answer the question using a single word or phrase)\.?\s*$",
    re.IGNORECASE,
)
_CLASSIFY = re.compile(r"classify the (?:given )?image\b", re.IGNORECASE)


@dataclass(frozen=True)
class Round:
    """One question of a conversation and its answer.

    Attributes:
        task: What kind of question it is.
        question: The question, as a sample holds it.
        answer: The answer.
    """

    task: Task
    question: str
    answer: Answer


class MarkedText:
    """Reads the texts of one conversation about one image, and gathers the objects whose boxes they hold.

    Args:
        notation: What the numbers of a box mean.
        width_px: Width of the image.
        height_px: Height of the image.
    """

    def __init__(self, notation: BoxNotation, width_px: int, height_px: int) -> None:
        self._notation = notation
        self._width_px, self._height_px = width_px, height_px
        self._known: dict[tuple[str, str], Object] = {}

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader of the boxes should know."""
        lines = {raw for raw, _ in self._known if is_line(raw, self._notation)}
        taken = "had a side of 0, which is taken for half a hundredth of the image's"
        return (f"{len(lines)} of the boxes {taken}",) if lines else ()

    @property
    def objects(self) -> tuple[Object, ...]:
        """The objects so far, in the order in which they were mentioned."""
        return tuple(self._known.values())

    def read_boxes(self, text: str, label: str) -> tuple[str, ...]:
        """Make objects of all boxes in a text.

        Args:
            text: The text.
            label: What they are.

        Returns:
            Their ids; a box that was mentioned before under the same name is the same object.

        Raises:
            ItemError: If a box cannot be used.
        """
        return tuple(self._object(box, clean_name(label)).id for box in find_boxes(text))

    def translate(self, text: str) -> str:
        """Bring a text to InternVL's marks; what lies outside them is made harmless.

        Raises:
            ItemError: If a mark is not well formed or a box cannot be used.
        """
        parts, end = [], 0
        for match in _MARK.finditer(text):
            parts += [escape_special(text[end : match.start()]), self._mark(match)]
            end = match.end()
        translated = "".join([*parts, escape_special(text[end:])])
        left_over = _LEFT_OVER.search(translated)
        if left_over is not None:
            raise ItemError(
                "Cannot read a marked text",
                reason="mark-form",
                where=translated[left_over.start() : left_over.start() + 40],
                rule="names must be written <p>name</p> or <ref>name</ref> and boxes {<a><b><c><d>|<angle>}",
                action="Correct the file",
            )
        return translated

    def free_round(self, question: str, answer: str) -> Round:
        """Read a round that has no form of its own: a short answer, a class, or free text with or without boxes.

        Raises:
            ItemError: If a mark is not well formed or a box cannot be used.
        """
        short = _SHORT_SUFFIX.search(question)
        if short is not None and not has_marks(question + answer):
            task = Task.CLASSIFICATION if _CLASSIFY.match(question) else Task.VQA
            return Round(task, question[: short.start()].rstrip() or question, TextAnswer(text=answer))
        request = f"\n{MARK_REQUEST}" if find_boxes(answer) else ""
        return Round(Task.CONVERSATION, self.translate(question) + request, TextAnswer(text=self.translate(answer)))

    def _mark(self, match: re.Match[str]) -> str:
        group = match["bare"] or match["named"]
        name = match["name"]
        label = UNNAMED if name is None else clean_name(name)
        marked = "" if name is None else reference(label)
        if group is None:
            return marked
        boxes = [self._object(box, label).box_px for box in find_boxes(group)]
        return marked + box_list(
            [to_box_1000(box_px, self._width_px, self._height_px) for box_px in boxes if box_px is not None]
        )

    def _object(self, raw: str, label: str) -> Object:
        found = self._known.get((raw, label))
        if found is None:
            box = parse_box(raw, self._notation, self._width_px, self._height_px)
            box_px, truncated = enclosing_box_px(box, self._width_px, self._height_px)
            found = Object(
                id=str(len(self._known) + 1),
                label=label,
                box_px=box_px,
                oriented_box_px=box,
                truncated=truncated,
                attributes={"raw": raw},
            )
            self._known[raw, label] = found
        return found


def has_marks(text: str) -> bool:
    """Say whether a text names or points at something."""
    return bool(find_boxes(text) or _NAME.search(text) or _LEFT_OVER.search(text))


def find_marked_names(text: str) -> list[str]:
    """Return the names that are marked in a text, without their marks."""
    return [clean_name(match["name"]) for match in _MARK.finditer(text) if match["name"] is not None]


def is_boxes_alone(text: str) -> bool:
    """Say whether a text is boxes, perhaps after their name, and nothing else."""
    return bool(find_boxes(text)) and not _MARK.sub(" ", text).replace("<delim>", " ").strip()


def clean_name(text: str) -> str:
    """Return a name without marks and double blanks; ``UNNAMED`` where nothing is left."""
    return " ".join(_NAME.sub(" ", text).replace("<", " ").replace(">", " ").split()) or UNNAMED
