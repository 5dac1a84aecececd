"""A conversion from plan to data set: on all cores, stopped and gone on with as often as it takes."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from domainvl.conversion.assembly import PlannedUnit, assemble
from domainvl.conversion.converter import Converter, ConverterSettings, Plan, command_of, is_address
from domainvl.conversion.exclusion import read_excluded
from domainvl.conversion.progress import EventLog, Progress
from domainvl.conversion.resumption import Resumption
from domainvl.conversion.versions import versions
from domainvl.conversion.work import ConversionWork, Done, Staging, Task
from domainvl.engine import Execution, FileStates, Outcome, Shard, UnitFailure, make_executor, run_units
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, StoppedError, UsageError
from domainvl.files import check_target, hidden_sibling, keyed, make_folder, output_errors
from domainvl.schema.writer import MANIFEST_NAME, DatasetWriter, Reject

_AGAIN = "Give the same command again: it goes on from there"


@dataclass(frozen=True)
class RunSettings(Execution):
    """How the units of a conversion are run.

    Attributes:
        max_error_rate: Share of units that may fail before the run is stopped.
        log: File for one JSON line a unit.
    """

    max_error_rate: float = 1.0
    log: Path | None = None


@dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did."""

    out: Path
    manifest: dict[str, Any]
    sample_count: int
    failed_count: int
    exit_code: ExitCode = field(default=ExitCode.DONE)


@dataclass(frozen=True)
class ConvertedUnits:
    """The units of a plan, all of them done or given up.

    Attributes:
        plan: The plan.
        tasks: All planned units, those of other shards too.
        units: Those that were to be done here, each with its place in the plan.
        failures: What became of those that were given up, by key; of pieces too.
        files: States of the files that were read.
        progress: The counts at the end.
    """

    plan: Plan[Any]
    tasks: Sequence[Task]
    units: Sequence[tuple[int, Task]]
    failures: Mapping[str, Reject]
    files: FileStates
    progress: Progress


