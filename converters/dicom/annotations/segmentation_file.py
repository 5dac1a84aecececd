"""Reads segmentations (PS3.3 A.51): their segments, where their frames lie, and what is on them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from pydicom import Dataset
from pydicom.encaps import generate_frames

from domainvl.errors import ItemError

from ...medical.geometry import Geometry
from ...medical.masks import Mask
from ..decode import panics_as_errors
from ..frames import check_frame_count, geometry_of
from ..headers import (
    FUNCTIONAL_GROUPS,
    PARSE_ERRORS,
    frame_count,
    frame_header,
    number_of,
    numbers_of,
    text_of,
    transfer_syntax,
    value_of,
)
from .codes import code_of, plain, side_of
from .places import PLACE_DIGITS, Grid, smallest_gap
from .references import items_at

_BACKGROUND = 0
"""What a pixel of a label map holds where no segment is."""

_MOVED = ("NO", "REORIENTED_ONLY")
"""SpatialLocationsPreserved of frames whose pixels are not those of their source (PS3.3 C.7.6.16.2.6)."""

_FRAME_TAGS = (
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "PixelSpacing",
    "SliceThickness",
    "SpacingBetweenSlices",
)


@dataclass(frozen=True)
class Segment:
    """What a segment is.

    Attributes:
        number: SegmentNumber.
        label: What its code means, or its label where it has no code.
        attributes: Side and region of the body.
    """

    number: int
    label: str
    attributes: dict[str, JsonValue]


@dataclass(frozen=True)
class Piece:
    """The part of a frame that is not background, packed: segmentations have many frames, most of them nearly empty.

    Attributes:
        top: First row.
        left: First column.
        rows: Number of rows.
        columns: Number of columns.
        bits: The mask, row by row, eight pixels a byte.
    """

    top: int
    left: int
    rows: int
    columns: int
    bits: npt.NDArray[np.uint8]

    @classmethod
    def of(cls, mask: Mask) -> Piece | None:
        """Cut a mask to what is on; None where nothing is."""
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not len(rows):
            return None
        cut = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        height, width = cut.shape
        return cls(int(rows[0]), int(columns[0]), height, width, np.packbits(cut, axis=None))

    def mask(self) -> Mask:
        """Return it unpacked, shape (rows, columns)."""
        flat = np.unpackbits(self.bits, count=self.rows * self.columns)
        return flat.reshape(self.rows, self.columns).astype(bool)


@dataclass(frozen=True)
class Frame:
    """Where one frame lies, and what it is about.

    Attributes:
        geometry: Its place in the patient.
        spacing_mm: Distance between rows (y) and between columns (x).
        thickness_mm: Distance to the next frame, or thickness, as the header has it.
        sources: The images, by UID and index of the frame, that it was made from pixel by pixel; None where the file
            does not say what it was made from.
        segment: Number of its segment; None in label maps.
    """

    geometry: Geometry | None
    spacing_mm: tuple[float, float] | None
    thickness_mm: float | None
    sources: frozenset[tuple[str, int | None]] | None
    segment: int | None


@dataclass(frozen=True)
class Planes:
    """Frames of equal orientation and spacing by their distance along the normal.

    Attributes:
        grid: The pixels of the first frame.
        offsets_mm: Distances from it, ascending.
        half_mm: Half of the spacing; None where the file does not tell it.
        frames: The frames at each distance.
        shifts_px: Column and row of the first frame's grid at which each frame starts: those of a tilted gantry move.
    """

    grid: Grid
    offsets_mm: tuple[float, ...]
    half_mm: float | None
    frames: tuple[tuple[int, ...], ...]
    shifts_px: tuple[tuple[float, float], ...]


@dataclass
class SegmentationFile:
    """A segmentation, read.

    Attributes:
        segments: What is segmented, by number.
        frames: Its frames.
        pieces: What is on each frame, by segment.
        rows: Rows of a frame.
        columns: Columns of a frame.
        frame_of_reference_uid: Its coordinate system, or empty.
        planes: Where its frames lie; None where they have no place or no common orientation.
        counts: What could not be used, by reason.
    """

    segments: dict[int, Segment]
    frames: list[Frame]
    pieces: list[dict[int, Piece]]
    rows: int
    columns: int
    frame_of_reference_uid: str
    planes: Planes | None
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def labels(self) -> tuple[str, ...]:
        """All classes, sorted."""
        return tuple(sorted({segment.label for segment in self.segments.values()}))

    def frames_of(self, sop_uid: str) -> frozenset[int]:
        """Return the frames of an image that it names as its sources; none where it names the image as a whole."""
        return self._named_frames.get(sop_uid, frozenset())

    @cached_property
    def _named_frames(self) -> dict[str, frozenset[int]]:
        found: defaultdict[str, set[int | None]] = defaultdict(set)
        for frame in self.frames:
            for uid, number in frame.sources or ():
                found[uid].add(number)
        return {
            uid: frozenset(number for number in numbers if number is not None)
            for uid, numbers in found.items()
            if None not in numbers
        }


def read_segmentation(dataset: Dataset, name: str) -> SegmentationFile:
    """Read a segmentation.

    Args:
        dataset: The whole file; it stays as it is.
        name: Names it in messages.

    Raises:
        ItemError: If it is of a whole slide, has no segments or cannot be decoded.
    """
    # Required of all that is tiled (PS3.3 C.7.6.17.1), and of nothing else.
    if number_of(dataset, "TotalPixelMatrixRows") is not None:
        raise ItemError(
            "Cannot use the segmentation",
            reason="whole-slide",
            where=name,
            rule="it segments tiles of a whole slide, and only slices of patients are supported",
            action="Cut slide and segmentation to images of a field first",
        )
    rows, columns = (int(number_of(dataset, keyword) or 0) for keyword in ("Rows", "Columns"))
    segments = _segments(dataset)
    if not segments or min(rows, columns) < 1:
        raise ItemError(
            "Cannot use the segmentation",
            reason="segmentation",
            where=name,
            rule=f"it needs described segments and pixels, got {len(segments)} segments of {columns}x{rows} px",
            action="Write it anew",
        )
    _check_size(dataset, name)
    frames = [_frame(dataset, index) for index in range(frame_count(dataset))]
    counts: Counter[str] = Counter()
    pieces = list(_pieces(dataset, frames, segments, counts, name))
    return SegmentationFile(
        segments, frames, pieces, rows, columns, text_of(dataset, "FrameOfReferenceUID"), _planes(frames), counts
    )  # fmt: skip


def _check_size(dataset: Dataset, name: str) -> None:
    """Check that there is space for all frames, before a list of them is made."""
    try:
        check_frame_count(dataset, len(value_of(dataset, "PixelData") or b""))
    except ItemError as error:
        raise ItemError(
            "Cannot use the segmentation", reason="segmentation", where=name, rule=error.rule, action=error.action
        ) from error


def _segments(dataset: Dataset) -> dict[int, Segment]:
    found = {}
    for item in items_at(dataset, "SegmentSequence"):
        number = int(number_of(item, "SegmentNumber") or 0)
        kind = code_of(item, "SegmentedPropertyTypeCodeSequence")
        # A label is typed by a person and may be anything; the code is what it stands for.
        label = kind.meaning if kind is not None else plain(text_of(item, "SegmentLabel"))
        if number > _BACKGROUND and label:
            found[number] = Segment(number, label, _attributes(item))
    return found


def _attributes(item: Dataset) -> dict[str, JsonValue]:
    attributes: dict[str, JsonValue] = {}
    region = code_of(item, "AnatomicRegionSequence")
    if region is not None:
        attributes["anatomic_region"] = region.meaning
    modifiers = [
        code_of(kind, keyword)
        for path, keyword in (
            ("SegmentedPropertyTypeCodeSequence", "SegmentedPropertyTypeModifierCodeSequence"),
            ("AnatomicRegionSequence", "AnatomicRegionModifierSequence"),
        )
        for kind in (*items_at(item, path), item)
    ]
    side = next((side for modifier in modifiers if (side := side_of(modifier))), None)
    if side is not None:
        attributes["laterality"] = side
    return attributes


def _frame(dataset: Dataset, index: int) -> Frame:
    header = frame_header(dataset, index, _FRAME_TAGS)
    spacing = numbers_of(header, "PixelSpacing")
    thickness = number_of(header, "SpacingBetweenSlices") or number_of(header, "SliceThickness")
    found = (_item(dataset, keyword, place) for keyword, place in zip(FUNCTIONAL_GROUPS, (0, index), strict=True))
    groups = [group for group in found if group is not None]
    named = [item for group in groups for item in items_at(group, "DerivationImageSequence", "SourceImageSequence")]
    sources = frozenset(
        (text_of(source, "ReferencedSOPInstanceUID"), None if number is None else int(number) - 1)
        for source in named
        if text_of(source, "SpatialLocationsPreserved") not in _MOVED
        for number in numbers_of(source, "ReferencedFrameNumber") or (None,)
    )
    numbers = [
        number for group in groups for item in items_at(group, "SegmentIdentificationSequence")
        if (number := number_of(item, "ReferencedSegmentNumber")) is not None
    ]  # fmt: skip
    return Frame(
        geometry=geometry_of(header),
        spacing_mm=(spacing[0], spacing[1]) if len(spacing) == 2 and min(spacing) > 0 else None,
        thickness_mm=abs(thickness) if thickness else None,
        sources=sources if named else None,
        segment=int(numbers[0]) if numbers else None,
    )


def _item(dataset: Dataset, keyword: str, place: int) -> Dataset | None:
    items = value_of(dataset, keyword) or ()
    return items[place] if place < len(items) else None


def _pieces(
    dataset: Dataset,
    frames: Sequence[Frame],
    segments: dict[int, Segment],
    counts: Counter[str],
    name: str,
) -> Iterator[dict[int, Piece]]:
    """Decode each frame once and keep what is not background, by segment."""
    kind = text_of(dataset, "SegmentationType")
    full = number_of(dataset, "MaximumFractionalValue") or 1.0
    for frame, stored in zip(frames, _stored(dataset, name), strict=True):
        if kind == "LABELMAP":
            numbers = np.flatnonzero(np.bincount(stored.ravel())).tolist()
            masks = {number: np.asarray(stored == number) for number in numbers if number != _BACKGROUND}
        else:
            only = next(iter(segments)) if len(segments) == 1 else _BACKGROUND
            masks = {only if frame.segment is None else frame.segment: _is_on(stored, kind, full)}
        counts["segment-undescribed"] += any(number not in segments for number in masks)
        found = {number: Piece.of(mask) for number, mask in masks.items() if number in segments}
        yield {number: piece for number, piece in found.items() if piece is not None}


def _stored(dataset: Dataset, name: str) -> Iterator[npt.NDArray[np.generic]]:
    """Decode frame by frame: unpacked, a segmentation may be much larger than the series it is of."""
    from highdicom.frame import decode_frame  # takes 0.2 s, and most stacks have no segmentation

    raw = _raw_frames(dataset)
    for index in range(frame_count(dataset)):
        try:
            # highdicom's Segmentation refuses files for faults that have nothing to do with pixels; this does not.
            with panics_as_errors():
                stored = decode_frame(
                    next(raw),
                    transfer_syntax_uid=str(transfer_syntax(dataset)),
                    rows=dataset.Rows,
                    columns=dataset.Columns,
                    samples_per_pixel=1,
                    bits_allocated=dataset.BitsAllocated,
                    bits_stored=dataset.BitsStored,
                    photometric_interpretation=dataset.PhotometricInterpretation,
                    pixel_representation=0,
                    index=index,
                )
        except (StopIteration, *PARSE_ERRORS) as error:
            # The text of the error may quote the file.
            raise ItemError(
                "Cannot use the segmentation",
                reason="segmentation",
                where=name,
                rule=f"all of its frames must be readable, and the reader raised {type(error).__name__}",
                action="Fetch the file again, or write it anew",
            ) from error
        yield stored


def _raw_frames(dataset: Dataset) -> Iterator[bytes]:
    """Return the bytes of each frame; frames of single bits may begin and end within a byte (PS3.5 8.1.1)."""
    syntax = transfer_syntax(dataset)
    if syntax is not None and syntax.is_encapsulated:
        yield from generate_frames(dataset.PixelData, number_of_frames=frame_count(dataset))
        return
    length = dataset.BitsAllocated * dataset.Rows * dataset.Columns
    for index in range(frame_count(dataset)):
        yield dataset.PixelData[index * length // 8 : ((index + 1) * length + 7) // 8]


def _is_on(stored: npt.NDArray[np.generic], kind: str, full: float) -> Mask:
    return np.asarray(stored.astype(np.float32) >= 0.5 * full) if kind == "FRACTIONAL" else np.asarray(stored != 0)


def _planes(frames: Sequence[Frame]) -> Planes | None:
    """Lay the frames along their common normal; None where one has no place or another orientation or spacing."""
    grids = [Grid.of(frame.geometry, frame.spacing_mm) for frame in frames if frame.geometry and frame.spacing_mm]
    if len(grids) < len(frames) or any(
        not np.allclose(grid.to_patient, grids[0].to_patient, atol=1e-4) for grid in grids
    ):
        return None
    starts = grids[0].to_pixels(np.stack([grid.origin_mm for grid in grids]))
    by_offset: defaultdict[float, list[int]] = defaultdict(list)
    for index, offset_mm in enumerate(starts[:, 2].tolist()):
        by_offset[round(offset_mm, PLACE_DIGITS)].append(index)
    offsets = sorted(by_offset)
    spacing = min(filter(None, (smallest_gap(offsets), frames[0].thickness_mm)), default=None)
    return Planes(
        grid=grids[0],
        offsets_mm=tuple(offsets),
        half_mm=None if spacing is None else spacing / 2,
        frames=tuple(tuple(by_offset[offset]) for offset in offsets),
        shifts_px=tuple((x_px, y_px) for x_px, y_px in starts[:, :2].tolist()),
    )
