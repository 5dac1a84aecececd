"""A step from sources or a corpus to a new corpus: its units on all cores, stopped and gone on with, joined in order.

Each unit that is done leaves its rows and a completion marker in a hidden folder beside the output; a run that was
killed, and the shards of an array of jobs (folders ``OUT.shard-I-of-N``), are taken over by key. What comes out does
not depend on who did which unit: rows are joined in the order of the plan.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from domainvl import __version__
from domainvl.conversion.run import open_staging, stop_on_interrupt
from domainvl.conversion.work import Staging
from domainvl.corpus.extras import require
from domainvl.corpus.folder import IMAGES_NAME, Corpus, check_kind, check_place
from domainvl.corpus.tables import ROWS_PER_GROUP, read_table, write_table
from domainvl.engine import Execution, Executor, Shard, UnitFailure, fingerprint, make_executor, run_units
from domainvl.engine.ledger import Part
from domainvl.errors import ExitCode, NothingToDoError, StoppedError, UsageError
from domainvl.files import hash_file, link_or_copy, output_errors, take_name, write_atomically
from domainvl.interleaved.documents import image_name
from domainvl.schema.reader import CORPUS_KIND
from domainvl.schema.writer import MANIFEST_NAME, REJECTS_NAME, Reject, Severity

DOCUMENTS = "documents"
"""Name of the table that holds the documents of the new corpus."""

WITHOUT_FILE = "images without a file"
"""Counts images of the new corpus that are not switched off and have no file; one of many documents once."""

_DOCUMENTS_PER_FILE = 20 * ROWS_PER_GROUP
SHARD_NAME = "corpus-shard.json"
"""What makes a folder a shard of a step; written last."""

UnitT = TypeVar("UnitT")
WorkedT = TypeVar("WorkedT", contravariant=True)


@dataclass(frozen=True)
class UnitOutput:
    """What a unit gives.

    Attributes:
        tables: Arrow tables by name; those called :data:`DOCUMENTS` are the documents of the new corpus.
        rejects: What was left out.
        counts: What is added up over all units for the manifest, such as documents read.
        info: What later phases want to know of this unit; JSON.
    """

    tables: Mapping[str, Any] = field(default_factory=dict)
    rejects: Sequence[Reject] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)


class UnitWork(Protocol[WorkedT]):
    """Does one unit; it must be possible to pickle it."""

    def __call__(self, unit: WorkedT, images: Path) -> UnitOutput:
        """Do a unit.

        Args:
            unit: What is to be done.
            images: Folder of the new corpus' images; write with :func:`put_image`, take over with :func:`adopt_images`.

        Raises:
            ItemError: If nothing can be made of it.
        """
        ...


@dataclass(frozen=True)
class UnitDone:
    """A unit that is done.

    Attributes:
        tables: Its tables by name, as Parquet files.
        rejects: What was left out.
        counts: What is added up.
        info: What it noted.
        images: Names of the files of its documents' images.
        missing: Names of such files that are not there, of images that are not switched off.
        failed: Whether it gave nothing, for a reason that the one reject tells.
    """

    tables: Mapping[str, Path]
    rejects: tuple[Reject, ...]
    counts: Mapping[str, int]
    info: Mapping[str, Any]
    images: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    failed: bool = False


@dataclass(frozen=True)
class StageRun:
    """How a step is run; none of it changes what comes out.

    Attributes:
        execution: Where units are done.
        shard: The share of the units to do, for a job of an array; all where None.
        overwrite: Replace a corpus that is there.
        on_progress: Called with the units done and planned after each.
    """

    execution: Execution = field(default_factory=Execution)
    shard: Shard | None = None
    overwrite: bool = False
    on_progress: Callable[[int, int], None] | None = None


@dataclass(frozen=True)
class StageSummary:
    """What a step did.

    Attributes:
        out: The new corpus, or the folder of the shard.
        manifest: Its manifest; of a shard, what it did.
        exit_code: Partial where inputs failed; nothing done where no document is left.
    """

    out: Path
    manifest: dict[str, Any]
    exit_code: ExitCode


def put_image(images: Path, url: str, content: bytes) -> str:
    """Store the bytes of an image under the name of its address; one that is there whole is kept.

    Returns:
        The name of the file.

    Raises:
        OutputError: If it cannot be written.
    """
    name = image_name(url)
    target = images / name
    if not _holds(target, content):
        write_atomically(target, content)
    return name


def _holds(path: Path, content: bytes) -> bool:
    """Say whether a file has this content; a run that was stopped may have left that of an image since replaced."""
    try:
        return path.stat().st_size == len(content) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def adopt_images(source: Path, images: Path, urls: Iterator[str] | Sequence[str]) -> int:
    """Take over images of another corpus that are there.

    Returns:
        How many are not there.
    """
    missing = 0
    for url in urls:
        name = image_name(url)
        if (source / name).is_file():
            link_or_copy(source / name, images / name)
        else:
            missing += 1
    return missing


@dataclass(frozen=True)
class _Task(Generic[UnitT]):
    key: str
    name: str
    unit: UnitT


class _Work(Generic[UnitT]):
    """Does a unit and writes down what it gave; can be pickled."""

    def __init__(self, work: UnitWork[UnitT], staging: Staging) -> None:
        self._work = work
        self._staging = staging

    def __call__(self, task: _Task[UnitT]) -> None:
        images = self._staging.dataset / IMAGES_NAME
        output = self._work(task.unit, images)
        table_bytes = {}
        for name, table in output.tables.items():
            path = _row_file(self._staging, task.key, name)
            with output_errors(path):
                path.parent.mkdir(parents=True, exist_ok=True)
                write_table(table, path)
            table_bytes[name] = path.stat().st_size
        found = [images / name for name in _image_names(output.tables)]
        info = {
            "tables": table_bytes,
            "images": {path.name: path.stat().st_size for path in found if path.is_file()},
            "missing": [name for name in _shown_names(output.tables) if not (images / name).is_file()],
            "counts": dict(output.counts),
            "info": dict(output.info),
        }
        self._staging.ledger.put(task.key, info, [_to_line(reject) for reject in output.rejects])


class Stage:
    """A step that is being run; get one from :func:`open_stage`.

    Attributes:
        rejects: What was left out besides what units left out, such as sources that could not be planned.
    """

    def __init__(self, out: Path, command: str, settings: Mapping[str, Any], run: StageRun, staging: Staging) -> None:
        self._out = out
        self._command = command
        self._settings = dict(settings)
        self._run = run
        self._staging = Staging(staging.folder.absolute())
        self._unit_counts: Counter[str] = Counter()
        self.rejects: list[Reject] = []
        found = sorted(out.parent.glob(f"{out.name}.shard-*-of-*")) if run.shard is None else []
        self._shards = [Staging(folder.absolute()) for folder in found if (folder / SHARD_NAME).is_file()]

    @property
    def is_shard(self) -> bool:
        """Whether this is a job of an array, which leaves all but its share to the run that joins the shards."""
        return self._run.shard is not None

    @property
    def folder(self) -> Path:
        """The folder that will be the new corpus; what is written there beside documents and images is kept."""
        return self._staging.dataset

    @property
    def scratch(self) -> Path:
        """A folder for what phases pass on to each other; it goes when the step is done."""
        folder = self._staging.folder / "scratch"
        folder.mkdir(exist_ok=True)
        return folder

    def map(
        self,
        phase: str,
        units: Sequence[tuple[str, UnitT]],
        work: UnitWork[UnitT],
        *,
        root: Path,
        depends_on: Mapping[str, Any] | None = None,
        is_light: bool = False,
    ) -> list[UnitDone]:
        """Do units, except those that an earlier run or a shard has done.

        Args:
            phase: Which part of the step this is; what a failed unit is listed under.
            units: What is to be done, each with its name for messages.
            work: Does one.
            root: Folder that paths in units lie below.
            depends_on: What the result depends on besides the unit and the step's settings, such as versions.
            is_light: Whether all units together are not worth starting a process: they are then done in this one.

        Returns:
            Results in the order of the units; a unit that failed gives one that lists why and nothing else. In a job of
            an array those of its share.

        Raises:
            StoppedError: If the run was stopped before its end.
        """
        decisive = {
            "phase": phase,
            "command": self._command,
            "settings": self._settings,
            "version": __version__,
            "depends_on": dict(depends_on or {}),
        }
        tasks = [_Task(fingerprint((decisive, unit), root=root), name, unit) for name, unit in units]
        if self._run.shard is not None:
            tasks = [task for _, task in self._run.shard.select(tasks)]
        waiting = [task for task in tasks if not self._is_done(task.key)]
        failures = self._do(waiting, len(tasks), work, is_light)
        self._unit_counts[phase] += len(tasks)
        return [
            self._failed(task, phase, failures[task.key]) if task.key in failures else self._result(task.key)
            for task in tasks
        ]

    def finish_shard(self, done: Sequence[UnitDone]) -> StageSummary:
        """Complete a job of an array: its units are to be joined by the same command without ``--shard``."""
        rejects = [reject for unit in done for reject in unit.rejects]
        content = {
            "command": self._command,
            "settings": self._settings,
            "shard": str(self._run.shard),
            "units": dict(self._unit_counts),
            "drops": _drops(rejects),
        }
        write_atomically(self._staging.folder / SHARD_NAME, _json(content))
        with output_errors(self._out):
            self._staging.lock.unlink(missing_ok=True)
            take_name(self._staging.folder, self._out)
        return StageSummary(self._out, content, _exit_code(rejects))

    def finish(
        self,
        done: Sequence[UnitDone],
        *,
        sources: Sequence[Mapping[str, Any]] = (),
        before: Corpus | None = None,
        counts: Mapping[str, int] | None = None,
        versions: Mapping[str, str] | None = None,
        notes: Sequence[str] = (),
        licence: str | None = None,
        allow_empty: bool = False,
    ) -> StageSummary:
        """Join the rows of all units, in their order, and give the corpus its name.

        Args:
            done: All units of the last phase; their tables called :data:`DOCUMENTS` are the documents, and others are
                put into folders of their names.
            sources: Input files, each with ``uri`` and ``sha256``.
            before: The corpus that this one was made of.
            counts: For the manifest, beside those of the units.
            versions: Versions of the libraries that decided what came out.
            notes: What a user should know about the corpus as a whole.
            licence: Licence of the sources; that of ``before`` where None.
            allow_empty: Make a corpus without documents where none is left, so that it can be asked why; the exit code
                says so.

        Raises:
            NothingToDoError: If no document is left and there must be one.
        """
        self._remove_leftovers({name for unit in done for name in unit.images})
        files = _join(self.folder, [unit.tables[DOCUMENTS] for unit in done if DOCUMENTS in unit.tables])
        for name in sorted({name for unit in done for name in unit.tables} - {DOCUMENTS}):
            (self.folder / name).mkdir(exist_ok=True)
            _join(self.folder / name, [unit.tables[name] for unit in done if name in unit.tables])
        rejects = [*self.rejects, *(reject for unit in done for reject in unit.rejects)]
        is_empty = not any(file["documents"] for file in files)
        if is_empty and not allow_empty:
            raise NothingToDoError("No document is left", where=self._out, rule=_told(rejects))
        total: Counter[str] = Counter(counts or {})
        for unit in done:
            total.update(unit.counts)
        total[WITHOUT_FILE] = len({name for unit in done for name in unit.missing})
        lines = "".join(f"{_to_line(reject)}\n" for reject in rejects)
        write_atomically(self.folder / REJECTS_NAME, lines.encode("utf-8", "backslashreplace"))
        step = {
            "command": self._command,
            "settings": self._settings,
            "versions": {"domainvl": __version__, **dict(versions or {})},
            "counts": {
                name: count for name, count in sorted(total.items(), key=_totals_first) if count or name != WITHOUT_FILE
            },
            "drops": _drops(rejects),
        }
        manifest = {
            "kind": CORPUS_KIND,
            "name": self._out.name,
            "documents": sum(file["documents"] for file in files),
            "images": sum(file.pop("images") for file in files),
            "files": files,
            "steps": [*(before.manifest["steps"] if before is not None else ()), step],
            "sources": [dict(source) for source in sources] or (before.manifest["sources"] if before else []),
            "licence": licence or (before.manifest.get("licence") if before is not None else None),
            "notes": list(notes),
        }
        write_atomically(self.folder / MANIFEST_NAME, _json(manifest))
        (self.folder / IMAGES_NAME).mkdir(exist_ok=True)
        with output_errors(self._out):
            take_name(self.folder, self._out)
        return StageSummary(self._out, manifest, ExitCode.NOTHING_DONE if is_empty else _exit_code(rejects))

    def _remove_leftovers(self, images: set[str]) -> None:
        """Remove what stopped runs and units that failed have left: images of no document, and files half joined."""
        with output_errors(self.folder):
            tables = [path for depth in ("", "*/") for path in self.folder.glob(f"{depth}{DOCUMENTS}-*.parquet")]
            for path in [*self.folder.glob(f"{IMAGES_NAME}/*"), *tables]:
                if path.name not in images:
                    path.unlink()

    def _do(
        self, waiting: Sequence[_Task[UnitT]], planned: int, work: UnitWork[UnitT], is_light: bool
    ) -> dict[str, UnitFailure]:
        failures: dict[str, UnitFailure] = {}
        done = planned - len(waiting)
        execution = Execution() if is_light else self._run.execution
        executor: Executor[_Task[UnitT], None] = make_executor(_Work(work, self._staging), execution)
        with contextlib.closing(executor):
            for outcome in run_units(waiting, executor):
                done += 1
                if outcome.failure is not None:
                    failures[outcome.unit.key] = outcome.failure
                if self._run.on_progress is not None:
                    self._run.on_progress(done, planned)
        return failures

    def _is_done(self, key: str) -> bool:
        if _whole_part(self._staging, key) is not None:
            return True
        for shard in self._shards:
            part = _whole_part(shard, key)
            if part is not None:
                for name in part.info["tables"]:
                    link_or_copy(_row_file(shard, key, name), _row_file(self._staging, key, name))
                for name in part.info["images"]:
                    link_or_copy(shard.dataset / IMAGES_NAME / name, self.folder / IMAGES_NAME / name)
                self._staging.ledger.put(key, part.info, part.lines)
                return True
        return False

    def _result(self, key: str) -> UnitDone:
        part = self._staging.ledger.get(key)
        if part is None:
            raise StoppedError("A finished unit is gone", where=self._staging.folder, action="Give the command again")
        return UnitDone(
            {name: _row_file(self._staging, key, name) for name in part.info["tables"]},
            tuple(Reject.read(json.loads(line)) for line in part.lines),
            part.info["counts"],
            part.info["info"],
            tuple(part.info["images"]),
            tuple(part.info["missing"]),
        )

    @staticmethod
    def _failed(task: _Task[UnitT], phase: str, failure: UnitFailure) -> UnitDone:
        reject = Reject(task.name, phase, failure.reason, failure.message, failure.action)
        return UnitDone({}, (reject,), {}, {}, failed=True)


@contextlib.contextmanager
def open_stage(
    out: Path, command: str, settings: Mapping[str, Any], run: StageRun, *, inputs: Sequence[Path] = ()
) -> Iterator[Stage]:
    """Begin a step, alone; what it did is kept where it is stopped.

    Args:
        out: The corpus to make.
        command: Such as ``corpus filter``.
        settings: All that decides what comes out, besides the input; JSON.
        run: How it is run.
        inputs: The corpora that it is made of.

    Raises:
        UsageError: If the target is taken, cannot be written, is mixed up with an input, would replace what is no
            corpus, or another run is at work on it.
    """
    require("pyarrow")
    check_place(out, inputs)
    if run.overwrite:
        check_kind(out, makes_corpus=True)
    folder = out if run.shard is None else out.with_name(f"{out.name}.shard-{run.shard}")
    if run.shard is not None and folder.exists():
        rule, action = "it is done already", "Remove it to make it again"
        raise UsageError("Cannot do a shard", where=folder, rule=rule, action=action)
    with stop_on_interrupt(), open_staging(folder, overwrite=run.overwrite) as staging:
        yield Stage(folder, command, settings, run, staging)


def _row_file(staging: Staging, key: str, table: str) -> Path:
    return staging.folder / "rows" / f"{key}.{table}.parquet"


def _shown_names(tables: Mapping[str, Any]) -> list[str]:
    """Name the images of the documents of the new corpus that are not switched off."""
    table = tables.get(DOCUMENTS)
    if table is None or "valid_image" not in table.column_names:
        return []
    columns = (table.column(name).to_pylist() for name in ("images", "valid_image"))
    names: set[str] = set()
    for slots, flags in zip(*columns, strict=True):
        urls = [url for url in slots if url is not None]  # one entry a slot, and flags one entry an image
        names |= {image_name(url) for url, is_shown in zip(urls, flags, strict=True) if is_shown}
    return sorted(names)


def _image_names(tables: Mapping[str, Any]) -> list[str]:
    """Name the images of all documents that a unit gives, those in tables beside the corpus' own too."""
    lists = [
        urls
        for table in tables.values()
        if "images" in table.column_names
        for urls in table.column("images").to_pylist()
    ]
    return sorted({image_name(url) for urls in lists for url in urls if url is not None})


