"""Vector labels: what a file says about itself, and its features as polygons in a scene's pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyogrio
import rasterio
import shapely
from pyogrio.errors import DataLayerError, DataSourceError
from rasterio._err import CPLE_BaseError  # what rasterio lets through from PROJ has no public name
from rasterio.crs import CRS
from rasterio.errors import CRSError
from rasterio.warp import transform as transform_coordinates
from rasterio.warp import transform_bounds
from shapely import GeometryType, MultiPolygon, Polygon

from domainvl.errors import ItemError, UsageError
from domainvl.schema import Box, Reject, Severity

from .raster import apply_affine

Bounds: TypeAlias = tuple[float, float, float, float]
"""(left, bottom, right, top): x is longitude or easting in every CRS, whatever order its authority gives."""

_IN_MEMORY_BYTES = 64 << 20
"""Files up to this size whose format has no spatial index are read once and kept."""

_DENSIFY_POINTS = 21
"""Points on each side of a box when it is brought to another CRS; two corners alone miss what bulges out."""

_SEGMENTS = 8
"""Edges longer than the scene's diagonal divided by this are divided before they are brought to another CRS."""

_ATTRIBUTE_COUNT = 8


@dataclass(frozen=True)
class Features:
    """Features of a label file in its own CRS, one row each.

    Attributes:
        fids: Feature ids of the file.
        geometries: shapely geometries; None where a feature has none.
        columns: Attributes by name.
    """

    fids: npt.NDArray[np.int64]
    geometries: npt.NDArray[np.object_]
    columns: dict[str, npt.NDArray[Any]]

    def take(self, rows: npt.NDArray[np.int64]) -> Features:
        """Return some of the rows."""
        return Features(
            self.fids[rows], self.geometries[rows], {name: column[rows] for name, column in self.columns.items()}
        )


@dataclass(frozen=True)
class Label:
    """One labelled polygon, placed in a scene.

    Attributes:
        id: Feature id in the label file.
        name: Class.
        polygon_px: Its area in pixels of the scene, valid; x right, y down, corners on pixel edges.
        repaired: Whether its rings were invalid.
        attributes: Further attributes of the feature.
    """

    id: str
    name: str
    polygon_px: Polygon | MultiPolygon
    repaired: bool
    attributes: dict[str, str | int | float | bool]


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

    def class_names(self) -> set[str]:
        """Read the names of all classes in the file."""
        if self.one_class is not None:
            return {self.one_class}
        _, _, _, fields = pyogrio.raw.read(self.path, layer=self.layer, columns=[self.field], read_geometry=False)
        return {name for name in map(class_name, fields[0]) if name is not None}


class LabelReader:
    """Reads features by place, and keeps the last file whose format would have it read as a whole each time."""

    def __init__(self) -> None:
        self._kept: tuple[VectorFile, int, Features, shapely.STRtree] | None = None

    def read(self, file: VectorFile, bounds: Bounds) -> Features:
        """Read the features whose boxes meet ``bounds``, given in the file's CRS.

        Raises:
            ItemError: If the file cannot be read.
        """
        stat = file.path.stat()
        if file.indexed or stat.st_size > _IN_MEMORY_BYTES:
            return _read_features(file.path, file.layer, bounds)
        if self._kept is None or self._kept[:2] != (file, stat.st_mtime_ns):
            features = _read_features(file.path, file.layer, None)
            self._kept = (file, stat.st_mtime_ns, features, shapely.STRtree(features.geometries))
        _, _, features, tree = self._kept
        return features.take(np.sort(tree.query(shapely.box(*bounds))))

    def __getstate__(self) -> dict[str, Any]:
        # Every process reads for itself.
        return {"_kept": None}


def look_at_vector_file(
    path: Path, uri: str, *, field: str | None, one_class: str | None, layer: str | None
) -> VectorFile:
    """Find out what a label file holds.

    Args:
        path: The file.
        uri: The name by which it may be mentioned.
        field: Attribute with the class name; the only one where there is one and nothing is said.
        one_class: One class for all features, instead.
        layer: Layer, where there are several.

    Raises:
        UsageError: If it cannot be read, has no CRS, or field or layer are not in it.
    """
    try:
        layers = [str(name) for name, _ in pyogrio.list_layers(path)]
        if layer is None and len(layers) == 1:
            layer = layers[0]
        if layer not in layers:
            raise UsageError(
                "Cannot choose a layer",
                where=path,
                rule=f"it has {', '.join(layers) or 'none'}" + (f", not {layer}" if layer else ""),
                action="Name one with --layer",
            )
        info = pyogrio.read_info(path, layer=layer, force_feature_count=True, force_total_bounds=True)
    except (DataSourceError, DataLayerError) as error:
        raise UsageError(
            "Cannot read labels",
            where=path,
            rule=str(error),
            action="Give a GeoJSON, Shapefile, zipped Shapefile or GeoPackage",
        ) from error
    if info["crs"] is None:
        raise UsageError(
            "Cannot place labels",
            where=path,
            rule="it has no coordinate reference system"
            + (" (the .prj file is missing)" if path.suffix.lower() in (".shp", ".zip") else ""),
            action="Add the .prj file or write the file again with its CRS; it is never guessed",
        )
    fields = [str(name) for name in info["fields"]]
    if field is None and one_class is None and len(fields) == 1:
        field = fields[0]
    _check_field(path, field, one_class, fields)
    indexed = bool(info["capabilities"]["fast_spatial_filter"])
    left, bottom, right, top = info["total_bounds"] if info["features"] else (0.0, 0.0, 0.0, 0.0)
    bounds = (float(left), float(bottom), float(right), float(top))
    return VectorFile(path, uri, layer, str(info["crs"]), field, one_class, int(info["features"]), indexed, bounds)


