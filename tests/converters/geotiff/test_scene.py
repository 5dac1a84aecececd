"""Whole conversions: which tiles come out, what is shown in them, and what is said of those that do not."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import rasterio
from builders import bytes_of
from rasterio.transform import Affine, from_origin
from rasterio.windows import Window

from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.converters.geotiff.generate import generate_scenes
from domainvl.errors import ExitCode, NothingToDoError
from domainvl.files import hash_file
from domainvl.schema import Task


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def test_a_known_box_comes_back_through_longitude_and_latitude(tmp_path, write_scene, write_boxes, run, samples_of):
    scene = write_scene(tmp_path / "scene.tif", noise((3, 300, 400)))
    # In the tile at column 128 and row 128 it is (12, 22, 62, 52).
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 140, 150, 190, 180)])
    summary = run(scene, labels=labels, label_field="class", tile_px=128)
    sample = samples_of(summary)["scene/r1c1/grounding-0"]
    (thing,) = sample.objects
    assert thing.box_px == pytest.approx((12, 22, 62, 52), abs=0.5)
    # 12/128, 22/128, 62/128 and 52/128 in thousandths
    assert sample.turns[1].text == "<ref>barn</ref><box>[[94, 172, 484, 406]]</box>"
    assert (sample.domain, sample.task, sample.group) == ("remote-sensing", Task.GROUNDING, "scene")
    assert thing.visible_fraction == 1 and not thing.truncated


def test_all_classes_of_the_file_are_asked_about(tmp_path, write_scene, write_boxes, run, samples_of):
    write_scene(tmp_path / "in" / "a.tif", noise((3, 64, 64)))
    away = Affine.translation(100_000, 0) @ from_origin(400_000, 5_600_000, 10, 10)
    write_scene(tmp_path / "in" / "b.tif", noise((3, 64, 64)), transform=away)
    boxes = [("barn", 1, 1, 9, 9), ("barn", 20, 20, 30, 30), ("silo", 10_005, 5, 10_015, 15)]
    labels = write_boxes(tmp_path / "l.geojson", boxes)
    samples = samples_of(run(tmp_path / "in", labels=labels, label_field="class", tile_px=64))
    asked = {(sample.images[0].source.uri, sample.question): sample.answer for sample in samples.values()}
    assert asked["a.tif", "Is there any barn in the image?"].text == "yes"
    assert asked["a.tif", "Is there any silo in the image?"].text == "no"
    assert asked["b.tif", "Is there any silo in the image?"].text == "yes"
    assert asked["b.tif", "Is there any barn in the image?"].text == "no"


def recreate(details, scene):
    """Make a tile again from its record alone, without any code of the converter."""
    window, channels = details["window"], details["view"]["channels"]
    tile = np.full((details["tile_px"], details["tile_px"], len(channels)), details["fill_grey"], dtype=np.uint8)
    with rasterio.open(scene) as dataset:
        box = Window(window["col"], window["row"], window["width"], window["height"])
        stored = dataset.read([channel["bands"][0]["number"] for channel in channels], window=box)
        valid = dataset.dataset_mask(window=box) > 0
    for index, channel in enumerate(channels):
        values = stored[index].astype(float) * channel["scale"] + channel["offset"]
        low, high = channel["limits"]
        shown = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)
        tile[: window["height"], : window["width"], index][valid] = shown[valid]
    return tile


def test_geo_02_a_tile_is_made_again_from_its_record_alone(
    tmp_path, write_scene, write_boxes, run, tiles_of, pixels_of
):
    pixels = noise((4, 150, 170))
    pixels[:, 100:, 130:140] = 0
    path = write_scene(tmp_path / "s2.tif", pixels, nodata=0, descriptions=("B02", "B03", "B04", "B08"))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 10, 150, 140)])
    summary = run(path, labels=labels, label_field="class", tile_px=64, min_visible=0)
    tiles = tiles_of(summary)
    assert len(tiles) == 9
    for sample in tiles.values():
        assert (pixels_of(summary, sample) == recreate(sample.images[0].source.details, path)).all()


def test_the_record_leads_back_to_the_ground(tmp_path, write_scene, write_boxes, run, tiles_of):
    path = write_scene(tmp_path / "scene.tif", noise((3, 100, 100)))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 70, 70, 80, 80)])
    tiles = tiles_of(run(path, labels=labels, label_field="class", tile_px=64))
    source = tiles["scene/r1c1"].images[0].source
    assert (source.uri, source.sha256, source.size_bytes) == ("scene.tif", hash_file(path), path.stat().st_size)
    details = source.details
    assert details["window"] == {"col": 64, "row": 64, "width": 36, "height": 36}
    assert details["transform"] == [10, 0, 400_640, 0, -10, 5_599_360]
    assert details["crs"] == "EPSG:32633"
    assert details["gsd_m"] == 10
    assert [channel["bands"][0]["number"] for channel in details["view"]["channels"]] == [1, 2, 3]
    assert details["valid_fraction"] == 1


def test_geo_02_one_stretch_for_the_scene_makes_overlaps_equal(
    tmp_path, write_scene, write_table, run, tiles_of, pixels_of
):
    # A gradient: a stretch of each tile by itself would give every tile other bytes.
    pixels = np.tile(np.arange(0, 4000, 20, dtype=np.uint16), (1, 100, 1))
    path = write_scene(tmp_path / "a.tif", pixels)
    summary = run(path, labels=write_table(a="x"), tile_px=100, overlap_px=50)
    tiles = tiles_of(summary)
    left, middle = (pixels_of(summary, tiles[f"a/r0c{column}"]) for column in (0, 1))
    assert (left[:, 50:] == middle[:, :50]).all()
    assert len({json.dumps(tile.images[0].source.details["view"]) for tile in tiles.values()}) == 1


def test_geo_05_missing_and_padded_pixels_have_the_fill_colour(
    tmp_path, write_scene, write_table, run, samples_of, pixels_of
):
    pixels = np.full((1, 40, 50), 200, np.uint8)
    pixels[0, 10:20, 30:50] = 0
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    summary = run(path, labels=write_table(a="x"), tile_px=64, fill_grey=77)
    (sample,) = samples_of(summary).values()
    shown = pixels_of(summary, sample)
    assert shown.shape == (64, 64)
    expected = np.full((64, 64), 77)
    expected[:40, :50] = 200
    expected[10:20, 30:50] = 77
    assert (shown == expected).all()
    assert sample.images[0].source.details["valid_fraction"] == 1 - 200 / 2000


def test_geo_06_tiles_with_too_little_data_are_left_out_and_counted(
    tmp_path, write_scene, write_table, run, tiles_of, rejects_of
):
    pixels = np.zeros((1, 20, 80), np.uint8)
    pixels[:, :, :50] = 9  # tiles of 20 columns: full, full, half, empty
    path = write_scene(tmp_path / "a.tif", pixels, nodata=0)
    summary = run(path, labels=write_table(a="x"), tile_px=20)
    assert sorted(tiles_of(summary)) == ["a/r0c0", "a/r0c1", "a/r0c2"]
    (reject,) = rejects_of(summary)
    assert (reject["input"], reject["reason"], reject["severity"]) == ("a/r0c3", "min-valid", "skipped")
    assert summary.exit_code == ExitCode.DONE


def test_geo_11_dropped_edges_are_counted(tmp_path, write_scene, write_table, run, rejects_of):
    path = write_scene(tmp_path / "a.tif", np.ones((1, 50, 50), np.uint8))
    (reject,) = rejects_of(run(path, labels=write_table(a="x"), tile_px=40, edge="drop"))
    assert reject["reason"] == "edge-dropped"
    assert reject["message"].startswith("900 pixels")  # 50 x 50 - 40 x 40


def test_geo_11_a_shifted_tile_stays_in_the_scene(tmp_path, write_scene, write_boxes, run, tiles_of):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 100)))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 90, 10, 100, 20)])
    summary = run(path, labels=labels, label_field="class", tile_px=64, edge="shift")
    tile = tiles_of(summary)["a/r0c1"]
    assert tile.objects[0].box_px == pytest.approx((54, 10, 64, 20), abs=1e-2)
    assert tile.images[0].source.details["window"]["col"] == 36


def test_an_ignored_object_is_kept_but_not_asked_about(tmp_path, write_scene, write_boxes, run, samples_of):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    # 30 of its 40 columns lie in the left tile, 10 in the right one.
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 34, 10, 74, 20), ("silo", 100, 30, 110, 40)])
    samples = samples_of(run(path, labels=labels, label_field="class", tile_px=64))
    right = {sample_id: sample for sample_id, sample in samples.items() if sample_id.startswith("a/r0c1/")}
    barn = next(thing for thing in next(iter(right.values())).objects if thing.label == "barn")
    assert barn.ignore and barn.truncated
    assert barn.visible_fraction == pytest.approx(0.25, abs=1e-3)
    assert right and not any("barn" in sample.question for sample in right.values())
    left = next(sample for sample_id, sample in samples.items() if sample_id == "a/r0c0/grounding-0")
    assert left.objects[0].id == barn.id
    assert left.objects[0].visible_fraction == pytest.approx(0.75, abs=1e-3)


def test_a_tile_with_nothing_to_ask_is_counted(tmp_path, write_scene, write_boxes, run, rejects_of):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 34, 10, 74, 20)])
    (reject,) = rejects_of(run(path, labels=labels, label_field="class", tile_px=64))
    assert (reject["input"], reject["reason"]) == ("a/r0c1", "no-question")


def test_an_empty_tile_outside_all_labels_is_no_proof_of_absence(
    tmp_path, write_scene, write_boxes, run, tiles_of, rejects_of
):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 256)))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 10, 20, 20), ("barn", 130, 10, 140, 20)])
    summary = run(path, labels=labels, label_field="class", tile_px=64)
    assert sorted(tiles_of(summary)) == ["a/r0c0", "a/r0c1", "a/r0c2"]
    (reject,) = rejects_of(summary)
    assert (reject["input"], reject["reason"], reject["severity"]) == ("a/r0c3", "outside-labels", "skipped")


def test_a_label_file_of_its_own_tells_that_tiles_are_empty(tmp_path, write_scene, write_boxes, run, samples_of):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    write_boxes(tmp_path / "labels" / "a.geojson", [("barn", 10, 10, 20, 20)])
    samples = samples_of(run(path, labels=tmp_path / "labels", label_field="class", tile_px=64))
    assert samples["a/r0c1/presence-no"].question == "Is there any barn in the image?"


def test_a_scene_that_no_label_meets_is_rejected_and_others_go_on(
    tmp_path, write_scene, write_boxes, run, samples_of, rejects_of
):
    write_scene(tmp_path / "in" / "a.tif", noise((1, 64, 64)))
    write_scene(tmp_path / "in" / "far.tif", noise((1, 64, 64)), transform=from_origin(700_000, 5_000_000, 10, 10))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 10, 20, 20)])
    summary = run(tmp_path / "in", labels=labels, label_field="class")
    (reject,) = rejects_of(summary)
    assert (reject["input"], reject["reason"]) == ("far.tif", "no-labels")
    assert "check the CRS" in reject["action"]
    assert {sample.group for sample in samples_of(summary).values()} == {"a"}
    assert summary.exit_code == ExitCode.PARTIAL


def test_repaired_rings_are_told_in_the_sample(tmp_path, write_scene, write_geojson, lonlat_ring, run, samples_of):
    path = write_scene(tmp_path / "a.tif", np.ones((3, 64, 64), np.uint8), photometric="RGB")
    ring = lonlat_ring([(10, 10), (20, 20), (20, 10), (10, 20)])
    geometry = {"type": "Polygon", "coordinates": [ring]}
    labels = write_geojson(tmp_path / "l.geojson", [({}, geometry)])
    samples = samples_of(run(path, labels=labels, label_name="barn"))
    assert {sample.warnings for sample in samples.values()} == {
        ("1 of the objects had invalid rings, which were repaired",)
    }


def test_a_scene_label_makes_a_classification_question_for_each_tile(
    real_data, write_table, run, samples_of, pixels_of
):
    naip = real_data / "remote_sensing/opengeos__data/naip"
    years = {path.stem: path.stem[-8:-4] for path in naip.glob("*.tif")}
    assert sorted(years.values()) == ["2010", "2016", "2020"]
    summary = run(naip, labels=write_table(**years))
    samples = samples_of(summary)
    assert len(samples) == 3 * 4  # 934 x 723 px in tiles of 512
    sample = samples["m_4709963_se_14_1_20160816/r0c1/class"]
    assert sample.task is Task.CLASSIFICATION
    assert sample.question == "Classify the image within one of the given classes: 2010, 2016, 2020."
    assert sample.answer.text == "2016"
    assert len({s.split for s in samples.values() if s.group == sample.group}) == 1
    # uint8 is shown as it is, the first three of four bands
    with rasterio.open(naip / "m_4709963_se_14_1_20160816.tif") as dataset:
        stored = dataset.read([1, 2, 3], window=Window(512, 0, 422, 512)).transpose(1, 2, 0)
        valid = dataset.dataset_mask(window=Window(512, 0, 422, 512)) > 0
    assert (pixels_of(summary, sample)[:, :422][valid] == stored[valid]).all()


def test_geo_07_a_palette_is_expanded_to_its_colours(tmp_path, write_scene, write_table, run, samples_of, pixels_of):
    path = write_scene(tmp_path / "cover.tif", np.array([[[1, 2], [3, 0]]], dtype=np.uint8), nodata=0)
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {1: (10, 20, 30), 2: (200, 100, 50), 3: (0, 0, 255)})
    summary = run(path, labels=write_table(cover="x"), tile_px=16, fill_grey=9)
    (sample,) = samples_of(summary).values()
    assert pixels_of(summary, sample)[:2, :2].tolist() == [[[10, 20, 30], [200, 100, 50]], [[0, 0, 255], [9, 9, 9]]]


def test_a_damaged_scene_is_rejected_tile_by_tile_and_others_go_on(
    tmp_path, real_data, write_scene, write_table, run, tiles_of, rejects_of
):
    folder = tmp_path / "in"
    write_scene(folder / "good.tif", noise((3, 64, 64)))
    shutil.copyfile(real_data / "remote_sensing/rasterio__rasterio/tests/data/corrupt.tif", folder / "corrupt.tif")
    (folder / "text.tif").write_text("no raster")
    readable = set()
    with rasterio.open(folder / "corrupt.tif") as dataset:
        for row in range(2):
            for column in range(2):
                window = Window(512 * column, 512 * row, 512, 512)
                try:
                    dataset.read(window=window), dataset.dataset_mask(window=window)
                    readable.add(f"corrupt/r{row}c{column}")
                except rasterio.errors.RasterioIOError:
                    continue
    assert 0 < len(readable) < 4
    summary = run(folder, labels=write_table(good="x", corrupt="y", text="z"))
    assert set(tiles_of(summary)) == readable | {"good/r0c0"}
    rejects = rejects_of(summary)
    assert [(reject["input"], reject["reason"]) for reject in rejects if reject["stage"] == "convert"] == [
        ("text.tif", "scene-open")
    ]
    damaged = {reject["input"] for reject in rejects if reject["reason"] == "scene-read"}
    assert damaged == {f"corrupt/r{row}c{column}" for row in range(2) for column in range(2)} - readable
    assert summary.exit_code == ExitCode.PARTIAL
    assert str(tmp_path) not in (summary.out / "rejects.jsonl").read_text()


def test_a_damaged_block_does_not_spoil_the_statistics(tmp_path, write_scene, write_table, run, tiles_of, rejects_of):
    pixels = noise((1, 4096, 64))
    path = write_scene(tmp_path / "a.tif", pixels, tiled=True, blockxsize=64, blockysize=64, compress="deflate")
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_1", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(content)
    summary = run(path, labels=write_table(a="x"), tile_px=64)
    assert "a/r1c0" not in tiles_of(summary)
    assert [reject["input"] for reject in rejects_of(summary)] == ["a/r1c0"]
    sample = tiles_of(summary)["a/r0c0"]
    view = sample.images[0].source.details["view"]
    assert view["statistics"] == f"all pixels, {63 * 64 * 64} of them valid; 1 damaged blocks left out"
    kept = np.delete(pixels[0], slice(64, 128), axis=0)
    assert view["channels"][0]["limits"] == pytest.approx(np.percentile(kept, [2, 98]))


def test_nothing_converted_says_why(tmp_path, write_scene, write_boxes, run):
    scene = write_scene(tmp_path / "bare.tif", noise((1, 64, 64)), crs=None)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 1, 1, 9, 9)])
    with pytest.raises(NothingToDoError, match=r"no coordinate reference system"):
        run(scene, labels=labels, label_field="class")


def test_geo_17_a_scene_without_crs_can_have_a_scene_label(tmp_path, write_scene, write_table, run, samples_of):
    scene = write_scene(tmp_path / "bare.tif", noise((1, 64, 64)), crs=None, transform=None)
    (sample,) = samples_of(run(scene, labels=write_table(bare="x"))).values()
    assert "crs" not in sample.images[0].source.details


def test_geo_38_the_gsd_is_the_side_of_a_pixel_of_equal_area(tmp_path, write_scene, write_table, run, samples_of):
    angle = math.radians(30)
    transform = Affine(4 * math.cos(angle), math.sin(angle), 0, 4 * math.sin(angle), -math.cos(angle), 0)
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), transform=transform)
    (sample,) = samples_of(run(scene, labels=write_table(a="x"))).values()
    assert sample.images[0].source.details["gsd_m"] == pytest.approx(2.0)  # 4 m x 1 m


@pytest.mark.slow
def test_geo_10_memory_does_not_grow_with_the_scene(tmp_path):
    """A scene of 3.5 GB, written sparse, in a process of its own whose peak memory is read at the end."""
    script = """
