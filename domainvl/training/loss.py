"""The loss: cross entropy of the answers' tokens, with logits only where there is a label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from domainvl.model.generation import pixel_values
from domainvl.training.batches import IGNORED, Batch

if TYPE_CHECKING:
    import torch

    from domainvl.model.checkpoint import LoadedModel


def answer_loss(loaded: LoadedModel, batch: Batch) -> torch.Tensor:
    """Return the weighted sum of the cross entropy over all supervised tokens of a batch.

    The output layer is applied to supervised positions only: with 5 % of the positions supervised and a
    vocabulary of 150,000 most of the work and memory of the head is saved, and the gradient is the same.

    Args:
        loaded: The model.
        batch: The samples.

    Returns:
        A scalar; divide by the sum of the batch's weights for the mean.
    """
    from torch.nn import functional

    model = loaded.internvl
    device = loaded.device
    hidden = model.model(
        input_ids=batch.input_ids.to(device),
        attention_mask=batch.attention_mask(model.dtype).to(device),
        position_ids=batch.position_ids.to(device),
        pixel_values=pixel_values(loaded, batch.tiles),
        use_cache=False,
    ).last_hidden_state
    targets = batch.labels[:, 1:].to(device)
    supervised = targets != IGNORED
    logits = model.lm_head(hidden[:, :-1][supervised])
    losses = functional.cross_entropy(logits.float(), targets[supervised], reduction="none")
    return losses @ batch.weights[:, 1:].to(device)[supervised]