def _check_field(path: Path, field: str | None, one_class: str | None, fields: Sequence[str]) -> None:
    known = "its fields are " + ", ".join(fields) if fields else "it has no fields"
    if field is None and one_class is None:
        raise UsageError(
            "Cannot tell the classes of labels",
            where=path,
            rule=f"neither --label-field nor --label-name is given; {known}",
            action="Name the field with the class in --label-field, or one class for all features in --label-name",
        )
    if field is not None and one_class is not None:
        raise UsageError(
            "Cannot tell the classes of labels", where=path, rule="both --label-field and --label-name are given"
        )
    if field is not None and field not in fields:
        raise UsageError(f"There is no field {field!r}", where=path, rule=known, action="Name one in --label-field")


def _read_features(path: Path, layer: str, bounds: Bounds | None) -> Features:
    try:
        meta, fids, geometries, fields = pyogrio.raw.read(
            path, layer=layer, bbox=bounds, return_fids=True, force_2d=True
        )
    except DataSourceError as error:
        raise ItemError("Cannot read labels", reason="label-read", where=path.name, rule=str(error)) from error
    columns = dict(zip(map(str, meta["fields"]), fields, strict=True))
    return Features(fids, shapely.from_wkb(geometries), columns)


def class_name(value: Any) -> str | None:
    """Write an attribute as the name of a class; None where there is none.

    Whole numbers have no decimal point: formats without empty integers read them as floats.
    """
    if value is None or (isinstance(value, float | np.floating) and not math.isfinite(value)):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip() or None


def labels_in_scene(
    file: VectorFile,
    dataset: rasterio.DatasetReader,
    *,
    uri: str,
    rows_px: tuple[int, int] | None = None,
    reader: LabelReader | None = None,
) -> tuple[list[Label], list[Reject]]:
    """Read the labels of a scene, or of some rows of it, and place them in its pixels.

    Args:
        file: The label file.
        dataset: The open scene.
        uri: Name of the scene in messages.
        rows_px: First row and row after the last; all rows where None. A label is placed the same in any case.
        reader: Reads the features.

    Returns:
        The polygons that meet the rows, in the order of the file, and the features that cannot be used.

    Raises:
        ItemError: If the scene has no georeference or the CRSs cannot be brought together.
    """
    _check_georeference(dataset, uri)
    label_crs = CRS.from_user_input(file.crs)
    top_px, bottom_px = rows_px or (0, dataset.height)
    part = (0, top_px, dataset.width, bottom_px)
    try:
        bounds = bounds_in_labels(file, dataset, (0, 0, dataset.width, dataset.height))
        found = (reader or LabelReader()).read(file, bounds_in_labels(file, dataset, part))
        repaired = _repair(found.geometries)
        geometries = _to_pixels(repaired, label_crs, dataset, bounds)
    except (CRSError, CPLE_BaseError) as error:
        raise ItemError(
            "Cannot bring labels to a scene",
            reason="crs",
            where=uri,
            rule=f"there is no way from the CRS of {file.uri} to that of the scene ({error})",
            action="Reproject the labels to the scene's CRS first",
        ) from error
    frame = shapely.box(*part)
    labels: list[Label] = []
    rejects: list[Reject] = []
    for row, geometry in enumerate(geometries):
        label = _to_label(file, found, row, geometry, was_repaired=repaired[row] is not found.geometries[row])
        if isinstance(label, Reject):
            rejects.append(label)
        elif label.polygon_px.intersects(frame):
            labels.append(label)
    return labels, rejects


def _check_georeference(dataset: rasterio.DatasetReader, uri: str) -> None:
    if dataset.crs is not None and not dataset.transform.is_identity:
        return
    control_points = bool(dataset.gcps[0])
    lacking = "coordinate reference system" if dataset.crs is None else "geotransform"
    raise ItemError(
        "Cannot place labels",
        reason="no-crs" if dataset.crs is None else "no-geotransform",
        where=uri,
        rule=f"the scene has no {lacking}" + (", only ground control points" if control_points else ""),
        action="Warp it with gdalwarp first" if control_points else "Write it into the scene, with gdal_edit -a_srs",
    )


