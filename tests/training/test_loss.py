"""The loss equals transformers' own, value and gradient, however samples are put together."""

from pathlib import Path

import pytest
import torch

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Sample, SampleFile, Split
from domainvl.training.batches import EncodedPass, collate, encode_pass
from domainvl.training.loss import answer_loss


@pytest.fixture(params=["sdpa", "eager"])
def loaded(untrained: Path, request: pytest.FixtureRequest) -> LoadedModel:
    loaded = load_model(str(untrained))
    loaded.internvl.set_attn_implementation(request.param)
    return loaded


@pytest.fixture(scope="module")
def samples(squares: Path) -> list[Sample]:
    """Two groups: two questions about one image, then one about two images, each twice."""
    return SampleFile(squares, Split.TRAIN)[:6]


def encode(loaded: LoadedModel, squares: Path, passes: list[list[Sample]]) -> list[EncodedPass]:
    reader = TileReader(squares, loaded.spec.preprocessing)
    return [one for part in passes for one in encode_pass(part, loaded.encoder(), reader, loaded.spec.preprocessing)]


def loss_and_gradients(loaded: LoadedModel, loss: torch.Tensor) -> tuple[float, dict[str, torch.Tensor]]:
    loaded.model.zero_grad()
    loss.backward()
    return loss.item(), {
        name: value.grad.clone() for name, value in loaded.model.named_parameters() if value.grad is not None
    }


def assert_equal(a: tuple[float, dict], b: tuple[float, dict]) -> None:
    assert a[0] == pytest.approx(b[0], rel=1e-5)
    assert a[1].keys() == b[1].keys()
    for name, gradient in a[1].items():
        assert torch.allclose(gradient, b[1][name], rtol=1e-3, atol=1e-5), name


def theirs(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> tuple[float, dict]:
    """Sum of transformers' loss over the samples one at a time, with its own causal mask and positions."""
    total = torch.zeros(())
    for one in encode(loaded, squares, [[sample] for sample in samples]):
        ids = torch.tensor([one.input_ids])
        labels = torch.where(torch.tensor([one.supervised]), ids, -100)
        output = loaded.internvl(
            input_ids=ids, pixel_values=pixel_values(loaded, one.tiles), labels=labels, use_cache=False
        )
        total = total + output.loss * sum(one.weights("token"))
    return loss_and_gradients(loaded, total)


def test_padded_batch_equals_samples_one_at_a_time(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> None:
    encoded = encode(loaded, squares, [[sample] for sample in samples])
    assert len({len(one.input_ids) for one in encoded}) > 1, "the case must need padding"
    ours = loss_and_gradients(loaded, answer_loss(loaded, collate(encoded, 0)))
    assert_equal(ours, theirs(loaded, squares, samples))


def test_shared_images_equal_samples_one_at_a_time(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> None:
    encoded = encode(loaded, squares, [samples[:2], samples[2:3], samples[3:5]])
    assert [max(one.segments) for one in encoded] == [2, 1, 2]
    assert sum(len(part) for one in encoded for part in one.tiles) == 4  # not 6: two images are shared
    ours = loss_and_gradients(loaded, answer_loss(loaded, collate(encoded, 0)))
    picked = [*samples[:2], samples[2], *samples[3:5]]
    assert_equal(ours, theirs(loaded, squares, picked))


def test_the_same_question_twice_is_counted_twice(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> None:
    """All tokens are shared then, but the answer and what predicts it must not be."""
    (encoded,) = encode(loaded, squares, [[samples[0], samples[0]]])
    ours = loss_and_gradients(loaded, answer_loss(loaded, collate([encoded], 0)))
    assert_equal(ours, theirs(loaded, squares, [samples[0], samples[0]]))
