"""The fused kernels of liger-kernel for norms and gated MLPs, put into one model and nothing else.

The package's own ``apply_liger_kernel_to_*`` replace classes and functions of transformers for the whole process, so
that a model loaded later, perhaps on a CPU, would get kernels for a GPU. Here the modules of one model are replaced by
the package's, which take over the very parameters, so names, checkpoints and optimizers do not change. Left as they
are: the rotary positions, which the native classes take from a function of their module and not of their instance;
and the output layer with its loss, which :mod:`domainvl.training.loss` computes at supervised positions only.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError, install_hint
from domainvl.model.parts import layers_of

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import InternVLForConditionalGeneration


def require_liger(device: torch.device) -> None:
    """Refuse where the kernels cannot run.

    Raises:
        UsageError: If the device is no NVIDIA or AMD GPU, or the package is missing.
    """
    if device.type != "cuda":
        raise UsageError(
            "Cannot use liger-kernel",
            rule=f"its kernels need a GPU, the device is {device.type}",
            action="Set compute.liger to false",
        )
    if find_spec("liger_kernel") is None:
        raise UsageError(
            "Cannot use liger-kernel",
            rule="compute.liger needs the package liger-kernel, which is missing",
            action=f"{install_hint('liger')}, or set compute.liger to false",
        )


def use_liger(model: InternVLForConditionalGeneration) -> None:
    """Let fused kernels compute a model's norms and the gated MLPs of its language model.

    Args:
        model: The model itself, before adapters are put on; :func:`require_liger` has been asked.
    """
    for layer in layers_of(model, "vision"):
        _replace(layer, "layernorm_before", _norm)
        _replace(layer, "layernorm_after", _norm)
    for layer in layers_of(model, "language_model"):
        _replace(layer, "input_layernorm", _norm)
        _replace(layer, "post_attention_layernorm", _norm)
        _replace(layer, "mlp", _gated_mlp)
    _replace(model.model.language_model, "norm", _norm)
    _replace(model.model.multi_modal_projector, "layer_norm", _norm)


def _replace(parent: Any, name: str, fused: Any) -> None:
    """Put a fused module in place of one, with that one's own parts and parameters."""
    import torch

    old: nn.Module = getattr(parent, name)
    with torch.device("meta"):
        new: nn.Module = fused(old)
    for key, value in (*old.named_children(), *old.named_parameters(recurse=False)):
        setattr(new, key, value)
    new.train(old.training)
    setattr(parent, name, new)


def _norm(old: Any) -> nn.Module:
    from liger_kernel.transformers.layer_norm import LigerLayerNorm
    from liger_kernel.transformers.rms_norm import LigerRMSNorm
    from torch import nn

    if isinstance(old, nn.LayerNorm):
        centred: nn.Module = LigerLayerNorm(old.normalized_shape[-1], eps=old.eps)
        return centred
    scaled: nn.Module = LigerRMSNorm(len(old.weight), eps=old.variance_epsilon)
    return scaled


def _gated_mlp(old: Any) -> nn.Module:
    from liger_kernel.transformers.swiglu import LigerPhi3SwiGLUMLP, LigerSwiGLUMLP

    made: nn.Module = (LigerPhi3SwiGLUMLP if hasattr(old, "gate_up_proj") else LigerSwiGLUMLP)(old.config)
    return made
