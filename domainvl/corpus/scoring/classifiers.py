"""Classifiers of images and of texts from local folders: the probability of one of their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.corpus.scoring.pixels import Prepared, prepare, stack
from domainvl.corpus.scoring.weights import exact_inference, load_processor, load_weights
from domainvl.errors import CheckpointError, UsageError

if TYPE_CHECKING:
    import torch
    from PIL import Image as PillowImage

_UNSAFE_WORDS = ("nsfw", "unsafe", "porn", "explicit")
"""How models call what is not safe for work."""

_LONGEST_TOKENS = 512
"""BERT's length (arXiv 1810.04805, section A.2); longer texts are divided, whatever positions a model has."""

_ROBERTA_OFFSET = 2
"""RoBERTa's positions begin behind its padding index, so that two of them are never used (transformers,
models/roberta/modeling_roberta.py, create_position_ids_from_input_ids)."""


class UnsafeImages:
    """Says how likely an image is not safe for work.

    Args:
        folder: A model for image classification.
        label: Its label to look at; found by its name where None.
        device: Where it runs.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If there are no weights in it, or it is no such model.
        UsageError: If it has no such label, or none can be told by its name.
    """

    def __init__(self, folder: Path, label: str | None, *, device: torch.device) -> None:
        from transformers import AutoImageProcessor, AutoModelForImageClassification

        self._model = load_weights(AutoModelForImageClassification, folder, "--nsfw").to(device)
        self._image_processor = load_processor(AutoImageProcessor, folder, "--nsfw")
        labels = self._model.config.id2label
        self._label = find_label(labels, label, _UNSAFE_WORDS, folder, "--nsfw-label LABEL")
        self._device = device

    def prepare(self, image: PillowImage.Image) -> Prepared:
        """Bring an RGB image to the size that the model takes."""
        return prepare(self._image_processor, image)

    def __call__(self, batch: Sequence[Prepared]) -> npt.NDArray[np.float64]:
        """Return the probability for each prepared image: float64 of shape (images,)."""
        return _answers(self._model, stack(batch, self._device))[:, self._label]


class TextClassifier:
    """Says how likely a text has a label.

    Args:
        name: What its score is called.
        folder: A model for sequence classification, with its tokenizer.
        label: Its label to look at; found by the name of the score where None.
        device: Where it runs.
        batch_size: Parts of texts at a time.

    Raises:
        InputNotFoundError: If there is no such folder.
        CheckpointError: If there are no weights in it, or it is no such model.
        UsageError: If it has no such label, or none can be told by its name.
    """

    def __init__(self, name: str, folder: Path, label: str | None, *, device: torch.device, batch_size: int) -> None:
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        option = f"--text-classifier {name}"
        self._model = load_weights(AutoModelForSequenceClassification, folder, option).to(device)
        self._tokenizer = load_processor(AutoTokenizer, folder, option)
        if not self._tokenizer.is_fast:
            rule = (
                f"its tokenizer must be a fast one, which can divide long texts, got {type(self._tokenizer).__name__}"
            )
            raise CheckpointError(f"Cannot use the model of {option}", where=folder, rule=rule)
        words = (name.lower(), name.lower().removesuffix("_prob"))
        self._label = find_label(self._model.config.id2label, label, words, folder, f"{option}=FOLDER:LABEL")
        self._device = device
        self._batch_size = batch_size
        self.name = name
        positions = getattr(self._model.config, "max_position_embeddings", None) or _LONGEST_TOKENS + _ROBERTA_OFFSET
        self._part_tokens = min(positions - _ROBERTA_OFFSET, self._tokenizer.model_max_length, _LONGEST_TOKENS)

    def __call__(self, text: str) -> float:
        """Return the score of a text: of a long one the mean over its parts, weighted by their tokens."""
        parts = self._tokenizer(
            text, truncation=True, max_length=self._part_tokens, return_overflowing_tokens=True, verbose=False
        )
        special = self._tokenizer.num_special_tokens_to_add()
        lengths = np.array([max(len(ids) - special, 1) for ids in parts["input_ids"]], np.float64)
        names = [name for name in self._tokenizer.model_input_names if name in parts]
        found: list[npt.NDArray[np.float64]] = []
        for start in range(0, len(lengths), self._batch_size):
            batch = {name: parts[name][start : start + self._batch_size] for name in names}
            tokens = self._tokenizer.pad(batch, return_tensors="pt").to(self._device)
            found.append(_answers(self._model, tokens)[:, self._label])
        return float(np.average(np.concatenate(found), weights=lengths))


def find_label(labels: Mapping[int, str], wanted: str | None, words: Sequence[str], folder: Path, option: str) -> int:
    """Return the index of a label.

    Args:
        labels: Names of the labels of a model by index.
        wanted: The label, in any case of letters; None to find it.
        words: The one label that is one of these or contains one is taken where none is wanted.
        folder: The model, for messages.
        option: What names the label.

    Raises:
        UsageError: If there is no such label, or not one alone.
    """
    names = {index: name.lower() for index, name in labels.items()}
    if wanted is not None:
        found = [index for index, name in names.items() if name == wanted.lower()]
    elif len(labels) == 1:
        found = list(labels)
    else:
        exact = [index for index, name in names.items() if name in words]
        found = exact or [index for index, name in names.items() if any(word in name for word in words)]
    if len(found) != 1:
        asked = (
            f"{wanted!r} must be one of its labels" if wanted is not None else "its label cannot be told by its name"
        )
        rule = f"{asked}: {', '.join(labels.values())}"
        raise UsageError("Cannot use a classifier", where=folder, rule=rule, action=f"Name one of them with {option}")
    return found[0]


def _answers(model: Any, inputs: Any) -> npt.NDArray[np.float64]:
    """Return answers of shape (inputs, labels).

    Probabilities of labels that exclude each other, or of each for itself; what the model says as it is where it was
    trained for regression (``problem_type`` in the config of transformers).
    """
    import torch

    with exact_inference():
        logits = model(**inputs).logits.double()
    if model.config.problem_type == "regression":
        rows = logits
    elif logits.shape[1] == 1 or model.config.problem_type == "multi_label_classification":
        rows = torch.sigmoid(logits)
    else:
        rows = torch.softmax(logits, dim=1)
    answers: npt.NDArray[np.float64] = rows.cpu().numpy()
    return answers
