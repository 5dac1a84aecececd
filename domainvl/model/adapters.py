"""LoRA on the parts of an InternVL model.

Targets are those of the official trainer, by their native names (OpenGVLab/InternVL,
internvl_chat/internvl/model/internvl_chat/modeling_internvl_chat.py, L103-141): all linear layers of the
attention and the MLP, in the vision encoder and in the language model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import InternVLForConditionalGeneration

_LANGUAGE_MODEL_TARGETS = (
    r".*language_model\.layers\.\d+\.(self_attn|mlp)\."
    r"(q_proj|k_proj|v_proj|qkv_proj|o_proj|gate_proj|up_proj|gate_up_proj|down_proj)"
)
_VISION_TARGETS = (
    r".*vision_tower\.encoder\.layer\.\d+\.(attention|mlp)\.(q_proj|k_proj|v_proj|projection_layer|fc1|fc2)"
)
_PROJECTOR = "multi_modal_projector"
_EMBEDDINGS = "embed_tokens"


class LoraSettings(BaseModel):
    """Which parts get adapters and how large they are.

    Attributes:
        rank: Rank of the update; the published recipes use 16.
        alpha: Scale of the update; the published recipes use twice the rank.
        dropout: On the adapter's input.
        language_model: Adapt the language model.
        vision: Adapt the vision encoder. The paper finds LoRA on the language model alone weak at grounding.
        projector: Leave the projector as it is, or train it in full.
        embeddings: Leave the embeddings of the words as they are, or train them in full: a model that has never
            read the words of a field learns them sooner. Published models have read them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1)
    alpha: int = Field(default=32, ge=1)
    dropout: float = Field(default=0.05, ge=0.0, lt=1.0)
    language_model: bool = True
    vision: bool = True
    projector: Literal["frozen", "full"] = "full"
    embeddings: Literal["frozen", "full"] = "frozen"


def add_lora(model: InternVLForConditionalGeneration, settings: LoraSettings) -> PeftModel:
    """Wrap a model so that only its adapters, and perhaps its projector and its embeddings, are trained.

    Raises:
        UsageError: If no part would be adapted.
    """
    from peft import LoraConfig, get_peft_model

    targets = [
        pattern
        for wanted, pattern in (
            (settings.language_model, _LANGUAGE_MODEL_TARGETS),
            (settings.vision, _VISION_TARGETS),
        )
        if wanted
    ]
    if not targets:
        raise UsageError(
            "Cannot add LoRA",
            rule="lora.language_model and lora.vision are both false",
            action="Set one of them to true",
        )
    in_full = [
        name
        for wanted, name in ((settings.projector, _PROJECTOR), (settings.embeddings, _EMBEDDINGS))
        if wanted == "full"
    ]
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules="|".join(f"(?:{pattern})" for pattern in targets),
        modules_to_save=in_full or None,
    )
    return get_peft_model(model, config)


def inner_model(model: nn.Module) -> InternVLForConditionalGeneration:
    """Return the InternVL model itself, with its adapters in place if it has any."""
    from peft import PeftModel

    unwrapped: InternVLForConditionalGeneration = model.base_model.model if isinstance(model, PeftModel) else model
    return unwrapped
