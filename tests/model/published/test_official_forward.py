"""The reference itself: it computes what the official code computed."""

from pathlib import Path

import pytest
import torch
from official_forward import OfficialModel
from published_checkpoints import read_json
from safetensors.torch import load_file

TOLERANCE = 1e-5


@pytest.mark.parametrize("size", ["1b", "2b", "4b"])
def test_equals_the_official_code(golden: Path, size: str) -> None:
    folder = golden / "checkpoints" / f"internvl2-{size}"
    official = OfficialModel.read(folder)
    expected = load_file(folder / "expected.safetensors")
    image_id = read_json(folder / "added_tokens.json")["<IMG_CONTEXT>"]
    conversations = read_json(folder / "conversations.json")
    assert len(conversations) == 7
    for number, conversation in enumerate(conversations):
        pixels = expected.get(f"{number}.pixel_values")
        assert (pixels is None) == (number == 2)
        if pixels is not None:
            found = official.features(pixels[:1])
            assert found.shape == expected[f"{number}.features"].shape
            assert torch.allclose(found, expected[f"{number}.features"], rtol=0, atol=TOLERANCE)
        logits = official.logits(conversation["input_ids"], image_id, pixels)[-8:]
        assert torch.allclose(logits, expected[f"{number}.logits_last8"], rtol=0, atol=TOLERANCE)
