"""Boxes on the ground: turned and flipped scenes, and real labels on real scenes."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rasterio.warp import transform as transform_coordinates

from domainvl.errors import NothingToDoError


def by_tile(samples):
    """One sample a tile, by the tile's name."""
    return {sample_id.rpartition("/")[0]: sample for sample_id, sample in samples.items()}


def noise(shape):
    return np.random.default_rng(0).integers(1, 4000, shape).astype(np.uint16)


def test_a_rotated_scene_puts_labels_where_its_geotransform_says(
    tmp_path, real_data, write_scene, write_boxes, run, samples_of
):
    with rasterio.open(real_data / "remote_sensing/rasterio__rasterio/tests/data/rotated.tif") as dataset:
        turned = dataset.transform
    assert turned.b != 0 and turned.d != 0
    transform = Affine(turned.a, turned.b, 500_000, turned.d, turned.e, 5_600_000)
    scene = write_scene(tmp_path / "scene.tif", noise((1, 90, 120)), transform=transform)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 70, 65, 90, 75)], transform=transform)
    samples = samples_of(run(scene, labels=labels, label_field="class", tile_px=64))
    assert by_tile(samples)["scene/r1c1"].objects[0].box_px == pytest.approx((6, 1, 26, 11), abs=0.5)


def test_labels_beside_a_rotated_scene_do_not_count(tmp_path, write_scene, write_boxes, run):
    # Turned by 45 degrees, the scene leaves the corners of the box around it free.
    transform = Affine(7, 7, 500_000, 7, -7, 5_600_000)
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), transform=transform)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", -20, 10, -10, 20)], transform=transform)
    with pytest.raises(NothingToDoError, match="none of the 1 features"):
        run(scene, labels=labels, label_field="class")


def test_a_marker_on_a_real_rotated_scene(tmp_path, real_data, write_geojson, run, samples_of):
    scene = real_data / "remote_sensing/GeoTIFF__test-data/files/umbra_mount_yasur.tiff"
    lon, lat, side = 169.4475, -19.5285, 2e-6
    with rasterio.open(scene) as dataset:
        (x,), (y,) = transform_coordinates("EPSG:4326", dataset.crs, [lon], [lat])
        column, row = ~dataset.transform @ (x, y)
        assert 0 < column < dataset.width and 0 < row < dataset.height
    ring = [[lon + dx * side, lat + dy * side] for dx, dy in ((-9, -9), (9, -9), (9, 9), (-9, 9), (-9, -9))]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    labels = write_geojson(tmp_path / "l.geojson", [({}, geometry)])
    samples = samples_of(run(scene, labels=labels, label_name="marker", tile_px=256))
    (name,) = [name for name, sample in by_tile(samples).items() if sample.objects]
    assert name == f"umbra_mount_yasur/r{int(row // 256)}c{int(column // 256)}"
    x_min, y_min, x_max, y_max = by_tile(samples)[name].objects[0].box_px
    assert ((x_min + x_max) / 2, (y_min + y_max) / 2) == pytest.approx((column % 256, row % 256), abs=0.5)


def test_a_scene_whose_south_is_up_is_read_as_it_lies(tmp_path, write_scene, write_boxes, run, samples_of):
    transform = Affine(10, 0, 400_000, 0, 10, 5_600_000)
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), transform=transform)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 40, 20, 60)], transform=transform)
    sample = next(iter(samples_of(run(scene, labels=labels, label_field="class")).values()))
    assert sample.objects[0].box_px == pytest.approx((10, 40, 20, 60), abs=1e-2)


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
