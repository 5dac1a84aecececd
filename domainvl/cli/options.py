"""Options that several commands share: how a recipe is chosen and changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from domainvl.errors import UsageError

if TYPE_CHECKING:
    from domainvl.planning.plan import PlanMethod
    from domainvl.schema import Split
    from domainvl.training.recipe import Method

Chosen = TypeVar("Chosen", bound=str)

MethodOption = Annotated[str | None, typer.Option("--method", help="lora or full; lora where the recipe has both.")]
ModelOption = Annotated[str | None, typer.Option("--model", help="Checkpoint to start from, instead of the recipe's.")]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="Change the recipe, as in optimisation.epochs=2; repeatable.")
]


def parse_method(name: str | None) -> Method | None:
    """Read ``--method`` of a command that trains; None stays None.

    Raises:
        UsageError: If it is no method.
    """
    return _choose(name, ("lora", "full"))


def parse_plan_method(name: str | None) -> PlanMethod | None:
    """Read ``--method`` of a plan; None stays None.

    Raises:
        UsageError: If it is no method.
    """
    return _choose(name, ("lora", "full", "qlora"))


def read_split(name: str, what: str) -> Split:
    """Read ``--split``.

    Args:
        name: What was given.
        what: What fails if there is no such split, as an error says it.

    Raises:
        UsageError: If there is no such split.
    """
    from domainvl.schema import Split

    if name not in list(Split):
        raise UsageError(what, rule=f"--split must be one of {', '.join(Split)}, got {name!r}")
    return Split(name)


def _choose(name: str | None, known: tuple[Chosen, ...]) -> Chosen | None:
    chosen = next((one for one in known if one == name), None)
    if chosen is None and name is not None:
        *others, last = known
        rule = f"--method must be {', '.join(others)} or {last}, got {name!r}"
        raise UsageError("Cannot choose a method", rule=rule)
    return chosen
