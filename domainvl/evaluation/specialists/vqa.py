"""A VQA answer classifier: ViLT (Kim et al., 2021) of transformers over the most frequent training answers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue

from domainvl.evaluation.results import FROM_SCRATCH
from domainvl.evaluation.specialists.answer_list import AnswerList
from domainvl.evaluation.specialists.answerer import Answerer, AnswerExample, read_text
from domainvl.evaluation.specialists.local_weights import (
    Statistics,
    image_statistics,
    load_local,
    local_name,
    statistics_of,
)
from domainvl.evaluation.specialists.sheets import SheetReader, images_of_sheet
from domainvl.evaluation.specialists.specialist import config_of, plain_config
from domainvl.evaluation.specialists.words import LONGEST_TEXT, learn_words
from domainvl.model.preprocessing import IMAGENET_MEAN, IMAGENET_STD
from domainvl.schema.sample import Sample

# A sixth of ViLT-B/32's width and a quarter of its depth: trains on a CPU in minutes.
_SMALL_VILT = {
    "hidden_size": 128,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 512,
    "hidden_dropout_prob": 0.1,
    "max_position_embeddings": LONGEST_TEXT,
}
_PATCHES_A_SIDE = 7
"""Of the small network: 32-px patches of a 224-px image, as ViLT-B/32 has them."""

_TOKENIZER_FOLDER = "tokenizer"
_TOKENIZER_CONFIG = "tokenizer_config.json"


class AnswerClassifier(Answerer):
    """ViLT with a class for each answer.

    Args:
        answers: What it chooses from.
        model: ViltForQuestionAnswering.
        tokenizer: Of its texts.
        statistics: How images are normalised.
        image_px: Side of the image.
        dataset: Folder of the data set whose images are read.
        pretraining: What the weights started from.
    """

    def __init__(
        self,
        answers: AnswerList,
        model: Any,
        tokenizer: Any,
        *,
        statistics: Statistics,
        image_px: int,
        dataset: Path,
        pretraining: str,
    ) -> None:
        self.answers = answers
        self.pretraining = pretraining
        self.image_px = image_px
        self.module = model
        self._longest_text = int(model.config.max_position_embeddings)
        self._tokenizer = tokenizer
        self._statistics = statistics
        self._sheets = SheetReader(dataset, image_px, *statistics)

    @classmethod
    def start(
        cls,
        answers: AnswerList,
        samples: Iterable[Sample],
        dataset: Path,
        *,
        weights: str | None,
        image_px: int,
    ) -> AnswerClassifier:
        """Make an untrained one.

        Args:
            answers: What it chooses from.
            samples: Training samples, whose words a network from random weights knows.
            dataset: Folder of the data set whose images are read.
            weights: Folder of a ViLT of transformers with its tokenizer, or None to start from random weights.
            image_px: Side of the image; a multiple of the patches' side.

        Raises:
            CheckpointError: If the weights cannot be used.
        """
        from transformers import AutoTokenizer, ViltConfig, ViltForQuestionAnswering

        labels: dict[str, Any] = {"num_labels": len(answers.answers)}
        statistics: Statistics = (IMAGENET_MEAN, IMAGENET_STD)
        if weights is not None:
            folder = Path(weights)
            model = load_local(ViltForQuestionAnswering, folder, ignore_mismatched_sizes=True, **labels)
            tokenizer = load_local(AutoTokenizer, folder, marker=_TOKENIZER_CONFIG)
            statistics, pretraining = image_statistics(folder), local_name(folder)
        else:
            tokenizer = learn_words(read_text(sample) for sample in samples)
            patch_px = max(1, image_px // _PATCHES_A_SIDE)
            sizes = {"vocab_size": len(tokenizer), "image_size": image_px, "patch_size": patch_px}
            model = ViltForQuestionAnswering(ViltConfig(**_SMALL_VILT, **sizes, **labels))
            pretraining = FROM_SCRATCH
        return cls(
            answers,
            model,
            tokenizer,
            statistics=statistics,
            image_px=image_px,
            dataset=dataset,
            pretraining=pretraining,
        )

    @classmethod
    def of_details(
        cls, details: dict[str, Any], folder: Path, dataset: Path, *, image_px: int, pretraining: str
    ) -> AnswerClassifier:
        """Undo :meth:`details` and :meth:`save_further`; the weights are not yet those of training."""
        from transformers import AutoTokenizer, ViltForQuestionAnswering

        return cls(
            AnswerList.model_validate(details["answers"]),
            ViltForQuestionAnswering(config_of(details["architecture"])),
            load_local(AutoTokenizer, folder / _TOKENIZER_FOLDER, marker=_TOKENIZER_CONFIG),
            statistics=statistics_of(details),
            image_px=image_px,
            dataset=dataset,
            pretraining=pretraining,
        )

    def details(self) -> dict[str, JsonValue]:
        """See :class:`Specialist`."""
        mean, std = self._statistics
        return {
            "answers": self.answers.model_dump(mode="json"),
            "architecture": plain_config(self.module.config),
            "mean": list(mean),
            "std": list(std),
        }

    def save_further(self, folder: Path) -> None:
        """Save the tokenizer."""
        self._tokenizer.save_pretrained(folder / _TOKENIZER_FOLDER)

    def look(self, sample: Sample, possible: tuple[int, ...]) -> AnswerExample:
        """See :class:`Answerer`."""
        return AnswerExample(images_of_sheet(sample), read_text(sample), possible)

    def logits(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        """See :class:`Answerer`."""
        texts = self._tokenizer(
            [example.text for example in examples],
            padding=True,
            truncation=True,
            max_length=self._longest_text,
            return_tensors="pt",
        ).to(self.device)
        pixels = self._sheets.read([example.images for example in examples], self.device)
        outputs = self.module(
            input_ids=texts["input_ids"],
            attention_mask=texts["attention_mask"],
            pixel_values=pixels,
            pixel_mask=torch.ones(pixels.shape[0], *pixels.shape[2:], dtype=torch.long, device=self.device),
        )
        logits: torch.Tensor = outputs.logits
        return logits
