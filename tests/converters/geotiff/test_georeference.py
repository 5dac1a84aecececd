"""Between pixels and the ground: formulas, turned and mirrored scenes, and real labels on real scenes."""

import math

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.georeference import SceneGrid, StoredPixels, describe_crs
from domainvl.errors import ExitCode, NothingToDoError


def noise(shape):
    return np.random.default_rng(0).integers(1, 4000, shape).astype(np.uint16)


def grid_of(transform, crs, width_px=100, height_px=80):
    crs = CRS.from_user_input(crs)
    pixels = StoredPixels(width_px, height_px, crs, transform)
    return SceneGrid(width_px, height_px, crs, transform, pixels, Affine.identity())


def degrees_at(latitude_deg, side_deg=1e-4, crs="EPSG:4326"):
    """A grid of 100 x 80 pixels around a latitude."""
    return grid_of(from_origin(10, latitude_deg + 40 * side_deg, side_deg, side_deg), crs)


def metres_at(x, y, crs, side=10.0):
    """A grid of 100 x 80 pixels around a place on a map."""
    return grid_of(from_origin(x - 50 * side, y + 40 * side, side, side), crs)


def test_geo_38_a_degree_is_as_long_as_tables_say():
    """Lengths of a degree on WGS 84 in metres: National Geospatial-Intelligence Agency, degree length calculator."""
    for latitude_deg, longitude_m, latitude_m in [(0, 111_319.5, 110_574.3), (45, 78_846.8, 111_132.0)]:
        width_m, height_m = degrees_at(latitude_deg).pixel_m()
        assert (width_m * 1e4, height_m * 1e4) == pytest.approx((longitude_m, latitude_m), abs=0.5)
    assert degrees_at(90).pixel_m()[0] == pytest.approx(0, abs=1e-6)


def test_geo_38_a_degree_on_a_sphere_is_a_360th_of_its_girth():
    width_m, height_m = degrees_at(60, crs="+proj=longlat +R=1000000 +no_defs").pixel_m()
    assert (width_m * 1e4, height_m * 1e4) == pytest.approx((math.pi * 1e6 / 180 / 2, math.pi * 1e6 / 180), rel=1e-6)


@pytest.mark.parametrize("crs", ["EPSG:9707", "EPSG:4979", "EPSG:4269", "EPSG:4937"])
def test_geo_38_heights_in_a_crs_do_not_change_its_ellipsoid(crs):
    """Height models have compound or three-dimensional CRSs, of WGS 84 or GRS 1980, which differ by a tenth of a mm."""
    assert degrees_at(50.0, crs=crs).pixel_m() == pytest.approx(degrees_at(50.0).pixel_m(), rel=1e-8)


def test_geo_38_a_right_angle_has_a_hundred_grads():
    grid = grid_of(from_origin(0, 50.004, 1e-4, 1e-4), "EPSG:4807")  # NTF (Paris), on the ellipsoid of Clarke 1880
    assert grid.pixel_m()[1] == pytest.approx(1e-4 * 111_132 * 0.9, rel=1e-3)


def test_geo_38_the_gsd_is_in_metres_in_any_unit():
    # EPSG:2263 is in US survey feet of 1200/3937 m; the place is in New York.
    foot_m = 1200 / 3937
    assert metres_at(985_000, 200_000, "EPSG:2263", 2).pixel_m() == pytest.approx((2 * foot_m, 2 * foot_m), rel=1e-9)
    oblong = grid_of(from_origin(400_000, 5_600_000, 2, 8), "EPSG:32633")
    assert oblong.pixel_m() == (2, 8)
    assert oblong.gsd_m() == 4  # a square of equal area
    # Degrees shrink towards the pole: at 60 degrees one of longitude is about half one of latitude.
    assert degrees_at(60).gsd_m() == pytest.approx(math.sqrt(55_800 * 111_412) * 1e-4, rel=1e-3)
    assert degrees_at(60).gsd_m((50.0, 0.0)) < degrees_at(60).gsd_m(
        (50.0, 80.0)
    )  # the upper side is nearer to the pole


