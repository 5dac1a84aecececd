"""Runs a real training step, or the two ends of generating an answer, on tensors that have shapes and no memory.

The model is transformers' own, prepared as training prepares it; loss and optimizer are those of training. What they
would hold is counted operation by operation, so checkpointing, adapters, frozen parts, types and the sparse output
layer need no formula. Only 4-bit weights are arithmetic, see :mod:`domainvl.planning.four_bit`. Not rehearsed:
torch.compile, which computes some activations again instead of keeping them, and what kernels use within one operation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, cast

from domainvl.model.attention import choose_attention
from domainvl.model.chat import Chat
from domainvl.model.checkpoint import CheckpointSpec, LoadedModel
from domainvl.model.device import choose_frozen_weights
from domainvl.model.packed_attention import PackLayout, UnitPlace
from domainvl.model.preprocessing import Preprocessing
from domainvl.model.sizes import build_on_meta
from domainvl.model.visual import VisualInput
from domainvl.planning.footprint import Footprint, Kind
from domainvl.training.batches import IGNORED, Batch
from domainvl.training.loss import AnswerLoss
from domainvl.training.optimiser import build_optimizer
from domainvl.training.preparation import adapt

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import InternVLConfig, PreTrainedTokenizerFast

    from domainvl.model.vision_cache import VisionCache
    from domainvl.training.recipe import Recipe

DeviceKind = Literal["gpu", "cpu"]

_CUDA_BLOCK_BYTES = 512
_WORD_ID = 1
"""Any token that is no image token; its number does not change what memory is needed."""


@dataclass(frozen=True)
class Row:
    """How long one sample is.

    Attributes:
        tiles: Tiles with thumbnails.
        text_tokens: All tokens that are not visual.
        answer_tokens: Those of them that the loss counts.
    """

    tiles: int
    text_tokens: int
    answer_tokens: int

    def tokens(self, tokens_per_tile: int) -> int:
        """Return the length of the sample."""
        return self.tiles * tokens_per_tile + self.text_tokens


@dataclass(frozen=True)
class BatchShape:
    """How much is computed at a time.

    Attributes:
        rows: Rows that are padded to one length; 1 where samples are packed.
        units: Samples in a row, or units of several samples that share their images.
        tiles: Tiles of a row, of all its samples.
        text_tokens: Its tokens that are not visual.
        answer_tokens: Those of them that the loss counts.
        questions: Samples about the same images that share one pass; each of the units has so many.
    """

    rows: int
    units: int
    tiles: int
    text_tokens: int
    answer_tokens: int
    questions: int = 1

    @classmethod
    def of(cls, row: Row, *, rows: int = 1, units: int = 1) -> BatchShape:
        """Return the shape of equal samples."""
        return cls(rows, units, units * row.tiles, units * row.text_tokens, units * row.answer_tokens)

    def divided(self, parts: int) -> BatchShape:
        """Return the largest of several parts of it."""
        units = -(-self.units // parts)
        share = units / self.units
        return BatchShape(
            -(-self.rows // parts) if self.units == 1 else self.rows,
            units,
            math.ceil(self.tiles * share),
            math.ceil(self.text_tokens * share),
            math.ceil(self.answer_tokens * share),
            self.questions,
        )


class TrainingRehearsal:
    """One model made ready for one recipe; several batches can be tried on it.

    Args:
        config: Of the model.
        recipe: How it is trained. ``precision: auto`` is bf16 on a GPU.
        device: Whose kernels and types are rehearsed.
    """

    def __init__(self, config: InternVLConfig, recipe: Recipe, device: DeviceKind) -> None:
        self._recipe = recipe
        self._stage = _Stage(config, device)
        arithmetic = arithmetic_type(recipe, device)
        model = _prepared_on_meta(config, recipe, arithmetic)
        # That of bitsandbytes calls kernels on memory that is not there.
        as_adamw = recipe.optimisation.model_copy(update={"optimizer": "adamw"})
        with self._stage.entered():
            self._loaded = self._stage.raise_model(model)
            self._optimizer = build_optimizer(self._loaded.model, as_adamw)
            if device == "gpu":
                for group in self._optimizer.param_groups:
                    group["foreach"] = True  # what AdamW chooses by itself on a GPU
            self._trained = [value for value in self._loaded.model.parameters() if value.requires_grad]
            self._fill_optimizer()
        cache = cast("VisionCache", _EmptyCache()) if recipe.compute.cache_vision else None
        self._loss = AnswerLoss(self._loaded, cache=cache)
        self._autocast = arithmetic_is_mixed(arithmetic)
        self._arithmetic = arithmetic
        self._watch_gradients()
        self._stage.watch_output_layer(self._loaded.internvl)

    def _fill_optimizer(self) -> None:
        """Let the optimizer make its state, which it has from the second step on."""
        import torch

        from domainvl.planning.eight_bit import hold_state_in_eight_bits

        tracker = self._stage.tracker
        self._add_missing_gradients()
        self._optimizer.step()
        if self._in_eight_bits:
            for state in self._optimizer.state.values():
                hold_state_in_eight_bits(state)
        states = (part for state in self._optimizer.state.values() for part in state.values())
        tracker.claim((part for part in states if isinstance(part, torch.Tensor)), Kind.OPTIMIZER)
        self.floor = tracker.live
        """Weights, gradients and optimizer state: what no batch is too small for."""
        self._optimizer.zero_grad(set_to_none=True)

    def _add_missing_gradients(self) -> None:
        """Give zeros to weights that have no gradient, as training does before the optimizer moves."""
        import torch

        for value in self._trained:
            if value.grad is None:
                value.grad = torch.zeros_like(value)
                self._stage.tracker.claim([value.grad], Kind.GRADIENTS)

    @property
    def _in_eight_bits(self) -> bool:
        return self._recipe.optimisation.optimizer == "adamw-8bit"

    def _watch_gradients(self) -> None:
        def claim(value: torch.Tensor) -> None:
            if value.grad is not None:
                self._stage.tracker.claim([value.grad], Kind.GRADIENTS)

        for value in self._trained:
            value.register_post_accumulate_grad_hook(claim)  # type: ignore[no-untyped-call]

    def peak(self, shape: BatchShape, *, whole_step: bool = False) -> Footprint:
        """Predict the peak of a step.

        Args:
            shape: What is computed at a time.
            whole_step: Whether that is all of a step; else gradients of earlier parts of it are there already.
        """
        import torch

        tracker = self._stage.tracker
        with self._stage.entered():
            batch = self._stage.batch(shape)
            if not whole_step:
                self._add_missing_gradients()
            self._loaded.model.train()
            tracker.phase = Kind.ACTIVATIONS
            tracker.restart()
            autocast = torch.autocast("cpu", dtype=self._arithmetic) if self._autocast else nullcontext()
            with autocast:
                loss = self._loss(batch).sum()
            tracker.phase = Kind.WORKING
            loss.backward()
            del loss
            self._add_missing_gradients()
            torch.nn.utils.clip_grad_norm_(self._trained, self._recipe.optimisation.max_grad_norm)
            if not self._in_eight_bits:  # which works in place, tensor by tensor
                self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
            return tracker.peak


def rehearse_answering(
    config: InternVLConfig, dtype: torch.dtype, device: DeviceKind, *, row: Row, batch_size: int, new_tokens: int
) -> Footprint:
    """Predict the peak of generating answers: of reading the prompts, or of the last token, whichever is more.

    Args:
        config: Of the model.
        dtype: Of its weights.
        device: Whose kernels are rehearsed.
        row: Length of each prompt.
        batch_size: Prompts at a time.
        new_tokens: Longest answer.
    """
    import torch

    stage = _Stage(config, device)
    model = build_on_meta(config).to(dtype)
    with stage.entered(), torch.no_grad():
        internvl = stage.raise_model(model).internvl
        internvl.eval()
        stage.watch_output_layer(internvl)
        ids = stage.batch(BatchShape.of(row, rows=batch_size)).input_ids
        tokens = ids.shape[1]
        mask = torch.ones(batch_size, tokens, dtype=torch.long)
        if batch_size > 1:
            mask[0, 0] = 0  # prompts differ in length, so there is a mask
        side_px = config.vision_config.image_size[0]
        pixels = torch.empty(row.tiles * batch_size, 3, side_px, side_px, dtype=dtype)
        tracker = stage.tracker
        tracker.phase = Kind.ACTIVATIONS
        tracker.restart()
        cache = stage.watched_cache(internvl)
        internvl(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=pixels,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,  # as generate() does
        )
        tracker.phase = Kind.CACHE
        _lengthen(cache, tokens + new_tokens - 1)
        tracker.phase = Kind.ACTIVATIONS
        internvl(
            input_ids=ids[:, :1],
            attention_mask=torch.cat([mask, torch.ones(batch_size, new_tokens, dtype=torch.long)], dim=1),
            past_key_values=cache,
            use_cache=True,
        )
        return tracker.peak


def _lengthen(cache: Any, tokens: int) -> None:
    """Give a cache the length that it has before the last token of an answer."""
    for layer in cache.layers:
        shape = (*layer.keys.shape[:2], tokens, layer.keys.shape[3])
        layer.keys, layer.values = layer.keys.new_empty(shape), layer.values.new_empty(shape)
        if hasattr(layer, "cumulative_length"):  # of a model with a sliding window, as Phi-3 has
            layer.cumulative_length = tokens


def arithmetic_type(recipe: Recipe, device: DeviceKind) -> torch.dtype:
    """Return the type of a recipe's arithmetic; ``auto`` is bf16 on a GPU, which one that is rehearsed has."""
    import torch

    precision = recipe.compute.precision
    if precision == "auto":
        return torch.bfloat16 if device == "gpu" else torch.float32
    return torch.bfloat16 if precision == "bf16" else torch.float32


