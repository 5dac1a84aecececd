"""Reads what a NIfTI header says of the voxels: size, type, scale, and where they lie; none of its text.

The fields are those of ``nifti1.h`` (NIfTI-1.1, https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h) and of
``nifti2.h``. ANALYZE 7.5, which came before, has no orientation.
"""

from __future__ import annotations

import gzip
import io
import itertools
import logging
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import nibabel
import numpy as np
import numpy.typing as npt

from domainvl.errors import ItemError

from .files import NiftiFile

Affine = npt.NDArray[np.float64]
"""4x4, from voxel indices to mm: x to the patient's right in NIfTI's own (RAS) coordinates."""

READ_ERRORS = (OSError, EOFError, zlib.error)
"""What a damaged gzip file raises: gzip.BadGzipFile is an OSError."""

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
"""Tells zlib to read a header of RFC 1952 (zlib manual, ``inflateInit2``)."""

_PACKED_BYTES = 1 << 16
_HEADER_BYTES_MAX = 540
_NIFTI_2_SIZE = 540
_MAGIC_AT = slice(344, 347)
_SINGLE, _PAIR = b"n+1", b"ni1"
_UNIT_MM = {"meter": 1000.0, "mm": 1.0, "micron": 0.001}
_AFFINES_AGREE_VOXELS = 0.5
"""sform and qform that place a corner of the volume further apart than this share of a voxel are said to disagree."""

_SHEAR_COSINE_MAX = 1e-3


@dataclass(frozen=True, eq=False)
class VolumeHeader:
    """What a header says.

    Attributes:
        format: ``"NIfTI-1"``, ``"NIfTI-2"`` or ``"ANALYZE 7.5"``.
        shape: Voxels along the three axes in space.
        volume_count: Volumes of that size in the file: times, or channels.
        dtype: Type of stored values; one with fields for colours.
        offset: Bytes before the first voxel.
        slope: Factor from stored values to values; None where they are the same.
        intercept: What is added to them.
        affine_mm: From voxel indices to mm (RAS); None where the header does not say where voxels lie.
        spacing_mm: Distance of voxels along each axis; None where the header has none that can be used.
        has_unit: Whether the header says that distances are lengths.
        window: Lowest and highest value to be displayed (cal_min, cal_max); None where the header has none.
        warnings: What a careful reader should know.
    """

    format: str
    shape: tuple[int, int, int]
    volume_count: int
    dtype: np.dtype[Any]
    offset: int
    slope: float | None
    intercept: float
    affine_mm: Affine | None
    spacing_mm: tuple[float, float, float] | None
    has_unit: bool
    window: tuple[float, float] | None = None
    warnings: tuple[str, ...] = ()

    @property
    def is_colour(self) -> bool:
        """Whether voxels are RGB or RGBA."""
        return self.dtype.fields is not None

    @property
    def end(self) -> int:
        """Bytes up to the end of the last voxel."""
        return self.offset + math.prod(self.shape) * self.volume_count * self.dtype.itemsize

    @property
    def codes(self) -> str:
        """Where the three axes point, such as ``"RAS"``; ``"unknown"`` without an affine."""
        if self.affine_mm is None:
            return "unknown"
        codes: Any = nibabel.aff2axcodes(self.affine_mm)  # type: ignore[no-untyped-call]
        return "".join(map(str, codes))


def read_header(file: NiftiFile) -> VolumeHeader:
    """Read a header.

    Raises:
        ItemError: By ``header`` if it is none, ``pair-incomplete`` if the file with the voxels is missing,
            ``dimensions`` or ``data-type`` if it is of something else than volumes of grey or colour.
    """
    if not file.pixels.is_file():
        raise _unusable("pair-incomplete", "the .img file of a pair is missing", "Put it beside its .hdr file")
    try:
        head = _head(file.path)
    except READ_ERRORS as error:
        raise _unusable(
            "header", f"it could not be unpacked ({type(error).__name__})", "Fetch the file again; it may be damaged"
        ) from error
    try:
        name, header = _parse(head)
        return _read_fields(name, header)
    except (nibabel.spatialimages.HeaderDataError, ValueError, OverflowError) as error:
        raise _unusable(
            "header", f"it has no sound NIfTI header ({type(error).__name__})", "Fetch or write the file again"
        ) from error


