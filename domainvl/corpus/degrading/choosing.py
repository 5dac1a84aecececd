"""The rule by which each image of a document gets its caption, or none.

OmniCorpus states that interleaved documents can be turned into pairs and gives no rule (arXiv 2406.08418, section 3.4);
this one is ours. What an image may be described by:

1. ``caption``: a caption printed beside it (:mod:`domainvl.corpus.degrading.rows`),
2. ``alt``: its alternative text, where that says something (:mod:`domainvl.corpus.degrading.alternatives`),
3. ``after``: the nearest text behind it, if it is no heading, table or code and is short,
4. ``before``: the same in front of it, taken only with a score,
5. ``sentence``: the sentence that is most like it, known only with scores; never a heading.

A printed caption is taken whatever the scores say: it was written for the image, and models of everyday pictures know
little of a field's. Of the others the first that is there is taken without scores. Where the image was compared with
texts (``corpus score``), the one whose slot has the highest similarity is taken, the first of equals, if that is at
least the limit.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from domainvl.corpus.deduplicating.shingles import normalise, words_of
from domainvl.corpus.degrading.alternatives import says_something
from domainvl.corpus.degrading.rows import RowCaptions, find_row_captions, is_caption, is_label
from domainvl.corpus.sources.captions import caption_label
from domainvl.interleaved.documents import ImageSlot, Similarity, Slot, TextKind, TextSlot

ALT_SLOT = -1
"""Stands for the alternative text of an image (:attr:`Similarity.slot`)."""

_RUNNING = (TextKind.TEXT, TextKind.LIST, TextKind.QUOTE)
_BLANKS_AND_STOPS = " \t\n\u3000.:—–-|、：。"


class Method(enum.StrEnum):
    """How a caption was found, the first choice first."""

    CAPTION = "caption"
    ALT = "alt"
    AFTER = "after"
    BEFORE = "before"
    SENTENCE = "sentence"


@dataclass(frozen=True)
class CaptionRule:
    """What decides which text is a caption.

    Attributes:
        min_similarity: Least cosine of image and text, where they were compared and the text is no printed caption;
            0.20 is what MMC4 keeps images at in training (Zhu et al., arXiv 2304.06939).
        max_words: Longest text beside an image; 60 as in :mod:`domainvl.interleaved.windows`, ours. A character of a
            script without blanks is a word.
    """

    min_similarity: float = 0.20
    max_words: int = 60


@dataclass(frozen=True)
class Chosen:
    """The caption of an image.

    Attributes:
        text: It, in one line, without the number of the figure.
        method: How it was found.
        slot: Index of the slot that it is from; :data:`ALT_SLOT` for the alternative text.
        image_count: How many images it belongs to.
        label: The number of the figure as it stood in front; empty where there was none.
        score: Similarity to the image; None where they were not compared.
    """

    text: str
    method: Method
    slot: int
    image_count: int = 1
    label: str = ""
    score: float | None = None


@dataclass(frozen=True)
class NoCaption:
    """Why an image has none.

    Attributes:
        reason: ``low-similarity``, ``unclear-caption``, ``long-text``, ``useless-alt`` or ``no-caption``.
        rule: What would have been one.
    """

    reason: str
    rule: str


def choose_captions(slots: Sequence[Slot], rule: CaptionRule) -> dict[int, Chosen | NoCaption]:
    """Choose the captions of a document's images.

    Args:
        slots: The document's.
        rule: What decides.

    Returns:
        For each image, those that are switched off too, its caption or why it has none, by the index of its slot.
    """
    rows = find_row_captions(slots)
    chosen: dict[int, Chosen | NoCaption] = {}
    for index, slot in enumerate(slots):
        if isinstance(slot, ImageSlot):
            candidates = list(_candidates(slots, index, slot, rows, rule))
            scores = _scores(slots, slot)
            if candidates and candidates[0].method is Method.CAPTION:
                chosen[index] = replace(candidates[0], score=scores.get(candidates[0].slot))
            elif slot.similar:
                chosen[index] = _most_alike(slots, slot, candidates, scores, rule)
            else:
                first = next((one for one in candidates if one.method is not Method.BEFORE), None)
                chosen[index] = first or _why_none(slots, index, slot, rows, rule)
    return chosen


def count_words(text: str) -> int:
    """Count the words of a text; of a script without blanks, its characters."""
    return len(words_of(normalise(text)))


def _candidates(
    slots: Sequence[Slot], index: int, image: ImageSlot, rows: RowCaptions, rule: CaptionRule
) -> Iterator[Chosen]:
    caption = rows.of.get(index)
    if caption is not None:
        yield _chosen(slots, caption.slot, Method.CAPTION, caption.image_count)
    if image.alt is not None and says_something(image.alt):
        yield _without_label(image.alt, Method.ALT, ALT_SLOT, 1)
    for method, step in ((Method.AFTER, 1), (Method.BEFORE, -1)):
        beside = _text_beside(slots, index, step)
        if beside is not None and count_words(_text(slots, beside)) <= rule.max_words:
            yield _chosen(slots, beside, method, _image_count(slots, beside, -step))


def _text_beside(slots: Sequence[Slot], index: int, step: int) -> int | None:
    """Return the nearest text on one side of an image, over images and labels, if it can say what the image shows."""
    page = slots[index].page
    at = index + step
    while 0 <= at < len(slots) and slots[at].page == page:
        slot = slots[at]
        if isinstance(slot, TextSlot) and not is_label(slot):
            return at if slot.kind in _RUNNING and not is_caption(slots, at) else None
        at += step
    return None


def _image_count(slots: Sequence[Slot], index: int, step: int) -> int:
    """Count the images beside a text, up to the next text."""
    count, at = 0, index + step
    while 0 <= at < len(slots) and slots[at].page == slots[index].page:
        slot = slots[at]
        if isinstance(slot, TextSlot) and not is_label(slot):
            break
        count += isinstance(slot, ImageSlot)
        at += step
    return count


def _scores(slots: Sequence[Slot], image: ImageSlot) -> dict[int, float]:
    """Return how alike an image is to each slot that it was compared with, by that of its sentences most alike."""
    scores: dict[int, float] = {}
    for one in image.similar:
        if _is_there(slots, image, one):
            scores[one.slot] = max(one.score, scores.get(one.slot, one.score))
    return scores


def _most_alike(
    slots: Sequence[Slot],
    image: ImageSlot,
    candidates: Sequence[Chosen],
    scores: Mapping[int, float],
    rule: CaptionRule,
) -> Chosen | NoCaption:
    compared = [one for one in image.similar if _is_there(slots, image, one)]
    scored = [(scores[one.slot], one) for one in candidates if one.slot in scores]
    if compared:
        nearest = max(compared, key=lambda one: one.score)
        if nearest.slot != ALT_SLOT:
            text = _text(slots, nearest.slot)[nearest.begin : nearest.end]
            scored.append((nearest.score, _without_label(text, Method.SENTENCE, nearest.slot, 1)))
    best = max(scored, key=lambda one: one[0], default=None)  # of equals the first, which is the first choice
    if best is None or best[0] < rule.min_similarity:
        told = f"{best[0]:.3f}" if best is not None else "no text that it was compared with"
        limit = f"its similarity to a text must be at least {rule.min_similarity:g}"
        return NoCaption("low-similarity", f"{limit}, got {told}")
    return replace(best[1], score=best[0])


def _is_there(slots: Sequence[Slot], image: ImageSlot, one: Similarity) -> bool:
    """Say whether a comparison is with a text that could be a caption; records of others may point anywhere."""
    if one.slot == ALT_SLOT:
        return says_something(image.alt)
    slot = slots[one.slot] if 0 <= one.slot < len(slots) else None
    if not isinstance(slot, TextSlot) or slot.kind is TextKind.HEADER:
        return False
    return bool(_text(slots, one.slot)[one.begin : one.end].strip())


def _why_none(slots: Sequence[Slot], index: int, image: ImageSlot, rows: RowCaptions, rule: CaptionRule) -> NoCaption:
    if index in rows.unclear:
        return NoCaption("unclear-caption", "it must be clear which of the captions beside a row of images is whose")
    beside = _text_beside(slots, index, 1)
    if beside is not None:
        length = count_words(_text(slots, beside))
        return NoCaption("long-text", f"the text behind it may have {rule.max_words} words, got {length}")
    if image.alt:
        return NoCaption("useless-alt", f"its alternative text must say what it shows, got {image.alt[:80]!r}")
    return NoCaption("no-caption", "it has no caption, no alternative text and no text right behind it")


def _text(slots: Sequence[Slot], index: int) -> str:
    slot = slots[index]
    return slot.text if isinstance(slot, TextSlot) else ""


def _chosen(slots: Sequence[Slot], index: int, method: Method, image_count: int) -> Chosen:
    return _without_label(_text(slots, index), method, index, image_count)


def _without_label(text: str, method: Method, slot: int, image_count: int) -> Chosen:
    """Take the number of a figure from its caption: nobody can see it in the image."""
    line = " ".join(text.split())
    label = caption_label(line)
    rest = line[len(label) :].lstrip(_BLANKS_AND_STOPS)
    if not rest:
        label, rest = "", line
    return Chosen(rest, method, slot, image_count, label.strip(_BLANKS_AND_STOPS[:4] + "—–-|"))
