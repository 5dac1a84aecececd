"""The bands of the assets of a STAC item: what each measures and what its values mean.

Fields of bands stand in ``bands`` (STAC 1.1), or in ``eo:bands`` and ``raster:bands`` (1.0 with the extensions EO and
raster, version 1); what a band does not say, its asset says for all.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from domainvl.errors import ItemError

from .metadata import bad_metadata, finite
from .product import Band
from .roles import roles_of
from .sensors import SENSORS

Json: TypeAlias = Mapping[str, Any]

_COMMON_NAMES = {
    "coastal": "coastal",
    "blue": "blue",
    "green": "green",
    "green05": "green1",
    "yellow": "yellow",
    "red": "red",
    "rededge": "rededge1",
    "rededge071": "rededge1",
    "rededge075": "rededge2",
    "rededge078": "rededge3",
    "nir": "nir",
    "nir08": "nir-narrow",
    "nir09": "water-vapour",
    "pan": "pan",
    "cirrus": "cirrus",
    "swir16": "swir1",
    "swir22": "swir2",
    "lwir": "thermal1",
    "lwir11": "thermal1",
    "lwir12": "thermal2",
}
"""Role by common name (STAC EO extension, table of common band names)."""

_ANY_REDEDGE = "rededge"
"""Three bands of Sentinel-2 have this common name, so the name of a band says more (``rededge2``, Earth Search)."""

_PLATFORMS = (
    (re.compile(r"^sentinel-?2"), "sentinel-2"),
    (re.compile(r"^landsat-?[89]"), "landsat-8"),
    (re.compile(r"^landsat-?7"), "landsat-7"),
    (re.compile(r"^landsat-?[45]"), "landsat-5"),
    (re.compile(r"^sentinel-?1"), "sentinel-1"),
    (re.compile(r"^planetscope"), "planetscope"),
    (re.compile(r"^naip"), "naip"),
)
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
"""Where true, the offset is in the pixels already, though ``raster:bands`` still states it (Element84, earth-search
issue 9)."""
_OFFSET_SINCE = 4.0
"""First baseline of Sentinel-2 that stores reflectance with an offset, see :mod:`.safe`."""


@dataclass(frozen=True)
class StacItem:
    """An item.

    Attributes:
        content: As it is written.
        where: Its name in messages.
    """

    content: Json
    where: str

    @property
    def properties(self) -> Json:
        """What it says of all its assets."""
        return json_object(self.content.get("properties"), "properties", self.where)

    @property
    def sensor(self) -> str | None:
        """Key of the sensor's preset, where its platform is one of those."""
        instruments = self.properties.get("instruments")
        if isinstance(instruments, list) and "mss" in instruments:
            return None  # Landsat 4 and 5 have this scanner too, whose bands have other numbers
        hints = [self.properties.get(key) for key in ("platform", "constellation")] + [self.content.get("collection")]
        names = [hint.lower() for hint in hints if isinstance(hint, str)]
        return next((key for name in names for pattern, key in _PLATFORMS if pattern.match(name)), None)

    @property
    def baseline(self) -> str | None:
        """Processing baseline of Sentinel-2."""
        baseline = _first(self.properties, ("s2:processing_baseline", "sentinel:processing_baseline"))
        return None if baseline is None else str(baseline)

    @property
    def is_offset_applied(self) -> bool:
        """Whether the offset that it states is in the pixels already."""
        return any(self.properties.get(key) is True for key in _APPLIED)


def bands_of_asset(asset: Json, key: str, address: str, item: StacItem) -> list[Band]:
    """List the bands of an asset; several may have one role until :func:`give_roles`.

    Args:
        asset: As it stands in the item.
        key: Its name there.
        address: Its file for GDAL.
        item: The item.

    Raises:
        ItemError: If a value is unusable, or reflectance has an offset that nobody states.
    """
    described = _band_objects(asset, key, item.where)
    only_name = key if len(described) == 1 else ""
    return [_band(fields, number, only_name, address, item) for number, fields in enumerate(described, start=1)]


def missing_bands(asset: Json, key: str, item: StacItem) -> list[Band]:
    """Name the bands of an asset whose file is not there; what else it says of them does not matter.

    Args:
        asset: As it stands in the item.
        key: Its name there.
        item: The item.
    """
    described = _band_objects(asset, key, item.where)
    only_name = key if len(described) == 1 else ""
    file = PurePosixPath(unquote(urlsplit(str(asset.get("href"))).path)).name
    named = [(*_name_and_role(fields, only_name, item), number) for number, fields in enumerate(described, start=1)]
    return [Band(name or str(number), role, file, number) for name, role, number in named]


