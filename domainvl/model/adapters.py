"""LoRA on the parts of an InternVL model.

Targets are those of the official trainer, by their native names (OpenGVLab/InternVL,
internvl_chat/internvl/model/internvl_chat/modeling_internvl_chat.py, L103-141): all linear layers of the
attention and the MLP, in the vision encoder and in the language model. Its vision encoder, and the InternLM2 of its
2B model, hold query, key and value in one matrix, which the native class divides into three; see
:attr:`LoraSettings.qkv`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.model.parts import ADAPTER, PARTS, LastLayers, Part, PerPart, last_layer_indices, layers_of, part_of

if TYPE_CHECKING:
    from typing import Self

    from peft import PeftModel
    from torch import nn
    from transformers import InternVLForConditionalGeneration

_TARGETS: dict[Part, str] = {
    "vision": (
        r".*vision_tower\.encoder\.layer\.LAYER\."
        r"(?:attention\.(?:q_proj|k_proj|v_proj|projection_layer)|mlp\.(?:fc1|fc2))"
    ),
    "projector": r".*multi_modal_projector\.linear_[12]",
    "language_model": (
        r".*language_model\.layers\.LAYER\.(?:self_attn|mlp)\."
        r"(?:q_proj|k_proj|v_proj|qkv_proj|o_proj|gate_proj|up_proj|gate_up_proj|down_proj)"
    ),
}

Rank = Annotated[int, Field(ge=1)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]


class LoraSettings(BaseModel):
    """What is adapted and how, what is trained in full beside it, and what is left as it is.

    Attributes:
        rank: Rank of the update; the published recipes use 16.
        alpha: Scale of the update; twice the rank where None, as published.
        dropout: On the adapter's input.
        ranks: Of single parts, where they differ from ``rank``.
        alphas: Of single parts; twice the part's own rank where ``ranks`` names the part and this does not.
        dropouts: Of single parts, where they differ from ``dropout``.
        rslora: Scale by alpha / sqrt(rank) instead of alpha / rank (rsLoRA, arXiv 2312.03732).
        dora: Learn the length of each row of the adapted matrix apart from its direction (DoRA, arXiv 2402.09353).
        qkv: ``fused``: where the published checkpoints hold query, key and value in one matrix (the vision encoder;
            InternLM2), one adapter of that matrix, as the official trainer has it: the three share the factor that
            reads the input. ``separate``: one adapter each, of more weights.
        vision: The vision encoder. The paper finds LoRA on the language model alone weak at grounding.
        projector: From the vision encoder's features to the language model's embeddings.
        language_model: The language model.
        embeddings: Of the words that are read: a model that has never read the words of a field learns them sooner.
            Published models have read them.
        lm_head: The output layer.
        last_layers: Of a part that is trained, only so many of its last layers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: Rank = 16
    alpha: Annotated[int, Field(ge=1)] | None = None
    dropout: Dropout = 0.05
    ranks: PerPart[Rank] = PerPart[Rank]()
    alphas: PerPart[Rank] = PerPart[Rank]()
    dropouts: PerPart[Dropout] = PerPart[Dropout]()
    rslora: bool = False
    dora: bool = False
    qkv: Literal["fused", "separate"] = "fused"
    vision: Literal["frozen", "lora", "full"] = "lora"
    projector: Literal["frozen", "lora", "full"] = "full"
    language_model: Literal["frozen", "lora"] = "lora"
    embeddings: Literal["frozen", "full"] = "frozen"
    lm_head: Literal["frozen", "full"] = "frozen"
    last_layers: LastLayers = LastLayers()

    @model_validator(mode="after")
    def _check(self) -> Self:
        adapted = self.adapted_parts()
        if not adapted:
            raise ValueError(f"lora: at least one of {', '.join(PARTS)} must be 'lora'; or take method: full")
        for key, values in (("ranks", self.ranks), ("alphas", self.alphas), ("dropouts", self.dropouts)):
            for part in values.named():
                if part not in adapted:
                    raise ValueError(f"lora.{key}.{part} is set, but lora.{part} is {getattr(self, part)!r}")
        for name, count in self.last_layers.model_dump(exclude_none=True).items():
            if getattr(self, name) == "frozen":
                raise ValueError(f"lora.last_layers.{name} is {count}, but lora.{name} is 'frozen'")
        return self

    def adapted_parts(self) -> list[Part]:
        """Return the parts that get adapters."""
        return [part for part in PARTS if getattr(self, part) == "lora"]

    def parts(self) -> frozenset[Part]:
        """Return the parts of which anything is trained."""
        trained = {part for part in PARTS if getattr(self, part) != "frozen"}
        if "full" in (self.embeddings, self.lm_head):
            trained.add("language_model")
        return frozenset(trained)

    def rank_of(self, part: Part) -> int:
        """Return the rank of a part's adapters."""
        return self.ranks.named().get(part, self.rank)

    def alpha_of(self, part: Part) -> int:
        """Return the scale of a part's adapters."""
        named = self.alphas.named().get(part)
        if named is not None:
            return named
        if self.alpha is not None and part not in self.ranks.named():
            return self.alpha
        return 2 * self.rank_of(part)

    def dropout_of(self, part: Part) -> float:
        """Return the dropout of a part's adapters."""
        return self.dropouts.named().get(part, self.dropout)


