"""From the bytes of a file to stored values: which decoder takes which transfer syntax, and what can go wrong.

The decoder is chosen here and never left to the order in which plugins are installed, so that the pixels are the same
on each machine. Lossless JPEG needs the extra ``gdcm``: its other decoder, pylibjpeg-libjpeg, is under GPL.
"""

from __future__ import annotations

import contextlib
import math
import struct
import warnings
from collections.abc import Iterator
from typing import Any

import numpy.typing as npt
from pydicom import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    MPEGTransferSyntaxes,
    RLELossless,
)

from domainvl.errors import ItemError, install_hint

from .headers import PARSE_ERRORS, frame_count, number_of, standard_name, text_of, transfer_syntax, value_of

_PLUGINS = {
    ImplicitVRLittleEndian: "",
    ExplicitVRLittleEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    RLELossless: "pylibjpeg",
    JPEGBaseline8Bit: "pillow",
    JPEGExtended12Bit: "pillow",
    JPEGLossless: "gdcm",
    JPEGLosslessSV1: "gdcm",
    JPEGLSLossless: "pyjpegls",
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    JPEG2000: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    HTJ2K: "pylibjpeg",
}
"""pydicom's plugin for each transfer syntax of PS3.5 A; an empty name is pydicom itself."""

_PANICS_FROM = "pyo3_runtime"

_PIXEL_KEYWORDS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
_END_OF_IMAGE = b"\xff\xd9"
"""EOI of JPEG (ITU-T T.81 B.1.1.3) and JPEG-LS (T.87 C.1.1), EOC of JPEG 2000 (T.800 A.4.4)."""
_FRAME_BYTES_MAX = 1 << 29
"""A compressed frame may claim to be of any size; the largest radiographs have a tenth of this."""

_JPEG_2000_START = b"\xff\x4f\xff\x51"
_JPEG_2000_SIZES_AT = 8
"""SOC and SIZ, and where in them Xsiz, Ysiz, XOsiz and YOsiz stand (ITU-T T.800 A.4.1, A.5.1)."""

_RUN_RATIO = 64
"""The most that RLE packs: 128 bytes into 2 (PS3.5 G.3.1)."""
_PADDING_BYTES = 64
"""A fragment is padded to even length (PS3.5 A.4); some writers pad to a larger multiple."""


def decoder_status(transfer_syntax_uid: str, bits: int | None = None) -> str | None:
    """Say why a transfer syntax cannot be decoded here.

    Args:
        transfer_syntax_uid: The UID; empty where the file names none.
        bits: BitsStored, where it is known.

    Returns:
        None where it can; else the reason with what to do, without a full stop.
    """
    problem = _problem(UID(transfer_syntax_uid), bits)
    return None if problem is None else f"{problem[0]}: {problem[1][0].lower()}{problem[1][1:]}"


def _problem(syntax: UID, bits: int | None) -> tuple[str, str] | None:
    """Return the rule that keeps from decoding and the way out."""
    if not syntax:
        return "the file must name its transfer syntax, and does not", "Write it again with a tool that knows it"
    name = standard_name(syntax, "a private transfer syntax")
    if syntax in MPEGTransferSyntaxes:
        return (
            f"{name} is a video",
            "Its bitstream is extracted, not decoded; convert its frames with a tool for videos",
        )
    if syntax not in _PLUGINS:
        return f"there is no decoder for {name}", "Write the file in another transfer syntax, such as Explicit VR LE"
    if syntax == JPEGExtended12Bit and bits is not None and bits > 8:
        # The one decoder for it, pylibjpeg-libjpeg, is under GPL and is not used even where it is installed.
        return (
            f"{name} is decoded with 8 bits a sample only, and has {bits}",
            "Write the file in a lossless transfer syntax, for instance with dcmdjpeg of DCMTK",
        )
    plugin = _PLUGINS[syntax]
    if plugin and plugin not in _installed_plugins(syntax):
        action = install_hint("gdcm") if plugin == "gdcm" else "Install domainvl again; its decoders are missing"
        return f"{name} needs the package {_PACKAGES[plugin]}, which is not installed", action
    return None


_PACKAGES = {"gdcm": "python-gdcm", "pillow": "pillow", "pyjpegls": "pyjpegls", "pylibjpeg": "pylibjpeg"}


