"""transformers' Trainer on given batches, padded as usual: what the project's own loop is compared with.

Nothing of the project's training is used but the rule of the learning rate: rows are padded on the right, the mask is
an ordinary one of ones and zeros, the loss is the native model's own over all logits.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from transformers import Trainer, TrainerCallback, TrainingArguments

from domainvl.model.checkpoint import LoadedModel, load_model
from domainvl.model.encoding import EncodedConversation
from domainvl.model.preprocessing import Tiles, normalise
from domainvl.training.optimiser import learning_rate

IGNORED = -100
"""Label that transformers' loss leaves out."""


@dataclass(frozen=True)
class EncodedSample:
    """A conversation with the tiles of each of its images, uint8 of shape (tiles, side, side, 3)."""

    conversation: EncodedConversation
    tiles: tuple[Tiles, ...] = ()


@dataclass(frozen=True)
class TrainerSettings:
    """How the weights move; see ``domainvl.training.recipe.Optimisation``.

    Attributes:
        learning_rate: Highest one.
        warmup_ratio: Share of the steps in which it rises.
        weight_decay: On what has more than one dimension.
        betas: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
    """

    learning_rate: float = 1e-3
    warmup_ratio: float = 0.1
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = 1.0


def trainer_losses(model_dir: Path, batches: list[list[EncodedSample]], settings: TrainerSettings) -> list[float]:
    """Train a model in float32 with transformers' Trainer, one step a batch.

    Args:
        model_dir: Checkpoint of the whole model; it is not changed.
        batches: What each step sees, in order.
        settings: How the weights move.

    Returns:
        The mean loss over the supervised tokens of each batch, before its step.
    """
    samples = list(chain.from_iterable(batches))
    numbers = iter(range(len(samples)))
    loaded = load_model(str(model_dir))
    trainer = padded_trainer(loaded, samples, [[next(numbers) for _ in batch] for batch in batches], settings)
    trainer.train()
    return trainer.step_losses()


def collate_padded(samples: Sequence[EncodedSample], loaded: LoadedModel) -> dict[str, torch.Tensor]:
    """Pad samples on the right to the longest.

    Returns:
        ``input_ids``, ``attention_mask`` and ``labels``, int64 of shape (samples, tokens), and, where there are images,
        ``pixel_values`` of shape (tiles, 3, side, side).
    """
    longest = max(len(one.conversation.input_ids) for one in samples)
    input_ids = torch.full((len(samples), longest), loaded.tokenizer.pad_token_id or 0)
    attention_mask = torch.zeros_like(input_ids)
    labels = torch.full_like(input_ids, IGNORED)
    for row, one in enumerate(samples):
        ids = torch.tensor(one.conversation.input_ids)
        input_ids[row, : len(ids)] = ids
        attention_mask[row, : len(ids)] = 1
        labels[row, : len(ids)] = torch.where(torch.tensor(one.conversation.supervised), ids, IGNORED)
    inputs = {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}
    tiles = [part for one in samples for part in one.tiles]
    if tiles:
        pixels = torch.from_numpy(np.concatenate(tiles))
        inputs["pixel_values"] = normalise(pixels, loaded.spec.preprocessing, torch.float32)
    return inputs


class ListedBatchesTrainer(Trainer):  # type: ignore[misc]
    """Takes the batches that it is given in their order, and remembers the loss of each step unrounded."""

    def __init__(self, *, batch_sampler: Sequence[Sequence[int]], **options: Any) -> None:
        self._batch_sampler = batch_sampler
        self._losses: dict[int, float] = defaultdict(float)
        super().__init__(**options)

    def get_train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.train_dataset, batch_sampler=self._batch_sampler, collate_fn=self.data_collator)

    def training_step(self, *arguments: Any, **options: Any) -> torch.Tensor:
        loss: torch.Tensor = super().training_step(*arguments, **options)
        self._losses[self.state.global_step] += loss.item()
        return loss

    def step_losses(self) -> list[float]:
        """Return the loss of each step; parts of a step sum to its mean."""
        return [loss for _, loss in sorted(self._losses.items())]


class ZeroMissingGradients(TrainerCallback):  # type: ignore[misc]
    """Gives zeros to what got no gradient, such as the vision encoder in a step without an image.

    torch's optimizers leave out a parameter without gradient: no decay, no momentum. The project's loop does not,
    because with several processes only some have an image.
    """

    def on_pre_optimizer_step(self, *_: Any, model: torch.nn.Module, **__: Any) -> None:
        for value in model.parameters():
            if value.requires_grad and value.grad is None:
                value.grad = torch.zeros_like(value)


def padded_trainer(
    loaded: LoadedModel,
    samples: Dataset[Any] | Sequence[EncodedSample],
    batches: Sequence[Sequence[int]],
    settings: TrainerSettings,
    *,
    parts_per_step: int = 1,
    evaluated: Dataset[Any] | Sequence[EncodedSample] | None = None,
    evaluated_every_steps: int = 0,
    collate: Callable[[Sequence[EncodedSample], LoadedModel], dict[str, torch.Tensor]] = collate_padded,
) -> ListedBatchesTrainer:
    """Make a Trainer of a model whose trained parameters are those that require gradients.

    Args:
        loaded: The model.
        samples: What it is trained on, by index.
        batches: The indices that are computed together, in order.
        settings: How the weights move.
        parts_per_step: How many of ``batches`` a step consists of.
        evaluated: What it is evaluated on, as many at a time as the first of ``batches`` has.
        evaluated_every_steps: How often; never with 0.
        collate: Makes the model's input.
    """
    step_count = -(-len(batches) // parts_per_step)
    trained = [value for value in loaded.model.parameters() if value.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": [value for value in trained if value.ndim > 1], "weight_decay": settings.weight_decay},
            {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
        ],
        lr=settings.learning_rate,
        betas=settings.betas,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda done: learning_rate(1.0, done + 1, step_count, settings.warmup_ratio)
    )
    arguments = TrainingArguments(
        output_dir=str(Path(tempfile.gettempdir()) / "never-written"),
        max_steps=step_count,
        per_device_eval_batch_size=len(batches[0]),
        gradient_accumulation_steps=parts_per_step,
        max_grad_norm=settings.max_grad_norm,
        use_cpu=True,
        save_strategy="no",
        eval_strategy="steps" if evaluated_every_steps else "no",
        eval_steps=evaluated_every_steps or None,
        prediction_loss_only=True,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    return ListedBatchesTrainer(
        model=loaded.model,
        args=arguments,
        data_collator=lambda chosen: collate(chosen, loaded),
        train_dataset=samples,
        eval_dataset=evaluated,
        optimizers=(optimizer, schedule),
        batch_sampler=batches,
        callbacks=[ZeroMissingGradients()],
    )