def _whole_part(staging: Staging, key: str) -> Part | None:
    """Return a part whose tables and images are all there and as large as they were."""
    part = staging.ledger.get(key)
    if part is None:
        return None
    files = {_row_file(staging, key, name): size for name, size in part.info["tables"].items()}
    files |= {staging.dataset / IMAGES_NAME / name: size for name, size in part.info["images"].items()}
    try:
        return part if all(path.stat().st_size == size for path, size in files.items()) else None
    except OSError:
        return None


def _join(folder: Path, parts: Sequence[Path]) -> list[dict[str, Any]]:
    """Join tables into files of equal size in documents, whichever units the rows came from."""
    pa = require("pyarrow")
    files: list[dict[str, Any]] = []
    held: list[Any] = []

    def write() -> None:
        table = pa.concat_tables(held).combine_chunks()
        while table.num_rows >= _DOCUMENTS_PER_FILE or (table.num_rows and final):
            head, table = table.slice(0, _DOCUMENTS_PER_FILE), table.slice(_DOCUMENTS_PER_FILE)
            path = folder / f"{DOCUMENTS}-{len(files):05d}.parquet"
            with output_errors(path):
                write_table(head, path)
            files.append(_describe(path, head))
        held[:] = [table]

    final = False
    for part in parts:
        held.append(read_table(part))
        if sum(table.num_rows for table in held) >= _DOCUMENTS_PER_FILE:
            write()
    final = True
    if held:
        write()
    return files


