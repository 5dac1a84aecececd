"""A step's gradient is that of the formula, however the step is divided."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch.nn import functional
from training.inputs import read_units

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import pixel_values
from domainvl.training.batches import collate
from domainvl.training.loading import LoadedPack, Skipped
from domainvl.training.loss import AnswerLoss
from domainvl.training.parallel import Parallel, parallelise
from domainvl.training.processes import Processes
from domainvl.training.stepping import MemoryExhaustedError, Stepper, memory_errors, seed_randomness
from domainvl.training.units import LossWeighting

ALONE = Processes(0, 1, 0, torch.device("cpu"))

UNEQUAL = [[[0], [2], [3, 4]], [[1]], [[5], [6]]]
"""Parts of a step of one, two and four samples; answers differ in length, so a mean of means would be wrong."""


@pytest.fixture
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


def pack_of(loaded: LoadedModel, squares: Path, passes: list[list[int]], weighting: LossWeighting) -> LoadedPack:
    units = read_units(loaded, squares, passes)
    batch = collate(units, 0, "packed", weighting)
    names = tuple(name for one in units for name in one.unit.names)
    tokens = sum(len(one.unit.input_ids) for one in units)
    return LoadedPack(batch, (len(names),), (tokens,), sum(len(one.images) for one in units), names, ())


def stepper(loaded: LoadedModel) -> tuple[Stepper, Parallel]:
    parallel = parallelise(AnswerLoss(loaded), [], ALONE, "ddp")
    return Stepper(parallel, ALONE, 1, nullcontext, seed=0), parallel


def by_formula(loaded: LoadedModel, squares: Path, samples: list[int], exponent: float) -> tuple[float, dict]:
    """mini-internvl.md section 3.7: each token of a sample with n supervised ones counts n to the exponent; the sum
    over all samples of all parts is divided by the sum of what the tokens count."""
    total, weight_sum = torch.zeros(()), 0.0
    for one in read_units(loaded, squares, [[sample] for sample in samples]):
        ids = torch.tensor([one.unit.input_ids])
        pixels = pixel_values(loaded, [image.tiles for image in one.images])
        logits = loaded.internvl(input_ids=ids, pixel_values=pixels, use_cache=False).logits[0, :-1]
        supervised = torch.tensor(one.unit.supervised)[1:]
        count = int(supervised.sum())
        token_losses = functional.cross_entropy(logits[supervised], ids[0, 1:][supervised], reduction="none")
        total = total + token_losses.sum() * count**exponent
        weight_sum += count * count**exponent
    loaded.model.zero_grad()
    (total / weight_sum).backward()
    return float(total) / weight_sum, {
        name: value.grad.clone() for name, value in loaded.model.named_parameters() if value.grad is not None
    }


@pytest.mark.parametrize(("weighting", "exponent"), [("token", 0.0), ("sample", -1.0), ("square", -0.5)])
def test_unequal_parts_give_the_formula(
    loaded: LoadedModel, squares: Path, weighting: LossWeighting, exponent: float
) -> None:
    samples = [sample for part in UNEQUAL for indices in part for sample in indices]
    expected_loss, expected = by_formula(loaded, squares, samples, exponent)
    loaded.model.zero_grad()
    does, _ = stepper(loaded)
    packs = iter([pack_of(loaded, squares, part, weighting) for part in UNEQUAL])
    seen = does.backward(1, packs, 3, stopping=lambda: False)
    does.clip(seen.weight, 1e9)
    assert seen.loss == pytest.approx(expected_loss, rel=1e-5)
    for name, value in loaded.model.named_parameters():
        if name in expected:
            assert torch.allclose(value.grad, expected[name], rtol=1e-3, atol=1e-6), name
    assert seen.samples == (7,)
    assert not seen.stopping


def test_what_was_not_used_gets_zeros_and_no_less(loaded: LoadedModel, squares: Path) -> None:
    """AdamW passes over a weight without a gradient: with one process it would not decay, with two it would."""
    loaded.internvl.model.vision_tower.requires_grad_(True)
    does, parallel = stepper(loaded)
    empty = LoadedPack(collate([], 0, "packed"), (0,), (0,), 0, (), ())
    does.backward(1, iter([empty]), 1, stopping=lambda: False)
    does.clip(1.0, 1.0)
    assert all(value.grad is not None and not value.grad.any() for value in parallel.parameters.values())


def test_a_norm_is_that_of_the_mean_and_clips(loaded: LoadedModel, squares: Path) -> None:
    norms = []
    for highest in (1e9, 0.5):
        does, parallel = stepper(loaded)
        loaded.model.zero_grad()
        packs = iter([pack_of(loaded, squares, part, "token") for part in UNEQUAL])
        seen = does.backward(1, packs, 3, stopping=lambda: False)
        norms.append(does.clip(seen.weight, highest))
        grads = [value.grad for value in parallel.parameters.values()]
        after = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(grad) for grad in grads])).item()
    assert norms[0] == pytest.approx(norms[1])
    assert norms[0] > 0.5
    assert after == pytest.approx(0.5, rel=1e-3)


def test_looking_computes_the_loss_alone(loaded: LoadedModel, squares: Path) -> None:
    does, parallel = stepper(loaded)
    packs = [pack_of(loaded, squares, part, "token") for part in UNEQUAL]
    seen = does.look(iter(packs))
    assert all(value.grad is None for value in parallel.parameters.values())
    assert seen.loss == pytest.approx(does.backward(1, iter(packs), 3, stopping=lambda: True).loss, rel=1e-6)
    assert seen.source_losses(["squares"]) == {"squares": pytest.approx(seen.loss)}


def test_what_was_left_out_and_who_wants_to_stop_is_told(loaded: LoadedModel) -> None:
    lost = Skipped("data", ("a", "b"), "unreadable-image", "broken")
    empty = LoadedPack(collate([], 0, "packed"), (0,), (0,), 0, (), (lost,))

    def packs() -> Iterator[LoadedPack]:
        yield empty

    does, _ = stepper(loaded)
    seen = does.backward(1, packs(), 1, stopping=lambda: True)
    assert seen.skipped == (lost,)
    assert seen.stopping
    assert (seen.weight, seen.loss, seen.source_losses(["data"])) == (0.0, 0.0, {})


def test_random_numbers_depend_on_where_the_run_is() -> None:
    drawn = []
    for place in ((0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0), (0, 1, 0)):
        seed_randomness(*place)
        drawn.append(torch.rand(3).tolist())
    assert drawn[0] == drawn[4]
    assert len({tuple(numbers) for numbers in drawn}) == 4


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
)
def test_want_of_memory_says_how_much_was_computed(error: Exception) -> None:
    with pytest.raises(MemoryExhaustedError, match=r"300 tokens; .*memory.*parts_per_pack=2") as caught:
        with memory_errors("300 tokens", several_processes=True):
            raise error
    assert caught.value.several_processes
    with pytest.raises(RuntimeError, match="something else"), memory_errors("300 tokens"):
        raise RuntimeError("something else")