def arithmetic_is_mixed(arithmetic: torch.dtype) -> bool:
    """Return whether training uses autocast."""
    import torch

    return arithmetic != torch.float32


def _prepared_on_meta(config: InternVLConfig, recipe: Recipe, arithmetic: torch.dtype) -> nn.Module:
    """Prepare a model of shapes alone as training prepares a real one."""
    from domainvl.planning.four_bit import hold_in_four_bits

    weights = choose_frozen_weights(recipe.compute.weights, arithmetic, adapters=recipe.method == "lora")
    internvl = build_on_meta(config).to(weights)
    internvl.set_attn_implementation(_attention(recipe, arithmetic))
    model = adapt(internvl, recipe)
    if recipe.quantisation != "none":
        hold_in_four_bits(internvl.model.language_model.layers, recipe.quantisation, arithmetic)
    return model


def _attention(recipe: Recipe, arithmetic: torch.dtype) -> dict[str, str]:
    """Choose as training does; flash-attn and flex attention hold as little as torch's own, which stand for them."""
    import torch

    wanted = recipe.compute.attention
    requested = wanted if wanted in ("eager", "sdpa") else None
    return choose_attention(torch.device("cpu"), arithmetic, packs=True, requested=requested)


class _EmptyCache:
    """Stands for a cache that has nothing yet, as in a run's first epoch: what is encoded is held while it is used."""

    def read(self, _key: str) -> None:
        """Find nothing."""

    def write(self, _key: str, _features: torch.Tensor) -> None:
        """Keep nothing: it would go to the disk."""


