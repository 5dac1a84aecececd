"""Text in pixels, found by optical character recognition (RapidOCR, Apache-2.0; its models come with it).

What a marker, a scale or a view says names no one: a find counts where it has three letters in a row that are no such
word (two of Chinese, Japanese or Korean), or four digits. It is a net with holes: handwriting, faint and tiny text
pass.
"""

from __future__ import annotations

import functools
import importlib.util
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import UsageError, install_hint
from domainvl.schema.boxes import Box

from ..instance import ImageFacts
from ..settings import PixelText

EXTRA = "ocr"
_MODULE = "rapidocr_onnxruntime"

MIN_CONFIDENCE = 0.6
"""Of the recogniser, 0 to 1. Below, what it reads in texture of bone and bowel outnumbers text."""

_MIN_LETTERS = 3
_MIN_DIGITS = 4

_SLICE_MODALITIES = ("CT", "MR", "PT")

# Side, view and posture as technologists mark them, and units: the words of PS3.16 CID 4010 and 4014 and their kind.
_MARKER_WORDS = frozenset(
    """
    LEFT RIGHT LAT LATERAL MED ANT POST SUP INF AXIAL SAGITTAL CORONAL ERECT UPRIGHT SUPINE PRONE SEMI PORTABLE PORT
    MOBILE DECUB DECUBITUS STANDING SITTING INSP EXP OBL OBLIQUE RCC LCC RMLO LMLO MLO RML LML RLM LLM RXCCL LXCCL XCCL
    LAO RAO LPO RPO WGT WEIGHT BEARING PRE POST HEAD FEET MAG ZOOM SCALE DEPTH GAIN FREQ FPS MHZ KVP MAS MSEC
    """.split()
)
_LETTERS = re.compile(rf"[^\W\d_]{{{_MIN_LETTERS},}}|[\u3040-\u9fff\uac00-\ud7af]{{2,}}")


@dataclass(frozen=True)
class FoundText:
    """Text in an image. The words themselves are not kept: they may be a name.

    Attributes:
        box_px: Where it is.
        confidence: Of the recogniser, 0 to 1.
    """

    box_px: Box
    confidence: float


def is_installed() -> bool:
    """Whether the extra that reads text is installed."""
    return importlib.util.find_spec(_MODULE) is not None


def check_installed(mode: PixelText) -> None:
    """Refuse to search all images without the extra.

    Raises:
        UsageError: If ``mode`` is ``all`` and the extra is not installed.
    """
    if mode == "all" and not is_installed():
        raise UsageError(
            "Cannot look for text in pixels",
            rule=f"--pixel-text all needs the extra {EXTRA}, which is not installed",
            action=install_hint(EXTRA),
        )


def is_searched(mode: PixelText, facts: ImageFacts, *, installed: bool) -> bool:
    """Whether an image is searched for text.

    Args:
        mode: ``off`` for none; ``all`` for every one; ``auto`` for those that are not primary slices: slices of CT, MR
            and PET in grey that ImageType calls PRIMARY, or says nothing about, are left out.
        facts: The image.
        installed: Whether the extra is; see :func:`is_installed`.
    """
    if mode == "off" or not installed:
        return False
    if mode == "all":
        return True
    primary = len(facts.image_type) < 2 or facts.image_type[1].upper() == "PRIMARY"
    slices = facts.modality.upper() in _SLICE_MODALITIES and facts.photometric.upper().startswith("MONOCHROME")
    return not (primary and slices)


def find_text(pixels: npt.NDArray[np.uint8], *, min_confidence: float = MIN_CONFIDENCE) -> list[FoundText]:
    """Find text that may name someone.

    Args:
        pixels: ``(rows, columns)``, or with three channels behind them.
        min_confidence: Less certain finds do not count.

    Returns:
        The finds from top to bottom.
    """
    colour = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    results, _ = _reader()(np.ascontiguousarray(colour))
    found = []
    for corners, words, confidence in results or ():
        if float(confidence) >= min_confidence and may_identify(words):
            xs, ys = [float(x) for x, _ in corners], [float(y) for _, y in corners]
            found.append(FoundText((min(xs), min(ys), max(xs), max(ys)), round(float(confidence), 3)))
    return sorted(found, key=lambda text: (text.box_px[1], text.box_px[0]))


def may_identify(words: str) -> bool:
    """Whether words found in an image may name someone: more than a marker of side or view, a scale or a unit."""
    if sum(sign.isdigit() for sign in words) >= _MIN_DIGITS:
        return True
    return any(word.upper() not in _MARKER_WORDS for word in _LETTERS.findall(words))


@functools.cache
def _reader() -> Any:
    """Load the models once a process; one thread, as processes run beside each other."""
    from rapidocr_onnxruntime import RapidOCR

    return RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)
