"""What the student learns: the hidden states of the teacher's last layers, token by token.

Source: Mini-InternVL (arXiv 2410.16261): negative cosine similarity between hidden states of the last K layers. Where
the student is narrower or wider than the teacher, each of the K layers has a linear map to the teacher's width that is
trained along and dropped at the end; the paper does not say how it bridged the widths, so this is ours. So is counting
the class token like any other: its state steers the layers' attention, though the projector does not read it.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers.models.internvl.modeling_internvl import InternVLVisionModel


def last_states(tower: InternVLVisionModel, pixels: torch.Tensor, count: int) -> list[torch.Tensor]:
    """Return what the last layers of a vision encoder give.

    The layers are called one by one, so that the states of the others are not kept. The last state is what the whole
    encoder gives, after its final norm where it has one; InternViT has none.

    Args:
        tower: The vision encoder.
        pixels: Shape (tiles, 3, side, side), normalised.
        count: How many layers.

    Returns:
        ``count`` tensors of shape (tiles, tokens, width), the class token first; in order of the layers.
    """
    state: torch.Tensor = tower.embeddings(pixels)
    layers = tower.encoder.layer
    states = []
    for index, layer in enumerate(layers):
        state = layer(state)
        if index >= len(layers) - count:
            states.append(state)
    states[-1] = tower.layernorm(state)
    return states


@cache
def _student_class() -> type[nn.Module]:
    """Define the class when torch is first needed."""
    from torch import nn

    class Student(nn.Module):
        def __init__(self, tower: InternVLVisionModel, last_layers: int, teacher_width: int) -> None:
            super().__init__()
            self.tower = tower
            self.last_layers = last_layers
            width = int(tower.config.hidden_size)
            same = width == teacher_width
            self.maps = nn.ModuleList(
                nn.Identity() if same else nn.Linear(width, teacher_width) for _ in range(last_layers)
            )

        def forward(self, pixels: torch.Tensor) -> list[torch.Tensor]:
            states = last_states(self.tower, pixels, self.last_layers)
            return [mapped(state) for mapped, state in zip(self.maps, states, strict=True)]

    return Student


def with_maps(tower: InternVLVisionModel, last_layers: int, teacher_width: int) -> Any:
    """Return the student: a vision encoder with a linear map for each matched layer where widths differ.

    Args:
        tower: The student's vision encoder; the module holds it as ``tower``.
        last_layers: How many layers are matched.
        teacher_width: Width of the teacher's hidden states.

    Returns:
        A module that takes pixels of shape (tiles, 3, side, side) and returns a tensor of shape
        (tiles, tokens, teacher_width) for each matched layer.
    """
    return _student_class()(tower, last_layers, teacher_width)


def cosines(students: list[torch.Tensor], teachers: list[torch.Tensor]) -> torch.Tensor:
    """Return the mean cosine of each layer.

    Args:
        students: States of shape (tiles, tokens, width), one tensor a layer.
        teachers: Likewise.

    Returns:
        float32 of shape (layers,); the mean over tokens and tiles. 1 is the aim, and the loss is 1 minus their mean.
    """
    import torch

    similarities = [
        torch.nn.functional.cosine_similarity(student.float(), teacher.float(), dim=-1).mean()
        for student, teacher in zip(students, teachers, strict=True)
    ]
    return torch.stack(similarities)
