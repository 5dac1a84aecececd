"""What a sample says about its tile, and what is left out of it: counts, masks, scale and place."""

import json

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.warp import transform as transform_coordinates
from rasterio.windows import Window

from domainvl.errors import ExitCode, NothingToDoError
from domainvl.schema import Task


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def test_geo_06_kept_and_left_out_tiles_add_up_to_those_planned(tmp_path, write_scene, write_boxes, convert_scenes):
    """One tile is empty, one damaged, one has nothing to ask, one lies outside the labels; the rest is kept."""
    pixels = noise((1, 64, 384))
    pixels[:, :, 128:192] = 0
    path = write_scene(
        tmp_path / "a.tif", pixels, nodata=0, tiled=True, blockxsize=64, blockysize=64, compress="deflate"
    )
    with rasterio.open(path) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_1_0", "TIFF", bidx=1))
    content = bytearray(path.read_bytes())
    content[offset : offset + 64] = b"\xff" * 64
    path.write_bytes(content)
    # In the tile at 192 a barn of which a quarter is seen; up to 330 there is something; the tile at 320 is inside.
    labels = write_boxes(
        tmp_path / "l.geojson", [("barn", 5, 5, 20, 20), ("barn", 226, 30, 266, 40), ("barn", 300, 5, 310, 15)]
    )
    done = convert_scenes(path, labels=labels, label_field="class", tile_px=64, stretch="fixed:0,4000")
    planned = done.manifest["units"]["a.tif"]["tiles"]
    rejected = {reject["input"]: reject["reason"] for reject in done.rejects if "/r" in reject["input"]}
    assert planned == 6 == len(done.tiles) + len(rejected)
    assert rejected == {"a/r0c1": "scene-read", "a/r0c2": "min-valid", "a/r0c5": "outside-labels"}
    severities = {reject["input"]: reject["severity"] for reject in done.rejects}
    assert severities["a/r0c1"] == "failed" and severities["a/r0c2"] == "skipped"
    assert done.summary.exit_code == ExitCode.PARTIAL


def test_geo_06_each_scene_of_a_folder_is_accounted_for(real_data, tmp_path, write_table, convert_scenes):
    landsat = real_data / "remote_sensing/opengeos__data/landsat"
    labels = write_table(**{path.stem: path.stem for path in landsat.glob("*.tif")})
    done = convert_scenes(landsat, labels=labels, tile_px=128, min_valid=0.98)
    for uri, facts in done.manifest["units"].items():
        name = uri.removesuffix(".tif")
        kept = sum(tile.startswith(f"{name}/") for tile in done.tiles)
        left_out = sum(reject["input"].startswith(f"{name}/") for reject in done.rejects)
        assert (kept + left_out, facts["tiles"]) == (6 * 3, 6 * 3)  # 697 x 377 px
        assert facts["size_px"] == [697, 377]
    assert sorted(done.manifest["units"]) == ["1985.tif", "2000.tif", "2020.tif"]


def clipped(tmp_path, write_scene, write_boxes, **options):
    """Two tiles; of a barn 30 columns lie in the left one and 10 in the right one, which has a whole one too."""
    path = write_scene(tmp_path / "a.tif", np.full((3, 64, 128), 200, np.uint8), photometric="RGB")
    boxes = [("barn", 34, 10.5, 74.5, 20.5), ("barn", 100, 30, 110, 40), ("silo", 70, 12, 80, 18)]
    return path, write_boxes(tmp_path / "l.geojson", boxes)


def test_geo_35_what_is_too_little_visible_is_not_counted(tmp_path, write_scene, write_boxes, convert_scenes):
    path, labels = clipped(tmp_path, write_scene, write_boxes)
    done = convert_scenes(path, labels=labels, label_field="class", tile_px=64, tasks="counting,presence")
    things = {thing.id: thing for thing in done.tiles["a/r0c1"].objects}
    assert [things[name].ignore for name in ("0", "1", "2")] == [True, False, False]
    asked = [sample.question for sample in done.questions("a/r0c1").values() if sample.task == "counting"]
    assert not any("barn" in question for question in asked)
    assert (done.pixels("a/r0c1") == 200).all()


