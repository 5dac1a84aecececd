"""Cuts documents into windows that a model can take, never between an image and its caption.

A text is divided at its line breaks into paragraphs. Images in a row belong to the paragraph right behind the row, and,
as figures side by side have their captions one after the other, to as many short ones as there are images; a row at the
end of a document belongs to the paragraph right before it. Labels ("a", "Fig. 12.") behind images end no row. Images
stay where the page has them: that is better for a model that reads from left to right than placing them by similarity
(OmniCorpus, arXiv 2406.08418, section 5.2, figure 6). A row of more images than a window takes keeps its last ones with
the paragraph.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from domainvl.errors import UsageError
from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Image

Part: TypeAlias = str | Image
Atom: TypeAlias = tuple[Part, ...]

_PARAGRAPH = re.compile(r"\s*\S[^\n]*(?:\s*\Z|\n*)")
_BLANKS = " \t\n\r\u3000"
_CAPTION_WORDS = 60
"""A caption that is not right behind its image is at most so long."""

_LABEL = re.compile(r"\(?[A-Za-z]\)?[.)]?(?:\s*\n.{0,40})?|[^\W\d]{1,7}\.?\s?\d{1,4}[a-z]?[.:)]?")
"""A letter, perhaps with a few words in a line below, or a number: it names a figure and is not its caption; ours."""

_LEAST_ROOM_TOKENS = 16
"""For the beginning of a caption; any character is at most four tokens."""


@dataclass(frozen=True)
class WindowLimits:
    """How large a window may be.

    Attributes:
        max_images: Most images; 6 as in OmniCorpus' training (arXiv 2406.08418, section 5.1).
        max_tokens: Most tokens, those of the images included; 4096 as there.
        text_only: Keep windows without an image.
    """

    max_images: int = 6
    max_tokens: int = 4096
    text_only: bool = False

    def __post_init__(self) -> None:
        if self.max_images < 1 or self.max_tokens < 2 * _LEAST_ROOM_TOKENS:
            raise UsageError(
                "Cannot cut documents into windows",
                rule=f"max_images must be 1 or more and max_tokens {2 * _LEAST_ROOM_TOKENS} or more, "
                f"got {self.max_images} and {self.max_tokens}",
            )


@dataclass(frozen=True)
class Window:
    """A stretch of a document.

    Attributes:
        parts: Texts and images in order.
        token_count: Tokens that the encoder makes of it.
        tile_count: Tiles of its images.
        ends: Whether the document ends with it.
    """

    parts: Atom
    token_count: int
    tile_count: int
    ends: bool

    @property
    def images(self) -> tuple[Image, ...]:
        """Return its images in order."""
        return _images(self.parts)


@dataclass
class WindowCutter:
    """Cuts documents for one model.

    Attributes:
        encoder: Counts the tokens of texts.
        preprocessing: Counts the tiles of images.
        limits: How large a window may be.
        dropped: Windows that were left out, by reason, and images that fit into none (``image/over-long``).
    """

    encoder: ConversationEncoder
    preprocessing: Preprocessing
    limits: WindowLimits
    dropped: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lengths: dict[tuple[str, bool], int] = {}
        self._first_tokens = len(self.encoder.encode_document([], [], ends=False).input_ids)

    def cut(self, slots: Sequence[Part]) -> list[Window]:
        """Cut a document.

        Args:
            slots: Its texts and the images that are switched on, in order.

        Returns:
            Windows in order. Together they are the document, but for those that were left out and counted: the ones
            without text, and the ones without an image where the limits do not allow that.
        """
        self._lengths.clear()
        stretches = self._fill(self._atoms(_with_breaks(slots)))
        windows = []
        for index, parts in enumerate(stretches):
            lacking = self._lacking(parts)
            if lacking is None:
                ends = index + 1 == len(stretches)
                tokens = self._tokens(parts) - (not ends)
                windows.append(Window(parts, tokens, self._tiles(_images(parts)), ends))
            else:
                self.dropped[lacking] += 1
        return windows

    def _lacking(self, parts: Atom) -> str | None:
        if not any(isinstance(part, str) and part.strip() for part in parts):
            return "window/without-text"
        if not self.limits.text_only and not _images(parts):
            return "window/without-image"
        return None

    def _fill(self, atoms: Iterator[Atom]) -> list[Atom]:
        windows: list[Atom] = []
        text_tokens, images = 0, 0
        for atom in atoms:
            last = windows[-1] if windows else ()
            follows_text = bool(last) and isinstance(last[-1], str)
            more_tokens, more_images = self._text_tokens(atom, follows_text), len(_images(atom))
            all_images = _images((*last, *atom))
            total = text_tokens + more_tokens + self._other_tokens(all_images)
            if windows and total <= self.limits.max_tokens and images + more_images <= self.limits.max_images:
                windows[-1] = (*last, *atom)
                text_tokens, images = text_tokens + more_tokens, images + more_images
            else:
                windows.append(atom)
                text_tokens, images = self._text_tokens(atom, False), more_images
        return windows

    def _atoms(self, slots: Sequence[Part]) -> Iterator[Atom]:
        """Yield what must not be divided, each small enough for a window of its own."""
        row: list[Atom] = []  # images, each with its labels
        waiting: Atom = ()
        captions_due = 0
        for slot in slots:
            if isinstance(slot, Image):
                row.append((slot,))
                continue
            if row and _LABEL.fullmatch(slot.strip()):
                row[-1] = (*row[-1], slot)
                continue
            for paragraph in _PARAGRAPH.findall(slot):
                if not row and captions_due and self._is_caption(waiting, paragraph):
                    waiting = (*waiting, paragraph)
                    captions_due -= 1
                    continue
                for atom in self._captioned(row, paragraph):
                    if waiting:
                        yield waiting
                    waiting = atom
                captions_due = max(0, len(_images(waiting)) - 1)
                row = []
        while row and waiting and self._fits((*waiting, *row[0])):
            waiting = (*waiting, *row.pop(0))
        if waiting:
            yield waiting
        yield from self._alone(row)

    def _is_caption(self, atom: Atom, paragraph: str) -> bool:
        return len(paragraph.split()) <= _CAPTION_WORDS and self._fits((*atom, paragraph))

    def _captioned(self, row: Sequence[Atom], paragraph: str) -> Iterator[Atom]:
        """Put the last images of a row and the beginning of the paragraph behind them together."""
        count = min(len(row), self.limits.max_images)
        while count and self._room(_joined(row[-count:])) < min(_LEAST_ROOM_TOKENS, self._longest(paragraph)):
            count -= 1
        kept = _joined(row[len(row) - count :])
        yield from self._alone(row[: len(row) - count])
        head = self._head(paragraph, self._room(kept))
        yield (*kept, head)
        rest = paragraph[len(head) :]
        while rest:
            head = self._head(rest, self._room(()))
            yield (head,)
            rest = rest[len(head) :]

    def _alone(self, row: Sequence[Atom]) -> Iterator[Atom]:
        for image, *labels in row:
            if self._fits((image, *labels)):
                yield (image, *labels)
            else:
                self.dropped["image/over-long"] += 1
                for label in labels:
                    if isinstance(label, str):
                        yield from self._captioned((), label)

    def _head(self, text: str, room_tokens: int) -> str:
        """Return the beginning of a text that has so many tokens at most, up to a blank where there is one."""
        while len(text) > 1 and self._longest(text) > room_tokens:
            middle = len(text) // 2
            blank = max(text.rfind(character, 1, middle + 1) for character in _BLANKS)
            text = text[: blank if blank > 0 else middle]
        return text

    def _fits(self, parts: Atom) -> bool:
        return len(_images(parts)) <= self.limits.max_images and self._tokens(parts) <= self.limits.max_tokens

    def _room(self, parts: Atom) -> int:
        return self.limits.max_tokens - self._tokens(parts)

    def _tokens(self, parts: Atom) -> int:
        return self._text_tokens(parts, False) + self._other_tokens(_images(parts))

    def _other_tokens(self, images: Sequence[Image]) -> int:
        """Count what is not text: the images with their two tags, the first token and the end of the text."""
        visual = self._tiles(images) * self.preprocessing.tokens_per_tile + 2 * len(images)
        return self._first_tokens + visual + 1

    def _tiles(self, images: Sequence[Image]) -> int:
        return sum(grid.tile_count for grid in self.preprocessing.grids(images))

    def _text_tokens(self, parts: Atom, after_text: bool) -> int:
        count = 0
        for part in parts:
            if isinstance(part, str):
                count += self._length(part, after_text)
            after_text = isinstance(part, str)
        return count

    def _longest(self, text: str) -> int:
        return max(self._length(text, True), self._length(text, False))

    def _length(self, text: str, after_text: bool) -> int:
        key = (text, after_text)
        if key not in self._lengths:
            self._lengths[key] = len(self.encoder.text_ids(text, after_text=after_text))
        return self._lengths[key]


def _joined(atoms: Sequence[Atom]) -> Atom:
    return tuple(part for atom in atoms for part in atom)


def _images(parts: Sequence[Part]) -> tuple[Image, ...]:
    return tuple(part for part in parts if isinstance(part, Image))


def _with_breaks(slots: Sequence[Part]) -> list[Part]:
    """Leave out blank texts, and put a line break where a text meets another slot without a blank between them."""
    kept = [slot for slot in slots if isinstance(slot, Image) or slot.strip()]
    parts: list[Part] = []
    for index, slot in enumerate(kept):
        if isinstance(slot, str):
            if index and isinstance(kept[index - 1], Image) and not slot[0].isspace():
                slot = "\n" + slot
            if index + 1 < len(kept) and not slot[-1].isspace():
                slot += "\n"
        parts.append(slot)
    return parts
