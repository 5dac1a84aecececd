import dataclasses
import itertools
import json
import os
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from affine import Affine
from rasterio.crs import CRS
from rasterio.errors import NotGeoreferencedWarning
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels
from domainvl.converters.geotiff.grid import Tile
from domainvl.converters.geotiff.labels.census import take_census
from domainvl.converters.geotiff.labels.vector_file import Features, LabelReader, class_name, look_at_vector_file
from domainvl.converters.geotiff.labels.vectors import bounds_in_labels, place_vector_labels, where_both_lie
from domainvl.converters.geotiff.objects import CutSettings, LabelIndex
from domainvl.errors import ItemError, UsageError

SIDE_PX = 100
VALID = np.ones((SIDE_PX, SIDE_PX), dtype=bool)
BOXES = [("barn", 10, 20, 30, 25), ("silo", 60, 60, 61, 61), ("barn", 90, 90, 120, 95)]


@pytest.fixture
def scene(tmp_path, write_scene):
    return write_scene(tmp_path / "scene.tif", np.ones((1, SIDE_PX, SIDE_PX), np.uint8))


def look(path, field="class", one_class=None, layer=None):
    return look_at_vector_file(path, path.name, field=field, one_class=one_class, layer=layer)


def grid_of(scene):
    """The grid of a scene as it lies, from what rasterio says of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.open(scene) as dataset:
            transform = None if dataset.transform.is_identity else dataset.transform
            stored = StoredPixels(dataset.width, dataset.height, dataset.crs, transform, tuple(dataset.gcps[0]))
    return SceneGrid(stored.width_px, stored.height_px, stored.crs, transform, stored, Affine.identity())


def labels_of(scene, path, **options):
    return place_vector_labels(look(path, **options), grid_of(scene), uri=scene.name)


def bounds_of(labels):
    return [(name, *area.bounds) for name, area in zip(labels.names, labels.areas_px, strict=True)]


def write_vector(path, driver, crs):
    """Write BOXES with pyogrio, in the scene's UTM zone or in longitude and latitude."""
    polygons = [
        shapely.box(400_000 + 10 * a, 5_600_000 - 10 * d, 400_000 + 10 * c, 5_600_000 - 10 * b)
        for _, a, b, c, d in BOXES
    ]
    if crs != "EPSG:32633":

        def to_crs(xy):
            return np.column_stack(transform_coordinates("EPSG:32633", crs, *xy.T))

        polygons = list(shapely.transform(np.array(polygons), to_crs))
    names = np.array([name for name, *_ in BOXES], dtype=object)
    pyogrio.raw.write(
        path, shapely.to_wkb(np.array(polygons)), [names], ["class"], driver=driver, crs=crs, geometry_type="Polygon"
    )
    return path


FORMATS = {"l.geojson": "GeoJSON", "l.shp": "ESRI Shapefile", "l.zip": "ESRI Shapefile", "l.gpkg": "GPKG"}
FORMATS["l.fgb"] = "FlatGeobuf"


def write_format(folder, name, crs):
    path = folder / name
    path.parent.mkdir(parents=True)
    if not name.endswith(".zip"):
        return write_vector(path, FORMATS[name], crs)
    write_vector(path.with_suffix(".shp"), FORMATS[name], crs)
    with zipfile.ZipFile(path, "w") as archive:
        for part in sorted(path.parent.glob("l.[sdpc]*")):
            archive.write(part, part.name)
            part.unlink()
    return path


def test_geo_30_every_format_and_crs_gives_identical_objects(tmp_path, scene):
    """All but the ids, which are the file's: a GeoPackage counts from 1, a FlatGeobuf has an order of its own."""
    tile = Tile(row=0, col=0, x_px=0, y_px=0, width_px=SIDE_PX, height_px=SIDE_PX)
    found = {}
    for name, crs in itertools.product(FORMATS, ["EPSG:4326", "EPSG:32633"]):
        labels, rejects = labels_of(scene, write_format(tmp_path / crs[5:] / name[2:], name, crs))
        assert rejects == []
        objects = LabelIndex(labels, [tile]).objects_in(tile, VALID, settings=CutSettings()).objects
        dumps = [thing.model_dump(exclude={"id", "polygons_px"}) for thing in objects]
        found[name, crs] = sorted(dumps, key=lambda dump: dump["box_px"])
    first = found["l.gpkg", "EPSG:32633"]
    expected = [(name, pytest.approx((a, b, min(c, 100), d), abs=1e-6)) for name, a, b, c, d in BOXES]
    assert [(dump["label"], dump["box_px"]) for dump in first] == expected
    assert [dump["visible_fraction"] for dump in first] == pytest.approx([1, 1, 1 / 3], abs=1e-6)
    for dumps in found.values():
        assert dumps == first