def _installed_plugins(syntax: UID) -> tuple[str, ...]:
    decoder = get_decoder(syntax)
    return tuple(decoder.available_plugins) if decoder.is_available else ()


def decode_frame(dataset: Dataset, frame: int) -> npt.NDArray[Any]:
    """Decode one frame to stored values; colour comes out as RGB.

    Bits beyond BitsStored are masked. Signedness follows PixelRepresentation where a JPEG 2000 or JPEG-LS codestream
    says otherwise, colour space and component order follow a codestream's own markers.

    Args:
        dataset: The file, with pixel data.
        frame: Index of the frame, from 0.

    Returns:
        Array of shape (rows, columns) or (rows, columns, 3), of the integer type of BitsAllocated or float.

    Raises:
        ItemError: By ``no-transfer-syntax``, ``no-decoder``, ``no-pixel-data``, ``header``, ``truncated`` or
            ``decode``.
    """
    syntax = _checked_syntax(dataset, frame)
    shift = _high_bit_shift(dataset, syntax)
    if shift is None:
        return _decode(dataset, frame, syntax)
    left, right = shift
    return (_decode(dataset, frame, syntax, correct_unused_bits=False) << left) >> right


def decode_unmasked(dataset: Dataset, frame: int) -> npt.NDArray[Any]:
    """Decode one frame with the bits beyond BitsStored as they are, in which old files have overlays.

    Args and errors are those of :func:`decode_frame`.

    Raises:
        ItemError: By ``decode`` too, if pixels are compressed: their decoders know of no other bits.
    """
    syntax = _checked_syntax(dataset, frame)
    if syntax.is_encapsulated:
        raise _undecodable("bits beyond BitsStored are asked for, and compressed pixels have none")
    return _decode(dataset, frame, syntax, correct_unused_bits=False)


def _checked_syntax(dataset: Dataset, frame: int) -> UID:
    syntax = transfer_syntax(dataset) or UID("")
    bits = number_of(dataset, "BitsStored")
    problem = _problem(syntax, None if bits is None else int(bits))
    if problem is not None:
        reason = "no-decoder" if syntax else "no-transfer-syntax"
        raise ItemError("Cannot decode pixels", reason=reason, rule=problem[0], action=problem[1])
    _check_length(dataset, syntax, frame)
    return syntax


def _decode(dataset: Dataset, frame: int, syntax: UID, **options: Any) -> npt.NDArray[Any]:
    try:
        with warnings.catch_warnings(), panics_as_errors():
            # They speak of padding and of corrections to the header that are made as documented.
            warnings.simplefilter("ignore")
            array, _ = get_decoder(syntax).as_array(dataset, index=frame, decoding_plugin=_PLUGINS[syntax], **options)
    except PARSE_ERRORS as error:
        raise _undecodable(f"{standard_name(syntax, '')} data could not be read ({type(error).__name__})") from error
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


@contextlib.contextmanager
def panics_as_errors() -> Iterator[None]:
    """Turn a panic of a decoder that is written in Rust into a RuntimeError.

    PyO3 raises it as a BaseException of a class that nobody can import, so that it would end the whole run.
    """
    try:
        yield
    except BaseException as error:
        if type(error).__module__ != _PANICS_FROM:
            raise
        raise RuntimeError("a decoder panicked") from error


def _undecodable(rule: str) -> ItemError:
    return ItemError(
        "Cannot decode pixels",
        reason="decode",
        rule=rule,
        action="Fetch the file again, or write it in a lossless syntax with a tool that can read it",
    )


def _high_bit_shift(dataset: Dataset, syntax: UID) -> tuple[int, int] | None:
    """Return shifts to the left and right that keep the stored bits where they end below or above BitsStored.

    HighBit is BitsStored - 1 (PS3.3 C.7.6.3.1) but in old files, which hold their bits at the upper end.
    """
    bits = [number_of(dataset, name) for name in ("BitsAllocated", "BitsStored", "HighBit")]
    if syntax.is_encapsulated or None in bits or "PixelData" not in dataset:
        return None
    allocated, stored, high = (int(number) for number in bits if number is not None)
    if high == stored - 1 or not stored <= high + 1 <= allocated:
        return None
    return allocated - high - 1, allocated - stored


