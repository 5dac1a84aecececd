"""What the bands of a plain file measure: from the sensor, from their descriptions or from their colours.

The order of bands alone tells nothing: NAIP has red first, PlanetScope blue, and both look fine the wrong way round.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from domainvl.errors import ItemError, UsageError

from .sensors import SENSORS, Sensor

NamedBand: TypeAlias = tuple[str, str | None]
"""Name and role of a band."""

_ROLES = {band.role for sensor in SENSORS.values() for band in sensor.bands}
_ROLES_BY_NAME = {role: role for role in _ROLES} | {
    "coastal aerosol": "coastal",
    "coastal blue": "coastal",
    "green i": "green1",
    "green ii": "green",
    "r": "red",
    "g": "green",
    "b": "blue",
    "near infrared": "nir",
    "nir1": "nir",
    "nir 1": "nir",
    "red edge 1": "rededge1",
    "red edge 2": "rededge2",
    "red edge 3": "rededge3",
    "rededge": "rededge1",
    "red edge": "rededge1",
    "nir narrow": "nir-narrow",
    "narrow nir": "nir-narrow",
    "water vapour": "water-vapour",
    "water vapor": "water-vapour",
    "swir": "swir1",
    "swir 1": "swir1",
    "swir 2": "swir2",
    "swir16": "swir1",
    "swir22": "swir2",
    "panchromatic": "pan",
}
"""Names of bands that mean the same on every sensor; spaces stand for dashes and underscores too."""

_SAFE_SENTINEL_NAMES = {"b02": "blue", "b03": "green", "b04": "red"}
"""With the leading zero, these are those of Sentinel-2 and of the harmonised Landsat (NASA HLS user guide, 2.0); the
other numbers of the two differ, so they count only where one that Landsat lacks shows which of them it is."""

_ONLY_SENTINEL = {"b08", "b8a"}
_NO_NAME = re.compile(r"^(?:(?:band|layer|channel)[ _-]?)?\d*$")
_POLARISATION = re.compile(r"(?<![a-z])(vv|vh|hh|hv)(?![a-z])")
_GDAL_SENTINEL = re.compile(r"^(b\d+a?), central wavelength", re.IGNORECASE)
"""How GDAL's SENTINEL2 driver describes the bands of its subdatasets."""

# A band that its description names is that, whatever its colour: GDAL calls any three bytes red, green and blue.
_ROLES_BY_COLOUR = {
    "red": "red",
    "green": "green",
    "blue": "blue",
    "nir": "nir",
    "pan": "pan",
    "coastal": "coastal",
    "rededge": "rededge1",
    "swir": "swir1",
    "tir": "thermal1",
    "lwir": "thermal1",
}
"""GDAL's colour interpretations that name a part of the spectrum; its yellow is that of printing inks."""

_SENSOR_OF_FILE = (
    # The name patterns and their sources stand in .dates.
    (re.compile(r"^m_\d{7}_(?:ne|nw|se|sw)_\d{1,2}_\w{1,3}_\d{8}(?:_|$)"), "naip"),
    (re.compile(r"^S2[A-Z]_MSIL\w{2}_\d{8}T\d{6}_"), "sentinel-2"),
    (re.compile(r"^T\d{2}[A-Z]{3}_\d{8}T\d{6}(?:_|$)"), "sentinel-2"),
    (re.compile(r"^L[CO]0[89]_L\d[A-Z]{2}_\d{6}_\d{8}_"), "landsat-8"),
    (re.compile(r"^L[CO]8\d{6}\d{7}[A-Z]{3}\d{2}"), "landsat-8"),
    (re.compile(r"^LE07_L\d[A-Z]{2}_\d{6}_\d{8}_"), "landsat-7"),
    (re.compile(r"^LE7\d{6}\d{7}[A-Z]{3}\d{2}"), "landsat-7"),
    (re.compile(r"^LT0[45]_L\d[A-Z]{2}_\d{6}_\d{8}_"), "landsat-5"),
    (re.compile(r"^LT[45]\d{6}\d{7}[A-Z]{3}\d{2}"), "landsat-5"),
    (re.compile(r"^\d{8}_\d{6}_(?:\d{2}_)?[0-9a-f]{4}_[13][AB]_AnalyticMS"), "planetscope"),
    (re.compile(r"^S1[A-Z]_\w{2}_\w{4}_\w{4}_\d{8}T\d{6}_"), "sentinel-1"),
    (re.compile(r"^s1[a-z]-\w{2,3}-\w{3}-\w{2}-\d{8}t\d{6}-"), "sentinel-1"),
)


def detect_sensor(stem: str) -> str | None:
    """Tell the sensor from the name that its producer gave a file or folder.

    Args:
        stem: The name without folder and extension.

    Returns:
        A key of :data:`.sensors.SENSORS`, or None.
    """
    return next((key for pattern, key in _SENSOR_OF_FILE if pattern.match(stem)), None)


def find_sensor(key: str) -> Sensor:
    """Return a preset by its key.

    Raises:
        UsageError: If there is none.
    """
    if key not in SENSORS:
        raise UsageError(f"There is no sensor {key!r}", rule=f"known are {', '.join(SENSORS)}")
    return SENSORS[key]