def test_geo_38_one_side_that_is_wrong_is_enough():
    """Plate carree (EPSG:4087) is true along meridians, and shows all parallels as long as the equator."""
    width_m, height_m = metres_at(0, math.radians(60) * 6_378_137, "EPSG:4087").pixel_m()
    assert width_m == pytest.approx(5.0126, abs=0.002)
    assert height_m == pytest.approx(10, rel=0.002)


@pytest.mark.parametrize("x", [170_000, 500_000, 830_000])
def test_geo_38_metres_of_utm_are_taken_as_they_are_all_over_its_zone(x):
    grid = metres_at(x, 100_000, "EPSG:32633")
    assert (grid.pixel_m(), grid.gsd_m()) == ((10.0, 10.0), 10.0)


@pytest.mark.parametrize("side", [0.05, 10.0, 4000.0])
def test_geo_38_metres_of_web_mercator_are_half_as_long_at_60_degrees(side):
    """Its y is a ln(tan(45 + phi / 2)), so that a metre of it is cos(phi) on a sphere; the ellipsoid adds some mm.

    By the radii of curvature of the ellipsoid across and along the meridian: nu / a = 1.002520, rho / a = 1.000834.
    """
    y = 6_378_137 * math.log(math.tan(math.radians(45 + 60 / 2)))
    width_m, height_m = metres_at(0, y, "EPSG:3857", side).pixel_m()
    assert (width_m / side, height_m / side) == pytest.approx((0.501260, 0.500417), rel=1e-5)
    grid = metres_at(0, y, "EPSG:3857", side)
    assert grid.gsd_m() / side == pytest.approx(math.sqrt(0.501260 * 0.500417), rel=1e-5)
    assert metres_at(0, 0, "EPSG:3857").pixel_m() == (10.0, 10.0)
    if side == 4000:  # nearer to the pole, at its upper edge, a pixel shows less
        assert grid.gsd_m((50, 0)) < 0.98 * grid.gsd_m()


def test_geo_38_metres_of_polar_stereographic_are_too_short_at_the_pole_itself():
    """True at 71 degrees south, EPSG:3031 has the scale 0.97276901 at the pole, where its scenes often lie."""
    assert metres_at(0, 0, "EPSG:3031").pixel_m() == pytest.approx((10 / 0.97276901,) * 2, rel=1e-6)


def test_geo_38_an_equal_area_projection_has_long_and_narrow_pixels_far_out():
    """Of the sphere: 1 / cos(c / 2) away from its middle and cos(c / 2) across, at 2 R sin(c / 2) from there."""
    half_angle = math.asin(2.5e6 / 2 / 6_371_000)
    grid = metres_at(4_321_000 + 2.5e6, 3_210_000, "EPSG:3035")
    assert grid.pixel_m() == pytest.approx((10 / math.cos(half_angle), 10 * math.cos(half_angle)), rel=1e-3)
    assert grid.gsd_m() == pytest.approx(10.0, rel=1e-6)


def test_geo_38_a_turned_pixel_has_the_sides_of_one_that_is_not():
    turned = Affine.translation(400_000, 5_600_000) @ Affine.rotation(30) @ Affine.scale(2, -8)
    assert grid_of(turned, "EPSG:32633").pixel_m() == pytest.approx((2, 8), rel=1e-12)
    y = 6_378_137 * math.log(math.tan(math.radians(75)))
    turned = Affine.translation(0, y) @ Affine.rotation(90) @ Affine.scale(2, -8)
    assert grid_of(turned, "EPSG:3857").pixel_m() == pytest.approx((2 * 0.500417, 8 * 0.501260), rel=1e-4)


