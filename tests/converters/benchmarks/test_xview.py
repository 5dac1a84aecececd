"""xView end to end: boxes in the right tile, classes by number, images and labels without a counterpart."""

import json

import numpy as np
import pytest
from PIL import Image

from domainvl.conversion import convert, load_converter
from domainvl.converters.benchmarks.tiled import TiledSettings
from domainvl.converters.benchmarks.xview import CONVERTER
from domainvl.errors import InputNotFoundError
from domainvl.schema import Split, Task, read_samples


@pytest.fixture
def write(tmp_path):
    def write_xview(features, images=("5.tif",)):
        source = tmp_path / "xView"
        (source / "train_images").mkdir(parents=True)
        for name in images:
            pixels = np.random.default_rng(0).integers(0, 255, (128, 256, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(source / "train_images" / name, "TIFF")
        rows = [
            {
                "type": "Feature",
                "properties": {"bounds_imcoords": bounds, "type_id": number, "image_id": image},
                "geometry": {"type": "Point", "coordinates": [0, 0]},
            }
            for image, number, bounds in features
        ]
        (source / "xView_train.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": rows}))
        return source

    return write_xview


@pytest.fixture
def run(tmp_path):
    def run_converter(source, **settings):
        settings = {"val_fraction": 0.0, "test_fraction": 0.0, "tile_px": 128, **settings}
        summary = convert(CONVERTER, source, tmp_path / "out", TiledSettings(**settings))
        samples = {sample.id: sample for split in Split for sample in read_samples(summary.out, split)}
        rejects = [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]
        return samples, rejects

    return run_converter


def test_geo_53_xview_boxes_are_pixels_of_their_image(write, run):
    samples, rejects = run(write([("5.tif", 73, "10,20,40,60"), ("5.tif", 18, "200,0,210,6")]))
    assert rejects == []
    found = {(name.rsplit("/", 1)[0], thing.label, thing.box_px) for name, s in samples.items() for thing in s.objects}
    assert found == {
        ("train_images/5/r0c0", "Building", (10, 20, 40, 60)),
        ("train_images/5/r0c1", "Small Car", (72, 0, 82, 6)),
    }
    assert {sample.fixed_split for sample in samples.values()} == {None}
    assert {sample.group for sample in samples.values()} == {"train_images/5"}


def test_geo_53_xview_boxes_beyond_the_image_are_cut(write, run):
    samples, _ = run(write([("5.tif", 73, "230,-10,300,20")]), min_visible=0.1)
    (box,) = {thing.box_px for sample in samples.values() for thing in sample.objects}
    assert box == (102, 0, 128, 20)


def test_geo_53_what_the_makers_say_of_their_files(write, run):
    # Label noise, a labelled image that was never published, and files of macOS (xView1_baseline, issue 3).
    features = [("5.tif", 73, "10,20,40,60"), ("5.tif", 75, "1,1,9,9"), ("1395.tif", 73, "1,1,9,9")]
    source = write(features, images=("5.tif", "7.tif"))
    (source / "train_images" / "._5.tif").write_bytes(b"Mac OS X")
    (source / "val_images").mkdir()
    _, rejects = run(source)
    assert {(reject["input"], reject["reason"], reject["severity"]) for reject in rejects} == {
        ("xView_train.geojson#1", "unknown-class", "skipped"),
        ("xView_train.geojson#1395.tif", "no-such-scene", "failed"),
        ("train_images/._5.tif", "no-image", "skipped"),
        ("train_images/7.tif", "no-labels", "failed"),
        ("val_images", "no-labels", "skipped"),
    }
    assert len(rejects) == 5


def test_absent_classes_are_of_all_sixty(write, run):
    samples, _ = run(write([("5.tif", 73, "10,20,40,60")]))
    answers = {sample.answer.text for name, sample in samples.items() if "presence" in name}
    assert answers == {"yes", "no"}  # only Building was annotated here


def test_no_area_follows_from_a_box(write, run):
    samples, _ = run(write([("5.tif", 73, "10,20,40,60"), ("5.tif", 18, "200,0,210,6")]), tasks="area,presence")
    assert {sample.task for sample in samples.values()} == {Task.PRESENCE}


def test_geo_38_all_images_are_of_0_3_m(write, run):
    # Lam et al., arXiv:1802.07856: the abstract states it for the whole set.
    samples, _ = run(write([("5.tif", 73, "10,20,40,60")]), prompt_gsd=True)
    assert samples
    assert all("0.3 m per pixel" in sample.turns[0].text for sample in samples.values())


@pytest.mark.parametrize("missing", ["xView_train.geojson", "train_images"])
def test_another_folder_is_refused(write, run, missing):
    source = write([("5.tif", 73, "10,20,40,60")])
    (source / missing).rename(source / "elsewhere")
    with pytest.raises(InputNotFoundError, match=f"{missing} is missing"):
        run(source)


def test_it_is_installed():
    assert load_converter("xview") is CONVERTER
