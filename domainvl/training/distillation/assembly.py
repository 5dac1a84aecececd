"""A distilled vision encoder takes the place of another in a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from domainvl.errors import UsageError
from domainvl.model.checkpoint import LoadedModel, find_checkpoint, load_model, read_spec, stored_dtype
from domainvl.model.preprocessing import Preprocessing
from domainvl.training.distillation.student import check_same_tokens, check_whole

if TYPE_CHECKING:
    from transformers import InternVLVisionConfig
    from transformers.models.internvl.modeling_internvl import InternVLVisionModel

Projector = Literal["kept", "new"]


def check_place(reference: str, teacher: InternVLVisionConfig, preprocessing: Preprocessing) -> None:
    """Refuse a model whose vision encoder sees other tiles than the teacher's.

    Args:
        reference: The model into which the student goes.
        teacher: Shape of the teacher's vision encoder.
        preprocessing: The teacher's.

    Raises:
        UsageError: If tile, patch or normalisation differ, or it is an adapter.
    """
    from transformers import AutoConfig

    check_whole(reference)
    folder = find_checkpoint(reference)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    check_same_tokens(config.vision_config, teacher, reference)
    other = read_spec(folder).preprocessing
    for field in ("tile_side_px", "tokens_per_tile", "mean", "std"):
        if getattr(other, field) != getattr(preprocessing, field):
            raise UsageError(
                "The student does not fit into the model",
                where=reference,
                rule=f"its {field} must be the teacher's {getattr(preprocessing, field)}, got {getattr(other, field)}",
                action="Name another model with --into",
            )


def slot_in(
    reference: str, tower: InternVLVisionModel, training: dict[str, Any], *, seed: int
) -> tuple[LoadedModel, Projector]:
    """Load a model and give it another vision encoder.

    The projector is kept where it fits: it reads four neighbouring tokens, normalised together, so of what cosines
    leave open only the lengths of tokens relative to their neighbours' matter to it. Else a new one is drawn, which
    knows nothing: train it before anything is asked of the model.

    Args:
        reference: The model.
        tower: The new vision encoder.
        training: What the checkpoint will say of its training; ``projector`` is added to it.
        seed: Of a new projector.

    Returns:
        The model, in the type of the numbers that it is stored in, and whether its projector was kept.
    """
    import torch

    dtype = getattr(torch, stored_dtype(find_checkpoint(reference)))
    loaded = load_model(reference, dtype=dtype)
    internvl = loaded.internvl
    config = internvl.config
    same_width = config.vision_config.hidden_size == tower.config.hidden_size
    same_shape = _shape(config.vision_config) == _shape(tower.config)
    config.vision_config = tower.config
    internvl.model.vision_tower = tower.to(device="cpu", dtype=dtype).requires_grad_(True).eval()
    projector: Projector = "kept" if same_width else "new"
    if not same_width:
        torch.manual_seed(seed)
        drawn = type(internvl.model.multi_modal_projector)(config)
        drawn.apply(internvl._init_weights)
        internvl.model.multi_modal_projector = drawn.to(dtype)
    if not same_shape:
        loaded.published = None  # the published configuration beside it is of another shape
    loaded.spec = loaded.spec.model_copy(update={"training": {**training, "projector": projector}})
    return loaded, projector


def _shape(config: InternVLVisionConfig) -> tuple[int, ...]:
    return (config.num_hidden_layers, config.hidden_size, config.num_attention_heads, config.intermediate_size)
