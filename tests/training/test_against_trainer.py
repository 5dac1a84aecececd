"""transformers' Trainer as an oracle: what it computes is what a loop by hand computes, sample by sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training.trainer_oracle import EncodedSample, TrainerSettings, trainer_losses

from domainvl.model.checkpoint import load_model
from domainvl.model.preprocessing import TileReader, normalise
from domainvl.schema import Split, Turn, read_samples
from domainvl.training.optimiser import learning_rate

STEPS = 40
SETTINGS = TrainerSettings()


@pytest.fixture(scope="module")
def batches(squares: Path, untrained: Path) -> list[list[EncodedSample]]:
    """Batches of three samples of none, one and two images; some without any image, of unequal numbers of tokens."""
    loaded = load_model(str(untrained))
    encoder, preprocessing = loaded.encoder(), loaded.spec.preprocessing
    reader = TileReader(squares, preprocessing)
    question = [Turn(role="human", text="What is red?"), Turn(role="assistant", text="A square that is red is red.")]
    encoded = [EncodedSample(encoder.encode(question, []))] * 8
    for sample in read_samples(squares, Split.TRAIN):
        tile_counts = [grid.tile_count for grid in preprocessing.grids(sample.images)]
        encoded.append(EncodedSample(encoder.encode(sample.turns, tile_counts), tuple(reader.read(sample.images))))
    drawn = np.random.default_rng(4).integers(0, len(encoded), (STEPS, 3))
    made = [[encoded[index] for index in row] for row in drawn]
    made[10] = [encoded[0]] * 2
    return made


def losses_by_hand(
    model_dir: Path, batches: list[list[EncodedSample]], settings: TrainerSettings = SETTINGS
) -> list[float]:
    """One sample at a time, nothing padded, no mask: the mean loss of each step."""
    loaded = load_model(str(model_dir))
    model, losses = loaded.internvl.train(), []
    decay = [
        {"params": [value], "weight_decay": settings.weight_decay * (value.ndim > 1)} for value in model.parameters()
    ]
    optimizer = torch.optim.AdamW(decay, betas=settings.betas)
    for step, batch in enumerate(batches, start=1):
        targets = sum(sum(one.conversation.supervised) for one in batch)
        total = 0.0
        for one in batch:
            ids = torch.tensor([one.conversation.input_ids])
            pixels = [normalise(torch.from_numpy(part), loaded.spec.preprocessing, torch.float32) for part in one.tiles]
            logits = model(ids, pixel_values=torch.cat(pixels) if pixels else None, use_cache=False).logits[0, :-1]
            counted = torch.tensor(one.conversation.supervised[1:])
            loss = -logits.log_softmax(-1).gather(1, ids[0, 1:, None])[counted].sum() / targets
            loss.backward()
            total += loss.item()
        for value in model.parameters():
            value.grad = torch.zeros_like(value) if value.grad is None else value.grad
        torch.nn.utils.clip_grad_norm_(model.parameters(), settings.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(settings.learning_rate, step, len(batches), settings.warmup_ratio)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(total)
    return losses


def test_the_trainer_computes_what_a_loop_by_hand_does(untrained: Path, batches: list[list[EncodedSample]]) -> None:
    found = trainer_losses(untrained, batches, SETTINGS)
    assert len(found) == STEPS
    assert found == pytest.approx(losses_by_hand(untrained, batches), abs=1e-5)
    assert found[-1] < found[0] - 1


@pytest.mark.parametrize(
    "change", [{"warmup_ratio": 0.2}, {"weight_decay": 0.5}, {"betas": (0.9, 0.99)}, {"max_grad_norm": 0.1}]
)
def test_each_setting_is_heeded(untrained: Path, batches: list[list[EncodedSample]], change: dict) -> None:
    few, changed = batches[:8], replace(SETTINGS, **change)
    found = trainer_losses(untrained, few, changed)
    assert found == pytest.approx(losses_by_hand(untrained, few, changed), abs=1e-5)
    assert found != pytest.approx(losses_by_hand(untrained, few), abs=1e-5)
