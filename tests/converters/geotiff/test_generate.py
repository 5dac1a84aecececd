import itertools
import json

import numpy as np
import pytest
import rasterio
from rasterio.warp import transform as transform_coordinates

from domainvl.converters.geotiff.generate import CLASSES, generate_scenes
from domainvl.errors import UsageError
from domainvl.schema import Task

SETTINGS = {"label_field": "class", "tile_px": 128}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    generate_scenes(folder, scene_count=24, seed=5)
    return folder


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_scenes_have_the_format_of_sentinel_2_stacks(scenes):
    with rasterio.open(scenes / "scene_0000.tif") as dataset:
        assert (dataset.count, dataset.width, dataset.height) == (4, 256, 256)
        assert dataset.descriptions == ("B02", "B03", "B04", "B08")
        assert set(dataset.dtypes) == {"uint16"}
        assert dataset.crs.to_epsg() == 32633
        assert (dataset.transform.a, dataset.transform.e) == (10, -10)
        assert dataset.nodata == 0
        assert dataset.profile["tiled"] and dataset.compression.name == "deflate"
        pixels = dataset.read()
    assert pixels.min() > 0
    assert 300 < np.median(pixels) < 3000
    assert pixels.max() <= 10_000


def test_labels_are_geojson_in_longitude_and_latitude(scenes):
    collection = json.loads((scenes / "labels.geojson").read_text())
    assert "crs" not in collection
    for feature in collection["features"]:
        assert feature["properties"]["class"] in CLASSES
        (ring,) = feature["geometry"]["coordinates"]
        assert ring[0] == ring[-1]
        assert all(11 < lon < 20 and 45 < lat < 53 for lon, lat in ring)
        # Counter-clockwise (RFC 7946 section 3.1.6): the shoelace sum is positive.
        assert sum(a[0] * b[1] - b[0] * a[1] for a, b in itertools.pairwise(ring)) > 0


def test_the_pixels_below_a_label_have_the_colour_of_its_class(scenes):
    """The centre of each object, found through its label alone, looks as its class is described."""
    looks = {
        "storage tank": lambda blue, green, red: (
            min(blue, green, red) > 3000 and max(blue, green, red) < 1.1 * min(blue, green, red)
        ),
        "greenhouse": lambda blue, green, red: min(blue, green) > 2 * red,
        "brickfield": lambda blue, green, red: red > 2 * max(blue, green),
        "pond": lambda blue, green, red: blue > 2 * max(green, red) and blue < 2200,
    }
    seen = set()
    features = json.loads((scenes / "labels.geojson").read_text())["features"]
    for path in sorted(scenes.glob("*.tif")):
        with rasterio.open(path) as dataset:
            pixels = dataset.read().astype(float)
            for feature in features:
                lons, lats = np.array(feature["geometry"]["coordinates"][0][:-1]).T
                xs, ys = transform_coordinates("EPSG:4326", dataset.crs, lons, lats)
                column = (np.mean(xs) - dataset.transform.c) / 10
                row = (dataset.transform.f - np.mean(ys)) / 10
                if 3 <= column < 253 and 3 <= row < 253:
                    part = pixels[:3, int(row) - 2 : int(row) + 3, int(column) - 2 : int(column) + 3]
                    name = feature["properties"]["class"]
                    assert looks[name](*part.mean(axis=(1, 2))), (path.name, name)
                    seen.add(name)
    assert seen == set(CLASSES)


def test_equal_seeds_give_equal_files_however_many_follow(tmp_path, scenes):
    generate_scenes(tmp_path / "again", scene_count=24, seed=5)
    assert files_of(tmp_path / "again") == files_of(scenes)
    generate_scenes(tmp_path / "other", scene_count=2, seed=5)
    assert (tmp_path / "other" / "scene_0001.tif").read_bytes() == (scenes / "scene_0001.tif").read_bytes()
    generate_scenes(tmp_path / "seed", scene_count=1, seed=6)
    assert (tmp_path / "seed" / "scene_0000.tif").read_bytes() != (scenes / "scene_0000.tif").read_bytes()


def test_two_conversions_are_equal_byte_by_byte(scenes, run):
    folders = [
        run(scenes, out=f"{folder}/data", labels=scenes / "labels.geojson", **SETTINGS).out for folder in ("one", "two")
    ]
    one, two = map(files_of, folders)
    assert one == two
    assert len(one) > 96


def test_counts_and_presence_are_balanced(scenes, run, samples_of):
    summary = run(scenes, labels=scenes / "labels.geojson", **SETTINGS)
    samples = samples_of(summary).values()
    tiles = {sample.id.rpartition("/")[0]: sample.objects for sample in samples}
    assert len(tiles) == 24 * 4
    for objects in tiles.values():
        kept = [thing.label for thing in objects if not thing.ignore]
        assert len(kept) <= 4
        assert max(map(kept.count, CLASSES)) <= 3
        for thing in objects:
            if not thing.truncated:
                width_px, height_px = thing.box_px[2] - thing.box_px[0], thing.box_px[3] - thing.box_px[1]
                assert 29.5 < min(width_px, height_px) <= max(width_px, height_px) < 60.5
    counts = [sample.answer.count for sample in samples if sample.task is Task.COUNTING]
    shares = [counts.count(value) / len(counts) for value in range(4)]
    assert shares[0] < 0.62 and shares[1] > 0.2 and shares[2] > 0.04 and shares[3] > 0.01
    said = [sample.answer.text for sample in samples if sample.task is Task.PRESENCE]
    assert 0.4 < said.count("yes") / len(said) < 0.6


@pytest.mark.parametrize("scene_count", [0, 4_001])
def test_a_number_of_scenes_out_of_range_is_refused(tmp_path, scene_count):
    with pytest.raises(UsageError, match=str(scene_count)):
        generate_scenes(tmp_path, scene_count=scene_count, seed=0)