def test_geo_30_geojson_without_crs_is_longitude_and_latitude(write_boxes, scene, tmp_path):
    path = write_boxes(tmp_path / "l.geojson", BOXES[:1])
    assert "crs" not in path.read_text()
    assert bounds_of(labels_of(scene, path)[0])[0][1:] == pytest.approx(BOXES[0][1:], abs=1e-3)


def test_geo_30_the_legacy_crs_member_is_honoured(write_geojson, scene, tmp_path):
    ring = [
        [400_100, 5_599_800],
        [400_300, 5_599_800],
        [400_300, 5_599_750],
        [400_100, 5_599_750],
        [400_100, 5_599_800],
    ]
    path = write_geojson(
        tmp_path / "l.geojson",
        [({"class": "barn"}, {"type": "Polygon", "coordinates": [ring]})],
        crs={"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::32633"}},
    )
    assert bounds_of(labels_of(scene, path)[0]) == [("barn", 10.0, 20.0, 30.0, 25.0)]


def test_geo_30_a_shapefile_without_prj_is_refused(tmp_path, real_data):
    folder = real_data / "remote_sensing/opengeos__data/elevation"
    for suffix in ("shp", "shx", "dbf"):
        shutil.copyfile(folder / f"buildings.{suffix}", tmp_path / f"b.{suffix}")
    with pytest.raises(UsageError, match=r"b\.shp.*\.prj file is missing"):
        look(tmp_path / "b.shp", field=None, one_class="building")


def test_geo_32_x_is_easting_in_every_crs(tmp_path, write_scene, write_geojson):
    # EPSG:2180 names its axes northing, easting. Longitude 21.0, latitude 52.2 is easting 636640.5, northing
    # 483432.2 by the series of Snyder (1987, equations 8-9 and 8-10) with GRS80, 19 degrees east and 0.9993.
    transform = from_origin(636_640.5 - 50, 483_432.2 + 30, 1, 1)
    scene = write_scene(tmp_path / "pl.tif", np.ones((1, 100, 100), np.uint8), crs="EPSG:2180", transform=transform)
    side = 1e-5  # about a metre
    ring = [[21.0 + x * side, 52.2 + y * side] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "post"}, {"type": "Polygon", "coordinates": [ring]})])
    (area,) = labels_of(scene, path)[0].areas_px
    centre = area.centroid
    assert (centre.x, centre.y) == pytest.approx((50, 30), abs=0.1)


def test_geo_33_no_label_is_lost_at_the_bulging_edge_of_a_polar_scene(tmp_path, write_scene, write_geojson):
    # A 500 km box near the pole: latitude along its upper edge is higher in the middle than at both corners.
    transform = from_origin(250_000, 9_400_000, 5_000, 5_000)
    scene = write_scene(tmp_path / "polar.tif", np.ones((1, 100, 100), np.uint8), transform=transform)
    eastings = [250_000 + 5_000 * column for column in (0, 50, 100)]
    lons, lats = transform_coordinates("EPSG:32633", "EPSG:4326", eastings, [9_400_000 - 5_000] * 3)
    assert lats[1] - max(lats[0], lats[2]) > 0.1
    ring = [[lons[1] + x, lats[1] + y] for x, y in ((0, 0), (0.1, 0), (0.1, 0.01), (0, 0.01), (0, 0))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "hut"}, {"type": "Polygon", "coordinates": [ring]})])
    (area,) = labels_of(scene, path)[0].areas_px
    assert area.bounds[:2] == pytest.approx((50, 0.8), abs=0.5)


def test_a_straight_edge_is_bent_as_the_projection_bends_it(tmp_path, write_scene, write_geojson):
    # One edge of 4 degrees along latitude 60 is not straight in UTM: its middle, on the central meridian, is
    # the southernmost point of the parallel.
    transform = from_origin(380_000, 6_700_000, 1_000, 1_000)
    scene = write_scene(tmp_path / "wide.tif", np.ones((1, 100, 240), np.uint8), transform=transform)
    ring = [[13, 60], [17, 60], [17, 60.3], [13, 60.3], [13, 60]]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "area"}, {"type": "Polygon", "coordinates": [ring]})])
    (area,) = labels_of(scene, path)[0].areas_px
    _, (y,) = transform_coordinates("EPSG:4326", "EPSG:32633", [15], [60])
    expected_row = (6_700_000 - y) / 1_000
    assert area.bounds[3] == pytest.approx(expected_row, abs=0.1)


