"""A model that was trained on enlarged scenes is shown enlarged scenes, by the same enhancer, or nothing."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from bright_scenes import looking_model, write_bright
from fake_model import FakeModel

from domainvl.conversion import convert
from domainvl.converters.geotiff import CONVERTER, GeotiffSettings
from domainvl.enhance.checkpoint import Enhancer, save_checkpoint
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.network.settings import NetworkSettings
from domainvl.enhance.pairs.records import View
from domainvl.errors import UsageError
from domainvl.prediction.asking import Asked
from domainvl.prediction.enhanced_look import choose_enhancement
from domainvl.prediction.geotiff import GeotiffPrediction, GeotiffResult, predict_scene
from domainvl.prediction.scene_answers import Reading
from domainvl.schema import Split, Task, read_manifest, read_samples

RED = Asked(Task.GROUNDING, "red")
BICUBIC = {"name": "bicubic-x2", "scale": 2, "mode": "zero offset", "sha256": None}


def write_enhancer(folder: Path, *, seed: int = 0) -> Path:
    settings = NetworkSettings(scale=2, in_bands=3, features=8, blocks=1, pack_block=2, bicubic_skip=True)
    network = MisalignedSR(settings)
    network.initialise(seed)
    network.tail.last.weight.data.normal_(std=0.02, generator=torch.Generator().manual_seed(seed))
    view = View(bands=3, dtype="uint8", low=(0.0,) * 3, high=(255.0,) * 3)
    save_checkpoint(folder, network, Enhancer(network=settings, low_view=view, high_view=view))
    return folder


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_enhancer(tmp_path_factory.mktemp("enhancer") / "sr")


def predict(scene: Path, out: Path, model: FakeModel, **wanted) -> GeotiffResult:
    return predict_scene(scene, out, model, GeotiffPrediction(Reading((RED,)), **wanted))


def corners(out: Path) -> np.ndarray:
    found = json.loads(out.read_text())["features"]
    rings = np.array([one["geometry"]["coordinates"][0] for one in found])
    return np.concatenate([rings.min(axis=1), rings.max(axis=1)], axis=1)


def test_boxes_of_an_enlarged_scene_come_back_to_the_map(tmp_path):
    """A box of 20 px is shown as 40; on the ground it is where it was, at 10 m a pixel."""
    scene = write_bright(tmp_path / "s.tif", [("red", 50, 40, 70, 60)], size_px=(150, 100))
    model = looking_model(tile_px=128, enhance=BICUBIC)
    result = predict(scene, tmp_path / "out.geojson", model)
    assert len(model.asked) == 6, "3 x 2 tiles of 128 px cover 300 x 200 px"
    expected = [(400_500, 5_599_400, 400_700, 5_599_600)]
    assert corners(result.out) == pytest.approx(np.array(expected), abs=10)
    record = json.loads(result.record.read_text())
    assert record["settings"]["enhance"] == BICUBIC
    assert (record["scene"]["size_px"], record["scene"]["gsd_m"]) == ([300, 200], pytest.approx(5.0))
    assert any("2 times larger" in note for note in result.notes)


def test_without_a_georeference_boxes_are_in_pixels_of_the_file(tmp_path):
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)], size_px=(100, 100), crs=None, transform=None)
    result = predict(scene, tmp_path / "out.geojson", looking_model(tile_px=200, enhance=BICUBIC))
    assert corners(result.out) == pytest.approx(np.array([(30, 40, 70, 90)]), abs=1)


def test_a_model_is_shown_the_pixels_that_it_was_trained_on(tmp_path, enhancer):
    """The look of a data set that was made with a network, applied to the same scene, gives the same images."""
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)], size_px=(128, 128))
    (tmp_path / "labels.csv").write_text("image_path,xmin,ymin,xmax,ymax,label\ns.tif,30,40,70,90,red\n")
    settings = GeotiffSettings(labels=tmp_path / "labels.csv", tile_px=256, enhance=str(enhancer))
    convert(CONVERTER, scene, tmp_path / "data", settings)
    trained = {
        image.pixel_sha256
        for split in Split
        for sample in read_samples(tmp_path / "data", split)
        for image in sample.images
    }
    model = looking_model(**read_manifest(tmp_path / "data")["settings"])
    result = predict(scene, tmp_path / "out.geojson", model, given={"enhance": str(enhancer)})
    shown = {image.pixel_sha256 for sample in model.asked for image in sample.images}
    assert shown == trained and len(shown) == 1
    assert str(enhancer) not in result.record.read_text()
    of_dataset = predict(
        scene, tmp_path / "2.geojson", looking_model(), given={"enhance": str(enhancer)}, settings_of=tmp_path / "data"
    )
    assert of_dataset.features == result.features


def test_another_or_no_enhancer_is_refused(tmp_path, enhancer):
    other = write_enhancer(tmp_path / "other", seed=1)
    scene = write_bright(tmp_path / "s.tif", [("red", 30, 40, 70, 90)], size_px=(64, 64))
    record = json.loads(json.dumps(GeotiffSettings(enhance=str(enhancer)).public()["enhance"]))
    model = looking_model(tile_px=64, enhance=record)
    with pytest.raises(UsageError, match=rf"SHA-256 {record['sha256']}.*--enhance is not given.*Name the folder"):
        predict(scene, tmp_path / "out.geojson", model)
    for given in (str(other), "bicubic-x2"):
        with pytest.raises(UsageError, match=f"it was trained on scenes that {record['name']}.*--enhance names"):
            predict(scene, tmp_path / "out.geojson", model, given={"enhance": given})
    for look in ({"tile_px": 64}, {"tile_px": 64, "enhance": None}):
        with pytest.raises(UsageError, match=r"as the sensor took them, and --enhance names bicubic-x2\. Leave"):
            predict(scene, tmp_path / "out.geojson", looking_model(**look), given={"enhance": "bicubic-x2"})
    assert not (tmp_path / "out.geojson").exists()


def test_data_sets_that_disagree_leave_the_choice_to_the_user():
    found = [{"enhance": BICUBIC}, {"tile_px": 64}]
    with pytest.raises(UsageError, match="that bicubic-x2 enlarged and others as the sensor took them"):
        choose_enhancement(found, None)
    assert choose_enhancement(found, "bicubic-x2") == "bicubic-x2"
    assert choose_enhancement([{}, {"enhance": None}], None) is None
    assert choose_enhancement([], None) is None
