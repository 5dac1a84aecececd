"""One conversion as an array of jobs: each does its share without asking anyone; the shares are joined at the end."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from domainvl.conversion.assembly import PlannedUnit, assemble
from domainvl.conversion.converter import Converter, ConverterSettings, command_of
from domainvl.conversion.exclusion import read_excluded
from domainvl.conversion.progress import Progress
from domainvl.conversion.run import (
    ConversionSummary,
    ConvertedUnits,
    RunSettings,
    check_inputs,
    convert_units,
    describe_sources,
    open_staging,
    stop_on_interrupt,
)
from domainvl.conversion.versions import versions
from domainvl.conversion.work import Staging
from domainvl.engine import Shard
from domainvl.errors import DatasetError, ExitCode, NothingToDoError, UsageError
from domainvl.files import output_errors, take_name, write_atomically
from domainvl.schema.record import image_paths
from domainvl.schema.sample import Record
from domainvl.schema.splitting import SplitFractions
from domainvl.schema.writer import DatasetWriter, Reject, Severity

SHARD_NAME = "shard.json"
"""What makes a folder a shard; written last."""


class ShardRecord(BaseModel):
    """What a shard says of itself.

    Attributes:
        index: Which share it is, from 1.
        count: Of how many.
        command: The command that made it.
        plan_sha256: Hash of the keys of all planned units, those of other shards too.
        unit_count: How many those are.
        settings: The converter's settings.
        fractions: How groups are drawn into splits.
        licence: Licence of the source data.
        versions: Versions of what took part.
        units: Place in the plan, key and name of each unit of this share.
        failures: What became of units that were given up, by key.
        plan_rejects: Inputs that the plan left out; equal in all shards.
        notes: What the plan says about the input as a whole; equal in all shards.
        excluded: Pixel hashes of images that must not be in the data set; equal in all shards.
        sources: The input files that this share has read, and those that all share.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    index: int
    count: int
    command: str
    plan_sha256: str
    unit_count: int
    settings: dict[str, Any]
    fractions: SplitFractions
    licence: str | None
    versions: dict[str, str]
    units: list[tuple[int, str, str]]
    failures: dict[str, dict[str, Any]]
    plan_rejects: list[dict[str, Any]]
    notes: list[str]
    excluded: list[str]
    sources: list[dict[str, Any]]


@dataclass(frozen=True)
class ShardSummary:
    """What the conversion of one shard did.

    Attributes:
        folder: Where the shard lies.
        shard: Which it is.
        unit_count: Units of this share.
        progress: Counts.
        exit_code: Partial where inputs failed.
    """

    folder: Path
    shard: Shard
    unit_count: int
    progress: Progress
    exit_code: ExitCode