def test_geo_16_both_ways_of_writing_longitudes_give_the_same_box(real_data, write_geojson, tmp_path):
    # In EPSG:32660 (central meridian 177 east) the scene reaches across 180 degrees; so does the polygon.
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif"
    polygon = [(179.9, 52.0), (180.1, 52.0), (180.1, 52.1), (179.9, 52.1), (179.9, 52.0)]
    east = {"type": "Polygon", "coordinates": [polygon]}
    west = {"type": "Polygon", "coordinates": [[(x - 360, y) for x, y in polygon]]}
    parts = [[(179.9, 52.0), (180, 52.0), (180, 52.1), (179.9, 52.1), (179.9, 52.0)]]
    parts.append([(-180, 52.0), (-179.9, 52.0), (-179.9, 52.1), (-180, 52.1), (-180, 52.0)])
    cut = {"type": "MultiPolygon", "coordinates": [[part] for part in parts]}
    boxes = []
    for number, geometry in enumerate((east, west, cut)):
        path = write_geojson(tmp_path / f"{number}.geojson", [({"class": "isle"}, geometry)])
        ((_, *box),) = bounds_of(labels_of(scene, path)[0])
        boxes.append(box)
    grid = grid_of(scene)
    corners = grid.from_map(np.array([(x - 360 * (x > 180), y) for x, y in polygon]), CRS.from_epsg(4326))
    expected = [*corners.min(axis=0), *corners.max(axis=0)]
    assert 0 < expected[0] < expected[2] < grid.width_px
    assert 120 < expected[2] - expected[0] < 150  # 0.2 degrees at latitude 52 in pixels of 100 m
    for box in boxes:
        assert box == pytest.approx(expected, abs=0.5)
    assert boxes[0] == pytest.approx(boxes[1], abs=1e-6)


@pytest.mark.parametrize("left", [175, -185])
@pytest.mark.parametrize("turn", [0, 360])
def test_geo_16_a_scene_in_degrees_across_the_line(tmp_path, write_scene, write_geojson, left, turn):
    transform = from_origin(left, 60, 0.1, 0.1)
    pixels = np.ones((1, SIDE_PX, SIDE_PX), np.uint8)
    scene = write_scene(tmp_path / "line.tif", pixels, crs="EPSG:4326", transform=transform)
    ring = [(x + turn, y) for x, y in ((-179, 55), (-178, 55), (-178, 56), (-179, 56), (-179, 55))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "isle"}, {"type": "Polygon", "coordinates": [ring]})])
    assert bounds_of(labels_of(scene, path)[0]) == [("isle", pytest.approx(60), 40, 70, 50)]


def test_geo_16_a_real_region_on_both_sides_of_the_line(real_data):
    # The region West has the Aleutians on both sides: Semisopochnoi is in the scene, at 179.6 east, 51.95 north.
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif"
    path = real_data / "remote_sensing/opengeos__data/us/us_regions.gpkg"
    labels, rejects = labels_of(scene, path, field="NAME")
    assert (labels.names, rejects) == (["West"], [])
    grid = grid_of(scene)
    ((x, y),) = grid.from_map(np.array([(179.6, 51.95)]), CRS.from_epsg(4326))
    assert labels.areas_px[0].intersects(shapely.Point(x, y))


def test_a_polygon_that_the_projection_tears_is_rejected(tmp_path, write_scene, write_geojson):
    # Mercator ends at 180 degrees; written as 179 to 181, a polygon would reach once around the world.
    transform = from_origin(19_000_000, 1_000_000, 1_000, 1_000)
    scene = write_scene(tmp_path / "m.tif", np.ones((1, 500, 1_000), np.uint8), crs="EPSG:3857", transform=transform)
    ring = [(179, 5), (181, 5), (181, 6), (179, 6), (179, 5)]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "isle"}, {"type": "Polygon", "coordinates": [ring]})])
    labels, rejects = labels_of(scene, path)
    assert labels.unusable.all()
    assert [reject.reason for reject in rejects] == ["crs"]


@pytest.mark.parametrize("suffix", ["geojson", "gpkg"])
def test_a_file_that_claims_degrees_and_holds_metres_is_refused(tmp_path, suffix):
    driver = {"geojson": "GeoJSON", "gpkg": "GPKG"}[suffix]
    boxes = shapely.to_wkb(shapely.box([13, 400_100], [50, 5_599_800], [14, 400_300], [51, 5_600_000]))
    path = tmp_path / f"l.{suffix}"
    pyogrio.raw.write(path, boxes, [], [], driver=driver, crs="EPSG:4326", geometry_type="Polygon")
    expected = (
        r"l\.\w+: its CRS EPSG:4326 has .* within 360 .* within 90, but 1 of 2 .*\(400100, 5599800\).*ogr2ogr -a_srs"
    )
    with pytest.raises(UsageError, match=expected):
        look(path, field=None, one_class="x")


@pytest.mark.parametrize(
    "crs",
    [
        {"type": "name", "properties": {"name": "EPSG:99999"}},
        {"type": "name", "properties": {"name": "our own grid"}},
        {"type": "link", "properties": {"href": "http://example.com/crs", "type": "proj4"}},
    ],
)
def test_geo_30_a_crs_member_that_names_nothing_is_refused(tmp_path, write_geojson, crs):
    # GDAL takes longitude and latitude then.
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    path = write_geojson(tmp_path / "l.geojson", [({"class": "a"}, square)], crs=crs)
    with pytest.raises(UsageError, match=r"l\.geojson: its crs member names no known .*urn:ogc:def:crs:EPSG::32633"):
        look(path)


