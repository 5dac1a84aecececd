"""Reads STAC items, 1.0 and 1.1: which of their assets are bands, what their values mean, and where they lie.

An item is a GeoJSON feature with ``assets`` (STAC specification, item spec). Its bands stand in ``bands`` (1.1), or in
``eo:bands`` and ``raster:bands`` (1.0 with the extensions EO and raster, version 1). Nothing is fetched.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from domainvl.errors import ItemError

from .addresses import gdal_address, is_remote
from .container import Folder, join_uri
from .dates import date_from_text
from .metadata import bad_metadata, parse_json_object
from .product import Band, Product
from .stac_bands import Json, StacItem, bands_of_asset, give_roles, json_object, missing_bands

_RASTER = re.compile(r"^image/(?:tiff|jp2|vnd\.stac\.geotiff)", re.IGNORECASE)
_NOT_DATA = {"thumbnail", "overview", "visual", "metadata"}
"""Roles of assets that are pictures of the data; some catalogues use them as names and call the asset data all the
same (``visual`` of Sentinel-2 in the Planetary Computer)."""


@dataclass(frozen=True)
class _Place:
    """Where a file of an item is: its address for GDAL, and its name in the data set where it is on disk."""

    address: str
    local_name: str | None


def looks_like_item(content: Json) -> bool:
    """Say whether a JSON object is a STAC item, and not another GeoJSON."""
    return content.get("type") == "Feature" and "stac_version" in content and "assets" in content


def read_stac_item(path: Path, *, uri: str, name: str, allow_remote: bool) -> Product:
    """Read an item; nothing is fetched and no pixels are read.

    Args:
        path: The item, on disk.
        uri: The item in messages and in the data set.
        name: Its name without extension.
        allow_remote: Take assets that lie on the network.

    Returns:
        The bands of its data assets; those without a file are in ``missing``. Assets that are none or missing are named
        in ``details``.

    Raises:
        ItemError: If it is no item, a value of it is unusable, or no band is there.
    """
    content = parse_json_object(Folder(path.parent, uri.rpartition("/")[0]).read(path.name), uri)
    item = StacItem(content, uri)
    assets = _data_assets(item)
    places = {key: _locate(asset, key, path.parent, uri, allow_remote) for key, asset in assets.items()}
    present = {key: place for key, place in places.items() if place is not None}
    if not present:
        raise ItemError(
            "There is no band",
            reason="no-bands",
            where=uri,
            rule=f"no asset is a data raster that is there; it has {', '.join(_all_assets(item)) or 'none'}",
            action="Fetch the assets beside the item",
        )
    absent = {key: asset for key, asset in assets.items() if key not in present}
    described = [bands_of_asset(assets[key], key, place.address, item) for key, place in present.items()]
    bands = tuple(give_roles([band for of_asset in described for band in of_asset], item))
    local = {place.local_name: place.address for place in present.values() if place.local_name}
    return Product(
        uri=uri,
        name=name,
        kind="stac-item",
        path=str(path),
        files=((uri, str(path)), *sorted(local.items())),
        bands=bands,
        sensor=item.sensor,
        date=_date(item),
        details=_details(item, missing=list(absent), data=assets),
        missing=_missing(absent, item, bands),
    )


def _missing(
    assets: Mapping[str, Json], item: StacItem, present: Sequence[Band]
) -> tuple[tuple[str, str | None, str], ...]:
    """Name the bands without a file: name, role, file; a role that a band has which is there is not missing."""
    bands = give_roles([band for key, asset in assets.items() for band in missing_bands(asset, key, item)], item)
    there = {band.role for band in present}
    return tuple((band.name, None if band.role in there else band.role, band.path) for band in bands)


def _all_assets(item: StacItem) -> dict[str, Json]:
    assets = json_object(item.content.get("assets"), "assets", item.where)
    if not looks_like_item(item.content) or not str(item.content["stac_version"]).startswith("1."):
        rule = f"it must be a STAC item of version 1, got stac_version {item.content.get('stac_version')!r}"
        raise bad_metadata(item.where, rule, "Name a STAC item")
    return {key: json_object(assets[key], f"assets/{key}", item.where) for key in sorted(assets)}


def _data_assets(item: StacItem) -> dict[str, Json]:
    """Return the assets that hold measurements: by their role, or where they have none, by type and bands."""
    return {key: asset for key, asset in _all_assets(item).items() if key not in _NOT_DATA and _is_data(asset)}


def _is_data(asset: Json) -> bool:
    roles = asset.get("roles")
    kind = asset.get("type")
    is_raster = kind is None or (isinstance(kind, str) and _RASTER.match(kind) is not None)
    if isinstance(roles, list) and roles:
        return is_raster and "data" in roles and not _NOT_DATA & {role for role in roles if isinstance(role, str)}
    return kind is not None and is_raster and any(asset.get(key) for key in ("bands", "eo:bands"))


def _locate(asset: Json, key: str, folder: Path, uri: str, allow_remote: bool) -> _Place | None:
    """Find the file of an asset; None where it is not on disk.

    Raises:
        ItemError: If it lies on the network and that is not allowed.
    """
    href = asset.get("href")
    if not isinstance(href, str) or not href or "\0" in href:
        raise bad_metadata(uri, f"assets/{key}/href must be a path or URL, got {href!r}")
    address = gdal_address(href)
    if address is not None and is_remote(address):
        if not allow_remote:
            raise ItemError(
                "Cannot use a STAC item",
                reason="remote-not-allowed",
                where=uri,
                rule=f"assets/{key} lies on the network",
                action="Fetch the assets and make their href relative to the item, or allow the network with --remote",
            )
        return _Place(address, None)
    for path in (address or href, unquote(href)):
        file = folder / path
        if file.is_file():
            inside = file.is_relative_to(folder) and ".." not in file.parts
            label = file.relative_to(folder).as_posix() if inside else file.name
            return _Place(str(file), join_uri(uri.rpartition("/")[0], label))
    return None


def _date(item: StacItem) -> str | None:
    texts = [item.properties.get(key) for key in ("datetime", "start_datetime")]
    return next((day for text in texts if isinstance(text, str) and (day := date_from_text(text))), None)


def _details(item: StacItem, *, missing: Sequence[str], data: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    details = [("stac_id", str(item.content.get("id", "")))]
    if item.baseline is not None:
        details.append(("processing_baseline", item.baseline))
    if item.is_offset_applied:
        details.append(("offset", "in the pixels already"))
    if missing:
        details.append(("missing_assets", ", ".join(missing)))
    others = [key for key in _all_assets(item) if key not in data]
    if others:
        details.append(("not_bands", ", ".join(others)))
    return tuple(details)
