"""Scenes that are enlarged before they are tiled: pixels, places, labels, splits, and what says so."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from builders import bytes_of
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine, from_origin
from rasterio.windows import Window

from domainvl.cli.main import main
from domainvl.conversion import RunSettings, convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.converters.geotiff.enhancing import Enlarger, Enlargers, find_enhancement, open_enlarger
from domainvl.converters.geotiff.looks import choose_views, grid_of, reader_of
from domainvl.converters.geotiff.planning import grid_request
from domainvl.converters.geotiff.products.discovery import find_products
from domainvl.converters.geotiff.reading import open_product
from domainvl.converters.geotiff.scene_grid import GridRequest, plan_grid
from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.enhance.rasters import masked
from domainvl.enhance.upscaler import open_upscaler
from domainvl.errors import CheckpointError, ItemError, UsageError
from domainvl.schema.operations.merge import merge_datasets
from domainvl.schema.operations.split import split_dataset
from domainvl.schema.splitting import SplitFractions

UTM = "EPSG:32633"


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(1, 4000, shape).astype("uint16")


def view(bands, dtype="uint16", low=0.0, high=4000.0):
    return View(bands=bands, dtype=dtype, low=(low,) * bands, high=(high,) * bands)


def write_enhancer(folder: Path, *, bands=3, out_bands=None, seed=0, low_view=None, high_view=None, mosaic=False):
    out_bands = out_bands or bands
    skips = out_bands == bands
    settings = NetworkSettings(
        scale=2, in_bands=bands, out_bands=out_bands, features=8, blocks=1, pack_block=2, bicubic_skip=skips
    )
    network = MisalignedSR(settings)
    network.initialise(seed)
    enhancer = Enhancer(
        network=settings,
        low_view=low_view or view(bands),
        high_view=high_view or view(out_bands),
        mosaic=mosaic,
    )
    if skips:  # which begins as bicubic
        network.tail.last.weight.data.normal_(std=0.05, generator=torch.Generator().manual_seed(seed))
    save_checkpoint(folder, network, enhancer)
    return folder


@pytest.fixture
def scene(tmp_path, write_scene):
    """96 x 64 px of noise with a missing corner, at 10 m."""
    pixels = noise((3, 64, 96))
    pixels[:, :9, :13] = 0
    return write_scene(tmp_path / "in" / "a.tif", pixels, nodata=0)


def open_reader(opened, scale, enlarger):
    settings = GeotiffSettings()
    views = choose_views(opened, settings)
    grid = grid_of(opened, views, GridRequest(scale=scale))
    return reader_of(opened, grid, settings, enlarger), views[0].bands


WINDOWS = [
    Window(0, 0, 32, 32),
    Window(37, 21, 50, 33),
    Window(-3, -2, 20, 30),
    Window(150, 100, 60, 60),
    Window(-40, -30, 5, 5),
]


@pytest.mark.parametrize("kind", ["bicubic-x2", "bicubic-x4", "network"])
def test_any_window_is_cut_from_the_enlarged_whole(tmp_path, scene, kind):
    """The whole, enlarged by the upscaler itself, is the reference; outside of the scene nothing is valid."""
    name = str(write_enhancer(tmp_path / "sr")) if kind == "network" else kind
    upscaler = open_upscaler(name, threads=1)
    with rasterio.open(scene) as dataset:
        stored, valid = dataset.read(), dataset.dataset_mask() > 0
    whole = upscaler.upscale(masked(stored, valid, "uint16"))
    scale = upscaler.scale
    expected = np.zeros((3, 64 * scale + 200, 96 * scale + 200))
    inside = np.zeros(expected.shape[1:], bool)
    expected[:, 50 : 50 + 64 * scale, 50 : 50 + 96 * scale] = np.clip(np.rint(whole), 0, 65535)
    inside[50 : 50 + 64 * scale, 50 : 50 + 96 * scale] = valid.repeat(scale, 0).repeat(scale, 1)
    assert not np.array_equal(np.rint(whole[:, ::scale, ::scale]), stored), "something must be synthesised"
    with open_product(find_products(scene).products[0]) as opened:
        reader, bands = open_reader(opened, scale, open_enlarger(name))
        for window in WINDOWS:
            planes, read_valid = reader.read(bands, window)
            rows = slice(50 + window.row_off, 50 + window.row_off + window.height)
            columns = slice(50 + window.col_off, 50 + window.col_off + window.width)
            shown = inside[rows, columns]
            assert np.array_equal(read_valid, shown), window
            assert {plane.dtype for plane in planes} == {np.dtype("uint16")}
            found = np.stack(planes)[:, shown].astype(float)
            assert np.abs(found - expected[:, rows, columns][:, shown]).max(initial=0) <= 1, window


PLACES = {
    "north up": from_origin(400_000, 5_600_000, 10, 10),
    "rows north": from_origin(400_000, 5_600_000, 10, -10),
    "turned": Affine.translation(400_000, 5_600_000) @ Affine.rotation(27) @ Affine.scale(0.3, -0.3),
}


@pytest.mark.parametrize("place", PLACES)
def test_it_is_as_if_the_file_had_been_enlarged_first(tmp_path, write_scene, write_boxes, convert_scenes, place):
    """Pixels, boxes, questions, splits and places are those of a file that the upscaler enlarged beforehand."""
    transform = PLACES[place]
    pixels = noise((3, 96, 128))
    small = write_scene(tmp_path / "small" / "a.tif", pixels, transform=transform)
    labels = write_boxes(tmp_path / "labels.geojson", [("ship", 5, 6, 11, 9), ("car", 70.5, 40, 75, 44)],
                         transform=transform)  # fmt: skip
    large = open_upscaler("bicubic-x2", threads=1).upscale(masked(pixels, np.ones((96, 128), bool), "uint16"))
    large = np.clip(np.rint(large), 0, 65535).astype("uint16")
    enlarged = write_scene(tmp_path / "large" / "a.tif", large, transform=transform @ Affine.scale(0.5))
    common = {
        "labels": labels, "label_field": "class", "tile_px": 64, "overlap_px": 16, "stretch": "fixed:0,4000",
        "split_by": "block", "split_block_m": 1500, "prompt_gsd": True,
    }  # fmt: skip
    ours = convert_scenes(small, out="ours", enhance="bicubic-x2", **common)
    theirs = convert_scenes(enlarged, out="theirs", **common)
    assert ours.samples.keys() == theirs.samples.keys() and len(ours.samples) > 10
    for sample_id, sample in ours.samples.items():
        other = theirs.samples[sample_id]
        assert (sample.turns, sample.answer, sample.split, sample.group) == (
            other.turns,
            other.answer,
            other.split,
            other.group,
        )
        assert [thing.box_px for thing in sample.objects] == [
            pytest.approx(thing.box_px, abs=0.01) for thing in other.objects
        ]
        mine, his = sample.images[0].source.details, other.images[0].source.details
        assert mine["transform"] == pytest.approx(his["transform"])
        assert mine["window"] == his["window"] and mine["gsd_m"] == pytest.approx(his["gsd_m"])
        assert mine["native_gsd_m"] == pytest.approx(2 * his["gsd_m"])
    paths = {sample.images[0].path for sample in ours.samples.values()}
    assert paths == {sample.images[0].path for sample in theirs.samples.values()}, "equal pixels have equal names"
    assert len(paths) > 3


def test_the_stretch_is_that_of_what_the_sensor_took(scene, convert_scenes, write_table):
    plain = convert_scenes(scene, out="plain", labels=write_table(a="x"), tile_px=64)
    large = convert_scenes(scene, out="large", labels=write_table(a="x"), tile_px=128, enhance="bicubic-x2")
    limits = [
        one.manifest["units"]["a.tif"]["scenes"][0]["views"][0]["channels"][0]["limits"] for one in (plain, large)
    ]
    assert limits[0] == limits[1]
    facts = large.manifest["units"]["a.tif"]
    assert (facts["size_px"], facts["gsd_m"], facts["native_gsd_m"]) == ([192, 128], 5.0, 10.0)
    assert plain.tiles.keys() == large.tiles.keys(), "twice the tile is the same ground"
    assert large.details("a/r0c0")["valid_fraction"] == pytest.approx(plain.details("a/r0c0")["valid_fraction"])


def test_boxes_in_pixels_of_a_scene_without_a_place_follow(tmp_path, write_scene, convert_scenes):
    """A box (10, 4, 20, 12) of the stored pixels is (40, 16, 80, 48) seen four times larger."""
    source = write_scene(tmp_path / "in" / "a.tif", noise((3, 40, 40)), crs=None, transform=None)
    (tmp_path / "labels.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.tif,10,4,20,12,ship\n")
    made = convert_scenes(source, labels=tmp_path / "labels.csv", tile_px=160, enhance="bicubic-x4", val_fraction=0)
    boxes = {thing.box_px for sample in made.samples.values() for thing in sample.objects}
    assert boxes == {(40, 16, 80, 48)}
    assert "native_gsd_m" not in made.details("a/r0c0")


def test_a_scene_that_control_points_place_is_warped_and_then_enlarged(tmp_path, write_scene, convert_scenes):
    """The points say 10 m north up, so that the warped grid is that of the file."""
    path = write_scene(tmp_path / "in" / "a.tif", noise((3, 40, 40)), crs=None, transform=None)
    corners = [(row, column) for row in (0, 40) for column in (0, 40)]
    points = [GroundControlPoint(row, col, 400_000 + 10 * col, 5_600_000 - 10 * row) for row, col in corners]
    with rasterio.open(path, "r+") as dataset:
        dataset.gcps = points, rasterio.CRS.from_string(UTM)
    (tmp_path / "labels.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\na.tif,10,4,20,12,ship\n")
    made = convert_scenes(path, labels=tmp_path / "labels.csv", tile_px=96, enhance="bicubic-x2", val_fraction=0)
    ((box_px,),) = {tuple(thing.box_px for thing in sample.objects) for sample in made.samples.values()}
    assert box_px == pytest.approx((20, 8, 40, 24), abs=0.5)
    assert made.details("a/r0c0")["transform"] == pytest.approx([5, 0, 400_000, 0, -5, 5_600_000], abs=0.5)


@pytest.mark.parametrize("placed", [True, False])
def test_classes_of_pixels_are_repeated_and_keep_their_shares(tmp_path, write_scene, convert_scenes, placed):
    where = {} if placed else {"crs": None, "transform": None}
    source = write_scene(tmp_path / "in" / "a.tif", noise((3, 64, 64)), **where)
    classes = np.random.default_rng(1).integers(1, 4, (1, 64, 64)).astype("uint8")
    labels = write_scene(tmp_path / "classes.tif", classes, **where)
    (tmp_path / "names.csv").write_text("value,name\n1,water\n2,field\n3,wood\n")
    common = {"labels": labels, "class_names": tmp_path / "names.csv", "tasks": "area", "val_fraction": 0}
    plain = convert_scenes(source, out="plain", tile_px=32, **common)
    large = convert_scenes(source, out="large", tile_px=128, enhance="bicubic-x4", **common)
    answers = [{key: sample.answer for key, sample in one.samples.items()} for one in (plain, large)]
    assert answers[0] == answers[1] and len(answers[0]) >= 4


def test_finer_classes_are_read_at_their_own_resolution(tmp_path, write_scene, convert_scenes):
    """Rows of 5 m alternate; at 10 m the nearest would be one of them alone."""
    source = write_scene(tmp_path / "in" / "a.tif", noise((3, 32, 32)))
    rows = np.where(np.arange(64) % 2, 1, 2).astype("uint8")[None, :, None].repeat(64, 2)
    labels = write_scene(tmp_path / "classes.tif", rows, transform=from_origin(400_000, 5_600_000, 5, 5))
    (tmp_path / "names.csv").write_text("value,name\n1,water\n2,field\n")
    made = convert_scenes(
        source, labels=labels, class_names=tmp_path / "names.csv", tasks="area", tile_px=64, enhance="bicubic-x2"
    )
    shares = [sample.answer.value for sample in made.samples.values() if sample.answer.unit == "%"]
    assert shares and shares == [50.0] * len(shares)


def test_a_network_of_another_sensor_gives_values_of_this_one(tmp_path):
    """Its output of 0 to 1 stands for 0..250 of the other and for 1000..3000 here, so 0.25 is 1500."""
    folder = write_enhancer(tmp_path / "sr", low_view=view(3, low=1000, high=3000), high_view=view(3, "uint8", 0, 250))
    planes = [np.full((12, 12), 1500, "uint16")] * 3
    network = open_upscaler(str(folder), threads=1)
    expected = network.upscale(masked(np.stack(planes), np.ones((12, 12), bool), "uint16")) / 250 * 2000 + 1000
    found = np.stack(open_enlarger(str(folder)).enlarge(planes, np.ones((12, 12), bool)))
    assert np.abs(found - expected).max() <= 0.51
    assert abs(np.median(found) - 1500) < 500 and found.std() > 0


@pytest.mark.parametrize(("high", "is_kept"), [((0, 4000), True), ((-100, 7000), True), ((0, 9000), False)])
def test_a_sharper_sensor_of_the_same_units_keeps_its_contrast(tmp_path, high, is_kept):
    folder = write_enhancer(tmp_path / "sr", high_view=view(3, low=high[0], high=high[1]))
    planes = list(noise((3, 12, 12)))
    valid = np.ones((12, 12), bool)
    given = open_upscaler(str(folder), threads=1).upscale(masked(np.stack(planes), valid, "uint16"))
    expected = given if is_kept else given / 9000 * 4000
    assert (
        np.abs(np.stack(open_enlarger(str(folder)).enlarge(planes, valid)) - np.clip(expected, 0, None)).max() <= 0.51
    )


def test_each_sample_manifest_and_card_say_it_and_nothing_does_by_default(tmp_path, scene, convert_scenes, write_table):
    plain = convert_scenes(scene, out="plain", labels=write_table(a="x"), tile_px=64)
    assert {sample.provenance.enhanced for sample in plain.samples.values()} == {None}
    assert b"enhanced" not in b"".join((plain.out / f"{name}.jsonl").read_bytes() for name in ("train", "val", "test"))
    assert plain.manifest["settings"]["enhance"] is None
    assert "enhanced" not in plain.manifest and "torch" not in plain.manifest["versions"]
    assert "Synthesised" not in (plain.out / "card.md").read_text()

    folder = write_enhancer(tmp_path / "sr")
    made = convert_scenes(scene, out="made", labels=write_table(a="x"), tile_px=64, enhance=str(folder))
    told = find_enhancement(str(folder)).record()
    assert told["name"].startswith("sdan-x2-") and len(told["sha256"]) == 64
    assert (told["scale"], told["mode"]) == (2, "zero offset")
    assert {json.dumps(sample.provenance.enhanced.model_dump()) for sample in made.samples.values()} == {
        json.dumps(told)
    }
    assert made.manifest["settings"]["enhance"] == told
    assert made.manifest["enhanced"] == [told | {"samples": len(made.samples)}]
    assert made.manifest["units"]["a.tif"]["enhanced"] == told
    assert "torch" in made.manifest["versions"]
    assert str(tmp_path) not in (made.out / "manifest.json").read_text()
    card = (made.out / "card.md").read_text()
    assert "## Synthesised pixels" in card and told["sha256"] in card and "may be invented" in card


def test_merging_and_splitting_keep_what_is_said(tmp_path, scene, write_scene, convert_scenes, write_table):
    other = write_scene(tmp_path / "other" / "b.tif", noise((3, 64, 64), seed=3))
    convert_scenes(other, out="plain", labels=write_table(b="x"), tile_px=64)
    made = convert_scenes(scene, out="made", labels=write_table(a="x"), tile_px=64, enhance="bicubic-x2")
    count = len(made.samples)
    merge_datasets([tmp_path / "plain", made.out], tmp_path / "merged")
    split_dataset(tmp_path / "merged", tmp_path / "again", fractions=SplitFractions(val=0, test=0))
    for folder in ("merged", "again"):
        card = (tmp_path / folder / "card.md").read_text()
        assert f"| bicubic-x2 | 2 | zero offset | - | {count} of {count + 1} |" in card


def test_processes_give_the_same_bytes(tmp_path, write_scene, write_table):
    folder = write_enhancer(tmp_path / "sr")
    for name in ("a", "b"):
        write_scene(tmp_path / "in" / f"{name}.tif", noise((3, 48, 48), seed=ord(name)))
    settings = GeotiffSettings(labels=write_table(a="x", b="y"), tile_px=48, enhance=str(folder))
    for workers in (0, 2):
        convert(CONVERTER, tmp_path / "in", tmp_path / str(workers) / "d", settings, run=RunSettings(workers=workers))
    one, many = (bytes_of(tmp_path / str(workers) / "d") for workers in (0, 2))
    assert one == many and sum(name.endswith(".png") for name in one) == 8


def plan(source, **settings):
    return CONVERTER.plan(source, GeotiffSettings(**settings))


@pytest.mark.parametrize(
    ("enhancer", "settings", "rule"),
    [
        ({"bands": 4}, {}, r"a\.tif: sdan-x2-.{8} takes 4 bands, and the view bands has 3"),
        ({"bands": 3}, {"bands": "1"}, r"takes 3 bands, and the view bands has 1"),
        ({"bands": 3}, {"view": ["one=1", "all=1,2,3"]}, r"takes 3 bands, and the view one has 1"),
        ({"bands": 1, "out_bands": 3}, {"bands": "1"}, r"makes 3 bands of 1 bands"),
        ({"bands": 1, "mosaic": True}, {"bands": "1"}, r"of a raw mosaic"),
        ({"low_view": view(3, "uint8", 0, 255)}, {}, r"trained on values of type uint8, band .* has uint16"),
    ],
)
def test_an_enhancer_that_does_not_fit_is_refused_before_anything_is_written(
    tmp_path, scene, write_table, enhancer, settings, rule
):
    folder = write_enhancer(tmp_path / "sr", **enhancer)
    given = GeotiffSettings(labels=write_table(a="x"), enhance=str(folder), **settings)
    with pytest.raises(UsageError, match=rule):
        convert(CONVERTER, scene, tmp_path / "out", given)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "labels.csv", "sr"]
    with pytest.raises(UsageError, match=rule):
        CONVERTER.inspect(scene, given)


def test_what_is_no_enhancer_is_refused(tmp_path, scene, write_table):
    labels = write_table(a="x")
    with pytest.raises(UsageError, match=r"nowhere.*none of bicubic-x2"):
        plan(scene, labels=labels, enhance=str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="bicubic-x3"):
        plan(scene, labels=labels, enhance="bicubic-x3")
    (tmp_path / "sr").mkdir()
    with pytest.raises(CheckpointError, match="No enhancer"):
        plan(scene, labels=labels, enhance=str(tmp_path / "sr"))


def test_a_colour_table_is_refused(tmp_path, write_scene, write_table):
    path = write_scene(tmp_path / "in" / "a.tif", noise((1, 32, 32)).astype("uint8"))
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255), 1: (255, 0, 0, 255)})
    with pytest.raises(UsageError, match="indexes into a colour table"):
        plan(path, labels=write_table(a="x"), enhance="bicubic-x2")


def test_work_counts_by_the_weights_and_not_by_where_they_lie(tmp_path, scene, write_table):
    """A run that is gone on with does a scene again if the weights changed, and not if they were moved."""
    from domainvl.engine import fingerprint

    folders = [write_enhancer(tmp_path / name, seed=seed) for name, seed in (("a", 0), ("moved", 0), ("other", 1))]
    keys = [
        fingerprint(plan(scene, labels=write_table(a="x"), enhance=str(folder)).units[0], root=scene.parent)
        for folder in folders
    ]
    assert keys[0] == keys[1] != keys[2]


def test_weights_that_change_while_they_are_used_are_an_error(tmp_path):
    folder = write_enhancer(tmp_path / "sr")
    enhancement = find_enhancement(str(folder))
    enlargers = Enlargers()
    held = enlargers.of(enhancement)
    write_enhancer(folder, seed=1)
    assert enlargers.of(enhancement) is held, "it is loaded once"
    with pytest.raises(ItemError, match=f"{enhancement.name} when the work was planned"):
        Enlargers().of(enhancement)
    assert pickle.loads(pickle.dumps(enlargers))._held is None
    assert enlargers.of(None) is None


def test_blocks_of_a_split_have_the_side_of_four_enlarged_tiles(scene, write_table):
    """64 px of 5 m are 320 m, four of them 1280 m."""
    site = plan(scene, labels=write_table(a="x"), tile_px=64, split_by="block", enhance="bicubic-x2").units[0]
    assert site.rule.blocks.side_m == 1280
    assert grid_request(GeotiffSettings(), site.enhancement).scale == 2


def test_a_grid_beyond_all_scenes_is_refused(scene):
    with open_product(find_products(scene).products[0]) as opened:
        stored = opened.stored_pixels(str(opened.product.path))
    with pytest.raises(ItemError, match="leave --enhance out"):
        plan_grid(stored, GridRequest(scale=1 << 18), uri="a.tif")


class Overflows:
    """An upscaler that cannot."""

    name, scale, in_bands, out_bands, overlap_px, takes_reference = "broken-x2", 2, None, None, 0, False

    def upscale(self, low, *, reference=None):
        raise UsageError("broken-x2 gives no finite values", rule="it overflows", action="Mask outliers")


def test_a_tile_that_makes_a_network_overflow_is_one_item():
    with pytest.raises(ItemError, match=r"no finite values.*Mask outliers") as error:
        Enlarger(Overflows()).enlarge([np.ones((4, 4), "uint16")], np.ones((4, 4), bool))
    assert error.value.reason == "enhance"


@pytest.mark.parametrize(
    ("converter", "why"),
    [("dicom", "pixels of patients are not synthesised"), ("nifti", "pixels of patients"), ("dota", "only scenes")],
)
def test_other_converters_say_why_they_do_not_enlarge(tmp_path, capsys, converter, why):
    code = main(["convert", converter, str(tmp_path), "--out", str(tmp_path / "out"), "--enhance", "bicubic-x2"])
    said = " ".join(capsys.readouterr().err.split())
    assert code == 2 and why in said and "domainvl enhance apply" in said
    assert not (tmp_path / "out").exists()
    main(["convert", converter, "--help"])
    assert "--enhance" not in capsys.readouterr().out
