"""Very small InternVL models of each language model's architecture, with random weights."""

from __future__ import annotations

from typing import Any

TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 48,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": 1,
    "pad_token_id": 0,
}
IMAGE_ID = 5
VISION_LAYERS = 4


def small_model(kind: str = "qwen2", *, seed: int = 0, **changes: Any):
    """Build a model whose language model is a qwen2, llama or phi3."""
    import torch
    from transformers import (
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLVisionConfig,
        LlamaConfig,
        Phi3Config,
        Qwen2Config,
    )

    text = {"qwen2": Qwen2Config, "llama": LlamaConfig, "phi3": Phi3Config}[kind]
    vision = InternVLVisionConfig(
        hidden_size=24,
        num_hidden_layers=VISION_LAYERS,
        num_attention_heads=2,
        intermediate_size=40,
        image_size=[16, 16],
        patch_size=[4, 4],
        attention_bias=True,
        use_qk_norm=False,
        norm_type="layer_norm",
        layer_scale_init_value=0.5,
        use_mean_pooling=True,
        initializer_range=0.2,
    )
    torch.manual_seed(seed)
    return InternVLForConditionalGeneration(
        InternVLConfig(
            vision_config=vision,
            text_config=text(**{**TEXT, **changes}, initializer_range=0.2),
            image_token_id=IMAGE_ID,
            image_seq_length=4,
            downsample_ratio=0.5,
            tie_word_embeddings=False,
        )
    ).eval()


def small_input(*, tiles: int = 2, seed: int = 0) -> dict[str, Any]:
    """Make one row that holds some tiles."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    ids = torch.tensor([[7, 8, *[IMAGE_ID] * 4 * tiles, 9, 10, 11]])
    return {"input_ids": ids, "pixel_values": torch.randn(tiles, 3, 16, 16, generator=generator), "use_cache": False}


def small_loss(model: Any, **changes: Any):
    """A scalar that depends on all of a model."""
    inputs = {**small_input(), **changes}
    return model(**inputs, labels=inputs["input_ids"]).loss
