"""What can be changed so that a run needs less memory, in order of harm.

Free changes leave what is learned as it is but for rounding and dropout's random numbers. The others change it. Their
order: an optimizer whose state has 8 bits keeps the performance of one with 32 (arXiv 2110.02861, abstract); the paper
finds full fine-tuning better than a frozen vision encoder, and that better than LoRA, on its domains (arXiv
2410.16261, figure 5); QLoRA finds 4 bits as good as 16 for the base of an adapter (arXiv 2305.14314, section 4).
Fewer tiles blur what is small; LoRA on the language model alone is weak at grounding; a smaller model knows less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import get_args

from domainvl.model.parts import LayeredPart
from domainvl.training.recipe import Method, Recipe

_MOST_PARTS = 16
"""A pack of samples with 3 tiles each, the usual fewest where it pays, then has one a part."""

_SMALLER = {"4b": "2b", "2b": "1b"}


@dataclass(frozen=True)
class Choice:
    """One way to train.

    Attributes:
        size: Name of the model's size; None for a model of no known size.
        method: lora or full.
        changes: Changes of the recipe, by their keys, as ``--set`` takes them.
        said: What the last change does, in words.
    """

    size: str | None
    method: Method
    changes: tuple[tuple[str, str], ...] = ()
    said: str = "as given"

    def changed(self, said: str, *changes: tuple[str, str]) -> Choice:
        """Return the choice with more changes; a key that was set before is set anew."""
        new = dict(changes)
        kept = tuple((key, value) for key, value in self.changes if key not in new)
        return replace(self, changes=(*kept, *changes), said=said)


@dataclass(frozen=True)
class Step:
    """A change that alters what is learned.

    Attributes:
        apply: Makes it.
        spares_what_stays: Whether it makes weights, gradients or optimizer state smaller, and not only activations.
    """

    apply: Callable[[Choice], Choice]
    spares_what_stays: bool = True


def harmful_steps(choice: Choice, recipe: Recipe) -> list[Step]:
    """Return what can be changed at the cost of what is learned, each on top of those before.

    Args:
        choice: As the user wants it.
        recipe: What it comes to.
    """
    steps = []
    if recipe.optimisation.optimizer == "adamw":
        steps.append(_set("hold the optimizer's state in 8 bits", ("optimisation.optimizer", "adamw-8bit")))
    if recipe.method == "full":
        if recipe.full.vision and (recipe.full.language_model or recipe.full.projector):
            steps.append(_set("freeze the vision encoder", ("full.vision", "false")))
        # What the LoRA recipe would set otherwise, but is no part of this change.
        same = (
            ("preprocessing.max_tiles", str(recipe.preprocessing.max_tiles)),
            ("optimisation.batch_size", str(recipe.optimisation.batch_size)),
            ("optimisation.micro_batch_size", str(recipe.optimisation.micro_batch_size)),
        )
        steps.append(Step(lambda choice: _without_full(choice).changed("LoRA instead of all weights", *same)))
    if recipe.quantisation == "none":
        steps.append(_set("hold the language model in 4 bits (QLoRA)", ("quantisation", "nf4-double")))
    tiles = recipe.preprocessing.max_tiles
    while tiles > 1:
        tiles //= 2
        said = f"at most {tiles} {'tile' if tiles == 1 else 'tiles'}"
        steps.append(_set(said, ("preprocessing.max_tiles", str(tiles)), spares_what_stays=False))
    if recipe.method == "full" or recipe.lora.vision != "frozen":
        steps.append(_set("leave the vision encoder as it is", ("lora.vision", "frozen")))
    size = choice.size
    while size in _SMALLER:
        size = _SMALLER[size]
        steps.append(_smaller_model(size))
    return steps


def _set(said: str, change: tuple[str, str], *, spares_what_stays: bool = True) -> Step:
    return Step(lambda choice: choice.changed(said, change), spares_what_stays)


def _without_full(choice: Choice) -> Choice:
    kept = tuple((key, value) for key, value in choice.changes if not key.startswith("full."))
    return replace(choice, method="lora", changes=kept)


def _smaller_model(size: str) -> Step:
    return Step(lambda choice: replace(choice, size=size, said=f"the smaller model {size}"))


def free_changes(choice: Choice, recipe: Recipe, *, on_gpu: bool) -> Iterator[Choice]:
    """Yield the choice itself, then with one more change that leaves what is learned as it is each time.

    Args:
        choice: Where to start.
        recipe: What it comes to.
        on_gpu: Whether it runs on a GPU, whose arithmetic in bf16 is as good and needs less.
    """
    yield choice
    if len(recipe.compute.checkpointed_parts()) < len(get_args(LayeredPart)):
        choice = choice.changed("compute activations again", ("compute.gradient_checkpointing", "true"))
        yield choice
    if recipe.packing.arrangement == "grouped":
        size = recipe.optimisation.micro_batch_size
        while size > 1:
            size //= 2
            said = f"{size} {'sample' if size == 1 else 'samples'} at a time"
            choice = choice.changed(said, ("optimisation.micro_batch_size", str(size)))
            yield choice
    else:
        parts = recipe.compute.parts_per_pack
        while parts < _MOST_PARTS:
            parts *= 2
            choice = choice.changed(f"each pack in {parts} parts", ("compute.parts_per_pack", str(parts)))
            yield choice
    if on_gpu and recipe.compute.precision == "fp32":
        choice = choice.changed("arithmetic in bf16", ("compute.precision", "bf16"))
        yield choice
    if recipe.compute.weights == "fp32" and (on_gpu or recipe.compute.precision == "bf16"):
        yield choice.changed("frozen weights in bf16", ("compute.weights", "bf16"))
