import dataclasses
import json
import os
import pickle
import shutil
import zipfile

import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from rasterio.crs import CRS
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.raster import open_scene
from domainvl.converters.geotiff.vectors import LabelReader, class_name, labels_in_scene, look_at_vector_file
from domainvl.errors import ItemError, UsageError

SIDE_PX = 100
BOXES = [("barn", 10, 20, 30, 25), ("silo", 60, 60, 61, 61), ("barn", 90, 90, 120, 95)]


@pytest.fixture
def scene(tmp_path, write_scene):
    return write_scene(tmp_path / "scene.tif", np.ones((1, SIDE_PX, SIDE_PX), np.uint8))


def look(path, field="class", one_class=None, layer=None):
    return look_at_vector_file(path, path.name, field=field, one_class=one_class, layer=layer)


def labels_of(scene, path, **options):
    with open_scene(scene, scene.name) as dataset:
        return labels_in_scene(look(path, **options), dataset, uri=scene.name)


def bounds_of(labels):
    return [(label.name, *label.polygon_px.bounds) for label in labels]


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


@pytest.mark.parametrize("crs", ["EPSG:4326", "EPSG:32633"])
@pytest.mark.parametrize(
    ("name", "driver"),
    [("l.geojson", "GeoJSON"), ("l.shp", "ESRI Shapefile"), ("l.zip", "ESRI Shapefile"), ("l.gpkg", "GPKG")],
)
def test_every_format_and_crs_gives_the_same_pixels(tmp_path, scene, name, driver, crs):
    path = tmp_path / "labels" / name
    path.parent.mkdir()
    if name.endswith(".zip"):
        write_vector(path.with_suffix(".shp"), driver, crs)
        with zipfile.ZipFile(path, "w") as archive:
            for part in sorted(path.parent.glob("l.[sdpc]*")):
                archive.write(part, part.name)
                part.unlink()
    else:
        write_vector(path, driver, crs)
    labels, rejects = labels_of(scene, path)
    assert rejects == []
    found = bounds_of(labels)
    assert [row[0] for row in found] == ["barn", "silo", "barn"]
    for row, (_, *box) in zip(found, BOXES, strict=True):
        assert row[1:] == pytest.approx(box, abs=1e-3)


def test_geojson_without_crs_is_longitude_and_latitude(write_boxes, scene, tmp_path):
    path = write_boxes(tmp_path / "l.geojson", BOXES[:1])
    assert "crs" not in path.read_text()
    assert bounds_of(labels_of(scene, path)[0])[0][1:] == pytest.approx(BOXES[0][1:], abs=1e-3)


def test_the_legacy_crs_member_is_honoured(write_geojson, scene, tmp_path):
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


def test_a_shapefile_without_prj_is_refused(tmp_path, real_data):
    folder = real_data / "remote_sensing/opengeos__data/elevation"
    for suffix in ("shp", "shx", "dbf"):
        shutil.copyfile(folder / f"buildings.{suffix}", tmp_path / f"b.{suffix}")
    with pytest.raises(UsageError, match=r"b\.shp.*\.prj file is missing"):
        look(tmp_path / "b.shp", field=None, one_class="building")


def test_x_is_easting_in_every_crs(tmp_path, write_scene, write_geojson):
    # EPSG:2180 names its axes northing, easting. Longitude 21.0, latitude 52.2 is easting 636640.5, northing
    # 483432.2 by the series of Snyder (1987, equations 8-9 and 8-10) with GRS80, 19 degrees east and 0.9993.
    transform = from_origin(636_640.5 - 50, 483_432.2 + 30, 1, 1)
    scene = write_scene(tmp_path / "pl.tif", np.ones((1, 100, 100), np.uint8), crs="EPSG:2180", transform=transform)
    side = 1e-5  # about a metre
    ring = [[21.0 + x * side, 52.2 + y * side] for x, y in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "post"}, {"type": "Polygon", "coordinates": [ring]})])
    (label,) = labels_of(scene, path)[0]
    centre = label.polygon_px.centroid
    assert (centre.x, centre.y) == pytest.approx((50, 30), abs=0.1)


