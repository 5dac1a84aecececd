"""The published ``config.json`` and transformers' configuration, in both directions.

Source: OpenGVLab/InternVL, internvl_chat/internvl/model/internvl_chat/configuration_internvl_chat.py and
configuration_intern_vit.py; the language models' own configurations beside them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError

if TYPE_CHECKING:
    from transformers import InternVLConfig

    from domainvl.model.chat import Chat
    from domainvl.model.preprocessing import Preprocessing

CONFIG_NAME = "config.json"
PUBLISHED_MODEL_TYPE = "internvl_chat"

SYSTEM_MESSAGE_KEY = "domainvl_system_message"
"""Key of our own in a config that we made: the layout has no other place for it than the official code."""

_LANGUAGE_MODELS = {"Qwen2ForCausalLM": "qwen2", "InternLM2ForCausalLM": "internlm2", "Phi3ForCausalLM": "phi3"}
"""Published architectures and their model types."""


@dataclass(frozen=True)
class SpecialIds:
    """Ids of the special tokens that a configuration names.

    Attributes:
        image: Stands for one visual token.
        end: Ends an answer.
        start: Begins a text; None where the tokenizer has none.
        padding: Fills up short rows.
    """

    image: int
    end: int
    start: int | None
    padding: int | None


_COMMON_TEXT_KEYS = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "hidden_act",
    "max_position_embeddings",
    "initializer_range",
    "rms_norm_eps",
)
_TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
_VISION_KEYS = {
    "hidden_size": "hidden_size",
    "intermediate_size": "intermediate_size",
    "num_hidden_layers": "num_hidden_layers",
    "num_attention_heads": "num_attention_heads",
    "num_channels": "num_channels",
    "hidden_act": "hidden_act",
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
    "attention_dropout": "attention_dropout",
    "dropout": "hidden_dropout_prob",
    "qkv_bias": "attention_bias",
}
"""Published names of the vision encoder's values and transformers' names of the same."""


def read_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of any checkpoint folder.

    Raises:
        CheckpointError: If it is missing or no JSON object.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise CheckpointError(
            "Cannot read a checkpoint",
            where=folder,
            rule=f"{CONFIG_NAME} is missing",
            action="Name the folder that was downloaded",
        )
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError("Cannot read a checkpoint", where=path, rule=f"it must be JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError("Cannot read a checkpoint", where=path, rule="it must be a JSON object")
    return content


class _Section:
    """A part of a published config that names the key in every complaint."""

    def __init__(self, content: Any, name: str, path: Path) -> None:
        self._name = name
        self._path = path
        if not isinstance(content, Mapping):
            raise self.error(f"{name} must be an object, got {type(content).__name__}")
        self.content = content

    def __getitem__(self, key: str) -> Any:
        if key not in self.content:
            raise self.error(f"{self._key(key)} is missing")
        return self.content[key]

    def require(self, key: str, *allowed: Any, why: str) -> None:
        """Refuse a value that transformers' classes would ignore."""
        value = self.content.get(key, allowed[0])
        if value not in allowed:
            wanted = " or ".join(repr(one) for one in allowed)
            raise self.error(f"{self._key(key)} must be {wanted}, got {value!r}: {why}")

    def error(self, rule: str) -> CheckpointError:
        return CheckpointError("Cannot import a checkpoint", where=self._path, rule=rule)

    def _key(self, key: str) -> str:
        return f"{self._name}.{key}" if self._name else key