def _describe(path: Path, table: Any) -> dict[str, Any]:
    images = 0
    if "valid_image" in table.column_names:
        images = sum(sum(flags) for flags in table.column("valid_image").to_pylist())
    return {"name": path.name, "sha256": hash_file(path), "documents": table.num_rows, "images": images}


def _totals_first(counted: tuple[str, int]) -> tuple[bool, str]:
    """Sort counts: what one rule took away, such as ``paragraph/hf-digits``, comes behind what there was."""
    return "/" in counted[0], counted[0]


def _drops(rejects: Sequence[Reject]) -> dict[str, int]:
    counted = Counter(f"{reject.stage}/{reject.reason}" for reject in rejects)
    return dict(sorted(counted.items()))


def _told(rejects: Sequence[Reject]) -> str:
    told = ", ".join(f"{count} {reason}" for reason, count in Counter(one.reason for one in rejects).most_common(8))
    return told or "the input has none"


def _exit_code(rejects: Sequence[Reject]) -> ExitCode:
    return ExitCode.PARTIAL if any(one.severity is Severity.FAILED for one in rejects) else ExitCode.DONE


def _to_line(reject: Reject) -> str:
    return json.dumps(asdict(reject), ensure_ascii=False)


def _json(content: object) -> bytes:
    return (json.dumps(content, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "backslashreplace")
