"""GEO-40 in whole conversions: tiles of different splits show no common ground, and what that costs is counted."""

import numpy as np
import shapely
from rasterio.transform import Affine, from_origin

from domainvl.schema import Split


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def bounds(details):
    """Bounds on the ground of a whole tile."""
    transform = Affine(*details["transform"])
    side_px = details["tile_px"]
    (left, top), (right, bottom) = transform @ (0, 0), transform @ (side_px, side_px)
    return left, bottom, right, top


def test_geo_40_blocks_of_a_real_scene_share_no_ground(real_data, tmp_path, write_table, convert_scenes):
    """Three dates of one place: a tile of one split shows no ground that one of another split shows."""
    naip = real_data / "remote_sensing/opengeos__data/naip"
    labels = write_table(**{path.stem: "x" for path in naip.glob("*.tif")})
    done = convert_scenes(
        naip,
        labels=labels,
        tile_px=64,
        overlap_px=16,
        split_by="block",
        split_block_m=600.0,
        val_fraction=0.3,
        test_fraction=0.3,
    )
    grounds, splits = [], []
    for tile, sample in done.tiles.items():
        window, transform = done.details(tile)["window"], Affine(*done.details(tile)["transform"])
        (left, top), (right, bottom) = transform @ (0, 0), transform @ (window["width"], window["height"])
        grounds.append(shapely.box(left, bottom, right, top))
        splits.append(sample.split)
    assert set(splits) == set(Split)
    pairs = shapely.STRtree(grounds).query(grounds, predicate="intersects").T.tolist()
    assert len(pairs) > 3 * len(grounds)
    assert all(splits[one] is splits[other] for one, other in pairs)
    lost = [reject for reject in done.rejects if reject["reason"] == "split-border"]
    assert lost and {reject["severity"] for reject in lost} == {"skipped"}
    planned = sum(unit["tiles"] for unit in done.manifest["units"].values())
    assert planned == len(done.tiles) + len(done.rejects)


def test_geo_40_of_overlapping_scenes_the_tiles_at_the_border_are_left_out(
    tmp_path, write_scene, write_table, convert_scenes
):
    """Scenes that overlap by a quarter are drawn into splits by themselves; one of them loses what both show."""
    for number in range(6):
        transform = from_origin(400_000 + 960 * number, 5_600_000, 10, 10)
        write_scene(tmp_path / "in" / f"s{number}.tif", noise((1, 128, 128), seed=number), transform=transform)
    labels = write_table(**{f"s{number}": "x" for number in range(6)})
    done = convert_scenes(tmp_path / "in", labels=labels, tile_px=32, val_fraction=0.3, test_fraction=0.3, split_seed=3)
    boxes = [(sample.split, bounds(done.details(tile))) for tile, sample in done.tiles.items()]
    assert len({split for split, _ in boxes}) > 1
    for split, (left, _, right, _) in boxes:
        for other_split, (other_left, _, other_right, _) in boxes:
            if split != other_split:
                assert right <= other_left + 1e-6 or other_right <= left + 1e-6
    assert {reject["reason"] for reject in done.rejects} == {"split-border"}
    assert "held out" in done.rejects[0]["message"]
    # Without overlap nothing is lost: 96 of 128 columns are the scene's own.
    assert len(done.tiles) + len(done.rejects) == 6 * 16


def test_geo_40_areas_and_dates_decide_the_split(
    tmp_path, write_scene, write_table, write_geojson, lonlat_ring, convert_scenes
):
    path = write_scene(tmp_path / "in" / "a_20200101.tif", noise((1, 64, 128)))
    write_scene(tmp_path / "in" / "b_20220101.tif", noise((1, 64, 128), seed=1))
    areas = [
        (
            {"split": split},
            {"type": "Polygon", "coordinates": [lonlat_ring([(x, -9), (x + 70, -9), (x + 70, 73), (x, 73)])]},
        )
        for split, x in (("train", -4), ("test", 66))
    ]
    file = write_geojson(tmp_path / "areas.geojson", areas)
    labels = write_table(**{"a_20200101": "x", "b_20220101": "y"})
    by_area = convert_scenes(path, out="area", labels=labels, tile_px=32, split_by="area", split_areas=file)
    splits = {name: sample.split for name, sample in by_area.tiles.items()}
    assert {name: split for name, split in splits.items() if "/r0" in name} == {
        "a_20200101/r0c0": Split.TRAIN,
        "a_20200101/r0c1": Split.TRAIN,
        "a_20200101/r0c3": Split.TEST,
    }
    by_date = convert_scenes(
        tmp_path / "in", out="date", labels=labels, tile_px=64, split_by="date", test_from="2021-06"
    )
    assert {name.partition("/")[0]: sample.split for name, sample in by_date.tiles.items()} == {
        "a_20200101": Split.TRAIN,
        "b_20220101": Split.TEST,
    }
