"""One vector an image: against the vision tower called by hand, and that alike images are alike."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from domainvl.errors import DatasetError
from domainvl.model.checkpoint import load_model
from domainvl.model.image_features import mean_image_features
from domainvl.model.preprocessing import TileReader, normalise
from domainvl.schema import ImageStore, Source, Split, read_samples


@pytest.fixture(scope="module")
def loaded(untrained):
    return load_model(str(untrained))


@pytest.fixture(scope="module")
def images(squares):
    found = {image.path: image for sample in read_samples(squares, Split.TRAIN) for image in sample.images}
    return list(found.values())[:7]


def test_it_is_the_mean_over_the_patches_of_one_tile(loaded, squares, images):
    found = mean_image_features(loaded, squares, images, batch_size=3)
    wide = loaded.spec.preprocessing.model_copy(update={"max_tiles": 1})
    for row, image in zip(found, images, strict=True):
        (tiles,) = TileReader(squares, wide).read([image])
        with torch.no_grad():
            hidden = loaded.internvl.model.vision_tower(normalise(torch.from_numpy(tiles), wide, torch.float32))[0]
        assert hidden.shape[0] == 1
        side = hidden.shape[1] - 1
        assert int(side**0.5) ** 2 == side  # a class token and a square of patches
        np.testing.assert_allclose(row, hidden[0, 1:].sum(0).numpy() / side, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32


def test_more_tiles_change_nothing(loaded, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 640, 3), np.uint8)
    wide = [ImageStore(tmp_path).put_pixels(pixels).to_image(Source(uri="wide"))]
    spec = loaded.spec
    many = spec.preprocessing.model_copy(update={"max_tiles": 12})
    assert many.grids(wide)[0].tile_count > 1
    before = mean_image_features(loaded, tmp_path, wide)
    other = dataclasses.replace(loaded, spec=spec.model_copy(update={"preprocessing": many}))
    np.testing.assert_array_equal(mean_image_features(other, tmp_path, wide), before)


def test_no_images_and_a_missing_one(loaded, squares, images):
    assert mean_image_features(loaded, squares, []).shape == (0, loaded.internvl.config.vision_config.hidden_size)
    gone = images[0].model_copy(update={"path": "images/gone.png"})
    with pytest.raises(DatasetError, match=r"gone.png"):
        mean_image_features(loaded, squares, [gone])