def _head(path: Path) -> bytes:
    """Return the start of a file, unpacked; a packed one may be cut off behind it."""
    with path.open("rb") as file:
        start = file.read(_PACKED_BYTES)
    if not start.startswith(_GZIP_MAGIC):
        return start[:_HEADER_BYTES_MAX]
    return zlib.decompressobj(_GZIP_WINDOW).decompress(start, _HEADER_BYTES_MAX)


def open_unpacked(path: Path) -> BinaryIO:
    """Open a file for reading, through gzip if its content says so."""
    file = path.open("rb")
    packed = file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    file.seek(0)
    if not packed:
        return file
    file.close()
    return cast(BinaryIO, gzip.open(path, "rb"))


def is_packed(path: Path) -> bool:
    """Whether a file's content is that of a gzip file."""
    with path.open("rb") as file:
        return file.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC


def _parse(head: bytes) -> tuple[str, Any]:
    """Return the name of the format and its header. Extensions, which hold text, are not handed on."""
    kind: Any
    sizes = {int.from_bytes(head[:4], order) for order in ("little", "big")}
    if _NIFTI_2_SIZE in sizes:
        is_single = head[4:7] == b"n+2"
        kind = nibabel.nifti2.Nifti2Header if is_single else nibabel.nifti2.Nifti2PairHeader
        name, size = "NIfTI-2", _NIFTI_2_SIZE
    elif head[_MAGIC_AT] in (_SINGLE, _PAIR):
        is_single = head[_MAGIC_AT] == _SINGLE
        kind = nibabel.nifti1.Nifti1Header if is_single else nibabel.nifti1.Nifti1PairHeader
        name, size = "NIfTI-1", 348
    else:
        kind, name, size = nibabel.analyze.AnalyzeHeader, "ANALYZE 7.5", 348
    if size not in sizes or len(head) < size:
        raise nibabel.spatialimages.HeaderDataError("the header has not the size of one")
    header = kind.from_fileobj(io.BytesIO(head[:size]), check=False)
    # Mends what the standard lets readers mend, such as a qfac of 0, and raises at what is out of range.
    header.check_fix(logger=_silent_logger())
    return name, header


def _silent_logger() -> logging.Logger:
    logger = logging.Logger("nifti-header")
    logger.addHandler(logging.NullHandler())
    return logger


def _read_fields(name: str, header: Any) -> VolumeHeader:
    shape, count = _shape(header.get_data_shape())
    dtype = header.get_data_dtype()
    _check_type(dtype)
    slope, intercept = header.get_slope_inter()
    if (slope, intercept) == (1.0, 0.0):
        slope = None
    factor, unit_warning = _unit(header)
    spacing = _spacing(header, factor)
    affine, warnings = _affine(header, shape, factor)
    if affine is not None:
        x, y, z = (float(side) for side in np.linalg.norm(affine[:3, :3], axis=0))
        spacing = (x, y, z)
    return VolumeHeader(
        format=name,
        shape=shape,
        volume_count=count,
        dtype=dtype,
        offset=int(header.get_data_offset()),
        slope=None if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
        affine_mm=affine,
        spacing_mm=spacing,
        has_unit=unit_warning is None,
        window=_window(header),
        warnings=tuple(dict.fromkeys([*warnings, *([unit_warning] if unit_warning else [])])),
    )


def _shape(sizes: Sequence[int]) -> tuple[tuple[int, int, int], int]:
    """Return the size in space and the number of volumes: the fourth axis, or the only one after it."""
    sizes = [int(size) for size in sizes]
    more = [size for size in sizes[3:] if size != 1]
    if not 2 <= len(sizes) or any(size < 1 for size in sizes) or len(more) > 1:
        rule = f"it must have two or three axes in space and at most one other, got {' x '.join(map(str, sizes))}"
        raise _unusable("dimensions", rule, "Convert images and volumes; matrices and vector fields are none")
    x, y, z = (*sizes[:3], 1)[:3]
    if sorted(sizes[:3])[-2] < 2:
        rule = f"it must have several voxels along two axes, got {' x '.join(map(str, sizes))}"
        raise _unusable("dimensions", rule, "Convert images and volumes; tables of numbers are none")
    return (x, y, z), more[0] if more else 1


