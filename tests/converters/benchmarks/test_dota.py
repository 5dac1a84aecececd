"""DOTA end to end: official splits, quads in the right tile, versions of the labels, and what cannot be used."""

import json

import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from domainvl.conversion import RunSettings, convert, load_converter
from domainvl.converters.benchmarks.dota import CONVERTER, DotaSettings
from domainvl.converters.benchmarks.generate_detection import generate_dota
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.schema import Split, SplitFractions, Task, assign_split, read_samples

# A ship of 40 x 10 px turned by 45 degrees around (100, 50), rounded to whole pixels, and a plane in the next tile.
SHIP = "82 39 89 32 118 61 111 68 ship 1"
PLANE = "140 10 180 10 180 30 140 30 plane 0"


@pytest.fixture
def write(tmp_path):
    def write_image(name, *lines, folder="labelTxt", size=(256, 128), **keep):
        split, stem = name.split("/")
        (tmp_path / "DOTA" / split / "images").mkdir(parents=True, exist_ok=True)
        (tmp_path / "DOTA" / split / folder).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "DOTA" / split / "images" / f"{stem}.png")
        (tmp_path / "DOTA" / split / folder / f"{stem}.txt").write_text("\n".join(lines))
        return tmp_path / "DOTA"

    return write_image


@pytest.fixture
def run(tmp_path):
    def run_converter(source, **settings):
        summary = convert(CONVERTER, source, tmp_path / "out", DotaSettings(tile_px=128, **settings))
        samples = {sample.id: sample for split in Split for sample in read_samples(summary.out, split)}
        rejects = [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]
        return samples, rejects

    return run_converter


def objects(samples, tile):
    return next(
        {thing.id: thing for thing in found.objects} for name, found in samples.items() if name.startswith(tile)
    )


def test_geo_53_dota_keeps_splits_quads_and_difficult(write, run):
    write("val/P0002", "10 10 20 10 20 20 10 20 ship 0")
    samples, rejects = run(write("train/P0001", "imagesource:GoogleEarth", "gsd:0.15", SHIP, PLANE))
    assert rejects == []
    assert {name.split("/r")[0]: found.fixed_split for name, found in samples.items()} == {
        "train/images/P0001": Split.TRAIN,
        "val/images/P0002": Split.VAL,
    }
    (ship,) = objects(samples, "train/images/P0001/r0c0").values()
    assert (ship.id, ship.label, ship.box_px) == ("3", "ship", (82, 32, 118, 68))
    assert ship.attributes["difficult"] == 1
    (plane,) = objects(samples, "train/images/P0001/r0c1").values()
    assert plane.box_px == (12, 10, 52, 30)  # 128 px to the left


def test_geo_37_dota_gives_oriented_boxes(write, run):
    samples, _ = run(write("train/P0001", SHIP))
    (ship,) = objects(samples, "train/images/P0001/r0c0").values()
    box = ship.oriented_box_px
    assert (box.center_x_px, box.center_y_px) == pytest.approx((100, 50), abs=0.5)
    assert (box.width_px, box.height_px) == pytest.approx((41, 10), abs=0.5)
    assert box.angle_deg == pytest.approx(45, abs=0.5)


def test_what_the_header_says_stays_with_the_image(write, run):
    samples, _ = run(write("train/P0001", "imagesource:GoogleEarth", "gsd:0.15", SHIP))
    (details,) = {json.dumps(found.images[0].source.details["product"]) for found in samples.values()}
    assert json.loads(details) == {"gsd_m": "0.15", "image_source": "GoogleEarth"}


def test_geo_38_the_gsd_of_the_label_file_is_said_on_request(write, run):
    write("train/P0002", "gsd:null", SHIP)
    samples, _ = run(write("train/P0001", "gsd:0.15", SHIP), prompt_gsd=True)
    said = {name.split("/r")[0]: found.turns[0].text for name, found in samples.items()}
    assert "0.15 m per pixel" in said["train/images/P0001"]
    assert "per pixel" not in said["train/images/P0002"]
    details = {name.split("/r")[0]: found.images[0].source.details for name, found in samples.items()}
    assert details["train/images/P0001"]["gsd_m"] == 0.15
    assert "gsd_m" not in details["train/images/P0002"]


def test_geo_38_the_gsd_is_not_said_by_default(write, run):
    samples, _ = run(write("train/P0001", "gsd:0.15", SHIP))
    assert not any("per pixel" in found.turns[0].text for found in samples.values())


def test_no_area_follows_from_a_quadrilateral_around_an_object(write, run):
    samples, _ = run(write("train/P0001", "gsd:0.15", SHIP, PLANE), tasks="area,presence")
    assert {found.task for found in samples.values()} == {Task.PRESENCE}


def test_classes_of_one_split_are_asked_about_in_the_other(write, run):
    write("val/P0002", "10 10 20 10 20 20 10 20 harbor 0")
    samples, _ = run(write("train/P0001", SHIP))
    asked = {found.question for name, found in samples.items() if name.startswith("train/images/P0001/r0c0/presence")}
    assert any("harbor" in question for question in asked)


