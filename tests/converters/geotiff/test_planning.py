"""Which scenes are converted, what is known of each, which belong together, and in which split they are."""

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin

from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.labels.truth import SceneLabel, VectorObjects
from domainvl.converters.geotiff.planning import plan_sites
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Split


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
    return plan_sites(source, GeotiffSettings(**settings))


def test_scenes_are_found_below_a_folder_and_sorted(folder, table):
    found = plan(folder, labels=table("a,x", "b,y", "c,x"))
    assert [unit.uri for unit in found.units] == ["a.TIFF", "b.tif", "sub/c.tif"]
    assert [unit.name for unit in found.units] == ["a", "b", "sub/c"]
    assert sorted(found.sources) == ["a.TIFF", "b.tif", "labels/labels.csv", "sub/c.tif"]


def test_a_mask_beside_a_scene_is_a_source(folder, table):
    (folder / "b.tif.msk").write_bytes(b"mask")
    assert "b.tif.msk" in plan(folder, labels=table("a,x")).sources


def test_a_table_labels_scenes_by_path_name_or_stem(folder, table):
    found = plan(folder, labels=table("a,oak", "b.tif,pine", "sub/c.tif,oak"))
    assert [unit.scenes[0].truth for unit in found.units] == [
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
    with pytest.raises(UsageError, match="--label-name means nothing for a CSV of scenes"):
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
    truths = {unit.uri: unit.scenes[0].truth for unit in found.units}
    assert sorted(truths) == ["a.TIFF", "sub/c.tif"]
    for uri, name in (("a.TIFF", "a.geojson"), ("sub/c.tif", "c.geojson")):
        assert isinstance(truths[uri], VectorObjects)
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
    with pytest.raises(NothingToDoError, match=r"no product and no file that ends in \.tif"):
        plan(tmp_path / "empty", labels=table("a,oak"))
    (tmp_path / "scene.doc").write_bytes(b"")
    with pytest.raises(UsageError, match=r"scene\.doc"):
        plan(tmp_path / "scene.doc", labels=table("a,oak"))


@pytest.fixture
def dates(tmp_path, write_scene):
    """Four scenes of one place, one of them a day late in the alphabet and one without a date, and one far away."""
    folder = tmp_path / "in"
    pixels = np.ones((1, 40, 40), np.uint8)
    for name in ("x_20200501.tif", "z_20100501.tif", "y_20150501.tif", "again_20150501.tif", "undated.tif"):
        write_scene(folder / name, pixels)
    write_scene(folder / "far_20120101.tif", pixels, transform=from_origin(600_000, 5_600_000, 10, 10))
    return folder


def test_scenes_of_one_place_are_a_series_in_the_order_of_their_dates(dates, table):
    labels = table(*(f"{path.stem},x" for path in sorted(dates.glob("*.tif"))))
    found = plan(dates, labels=labels, series=True)
    assert [[scene.date for scene in site.scenes] for site in found.units] == [
        ["2012-01-01"],
        ["2010-05-01", "2015-05-01", "2020-05-01"],
    ]
    assert [site.name for site in found.units] == ["far_20120101", "z_20100501+2"]
    assert [(reject.input, reject.reason, reject.severity) for reject in found.rejects] == [
        ("undated.tif", "no-date", "failed"),
        ("y_20150501.tif", "same-date", "skipped"),
    ]


def test_labels_of_a_shared_file_describe_one_date_of_a_series(dates, tmp_path, write_boxes):
    labels = write_boxes(tmp_path / "l.geojson", [("oak", 1, 1, 9, 9)])

    def labelled(**settings):
        found = plan(dates, labels=labels, label_field="class", series=True, **settings)
        site = next(site for site in found.units if len(site.scenes) == 3)
        return [scene.date for scene in site.scenes if scene.truth is not None]

    assert labelled() == ["2020-05-01"]
    assert labelled(label_date="2015") == ["2015-05-01"]


def test_geo_40_scenes_of_one_place_are_one_group_and_others_their_own(dates, table):
    labels = table(*(f"{path.stem},x" for path in sorted(dates.glob("*.tif"))))
    groups = {unit.uri: unit.rule.group for unit in plan(dates, labels=labels).units}
    assert groups.pop("far_20120101.tif") == "far_20120101"
    assert len(groups) == 5 and set(groups.values()) == {"again_20150501"}


def test_geo_40_dates_decide_where_they_are_asked_to(dates, table):
    labels = table(*(f"{path.stem},x" for path in sorted(dates.glob("*.tif"))))
    found = plan(dates, labels=labels, split_by="date", val_from="2015-05-01", test_from="2020")
    assert {unit.uri: (unit.rule.split, unit.rule.group) for unit in found.units} == {
        "again_20150501.tif": (Split.VAL, "again_20150501"),
        "far_20120101.tif": (Split.TRAIN, "far_20120101"),
        "x_20200501.tif": (Split.TEST, "x_20200501"),
        "y_20150501.tif": (Split.VAL, "y_20150501"),
        "z_20100501.tif": (Split.TRAIN, "z_20100501"),
    }
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("undated.tif", "no-date")]


def test_geo_40_a_series_that_shows_a_held_out_date_is_held_out(dates, table):
    labels = table(*(f"{path.stem},x" for path in sorted(dates.glob("*.tif"))))
    found = plan(dates, labels=labels, series=True, split_by="date", test_from="2020")
    assert {site.name: site.rule.split for site in found.units} == {
        "far_20120101": Split.TRAIN,
        "z_20100501+2": Split.TEST,
    }