def _name_and_role(fields: Json, asset_name: str, item: StacItem) -> tuple[str | None, str | None]:
    name = fields.get("name") if isinstance(fields.get("name"), str) else None
    common = _first(fields, ("eo:common_name", "common_name"))
    return name or asset_name or None, _role(name, asset_name, common, item)


def _band_objects(asset: Json, key: str, where: str) -> list[Json]:
    """Return the fields of each band of an asset; what a band does not say, its asset says for all."""
    lists = [asset.get(field) or [] for field in ("bands", "eo:bands", "raster:bands")]
    if not all(isinstance(one, list) and all(isinstance(band, dict) for band in one) for one in lists):
        raise bad_metadata(where, f"the bands of assets/{key} must be lists of objects")
    count = max(1, *(len(one) for one in lists))
    shared = {field: value for field, value in asset.items() if field not in ("bands", "eo:bands", "raster:bands")}
    shared.pop("name", None)
    merged: list[Json] = []
    for index in range(count):
        fields = dict(shared)
        for one in lists:
            fields |= one[index] if index < len(one) else {}
        merged.append(fields)
    return merged


def _band(fields: Json, number: int, asset_name: str, address: str, item: StacItem) -> Band:
    where = f"{item.where}, band {asset_name or number}"
    name, role = _name_and_role(fields, asset_name, item)
    scale, offset = (_first(fields, names) for names in (("raster:scale", "scale"), ("raster:offset", "offset")))
    if item.is_offset_applied:
        offset = None
    elif scale is None and offset is None and role is not None:
        _refuse_unknown_offset(item)
    nodata, gsd_m = fields.get("nodata"), _first(fields, ("raster:spatial_resolution", "spatial_resolution", "gsd"))
    return Band(
        name=name or str(number),
        role=role,
        path=address,
        number=number,
        scale=1.0 if scale is None else finite(scale, "scale", where),
        offset=0.0 if offset is None else finite(offset, "offset", where),
        nodata=None if nodata is None else _nodata(nodata, where),
        gsd_m=None if gsd_m is None else finite(gsd_m, "gsd", where),
    )


def _role(name: str | None, asset_name: str, common: Any, item: StacItem) -> str | None:
    """Return the role by the names of the item's sensor, then by common name, then by names that mean one thing."""
    sensor = SENSORS.get(item.sensor or "")
    for known in (name, asset_name):
        if sensor and known and (preset := sensor.band(known)):
            return preset.role
    by_common_name = _COMMON_NAMES.get(common) if isinstance(common, str) else None
    if by_common_name and common != _ANY_REDEDGE:
        return by_common_name
    by_names = (roles_of([known], ["undefined"], 1, None)[0][1] for known in (name, asset_name) if known)
    return next(filter(None, by_names), by_common_name)


def give_roles(bands: Sequence[Band], item: StacItem) -> list[Band]:
    """Let one band have each role: the finest, of several alike the first by the name of its asset.

    Where ``nir08`` is the only near infrared there is, as on Landsat, it is that.
    """
    roles = {band.role for band in bands}
    if "nir" not in roles and item.sensor != "sentinel-2":
        bands = [replace(band, role="nir") if band.role == "nir-narrow" else band for band in bands]
    best: dict[str | None, Band] = {}
    for band in bands:
        if band.role not in best or _fineness(band) < _fineness(best[band.role]):
            best[band.role] = band
    return [band if best[band.role] is band else replace(band, role=None) for band in bands]


def _fineness(band: Band) -> float:
    return math.inf if band.gsd_m is None else band.gsd_m


def _refuse_unknown_offset(item: StacItem) -> None:
    """Refuse reflectance that may have an offset that nobody states.

    Raises:
        ItemError: If the baseline says that there is one.
    """
    baseline = item.baseline
    if baseline is None or finite(baseline, "processing_baseline", item.where) < _OFFSET_SINCE:
        return
    raise ItemError(
        "Cannot use a STAC item",
        reason="no-offset",
        where=item.where,
        rule=f"baseline {baseline} stores reflectance with an offset, and neither raster:bands nor bands states it",
        action="State scale and offset in the item, or convert the SAFE folder, whose metadata has them",
    )


def _nodata(value: Any, where: str) -> float:
    """Read a nodata value, which STAC also writes as ``"nan"``, ``"inf"`` or ``"-inf"``."""
    if isinstance(value, str) and value in ("nan", "inf", "-inf"):
        return float(value)
    return finite(value, "nodata", where)


def _first(fields: Json, names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def json_object(value: Any, name: str, where: str) -> Json:
    """Return a value that must be a JSON object.

    Raises:
        ItemError: If it is none.
    """
    if not isinstance(value, dict):
        raise bad_metadata(where, f"{name} must be an object, got {type(value).__name__}", "Name a STAC item")
    return value
