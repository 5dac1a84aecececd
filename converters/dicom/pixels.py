"""From an encoded frame to 8-bit pixels, in the order that the standard gives.

Grey images: stored values, modality LUT or rescale, VOI, inversion, 8 bit (PS3.3 C.11.1, C.11.2, C.11.6; PS3.4
N.2). Colour images become RGB once, in the decoder or through their palette.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from pydicom import Dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import get_expected_length
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    RLELossless,
)

from domainvl.errors import ItemError, install_hint

from .headers import (
    PARSE_ERRORS,
    is_little_endian,
    number_of,
    numbers_of,
    standard_name,
    text_of,
    transfer_syntax,
    value_of,
)
from .windows import AUTO, PERCENTILES, FloatArray, LookupTable, Window, window_for, window_of

CT_OUTSIDE_FIELD_HU = -1500.0
"""Air is -1000 HU; scanners fill what lies outside the field of view with -2000, -2048 or -3024."""

_PYLIBJPEG_SYNTAXES = (
    RLELossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    HTJ2K,
)
"""Decoded by pylibjpeg whatever else is installed: the same pixels everywhere, and faster for RLE."""

_GREY = ("MONOCHROME1", "MONOCHROME2")
_RGB_AFTER_DECODING = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
_PALETTE = "PALETTE COLOR"


@dataclass
class Rendered:
    """One frame as it is stored.

    Attributes:
        pixels: uint8 of shape (rows, columns) or (rows, columns, 3).
        details: What was done, as technical facts.
        warnings: What a careful reader should know.
    """

    pixels: npt.NDArray[np.uint8]
    details: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def decode_frame(dataset: Dataset, frame: int) -> npt.NDArray[Any]:
    """Decode one frame to stored values; colour comes out as RGB.

    Args:
        dataset: The file, with pixel data.
        frame: Index of the frame.

    Returns:
        Array of shape (rows, columns) or (rows, columns, 3).

    Raises:
        ItemError: If there is no decoder, or the data are truncated or malformed.
    """
    syntax = transfer_syntax(dataset)
    if syntax is None:
        raise ItemError(
            "Cannot decode pixels",
            reason="no-transfer-syntax",
            rule="the file must name its transfer syntax, and does not",
            action="Write it again with a tool that knows its encoding",
        )
    name = standard_name(syntax, "a private transfer syntax")
    plugin = _plugin(syntax, name)
    _check_length(dataset, syntax)
    try:
        array, _ = get_decoder(syntax).as_array(dataset, index=frame, decoding_plugin=plugin)
    except PARSE_ERRORS as error:
        rule = f"{name} data could not be read ({type(error).__name__})"
        if syntax == JPEGExtended12Bit:
            rule += "; Pillow decodes JPEG Extended with 8 bits, not with 12"
        raise ItemError(
            "Cannot decode pixels",
            reason="decode",
            rule=rule,
            action="Fetch the file again, or write it in a lossless syntax with a tool that can read it",
        ) from error
    return np.asarray(array)


def _plugin(syntax: UID, name: str) -> str:
    try:
        decoder = get_decoder(syntax)
    except NotImplementedError as error:
        raise ItemError(
            "Cannot decode pixels",
            reason="no-decoder",
            rule=f"pydicom has no decoder for {name}",
            action="Write the file in another transfer syntax; extract videos with a tool for videos",
        ) from error
    if not decoder.is_available:
        lossless_jpeg = syntax in (JPEGLossless, JPEGLosslessSV1)
        raise ItemError(
            "Cannot decode pixels",
            reason="no-decoder",
            rule=f"no installed plugin of pydicom decodes {name}",
            action=install_hint("gdcm") if lossless_jpeg else "Install domainvl again; its decoders are missing",
        )
    return "pylibjpeg" if syntax in _PYLIBJPEG_SYNTAXES and "pylibjpeg" in decoder.available_plugins else ""


def _check_length(dataset: Dataset, syntax: UID) -> None:
    """Compare what is there with what the header promises; only possible where nothing is compressed."""
    keyword = next((name for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData") if name in dataset), None)
    if keyword is None:
        raise ItemError(
            "Cannot decode pixels",
            reason="no-pixel-data",
            rule="the header describes an image, and the file holds no pixel data",
            action="Fetch the file again; it may have been cut off",
        )
    if syntax.is_encapsulated:
        return
    try:
        expected, actual = int(get_expected_length(dataset)), len(dataset[keyword].value)
    except PARSE_ERRORS as error:
        raise ItemError(
            "Cannot decode pixels",
            reason="header",
            rule="rows, columns, bits or photometric interpretation are missing or malformed",
            action="Write the file again with a tool that repairs its header",
        ) from error
    if actual < expected:
        raise ItemError(
            "Cannot decode pixels",
            reason="truncated",
            rule=f"the header promises {expected} bytes of pixels, the file holds {actual}",
            action="Fetch the file again; it was cut off",
        )


def render(header: Dataset, stored: npt.NDArray[Any], setting: str) -> Rendered:
    """Turn stored values into 8-bit pixels.

    Args:
        header: The frame's header, with its transfer syntax.
        stored: Stored values as :func:`decode_frame` returns them.
        setting: The setting ``window``.

    Raises:
        ItemError: If the photometric interpretation is not supported or a lookup table is malformed.
    """
    photometric = text_of(header, "PhotometricInterpretation")
    try:
        if photometric in _GREY and stored.ndim == 2:
            return _render_grey(header, stored, setting)
        if photometric == _PALETTE and stored.ndim == 2:
            return Rendered(_to_8_bit(apply_color_lut(stored, header), None))
        if photometric in _RGB_AFTER_DECODING and stored.ndim == 3 and stored.shape[2] == 3:
            return Rendered(_to_8_bit(stored, int(number_of(header, "BitsStored") or 8)))
    except PARSE_ERRORS as error:
        raise ItemError(
            "Cannot render pixels",
            reason="lookup-table",
            rule=f"a lookup table or rescale value is malformed ({type(error).__name__})",
            action="Write the file again with a tool that repairs its header",
        ) from error
    known = (*_GREY, _PALETTE, *_RGB_AFTER_DECODING)
    raise ItemError(
        "Cannot render pixels",
        reason="photometric-interpretation",
        rule=f"the photometric interpretation must be one of {', '.join(known)} and fit the number of samples",
        action="Convert the file to RGB with another tool",
    )


def _to_8_bit(colour: npt.NDArray[Any], bits: int | None) -> npt.NDArray[np.uint8]:
    """Scale colour to 8 bits; palette entries of 16 bits (``bits`` None) keep their upper byte (C.7.6.3.1.6)."""
    if colour.dtype == np.uint8:
        return colour[..., :3]
    if bits is None:
        return (colour[..., :3] >> 8).astype(np.uint8)
    scaled: npt.NDArray[np.float64] = np.rint(colour * (255.0 / (2**bits - 1)))
    return np.clip(scaled, 0.0, 255.0).astype(np.uint8)


def _render_grey(header: Dataset, stored: npt.NDArray[Any], setting: str) -> Rendered:
    rendered = Rendered(np.empty(0, np.uint8))
    modality = text_of(header, "Modality")
    background = _padding(header, stored)
    values, rendered.details["rescale"] = _to_modality_values(header, stored)
    background |= ~np.isfinite(values)
    if modality == "CT":
        background |= values <= CT_OUTSIDE_FIELD_HU
    grey = _to_grey(header, values, background, setting, rendered)
    pixels = np.rint(grey).astype(np.uint8)
    if is_inverted(header):
        pixels = 255 - pixels
    # What is no part of the image is black, inverted or not.
    pixels[background] = 0
    rendered.pixels = pixels
    return rendered


def is_inverted(header: Dataset) -> bool:
    """Whether low values are shown bright: PresentationLUTShape INVERSE, or MONOCHROME1 where that is absent."""
    shape = text_of(header, "PresentationLUTShape")
    return shape == "INVERSE" or (not shape and text_of(header, "PhotometricInterpretation") == "MONOCHROME1")


def _padding(header: Dataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Find padding by value or range (PS3.3 C.7.5.1.1.2)."""
    padding = [number_of(header, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if padding[0] is None:
        return np.zeros(stored.shape, bool)
    # The VR is ambiguous (US or SS), and some writers choose the wrong one: 63536 is -2000 in 16 signed bits.
    bits = int(number_of(header, "BitsAllocated") or 16)
    signed = number_of(header, "PixelRepresentation") == 1
    limits = [
        value - 2**bits if signed and value >= 2 ** (bits - 1) else value for value in padding if value is not None
    ]
    return np.asarray((stored >= min(limits)) & (stored <= max(limits)))


def _to_modality_values(header: Dataset, stored: npt.NDArray[Any]) -> tuple[FloatArray, dict[str, Any] | None]:
    values = stored.astype(np.float64)
    if table := value_of(header, "ModalityLUTSequence"):
        signed = number_of(header, "PixelRepresentation") == 1
        lookup = LookupTable.read(table[0], signed_input=signed, little_endian=is_little_endian(header))
        return lookup.apply(values), {"lookup_table_entries": len(lookup.entries)}
    slope, intercept = number_of(header, "RescaleSlope"), number_of(header, "RescaleIntercept")
    if slope is None or intercept is None:
        return values, None
    return values * slope + intercept, {"slope": slope, "intercept": intercept}


def _to_grey(
    header: Dataset,
    values: FloatArray,
    background: npt.NDArray[np.bool_],
    setting: str,
    rendered: Rendered,
) -> FloatArray:
    """Apply the VOI that holds and note in ``rendered`` which it was."""
    window = window_for(setting, text_of(header, "Modality"))
    origin = setting if window is not None else AUTO
    if window is None:
        if table := value_of(header, "VOILUTSequence"):
            signed = bool((values[~background] < 0).any())
            lookup = LookupTable.read(table[0], signed_input=signed, little_endian=is_little_endian(header))
            rendered.details["window"] = {"from": "file", "lookup_table_entries": len(lookup.entries)}
            return lookup.apply_to_grey(values)
        window, warning = window_of(header)
        origin = "file"
        if warning is not None:
            rendered.warnings.append(warning)
    if window is not None:
        rendered.details["window"] = _describe(window, origin)
        return window.apply(np.where(background, 0.0, values))
    return _stretch(values, background, rendered)


def _describe(window: Window, origin: str) -> dict[str, Any]:
    return {"from": origin, "center": window.center, "width": window.width, "function": window.function}


def _stretch(values: FloatArray, background: npt.NDArray[np.bool_], rendered: Rendered) -> FloatArray:
    seen = values[~background]
    low, high = (float(limit) for limit in np.percentile(seen, PERCENTILES)) if seen.size else (0.0, 0.0)
    rendered.details["window"] = {"from": "percentiles", "percentiles": list(PERCENTILES), "limits": [low, high]}
    if high <= low:
        # An image of one value, or nearly: the whole range is all there is to show.
        low, high = (float(seen.min()), float(seen.max())) if seen.size else (0.0, 0.0)
        rendered.details["window"] = {"from": "range", "limits": [low, high]}
    if high <= low:
        rendered.warnings.append("the image has one grey value only")
        return np.zeros(values.shape)
    return np.clip((np.where(background, low, values) - low) / (high - low) * 255.0, 0.0, 255.0)


def spacing_details(header: Dataset) -> tuple[dict[str, Any], str | None]:
    """Return the distances of pixel centres and a warning where pixels are not square.

    PixelSpacing is [between rows (y), between columns (x)] in mm (PS3.3 10.7.1.3). ImagerPixelSpacing holds at
    the detector. PixelAspectRatio is a plain ratio, for images without either.
    """
    for keyword, name, unit in (
        ("PixelSpacing", "pixel_spacing_mm", " mm"),
        ("ImagerPixelSpacing", "imager_pixel_spacing_mm", " mm"),
        ("PixelAspectRatio", "pixel_aspect_ratio", ""),
    ):
        spacing = numbers_of(header, keyword)
        if len(spacing) == 2 and min(spacing) > 0:
            details = {name: list(spacing)}
            if abs(spacing[0] / spacing[1] - 1) <= _SQUARE_TOLERANCE:
                return details, None
            return (
                details,
                f"pixels are not square: {spacing[0]:g}{unit} between rows, {spacing[1]:g}{unit} between columns",
            )
    return {}, None


_SQUARE_TOLERANCE = 0.01
