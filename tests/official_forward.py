"""What InternVL computes, restated in plain torch straight from the tensors of a published checkpoint.

Written from the description of the architectures, in float32; ``tests/model/published/test_official_forward.py``
proves it against outputs of the official code where these are present, so that it stands on its own elsewhere.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from published_checkpoints import read_json, read_weights
from torch import Tensor
from torch.nn.functional import conv2d, gelu, layer_norm, linear, silu

PROJECTOR_NORM_EPS = 1e-5  # torch's default, which mlp1 leaves as it is


class OfficialModel:
    """A published checkpoint without adapters."""

    def __init__(self, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
        self._tensors = {name: tensor.float() for name, tensor in tensors.items()}
        self._vision = config["vision_config"]
        self._text = config["llm_config"]
        self._select_layer = config["select_layer"]
        self._family = {"Qwen2ForCausalLM": "qwen2", "InternLM2ForCausalLM": "internlm2", "Phi3ForCausalLM": "phi3"}[
            self._text["architectures"][0]
        ]

    @classmethod
    def read(cls, folder: Path) -> OfficialModel:
        return cls(read_weights(folder), read_json(folder / "config.json"))

    @torch.no_grad()
    def features(self, pixel_values: Tensor) -> Tensor:
        """Return (tiles, tokens, width of the language model) for normalised (tiles, 3, side, side)."""
        patches = self._encode(pixel_values)[:, 1:]
        tiles, count, width = patches.shape
        half = math.isqrt(count) // 2
        # Each two by two neighbours become one token: upper left, upper right, lower left, lower right.
        grid = patches.reshape(tiles, half, 2, half, 2, width)
        merged = grid.permute(0, 1, 3, 2, 4, 5).reshape(tiles, half * half, 4 * width)
        weight, bias = self._get("mlp1.0.weight"), self._get("mlp1.0.bias")
        hidden = layer_norm(merged, (4 * width,), weight, bias, PROJECTOR_NORM_EPS)
        return self._linear("mlp1.3", gelu(self._linear("mlp1.1", hidden)))

    @torch.no_grad()
    def logits(self, input_ids: Sequence[int], image_id: int, pixel_values: Tensor | None = None) -> Tensor:
        """Return (length, vocabulary) for one conversation."""
        ids = torch.tensor(input_ids)
        name = "tok_embeddings" if self._family == "internlm2" else "embed_tokens"
        hidden = self._get(f"language_model.model.{name}.weight")[ids]
        if pixel_values is not None:
            hidden[ids == image_id] = self.features(pixel_values).flatten(0, 1)
        cosine, sine = self._rotary(len(ids))
        for number in range(self._text["num_hidden_layers"]):
            hidden = self._text_layer(f"language_model.model.layers.{number}.", hidden, cosine, sine)
        hidden = self._rms_norm("language_model.model.norm.weight", hidden)
        output = "output" if self._family == "internlm2" else "lm_head"
        return linear(hidden, self._get(f"language_model.{output}.weight"))

    def _get(self, name: str) -> Tensor:
        return self._tensors[name]

    def _linear(self, module: str, hidden: Tensor) -> Tensor:
        return linear(hidden, self._get(f"{module}.weight"), self._tensors.get(f"{module}.bias"))

    def _encode(self, pixel_values: Tensor) -> Tensor:
        module = "vision_model.embeddings.patch_embedding"
        side = self._vision["patch_size"]
        maps = conv2d(pixel_values, self._get(f"{module}.weight"), self._get(f"{module}.bias"), stride=side)
        first = self._get("vision_model.embeddings.class_embedding").expand(len(maps), 1, -1)
        hidden = torch.cat([first, maps.flatten(2).transpose(1, 2)], dim=1)
        states = [hidden + self._get("vision_model.embeddings.position_embedding")]
        for number in range(self._vision["num_hidden_layers"]):
            states.append(self._vision_layer(f"vision_model.encoder.layers.{number}.", states[-1]))
        return states[self._select_layer]  # no norm after the last layer

    def _vision_layer(self, layer: str, hidden: Tensor) -> Tensor:
        tiles, length, width = hidden.shape
        heads = self._vision["num_attention_heads"]
        qkv = self._linear(f"{layer}attn.qkv", self._layer_norm(f"{layer}norm1", hidden))
        query, key, value = qkv.reshape(tiles, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        attended = _attention(query, key, value, mask=None).transpose(1, 2).reshape(tiles, length, width)
        hidden = hidden + self._get(f"{layer}ls1") * self._linear(f"{layer}attn.proj", attended)
        inner = gelu(self._linear(f"{layer}mlp.fc1", self._layer_norm(f"{layer}norm2", hidden)))
        return hidden + self._get(f"{layer}ls2") * self._linear(f"{layer}mlp.fc2", inner)

    def _layer_norm(self, module: str, hidden: Tensor) -> Tensor:
        weight, bias = self._get(f"{module}.weight"), self._get(f"{module}.bias")
        return layer_norm(hidden, hidden.shape[-1:], weight, bias, self._vision["layer_norm_eps"])

    def _rms_norm(self, name: str, hidden: Tensor) -> Tensor:
        mean_square = hidden.pow(2).mean(-1, keepdim=True)
        return self._get(name) * (hidden * torch.rsqrt(mean_square + self._text["rms_norm_eps"]))

    def _text_layer(self, layer: str, hidden: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        before, after = (
            ("attention_norm", "ffn_norm")
            if self._family == "internlm2"
            else ("input_layernorm", "post_attention_layernorm")
        )
        query, key, value = self._query_key_value(layer, self._rms_norm(f"{layer}{before}.weight", hidden))
        length = len(hidden)
        mask = torch.full((length, length), -math.inf).triu(1)
        groups = query.shape[0] // key.shape[0]
        attended = _attention(
            _rotate(query, cosine, sine),
            _rotate(key, cosine, sine).repeat_interleave(groups, dim=0),
            value.repeat_interleave(groups, dim=0),
            mask,
        )
        output = "attention.wo" if self._family == "internlm2" else "self_attn.o_proj"
        hidden = hidden + self._linear(f"{layer}{output}", attended.transpose(0, 1).reshape(length, -1))
        return hidden + self._feed_forward(layer, self._rms_norm(f"{layer}{after}.weight", hidden))

    def _query_key_value(self, layer: str, hidden: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return (heads, length, width of a head) each."""
        heads, groups = self._text["num_attention_heads"], self._text["num_key_value_heads"]
        width = self._text["hidden_size"] // heads
        length = len(hidden)
        match self._family:
            case "internlm2":
                # For each key-value head: its query heads, its key, its value.
                fused = self._linear(f"{layer}attention.wqkv", hidden).reshape(length, groups, -1, width)
                query, key, value = fused[:, :, :-2].reshape(length, heads, width), fused[:, :, -2], fused[:, :, -1]
            case "phi3":
                fused = self._linear(f"{layer}self_attn.qkv_proj", hidden).reshape(length, -1, width)
                query, key, value = fused[:, :heads], fused[:, heads : heads + groups], fused[:, heads + groups :]
            case _:
                query, key, value = (
                    self._linear(f"{layer}self_attn.{name}_proj", hidden).reshape(length, -1, width) for name in "qkv"
                )
        return query.transpose(0, 1), key.transpose(0, 1), value.transpose(0, 1)

    def _feed_forward(self, layer: str, hidden: Tensor) -> Tensor:
        match self._family:
            case "internlm2":
                gate, up = (self._linear(f"{layer}feed_forward.{name}", hidden) for name in ("w1", "w3"))
                return self._linear(f"{layer}feed_forward.w2", silu(gate) * up)
            case "phi3":
                gate, up = self._linear(f"{layer}mlp.gate_up_proj", hidden).chunk(2, dim=-1)
            case _:
                gate, up = (self._linear(f"{layer}mlp.{name}_proj", hidden) for name in ("gate", "up"))
        return self._linear(f"{layer}mlp.down_proj", silu(gate) * up)

    def _rotary(self, length: int) -> tuple[Tensor, Tensor]:
        """Return cosines and sines of (length, half the width of a head)."""
        width = self._text["hidden_size"] // self._text["num_attention_heads"]
        base, limit = float(self._text["rope_theta"]), self._text["max_position_embeddings"]
        scaling = self._text.get("rope_scaling") or {"type": "none"}
        divisor, amplitude = torch.ones(width // 2), 1.0
        match scaling["type"]:
            case "dynamic" if length > limit:
                # The base grows with the text once that is longer than any in training (NTK-aware).
                growth = scaling["factor"] * length / limit - (scaling["factor"] - 1)
                base *= growth ** (width / (width - 2))
            case "linear":
                divisor = divisor * scaling["factor"]
            case "su" | "longrope":
                original = self._text["original_max_position_embeddings"]
                divisor = torch.tensor(scaling["long_factor" if length > original else "short_factor"])
                amplitude = math.sqrt(1 + math.log(limit / original) / math.log(original))
        frequency = 1.0 / (divisor * base ** (torch.arange(0, width, 2).float() / width))
        angle = torch.outer(torch.arange(length).float(), frequency)
        return amplitude * angle.cos(), amplitude * angle.sin()


def _rotate(heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Turn each pair (i, i + half) of a head's dimensions by its angle."""
    first, second = heads.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, second * cosine + first * sine], dim=-1)


def _attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    scores = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + mask
    return scores.softmax(dim=-1) @ value
