"""Which tensor of the published layout is which of transformers', and how fused matrices are divided.

One table, used in both directions: an import divides what is fused, an export joins it again, bit for bit.
Names and fusions: OpenGVLab/InternVL, internvl_chat/internvl/model/ (internvl_chat/modeling_intern_vit.py,
internvl_chat/modeling_internvl_chat.py, internlm2/modeling_internlm2.py, phi3/modeling_phi3.py L262-270 and
L356-359).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from transformers import InternVLConfig


@dataclass(frozen=True)
class FusedRows:
    """How the rows of one matrix are several matrices.

    The rows come in ``groups``; in each group stand ``parts[0]`` units of rows of the first matrix, then
    ``parts[1]`` of the second, and so on. With one group this is a plain concatenation.

    Attributes:
        groups: How often the pattern repeats.
        parts: Units of each matrix in a group.
    """

    groups: int
    parts: tuple[int, ...]

    def split(self, fused: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Divide a fused matrix or bias along its first axis."""
        rest = fused.shape[1:]
        grouped = fused.reshape(self.groups, sum(self.parts), -1, *rest)
        import torch

        return tuple(part.reshape(-1, *rest) for part in torch.split(grouped, list(self.parts), dim=1))

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fuse matrices or biases again; the inverse of :meth:`split`."""
        import torch

        rest = parts[0].shape[1:]
        grouped = [part.reshape(self.groups, units, -1, *rest) for part, units in zip(parts, self.parts, strict=True)]
        return torch.cat(grouped, dim=1).reshape(-1, *rest)

    def split_shape(self, fused: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes that :meth:`split` gives, empty ones where the rows cannot be divided."""
        unit, rest = divmod(fused[0], self.groups * sum(self.parts))
        if rest:
            return ((),) * len(self.parts)
        return tuple((self.groups * units * unit, *fused[1:]) for units in self.parts)


