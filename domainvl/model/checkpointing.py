"""Gradient checkpointing by part: layers whose activations are computed again in the backward pass, not kept.

What that saves and costs differs by part: the vision encoder has many tokens and narrow layers, and where nothing
before or in it is trained it keeps nothing anyway; the language model has one long row and wide layers.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from domainvl.model.parts import LayeredPart

if TYPE_CHECKING:
    from transformers import InternVLForConditionalGeneration


def checkpoint_layers(model: InternVLForConditionalGeneration, parts: Collection[LayeredPart]) -> None:
    """Compute the layers of some parts again in the backward pass; the gradients are the same.

    Args:
        model: The model itself, any adapter in place.
        parts: Whose layers; none changes nothing.
    """
    towers: dict[LayeredPart, Any] = {
        "vision": model.model.vision_tower,
        "language_model": model.model.language_model,
    }
    for part in parts:
        towers[part].activation_checkpointing_enable({"use_reentrant": False})
    if "language_model" in parts:
        # transformers makes the input of the language model require gradients, which only reentrant checkpointing
        # needs. Gradients would then be computed through frozen layers that have nothing to train before them.
        model.model.language_model.disable_input_require_grads()