def test_where_both_lie_is_said_in_degrees(tmp_path, write_scene, write_geojson):
    scene = write_scene(tmp_path / "scene.tif", np.ones((1, SIDE_PX, SIDE_PX), np.uint8))
    square = {"type": "Polygon", "coordinates": [[[1, 2], [3, 2], [3, 4], [1, 2]]]}
    path = write_geojson(tmp_path / "l.geojson", [({"class": "a"}, square)])
    labels, rejects = labels_of(scene, path)
    assert (len(labels), rejects) == (0, [])
    text = where_both_lie(look(path), grid_of(scene))
    # 400 km east and 5600 km north in zone 33 is 13.58 east, 50.54 north; the scene has a kilometre a side.
    assert "l.geojson lie in 1.0000 to 3.0000, 2.0000 to 4.0000, the scene in 13.58" in text
    assert "50.54" in text


def test_bounds_in_labels_uses_the_longitudes_of_the_file(tmp_path, write_scene, write_geojson):
    transform = from_origin(-100, 60, 0.1, 0.1)
    pixels = np.ones((1, SIDE_PX, SIDE_PX), np.uint8)
    scene = write_scene(tmp_path / "s.tif", pixels, crs="EPSG:4326", transform=transform)
    ring = [[260, 55], [262, 55], [262, 56], [260, 55]]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "a"}, {"type": "Polygon", "coordinates": [ring]})])
    assert bounds_in_labels(look(path), grid_of(scene), (0, 0, 50, 50)) == pytest.approx((260, 55, 265, 60))


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"type": "Point", "coordinates": [0, 0]}, "no-polygon"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "no-polygon"),
        ({"type": "GeometryCollection", "geometries": [{"type": "Point", "coordinates": [0, 0]}]}, "no-polygon"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [2, 2]]]}, "no-polygon"),
        (None, None),
        ({"type": "GeometryCollection", "geometries": []}, None),
        ({"type": "Polygon", "coordinates": []}, None),
        ({"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [0, 0], [0, 0]]]}, "no-area"),
    ],
)
def test_geo_34_what_is_no_area_is_rejected_and_never_crashes(
    write_geojson, scene, tmp_path, lonlat_ring, geometry, reason
):
    def place(value):
        if isinstance(value[0], list):
            return [place(part) for part in value]
        return lonlat_ring([(value[0] + 5, value[1] + 5)])[0]

    for part in (geometry or {}).get("geometries", ()):
        part["coordinates"] = place(part["coordinates"])
    if geometry and geometry.get("coordinates"):
        geometry = geometry | {"coordinates": place(geometry["coordinates"])}
    inside = [(5, 5), (9, 5), (9, 9)]
    good = {"type": "Polygon", "coordinates": [lonlat_ring(inside)]}
    path = write_geojson(tmp_path / "l.geojson", [({"class": "x"}, geometry), ({"class": "y"}, good)])
    labels, rejects = labels_of(scene, path)
    # A feature without coordinates is nowhere, so no scene meets it; of the others the place is known.
    assert [name for name, unusable in zip(labels.names, labels.unusable, strict=True) if not unusable] == ["y"]
    assert [name for name, unusable in zip(labels.names, labels.unusable, strict=True) if unusable] == ["x"] * bool(
        reason
    )
    assert [reject.reason for reject in rejects] == ([reason] if reason else [])


def test_a_feature_without_class_is_rejected(write_geojson, scene, tmp_path, lonlat_ring):
    ring = {"type": "Polygon", "coordinates": [lonlat_ring([(5, 5), (9, 5), (9, 9)])]}
    path = write_geojson(
        tmp_path / "l.geojson", [({"class": None}, ring), ({"class": " "}, ring), ({"class": "a"}, ring)]
    )
    labels, rejects = labels_of(scene, path)
    assert labels.names == ["unknown class", "unknown class", "a"]
    assert labels.unusable.tolist() == [True, True, False]
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("l.geojson#0", "no-class"),
        ("l.geojson#1", "no-class"),
    ]


def test_geo_34_a_bow_tie_is_repaired_and_told(write_geojson, scene, tmp_path, lonlat_ring):
    bow_tie = [(10, 10), (20, 20), (20, 10), (10, 20)]
    path = write_geojson(
        tmp_path / "l.geojson", [({"class": "x"}, {"type": "Polygon", "coordinates": [lonlat_ring(bow_tie)]})]
    )
    labels, _ = labels_of(scene, path)
    assert labels.repaired.tolist() == [True]
    assert labels.areas_px[0].is_valid
    assert labels.areas_px[0].area == pytest.approx(50, abs=0.05)  # two triangles of base 10 and height 5


