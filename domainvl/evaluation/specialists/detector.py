"""A detector and grounder: RT-DETR (Zhao et al., 2024) of transformers, or another of the DETR family, without timm.

It knows class names only. Grounding it answers by the class that the expression names; of several objects of that
class it cannot say which one is meant, and gives the one that it is surest of.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from domainvl.errors import CheckpointError, NothingToDoError
from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.boxes import box_iou
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.results import FROM_SCRATCH
from domainvl.evaluation.specialists.local_weights import (
    Statistics,
    image_statistics,
    load_local,
    local_name,
    statistics_of,
)
from domainvl.evaluation.specialists.sheets import SheetReader
from domainvl.evaluation.specialists.specialist import (
    CannotAnswerError,
    Specialist,
    config_of,
    own_images,
    plain_config,
)
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from domainvl.schema.boxes import Box, Box1000, to_box_1000
from domainvl.schema.sample import Image, Sample, Task
from domainvl.schema.wording import NOTHING_FOUND, box_list, reference

TASKS = frozenset({Task.DETECTION, Task.GROUNDING})

SIGMOID_MODELS = frozenset({"rt_detr", "rt_detr_v2", "d_fine", "conditional_detr", "deformable_detr"})
"""Members of the family that score each class by itself; those with a class for "nothing" are read otherwise."""

_SAME_BOX = 0.7
"""From this IoU on, two boxes of one class are the same object, and the surer one stays."""

_FIRST_THRESHOLD = 0.3
_THRESHOLDS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9)

_SMALL_BACKBONE = {
    "model_type": "rt_detr_resnet",
    "embedding_size": 16,
    "hidden_sizes": [16, 32, 64, 64],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": ["stage2", "stage3", "stage4"],
}
# About a million weights; the proportions are those of RT-DETR-R18.
_SMALL_DETECTOR = {
    "model_type": "rt_detr",
    "freeze_backbone_batch_norms": False,
    "encoder_hidden_dim": 64,
    "encoder_in_channels": [32, 64, 64],
    "encoder_ffn_dim": 128,
    "encoder_attention_heads": 4,
    "d_model": 64,
    "num_queries": 50,
    "decoder_in_channels": [64, 64, 64],
    "decoder_ffn_dim": 128,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "num_denoising": 20,
}


@dataclass(frozen=True)
class BoxesExample:
    """An image with all that is known to be in it.

    Attributes:
        image: The image.
        classes: Class of each object.
        boxes: Their boxes (x_center, y_center, width, height) as shares of the image's sides.
    """

    image: Image
    classes: tuple[int, ...]
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class _Found:
    """One object that was found: its class, how sure that is, and its box in thousandths."""

    label: int
    score: float
    box_1000: Box1000


class Detector(Specialist[BoxesExample]):
    """Finds the objects of known classes.

    Args:
        labels: The classes.
        model: Of transformers, for object detection.
        statistics: How images are normalised.
        image_px: Side of the image; a multiple of 32.
        dataset: Folder of the data set whose images are read.
        pretraining: What the weights started from.
        threshold: Score from which on an object is written.
    """

    def __init__(
        self,
        labels: Sequence[str],
        model: Any,
        *,
        statistics: Statistics,
        image_px: int,
        dataset: Path,
        pretraining: str,
        threshold: float = _FIRST_THRESHOLD,
    ) -> None:
        self.labels = tuple(labels)
        self.threshold = threshold
        self.pretraining = pretraining
        self.image_px = image_px
        self.module = model
        self._statistics = statistics
        self._sheets = SheetReader(dataset, image_px, *statistics)

    @classmethod
    def start(cls, samples: Iterable[Sample], dataset: Path, *, weights: str | None, image_px: int) -> Detector:
        """Make an untrained one for the classes of training samples.

        Args:
            samples: The training samples.
            dataset: Folder of the data set whose images are read.
            weights: Folder of a detector of transformers, or None to start from random weights.
            image_px: Side of the image; a multiple of 32.

        Raises:
            CheckpointError: If the weights cannot be used.
            NothingToDoError: If no sample asks for boxes.
        """
        from transformers import AutoModelForObjectDetection

        labels = sorted({thing.label for sample in samples if sample.task in TASKS for thing in sample.objects})
        if not labels:
            rule = "no training sample asks for boxes"
            raise NothingToDoError("Cannot train a detector", where=dataset, rule=rule)
        statistics: Statistics = (IMAGENET_MEAN, IMAGENET_STD)
        if weights is None:
            sizes = {**_SMALL_DETECTOR, "backbone_config": dict(_SMALL_BACKBONE), "num_labels": len(labels)}
            model, pretraining = AutoModelForObjectDetection.from_config(config_of(sizes)), FROM_SCRATCH
        else:
            folder = Path(weights)
            model = load_local(
                AutoModelForObjectDetection, folder, num_labels=len(labels), ignore_mismatched_sizes=True
            )
            if model.config.model_type not in SIGMOID_MODELS:
                raise CheckpointError(
                    "Cannot start from weights",
                    where=folder,
                    rule=f"the model must be one of {', '.join(sorted(SIGMOID_MODELS))}, got {model.config.model_type}",
                )
            statistics, pretraining = image_statistics(folder), local_name(folder)
        return cls(labels, model, statistics=statistics, image_px=image_px, dataset=dataset, pretraining=pretraining)

    @classmethod
    def of_details(cls, details: dict[str, Any], dataset: Path, *, image_px: int, pretraining: str) -> Detector:
        """Undo :meth:`details`; the weights are not yet those of training."""
        from transformers import AutoModelForObjectDetection

        return cls(
            details["labels"],
            AutoModelForObjectDetection.from_config(config_of(details["architecture"])),
            statistics=statistics_of(details),
            image_px=image_px,
            dataset=dataset,
            pretraining=pretraining,
            threshold=float(details["threshold"]),
        )

    def details(self) -> dict[str, JsonValue]:
        """See :class:`Specialist`."""
        mean, std = self._statistics
        return {
            "labels": list(self.labels),
            "threshold": self.threshold,
            "architecture": plain_config(self.module.config),
            "mean": list(mean),
            "std": list(std),
        }

    def training_examples(self, samples: Iterable[Sample]) -> tuple[list[BoxesExample], Counter[str]]:
        """Return each image once, with the objects of all samples about it."""
        left_out = Counter[str]()
        images: dict[str, Image] = {}
        things: dict[str, dict[tuple[int, Box], None]] = {}
        for sample in samples:
            try:
                image = self._image(sample)
            except CannotAnswerError as reason:
                left_out[str(reason)] += 1
                continue
            images.setdefault(image.path, image)
            known = things.setdefault(image.path, {})
            for thing in sample.objects:
                if thing.box_px is not None and not thing.ignore and sample.images[thing.image].path == image.path:
                    known[self.labels.index(thing.label), _shares(thing.box_px, image)] = None
        return [
            BoxesExample(image, tuple(label for label, _ in things[path]), tuple(box for _, box in things[path]))
            for path, image in images.items()
        ], left_out

    def loss(self, examples: Sequence[BoxesExample]) -> torch.Tensor:
        """Return the loss of the model's own paper, as transformers computes it."""
        targets = [
            {
                "class_labels": torch.tensor(example.classes, dtype=torch.long, device=self.device),
                "boxes": torch.tensor(example.boxes, dtype=torch.float32, device=self.device).reshape(-1, 4),
            }
            for example in examples
        ]
        pixels = self._sheets.read([(example.image,) for example in examples], self.device)
        loss: torch.Tensor = self.module(pixel_values=pixels, labels=targets).loss
        return loss

    def check(self, sample: Sample) -> None:
        """See :class:`Specialist`."""
        self._image(sample)
        if sample.task is Task.GROUNDING and not named_labels(sample.question, self.labels):
            raise CannotAnswerError("the expression names no known class")

    def answer(self, samples: Sequence[Sample]) -> list[Prediction]:
        """See :class:`Specialist`."""
        return [self._write(sample, found) for sample, found in zip(samples, self._find(samples), strict=True)]

    def calibrate(self, samples: Sequence[Sample], batch_size: int) -> None:
        """Choose the threshold that scores best: the one whose mean IoU of answers is highest, the lowest of equals."""
        asked = [sample for sample in samples if sample.task is Task.DETECTION and len(own_images(sample)) == 1]
        if not asked:
            return
        found = [
            things
            for start in range(0, len(asked), batch_size)
            for things in self._find(asked[start : start + batch_size])
        ]

        def mean_iou(threshold: float) -> float:
            self.threshold = threshold
            answers = [self._write(sample, things) for sample, things in zip(asked, found, strict=True)]
            return sum(score(sample, answer).iou or 0.0 for sample, answer in zip(asked, answers, strict=True))

        self.threshold = max(_THRESHOLDS, key=mean_iou)

    def _image(self, sample: Sample) -> Image:
        if sample.task not in TASKS:
            raise CannotAnswerError(f"{sample.task.value} asks for no boxes")
        images = own_images(sample)
        if len(images) != 1:
            raise CannotAnswerError("boxes of several images" if images else "there is no image")
        return images[0]

    def _find(self, samples: Sequence[Sample]) -> list[list[_Found]]:
        """Return what is found in the image of each sample, the surest first, each object once."""
        outputs = self.module(pixel_values=self._sheets.read([(self._image(s),) for s in samples], self.device))
        scores, classes = outputs.logits.float().sigmoid().max(dim=2)
        found = []
        for row in range(len(samples)):
            things = [
                _Found(int(label), float(sure), _box_1000(box.tolist()))
                for sure, label, box in zip(scores[row], classes[row], outputs.pred_boxes[row].float(), strict=True)
            ]
            found.append(_each_once(sorted(things, key=lambda thing: (-thing.score, thing.box_1000))))
        return found

    def _write(self, sample: Sample, found: Sequence[_Found]) -> Prediction:
        asked = named_labels(sample.question, self.labels) or range(len(self.labels))
        things = [thing for thing in found if thing.label in asked]
        if sample.task is Task.GROUNDING:
            things = things[:1]
            text = reference(sample.question) + box_list([thing.box_1000 for thing in things]) if things else ""
        else:
            things = [thing for thing in things if thing.score >= self.threshold]
            things.sort(key=lambda thing: thing.label)
            text = "\n".join(
                reference(self.labels[label]) + box_list([thing.box_1000 for thing in things if thing.label == label])
                for label in sorted({thing.label for thing in things})
            )
        scores = tuple(thing.score for thing in things)
        likelihood = sum(scores) / len(scores) if scores else None
        answer = text or (NOTHING_FOUND if sample.task is Task.DETECTION else "")
        return Prediction(sample_id=sample.id, text=answer, likelihood=likelihood, box_scores=scores)