def test_geo_35_what_is_too_little_visible_can_be_masked(tmp_path, write_scene, write_boxes, convert_scenes):
    """The pixels of the cut barn are filled, but for those of the silo in front of it; then it can be counted."""
    path, labels = clipped(tmp_path, write_scene, write_boxes)
    done = convert_scenes(
        path,
        labels=labels,
        label_field="class",
        tile_px=64,
        tasks="counting,presence",
        too_little="mask",
        fill_grey=7,
    )
    barn, silo = np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    barn[10:21, 0:11] = True  # columns 64 to 74.5 and rows 10.5 to 20.5 of the scene: all pixels that it touches
    silo[12:18, 6:16] = True  # columns 70 to 80
    near = np.zeros((64, 64), bool)
    near[9:22, 0:12] = True
    shown = done.pixels("a/r0c1")
    assert (shown[barn & ~silo] == 7).all()
    assert (shown[silo | ~near] == 200).all()
    assert (done.pixels("a/r0c0") == 200).all()
    assert [thing.id for thing in done.tiles["a/r0c1"].objects] == ["1", "2"]
    for tile in done.tiles:
        for sample in done.questions(tile).values():
            if sample.task == "counting":
                (label,) = [label for label in ("barn", "silo") if label in sample.question]
                kept = [thing for thing in sample.objects if thing.label == label and not thing.ignore]
                assert sample.answer.count == len(kept)
    valid = done.details("a/r0c1")["valid_fraction"]
    assert valid == pytest.approx((shown[..., 0] == 200).mean())


def test_geo_38_the_prompt_can_say_how_large_a_pixel_is(tmp_path, write_scene, write_table, convert_scenes):
    path = write_scene(tmp_path / "a.tif", noise((1, 32, 32)), transform=from_origin(0, 0, 0.3, 0.3))
    labels = write_table(a="x", b="y")
    silent = convert_scenes(path, out="silent", labels=labels, tile_px=32)
    done = convert_scenes(path, labels=labels, tile_px=32, prompt_gsd=True)
    (sample,) = done.samples.values()
    assert "The image has 0.3 m per pixel." in sample.turns[0].text
    assert "per pixel" not in next(iter(silent.samples.values())).turns[0].text
    assert sample.images[0].source.details["gsd_m"] == pytest.approx(0.3)


def test_geo_38_degrees_are_converted_at_the_latitude_of_each_tile(tmp_path, write_scene, write_table, convert_scenes):
    """A scene from 70 to 60 degrees north: a degree of longitude is 38.2 km above and 55.8 km below."""
    path = write_scene(
        tmp_path / "a.tif", noise((1, 1000, 10)), crs="EPSG:4326", transform=from_origin(10, 70, 0.01, 0.01)
    )
    done = convert_scenes(path, labels=write_table(a="x"), tile_px=16, prompt_gsd=True, min_valid=0.0)
    tiles = sorted(done.tiles, key=lambda tile: int(tile.partition("/r")[2].partition("c")[0]))
    found = [done.details(tile)["gsd_m"] for tile in (tiles[0], tiles[-1])]
    # sqrt(width x height): 111.56 km and 111.41 km of latitude
    assert found[0] == pytest.approx(0.01 * (38_187 * 111_560) ** 0.5, rel=0.01)
    assert found[1] == pytest.approx(0.01 * (55_800 * 111_410) ** 0.5, rel=0.01)
    texts = [done.tiles[tile].turns[0].text for tile in (tiles[0], tiles[-1])]
    assert all(f"has {gsd_m:.0f} m per pixel" in text for gsd_m, text in zip(found, texts, strict=True))


CANARY = from_origin(412_345.6789, 5_654_321.0987, 10, 10)


def everything(folder):
    return b"\n".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


