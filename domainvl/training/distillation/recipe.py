"""What a distillation recipe says, validated as a whole before anything is loaded, and its YAML.

The paper (arXiv 2410.16261) says: a frozen teacher, negative cosine similarity on the hidden states of the last K
layers, tiles of 448 px. Every default here that goes beyond that is this project's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.errors import RecipeError
from domainvl.model.device import Precision
from domainvl.model.sizes import SIZE_NAMES
from domainvl.training.recipe import PreprocessingSettings
from domainvl.training.recipe_yaml import Layer, as_yaml, parse_change, validate, with_changes
from domainvl.yaml_files import read_mapping

if TYPE_CHECKING:
    from typing import Self

INTERNVIT_300M = "internvit-300m"
"""Name of the vision encoder of Mini-InternVL 1B, 2B and 4B, which is one."""

STUDENT_SIZES = {INTERNVIT_300M: "1b", **{name: name for name in SIZE_NAMES if name != "tiny"}}
"""Names of students of a known shape, and the size of model whose vision encoder that is. ``tiny`` ships as a
checkpoint, so that name means its weights."""

TEACHER_LAYERS = "teacher-layers"

_FOLDER = "_distillation"  # the underscore keeps it out of the list of recipes of finetune


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StudentSettings(_Section):
    """The student's shape and first weights.

    Attributes:
        start: ``random``; ``teacher-layers`` for layers of the teacher, evenly spread and the last among them; or a
            checkpoint, whose vision encoder it is.
        size: A known shape, for ``random``: ``internvit-300m``, or a size of model.
        layers: Number of layers; with ``teacher-layers`` half the teacher's where None, else the teacher's.
        width: Width of the hidden states; the teacher's where None.
        heads: Attention heads; as wide as the teacher's where None.
        mlp_width: Width inside the MLP; in the teacher's proportion where None.
    """

    start: str = "random"
    size: str | None = None
    layers: int | None = Field(default=None, ge=1)
    width: int | None = Field(default=None, ge=1)
    heads: int | None = Field(default=None, ge=1)
    mlp_width: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        widths = [name for name in ("width", "heads", "mlp_width") if getattr(self, name) is not None]
        given = [*(["layers"] if self.layers is not None else []), *widths]
        if self.size is not None and self.size not in STUDENT_SIZES:
            raise ValueError(f"student.size must be one of {', '.join(STUDENT_SIZES)}, got {self.size!r}")
        if self.size is not None and (given or self.start != "random"):
            raise ValueError(
                f"student.{(given or ['start'])[0]} is set, but student.size, {self.size!r}, is a whole shape, of "
                "random weights"
            )
        if self.start == TEACHER_LAYERS and widths:
            raise ValueError(f"student.{widths[0]} is set, but layers of the teacher have the teacher's widths")
        if self.start not in ("random", TEACHER_LAYERS) and given:
            raise ValueError(f"student.{given[0]} is set, but the shape of {self.start!r} is that of its checkpoint")
        return self


class MatchingSettings(_Section):
    """What the student learns.

    Attributes:
        last_layers: The paper's K: so many last layers of the student match as many of the teacher. The paper does
            not say how many it took.
    """

    last_layers: int = Field(default=4, ge=1)


class ImageSettings(_Section):
    """Which images.

    Attributes:
        held_out_share: Share of the images of plain folders that is held out. Of a data set its validation images are
            held out and its test images are never touched.
        max_held_out: Most images that are held out.
        error_budget: Share of the images that may turn out unusable; they are left out, counted and listed. Beyond it
            the run stops.
    """

    held_out_share: float = Field(default=0.05, gt=0, lt=1)
    max_held_out: int = Field(default=64, ge=1)
    error_budget: float = Field(default=0.01, ge=0, lt=1)


class DistillationOptimisation(_Section):
    """How the weights move.

    Attributes:
        epochs: Passes over the images.
        max_steps: Stop after so many steps, whatever ``epochs`` says.
        tiles_per_step: Most tiles a step; images are not divided over steps, one with more tiles is a step of its own.
        micro_batch_tiles: Tiles at a time in the two encoders; the gradient is the same for any value.
        learning_rate: Highest learning rate.
        warmup_ratio: Share of the steps in which the learning rate rises.
        weight_decay: On weight matrices; norms, biases and scales of layers are not decayed.
        betas: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
    """

    epochs: int = Field(default=1, ge=1)
    max_steps: int | None = Field(default=None, ge=1)
    tiles_per_step: int = Field(default=128, ge=1)
    micro_batch_tiles: int = Field(default=32, ge=1)
    learning_rate: float = Field(default=1e-4, gt=0)
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[float, float] = (0.9, 0.98)
    max_grad_norm: float = Field(default=1.0, gt=0)


class DistillationCompute(_Section):
    """How the machine is used.

    Attributes:
        device: ``auto`` takes a GPU if there is one.
        precision: Of the arithmetic; ``auto`` is bf16 on a GPU that has it and fp32 elsewhere. The teacher is held in
            it; the student is always held in fp32.
        gradient_checkpointing: Compute the student's activations again in the backward pass instead of keeping them.
        readers: Threads that read images ahead of the model.
    """

    device: str = "auto"
    precision: Precision = "auto"
    gradient_checkpointing: bool = False
    readers: int = Field(default=2, ge=1)


class EverySteps(_Section):
    """How often something is done.

    Attributes:
        every_steps: After so many steps, and at the end.
    """

    every_steps: int = Field(default=500, ge=1)


class DistillationRecipe(_Section):
    """A whole distillation recipe."""

    name: str
    description: str = ""
    student: StudentSettings = StudentSettings()
    matching: MatchingSettings = MatchingSettings()
    preprocessing: PreprocessingSettings = PreprocessingSettings()
    images: ImageSettings = ImageSettings()
    optimisation: DistillationOptimisation = DistillationOptimisation()
    compute: DistillationCompute = DistillationCompute()
    validation: EverySteps = EverySteps()
    saving: EverySteps = EverySteps()
    seed: int = 0


def distillation_recipe_names() -> list[str]:
    """Return the names of the distillation recipes that ship with domainvl."""
    folder = resources.files("domainvl.recipes").joinpath(_FOLDER)
    return sorted(file.name.removesuffix(".yaml") for file in folder.iterdir() if file.name.endswith(".yaml"))


def load_distillation_recipe(
    reference: str, *, overrides: Sequence[str] = (), student: StudentSettings | None = None
) -> DistillationRecipe:
    """Load and validate a distillation recipe.

    Args:
        reference: A path to YAML, or the name of one that ships with domainvl.
        overrides: Changes such as ``optimisation.learning_rate=1e-4``; they win over the file.
        student: Instead of the recipe's whole section ``student``.

    Raises:
        RecipeError: Naming file, key, rule and the nearest valid name.
    """
    content = _read(reference)
    if student is not None:
        content["student"] = student.model_dump(exclude_none=True)
    layers = [Layer(reference, {"name": reference, **content})]
    layers = with_changes(DistillationRecipe, layers, [parse_change(override) for override in overrides])
    return validate(DistillationRecipe, layers, own=reference, what="Invalid recipe", where=reference)


def save_distillation_recipe(recipe: DistillationRecipe, path: Path) -> None:
    """Write a resolved recipe; loading it gives the same recipe."""
    path.write_text(as_yaml(recipe), encoding="utf-8")


def _read(reference: str) -> dict[str, object]:
    path = Path(reference)
    packaged = resources.files("domainvl.recipes").joinpath(_FOLDER, f"{reference}.yaml")
    source = path if path.suffix in (".yaml", ".yml") else packaged
    if not source.is_file():
        names = ", ".join(distillation_recipe_names())
        raise RecipeError(
            f"There is no distillation recipe {reference!r}", action=f"Recipes are: {names}; or name a .yaml file"
        )
    return read_mapping(source, reference, what="Cannot load a recipe")
