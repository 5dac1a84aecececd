"""Codes and defined terms: only what the standard names comes through where anything may stand."""

from __future__ import annotations

import pytest

from domainvl.converters.dicom.annotations.codes import roi_type_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [("GTV", "gtv"), ("DOSE_REGION", "dose_region"), ("BRACHY_CHNL_SHLD", "brachy_chnl_shld"), ("", None),
     ("DRMUELLER", None), ("GTV DOE", None), ("organ", None)],
)  # fmt: skip
def test_med_60_types_of_structures_are_those_of_the_standard(text, expected):
    """Code strings are in capitals (PS3.5 6.2)."""
    assert roi_type_of(text) == expected
