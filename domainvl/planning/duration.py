"""How long a run takes, roughly: its arithmetic, divided by what the machine is seen to reach."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from domainvl.model.parts import LayeredPart
from domainvl.training.arrangement import flops
from domainvl.training.plan import TrainingPlan
from domainvl.training.recipe import Recipe

if TYPE_CHECKING:
    import torch

USED_SHARE = 0.5
"""Share of the speed of one large product of matrices that a step is taken to reach; ours, and rough."""

_MATRIX_SIDE = 1024


def training_flops(recipe: Recipe, plan: TrainingPlan, config: Any, implementation: str) -> float:
    """Return the floating-point operations of the layers of a run, forward and backward; looks are not counted.

    A backward pass is one product of matrices of the forward pass's size for the gradient of the input, and one for
    that of the weights where all of them are trained. Layers whose activations are not kept are computed once more.

    Args:
        recipe: What is trained how.
        plan: Of the run.
        config: Of the model.
        implementation: Attention of the language model.
    """
    language = flops(plan, config, implementation) * _passes(recipe, "language_model")
    return language + _vision_flops(recipe, plan, config) * _passes(recipe, "vision")


def _passes(recipe: Recipe, part: LayeredPart) -> int:
    """Return how often a part is computed, a forward pass being one."""
    trained = recipe.trained_parts()
    before = {"vision"} if part == "vision" else {"vision", "projector", "language_model"}
    if not trained & before:
        return 1
    weights = recipe.method == "full" and part in trained
    return 2 + weights + (part in recipe.compute.checkpointed_parts())


def _vision_flops(recipe: Recipe, plan: TrainingPlan, config: Any) -> float:
    """Return the forward pass of the vision encoder: two operations a weight and patch, four a pair and width."""
    vision = config.vision_config
    patches = (vision.image_size[0] // vision.patch_size[0]) * (vision.image_size[1] // vision.patch_size[1]) + 1
    layer_weights = 4 * vision.hidden_size**2 + 2 * vision.hidden_size * vision.intermediate_size
    seen = [unit for micro in plan.packs for unit in micro]
    if recipe.compute.cache_vision:  # each once; images that several units share are not known here
        seen = list(dict.fromkeys(seen))
    tiles = sum(plan.units[unit].tiles for unit in seen)
    layer = 2.0 * layer_weights * patches + 4.0 * vision.hidden_size * patches**2
    return float(tiles * vision.num_hidden_layers * layer)


def matrix_flops_per_second(device: torch.device, arithmetic: torch.dtype) -> float:
    """Measure how many operations a second a large product of matrices reaches; the best of five."""
    import torch

    matrix = torch.ones(_MATRIX_SIDE, _MATRIX_SIDE, device=device, dtype=arithmetic)

    def seconds() -> float:
        started = time.perf_counter()
        product = matrix @ matrix
        float(product[0, 0])  # waits for the device
        return time.perf_counter() - started

    return 2.0 * _MATRIX_SIDE**3 / min(seconds() for _ in range(5))


def format_duration(seconds: float) -> str:
    """Say a time in hours, minutes, or as less than one."""
    if seconds >= 3600:
        return f"about {seconds / 3600:.1f} hours"
    minutes = round(seconds / 60)
    return f"about {minutes} minute{'' if minutes == 1 else 's'}" if minutes else "less than a minute"
