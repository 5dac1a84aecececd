"""A native export through transformers' own processor: the same ids and the same tiles as ours."""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage
from transformers import AutoImageProcessor, PreTrainedTokenizerFast
from transformers.models.internvl.processing_internvl import InternVLProcessor
from transformers.processing_utils import ProcessorMixin

from domainvl.model.checkpoint import find_checkpoint, load_model, read_spec, write_spec
from domainvl.model.preprocessing import cut_tiles, normalise
from domainvl.model.published.exporting import export_checkpoint
from domainvl.schema import Turn
from domainvl.tiling import choose_grid


class ImageProcessorOnly(InternVLProcessor):
    """transformers' processor without its video half, which needs torchvision."""

    def __init__(self, image_processor, tokenizer, image_seq_length):
        ProcessorMixin.__init__(self, image_processor, tokenizer)
        self.image_seq_length = image_seq_length
        self.start_image_token = tokenizer.start_image_token
        self.end_image_token = tokenizer.end_image_token
        self.image_token = tokenizer.context_image_token
        self.video_token = tokenizer.video_token
        self.image_token_id = tokenizer.context_image_token_id
        self.multimodal_pattern = re.compile(f"(?P<image>{self.image_token})|(?P<video>{self.video_token})")

    @classmethod
    def get_attributes(cls):
        return ["image_processor", "tokenizer"]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("native") / "exported"
    export_checkpoint("tiny", out, layout="native")
    return out


def test_processor_gives_our_ids_and_our_pixels(exported: Path) -> None:
    image = PillowImage.fromarray(np.random.default_rng(2).integers(0, 256, (90, 130, 3), dtype=np.uint8))
    processor = ImageProcessorOnly(
        AutoImageProcessor.from_pretrained(exported), PreTrainedTokenizerFast.from_pretrained(exported), 16
    )
    messages = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    prompt = processor.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    theirs = processor(images=[image], text=[prompt], return_tensors="pt", add_special_tokens=False)

    loaded = load_model("tiny")
    ours = loaded.encoder().encode([Turn(role="human", text="<image>\nWhat is it?")], [1])
    assert theirs["input_ids"][0].tolist() == list(ours.input_ids)
    spec = loaded.spec.preprocessing
    grid = choose_grid(*image.size, max_tiles=1, tile_side_px=spec.tile_side_px)
    tiles = cut_tiles(image, grid, spec.tile_side_px, "exact")
    assert torch.allclose(theirs["pixel_values"], normalise(torch.from_numpy(tiles), spec, torch.float32), atol=1e-6)


def test_processor_cuts_the_same_grid(tmp_path: Path) -> None:
    """Of a checkpoint with several tiles an image, thumbnail last."""
    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(find_checkpoint("tiny"), checkpoint)
    spec = read_spec(checkpoint)
    preprocessing = spec.preprocessing.model_copy(update={"max_tiles": 6})
    write_spec(checkpoint, spec.model_copy(update={"preprocessing": preprocessing}))
    export_checkpoint(str(checkpoint), tmp_path / "exported", layout="native")

    image = PillowImage.fromarray(np.random.default_rng(2).integers(0, 256, (90, 190, 3), dtype=np.uint8))
    theirs = AutoImageProcessor.from_pretrained(tmp_path / "exported")(image, return_tensors="pt")["pixel_values"]
    grid = choose_grid(*image.size, max_tiles=6, tile_side_px=64)
    tiles = cut_tiles(image, grid, 64, "exact")
    assert len(tiles) > 2
    assert torch.allclose(theirs, normalise(torch.from_numpy(tiles), preprocessing, torch.float32), atol=1e-6)
