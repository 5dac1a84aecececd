"""What a recipe says: all that decides a run besides the data, validated as a whole before anything is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.errors import RecipeError
from domainvl.model.adapters import LoraSettings
from domainvl.model.attention import Attention
from domainvl.model.device import Precision
from domainvl.model.parts import LayeredPart, Part, PerPart, TrainedParts
from domainvl.model.preprocessing import Preprocessing, Resize
from domainvl.model.quantisation import Quantisation
from domainvl.tiling import MAX_TILES_LIMIT
from domainvl.training.recipe_yaml import Layer, merge, validate, with_changes
from domainvl.yaml_files import parse_yaml

if TYPE_CHECKING:
    from typing import Self

Method = Literal["lora", "full"]
METHODS: tuple[Method, ...] = get_args(Method)
"""Each has a section of its name, which the others do not read."""

LearningRate = Annotated[float, Field(gt=0)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PreprocessingSettings(_Section):
    """What the recipe decides about the model's input; the rest belongs to the checkpoint.

    Attributes:
        max_tiles: Largest number of tiles a sample, shared over its images, thumbnails not counted.
        use_thumbnail: Whether a thumbnail follows the tiles of a divided image.
        resize: ``fast``, or ``exact`` for the official arithmetic to the last bit; the checkpoint's where None.
    """

    max_tiles: int = Field(default=12, ge=1, le=MAX_TILES_LIMIT)
    use_thumbnail: bool = True
    resize: Resize | None = None

    def applied_to(self, preprocessing: Preprocessing) -> Preprocessing:
        """Return a checkpoint's preprocessing with what the recipe decides."""
        return preprocessing.model_copy(update=self.model_dump(exclude_none=True))


