"""One model trained by several processes: DDP or FSDP2 around it, and what both need so that none waits in vain.

Every process must call the module equally often in a step, and each call must reach all weights that are trained:
where a pack has no image, :func:`domainvl.model.visual.blank_contribution` reaches the vision encoder and the projector
with nothing to say, before the language model is called, as the order of the layers is the order of the messages; a
process that has no pack takes a row of one token that counts nothing.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from domainvl.errors import UsageError
from domainvl.model.parts import part_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from domainvl.training.processes import Processes
    from domainvl.training.recipe import Recipe

Kind = Literal["ddp", "fsdp"]
Result = TypeVar("Result")


def check_parallel(recipe: Recipe, processes: Processes) -> Kind:
    """Return how the processes share the model.

    Raises:
        UsageError: If the recipe asks for FSDP and for what cannot be divided over processes.
    """
    kind: Kind = "fsdp" if recipe.compute.parallel == "fsdp" else "ddp"
    if kind == "fsdp" and processes.world_size > 1:
        obstacles = {
            f"quantisation is {recipe.quantisation}": recipe.quantisation != "none",
            "optimisation.optimizer is adamw-8bit": recipe.optimisation.optimizer == "adamw-8bit",
            # A process that finds its features does not call the encoder, and the others wait for its shards.
            "compute.cache_vision is true": recipe.compute.cache_vision,
        }
        found = [obstacle for obstacle, present in obstacles.items() if present]
        if found:
            raise UsageError(
                "Cannot divide the model over the processes",
                rule=f"compute.parallel is fsdp and {' and '.join(found)}, which need whole weights on each process",
                action="Set compute.parallel to ddp, or change the other",
            )
    return kind


class Parallel:
    """A module as its processes train it together.

    Gradients are summed over the processes: divide the loss by the weight of the whole step, that of all processes.
    With one process it is the module alone.

    Attributes:
        module: The module itself, without what is around it; its weights are shards under FSDP.
        parameters: What is trained, by name in the module; the same objects for the whole run, so the optimizer is
            built after the module was parallelised.
    """

    def __init__(self, module: nn.Module, around: nn.Module, world_size: int) -> None:
        self.module = module
        self._around = around
        self._world_size = world_size
        self.parameters: dict[str, nn.Parameter] = {
            name: value for name, value in module.named_parameters() if value.requires_grad
        }

    def __call__(self, *arguments: Any) -> Any:
        """Call the module."""
        return self._around(*arguments)

    @contextlib.contextmanager
    def accumulating(self, *, last: bool) -> Iterator[None]:
        """Go forward and backward within this; only the last time in a step, DDP exchanges gradients.

        FSDP exchanges them each time, as a whole gradient on each process is what it is there to avoid.
        """
        skip = getattr(self._around, "no_sync", None)
        with contextlib.nullcontext() if last or skip is None else skip():
            yield

    def backward(self, loss: torch.Tensor) -> None:
        """Go backward; DDP and FSDP take the mean over the processes, so this makes it the sum."""
        (loss * self._world_size).backward()  # type: ignore[no-untyped-call]

    def clip(self, max_norm: float) -> float:
        """Scale the gradients of the step down to a norm, and give zeros to weights that got none.

        Args:
            max_norm: Highest norm.

        Returns:
            The norm before, of the gradients of all processes; not finite where any of them is not.
        """
        import torch

        for value in self.parameters.values():
            if value.grad is None:
                value.grad = torch.zeros_like(value)
        norm: Any = torch.nn.utils.clip_grad_norm_(self.parameters.values(), max_norm)
        return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)

    def run(self, function: Callable[[], Result]) -> Result:
        """Call what uses the model without training it and without this module, such as generating answers.

        All processes must call it with the same samples: under FSDP each layer is gathered from all of them.

        Args:
            function: Called with all weights in reach.
        """
        return function()

    def full_weights(self, model: nn.Module, *, trained_only: bool) -> dict[str, torch.Tensor] | None:
        """Gather weights that are divided over the processes, for a checkpoint; all processes must call it.

        Args:
            model: The module or what it holds, which gives the weights their names.
            trained_only: Leave out what is frozen, which is no part of an adapter.

        Returns:
            On the first process weights by name in ``model``, in the memory of the CPU, as the argument
            ``state_dict`` of ``save_pretrained``; None on the others, and where each process has whole weights anyway.
        """
        return None


class _Sharded(Parallel):
    """A module that FSDP2 divided over the processes."""

    def __init__(self, module: nn.Module, layers: Sequence[nn.Module], processes: Processes) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import fully_shard

        mesh = init_device_mesh(processes.device.type, (processes.world_size,))
        for layer in layers:
            fully_shard(layer, mesh=mesh)
        self._root: Any = _caller_of(module)
        fully_shard(self._root, mesh=mesh)
        _open_words_to_gradients(module, layers)
        super().__init__(module, self._root, processes.world_size)
        self._is_first = processes.is_first

    def __call__(self, *arguments: Any) -> Any:
        import torch

        result = self._root(self.module, *arguments)
        if not torch.is_grad_enabled():  # no backward pass follows, after which it would be divided again
            self._root.reshard()
        return result

    def run(self, function: Callable[[], Result]) -> Result:
        result: Result = self._root(function)
        self._root.reshard()
        return result

    def full_weights(self, model: nn.Module, *, trained_only: bool) -> dict[str, torch.Tensor] | None:
        self._root.reshard()
        weights: dict[str, torch.Tensor] = {}
        seen: dict[int, torch.Tensor] = {}
        for name, value in model.state_dict(keep_vars=True).items():
            if trained_only and not value.requires_grad:
                continue
            if id(value) not in seen:
                whole = value.full_tensor() if hasattr(value, "full_tensor") else value
                seen[id(value)] = whole.detach().cpu() if self._is_first else whole.new_empty(0)
            weights[name] = seen[id(value)]
        return weights if self._is_first else None


def parallelise(module: nn.Module, layers: Sequence[nn.Module], processes: Processes, kind: Kind) -> Parallel:
    """Let the processes train a module together.

    Args:
        module: Computes the loss; on the device already, and equal on all processes.
        layers: The transformer layers in it, each of which FSDP divides and gathers as a whole; what is in none of
            them is gathered for as long as the module computes.
        processes: Who takes part.
        kind: ``ddp`` holds the module in each process, ``fsdp`` divides its weights, gradients and optimizer state.
    """
    if processes.world_size == 1:
        return Parallel(module, module, 1)
    if kind == "fsdp":
        return _Sharded(module, layers, processes)
    return Parallel(module, _replicated(module), processes.world_size)


def _replicated(module: nn.Module) -> nn.Module:
    """Wrap a module in DDP, without messages in the forward pass: processes may look at unequally many samples."""
    from inspect import signature

    from torch.nn.parallel import DistributedDataParallel

    # An embedding of one token has strides that do not matter and that DDP warns of.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides", UserWarning)
    renamed = "forward_sync_buffers" in signature(DistributedDataParallel).parameters  # from torch 2.13 on
    buffers: dict[str, Any] = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    return DistributedDataParallel(module, gradient_as_bucket_view=True, **buffers)


def _open_words_to_gradients(module: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Let gradients reach the input of the language model in each pack, if they do in packs with images.

    FSDP exchanges the gradients of a layer when those of its input are there, or else at the end. Embeddings of words
    alone may be frozen, and a process without images would then exchange those of the first layer later than others,
    in an order of messages that is not theirs: all would wait for ever.
    """
    trained = {part_of(name) for name, value in module.named_parameters() if value.requires_grad}
    names = {id(held): f"{name}." for name, held in module.named_modules()}
    readers_of_words = [layer for layer in layers if part_of(names[id(layer)]) == "language_model"]
    if trained & {"vision", "projector"} and readers_of_words:
        # Before FSDP's own hook, which looks at whether the input has gradients.
        readers_of_words[0].register_forward_pre_hook(_require_gradient, with_kwargs=True, prepend=True)


def _require_gradient(_: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
    import torch

    hidden = arguments[0] if arguments else named["hidden_states"]
    if torch.is_grad_enabled() and not hidden.requires_grad:
        hidden.requires_grad_(True)


def _caller_of(module: nn.Module) -> nn.Module:
    """Return a module that holds another and calls whatever it is given, so that FSDP gathers weights for any call."""
    from torch import nn

    class Caller(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
            return function(*arguments)

    return Caller()


def needs_blank(model: nn.Module, processes: Processes, kind: Kind) -> bool:
    """Return whether a process that has no image must compute a blank tile.

    Args:
        model: As the recipe trains it.
        processes: Who takes part.
        kind: How they share the model.
    """
    if processes.world_size == 1:
        return False
    trained = {part_of(name) for name, value in model.named_parameters() if value.requires_grad}
    return kind == "fsdp" or bool(trained & {"vision", "projector"})
