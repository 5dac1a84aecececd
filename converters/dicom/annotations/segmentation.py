"""Brings segmentations (PS3.3 A.51) to slices: through patient space, or by reference where there is none.

Frames are never matched by index. A pixel of a slice belongs to a segment where its centre lies in a pixel of the
segment's frame that is nearest along the normal, within half of the segmentation's spacing. Pixels and frames that were
not stored are background. Fractional segments (probability or occupancy) are cut at one half of the full value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from pydicom import Dataset

from domainvl.schema.writer import Severity

from ...medical.findings import Finding
from ...medical.masks import Mask, components_of, polygons_of
from ..instance import References
from .annotation import Annotation, Fault, rejects_of
from .places import LONE_HALF_MM, PLACE_DIGITS, Grid, Points, SlicePlace, grid_of, nearest_of, passed_over, stacks_of
from .references import references_of
from .segmentation_file import Piece, Planes, SegmentationFile, read_segmentation

_PARALLEL = 0.1
"""A slice is cut as one plane of the segmentation where its pixels differ by less than this share of half a spacing."""

_TIE_DIGITS = 6
"""Pixel coordinates are rounded to this before they are cut to whole ones, so that equal grids agree everywhere."""

_FAULTS = {
    "segment-undescribed": Fault(
        "{count} frames hold a segment that SegmentSequence does not describe",
        "Write the segmentation anew with a description of each segment",
    ),
    "segment-size": Fault(
        "{count} source images have another size than the segmentation, and there is no position to go by",
        "Segment the images in their own size",
    ),
    "segment-off-slices": Fault(
        "{count} frames with pixels lie on none of the slices that were given",
        "Add the images that were segmented; frames between slices, as a finer grid has them, are not needed",
        Severity.SKIPPED,
    ),
}  # fmt: skip


def load_segmentation(dataset: Dataset, places: Sequence[SlicePlace], *, name: str, components: bool) -> Annotation:
    """Bring a segmentation to slices.

    A slice counts as searched for all segments where the segmentation names its image, or where it lies between the
    first and the last frame: frames without pixels are often left out. Of phases and echoes that lie at one place it
    is about those that it names, see :func:`.places.passed_over`.

    A segment is all of its class on a slice, and may be several things: with ``components`` only are its parts counted.

    Args:
        dataset: The whole file.
        places: The slices.
        name: Names the segmentation, such as ``"seg-1"``.
        components: Take each connected region of a segment on a slice as a thing of its own.

    Raises:
        ItemError: If it is of a whole slide, has no segments or cannot be decoded.
    """
    read = read_segmentation(dataset, name)
    references = references_of(dataset)
    named = {index for index, place in enumerate(places) if _is_named(read, place, references)}
    left_out = passed_over(places, named, references)
    halves = {index: stack.half_mm for stack in stacks_of(places) for index in stack.indices}
    per_slice: list[list[Finding]] = []
    classes: list[tuple[str, ...] | None] = []
    used: set[int] = set()
    for index, place in enumerate(places):
        cut = _NOTHING if index in left_out else _show(read, place, references, halves.get(index))
        used |= cut.frames
        per_slice.append(list(_findings(read, cut.masks, name, f"{index + 1}" if components else None)))
        classes.append(read.labels if cut.whole else () if per_slice[-1] else None)
    read.counts["segment-off-slices"] = sum(
        bool(pieces) and number not in used for number, pieces in enumerate(read.pieces)
    )
    return Annotation.of(per_slice, classes, rejects=rejects_of(name, read.counts, _FAULTS))


def _is_named(read: SegmentationFile, place: SlicePlace, references: References) -> bool:
    """Whether the segmentation names a slice: its image, and of an image of which it names frames the frame."""
    frames = read.frames_of(place.sop_uid)
    return place.sop_uid in references.sop_uids and (not frames or place.frame in frames)


def _show(read: SegmentationFile, place: SlicePlace, references: References, half_mm: float | None) -> _Cut:
    named = place.sop_uid in references.sop_uids
    same_space = _in_same_space(read, place, named or place.series_uid in references.series_uids)
    grid = grid_of(place)
    if same_space and grid is not None and read.planes is not None:
        cut = _cut(read, read.planes, place, grid, half_mm)
        return replace(cut, whole=cut.whole or named)
    if named:
        return _by_reference(read, place, is_only=references.sop_uids == {place.sop_uid})
    return _NOTHING


def _in_same_space(read: SegmentationFile, place: SlicePlace, named: bool) -> bool:
    """Whether positions of both are in one coordinate system; a missing name is made up for by a reference."""
    mine, other = read.frame_of_reference_uid, place.frame_of_reference_uid
    return mine == other if mine and other else named


@dataclass(frozen=True)
class _Cut:
    """The segments as they show on one slice.

    Attributes:
        masks: Shape (rows, columns) of the slice, by segment.
        whole: Whether all of the slice was segmented.
        frames: Frames that were used.
    """

    masks: dict[int, Mask]
    whole: bool
    frames: frozenset[int]


_NOTHING = _Cut({}, False, frozenset())


def _cut(read: SegmentationFile, planes: Planes, place: SlicePlace, grid: Grid, half_mm: float | None) -> _Cut:
    """Cut the segments along a slice that has a place in the patient."""
    half = planes.half_mm or half_mm or LONE_HALF_MM
    corners = np.array([[x, y, 0.0] for x in (0.0, place.columns) for y in (0.0, place.rows)])
    heights = planes.grid.to_pixels(grid.from_pixels(corners))[:, 2]
    margin = half + 10.0**-PLACE_DIGITS
    whole = bool(planes.offsets_mm[0] - margin < heights.min() and heights.max() < planes.offsets_mm[-1] + margin)
    draw = _Drawing.of(planes, place, grid)
    if np.ptp(heights) > _PARALLEL * half:
        frames = draw.across(read, half)
    else:
        frames = draw.along(read, nearest_of(planes.offsets_mm, float(heights.mean()), half))
    return _Cut(draw.masks, whole, frozenset(frames))


@dataclass(frozen=True)
class _Drawing:
    """Draws pieces of frames into masks of one slice.

    Attributes:
        planes: The frames.
        shape: Rows and columns of the slice.
        start: Column, row and height (mm) in the segmentation of the slice's upper left corner.
        steps: What a step along the slice's x and y moves there, shape (2, 3).
        masks: What was drawn, by segment.
    """

    planes: Planes
    shape: tuple[int, int]
    start: Points
    steps: Points
    masks: dict[int, Mask] = field(default_factory=dict)

    @classmethod
    def of(cls, planes: Planes, place: SlicePlace, grid: Grid) -> _Drawing:
        basis = planes.grid.to_pixels(grid.from_pixels(np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])))
        return cls(planes, (place.rows, place.columns), basis[0], basis[1:] - basis[0])

    def along(self, read: SegmentationFile, plane: int | None) -> set[int]:
        """Draw one plane, which the slice is parallel to."""
        frames = set() if plane is None else set(self.planes.frames[plane])
        for frame in sorted(frames):
            for segment, piece in read.pieces[frame].items():
                rows, columns = self._window(piece, frame)
                if rows.start < rows.stop and columns.start < columns.stop:
                    self._draw(segment, piece, frame, rows, columns, None)
        return frames

    def across(self, read: SegmentationFile, half_mm: float) -> set[int]:
        """Draw what a slice cuts that passes through several planes."""
        everywhere = slice(0, self.shape[0]), slice(0, self.shape[1])
        heights = self._at(*everywhere)[..., 2]
        nearest = _nearest_planes(np.array(self.planes.offsets_mm), heights, half_mm)
        used: set[int] = set()
        for plane in np.unique(nearest[nearest >= 0]).tolist():
            used |= set(self.planes.frames[plane])
            for frame in self.planes.frames[plane]:
                for segment, piece in read.pieces[frame].items():
                    self._draw(segment, piece, frame, *everywhere, nearest == plane)
        return used

    def _at(self, rows: slice, columns: slice) -> Points:
        """Return where the centres of some pixels lie in the segmentation, shape (rows, columns, 3)."""
        x = np.arange(columns.start, columns.stop)[None, :, None] + 0.5
        y = np.arange(rows.start, rows.stop)[:, None, None] + 0.5
        return np.asarray(self.start + x * self.steps[0] + y * self.steps[1])

    def _window(self, piece: Piece, frame: int) -> tuple[slice, slice]:
        """Return the rows and columns of the slice around a piece, so that no more than these are looked at."""
        shift_x, shift_y = self.planes.shifts_px[frame]
        xs = shift_x + np.array([piece.left, piece.left + piece.columns])
        ys = shift_y + np.array([piece.top, piece.top + piece.rows])
        corners = np.array([[x, y] for x in xs for y in ys]) - self.start[:2]
        found = np.linalg.solve(self.steps[:, :2].T, corners.T)
        (x_min, y_min), (x_max, y_max) = np.floor(found.min(axis=1)) - 1, np.ceil(found.max(axis=1)) + 1
        rows, columns = self.shape
        return (
            slice(int(max(y_min, 0)), int(min(y_max, rows))),
            slice(int(max(x_min, 0)), int(min(x_max, columns))),
        )

    def _draw(self, segment: int, piece: Piece, frame: int, rows: slice, columns: slice, only: Mask | None) -> None:
        at = self._at(rows, columns)[..., :2] - self.planes.shifts_px[frame]
        pixel = np.floor(np.round(at, _TIE_DIGITS)).astype(np.int64) - (piece.left, piece.top)
        column, row = pixel[..., 0], pixel[..., 1]
        there = (column >= 0) & (column < piece.columns) & (row >= 0) & (row < piece.rows)
        there[there] = piece.mask()[row[there], column[there]]
        if only is not None:
            there &= only
        if there.any():
            self.masks.setdefault(segment, np.zeros(self.shape, dtype=bool))[rows, columns] |= there


def _nearest_planes(offsets_mm: Points, heights: Points, half_mm: float) -> npt.NDArray[np.int64]:
    """Return the plane of each pixel as :func:`.places.nearest_of` finds it, -1 where none is near."""
    after = np.searchsorted(offsets_mm, heights)
    low, high = np.clip(after - 1, 0, None), np.clip(after, None, len(offsets_mm) - 1)
    to_low, to_high = (np.round(heights - offsets_mm[index], PLACE_DIGITS) for index in (low, high))
    best = np.where(np.abs(to_low) <= np.abs(to_high), low, high)
    distance = np.where(best == low, to_low, to_high)
    return np.where((-half_mm < distance) & (distance <= half_mm), best, -1)


def _by_reference(read: SegmentationFile, place: SlicePlace, *, is_only: bool) -> _Cut:
    """Take the frames that were made from an image, pixel by pixel."""
    wanted = {(place.sop_uid, None), (place.sop_uid, place.frame)}
    if is_only and all(frame.sources is None for frame in read.frames):
        frames = list(range(len(read.frames)))
    else:
        frames = [number for number, frame in enumerate(read.frames) if wanted & (frame.sources or frozenset())]
    if (read.rows, read.columns) != (place.rows, place.columns):
        read.counts["segment-size"] += 1
        return _Cut({}, False, frozenset(frames))
    masks: dict[int, Mask] = {}
    for number in frames:
        for segment, piece in read.pieces[number].items():
            mask = masks.setdefault(segment, np.zeros((read.rows, read.columns), dtype=bool))
            mask[piece.top : piece.top + piece.rows, piece.left : piece.left + piece.columns] |= piece.mask()
    # Frames without pixels are often left out, but not those whose pixels were moved.
    is_told = bool(frames) or any(frame.sources for frame in read.frames)
    return _Cut(masks, is_told, frozenset(frames))


def _findings(read: SegmentationFile, masks: dict[int, Mask], name: str, place: str | None) -> Iterator[Finding]:
    """Make things of the segments on a slice; with a ``place``, one of each connected region."""
    for number in sorted(masks):
        segment = read.segments[number]
        whole = place is None
        regions = (polygons_of(masks[number]),) if whole else components_of(masks[number])
        for count, region in enumerate(regions, start=1):
            yield Finding(
                # A region is of one slice: whether one of the next slice is the same thing is not known.
                thing=f"{name}/{number}" if whole else f"{name}/{number}/{place}.{count}",
                label=segment.label,
                box_px=region.box_px,
                polygons_px=region.polygons_px,
                area_px=region.area_px,
                attributes=segment.attributes,
                is_one_thing=not whole,
            )
