"""Several views and several dates in one sample: what is shown, in which order, under which name, and what is asked."""

import shutil

import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window

from domainvl.errors import ExitCode, NothingToDoError
from domainvl.schema import Task

NAIP = "remote_sensing/opengeos__data/naip"
NAIP_DATES = ["2010-06-29", "2016-08-16", "2020-08-31"]


def noise(shape, dtype="uint16", seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype(dtype)


def test_views_of_one_scene_are_named_images_of_one_sample(real_data, write_table, convert_scenes):
    path = real_data / NAIP / "m_4709963_se_14_1_20100629.tif"
    done = convert_scenes(
        path, labels=write_table(**{path.stem: "wetland"}), tile_px=512, view=["true-colour", "false-colour", "ndvi"]
    )
    tile = f"{path.stem}/r0c0"
    sample = done.tiles[tile]
    assert [image.view for image in sample.images] == ["true colour", "false colour", "NDVI"]
    # Each is named before the question, in this order.
    assert sample.turns[0].text.startswith("true colour: <image>\nfalse colour: <image>\nNDVI: <image>\n")
    with rasterio.open(path) as dataset:
        red, green, blue, nir = dataset.read(window=Window(0, 0, 512, 512)).astype(int)
        valid = dataset.dataset_mask(window=Window(0, 0, 512, 512)) > 0
    assert (done.pixels(tile, 0)[valid] == np.stack([red, green, blue], -1)[valid]).all()
    assert (done.pixels(tile, 1)[valid] == np.stack([nir, red, green], -1)[valid]).all()
    some = valid & (nir + red > 0)
    index = (nir[some] - red[some]) / (nir[some] + red[some])
    assert done.pixels(tile, 2).ndim == 2
    assert (done.pixels(tile, 2)[some] == np.rint((index + 1) / 2 * 255)).all()
    assert len({image.source.details["window"]["col"] for image in sample.images}) == 1


def test_one_view_needs_no_name(tmp_path, write_scene, write_table, convert_scenes):
    path = write_scene(tmp_path / "a.tif", noise((2, 32, 32)), descriptions=("red", "nir"))
    done = convert_scenes(path, labels=write_table(a="x"), view=["ndvi"], tile_px=32)
    assert [image.view for image in done.tiles["a/r0c0"].images] == [None]
    assert done.tiles["a/r0c0"].turns[0].text.startswith("<image>\n")


def test_objects_are_asked_about_in_the_scene_where_it_has_several_views(
    tmp_path, write_scene, write_boxes, convert_scenes
):
    path = write_scene(tmp_path / "a.tif", noise((4, 64, 64)), descriptions=("blue", "green", "red", "nir"))
    labels = write_boxes(tmp_path / "l.geojson", [("barn", 10, 12, 30, 40), ("silo", 40, 40, 50, 50)])
    done = convert_scenes(path, labels=labels, label_field="class", tile_px=64, view=["true-colour", "ndvi"])
    questions = done.questions("a/r0c0")
    assert "in the scene?" in questions["presence-yes"].question
    sample = questions["grounding-0"]
    assert len(sample.images) == 2
    assert {thing.image for thing in sample.objects} == {0}
    assert sample.turns[-1].text == "<ref>barn</ref><box>[[156, 188, 469, 625]]</box>"  # 10/64, 12/64, 30/64, 40/64


def test_a_pixel_counts_where_every_view_shows_something(tmp_path, write_scene, write_table, convert_scenes):
    """Red and near infrared are both 0 in a quarter of the scene: true for colours, nothing for an index."""
    pixels = noise((2, 32, 32))
    pixels[:, :16, :16] = 0
    path = write_scene(tmp_path / "a.tif", pixels, descriptions=("red", "nir"))
    done = convert_scenes(path, labels=write_table(a="x"), tile_px=32, view=["grey=red", "ndvi"], fill_grey=9)
    assert [done.details("a/r0c0", image)["valid_fraction"] for image in (0, 1)] == [1.0, 0.75]
    assert (done.pixels("a/r0c0", 0)[:16, :16] == 0).all()
    assert (done.pixels("a/r0c0", 1)[:16, :16] == 9).all()
    with pytest.raises(NothingToDoError, match=r"0\.750 of its pixels are valid"):
        convert_scenes(
            path, out="more", labels=write_table(a="x"), tile_px=32, view=["grey=red", "ndvi"], min_valid=0.8
        )


def test_radar_and_relief_are_views_beside_others(tmp_path, write_scene, write_table, convert_scenes):
    pixels = np.stack(
        [np.full((40, 40), 0.1), np.full((40, 40), 0.01), np.add.outer(np.zeros(40), np.arange(40) * 2.0)]
    ).astype(np.float32)
    path = write_scene(
        tmp_path / "a.tif", pixels, descriptions=("VV", "VH", "height"), transform=from_origin(0, 0, 2, 2)
    )
    done = convert_scenes(path, labels=write_table(a="x"), tile_px=40, view=["sar-db", "hillshade"])
    sample = done.tiles["a/r0c0"]
    assert [image.view for image in sample.images] == ["SAR in dB", "hillshade"]
    # -10 dB, -20 dB and 10 dB between them
    assert (done.pixels("a/r0c0", 0) == (153, 51, 102)).all()
    # Rises by 2 m in 2 m to the east: the slope looks west, the light comes from the north-west, 45 degrees high.
    # (sin 45 - cos 45 x sin 315) / sqrt 2 = 0.8536; 1 + 254 x 0.8536 = 217.8
    assert (done.pixels("a/r0c0", 1)[1:-1, 1:-1] == 218).all()


@pytest.fixture
def naip_series(real_data, tmp_path, write_boxes, convert_scenes):
    """The three NAIP dates of one place, with ponds that are labelled as of 2016."""

    def convert(**settings):
        with rasterio.open(real_data / NAIP / "m_4709963_se_14_1_20100629.tif") as dataset:
            georeference = {"crs": dataset.crs, "transform": dataset.transform}
        labels = write_boxes(
            tmp_path / "ponds.geojson", [("pond", 100, 100, 140, 130), ("pond", 300, 250, 380, 300)], **georeference
        )
        return convert_scenes(
            real_data / NAIP, labels=labels, label_field="class", series=True, tile_px=512, **settings
        )

    return convert


def test_dates_of_one_place_are_images_of_one_sample(real_data, naip_series):
    done = naip_series(label_date="2016")
    name = "m_4709963_se_14_1_20100629+2"
    sample = done.tiles[f"{name}/r0c0"]
    assert [image.view for image in sample.images] == NAIP_DATES
    assert sample.turns[0].text.startswith("".join(f"{date}: <image>\n" for date in NAIP_DATES))
    assert [image.source.details["date"] for image in sample.images] == NAIP_DATES
    assert [image.source.uri[-12:] for image in sample.images] == ["20100629.tif", "20160816.tif", "20200831.tif"]
    # One grid: the same ground, although the files begin at 485900, 485900.6 and 485899 m.
    assert len({tuple(image.source.details["transform"]) for image in sample.images}) == 1
    (facts,) = done.manifest["units"].values()
    assert [scene["date"] for scene in facts["scenes"]] == NAIP_DATES


def test_all_dates_of_a_series_lie_on_the_grid_of_the_first(real_data, naip_series):
    """The first is shown as it is stored; the third, whose pixels begin 0.2 px beside it, as a smooth warp of it."""
    done = naip_series()
    tile = "m_4709963_se_14_1_20100629+2/r0c0"
    shown = [done.pixels(tile, image).astype(float) for image in range(3)]
    for image, year, shift_px in (
        (0, "20100629", (0.0, 0.0)),
        (1, "20160816", (0.12, -0.24)),
        (2, "20200831", (-0.2, -0.2)),
    ):
        with rasterio.open(next((real_data / NAIP).glob(f"*{year}.tif"))) as dataset:
            stored = dataset.read([1, 2, 3], window=Window(0, 0, 512, 512)).transpose(1, 2, 0).astype(float)
            transform = dataset.transform
        assert ((transform.c - 485_900) / 5, (transform.f - 5_209_245) / -5) == pytest.approx(shift_px, abs=1e-6)
        inner = np.s_[4:-4, 4:-4]
        if image == 0:
            assert (shown[0] == stored).mean() > 0.99
        # Moved by a pixel it fits much worse than where it is.
        here = np.abs(shown[image] - stored)[inner].mean()
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            assert here < 0.7 * np.abs(np.roll(stored, (dy, dx), (0, 1)) - shown[image])[inner].mean()


def test_labels_of_one_date_are_asked_about_its_image(naip_series):
    done = naip_series(label_date="2016")
    questions = done.questions("m_4709963_se_14_1_20100629+2/r0c0")
    assert questions
    for sample in questions.values():
        assert sample.task is not Task.COMPARISON
        assert "2016-08-16" in sample.turns[0].text.rpartition("<image>")[2]
        assert {thing.image for thing in sample.objects} == {1}
    counting = next(sample for sample in questions.values() if sample.task is Task.COUNTING)
    assert counting.answer.count == 2
    latest = naip_series(out="latest").questions("m_4709963_se_14_1_20100629+2/r0c0")
    assert all({thing.image for thing in sample.objects} == {2} for sample in latest.values())


def series_with_labels_of_each_date(tmp_path, write_scene, write_boxes, write_geojson, **boxes):
    """Scenes of one place, each with a label file of its own."""
    for name, of_date in boxes.items():
        write_scene(tmp_path / "in" / f"{name}.tif", noise((1, 64, 64), seed=len(name) + len(of_date)))
        write_boxes(tmp_path / "labels" / f"{name}.geojson", of_date)
    return {"labels": tmp_path / "labels", "label_field": "class", "series": True, "tile_px": 64}


BARN, SILO, SHED = ("barn", 5, 5, 15, 15), ("barn", 20, 20, 30, 30), ("shed", 40, 40, 50, 50)


def test_labels_of_each_date_tell_what_changed(tmp_path, write_scene, write_boxes, write_geojson, convert_scenes):
    """One barn in 2019, two in 2021; one shed in both."""
    settings = series_with_labels_of_each_date(
        tmp_path, write_scene, write_boxes, write_geojson, a_20190501=[BARN, SHED], b_20210501=[BARN, SILO, SHED]
    )
    done = convert_scenes(tmp_path / "in", **settings)
    questions = done.questions("a_20190501+1/r0c0")
    change = {name: sample for name, sample in questions.items() if name.startswith("change")}
    yes, no = change["change-yes"], change["change-no"]
    for asked in (yes, no):  # of what changed, in both orders
        assert "barn" in asked.question and "2019-05-01" in asked.question and "2021-05-01" in asked.question
    assert (yes.answer.text, no.answer.text) == ("yes", "no")
    assert yes.question.index("2021") < yes.question.index("2019")
    assert no.question.index("2019") < no.question.index("2021")
    counts = [sample for sample in change.values() if sample.task is Task.COUNTING]
    assert counts
    for sample in counts:
        assert sample.answer.count == (1 if "barn" in sample.question else 0)
    # Ids say of which date an object is.
    assert {thing.id.partition("/")[0] for thing in yes.objects} == {"2019-05-01", "2021-05-01"}
    assert {(thing.id[:4], thing.image) for thing in yes.objects} == {("2019", 0), ("2021", 1)}


def test_changes_are_asked_about_only_on_request(tmp_path, write_scene, write_boxes, write_geojson, convert_scenes):
    settings = series_with_labels_of_each_date(
        tmp_path, write_scene, write_boxes, write_geojson, a_20190501=[BARN], b_20210501=[BARN, SILO]
    )
    alone = convert_scenes(tmp_path / "in", out="alone", tasks="change", **settings)
    assert all(name.startswith("change") for name in alone.questions("a_20190501+1/r0c0"))
    without = convert_scenes(tmp_path / "in", out="without", tasks="counting", **settings)
    assert not any(name.startswith("change") for name in without.questions("a_20190501+1/r0c0"))


def test_a_date_without_data_is_left_out_and_counted(tmp_path, write_scene, write_table, convert_scenes):
    """Of two tiles the right one is empty on the second of three dates, and on two of them in the last case."""
    for name, empty in (("a_20190501", False), ("b_20200501", True), ("c_20210501", False)):
        pixels = noise((1, 32, 64), seed=len(name))
        if empty:
            pixels[:, :, 32:] = 0
        write_scene(tmp_path / "in" / f"{name}.tif", pixels, nodata=0)
    labels = write_table(a_20190501="x", b_20200501="x", c_20210501="y")
    done = convert_scenes(tmp_path / "in", labels=labels, series=True, tile_px=32)
    views = {tile: [image.view for image in sample.images] for tile, sample in done.tiles.items()}
    assert views == {
        "a_20190501+2/r0c0": ["2019-05-01", "2020-05-01", "2021-05-01"],
        "a_20190501+2/r0c1": ["2019-05-01", "2021-05-01"],
    }
    assert [(reject["input"], reject["reason"], reject["severity"]) for reject in done.rejects] == [
        ("a_20190501+2/r0c1@2020-05-01", "min-valid", "skipped")
    ]
    # What is asked about the later image follows its new place.
    sample = next(sample for sample in done.questions("a_20190501+2/r0c1").values() if sample.answer.text == "y")
    assert "2021-05-01" in sample.turns[0].text.rpartition("<image>")[2]


def test_a_tile_with_data_of_one_date_only_is_left_out(tmp_path, write_scene, write_table, convert_scenes):
    for name, empty in (("a_20190501", False), ("b_20200501", True)):
        pixels = noise((1, 32, 64), seed=len(name))
        if empty:
            pixels[:, :, 32:] = 0
        write_scene(tmp_path / "in" / f"{name}.tif", pixels, nodata=0)
    done = convert_scenes(tmp_path / "in", labels=write_table(a_20190501="x", b_20200501="x"), series=True, tile_px=32)
    assert list(done.tiles) == ["a_20190501+1/r0c0"]
    # One line a tile, so that kept and left out add up.
    assert [(reject["input"], reject["reason"]) for reject in done.rejects] == [("a_20190501+1/r0c1", "too-few-dates")]


@pytest.mark.parametrize(("dates", "kept"), [(3, ["a_20190501+2/r0c0"]), (2, [])])
def test_a_damaged_date_costs_its_own_image_only(tmp_path, write_scene, write_table, convert_scenes, dates, kept):
    """With two good dates the tile is kept without the third; with one it is lost, and the damage is to blame."""
    names = ["a_20190501", "b_20200501", "c_20210501"][:dates]
    for name in [*names, "far_20190501"]:
        away = {"transform": from_origin(600_000, 5_600_000, 10, 10)} if name.startswith("far") else {}
        write_scene(tmp_path / "in" / f"{name}.tif", noise((1, 32, 32), "uint8"), **away)
    damaged = tmp_path / "in" / "b_20200501.tif"
    damaged.write_bytes(damaged.read_bytes()[:-600])
    labels = write_table(**dict.fromkeys([*names, "far_20190501"], "x"))
    done = convert_scenes(tmp_path / "in", labels=labels, series=True, tile_px=32)
    assert [tile for tile in done.tiles if not tile.startswith("far")] == kept
    (reject,) = done.rejects
    at = "@2020-05-01" if kept else ""
    assert (reject["input"], reject["reason"]) == (f"a_20190501+{dates - 1}/r0c0{at}", "scene-read")
    assert reject["severity"] == "failed" and "b_20200501.tif" in reject["message"]
    assert done.summary.exit_code == ExitCode.PARTIAL


def test_views_and_dates_are_named_together(tmp_path, write_scene, write_table, convert_scenes):
    for name in ("a_20190501", "b_20210501"):
        write_scene(tmp_path / "in" / f"{name}.tif", noise((2, 32, 32)), descriptions=("red", "nir"))
    done = convert_scenes(
        tmp_path / "in",
        labels=write_table(a_20190501="x", b_20210501="x"),
        series=True,
        tile_px=32,
        view=["grey=red", "ndvi"],
    )
    assert [image.view for image in done.tiles["a_20190501+1/r0c0"].images] == [
        "2019-05-01, grey",
        "2019-05-01, NDVI",
        "2021-05-01, grey",
        "2021-05-01, NDVI",
    ]


def test_scenes_of_other_places_are_no_series_with_it(tmp_path, real_data, write_scene, write_table, convert_scenes):
    folder = tmp_path / "in"
    folder.mkdir()
    for path in (real_data / NAIP).glob("*2010*.tif"):
        shutil.copyfile(path, folder / path.name)
    write_scene(folder / "far_20150101.tif", noise((3, 64, 64)))
    labels = write_table(**{path.stem: "x" for path in folder.glob("*.tif")})
    done = convert_scenes(folder, labels=labels, series=True, tile_px=512)
    assert {sample.group for sample in done.samples.values()} == {"far_20150101", "m_4709963_se_14_1_20100629"}
    assert all(len(sample.images) == 1 for sample in done.samples.values())
    assert done.summary.exit_code == ExitCode.DONE
