"""Scenes cut on their own pixels, on common tiles, in another CRS or with larger pixels: what is seen, and where."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine, from_origin
from rasterio.warp import transform as transform_coordinates


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def bounds(details):
    """Bounds on the ground of a whole tile."""
    transform = Affine(*details["transform"])
    side_px = details["tile_px"]
    (left, top), (right, bottom) = transform @ (0, 0), transform @ (side_px, side_px)
    return left, bottom, right, top


def test_geo_12_tiles_of_scenes_that_are_shifted_have_the_same_ground(
    tmp_path, write_scene, write_table, convert_scenes
):
    for name, shift_m in (("a", 0.0), ("b", 37.0 + 640)):  # 3.7 px and a tile
        transform = from_origin(400_013 + shift_m, 5_600_009 - shift_m, 10, 10)
        write_scene(tmp_path / "in" / f"{name}.tif", noise((1, 200, 200)), transform=transform)
    done = convert_scenes(
        tmp_path / "in", labels=write_table(a="x", b="y"), tile_px=64, align="geo", split_by="scene", min_valid=0.2
    )
    grounds = {}
    for tile in done.tiles:
        details = done.details(tile)
        grounds.setdefault(tuple(details["grid_key"]), []).append(bounds(details))
    shared = [boxes for boxes in grounds.values() if len(boxes) == 2]
    assert len(shared) >= 4
    for one, other in shared:
        assert one == pytest.approx(other, abs=1e-6)
        assert one[0] % 640 == 0 and one[3] % 640 == 0
    # Other tiles have other keys.
    assert all(len(boxes) <= 2 for boxes in grounds.values())


@pytest.mark.parametrize("edge", ["pad", "shift", "drop"])
def test_geo_12_equal_keys_are_equal_ground_whatever_happens_at_the_edge(
    tmp_path, write_scene, write_table, convert_scenes, edge
):
    """Scenes of different sizes, whose last tiles are moved back by different steps."""
    for name, side_px in (("a", 150), ("b", 170)):
        transform = from_origin(640 * 600, 640 * 8000, 10, 10)
        write_scene(tmp_path / "in" / f"{name}.tif", noise((1, side_px, side_px)), transform=transform)
    done = convert_scenes(
        tmp_path / "in", labels=write_table(a="x", b="y"), tile_px=64, align="geo", edge=edge, min_valid=0.0
    )
    grounds = {}
    for tile in done.tiles:
        details = done.details(tile)
        if "grid_key" in details:
            grounds.setdefault(tuple(details["grid_key"]), set()).add(bounds(details))
    assert all(len(boxes) == 1 for boxes in grounds.values())
    assert len(grounds) == {"pad": 9, "shift": 4, "drop": 4}[edge]


def test_geo_12_dates_of_a_real_place_have_the_same_tiles(real_data, write_table, convert_scenes):
    """The three NAIP dates begin at different tenths of a pixel."""
    naip = real_data / "remote_sensing/opengeos__data/naip"
    labels = write_table(**{path.stem: "x" for path in naip.glob("*.tif")})
    done = convert_scenes(naip, labels=labels, tile_px=256, align="geo")
    grounds = {}
    for tile in done.tiles:
        details = done.details(tile)
        grounds.setdefault(tuple(details["grid_key"]), set()).add(bounds(details))
    assert max(len(boxes) for boxes in grounds.values()) == 1
    assert len(done.tiles) >= 2 * len(grounds)


def test_geo_18_scenes_of_two_zones_keep_their_own_pixels(tmp_path, write_scene, write_table, convert_scenes):
    scenes = {}
    for name, crs, seed in (("a", "EPSG:32632", 1), ("b", "EPSG:32633", 2)):
        pixels = noise((3, 100, 100), "uint8", seed)
        scenes[name] = pixels
        write_scene(tmp_path / "in" / f"{name}.tif", pixels, crs=crs, photometric="RGB")
    done = convert_scenes(tmp_path / "in", labels=write_table(a="x", b="y"), tile_px=50)
    for name, crs in (("a", "EPSG:32632"), ("b", "EPSG:32633")):
        for row in range(2):
            for column in range(2):
                tile = f"{name}/r{row}c{column}"
                window = np.s_[:, 50 * row : 50 * row + 50, 50 * column : 50 * column + 50]
                assert (done.pixels(tile) == scenes[name][window].transpose(1, 2, 0)).all()
                assert done.details(tile)["crs"] == crs


def test_geo_18_a_crs_on_request_brings_all_scenes_to_it(
    tmp_path, write_scene, write_boxes, write_table, convert_scenes
):
    """A bright square is found where its corners lie in the other CRS."""
    pixels = np.full((1, 200, 200), 10, np.uint8)
    pixels[0, 60:100, 120:150] = 250
    path = write_scene(tmp_path / "a.tif", pixels)
    labels = write_boxes(tmp_path / "l.geojson", [("pond", 120, 60, 150, 100)])
    done = convert_scenes(
        path, labels=labels, label_field="class", tile_px=512, crs="EPSG:32632", gsd_m=5.0, min_valid=0.1
    )
    (tile,) = done.tiles
    details = done.details(tile)
    assert (details["crs"], details["gsd_m"]) == ("EPSG:32632", 5.0)
    inverse = ~Affine(*details["transform"])
    corners_m = [(400_000 + 10 * x, 5_600_000 - 10 * y) for x, y in ((120, 60), (150, 60), (150, 100), (120, 100))]
    xs, ys = transform_coordinates("EPSG:32633", "EPSG:32632", *zip(*corners_m, strict=True))
    corners_px = np.array([inverse @ (x, y) for x, y in zip(xs, ys, strict=True)])
    box = done.tiles[tile].objects[0].box_px
    assert box == pytest.approx((*corners_px.min(axis=0), *corners_px.max(axis=0)), abs=0.05)
    x_min, y_min, x_max, y_max = (round(value) for value in box)
    shown = done.pixels(tile).astype(float)
    rows, columns = np.nonzero(shown > 200)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(
        (x_min, y_min, x_max, y_max), abs=1.5
    )


def test_geo_14_a_rotated_scene_is_turned_north_up_on_request(tmp_path, write_scene, write_boxes, convert_scenes):
    """A bright square of a scene that is turned by 30 degrees is found in the box of its label."""
    pixels = np.full((1, 120, 120), 10, np.uint8)
    pixels[0, 50:70, 60:90] = 250
    turned = from_origin(400_000, 5_600_000, 10, 10) @ Affine.rotation(30)
    path = write_scene(tmp_path / "a.tif", pixels, transform=turned)
    labels = write_boxes(tmp_path / "l.geojson", [("pond", 60, 50, 90, 70)], transform=turned)
    done = convert_scenes(
        path, labels=labels, label_field="class", tile_px=256, gsd_m=10.0, min_valid=0.0, min_visible=0.0
    )
    (tile,) = done.tiles
    x_min, y_min, x_max, y_max = done.tiles[tile].objects[0].box_px
    # cos 30 and sin 30 of 30 px x 20 px: 35.98 px x 32.32 px
    assert (x_max - x_min, y_max - y_min) == pytest.approx((35.98, 32.32), abs=0.01)
    rows, columns = np.nonzero(done.pixels(tile).astype(int) > 190)
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == pytest.approx(
        (x_min, y_min, x_max, y_max), abs=1.5
    )
    assert done.details(tile)["valid_fraction"] < 0.6


@pytest.fixture
def covered(tmp_path, write_scene):
    """A scene of 128 px and a raster of its classes: 3 in the left half, 90 in the right one, 200 in a corner."""
    scene = write_scene(tmp_path / "scene.tif", noise((1, 128, 128)))
    numbers = np.full((1, 128, 128), 3, np.uint8)
    numbers[:, :, 64:] = 90
    numbers[:, :32, :32] = 200
    raster = write_scene(tmp_path / "cover.tif", numbers)
    (tmp_path / "names.csv").write_text("value,name\n3,water\n90,forest\n200,town\n")
    return scene, raster, tmp_path / "names.csv"


def test_geo_19_classes_stay_classes_where_pixels_become_larger(covered, convert_scenes):
    """Pixels of 40 m for those of 10 m: means of 3 and 90 would be other classes, or none."""
    scene, raster, names = covered
    done = convert_scenes(scene, labels=raster, class_names=names, gsd_m=40.0, tile_px=32, tasks="area")
    (tile,) = done.tiles
    answers = {sample.question: sample.answer for sample in done.questions(tile).values()}
    assert answers
    shares = {"water": 100 * (0.5 - 1 / 16), "forest": 50.0, "town": 100 / 16}
    for question, answer in answers.items():
        (name,) = [name for name in shares if name in question]
        if answer.unit == "%":
            assert answer.value == pytest.approx(shares[name], abs=0.05)
    # Images are means.
    with rasterio.open(scene) as dataset:
        stored = dataset.read(1).astype(float)
    low, high = done.details(tile)["view"]["channels"][0]["limits"]
    means = stored.reshape(32, 4, 32, 4).mean(axis=(1, 3))
    expected = np.clip((means - low) / (high - low), 0, 1) * 255
    assert done.pixels(tile) == pytest.approx(expected, abs=1.01)


def test_geo_20_an_empty_scene_stays_empty_when_it_is_warped(tmp_path, write_scene, write_table, convert_scenes):
    """Its pixels come back as -32768; taken as values they would be the darkest ones of a full scene."""
    write_scene(tmp_path / "in" / "empty.tif", np.full((1, 96, 96), -32768, np.int16), nodata=-32768)
    write_scene(tmp_path / "in" / "full.tif", noise((1, 96, 96), "int16"), nodata=-32768)
    done = convert_scenes(
        tmp_path / "in",
        labels=write_table(empty="x", full="y"),
        tile_px=48,
        crs="EPSG:32632",
        stretch="fixed:0,4000",
        min_filled=0.0,
    )
    assert {tile.partition("/")[0] for tile in done.tiles} == {"full"}
    empty = [reject for reject in done.rejects if reject["input"].startswith("empty/")]
    assert len(empty) == done.manifest["units"]["empty.tif"]["tiles"]
    assert {reject["reason"] for reject in empty} == {"min-valid"}
    assert all(reject["message"].startswith("0.000 of its pixels are valid") for reject in empty)


def test_geo_20_half_a_scene_is_valid_where_it_was_before_it_was_warped(
    tmp_path, write_scene, write_table, convert_scenes
):
    pixels = noise((1, 120, 120), "int16")
    pixels[:, :, :60] = -32768
    path = write_scene(tmp_path / "a.tif", pixels, nodata=-32768)
    done = convert_scenes(
        path, labels=write_table(a="x"), tile_px=256, crs="EPSG:32632", gsd_m=10.0, min_valid=0.0, fill_grey=0
    )
    (tile,) = done.tiles
    details = done.details(tile)
    size_px = details["window"]["width"] * details["window"]["height"]
    assert details["valid_fraction"] * size_px == pytest.approx(60 * 120, rel=0.03)