def test_attributes_are_scalars_without_the_class(write_geojson, scene, tmp_path, lonlat_ring):
    ring = {"type": "Polygon", "coordinates": [lonlat_ring([(5, 5), (9, 5), (9, 9)])]}
    properties = {"class": "a", "height_m": 3.5, "floors": 2, "name": "mill", "gone": None, "seen": "2020-08-31"}
    path = write_geojson(tmp_path / "l.geojson", [(properties, ring), (properties | {"height_m": None}, ring)])
    one, other = labels_of(scene, path)[0].attributes
    assert one == {"height_m": 3.5, "floors": 2, "name": "mill", "seen": "2020-08-31"}
    assert [type(value) for value in one.values()] == [float, int, str, str]
    assert other == {"floors": 2, "name": "mill", "seen": "2020-08-31"}  # no NaN where there is no number


@pytest.mark.parametrize(
    ("value", "expected"),
    [("  barn ", "barn"), ("", None), (None, None), (float("nan"), None), (3.0, "3"), (3.5, "3.5"), (np.int64(7), "7")],
)
def test_class_names(value, expected):
    assert class_name(value) == expected


def test_a_scene_without_crs_is_refused_with_a_way_out(write_boxes, write_scene, tmp_path):
    scene = write_scene(tmp_path / "bare.tif", np.ones((1, 9, 9), np.uint8), crs=None)
    path = write_boxes(tmp_path / "l.geojson", BOXES)
    with pytest.raises(ItemError, match=r"bare\.tif.*no coordinate reference system.*gdal_edit") as error:
        labels_of(scene, path)
    assert error.value.reason == "no-crs"


def test_a_scene_with_control_points_only_is_refused(real_data, write_boxes, tmp_path):
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_gcps.tif"
    with pytest.raises(ItemError, match=r"only ground control points.*gdalwarp"):
        labels_of(scene, write_boxes(tmp_path / "l.geojson", BOXES))


def test_a_scene_on_another_planet_is_refused(real_data, write_boxes, tmp_path):
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_hirise_mars.tif"
    with pytest.raises(ItemError, match="Give labels in the scene's CRS") as error:
        labels_of(scene, write_boxes(tmp_path / "l.geojson", BOXES))
    assert error.value.reason == "crs"
    assert len(str(error.value)) < 600


def test_the_class_field_must_be_named_and_there(real_data):
    path = real_data / "remote_sensing/opengeos__data/elevation/buildings.geojson"
    with pytest.raises(UsageError, match=r"its fields are HEIGHT, SQMETERS.*--label-field.*--label-name"):
        look(path, field=None)
    with pytest.raises(UsageError, match=r"no field 'class'.*HEIGHT, SQMETERS"):
        look(path)
    with pytest.raises(UsageError, match="both"):
        look(path, field="HEIGHT", one_class="building")


def test_geo_30_layers_must_be_chosen(tmp_path):
    path = write_vector(tmp_path / "two.gpkg", "GPKG", "EPSG:32633")
    pyogrio.raw.write(
        path,
        shapely.to_wkb(np.array([shapely.box(0, 0, 1, 1)])),
        [np.array(["x"], dtype=object)],
        ["class"],
        layer="other",
        driver="GPKG",
        crs="EPSG:32633",
        geometry_type="Polygon",
        append=True,
    )
    with pytest.raises(UsageError, match="it has two, other"):
        look(path)
    with pytest.raises(UsageError, match="not roads"):
        look(path, layer="roads")
    assert look(path, layer="other").feature_count == 1


def test_a_file_that_is_no_vector_file_is_refused(tmp_path):
    path = tmp_path / "l.geojson"
    path.write_text("no json")
    with pytest.raises(UsageError, match=r"Cannot read labels in .*l\.geojson"):
        look(path)


def test_a_zipped_shapefile_is_read_in_place(real_data):
    file = look(real_data / "remote_sensing/opengeos__data/us/boulder_buildings.zip", field="year_built")
    assert file.feature_count == 13_491
    assert CRS.from_user_input(file.crs) == CRS.from_epsg(4326)


def test_the_filter_by_place_does_not_depend_on_the_format(real_data, tmp_path):
    # The zipped shapefile is read once and searched in memory; the GeoPackage has an index of its own.
    path = real_data / "remote_sensing/opengeos__data/us/boulder_buildings.zip"
    meta, _, geometries, fields = pyogrio.raw.read(path)
    copy = tmp_path / "b.gpkg"
    pyogrio.raw.write(copy, geometries, fields, meta["fields"], driver="GPKG", crs=meta["crs"], geometry_type="Unknown")
    bounds = (-105.25, 39.98, -105.24, 39.99)
    in_memory = LabelReader().read(look(path, field="year_built"), [bounds])
    indexed_file = look(copy, field="year_built")
    assert indexed_file.indexed
    boxes = shapely.bounds(shapely.from_wkb(geometries))
    meets = (
        (boxes[:, 0] <= bounds[2])
        & (boxes[:, 2] >= bounds[0])
        & (boxes[:, 1] <= bounds[3])
        & (boxes[:, 3] >= bounds[1])
    )
    assert len(in_memory.fids) == meets.sum() > 100
    exact = shapely.intersects(shapely.from_wkb(geometries), shapely.box(*bounds)).sum()
    assert exact <= len(LabelReader().read(indexed_file, [bounds]).fids) <= meets.sum()