def convert_shard(
    converter: Converter[Any, Any],
    source: Path,
    out: Path,
    shard: Shard,
    settings: ConverterSettings | None = None,
    *,
    run: RunSettings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ShardSummary:
    """Convert one share of an input into the folder ``OUT.shard-I-of-N``, to be joined by :func:`merge_shards`.

    Args:
        converter: What reads the input.
        source: File or folder; the same for all shards.
        out: Folder of the data set that all shards together will be.
        shard: Which share.
        settings: The converter's settings; the same for all shards.
        run: How units are run.
        on_progress: Called after each unit.

    Raises:
        UsageError: If the shard is there already.
        StoppedError: If the run was stopped before its end.
    """
    settings = check_inputs(converter, source, settings, out)
    fractions, excluded = settings.split_fractions(), read_excluded(settings.exclude_hashes)
    folder = out.with_name(f"{out.name}.shard-{shard}")
    if folder.exists():
        raise UsageError(
            "Cannot convert a shard", where=folder, rule="it is done already", action="Remove it to make it again"
        )
    with stop_on_interrupt(), open_staging(folder, overwrite=False) as staging:
        done = convert_units(converter, source, settings, staging, run or RunSettings(), shard, on_progress)
        record = ShardRecord(
            index=shard.index,
            count=shard.count,
            command=command_of(converter),
            plan_sha256=hashlib.sha256("\n".join(task.key for task in done.tasks).encode()).hexdigest(),
            unit_count=len(done.tasks),
            settings=settings.public(),
            fractions=fractions,
            licence=settings.licence or done.plan.licence or converter.licence,
            versions=versions(settings.packages()),
            units=[(place, task.key, task.name) for place, task in done.units],
            failures={key: asdict(reject) for key, reject in done.failures.items()},
            plan_rejects=[asdict(reject) for reject in done.plan.rejects],
            notes=list(done.plan.notes),
            excluded=sorted(excluded),
            sources=_own_sources(converter, done),
        )
        text = json.dumps(record.model_dump(mode="json"), ensure_ascii=False, indent=1) + "\n"
        write_atomically(staging.folder / SHARD_NAME, text.encode("utf-8", "backslashreplace"))
        with output_errors(folder):
            staging.lock.unlink()
            take_name(staging.folder, folder)
    failed = done.progress.failed_inputs + sum(reject.severity is Severity.FAILED for reject in done.plan.rejects)
    exit_code = ExitCode.PARTIAL if failed else ExitCode.DONE
    return ShardSummary(folder, shard, len(done.units), done.progress, exit_code)


def _own_sources(converter: Converter[Any, Any], done: ConvertedUnits) -> list[dict[str, Any]]:
    """Describe the files that this share has read, and those that belong to no unit; others are not even opened."""
    own = {path for _, task in done.units for path in converter.unit_files(task.unit)}
    of_units = {path for task in done.tasks for path in converter.unit_files(task.unit)}
    mine = {uri: path for uri, path in done.plan.sources.items() if path in own or path not in of_units}
    return describe_sources(mine, done.files, done.plan.source_key)


def is_shard(folder: Path) -> bool:
    """Say whether a folder is a shard of a conversion."""
    return (folder / SHARD_NAME).is_file()


def merge_shards(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> ConversionSummary:
    """Join all shards of a conversion into the data set that one run would have made, byte for byte.

    Args:
        folders: All shards, in any order.
        out: Folder of the data set to make.
        overwrite: Replace a data set that is there.

    Raises:
        UsageError: If a shard is missing or there twice, or they are not of one conversion.
        NothingToDoError: If no shard has a sample.
    """
    shards = sorted(((_read(folder), Staging(folder)) for folder in folders), key=lambda pair: pair[0].index)
    records = [record for record, _ in shards]
    _check_complete(shards)
    units = sorted(
        (place, PlannedUnit(key, name, staging)) for record, staging in shards for place, key, name in record.units
    )
    failures = {key: Reject.read(fields) for record in records for key, fields in record.failures.items()}
    first = records[0]
    with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        for fields in first.plan_rejects:
            writer.reject(Reject.read(fields))

        def adopt(unit: PlannedUnit, record: Record) -> None:
            for path in image_paths(record):
                writer.images.adopt(unit.staging.dataset, path)

        excluded = frozenset(first.excluded)
        assemble([unit for _, unit in units], failures, writer, first.fractions, excluded=excluded, on_record=adopt)
        if writer.sample_count == 0:
            raise NothingToDoError("There is nothing to merge", where=out, rule="no shard has a sample")
        sources = _unite_sources(shards)
        manifest = writer.finish(
            command=first.command,
            settings=first.settings,
            sources=[sources[uri] for uri in sorted(sources)],
            versions=first.versions,
            licence=first.licence,
            notes=first.notes,
        )
    failed = writer.failed_count
    return ConversionSummary(out, manifest, writer.sample_count, failed, ExitCode.PARTIAL if failed else ExitCode.DONE)


def _read(folder: Path) -> ShardRecord:
    path = folder / SHARD_NAME
    try:
        return ShardRecord.model_validate_json(path.read_bytes())
    except OSError as error:
        raise UsageError(
            "Cannot merge shards",
            where=folder,
            rule=f"it has no {SHARD_NAME}: it is no shard, or was not finished",
            action="Give the command of this shard again",
        ) from error
    except ValidationError as error:
        raise DatasetError("Unreadable shard", where=path, rule=str(error.errors()[0]["msg"])) from error


def _unite_sources(shards: Sequence[tuple[ShardRecord, Staging]]) -> dict[str, dict[str, Any]]:
    """List the source files of all shards, which must have read the same ones.

    Raises:
        UsageError: If a file changed between two shards.
    """
    found: dict[str, dict[str, Any]] = {}
    for record, staging in shards:
        for source in record.sources:
            if found.setdefault(source["uri"], source) != source:
                raise UsageError(
                    "Cannot merge shards",
                    where=staging.folder,
                    rule=f"it has read another {source['uri']} than a shard before it: the file changed in between",
                    action="Make all shards from the same input",
                )
    return found


_SHORT_FIELDS = ("count", "command", "settings", "fractions", "licence", "plan_sha256", "unit_count", "versions")
_LONG_FIELDS = ("excluded", "plan_rejects", "notes")
"""What is equal in all shards of a conversion: what a message quotes, and what would fill it."""


def _check_complete(shards: Sequence[tuple[ShardRecord, Staging]]) -> None:
    records = [record for record, _ in shards]
    first = records[0]
    for record, staging in shards:
        for name in (*_SHORT_FIELDS, *_LONG_FIELDS):
            ours, theirs = getattr(first, name), getattr(record, name)
            if ours != theirs:
                raise UsageError(
                    "Cannot merge shards",
                    where=staging.folder,
                    rule=f"all must be of one conversion, but {name} differs"
                    + (f": {theirs} and {ours}" if name in _SHORT_FIELDS else ""),
                    action="Make all shards with the same command, versions and input",
                )
    found = [record.index for record in records]
    missing = sorted(set(range(1, first.count + 1)) - set(found))
    if missing or len(found) != first.count:
        rule = f"there must be each of {first.count} shards once, got {', '.join(map(str, found))}"
        raise UsageError("Cannot merge shards", rule=rule, action="Name all of them, each once")