def native_config(raw: Mapping[str, Any], path: Path, tokens: SpecialIds) -> InternVLConfig:
    """Return transformers' configuration for a published one.

    Args:
        raw: Content of the published ``config.json``.
        path: The file, for messages.
        tokens: Ids of the tokenizer; the published text configs name those of the language model before it learned
            to chat.

    Raises:
        CheckpointError: If the architecture is not one of Mini-InternVL's, or a value asks for what
            transformers' classes do not compute.
    """
    from transformers import InternVLConfig

    top = _Section(raw, "", path)
    vision, text = (
        _Section(top["vision_config"], "vision_config", path),
        _Section(top["llm_config"], "llm_config", path),
    )
    top.require("ps_version", "v2", why="transformers computes the pixel shuffle of version 2 only")
    top.require("downsample_ratio", 0.5, why="all published models have it")
    top.require("pad2square", False, why="no published recipe pads images to squares")
    side, patch = int(vision["image_size"]), int(vision["patch_size"])
    top.require("force_image_size", side, None, why="vision_config.image_size decides how many positions there are")
    return InternVLConfig(
        vision_config=_native_vision(vision, side, patch),
        text_config=_native_text(text, tokens),
        image_token_id=tokens.image,
        image_seq_length=visual_tokens(side, patch),
        downsample_ratio=0.5,
        vision_feature_layer=int(raw.get("select_layer", -1)),
        vision_feature_select_strategy="default",
        # The class's default is True and would win over the text's False: no published Mini-InternVL is tied.
        tie_word_embeddings=False,
    )


