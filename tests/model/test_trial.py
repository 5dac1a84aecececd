"""Running a checkpoint once says what it took, and whether it works at all."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from official_forward import OfficialModel
from published_checkpoints import TOKENS_PER_TILE, read_weights, write_published, write_weights

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import load_model
from domainvl.model.generation import pixel_values
from domainvl.model.published.importing import import_checkpoint
from domainvl.model.trial import peak_memory_bytes, try_model
from domainvl.schema import Turn


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("trial")
    source = write_published(folder / "in", "qwen2", seed=6)  # one whose next token can be read
    import_checkpoint(source, folder / "out")
    return source, folder / "out"


def test_one_image_and_one_question(folders: tuple[Path, Path]) -> None:
    trial = try_model(folders[1], torch.float32)
    loaded = load_model(str(folders[1]))
    question = [Turn(role="human", text="<image>\nDescribe the image shortly.")]
    ids = loaded.encoder().encode(question, [1]).input_ids
    assert trial.prompt_tokens == len(ids)
    assert ids.count(loaded.internvl.config.image_token_id) == TOKENS_PER_TILE
    assert trial.load_seconds > 0
    assert trial.forward_seconds > 0
    assert trial.peak_bytes > 100e6  # Python and torch alone


def test_the_next_token_is_the_most_probable_one(folders: tuple[Path, Path]) -> None:
    """By the reference, on the same noise."""
    import numpy as np

    loaded = load_model(str(folders[1]))
    tile = np.random.default_rng(0).integers(0, 256, (1, 56, 56, 3), dtype=np.uint8)
    ids = loaded.encoder().encode([Turn(role="human", text="<image>\nDescribe the image shortly.")], [1]).input_ids
    image_id = loaded.internvl.config.image_token_id
    logits = OfficialModel.read(folders[0]).logits(ids, image_id, pixel_values(loaded, [tile]))[-1]
    expected = loaded.tokenizer.decode([int(logits.argmax())])
    assert expected.isascii()  # no half of a character, which all look the same
    assert try_model(folders[1], torch.float32).next_token == expected


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_says_nothing_is_refused(folders: tuple[Path, Path], tmp_path: Path, dtype: torch.dtype) -> None:
    source = write_published(tmp_path / "in", "qwen2", shards=1)
    tensors = read_weights(source)
    tensors["language_model.lm_head.weight"][5, 0] = float("nan")
    write_weights(source, tensors, shards=1)
    import_checkpoint(source, tmp_path / "out")
    with pytest.raises(CheckpointError, match="every logit must be a finite number"):
        try_model(tmp_path / "out", dtype)


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the figure is another elsewhere")
def test_peak_memory_is_in_bytes_and_stays_up() -> None:
    code = (
        "from domainvl.model.trial import peak_memory_bytes as peak\n"
        "before = peak(); block = bytearray(200_000_000); block[::4096] = b'x' * len(block[::4096]); held = peak()\n"
        "del block; print(before, held, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, held, after = map(int, done.stdout.split())
    assert 190e6 < held - before < 230e6
    assert after > held - 1e6  # the kernel adds the counts of its processors up only roughly
    assert peak_memory_bytes() > 10e6