def test_geo_38_metres_on_mars_are_those_of_its_projection(real_data):
    # Equirectangular, true at its standard parallel only; there is no way to degrees on Earth.
    with rasterio.open(real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_hirise_mars.tif") as dataset:
        grid = grid_of(dataset.transform, dataset.crs, dataset.width, dataset.height)
        assert grid.pixel_m() == pytest.approx(dataset.res, rel=1e-12)


def test_geo_38_a_scene_without_a_place_has_no_pixel_size():
    pixels = StoredPixels(9, 9, None, None)
    assert SceneGrid(9, 9, None, None, pixels, Affine.identity()).pixel_m() is None
    local = grid_of(from_origin(0, 0, 1, 1), 'LOCAL_CS["site",UNIT["metre",1]]')
    assert (local.pixel_m(), local.gsd_m()) == (None, None)


def test_geo_38_degrees_of_a_real_scene_are_converted_at_its_latitude(real_data):
    with rasterio.open(real_data / "remote_sensing/opengeos__data/landsat/1985.tif") as dataset:
        grid = grid_of(dataset.transform, dataset.crs, dataset.width, dataset.height)
    # 30 m pixels of Landsat would be 0.00027 degrees; these are three times as large.
    assert grid.gsd_m() == pytest.approx(0.000808 * 111_000 * math.sqrt(math.cos(math.radians(8.4))), rel=0.02)


def test_a_crs_is_named_by_its_code_or_by_its_wkt():
    assert describe_crs(CRS.from_epsg(26914)) == "EPSG:26914"
    # Without a datum it only resembles EPSG:32633.
    homemade = CRS.from_proj4("+proj=utm +zone=33 +ellps=WGS84 +units=m")
    assert CRS.from_wkt(describe_crs(homemade)) == homemade


def test_geo_32_map_coordinates_have_the_easting_first():
    # EPSG:2180 lists its northing first; the values are those of its own definition (reference, GEO-32).
    grid = grid_of(from_origin(636_640.5 - 50, 483_432.2 + 30, 1, 1), "EPSG:2180")
    assert grid.from_map(np.array([(21.0, 52.2)]), CRS.from_epsg(4326)) == pytest.approx(np.array([(50, 30)]), abs=0.1)


def test_geo_16_bounds_across_the_antimeridian_have_left_above_right():
    grid = grid_of(from_origin(650_000, 5_700_000, 100, 100), "EPSG:32660", 1000, 1000)
    left, _, right, _ = grid.bounds(crs=CRS.from_epsg(4326))
    assert right < 0 < left


def test_geo_14_a_rotated_scene_puts_labels_where_its_geotransform_says(
    tmp_path, real_data, write_scene, write_boxes, run, tiles_of
):
    with rasterio.open(real_data / "remote_sensing/rasterio__rasterio/tests/data/rotated.tif") as dataset:
        turned = dataset.transform
    assert turned.b != 0 and turned.d != 0
    transform = Affine(turned.a, turned.b, 500_000, turned.d, turned.e, 5_600_000)
    scene = write_scene(tmp_path / "scene.tif", noise((1, 90, 120)), transform=transform)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 70, 65, 90, 75)], transform=transform)
    tiles = tiles_of(run(scene, labels=labels, label_field="class", tile_px=64))
    assert tiles["scene/r1c1"].objects[0].box_px == pytest.approx((6, 1, 26, 11), abs=0.5)


def test_geo_14_labels_beside_a_rotated_scene_do_not_count(tmp_path, write_scene, write_boxes, run):
    # Turned by 45 degrees, the scene leaves the corners of the box around it free.
    transform = Affine(7, 7, 500_000, 7, -7, 5_600_000)
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), transform=transform)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", -20, 10, -10, 20)], transform=transform)
    with pytest.raises(NothingToDoError, match="none of the 1 features"):
        run(scene, labels=labels, label_field="class")


def test_geo_14_a_marker_on_a_real_rotated_scene(tmp_path, real_data, write_geojson, run, tiles_of):
    scene = real_data / "remote_sensing/GeoTIFF__test-data/files/umbra_mount_yasur.tiff"
    lon, lat, side = 169.4475, -19.5285, 2e-6
    with rasterio.open(scene) as dataset:
        (x,), (y,) = transform_coordinates("EPSG:4326", dataset.crs, [lon], [lat])
        column, row = ~dataset.transform @ (x, y)
        assert 0 < column < dataset.width and 0 < row < dataset.height
    ring = [[lon + dx * side, lat + dy * side] for dx, dy in ((-9, -9), (9, -9), (9, 9), (-9, 9), (-9, -9))]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    labels = write_geojson(tmp_path / "l.geojson", [({}, geometry)])
    tiles = tiles_of(run(scene, labels=labels, label_name="marker", tile_px=256))
    (name,) = [name for name, sample in tiles.items() if sample.objects]
    assert name == f"umbra_mount_yasur/r{int(row // 256)}c{int(column // 256)}"
    x_min, y_min, x_max, y_max = tiles[name].objects[0].box_px
    assert ((x_min + x_max) / 2, (y_min + y_max) / 2) == pytest.approx((column % 256, row % 256), abs=0.5)


