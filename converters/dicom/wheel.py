"""Finds the real images among the files that come with pydicom, so that no network is needed for real input."""

from __future__ import annotations

from pathlib import Path

from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.errors import InvalidDicomError

from .header_questions import MODALITY_CLASSES
from .headers import PARSE_ERRORS, number_of, text_of
from .inputs.kinds import NOT_IMAGERY

SIDE_PX_MIN = 64
"""The wheel's example of a file set is scaled down to 16 px, on which nothing is to be seen."""

_UNREADABLE = (
    "badVR.dcm",
    "JPEG-lossy.dcm",
    "JPEG2000-embedded-sequence-delimiter.dcm",
    "JPGExtended.dcm",
    "MR_truncated.dcm",
)
"""Broken on purpose, to test readers, or (JPGExtended) in a syntax for which only a GPL decoder exists."""


def wheel_files() -> list[Path]:
    """List the image files in pydicom's wheel that show an examination, one an instance, sorted.

    Only what is in the wheel: nothing is fetched. Files that cannot be decoded, images below 64 px and images of a
    modality that :data:`.convert.MODALITY_CLASSES` does not know are left out.
    """
    anchor = get_testdata_file("CT_small.dcm", download=False)
    if not isinstance(anchor, str):
        return []
    instances: dict[str, Path] = {}
    for path in sorted(Path(anchor).parent.iterdir()):
        uid = _examination_uid(path) if path.is_file() and path.name not in _UNREADABLE else ""
        if uid:
            instances.setdefault(uid, path)
    return sorted(instances.values())


def _examination_uid(path: Path) -> str:
    """Return the SOPInstanceUID of an image of an examination, an empty string for anything else."""
    try:
        dataset = dcmread(path, stop_before_pixels=True)
    except (InvalidDicomError, *PARSE_ERRORS):
        return ""
    sides = [number_of(dataset, keyword) or 0 for keyword in ("Rows", "Columns")]
    if min(sides) < SIDE_PX_MIN or text_of(dataset, "SOPClassUID") in NOT_IMAGERY:
        return ""
    return text_of(dataset, "SOPInstanceUID") if text_of(dataset, "Modality") in MODALITY_CLASSES else ""
