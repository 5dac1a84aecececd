"""A conversion from plan to data set: on all cores, stopped and gone on with as often as it takes."""

from __future__ import annotations

import contextlib
import shutil
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from domainvl import __version__
from domainvl.conversion.assembly import PlannedUnit, assemble, piece_keys
from domainvl.conversion.converter import Converter, ConverterSettings, Plan
from domainvl.conversion.progress import EventLog, Progress
from domainvl.conversion.work import ConversionWork, Done, Staging, Task
from domainvl.engine import (
    Executor,
    FileState,
    FileStates,
    InThisProcess,
    Limits,
    Outcome,
    Part,
    Shard,
    UnitFailure,
    default_limits,
    run_units,
)
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, StoppedError, UsageError
from domainvl.files import check_target, hidden_sibling, make_folder, output_errors
from domainvl.schema.writer import MANIFEST_NAME, DatasetWriter, Reject

_PACKAGES = (
    "isal", "numpy", "pillow", "pydicom", "pyjpegls", "pylibjpeg", "pyogrio", "python-gdcm", "rasterio", "shapely",
)  # fmt: skip
"""What pixels and coordinates pass through; absent ones are not mentioned."""

_AGAIN = "Give the same command again: it goes on from there"


@dataclass(frozen=True)
class RunSettings:
    """How units are run; none of it changes what comes out.

    Attributes:
        workers: Number of processes; 0 for none but this one, which nothing protects from a crash or a hang.
        unit_timeout_s: Seconds that a unit may take; None for any time.
        unit_memory_bytes: Memory that a unit may take; where None, a share of four fifths of the machine's.
        max_error_rate: Share of units that may fail before the run is stopped.
        ray: Address of a Ray cluster, or ``"local"``; None for processes of this machine.
        log: File for one JSON line a unit.
    """

    workers: int = 0
    unit_timeout_s: float | None = 600.0
    unit_memory_bytes: int | None = None
    max_error_rate: float = 1.0
    ray: str | None = None
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
    fractions = settings.split_fractions()
    with open_staging(out, overwrite=overwrite) as staging:
        done = convert_units(converter, source, settings, staging, run or RunSettings(), None, on_progress)
        with (
            output_errors(out),
            DatasetWriter(out, name=out.name, overwrite=overwrite, staging=staging.dataset) as writer,
        ):
            for reject in done.plan.rejects:
                writer.reject(reject)
            units = [PlannedUnit(task.key, task.name, staging) for _, task in done.units]
            assemble(units, done.failures, writer, fractions)
            if writer.sample_count == 0:
                raise _nothing_converted(converter, source, writer, len(done.tasks))
            manifest = writer.finish(
                command=f"convert {converter.name}",
                settings=settings.public(),
                sources=describe_sources(done.plan.sources, done.files),
                versions=versions(),
                licence=settings.licence or converter.licence,
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
        UsageError: If the output folder holds an input: replacing it would delete the input, a key for one.
    """
    if not source.exists():
        raise InputNotFoundError(
            f"Cannot convert {converter.name} input", where=source, rule="there is no such file or folder"
        )
    settings = settings if settings is not None else converter.settings_type()
    named = [source, *(value for _, value in settings if isinstance(value, Path))]
    inside = [path for path in named if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise UsageError(
            "Cannot write a data set", where=out, rule=f"the input {inside[0]} lies inside it", action="Name another"
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
    staging = Staging(hidden_sibling(out, "partial"))
    make_folder(staging.dataset, out, empty=False)
    lock = FileLock(staging.lock)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            "Cannot write a data set", where=out, rule="another run is at work on it", action="Wait until it has ended"
        ) from error
    keep = False
    try:
        yield staging
    except NothingToDoError:
        raise
    except BaseException:
        keep = any(staging.ledger.keys())
        raise
    finally:
        lock.release()
        if not keep:
            shutil.rmtree(staging.folder, ignore_errors=True)


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
    plan = converter.plan(source, settings)
    work = ConversionWork(converter, settings, source, staging)
    tasks = [work.task(unit) for unit in plan.units]
    chosen = shard.select(tasks) if shard is not None else list(enumerate(tasks))
    resumption = _Resumption(converter, staging)
    progress = Progress(planned=len(chosen))
    waiting = [task for _, task in chosen if not resumption.take_over(task, progress)]
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


def make_executor(work: ConversionWork, run: RunSettings) -> Executor[Task, Done]:
    """Choose where units are done."""
    if run.ray is not None:
        from domainvl.engine.on_ray import RayExecutor

        limits = Limits(timeout_s=run.unit_timeout_s)
        return RayExecutor(work, address=run.ray, workers=run.workers or None, limits=limits)
    if run.workers == 0:
        return InThisProcess(work)
    from domainvl.engine.pool import ProcessPool

    limits = default_limits(run.workers, timeout_s=run.unit_timeout_s, memory_bytes=run.unit_memory_bytes)
    return ProcessPool(work, workers=run.workers, limits=limits)


class _Resumption:
    """Which units an earlier run has done, and what is known of their files."""

    def __init__(self, converter: Converter[Any, Any], staging: Staging) -> None:
        self._converter = converter
        self._staging = staging
        self._vouched: set[str] = set()
        self.files = FileStates()

    def take_over(self, task: Task, progress: Progress) -> bool:
        """Count a planned unit as done if it is, with all its pieces, from files as they are now."""
        part = self._part(task.key)
        if part is None or not self._has_same_files(task, part):
            return False
        pieces = [self._part(key) for key, _ in piece_keys(part)]
        if None in pieces:
            return False
        progress.planned += len(pieces)
        for done in (part, *pieces):
            _count_resumed(done, progress)
        return True

    def missing_pieces(self, outcome: Outcome[Task, Done]) -> list[Task]:
        """Return the pieces of a unit that was divided, less those that an earlier run did."""
        pieces = outcome.result.pieces if outcome.result is not None else ()
        return [piece for piece in pieces if self._part(piece.key) is None]

    def _part(self, key: str) -> Part | None:
        """Return a part whose images are all there; its key names the content of a piece's files."""
        part = self._staging.ledger.get(key)
        if part is None:
            return None
        try:
            sizes = {path: (self._staging.dataset / path).stat().st_size for path in part.info["images"]}
        except OSError:
            return None
        if sizes != part.info["images"]:
            return None
        self._vouched |= sizes.keys()
        return part

    def remove_doubtful_images(self) -> None:
        """Remove images that no finished unit vouches for: after a power cut they may be cut short.

        They would else be kept, because an image that is there is not written again.
        """
        for path in (self._staging.dataset / "images").rglob("*.*"):
            if path.relative_to(self._staging.dataset).as_posix() not in self._vouched:
                path.unlink()
        self._vouched.clear()

    def _has_same_files(self, task: Task, part: Part) -> bool:
        paths = list(self._converter.unit_files(task.unit))
        states = [FileState(**state) if state is not None else None for state in part.info["files"]]
        if len(paths) != len(states):
            return False
        for path, state in zip(paths, states, strict=True):
            if state is None and path.exists():
                return False
            if state is not None:
                if not state.still_holds(path):
                    return False
                self.files.remember(path, state)
        return True

    def learn(self, task: Task, done: Done) -> None:
        """Take over what the worker that did a unit knows of its files."""
        if not task.is_piece:
            for path, state in zip(self._converter.unit_files(task.unit), done.files, strict=True):
                if state is not None:
                    self.files.remember(path, state)


def _count_resumed(part: Part | None, progress: Progress) -> None:
    if part is not None:
        progress.done += 1
        progress.resumed += 1
        progress.samples += part.info["samples"]
        progress.failed += part.info["failed"]
        progress.drops += Counter(part.info["drops"])


def _count(
    outcome: Outcome[Task, Done],
    progress: Progress,
    failures: dict[str, Reject],
    resumption: _Resumption,
    log: EventLog,
) -> None:
    task, done, failure = outcome.unit, outcome.result, outcome.failure
    progress.done += 1
    if failure is not None:
        failures[task.key] = _to_reject(task, failure)
        progress.failed += 1
        progress.drops[failure.reason] += 1
        log.write("unit", name=task.name, status="failed", reason=failure.reason, message=failure.message)
        return
    if done is None:
        raise ValueError("an outcome has a result or a failure")
    resumption.learn(task, done)
    finished_before = len(done.pieces) - len(resumption.missing_pieces(outcome))
    progress.planned += len(done.pieces)
    progress.done += finished_before
    progress.resumed += finished_before
    progress.failed += done.failed
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
    rule = f"none of {unit_count} planned units gave a sample, {writer.failed_count} inputs failed"
    if writer.first_reject is not None:
        rule += f" (the first: {writer.first_reject.message})"
    return NothingToDoError(
        f"Nothing was converted by {converter.name}", where=source, rule=rule, action="Check the input and the settings"
    )


def describe_sources(sources: Mapping[str, Path], files: FileStates) -> list[dict[str, Any]]:
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
        described.append({"uri": uri, "sha256": state.sha256, "size_bytes": state.size_bytes})
    return described


def versions() -> dict[str, str]:
    """Return the versions of what takes part in a conversion."""
    import rasterio
    from openjpeg.utils import get_openjpeg_version

    found = {"domainvl": __version__, "gdal": rasterio.__gdal_version__, "zlib": zlib.ZLIB_RUNTIME_VERSION}
    found["openjpeg"] = ".".join(map(str, get_openjpeg_version()))
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