def test_geo_15_a_south_up_copy_gives_the_same_box_and_the_same_pixels(
    tmp_path, write_scene, write_geojson, lonlat_ring, run, samples_of, pixels_of
):
    """An L, which no mirror image equals, with a box that lies in another place when turned."""
    pixels = noise((3, 64, 64))
    write_scene(tmp_path / "up" / "a.tif", pixels)
    south_up = Affine(10, 0, 400_000, 0, 10, 5_600_000 - 640)
    write_scene(tmp_path / "down" / "a.tif", np.ascontiguousarray(pixels[:, ::-1]), transform=south_up)
    corners = [(5, 3), (15, 3), (15, 20), (30, 20), (30, 28), (5, 28)]
    labels = write_geojson(tmp_path / "l.geojson", [({}, {"type": "Polygon", "coordinates": [lonlat_ring(corners)]})])
    found = []
    for name in ("up", "down"):
        summary = run(tmp_path / name, out=f"out-{name}", labels=labels, label_name="shed", tile_px=64)
        found.append((samples_of(summary)["a/r0c0/grounding-0"], summary))
    (one, one_summary), (other, other_summary) = found
    assert one.objects[0].box_px == pytest.approx((5, 3, 30, 28), abs=1e-2)
    assert other.objects == one.objects
    # 5/64, 3/64, 30/64 and 28/64 in thousandths
    assert other.turns[-1].text == one.turns[-1].text == "<ref>shed</ref><box>[[78, 47, 469, 438]]</box>"
    assert (pixels_of(one_summary, one) == pixels_of(other_summary, other)).all()
    assert other.images[0].source.details["transform"] == [10, 0, 400_000, 0, -10, 5_600_000]


def test_geojson_and_shapefile_give_the_same_buildings(real_data, run, samples_of):
    folder = real_data / "remote_sensing/opengeos__data/elevation"
    found = []
    for suffix in ("geojson", "shp"):
        labels = folder / f"buildings.{suffix}"
        summary = run(folder / "dsm.tif", out=suffix, labels=labels, label_name="building")
        samples = samples_of(summary)
        assert samples["dsm/r0c0/counting"].answer.count == 84  # as many as the file has features
        found.append([(thing.id, thing.box_px, thing.attributes) for thing in samples["dsm/r0c0/counting"].objects])
    for one, other in zip(*found, strict=True):
        assert one[0] == other[0]
        assert one[1] == pytest.approx(other[1], abs=0.01)
        assert one[2] == pytest.approx(other[2], rel=1e-5)


def test_buildings_lie_where_the_heights_are(real_data, run, samples_of):
    """Footprints moved by some pixels cover lower ground than where they were put."""
    folder = real_data / "remote_sensing/opengeos__data/elevation"
    labels = folder / "buildings.geojson"
    sample = samples_of(run(folder / "hag.tif", labels=labels, label_name="building"))["hag/r0c0/counting"]
    with rasterio.open(folder / "hag.tif") as dataset:
        height_m = dataset.read(1)
    rings = [[*thing.polygons_px[0], thing.polygons_px[0][0]] for thing in sample.objects]
    polygons = [{"type": "Polygon", "coordinates": [ring]} for ring in rings]
    inside = rasterio.features.geometry_mask(polygons, height_m.shape, Affine.identity(), invert=True)
    # np.roll moves what lies at the border to the other side; footprints keep 50 px from it.
    mean_m = {(x, y): height_m[np.roll(inside, (y, x), axis=(0, 1))].mean() for x in range(-8, 9) for y in range(-8, 9)}
    best_x_px, best_y_px = max(mean_m, key=mean_m.get)
    assert max(abs(best_x_px), abs(best_y_px)) <= 1
    assert mean_m[0, 0] > height_m[~inside].mean() + 3


