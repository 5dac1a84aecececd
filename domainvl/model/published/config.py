"""The published ``config.json`` and transformers' configuration, in both directions.

Source: OpenGVLab/InternVL, internvl_chat/internvl/model/internvl_chat/configuration_internvl_chat.py and
configuration_intern_vit.py; the language models' own configurations beside them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError
from domainvl.model.published.json_files import read_object
from domainvl.tiling import MAX_TILES_LIMIT

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
_NATIVE_TEXTS = ("qwen2", "llama", "phi3")
"""What they are in transformers."""


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


_TEXT_SIZES = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "max_position_embeddings",
)
_TEXT_NUMBERS = ("initializer_range", "rms_norm_eps")
_TOKEN_KEYS = ("bos_token_id", "eos_token_id", "pad_token_id")
_VISION_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_VISION_NUMBERS = {
    "layer_norm_eps": "layer_norm_eps",
    "initializer_range": "initializer_range",
    "attention_dropout": "attention_dropout",
    "dropout": "hidden_dropout_prob",
}
"""Published names of the vision encoder's numbers and transformers' names of the same."""


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
    return read_object(path)


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

    def whole(self, key: str, *, default: int | None = None, most: int | None = None) -> int:
        """Return a positive whole number."""
        value = self.content.get(key, default) if default is not None else self[key]
        if isinstance(value, bool) or not isinstance(value, int) or value < 1 or (most is not None and value > most):
            limits = "at least 1" if most is None else f"1 to {most}"
            raise self.error(f"{self._key(key)} must be a whole number, {limits}, got {value!r}")
        return value

    def number(self, key: str) -> float:
        """Return a number."""
        return self._number(key, self[key])

    def numbers(self, key: str, count: int) -> list[float]:
        """Return a list of numbers of a given length."""
        values = self[key]
        if not isinstance(values, list) or len(values) != count:
            raise self.error(f"{self._key(key)} must be {count} numbers, got {values!r}")
        return [self._number(key, value) for value in values]

    def given_numbers(self, keys: Iterable[str]) -> dict[str, float]:
        """Return the numbers that are there."""
        return {key: self.number(key) for key in keys if key in self.content}

    def section(self, key: str) -> _Section:
        """Return an object within."""
        return _Section(self[key], self._key(key), self._path)

    def divisible(self, key: str, by: str) -> None:
        """Refuse a size that is no multiple of another."""
        if self.whole(key) % self.whole(by):
            rule = f"must be a multiple of {self._key(by)} {self.whole(by)}, got {self.whole(key)}"
            raise self.error(f"{self._key(key)} {rule}")

    def _number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.error(f"{self._key(key)} must be a number, got {value!r}")
        return float(value)

    def require(self, key: str, *allowed: Any, why: str) -> None:
        """Refuse a value that transformers' classes would ignore."""
        value = self.content.get(key, allowed[0])
        if value not in allowed:
            wanted = " or ".join(repr(one) for one in allowed)
            raise self.error(f"{self._key(key)} must be {wanted}, got {value!r}: {why}")

    def error(self, rule: str) -> CheckpointError:
        return CheckpointError(
            "Cannot import a checkpoint",
            where=self._path,
            rule=rule,
            action="Use the config.json that was published with these weights",
        )

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
    vision, text = top.section("vision_config"), top.section("llm_config")
    if top["ps_version"] != "v2":  # the official class takes v1 where the key is missing
        raise top.error(f"ps_version must be 'v2', the pixel shuffle of transformers, got {top['ps_version']!r}")
    top.require("downsample_ratio", 0.5, why="all published models have it")
    top.require("pad2square", False, why="no published recipe pads images to squares")
    side, patch = vision.whole("image_size"), vision.whole("patch_size")
    vision.divisible("image_size", "patch_size")
    top.require("force_image_size", side, None, why="vision_config.image_size decides how many positions there are")
    return InternVLConfig(
        vision_config=_native_vision(vision, side, patch),
        text_config=_native_text(text, tokens),
        image_token_id=tokens.image,
        image_seq_length=visual_tokens(side, patch),
        downsample_ratio=0.5,
        vision_feature_layer=_select_layer(top),
        vision_feature_select_strategy="default",
        # The class's default is True and would win over the text's False: no published Mini-InternVL is tied.
        tie_word_embeddings=False,
    )


