"""Reads coded concepts (PS3.3 8.8): what the standard vocabularies call a thing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pydicom import Dataset

from ..headers import text_of, value_of

_SIDES = {
    ("SCT", "24028007"): "right",
    ("SCT", "7771000"): "left",
    ("SCT", "51440002"): "bilateral",
    ("SRT", "G-A100"): "right",
    ("SRT", "G-A101"): "left",
    ("SRT", "G-A102"): "bilateral",
}
"""CID 244 Laterality of PS3.16, in SNOMED CT and in the older SNOMED RT codes."""

_ROI_TYPES = frozenset(
    """
    EXTERNAL PTV CTV GTV TREATED_VOLUME IRRAD_VOLUME BOLUS AVOIDANCE ORGAN MARKER REGISTRATION ISOCENTER CONTRAST_AGENT
    CAVITY BRACHY_CHANNEL BRACHY_ACCESSORY BRACHY_SRC_APP BRACHY_CHNL_SHLD SUPPORT FIXATION DOSE_REGION CONTROL
    DOSE_MEASUREMENT DEVICE SPACER
    """.split()
)
"""Defined terms of RTROIInterpretedType (PS3.3 C.8.8.8.1, with CP-2343); what else stands there may be anything."""

_SCHEMES = {"99SDM": "SRT", "SNM3": "SRT"}
"""Retired names of a coding scheme (PS3.16 section 8)."""


@dataclass(frozen=True)
class Code:
    """A coded concept.

    Attributes:
        scheme: Coding scheme, such as ``"DCM"`` or ``"SCT"``.
        value: Code value.
        meaning: What it means, in words.
    """

    scheme: str
    value: str
    meaning: str

    def is_one_of(self, concepts: frozenset[tuple[str, str]]) -> bool:
        """Whether it is one of some concepts, given by scheme and value."""
        return (self.scheme, self.value) in concepts


def code_of(item: Dataset, keyword: str) -> Code | None:
    """Return the first code of a sequence; None where it is absent or has no meaning in words."""
    items = value_of(item, keyword)
    if not items:
        return None
    value = next(
        (text for name in ("CodeValue", "LongCodeValue", "URNCodeValue") if (text := text_of(items[0], name))), ""
    )
    scheme = text_of(items[0], "CodingSchemeDesignator")
    meaning = plain(text_of(items[0], "CodeMeaning"))
    return Code(_SCHEMES.get(scheme, scheme), value, meaning) if meaning else None


def side_of(code: Code | None) -> str | None:
    """Return the side that a laterality code names: ``"left"``, ``"right"`` or ``"bilateral"``; None for others."""
    return None if code is None else _SIDES.get((code.scheme, code.value))


def roi_type_of(text: str) -> str | None:
    """Return the RTROIInterpretedType of a structure in lower case; None where it is no defined term."""
    return text.casefold() if text in _ROI_TYPES else None


def plain(text: str) -> str:
    """Return a name on one line, without control characters and doubled blanks."""
    return re.sub(r"[\s\x00-\x1f\x7f]+", " ", text).strip()


def key_of(name: str) -> str:
    """Return a name as the key of an attribute: lower case, words joined by underscores."""
    return re.sub(r"[^a-z0-9]+", "_", name.casefold()).strip("_")
