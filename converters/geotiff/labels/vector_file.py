"""Vector label files: what one says about itself, and its features read by place."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import shapely
from rasterio.crs import CRS
from rasterio.errors import CRSError

from domainvl.errors import ItemError, UsageError

from ..georeference import Bounds
from .ogr import list_layers, read_boxes, read_info, read_raw
from .placed import Geometries

IN_MEMORY_BYTES = 128 << 20
"""Files up to this size whose format has no spatial index are read once and kept."""

_GEOJSON_SUFFIXES = (".geojson", ".json")
_HEAD_BYTES = 1 << 16
_LEGACY_CRS = re.compile(rb'"crs"\s*:\s*(\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\})')
"""The ``crs`` member of the GeoJSON of 2008 (geojson.org/geojson-spec, section 3), which RFC 7946 took away."""


@dataclass(frozen=True)
class Features:
    """Features of a label file in its own CRS, one row each, in the order of their ids.

    Attributes:
        fids: Feature ids of the file.
        geometries: shapely geometries; None where a feature has none that can be read.
        columns: Attributes by name.
    """

    fids: npt.NDArray[np.int64]
    geometries: Geometries
    columns: dict[str, npt.NDArray[Any]]

    def take(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return some of the rows."""
        return Features(
            self.fids[rows], self.geometries[rows], {name: column[rows] for name, column in self.columns.items()}
        )


@dataclass(frozen=True)
class VectorFile:
    """A label file, looked at but not read.

    Attributes:
        path: The file.
        uri: The name by which it may be mentioned.
        layer: Layer in the file.
        crs: Its CRS.
        field: Attribute with the class name, or None where all features are of one class.
        one_class: That class.
        feature_count: Number of features.
        indexed: Whether its format finds features by place without reading all.
        bounds: The box around all features, in its CRS.
    """

    path: Path
    uri: str
    layer: str
    crs: str
    field: str | None
    one_class: str | None
    feature_count: int
    indexed: bool
    bounds: Bounds


class LabelReader:
    """Reads features by place, and keeps the last file whose format would have it read as a whole each time."""

    def __init__(self) -> None:
        self._kept: tuple[VectorFile, int, Features, shapely.STRtree] | None = None

    def read(self, file: VectorFile, boxes: Sequence[Bounds]) -> Features:
        """Read the features whose own boxes meet one of ``boxes``, given in the file's CRS.

        Raises:
            ItemError: If the file cannot be read.
        """
        stat = file.path.stat()
        if file.indexed or stat.st_size > IN_MEMORY_BYTES:
            return _merged([_read_features(file, bounds) for bounds in boxes])
        if self._kept is None or self._kept[:2] != (file, stat.st_mtime_ns):
            features = _read_features(file, None)
            self._kept = (file, stat.st_mtime_ns, features, shapely.STRtree(features.geometries))
        _, _, features, tree = self._kept
        _, rows = tree.query(shapely.box(*np.array(boxes).T))
        return features.take(np.unique(rows))

    def __getstate__(self) -> dict[str, Any]:
        # Every process reads for itself.
        return {"_kept": None}


def look_at_vector_file(
    path: Path, uri: str, *, field: str | None, one_class: str | None, layer: str | None
) -> VectorFile:
    """Find out what a label file holds.

    Args:
        path: The file: GeoJSON, Shapefile (zipped too), GeoPackage or FlatGeobuf.
        uri: The name by which it may be mentioned.
        field: Attribute with the class name; the only one where there is one and nothing is said.
        one_class: One class for all features, instead.
        layer: Layer, where there are several.

    Raises:
        UsageError: If it cannot be read, has no CRS or one that its coordinates cannot have, or field or layer are
            not in it.
    """
    layer, info = _read_info(path, layer)
    if info["crs"] is None:
        raise UsageError(
            "Cannot place labels",
            where=path,
            rule="it has no coordinate reference system"
            + (" (the .prj file is missing)" if path.suffix.lower() in (".shp", ".zip") else ""),
            action="Add the .prj file or write the file again with its CRS; it is never guessed",
        )
    if path.suffix.lower() in _GEOJSON_SUFFIXES:
        _check_legacy_crs(path)
    fields = [str(name) for name in info["fields"]]
    if field is None and one_class is None and len(fields) == 1:
        field = fields[0]
    _check_field(path, field, one_class, fields, int(info["features"]))
    indexed = bool(info["capabilities"]["fast_spatial_filter"])
    left, bottom, right, top = info["total_bounds"] or (0.0, 0.0, 0.0, 0.0)  # none where nothing has a place
    bounds = (float(left), float(bottom), float(right), float(top))
    _check_degrees(path, layer, str(info["crs"]), bounds)
    return VectorFile(path, uri, layer, str(info["crs"]), field, one_class, int(info["features"]), indexed, bounds)


def _read_info(path: Path, layer: str | None) -> tuple[str, dict[str, Any]]:
    try:
        layers = list_layers(path, path.name)
        if layer is None and len(layers) == 1:
            layer = layers[0]
        if layer not in layers:
            raise UsageError(
                "Cannot choose a layer",
                where=path,
                rule=f"it has {', '.join(layers) or 'none'}" + (f", not {layer}" if layer else ""),
                action="Name one with --layer",
            )
        return layer, read_info(path, path.name, layer)
    except ItemError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: ItemError) -> UsageError:
    """Say of a label file as a whole what reading it said."""
    return UsageError(error.what, where=path, rule=error.rule, action=error.action)


