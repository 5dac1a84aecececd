"""Sizes by name: published parameter counts on meta, the traps of configurations, and recognising a size."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import InternVLConfig

from domainvl.errors import UsageError
from domainvl.model.sizes import (
    PUBLISHED_PARAMETERS,
    SIZE_NAMES,
    PartParameters,
    build_on_meta,
    count_parameters,
    recognise_size,
    size_config,
)

PUBLISHED = ("1b", "2b", "4b")
SHIPPED_TINY = Path(__file__).parents[2] / "domainvl" / "model" / "tiny"

# Totals of the official classes built with the published config.json files.
TOTALS = {"1b": 938_158_976, "2b": 2_205_754_368, "4b": 4_146_855_936}


def vit_parameters(hidden: int, layers: int, mlp: int, patches: int, patch_px: int) -> int:
    """By hand: q, k, v, o and two MLP layers with biases, two norms, two layer scales; class, position, patch."""
    layer = 4 * (hidden * hidden + hidden) + 2 * hidden * mlp + mlp + hidden + 4 * hidden + 2 * hidden
    embeddings = hidden + (patches + 1) * hidden + 3 * patch_px**2 * hidden + hidden
    return layers * layer + embeddings


def llm_parameters(hidden, layers, mlp, heads, kv_heads, vocabulary, *, qkv_biases: bool) -> int:
    """By hand: attention, gated MLP, two RMS norms a layer; a last norm; words read and words written."""
    head = hidden // heads
    qkv = hidden * (heads + 2 * kv_heads) * head + qkv_biases * (heads + 2 * kv_heads) * head
    layer = qkv + hidden * hidden + 3 * hidden * mlp + 2 * hidden
    return layers * layer + hidden + 2 * vocabulary * hidden


def projector_parameters(hidden: int) -> int:
    """By hand: a norm of 4 x 1024 features, two layers with biases."""
    return 2 * 4096 + 4096 * hidden + hidden + hidden * hidden + hidden


BY_HAND = {
    "1b": llm_parameters(896, 24, 4864, 14, 2, 151_655, qkv_biases=True),
    "2b": llm_parameters(2048, 24, 8192, 16, 8, 92_553, qkv_biases=False),
    "4b": llm_parameters(3072, 32, 8192, 32, 32, 32_020, qkv_biases=False),
}
HIDDEN = {"1b": 896, "2b": 2048, "4b": 3072}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_part_has_the_published_parameters(name):
    model = build_on_meta(size_config(name))
    counted = count_parameters(model)

    assert counted.vision == 304_012_288 == vit_parameters(1024, 24, 4096, 1024, 14)
    assert counted.projector == projector_parameters(HIDDEN[name])
    assert counted.language_model == BY_HAND[name]
    assert counted.total == TOTALS[name]
    assert counted == PUBLISHED_PARAMETERS[name]
    assert {parameter.device.type for parameter in model.parameters()} == {"meta"}


def test_total_is_the_sum():
    assert PartParameters(1, 20, 300).total == 321


@pytest.mark.parametrize("name", SIZE_NAMES)
def test_words_read_and_words_written_are_not_tied(name):
    model = build_on_meta(size_config(name))

    assert model.config.tie_word_embeddings is False
    assert model.config.text_config.tie_word_embeddings is False
    assert model.lm_head.weight is not model.get_input_embeddings().weight


@pytest.mark.parametrize(
    ("name", "model_type", "rope_type", "theta"),
    [("1b", "qwen2", "default", 1e6), ("2b", "llama", "dynamic", 1e6), ("4b", "phi3", "longrope", 1e4)],
)
def test_text_model_and_its_rotary_embedding(name, model_type, rope_type, theta):
    text = size_config(name).text_config

    assert text.model_type == model_type
    assert text.rope_parameters["rope_type"] == rope_type
    assert text.rope_parameters["rope_theta"] == theta


def test_longrope_of_the_4b_is_neutral_within_4096_positions():
    text = size_config("4b").text_config
    model = build_on_meta(size_config("4b"))

    # One factor a pair of a head's 96 dimensions.
    assert text.rope_parameters["short_factor"] == text.rope_parameters["long_factor"] == [1.0] * 48
    assert text.rope_parameters["original_max_position_embeddings"] == 4096
    # LongRoPE, arXiv 2402.13753: sqrt(1 + ln(scale) / ln(original length)).
    assert model.model.language_model.rotary_emb.attention_scaling == pytest.approx(1.1902, abs=1e-4)


@pytest.mark.parametrize(("name", "image_token"), [("1b", 151_648), ("2b", 92_546), ("4b", 32_013)])
def test_image_token_is_the_third_of_the_added_ones(name, image_token):
    config = size_config(name)

    assert config.image_token_id == image_token
    assert config.image_seq_length == 256


def test_tiny_is_the_one_that_ships():
    shipped = json.loads((SHIPPED_TINY / "config.json").read_text())
    config = json.loads(size_config("tiny").to_json_string(use_diff=False))

    different = []
    for section in ("vision_config", "text_config"):
        for key, value in shipped[section].items():
            if key != "dtype" and config[section].get(key) != value:
                different.append(key)
    assert not different
    for key in ("image_token_id", "image_seq_length", "downsample_ratio", "tie_word_embeddings"):
        assert config[key] == shipped[key]


@pytest.mark.parametrize("name", SIZE_NAMES)
def test_a_size_is_recognised_with_another_vocabulary(name):
    config = size_config(name)
    config.text_config.vocab_size += 100

    assert recognise_size(config) == name


def test_a_checkpoint_on_disk_is_recognised():
    assert recognise_size(InternVLConfig.from_pretrained(SHIPPED_TINY)) == "tiny"


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("text_config", "num_hidden_layers", 23),
        ("text_config", "hidden_size", 1024),
        ("text_config", "intermediate_size", 4096),
        ("text_config", "num_key_value_heads", 7),
        ("text_config", "num_attention_heads", 28),
        ("vision_config", "num_hidden_layers", 12),
        ("vision_config", "intermediate_size", 2048),
        ("vision_config", "patch_size", [16, 16]),
    ],
)
def test_another_dimension_is_another_size(part, key, value):
    config = size_config("1b")
    setattr(getattr(config, part), key, value)

    assert recognise_size(config) is None


def test_an_unknown_size_names_the_known_ones():
    with pytest.raises(UsageError, match="'8b'.*tiny, 1b, 2b, 4b"):
        size_config("8b")


def test_tiny_runs_forward():
    config = size_config("tiny")
    model = build_on_meta(config)
    ids = torch.full((1, 16), config.image_token_id, device="meta")

    assert model.model.language_model(input_ids=ids).last_hidden_state.shape == (1, 16, 128)