def named_labels(expression: str, labels: Sequence[str]) -> list[int]:
    """Return which classes an expression names, as whole words; a name within a longer one that it names is none.

    "The small car park" names "car park" and not "car"; a plural with s counts too.

    Args:
        expression: What is to be found.
        labels: The classes.
    """
    text = normalise_text(expression)
    named: list[int] = []
    for place in sorted(range(len(labels)), key=lambda place: (-len(labels[place]), place)):
        pattern = rf"(?<!\w){re.escape(normalise_text(labels[place]))}s?(?!\w)"
        if re.search(pattern, text):
            named.append(place)
            text = re.sub(pattern, "\0", text)
    return sorted(named)


def _shares(box_px: Box, image: Image) -> Box:
    x_min, y_min, x_max, y_max = box_px
    width, height = image.width_px, image.height_px
    return (
        (x_min + x_max) / 2 / width,
        (y_min + y_max) / 2 / height,
        (x_max - x_min) / width,
        (y_max - y_min) / height,
    )


def _box_1000(shares: Sequence[float]) -> Box1000:
    x, y, width, height = shares
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return to_box_1000((corners[0], corners[1], corners[2], corners[3]), 1, 1)


def _each_once(found: Sequence[_Found]) -> list[_Found]:
    kept: list[_Found] = []
    for thing in found:
        if not any(
            other.label == thing.label and box_iou(_as_floats(other), _as_floats(thing)) >= _SAME_BOX for other in kept
        ):
            kept.append(thing)
    return kept


def _as_floats(thing: _Found) -> Box:
    x_min, y_min, x_max, y_max = thing.box_1000
    return float(x_min), float(y_min), float(x_max), float(y_max)