def _check_legacy_crs(path: Path) -> None:
    """Refuse a ``crs`` member that GDAL does not understand: it would take longitude and latitude without a word."""
    with path.open("rb") as lines:
        head, _, _ = lines.read(_HEAD_BYTES).partition(b'"features"')
    member = _LEGACY_CRS.search(head)
    if member is None:
        return
    try:
        name = json.loads(member[1])["properties"]["name"]
        CRS.from_user_input(name)
    except (CRSError, KeyError, TypeError, ValueError) as error:
        raise UsageError(
            "Cannot place labels",
            where=path,
            rule=f"its crs member names no known coordinate reference system: {member[1].decode(errors='replace')}",
            action="Name one by its EPSG number, as in urn:ogc:def:crs:EPSG::32633, or leave it out for degrees",
        ) from error


def _check_degrees(path: Path, layer: str, crs: str, bounds: Bounds) -> None:
    """Refuse coordinates that no angle can have: they are metres with the wrong CRS."""
    parsed = CRS.from_user_input(crs)
    if not parsed.is_geographic or not all(map(math.isfinite, bounds)):
        return
    turn = full_turn(parsed)
    left, bottom, right, top = bounds
    if max(-left, right) <= turn and max(-bottom, top) <= turn / 4 * (1 + 1e-9):
        return
    _, boxes = read_boxes(path, path.name, layer)
    beyond = (np.abs(boxes[:, [0, 2]]) > turn).any(axis=1) | (np.abs(boxes[:, [1, 3]]) > turn / 4).any(axis=1)
    first = int(np.argmax(beyond))
    raise UsageError(
        "Cannot place labels",
        where=path,
        rule=f"its CRS {crs} has longitudes within {turn:g} and latitudes within {turn / 4:g}, but {beyond.sum()} of "
        f"{len(boxes)} features lie beyond, one at ({boxes[first, 0]:.10g}, {boxes[first, 1]:.10g}); "
        "these look like metres",
        action="Write the file with the CRS that its coordinates are in, as with ogr2ogr -a_srs EPSG:32633",
    )


def full_turn(crs: CRS) -> float:
    """Return a full turn in the unit of a geographic CRS: 360 degrees, 400 gradians."""
    _, radians = crs.units_factor
    return round(math.tau / float(radians), 9)


def _check_field(
    path: Path, field: str | None, one_class: str | None, fields: Sequence[str], feature_count: int
) -> None:
    known = "its fields are " + ", ".join(fields) if fields else "it has no fields"
    if field is not None and one_class is not None:
        raise UsageError(
            "Cannot tell the classes of labels", where=path, rule="both --label-field and --label-name are given"
        )
    if not feature_count:  # it says that a scene holds nothing
        return
    if field is None and one_class is None:
        raise UsageError(
            "Cannot tell the classes of labels",
            where=path,
            rule=f"neither --label-field nor --label-name is given; {known}",
            action="Name the field with the class in --label-field, or one class for all features in --label-name",
        )
    if field is not None and field not in fields:
        raise UsageError(f"There is no field {field!r}", where=path, rule=known, action="Name one in --label-field")


def _read_features(file: VectorFile, bounds: Bounds | None) -> Features:
    meta, fids, raw, fields = read_raw(file.path, file.uri, layer=file.layer, bbox=bounds)
    found = np.full(len(fids), None, dtype=object) if raw is None else raw
    geometries = parse_wkb(found)
    unread = np.flatnonzero(shapely.is_missing(geometries) & np.array([each is not None for each in found], dtype=bool))
    if len(unread):
        geometries[unread] = _diagonals(file, fids[unread])
    columns = dict(zip(map(str, meta["fields"]), fields, strict=True))
    return Features(fids, geometries, columns)


def _diagonals(file: VectorFile, fids: npt.NDArray[np.int64]) -> Geometries:
    """Return lines across the boxes of geometries that shapely does not read: their place is known all the same."""
    of_all, boxes = read_boxes(file.path, file.uri, file.layer)
    order = np.argsort(of_all)
    rows = order[np.searchsorted(of_all, fids, sorter=order)]
    return np.asarray(shapely.linestrings(boxes[rows].reshape(-1, 2, 2)), dtype=object)


def parse_wkb(geometries: npt.NDArray[Any]) -> Geometries:
    """Make geometries of WKB; None where shapely cannot read one."""
    try:
        # A ring of two points is no error of the file: that feature has no geometry then.
        parsed: Geometries = shapely.from_wkb(geometries, on_invalid="ignore")
        return parsed
    except NotImplementedError:  # curves, which shapely does not read
        one_by_one = np.empty(len(geometries), dtype=object)
        for row, geometry in enumerate(geometries):
            try:
                one_by_one[row] = shapely.from_wkb(geometry, on_invalid="ignore")
            except NotImplementedError:
                one_by_one[row] = None
        return one_by_one


def _merged(parts: Sequence[Features]) -> Features:
    """Put what several boxes found together, each feature once, in the order of the ids."""
    fids = np.concatenate([part.fids for part in parts])
    geometries = np.concatenate([part.geometries for part in parts])
    columns = {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns}
    _, rows = np.unique(fids, return_index=True)
    return Features(fids, geometries, columns).take(rows)


def class_name(value: Any) -> str | None:
    """Write an attribute as the name of a class; None where there is none.

    Whole numbers have no decimal point: formats without empty integers read them as floats.
    """
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def class_names(column: npt.NDArray[Any]) -> list[str | None]:
    """Write the attributes of all features as names of classes; there are few different ones."""
    values = column.tolist()
    names = {value: class_name(value) for value in set(values)}
    return [names[value] for value in values]