def convert(
    converter: Converter[Any, Any],
    source: Path,
    out: Path,
    settings: ConverterSettings | None = None,
    *,
    overwrite: bool = False,
    run: RunSettings | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> ConversionSummary:
    """Convert an input into a data set.

    A run that is stopped keeps what it did in a hidden folder beside ``out``; the next one goes on from there, as far
    as files and settings still are what they were.

    Args:
        converter: What reads the input.
        source: File or folder.
        out: Folder of the data set to make.
        settings: The converter's settings; its defaults where None.
        overwrite: Replace a data set that is there.
        run: How units are run.
        on_progress: Called after each unit.

    Returns:
        What was done; its exit code says whether anything failed.

    Raises:
        InputNotFoundError: If ``source`` does not exist.
        NothingToDoError: If no sample came out.
        StoppedError: If the run was stopped before its end.
    """
    settings = check_inputs(converter, source, settings, out)
    fractions, excluded = settings.split_fractions(), read_excluded(settings.exclude_hashes)
    with stop_on_interrupt(), open_staging(out, overwrite=overwrite) as staging:
        done = convert_units(converter, source, settings, staging, run or RunSettings(), None, on_progress)
        with (
            output_errors(out),
            DatasetWriter(out, name=out.name, overwrite=overwrite, staging=staging.dataset) as writer,
        ):
            for reject in done.plan.rejects:
                writer.reject(reject)
            units = [PlannedUnit(task.key, task.name, staging) for _, task in done.units]
            assemble(units, done.failures, writer, fractions, excluded=excluded)
            if writer.sample_count == 0:
                raise _nothing_converted(converter, source, writer, len(done.tasks))
            manifest = writer.finish(
                command=command_of(converter),
                settings=settings.public(),
                sources=describe_sources(done.plan.sources, done.files, done.plan.source_key),
                versions=versions(settings.packages()),
                licence=settings.licence or done.plan.licence or converter.licence,
                notes=done.plan.notes,
            )
        failed = writer.failed_count
        exit_code = ExitCode.PARTIAL if failed else ExitCode.DONE
        return ConversionSummary(out, manifest, writer.sample_count, failed, exit_code)


def check_inputs(
    converter: Converter[Any, Any], source: Path, settings: ConverterSettings | None, out: Path
) -> ConverterSettings:
    """Check what can be checked before anything is read, and fill in default settings.

    Raises:
        InputNotFoundError: If ``source`` does not exist.
        UsageError: If the output lies inside the input, or holds one: replacing it would delete the input, a key
            for one.
    """
    if not source.exists() and not is_address(converter, source):
        raise InputNotFoundError(
            f"Cannot convert {converter.name} input", where=source, rule="there is no such file or folder"
        )
    settings = settings if settings is not None else converter.settings_type()
    if source.is_dir() and out.resolve().is_relative_to(source.resolve()):
        raise UsageError(
            "Cannot write a data set",
            where=out,
            rule=f"it lies inside the input {source}: what is written would be read as input",
            action="Name a folder elsewhere",
        )
    named = [source, *(value for _, value in settings if isinstance(value, Path))]
    inside = [path for path in named if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise UsageError(
            "Cannot write a data set",
            where=out,
            rule=f"{inside[0]} lies inside it and would be replaced",
            action="Name another",
        )
    return settings


@contextlib.contextmanager
def open_staging(out: Path, *, overwrite: bool) -> Iterator[Staging]:
    """Open the hidden folder in which a data set is prepared, for this process alone.

    It is removed at the end, and kept where the run was stopped and there is something to go on from.

    Raises:
        UsageError: If the target is taken, cannot be written, or another run is at work on it.
    """
    check_target(out, marker=MANIFEST_NAME, overwrite=overwrite)
    staging = Staging(hidden_sibling(out, "conversion"))
    make_folder(staging.dataset, out, empty=False)
    lock = FileLock(staging.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            "Cannot write a data set", where=out, rule="another run is at work on it", action="Wait until it has ended"
        ) from error
    shutil.rmtree(hidden_sibling(out, "done"), ignore_errors=True)  # of a run that was killed while it removed it
    keep = False
    try:
        yield staging
    except NothingToDoError:
        raise
    except BaseException:
        keep = any(staging.ledger.keys())
        raise
    finally:
        doomed = staging.folder
        if not keep and doomed.exists():
            # Out of the way first: to remove a million files takes time, in which the next run may begin.
            doomed = hidden_sibling(out, "done")
            shutil.rmtree(doomed, ignore_errors=True)
            staging.folder.rename(doomed)
        lock.release()
        if not keep:
            shutil.rmtree(doomed, ignore_errors=True)


@contextlib.contextmanager
def stop_on_interrupt() -> Iterator[None]:
    """Take Ctrl-C, wherever in a conversion it comes, for what it is: a stop from which the same command goes on.

    Raises:
        StoppedError: Instead of KeyboardInterrupt.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise StoppedError("The conversion was stopped", action=_AGAIN) from error


def convert_units(
    converter: Converter[Any, Any],
    source: Path,
    settings: ConverterSettings,
    staging: Staging,
    run: RunSettings,
    shard: Shard | None,
    on_progress: Callable[[Progress], None] | None,
) -> ConvertedUnits:
    """Plan, and do all units that no earlier run has done.

    Args:
        converter: What reads the input.
        source: File or folder.
        settings: The converter's settings.
        staging: Where pixels and parts go.
        run: How units are run.
        shard: The share of the units to do; all where None.
        on_progress: Called after each unit.

    Raises:
        StoppedError: If the run was stopped, by the user, by a full disk or because too many units fail.
    """
    # Workers of a cluster start in folders of their own.
    source = source if is_address(converter, source) else source.absolute()
    staging = Staging(staging.folder.absolute())
    settings = settings.model_copy(
        update={name: value.absolute() for name, value in settings if isinstance(value, Path)}
    )
    plan = converter.plan(source, settings)
    work = ConversionWork(converter, settings, source, staging)
    tasks = [work.task(unit) for unit in plan.units]
    chosen = shard.select(tasks) if shard is not None else list(enumerate(tasks))
    progress = Progress(planned=len(chosen))
    resumption = Resumption(converter, staging, progress)
    waiting = [task for _, task in chosen if not resumption.take_over(task)]
    resumption.remove_doubtful_images()
    failures: dict[str, Reject] = {}
    with EventLog(run.log) as log:
        log.write("begin", planned=progress.planned, resumed=progress.resumed)
        try:
            executor = make_executor(work, run)
            with contextlib.closing(executor):
                for outcome in run_units(waiting, executor, follow_up=resumption.missing_pieces):
                    _count(outcome, progress, failures, resumption, log)
                    if on_progress is not None:
                        on_progress(progress)
                    _check_budget(progress, run.max_error_rate)
        except KeyboardInterrupt as error:
            rule = f"{progress.done} of {progress.planned} units are done"
            raise StoppedError("The conversion was stopped", rule=rule, action=_AGAIN) from error
        log.write("end", done=progress.done, failed=progress.failed, samples=progress.samples)
    return ConvertedUnits(plan, tasks, chosen, failures, resumption.files, progress)


def _count(
    outcome: Outcome[Task, Done],
    progress: Progress,
    failures: dict[str, Reject],
    resumption: Resumption,
    log: EventLog,
) -> None:
    task, done, failure = outcome.unit, outcome.result, outcome.failure
    progress.done += 1
    if failure is not None:
        failures[task.key] = _to_reject(task, failure)
        progress.failed += 1
        progress.failed_inputs += 1
        progress.drops[failure.reason] += 1
        log.write("unit", name=task.name, status="failed", reason=failure.reason, message=failure.message)
        return
    if done is None:
        raise ValueError("an outcome has a result or a failure")
    resumption.learn(done)
    progress.failed += done.failed
    progress.failed_inputs += done.failed_count
    progress.samples += done.sample_count
    progress.bytes_read += done.bytes_read
    progress.drops += done.drops
    log.write(
        "unit",
        name=task.name,
        status="divided" if done.pieces else "failed" if done.failed else "done",
        samples=done.sample_count,
        drops=dict(sorted(done.drops.items())),
        bytes_read=done.bytes_read,
        elapsed_s=round(done.elapsed_s, 3),
    )


def _to_reject(task: Task, failure: UnitFailure) -> Reject:
    return Reject(task.name, "convert", failure.reason, failure.message, failure.action)


def _check_budget(progress: Progress, max_error_rate: float) -> None:
    if progress.failed > max_error_rate * progress.planned:
        reasons = ", ".join(f"{count} {reason}" for reason, count in progress.drops.most_common())
        raise StoppedError(
            "Too many units fail",
            rule=f"{progress.failed} of {progress.planned} failed, more than --max-error-rate {max_error_rate:g} "
            f"({reasons})",
            action="Mend the cause and give the same command again; what was done is kept",
        )


def _nothing_converted(
    converter: Converter[Any, Any], source: Path, writer: DatasetWriter, unit_count: int
) -> NothingToDoError:
    left_out = writer.reject_count - writer.failed_count
    rule = (
        f"none of {unit_count} planned units gave a sample, {writer.failed_count} inputs failed and {left_out} were "
        "left out"
    )
    if writer.first_reject is not None:
        first = writer.first_reject
        rule += f" (the first: {first.input}: {first.message})"
    way_out = writer.first_reject.action if writer.first_reject is not None else None
    return NothingToDoError(
        f"Nothing was converted by {converter.name}",
        where=source,
        rule=rule,
        action=way_out or "Check the input and the settings",
    )


def describe_sources(sources: Mapping[str, Path], files: FileStates, key: bytes) -> list[dict[str, Any]]:
    """Say of each input file what it was when it was read.

    Raises:
        InputNotFoundError: If one that no unit has read is gone.
    """
    described = []
    for uri, path in sorted(sources.items()):
        try:
            state = files.of(path)
        except OSError as error:
            raise InputNotFoundError(
                "Cannot describe the input",
                where=uri,
                rule=f"it was there when the conversion began ({error.strerror})",
                action=_AGAIN,
            ) from error
        described.append({"uri": uri, "sha256": keyed(state.sha256, key), "size_bytes": state.size_bytes})
    return described
