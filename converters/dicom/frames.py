"""Where each frame of a file lies and what tells it from others: classic, enhanced, NM, RT Dose, plain multi-frame.

Works on a header as it was read, before anything is copied, so that a file of thousands of frames costs little.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.pixels.utils import get_expected_length

from domainvl.errors import ItemError

from ..medical.geometry import Geometry, Vector
from .headers import (
    FUNCTIONAL_GROUPS,
    PARSE_ERRORS,
    frame_count,
    number_of,
    numbers_of,
    text_of,
    transfer_syntax,
    value_of,
)
from .instance import FrameFacts

GROUP = ("image-type", "echo", "b-value", "stack", "temporal-position", "acquisition", "trigger-time")
"""What the values of :attr:`FrameFacts.group` are, in their order."""

FRAMES_MAX = 100_000
"""More frames than any examination has: the header is damaged, and a list of them would fill memory."""

_FRAGMENT_BYTES = 8 + 2
"""The least that a compressed frame takes: one item of an even number of bytes after tag and length (PS3.5 A.4)."""

_FRAME_TYPE_MACROS = (
    "MRImageFrameTypeSequence",
    "CTImageFrameTypeSequence",
    "PETFrameTypeSequence",
    "XRay3DFrameTypeSequence",
    "ParametricMapFrameTypeSequence",
    "IntravascularOCTFrameTypeSequence",
)

_NM_STACKED = frozenset({"RECON TOMO", "RECON GATED TOMO"})
"""Third values of ImageType of NM images whose frames are slices (PS3.3 C.8.4.9.1.1.3); of others they are views."""


def geometry_of(header: Dataset) -> Geometry | None:
    """Read position and orientation; None where they are absent or make no plane."""
    return _geometry(numbers_of(header, "ImagePositionPatient"), numbers_of(header, "ImageOrientationPatient"))


def check_frame_count(dataset: Dataset, size_bytes: int) -> None:
    """Compare the number of frames that a header claims with the space that there is for them.

    Args:
        dataset: A header with rows, columns and so on.
        size_bytes: Size of what holds the pixels: the file, unpacked where it is deflated, or the pixel data alone.

    Raises:
        ItemError: By ``frame-count`` if so many frames do not fit into it, or no image has so many.
    """
    count = frame_count(dataset)
    if count > FRAMES_MAX:
        raise _frame_count_wrong(f"up to {FRAMES_MAX:,} frames are read, and NumberOfFrames is {count:,}")
    if count == 1:
        return  # one that is cut off is found, and said to be so, when it is decoded
    needed_bytes = _least_bytes(dataset, count)
    if needed_bytes > size_bytes:
        raise _frame_count_wrong(
            f"NumberOfFrames is {count:,}, which takes {needed_bytes:,} bytes or more; {size_bytes:,} are there"
        )


def _least_bytes(dataset: Dataset, count: int) -> int:
    """Return how much the pixels of so many frames take at least; 0 where the header does not say."""
    syntax = transfer_syntax(dataset)
    try:
        if syntax is not None and syntax.is_encapsulated:
            return count * _FRAGMENT_BYTES
        return int(get_expected_length(dataset))
    except PARSE_ERRORS:
        return 0  # decoding needs what is missing, and says so


def _frame_count_wrong(rule: str) -> ItemError:
    return ItemError(
        "Cannot read a multi-frame image",
        reason="frame-count",
        rule=rule,
        action="Fetch the file again; it may be damaged or cut off",
    )


def frames_of(dataset: Dataset) -> tuple[FrameFacts, ...]:
    """Read where each frame lies and what tells it from others.

    Args:
        dataset: The header of an image, single-frame or multi-frame, whose number of frames is checked.

    Returns:
        One entry a frame, in the order of the pixels.
    """
    count = frame_count(dataset)
    if any(value_of(dataset, keyword) for keyword in FUNCTIONAL_GROUPS):
        return tuple(_enhanced(dataset, count))
    if count == 1:
        return (
            FrameFacts(_nm_geometry(dataset) or geometry_of(dataset), _classic_group(dataset), _classic_order(dataset)),
        )
    return tuple(_plain(dataset, count))


def frame_time_ms(header: Dataset) -> float | None:
    """Return the time between frames of a cine in ms; None where the header gives none.

    FrameTime comes first, then the mean of FrameTimeVector, whose first value is 0 (PS3.3 C.7.6.5), then the rates for
    display.
    """
    time = number_of(header, "FrameTime")
    if time is not None and time > 0:
        return time
    vector = numbers_of(header, "FrameTimeVector")[1:]
    if vector and sum(vector) > 0:
        return sum(vector) / len(vector)
    for keyword in ("RecommendedDisplayFrameRate", "CineRate"):
        rate = number_of(header, keyword)
        if rate is not None and rate > 0:
            return 1000.0 / rate
    return None


def _geometry(position: Sequence[float], cosines: Sequence[float]) -> Geometry | None:
    if len(position) != 3 or len(cosines) != 6:
        return None
    geometry = Geometry(
        (position[0], position[1], position[2]),
        (cosines[0], cosines[1], cosines[2]),
        (cosines[3], cosines[4], cosines[5]),
    )
    return geometry if geometry.is_plane() else None


def _number_text(dataset: Dataset, keyword: str) -> str:
    number = number_of(dataset, keyword)
    return "" if number is None else f"{number:g}"


def _numbers_text(dataset: Dataset, keyword: str) -> str:
    return "\\".join(f"{number:g}" for number in numbers_of(dataset, keyword))


def _type_text(dataset: Dataset, keyword: str) -> str:
    """Return ImageType or FrameType as one text; files of one value hold it without a list."""
    value = value_of(dataset, keyword)
    values = [value] if isinstance(value, str) else (value or ())
    return "\\".join(str(term).strip() for term in values)


def _classic_group(header: Dataset) -> tuple[str, ...]:
    b_value = _number_text(header, "DiffusionBValue")
    return (
        _type_text(header, "ImageType"),
        # Without a number, the time tells echoes apart.
        _numbers_text(header, "EchoNumbers") or _number_text(header, "EchoTime"),
        " ".join(filter(None, (b_value, _numbers_text(header, "DiffusionGradientOrientation")))),
        "",
        _number_text(header, "TemporalPositionIdentifier"),
        _number_text(header, "AcquisitionNumber"),
        _number_text(header, "TriggerTime"),
    )


def _classic_order(header: Dataset) -> tuple[float, ...]:
    times = [number_of(header, keyword) for keyword in ("TemporalPositionIdentifier", "TriggerTime")]
    return tuple(time for time in times if time is not None)


# Enhanced multi-frame: functional groups (PS3.3 C.7.6.16).


@dataclass(frozen=True)
class _Groups:
    """What one item of functional groups says; None and empty text where it says nothing."""

    position: tuple[float, ...] | None = None
    cosines: tuple[float, ...] | None = None
    frame_type: str = ""
    echo: str = ""
    b_value: str = ""
    stack: str = ""
    temporal: str = ""
    acquisition: str = ""
    trigger: str = ""
    dimensions: tuple[float, ...] = ()


def _macro(item: Dataset, keyword: str) -> Dataset | None:
    value = value_of(item, keyword) if keyword in item else None
    return value[0] if value else None


def _items(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    return value_of(dataset, keyword) or ()


def _read_groups(item: Dataset) -> _Groups:
    """Read what one item of functional groups says of position, orientation, type, echo, diffusion and time."""
    position, orientation = _macro(item, "PlanePositionSequence"), _macro(item, "PlaneOrientationSequence")
    echo, content = _macro(item, "MREchoSequence"), _macro(item, "FrameContentSequence")
    cardiac = _macro(item, "CardiacSynchronizationSequence")
    types = (_macro(item, keyword) for keyword in _FRAME_TYPE_MACROS)
    frame_type = next((found for found in types if found is not None), None)
    return _Groups(
        position=None if position is None else numbers_of(position, "ImagePositionPatient"),
        cosines=None if orientation is None else numbers_of(orientation, "ImageOrientationPatient"),
        frame_type="" if frame_type is None else _type_text(frame_type, "FrameType"),
        echo="" if echo is None else _number_text(echo, "EffectiveEchoTime"),
        b_value=_b_value(item),
        stack="" if content is None else text_of(content, "StackID"),
        temporal="" if content is None else _number_text(content, "TemporalPositionIndex"),
        acquisition="" if content is None else _number_text(content, "FrameAcquisitionNumber"),
        trigger="" if cardiac is None else _number_text(cardiac, "NominalCardiacTriggerDelayTime"),
        dimensions=() if content is None else numbers_of(content, "DimensionIndexValues"),
    )


def _b_value(item: Dataset) -> str:
    """Return the b-value and, with a gradient, its direction: volumes of one b-value differ in it."""
    diffusion = _macro(item, "MRDiffusionSequence")
    if diffusion is None:
        return ""
    b_value = _number_text(diffusion, "DiffusionBValue")
    gradient = _macro(diffusion, "DiffusionGradientDirectionSequence")
    direction = "" if gradient is None else _numbers_text(gradient, "DiffusionGradientOrientation")
    return " ".join(filter(None, (b_value or text_of(diffusion, "DiffusionDirectionality"), direction)))


def _enhanced(dataset: Dataset, count: int) -> Iterator[FrameFacts]:
    shared_items, items = (_items(dataset, keyword) for keyword in FUNCTIONAL_GROUPS)
    shared = _read_groups(shared_items[0]) if shared_items else _Groups()
    image_type = _type_text(dataset, "ImageType")
    geometries: dict[tuple[tuple[float, ...], tuple[float, ...]], Geometry | None] = {}
    for frame in range(count):
        own = _read_groups(items[frame]) if frame < len(items) else _Groups()
        place = (own.position or shared.position or (), own.cosines or shared.cosines or ())
        if place not in geometries:
            geometries[place] = _geometry(place[0], place[1])
        group = (
            own.frame_type or shared.frame_type or image_type,
            own.echo or shared.echo,
            own.b_value or shared.b_value,
            own.stack or shared.stack,
            own.temporal or shared.temporal,
            own.acquisition or shared.acquisition,
            own.trigger or shared.trigger,
        )
        yield FrameFacts(geometries[place], group, own.dimensions)


# Multi-frame without functional groups.


def _plain(dataset: Dataset, count: int) -> Iterator[FrameFacts]:
    group = _classic_group(dataset)
    offsets = numbers_of(dataset, "GridFrameOffsetVector")
    if len(offsets) == count:
        return _dose(dataset, offsets, group)
    nm = _nm_geometry(dataset)
    if nm is not None:
        return _nm(dataset, nm, count, group)
    # A single position cannot be that of all frames, unless they follow each other in time, as in a cine of one slice.
    is_cine = frame_time_ms(dataset) is not None
    geometry = geometry_of(dataset) if is_cine else None
    return (FrameFacts(geometry, group, (float(frame),)) for frame in range(count))


def _shifted(geometry: Geometry, along_mm: float) -> Geometry:
    x, y, z = geometry.position_mm
    a, b, c = geometry.normal()
    return Geometry((x + along_mm * a, y + along_mm * b, z + along_mm * c), geometry.row, geometry.column)


def _dose(dataset: Dataset, offsets: Sequence[float], group: tuple[str, ...]) -> Iterator[FrameFacts]:
    """Place the planes of an RT Dose (PS3.3 C.8.8.3.2).

    Offsets that begin with 0 count from the first plane along the normal; others are z coordinates in the patient,
    which the standard allows for transverse planes only.
    """
    first = geometry_of(dataset)
    relative = offsets[0] == 0
    for frame, offset in enumerate(offsets):
        geometry = None
        if first is not None and relative:
            geometry = _shifted(first, offset)
        elif first is not None and abs(first.normal()[2]) > 1 - 1e-3:
            position: Vector = (first.position_mm[0], first.position_mm[1], offset)
            geometry = Geometry(position, first.row, first.column)
        yield FrameFacts(geometry, group, (float(frame),))


def _nm_geometry(dataset: Dataset) -> Geometry | None:
    """Return where the first slice of a reconstructed NM image lies (PS3.3 C.8.4.11), None for other images."""
    image_type = _type_text(dataset, "ImageType").split("\\")
    if len(image_type) < 3 or image_type[2] not in _NM_STACKED:
        return None
    detector = _macro(dataset, "DetectorInformationSequence")
    return (None if detector is None else geometry_of(detector)) or geometry_of(dataset)


def _nm(dataset: Dataset, first: Geometry, count: int, group: tuple[str, ...]) -> Iterator[FrameFacts]:
    """Place the slices of a reconstructed NM image (PS3.3 C.8.4.15).

    SpacingBetweenSlices is signed: where it is negative, slices follow each other against the normal. SliceVector says
    which slice each frame is of; TimeSlotVector tells the phases of a gated image apart.
    """
    spacing_mm = number_of(dataset, "SpacingBetweenSlices")
    slices = numbers_of(dataset, "SliceVector")
    slots = numbers_of(dataset, "TimeSlotVector")
    numbers = [number - 1 for number in slices] if len(slices) == count else [float(frame) for frame in range(count)]
    for frame, number in enumerate(numbers):
        geometry = _shifted(first, number * spacing_mm) if spacing_mm else None
        own = _with_slot(group, slots[frame]) if len(slots) == count else group
        yield FrameFacts(geometry, own, (float(frame),))


def _with_slot(group: tuple[str, ...], slot: float) -> tuple[str, ...]:
    place = GROUP.index("temporal-position")
    return (*group[:place], f"{slot:g}", *group[place + 1 :])


def group_value(facts: FrameFacts, name: str) -> str:
    """Return one value of :attr:`FrameFacts.group`, empty where it is not given."""
    values = itertools.chain(facts.group, itertools.repeat("", len(GROUP)))
    return next(itertools.islice(values, GROUP.index(name), None))
