"""The loss: cross entropy of the answers' tokens, with logits only where there is a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from domainvl.model.packed_attention import attention_inputs
from domainvl.model.visual import blank_contribution, embed, image_outputs
from domainvl.training.batches import IGNORED, Batch

if TYPE_CHECKING:
    import torch

    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.vision_cache import VisionCache


class AnswerLoss(nn.Module):
    """A model together with its loss; the one module that is run, on one process or several.

    This module imports torch at its top; it is imported inside functions alone.

    Args:
        loaded: The model.
        source_count: Number of data sources.
        cache: Of a frozen vision encoder's features.
        run_vision_always: Run a blank tile through the vision encoder where a batch has no image, with weight zero:
            with several processes all must take part in what the others' images need.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        source_count: int = 1,
        *,
        cache: VisionCache | None = None,
        run_vision_always: bool = False,
    ) -> None:
        super().__init__()
        self.model = loaded.model
        self._loaded = loaded
        self._source_count = source_count
        self._cache = cache
        self._run_vision_always = run_vision_always

    def forward(self, batch: Batch) -> torch.Tensor:
        """Return the weighted sums of the cross entropy over the supervised tokens of each source.

        The output layer is applied to supervised positions only: with 5 % of the positions supervised and a vocabulary
        of 150,000 most of the work and memory of the head is saved, and the gradient is the same.

        Returns:
            float32 of shape (sources,); their sum divided by the sum of all weights is the mean.
        """
        import torch
        from torch.nn import functional

        model = self._loaded.internvl
        device = self._loaded.device
        sums = torch.zeros(self._source_count, dtype=torch.float32, device=device)
        if self._run_vision_always and not batch.images:
            sums = sums + blank_contribution(self._loaded)
        hidden = model.model(
            input_ids=batch.input_ids.to(device),
            position_ids=batch.position_ids.to(device),
            use_cache=False,
            **self._attention(batch),
            **self._images(batch),
        ).last_hidden_state
        targets = batch.labels[:, 1:].to(device)
        supervised = targets != IGNORED
        logits = model.lm_head(hidden[:, :-1][supervised])
        losses = functional.cross_entropy(logits.float(), targets[supervised], reduction="none")
        weighted = losses * batch.weights[:, 1:].to(device)[supervised]
        return sums.index_add(0, batch.sources[:, 1:].to(device)[supervised], weighted)

    def _attention(self, batch: Batch) -> dict[str, Any]:
        model = self._loaded.internvl
        text = model.config.text_config
        return attention_inputs(
            batch.layout,
            text._attn_implementation,
            model.dtype,
            self._loaded.device,
            sliding_window=getattr(text, "sliding_window", None),
        )

    def _images(self, batch: Batch) -> dict[str, Any]:
        return image_outputs(embed(self._loaded, batch.images, self._cache)) if batch.images else {}