def _select_layer(top: _Section) -> int:
    layer = top.content.get("select_layer", -1)
    if not isinstance(layer, int) or layer >= 0:
        raise top.error(f"select_layer must count from the last layer, -1 and below, got {layer!r}")
    return layer


def visual_tokens(tile_side_px: int, patch_side_px: int) -> int:
    """Return the visual tokens of a tile: patches, four of which the pixel shuffle makes one."""
    return (tile_side_px // patch_side_px // 2) ** 2


def published_max_tiles(raw: Mapping[str, Any], path: Path) -> int:
    """Return the tile limit of a published config, with the defaults of the official class where it names none.

    Raises:
        CheckpointError: If it is no number from 1 to 40.
    """
    limit = _Section(raw, "", path).whole("max_dynamic_patch", default=6, most=MAX_TILES_LIMIT)
    return limit if raw.get("dynamic_image_size", False) else 1


def _native_vision(vision: _Section, side: int, patch: int) -> Any:
    from transformers import InternVLVisionConfig

    vision.require("norm_type", "layer_norm", why="InternViT-300M has it")
    vision.require("qk_normalization", False, why="InternViT-300M has none")
    vision.require("num_channels", 3, why="images have three")
    vision.require("hidden_act", "gelu", why="InternViT-300M has it")
    vision.divisible("hidden_size", "num_attention_heads")
    return InternVLVisionConfig(
        **{key: vision.whole(key) for key in _VISION_SIZES},
        **{_VISION_NUMBERS[key]: value for key, value in vision.given_numbers(_VISION_NUMBERS).items()},
        attention_bias=bool(vision["qkv_bias"]),
        hidden_act="gelu",
        image_size=[side, side],
        patch_size=[patch, patch],
        norm_type="layer_norm",
        use_qk_norm=False,
        use_absolute_position_embeddings=True,
        use_mean_pooling=True,  # in transformers' words: no norm after the last layer
    )


def _native_text(text: _Section, tokens: SpecialIds) -> Any:
    from transformers import LlamaConfig, Phi3Config, Qwen2Config

    architectures = text.content.get("architectures")
    named = [name for name in _LANGUAGE_MODELS if isinstance(architectures, list) and name in architectures[:1]]
    if not named:
        raise text.error(
            f"llm_config.architectures must name one of {', '.join(_LANGUAGE_MODELS)}, got {architectures!r}"
        )
    text.require("tie_word_embeddings", False, why="the checkpoint has an output layer of its own")
    text.require("hidden_act", "silu", why="all published language models have it")
    text.divisible("hidden_size", "num_attention_heads")
    text.divisible("num_attention_heads", "num_key_value_heads")
    values: dict[str, Any] = {key: text.whole(key) for key in _TEXT_SIZES}
    values |= {**text.given_numbers(_TEXT_NUMBERS), "hidden_act": "silu"}
    values |= {"tie_word_embeddings": False, "bos_token_id": tokens.start}
    values |= {"eos_token_id": tokens.end, "pad_token_id": tokens.padding}
    match _LANGUAGE_MODELS[named[0]]:
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
                original_max_position_embeddings=text.whole("original_max_position_embeddings"),
                rope_parameters=_phi3_rope(text),
            )


def _plain_or_scaled_rope(text: _Section) -> dict[str, Any]:
    theta = text.number("rope_theta")
    if not text.content.get("rope_scaling"):
        return {"rope_type": "default", "rope_theta": theta}
    scaling = text.section("rope_scaling")
    if scaling["type"] not in ("dynamic", "linear"):
        raise scaling.error(f"llm_config.rope_scaling.type must be dynamic or linear, got {scaling['type']!r}")
    return {"rope_type": scaling["type"], "rope_theta": theta, "factor": scaling.number("factor")}


