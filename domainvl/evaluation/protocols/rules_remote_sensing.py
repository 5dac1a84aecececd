"""Rules of remote sensing's benchmarks: RSVQA's ranges, DIOR-RSVG's and VRSBench's boxes, VRSBench's answers.

What ends in ``as-published`` follows the official code flaw for flaw; each flaw is named where it is made.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from domainvl.evaluation.metrics.boxes import box_iou_plus_one, hits
from domainvl.evaluation.metrics.measures import read_measure
from domainvl.evaluation.metrics.reading import read_count
from domainvl.evaluation.protocols.items import Item, Rule, RuleResult, true_text, wrong_answer
from domainvl.evaluation.statistics.scores import BoolArray, mean_score
from domainvl.schema.boxes import Box
from domainvl.schema.sample import Image

_PUBLISHED_RANGES = (0, 100, 1000)
"""Last number of each range but the open one: 0, 1-100, 101-1000, more (InternVL ``rs_vqa/score.py``)."""

_RANGES = (0, 10, 100, 1000)
"""RSVQA's own ranges: 0, 1-10, 11-100, 101-1000, more (syvlo/RSVQA ``VQA_model/VQALoader.py``)."""

_RANGE_WORDS = "right range (0, 1-10, 11-100, 101-1000, more)"
_PUBLISHED_RANGE_WORDS = "right range (0, 1-100, 101-1000, more)"

_BOX_LIKE = re.compile(r"\[*\[.*?,.*?,.*?,.*?\]\]*")  # InternVL rs_det/caculate.py

_HUNDREDTHS = 10
"""Thousandths in one of VRSBench's units."""

# The first box as the first four runs of digits, whatever their size and sign (VRSBench ``compute_metrics.ipynb``).
_FIRST_BOX = re.compile(r"\[\s*\[" + ",".join([r"\s*-?([0-9]{1,15})(?:\.[0-9]*)?\s*"] * 4) + r"\]")


def score_range(items: Sequence[Item], *, unit: str | None = None) -> RuleResult:
    """Score numbers by RSVQA's ranges: right if answer and truth are in the same.

    Args:
        items: The items.
        unit: ``m2`` where areas are asked for: the answer may then be in any unit of area; counts where None.
    """
    said = [_number(item.prediction.text, unit) for item in items]
    true = [_number(true_text(item.sample), unit) for item in items]
    right = [
        a is not None and b is not None and bisect_left(_RANGES, a) == bisect_left(_RANGES, b)
        for a, b in zip(said, true, strict=True)
    ]
    return _share(right, _RANGE_WORDS, unreadable=said.count(None))


def score_count_as_published(items: Sequence[Item]) -> RuleResult:
    """Score counts as Mini-InternVL does: nothing but a whole number is read, 1 to 100 is one range."""
    return _published_numbers(items, int)


def score_area_as_published(items: Sequence[Item]) -> RuleResult:
    """Score areas as Mini-InternVL does.

    The truth loses every trailing ``m`` and ``2``, so that ``12m2`` is 1 and ``2m2`` nothing; the answer loses none,
    so that ``12m2`` cannot be read.
    """
    return _published_numbers(items, lambda text: int(text.rstrip("m2")))


def score_dior_rsvg_as_published(items: Sequence[Item], *, threshold: float = 0.5) -> RuleResult:
    """Score one box as InternVL's ``rs_det/caculate.py`` does: IoU above a threshold, one pixel added to each side.

    The first match of a pattern of brackets must be a JSON list of lists. It ends at the first closing bracket, so that
    a list of two boxes is no JSON and wrong even where the first is right.

    Args:
        items: The items.
        threshold: IoU that must be exceeded.
    """
    boxes = [_published_box(item.prediction.text) for item in items]
    ious = [0.0 if box is None else _dior_iou(item, box) for item, box in zip(items, boxes, strict=True)]
    right = hits(ious, threshold, inclusive=False)
    return _share(right, f"IoU > {threshold:g} (+1 px)", unreadable=boxes.count(None))


def score_vrsbench_boxes_as_published(items: Sequence[Item], *, threshold: float) -> RuleResult:
    """Score one box as VRSBench's ``compute_metrics.ipynb`` does: IoU of whole hundredths, one added to each side.

    One hundredth is added as if it were a pixel, which favours small boxes. The official code reads the numbers of its
    own format, ``{<25><40><50><60>}``, whatever their size; here the first box is read from thousandths, and cut to
    hundredths as the official truth is.

    Args:
        items: The items.
        threshold: Least IoU, inclusive.
    """
    ious, unreadable = _vrsbench_ious(items)
    return _share(hits(ious, threshold), f"IoU >= {threshold:g} (+1 of 100)", unreadable=unreadable)