@dataclass(frozen=True)
class Binding:
    """One tensor of a checkpoint on disk, and what it is in transformers' class.

    Attributes:
        stored: Its name in the checkpoint.
        native: Its names in transformers' class; several where it is fused.
        fused: How its rows are divided; None where it is one tensor.
    """

    stored: str
    native: tuple[str, ...]
    fused: FusedRows | None = None

    def split(self, tensor: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Return the native tensors."""
        return (tensor,) if self.fused is None else self.fused.split(tensor)

    def join(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the stored tensor."""
        return tensors[0] if self.fused is None else self.fused.join(tensors)

    def native_shapes(self, stored: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Return the shapes of the native tensors."""
        return (stored,) if self.fused is None or not stored else self.fused.split_shape(stored)


def published_bindings(config: InternVLConfig) -> list[Binding]:
    """Return the table of the published layout for a model of these dimensions.

    Raises:
        CheckpointError: If no InternVL of this language model was published in that layout.
    """
    text = config.text_config
    if text.model_type not in _LANGUAGE_MODELS:
        raise CheckpointError(
            "There is no published layout for this model",
            rule=f"its language model must be one of {', '.join(_LANGUAGE_MODELS)}, got {text.model_type!r}",
        )
    bindings = list(_vision(config.vision_config))
    bindings += _PROJECTOR
    bindings += _LANGUAGE_MODELS[text.model_type](text)
    return bindings


def native_bindings(config: InternVLConfig, names: Sequence[str]) -> list[Binding]:
    """Return the table of a checkpoint that is in transformers' layout already.

    Checkpoints that were saved by transformers before 5 have older names for the same tensors.

    Args:
        config: Decides whether the output layer is a tensor of its own.
        names: The names in the checkpoint.
    """
    return [Binding(name, (_current_name(name),)) for name in names if not _is_tied_copy(config, name)]


_OLDER_PREFIXES = (
    ("language_model.lm_head.", "lm_head."),
    ("language_model.model.", "model.language_model."),
    ("vision_tower.", "model.vision_tower."),
    ("multi_modal_projector.", "model.multi_modal_projector."),
)


def _current_name(name: str) -> str:
    for older, current in _OLDER_PREFIXES:
        if name.startswith(older):
            return current + name.removeprefix(older)
    return name


def _is_tied_copy(config: InternVLConfig, name: str) -> bool:
    return bool(config.tie_word_embeddings) and _current_name(name) == "lm_head.weight"


_PROJECTOR = [
    Binding(f"mlp1.{index}.{kind}", (f"model.multi_modal_projector.{module}.{kind}",))
    for index, module in ((0, "layer_norm"), (1, "linear_1"), (3, "linear_2"))
    for kind in ("weight", "bias")
]


def _vision(vision: Any) -> Iterator[Binding]:
    embeddings = "model.vision_tower.embeddings."
    yield Binding("vision_model.embeddings.class_embedding", (f"{embeddings}cls_token",))
    yield Binding("vision_model.embeddings.position_embedding", (f"{embeddings}position_embeddings",))
    for kind in ("weight", "bias"):
        yield Binding(
            f"vision_model.embeddings.patch_embedding.{kind}", (f"{embeddings}patch_embeddings.projection.{kind}",)
        )
    for number in range(vision.num_hidden_layers):
        stored = f"vision_model.encoder.layers.{number}."
        native = f"model.vision_tower.encoder.layer.{number}."
        thirds = FusedRows(1, (1, 1, 1))
        for kind in ("weight", "bias") if vision.attention_bias else ("weight",):
            heads = tuple(f"{native}attention.{letter}_proj.{kind}" for letter in "qkv")
            yield Binding(f"{stored}attn.qkv.{kind}", heads, thirds)
        for kind in ("weight", "bias"):
            for old, new in _VISION_LAYER.items():
                yield Binding(f"{stored}{old}.{kind}", (f"{native}{new}.{kind}",))
        yield Binding(f"{stored}ls1", (f"{native}lambda_1",))
        yield Binding(f"{stored}ls2", (f"{native}lambda_2",))


_VISION_LAYER = {
    "attn.proj": "attention.projection_layer",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
    "norm1": "layernorm_before",
    "norm2": "layernorm_after",
}


def _internlm2(text: Any) -> Iterator[Binding]:
    """InternLM2 is Llama with other names and one matrix for q, k and v, grouped by key-value head."""
    yield Binding("language_model.model.tok_embeddings.weight", ("model.language_model.embed_tokens.weight",))
    groups = FusedRows(text.num_key_value_heads, (text.num_attention_heads // text.num_key_value_heads, 1, 1))
    for number in range(text.num_hidden_layers):
        stored = f"language_model.model.layers.{number}."
        native = f"model.language_model.layers.{number}."
        heads = tuple(f"{native}self_attn.{letter}_proj.weight" for letter in "qkv")
        yield Binding(f"{stored}attention.wqkv.weight", heads, groups)
        for old, new in _INTERNLM2_LAYER.items():
            yield Binding(f"{stored}{old}.weight", (f"{native}{new}.weight",))
    yield Binding("language_model.model.norm.weight", ("model.language_model.norm.weight",))
    yield Binding("language_model.output.weight", ("lm_head.weight",))


_INTERNLM2_LAYER = {
    "attention.wo": "self_attn.o_proj",
    "feed_forward.w1": "mlp.gate_proj",
    "feed_forward.w3": "mlp.up_proj",
    "feed_forward.w2": "mlp.down_proj",
    "attention_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def _same_names(layer: Sequence[str]) -> Callable[[Any], Iterator[Binding]]:
    """Qwen2 and Phi-3 have transformers' names under another prefix; Phi-3's fused matrices are native too."""

    def bindings(text: Any) -> Iterator[Binding]:
        yield Binding("language_model.model.embed_tokens.weight", ("model.language_model.embed_tokens.weight",))
        for number in range(text.num_hidden_layers):
            for name in layer:
                yield Binding(
                    f"language_model.model.layers.{number}.{name}", (f"model.language_model.layers.{number}.{name}",)
                )
        yield Binding("language_model.model.norm.weight", ("model.language_model.norm.weight",))
        yield Binding("language_model.lm_head.weight", ("lm_head.weight",))

    return bindings


_NORMS = ["input_layernorm.weight", "post_attention_layernorm.weight"]
_QWEN2_LAYER = [
    *(f"self_attn.{letter}_proj.{kind}" for letter in "qkv" for kind in ("weight", "bias")),
    "self_attn.o_proj.weight",
    *(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down")),
    *_NORMS,
]
_PHI3_LAYER = [
    *(f"self_attn.{name}.weight" for name in ("qkv_proj", "o_proj")),
    *(f"mlp.{name}.weight" for name in ("gate_up_proj", "down_proj")),
    *_NORMS,
]

_LANGUAGE_MODELS: dict[str, Callable[[Any], Iterator[Binding]]] = {
    "qwen2": _same_names(_QWEN2_LAYER),
    "llama": _internlm2,
    "phi3": _same_names(_PHI3_LAYER),
}
