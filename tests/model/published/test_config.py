"""The published config becomes transformers', and back."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from published_checkpoints import FAMILIES, published_config
from transformers import InternVLConfig, InternVLVisionConfig, LlamaConfig, Phi3Config, Qwen2Config

from domainvl.errors import CheckpointError
from domainvl.model.chat import Chat
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.published import config as module
from domainvl.model.published.config import SpecialIds, native_config, read_config, visual_tokens
from domainvl.model.sizes import recognise_size, size_config

PATH = Path("download") / "config.json"
TOKENS = SpecialIds(image=7, end=8, start=1, padding=2)
FULL_SIZE: dict[str, Any] = {
    "vision_config": {
        "architectures": ["InternVisionModel"],
        "attention_dropout": 0.0,
        "drop_path_rate": 0.1,
        "dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_size": 1024,
        "image_size": 448,
        "initializer_range": 0.02,
        "intermediate_size": 4096,
        "layer_norm_eps": 1e-06,
        "norm_type": "layer_norm",
        "num_attention_heads": 16,
        "num_channels": 3,
        "num_hidden_layers": 24,
        "patch_size": 14,
        "qk_normalization": False,
        "qkv_bias": True,
    },
    "force_image_size": 448,
    "downsample_ratio": 0.5,
    "pad2square": False,
    "ps_version": "v2",
    "select_layer": -1,
}
TEXT_1B = {
    "architectures": ["Qwen2ForCausalLM"],
    "vocab_size": 151655,
    "hidden_size": 896,
    "intermediate_size": 4864,
    "num_hidden_layers": 24,
    "num_attention_heads": 14,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-06,
    "rope_theta": 1000000.0,
    "tie_word_embeddings": False,
}
TEXT_2B = {
    "architectures": ["InternLM2ForCausalLM"],
    "bias": False,
    "vocab_size": 92553,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "rms_norm_eps": 1e-05,
    "rope_theta": 1000000,
    "rope_scaling": {"factor": 2.0, "type": "dynamic"},
    "tie_word_embeddings": False,
}
TEXT_4B = {
    "architectures": ["Phi3ForCausalLM"],
    "vocab_size": 32020,
    "hidden_size": 3072,
    "intermediate_size": 8192,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 32,
    "max_position_embeddings": 131072,
    "original_max_position_embeddings": 4096,
    "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0,
    "rope_scaling": {"long_factor": [1.25] * 48, "short_factor": [1.05] * 48, "type": "su"},
    "sliding_window": 262144,
    "tie_word_embeddings": False,
}


def made(text: dict[str, Any]) -> InternVLConfig:
    return native_config({**FULL_SIZE, "llm_config": text}, PATH, TOKENS)


@pytest.mark.parametrize(("size", "text"), [("1b", TEXT_1B), ("2b", TEXT_2B), ("4b", TEXT_4B)])
def test_published_sizes_are_recognised(size: str, text: dict[str, Any]) -> None:
    """The numbers of mini-internvl.md sections 4.1 to 4.3 give the sizes that domainvl knows by name."""
    config = made(text)
    assert recognise_size(config) == size
    assert config.tie_word_embeddings is False
    assert config.text_config.tie_word_embeddings is False
    assert config.image_seq_length == 256
    assert (config.image_token_id, config.text_config.eos_token_id) == (7, 8)
    assert (config.text_config.bos_token_id, config.text_config.pad_token_id) == (1, 2)
    for key in ("vocab_size", "max_position_embeddings", "rms_norm_eps", "intermediate_size"):
        assert getattr(config.text_config, key) == text[key]
    vision = config.vision_config
    assert (vision.attention_bias, vision.use_qk_norm, vision.norm_type) == (True, False, "layer_norm")
    assert (vision.layer_norm_eps, vision.use_mean_pooling, list(vision.image_size)) == (1e-6, True, [448, 448])
    assert vision.use_absolute_position_embeddings is True


def test_kinds_of_rotary_embedding() -> None:
    assert made(TEXT_1B).text_config.rope_parameters == {"rope_type": "default", "rope_theta": 1e6}
    assert made(TEXT_2B).text_config.rope_parameters == {"rope_type": "dynamic", "rope_theta": 1e6, "factor": 2.0}
    # V1-5 has none
    plain = made(TEXT_2B | {"rope_scaling": None}).text_config.rope_parameters
    assert plain == {"rope_type": "default", "rope_theta": 1e6}
    linear = made(TEXT_1B | {"rope_scaling": {"type": "linear", "factor": 4}}).text_config.rope_parameters
    assert linear == {"rope_type": "linear", "rope_theta": 1e6, "factor": 4.0}
    text = made(TEXT_4B).text_config
    assert text.sliding_window == 262144
    assert text.original_max_position_embeddings == 4096
    rope = text.rope_parameters
    assert {key: rope[key] for key in ("rope_type", "rope_theta", "factor", "original_max_position_embeddings")} == {
        "rope_type": "longrope",
        "rope_theta": 10000.0,
        "factor": 32.0,
        "original_max_position_embeddings": 4096,
    }
    assert (rope["short_factor"], rope["long_factor"]) == ([1.05] * 48, [1.25] * 48)


@pytest.mark.parametrize("kind", ["su", "longrope"])
def test_both_names_of_longrope(kind: str) -> None:
    """transformers refuses ``su``, the name in the published 4B."""
    text = TEXT_4B | {"rope_scaling": TEXT_4B["rope_scaling"] | {"type": kind}}
    assert made(text).text_config.rope_parameters["rope_type"] == "longrope"


def test_phi3_without_scaling() -> None:
    assert made(TEXT_4B | {"rope_scaling": None}).text_config.rope_parameters["rope_type"] == "default"


def test_layer_of_the_features() -> None:
    config = native_config({**FULL_SIZE, "select_layer": -4, "llm_config": TEXT_1B}, PATH, TOKENS)
    assert config.vision_feature_layer == -4


@pytest.mark.parametrize(("side", "patch", "tokens"), [(448, 14, 256), (112, 14, 16), (56, 14, 4), (64, 8, 16)])
def test_visual_tokens_of_a_tile(side: int, patch: int, tokens: int) -> None:
    assert visual_tokens(side, patch) == tokens


REMOVE = object()


@pytest.mark.parametrize(
    ("section", "key", "value", "message"),
    [
        (None, "ps_version", "v1", r"ps_version must be 'v2', .* got 'v1'"),
        (None, "ps_version", REMOVE, r"ps_version"),  # the official class makes it v1
        (None, "downsample_ratio", 0.25, r"downsample_ratio must be 0.5, got 0.25"),
        (None, "pad2square", True, r"pad2square must be False, got True"),
        (None, "force_image_size", 224, r"force_image_size must be 448 or None, got 224"),
        (None, "vision_config", REMOVE, "vision_config is missing"),
        (None, "llm_config", REMOVE, "llm_config is missing"),
        (None, "vision_config", [1], "vision_config must be an object, got list"),
        (None, "llm_config", None, "llm_config must be an object, got NoneType"),
        ("vision_config", "image_size", REMOVE, "vision_config.image_size is missing"),
        ("vision_config", "patch_size", REMOVE, "vision_config.patch_size is missing"),
        ("vision_config", "norm_type", "rms_norm", r"vision_config.norm_type must be 'layer_norm', got 'rms_norm'"),
        ("vision_config", "qk_normalization", True, "vision_config.qk_normalization must be False, got True"),
        ("vision_config", "image_size", "large", "vision_config.image_size"),
        ("vision_config", "patch_size", 0, "vision_config.patch_size"),
        ("vision_config", "hidden_size", "wide", "hidden_size"),
        ("llm_config", "architectures", ["LlamaForCausalLM"], r"architectures .* got \['LlamaForCausalLM'\]"),
        ("llm_config", "architectures", REMOVE, r"llm_config.architectures .* got None"),
        ("llm_config", "architectures", [], r"llm_config.architectures .* got \[\]"),
        ("llm_config", "architectures", [["x"]], r"llm_config.architectures"),
        ("llm_config", "tie_word_embeddings", True, "llm_config.tie_word_embeddings must be False, got True"),
        ("llm_config", "rope_theta", REMOVE, "llm_config.rope_theta is missing"),
        ("llm_config", "rope_theta", "fast", "llm_config.rope_theta"),
        ("llm_config", "use_sliding_window", True, "llm_config.use_sliding_window must be False"),
        ("llm_config", "rope_scaling", {"type": "yarn", "factor": 2.0}, "rope_scaling.type must be dynamic or linear"),
        ("llm_config", "rope_scaling", {"type": "dynamic"}, "llm_config.rope_scaling.factor is missing"),
        ("llm_config", "rope_scaling", [2.0], "rope_scaling"),
        ("llm_config", "hidden_size", "wide", "hidden_size"),
    ],
)
def test_what_would_be_computed_otherwise_is_refused(section: str | None, key: str, value: Any, message: str) -> None:
    """The message names the file and the key."""
    raw = copy.deepcopy({**FULL_SIZE, "llm_config": TEXT_1B})
    target = raw if section is None else raw[section]
    if value is REMOVE:
        del target[key]
    else:
        target[key] = value
    with pytest.raises(CheckpointError, match=f"{PATH}.*({message})"):
        native_config(raw, PATH, TOKENS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bias": True}, "llm_config.bias must be False"),
        ({"rope_scaling": {"type": "su", "factor": 2.0}}, "rope_scaling.type must be dynamic or linear"),
    ],
)
def test_of_internlm2_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        made(TEXT_2B | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_scaling.type must be su or longrope"),
        ({"rope_scaling": {"type": "su", "short_factor": [1.0] * 48}}, "long_factor"),
        ({"rope_scaling": {"type": "su", "short_factor": [1.0] * 47, "long_factor": [1.0] * 48}}, "short_factor"),
    ],
)
def test_of_phi3_too(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=f"{PATH}.*{message}"):
        made(TEXT_4B | changes)


def test_phi3_without_its_original_length() -> None:
    text = {key: value for key, value in TEXT_4B.items() if key != "original_max_position_embeddings"}
    with pytest.raises(CheckpointError, match="llm_config.original_max_position_embeddings is missing"):
        made(text)


# ---- back --------------------------------------------------------------------------------------------------------


def there_and_back(config: InternVLConfig, tokens: SpecialIds = TOKENS) -> InternVLConfig:
    chat, preprocessing = Chat(format="Hermes-2"), Preprocessing(tile_side_px=int(config.vision_config.image_size[0]))
    published = module.published_config(config, chat, preprocessing, "bfloat16")
    return native_config(json.loads(json.dumps(published)), PATH, tokens)


@pytest.mark.parametrize("text", [TEXT_1B, TEXT_2B, TEXT_2B | {"rope_scaling": None}, TEXT_4B])
def test_there_and_back(text: dict[str, Any]) -> None:
    config = made(text)
    assert there_and_back(config).to_dict() == config.to_dict()


@pytest.mark.parametrize("family", FAMILIES)
def test_published_values_are_those_of_the_original(family: str) -> None:
    """All that decides what is computed; what only the official trainer reads may differ."""
    original = published_config(family, 400)
    tokens = SpecialIds(7, *(original["llm_config"].get(f"{name}_token_id") for name in ("eos", "bos", "pad")))
    config = native_config(original, PATH, tokens)
    preprocessing = Preprocessing(tile_side_px=56, tokens_per_tile=4, max_tiles=12)
    chat = Chat(format=original["template"])
    back = module.published_config(config, chat, preprocessing, "bfloat16")
    unread = {"sliding_window"} if family == "qwen2" else set()
    for section in ("vision_config", "llm_config"):
        expected = {key: value for key, value in original[section].items() if key not in unread}
        assert {key: back[section].get(key) for key in expected} == expected
    top = original.keys() - {"vision_config", "llm_config", "auto_map"}
    assert {key: back[key] for key in top} == {key: original[key] for key in top}


def test_tiles_are_published_too() -> None:
    config = made(TEXT_1B)
    one = module.published_config(config, Chat(format="Hermes-2"), Preprocessing(max_tiles=1), "float32")
    assert (one["dynamic_image_size"], one["torch_dtype"]) == (False, "float32")
    many = module.published_config(
        config, Chat(format="internvl2_5"), Preprocessing(max_tiles=24, use_thumbnail=False), "float32"
    )
    assert (many["dynamic_image_size"], many["max_dynamic_patch"], many["use_thumbnail"]) == (True, 24, False)
    assert many["template"] == "internvl2_5"


def small(text: Any) -> InternVLConfig:
    vision = InternVLVisionConfig(
        hidden_size=32, num_attention_heads=4, num_hidden_layers=2, intermediate_size=56, image_size=[56, 56],
        patch_size=[14, 14], attention_bias=True, use_absolute_position_embeddings=True, use_mean_pooling=True,
    )  # fmt: skip
    text.bos_token_id, text.eos_token_id, text.pad_token_id = TOKENS.start, TOKENS.end, TOKENS.padding
    return InternVLConfig(
        vision_config=vision, text_config=text, image_token_id=7, image_seq_length=4, tie_word_embeddings=False
    )


SMALL = {
    "vocab_size": 64,
    "hidden_size": 48,
    "intermediate_size": 72,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}


@pytest.mark.parametrize(
    "text",
    [
        Qwen2Config(**SMALL),
        LlamaConfig(**SMALL, rope_parameters={"rope_type": "linear", "rope_theta": 5e5, "factor": 3.0}),
        Phi3Config(**SMALL),
        LlamaConfig(
            **SMALL,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 5e5,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 1024,
            },
        ),
        Qwen2Config(**SMALL, rope_parameters={"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}),
        LlamaConfig(**SMALL, head_dim=16),
        Phi3Config(
            **SMALL, rope_parameters={"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5}
        ),
        Qwen2Config(**SMALL, use_sliding_window=True, sliding_window=16, max_window_layers=0),
    ],
    ids=["qwen2", "linear", "phi3", "llama3", "yarn", "head_dim", "partial", "sliding"],
)  # fmt: skip
def test_any_model_comes_back_the_same_or_is_refused(text: Any) -> None:
    """What the published config cannot say must not be lost silently."""
    config = small(text)
    try:
        module.published_config(config, Chat(format="Hermes-2"), Preprocessing(), "bfloat16")
    except CheckpointError:
        return
    back = there_and_back(config)
    found, expected = back.text_config.to_dict(), config.text_config.to_dict()
    decisive = {*SMALL, "rope_parameters", "head_dim", "sliding_window", "layer_types", "rms_norm_eps", "hidden_act"}
    assert {key: found.get(key) for key in decisive} == {key: expected.get(key) for key in decisive}


def test_no_other_language_model_is_published() -> None:
    from transformers import GPT2Config

    config = InternVLConfig(
        vision_config=size_config("1b").vision_config, text_config=GPT2Config(), tie_word_embeddings=False
    )
    with pytest.raises(CheckpointError, match="got 'gpt2'"):
        there_and_back(config)


# ---- the file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "config.json is missing"),
        (b"{", "config.json: it must be JSON"),
        (b"\xff\xfe", "config.json: it must be UTF-8"),
        (b"[]", "config.json: it must be a JSON object"),
    ],
)
def test_config_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_config(tmp_path)