def test_a_real_crown_polygon_lies_on_its_drone_image(real_data, run, samples_of):
    folder = real_data / "remote_sensing/weecology__DeepForest/src/deepforest/data"
    labels = folder / "australia.shp"
    samples = samples_of(run(folder / "australia.tif", labels=labels, label_name="crown", tile_px=800, min_visible=0))
    (thing,) = samples["australia/r0c0/grounding-0"].objects
    # From the bounds in the shapefile and the geotransform: (278970.6461 - 278966.322) / 0.018 = 240.23,
    # (8597744.154 - 8597741.832) / 0.018 = 129.0, and so on.
    assert thing.box_px == pytest.approx((240.23, 129.0, 660.21, 596.78), abs=0.05)


def test_geo_17_a_scene_without_crs_refuses_vector_labels_by_name(
    tmp_path, real_data, write_boxes, write_table, run, samples_of
):
    scene = real_data / "remote_sensing/rasterio__rasterio/tests/data/rotated.tif"
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 1, 1, 9, 9)])
    with pytest.raises(NothingToDoError, match=r"rotated\.tif.*no coordinate reference system"):
        run(scene, labels=labels, label_field="class", tile_px=16)
    # Labels in its pixels, and of the scene as a whole, need none.
    (tmp_path / "boxes.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\nrotated.tif,2,3,7,9,barn\n")
    samples = samples_of(run(scene, out="boxes", labels=tmp_path / "boxes.csv", tile_px=16))
    assert samples["rotated/r0c0/grounding-2"].objects[0].box_px == (2, 3, 7, 9)
    (sample,) = samples_of(run(scene, out="table", labels=write_table(rotated="x"), tile_px=16)).values()
    assert not {"crs", "transform", "gsd_m"} & set(sample.images[0].source.details)


def test_geo_17_labels_of_earth_do_not_fall_on_mars(tmp_path, real_data, write_geojson, write_table, run, samples_of):
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_hirise_mars.tif"
    ring = [[10.0, 10.0], [10.1, 10.0], [10.1, 10.1], [10.0, 10.1], [10.0, 10.0]]
    labels = write_geojson(tmp_path / "l.geojson", [({}, {"type": "Polygon", "coordinates": [ring]})])
    with pytest.raises(NothingToDoError, match=r"cog_hirise_mars\.tif: there is no way from the CRS of"):
        run(scene, labels=labels, label_name="crater")
    samples = samples_of(run(scene, out="table", labels=write_table(cog_hirise_mars="dunes"), tile_px=1024))
    sample = samples["cog_hirise_mars/r0c0/class"]
    assert sample.answer.text == "dunes"
    assert sample.images[0].source.details["gsd_m"] == pytest.approx(5.0, abs=0.01)


def test_geo_17_boxes_in_pixels_of_a_scene_with_control_points_lie_on_its_warped_pixels(
    tmp_path, real_data, run, tiles_of, pixels_of
):
    """A box around the brightest place of the file is around the brightest place of its tile."""
    scene = real_data / "remote_sensing/cogeotiff__rio-tiler/tests/fixtures/cog_gcps.tif"
    with rasterio.open(scene) as dataset:
        stored = dataset.read(1).astype(float)
    blocks = stored[: 837 // 9 * 9, : 1280 // 8 * 8].reshape(93, 9, 160, 8).mean(axis=(1, 3))
    blocks[:5] = blocks[-5:] = blocks[:, :5] = blocks[:, -5:] = 0
    row, column = (int(value) for value in np.unravel_index(blocks.argmax(), blocks.shape))
    box = (8 * column, 9 * row, 8 * column + 8, 9 * row + 9)
    (tmp_path / "boxes.csv").write_text(
        "image_path,xmin,ymin,xmax,ymax,label\ncog_gcps.tif," + ",".join(map(str, box)) + ",ship\n"
    )
    summary = run(scene, labels=tmp_path / "boxes.csv", tile_px=512, min_valid=0.0)
    assert summary.exit_code == ExitCode.DONE
    (sample,) = [sample for sample in tiles_of(summary).values() if sample.objects]
    x_min, y_min, x_max, y_max = (round(value) for value in sample.objects[0].box_px)
    shown = pixels_of(summary, sample).astype(float)
    inside = shown[y_min:y_max, x_min:x_max].mean()
    beside = shown[max(y_min - 20, 0) : y_max + 20, max(x_min - 20, 0) : x_max + 20].mean()
    assert inside > beside + 20