def test_file_and_reader_stay_small_on_their_way_to_another_process(real_data):
    file = look(real_data / "remote_sensing/opengeos__data/us/boulder_buildings.zip", field="year_built")
    reader = LabelReader()
    count = len(reader.read(file, [file.bounds]).fids)
    there = pickle.dumps((file, reader))
    assert len(there) < 2_000
    file, reader = pickle.loads(there)
    assert len(reader.read(file, [file.bounds]).fids) == count


def test_a_file_that_was_written_again_is_read_again(tmp_path, write_geojson):
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    reader = LabelReader()
    counts = []
    for count in (1, 3):
        path = write_geojson(tmp_path / "labels.geojson", [({"class": "a"}, square)] * count)
        os.utime(path, ns=(count, count))
        file = dataclasses.replace(look(path, field="class"), feature_count=0)  # the same but for the content
        counts.append(len(reader.read(file, [(0, 0, 1, 1)]).fids))
    assert counts == [1, 3]


def test_labels_of_some_rows_are_placed_as_those_of_the_whole(write_scene, write_boxes, tmp_path):
    """A long edge is divided before it is brought to the scene's CRS; where, must not depend on the rows asked for."""
    scene = write_scene(tmp_path / "scene.tif", np.ones((1, 400, 400), np.uint8))
    path = write_boxes(tmp_path / "labels.geojson", [("road", 3, 5, 390, 395), ("hut", 20, 300, 40, 320)])
    grid = grid_of(scene)
    whole, upper, lower = (
        place_vector_labels(look(path), grid, uri="scene.tif", rows_px=rows_px)[0]
        for rows_px in (None, (0, 100), (250, 400))
    )
    assert (whole.names, upper.names, lower.names) == (["road", "hut"], ["road"], ["road", "hut"])
    assert upper.areas_px[0] == whole.areas_px[0]
    assert list(lower.areas_px) == list(whole.areas_px)


def test_two_boxes_give_each_feature_once_in_the_order_of_the_file(tmp_path):
    path = write_vector(tmp_path / "l.gpkg", "GPKG", "EPSG:32633")
    everything = look(path).bounds
    left = (everything[0], everything[1], everything[0] + 1, everything[3])
    found = LabelReader().read(look(path), [everything, left])
    assert found.fids.tolist() == [1, 2, 3]
    assert found.columns["class"].tolist() == ["barn", "silo", "barn"]


def test_geo_31_many_polygons_are_placed_as_one_transformation_of_all_corners_does(tmp_path, scene):
    rng = np.random.default_rng(0)
    corners_px = rng.uniform(1, 95, (20_000, 1, 2)) + np.array([(0, 0), (3, 0), (3, 2), (0, 2), (0, 0)])
    grid = grid_of(scene)
    on_map = grid.to_map(corners_px.reshape(-1, 2))
    lonlat = np.column_stack(transform_coordinates(grid.crs, "EPSG:4326", *on_map.T)).reshape(corners_px.shape)
    path = tmp_path / "l.gpkg"
    polygons = shapely.to_wkb(shapely.polygons(lonlat))
    pyogrio.raw.write(path, polygons, [], [], driver="GPKG", crs="EPSG:4326", geometry_type="Polygon")
    file = look(path, field=None, one_class="shed")
    labels, rejects = place_vector_labels(file, grid, uri="scene.tif")
    assert rejects == []
    assert shapely.get_coordinates(labels.areas_px) == pytest.approx(corners_px.reshape(-1, 2), abs=1e-4)


def test_the_only_field_is_the_class(tmp_path):
    path = tmp_path / "labels.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    feature = {"type": "Feature", "properties": {"kind": "pond"}, "geometry": square}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    file = look_at_vector_file(path, "labels.geojson", field=None, one_class=None, layer=None)
    assert take_census(file).classes == {"pond"}


def test_geo_35_what_is_no_polygon_has_an_area_around_its_place(write_geojson, scene, tmp_path, lonlat_ring):
    """A point gets a pixel; a line and a polygon without area the box around their corners, a pixel at least."""
    (at,), line = lonlat_ring([(40, 60)])[:1], lonlat_ring([(10, 10), (30, 20)])[:2]
    flat = [lonlat_ring([(50, 50), (70, 50), (50, 50)])]
    path = write_geojson(
        tmp_path / "l.geojson",
        [
            ({"class": "tree"}, {"type": "Point", "coordinates": at}),
            ({"class": "hedge"}, {"type": "LineString", "coordinates": line}),
            ({"class": "wall"}, {"type": "Polygon", "coordinates": flat}),
            ({"class": "far"}, {"type": "Point", "coordinates": lonlat_ring([(400, 60)])[0]}),
        ],
    )
    labels, rejects = labels_of(scene, path)
    assert [(name, [round(value, 2) for value in box]) for name, *box in bounds_of(labels)] == [
        ("tree", [39.5, 59.5, 40.5, 60.5]),
        ("hedge", [10, 10, 30, 20]),
        ("wall", [50, 49.5, 70, 50.5]),
    ]
    assert labels.unusable.all()
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("l.geojson#0", "no-polygon"),
        ("l.geojson#1", "no-polygon"),
        ("l.geojson#2", "no-area"),
    ]


