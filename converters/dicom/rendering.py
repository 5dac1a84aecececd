"""From stored values to 8-bit images, in the order that the standard gives.

Grey images: stored values, modality LUT or rescale, scale (such as SUV), VOI, inversion, 8 bit (PS3.3 C.11.1, C.11.2,
C.11.6; PS3.4 N.2). Colour images are RGB from the decoder or become so through their palette.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue
from pydicom import Dataset

from domainvl.errors import ItemError

from ..medical.looks import Levels, Look, Pixels, Rendered, Resolved, View, render_levels
from .colour import PALETTE, RGB_AFTER_DECODING, colour_to_8_bit, expand_palette
from .headers import PARSE_ERRORS, text_of
from .values import GreyFacts, Values, all_stored, has_table, index_of

__all__ = ["Look", "Rendered", "Renderer", "Values", "View", "render_frame"]

_GREY = ("MONOCHROME1", "MONOCHROME2")
_SUPPLEMENTAL = "the file's supplemental palette was left out: its colours show as grey"


class Renderer:
    """Renders frames in one look. Keeps the tables of the last header, which others of a series mostly share.

    Args:
        look: How images are to be shown.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._tables: _Tables | None = None

    def frame(self, header: Dataset, stored: npt.NDArray[Any], *, scale: float | None = None) -> Rendered:
        """Render a frame.

        Args:
            header: The frame's header (:func:`.headers.frame_header`), with its transfer syntax.
            stored: Stored values as :func:`.decode.decode_frame` returns them.
            scale: Factor from modality values to the units of the windows asked for, such as
                :func:`.suv.suv_factor`.

        Returns:
            Its views: one a window, one for colour images.

        Raises:
            ItemError: By ``photometric-interpretation`` if that is not supported, by ``lookup-table`` if a table is
                malformed.
        """
        photometric = text_of(header, "PhotometricInterpretation")
        if photometric in _GREY and stored.ndim == 2:
            rendered = self._grey(header, stored, scale)
            # C.7.6.19: colours, such as of flow, that are laid over a part of the grey values.
            supplemental = "RedPaletteColorLookupTableDescriptor" in header
            return replace(rendered, warnings=(*rendered.warnings, _SUPPLEMENTAL)) if supplemental else rendered
        try:
            if photometric == PALETTE and stored.ndim == 2:
                return _colour(expand_palette(header, stored))
            if photometric in RGB_AFTER_DECODING and stored.ndim == 3 and stored.shape[2] == 3:
                return _colour(colour_to_8_bit(header, stored))
        except PARSE_ERRORS as error:
            raise ItemError(
                "Cannot render pixels",
                reason="lookup-table",
                rule=f"a palette is malformed ({type(error).__name__})",
                action="Write the file again with a tool that repairs its header",
            ) from error
        raise _unsupported((*_GREY, PALETTE, *RGB_AFTER_DECODING))

    def values(self, header: Dataset, stored: npt.NDArray[Any], *, scale: float | None = None) -> Values:
        """Return a grey frame in modality units, as maximum-intensity projections need it.

        Args and errors are those of :meth:`frame`; colour frames are refused by ``photometric-interpretation``.
        """
        if text_of(header, "PhotometricInterpretation") not in _GREY or stored.ndim != 2:
            raise _unsupported(_GREY)
        facts = GreyFacts.read(header, scale)
        factor = 1.0 if scale is None else scale
        if not has_table(stored):
            levels = facts.levels(stored)
            return Values(levels.values * factor, levels.background, scale)
        tables = self._tables_for(facts, stored.dtype)
        index = index_of(stored)
        values = (tables.levels.values * factor).astype(np.float32)
        return Values(values.take(index, mode="wrap"), tables.levels.background.take(index, mode="wrap"), scale)

    def of_values(self, header: Dataset, values: Values) -> Rendered:
        """Render values that :meth:`values` gave, or that were made of several such.

        Args:
            header: Header of one of the frames; its VOIs and inversion hold.
            values: The values.
        """
        facts = GreyFacts.read(header, values.scale)
        unscaled = values.values.astype(np.float64) / (values.scale or 1.0)
        rendered = render_levels(Levels(unscaled, values.background), self._look, facts.source)
        return replace(rendered, details=_details(facts))

    def _grey(self, header: Dataset, stored: npt.NDArray[Any], scale: float | None) -> Rendered:
        facts = GreyFacts.read(header, scale)
        if not has_table(stored):
            rendered = render_levels(facts.levels(stored), self._look, facts.source)
            return replace(rendered, details=_details(facts))
        tables = self._tables_for(facts, stored.dtype)
        index = index_of(stored)
        size = tables.levels.values.size
        levels = replace(tables.levels, count=lambda: np.bincount(index.ravel(), minlength=size))
        rendered = render_levels(
            levels,
            self._look,
            facts.source,
            # "wrap" never changes an index here; it spares numpy a look at each before.
            place=lambda shades: shades.take(index, mode="wrap"),
            known=tables.shades,
        )
        return replace(rendered, details=_details(facts))

    def _tables_for(self, facts: GreyFacts, dtype: np.dtype[Any]) -> _Tables:
        if self._tables is None or self._tables.facts != facts or self._tables.dtype != dtype:
            self._tables = _Tables(facts, dtype)
        return self._tables


class _Tables:
    """What stored values of one type become under one header."""

    def __init__(self, facts: GreyFacts, dtype: np.dtype[Any]) -> None:
        self.facts = facts
        self.dtype = dtype
        self.levels = facts.levels(all_stored(dtype))
        self.shades: dict[Resolved, Pixels] = {}


def render_frame(header: Dataset, stored: npt.NDArray[Any], look: Look, *, scale: float | None = None) -> Rendered:
    """Render a single frame; :class:`Renderer` is quicker for several."""
    return Renderer(look).frame(header, stored, scale=scale)


def _details(facts: GreyFacts) -> dict[str, JsonValue]:
    scale = facts.source.scale
    return facts.describe() if scale is None else {**facts.describe(), "scale": scale}


def _colour(pixels: Pixels) -> Rendered:
    return Rendered((View("", pixels),))


def _unsupported(known: tuple[str, ...]) -> ItemError:
    return ItemError(
        "Cannot render pixels",
        reason="photometric-interpretation",
        rule=f"the photometric interpretation must be one of {', '.join(known)} and fit the number of samples",
        action="Convert the file to RGB with another tool",
    )
