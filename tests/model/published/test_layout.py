"""The table of names, and how fused matrices are divided."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from domainvl.errors import CheckpointError
from domainvl.model.published.layout import Binding, FusedRows, native_bindings, published_bindings
from domainvl.model.published.tensors import TensorInfo
from domainvl.model.published.transfer import model_shapes, to_published
from domainvl.model.sizes import build_on_meta, size_config

GROUPED = FusedRows(groups=2, parts=(2, 1, 1))
CONCATENATED = FusedRows(groups=1, parts=(1, 1, 1))


@pytest.mark.parametrize("rest", [(), (3,), (3, 2)])
def test_grouped_rows_are_those_of_wqkv(rest: tuple[int, ...]) -> None:
    """Two key-value heads of two rows, each with two query heads: q q k v, q q k v."""
    fused = torch.arange(16.0).reshape(16, *[1] * len(rest)).expand(16, *rest)
    query, key, value = GROUPED.split(fused)
    assert [int(row.max()) for row in query] == [0, 1, 2, 3, 8, 9, 10, 11]
    assert [int(row.max()) for row in key] == [4, 5, 12, 13]
    assert [int(row.max()) for row in value] == [6, 7, 14, 15]
    assert query.shape == (8, *rest)
    assert torch.equal(GROUPED.join((query, key, value)), fused)
    assert GROUPED.split_shape((16, *rest)) == ((8, *rest), (4, *rest), (4, *rest))


def test_one_group_is_a_concatenation() -> None:
    fused = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    parts = CONCATENATED.split(fused)
    assert all(torch.equal(part, third) for part, third in zip(parts, fused.chunk(3), strict=True))
    assert torch.equal(CONCATENATED.join(parts), fused)
    assert CONCATENATED.split_shape((9, 2)) == ((3, 2), (3, 2), (3, 2))


def test_a_tensor_that_is_not_fused_stays_itself() -> None:
    binding, tensor = Binding("a", ("b",)), torch.ones(2, 3)
    assert binding.split(tensor) == (tensor,)
    assert binding.join([tensor]) is tensor
    assert binding.native_shapes((2, 3)) == ((2, 3),)


VISION_LAYER = [
    *(f"{name}.{kind}" for name in ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2", "norm1", "norm2") for kind in "wb"),
    "ls1",
    "ls2",
]
TEXT_LAYERS = {
    "1b": [
        *(f"self_attn.{name}_proj.{kind}" for name in "qkv" for kind in "wb"),
        *("self_attn.o_proj.w", "mlp.gate_proj.w", "mlp.down_proj.w", "mlp.up_proj.w"),
        *("input_layernorm.w", "post_attention_layernorm.w"),
    ],
    "2b": [
        *("attention.wqkv.w", "attention.wo.w", "feed_forward.w1.w", "feed_forward.w2.w", "feed_forward.w3.w"),
        *("attention_norm.w", "ffn_norm.w"),
    ],
    "4b": [
        *("self_attn.qkv_proj.w", "self_attn.o_proj.w", "mlp.gate_up_proj.w", "mlp.down_proj.w"),
        *("input_layernorm.w", "post_attention_layernorm.w"),
    ],
}
"""Names by the keys of the published checkpoints; .w and .b stand for weight and bias."""


def published_names(size: str) -> set[str]:
    layers = 32 if size == "4b" else 24
    embedding, output = ("tok_embeddings", "output") if size == "2b" else ("embed_tokens", "lm_head")
    names = {
        *(f"vision_model.embeddings.{name}" for name in ("class_embedding", "position_embedding")),
        *(f"vision_model.embeddings.patch_embedding.{kind}" for kind in ("w", "b")),
        *(f"vision_model.encoder.layers.{number}.{name}" for number in range(24) for name in VISION_LAYER),
        *(f"mlp1.{index}.{kind}" for index in (0, 1, 3) for kind in "wb"),
        *(f"language_model.model.layers.{number}.{name}" for number in range(layers) for name in TEXT_LAYERS[size]),
        f"language_model.model.{embedding}.w",
        "language_model.model.norm.w",
        f"language_model.{output}.w",
    }
    return {re.sub(r"\.b$", ".bias", re.sub(r"\.w$", ".weight", name)) for name in names}


@pytest.mark.parametrize(
    ("size", "total", "fused"),
    [
        ("1b", 938_158_976, {}),
        ("2b", 2_205_754_368, {"language_model.model.layers.23.attention.wqkv.weight": (4096, 2048)}),
        (
            "4b",
            4_146_855_936,
            {
                "language_model.model.layers.31.self_attn.qkv_proj.weight": (9216, 3072),
                "language_model.model.layers.31.mlp.gate_up_proj.weight": (16384, 3072),
            },
        ),
    ],
)
def test_published_sizes_have_every_tensor_once(size: str, total: int, fused: dict[str, tuple[int, ...]]) -> None:
    """Names of mini-internvl.md section 4.4, parameters of 4.3; all tensors of transformers' class and no others."""
    config = size_config(size)
    shapes = model_shapes(build_on_meta(config))
    bindings = published_bindings(config)
    stored = [binding.stored for binding in bindings]
    native = [name for binding in bindings for name in binding.native]
    assert set(stored) == published_names(size)
    assert len(stored) == len(set(stored))
    assert sorted(native) == sorted(shapes)

    infos = {name: TensorInfo(torch.bfloat16, shape) for name, shape in shapes.items()}
    transfer = to_published(bindings, SimpleNamespace(infos=infos), Path("x"))
    assert transfer.parameters == total
    fused = fused | {"vision_model.encoder.layers.23.attn.qkv.weight": (3072, 1024)}
    assert {name: transfer.infos[name].shape for name in fused} == fused


def test_another_language_model_has_no_published_layout() -> None:
    from transformers import GPT2Config, InternVLConfig

    with pytest.raises(CheckpointError, match="one of qwen2, llama, phi3, got 'gpt2'"):
        published_bindings(InternVLConfig(text_config=GPT2Config(), tie_word_embeddings=False))


@pytest.mark.parametrize(
    ("older", "current"),
    [
        ("vision_tower.embeddings.cls_token", "model.vision_tower.embeddings.cls_token"),
        ("multi_modal_projector.linear_1.bias", "model.multi_modal_projector.linear_1.bias"),
        ("language_model.model.norm.weight", "model.language_model.norm.weight"),
        ("language_model.lm_head.weight", "lm_head.weight"),
        ("model.language_model.norm.weight", "model.language_model.norm.weight"),
        ("lm_head.weight", "lm_head.weight"),
    ],
)
def test_older_names_of_transformers_are_known(older: str, current: str) -> None:
    (binding,) = native_bindings(SimpleNamespace(tie_word_embeddings=False), [older])
    assert (binding.stored, binding.native) == (older, (current,))


def test_a_copy_of_tied_embeddings_is_no_tensor_of_its_own() -> None:
    names = ["language_model.lm_head.weight", "language_model.model.embed_tokens.weight"]
    tied = native_bindings(SimpleNamespace(tie_word_embeddings=True), names)
    assert [binding.stored for binding in tied] == names[1:]
