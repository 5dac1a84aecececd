"""The student's vision encoder: its shape, its first weights, and whether it can learn from a teacher."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from domainvl.errors import UsageError
from domainvl.model.checkpoint import find_checkpoint, load_model, read_spec
from domainvl.model.sizes import size_config
from domainvl.training.distillation.recipe import STUDENT_SIZES, TEACHER_LAYERS, StudentSettings

if TYPE_CHECKING:
    from transformers import InternVLVisionConfig
    from transformers.models.internvl.modeling_internvl import InternVLVisionModel


def build_student(
    settings: StudentSettings, teacher: InternVLVisionModel, *, attention: str | None = None
) -> InternVLVisionModel:
    """Build the student; random weights come from torch's present random state.

    Args:
        settings: Shape and first weights.
        teacher: The teacher's vision encoder.
        attention: Implementation, as transformers names it; its own choice where None.

    Returns:
        In float32, on the CPU (on ``meta`` under ``torch.device("meta")``).

    Raises:
        UsageError: If the shape is impossible, or its tokens do not stand where the teacher's do.
        CheckpointError: If a checkpoint is named that does not exist.
    """
    from transformers.models.internvl.modeling_internvl import InternVLVisionModel

    if settings.start not in ("random", TEACHER_LAYERS):
        student: InternVLVisionModel = load_vision_tower(settings.start)
        if attention is not None:
            student.set_attn_implementation(attention)
        check_same_tokens(student.config, teacher.config, settings.start)
        return student
    config = student_config(settings, teacher.config)
    check_same_tokens(config, teacher.config, settings.size or "the student")
    config._attn_implementation = attention
    student = InternVLVisionModel(config)
    if settings.start == TEACHER_LAYERS:
        _copy_layers(teacher, student)
    else:
        _draw_positions(student)
    return student


def student_config(settings: StudentSettings, teacher: InternVLVisionConfig) -> InternVLVisionConfig:
    """Return the shape of a student that is not a checkpoint's.

    Args:
        settings: What is asked for.
        teacher: Shape of the teacher, which decides all else.

    Raises:
        UsageError: If the width is no multiple of the heads, or there are more layers than the teacher has to give.
    """
    if settings.size is not None:
        config: InternVLVisionConfig = size_config(STUDENT_SIZES[settings.size]).vision_config
        return config
    config = copy.deepcopy(teacher)
    width = settings.width or teacher.hidden_size
    head_width = teacher.hidden_size // teacher.num_attention_heads
    heads = settings.heads or max(1, width // head_width)
    if width % heads:
        raise UsageError(
            "Cannot build a student",
            rule=f"its width must be a multiple of its heads, got {width} and {heads}",
            action=f"Heads of {head_width} are the teacher's",
        )
    layers = settings.layers or teacher.num_hidden_layers
    if settings.start == TEACHER_LAYERS:
        layers = settings.layers or max(1, teacher.num_hidden_layers // 2)
        if layers > teacher.num_hidden_layers:
            raise UsageError(
                "Cannot build a student",
                rule=f"the teacher has {teacher.num_hidden_layers} layers to give, {layers} are asked for",
            )
    config.hidden_size, config.num_attention_heads, config.num_hidden_layers = width, heads, layers
    config.intermediate_size = settings.mlp_width or round(width * teacher.intermediate_size / teacher.hidden_size)
    return config


def load_vision_tower(reference: str, dtype: Any = None) -> InternVLVisionModel:
    """Load the vision encoder of a checkpoint and let go of the rest.

    Args:
        reference: Name or folder of a whole model.
        dtype: Of the weights; float32 where None.

    Raises:
        UsageError: If it is an adapter.
    """
    check_whole(reference)
    tower: InternVLVisionModel = load_model(reference, dtype=dtype).internvl.model.vision_tower
    return tower


def check_whole(reference: str) -> None:
    """Refuse an adapter, whose changes of the vision encoder lie beside it.

    Raises:
        UsageError: If it is one.
    """
    if read_spec(find_checkpoint(reference)).kind != "model":
        raise UsageError(
            "Cannot distil with an adapter",
            where=reference,
            rule="it must be a whole model",
            action="Merge it first: domainvl model merge",
        )


def check_same_tokens(student: InternVLVisionConfig, teacher: InternVLVisionConfig, name: str) -> None:
    """Refuse a student whose tokens show other places than the teacher's.

    Raises:
        UsageError: If tile, patch or channels differ.
    """
    for what, field in (("tile", "image_size"), ("patch", "patch_size"), ("channels", "num_channels")):
        one, other = getattr(student, field), getattr(teacher, field)
        if one != other and list(one) != list(other):
            raise UsageError(
                "Student and teacher do not match",
                where=name,
                rule=f"both need the same {what}, got {one} and, of the teacher, {other}",
                action="Name a student with the teacher's tile and patch, or give --layers and --width",
            )


def kept_layers(count: int, of: int) -> list[int]:
    """Return which of the teacher's layers a student starts from: evenly spread, the last among them."""
    return [(index + 1) * of // count - 1 for index in range(count)]


def _copy_layers(teacher: InternVLVisionModel, student: InternVLVisionModel) -> None:
    student.embeddings.load_state_dict(teacher.embeddings.state_dict())
    student.layernorm.load_state_dict(teacher.layernorm.state_dict())
    chosen = kept_layers(len(student.encoder.layer), len(teacher.encoder.layer))
    for layer, index in zip(student.encoder.layer, chosen, strict=True):
        layer.load_state_dict(teacher.encoder.layer[index].state_dict())


def _draw_positions(student: InternVLVisionModel) -> None:
    """Draw what transformers leaves at zero, spread like the other weights: equal positions are slow to part."""
    import torch

    with torch.no_grad():
        for value in (student.embeddings.cls_token, student.embeddings.position_embeddings):
            value.normal_(0.0, student.config.initializer_range)
