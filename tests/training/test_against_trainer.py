"""transformers' Trainer as an oracle of the run; and what it computes is what a loop by hand does, sample by sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from squares import PROVENANCE
from training.trainer_oracle import EncodedSample, TrainerSettings, trainer_losses

from domainvl.model.checkpoint import load_model
from domainvl.model.preprocessing import TileReader, normalise
from domainvl.schema import (
    DatasetWriter,
    Question,
    Sample,
    Split,
    Task,
    TextAnswer,
    Turn,
    read_samples,
    samples_from_questions,
)
from domainvl.training.log import read_log
from domainvl.training.mixture import MixtureSpec, mixture_of, open_sources
from domainvl.training.optimiser import learning_rate
from domainvl.training.plan import Arrangement, TrainingPlan, make_plan
from domainvl.training.recipe_files import load_recipe
from domainvl.training.run import finetune
from domainvl.training.sources import ModelInput

STEPS = 40
SETTINGS = TrainerSettings()
ALL_STEPS = [  # of SETTINGS; all weights are trained, in float32, and each question has a pass of its own
    f"optimisation.max_steps={STEPS}",
    "optimisation.epochs=null",
    "optimisation.batch_size=4",
    "optimisation.micro_batch_size=3",
    "optimisation.questions_per_pass=1",
    "optimisation.loss_weighting=token",
    f"optimisation.learning_rate={SETTINGS.learning_rate}",
    f"optimisation.warmup_ratio={SETTINGS.warmup_ratio}",
    f"optimisation.weight_decay={SETTINGS.weight_decay}",
    f"optimisation.betas={list(SETTINGS.betas)}",
    f"optimisation.max_grad_norm={SETTINGS.max_grad_norm}",
    "validation.max_samples=0",
    "validation.answers=0",
]


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


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of text alone, with answers of unequal length."""
    folder = tmp_path_factory.mktemp("data") / "words"
    questions = [Question(str(n), Task.VQA, "What is red?", TextAnswer(text="a red square " * n)) for n in range(1, 7)]
    with DatasetWriter(folder, name="words") as writer:
        for sample in samples_from_questions(
            questions, id_prefix="w", domain="general", images=(), group="w", provenance=PROVENANCE
        ):
            writer.add(sample)
        writer.finish(command="words", settings={}, sources=[], versions={})
    return folder


def samples_of_steps(plan: TrainingPlan, spec: MixtureSpec, model_dir: Path) -> list[list[EncodedSample]]:
    """Read what each step of a plan is about, from the records; only which samples they are is taken from the plan."""
    loaded = load_model(str(model_dir))
    sources = list(spec.sources.values())
    records = [list(read_samples(source.path, Split.TRAIN)) for source in sources]
    readers = [TileReader(source.path, loaded.spec.preprocessing) for source in sources]

    def read(source: int, sample: Sample) -> EncodedSample:
        tile_counts = [grid.tile_count for grid in loaded.spec.preprocessing.grids(sample.images)]
        tiles = tuple(readers[source].read(sample.images))
        return EncodedSample(loaded.encoder().encode(sample.turns, tile_counts), tiles)

    units = [[plan.units[number] for micro in step for number in micro] for step in plan.steps]
    return [[read(one.source, records[one.source][index]) for one in step for index in one.indices] for step in units]


@pytest.mark.slow
@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_a_run_has_the_losses_of_the_trainer(
    squares: Path, words: Path, untrained: Path, tmp_path: Path, arrangement: Arrangement
) -> None:
    """Both see the same samples in each step; the trainer pads, masks and computes all logits."""
    spec = mixture_of([squares], [words])
    recipe = load_recipe(
        "quickstart/medical",
        method="full",
        model=str(untrained),
        overrides=[*ALL_STEPS, f"packing.arrangement={arrangement}", "mixture.general_ratio=0.5"],
    )
    finetune(recipe, spec, tmp_path / "run")
    found = [row["loss"] for row in read_log(tmp_path / "run" / "log.jsonl")]

    loaded = load_model(str(untrained))
    preprocessing = recipe.preprocessing.applied_to(loaded.spec.preprocessing)
    model = ModelInput(loaded.encoder(), preprocessing, loaded.rope_border)
    plan = make_plan(recipe, spec, open_sources(spec, model, 8192), model, arrangement)
    assert plan.digest() == load_model(str(tmp_path / "run")).spec.training["plan_sha256"]
    steps = samples_of_steps(plan, spec, untrained)
    assert {len(sample.tiles) for step in steps for sample in step} == {0, 1, 2}
    expected = trainer_losses(untrained, steps, SETTINGS)

    assert len(found) == len(expected) == STEPS
    assert found == pytest.approx(expected, rel=1e-5)
    assert found[-1] < found[0] - 1


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
