"""Writes what was found as polygons with attributes: GeoJSON, or GeoPackage.

GeoJSON in longitude and latitude (WGS 84) is that of RFC 7946. In another CRS it is the GeoJSON of 2008, with a member
``crs`` as GDAL writes and reads it; RFC 7946 has dropped that member, and readers that follow it alone take the
coordinates for degrees. Without any CRS the coordinates are pixels, and the member ``coordinates`` says so.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from domainvl.errors import UsageError
from domainvl.files import output_errors, write_atomically
from domainvl.prediction.outputs import check_new_files

if TYPE_CHECKING:
    from rasterio.crs import CRS

Ring: TypeAlias = Sequence[tuple[float, float]]
"""Corners of a polygon, x before y, the first not repeated, counter-clockwise where y points up."""

FORMATS: Mapping[str, str] = {".geojson": "GeoJSON", ".json": "GeoJSON", ".gpkg": "GPKG"}
"""Formats by the end of a file's name, as GDAL calls them."""

RECORD_SUFFIX = ".run.json"
"""Added to a file's name, it names the record of the run that made it."""

PIXEL_COORDINATES = "pixels of the scene: x from its left edge, y down from its upper edge"

_DEGREE_DECIMALS = 9
"""A tenth of a millimetre."""

_LENGTH_DECIMALS = 4
"""A tenth of a millimetre; of pixels a ten-thousandth."""

_LAYER = "predictions"


@dataclass(frozen=True)
class Feature:
    """One polygon.

    Attributes:
        ring: Its corners, in the CRS of the file.
        attributes: What is said of it; the same names for all features of a file.
    """

    ring: Ring
    attributes: Mapping[str, str | float | int | bool | None]


def check_output(out: Path, *, overwrite: bool) -> None:
    """Check that a file can be written, before the work begins.

    Args:
        out: The file.
        overwrite: Whether one that is there is replaced.

    Raises:
        UsageError: If its name does not tell the format, or it is there.
    """
    if out.suffix.lower() not in FORMATS:
        rule = f"its name must end in {', '.join(FORMATS)}, got {out.name!r}"
        raise UsageError("Cannot write predictions", where=out, rule=rule)
    check_new_files((out, record_path(out)), overwrite=overwrite)


def check_crs(out: Path, crs: CRS | None) -> None:
    """Check that the format of a file can name a CRS.

    Raises:
        UsageError: If it cannot.
    """
    is_geojson = FORMATS[out.suffix.lower()] == "GeoJSON"
    if crs is None and not is_geojson:
        raise UsageError(
            "Cannot write predictions",
            where=out,
            rule="the scene has no georeference, so that only pixels can be written, in GeoJSON",
            action="Name a file that ends in .geojson, or write the georeference into the scene",
        )
    if crs is not None and is_geojson and _epsg(crs) is None:
        raise UsageError(
            "Cannot write predictions",
            where=out,
            rule="GeoJSON can name a CRS by its EPSG code only, and that of the scene has none",
            action="Use --out-crs EPSG:4326, or name a file that ends in .gpkg",
        )


def record_path(out: Path) -> Path:
    """Return the file with the record of the run."""
    return out.with_name(out.name + RECORD_SUFFIX)


def write_features(out: Path, features: Sequence[Feature], crs: CRS | None, names: Sequence[str]) -> None:
    """Write polygons; under the file's name there is all of it or nothing.

    Args:
        out: The file.
        features: What to write.
        crs: CRS of the corners; None for pixels.
        names: Names of the attributes, in order.

    Raises:
        OutputError: If it cannot be written.
    """
    if FORMATS[out.suffix.lower()] == "GeoJSON":
        write_atomically(out, _geojson(features, crs, names).encode())
    elif crs is not None:
        _write_geopackage(out, features, crs, names)


def write_record(out: Path, record: Mapping[str, Any]) -> Path:
    """Write how a file was made beside it, and return where."""
    path = record_path(out)
    write_atomically(path, (json.dumps(record, ensure_ascii=False, indent=1) + "\n").encode())
    return path


def _epsg(crs: CRS) -> int | None:
    code: int | None = crs.to_epsg(confidence_threshold=100)
    return code


def _geojson(features: Sequence[Feature], crs: CRS | None, names: Sequence[str]) -> str:
    """Write one feature a line."""
    head: dict[str, Any] = {"type": "FeatureCollection", "name": _LAYER}
    if crs is None:
        head["coordinates"] = PIXEL_COORDINATES
    elif _epsg(crs) != 4326:
        head["crs"] = {"type": "name", "properties": {"name": f"urn:ogc:def:crs:EPSG::{_epsg(crs)}"}}
    decimals = _DEGREE_DECIMALS if crs is not None and crs.is_geographic else _LENGTH_DECIMALS
    lines = []
    for feature in features:
        ring = [[round(x, decimals), round(y, decimals)] for x, y in (*feature.ring, feature.ring[0])]
        lines.append(
            json.dumps(
                {
                    "type": "Feature",
                    "properties": {name: feature.attributes[name] for name in names},
                    "geometry": {"type": "Polygon", "coordinates": [ring]},
                },
                ensure_ascii=False,
            )
        )
    start = json.dumps(head, ensure_ascii=False).removesuffix("}")
    return f'{start}, "features": [\n' + ",\n".join(lines) + "\n]}\n"


def _write_geopackage(out: Path, features: Sequence[Feature], crs: CRS, names: Sequence[str]) -> None:
    import numpy as np
    from pyogrio.raw import write
    from shapely import Polygon, to_wkb

    code = _epsg(crs)
    partial = out.with_name(f".{out.stem}.partial.gpkg")
    with output_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)
        try:
            write(
                partial,
                np.array([to_wkb(Polygon(feature.ring)) for feature in features], dtype=object),
                [_column([feature.attributes[name] for feature in features], name) for name in names],
                list(names),
                layer=_LAYER,
                driver="GPKG",
                geometry_type="Polygon",
                crs=crs.to_wkt() if code is None else f"EPSG:{code}",
            )
            os.replace(partial, out)
        finally:
            partial.unlink(missing_ok=True)


_TYPES: Mapping[str, type] = {"likelihood": float, "cut": bool, "pieces": int}
"""Types of the attributes that are no text; a column without values does not tell its own."""


def _column(values: Sequence[Any], name: str) -> Any:
    import numpy as np

    return np.array(values, dtype=_TYPES.get(name, object))
