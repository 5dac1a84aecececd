"""Brings a mask to the slices of a volume: by the voxels themselves where grids agree, else through patient space.

A pixel of a slice belongs to the voxel of the mask that its centre lies in (nearest neighbour).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError
from domainvl.schema.writer import Reject, Severity

from ..medical.findings import Finding, SliceTruth
from ..medical.masks import components_of, polygons_of
from .cutting import Cut
from .header import Affine, VolumeHeader, read_header
from .units import MaskRef
from .voxels import Voxels, open_voxels

_SAME_GRID_VOXELS = 0.05
"""Affines that place corners of equal grids nearer than this share of a voxel differ by rounding."""

_TIE_DIGITS = 6
"""Voxel coordinates are rounded to this before they are cut to whole ones, so that equal grids agree everywhere."""

_WHOLE_TOLERANCE = 1e-3
"""Labels that were stored as scaled numbers come back as nearly whole ones."""

_VALUES_MAX = 4096
"""A mask with more different values than this is an image."""

_HALF = 0.5

Labels = npt.NDArray[np.int64]


@dataclass
class MaskTruth:
    """What a mask says of the slices of a volume.

    Attributes:
        truths: What is known of each slice; None where the mask says nothing.
        rejects: What of it cannot be used.
        warnings: What a careful reader of the samples should know.
    """

    truths: list[SliceTruth | None]
    rejects: list[Reject] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def load_mask(
    ref: MaskRef,
    header: VolumeHeader,
    cut: Cut,
    volume: int,
    *,
    source: str,
    components: bool,
    unpack_limit_bytes: int,
) -> MaskTruth:
    """Bring a mask to the slices of a volume.

    A slice counts as searched for all classes that have a name where all of it lies in the mask.

    Args:
        ref: The mask.
        header: Header of the volume.
        cut: How the volume is cut.
        volume: Which volume of its file.
        source: Pseudonymous name of the volume's file, for rejects.
        components: Take each connected region of a class on a slice as a thing of its own.
        unpack_limit_bytes: As :func:`.voxels.open_voxels` has it.

    Raises:
        ItemError: If it cannot be read, ``mask-values`` if its values are no labels, ``mask-grid`` if it cannot be
            told where it lies on the volume, ``mask-off-volume`` if it lies beside it.
    """
    read = read_header(ref.file)
    volume_of_mask = _volume_of(read, header, volume)
    names = dict(ref.names)
    result = MaskTruth([])
    with open_voxels(ref.file, read, unpack_limit_bytes=unpack_limit_bytes) as voxels:
        values = _scan(voxels, volume_of_mask)
        grid = _Grid.of(header, read)
        result.warnings += [f"{ref.name}: {text}" for text in (*values.warnings, *grid.warnings)]
        if reject := _unnamed(ref, values, names, source):
            result.rejects.append(reject)
        touched = False
        for number, index in enumerate(cut.order, start=1):
            labels, inside = _labels_of(voxels, grid, values, cut, index, volume_of_mask)
            touched |= bool(inside.any())
            findings = tuple(_findings(labels, names, ref.name, f"{number}" if components else None))
            result.truths.append(_truth(findings, names, whole=bool(inside.all())))
    if not touched:
        raise _unusable(
            "mask-off-volume",
            "it lies nowhere on the volume",
            "Check that it belongs to the volume, and that both were saved with their affines",
        )
    return result


def _truth(findings: tuple[Finding, ...], names: Mapping[int, str], *, whole: bool) -> SliceTruth | None:
    if whole and names:
        return SliceTruth(findings, tuple(sorted(set(names.values()))))
    return SliceTruth(findings) if findings else None


def _volume_of(mask: VolumeHeader, header: VolumeHeader, volume: int) -> int:
    if mask.is_colour:
        raise _unusable("mask-values", "it is in colour, and a mask holds labels", "Save it as whole numbers")
    if mask.volume_count == 1:
        return 0
    if mask.volume_count == header.volume_count:
        return volume
    raise _unusable(
        "mask-dimensions",
        f"it has {mask.volume_count} volumes, and its volume has {header.volume_count}",
        "Save one volume, with a value for each class",
    )


@dataclass(frozen=True)
class _Values:
    """What values a mask has.

    Attributes:
        labels: The whole numbers other than 0.
        is_probability: Whether it is cut at one half instead.
        warnings: What was done to its values.
    """

    labels: tuple[int, ...]
    is_probability: bool
    warnings: tuple[str, ...]


def _scan(voxels: Voxels, volume: int) -> _Values:
    """Look at all values of a mask."""
    found: set[float] = set()
    has_nan, is_whole = False, True
    low, high = 0.0, 0.0
    for index in range(voxels.header.shape[2]):
        block = voxels.block(index, volume)
        values = voxels.scaled(np.unique(block[block != 0] if voxels.header.intercept == 0 else block))
        finite = values[np.isfinite(values)]
        has_nan |= finite.size < values.size
        if not finite.size:
            continue
        low, high = min(low, float(finite.min())), max(high, float(finite.max()))
        is_whole &= bool((np.abs(finite - np.rint(finite)) <= _WHOLE_TOLERANCE).all())
        if is_whole:
            found.update(np.rint(finite).tolist())
        if is_whole and len(found) > _VALUES_MAX:
            break
    warnings = ["it has voxels that are no number: they are taken as background"] if has_nan else []
    if is_whole and len(found) <= _VALUES_MAX:
        return _Values(tuple(sorted(int(value) for value in found - {0.0})), False, tuple(warnings))
    if not is_whole and 0 <= low and high <= 1:
        warnings.append("it is a map of probabilities: voxels of at least one half are taken as 1")
        return _Values((1,), True, tuple(warnings))
    rule = f"its values must be at most {_VALUES_MAX} whole numbers, or lie between 0 and 1"
    raise _unusable("mask-values", f"{rule}, got {'more' if is_whole else 'fractions'} from {low:g} to {high:g}", (
        "Save it as whole numbers, one a class; resample masks with nearest neighbour"
    ))  # fmt: skip


@dataclass(frozen=True)
class _Grid:
    """How voxels of a volume lie among those of its mask.

    Attributes:
        shape: Voxels of the mask along its axes.
        affine: From voxel indices of the volume to those of the mask, 4x4; None where they are the same.
        warnings: What was taken for granted.
    """

    shape: tuple[int, int, int]
    affine: Affine | None
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, volume: VolumeHeader, mask: VolumeHeader) -> _Grid:
        if volume.affine_mm is None or mask.affine_mm is None:
            if volume.shape != mask.shape:
                raise _unusable(
                    "mask-grid",
                    f"it has {_size(mask)} voxels and its volume {_size(volume)}, and not both say where they lie",
                    "Save both with their affines, or on one grid",
                )
            warning = "it or its volume does not say where voxels lie: they are taken as one grid"
            return cls(mask.shape, None, (warning,))
        affine = np.linalg.inv(mask.affine_mm) @ volume.affine_mm
        if volume.shape == mask.shape:
            ends = itertools.product(*((0.0, size - 1.0) for size in volume.shape))
            corners = np.array([[*corner, 1.0] for corner in ends])
            if np.abs(corners @ affine.T - corners).max() < _SAME_GRID_VOXELS:
                return cls(mask.shape, None)
        return cls(mask.shape, affine)


def _labels_of(
    voxels: Voxels, grid: _Grid, values: _Values, cut: Cut, index: int, volume: int
) -> tuple[Labels, npt.NDArray[np.bool_]]:
    """Return the labels of a slice, and which of its pixels lie in the mask, both of shape (rows, columns)."""
    if grid.affine is None:
        labels = _whole(voxels.scaled(voxels.slice(cut, index, volume)), values)
        return labels, np.ones(labels.shape, bool)
    steps = grid.affine[:3, :3]
    start = grid.affine[:3, 3] + steps[:, cut.axis] * index
    x = np.arange(cut.columns)[None, :, None] * steps[:, cut.x_axis]
    y = np.arange(cut.rows)[:, None, None] * steps[:, cut.y_axis]
    at = np.floor(np.round(start + x + y, _TIE_DIGITS) + 0.5).astype(np.int64)
    inside = np.asarray(((at >= 0) & (at < grid.shape)).all(axis=-1), bool)
    labels = np.zeros((cut.rows, cut.columns), np.int64)
    labels[inside] = _whole(voxels.scaled(voxels.at(at[inside], volume)), values)
    return labels, inside


def _whole(values: npt.NDArray[np.float64], kinds: _Values) -> Labels:
    known = np.where(np.isfinite(values), values, 0.0)
    return (known >= _HALF).astype(np.int64) if kinds.is_probability else np.rint(known).astype(np.int64)


def _findings(labels: Labels, names: Mapping[int, str], name: str, place: str | None) -> Iterator[Finding]:
    """Make things of the classes on a slice; with a ``place``, one of each connected region."""
    for value in np.unique(labels[labels != 0]).tolist():
        if value not in names:
            continue
        region = labels == value
        whole = place is None
        parts = (polygons_of(region),) if whole else components_of(region)
        for count, part in enumerate(parts, start=1):
            yield Finding(
                # A region is of one slice: whether one of the next slice is the same thing is not known.
                thing=f"{name}/{value}" if whole else f"{name}/{value}/{place}.{count}",
                label=names[value],
                box_px=part.box_px,
                polygons_px=part.polygons_px,
                area_px=part.area_px,
                is_one_thing=not whole,
            )


def _unnamed(ref: MaskRef, values: _Values, names: Mapping[int, str], source: str) -> Reject | None:
    """List the values that have no name, by number; they are not asked about."""
    missing = [value for value in values.labels if value not in names]
    if not missing:
        return None
    listed = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
    return Reject(
        f"{source} {ref.name}",
        "label",
        "mask-value-unnamed",
        f"{len(missing)} of its {len(values.labels)} values have no name: {listed}",
        "Name them with --class-names; until then they are not asked about",
        Severity.SKIPPED,
    )


def _size(header: VolumeHeader) -> str:
    return "x".join(map(str, header.shape))


def _unusable(reason: str, rule: str, action: str) -> ItemError:
    return ItemError("Cannot use a mask", reason=reason, rule=rule, action=action)
