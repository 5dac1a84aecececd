"""Reads Sentinel-2 products in SAFE format, Level-1C and Level-2A: which bands there are and what their values mean.

A product is a folder with MTD_MSIL1C.xml or MTD_MSIL2A.xml, and JPEG 2000 files below GRANULE/*/IMG_DATA, in Level-2A
by resolution (ESA, Sentinel-2 Products Specification Document, compact naming, in use since December 2016).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

from domainvl.errors import ItemError

from .container import Container, join_uri
from .dates import date_from_text
from .metadata import bad_metadata, finite, local_name, only_text, parse_xml, texts
from .product import Band, Product
from .sensors import SENTINEL_2

METADATA_NAMES = ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml")

_BAND_IDS = ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12")
"""Band by ``band_id`` of the offsets, from 0 (ESA, products specification: physicalBand of Spectral_Information)."""

_NATIVE_M = {"B02": 10, "B03": 10, "B04": 10, "B08": 10, "B01": 60, "B09": 60, "B10": 60}
"""Side of a pixel of each band in Level-1C, where the names of files do not say it; the others have 20 m."""

_IMAGE = re.compile(r"_(?P<band>B\d\d|B8A|[A-Z]{3})(?:_(?P<gsd>10|20|60)m)?$")
_SUFFIXES = (".jp2", ".tif")
"""As ESA delivers them, and as clouds repack them (Planetary Computer keeps the layout with .tif)."""

_OFFSET_SINCE = 4.0
"""First processing baseline that stores reflectance with an offset (ESA, 04.00, January 2022)."""

_OWN_PROCESSING = 99.0
"""From here on the baseline is that of a user's own Sen2Cor (99.99), which follows its input."""


@dataclass(frozen=True)
class _Level:
    """What differs between the levels: tags of the metadata, and a name for people."""

    name: str
    quantification: str
    offset: str


_LEVELS = {
    "MTD_MSIL1C.xml": _Level("L1C", "QUANTIFICATION_VALUE", "RADIO_ADD_OFFSET"),
    "MTD_MSIL2A.xml": _Level("L2A", "BOA_QUANTIFICATION_VALUE", "BOA_ADD_OFFSET"),
}


@dataclass(frozen=True)
class _Values:
    """How stored values become reflectance, and facts worth keeping."""

    baseline: str
    quantification: float
    offsets: Mapping[str, float]
    nodata: float | None


@dataclass(frozen=True)
class _Images:
    """The best file of each band, what else there is, and what is named but missing.

    Attributes:
        files: File and side of a pixel of each band that is there.
        others: What is no spectral band.
        missing: The finest file of each band that is not there at all.
        finer: The finest file of each band that is there in coarser pixels only.
    """

    files: Mapping[str, tuple[str, float]]
    others: Sequence[str]
    missing: Mapping[str, str]
    finer: Mapping[str, str]


def read_safe(container: Container, metadata_name: str, *, uri: str, name: str) -> Product:
    """Read the metadata of a product; no pixels.

    Args:
        container: The product's folder, packed or not.
        metadata_name: One of :data:`METADATA_NAMES`.
        uri: The product in messages and in the data set.
        name: Its name without extension.

    Returns:
        Its bands in the order of ``band_id``, each in the finest resolution there is; bands without a file are in
        ``missing``. Files that are no spectral bands are named in ``details``, and so are, as ``coarser_bands``, bands
        whose finest file is not there.

    Raises:
        ItemError: If the metadata is missing something or no band is there.
    """
    level, where = _LEVELS[metadata_name], join_uri(container.uri, metadata_name)
    root = parse_xml(container.read(metadata_name), where)
    values = _read_values(root, level, where)
    images = _find_images(root, container, where)
    if not images.files:
        raise ItemError(
            "There is no band",
            reason="no-bands",
            where=where,
            rule=f"none of the files that it names is there, such as {', '.join(list(images.missing.values())[:3])}",
            action="Fetch the whole product again",
        )
    bands = [_band(name, images.files[name], values, container) for name in _BAND_IDS if name in images.files]
    return Product(
        uri=uri,
        name=name,
        kind="sentinel-2-safe",
        path=container.location,
        files=container.local_files([metadata_name, *(images.files[band.name][0] for band in bands)]),
        bands=tuple(bands),
        sensor=SENTINEL_2.key,
        date=_date(root),
        details=_details(level, values, images),
        missing=tuple((name, _role(name), file) for name, file in images.missing.items()),
    )


def explain_no_metadata(names: Sequence[str], uri: str) -> ItemError:
    """Say why a folder that ends in .SAFE is no product that is read.

    Args:
        names: Files directly in it.
        uri: The folder in messages.
    """
    if any(re.match(r"S2[A-Z]_.*MTD_SAF.*\.xml$", name) for name in names):
        rule = "it is in the format from before December 2016, with many granules in one product"
        action = "Fetch the scene again as it is delivered today, one product a tile"
    elif re.match(r".*\bS1[A-Z]_", uri):
        rule = "it is of Sentinel-1, whose pixels have no map coordinates yet and are not calibrated"
        action = "Calibrate and correct it for terrain, with SNAP for example, and convert the GeoTIFF"
    else:
        rule, action = f"it has no {' or '.join(METADATA_NAMES)}", "Fetch the whole product again"
    return ItemError("Cannot read a product", reason="unsupported-product", where=uri, rule=rule, action=action)


