"""Recipes: YAML that says what is trained on what, validated as a whole before anything is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from domainvl.errors import RecipeError
from domainvl.model.adapters import LoraSettings
from domainvl.model.attention import Attention
from domainvl.model.device import Precision
from domainvl.model.parts import Part, PerPart, TrainedParts
from domainvl.model.preprocessing import Preprocessing, Resize
from domainvl.model.quantisation import Quantisation
from domainvl.tiling import MAX_TILES_LIMIT

if TYPE_CHECKING:
    from typing import Self

_MAX_INHERITANCE = 8

Method = Literal["lora", "full"]
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


class Optimisation(_Section):
    """How the weights move.

    Attributes:
        epochs: Passes over the training samples.
        max_steps: Stop after so many steps, whatever ``epochs`` says.
        batch_size: Samples a step, on average; a pass is never divided over steps.
        micro_batch_size: Samples at a time; the gradient is the same for any value.
        loss_weighting: Whether all tokens count alike, all samples, or between the two; the published domain
            adaptation uses ``square``.
        questions_per_pass: Most samples about the same images that share one pass through the model.
        learning_rate: Highest learning rate.
        learning_rates: Highest learning rates of single parts, where they differ from ``learning_rate``.
        warmup_ratio: Share of the steps in which the learning rates rise.
        weight_decay: On weight matrices; norms and biases are not decayed.
        drop_path_rate: How often the last layer of the vision encoder is left out for a tile, in training; less
            often the layers before it, see :func:`domainvl.model.drop_path.add_drop_path`.
        betas: Of AdamW.
        max_grad_norm: Gradients are scaled down to this norm.
    """

    epochs: float = Field(default=1.0, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    batch_size: int = Field(default=16, ge=1)
    micro_batch_size: int = Field(default=4, ge=1)
    loss_weighting: Literal["token", "sample", "square"] = "token"
    questions_per_pass: int = Field(default=8, ge=1)
    learning_rate: LearningRate = 4e-5
    learning_rates: PerPart[LearningRate] = PerPart[LearningRate]()
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1)
    weight_decay: float = Field(default=0.01, ge=0)
    drop_path_rate: float = Field(default=0.0, ge=0, lt=1)
    betas: tuple[float, float] = (0.9, 0.999)
    max_grad_norm: float = Field(default=1.0, gt=0)


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
        gradient_checkpointing: Trade time for memory.
        tile_cache_mb: Memory for decoded tiles.
    """

    device: str = "auto"
    precision: Precision = "auto"
    weights: Precision = "auto"
    attention: Literal["auto", Attention] = "auto"
    compile: bool = False
    gradient_checkpointing: bool = False
    tile_cache_mb: int = Field(default=512, ge=0)


class Validation(_Section):
    """What is looked at during training.

    Attributes:
        every_steps: How often.
        max_samples: On how many held-out samples.
        answers: How many of them are answered and written to the log.
        max_new_tokens: Longest answer.
    """

    every_steps: int = Field(default=200, ge=1)
    max_samples: int = Field(default=64, ge=0)
    answers: int = Field(default=4, ge=0)
    max_new_tokens: int = Field(default=64, ge=1)


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
        optimisation: How the weights move.
        compute: How the machine is used.
        validation: What is looked at during training.
        save_every_steps: How often the state for resuming is saved.
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
    optimisation: Optimisation = Optimisation()
    compute: Compute = Compute()
    validation: Validation = Validation()
    save_every_steps: int = Field(default=200, ge=1)
    seed: int = 0

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.quantisation != "none" and self.method != "lora":
            raise ValueError(f"quantisation must be 'none' with method: {self.method}, got {self.quantisation!r}")
        for part in self.optimisation.learning_rates.named():
            if part not in self.trained_parts():
                raise ValueError(f"optimisation.learning_rates.{part} is set, but {part} is not trained")
        if self.compute.weights == "bf16" and self.compute.precision == "fp32":
            raise ValueError("compute.weights must not be 'bf16' where compute.precision is 'fp32'")
        return self

    def trained_parts(self) -> frozenset[Part]:
        """Return the parts of which anything is trained."""
        return self.lora.parts() if self.method == "lora" else self.full.parts()


def recipe_names() -> list[str]:
    """Return the names of the recipes that ship with domainvl."""
    root = resources.files("domainvl.recipes")
    names = []
    for folder in root.iterdir():
        if folder.is_dir() and not folder.name.startswith("_"):
            names += [
                f"{folder.name}/{file.name.removesuffix('.yaml')}"
                for file in folder.iterdir()
                if file.name.endswith(".yaml")
            ]
    return sorted(names)


