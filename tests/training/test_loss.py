"""The loss equals transformers' own, value and gradient, however samples are put together."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from training.inputs import read_units

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import pixel_values
from domainvl.model.packed_attention import register_packed_attention
from domainvl.training.batches import ReadUnit, collate
from domainvl.training.loss import AnswerLoss

SAMPLES = [0, 1, 2, 3, 4, 5]
"""Two groups: two questions about one image, then one about two images, each twice."""


@pytest.fixture(params=["packed_sdpa", "sdpa", "eager"])
def loaded(untrained: Path, request: pytest.FixtureRequest) -> LoadedModel:
    register_packed_attention()
    loaded = load_model(str(untrained))
    loaded.internvl.set_attn_implementation({"text_config": request.param, "vision_config": "sdpa"})
    return loaded


Result = tuple[float, dict[str, torch.Tensor]]


def loss_and_gradients(loaded: LoadedModel, loss: torch.Tensor) -> Result:
    loaded.model.zero_grad()
    loss.backward()
    return loss.item(), {
        name: value.grad.clone() for name, value in loaded.model.named_parameters() if value.grad is not None
    }


def ours(loaded: LoadedModel, units: list[ReadUnit], arrangement: str) -> Result:
    return loss_and_gradients(loaded, AnswerLoss(loaded)(collate(units, 0, arrangement)).sum())


def assert_equal(a: Result, b: Result) -> None:
    assert a[0] == pytest.approx(b[0], rel=1e-5)
    assert a[1].keys() == b[1].keys()
    for name, gradient in a[1].items():
        assert torch.allclose(gradient, b[1][name], rtol=1e-3, atol=1e-5), name


def theirs(loaded: LoadedModel, squares: Path, samples: list[int]) -> Result:
    """Sum of transformers' loss over the samples one at a time, with its own causal mask and positions."""
    total = torch.zeros(())
    for one in read_units(loaded, squares, [[sample] for sample in samples]):
        ids = torch.tensor([one.unit.input_ids])
        labels = torch.where(torch.tensor([one.unit.supervised]), ids, -100)
        pixels = pixel_values(loaded, [image.tiles for image in one.images])
        output = loaded.internvl(input_ids=ids, pixel_values=pixels, labels=labels, use_cache=False)
        total = total + output.loss * sum(one.unit.supervised)
    return loss_and_gradients(loaded, total)


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_samples_together_equal_one_at_a_time(loaded: LoadedModel, squares: Path, arrangement: str) -> None:
    units = read_units(loaded, squares, [[sample] for sample in SAMPLES])
    assert len({len(one.unit.input_ids) for one in units}) > 1, "the case must need padding"
    assert_equal(ours(loaded, units, arrangement), theirs(loaded, squares, SAMPLES))


@pytest.mark.parametrize("arrangement", ["packed", "grouped"])
def test_shared_images_equal_samples_one_at_a_time(loaded: LoadedModel, squares: Path, arrangement: str) -> None:
    units = read_units(loaded, squares, [[0, 1], [2], [3, 4]])
    assert [len(one.unit.questions) for one in units] == [2, 1, 2]
    assert sum(len(one.images) for one in units) == 4  # not 6: two images are shared
    assert_equal(ours(loaded, units, arrangement), theirs(loaded, squares, [0, 1, 2, 3, 4]))


def test_the_same_question_twice_is_counted_twice(loaded: LoadedModel, squares: Path) -> None:
    """All tokens are shared then, but the answer and what predicts it must not be."""
    units = read_units(loaded, squares, [[0, 0]])
    assert len(units) == 1
    assert_equal(ours(loaded, units, "packed"), theirs(loaded, squares, [0, 0]))


def test_sources_have_sums_of_their_own(loaded: LoadedModel, squares: Path) -> None:
    first, second = read_units(loaded, squares, [[0, 1]]), read_units(loaded, squares, [[2]], source=1)
    with torch.no_grad():
        sums = AnswerLoss(loaded, 3)(collate([*first, *second], 0, "packed"))
        alone = [AnswerLoss(loaded, 2)(collate(units, 0, "packed")).sum().item() for units in (first, second)]
    assert sums.tolist() == pytest.approx([*alone, 0.0], rel=1e-5)


def test_text_only_and_images_in_one_pack_need_no_dummy_image(loaded: LoadedModel, squares: Path) -> None:
    """The vision encoder sees the images that there are and nothing else."""
    units = read_units(loaded, squares, [[0], [2]])
    text = ReadUnit(_text_unit(loaded), 0, ())
    seen = []
    handle = loaded.internvl.model.vision_tower.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    mixed = ours(loaded, [units[0], text, units[1]], "packed")
    assert seen == [3]
    alone = [ours(loaded, [one], "packed")[0] for one in (units[0], text, units[1])]
    handle.remove()
    assert seen == [3, 1, 2]
    assert mixed[0] == pytest.approx(sum(alone), rel=1e-5)


def _text_unit(loaded: LoadedModel):
    from domainvl.schema import Turn
    from domainvl.training.units import join

    turns = [Turn(role="human", text="What colour is the square?"), Turn(role="assistant", text="red")]
    encoder = loaded.encoder()
    (unit,) = join([encoder.encode(turns, [])], ["text"], encoder, images=(), tile_counts=(), max_tiles=1)
    return unit


def test_a_blank_tile_changes_nothing_but_reaches_the_vision_encoder(loaded: LoadedModel) -> None:
    """With several processes one that has no image must take part in the others' messages all the same."""
    batch = collate([ReadUnit(_text_unit(loaded), 0, ())], 0, "packed")
    without = loss_and_gradients(loaded, AnswerLoss(loaded)(batch).sum())
    reaching = loss_and_gradients(loaded, AnswerLoss(loaded, run_vision_always=True)(batch).sum())
    assert reaching[0] == without[0]
    vision = [name for name in reaching[1] if "vision_tower" in name or "projector" in name]
    assert vision
    assert not any(name in without[1] for name in vision)
    assert all(not reaching[1][name].any() for name in vision)


def test_an_empty_pack_gives_zeros_for_all_that_is_trained(loaded: LoadedModel) -> None:
    loss, gradients = loss_and_gradients(
        loaded, AnswerLoss(loaded, run_vision_always=True)(collate([], 0, "packed")).sum()
    )
    assert loss == 0.0
    trained = {name for name, value in loaded.model.named_parameters() if value.requires_grad}
    assert trained == set(gradients)
    assert all(not gradient.any() for gradient in gradients.values())