def test_val_may_be_the_test_set(write, run):
    write("train/P0001", SHIP)
    samples, _ = run(write("val/P0002", SHIP), val_as="test")
    assert {(found.group, found.split) for found in samples.values()} == {
        ("train/images/P0001", Split.TRAIN),
        ("val/images/P0002", Split.TEST),
    }


def test_geo_53_with_val_as_test_validation_is_drawn_from_training_by_image(write, run):
    for number in range(12):
        source = write(f"train/P{number:04}", SHIP, PLANE)
    write("val/P0099", SHIP)
    samples, _ = run(source, val_as="test", val_fraction=0.5)
    splits = {}
    for found in samples.values():
        splits.setdefault(found.group, set()).add(found.split)
    assert splits.pop("val/images/P0099") == {Split.TEST}
    assert len(splits) == 12
    # All tiles of an image are in one split, by the hash of its name.
    fractions = SplitFractions(val=0.5, test=0.0)
    assert splits == {group: {assign_split(group, fractions)} for group in splits}
    assert set.union(*splits.values()) == {Split.TRAIN, Split.VAL}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_fraction": 0.1}, "--val-fraction must be 0 where the splits are the official ones, got 0.1"),
        ({"split_seed": 3}, "--split-seed must be 0 where nothing is drawn, got 3"),
        ({"split_seed": 3, "val_as": "test"}, "--split-seed must be 0 where nothing is drawn, got 3"),
    ],
)
def test_geo_53_what_would_do_nothing_is_refused(write, run, settings, message):
    with pytest.raises(UsageError, match=message):
        run(write("train/P0001", SHIP), **settings)


def test_geo_53_no_test_split_can_be_drawn():
    with pytest.raises(ValidationError, match="test_fraction"):
        DotaSettings(val_as="test", test_fraction=0.1)


def test_versions_of_the_labels_are_named(write, run):
    source = write("train/P0001", SHIP, folder="labelTxt-v1.0")
    write("train/P0001", SHIP, PLANE, folder="labelTxt-v1.5")
    with pytest.raises(UsageError, match=r"no folder labelTxt; there is labelTxt-v1.0, labelTxt-v1.5"):
        run(source)
    samples, _ = run(source, label_folder="labelTxt-v1.5")
    assert {thing.label for found in samples.values() for thing in found.objects} == {"ship", "plane"}


def test_what_has_no_counterpart_is_listed(write, run):
    source = write("train/P0001", SHIP)
    write("train/P0003", SHIP)
    (source / "train/labelTxt/P0003.txt").rename(source / "train/labelTxt/P0004.txt")
    (source / "test/images").mkdir(parents=True)
    _, rejects = run(source)
    assert {(reject["input"], reject["reason"], reject["severity"]) for reject in rejects} == {
        ("train/images/P0003.png", "no-labels", "failed"),
        ("train/labelTxt/P0004.txt", "no-such-scene", "failed"),
        ("test/images", "no-labels", "skipped"),
    }


def test_lines_and_files_that_cannot_be_used_cost_themselves_only(write, run):
    source = write("train/P0001", SHIP, "1 1 1 1 1 1 1 1 ship 0", "900 0 950 0 950 50 900 50 ship 0", "1 2 3")
    write("train/P0002", "no annotation")
    samples, rejects = run(source)
    assert {(reject["input"], reject["reason"]) for reject in rejects} == {
        ("train/labelTxt/P0001.txt#2", "no-area"),
        ("train/labelTxt/P0001.txt#3", "outside-scene"),
        ("train/labelTxt/P0001.txt#4", "invalid-row"),
        ("train/images/P0002.png", "label-file"),
        # The fourth line may be anything anywhere in the image: of the tile without the ship nothing is known.
        ("train/images/P0001/r0c1", "no-question"),
    }
    assert len(rejects) == 5
    assert {thing.id for found in samples.values() for thing in found.objects} == {"1"}


def test_another_folder_is_refused(tmp_path, run):
    (tmp_path / "DOTA").mkdir()
    with pytest.raises(InputNotFoundError, match="no train/images and no val/images"):
        run(tmp_path / "DOTA")


def test_tiles_are_set_as_in_geotiff():
    with pytest.raises(ValueError, match="greater than or equal to 16"):
        DotaSettings(tile_px=8)
    assert DotaSettings(tile_px=64, overlap_px=16).for_tiles().overlap_px == 16


def test_any_number_of_workers_gives_the_same_bytes(tmp_path):
    generate_dota(tmp_path / "DOTA", image_count=3, seed=0)
    settings = DotaSettings(tile_px=128)
    for name, workers in (("one", 0), ("two", 2)):
        convert(CONVERTER, tmp_path / "DOTA", tmp_path / name, settings, run=RunSettings(workers=workers))
    for file in ("train.jsonl", "val.jsonl", "rejects.jsonl"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert len((tmp_path / "one" / "train.jsonl").read_text().splitlines()) > 5


def test_it_is_installed():
    assert load_converter("dota") is CONVERTER
