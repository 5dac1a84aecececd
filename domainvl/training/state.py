"""The state of an unfinished run: complete or absent under its name, and restored by any number of processes.

A state is a folder of safetensors, written by ``torch.distributed.checkpoint``, and one JSON file. Nothing in it is
pickled. Only what is trained is in it, and what the optimizer remembers of it; random numbers need no saving, as each
pack seeds its own.
"""

from __future__ import annotations

import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domainvl.errors import CheckpointError, DomainvlError, OutputError, UsageError
from domainvl.files import hidden_sibling, take_name

if TYPE_CHECKING:
    import torch
    from torch import nn

    from domainvl.training.processes import Processes

STATES_FOLDER = "state"
_RECORD_NAME = "state.json"
_NAME = re.compile(r"step-(\d{6,})")


@dataclass(frozen=True)
class Restored:
    """Where a run goes on.

    Attributes:
        step: Number of steps done.
        extra: What was saved beside, such as counters.
    """

    step: int
    extra: dict[str, Any]


def newest_state(out: Path) -> Path | None:
    """Return the folder of a run's last complete state, None if there is none."""
    states = _states(out)
    return states[-1] if states else None


def save_state(
    out: Path,
    *,
    step: int,
    identity: Mapping[str, str],
    extra: Mapping[str, Any],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    processes: Processes,
    keep: int = 1,
) -> None:
    """Save what is needed to go on after a step; all processes must call it.

    Killed at any moment, it leaves the states that were there. A state of the same step is left as it is.

    Args:
        out: The run's folder.
        step: Number of steps done.
        identity: What the run must agree in to be the same run.
        extra: Anything else, as JSON has it.
        parameters: What is trained, by name; whole or shards.
        optimizer: Over these parameters.
        processes: Who takes part.
        keep: How many of the last states are kept.

    Raises:
        OutputError: If it cannot be written; the older states are as they were.
    """
    folder = out / STATES_FOLDER / f"step-{step:06d}"
    if processes.any(processes.is_first and folder.is_dir()):
        return
    work = hidden_sibling(folder, "partial")
    tensors, numbers = _flatten(parameters, optimizer)
    record = {"step": step, "identity": dict(identity), "extra": dict(extra), "numbers": numbers}
    try:
        _on_first(processes, lambda: _make_empty(work), work)
        _write_tensors(tensors, work, processes)
        _on_first(processes, lambda: _finish(work, folder, tensors, record, keep), work)
    except BaseException:
        if processes.is_first:
            shutil.rmtree(work, ignore_errors=True)
        raise


def restore_state(
    out: Path,
    *,
    identity: Mapping[str, str],
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    processes: Processes,
) -> Restored:
    """Bring a run back to its last state, saved by any number of processes; all processes must call it.

    Args:
        out: The run's folder.
        identity: What this run is.
        parameters: Receive what was saved.
        optimizer: Receives what it remembered; its rates and other settings stay as they are.
        processes: Who takes part.

    Raises:
        UsageError: If there is nothing to resume, or the recipe or the data have changed since.
        CheckpointError: If the state is damaged, or its parameters are not those of this model.
    """
    folder = newest_state(out)
    if folder is None:
        raise UsageError("Cannot resume", where=out, rule="it has no saved state", action="Start without --resume")
    record = _read_record(folder)
    _check_identity(folder, record["identity"], identity)
    tensors = _targets(folder, parameters)
    _read_tensors(tensors, folder, processes)
    _give_to_optimizer(optimizer, tensors, record["numbers"], parameters)
    return Restored(int(record["step"]), record["extra"])


def _states(out: Path) -> list[Path]:
    """Return the folders of complete states, the newest last."""
    folder = out / STATES_FOLDER
    names = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in names if _NAME.fullmatch(path.name)), key=lambda path: int(path.name[5:]))