def roles_of(
    descriptions: Sequence[str | None],
    colour_interpretations: Sequence[str],
    count: int,
    sensor: str | None,
    *,
    is_certain: bool = True,
    uri: str = "scene",
) -> list[NamedBand]:
    """Tell the name and role of each band of a plain file.

    Args:
        descriptions: Of each band, None where it has none.
        colour_interpretations: Of each band, as GDAL names them in lower case: ``"red"``, ``"undefined"``, ``"alpha"``.
        count: Number of bands.
        sensor: Key of a preset, or None.
        is_certain: Whether the user named the sensor; then a file that does not fit is an error, and its order may
            be one that users stack in. Where the sensor was told from a file's name, the file's own words win over
            a preset that does not fit.
        uri: The file in messages.

    Returns:
        For each band its name (description, or what the sensor calls it, or its number) and its role or None. No
        role stands twice: where two bands claim one, neither has it.

    Raises:
        UsageError: If there is no such sensor.
        ItemError: If the sensor does not fit the file.
    """
    names = [(description or "").strip() for description in descriptions]
    alphas = [colour == "alpha" for colour in colour_interpretations]
    if sensor is not None:
        found = _by_sensor(find_sensor(sensor), names, alphas, may_use_order=is_certain)
        if found is not None:
            return _without_twins(found)
        if is_certain:
            raise _does_not_fit(find_sensor(sensor), names, count, uri)
    roles = [
        _role_of_name(name, names) if _is_name(name) else _ROLES_BY_COLOUR.get(colour)
        for name, colour in zip(names, colour_interpretations, strict=True)
    ]
    return _without_twins(_with_alphas(names, roles, alphas))


def _by_sensor(
    sensor: Sensor, names: Sequence[str], alphas: Sequence[bool], *, may_use_order: bool
) -> list[NamedBand] | None:
    """Match bands with those of a sensor, by name if any matches, else by order; None if it does not fit."""
    presets = [sensor.band(_plain(name)) for name in names]
    known = {band.role for band in sensor.bands}
    if any(presets) or any(_role_of_name(name, names) in known for name in names if name):
        roles = [
            preset.role if preset else _role_of_name(name, ()) for preset, name in zip(presets, names, strict=True)
        ]
        return _with_alphas(names, roles, alphas)
    if any(_is_name(name) for name in names):
        return None
    return _by_order(sensor, names, alphas) if may_use_order or sensor.is_delivered_stacked else None


def _by_order(sensor: Sensor, names: Sequence[str], alphas: Sequence[bool]) -> list[NamedBand] | None:
    orders = {len(order): order for order in sensor.orders}
    order = orders.get(len(names) - sum(alphas))
    if order is None:
        return None
    bands = iter(order)
    return [
        (name or str(number), "alpha") if alpha else _named(sensor, next(bands))
        for number, (name, alpha) in enumerate(zip(names, alphas, strict=True), start=1)
    ]


def _named(sensor: Sensor, name: str) -> NamedBand:
    band = sensor.band(name)
    return name, band.role if band else None


def _role_of_name(name: str, all_names: Sequence[str]) -> str | None:
    plain = _plain(name)
    spaced = re.sub(r"[\s_-]+", " ", plain)
    role = _ROLES_BY_NAME.get(plain) or _ROLES_BY_NAME.get(spaced) or _SAFE_SENTINEL_NAMES.get(plain)
    if role:
        return role
    if _GDAL_SENTINEL.match(name) or _ONLY_SENTINEL & {_plain(other) for other in all_names}:
        sentinel = SENSORS["sentinel-2"].band(plain)
        return sentinel.role if sentinel else None
    polarisations = _POLARISATION.findall(spaced)
    return polarisations[0] if len(polarisations) == 1 else None


def _plain(name: str) -> str:
    """Return a name in lower case, of GDAL's ``B4, central wavelength 665 nm`` the first part."""
    match = _GDAL_SENTINEL.match(name)
    return (match.group(1) if match else name).lower()


def _is_name(description: str) -> bool:
    """Say whether a description says anything; ``Band 1`` does not."""
    return not _NO_NAME.match(description.lower())


def _with_alphas(names: Sequence[str], roles: Sequence[str | None], alphas: Sequence[bool]) -> list[NamedBand]:
    return [
        (name or str(number), "alpha" if alpha else role)
        for number, (name, role, alpha) in enumerate(zip(names, roles, alphas, strict=True), start=1)
    ]


def _without_twins(bands: Sequence[NamedBand]) -> list[NamedBand]:
    counts = Counter(role for _, role in bands)
    return [(name, role if counts[role] == 1 else None) for name, role in bands]


def _does_not_fit(sensor: Sensor, names: Sequence[str], count: int, uri: str) -> ItemError:
    described = ", ".join(name for name in names if name) or "none"
    orders = "; or ".join(f"{len(order)}: {', '.join(order)}" for order in sensor.orders)
    return ItemError(
        f"The bands are not those of the sensor {sensor.key}",
        reason="sensor-mismatch",
        where=uri,
        rule=f"it has {count} bands described as {described}; {sensor.title} stacks have {orders}",
        action="Name another sensor, or choose bands by their numbers",
    )
