"""When a scene was acquired: from its tags or from the name its producer gave it; unknown rather than guessed.

A date is text: ``YYYY-MM-DD``, or ``YYYY-MM`` or ``YYYY`` where no more is known. Sorted as text they are in order,
the less precise before those that lie within it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date, timedelta

_YEARS = range(1900, 2100)
"""From the first photographs out of aeroplanes; other numbers are no years."""

_ACQUISITION_TAGS = (
    "ACQUISITIONDATETIME",
    "DATE_ACQUIRED",
    "ACQUISITION_DATE",
    "SENSING_TIME",
    "DATATAKE_SENSING_START",
)
"""Tags that say when the pixels were taken: ACQUISITIONDATETIME is that of GDAL's IMAGERY domain (GDAL raster data
model), the others those of Landsat and Sentinel-2."""

_WRITTEN_TAGS = ("TIFFTAG_DATETIME",)
"""Date and time of image creation (TIFF 6.0, tag 306): some producers give the acquisition, some programs the day on
which they wrote the file. So it counts only where nothing else tells."""

# The date of acquisition in the names that producers give; the first group holds it, whatever dates follow.
_PRODUCER_NAMES = (
    # Landsat product identifier LXSS_LLLL_PPPRRR_YYYYMMDD_yyyymmdd_CC_TX: acquisition, then processing (USGS, Landsat
    # Collection 2 naming convention).
    re.compile(r"^L[COTEM]0\d_L\d[A-Z]{2}_\d{6}_(\d{8})_\d{8}_"),
    # Sentinel-2 MMM_MSIXXX_YYYYMMDDTHHMMSS_Nxxyy_ROOO_Txxxxx_<discriminator> and its bands Txxxxx_YYYYMMDDTHHMMSS_Bxx
    # (ESA, Sentinel-2 products specification, compact naming).
    re.compile(r"^S2[A-Z]_MSIL\w{2}_(\d{8})T\d{6}_"),
    re.compile(r"^T\d{2}[A-Z]{3}_(\d{8})T\d{6}(?:_|$)"),
    # Sentinel-1 MMM_BB_TTTR_LFPP_YYYYMMDDTHHMMSS_... and its measurements, in lower case with dashes.
    re.compile(r"^S1[A-Z]_\w{2}_\w{4}_\w{4}_(\d{8})T\d{6}_"),
    re.compile(r"^s1[a-z]-\w{2,3}-\w{3}-\w{2}-(\d{8})t\d{6}-"),
    # NAIP m_<quadrangle>_<quarter>_<zone>_<gsd>_<acquired>[_<published>] (USDA).
    re.compile(r"^[mn]_\d{7}_(?:ne|nw|se|sw)_\d{1,2}_\w{1,3}_(\d{8})(?:_|$)"),
    # PlanetScope <acquired>_<time>_[<hundredths>_]<satellite>_<level>_<asset> (Planet, imagery product specification).
    re.compile(r"^(\d{8})_\d{6}_(?:\d{2}_)?[0-9a-f]{4}_[13][AB]_"),
)
_LANDSAT_SCENE = re.compile(r"^L[COTEM]\d\d{6}(\d{4})(\d{3})[A-Z]{3}\d{2}")
"""Landsat scene identifier LXSPPPRRRYYYYDDDGSIVV: year and day of the year (USGS)."""
_DAY = re.compile(r"(?<!\d)(\d{4})([-_.]?)(\d{2})\2(\d{2})(?!\d)")
_MONTH = re.compile(r"(?<!\d)(\d{4})-(\d{2})(?![-_.]?\d)")
_YEAR = re.compile(r"^\d{4}$")
_ISO = re.compile(r"^(\d{4})[-:/]?(\d{2})[-:/]?(\d{2})(?:[T ].*)?$")


def date_from_text(text: str) -> str | None:
    """Read the day of a date and time as metadata writes it: ``2020-02-21T10:20:41Z``, ``2018:07:16 06:06:23``."""
    match = _ISO.match(text.strip())
    return _day(*match.groups()) if match else None


def date_from_tags(tags: Mapping[str, str], *, written: bool = True) -> str | None:
    """Find the date in the tags of an open file.

    Args:
        tags: Those of its default and of its IMAGERY domain.
        written: Take the date at which the file was made where there is no other. A date in the file's name says
            more than that, so ask first without, then the name, then with it.

    Returns:
        The day, or None where there is none or two tags contradict each other.
    """
    for names in (_ACQUISITION_TAGS, _WRITTEN_TAGS if written else ()):
        days = {day for name in names if (day := date_from_text(tags.get(name, "")))}
        if days:
            return days.pop() if len(days) == 1 else None
    return None


def date_from_name(name: str) -> str | None:
    """Find the date in the name of a file or folder.

    Args:
        name: Without folder and extension.

    Returns:
        The date, or None where the name has none or several that no known naming tells apart. A year alone counts
        only if it is the whole name, because ``tile_2000`` may be the two-thousandth.
    """
    for pattern in _PRODUCER_NAMES:
        if match := pattern.match(name):
            return date_from_text(match.group(1))
    if match := _LANDSAT_SCENE.match(name):
        return _day_of_year(int(match.group(1)), int(match.group(2)))
    if _YEAR.match(name):
        return name if int(name) in _YEARS else None
    days = _all(_DAY, name, lambda match: _day(match[1], match[3], match[4]))
    if days:
        return days.pop() if len(days) == 1 else None
    months = _all(_MONTH, name, lambda match: _month(match[1], match[2]))
    return months.pop() if len(months) == 1 else None


def _all(pattern: re.Pattern[str], name: str, read: Callable[[re.Match[str]], str | None]) -> set[str]:
    return {found for match in pattern.finditer(name) if (found := read(match))}


def _day(year: str, month: str, day: str) -> str | None:
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found.isoformat() if found.year in _YEARS else None


def _month(year: str, month: str) -> str | None:
    day = _day(year, month, "01")
    return day[:7] if day else None


def _day_of_year(year: int, day: int) -> str | None:
    if year not in _YEARS or day < 1:
        return None
    found = date(year, 1, 1) + timedelta(days=day - 1)
    return found.isoformat() if found.year == year else None
