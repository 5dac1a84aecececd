"""Which file of a folder is the label file of which scene."""

import numpy as np
import pytest

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.labels.truth import VectorObjects
from domainvl.converters.geotiff.planning import plan_sites
from domainvl.errors import UsageError


@pytest.fixture
def scenes(tmp_path, write_scene):
    """Write scenes of the given names."""

    def write(*names):
        for name in names:
            write_scene(tmp_path / "in" / name, np.ones((1, 8, 8), np.uint8))
        return tmp_path / "in"

    return write


@pytest.fixture
def labels(tmp_path, write_boxes):
    """Write a vector file of one box for each name."""

    def write(*names):
        for name in names:
            write_boxes(tmp_path / "labels" / name, [("oak", 0, 0, 1, 1)])
        return tmp_path / "labels"

    return write


def plan(source, folder, **settings):
    return plan_sites(source, GeotiffSettings(labels=folder, label_field="class", **settings))


def files_of(found, folder):
    return {unit.uri: unit.scenes[0].truth.file.path.relative_to(folder).as_posix() for unit in found.units}


def told(found):
    return {(reject.input, reject.reason) for reject in found.rejects}


def test_geo_30_the_file_in_the_folder_of_the_scene_comes_first(scenes, labels):
    folder = labels("2019/a.geojson", "2020/a.geojson", "b.geojson")
    found = plan(scenes("2019/a.tif", "2020/a.tif", "2020/b.tif"), folder)
    assert files_of(found, folder) == {
        "2019/a.tif": "2019/a.geojson",
        "2020/a.tif": "2020/a.geojson",
        "2020/b.tif": "b.geojson",
    }
    assert {"labels/2019/a.geojson", "labels/2020/a.geojson", "labels/b.geojson"} <= set(found.sources)
    assert found.rejects == []


def test_geo_30_a_bare_name_that_several_scenes_have_is_given_to_none(scenes, labels):
    found = plan(scenes("2019/a.tif", "2020/a.tif", "b.tif"), labels("a.geojson", "b.geojson"))
    assert [unit.uri for unit in found.units] == ["b.tif"]
    assert told(found) == {("2019/a.tif", "ambiguous-labels"), ("2020/a.tif", "ambiguous-labels")}


def test_geo_30_a_bare_name_is_no_doubt_where_the_other_scene_has_its_own(scenes, labels):
    folder = labels("2019/a.geojson", "a.geojson")
    found = plan(scenes("2019/a.tif", "2020/a.tif"), folder)
    assert files_of(found, folder) == {"2019/a.tif": "2019/a.geojson", "2020/a.tif": "a.geojson"}


def test_geo_30_label_files_without_a_scene_are_listed(scenes, labels):
    found = plan(scenes("a.tif"), labels("a.geojson", "sub/z.geojson"))
    assert told(found) == {("labels/sub/z.geojson", "no-such-scene")}


@pytest.mark.parametrize("name", ["a.GeoJSON", "a.JSON"])
def test_geo_30_extensions_may_be_of_any_case(scenes, labels, name):
    folder = labels(name)
    assert files_of(plan(scenes("a.TIF"), folder), folder) == {"a.TIF": name}


def test_scenes_in_the_folder_of_the_labels_are_no_label_files(scenes, write_boxes):
    folder = scenes("a.tif", "b.tif")
    write_boxes(folder / "a.geojson", [("oak", 0, 0, 1, 1)])
    (folder / "delivery.zip").write_bytes(b"what came with the scenes")
    found = plan(folder, folder)
    assert files_of(found, folder) == {"a.tif": "a.geojson"}
    assert ("labels/delivery.zip", "no-such-scene") not in told(found)
    assert ("b.tif", "no-labels") in told(found)


def test_a_damaged_file_costs_its_scene_only(scenes, labels, tmp_path):
    folder = labels("a.geojson", "b.geojson")
    text = (folder / "b.geojson").read_text()
    (folder / "b.geojson").write_text(text[: len(text) // 2])
    found = plan(scenes("a.tif", "b.tif"), folder)
    assert [unit.uri for unit in found.units] == ["a.tif"]
    assert told(found) == {("b.tif", "label-file")}
    assert str(tmp_path) not in found.rejects[0].message


def test_geo_34_an_empty_file_says_that_its_scene_holds_nothing(scenes, labels, write_geojson):
    folder = labels("a.geojson")
    write_geojson(folder / "b.geojson", [])
    found = plan(scenes("a.tif", "b.tif"), folder)
    assert [unit.uri for unit in found.units] == ["a.tif", "b.tif"]
    truth = found.units[1].scenes[0].truth
    assert isinstance(truth, VectorObjects) and truth.classes == ("oak",)


def test_geo_35_features_without_a_place_are_listed_once_and_stay_known(scenes, tmp_path, write_geojson, lonlat_ring):
    square = {"type": "Polygon", "coordinates": [lonlat_ring([(0, 0), (1, 0), (1, 1)])]}
    path = write_geojson(tmp_path / "l.geojson", [({"class": "oak"}, square), ({"class": "elm"}, None)])
    found = plan(scenes("a.tif", "b.tif"), path)
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("labels/l.geojson#1", "empty-geometry")]
    assert [unit.scenes[0].truth.unclear for unit in found.units] == [{"elm"}, {"elm"}]


def test_geo_35_features_without_a_place_are_listed_for_each_file_of_a_folder(scenes, labels, write_geojson):
    folder = labels("a.geojson")
    write_geojson(folder / "b.geojson", [({"class": "elm"}, None)])
    found = plan(scenes("a.tif", "b.tif"), folder)
    assert told(found) == {("labels/b.geojson#0", "empty-geometry")}
    unclear = {unit.uri: unit.scenes[0].truth.unclear for unit in found.units}
    assert unclear == {"a.tif": frozenset(), "b.tif": {"elm"}}


def test_two_files_of_one_scene_are_refused(scenes, labels):
    folder = labels("sub/a.geojson")
    (folder / "sub/a.gpkg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a\.geojson and a\.gpkg"):
        plan(scenes("sub/a.tif"), folder)
