"""Reads Landsat products of Collection 2, Level 1 and 2: which bands there are and what their values mean.

A product is a GeoTIFF a band beside a metadata file ..._MTL in ODL (.txt), XML or JSON, all three with the same groups
(USGS, Landsat Collection 2 Level 1 and Level 2 data format control books, LSDS-1822, LSDS-1618, LSDS-1619).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from domainvl.errors import ItemError

from .container import Container, join_uri
from .dates import date_from_text
from .metadata import bad_metadata, decode_text, finite, local_name, parse_json_object, parse_xml
from .product import Band, Product
from .sensors import LANDSAT_5, LANDSAT_7, LANDSAT_8, Sensor

METADATA_SUFFIXES = ("_MTL.txt", "_MTL.xml", "_MTL.json")
"""In the order in which they are taken where a product has several."""

_ROOT = "LANDSAT_METADATA_FILE"
_LINE = re.compile(r'^\s*(?P<key>\w+)\s*=\s*"?(?P<value>.*?)"?\s*$')
_BAND_KEY = "FILE_NAME_BAND_"
_FILL = 0.0
"""Stored value outside the scene, in all bands of both levels (USGS, the same data format control books)."""

_SURFACE = "LEVEL2_SURFACE_REFLECTANCE_PARAMETERS"
_TEMPERATURE = "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS"
_RESCALING = "LEVEL1_RADIOMETRIC_RESCALING"

_Groups: TypeAlias = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class _Metadata:
    """The groups of a metadata file, which give some keys more than once, with different values.

    A Level-2 file also has the groups of its Level-1 input: with other file names and other factors.
    """

    groups: _Groups
    where: str

    def find(self, group: str, key: str) -> str | None:
        return self.groups.get(group, {}).get(key)

    def get(self, group: str, key: str) -> str:
        value = self.find(group, key)
        if not value:
            raise bad_metadata(self.where, f"there is no {group}/{key}")
        return value

    def number(self, group: str, key: str) -> float:
        return finite(self.get(group, key), f"{group}/{key}", self.where)

    @property
    def is_level_2(self) -> bool:
        return self.get("PRODUCT_CONTENTS", "PROCESSING_LEVEL").startswith("L2")


def read_landsat(container: Container, metadata_name: str, *, uri: str, name: str) -> Product:
    """Read the metadata of a product; no pixels.

    Args:
        container: The folder with its files, packed or not.
        metadata_name: Its metadata file.
        uri: The product in messages and in the data set.
        name: Its name without extension.

    Returns:
        Its bands in the order of their numbers; bands without a file are in ``missing``. Level-1 reflectance is
        that of the top of the atmosphere, not corrected for the height of the sun; Level-1 thermal bands are radiance.

    Raises:
        ItemError: If it is of another collection, the metadata is missing something, or no band is there.
    """
    where = join_uri(container.uri, metadata_name)
    metadata = _Metadata(_parse(container.read(metadata_name), metadata_name, where), where)
    _check_collection(metadata)
    sensor = _sensor(metadata)
    files = _band_files(metadata)
    present = {key: file for key, file in files.items() if container.has(file)}
    missing = {key: file for key, file in files.items() if key not in present}
    if not present:
        raise ItemError(
            "There is no band",
            reason="no-bands",
            where=where,
            rule=f"none of the {len(files)} files that it names is there",
            action="Put the band files beside it",
        )
    return Product(
        uri=uri,
        name=name,
        kind="landsat-collection-2",
        path=container.location,
        files=container.local_files([metadata_name, *present.values()]),
        bands=tuple(_band(key, container.address(file), metadata, sensor) for key, file in present.items()),
        sensor=sensor.key if sensor else None,
        date=date_from_text(metadata.get("IMAGE_ATTRIBUTES", "DATE_ACQUIRED")),
        details=_details(metadata, [_band_name(key, metadata) for key in missing], container),
        missing=tuple((_band_name(key, metadata), _role(key, sensor), file) for key, file in missing.items()),
    )


def product_id_of(name: str, *suffixes: str) -> str | None:
    """Return what the names of all files of a product begin with; None where a file is no metadata of Landsat.

    Args:
        name: The file.
        suffixes: Ends of names that count, in any case; all where there is none.
    """
    ends = [end for end in suffixes or METADATA_SUFFIXES if name.lower().endswith(end.lower())]
    return (name[: -len(ends[0])] or None) if ends else None


def _parse(content: bytes, name: str, where: str) -> _Groups:
    if name.lower().endswith(".xml"):
        root = parse_xml(content, where)
        return {local_name(group): {local_name(key): (key.text or "").strip() for key in group} for group in root}
    if name.lower().endswith(".json"):
        groups = parse_json_object(content, where).get(_ROOT)
        if not isinstance(groups, dict) or not all(isinstance(group, dict) for group in groups.values()):
            raise bad_metadata(where, f"it must hold {_ROOT} with groups of keys")
        return {group: {key: str(value) for key, value in keys.items()} for group, keys in groups.items()}
    return _parse_odl(decode_text(content, where))


def _parse_odl(text: str) -> _Groups:
    """Parse ``KEY = value`` lines between ``GROUP = name`` and ``END_GROUP``; the innermost group counts."""
    groups: dict[str, dict[str, str]] = {}
    open_groups: list[str] = []
    for match in filter(None, map(_LINE.match, text.splitlines())):
        key, value = match["key"], match["value"]
        if key == "GROUP":
            open_groups.append(value)
        elif key == "END_GROUP":
            open_groups = open_groups[:-1]
        elif open_groups:
            groups.setdefault(open_groups[-1], {})[key] = value
    return groups


def _check_collection(metadata: _Metadata) -> None:
    number = metadata.find("PRODUCT_CONTENTS", "COLLECTION_NUMBER")
    if number is None or number.lstrip("0") != "2":
        raise ItemError(
            "Cannot read a Landsat product",
            reason="unsupported-product",
            where=metadata.where,
            rule=f"it must be of Collection 2, got COLLECTION_NUMBER {number or 'none'} in PRODUCT_CONTENTS",
            action="Fetch the scene from Collection 2, or convert its files from another folder as plain GeoTIFFs",
        )


def _sensor(metadata: _Metadata) -> Sensor | None:
    spacecraft = metadata.get("IMAGE_ATTRIBUTES", "SPACECRAFT_ID")
    instrument = metadata.get("IMAGE_ATTRIBUTES", "SENSOR_ID")
    if spacecraft in ("LANDSAT_8", "LANDSAT_9"):
        return LANDSAT_8
    if spacecraft == "LANDSAT_7":
        return LANDSAT_7
    if spacecraft in ("LANDSAT_4", "LANDSAT_5") and instrument == "TM":
        return LANDSAT_5
    return None  # the multispectral scanners: their bands have numbers and no roles here


def _band_files(metadata: _Metadata) -> dict[str, str]:
    """Return the file of each band by the end of its key, such as ``4``, ``ST_B10`` or ``6_VCID_1``, by number."""
    contents = metadata.groups.get("PRODUCT_CONTENTS", {})
    files = {key.removeprefix(_BAND_KEY): file for key, file in contents.items() if key.startswith(_BAND_KEY)}
    return dict(sorted(files.items(), key=lambda item: (_band_number(item[0]), item[0])))


def _band_number(key: str) -> int:
    digits = re.search(r"\d+", key)
    return int(digits[0]) if digits else 0


def _band_name(key: str, metadata: _Metadata) -> str:
    if not key[0].isdigit():
        return key
    return f"SR_B{key}" if metadata.is_level_2 else f"B{key}"


def _role(key: str, sensor: Sensor | None) -> str | None:
    if key.endswith("VCID_2"):
        return None  # the same band once more, with the high gain
    preset = sensor.band(f"B{_band_number(key)}") if sensor else None
    return preset.role if preset else None


def _band(key: str, path: str, metadata: _Metadata, sensor: Sensor | None) -> Band:
    name = _band_name(key, metadata)
    role = _role(key, sensor)
    # The thermal band with the high gain has no role, but what it measures is that of the other.
    is_thermal = (_role(key.replace("VCID_2", "VCID_1"), sensor) or "").startswith("thermal")
    group, quantity = _factors(metadata, is_thermal)
    return Band(
        name=name,
        role=role,
        path=path,
        number=1,
        scale=metadata.number(group, f"{quantity}_MULT_BAND_{key}"),
        offset=metadata.number(group, f"{quantity}_ADD_BAND_{key}"),
        nodata=_FILL,
        gsd_m=_gsd_m(metadata, role, is_thermal),
    )


def _factors(metadata: _Metadata, is_thermal: bool) -> tuple[str, str]:
    """Return the group with the factors of a band, and the quantity in their keys."""
    if metadata.is_level_2:
        return (_TEMPERATURE, "TEMPERATURE") if is_thermal else (_SURFACE, "REFLECTANCE")
    return _RESCALING, "RADIANCE" if is_thermal else "REFLECTANCE"


def _gsd_m(metadata: _Metadata, role: str | None, is_thermal: bool) -> float | None:
    kind = "PANCHROMATIC" if role == "pan" else "THERMAL" if is_thermal else "REFLECTIVE"
    key = f"GRID_CELL_SIZE_{kind}"
    value = metadata.find("PROJECTION_ATTRIBUTES", key)
    return None if value is None else finite(value, f"PROJECTION_ATTRIBUTES/{key}", metadata.where)


def _details(metadata: _Metadata, missing: list[str], container: Container) -> tuple[tuple[str, str], ...]:
    level_2 = metadata.is_level_2
    details = [
        ("level", metadata.get("PRODUCT_CONTENTS", "PROCESSING_LEVEL")),
        ("spacecraft", metadata.get("IMAGE_ATTRIBUTES", "SPACECRAFT_ID")),
        ("quantity", "surface reflectance" if level_2 else "top-of-atmosphere reflectance, not corrected for the sun"),
        ("thermal_quantity", "surface temperature in K" if level_2 else "radiance in W/(m2 sr um)"),
    ]
    if missing:
        details.append(("missing_bands", ", ".join(missing)))
    quality = metadata.find("PRODUCT_CONTENTS", "FILE_NAME_QUALITY_L1_PIXEL")
    if quality and container.has(quality):
        details.append(("quality", quality))
    return tuple(details)
