"""Draws the slices that :mod:`.generate` writes: simple anatomy with findings at known places.

Everything is drawn as the grey that a viewer should show, 0 (black) to 1 (white), on a square canvas. The
shapes are those that tell the planes apart: an axial head is a tall oval, a sagittal one has nose and neck, a
coronal one a wide jaw.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SIDE_PX = 96

Canvas = npt.NDArray[np.float64]

NODULE, CAVITY, DRAIN = "nodule", "cavity", "drain"
LABELS = (CAVITY, DRAIN, NODULE)

# A drain is radiopaque, a nodule a little denser than tissue, a cavity filled with air.
_DRAIN_GREY, _NODULE_GREY, _WALL_GREY, _AIR_GREY = 0.97, 0.68, 0.97, 0.04
_CAVITY_AIR_SHARE = 0.74
_FAT_GREY = 0.97  # of the scalp; being always there, it keeps a window by percentiles steady
_DRAIN_RADIUS_PX = 4.0
_NOISE = 0.02
_PLACING_TRIES = 60


@dataclass(frozen=True)
class DrawnFinding:
    """A finding and the box that it fills exactly.

    Attributes:
        label: Class name.
        box_px: (x_min, y_min, x_max, y_max), corners on pixel edges.
    """

    label: str
    box_px: tuple[int, int, int, int]


@dataclass(frozen=True)
class Look:
    """What the slices of one patient have in common.

    Attributes:
        anatomy: ``"chest-ct"``, ``"head-axial"``, ``"head-coronal"``, ``"head-sagittal"`` or ``"radiograph"``.
        tissue: Grey of soft tissue.
        scale: Size of the body relative to the common one.
        shift_px: Offset of the body in x and y.
    """

    anatomy: str
    tissue: float
    scale: float
    shift_px: tuple[float, float]


def random_look(rng: np.random.Generator, anatomy: str) -> Look:
    """Draw the look of one patient."""
    shift = rng.uniform(-2.0, 2.0, 2)
    return Look(anatomy, float(rng.uniform(0.30, 0.44)), float(rng.uniform(0.94, 1.03)), (shift[0], shift[1]))


def draw_slice(rng: np.random.Generator, look: Look) -> tuple[Canvas, list[DrawnFinding]]:
    """Draw one slice.

    Args:
        rng: Source of all chance.
        look: What is common to the patient.

    Returns:
        The canvas of shape (96, 96) and what is to be found on it.
    """
    canvas = _ANATOMY[look.anatomy](look)
    findings = _place(rng, look)
    for finding in findings:
        _draw_finding(canvas, finding, rising=bool(rng.random() < 0.5))
    canvas += rng.normal(0.0, _NOISE, canvas.shape)
    return np.clip(canvas, 0.0, 1.0), findings


@functools.cache
def _pixel_centers() -> tuple[Canvas, Canvas]:
    y, x = np.mgrid[0:SIDE_PX, 0:SIDE_PX] + 0.5
    return x, y


@dataclass(frozen=True)
class _Ellipse:
    x: float
    y: float
    rx: float
    ry: float

    def of(self, look: Look) -> _Ellipse:
        return _Ellipse(
            self.x + look.shift_px[0], self.y + look.shift_px[1], self.rx * look.scale, self.ry * look.scale
        )

    def distance(self) -> Canvas:
        """Return about how many pixels each pixel lies outside of the border; negative inside."""
        x, y = _pixel_centers()
        radius = np.sqrt(((x - self.x) / self.rx) ** 2 + ((y - self.y) / self.ry) ** 2)
        return np.asarray((radius - 1.0) * min(self.rx, self.ry))

    def holds(self, box_px: tuple[int, int, int, int]) -> bool:
        corners = [(x, y) for x in box_px[::2] for y in box_px[1::2]]
        return all(((x - self.x) / self.rx) ** 2 + ((y - self.y) / self.ry) ** 2 <= 1.0 for x, y in corners)


def _paint(canvas: Canvas, outside_px: Canvas, grey: float) -> None:
    """Fill where the distance is negative, with a soft edge of one pixel."""
    cover = np.clip(0.5 - outside_px, 0.0, 1.0)
    canvas += cover * (grey - canvas)


_REGIONS = {
    "chest-ct": _Ellipse(48, 48, 44, 37),
    "head-axial": _Ellipse(48, 48, 35, 44),
    "head-coronal": _Ellipse(48, 40, 36, 36),
    "head-sagittal": _Ellipse(50, 41, 42, 36),
    "radiograph": _Ellipse(48, 48, 50, 50),
}
"""Body or skull; findings lie inside."""


def _chest_ct(look: Look) -> Canvas:
    canvas = np.zeros((SIDE_PX, SIDE_PX))
    body = _REGIONS["chest-ct"].of(look)
    distance = body.distance()
    _paint(canvas, distance, look.tissue)
    x, y = _pixel_centers()
    angle = np.arctan2(y - body.y, x - body.x)
    ribs = np.where(np.sin(angle * 12.0) > -0.2, np.abs(distance + 4.0) - 1.2, 9.0)
    _paint(canvas, ribs, look.tissue + 0.24)
    _paint(canvas, _Ellipse(body.x, body.y + 28 * look.scale, 6, 5).distance(), look.tissue + 0.28)
    return canvas


def _head(look: Look, region: str, extra: Canvas | None = None) -> Canvas:
    """Draw brain and the bright ring of the scalp; ``extra`` is the distance to what hangs on the head."""
    canvas = np.zeros((SIDE_PX, SIDE_PX))
    skull = _REGIONS[region].of(look)
    distance = skull.distance()
    if extra is not None:
        _paint(canvas, extra, look.tissue - 0.1)
    _paint(canvas, distance, look.tissue)
    _paint(canvas, np.abs(distance + 2.0) - 1.3, _FAT_GREY)
    x, y = _pixel_centers()
    folds = 0.05 * np.sin(x / 2.7 + 1.5 * np.sin(y / 6.0)) * np.cos(y / 3.1)
    canvas += np.where(distance < -5.0, folds, 0.0)
    return canvas


def _box_distance(x_min: float, y_min: float, x_max: float, y_max: float, look: Look) -> Canvas:
    x, y = _pixel_centers()
    x, y = x - look.shift_px[0], y - look.shift_px[1]
    return np.maximum(np.maximum(x_min - x, x - x_max), np.maximum(y_min - y, y - y_max))


def _head_axial(look: Look) -> Canvas:
    canvas = _head(look, "head-axial")
    _paint(canvas, _box_distance(47.3, 12, 48.7, 84, look), look.tissue - 0.2)
    return canvas


def _head_coronal(look: Look) -> Canvas:
    jaw = _box_distance(20, 52, 76, 90, look)
    canvas = _head(look, "head-coronal", jaw)
    for x in (30, 66):
        _paint(canvas, _box_distance(x - 5, 78, x + 5, 90, look), look.tissue + 0.15)
    return canvas


def _head_sagittal(look: Look) -> Canvas:
    neck = _box_distance(58, 60, 84, 98, look)
    x, y = _pixel_centers()
    nose = np.maximum(np.abs(y - 58 - look.shift_px[1]) + (14 - x) * 0.9 - 9, x - 26)
    chin = _box_distance(16, 60, 44, 84, look)
    return _head(look, "head-sagittal", np.minimum(np.minimum(neck, chin), nose))


def _radiograph(look: Look) -> Canvas:
    canvas = np.full((SIDE_PX, SIDE_PX), look.tissue + 0.14)
    lungs = [_Ellipse(x, 44, 19, 35).of(look).distance() for x in (26, 70)]
    lung = np.minimum(lungs[0], lungs[1])
    _paint(canvas, lung, look.tissue - 0.16)
    for level in range(6):
        for x in (26, 70):
            rib = _Ellipse(x, 30 + 13 * level, 26, 14).of(look)
            above = np.where(_pixel_centers()[1] < rib.y, np.abs(rib.distance()) - 0.9, 9.0)
            _paint(canvas, np.maximum(above, lung), look.tissue + 0.02)
    return canvas


_ANATOMY = {
    "chest-ct": _chest_ct,
    "head-axial": _head_axial,
    "head-coronal": _head_coronal,
    "head-sagittal": _head_sagittal,
    "radiograph": _radiograph,
}


_PATTERNS = ((), (0,), (0, 0), (0, 1), (0, 0, 0), (0, 0, 1))
_PATTERN_WEIGHTS = (0.04, 0.36, 0.24, 0.08, 0.20, 0.08)
"""Which findings a slice has, by place in a random order of the classes: mostly of one class, as in a patient. Of
one class there are 0, 1, 2 or 3 in about 64, 19, 13 and 5 of 100 slices."""


def _draw_labels(rng: np.random.Generator) -> list[str]:
    """Choose the findings of a slice."""
    classes = rng.permutation(LABELS)
    pattern = _PATTERNS[int(rng.choice(len(_PATTERNS), p=_PATTERN_WEIGHTS))]
    return [str(classes[place]) for place in pattern]


def _place(rng: np.random.Generator, look: Look) -> list[DrawnFinding]:
    """Place findings without overlap; one for which no place is found in several tries is left out."""
    region = _REGIONS[look.anatomy].of(look)
    placed: list[DrawnFinding] = []
    for label in _draw_labels(rng):
        for attempt in range(_PLACING_TRIES):
            width, height = _draw_size(rng, label, small=attempt > _PLACING_TRIES // 3)
            x = int(rng.integers(2, SIDE_PX - 2 - width))
            y = int(rng.integers(2, SIDE_PX - 2 - height))
            box_px = (x, y, x + width, y + height)
            if region.holds(box_px) and all(_are_apart(box_px, other.box_px) for other in placed):
                placed.append(DrawnFinding(label, box_px))
                break
    return placed


def _draw_size(rng: np.random.Generator, label: str, *, small: bool) -> tuple[int, int]:
    if label == DRAIN:
        length, across = int(rng.integers(30, 33 if small else 39)), 18
        return (length, across) if rng.random() < 0.5 else (across, length)
    side = int(rng.integers(18, 21 if small else 32))
    return side, side


def _are_apart(one: tuple[int, int, int, int], other: tuple[int, int, int, int]) -> bool:
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def _draw_finding(canvas: Canvas, finding: DrawnFinding, *, rising: bool) -> None:
    x_min, y_min, x_max, y_max = finding.box_px
    if finding.label == DRAIN:
        inset = _DRAIN_RADIUS_PX
        start = np.array([x_min + inset, y_max - inset if rising else y_min + inset])
        end = np.array([x_max - inset, y_min + inset if rising else y_max - inset])
        _paint(canvas, _segment_distance(start, end) - inset, _DRAIN_GREY)
        return
    radius = (x_max - x_min) / 2
    distance = np.hypot(_pixel_centers()[0] - (x_min + x_max) / 2, _pixel_centers()[1] - (y_min + y_max) / 2)
    if finding.label == NODULE:
        _paint(canvas, distance - radius, _NODULE_GREY)
    else:
        _paint(canvas, distance - radius, _WALL_GREY)
        _paint(canvas, distance - _CAVITY_AIR_SHARE * radius, _AIR_GREY)


def _segment_distance(start: npt.NDArray[np.float64], end: npt.NDArray[np.float64]) -> Canvas:
    x, y = _pixel_centers()
    along = end - start
    share = np.clip(((x - start[0]) * along[0] + (y - start[1]) * along[1]) / float(along @ along), 0.0, 1.0)
    return np.asarray(np.hypot(x - start[0] - share * along[0], y - start[1] - share * along[1]))