@pytest.mark.parametrize("split_by", ["scene", "block"])
def test_geo_38_a_place_that_is_dropped_stands_nowhere(tmp_path, write_scene, write_boxes, convert_scenes, split_by):
    """Neither the coordinates on the map, nor longitude and latitude, nor the CRS; not even as a block of ground."""
    path = write_scene(tmp_path / "a.tif", noise((3, 64, 64)), transform=CANARY)
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 5, 5, 20, 20)], transform=CANARY)
    settings = {"labels": labels, "label_field": "class", "tile_px": 64, "split_by": split_by, "split_block_m": None}
    if split_by == "block":
        settings["split_block_m"] = 1e6
    kept = everything(convert_scenes(path, out="kept", **settings).out)
    done = convert_scenes(path, out="dropped", location="drop", **settings)
    dropped = everything(done.out)
    (lon,), (lat,) = transform_coordinates("EPSG:32633", "EPSG:4326", [412_345.6789], [5_654_321.0987])
    told = [b"412345", b"5654321", b"EPSG:32633", b'"transform":[10']
    assert all(word in kept for word in told)
    for word in [*told, f"{lon:.2f}".encode(), f"{lat:.2f}".encode(), b"lonlat", b"EPSG"]:
        assert word not in dropped
    assert b'"gsd_m":10.0' in dropped.replace(b" ", b"")
    # A block is numbered from the equator and the meridian of Greenwich; then from the corner of the scene.
    groups = {sample.group for sample in done.samples.values()}
    assert groups == ({"a/block/1e+06m/x0y0"} if split_by == "block" else {"a"})


def test_geo_38_a_message_does_not_tell_a_place_that_is_dropped(tmp_path, write_scene, write_boxes, convert_scenes):
    write_scene(tmp_path / "in" / "a.tif", noise((3, 64, 64)), transform=CANARY)
    write_scene(tmp_path / "in" / "far.tif", noise((3, 64, 64)), transform=from_origin(300_000, 5_200_000, 10, 10))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 5, 5, 20, 20)], transform=CANARY)
    settings = {"labels": labels, "label_field": "class", "tile_px": 64}
    messages = [
        convert_scenes(tmp_path / "in", out=location, location=location, **settings).rejects[0]["message"]
        for location in ("keep", "drop")
    ]
    assert "13.7" in messages[0] and "51.0" in messages[0]
    assert messages[1].endswith(
        "none of the 1 features of labels/l.geojson meets it. Leave the scene out if nobody "
        "labelled it; else check the CRS of both files."
    )


def test_geo_38_a_coarse_place_is_longitude_and_latitude_to_a_tenth(tmp_path, write_scene, write_table, convert_scenes):
    path = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), transform=CANARY)
    done = convert_scenes(path, labels=write_table(a="x"), tile_px=64, location="coarse")
    details = done.details("a/r0c0")
    (lon,), (lat,) = transform_coordinates("EPSG:32633", "EPSG:4326", [412_665.7], [5_654_001.1])
    assert details["lonlat"] == [round(lon, 1), round(lat, 1)]
    assert not {"transform", "crs", "grid_key"} & set(details)
    assert b"412345" not in everything(done.out)


def test_nothing_is_converted_where_all_tiles_are_left_out(tmp_path, write_scene, write_table, convert_scenes):
    path = write_scene(tmp_path / "a.tif", np.zeros((1, 64, 64), np.uint8), nodata=0)
    with pytest.raises(NothingToDoError, match=r"0\.000 of its pixels are valid"):
        convert_scenes(path, labels=write_table(a="x"), tile_px=64)