class Mixture(_Section):
    """How much of the general data sets is mixed into those of the domain, and how much may be unusable.

    Attributes:
        general_ratio: General samples for each sample of the domain, the paper's r (arXiv 2410.16261, figure 4);
            drawn anew from all general data sets in each epoch. None: as often as each data set says.
        general_repeat: How often each general data set is seen in an epoch instead, the official ``repeat_time``;
            less than 1 is a share of its samples, drawn by the seed and not taken from the file's head.
        error_budget: Share of the samples of a run that may turn out unusable, such as a broken image; they are left
            out, counted and listed. Beyond it the run stops.
    """

    general_ratio: float | None = Field(default=None, ge=0)
    general_repeat: float | None = Field(default=None, ge=0)
    error_budget: float = Field(default=0.01, ge=0, lt=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.general_ratio is not None and self.general_repeat is not None:
            raise ValueError("mixture.general_ratio and mixture.general_repeat must not both be set")
        return self


class Packing(_Section):
    """How samples are put together in what the model computes at a time, and what becomes of samples that are too long.

    Attributes:
        arrangement: ``packed``: samples stand one behind the other in rows without padding, and none sees another.
            ``grouped``: samples of a step that are about equally long are padded to one length. ``auto``: the one
            that costs less on the machine; which is printed.
        max_tokens: Most tokens of a pack, or of rows that are padded together.
        max_tiles: Most tiles of the same.
        max_sample_tokens: Longest sample.
        over_long: What becomes of a sample that is longer, or has more tiles than a pack. ``refuse``: the run does not
            start. ``fewer-tiles``: its images get fewer tiles until it fits; if it never does, the run does not start.
            ``leave-out``: likewise, but then it is left out, counted and listed.
    """

    arrangement: Literal["auto", "packed", "grouped"] = "auto"
    max_tokens: int = Field(default=16_384, ge=2)
    max_tiles: int = Field(default=48, ge=1)
    max_sample_tokens: int = Field(default=8192, ge=2)
    over_long: Literal["refuse", "fewer-tiles", "leave-out"] = "fewer-tiles"

    def longest_window(self) -> int:
        """Return how many tokens a window of interleaved documents may have."""
        return min(self.max_sample_tokens, self.max_tokens)


class Optimisation(_Section):
    """How the weights move.

    Attributes:
        epochs: Passes over the training samples; None: as many as ``max_steps`` takes.
        max_steps: Stop after so many steps, whatever ``epochs`` says.
        batch_size: Samples a step, on average; samples that share one pass are never divided over steps.
        packs_per_step: Packs a step, over all processes, instead of ``batch_size`` samples.
        micro_batch_size: Samples at a time where they are grouped; the gradient is the same for any value.
        loss_weighting: Whether all tokens count alike, all samples, or between the two; the published domain
            adaptation uses ``square``.
        questions_per_pass: Most samples about the same images that share one pass through the model.
        learning_rate: Highest learning rate.
        learning_rates: Highest learning rates of single parts, where they differ from ``learning_rate``.
        warmup_ratio: Share of the steps in which the learning rates rise.
        weight_decay: On weight matrices; norms and biases are not decayed.
        drop_path_rate: How often the last layer of the vision encoder is left out for a tile, in training; less
            often the layers before it, see :func:`domainvl.model.drop_path.add_drop_path`.
        optimizer: ``adamw-8bit`` holds its state in 8 bits, by bitsandbytes: a quarter of the memory.
        betas: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
    """

    epochs: float | None = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    packs_per_step: int | None = Field(default=None, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    loss_weighting: Literal["token", "sample", "square"] = "token"
    questions_per_pass: int = Field(default=8, ge=1)
    learning_rate: LearningRate = 4e-5
    learning_rates: PerPart[LearningRate] = PerPart[LearningRate]()
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1)
    optimizer: Literal["adamw", "adamw-8bit"] = "adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(default=1.0, gt=0)


class CheckpointedParts(_Section):
    """Parts whose activations are computed again in the backward pass instead of being kept."""

    vision: bool = False
    language_model: bool = False


class Compute(_Section):
    """How the machine is used; none of it changes what is learned beyond rounding.

    Attributes:
        device: ``auto`` takes a GPU if there is one.
        precision: Of the arithmetic; ``auto`` is bf16 on a GPU that has it and fp32 elsewhere.
        weights: How weights that are not trained are held; ``auto`` is as ``precision`` with LoRA and fp32 with
            ``full``. Weights that are trained are always held in fp32.
        attention: ``auto`` takes flash-attn for the vision encoder where it is installed and can be used, and
            torch's own elsewhere.
        compile: Let torch compile the layers: slow to start, faster a step.
        gradient_checkpointing: Trade time for memory, in both parts or in one.
        parts_per_pack: Compute each pack in so many parts: less memory, the same gradient.
        cache_vision: Keep what a frozen vision encoder gives for each tile on disk; no tile is encoded twice.
        liger: Use the fused kernels of the package liger-kernel, on a GPU.
        parallel: With several processes: ``ddp`` holds the model in each, ``fsdp`` divides weights, gradients and
            optimizer state over them. ``auto`` is ``ddp``.
        tile_cache_mb: Memory for decoded tiles.
        readers: Threads that read images ahead of the model.
    """

    device: str = "auto"
    precision: Precision = "auto"
    weights: Precision = "auto"
    attention: Literal["auto", Attention] = "auto"
    compile: bool = False
    gradient_checkpointing: bool | CheckpointedParts = False
    parts_per_pack: int = Field(default=1, ge=1)
    cache_vision: bool = False
    liger: bool = False
    parallel: Literal["auto", "ddp", "fsdp"] = "auto"
    tile_cache_mb: int = Field(default=512, ge=0)
    readers: int = Field(default=2, ge=0)

    def checkpointed_parts(self) -> frozenset[LayeredPart]:
        """Return the parts whose activations are not kept."""
        wanted = self.gradient_checkpointing
        both = wanted if isinstance(wanted, bool) else None
        parts: dict[LayeredPart, bool] = {
            "vision": wanted.vision if isinstance(wanted, CheckpointedParts) else bool(both),
            "language_model": wanted.language_model if isinstance(wanted, CheckpointedParts) else bool(both),
        }
        return frozenset(part for part, chosen in parts.items() if chosen)


class Validation(_Section):
    """What is looked at during training.

    Attributes:
        every_steps: How often.
        max_samples: On how many held-out samples of each source.
        answers: How many of them are answered, scored and written to the log.
        max_new_tokens: Longest answer.
        best_by: What the best checkpoint is chosen by: the held-out loss, or the score of the answers.
        keep_best: Keep the best checkpoint beside the last one.
        patience: Stop after so many looks without a better one; None never stops early.
    """

    every_steps: int = Field(default=200, ge=1)
    max_samples: int = Field(default=64, ge=0)
    answers: int = Field(default=4, ge=0)
    max_new_tokens: int = Field(default=64, ge=1)
    best_by: Literal["loss", "answers"] = "loss"
    keep_best: bool = False
    patience: int | None = Field(default=None, ge=1)


class Saving(_Section):
    """When the state for resuming is saved.

    Attributes:
        every_steps: How often.
        keep: How many of the last states are kept.
    """

    every_steps: int = Field(default=200, ge=1)
    keep: int = Field(default=1, ge=1)


class Recipe(_Section):
    """All that decides a run besides the data.

    Attributes:
        name: How it is called.
        description: What it is for.
        model: Checkpoint to start from.
        method: Adapters or all weights.
        lora: Adapters, for ``method: lora``.
        full: Parts that are trained, for ``method: full``.
        quantisation: Whether the frozen language model is held in 4 bits a weight, for ``method: lora``.
        preprocessing: How images become tiles.
        mixture: How general data is mixed in.
        packing: How samples are put together.
        optimisation: How the weights move.
        compute: How the machine is used.
        validation: What is looked at during training.
        saving: When the state for resuming is saved.
        tracking: Where the log goes besides the run's folder.
        seed: Of order, dropout and adapters.
    """

    name: str
    description: str = ""
    model: str
    method: Method
    lora: LoraSettings = LoraSettings()
    full: TrainedParts = TrainedParts()
    quantisation: Literal["none", Quantisation] = "none"
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    mixture: Mixture = Mixture()
    packing: Packing = Packing()
    optimisation: Optimisation = Optimisation()
    compute: Compute = Compute()
    validation: Validation = Validation()
    saving: Saving = Saving()
    tracking: tuple[Literal["tensorboard", "wandb"], ...] = ()
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.optimisation.epochs is None and self.optimisation.max_steps is None:
            raise ValueError("optimisation.epochs and optimisation.max_steps must not both be null")
        if self.quantisation != "none" and self.method != "lora":
            raise ValueError(f"quantisation must be 'none' with method: {self.method}, got {self.quantisation!r}")
        for part in self.optimisation.learning_rates.named():
            if part not in self.trained_parts():
                raise ValueError(f"optimisation.learning_rates.{part} is set, but {part} is not trained")
        tiles = self.preprocessing.max_tiles
        most = tiles + (tiles > 1 and self.preprocessing.use_thumbnail)
        if most > self.packing.max_tiles:
            raise ValueError(
                f"packing.max_tiles must be at least {most}, which an image may have with "
                f"preprocessing.max_tiles={tiles} and its thumbnail, got {self.packing.max_tiles}"
            )
        if self.packing.arrangement == "grouped" and self.optimisation.packs_per_step is not None:
            raise ValueError("optimisation.packs_per_step is set, but packing.arrangement is 'grouped'")
        if self.compute.cache_vision and ("vision" in self.trained_parts() or self.optimisation.drop_path_rate > 0):
            raise ValueError("compute.cache_vision needs a vision encoder that is frozen and has no drop path")
        if self.validation.best_by == "answers" and not self.validation.answers:
            raise ValueError("validation.best_by is 'answers', but validation.answers is 0")
        chosen = {"keep_best": self.validation.keep_best, "patience": self.validation.patience is not None}
        chosen["best_by"] = self.validation.best_by == "answers"
        if not self.validation.max_samples and any(chosen.values()):
            key = next(key for key, is_set in chosen.items() if is_set)
            raise ValueError(f"validation.{key} is set, but validation.max_samples is 0: there are no looks")
        if self.compute.weights == "bf16" and self.compute.precision == "fp32":
            raise ValueError("compute.weights must not be 'bf16' where compute.precision is 'fp32'")
        return self

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """Return the recipe with other values, by keys such as ``lora.rank``; text is read as YAML, as of ``--set``.

        Raises:
            RecipeError: If a key is unknown, a value breaks a rule, or the recipe's method does not read it.
        """
        what = f"Cannot change the recipe {self.name}"
        values = [
            (key, parse_yaml(value, f"{key}={value}", what=what) if isinstance(value, str) else value)
            for key, value in changes.items()
        ]
        layers = with_changes(Recipe, [Layer(self.name, self.model_dump(mode="json"))], values, label=self.name)
        refuse_unread(changes, merge(layers)["method"])
        return validate(Recipe, layers, own=self.name, what=what, where=None)

    def trained_parts(self) -> frozenset[Part]:
        """Return the parts of which anything is trained."""
        return self.lora.parts() if self.method == "lora" else self.full.parts()


def refuse_unread(keys: Iterable[str], method: Any) -> None:
    """Refuse changes of a section that a recipe's method does not read.

    Args:
        keys: What is changed.
        method: The method, as it will be; what is none is left to the schema.

    Raises:
        RecipeError: Naming the first such key.
    """
    for key in keys:
        section = key.partition(".")[0]
        if section in METHODS and method in METHODS and section != method:
            raise RecipeError(
                f"Cannot set {key}",
                rule=f"{section}.* does nothing with method: {method}",
                action=f"Use --method {section}, or change {method}.*",
            )
