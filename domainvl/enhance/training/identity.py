"""What makes a run the same run: its folder, its settings and its pairs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from domainvl.enhance.pairs.records import INDEX_NAME, RECORDS_NAME, PairRecord, PairSet
from domainvl.enhance.training.settings import TrainingSettings, differences
from domainvl.errors import CheckpointError, UsageError
from domainvl.files import hash_file

SETTINGS_NAME = "settings.json"


def check_folder(out: Path, settings: TrainingSettings, *, resume: bool) -> None:
    """Refuse a folder that is taken, or a run that was started with other settings.

    Args:
        out: The run's folder.
        settings: What the run is to be trained by now.
        resume: Whether it is to go on.

    Raises:
        UsageError: Naming what differs.
        CheckpointError: If its settings cannot be read.
    """
    if not out.exists():
        return
    if not resume:
        raise UsageError(
            "Cannot start a run", where=out, rule="the folder exists", action="Name another, or add --resume"
        )
    path = out / SETTINGS_NAME
    if not path.is_file():
        raise UsageError(
            "Cannot resume", where=out, rule=f"it has no {SETTINGS_NAME}", action="Name the folder of a run"
        )
    try:
        before = TrainingSettings.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        raise CheckpointError(
            "Cannot resume", where=path, rule=f"{first['loc']}: {first['msg']}", action="Start a new run"
        ) from error
    changed = differences(before, settings)
    if changed:
        raise UsageError(
            "Cannot resume",
            where=out,
            rule=f"the run has other settings: {'; '.join(changed)}",
            action="Give the same options as before, or start a new run",
        )


def check_steps(out: Path, done: int, settings: TrainingSettings) -> None:
    """Refuse to go on with a run that has more steps than are asked for: its weights cannot go back.

    Args:
        out: The run's folder.
        done: Steps of its last saved state.
        settings: What the run is to be trained by now.

    Raises:
        UsageError: If it has more.
    """
    if done > settings.steps:
        raise UsageError(
            "Cannot resume",
            where=out,
            rule=f"the run has {done} steps already, more than the {settings.steps} asked for",
            action="Give at least as many --steps, or start a new run",
        )


def check_fits(pairs: PairSet, settings: TrainingSettings) -> None:
    """Refuse settings that were made for other pairs, and crops that would cut a mosaic's squares of colours.

    Raises:
        UsageError: Naming what does not fit.
    """
    index, network = pairs.index, settings.network
    wanted = (index.scale, index.low_view.bands, index.high_view.bands)
    rule = None
    if (network.scale, network.in_bands, network.out_bands) != wanted:
        rule = (
            f"the pairs have scale and bands {wanted}, the network {network.scale, network.in_bands, network.out_bands}"
        )
    elif index.mosaic and settings.crop_px % 2:
        rule = f"crop_px must be even for mosaics, got {settings.crop_px}"
    if rule is not None:
        raise UsageError("Cannot train on these pairs", where=pairs.folder, rule=rule, action="Make the settings fit")


def digest(pairs: PairSet, records: Sequence[PairRecord]) -> str:
    """Return a hash of a set's index and records, and of the sizes of some pairs' files."""
    parts = [hash_file(pairs.folder / name) for name in (INDEX_NAME, RECORDS_NAME)]
    parts += [str((pairs.folder / name).stat().st_size) for one in records for name in (one.low, one.high)]
    return hashlib.sha256(" ".join(parts).encode()).hexdigest()
