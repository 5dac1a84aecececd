"""Sizes of model by name: the published dimensions, how many parameters they have, and recognising them.

The published dimensions are those of Mini-InternVL (arXiv 2410.16261; OpenGVLab/InternVL, the ``config.json`` of
InternVL2-1B, -2B and -4B): InternViT-300M-448px, the projector ``mlp1``, and Qwen2-0.5B, InternLM2-1.8B or
Phi-3-mini-128k. Text models are named as transformers names the architecture that holds them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from torch import nn
    from transformers import InternVLConfig, InternVLForConditionalGeneration, InternVLVisionConfig

SIZE_NAMES = ("tiny", "1b", "2b", "4b")
"""The model that ships with domainvl, and the three published ones."""

TINY_TILE_SIDE_PX = 64
TINY_PATCH_SIDE_PX = 8
TINY_TOKENS_PER_TILE = 16
"""(64 / 8 * 0.5) squared, by the pixel shuffle of InternVL."""

_PIXEL_SHUFFLE_RATIO = 0.5


@dataclass(frozen=True)
class PartParameters:
    """How many parameters each part of a model has.

    Attributes:
        vision: The vision encoder.
        projector: From the vision encoder's features to the language model's embeddings.
        language_model: The rest, with both embeddings: of the words read and of the words written.
    """

    vision: int
    projector: int
    language_model: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.vision + self.projector + self.language_model


PUBLISHED_PARAMETERS: Mapping[str, PartParameters] = {
    "1b": PartParameters(vision=304_012_288, projector=4_482_816, language_model=629_663_872),
    "2b": PartParameters(vision=304_012_288, projector=12_595_200, language_model=1_889_146_880),
    "4b": PartParameters(vision=304_012_288, projector=22_034_432, language_model=3_820_809_216),
}
"""Parameters of the published models, from the shapes of their tensors; the model cards round them to 0.94, 2.21
and 4.15 billion."""


@dataclass(frozen=True)
class Vocabulary:
    """What a configuration needs to know of the tokenizer.

    Attributes:
        size: Rows of the embeddings.
        image_id: Stands for one visual token.
        end_id: Ends an answer.
        padding_id: Fills up short rows; None where the tokenizer has none.
        start_id: Begins a text; None where the tokenizer has none.
    """

    size: int
    image_id: int
    end_id: int
    padding_id: int | None
    start_id: int | None = None


# The tokenizers as published; the third of the nine added tokens is <IMG_CONTEXT>, see domainvl.model.encoding.
_VOCABULARIES = {
    "tiny": Vocabulary(size=631, image_id=5, end_id=2, padding_id=0),
    "1b": Vocabulary(size=151_655, image_id=151_648, end_id=151_645, padding_id=151_643),
    "2b": Vocabulary(size=92_553, image_id=92_546, end_id=92_542, padding_id=2, start_id=1),
    "4b": Vocabulary(size=32_020, image_id=32_013, end_id=32_007, padding_id=32_000, start_id=1),
}


def size_config(name: str) -> InternVLConfig:
    """Return the configuration of a size.

    The 4B's rotary embedding is LongRoPE, whose two lists of 48 factors come with the weights of a published
    checkpoint. Here all factors are 1, which is right for a model that is built from nothing and wrong for published
    weights: an imported checkpoint brings its own configuration.

    Raises:
        UsageError: If there is no such size.
    """
    match name:
        case "tiny":
            return tiny_config(_VOCABULARIES[name])
        case "1b":
            text = _qwen2_half_b()
        case "2b":
            text = _internlm2_1_8b()
        case "4b":
            text = _phi3_mini_128k()
        case _:
            raise UsageError(f"There is no size {name!r}", rule=f"sizes are {', '.join(SIZE_NAMES)}")
    return _join(_internvit_300m(), text, _VOCABULARIES[name], tokens_per_tile=256)


def tiny_config(vocabulary: Vocabulary) -> InternVLConfig:
    """Return the configuration of a model of about one million parameters that a CPU trains in minutes.

    Args:
        vocabulary: Of its tokenizer, which is trained for it.
    """
    from transformers import InternVLVisionConfig, Qwen2Config

    # With transformers' default spread of 0.02 a model this small stays on a plateau for hundreds of steps.
    spread = 0.1
    vision = InternVLVisionConfig(
        **_VISION_KIND,
        hidden_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=256,
        image_size=[TINY_TILE_SIDE_PX, TINY_TILE_SIDE_PX],
        patch_size=[TINY_PATCH_SIDE_PX, TINY_PATCH_SIDE_PX],
        initializer_range=spread,
    )
    text = Qwen2Config(
        hidden_size=128,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=384,
        max_position_embeddings=4096,
        initializer_range=spread,
    )
    return _join(vision, text, vocabulary, tokens_per_tile=TINY_TOKENS_PER_TILE)


def build_on_meta(config: InternVLConfig) -> InternVLForConditionalGeneration:
    """Build a model whose tensors have shapes and no memory."""
    import torch
    from transformers import InternVLForConditionalGeneration

    with torch.device("meta"):
        model: InternVLForConditionalGeneration = InternVLForConditionalGeneration(config)
    return model


def count_parameters(model: nn.Module) -> PartParameters:
    """Count the parameters of each part of an InternVL model, on any device.

    Args:
        model: An ``InternVLForConditionalGeneration``, without adapters.
    """
    counts = {"vision_tower": 0, "multi_modal_projector": 0}
    total = 0
    for name, parameter in model.named_parameters():
        total += parameter.numel()
        for part in counts:
            if f".{part}." in name:
                counts[part] += parameter.numel()
    vision, projector = counts.values()
    return PartParameters(vision, projector, total - vision - projector)


def recognise_size(config: InternVLConfig) -> str | None:
    """Return the name of the size that a model has, None for any other.

    A size is told by the kind of language model and the dimensions of all layers, not by the vocabulary: adding
    tokens does not make another size.
    """
    found = _dimensions(config)
    return next((name for name in SIZE_NAMES if _dimensions(size_config(name)) == found), None)


# The vision encoder of all sizes, in transformers' words (OpenGVLab/InternVL,
# internvl_chat/internvl/model/internvl_chat/modeling_intern_vit.py): "mean pooling" there means no final norm.
_VISION_KIND: Mapping[str, Any] = {
    "attention_bias": True,
    "use_qk_norm": False,
    "norm_type": "layer_norm",
    "layer_norm_eps": 1e-6,
    "use_absolute_position_embeddings": True,
    "layer_scale_init_value": 0.1,
    "use_mean_pooling": True,
}


def _internvit_300m() -> InternVLVisionConfig:
    """InternViT-300M-448px (OpenGVLab/InternViT-300M-448px, config.json)."""
    from transformers import InternVLVisionConfig

    return InternVLVisionConfig(
        **_VISION_KIND,
        hidden_size=1024,
        num_hidden_layers=24,
        num_attention_heads=16,
        intermediate_size=4096,
        image_size=[448, 448],
        patch_size=[14, 14],
    )


def _qwen2_half_b() -> Any:
    """Qwen2-0.5B-Instruct."""
    from transformers import Qwen2Config

    return Qwen2Config(
        hidden_size=896,
        num_hidden_layers=24,
        num_attention_heads=14,
        num_key_value_heads=2,
        intermediate_size=4864,
        max_position_embeddings=32_768,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1_000_000.0},
    )


def _internlm2_1_8b() -> Any:
    """internlm2-chat-1_8b, whose layers are those of Llama once ``wqkv`` is divided."""
    from transformers import LlamaConfig

    return LlamaConfig(
        hidden_size=2048,
        num_hidden_layers=24,
        num_attention_heads=16,
        num_key_value_heads=8,
        intermediate_size=8192,
        max_position_embeddings=32_768,
        rms_norm_eps=1e-5,
        rope_parameters={"rope_type": "dynamic", "rope_theta": 1_000_000.0, "factor": 2.0},
    )


def _phi3_mini_128k() -> Any:
    """Phi-3-mini-128k-instruct."""
    from transformers import Phi3Config

    # One factor for each pair of the 96 dimensions of a head.
    neutral = [1.0] * 48
    return Phi3Config(
        hidden_size=3072,
        num_hidden_layers=32,
        num_attention_heads=32,
        num_key_value_heads=32,
        intermediate_size=8192,
        max_position_embeddings=131_072,
        original_max_position_embeddings=4096,
        rms_norm_eps=1e-5,
        sliding_window=262_144,
        rope_parameters={
            "rope_type": "longrope",
            "rope_theta": 10_000.0,
            "factor": 32.0,  # 131,072 / 4,096
            "original_max_position_embeddings": 4096,
            "short_factor": neutral,
            "long_factor": neutral,
        },
    )


def _join(vision: InternVLVisionConfig, text: Any, vocabulary: Vocabulary, *, tokens_per_tile: int) -> InternVLConfig:
    from transformers import InternVLConfig

    text.vocab_size = vocabulary.size
    text.bos_token_id = vocabulary.start_id
    text.eos_token_id = vocabulary.end_id
    text.pad_token_id = vocabulary.padding_id
    text.tie_word_embeddings = False
    return InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=vocabulary.image_id,
        image_seq_length=tokens_per_tile,
        downsample_ratio=_PIXEL_SHUFFLE_RATIO,
        # The class's default is True and would win over the text's False: the published models are not tied.
        tie_word_embeddings=False,
    )


def _dimensions(config: InternVLConfig) -> tuple[Any, ...]:
    vision, text = config.vision_config, config.text_config
    return (
        (vision.hidden_size, vision.num_hidden_layers, vision.num_attention_heads, vision.intermediate_size),
        (list(vision.image_size), list(vision.patch_size)),
        (text.model_type, text.hidden_size, text.num_hidden_layers, text.intermediate_size),
        (text.num_attention_heads, text.num_key_value_heads),
    )