def visual_tokens(tile_side_px: int, patch_side_px: int) -> int:
    """Return the visual tokens of a tile: patches, four of which the pixel shuffle makes one."""
    return (tile_side_px // patch_side_px // 2) ** 2


def _native_vision(vision: _Section, side: int, patch: int) -> Any:
    from transformers import InternVLVisionConfig

    vision.require("norm_type", "layer_norm", why="InternViT-300M has it")
    vision.require("qk_normalization", False, why="InternViT-300M has none")
    return InternVLVisionConfig(
        **{native: vision[published] for published, native in _VISION_KEYS.items() if published in vision.content},
        image_size=[side, side],
        patch_size=[patch, patch],
        norm_type="layer_norm",
        use_qk_norm=False,
        use_absolute_position_embeddings=True,
        use_mean_pooling=True,  # in transformers' words: no norm after the last layer
    )


def _native_text(text: _Section, tokens: SpecialIds) -> Any:
    from transformers import LlamaConfig, Phi3Config, Qwen2Config

    architecture = (text.content.get("architectures") or [None])[0]
    if architecture not in _LANGUAGE_MODELS:
        raise text.error(
            f"llm_config.architectures must name one of {', '.join(_LANGUAGE_MODELS)}, got {architecture!r}"
        )
    text.require("tie_word_embeddings", False, why="the checkpoint has an output layer of its own")
    values = {key: text.content[key] for key in _COMMON_TEXT_KEYS if key in text.content}
    values |= {"tie_word_embeddings": False, "bos_token_id": tokens.start}
    values |= {"eos_token_id": tokens.end, "pad_token_id": tokens.padding}
    match _LANGUAGE_MODELS[architecture]:
        case "qwen2":
            text.require("use_sliding_window", False, why="no published model has it")
            return Qwen2Config(**values, rope_parameters=_plain_or_scaled_rope(text))
        case "internlm2":
            text.require("bias", False, why="the published InternLM2 has no biases")
            return LlamaConfig(**values, rope_parameters=_plain_or_scaled_rope(text))
        case _:
            return Phi3Config(
                **values,
                sliding_window=text.content.get("sliding_window"),
                original_max_position_embeddings=text["original_max_position_embeddings"],
                rope_parameters=_phi3_rope(text),
            )


def _plain_or_scaled_rope(text: _Section) -> dict[str, Any]:
    theta = float(text["rope_theta"])
    scaling = text.content.get("rope_scaling")
    if not scaling:
        return {"rope_type": "default", "rope_theta": theta}
    kind = scaling.get("type")
    if kind not in ("dynamic", "linear") or "factor" not in scaling:
        raise text.error(f"llm_config.rope_scaling must be dynamic or linear with a factor, got {scaling!r}")
    return {"rope_type": kind, "rope_theta": theta, "factor": float(scaling["factor"])}


def _phi3_rope(text: _Section) -> dict[str, Any]:
    """``su`` is what Phi-3 first called LongRoPE; transformers wants the original length beside the factors."""
    theta = float(text["rope_theta"])
    scaling = text.content.get("rope_scaling")
    if not scaling:
        return {"rope_type": "default", "rope_theta": theta}
    if scaling.get("type") not in ("su", "longrope"):
        raise text.error(f"llm_config.rope_scaling.type must be su or longrope, got {scaling.get('type')!r}")
    original = int(text["original_max_position_embeddings"])
    return {
        "rope_type": "longrope",
        "rope_theta": theta,
        "factor": int(text["max_position_embeddings"]) / original,
        "short_factor": [float(value) for value in scaling["short_factor"]],
        "long_factor": [float(value) for value in scaling["long_factor"]],
        "original_max_position_embeddings": original,
    }


def published_config(config: InternVLConfig, chat: Chat, preprocessing: Preprocessing, dtype: str) -> dict[str, Any]:
    """Return the published ``config.json`` for a model; what :func:`native_config` turns back into the same model.

    Args:
        config: The model's configuration.
        chat: Its chat format.
        preprocessing: How its images become tiles.
        dtype: Of its weights, such as ``bfloat16``.

    Raises:
        CheckpointError: If no InternVL of this language model was published in that layout.
    """
    side = int(config.vision_config.image_size[0])
    return {
        "architectures": ["InternVLChatModel"],
        "auto_map": {
            "AutoConfig": "configuration_internvl_chat.InternVLChatConfig",
            "AutoModel": "modeling_internvl_chat.InternVLChatModel",
            "AutoModelForCausalLM": "modeling_internvl_chat.InternVLChatModel",
        },
        "model_type": PUBLISHED_MODEL_TYPE,
        "vision_config": _published_vision(config.vision_config, side),
        "llm_config": _published_text(config.text_config, dtype),
        "downsample_ratio": 0.5,
        "dynamic_image_size": preprocessing.max_tiles > 1,
        "force_image_size": side,
        "max_dynamic_patch": preprocessing.max_tiles,
        "min_dynamic_patch": 1,
        "pad2square": False,
        "ps_version": "v2",
        "select_layer": config.vision_feature_layer,
        SYSTEM_MESSAGE_KEY: chat.system_message,
        "template": chat.format,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": preprocessing.use_thumbnail,
    }


def _published_vision(vision: Any, side: int) -> dict[str, Any]:
    return {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        **{published: getattr(vision, native) for published, native in _VISION_KEYS.items()},
        "drop_path_rate": 0.0,
        "image_size": side,
        "initializer_factor": 0.1,
        "norm_type": "layer_norm",
        "patch_size": int(vision.patch_size[0]),
        "qk_normalization": False,
        "use_flash_attn": True,
    }


def _published_text(text: Any, dtype: str) -> dict[str, Any]:
    rope = text.rope_parameters
    values = {key: getattr(text, key) for key in (*_COMMON_TEXT_KEYS, *_TOKEN_KEYS)}
    values |= {"rope_theta": rope["rope_theta"], "tie_word_embeddings": False, "torch_dtype": dtype, "use_cache": True}
    match text.model_type:
        case "qwen2":
            return {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", **values, **_qwen2_rope(rope)}
        case "llama":
            return {
                "architectures": ["InternLM2ForCausalLM"],
                "auto_map": {
                    "AutoConfig": "configuration_internlm2.InternLM2Config",
                    "AutoModel": "modeling_internlm2.InternLM2ForCausalLM",
                    "AutoModelForCausalLM": "modeling_internlm2.InternLM2ForCausalLM",
                },
                "attn_implementation": "eager",
                "bias": False,
                "model_type": "internlm2",
                **values,
                **_scaled_rope(rope),
            }
        case "phi3":
            return {
                "architectures": ["Phi3ForCausalLM"],
                "model_type": "phi3",
                **values,
                "original_max_position_embeddings": text.original_max_position_embeddings,
                "sliding_window": text.sliding_window,
                **_su_rope(rope),
            }
    raise CheckpointError(
        "There is no published layout for this model",
        rule=f"its language model must be qwen2, llama or phi3, got {text.model_type!r}",
    )


def _qwen2_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    return {"use_sliding_window": False, **_scaled_rope(rope)}


def _scaled_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    if rope["rope_type"] == "default":
        return {}
    return {"rope_scaling": {"type": rope["rope_type"], "factor": rope["factor"]}}


def _su_rope(rope: Mapping[str, Any]) -> dict[str, Any]:
    if rope["rope_type"] == "default":
        return {}
    return {
        "rope_scaling": {"type": "su", "short_factor": rope["short_factor"], "long_factor": rope["long_factor"]},
    }
