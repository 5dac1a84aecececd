import numpy as np
import pytest

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.planning import ObjectLabels, SceneLabel, plan_scenes
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError


@pytest.fixture
def folder(tmp_path, write_scene):
    """Three scenes, one in a folder of its own."""
    for name in ("b.tif", "a.TIFF", "sub/c.tif"):
        write_scene(tmp_path / "in" / name, np.ones((1, 8, 8), np.uint8))
    (tmp_path / "in" / "notes.txt").write_text("no scene")
    return tmp_path / "in"


@pytest.fixture
def table(tmp_path):
    def write(*lines, header="scene,label"):
        path = tmp_path / "labels.csv"
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    return write


def plan(source, **settings):
    return plan_scenes(source, GeotiffSettings(**settings))


def test_scenes_are_found_below_a_folder_and_sorted(folder, table):
    found = plan(folder, labels=table("a,x", "b,y", "c,x"))
    assert [unit.uri for unit in found.units] == ["a.TIFF", "b.tif", "sub/c.tif"]
    assert [unit.stem for unit in found.units] == ["a", "b", "sub/c"]
    assert sorted(found.sources) == ["a.TIFF", "b.tif", "labels/labels.csv", "sub/c.tif"]


def test_a_mask_beside_a_scene_is_a_source(folder, table):
    (folder / "b.tif.msk").write_bytes(b"mask")
    assert "b.tif.msk" in plan(folder, labels=table("a,x")).sources


def test_a_table_labels_scenes_by_path_name_or_stem(folder, table):
    found = plan(folder, labels=table("a,oak", "b.tif,pine", "sub/c.tif,oak"))
    assert [unit.truth for unit in found.units] == [
        SceneLabel("oak", ("oak", "pine")),
        SceneLabel("pine", ("oak", "pine")),
        SceneLabel("oak", ("oak", "pine")),
    ]


def test_a_scene_without_row_and_a_row_without_scene_are_rejected(folder, table):
    found = plan(folder, labels=table("a,oak", "b,pine", "z,oak"))
    assert [(reject.input, reject.reason, reject.severity) for reject in found.rejects] == [
        ("sub/c.tif", "no-labels", "failed"),
        ("labels/labels.csv#z", "no-such-scene", "failed"),
    ]


@pytest.mark.parametrize(
    ("lines", "rule"),
    [
        (["a,oak", "a,pine"], "two labels"),
        (["a,"], "both be given"),
        (["a"], "both be given"),
        ([], "no rows"),
    ],
)
def test_a_wrong_table_is_refused(folder, table, lines, rule):
    with pytest.raises(UsageError, match=rule):
        plan(folder, labels=table(*lines))


def test_a_table_needs_its_columns(folder, table):
    with pytest.raises(UsageError, match="no label"):
        plan(folder, labels=table("a,oak", header="scene,class"))


def test_a_scene_that_the_table_names_twice_differently_is_rejected(folder, table):
    found = plan(folder, labels=table("a,oak", "b,pine", "c,oak", "sub/c.tif,pine"))
    assert [(reject.input, reject.message) for reject in found.rejects] == [
        ("sub/c.tif", "labels.csv gives it oak and pine")
    ]


def test_settings_of_vector_labels_do_not_go_with_a_table(folder, table):
    with pytest.raises(UsageError, match="--label-name is for vector labels"):
        plan(folder, labels=table("a,oak"), label_name="oak")


def test_without_labels_the_next_step_is_named(folder):
    with pytest.raises(UsageError, match=r"no labels are given.*--labels.*GeoJSON.*CSV"):
        plan(folder)


def test_labels_that_are_not_there_are_an_error(folder, tmp_path):
    with pytest.raises(InputNotFoundError, match=r"gone\.gpkg"):
        plan(folder, labels=tmp_path / "gone.gpkg")


def test_a_folder_gives_each_scene_its_own_file_and_all_the_same_classes(folder, tmp_path, write_boxes):
    write_boxes(tmp_path / "labels" / "a.geojson", [("oak", 0, 0, 1, 1)])
    write_boxes(tmp_path / "labels" / "c.geojson", [("pine", 0, 0, 1, 1)])
    found = plan(folder, labels=tmp_path / "labels", label_field="class")
    truths = {unit.uri: unit.truth for unit in found.units}
    assert sorted(truths) == ["a.TIFF", "sub/c.tif"]
    for uri, name in (("a.TIFF", "a.geojson"), ("sub/c.tif", "c.geojson")):
        assert isinstance(truths[uri], ObjectLabels)
        assert truths[uri].file.path == tmp_path / "labels" / name
        assert truths[uri].classes == ("oak", "pine")
        assert not truths[uri].shared
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("b.tif", "no-labels")]


def test_two_label_files_of_one_scene_are_refused(folder, tmp_path, write_boxes):
    write_boxes(tmp_path / "labels" / "a.geojson", [("oak", 0, 0, 1, 1)])
    (tmp_path / "labels" / "a.gpkg").write_bytes(b"")
    with pytest.raises(UsageError, match=r"a\.geojson and a\.gpkg"):
        plan(folder, labels=tmp_path / "labels", label_field="class")


def test_all_parts_of_a_shapefile_are_sources(folder, real_data):
    path = real_data / "remote_sensing/opengeos__data/elevation/buildings.shp"
    sources = plan(folder, labels=path, label_name="building").sources
    assert {f"labels/buildings.{suffix}" for suffix in ("shp", "shx", "dbf", "prj", "cpg")} <= set(sources)


def test_scenes_of_one_name_are_told_apart_or_rejected(folder, table, write_scene):
    write_scene(folder / "b.tiff", np.ones((1, 8, 8), np.uint8))
    found = plan(folder, labels=table("a,oak", "b,pine", "c,oak"))
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("b.tiff", "same-name")]
    assert [unit.uri for unit in found.units] == ["a.TIFF", "b.tif", "sub/c.tif"]


def test_an_empty_folder_and_a_wrong_extension_are_errors(tmp_path, table):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match=r"\.tif or \.tiff"):
        plan(tmp_path / "empty", labels=table("a,oak"))
    (tmp_path / "scene.png").write_bytes(b"")
    with pytest.raises(UsageError, match=r"got \.png"):
        plan(tmp_path / "scene.png", labels=table("a,oak"))