def _phi3_rope(text: _Section) -> dict[str, Any]:
    """``su`` is what Phi-3 first called LongRoPE; transformers wants the original length beside the factors."""
    theta = text.number("rope_theta")
    if not text.content.get("rope_scaling"):
        return {"rope_type": "default", "rope_theta": theta}
    scaling = text.section("rope_scaling")
    if scaling["type"] not in ("su", "longrope"):
        raise scaling.error(f"llm_config.rope_scaling.type must be su or longrope, got {scaling['type']!r}")
    original = text.whole("original_max_position_embeddings")
    pairs = text.whole("hidden_size") // text.whole("num_attention_heads") // 2
    return {
        "rope_type": "longrope",
        "rope_theta": theta,
        "factor": text.whole("max_position_embeddings") / original,
        "short_factor": scaling.numbers("short_factor", pairs),
        "long_factor": scaling.numbers("long_factor", pairs),
        "original_max_position_embeddings": original,
    }


def published_config(config: InternVLConfig, chat: Chat, preprocessing: Preprocessing, dtype: str) -> dict[str, Any]:
    """Return the published ``config.json`` for a model; :func:`native_config` turns it back into the same model.

    Args:
        config: The model's configuration.
        chat: Its chat format.
        preprocessing: How its images become tiles.
        dtype: Of its weights, such as ``bfloat16``.

    Raises:
        CheckpointError: If no InternVL of this language model was published in that layout, or the layout has no
            place for one of the model's values.
    """
    made = _published(config, chat, preprocessing, dtype)
    text = config.text_config
    tokens = SpecialIds(config.image_token_id, text.eos_token_id, text.bos_token_id, text.pad_token_id)
    again = native_config(made, Path(CONFIG_NAME), tokens)
    lost = _differences(config.to_dict(), again.to_dict())
    if lost:
        raise CheckpointError(
            "There is no published layout for this model", rule=f"it has no place for {', '.join(lost)}"
        )
    return made


_NOT_OF_THE_MODEL = {"architectures", "dtype", "transformers_version", "layer_types", "use_cache", "_name_or_path"}


def _differences(one: Mapping[str, Any], other: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return the keys in which two configurations of a model differ."""
    found = []
    for key in sorted((one.keys() | other.keys()) - _NOT_OF_THE_MODEL):
        left, right = one.get(key), other.get(key)
        if isinstance(left, Mapping) and isinstance(right, Mapping):
            found += _differences(left, right, f"{prefix}{key}.")
        elif left != right:
            found.append(f"{prefix}{key} {left!r}")
    return found


def _published(config: InternVLConfig, chat: Chat, preprocessing: Preprocessing, dtype: str) -> dict[str, Any]:
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
        **{key: getattr(vision, key) for key in _VISION_SIZES},
        **{published: getattr(vision, native) for published, native in _VISION_NUMBERS.items()},
        "hidden_act": vision.hidden_act,
        "num_channels": vision.num_channels,
        "qkv_bias": vision.attention_bias,
        "drop_path_rate": 0.0,
        "image_size": side,
        "initializer_factor": 0.1,
        "norm_type": "layer_norm",
        "patch_size": int(vision.patch_size[0]),
        "qk_normalization": False,
        "use_flash_attn": True,
    }


def _published_text(text: Any, dtype: str) -> dict[str, Any]:
    if text.model_type not in _NATIVE_TEXTS:
        raise CheckpointError(
            "There is no published layout for this model",
            rule=f"its language model must be one of {', '.join(_NATIVE_TEXTS)}, got {text.model_type!r}",
        )
    rope = text.rope_parameters
    values = {key: getattr(text, key) for key in (*_TEXT_SIZES, *_TEXT_NUMBERS, "hidden_act", *_TOKEN_KEYS)}
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
        case _:
            return {
                "architectures": ["Phi3ForCausalLM"],
                "model_type": "phi3",
                **values,
                "original_max_position_embeddings": text.original_max_position_embeddings,
                "sliding_window": text.sliding_window,
                **_su_rope(rope),
            }


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