def bounds_in_labels(file: VectorFile, dataset: rasterio.DatasetReader, box_px: Box) -> Bounds:
    """Bring a box of a scene's pixels to the CRS of a label file, where it becomes a box around it."""
    x_min, y_min, x_max, y_max = box_px
    corners = [apply_affine(dataset.transform, x, y) for x in (x_min, x_max) for y in (y_min, y_max)]
    xs, ys = zip(*corners, strict=True)
    left, bottom, right, top = min(xs), min(ys), max(xs), max(ys)
    label_crs = CRS.from_user_input(file.crs)
    if label_crs != dataset.crs:
        left, bottom, right, top = transform_bounds(
            dataset.crs, label_crs, left, bottom, right, top, densify_pts=_DENSIFY_POINTS
        )
    if left > right:  # across the antimeridian: the filter only has to let through enough
        left, right = -360.0, 360.0
    return left, bottom, right, top


def _repair(geometries: npt.NDArray[np.object_]) -> npt.NDArray[np.object_]:
    """Make polygons valid, before anything else: to divide the edges of an invalid one, GEOS drops parts of it."""
    coordinates, owners = shapely.get_coordinates(geometries, return_index=True)
    finite = np.ones(len(geometries), dtype=bool)
    finite[owners[~np.isfinite(coordinates).all(axis=1)]] = False
    polygonal = np.isin(shapely.get_type_id(geometries), (GeometryType.POLYGON, GeometryType.MULTIPOLYGON))
    invalid = polygonal & finite & ~shapely.is_valid(geometries)
    repaired = geometries.copy()
    repaired[~finite] = None
    repaired[invalid] = shapely.make_valid(geometries[invalid])
    return repaired


def _to_pixels(
    geometries: npt.NDArray[np.object_], label_crs: CRS, dataset: rasterio.DatasetReader, bounds: Bounds
) -> npt.NDArray[np.object_]:
    """Bring geometries to pixels of the scene; a coordinate that cannot be brought becomes infinite."""
    to_px = ~dataset.transform
    same_crs = label_crs == dataset.crs
    if not same_crs:
        diagonal = math.hypot(bounds[2] - bounds[0], bounds[3] - bounds[1])
        geometries = shapely.segmentize(geometries, diagonal / _SEGMENTS)

    def place(coordinates: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        xs, ys = coordinates.T
        if not same_crs and len(xs):
            xs, ys = map(np.asarray, transform_coordinates(label_crs, dataset.crs, xs, ys))
        return np.column_stack(apply_affine(to_px, xs, ys))

    placed: npt.NDArray[np.object_] = shapely.transform(geometries, place)
    return placed


def _to_label(file: VectorFile, found: Features, row: int, placed: Any, *, was_repaired: bool) -> Label | Reject:
    fid = str(found.fids[row])

    def reject(reason: str, message: str) -> Reject:
        return Reject(f"{file.uri}#{fid}", "label", reason, message, severity=Severity.SKIPPED)

    name = file.one_class if file.field is None else class_name(found.columns[file.field][row])
    if name is None:
        return reject("no-class", f"the field {file.field} is empty")
    if placed is None or placed.is_empty:
        return reject("empty-geometry", "the feature has no usable coordinates")
    kind = found.geometries[row].geom_type
    if kind not in ("Polygon", "MultiPolygon"):
        return reject("no-polygon", f"only polygons are read, it is a {kind}")
    if not np.isfinite(shapely.get_coordinates(placed)).all():
        return reject("crs", "a corner has no coordinates in the scene's CRS")
    polygon = polygon_part(placed if placed.is_valid else shapely.make_valid(placed))
    if polygon is None:
        return reject("no-area", "the polygon has no area")
    return Label(fid, name, polygon, was_repaired, _attributes(found, row, file.field))


def polygon_part(geometry: Any) -> Polygon | MultiPolygon | None:
    """Return the polygons in a geometry without the points and lines, or None where it has no area."""
    polygons = [
        part for part in shapely.get_parts(shapely.get_parts(geometry)) if isinstance(part, Polygon) and part.area > 0
    ]
    if not polygons:
        return None
    return polygons[0] if len(polygons) == 1 else MultiPolygon(polygons)


def _attributes(found: Features, row: int, field: str | None) -> dict[str, str | int | float | bool]:
    attributes: dict[str, str | int | float | bool] = {}
    for name, column in found.columns.items():
        value = column[row].item() if isinstance(column[row], np.generic) else column[row]
        finite = not isinstance(value, float) or math.isfinite(value)
        if name != field and finite and isinstance(value, str | int | float | bool):
            attributes[name] = value
        if len(attributes) == _ATTRIBUTE_COUNT:
            break
    return attributes
