"""``enhance register`` as a whole: files in, a folder of registered pairs out."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from domainvl.engine import Execution, UnitFailure, make_executor, run_units
from domainvl.enhance.pairs.contact import draw_contact
from domainvl.enhance.pairs.layouts import find_pairs
from domainvl.enhance.pairs.records import (
    HIGH_FOLDER,
    INDEX_NAME,
    LOW_FOLDER,
    RECORDS_NAME,
    REJECTS_NAME,
    SPLITS,
    PairIndex,
    PairRecord,
    PairSet,
    View,
)
from domainvl.enhance.pairs.refusing import refuse_medical_pairs
from domainvl.enhance.pairs.registering import Figures, register_pair
from domainvl.enhance.pairs.settings import PairSource, RegisterSettings
from domainvl.enhance.pairs.splitting import assign_splits
from domainvl.enhance.pairs.value_range import measure_view
from domainvl.enhance.rasters import has_alpha, read_kind
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.files import check_target, complete_folder, write_atomically
from domainvl.schema.writer import Reject, Severity

CONTACT_NAME = "registered.png"
_TOLD = 5


@dataclass(frozen=True)
class Registered:
    """What a run did.

    Attributes:
        out: The folder of pairs.
        index: What the set has in common.
        records: The pairs.
        rejects: What is none, with reasons.
        with_alpha: Files with a band that is flagged as alpha, which was taken for their validity.
    """

    out: Path
    index: PairIndex
    records: tuple[PairRecord, ...]
    rejects: tuple[Reject, ...]
    with_alpha: tuple[Path, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        """Partial if something could not be used."""
        failed = any(reject.severity is Severity.FAILED for reject in self.rejects)
        return ExitCode.PARTIAL if failed else ExitCode.DONE


def register_pairs(
    first: Path,
    second: Path | None,
    out: Path,
    settings: RegisterSettings,
    execution: Execution | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> Registered:
    """Find pairs, register each, and write the set.

    Args:
        first: Low views, or a folder that holds both.
        second: High views, where the layout has them apart.
        out: Folder to make; it gets its name when everything is in it.
        settings: How.
        execution: Where; in this process if None. It does not change what comes out.
        overwrite: Replace a set of pairs that is there.
        on_progress: Called with the pairs done and planned after each.

    Raises:
        UsageError: If the output is taken, the layout does not fit what was named, or a view is medical.
        NothingToDoError: If no pair is found, or none is left.
        OutputError: If something cannot be written.
    """
    check_target(out, marker=INDEX_NAME, overwrite=overwrite)
    _check_apart(out, [path for path in (first, second) if path is not None])
    sources, rejects = find_pairs(first, second, settings)
    if not settings.force_medical:
        refuse_medical_pairs(sources, rejects)
    with complete_folder(out) as folder:
        figures, more = _register_all(sources, folder.absolute(), settings, execution or Execution(), on_progress)
        rejects += more
        kept = [source for source in sources if source.id in figures]
        kept, more = _uniform(kept, folder)
        rejects += more
        if not kept:
            raise _none_left(first, rejects)
        splits = assign_splits(
            (source.group for source in kept),
            val_share=settings.val_share,
            test_share=settings.test_share,
            seed=settings.seed,
        )
        records = [figures[source.id].record(source, splits[source.group]) for source in kept]
        index = _index(folder, records, rejects, settings)
        _write(folder, index, records, rejects)
        draw_contact(PairSet(folder), folder / CONTACT_NAME)
        files = dict.fromkeys(path for source in kept for path in (source.low, source.high))
        with_alpha = tuple(path for path in files if has_alpha(path))
    return Registered(out, index, tuple(records), tuple(rejects), with_alpha)


def _check_apart(out: Path, inputs: Sequence[Path]) -> None:
    ours = out.resolve()
    for given in inputs:
        theirs = given.resolve()
        if theirs.is_relative_to(ours) or ours.is_relative_to(theirs):
            rule = f"it must not be the input {given}, contain it or lie inside it"
            raise UsageError("Cannot write", where=out, rule=rule, action="Name another folder")


def _register_all(
    sources: Sequence[PairSource],
    folder: Path,
    settings: RegisterSettings,
    execution: Execution,
    on_progress: Callable[[int, int], None] | None,
) -> tuple[dict[str, Figures], list[Reject]]:
    figures: dict[str, Figures] = {}
    rejects = []
    executor = make_executor(functools.partial(register_pair, settings=settings, folder=folder), execution)
    try:
        for done, outcome in enumerate(run_units(sources, executor), start=1):
            if outcome.failure is not None:
                rejects.append(_rejected(outcome.unit, outcome.failure, settings.window_px))
            elif outcome.result is not None:
                figures[outcome.unit.id] = outcome.result
            if on_progress is not None:
                on_progress(done, len(sources))
    finally:
        executor.close()
    return figures, sorted(rejects, key=lambda reject: reject.input)


def _rejected(source: PairSource, failure: UnitFailure, window_px: int) -> Reject:
    # Nobody chose what lies in a window: empty ones and the rest at a raster's edge are no failure.
    expected = source.window is not None and failure.reason in ("no-valid-pixels", "too-small")
    if source.window is not None and min(source.window[2:]) < window_px:  # too narrow to tell much of the pair
        expected |= failure.reason in ("no-match", "shift-too-large")
    severity = Severity.SKIPPED if expected else Severity.FAILED
    message = failure.message if failure.action is None else failure.message.removesuffix(f" {failure.action}.")
    return Reject(source.id, "register", failure.reason, message, failure.action, severity)


def _uniform(sources: Sequence[PairSource], folder: Path) -> tuple[list[PairSource], list[Reject]]:
    """Keep the pairs whose bands and types are those of most; a network has one number of bands."""
    kinds = {}
    for source in sources:
        kinds[source.id] = tuple(read_kind(folder / part / f"{source.id}.tif") for part in (LOW_FOLDER, HIGH_FOLDER))
    if len(set(kinds.values())) <= 1:
        return list(sources), []
    # Of kinds that are equally many, the one that comes first by name is kept.
    counted = Counter(kinds.values())
    usual = min(counted, key=lambda kind: (-counted[kind], kind))
    kept, rejects = [], []
    for source in sources:
        if kinds[source.id] == usual:
            kept.append(source)
            continue
        found, needed = (" and ".join(f"{b} x {t}" for b, t in kind) for kind in (kinds[source.id], usual))
        message = f"its views have {found}, most have {needed}"
        rejects.append(Reject(source.id, "register", "other-bands", message, "Register these pairs apart"))
        for part in (LOW_FOLDER, HIGH_FOLDER):
            (folder / part / f"{source.id}.tif").unlink()
    return kept, rejects


def _index(
    folder: Path, records: Sequence[PairRecord], rejects: Sequence[Reject], settings: RegisterSettings
) -> PairIndex:
    training = [record for record in records if record.split == "train"]
    low_view: View = measure_view(folder, [record.low for record in training])
    high_view: View = measure_view(folder, [record.high for record in training])
    splits = Counter(record.split for record in records)
    return PairIndex(
        scale=settings.scale,
        layout=settings.layout,
        mosaic=settings.mosaic,
        low_view=low_view,
        high_view=high_view,
        settings=settings.model_dump(),
        counts={split: splits[split] for split in SPLITS},
        rejected=dict(sorted(Counter(reject.reason for reject in rejects).items())),
    )


def _write(folder: Path, index: PairIndex, records: Sequence[PairRecord], rejects: Sequence[Reject]) -> None:
    for name, lines in (
        (RECORDS_NAME, [record.model_dump_json() for record in records]),
        (REJECTS_NAME, [json.dumps(asdict(reject), ensure_ascii=False) for reject in rejects]),
    ):
        write_atomically(folder / name, "".join(line + "\n" for line in lines).encode("utf-8", "backslashreplace"))
    content: Mapping[str, object] = index.model_dump()
    write_atomically(folder / INDEX_NAME, (json.dumps(content, indent=1) + "\n").encode())


def _none_left(first: Path, rejects: Sequence[Reject]) -> NothingToDoError:
    told = "; ".join(f"{reject.input}: {reject.message.removesuffix('.')}" for reject in rejects[:_TOLD])
    more = f"; and {len(rejects) - _TOLD} more" if len(rejects) > _TOLD else ""
    tried = [reject for reject in rejects if reject.stage == "register"] or rejects
    actions = Counter(reject.action for reject in tried if reject.action is not None)
    action = actions.most_common(1)[0][0] if actions else None
    return NothingToDoError("No pair is left", where=first, rule=told + more, action=action)