def test_no_label_is_lost_at_the_bulging_edge_of_a_polar_scene(tmp_path, write_scene, write_geojson):
    # A 500 km box near the pole: latitude along its upper edge is higher in the middle than at both corners.
    transform = from_origin(250_000, 9_400_000, 5_000, 5_000)
    scene = write_scene(tmp_path / "polar.tif", np.ones((1, 100, 100), np.uint8), transform=transform)
    eastings = [250_000 + 5_000 * column for column in (0, 50, 100)]
    lons, lats = transform_coordinates("EPSG:32633", "EPSG:4326", eastings, [9_400_000 - 5_000] * 3)
    assert lats[1] - max(lats[0], lats[2]) > 0.1
    ring = [[lons[1] + x, lats[1] + y] for x, y in ((0, 0), (0.1, 0), (0.1, 0.01), (0, 0.01), (0, 0))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "hut"}, {"type": "Polygon", "coordinates": [ring]})])
    (label,) = labels_of(scene, path)[0]
    assert label.polygon_px.bounds[:2] == pytest.approx((50, 0.8), abs=0.5)


def test_a_straight_edge_is_bent_as_the_projection_bends_it(tmp_path, write_scene, write_geojson):
    # One edge of 4 degrees along latitude 60 is not straight in UTM: its middle, on the central meridian, is
    # the southernmost point of the parallel.
    transform = from_origin(380_000, 6_700_000, 1_000, 1_000)
    scene = write_scene(tmp_path / "wide.tif", np.ones((1, 100, 240), np.uint8), transform=transform)
    ring = [[13, 60], [17, 60], [17, 60.3], [13, 60.3], [13, 60]]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "area"}, {"type": "Polygon", "coordinates": [ring]})])
    (label,) = labels_of(scene, path)[0]
    _, (y,) = transform_coordinates("EPSG:4326", "EPSG:32633", [15], [60])
    expected_row = (6_700_000 - y) / 1_000
    assert label.polygon_px.bounds[3] == pytest.approx(expected_row, abs=0.1)


@pytest.mark.parametrize("turn", [0, 360])
def test_both_ways_of_writing_longitudes_meet_a_scene_at_the_antimeridian(real_data, write_geojson, tmp_path, turn):
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_dateline.tif"
    # In EPSG:32660 (central meridian 177 east) the scene reaches across 180 degrees.
    ring = [[-179.9 + x + turn, 52.0 + y] for x, y in ((0, 0), (0.1, 0), (0.1, 0.1), (0, 0.1), (0, 0))]
    path = write_geojson(tmp_path / "l.geojson", [({"class": "isle"}, {"type": "Polygon", "coordinates": [ring]})])
    (label,) = labels_of(scene, path)[0]
    with open_scene(scene, "") as dataset:
        xs, ys = transform_coordinates("EPSG:4326", dataset.crs, [-179.9], [52.1])
        expected = (
            (xs[0] - dataset.transform.c) / dataset.transform.a,
            (ys[0] - dataset.transform.f) / dataset.transform.e,
        )
    assert label.polygon_px.bounds[0] == pytest.approx(expected[0], abs=2)
    assert 0 < expected[0] < 2325


@pytest.mark.parametrize(
    ("geometry", "reason"),
    [
        ({"type": "Point", "coordinates": [0, 0]}, "no-polygon"),
        ({"type": "LineString", "coordinates": [[0, 0], [1, 1]]}, "no-polygon"),
        (None, None),
        ({"type": "Polygon", "coordinates": []}, None),
        ({"type": "Polygon", "coordinates": [[[0, 0], [2, 2], [0, 0], [0, 0]]]}, "no-area"),
    ],
)
def test_what_is_no_area_is_rejected_and_never_crashes(write_geojson, scene, tmp_path, lonlat_ring, geometry, reason):
    def place(value):
        if isinstance(value[0], list):
            return [place(part) for part in value]
        return lonlat_ring([(value[0] + 5, value[1] + 5)])[0]

    if geometry and geometry["coordinates"]:
        geometry = geometry | {"coordinates": place(geometry["coordinates"])}
    inside = [(5, 5), (9, 5), (9, 9)]
    good = {"type": "Polygon", "coordinates": [lonlat_ring(inside)]}
    path = write_geojson(tmp_path / "l.geojson", [({"class": "x"}, geometry), ({"class": "y"}, good)])
    labels, rejects = labels_of(scene, path)
    assert [label.name for label in labels] == ["y"]
    # A feature without coordinates is nowhere, so no scene meets it.
    assert [reject.reason for reject in rejects] == ([reason] if reason else [])


def test_a_feature_without_class_is_rejected(write_geojson, scene, tmp_path, lonlat_ring):
    ring = {"type": "Polygon", "coordinates": [lonlat_ring([(5, 5), (9, 5), (9, 9)])]}
    path = write_geojson(
        tmp_path / "l.geojson", [({"class": None}, ring), ({"class": " "}, ring), ({"class": "a"}, ring)]
    )
    labels, rejects = labels_of(scene, path)
    assert [label.name for label in labels] == ["a"]
    assert [(reject.input, reject.reason) for reject in rejects] == [
        ("l.geojson#0", "no-class"),
        ("l.geojson#1", "no-class"),
    ]


