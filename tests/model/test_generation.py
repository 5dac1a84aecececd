"""Batched answers equal answers one at a time, and their likelihood is what the model gives them."""

import math
from pathlib import Path

import pytest
import torch
from transformers import InternVLConfig, InternVLForConditionalGeneration, Phi3Config

from domainvl.model.checkpoint import LoadedModel, dynamic_border_of, load_model
from domainvl.model.generation import generate_answers, pixel_values
from domainvl.model.preprocessing import TileReader
from domainvl.model.sizes import size_config
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


def with_longrope(loaded: LoadedModel, border: int) -> LoadedModel:
    """The same vision encoder and tokenizer, under a Phi-3 that changes its positions at the border."""
    config, half = loaded.internvl.config, 16
    text = Phi3Config(
        vocab_size=config.text_config.vocab_size,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        intermediate_size=128,
        max_position_embeddings=4 * border,
        original_max_position_embeddings=border,
        pad_token_id=0,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "factor": 4.0,
            "original_max_position_embeddings": border,
            "short_factor": [1.0] * half,
            "long_factor": [4.0] * half,
        },
        initializer_range=0.2,
    )
    torch.manual_seed(1)
    model = InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=config.vision_config,
            text_config=text,
            image_token_id=config.image_token_id,
            image_seq_length=config.image_seq_length,
            tie_word_embeddings=False,
        )
    )
    return LoadedModel(model.eval(), loaded.tokenizer, loaded.spec)


@pytest.mark.parametrize("distance", [6, 13], ids=["crossed while answering", "stayed before"])
def test_answers_of_phi3_do_not_depend_on_the_batch(
    loaded: LoadedModel, squares: Path, samples: list[Sample], distance: int
) -> None:
    """Answers have 12 tokens: the shortest prompts cross the rope's border or stay before it, others are beyond."""
    encoder = loaded.encoder()
    lengths = [len(encoder.encode(sample.turns[:-1], [1] * len(sample.images)).input_ids) for sample in samples]
    border = min(lengths) + distance
    assert border < max(lengths)
    phi3 = with_longrope(loaded, border)
    assert phi3.rope_border == border
    one, many = (answers(phi3, squares, samples, batch_size=size) for size in (1, 7))
    assert {key: text for key, (text, _) in one.items()} == {key: text for key, (text, _) in many.items()}
    for key in one:
        assert one[key][1] == pytest.approx(many[key][1], rel=1e-4)


def test_other_models_have_no_rope_border(loaded: LoadedModel) -> None:
    assert loaded.rope_border is None


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


def test_only_the_2b_has_a_border_beyond_which_positions_stretch() -> None:
    borders = {size: dynamic_border_of(size_config(size)) for size in ("1b", "2b", "4b")}
    assert borders == {"1b": None, "2b": size_config("2b").text_config.max_position_embeddings, "4b": None}
