"""An evaluation from pairs and names of enhancers to figures, intervals and a verdict."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from domainvl import __version__
from domainvl.enhance.evaluating import opensr
from domainvl.enhance.evaluating.contestants import MODES, Bicubic, Field, Mode, open_field
from domainvl.enhance.evaluating.lpips import LEAST_SIDE_PX, Lpips
from domainvl.enhance.evaluating.measures import MEASURE_OF
from domainvl.enhance.evaluating.measuring import BORDER_LOW_PX, NothingValidError, Scene, TooSmallError
from domainvl.enhance.evaluating.panels import Panel, make_panel, richest_corner
from domainvl.enhance.evaluating.results import Evaluation, Figures, LeftOutPair, Line, PairFigures
from domainvl.enhance.evaluating.shifts import MAX_SHIFT_PX
from domainvl.enhance.evaluating.summary import FEW_GROUPS, RESAMPLES, summarise
from domainvl.enhance.pairs.records import PairIndex, PairRecord, PairSet, Split
from domainvl.enhance.rasters import Pixels, Raster, RasterError
from domainvl.enhance.training.views import check_ranges
from domainvl.errors import DatasetError, NothingToDoError
from domainvl.evaluation.statistics.resampling import BootstrapSettings
from domainvl.files import hash_file

FAILED_REASONS = ("unreadable", "breaks-format", "not-finite")
"""Reasons for which a pair is left out that are faults; the others are properties of the pairs."""

_TRAINED_ON = (
    "Pairs of the training split are among these: networks that were trained on them look better here than they are."
)


@dataclass(frozen=True)
class EvaluationSettings:
    """What is measured, and how.

    Attributes:
        split: Which pairs.
        modes: What networks that take a reference are given as one.
        lpips: Files with the weights of LPIPS; none leaves it out.
        seed: Of the resamples.
        resamples: Bootstrap resamples of the groups.
        threads: Threads of torch while a network works; None leaves them.
        panels: Most pairs, one a group, that parts are kept of to look at.
    """

    split: Split | Literal["all"] = "test"
    modes: tuple[Mode, ...] = ("zero", "self")
    lpips: tuple[Path, ...] = ()
    seed: int = 0
    resamples: int = RESAMPLES
    threads: int | None = None
    panels: int = 4


@dataclass
class Measured:
    """Figures of pairs; those of several runs with the same contestants may be joined.

    Attributes:
        figures: A pair each.
        left_out: Pairs that were not measured.
        panels: Parts to look at.
    """

    figures: list[PairFigures] = field(default_factory=list)
    left_out: list[LeftOutPair] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)


@dataclass(frozen=True)
class Evaluated:
    """An evaluation with what it was made from.

    Attributes:
        evaluation: What was found.
        measured: Figures of pairs, and parts to look at.
    """

    evaluation: Evaluation
    measured: Measured


def evaluate(
    pairs: PairSet,
    enhancers: Sequence[str],
    settings: EvaluationSettings | None = None,
    *,
    on_pair: Callable[[int, int], None] | None = None,
) -> Evaluated:
    """Compare enhancers with bicubic interpolation and with each other.

    Args:
        pairs: Registered pairs.
        enhancers: Checkpoints, runs, or "bicubic-x2" and the like; the verdict is about the first.
        settings: What is measured, and how.
        on_pair: Called after each pair with how many are done and how many there are.

    Raises:
        UsageError: If an enhancer does not fit the pairs; see :func:`.contestants.open_field`.
        NothingToDoError: If the split has no pair, or none can be measured.
        DatasetError: If a band of the views has no range of values.
    """
    settings = settings or EvaluationSettings()
    check_ranges(pairs)
    records = pairs.records if settings.split == "all" else pairs.of_split(settings.split)
    if not records:
        counts = ", ".join(f"{count} in {split}" for split, count in pairs.index.counts.items())
        raise NothingToDoError(
            "Nothing to evaluate",
            where=pairs.folder,
            rule=f"the split {settings.split} has no pair ({counts or 'there is none at all'})",
            action="Choose another --split",
        )
    entered = open_field(enhancers, pairs.index, settings.modes, threads=settings.threads)
    if any(record.split == "train" for record in records):
        entered = replace(entered, notes=(*entered.notes, _TRAINED_ON))
    lpips = Lpips(settings.lpips) if settings.lpips else None
    measured = measure_pairs(pairs, records, entered, lpips=lpips, panels=settings.panels, on_pair=on_pair)
    return conclude(measured, entered, pairs.index, settings, where=str(pairs.folder))


def measure_pairs(
    pairs: PairSet,
    records: Sequence[PairRecord],
    entered: Field,
    *,
    lpips: Lpips | None = None,
    panels: int = 0,
    on_pair: Callable[[int, int], None] | None = None,
) -> Measured:
    """Measure all contestants on pairs; a pair that one of them fails on is left out for all.

    Args:
        pairs: The set.
        records: Which of it.
        entered: All contestants.
        lpips: Measures LPIPS; None leaves it out.
        panels: Most pairs, one a group, that parts are kept of.
        on_pair: As for :func:`evaluate`.
    """
    measured = Measured()
    for done, record in enumerate(records, start=1):
        seen = {panel.group for panel in measured.panels}
        wanted = len(seen) < panels and record.group not in seen
        try:
            low, high = pairs.read(record)
            _measure_pair(measured, record, low, high, pairs.index, entered, lpips, wanted)
        except TooSmallError as error:
            measured.left_out.append(LeftOutPair(pair=record.id, reason="too-small", message=str(error)))
        except NothingValidError as error:
            measured.left_out.append(LeftOutPair(pair=record.id, reason="no-valid-pixels", message=str(error)))
        except _NotFiniteError as error:
            measured.left_out.append(LeftOutPair(pair=record.id, reason="not-finite", message=str(error)))
        except RasterError as error:
            measured.left_out.append(LeftOutPair(pair=record.id, reason="unreadable", message=str(error)))
        except DatasetError as error:
            measured.left_out.append(LeftOutPair(pair=record.id, reason="breaks-format", message=str(error)))
        if on_pair is not None:
            on_pair(done, len(records))
    return measured


class _NotFiniteError(Exception):
    """A contestant makes no picture of finite values, or one so far off that its figures are not."""


def _measure_pair(
    measured: Measured,
    record: PairRecord,
    low: Raster,
    high: Raster,
    index: PairIndex,
    entered: Field,
    lpips: Lpips | None,
    panel_wanted: bool,
) -> None:
    scene = Scene(low, high, index, lpips=lpips)
    figures = PairFigures(record.id, record.group)
    views: dict[str, Pixels] = {"low view": scene.low_pixelated()}
    for contestant in entered.contestants:
        try:
            picture = contestant.picture(low)
        except RasterError as error:
            raise _NotFiniteError(str(error)) from error
        if picture is None:
            raise ValueError(f"{contestant.record.name} was entered for views that it cannot enlarge")
        figures.of[contestant.record.name] = _finite(scene, picture, contestant.record.name)
        if panel_wanted:
            views[contestant.record.name] = scene.normalised(picture)
    measured.figures.append(figures)
    if panel_wanted:
        views["truth"] = scene.truth
        corner = richest_corner(scene.truth, scene.valid, scale=index.scale, border_px=scene.border_px)
        measured.panels.append(make_panel(record.id, record.group, corner, views, scene.valid))


def _finite(scene: Scene, picture: Pixels, name: str) -> Figures:
    with np.errstate(over="ignore", invalid="ignore"):
        found = scene.measure(picture)
    bad = [MEASURE_OF[key].title for key, value in found.values.items() if value is not None and not np.isfinite(value)]
    if bad:
        reach = f"from {picture.min():g} to {picture.max():g}"
        raise _NotFiniteError(f"{', '.join(bad)} of {name} would not be finite: its picture has values {reach}")
    return found


def conclude(
    measured: Measured, entered: Field, index: PairIndex, settings: EvaluationSettings, *, where: str
) -> Evaluated:
    """Turn figures into intervals and a verdict.

    Args:
        measured: Figures of all pairs.
        entered: All contestants.
        index: What the set of pairs says of its views.
        settings: What was measured, and how.
        where: What the pairs are called in messages and results.

    Raises:
        NothingToDoError: If no pair was measured.
    """
    if not measured.figures:
        first = measured.left_out[0].message if measured.left_out else "there is none"
        raise NothingToDoError(
            "Nothing could be measured",
            where=where,
            rule=f"none of {len(measured.left_out)} pairs; the first: {first}",
            action="Register pairs with larger or valid views",
        )
    records = tuple(contestant.record for contestant in entered.contestants)
    summary = summarise(
        measured.figures,
        [record.name for record in records],
        headline=entered.headline,
        bicubic=entered.bicubic,
        bootstrap=BootstrapSettings(resamples=settings.resamples, seed=settings.seed),
    )
    groups = len({pair.group for pair in measured.figures})
    evaluation = Evaluation(
        settings=_recorded(settings, index, where),
        contestants=records,
        headline=entered.headline,
        pairs=len(measured.figures),
        groups=groups,
        left_out=tuple(measured.left_out),
        notes=(*entered.notes, *_notes(entered, index, settings, groups), *_missing(summary.lines, measured, settings)),
        lines=summary.lines,
        comparisons=summary.comparisons,
        verdict=summary.verdict,
    )
    return Evaluated(evaluation, measured)


def _missing(lines: Sequence[Line], measured: Measured, settings: EvaluationSettings) -> list[str]:
    """Say which measures have figures of some pairs only, or of none though asked for."""
    total = len(measured.figures)
    notes = [
        f"{MEASURE_OF[line.measure].title} has a figure of {line.pairs} of {total} pairs only."
        for line in lines
        if line.pairs < total
    ]
    if settings.lpips and all(line.measure != "lpips" for line in lines):
        notes.append(f"LPIPS has no figure: without their border, pictures are smaller than {LEAST_SIDE_PX} px.")
    return notes


def _recorded(settings: EvaluationSettings, index: PairIndex, where: str) -> dict[str, Any]:
    return {
        "version": __version__,
        "pairs": where,
        "scale": index.scale,
        "split": settings.split,
        "modes": [MODES[mode] for mode in settings.modes],
        "seed": settings.seed,
        "resamples": settings.resamples,
        "confidence": BootstrapSettings().confidence,
        "border_low_px": BORDER_LOW_PX,
        "max_shift_high_px": MAX_SHIFT_PX,
        "psnr_range": [list(index.high_view.low), list(index.high_view.high)],
        "opensr_rates": [opensr.IMPROVEMENT_RATE, opensr.OMISSION_RATE, opensr.HALLUCINATION_RATE],
        "opensr_temperature": opensr.TEMPERATURE,
        "lpips_sha256": [hash_file(file) for file in settings.lpips],
    }


def _notes(entered: Field, index: PairIndex, settings: EvaluationSettings, groups: int) -> list[str]:
    lows, highs = np.unique(index.high_view.low), np.unique(index.high_view.high)
    peak = f"{lows[0]:g} to {highs[0]:g}" if len(lows) == len(highs) == 1 else "that of each band"
    notes = [
        f"The peak of PSNR is the range of the high views, {peak}. Means are over pairs, 95 % intervals over groups.",
        f"{BORDER_LOW_PX * index.scale} high pixels at each edge and pixels that are not valid in both views do not "
        "count, for all contestants alike. No contestant is given the high view, or anything made from it.",
        "Pictures and enlarged low views are brought to the high view's best whole shift and its histogram before what "
        "was added is measured, so that colour and position do not pass for detail.",
    ]
    if any(isinstance(one, Bicubic) for one in entered.contestants):
        notes.append(
            "What was added is measured against bicubic interpolation: bicubic itself is all omission by definition, "
            "and no verdict is given on it by these measures. The package enlarges bilinearly."
        )
    if index.mosaic:
        notes.append(
            "The low views are raw mosaics, read as RGGB. Bicubic interpolation is of their bilinear demosaic, without "
            "white balance or tone curve: its PSNR says little. Consistency is with the shrunk high view."
        )
    elif index.low_view.bands != index.high_view.bands:
        notes.append("Consistency is with the shrunk high view, as the low views have other bands.")
    if not settings.lpips:
        notes.append("LPIPS is not measured: no weights were given (--lpips).")
    if groups < FEW_GROUPS:
        notes.append(f"With {groups} groups the intervals are too narrow: fewer than {FEW_GROUPS} say little.")
    return notes