def test_geo_40_blocks_are_no_smaller_than_a_tile(dates, table):
    labels = table("x_20200501,x")
    with pytest.raises(UsageError, match="at least the side of a tile, 160 m, got 100"):
        plan(dates, labels=labels, split_by="block", tile_px=16, split_block_m=100.0)
    (site,) = plan(dates, labels=labels, split_by="block", tile_px=16).units
    assert site.rule.blocks.side_m == 640  # four tiles of 16 px of 10 m


def test_geo_40_blocks_need_a_size_where_no_scene_has_one(tmp_path, write_scene, table):
    write_scene(tmp_path / "in" / "a.tif", np.ones((1, 8, 8), np.uint8), crs=None, transform=None)
    with pytest.raises(UsageError, match="no scene says how large its pixels are.*--split-block-m"):
        plan(tmp_path / "in", labels=table("a,x"), split_by="block")


def test_the_buffer_is_the_overlap_where_nothing_is_said(folder, table):
    assert plan(folder, labels=table("a,x"), overlap_px=24).units[0].rule.buffer_px == 24
    assert plan(folder, labels=table("a,x"), overlap_px=24, split_buffer_px=0).units[0].rule.buffer_px == 0


def test_the_date_of_one_scene_alone_is_found_too(tmp_path, write_scene, table):
    path = write_scene(tmp_path / "in" / "a.tif", np.ones((1, 8, 8), np.uint8))
    with rasterio.open(path, "r+") as dataset:
        dataset.update_tags(TIFFTAG_DATETIME="2018:07:16 06:06:23")
    (site,) = plan(tmp_path / "in", labels=table("a,x")).units
    assert site.scenes[0].date == "2018-07-16"


def test_a_scene_that_cannot_be_opened_is_left_to_its_unit(folder, table):
    (folder / "d.tif").write_text("no raster")
    found = plan(folder, labels=table("a,x", "b,y", "d,x", "c,x"))
    assert [unit.uri for unit in found.units] == ["a.TIFF", "b.tif", "d.tif", "sub/c.tif"]


def test_an_unknown_sensor_is_refused(folder, table):
    with pytest.raises(UsageError, match=r"no sensor 'sputnik'.*sentinel-2"):
        plan(folder, labels=table("a,x"), sensor="sputnik")


def test_a_plan_names_its_files_by_their_place_below_the_input(folder, table):
    (unit,) = plan(folder, labels=table("a,x")).units
    assert str(folder) not in unit.scenes[0].product.path
    assert unit.files()[0] == folder / "a.TIFF"


def test_a_series_without_a_scene_of_the_label_date_is_rejected_with_the_dates_that_there_are(
    dates, tmp_path, write_boxes
):
    labels = write_boxes(tmp_path / "l.geojson", [("oak", 1, 1, 9, 9)])
    found = plan(dates, labels=labels, label_field="class", series=True, label_date="2012")
    # The scene far away is of that date: it alone is described, whether labels meet it is seen later.
    assert [site.name for site in found.units] == ["far_20120101"]
    (reject,) = [reject for reject in found.rejects if reject.reason == "no-labelled-date"]
    assert reject.input == "z_20100501.tif"
    assert reject.severity == "failed"
    assert "2010-05-01, 2015-05-01, 2020-05-01" in reject.message


def test_geo_40_a_date_that_may_lie_on_both_sides_of_a_bound_is_rejected(tmp_path, write_scene, table):
    for name in ("a_2020-01", "b_2020-06", "c_2021-01"):
        write_scene(tmp_path / "in" / f"{name}.tif", np.ones((1, 8, 8), np.uint8))
    labels = table("a_2020-01,x", "b_2020-06,x", "c_2021-01,x")
    found = plan(tmp_path / "in", labels=labels, split_by="date", test_from="2020-06-15")
    assert {unit.uri: unit.rule.split for unit in found.units} == {
        "a_2020-01.tif": Split.TRAIN,
        "c_2021-01.tif": Split.TEST,
    }
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("b_2020-06.tif", "vague-date")]


@pytest.mark.parametrize("place", ["classes.tif", "labels/a.tif"])
def test_rasters_of_classes_among_the_scenes_are_no_scenes(tmp_path, write_scene, place):
    write_scene(tmp_path / "in" / "a.tif", np.ones((1, 8, 8), np.uint8))
    write_scene(tmp_path / "in" / place, np.ones((1, 8, 8), np.uint8))
    names = tmp_path / "names.csv"
    names.write_text("value,name\n1,forest\n")
    labels = tmp_path / "in" / place if place == "classes.tif" else tmp_path / "in" / "labels"
    found = plan(tmp_path / "in", labels=labels, class_names=names)
    assert [unit.uri for unit in found.units] == ["a.tif"]
    assert [(reject.input, reject.reason, reject.severity) for reject in found.rejects] == [
        (place, "label-file", "skipped")
    ]


def test_labels_in_a_folder_with_the_scenes_do_not_hide_them(tmp_path, write_scene, write_boxes):
    write_scene(tmp_path / "in" / "a.tif", np.ones((1, 8, 8), np.uint8))
    write_boxes(tmp_path / "in" / "a.geojson", [("oak", 1, 1, 5, 5)])
    found = plan(tmp_path / "in", labels=tmp_path / "in", label_field="class")
    assert [unit.uri for unit in found.units] == ["a.tif"]
