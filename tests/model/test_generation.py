"""Batched answers equal answers one at a time, and their likelihood is what the model gives them."""

import math
from pathlib import Path

import pytest
import torch

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.generation import generate_answers, pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.schema import Sample, Split, read_samples


@pytest.fixture(scope="module")
def loaded(untrained: Path) -> LoadedModel:
    return load_model(str(untrained))


@pytest.fixture(scope="module")
def samples(squares: Path) -> list[Sample]:
    return list(read_samples(squares, Split.TEST))


def answers(loaded: LoadedModel, squares: Path, samples: list[Sample], **settings: object) -> dict[str, tuple]:
    reader = TileReader(squares, loaded.spec.preprocessing)
    found = generate_answers(loaded, samples, reader, max_new_tokens=12, **settings)
    return {answer.sample_id: (answer.text, answer.likelihood) for answer in found}


def test_batches_of_mixed_length_equal_one_at_a_time(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> None:
    one, many = (answers(loaded, squares, samples, batch_size=size) for size in (1, 7))
    assert one.keys() == many.keys() == {sample.id for sample in samples}
    assert {key: text for key, (text, _) in one.items()} == {key: text for key, (text, _) in many.items()}
    for key in one:
        assert one[key][1] == pytest.approx(many[key][1], rel=1e-4)


def test_likelihood_equals_that_of_a_plain_forward_pass(
    loaded: LoadedModel, squares: Path, samples: list[Sample]
) -> None:
    sample = samples[0]
    _, likelihood = answers(loaded, squares, [sample])[sample.id]
    ids = list(loaded.encoder().encode(sample.turns[:-1], [1]).input_ids)
    pixels = pixel_values(loaded, TileReader(squares, loaded.spec.preprocessing).read(sample.images))
    end_id = loaded.tokenizer.convert_tokens_to_ids("<|im_end|>")
    chosen = []
    while len(chosen) < 12 and ids[-1] != end_id:
        with torch.inference_mode():
            logits = loaded.internvl(input_ids=torch.tensor([ids]), pixel_values=pixels).logits[0, -1]
        chosen.append(float(logits.log_softmax(-1).max()))
        ids.append(int(logits.argmax()))
    assert likelihood == pytest.approx(math.exp(sum(chosen) / len(chosen)), rel=1e-4)


def test_blank_images_take_away_what_differs(loaded: LoadedModel, squares: Path, samples: list[Sample]) -> None:
    colours = [sample for sample in samples if sample.id.endswith("/colour")]
    seen = answers(loaded, squares, colours)
    blank = answers(loaded, squares, colours, blank_images=True)
    assert len({likelihood for _, likelihood in seen.values()}) > 1
    assert max(value for _, value in blank.values()) == pytest.approx(min(value for _, value in blank.values()))
