"""An image classifier: one set of classes for each question that the training split asks often.

It does not read: a question that it was not trained on it cannot answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import nn

from domainvl.evaluation.results import FROM_SCRATCH
from domainvl.evaluation.specialists import efficientnet_lite
from domainvl.evaluation.specialists.answer_list import AnswerList
from domainvl.evaluation.specialists.answerer import Answerer, AnswerExample
from domainvl.evaluation.specialists.local_weights import (
    Statistics,
    image_statistics,
    load_local,
    local_name,
    statistics_of,
)
from domainvl.evaluation.specialists.sheets import SheetReader, images_of_sheet
from domainvl.evaluation.specialists.specialist import config_of, plain_config
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from domainvl.schema.sample import Sample

IMAGENET_EFFICIENTNET_LITE0 = "imagenet-efficientnet-lite0"
"""Name of the weights that a classifier can start from without a folder."""

IMAGENET_PRETRAINING = f"ImageNet-1k ({efficientnet_lite.PACKAGE} {efficientnet_lite.PACKAGE_VERSION})"

# ResNet-10 of an eighth of its usual width: trains on a CPU.
_SMALL_RESNET = {
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 64, 128],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
}


class Classifier(Answerer):
    """Features of the image, and one linear layer over the classes.

    Args:
        answers: What it chooses from.
        backbone: Turns images into features.
        features: Their number.
        statistics: How images are normalised.
        image_px: Side of the image.
        dataset: Folder of the data set whose images are read.
        pretraining: What the backbone's weights started from.
        architecture: From which :func:`_backbone` makes the backbone again.
    """

    def __init__(
        self,
        answers: AnswerList,
        backbone: nn.Module,
        features: int,
        *,
        statistics: Statistics,
        image_px: int,
        dataset: Path,
        pretraining: str,
        architecture: dict[str, Any],
    ) -> None:
        self.answers = answers
        self.pretraining = pretraining
        self.image_px = image_px
        self._statistics = statistics
        self._architecture = architecture
        self._features = features
        self._sheets = SheetReader(dataset, image_px, *statistics)
        self.module = nn.Sequential(backbone, nn.Linear(features, len(answers.answers)))

    @classmethod
    def start(cls, answers: AnswerList, dataset: Path, *, weights: str | None, image_px: int) -> Classifier:
        """Make an untrained one.

        Args:
            answers: What it chooses from.
            dataset: Folder of the data set whose images are read.
            weights: ``IMAGENET_EFFICIENTNET_LITE0``, a folder of transformers, or None to start from random weights.
            image_px: Side of the image.

        Raises:
            CheckpointError: If the weights cannot be used.
        """
        statistics: Statistics = (IMAGENET_MEAN, IMAGENET_STD)
        pretraining = FROM_SCRATCH
        backbone: nn.Module
        architecture: dict[str, Any]
        if weights == IMAGENET_EFFICIENTNET_LITE0:
            statistics = (efficientnet_lite.MEAN, efficientnet_lite.STD)
            backbone, architecture = efficientnet_lite.load_imagenet(), {"model_type": "efficientnet-lite0"}
            pretraining = IMAGENET_PRETRAINING
        elif weights is not None:
            from transformers import AutoModel

            folder = Path(weights)
            model = load_local(AutoModel, folder)
            backbone, architecture = _Pooled(model), plain_config(model.config)
            statistics, pretraining = image_statistics(folder), local_name(folder)
        else:
            architecture = {"model_type": "resnet", **_SMALL_RESNET}
            backbone = _backbone(architecture)
        return cls(
            answers,
            backbone,
            _count_features(backbone, image_px),
            statistics=statistics,
            image_px=image_px,
            dataset=dataset,
            pretraining=pretraining,
            architecture=architecture,
        )

    @classmethod
    def of_details(cls, details: dict[str, Any], dataset: Path, *, image_px: int, pretraining: str) -> Classifier:
        """Undo :meth:`details`; the weights are not yet those of training."""
        return cls(
            AnswerList.model_validate(details["answers"]),
            _backbone(details["architecture"]),
            int(details["features"]),
            statistics=statistics_of(details),
            image_px=image_px,
            dataset=dataset,
            pretraining=pretraining,
            architecture=details["architecture"],
        )

    def details(self) -> dict[str, JsonValue]:
        """See :class:`Specialist`."""
        mean, std = self._statistics
        return {
            "answers": self.answers.model_dump(mode="json"),
            "architecture": self._architecture,
            "features": self._features,
            "mean": list(mean),
            "std": list(std),
        }

    def look(self, sample: Sample, possible: tuple[int, ...]) -> AnswerExample:
        """See :class:`Answerer`."""
        return AnswerExample(images_of_sheet(sample), "", possible)

    def logits(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        """See :class:`Answerer`."""
        logits: torch.Tensor = self.module(self._sheets.read([example.images for example in examples], self.device))
        return logits


class _Pooled(nn.Module):
    """Features of an image by a model of transformers: what it pools, else the mean over places."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        outputs = self.model(pixel_values=pixels)
        pooled: torch.Tensor | None = getattr(outputs, "pooler_output", None)
        if pooled is None:
            last: torch.Tensor = outputs.last_hidden_state
            pooled = last.mean(dim=1) if last.ndim == 3 else last.mean(dim=(2, 3))
        return pooled.flatten(1)


def _backbone(architecture: Mapping[str, Any]) -> nn.Module:
    if architecture["model_type"] == "efficientnet-lite0":
        return efficientnet_lite.EfficientNetLite0()
    from transformers import AutoModel

    return _Pooled(AutoModel.from_config(config_of(architecture)))


def _count_features(backbone: nn.Module, image_px: int) -> int:
    backbone.eval()
    with torch.no_grad():
        features: torch.Tensor = backbone(torch.zeros(1, 3, image_px, image_px))
    return features.shape[1]