import re, sys
from pathlib import Path
import rasterio
from domainvl.conversion import convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
folder = Path(sys.argv[1])
profile = dict(driver="GTiff", width=24_000, height=24_000, count=3, dtype="uint16", tiled=True)
profile |= dict(sparse_ok=True, bigtiff="YES")
with rasterio.open(folder / "a.tif", "w", **profile, compress="deflate", blockxsize=512, blockysize=512):
    pass
(folder / "l.csv").write_text("scene,label\\na,x\\n")
convert(CONVERTER, folder / "a.tif", folder / "out", GeotiffSettings(labels=folder / "l.csv", tile_px=1024))
# Not getrusage: its peak is never below what the process that started this one had.
print(int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) // 1024)
"""
    result = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    assert int(result.stdout) < 1000


def test_no_output_names_the_folder_of_the_input(tmp_path, write_scene, write_boxes, run):
    scene = write_scene(tmp_path / "secret-folder" / "a.tif", noise((1, 64, 64)))
    labels = write_boxes(tmp_path / "secret-folder" / "l.geojson", [("barn", 1, 1, 9, 9)])
    summary = run(scene, labels=labels, label_field="class")
    for path in Path(summary.out).rglob("*"):
        assert not path.is_file() or b"secret-folder" not in path.read_bytes()


def test_a_scene_gives_the_same_in_bands_and_at_once(tmp_path, run, monkeypatch):
    """Also what was left out: features that cannot be used are listed once, not once a band."""
    generate_scenes(tmp_path / "scenes", scene_count=2, seed=3)
    path = tmp_path / "scenes" / "labels.geojson"
    labels = json.loads(path.read_text())
    labels["features"] += [
        {**labels["features"][0], "properties": {"class": None}},
        {**labels["features"][0], "geometry": {"type": "Point", "coordinates": [12.2, 51.4]}},
    ]
    path.write_text(json.dumps(labels))
    settings = {"labels": path, "label_field": "class", "tile_px": 48, "overlap_px": 8, "edge": "shift"}
    found = []
    for tiles_a_band in (1, 7, 32, 10_000):
        monkeypatch.setattr("domainvl.converters.geotiff.scene._TILES_A_BAND", tiles_a_band)
        summary = run(tmp_path / "scenes", out=f"{tiles_a_band}/data", **settings)
        found.append({name: data for name, data in bytes_of(summary.out).items() if name != "rejects.jsonl"})
        rejects = (summary.out / "rejects.jsonl").read_text().splitlines()
        assert sum('"no-class"' in line for line in rejects) == 1

    assert found[0] == found[1] == found[2] == found[3]


def test_bands_take_about_as_many_tiles_as_are_worth_it(tmp_path, write_scene, write_boxes):
    write_scene(tmp_path / "in" / "scene.tif", np.ones((1, 1000, 100), np.uint8))
    settings = GeotiffSettings(labels=write_boxes(tmp_path / "l.geojson", [("a", 5, 5, 20, 20)]), tile_px=20)
    (scene,) = CONVERTER.plan(tmp_path / "in", settings).units

    division = CONVERTER.divide(scene, settings)

    # 5 columns and 50 rows of tiles: 6 rows a band, and what is left.
    assert [(band.first_row, band.stop_row) for band in division.units][:2] == [(0, 6), (6, 12)]
    assert division.units[-1].stop_row == 50
    assert division.units[0].uri == "scene.tif, tile rows 0 to 5"