def test_geo_35_corners_that_are_no_numbers_leave_the_others(scene, tmp_path, write_geojson, lonlat_ring):
    ring = lonlat_ring([(10, 10), (30, 10), (30, 30)])
    ring[1][0] = float("nan")
    path = write_geojson(tmp_path / "l.geojson", [({"class": "x"}, {"type": "Polygon", "coordinates": [ring]})])
    labels, rejects = labels_of(scene, path)
    assert labels.unusable.tolist() == [True]
    assert [reject.reason for reject in rejects] == ["not-finite"]
    assert bounds_of(labels) == [("x", *map(pytest.approx, (10, 10, 30, 30)))]  # corners 0, 2 and the closing one


def test_a_corner_without_a_place_does_not_refuse_the_whole_scene(write_geojson, scene, tmp_path, lonlat_ring):
    """rasterio gives no coordinates at all if PROJ has none for one: here 90 degrees from the middle of a UTM zone."""
    inside = lonlat_ring([(50 + 40 * np.cos(a), 50 + 40 * np.sin(a)) for a in np.linspace(0, 6, 500)])
    far = [[105, 0], [90, 60], [5, 60], [105, 0]]
    with pytest.raises(Exception, match="Point outside"):
        transform_coordinates("EPSG:4326", "EPSG:32633", [5, 105], [60, 0])
    path = write_geojson(
        tmp_path / "l.geojson",
        [
            ({"class": "x"}, {"type": "Polygon", "coordinates": [far]}),
            ({"class": "y"}, {"type": "Polygon", "coordinates": [inside]}),
        ],
    )
    labels, rejects = labels_of(scene, path)
    assert dict(zip(labels.names, labels.unusable.tolist(), strict=True)) == {"x": True, "y": False}
    assert [(reject.input, reject.reason) for reject in rejects] == [("l.geojson#0", "crs")]
    assert labels.areas_px[0].equals(shapely.box(0, 0, 100, 100))  # where it is in the scene, nobody can say


def test_geo_35_what_has_no_corner_in_the_scenes_crs_may_be_anywhere_in_it(scene, write_boxes, tmp_path):
    class Reader:
        def read(self, file, boxes):  # what has no coordinates is listed by the census
            places = np.array([shapely.Point(105, 0), None, shapely.Polygon()], dtype=object)
            return Features(np.array([7, 8, 9]), places, {"class": np.array(["buoy", "mole", "pier"])})

    file = look(write_boxes(tmp_path / "l.geojson", BOXES))
    labels, rejects = place_vector_labels(file, grid_of(scene), uri="a.tif", reader=Reader())
    assert bounds_of(labels) == [("buoy", 0, 0, 100, 100)]
    assert labels.unusable.all() and len(rejects) == 1


def test_geo_16_a_polygon_whose_corners_jump_across_the_line_is_joined(real_data, write_geojson, tmp_path):
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif"
    ring = [(179.99, 52.0), (-179.97, 52.0), (-179.97, 52.01), (179.99, 52.01), (179.99, 52.0)]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "isle"}, {"type": "Polygon", "coordinates": [ring]})])
    ((_, *box),) = bounds_of(labels_of(scene, path)[0])
    corners = grid_of(scene).from_map(np.array(ring), CRS.from_epsg(4326))
    assert box == pytest.approx([*corners.min(axis=0), *corners.max(axis=0)], abs=0.1)
    assert 20 < box[2] - box[0] < 35  # 0.04 degrees at latitude 52 in pixels of 100 m


