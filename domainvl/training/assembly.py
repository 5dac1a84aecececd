"""All of a run that is made once, before the first step: sources, plan, model, loss, optimizer, held-out samples."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.model.checkpoint import find_checkpoint, hash_weights, read_config
from domainvl.model.device import choose_precision
from domainvl.model.parts import layers_of
from domainvl.training.arrangement import choose_plan
from domainvl.training.held_out import HeldOut
from domainvl.training.identity import check_same_everywhere, identity_of, training_record
from domainvl.training.loading import ImageLoader, LoadedPack, PackLoader
from domainvl.training.mixture import MixtureSpec, check_held_out, open_sources
from domainvl.training.optimiser import build_optimizer
from domainvl.training.parallel import Parallel, check_parallel, needs_blank, parallelise
from domainvl.training.plan import Micro, TrainingPlan
from domainvl.training.preparation import prepare_model, read_model_input, text_attention
from domainvl.training.processes import Processes
from domainvl.training.recipe import Recipe
from domainvl.training.sources import Source
from domainvl.training.stepping import Autocast, Stepper, memory_errors, seed_randomness

if TYPE_CHECKING:
    import torch

    from domainvl.model.checkpoint import LoadedModel
    from domainvl.model.vision_cache import VisionCache


@dataclass(frozen=True)
class Assembly:
    """What a run works with.

    Attributes:
        recipe: The recipe.
        processes: Who takes part.
        sources: What is trained on.
        plan: Of its packs.
        loader: Reads them.
        loaded: The model.
        parallel: The module that computes the loss.
        stepper: Goes forward and backward.
        optimizer: Over what is trained.
        held_out: What is looked at besides.
        identity: What makes it the same run.
        autocast: Makes the context of the arithmetic.
    """

    recipe: Recipe
    processes: Processes
    sources: list[Source]
    plan: TrainingPlan
    loader: PackLoader
    loaded: LoadedModel
    parallel: Parallel
    stepper: Stepper
    optimizer: torch.optim.Optimizer
    held_out: HeldOut
    identity: dict[str, str]
    autocast: Autocast

    @property
    def step_count(self) -> int:
        """Steps of the whole run."""
        return len(self.plan.steps)

    def share(self, step: int) -> list[Micro]:
        """Return what this process computes of a step, from 0."""
        processes = self.processes
        return self.plan.share(step, processes.rank, processes.world_size, self.recipe.compute.parts_per_pack)

    def packs(self, first_step: int) -> Generator[LoadedPack, None, None]:
        """Read what this process computes from a step on, ahead of whoever takes it."""
        return self.loader.read_all(self._shares(first_step), self.recipe.compute.readers)

    def _shares(self, first_step: int) -> Iterator[Micro]:
        for step in range(first_step, self.step_count):
            yield from self.share(step)

    def memory_errors(self, said: str) -> AbstractContextManager[None]:
        """Say of an error for want of memory what was done."""
        return _memory_errors(said, self.processes)


def assemble(
    recipe: Recipe, spec: MixtureSpec, processes: Processes, cache_folder: Path, say: Callable[[str], None]
) -> Assembly:
    """Make all that a run works with.

    Args:
        recipe: What is trained how.
        spec: The sources as they were named.
        processes: Who takes part.
        cache_folder: Where features of a frozen vision encoder are kept, if the recipe wants that.
        say: Told how samples are put together.

    Raises:
        UsageError: If recipe and data contradict each other, or the processes do not agree.
        DatasetError: If a sample breaks a rule.
        NothingToDoError: If a source has no training samples.
        MemoryExhaustedError: If the model does not fit.
    """
    # What takes long, the model, comes after what can be wrong: the data.
    folder = find_checkpoint(recipe.model)
    model_input = read_model_input(recipe)
    sources = open_sources(spec, model_input, recipe.packing.longest_window())
    check_held_out(spec)
    attention = text_attention(recipe, processes.device)
    chosen = choose_plan(recipe, spec, sources, model_input, read_config(folder), attention)
    say(chosen.said)
    weights_sha256 = hash_weights(folder)
    seed_randomness(recipe.seed)
    with _memory_errors("the model was loaded", processes):
        loaded = prepare_model(recipe, processes.device, {}, weights_sha256)
    arithmetic = choose_precision(recipe.compute.precision, processes.device)
    cache = _vision_cache(recipe, cache_folder, loaded, arithmetic)
    held_out = HeldOut(spec, recipe, model_input, chosen.plan.arrangement, cache)
    identity = identity_of(recipe, sources, chosen.plan, weights_sha256=weights_sha256, held_out=held_out.digest)
    check_same_everywhere(identity, recipe, processes)
    record = training_record(recipe, sources, identity)
    loaded.spec = loaded.spec.model_copy(update={"training": record})
    autocast = _autocast(arithmetic, processes.device)
    parallel = _parallelise(recipe, loaded, processes, len(sources), cache)
    cache_bytes = (recipe.compute.tile_cache_mb << 20) // len(sources)
    return Assembly(
        recipe,
        processes,
        sources,
        chosen.plan,
        PackLoader(
            chosen.plan,
            sources,
            [
                ImageLoader(source.folder, model_input.preprocessing, cache=cache, cache_bytes=cache_bytes)
                for source in sources
            ],
            model_input,
            recipe.optimisation.loss_weighting,
        ),
        loaded,
        parallel,
        Stepper(parallel, processes, len(sources), autocast, recipe.seed),
        build_optimizer(loaded.model, recipe.optimisation),
        held_out,
        identity,
        autocast,
    )


def _vision_cache(recipe: Recipe, folder: Path, loaded: LoadedModel, arithmetic: torch.dtype) -> VisionCache | None:
    from domainvl.model.vision_cache import VisionCache

    if not recipe.compute.cache_vision:
        return None
    return VisionCache(folder, loaded, None if arithmetic == loaded.internvl.dtype else arithmetic)


def _parallelise(
    recipe: Recipe, loaded: LoadedModel, processes: Processes, source_count: int, cache: VisionCache | None
) -> Parallel:
    from domainvl.training.loss import AnswerLoss

    kind = check_parallel(recipe, processes)
    module = AnswerLoss(loaded, source_count, cache=cache, run_vision_always=needs_blank(loaded.model, processes, kind))
    layers = [*layers_of(loaded.internvl, "vision"), *layers_of(loaded.internvl, "language_model")]
    return parallelise(module, layers, processes, kind)


def _autocast(arithmetic: torch.dtype, device: torch.device) -> Autocast:
    import torch

    def context() -> AbstractContextManager[Any]:
        return nullcontext() if arithmetic == torch.float32 else torch.autocast(device.type, dtype=arithmetic)

    return context


def _memory_errors(said: str, processes: Processes) -> AbstractContextManager[None]:
    return memory_errors(f"it was when {said}", several_processes=processes.world_size > 1)