def test_the_manifest_says_what_a_recipe_needs_to_apply_again(tmp_path, write_scene, write_table, convert_scenes):
    path = write_scene(tmp_path / "a_20210304.tif", noise((4, 100, 60)), descriptions=("blue", "green", "red", "nir"))
    done = convert_scenes(path, labels=write_table(a_20210304="x"), tile_px=32, view=["false-colour", "ndvi"])
    facts = done.manifest["units"]["a_20210304.tif"]
    assert (facts["tiles"], facts["tile_px"], facts["size_px"]) == (8, 32, [60, 100])
    assert (facts["gsd_m"], facts["crs"]) == (10.0, "EPSG:32633")
    (scene,) = facts["scenes"]
    assert (scene["uri"], scene["date"]) == ("a_20210304.tif", "2021-03-04")
    colour, index = scene["views"]
    assert [channel["bands"][0]["role"] for channel in colour["channels"]] == ["nir", "red", "green"]
    assert colour["stretch"] == "percentile:2,98"
    assert index["channels"][0]["kind"] == "index"
    # The same as each sample says.
    tile = next(iter(done.tiles))
    assert [image.source.details["view"] for image in done.tiles[tile].images] == scene["views"]
    assert json.loads(json.dumps(facts)) == facts
    with rasterio.open(path) as dataset:
        nir = dataset.read(4, window=Window(0, 0, 32, 32)).astype(float)
    low, high = colour["channels"][0]["limits"]
    assert (done.pixels("a_20210304/r0c0")[..., 0] == np.rint(np.clip((nir - low) / (high - low), 0, 1) * 255)).all()


def test_geo_06_a_tile_that_is_mostly_padding_is_left_out_and_counted(
    tmp_path, write_scene, write_table, convert_scenes
):
    # 65 columns: the second tile has one of them. 40 rows are less than a tile: that padding is not held against it.
    scene = write_scene(tmp_path / "a.tif", noise((1, 40, 65)))
    found = convert_scenes(scene, labels=write_table(a="x"), tile_px=64)
    assert set(found.tiles) == {"a/r0c0"}
    (reject,) = found.rejects
    assert (reject["input"], reject["reason"], reject["severity"]) == ("a/r0c1", "min-filled", "skipped")
    assert "0.016" in reject["message"]  # 1 of 64 columns
    kept = convert_scenes(scene, out="kept", labels=write_table(a="x"), tile_px=64, min_filled=0.01)
    assert set(kept.tiles) == {"a/r0c0", "a/r0c1"}


@pytest.fixture
def classes(tmp_path):
    path = tmp_path / "names.csv"
    path.write_text("value,name\n1,forest\n2,water\n")
    return path


def cover_of(found, tile):
    """Share of the image and hectares that are asked about, by class."""
    asked = {}
    for key, sample in found.questions(tile).items():
        if sample.task is Task.AREA:
            asked[key.rpartition("-")[2]] = (sample.answer.value, sample.answer.unit)
    return asked


def test_areas_of_a_raster_of_classes_are_those_of_the_image(tmp_path, write_scene, classes, convert_scenes):
    # 64 x 48 px of 10 m in a tile of 64: a quarter is padding. Forest has 32 columns of 48 rows: 1,536 of 4,096 px.
    scene = write_scene(tmp_path / "a.tif", noise((1, 48, 64)))
    cover = np.full((1, 48, 64), 2, np.uint8)
    cover[:, :, :32] = 1
    raster = write_scene(tmp_path / "labels" / "a.tif", cover, nodata=0)
    found = convert_scenes(scene, labels=raster.parent, class_names=classes, tile_px=64)
    asked = cover_of(found, "a/r0c0")
    # Whichever class is drawn: both cover as much.
    assert asked["share"] == (pytest.approx(37.5), "%")
    assert asked["ground"] == (pytest.approx(15.36), "ha")


def test_areas_are_not_extrapolated_over_what_nobody_classified(tmp_path, write_scene, classes, convert_scenes):
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    cover = np.full((1, 64, 128), 2, np.uint8)
    cover[:, :, :40] = 1
    cover[:, :10, 64:] = 0  # 640 of the 4,096 px of the second tile
    raster = write_scene(tmp_path / "labels" / "a.tif", cover, nodata=0)
    found = convert_scenes(scene, labels=raster.parent, class_names=classes, tile_px=64)
    assert set(found.tiles) == {"a/r0c0"}
    (reject,) = found.rejects
    assert (reject["input"], reject["reason"]) == ("a/r0c1", "unknown-class")
    assert "0.844" in reject["message"]


