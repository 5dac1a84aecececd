"""What tiles show: the same pixels as a computation by hand, for files, folder products and real scenes."""

import math

import numpy as np
import pytest
import rasterio
from rasterio.windows import Window
from scene_layouts import write_landsat, write_safe

from domainvl.converters.geotiff.tile_images import pad

FIXTURES = "remote_sensing/cogeotiff__rio-tiler/tests/fixtures"


def linear(values, low, high):
    return np.rint(np.clip((np.asarray(values, dtype=float) - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def test_geo_02_overlapping_tiles_of_a_real_scene_are_equal_where_they_overlap(real_data, write_table, convert_scenes):
    path = real_data / FIXTURES / "cog.tif"
    done = convert_scenes(path, labels=write_table(cog="x"), tile_px=1024, overlap_px=512, edge="drop")
    tiles = {name.rpartition("/")[2]: done.pixels(name) for name in done.tiles}
    assert len(tiles) == 16
    for row in range(4):
        for column in range(3):
            one, other = tiles[f"r{row}c{column}"], tiles[f"r{row}c{column + 1}"]
            assert (one[:, 512:] == other[:, :512]).all()
            one, other = tiles[f"r{column}c{row}"], tiles[f"r{column + 1}c{row}"]
            assert (one[512:] == other[:512]).all()
    # They show something: neither all black nor all white.
    assert 20 < np.mean([tile.mean() for tile in tiles.values()]) < 235


@pytest.mark.parametrize("stretch", ["percentile:1,99", "stddev:2", "fixed:0,20000", "dtype"])
def test_geo_02_the_recorded_limits_make_the_pixels_of_a_real_scene_again(
    real_data, write_table, convert_scenes, stretch
):
    path = real_data / FIXTURES / "mosaic_cog1.tif"
    done = convert_scenes(path, labels=write_table(mosaic_cog1="x"), tile_px=256, stretch=stretch)
    details = done.details("mosaic_cog1/r1c1")
    assert details["view"]["stretch"] == stretch
    with rasterio.open(path) as dataset:
        stored = dataset.read(window=Window(256, 256, 256, 256))
        valid = dataset.dataset_mask(window=Window(256, 256, 256, 256)) > 0
    shown = done.pixels("mosaic_cog1/r1c1")
    for index, channel in enumerate(details["view"]["channels"]):
        assert (shown[..., index][valid] == linear(stored[index], *channel["limits"])[valid]).all()


def test_geo_02_one_stretch_for_a_data_set(tmp_path, write_scene, write_table, convert_scenes):
    """Values 1 to 1000 and 1001 to 2000: each scene by itself is shown with all greys, together with half of them."""
    rng = np.random.default_rng(0)
    write_scene(tmp_path / "in" / "a.tif", rng.integers(1, 1001, (1, 64, 64)).astype(np.uint16))
    write_scene(tmp_path / "in" / "b.tif", rng.integers(1001, 2001, (1, 256, 256)).astype(np.uint16))
    labels = write_table(a="x", b="y")
    alone = convert_scenes(tmp_path / "in", out="alone", labels=labels, tile_px=64)
    together = convert_scenes(tmp_path / "in", out="together", labels=labels, tile_px=64, stretch_scope="dataset")
    own = [alone.details(name)["view"]["channels"][0]["limits"] for name in ("a/r0c0", "b/r0c0")]
    assert own[0][1] < 1001 < own[1][0]
    shared = [together.details(name)["view"]["channels"][0]["limits"] for name in ("a/r0c0", "b/r0c0")]
    assert shared[0] == shared[1]
    assert shared[0] == pytest.approx([40, 1960], abs=20)
    assert together.details("a/r0c0")["view"]["statistics"] == "all scenes together"
    assert together.pixels("a/r0c0").max() < 130 < together.pixels("b/r0c0").min() + 10


def test_geo_04_scale_and_offset_of_tags_are_applied_or_ignored(tmp_path, write_scene, write_table, convert_scenes):
    stored = np.tile(np.array([1000, 2000, 2600, 4000, 5000, 1037], np.uint16), (16, 3))[np.newaxis]
    path = write_scene(tmp_path / "a.tif", stored)
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (1e-4,), (-0.1,)
    labels = write_table(a="x")
    done = convert_scenes(path, labels=labels, tile_px=16, stretch="fixed:0,0.3")
    # DN x 1e-4 - 0.1 is 0, 0.1, 0.16, 0.3, 0.4, 0.0037; of 0..0.3 in 255 steps 0, 85, 136, 255, 255 and 3.145
    assert done.pixels("a/r0c0")[0, :6].tolist() == [0, 85, 136, 255, 255, 3]
    ignored = convert_scenes(path, out="i", labels=labels, tile_px=16, stretch="fixed:1000,5000", scaling="ignore")
    assert ignored.pixels("a/r0c0")[0, :5].tolist() == [0, 64, 102, 191, 255]  # 63.75, 102, 191.25


def test_geo_04_scenes_with_and_without_offset_give_the_same_pixels(tmp_path, write_table, convert_scenes):
    """Sentinel-2 before baseline 04.00 holds reflectance x 10000, from it on 1000 more."""
    reflectance = {
        key: np.random.default_rng(seed).integers(0, 60, (40, 40)).astype(np.uint16) * 100 + 37
        for seed, key in enumerate(("B02", "B03", "B04"))
    }
    name = "S2A_MSIL2A_20230701T104631_N{}_R051_T31UFT_20230701T170000"
    folder = tmp_path / "in"
    write_safe(folder, {key: plane + 1000 for key, plane in reflectance.items()}, name=name.format("0509"))
    write_safe(folder, reflectance, name=name.format("0214"), baseline="02.14", offset=None)
    labels = write_table(**{name.format("0509"): "x", name.format("0214"): "y"})
    done = convert_scenes(folder, labels=labels, tile_px=64, stretch="fixed:0,0.3")
    new, old = (done.pixels(f"{name.format(baseline)}/r0c0") for baseline in ("0509", "0214"))
    assert (new == old).all()
    expected = np.stack([linear(reflectance[key] / 10_000, 0, 0.3) for key in ("B04", "B03", "B02")], axis=-1)
    assert (new[:40, :40] == expected).all()
    details = done.details(f"{name.format('0509')}/r0c0")
    assert details["view"]["channels"][0]["offset"] == pytest.approx(-0.1)
    assert details["sensor"] == "sentinel-2" and details["date"] == "2023-07-01"


def test_geo_04_landsat_is_scaled_as_its_metadata_says(tmp_path, write_table, convert_scenes):
    stored = np.random.default_rng(0).integers(8000, 20_000, (3, 30, 30)).astype(np.uint16)
    folder = write_landsat(tmp_path / "in", dict(zip(("4", "3", "2"), stored, strict=True)))
    labels = write_table(**{folder.name: "x"})
    done = convert_scenes(tmp_path / "in", labels=labels, tile_px=32, stretch="fixed:0,0.4")
    (tile,) = done.tiles
    expected = linear(stored.transpose(1, 2, 0) * 0.0000275 - 0.2, 0, 0.4)
    assert (done.pixels(tile)[:30, :30] == expected).all()


REAL_MASKS = [
    (f"{FIXTURES}/my-bucket/pix4d/pix4d_alpha_nodata.tif", {}),
    (f"{FIXTURES}/cog_nodata_nan.tif", {}),
    (f"{FIXTURES}/scene_band1.tif", {}),
    ("remote_sensing/rasterio__rasterio/tests/data/RGB.byte.tif", {}),
    ("remote_sensing/rasterio__rasterio/tests/data/RGBA.uint16.tif", {}),
]


@pytest.mark.parametrize(("name", "settings"), REAL_MASKS)
def test_geo_05_the_valid_fraction_is_recorded(real_data, write_table, convert_scenes, name, settings):
    path = real_data / name
    with rasterio.open(path) as dataset:
        mask = dataset.dataset_mask() > 0
        if dataset.dtypes[0].startswith("float"):
            mask &= np.isfinite(dataset.read(1))
    done = convert_scenes(path, labels=write_table(**{path.stem: "x"}), tile_px=1024, min_valid=0.0, **settings)
    (tile,) = done.tiles
    assert abs(done.details(tile)["valid_fraction"] * mask.size - mask.sum()) <= 1
    shown = done.pixels(tile)[: mask.shape[0], : mask.shape[1]]
    assert (shown[~mask] == 128).all()  # no black land


def test_geo_07_a_real_palette_is_expanded(real_data, write_table, convert_scenes):
    path = real_data / FIXTURES / "cog_cmap.tif"
    done = convert_scenes(path, labels=write_table(cog_cmap="x"), tile_px=1024, min_valid=0.4)
    tile = next(iter(done.tiles))
    window = done.details(tile)["window"]
    with rasterio.open(path) as dataset:
        box = Window(window["col"], window["row"], window["width"], window["height"])
        stored, colours = dataset.read(1, window=box), dataset.colormap(1)
    shown = done.pixels(tile)
    assert shown.shape == (1024, 1024, 3)
    for index in np.unique(stored):
        place = tuple(np.argwhere(stored == index)[0])
        assert shown[place].tolist() == ([128] * 3 if index == 0 else list(colours[index][:3]))


def test_geo_19_colours_of_a_palette_are_never_mixed(tmp_path, write_scene, write_table, convert_scenes):
    """Between the indexes 1 and 3 lies 2, which is nowhere in the scene."""
    colours = {1: (255, 0, 0), 2: (0, 255, 0), 3: (0, 0, 255)}
    path = write_scene(tmp_path / "a.tif", np.random.default_rng(0).choice([1, 3], (1, 60, 60)).astype(np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, colours)
    for name, settings in {"crs": {"crs": "EPSG:32632"}, "gsd": {"gsd_m": 40.0}}.items():
        done = convert_scenes(
            path, out=name, labels=write_table(a="x"), tile_px=128, min_valid=0.0, fill_grey=9, **settings
        )
        shown = {tuple(colour) for colour in done.pixels("a/r0c0").reshape(-1, 3).tolist()}
        assert shown == {colours[1], colours[3], (9, 9, 9)}


def test_geo_07_heights_are_grey_by_default(real_data, write_table, convert_scenes):
    path = real_data / FIXTURES / "cog_int16.tif"
    done = convert_scenes(path, labels=write_table(cog_int16="x"), tile_px=1024)
    tile = next(iter(done.tiles))
    details = done.details(tile)
    window = details["window"]
    with rasterio.open(path) as dataset:
        box = Window(window["col"], window["row"], window["width"], window["height"])
        stored = dataset.read(1, window=box)
    low, high = details["view"]["channels"][0]["limits"]
    shown = done.pixels(tile)[: window["height"], : window["width"]]
    assert (shown == np.where(stored == -32768, 128, linear(stored, low, high))).all()


def lit(heights, gsd_m):
    """The shade of a pixel by gdaldem's formula (GDAL, apps/gdaldem_lib.cpp), light from 315 degrees, 45 high."""
    (a, b, c), (d, _, f), (g, h, i) = heights.astype(float).tolist()
    x = ((a + 2 * d + g) - (c + 2 * f + i)) / gsd_m / 8
    y = ((g + 2 * h + i) - (a + 2 * b + c)) / -gsd_m / 8
    towards = math.hypot(x, y) * math.sin(math.atan2(y, x) - math.radians(315))
    shade = (math.sin(math.pi / 4) - math.cos(math.pi / 4) * towards) / math.sqrt(1 + x * x + y * y)
    return 1.0 if shade <= 0 else 1 + 254 * shade


def test_geo_07_a_real_height_model_as_relief(real_data, write_table, convert_scenes):
    """Tiles of 64 px: across their borders too, each pixel is lit by its true neighbours."""
    path = real_data / "remote_sensing/opengeos__data/elevation/dsm.tif"
    done = convert_scenes(path, labels=write_table(dsm="x"), view=["hillshade"], tile_px=64, edge="drop", min_valid=0.9)
    with rasterio.open(path) as dataset:
        heights = dataset.read(1)
    checked = 0
    for tile in done.tiles:
        window, shown = done.details(tile)["window"], done.pixels(tile)
        for row in (0, 1, 31, 63):
            for column in (0, 17, 62, 63):
                y, x = window["row"] + row, window["col"] + column
                near = heights[y - 1 : y + 2, x - 1 : x + 2]
                if near.shape == (3, 3) and (near != -9999).all():
                    assert abs(int(shown[row, column]) - lit(near, 2.0)) <= 0.5 + 1e-6
                    checked += 1
    assert checked > 100


def test_geo_08_a_real_radar_scene_in_decibels(real_data, write_table, convert_scenes):
    path = real_data / FIXTURES / "cog_nodata_nan.tif"
    done = convert_scenes(path, labels=write_table(cog_nodata_nan="x"), view=["sar-db"], tile_px=1024, min_valid=0.0)
    (tile,) = done.tiles
    with rasterio.open(path) as dataset:
        power = dataset.read(1).astype(float)
    shown = done.pixels(tile)[:549, :549]
    valid = np.isfinite(power) & (power > 0)
    assert (shown[valid] == linear(10 * np.log10(power[valid]), -25, 0)).all()
    assert (shown[~valid] == 128).all()
    assert done.details(tile)["valid_fraction"] == pytest.approx(valid.mean(), abs=1e-9)
    assert done.details(tile)["view"]["channels"][0]["limits"] == [-25.0, 0.0]


def test_geo_18_bands_of_another_resolution_show_the_same_ground(tmp_path, write_table, convert_scenes):
    """A square of bright pixels in a band of 10 m and in one of 20 m is at one place of the tile."""
    fine, coarse = np.full((80, 80), 1500, np.uint16), np.full((40, 40), 1500, np.uint16)
    fine[20:40, 30:50] = 9000
    coarse[10:20, 15:25] = 9000
    folder = write_safe(tmp_path, {"B04": fine, "B08": fine, "B11": coarse, "B12": coarse})
    labels = write_table(**{folder.stem: "x"})
    done = convert_scenes(
        folder, labels=labels, view=["both=B12,B08,B04"], tile_px=80, stretch="fixed:0,0.8", resampling="nearest"
    )
    (tile,) = done.tiles
    shown = done.pixels(tile)
    assert (shown[..., 0] == shown[..., 1]).all()
    bright = np.zeros((80, 80), bool)
    bright[20:40, 30:50] = True
    assert ((shown[..., 0] > 200) == bright).all()
    # Smooth by default, but at the same place.
    smooth = convert_scenes(
        folder, out="smooth", labels=labels, view=["both=B12,B08,B04"], tile_px=80, stretch="fixed:0,0.8"
    )
    shown = smooth.pixels(tile).astype(float)
    for axis in np.indices((80, 80)):
        weights = shown[..., 0] - shown[..., 0].min()
        assert (weights * axis).sum() / weights.sum() == pytest.approx(axis[bright].mean(), abs=0.05)


def test_padding_is_to_the_right_and_below():
    pixels = np.full((3, 2, 3), 9, np.uint8)
    padded = pad(pixels, 4, 77)
    assert (padded[:3, :2] == 9).all() and (padded[3:] == 77).all() and (padded[:, 2:] == 77).all()
    whole = np.zeros((4, 4), np.uint8)
    assert pad(whole, 4, 77) is whole


def test_geo_05_each_view_lacks_the_pixels_that_its_own_bands_lack(tmp_path, write_scene, write_table, convert_scenes):
    """Red, green and blue are missing on the right, where the near infrared is not: no black land in true colour."""
    pixels = np.full((4, 32, 32), 200, np.uint8)
    pixels[:3, :, 16:] = 0
    bands = {"descriptions": ("red", "green", "blue", "nir"), "photometric": "MINISBLACK"}
    scene = write_scene(tmp_path / "a.tif", pixels, nodata=0, **bands)
    done = convert_scenes(
        scene, labels=write_table(a="x"), tile_px=32, view=["true-colour", "nir=nir"], fill_grey=9, min_valid=0.0
    )
    assert (done.pixels("a/r0c0", 0)[:, 16:] == 9).all()
    assert (done.pixels("a/r0c0", 1) == 200).all()
    assert [done.details("a/r0c0", image)["valid_fraction"] for image in (0, 1)] == [0.5, 1.0]