def _check_type(dtype: np.dtype[Any]) -> None:
    if dtype.fields is None and dtype.kind not in "iuf":
        raise _unusable(
            "data-type",
            f"its values must be integers, real numbers or RGB, got {dtype.name}",
            "Write the magnitude of complex values as a volume of its own",
        )


def _unit(header: Any) -> tuple[float, str | None]:
    """Return the factor to mm, and what to say where the header names no unit."""
    unit = header.get_xyzt_units()[0] if hasattr(header, "get_xyzt_units") else "unknown"
    if unit in _UNIT_MM:
        return _UNIT_MM[unit], None
    return 1.0, "the header names no unit of length: distances are taken as millimetres, and lengths are not asked for"


def _spacing(header: Any, factor: float) -> tuple[float, float, float] | None:
    sides = [abs(float(side)) * factor for side in header["pixdim"][1:4]]
    if not all(math.isfinite(side) and side > 0 for side in sides):
        return None
    return sides[0], sides[1], sides[2]


def _affine(header: Any, shape: tuple[int, int, int], factor: float) -> tuple[Affine | None, list[str]]:
    """Return the affine in mm, the sform before the qform as ``nifti1.h`` leaves open and nibabel does."""
    if not hasattr(header, "get_sform"):
        return None, ["the format does not say where voxels lie: slices are shown as they are stored"]
    forms = [_sound(header, name) for name in ("sform", "qform")]
    coded = [form for code, form in forms if code]
    sound = [form for form in coded if form is not None]
    warnings = []
    if len(sound) < len(coded):
        warnings.append("an affine of the header cannot be used: it is singular or holds no numbers")
    if not sound:
        warnings.append("the header does not say where voxels lie: slices are shown as they are stored")
        return None, warnings
    affine = sound[0].copy()
    affine[:3] *= factor
    if len(sound) > 1 and (apart := _apart(sound[0], sound[1], shape) * factor) > 0:
        warnings.append(f"sform and qform place the volume up to {apart:.3g} mm apart: the sform is used")
    columns = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    if max(abs(float(columns[:, a] @ columns[:, b])) for a, b in ((0, 1), (0, 2), (1, 2))) > _SHEAR_COSINE_MAX:
        warnings.append("the axes of the volume are not at right angles: pixels are shown as if they were")
    return affine, warnings


def _sound(header: Any, name: str) -> tuple[int, Affine | None]:
    """Return the code of an affine and the affine; None where it has no code or maps no volume to a volume."""
    code = int(header[f"{name}_code"])
    if code <= 0:
        return 0, None
    try:
        form = np.asarray(getattr(header, f"get_{name}")(), np.float64)
    except (ValueError, np.linalg.LinAlgError):
        return code, None
    if not np.isfinite(form).all() or np.linalg.matrix_rank(form[:3, :3]) < 3:
        return code, None
    return code, form


def _apart(one: Affine, other: Affine, shape: tuple[int, int, int]) -> float:
    """Return how far apart two affines place a corner at most; 0 where that is within tolerance."""
    corners = np.array([[*corner, 1.0] for corner in itertools.product(*((0.0, size - 1.0) for size in shape))])
    apart = float(np.linalg.norm((corners @ (one - other).T)[:, :3], axis=1).max())
    voxel = float(np.linalg.norm(one[:3, :3], axis=0).min())
    return apart if apart > _AFFINES_AGREE_VOXELS * voxel else 0.0


def _window(header: Any) -> tuple[float, float] | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _unusable(reason: str, rule: str, action: str) -> ItemError:
    return ItemError("Cannot read a NIfTI file", reason=reason, rule=rule, action=action)