@pytest.mark.parametrize("left", [172, -188])
def test_geo_16_a_scene_in_degrees_shows_both_halves_of_what_is_cut_at_the_line(
    tmp_path, write_scene, write_geojson, left
):
    scene = write_scene(
        tmp_path / "line.tif",
        np.ones((1, 100, 160), np.uint8),
        crs="EPSG:4326",
        transform=from_origin(left, 60, 0.1, 0.1),
    )
    west, east = ([[x, 55], [180 * sign, 55], [180 * sign, 56], [x, 56], [x, 55]] for x, sign in ((178, 1), (-177, -1)))
    cut = {"type": "MultiPolygon", "coordinates": [[west], [east]]}
    jump = [[178, 55], [-177, 55], [-177, 56], [178, 56], [178, 55]]
    world = [[-180, 52], [180, 52], [180, 51], [-180, 51], [-180, 52]]
    path = write_geojson(
        tmp_path / "l.geojson",
        [
            ({"class": "cut"}, cut),
            ({"class": "jump"}, {"type": "Polygon", "coordinates": [jump]}),
            ({"class": "world"}, {"type": "Polygon", "coordinates": [world]}),
        ],
    )
    labels, rejects = labels_of(scene, path)
    assert rejects == []
    # The scene begins at 172 degrees, 0.1 a pixel: 178 is column 60, 183 column 110, and 60 to 55 are 50 rows.
    expected = ("cut", 60, 40, 110, 50), ("jump", 60, 40, 110, 50)
    assert bounds_of(labels)[:2] == [(name, *map(pytest.approx, box)) for name, *box in expected]
    frame = shapely.box(0, 0, 160, 100)
    seen_px2 = [area.intersection(frame).area for area in labels.areas_px]
    assert seen_px2 == pytest.approx([500, 500, 1600], rel=1e-6)
    assert labels.areas_px[2].area == pytest.approx(3600 * 10, rel=1e-6)  # all around the world once


def test_geo_16_a_real_region_reaches_across_the_line_of_a_scene_in_degrees(real_data, tmp_path, write_scene):
    path = real_data / "remote_sensing/opengeos__data/us/us_regions.gpkg"
    scene = write_scene(
        tmp_path / "aleutians.tif",
        np.ones((1, 100, 1600), np.uint8),
        crs="EPSG:4326",
        transform=from_origin(172, 56, 0.01, 0.1),
    )
    labels, _ = labels_of(scene, path, field="NAME")
    assert labels.names == ["West"]
    seen = labels.areas_px[0].intersection(shapely.box(0, 0, 1600, 100))
    _, _, raw, fields = pyogrio.raw.read(path, columns=["NAME"])
    corners = shapely.get_coordinates(shapely.from_wkb(raw[fields[0] == "West"]))
    lons = np.where(corners[:, 0] < 0, corners[:, 0] + 360, corners[:, 0])
    near = (lons > 172) & (lons < 188) & (corners[:, 1] > 46) & (corners[:, 1] < 56)
    expected = (lons[near].min() - 172) / 0.01, (lons[near].max() - 172) / 0.01
    assert (seen.bounds[0], seen.bounds[2]) == pytest.approx(expected, abs=0.5)
    assert expected[1] > 800  # beyond 180 degrees


def test_geo_34_an_empty_file_says_that_a_scene_holds_nothing(write_geojson, scene, tmp_path):
    path = write_geojson(tmp_path / "l.geojson", [])
    for options in ({"field": "class"}, {"field": None}, {"field": None, "one_class": "barn"}):
        assert [len(found) for found in labels_of(scene, path, **options)] == [0, 0]
    assert take_census(look(path)).classes == set()


def damaged(tmp_path):
    path = tmp_path / "l.fgb"
    boxes = shapely.to_wkb(shapely.box(np.arange(500), 0, np.arange(500) + 1, 1))
    names = np.array(["x"] * 500, dtype=object)
    pyogrio.raw.write(path, boxes, [names], ["class"], driver="FlatGeobuf", crs="EPSG:32633", geometry_type="Polygon")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    return path


def test_geo_39_a_damaged_file_is_an_error_without_its_folder(tmp_path):
    file = look(damaged(tmp_path))
    for read in (lambda: take_census(file), lambda: LabelReader().read(file, [file.bounds])):
        with pytest.raises(ItemError, match="l.fgb") as error:
            read()
        assert error.value.reason == "label-read"
        assert str(tmp_path) not in str(error.value)


def test_geo_30_a_zipped_shapefile_in_a_folder_of_the_zip(tmp_path):
    write_vector(tmp_path / "l.shp", "ESRI Shapefile", "EPSG:32633")
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        for part in sorted(tmp_path.glob("l.[sdpc]*")):
            archive.write(part, f"delivery/{part.name}")
    file = look(tmp_path / "l.zip")
    assert (file.feature_count, take_census(file).classes) == (3, {"barn", "silo"})
    assert len(LabelReader().read(file, [file.bounds]).fids) == 3


def test_a_zip_without_labels_is_refused_without_advice_on_drivers(tmp_path):
    with zipfile.ZipFile(tmp_path / "l.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(UsageError, match="zipped Shapefile") as error:
        look(tmp_path / "l.zip")
    assert "driver" not in str(error.value)


def test_a_scene_with_rational_polynomials_only_is_refused_with_the_way_out(scene, write_boxes, tmp_path):
    stored = StoredPixels(100, 100, None, None, has_rpcs=True)
    grid = SceneGrid(100, 100, None, None, stored, Affine.identity())
    file = look(write_boxes(tmp_path / "l.geojson", BOXES))
    with pytest.raises(ItemError, match=r"RPCs.*gdalwarp -rpc"):
        place_vector_labels(file, grid, uri="a.tif")
