"""Pictures to talk about: a file as it is, a tile of a scene, a slice of a study."""

from __future__ import annotations

import numpy as np
import pydicom
import pytest
import rasterio
from fake_model import FakeModel
from PIL import Image
from rasterio.transform import from_origin

from domainvl.converters.dicom.generate import generate_series
from domainvl.converters.geotiff.settings import GeotiffSettings
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.prediction.asking import Asked
from domainvl.prediction.dicom import DicomPrediction, predict_study
from domainvl.prediction.pictures import open_picture
from domainvl.schema import ImageStore, Task

SHOWN_AS = {"windows": "auto", "select": "around:5"}
AS_TRAINED = {
    "sources": {
        "ct": {"role": "domain", "command": "convert dicom", "conversion_settings": SHOWN_AS},
    }
}


def open_as_trained(name, folder, training, **options):
    return open_picture(str(name), ImageStore(folder), training, **options)


@pytest.fixture
def scene(tmp_path):
    path = tmp_path / "scene.tif"
    pixels = np.random.default_rng(0).integers(1, 255, (3, 128, 192), dtype=np.uint8)
    profile = {"driver": "GTiff", "width": 192, "height": 128, "count": 3, "dtype": "uint8", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", **profile, transform=from_origin(5e5, 5e6, 1, 1)) as file:
        file.write(pixels)
    return path, pixels


def tiles_as_trained(**settings):
    recorded = GeotiffSettings(tile_px=64, stretch="none", overlap_px=0, **settings).public()
    return {
        "sources": {
            "g": {"role": "domain", "command": "convert geotiff", "conversion_settings": recorded},
        }
    }


def test_a_tile_is_the_window_of_the_scene_and_boxes_are_in_the_scene(scene, tmp_path):
    path, pixels = scene
    picture = open_as_trained(f"{path}#r1c2", tmp_path / "shown", tiles_as_trained())
    shown = np.asarray(Image.open(tmp_path / "shown" / picture.images[0].path))
    np.testing.assert_array_equal(shown, np.moveaxis(pixels[:, 64:128, 128:192], 0, -1))
    assert picture.to_px((0, 0, 500, 1000)) == (128.0, 64.0, 160.0, 128.0)
    assert picture.domain == "remote-sensing"
    assert picture.preface is None
    with pytest.raises(UsageError, match="its 6 tiles are r0c0 to r1c2"):
        open_as_trained(f"{path}#r9c9", tmp_path / "shown", tiles_as_trained())


def test_the_prompt_tells_the_size_of_a_pixel_where_the_model_was_trained_so(scene, tmp_path):
    picture = open_as_trained(scene[0], tmp_path / "shown", tiles_as_trained(prompt_gsd=True))
    assert picture.preface.startswith("The image has")
    assert picture.preface.endswith(" m per pixel.")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study")
    generate_series(folder, patient_count=2, seed=3)
    return next(path for path in sorted(folder.iterdir()) if path.is_dir())


def test_a_slice_is_shown_as_a_prediction_shows_it(study, tmp_path):
    model = FakeModel(lambda *_: "yes", AS_TRAINED)
    from datetime import datetime

    asked = Asked(Task.PRESENCE, "Is it?")
    predict_study(study, tmp_path / "out.json", model, DicomPrediction((asked,), datetime(2026, 1, 1)))
    uids = {pydicom.dcmread(path).SOPInstanceUID for path in study.iterdir()}
    told = set()
    for number, sample in enumerate(model.asked, start=1):
        picture = open_as_trained(f"{study}#{number}", tmp_path / "shown", AS_TRAINED)
        assert [image.pixel_sha256 for image in picture.images] == [image.pixel_sha256 for image in sample.images]
        told.add(picture.notes[0].removeprefix("instance "))
    assert told == uids
    middle = open_as_trained(study, tmp_path / "shown", AS_TRAINED)
    assert middle.name == f"{study.name}#{len(uids) // 2 + 1}"
    with pytest.raises(UsageError, match="slices are 1 to"):
        open_as_trained(f"{study}#99", tmp_path / "shown", AS_TRAINED)


def test_a_file_is_stored_byte_for_byte(tmp_path):
    Image.fromarray(np.zeros((20, 40), np.uint8)).save(tmp_path / "a#1.png")
    picture = open_as_trained(tmp_path / "a#1.png", tmp_path / "shown", {}, domain="driving")
    assert (tmp_path / "shown" / picture.images[0].path).read_bytes() == (tmp_path / "a#1.png").read_bytes()
    assert (picture.domain, picture.size_px) == ("driving", (40, 20))
    with pytest.raises(UsageError, match="no place '2'"):
        open_as_trained(f"{tmp_path / 'a#1.png'}#2", tmp_path / "shown", {})
    with pytest.raises(InputNotFoundError):
        open_as_trained(tmp_path / "gone.png", tmp_path / "shown", {})


def test_a_model_of_other_data_is_not_shown_a_scene(scene, tmp_path):
    with pytest.raises(UsageError, match="does not say how its images were made"):
        open_as_trained(scene[0], tmp_path / "shown", AS_TRAINED)