def test_a_class_is_not_denied_where_a_pixel_is_unknown(tmp_path, write_scene, classes, convert_scenes):
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    cover = np.full((1, 64, 128), 2, np.uint8)
    cover[:, 5, 5] = 0
    raster = write_scene(tmp_path / "labels" / "a.tif", cover, nodata=0)
    found = convert_scenes(scene, labels=raster.parent, class_names=classes, tile_px=64)
    asked = {tile: {sample.task for sample in found.questions(tile).values()} for tile in ("a/r0c0", "a/r0c1")}
    assert Task.PRESENCE not in asked["a/r0c0"]
    assert Task.PRESENCE in asked["a/r0c1"]


def test_pixels_without_a_map_have_the_size_that_metadata_states(tmp_path, write_scene, write_table):
    from dataclasses import replace

    from domainvl.conversion import UnitResult
    from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
    from domainvl.schema import ImageStore, Provenance

    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 64)), crs=None, transform=None)
    settings = GeotiffSettings(labels=write_table(a="x"), tile_px=64, prompt_gsd=True)
    (site,) = CONVERTER.plan(scene, settings).units
    product = replace(site.scenes[0].product, gsd_m=0.25)
    site = replace(site, scenes=(replace(site.scenes[0], product=product),))
    (band,) = CONVERTER.divide(site, settings).units
    provenance = Provenance(converter="geotiff", version="1", settings_sha256="0", wording="w")
    result = CONVERTER.convert(band, settings, ImageStore(tmp_path / "out"), provenance)
    assert isinstance(result, UnitResult)
    assert "0.25 m per pixel" in result.samples[0].turns[0].text
    assert result.samples[0].images[0].source.details["gsd_m"] == 0.25


def test_a_band_carries_the_labels_that_it_shows_and_gives_the_same(tmp_path, write_scene, convert_scenes, monkeypatch):
    """Boxes in pixels travel in the units of work: each band has only its own, and whole ones."""
    from domainvl.converters.geotiff import CONVERTER, GeotiffSettings

    scene = write_scene(tmp_path / "a.tif", noise((1, 256, 64)))
    boxes = tmp_path / "boxes.csv"
    rows = [(5, 10, 20, 30), (30, 50, 60, 80), (10, 200, 40, 230), (8, 60, 20, 140)]
    lines = [",".join(map(str, ("a.tif", *row, "barn"))) for row in rows]
    boxes.write_text("image_path,xmin,ymin,xmax,ymax,label\n" + "\n".join(lines) + "\n")
    settings = {"labels": boxes, "tile_px": 64, "overlap_px": 16, "assign": "best"}
    whole = convert_scenes(scene, out="whole", **settings)
    monkeypatch.setattr("domainvl.converters.geotiff.scene._TILES_A_BAND", 1)
    in_bands = convert_scenes(scene, out="bands", **settings)
    assert in_bands.samples == whole.samples and len(whole.samples) > 0
    (site,) = CONVERTER.plan(scene, GeotiffSettings(**settings)).units
    units = CONVERTER.divide(site, GeotiffSettings(**settings)).units
    carried = [len(unit.site.scenes[0].truth.labels.objects) for unit in units]
    # Rows 0 to 64, 48 to 112, 96 to 160, 144 to 208, 192 to 256; boxes end before the row of their lower edge.
    assert carried == [3, 2, 1, 1, 1]


@pytest.mark.parametrize("row", ["a.tif,10,10,,,", "a.tif,,,,,barn"])
def test_geo_35_a_label_without_a_place_silences_what_it_may_be(tmp_path, write_scene, convert_scenes, row):
    """A broken row without a class may be anything; one with a class and no box does not say that nothing is there."""
    scene = write_scene(tmp_path / "a.tif", noise((1, 64, 128)))
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(f"image_path,xmin,ymin,xmax,ymax,label\na.tif,5,5,20,20,barn\n{row}\n")
    found = convert_scenes(scene, labels=boxes, tile_px=64, tasks="presence,counting,detection")
    assert {sample.id for sample in found.samples.values()} == {"a/r0c0/presence-yes"}
    assert any(reject["input"].startswith("labels/boxes.csv") for reject in found.rejects)