def _check_length(dataset: Dataset, syntax: UID, frame: int) -> None:
    """Compare what is there with what the header promises."""
    keyword = next((name for name in _PIXEL_KEYWORDS if value_of(dataset, name)), None)
    if keyword is None:
        raise ItemError(
            "Cannot decode pixels",
            reason="no-pixel-data",
            rule="the header describes an image, and the file holds no pixel data",
            action="Fetch the file again; it may have been cut off",
        )
    _check_header(dataset, keyword)
    count = frame_count(dataset)
    if not 0 <= frame < count:
        raise _undecodable(f"frame {frame + 1} is asked for, the header promises {count}")
    if syntax.is_encapsulated:
        _check_codestream(dataset, syntax, frame)
        return
    try:
        expected, actual = int(get_expected_length(dataset)), len(dataset[keyword].value)
    except PARSE_ERRORS as error:
        raise _bad_header() from error
    if actual < expected:
        raise _truncated(f"the header promises {expected} bytes of pixels, the file holds {actual}")


def _check_header(dataset: Dataset, keyword: str) -> None:
    needed = ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated"]
    needed += ["BitsStored", "PixelRepresentation"] if keyword == "PixelData" else []
    photometric = text_of(dataset, "PhotometricInterpretation").replace(" ", "_")
    known = photometric in PhotometricInterpretation.__members__
    if not known or any(number_of(dataset, name) is None for name in needed):
        raise _bad_header()


def _bad_header() -> ItemError:
    return ItemError(
        "Cannot decode pixels",
        reason="header",
        rule="rows, columns, samples, bits or photometric interpretation are missing or malformed",
        action="Write the file again with a tool that repairs its header",
    )


def _truncated(rule: str) -> ItemError:
    return ItemError(
        "Cannot decode pixels", reason="truncated", rule=rule, action="Fetch the file again; it was cut off"
    )


def _check_codestream(dataset: Dataset, syntax: UID, frame: int) -> None:
    """See to it that a frame is there to its end: JPEG 2000 decoders make something of any part of an image."""
    count = frame_count(dataset)
    offsets = tuple(value_of(dataset, name) for name in ("ExtendedOffsetTable", "ExtendedOffsetTableLengths"))
    try:
        content = get_frame(
            dataset.PixelData, frame, number_of_frames=count, extended_offsets=offsets if all(offsets) else None
        )
    except PARSE_ERRORS as error:
        raise _truncated(f"the header promises {count} frames, and frame {frame + 1} is not there whole") from error
    frame_bytes = _frame_bytes(dataset)
    if frame_bytes > _FRAME_BYTES_MAX:
        raise _undecodable(f"frames of up to {_FRAME_BYTES_MAX} bytes are decoded, the header promises {frame_bytes}")
    if syntax == RLELossless:
        if frame_bytes > len(content) * _RUN_RATIO:
            raise _truncated(f"{len(content)} bytes of run lengths are too few for a frame of {frame_bytes}")
        return
    if _END_OF_IMAGE not in content[-_PADDING_BYTES:]:
        raise _truncated(f"the compressed frame ends after {len(content)} bytes without the marker of its end")
    _check_jpeg_2000_size(dataset, content)


def _frame_bytes(dataset: Dataset) -> int:
    """Return how much memory a decoded frame takes; 0 where the header does not say."""
    numbers = [int(number_of(dataset, name) or 0) for name in ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated")]
    return math.prod(numbers) // 8


def _check_jpeg_2000_size(dataset: Dataset, content: bytes) -> None:
    """Compare the size in a JPEG 2000 codestream, for which its decoder takes memory at once, with the header's."""
    if not content.startswith(_JPEG_2000_START) or len(content) < _JPEG_2000_SIZES_AT + 16:
        return
    x_size, y_size, x_offset, y_offset = struct.unpack_from(">4I", content, _JPEG_2000_SIZES_AT)
    columns, rows = (int(number_of(dataset, name) or 0) for name in ("Columns", "Rows"))
    if (x_size - x_offset, y_size - y_offset) != (columns, rows):
        raise _undecodable(
            f"the codestream is of {x_size - x_offset}x{y_size - y_offset} pixels, and the header of {columns}x{rows}"
        )
