"""The sensors that are known by name: their bands, what each measures, and how stacked files order them; composites.

Roles, in lower case: coastal, blue, green1, green, yellow, red, rededge1 to rededge3, nir, nir-narrow, water-vapour,
cirrus, swir1, swir2, thermal1, thermal2, pan, vv, vh, hh, hv. A role means the same thing on every sensor, while
``B4`` does not: it is red on Sentinel-2 and Landsat 8, near infrared on Landsat 5 and 7.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class BandPreset:
    """One band of a sensor.

    Attributes:
        name: As its producer calls it.
        role: What it measures.
        aliases: Other names in the descriptions of files, in lower case.
    """

    name: str
    role: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sensor:
    """One sensor, or several alike.

    Attributes:
        key: By which settings name it.
        title: For people.
        bands: Its bands.
        orders: Orders of bands, by name, in stacked files; each of another length, so that the count decides.
        is_delivered_stacked: Whether its producer delivers such files, so that the order follows from the name of a
            file; otherwise the order is a habit of those who stack, which only a user's word for the sensor justifies.
        source: Where all of this is stated.
    """

    key: str
    title: str
    bands: tuple[BandPreset, ...]
    orders: tuple[tuple[str, ...], ...] = ()
    is_delivered_stacked: bool = False
    source: str = ""

    def band(self, name: str) -> BandPreset | None:
        """Find a band by its name or an alias, in any case."""
        wanted = name.strip().lower()
        return next((band for band in self.bands if wanted in (band.name.lower(), *band.aliases)), None)


def _sentinel_2(name: str, role: str) -> BandPreset:
    return BandPreset(name, role, (name.replace("B0", "B").lower(),) if name.startswith("B0") else ())


def _landsat(name: str, role: str) -> BandPreset:
    number = name.removeprefix("B")
    thermal = role.startswith("thermal")
    prefixed = (f"st_b{number}",) if thermal else (f"sr_b{number}", f"toa_b{number}")
    padded = (f"b{number:0>2}",) if number.isdecimal() and len(number) == 1 else ()
    return BandPreset(name, role, (*prefixed, *padded, f"band_{number}".lower()))


_THEMATIC_MAPPER = (
    _landsat("B1", "blue"),
    _landsat("B2", "green"),
    _landsat("B3", "red"),
    _landsat("B4", "nir"),
    _landsat("B5", "swir1"),
    _landsat("B6", "thermal1"),
    _landsat("B7", "swir2"),
)
_TM_ORDERS = (("B1", "B2", "B3", "B4", "B5", "B7"), ("B1", "B2", "B3", "B4", "B5", "B6", "B7"))

SENTINEL_2 = Sensor(
    key="sentinel-2",
    title="Sentinel-2 MSI",
    bands=(
        _sentinel_2("B01", "coastal"),
        _sentinel_2("B02", "blue"),
        _sentinel_2("B03", "green"),
        _sentinel_2("B04", "red"),
        _sentinel_2("B05", "rededge1"),
        _sentinel_2("B06", "rededge2"),
        _sentinel_2("B07", "rededge3"),
        _sentinel_2("B08", "nir"),
        _sentinel_2("B8A", "nir-narrow"),
        _sentinel_2("B09", "water-vapour"),
        _sentinel_2("B10", "cirrus"),
        _sentinel_2("B11", "swir1"),
        _sentinel_2("B12", "swir2"),
    ),
    orders=(
        ("B02", "B03", "B04", "B08"),
        ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
        ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"),
        ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12"),
    ),
    source="bands: GDAL, SENTINEL2 driver, table of bands; order: band_id of the product metadata, of the 10 m bands, "
    "of those at 10 and 20 m, of Level-2A, of Level-1C",
)

LANDSAT_8 = Sensor(
    key="landsat-8",
    title="Landsat 8 and 9 OLI/TIRS",
    bands=(
        _landsat("B1", "coastal"),
        _landsat("B2", "blue"),
        _landsat("B3", "green"),
        _landsat("B4", "red"),
        _landsat("B5", "nir"),
        _landsat("B6", "swir1"),
        _landsat("B7", "swir2"),
        _landsat("B8", "pan"),
        _landsat("B9", "cirrus"),
        _landsat("B10", "thermal1"),
        _landsat("B11", "thermal2"),
    ),
    orders=(
        ("B2", "B3", "B4", "B5", "B6", "B7"),
        ("B1", "B2", "B3", "B4", "B5", "B6", "B7"),
        ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8", "B9", "B10", "B11"),
    ),
    source="USGS, What are the band designations for the Landsat satellites?",
)

LANDSAT_7 = Sensor(
    key="landsat-7",
    title="Landsat 7 ETM+",
    bands=(*_THEMATIC_MAPPER, _landsat("B8", "pan")),
    orders=(*_TM_ORDERS, ("B1", "B2", "B3", "B4", "B5", "B6", "B7", "B8")),
    source=LANDSAT_8.source,
)

LANDSAT_5 = Sensor(
    key="landsat-5",
    title="Landsat 4 and 5 TM",
    bands=_THEMATIC_MAPPER,
    orders=_TM_ORDERS,
    source=LANDSAT_8.source,
)

NAIP = Sensor(
    key="naip",
    title="NAIP aerial photographs",
    bands=(BandPreset("R", "red"), BandPreset("G", "green"), BandPreset("B", "blue"), BandPreset("N", "nir")),
    orders=(("R", "G", "B"), ("R", "G", "B", "N")),
    is_delivered_stacked=True,
    source="USDA FPAC, NAIP information sheet: red, green, blue, near infrared; cameras differ by contractor and year",
)

PLANETSCOPE = Sensor(
    key="planetscope",
    title="PlanetScope, 4 bands or 8 bands (SuperDove)",
    bands=(
        BandPreset("coastal_blue", "coastal"),
        BandPreset("blue", "blue"),
        BandPreset("green_i", "green1"),
        BandPreset("green", "green", aliases=("green_ii",)),
        BandPreset("yellow", "yellow"),
        BandPreset("red", "red"),
        BandPreset("rededge", "rededge1"),
        BandPreset("nir", "nir"),
    ),
    orders=(
        ("blue", "green", "red", "nir"),
        ("coastal_blue", "blue", "green_i", "green", "yellow", "red", "rededge", "nir"),
    ),
    is_delivered_stacked=True,
    source="Planet, PSScene item type, and PlanetScope 8-band asset: band order",
)

SENTINEL_1 = Sensor(
    key="sentinel-1",
    title="Sentinel-1 C-SAR",
    bands=tuple(BandPreset(name, name.lower()) for name in ("VV", "VH", "HH", "HV")),
    orders=(("VV", "VH"),),
    source="ESA, Sentinel-1 product specification: dual polarisation VV+VH over land",
)

RGB = Sensor(
    key="rgb",
    title="Red, green, blue",
    bands=(BandPreset("R", "red"), BandPreset("G", "green"), BandPreset("B", "blue")),
    orders=(("R", "G", "B"),),
    source="order of the bands as the user states it",
)

SENSORS: Mapping[str, Sensor] = {
    sensor.key: sensor for sensor in (SENTINEL_2, LANDSAT_8, LANDSAT_7, LANDSAT_5, NAIP, PLANETSCOPE, SENTINEL_1, RGB)
}

COMPOSITES: Mapping[str, tuple[str, str, str]] = {
    "true-colour": ("red", "green", "blue"),
    "false-colour": ("nir", "red", "green"),
    "swir": ("swir2", "nir", "red"),
    "agriculture": ("swir1", "nir", "blue"),
    "urban": ("swir2", "swir1", "red"),
}
"""What is shown as red, green and blue, by role.

These are the usual band combinations (USGS, Common Landsat Band Combinations; Sentinel Hub, composites)."""

INDICES: Mapping[str, tuple[str, str]] = {
    # Rouse, Haas, Schell, Deering: Monitoring vegetation systems in the Great Plains with ERTS, NASA SP-351, 1974.
    "ndvi": ("nir", "red"),
    # McFeeters: The use of the normalized difference water index, 1996, doi:10.1080/01431169608948714.
    "ndwi": ("green", "nir"),
    # Xu: Modification of normalised difference water index, 2006, doi:10.1080/01431160600589179.
    "mndwi": ("green", "swir1"),
    # Zha, Gao, Ni: Use of normalized difference built-up index, 2003, doi:10.1080/01431160304987.
    "ndbi": ("swir1", "nir"),
    # Key, Benson: Landscape assessment, in FIREMON, USDA RMRS-GTR-164-CD, 2006.
    "nbr": ("nir", "swir2"),
}
"""Normalised differences (a - b) / (a + b) of two roles, on physical values: an offset left in changes them."""
