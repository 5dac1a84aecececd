"""Where a run's numbers go besides its log: TensorBoard, and Weights & Biases if it is installed."""

from __future__ import annotations

import importlib.util
import shutil
import textwrap
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from domainvl.errors import UsageError, install_hint
from domainvl.files import output_errors, write_atomically
from domainvl.training.recipe_yaml import as_yaml

if TYPE_CHECKING:
    from domainvl.training.recipe import Recipe

TrackerName = Literal["tensorboard", "wandb"]

TENSORBOARD_FOLDER = "tensorboard"
WANDB_ID_NAME = "wandb-id.txt"

_WANDB_PROJECT = "domainvl"
_NOT_TRACKED = frozenset({"kind", "step", "of"})
_TRACKED_KINDS = ("train", "validation")
_HINTS: dict[TrackerName, str] = {
    "tensorboard": install_hint("tensorboard"),
    "wandb": "Install it with: pip install 'wandb>=0.31'",
}


class Tracker(Protocol):
    """What the log hands its new rows to."""

    def write(self, row: Mapping[str, Any]) -> None:
        """Take a row of the log."""

    def flush(self) -> None:
        """Bring what was taken to where it belongs."""

    def close(self) -> None:
        """Take no more."""


def check_trackers(names: Sequence[TrackerName]) -> None:
    """Refuse trackers whose package is missing; quick, to be called before anything is loaded.

    Raises:
        UsageError: Naming the package and how to install it.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UsageError(
                f"Cannot track with {name}",
                rule="the package is not installed",
                action=f"{_HINTS[name]}; or leave it out of tracking",
            )


def make_trackers(names: Sequence[TrackerName], out: Path, *, recipe: Recipe, first_step: int) -> list[Tracker]:
    """Make the trackers of a run.

    Args:
        names: Which.
        out: The run's folder, in which they write and by whose name they call the run.
        recipe: The recipe, which they show.
        first_step: Number of steps done before; what they hold of later steps, which are done again, gives way.

    Raises:
        UsageError: If a package is missing.
        OutputError: If a tracker cannot write.
    """
    check_trackers(names)
    makers: dict[TrackerName, Callable[[Path, Recipe, int], Tracker]] = {"tensorboard": _TensorBoard, "wandb": _Wandb}
    return [makers[name](out, recipe, first_step) for name in names]


def scalars(row: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a row by name, such as ``train/source_losses/chest``; none of a row without curves."""
    if row["kind"] not in _TRACKED_KINDS:
        return {}
    return dict(_numbers(row["kind"], {key: value for key, value in row.items() if key not in _NOT_TRACKED}))


def _numbers(name: str, value: Any) -> Iterator[tuple[str, float]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(f"{name}/{key}", inner)
    elif isinstance(value, int | float):
        yield name, float(value)


class _TensorBoard:
    """Writes event files; readers drop the events of steps that are done again, told by ``purge_step``."""

    def __init__(self, out: Path, recipe: Recipe, first_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._folder = out / TENSORBOARD_FOLDER
        with output_errors(self._folder):
            if not first_step and self._folder.exists():
                shutil.rmtree(self._folder)  # of a run that was stopped before it saved anything
            self._writer = SummaryWriter(str(self._folder), purge_step=first_step + 1 if first_step else None)
            if not first_step:
                self._writer.add_text("recipe", _as_markdown(recipe), 0)

    def write(self, row: Mapping[str, Any]) -> None:
        with output_errors(self._folder):
            for name, value in scalars(row).items():
                self._writer.add_scalar(name, value, row["step"])

    def flush(self) -> None:
        with output_errors(self._folder):
            self._writer.flush()

    def close(self) -> None:
        with output_errors(self._folder):
            self._writer.close()


class _Wandb:
    """Logs to Weights & Biases, which is configured by its own files; without a login it writes to the disk only."""

    def __init__(self, out: Path, recipe: Recipe, first_step: int) -> None:
        import wandb

        self._run = wandb.init(
            project=_WANDB_PROJECT,
            name=out.resolve().name,
            dir=str(out),
            id=_wandb_id(out, first_step),
            resume="allow",
            config=recipe.model_dump(mode="json"),
            mode=_wandb_mode(wandb),
        )
        # Its own step can only rise; ours falls when a killed run goes on from its saved state.
        self._run.define_metric("*", step_metric="step")

    def write(self, row: Mapping[str, Any]) -> None:
        numbers = scalars(row)
        if numbers:
            self._run.log({**numbers, "step": row["step"]})

    def flush(self) -> None:
        """It writes by itself."""

    def close(self) -> None:
        self._run.finish()


def _wandb_mode(wandb: Any) -> Literal["offline"] | None:
    """Return ``offline`` where the user has not logged in; None leaves it to W&B's own configuration."""
    if wandb.setup().settings.mode != "online":  # its default, so that anything else was chosen by the user
        return None
    return None if wandb.login(prompt=False, verify=False) else "offline"


def _wandb_id(out: Path, first_step: int) -> str:
    """Return the id under which W&B goes on with a run that is resumed: kept in the run's folder."""
    path = out / WANDB_ID_NAME
    if first_step and path.is_file():
        return path.read_text(encoding="ascii").strip()
    new = uuid.uuid4().hex
    write_atomically(path, f"{new}\n".encode())
    return new


def _as_markdown(recipe: Recipe) -> str:
    """Return the recipe as YAML; four spaces before a line keep Markdown from setting it as prose."""
    text = as_yaml(recipe)
    return textwrap.indent(text, "    ")