def test_a_bow_tie_is_repaired_and_told(write_geojson, scene, tmp_path, lonlat_ring):
    bow_tie = [(10, 10), (20, 20), (20, 10), (10, 20)]
    path = write_geojson(
        tmp_path / "l.geojson", [({"class": "x"}, {"type": "Polygon", "coordinates": [lonlat_ring(bow_tie)]})]
    )
    (label,) = labels_of(scene, path)[0]
    assert label.repaired
    assert label.polygon_px.is_valid
    assert label.polygon_px.area == pytest.approx(50, abs=0.05)  # two triangles of base 10 and height 5


def test_attributes_are_scalars_without_the_class(write_geojson, scene, tmp_path, lonlat_ring):
    ring = {"type": "Polygon", "coordinates": [lonlat_ring([(5, 5), (9, 5), (9, 9)])]}
    properties = {"class": "a", "height_m": 3.5, "floors": 2, "name": "mill", "gone": None, "listed": [1, 2]}
    path = write_geojson(tmp_path / "l.geojson", [(properties, ring)])
    (label,) = labels_of(scene, path)[0]
    assert label.attributes == {"height_m": 3.5, "floors": 2, "name": "mill"}
    assert [type(value) for value in label.attributes.values()] == [float, int, str]


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
    with pytest.raises(ItemError) as error:
        labels_of(scene, write_boxes(tmp_path / "l.geojson", BOXES))
    assert error.value.reason == "crs"


def test_the_class_field_must_be_named_and_there(real_data):
    path = real_data / "remote_sensing/opengeos__data/elevation/buildings.geojson"
    with pytest.raises(UsageError, match=r"its fields are HEIGHT, SQMETERS.*--label-field.*--label-name"):
        look(path, field=None)
    with pytest.raises(UsageError, match=r"no field 'class'.*HEIGHT, SQMETERS"):
        look(path)
    with pytest.raises(UsageError, match="both"):
        look(path, field="HEIGHT", one_class="building")


def test_layers_must_be_chosen(tmp_path):
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
    in_memory = LabelReader().read(look(path, field="year_built"), bounds)
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
    assert exact <= len(LabelReader().read(indexed_file, bounds).fids) <= meets.sum()


def test_file_and_reader_stay_small_on_their_way_to_another_process(real_data):
    file = look(real_data / "remote_sensing/opengeos__data/us/boulder_buildings.zip", field="year_built")
    reader = LabelReader()
    count = len(reader.read(file, file.bounds).fids)
    there = pickle.dumps((file, reader))
    assert len(there) < 2_000
    file, reader = pickle.loads(there)
    assert len(reader.read(file, file.bounds).fids) == count


def test_a_file_that_was_written_again_is_read_again(tmp_path, write_geojson):
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 0]]]}
    reader = LabelReader()
    counts = []
    for count in (1, 3):
        path = write_geojson(tmp_path / "labels.geojson", [({"class": "a"}, square)] * count)
        os.utime(path, ns=(count, count))
        file = dataclasses.replace(look(path, field="class"), feature_count=0)  # the same but for the content
        counts.append(len(reader.read(file, (0, 0, 1, 1)).fids))
    assert counts == [1, 3]


def test_labels_of_some_rows_are_placed_as_those_of_the_whole(write_scene, write_boxes, tmp_path):
    """A long edge is divided before it is brought to the scene's CRS; where, must not depend on the rows asked for."""
    scene = write_scene(tmp_path / "scene.tif", np.ones((1, 400, 400), np.uint8))
    path = write_boxes(tmp_path / "labels.geojson", [("road", 3, 5, 390, 395), ("hut", 20, 300, 40, 320)])
    with rasterio.open(scene) as dataset:
        whole, _ = labels_in_scene(look(path), dataset, uri="scene.tif")
        upper, _ = labels_in_scene(look(path), dataset, uri="scene.tif", rows_px=(0, 100))
        lower, _ = labels_in_scene(look(path), dataset, uri="scene.tif", rows_px=(250, 400))
    assert upper == whole[:1]
    assert lower == whole


def test_the_only_field_is_the_class(tmp_path):
    path = tmp_path / "labels.geojson"
    square = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]]]}
    feature = {"type": "Feature", "properties": {"kind": "pond"}, "geometry": square}
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    file = look_at_vector_file(path, "labels.geojson", field=None, one_class=None, layer=None)
    assert file.class_names() == {"pond"}