def _read_values(root: ElementTree.Element, level: _Level, where: str) -> _Values:
    baseline = only_text(root, "PROCESSING_BASELINE", where)
    quantification = finite(only_text(root, level.quantification, where), level.quantification, where)
    if quantification <= 0:
        raise bad_metadata(where, f"{level.quantification} must be above 0, got {quantification:g}")
    offsets = _offsets(root, level, where)
    number = finite(baseline, "PROCESSING_BASELINE", where)
    if not offsets and _OFFSET_SINCE <= number < _OWN_PROCESSING:
        rule = f"baseline {baseline} stores reflectance with an offset, and there is no {level.offset}"
        raise bad_metadata(where, rule, "Fetch the metadata again; without it, reflectance would be wrong by 0.1")
    return _Values(baseline, quantification, offsets, _nodata(root, where))


def _offsets(root: ElementTree.Element, level: _Level, where: str) -> dict[str, float]:
    offsets: dict[str, float] = {}
    for element in root.iter():
        if local_name(element) == level.offset:
            band_id = element.get("band_id", "")
            if not band_id.isdecimal() or int(band_id) >= len(_BAND_IDS):
                raise bad_metadata(
                    where, f"band_id of {level.offset} must be 0 to {len(_BAND_IDS) - 1}, got {band_id!r}"
                )
            offsets[_BAND_IDS[int(band_id)]] = finite(element.text, level.offset, where)
    return offsets


def _nodata(root: ElementTree.Element, where: str) -> float | None:
    for element in root.iter():
        if local_name(element) == "Special_Values" and texts(element, "SPECIAL_VALUE_TEXT") == ["NODATA"]:
            return finite(only_text(element, "SPECIAL_VALUE_INDEX", where), "SPECIAL_VALUE_INDEX", where)
    return None


def _find_images(root: ElementTree.Element, container: Container, where: str) -> _Images:
    images = texts(root, "IMAGE_FILE")
    granules = {image.partition("/IMG_DATA/")[0] for image in images}
    if len(granules) != 1:
        rule = f"its images must lie in one granule, got {len(granules)}"
        raise bad_metadata(where, rule, "Fetch the scene as it is delivered since December 2016, one product a tile")
    best: dict[str, tuple[str, float]] = {}
    finest: dict[str, tuple[str, float]] = {}
    others: set[str] = set()
    for image in images:
        match = _IMAGE.search(image)
        if match is None or match["band"] not in _BAND_IDS:
            others.add(match["band"] if match else image.rpartition("/")[2])
            continue
        name = match["band"]
        gsd_m = float(match["gsd"] or _NATIVE_M.get(name, 20))
        file = next((image + suffix for suffix in _SUFFIXES if container.has(image + suffix)), None)
        for found, candidate in ((finest, file or image + _SUFFIXES[0]), (best, file)):
            if candidate is not None and (name not in found or gsd_m < found[name][1]):
                found[name] = (candidate, gsd_m)
    named = {name: finest[name][0] for name in _BAND_IDS if name in finest}
    missing = {name: file for name, file in named.items() if name not in best}
    finer = {name: file for name, file in named.items() if name in best and best[name][1] > finest[name][1]}
    return _Images(best, sorted(others), missing, finer)


def _role(name: str) -> str | None:
    preset = SENTINEL_2.band(name)
    return preset.role if preset else None


def _band(name: str, file: tuple[str, float], values: _Values, container: Container) -> Band:
    if values.offsets and name not in values.offsets:
        raise bad_metadata(container.uri, f"there is an offset for other bands and none for {name}")
    return Band(
        name=name,
        role=_role(name),
        path=container.address(file[0]),
        number=1,
        scale=1.0 / values.quantification,
        offset=values.offsets.get(name, 0.0) / values.quantification,
        nodata=values.nodata,
        gsd_m=file[1],
    )


def _date(root: ElementTree.Element) -> str | None:
    """Return the day of the datatake, which the product's name has too, or of the product's first line."""
    starts = [*texts(root, "DATATAKE_SENSING_START"), *texts(root, "PRODUCT_START_TIME")]
    return next((day for start in starts if (day := date_from_text(start))), None)


def _details(level: _Level, values: _Values, images: _Images) -> tuple[tuple[str, str], ...]:
    details = [
        ("level", level.name),
        ("processing_baseline", values.baseline),
        ("quantity", "surface reflectance" if level.name == "L2A" else "top-of-atmosphere reflectance"),
    ]
    if images.missing:
        details.append(("missing_bands", ", ".join(images.missing)))
    if images.finer:
        coarser = [f"{name} with {images.files[name][1]:g} m" for name in images.finer]
        details.append(("coarser_bands", ", ".join(coarser)))
    if images.others:
        details.append(("not_bands", ", ".join(images.others)))
    return tuple(details)