class _Stage:
    """The modes under which everything runs, and what is put under them."""

    def __init__(self, config: InternVLConfig, device: DeviceKind) -> None:
        from torch._subclasses.fake_tensor import FakeTensorMode

        from domainvl.planning.integers import KnownIntegers
        from domainvl.planning.tracking import MemoryTracker

        self._config = config
        self._device = device
        # Tiles come as real arrays of zeros, as they come from the reader in training.
        self._fakes = FakeTensorMode(allow_non_fake_inputs=True)
        self._integers = KnownIntegers(self._fakes)
        self.tracker = MemoryTracker(_CUDA_BLOCK_BYTES if device == "gpu" else 1)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let nothing be computed, and everything be counted."""
        from domainvl.planning.gpu_kernels import gpu_kernels

        with ExitStack() as modes:
            modes.enter_context(self._fakes)
            modes.enter_context(self._integers)
            modes.enter_context(self.tracker)
            if self._device == "gpu":
                modes.enter_context(gpu_kernels())
            yield

    def raise_model(self, model: nn.Module) -> LoadedModel:
        """Put fake tensors in place of a meta model's, and count them as weights."""
        import torch

        raised: dict[int, torch.Tensor] = {}

        def fake(tensor: torch.Tensor) -> torch.Tensor:
            if id(tensor) not in raised:  # adapters can share a matrix
                empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                is_parameter = isinstance(tensor, torch.nn.Parameter)
                raised[id(tensor)] = torch.nn.Parameter(empty, tensor.requires_grad) if is_parameter else empty
            return raised[id(tensor)]

        originals = []
        for module in model.modules():
            for table in (cast("dict[str, Any]", module._parameters), module._buffers):
                for name, tensor in table.items():
                    if tensor is not None:
                        originals.append(tensor)  # alive until the end, so that no number is used again
                        table[name] = fake(tensor)
        self.tracker.claim(raised.values(), Kind.WEIGHTS)
        vision = self._config.vision_config
        preprocessing = Preprocessing(tile_side_px=vision.image_size[0], tokens_per_tile=self._config.image_seq_length)
        spec = CheckpointSpec(kind="model", chat=Chat(format="Hermes-2"), preprocessing=preprocessing)
        return LoadedModel(model, cast("PreTrainedTokenizerFast", None), spec)

    def watch_output_layer(self, internvl: Any) -> None:
        """Count what the output layer makes, and what is made of that, as logits."""

        def begin(*_: Any) -> None:
            self.tracker.phase = Kind.LOGITS

        internvl.lm_head.register_forward_pre_hook(begin)

    def watched_cache(self, internvl: Any) -> Any:
        """Make a key/value cache whose tensors are counted as such."""
        from transformers import DynamicCache

        cache = DynamicCache(config=internvl.config.text_config)
        update = cache.update

        def watched_update(*args: Any, **kwargs: Any) -> Any:
            phase, self.tracker.phase = self.tracker.phase, Kind.CACHE
            keys, values = update(*args, **kwargs)
            self.tracker.claim([keys, values], Kind.CACHE)  # a first part is kept as it came
            self.tracker.phase = phase
            return keys, values

        cache.update = watched_update
        return cache

    def batch(self, shape: BatchShape) -> Batch:
        """Make a batch of equal rows: the visual tokens, the questions, the answers."""
        import numpy as np
        import torch
        from torch._subclasses.fake_tensor import unset_fake_temporarily

        visual = shape.tiles * self._config.image_seq_length
        tokens = visual + shape.text_tokens
        side_px = self._config.vision_config.image_size[0]
        with unset_fake_temporarily():
            input_ids = torch.full((shape.rows, tokens), _WORD_ID)
            input_ids[:, :visual] = self._config.image_token_id
            labels = torch.full_like(input_ids, IGNORED)
            labels[:, tokens - shape.answer_tokens :] = _WORD_ID
            integers = (
                input_ids,
                torch.arange(tokens).repeat(shape.rows, 1),  # positions
                labels,
                torch.zeros_like(input_ids),  # sources
            )
            weights = (labels != IGNORED).float()
        fakes = [self._integers.fake(tensor) for tensor in integers]
        tiles = np.zeros((shape.tiles, side_px, side_px, 3), np.uint8)
        images = [VisualInput(tiles=tiles, key=str(row)) for row in range(shape.rows if shape.tiles else 0)]
        return Batch(
            fakes[0],
            fakes[1],
            fakes[2],
            self._integers.fake(weights),
            fakes[3],
            _layout(shape, visual, tokens),
            tuple(images),
        )


def _layout(shape: BatchShape, visual: int, tokens: int) -> PackLayout:
    """Let the units of a row be about equally long, and share their visual tokens where they have several questions."""
    places = []
    for row in range(shape.rows):
        for start, end in pairwise(_cuts(tokens, shape.units)):
            shared = max(1, visual // shape.units) if shape.questions > 1 else 0
            own = end - start - shared
            lengths = [after - before for before, after in pairwise(_cuts(own, shape.questions))]
            if min(lengths) > 0:
                places.append(UnitPlace(row, start, shared, tuple(lengths)))
    return PackLayout(tuple(places), shape.rows, tokens)


def _cuts(tokens: int, parts: int) -> list[int]:
    return [tokens * number // parts for number in range(parts + 1)]
