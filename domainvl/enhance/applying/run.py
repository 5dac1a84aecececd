"""Enlarges inputs one after the other; what fails is recorded with its reason, and what is done is not done again."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from domainvl.enhance.applying.inputs import Job, find_inputs
from domainvl.enhance.applying.medical import medical_format
from domainvl.enhance.applying.modes import Enhancement
from domainvl.enhance.applying.records import DONE, FAILED, Records
from domainvl.enhance.applying.scene import OnTile, enhance_file
from domainvl.errors import ExitCode, ItemError
from domainvl.files import hash_file, output_errors

OnFile = Callable[[str, int, int], None]
"""Called before each input with its name, the inputs done and the inputs that there are."""


@dataclass
class ApplyResult:
    """What a run did.

    Attributes:
        out: The folder of outputs.
        enhanced: Inputs that were enlarged.
        kept: Inputs whose outputs were there from an earlier run.
        ignored: Files of folders that are no pictures.
        failed: For each input that could not be used, the message.
        reasons: How many could not be used, by reason.
        forced: Medical inputs that were let through, and used.
        notes: What could not be kept as it was, with the number of outputs.
    """

    out: Path
    enhanced: int = 0
    kept: int = 0
    ignored: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    forced: int = 0
    notes: Counter[str] = field(default_factory=Counter)

    @property
    def exit_code(self) -> ExitCode:
        """Done, partial where some inputs failed, nothing done where all did."""
        if not self.failed:
            return ExitCode.DONE
        return ExitCode.PARTIAL if self.enhanced or self.kept else ExitCode.NOTHING_DONE


def apply(
    inputs: Sequence[Path],
    out: Path,
    enhancement: Enhancement,
    *,
    overwrite: bool = False,
    on_file: OnFile = lambda name, done, total: None,
    on_tile: OnTile = lambda done, total: None,
) -> ApplyResult:
    """Enlarge pictures, folders of them and rasters.

    Args:
        inputs: Files and folders.
        out: Folder of outputs. PNG and JPEG become PNG, everything else TIFF, of the same stem.
        enhancement: What enlarges, and how.
        overwrite: Replace outputs that something else made.
        on_file: Called before each input.
        on_tile: Called after each tile.

    Raises:
        UsageError: If inputs or outputs cannot be as asked; nothing is written then.
        OutputError: If an output cannot be written; what is done is kept.
    """
    found = find_inputs(inputs, out, pictures_as_png=enhancement.gives_pictures, force_medical=enhancement.forced)
    records = Records(out)
    names = [job.output for job in found.jobs]
    if not overwrite:
        records.refuse_others(names, enhancement.identity)
    result = ApplyResult(out, ignored=found.ignored)
    for number, job in enumerate(found.jobs):
        on_file(job.output, number, len(found.jobs))
        try:
            _one(job, out, enhancement, records, result, on_tile)
            result.forced += job.medical is not None
        except ItemError as error:
            result.failed[str(job.input)] = str(error)
            result.reasons[error.reason] += 1
            records.add(_failure(job, enhancement, error))
    on_file("", len(found.jobs), len(found.jobs))
    records.put_in_order(names)
    return result


def _one(job: Job, out: Path, enhancement: Enhancement, records: Records, result: ApplyResult, on_tile: OnTile) -> None:
    kind = medical_format(job.input)
    if kind is not None:
        raise ItemError(
            "Cannot read",
            reason="medical-format",
            where=job.input,
            rule=f"it is a {kind} file, whose pixels GDAL does not read",
            action="Export its pixels as PNG first; --force-medical is for exported pictures",
        )
    sha256 = _hashed(job.input)
    if records.is_done(job.output, enhancement.identity, sha256):
        result.kept += 1
        return
    target = out / job.output
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    # One name, so that what a killed run left is written over.
    tiff, png = (target.with_name(f".{target.name}.partial{suffix}") for suffix in (".tif", ".png"))
    try:
        facts = enhance_file(
            job.input,
            tiff,
            enhancement,
            png=png if job.is_picture else None,
            medical=job.medical is not None,
            on_tile=on_tile,
        )
        # A record without its output is done again; an output without its record would be somebody else's.
        records.add(_head(job, enhancement, DONE) | {"input_sha256": sha256, **asdict(facts)})
        with output_errors(target):
            os.replace(png if job.is_picture else tiff, target)
    finally:
        for path in (tiff, png):
            path.unlink(missing_ok=True)
    result.enhanced += 1
    result.notes.update(facts.notes)


def _hashed(path: Path) -> str:
    try:
        return hash_file(path)
    except OSError as error:
        raise ItemError(
            "Cannot read", reason="open", where=path, rule=error.strerror, action="Check the file and its permissions"
        ) from error


def _head(job: Job, enhancement: Enhancement, status: str) -> dict[str, Any]:
    head: dict[str, Any] = {
        "input": str(job.input),
        "output": job.output,
        "status": status,
        "enhancer": enhancement.identity,
    }
    return head | ({"forced": job.medical} if job.medical is not None else {})


def _failure(job: Job, enhancement: Enhancement, error: ItemError) -> dict[str, Any]:
    return _head(job, enhancement, FAILED) | {"reason": error.reason, "error": str(error)}