def add_lora(model: InternVLForConditionalGeneration, settings: LoraSettings) -> PeftModel:
    """Wrap a model so that only its adapters, and what is to be trained in full beside them, are trained.

    Everything is one adapter of peft, with a pattern for each part. What is trained is held in float32, whatever
    the model's own type.

    Raises:
        UsageError: If more layers are named than there are.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    targets = {part: _target_pattern(model, part, settings) for part in settings.adapted_parts()}
    base_alpha = 2 * settings.rank if settings.alpha is None else settings.alpha
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=base_alpha,
        lora_dropout=settings.dropout,
        rank_pattern={
            targets[part]: settings.rank_of(part) for part in targets if settings.rank_of(part) != settings.rank
        },
        alpha_pattern={
            targets[part]: settings.alpha_of(part) for part in targets if settings.alpha_of(part) != base_alpha
        },
        use_rslora=settings.rslora,
        use_dora=settings.dora,
        target_modules="|".join(f"(?:{pattern})" for pattern in targets.values()),
        modules_to_save=_modules_in_full(model, settings) or None,
    )
    wrapped = get_peft_model(model, config)
    _set_dropouts(wrapped, settings)
    if settings.qkv == "fused":
        _share_input_factors(model)
    for value in wrapped.parameters():
        if value.requires_grad:
            value.data = value.data.to(torch.float32)
    return wrapped


def _target_pattern(model: InternVLForConditionalGeneration, part: Part, settings: LoraSettings) -> str:
    layer = r"\d+"
    if part != "projector":
        count: int | None = getattr(settings.last_layers, part)
        if count is not None:
            indices = last_layer_indices(model, part, count, f"lora.last_layers.{part}")
            layer = f"(?:{'|'.join(map(str, indices))})"
    return _TARGETS[part].replace("LAYER", layer)


def _modules_in_full(model: InternVLForConditionalGeneration, settings: LoraSettings) -> list[str]:
    """Name the modules that are trained in full, so that no name is the end of another's.

    The vision encoder is named layer by layer: peft keeps what it wraps as it was, so each module is held twice.
    """
    names = []
    if settings.vision == "full":
        count = settings.last_layers.vision
        indices = last_layer_indices(model, "vision", count, "lora.last_layers.vision")
        names += [f"model.vision_tower.encoder.layer.{index}" for index in indices]
        if count is None:
            names.append("model.vision_tower.embeddings")
    if settings.projector == "full":
        names.append("multi_modal_projector")
    if settings.embeddings == "full":
        names.append("embed_tokens")
    if settings.lm_head == "full":
        names.append("lm_head")
    return names


def _set_dropouts(wrapped: PeftModel, settings: LoraSettings) -> None:
    """Give single parts their own dropout, for which peft's configuration has no pattern."""
    from torch import nn

    for name, module in _adapted_modules(wrapped):
        dropout = settings.dropout_of(part_of(f"{name}."))
        module.lora_dropout[ADAPTER] = nn.Dropout(dropout) if dropout > 0 else nn.Identity()


def _share_input_factors(model: InternVLForConditionalGeneration) -> None:
    """Let query, key and value of a layer share the factor A of their updates B A.

    An update of the fused matrix is one A, which reads the input, and one B, whose rows are those of query, key and
    value. So three B with one A are the same function of the same weights. On disk peft writes A three times, and
    any reader of peft's format takes it.
    """
    from peft.tuners.lora import LoraLayer

    for attention in _attentions_published_fused(model):
        first = attention.q_proj
        if isinstance(first, LoraLayer):
            attention.k_proj.lora_A = first.lora_A
            attention.v_proj.lora_A = first.lora_A


def _attentions_published_fused(model: InternVLForConditionalGeneration) -> Iterator[Any]:
    """Yield the attentions whose query, key and value are one matrix in the published checkpoint, but not here.

    Of the language models that is InternLM2, which the native class holds as a llama; Phi-3's one matrix is one here
    too, and Qwen2's are three there too.
    """
    for layer in layers_of(model, "vision"):
        yield layer.attention
    if model.config.text_config.model_type == "llama":
        for layer in layers_of(model, "language_model"):
            yield layer.self_attn


def _adapted_modules(model: nn.Module) -> Iterator[tuple[str, Any]]:
    from peft.tuners.lora import LoraLayer

    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def inner_model(model: nn.Module) -> InternVLForConditionalGeneration:
    """Return the InternVL model itself, with its adapters in place if it has any."""
    from peft import PeftModel

    unwrapped: InternVLForConditionalGeneration = model.base_model.model if isinstance(model, PeftModel) else model
    return unwrapped
