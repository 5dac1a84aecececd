"""What labels say and do not say about tiles, from the files to the questions."""

import numpy as np
import pytest
import rasterio
from rasterio.crs import CRS
from rasterio.transform import from_origin

from domainvl.errors import NothingToDoError


@pytest.fixture
def scene(tmp_path, write_scene):
    """A scene of two tiles of 64 px."""
    return write_scene(tmp_path / "a.tif", np.ones((3, 64, 128), np.uint8))


@pytest.fixture
def labels(tmp_path, write_geojson, lonlat_ring):
    def write(*features, name="l.geojson"):
        def place(kind, corners):
            points = lonlat_ring(corners)
            if kind == "Point":
                return {"type": kind, "coordinates": points[0]}
            return {"type": kind, "coordinates": [points] if kind == "Polygon" else points}

        rows = [({"class": label}, shape and place(*shape)) for label, shape in features]
        return write_geojson(tmp_path / name, rows)

    return write


def square(x, y, side=10):
    return "Polygon", [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def asked(done, tile):
    """The classes that a tile asks about, by task and answer."""
    found = {}
    for sample in done.samples.values():
        if sample.id.startswith(f"a/{tile}/"):
            found[sample.id.rpartition("/")[2]] = sample.turns[0].text
    return found


SETTINGS = {"label_field": "class", "tile_px": 64, "tasks": "presence,counting,detection"}


def test_geo_35_the_class_of_a_point_is_not_denied_where_it_lies(scene, labels, convert_scenes):
    path = labels(("barn", square(5, 5)), ("barn", square(70, 5)), ("tree", ("Point", [(30, 30)])))
    done = convert_scenes(scene, labels=path, **SETTINGS)
    first, second = asked(done, "r0c0"), asked(done, "r0c1")
    assert not any("tree" in text for text in first.values())
    assert "tree" in second["presence-no"]
    assert "detection" not in first and "detection" in second  # not all is known in the first
    assert {thing.label for sample in done.samples.values() for thing in sample.objects} == {"barn"}
    assert [reject["reason"] for reject in done.rejects] == ["no-polygon"]


def test_geo_35_a_class_of_which_something_lies_nobody_knows_where_is_denied_nowhere(scene, labels, convert_scenes):
    path = labels(("barn", square(5, 5)), ("barn", square(70, 5)), ("tree", None))
    done = convert_scenes(scene, labels=path, **SETTINGS)
    for tile in ("r0c0", "r0c1"):
        assert not any("tree" in text for text in asked(done, tile).values())
        assert "presence-yes" in asked(done, tile) and "detection" not in asked(done, tile)
    assert [(reject["input"], reject["reason"]) for reject in done.rejects] == [
        ("labels/l.geojson#2", "empty-geometry")
    ]


def test_geo_35_beside_a_thing_without_class_nothing_is_counted_or_denied(scene, labels, convert_scenes):
    path = labels(("barn", square(5, 5)), ("barn", square(70, 5)), ("tree", square(90, 30)), (None, square(30, 30)))
    done = convert_scenes(scene, labels=path, **SETTINGS)
    assert set(asked(done, "r0c0")) == {"presence-yes"}
    assert "counting" in asked(done, "r0c1")


def test_geo_35_small_objects_are_not_denied(scene, labels, convert_scenes):
    path = labels(("barn", square(5, 5)), ("barn", square(70, 5)), ("tree", square(30, 30, 3)))
    done = convert_scenes(scene, labels=path, **SETTINGS, min_object_px=8.0)
    assert not any("tree" in text for text in asked(done, "r0c0").values())
    assert "tree" in asked(done, "r0c1")["presence-no"]
    assert {thing.label for sample in done.samples.values() for thing in sample.objects} == {"barn"}
    assert [reject["reason"] for reject in done.rejects] == ["too-small"]


def test_geo_37_no_area_is_asked_from_boxes(tmp_path, scene, convert_scenes):
    path = tmp_path / "boxes.csv"
    path.write_text("image_path,xmin,ymin,xmax,ymax,label\na.tif,5,5,25,25,tree\n")
    done = convert_scenes(scene, labels=path, tile_px=64, tasks="presence,area")
    assert {sample.task for sample in done.samples.values()} == {"presence"}
    assert all(thing.polygons_px is None for sample in done.samples.values() for thing in sample.objects)


def test_geo_39_features_beside_a_scene_are_counted_where_the_file_is_its_own(tmp_path, scene, labels, convert_scenes):
    (tmp_path / "own").mkdir()
    features = [("barn", square(5, 5)), ("barn", square(500, 5)), ("barn", square(-40, 5)), ("barn", None)]
    labels(*features, name="own/a.geojson")
    done = convert_scenes(scene, labels=tmp_path / "own", **SETTINGS)
    told = [(reject["input"], reject["reason"], reject["severity"]) for reject in done.rejects]
    assert ("labels/a.geojson", "outside-scene", "skipped") in told
    assert told[0] == ("labels/a.geojson#3", "empty-geometry", "skipped")
    (message,) = [reject["message"] for reject in done.rejects if reject["reason"] == "outside-scene"]
    assert message == "2 of its 4 features lie outside the scene"
    shared = convert_scenes(scene, out="shared", labels=labels(*features), **SETTINGS)
    assert "outside-scene" not in {reject["reason"] for reject in shared.rejects}


def test_geo_39_a_class_raster_beside_its_scene_is_named_with_both_places(tmp_path, scene, convert_scenes):
    away = from_origin(500_000, 5_600_000, 10, 10)
    profile = {"driver": "GTiff", "count": 1, "height": 64, "width": 128, "dtype": "uint8"}
    with rasterio.open(tmp_path / "c.tif", "w", **profile, crs=CRS.from_epsg(32633), transform=away) as dataset:
        dataset.write(np.ones((1, 64, 128), np.uint8))
    (tmp_path / "names.csv").write_text("value,name\n1,water\n")
    # 500 km east is on the central meridian, 15 degrees; the scene is 100 km to the west of it.
    message = "labels/c.tif does not meet it: in longitude and latitude the raster lies in 15.0000.* the scene in 13.5"
    with pytest.raises(NothingToDoError, match=message):
        convert_scenes(scene, labels=tmp_path / "c.tif", class_names=tmp_path / "names.csv", tile_px=64)


def test_geo_35_masking_keeps_the_pixels_of_clear_boxes(tmp_path, write_scene, convert_scenes):
    scene = write_scene(tmp_path / "a.tif", np.full((3, 64, 128), 7, np.uint8))
    path = tmp_path / "boxes.csv"
    # The second box lies a quarter in the first tile, over the first one.
    path.write_text("image_path,xmin,ymin,xmax,ymax,label\na.tif,40,5,62,25,tree\na.tif,54,10,94,20,shed\n")
    done = convert_scenes(scene, labels=path, tile_px=64, too_little="mask", fill_grey=200)
    pixels = done.pixels("a/r0c0")
    assert (pixels[5:25, 40:62] == 7).all()
    assert (pixels[10:20, 62:64] == 200).all()