def _read_record(folder: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads((folder / _RECORD_NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder, f"{_RECORD_NAME}: {error}") from error
    return record


def _check_identity(folder: Path, saved: Mapping[str, str], present: Mapping[str, str]) -> None:
    changed = sorted(key for key in saved.keys() | present.keys() if saved.get(key) != present.get(key))
    if changed:
        raise UsageError(
            "Cannot resume",
            where=folder,
            rule=f"changed since the run was saved: {', '.join(changed)}",
            action="Use the same recipe, data and model, or start a new run",
        )


def _parameter_key(name: str) -> str:
    return f"parameter {name}"


def _optimizer_key(name: str, key: str) -> str:
    return f"optimizer {key} {name}"


Numbers = dict[str, dict[str, float]]
"""What an optimizer remembers of each parameter that is no tensor."""


def _flatten(
    parameters: Mapping[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, torch.Tensor], Numbers]:
    """Name all that is saved; torch's own form of it calls the optimizer, and cannot take bitsandbytes' states."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    numbers: Numbers = {}
    memories: set[int] = set()
    for name, parameter in parameters.items():
        tensors[_parameter_key(name)] = parameter.detach()
        for key, value in optimizer.state.get(parameter, {}).items():
            if isinstance(value, torch.Tensor):
                # All parameters share bitsandbytes' tables, and safetensors takes no memory twice.
                memory = _local(value).data_ptr()
                tensors[_optimizer_key(name, key)] = value.clone() if memory in memories else value.detach()
                memories.add(memory)
            else:
                numbers.setdefault(name, {})[key] = value
    return tensors, numbers


def _local(tensor: Any) -> Any:
    """Return this process's shard of a tensor that is divided, any other as it is."""
    return tensor.to_local() if hasattr(tensor, "to_local") else tensor


def _make_empty(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(parents=True)


def _finish(
    work: Path, folder: Path, tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any], keep: int
) -> None:
    """Look at what was written, give it its name, and remove what is older or was never finished."""
    expected = {name: value.shape for name, value in tensors.items()}
    if {name: value.size for name, value in _stored(work).items()} != expected:
        raise OutputError(
            "Cannot save the state",
            where=work,
            rule="what other processes wrote is not here",
            action="Put the run's folder on a disk that all machines share",
        )
    (work / _RECORD_NAME).write_text(json.dumps(record, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    take_name(work, folder)
    obsolete = [*_states(folder.parents[1])[:-keep], *folder.parent.glob(".*")]
    for path in obsolete:
        shutil.rmtree(path)


def _on_first(processes: Processes, action: Callable[[], None], path: Path) -> None:
    """Act on the first process; the others wait, and fail if it fails."""
    error: DomainvlError | None = None
    if processes.is_first:
        try:
            action()
        except OSError as refused:
            error = OutputError.of(refused, path)
        except DomainvlError as raised:
            error = raised
    error = processes.gather_objects(error)[0]
    if error is not None:
        raise error


def _write_tensors(tensors: dict[str, torch.Tensor], folder: Path, processes: Processes) -> None:
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    writer = HuggingFaceStorageWriter(str(folder), save_distributed=True)
    try:
        with _quiet():
            save(tensors, storage_writer=writer, process_group=processes.group, no_dist=processes.group is None)
    except CheckpointException as error:
        cause = _first_cause(error)
        if isinstance(cause, OSError):
            raise OutputError.of(cause, folder) from error
        raise cause from error


def _read_tensors(tensors: dict[str, torch.Tensor], folder: Path, processes: Processes) -> None:
    """Read into tensors, each process its own shards of them."""
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    reader = HuggingFaceStorageReader(str(folder))
    try:
        with _quiet():
            load(tensors, storage_reader=reader, process_group=processes.group, no_dist=processes.group is None)
    except CheckpointException as error:
        raise _damaged(folder, str(_first_cause(error))) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what torch says to each single process: that it takes it for a single process."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "torch.distributed is disabled", UserWarning)
        yield


def _first_cause(error: Any) -> BaseException:
    """Return what went wrong on the first process on which something did."""
    cause: BaseException = error.failures[min(error.failures)][0]
    return cause


def _stored(folder: Path) -> dict[str, Any]:
    """Return size and type of each tensor in a folder, from the headers of its files."""
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader

    return dict(HuggingFaceStorageReader(str(folder)).read_metadata().state_dict_metadata)


def _targets(folder: Path, parameters: Mapping[str, nn.Parameter]) -> dict[str, torch.Tensor]:
    """Return where each saved tensor is to be read to: the parameters themselves, and room for the optimizer."""
    import torch
    from safetensors import SafetensorError

    try:
        stored = _stored(folder)
    except SafetensorError as error:
        raise _damaged(folder, str(error)) from error
    targets: dict[str, torch.Tensor] = {}
    for name, parameter in parameters.items():
        targets[_parameter_key(name)] = parameter.detach()
    saved = {name: (value.size, value.properties.dtype) for name, value in stored.items() if name in targets}
    known = {name: (value.shape, value.dtype) for name, value in targets.items()}
    extra = [name for name in stored if name.startswith(_parameter_key("")) and name not in targets]
    if saved != known or extra:
        raise CheckpointError(
            "Cannot resume",
            where=folder,
            rule="the saved parameters are not those of this model",
            action="Use the model that the run was started with, or start a new run",
        )
    by_name = dict(parameters)
    for stored_name, value in stored.items():
        if stored_name not in targets:
            parameter = by_name[stored_name.split(" ", 2)[2]]
            like = parameter.detach() if value.size == parameter.shape else torch.empty(value.size)
            targets[stored_name] = torch.empty_like(like, dtype=value.properties.dtype)
    return targets


def _give_to_optimizer(
    optimizer: torch.optim.Optimizer,
    tensors: Mapping[str, torch.Tensor],
    numbers: Numbers,
    parameters: Mapping[str, nn.Parameter],
) -> None:
    """Give back what the optimizer remembered, in the form in which it numbers parameters."""
    remembered: dict[str, dict[str, Any]] = {name: dict(values) for name, values in numbers.items()}
    for stored_name, tensor in tensors.items():
        kind, _, rest = stored_name.partition(" ")
        if kind == "optimizer":
            key, _, name = rest.partition(" ")
            remembered.setdefault(name, {})[key] = tensor
    names = {parameter: name for name, parameter in parameters.items()}
    order = [names[parameter] for group in optimizer.param_groups for parameter in group["params"]]
    optimizer.load_state_dict(
        {
            "state": {index: remembered[name] for index, name in enumerate(order) if name in remembered},
            "param_groups": optimizer.state_dict()["param_groups"],
        }
    )


def _damaged(folder: Path, rule: str) -> CheckpointError:
    return CheckpointError(
        "Cannot resume",
        where=folder,
        rule=f"the state is damaged: {rule}",
        action="Remove this folder to go on from an older state, or start a new run",
    )