def load_recipe(
    reference: str, *, method: Method | None = None, overrides: Sequence[str] = (), model: str | None = None
) -> Recipe:
    """Load and validate a recipe.

    Args:
        reference: A path to YAML, a full name such as ``medical/lora``, or a family such as ``medical``.
        method: Which of a family's recipes; LoRA where None.
        overrides: Changes such as ``optimisation.learning_rate=1e-4``; they win over the file.
        model: Checkpoint to start from instead of the recipe's.

    Raises:
        RecipeError: Naming file, key, rule and the nearest valid name.
    """
    name = reference
    if "/" not in reference and not reference.endswith((".yaml", ".yml")):
        name = f"{reference}/{method or 'lora'}"
    content = _load_with_parents(_find(name, reference), depth=0)
    content.setdefault("name", name)
    if method is not None:
        content["method"] = method
    if model is not None:
        content["model"] = model
    for override in overrides:
        _apply_override(content, override)
        _refuse_other_method(override, content.get("method"))
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        raise _explain(error, reference) from error


def save_recipe(recipe: Recipe, path: Path) -> None:
    """Write a resolved recipe; loading it gives the same recipe."""
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


def _find(name: str, reference: str) -> Traversable | Path:
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return path
        raise RecipeError("Cannot load a recipe", where=reference, rule="there is no such file")
    packaged = resources.files("domainvl.recipes").joinpath(f"{name}.yaml")
    if packaged.is_file():
        return packaged
    families = {known.split("/")[0] for known in recipe_names()}
    raise RecipeError(
        f"There is no recipe {reference!r}",
        rule=_nearest(reference, [*families, *recipe_names()]),
        action=f"Recipes are: {', '.join(recipe_names())}; or name a .yaml file",
    )


def _load_with_parents(source: Traversable | Path, *, depth: int) -> dict[str, Any]:
    if depth > _MAX_INHERITANCE:
        raise RecipeError("Cannot load a recipe", where=str(source), rule="'extends' goes round in a circle")
    try:
        content = yaml.safe_load(source.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise RecipeError("Cannot load a recipe", where=str(source), rule=f"it is not YAML: {error}") from error
    if not isinstance(content, dict):
        raise RecipeError("Cannot load a recipe", where=str(source), rule="it must be a mapping of keys to values")
    parent = content.pop("extends", None)
    if parent is None:
        return content
    return _merge(_load_with_parents(_find(parent, parent), depth=depth + 1), content)


def _merge(base: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
    return merged


def _apply_override(content: dict[str, Any], override: str) -> None:
    key, separator, value = override.partition("=")
    if not separator or not key:
        raise RecipeError(
            f"Cannot apply {override!r}", rule="a change has the form key=value", action="For example: --set seed=1"
        )
    *parents, last = key.split(".")
    target = content
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise RecipeError(f"Cannot apply {override!r}", rule=f"{parent} is a value, not a section")
    target[last] = yaml.safe_load(value)


def _refuse_other_method(override: str, method: Any) -> None:
    """Refuse a change of the section that the method does not read."""
    section = override.partition(".")[0]
    if section in ("lora", "full") and method in ("lora", "full") and section != method:
        raise RecipeError(
            f"Cannot apply {override!r}",
            rule=f"{section}.* does nothing with method: {method}",
            action=f"Use --method {section}, or change {method}.*",
        )


def _explain(error: ValidationError, reference: str) -> RecipeError:
    problems = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"unknown key {key} ({_nearest(str(problem['loc'][-1]), _fields_at(problem['loc'][:-1]))})")
        elif problem["type"] == "missing":
            problems.append(f"{key} is missing")
        elif problem["type"] == "value_error":  # of a rule over several keys, which names them
            problems.append(str(problem["ctx"]["error"]))
        else:
            problems.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return RecipeError("Invalid recipe", where=reference, rule="; ".join(problems), action="Correct it and try again")


def _fields_at(location: Sequence[str | int]) -> list[str]:
    section: type[BaseModel] = Recipe
    for part in location:
        annotation = section.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)


def _nearest(name: str, known: Sequence[str]) -> str:
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean {matches[0]}?" if matches else f"known are {', '.join(sorted(known))}"
