"""From units to the tensors of one pass through the model: packed behind each other, or padded to one length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domainvl.model.packed_attention import PackLayout, UnitPlace
from domainvl.training.units import EncodedUnit, LossWeighting

if TYPE_CHECKING:
    import torch

    from domainvl.model.visual import VisualInput
    from domainvl.training.plan import Arrangement

IGNORED = -100
"""Label of a position that the loss does not count."""


@dataclass(frozen=True)
class Batch:
    """What the model computes at a time.

    Attributes:
        input_ids: int64 of shape (rows, tokens).
        position_ids: int64 of the same shape.
        labels: int64 of the same shape; what each position is, or ``IGNORED``.
        weights: float32 of the same shape; what each position counts in the loss.
        sources: int64 of the same shape; the source that each position is from.
        layout: Where the units are.
        images: All images, in the order of their placeholders.
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    sources: torch.Tensor
    layout: PackLayout
    images: tuple[VisualInput, ...]


@dataclass(frozen=True)
class ReadUnit:
    """A unit with its pixels.

    Attributes:
        unit: The unit.
        source: Index of its source.
        images: Its images.
    """

    unit: EncodedUnit
    source: int
    images: tuple[VisualInput, ...]


def collate(
    units: Sequence[ReadUnit], padding_id: int, arrangement: Arrangement, weighting: LossWeighting = "token"
) -> Batch:
    """Make the tensors of some units.

    Args:
        units: What is computed together; none makes a row of one token that counts nothing.
        padding_id: Token to pad with; it is never seen.
        arrangement: ``packed``: one row; ``grouped``: a row each.
        weighting: What each token counts in the loss.
    """
    import torch

    rows = [list(units)] if arrangement == "packed" else [[one] for one in units]
    width = max(1, max((sum(len(one.unit.input_ids) for one in row) for row in rows), default=1))
    input_ids = torch.full((max(1, len(rows)), width), padding_id, dtype=torch.long)
    position_ids = torch.zeros_like(input_ids)
    labels = torch.full_like(input_ids, IGNORED)
    weights = torch.zeros(input_ids.shape)
    sources = torch.zeros_like(input_ids)
    places = []
    for number, row in enumerate(rows):
        start = 0
        for one in row:
            unit = one.unit
            own = slice(start, start + len(unit.input_ids))
            ids = torch.tensor(unit.input_ids)
            input_ids[number, own] = ids
            position_ids[number, own] = torch.tensor(unit.positions())
            labels[number, own] = torch.where(torch.tensor(unit.supervised), ids, IGNORED)
            weights[number, own] = torch.tensor(unit.weights(weighting))
            sources[number, own] = one.source
            places.append(UnitPlace(number, start, unit.shared, unit.questions))
            start = own.stop
    # A unit in the empty row too: all that is trained then has a gradient, if of zero, for other processes to add to.
    layout = PackLayout(tuple(places) or (UnitPlace(0, 0, 0, (1,)),), *input_ids.shape)
    images = tuple(image for one in units for image in one.images)
    return Batch(input_ids, position_ids, labels, weights, sources, layout, images)
