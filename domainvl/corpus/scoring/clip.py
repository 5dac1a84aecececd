"""Features of images and texts by a model of the CLIP family, whose cosine says how alike they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.corpus.scoring.pixels import Prepared, prepare, stack
from domainvl.corpus.scoring.weights import exact_inference, load_processor, load_weights
from domainvl.errors import CheckpointError

if TYPE_CHECKING:
    import torch
    from PIL import Image as PillowImage

_FIXED_LENGTH = ("siglip", "siglip2")
"""Models that were trained on texts padded to full length (transformers, docs/source/en/model_doc/siglip.md)."""

Features = npt.NDArray[np.float32]
"""Rows of length 1, one an image or text."""


class Clip:
    """A model of the CLIP family.

    Args:
        folder: Checkpoint with tokenizer and image processor: CLIP, SigLIP, or another with features of both kinds.
        device: Where it runs.
        batch_size: Texts at a time.

    Attributes:
        context_tokens: Longer texts are cut to so many tokens.
        width: Width of the features.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If there are no weights in it, or it is no such model.
    """

    def __init__(self, folder: Path, *, device: torch.device, batch_size: int) -> None:
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

        model = load_weights(AutoModel, folder, "--clip")
        if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
            raise CheckpointError(
                "Cannot load the model of --clip",
                where=folder,
                rule=f"it must have features of images and of texts, got a {type(model).__name__}",
                action="Name a CLIP or SigLIP model",
            )
        self._model = model.to(device)
        self._tokenizer = load_processor(AutoTokenizer, folder, "--clip")
        self._image_processor = load_processor(AutoImageProcessor, folder, "--clip")
        self._device = device
        self._batch_size = batch_size
        self._padding = "max_length" if model.config.model_type in _FIXED_LENGTH else "longest"
        self.context_tokens = int(model.config.text_config.max_position_embeddings)
        self.width = int(self.encode_texts(["a"])[0].shape[1])

    def prepare(self, image: PillowImage.Image) -> Prepared:
        """Bring an RGB image to the size that the model takes."""
        return prepare(self._image_processor, image)

    def encode_images(self, batch: Sequence[Prepared]) -> Features:
        """Encode prepared images as one batch.

        Returns:
            float32 of shape (images, width); rows of length 1.
        """
        return self._normalised("get_image_features", stack(batch, self._device))

    def encode_texts(self, texts: Sequence[str]) -> tuple[Features, int]:
        """Encode texts, those of like length together.

        Args:
            texts: At least one.

        Returns:
            float32 of shape (texts, width) with rows of length 1, and how many texts were cut.
        """
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        features = np.empty((len(texts), 0), np.float32)
        cut_count = 0
        for start in range(0, len(order), self._batch_size):
            chosen = order[start : start + self._batch_size]
            rows, cut = self._encode_batch([texts[index] for index in chosen])
            if start == 0:
                features = np.empty((len(texts), rows.shape[1]), np.float32)
            features[chosen] = rows
            cut_count += cut
        return features, cut_count

    def _encode_batch(self, texts: list[str]) -> tuple[Features, int]:
        whole = self._tokenizer(texts, verbose=False)["input_ids"]
        tokens = self._tokenizer(
            texts, padding=self._padding, truncation=True, max_length=self.context_tokens, return_tensors="pt"
        ).to(self._device)
        return self._normalised("get_text_features", tokens), sum(len(ids) > self.context_tokens for ids in whole)

    def _normalised(self, method: str, inputs: Any) -> Features:
        import torch

        with exact_inference():
            features = getattr(self._model, method)(**inputs).pooler_output.float()
            rows: Features = torch.nn.functional.normalize(features, dim=-1).cpu().numpy()
        return rows
