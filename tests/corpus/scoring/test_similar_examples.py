"""Features by which a CLIP model chooses the examples of few-shot samples."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image as PillowImage

from domainvl.corpus.degrading.few_shot import clip_features
from domainvl.corpus.scoring.clip import Clip
from domainvl.schema import ImageStore, Source


def test_features_are_those_of_the_model_itself_whatever_the_batch(clip_folder: Path, tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (35, 16, 16, 3), np.uint8)
    store = ImageStore(tmp_path)
    images = [store.put_pixels(one).to_image(Source(uri="x")) for one in pixels]
    features = clip_features(clip_folder, torch.device("cpu"))
    found = features.look(tmp_path)(images)
    clip = Clip(clip_folder, device=torch.device("cpu"), batch_size=1)
    alone = [clip.encode_images([clip.prepare(PillowImage.fromarray(one))])[0] for one in pixels]
    np.testing.assert_allclose(found, np.stack(alone), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0, atol=1e-5)
    assert features.look(tmp_path)([]).shape == (0, clip.width)