def score_vrsbench_mean_iou_as_published(items: Sequence[Item]) -> RuleResult:
    """Return the mean IoU as VRSBench's ``compute_metrics.ipynb`` does; without a box it is 0."""
    ious, unreadable = _vrsbench_ious(items)
    return RuleResult(mean_score(ious), "mean IoU (+1 of 100)", unreadable=unreadable)


def score_vrsbench_answers_as_published(items: Sequence[Item]) -> RuleResult:
    """Score answers as the part of VRSBench's ``eval_vqa_gpt.ipynb`` does that needs no judge.

    Right if the true answer stands anywhere in the given one, in any case: "1" stands in "12". The official code asks
    GPT-4 about the others, unless the truth is yes, no or a number; so published numbers are at least as high.
    """
    right = [true_text(item.sample).lower() in item.prediction.text.lower() for item in items]
    return _share(right, "contains the true answer (no judge)")


RULES: Mapping[str, Rule] = {
    "rsvqa-range": score_range,
    "rsvqa-count-as-published": score_count_as_published,
    "rsvqa-area-as-published": score_area_as_published,
    "dior-rsvg-as-published": score_dior_rsvg_as_published,
    "vrsbench-boxes-as-published": score_vrsbench_boxes_as_published,
    "vrsbench-mean-iou-as-published": score_vrsbench_mean_iou_as_published,
    "vrsbench-answers-as-published": score_vrsbench_answers_as_published,
}


def _share(right: Sequence[bool] | BoolArray, metric: str, *, unreadable: int = 0) -> RuleResult:
    flags = np.asarray(right, dtype=np.bool_)
    return RuleResult(mean_score(flags), metric, flags, unreadable=unreadable)


def _number(text: str, unit: str | None) -> float | None:
    return read_count(text) if unit is None else read_measure(text, unit)


def _published_numbers(items: Sequence[Item], read_truth: Callable[[str], int]) -> RuleResult:
    said = [_int_or_none(item.prediction.text, int) for item in items]
    true = [_int_or_none(true_text(item.sample), read_truth) for item in items]
    right = [_published_range(a) == _published_range(b) is not None for a, b in zip(said, true, strict=True)]
    return _share(right, _PUBLISHED_RANGE_WORDS, unreadable=said.count(None))


def _int_or_none(text: str, read: Callable[[str], int]) -> int | None:
    try:
        return read(text)
    except ValueError:
        return None


def _published_range(number: int | None) -> int | None:
    return None if number is None or number < 0 else bisect_left(_PUBLISHED_RANGES, number)


def _published_box(text: str) -> Box | None:
    found = _BOX_LIKE.search(text)
    if found is None:
        return None
    try:
        x_min, y_min, x_max, y_max = (float(number) for number in _first_list(json.loads(found[0])))
    except (TypeError, ValueError, IndexError, OverflowError, RecursionError):
        return None
    return x_min, y_min, x_max, y_max


def _first_list(content: list[list[float]]) -> list[float]:
    first = content[0]
    if isinstance(first, str) or any(isinstance(number, str) for number in first):
        raise TypeError("text is no number")  # float() would read it, the official code divides it and fails
    return first


def _dior_iou(item: Item, box_1000: Box) -> float:
    """Return the IoU in pixels as the official code does, which does not mind corners in the wrong order."""
    box_px, image = _object_of(item)
    sides = (image.width_px, image.height_px, image.width_px, image.height_px)
    scaled = [min(max(number / 1000 * side, 0.0), side) for number, side in zip(box_1000, sides, strict=True)]
    return box_iou_plus_one((scaled[0], scaled[1], scaled[2], scaled[3]), box_px)


def _vrsbench_ious(items: Sequence[Item]) -> tuple[list[float], int]:
    said = [_vrsbench_box(item.prediction.text) for item in items]
    ious = [
        0.0 if box is None else box_iou_plus_one(_vrsbench_truth(item), box)
        for item, box in zip(items, said, strict=True)
    ]
    return ious, said.count(None)


def _vrsbench_box(text: str) -> Box | None:
    found = _FIRST_BOX.search(text)
    if found is None:
        return None
    x_min, y_min, x_max, y_max = (float(int(number) // _HUNDREDTHS) for number in found.groups())
    return x_min, y_min, x_max, y_max


def _vrsbench_truth(item: Item) -> Box:
    (x_min, y_min, x_max, y_max), image = _object_of(item)
    width_px, height_px = image.width_px, image.height_px
    hundredths = (x_min / width_px, y_min / height_px, x_max / width_px, y_max / height_px)
    x_min, y_min, x_max, y_max = (float(int(share * 100)) for share in hundredths)
    return x_min, y_min, x_max, y_max


def _object_of(item: Item) -> tuple[Box, Image]:
    """Return the box of the one object that is asked for, in pixels, and its image."""
    things = item.sample.answer_objects()
    if len(things) != 1 or things[0].box_px is None:
        raise wrong_answer(item.sample, f"its true answer must be one box, got {len(things)} objects")
    return things[0].box_px, item.sample.images[things[0].image]
