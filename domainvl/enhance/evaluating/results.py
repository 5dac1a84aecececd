"""What an evaluation found, as ``results.json`` and ``pairs.csv`` hold it."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from domainvl.enhance.evaluating.measures import MEASURES
from domainvl.files import write_atomically

RESULTS_NAME = "results.json"
PAIRS_NAME = "pairs.csv"
REPORT_NAME = "report.html"

Verdict = Literal["better", "worse", "no difference shown", "too few groups to show any"]


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ContestantRecord(_Record):
    """A contestant.

    Attributes:
        name: As tables show it: what was typed, and the mode where there are several.
        typed: What was typed.
        mode: "zero offset" or "own colours"; None for what takes no reference.
        enhancer: Kind, scale and weights, as :class:`domainvl.enhance.upscaler.Upscaler` names them.
    """

    name: str
    typed: str
    mode: str | None
    enhancer: str


class Estimate(_Record):
    """A mean over pairs with its interval; the interval is None where resamples of the groups cannot tell it."""

    value: float
    low: float | None
    high: float | None


class Line(_Record):
    """A measure of all contestants.

    Attributes:
        measure: Key of the measure.
        pairs: Pairs that every contestant has a value of; the others do not count.
        groups: Their groups.
        values: By contestant.
    """

    measure: str
    pairs: int
    groups: int
    values: dict[str, Estimate]


class Comparison(_Record):
    """Two contestants by one measure over the same pairs.

    Attributes:
        measure: Key of the measure.
        a: Whom the verdict is about.
        b: Whom it is compared with.
        difference: Mean of a minus b.
        low: Lower end of the interval.
        high: Upper end.
        p: Of the paired bootstrap over groups.
        p_holm: Corrected for all comparisons by this measure.
        smallest_difference: What would be found with a probability of 80 %; None where the pairs cannot tell.
        verdict: About a.
        words: The same as a sentence.
    """

    measure: str
    a: str
    b: str
    difference: float
    low: float | None
    high: float | None
    p: float
    p_holm: float
    smallest_difference: float | None
    verdict: Verdict
    words: str


class LeftOutPair(_Record):
    """A pair that was not measured: its id, a reason to count by, and what is wrong."""

    pair: str
    reason: str
    message: str


class Evaluation(_Record):
    """All of it.

    Attributes:
        settings: What was asked for, and the constants that decide the figures.
        contestants: In the order of tables, bicubic first where it takes part.
        headline: The contestant that the verdict is about.
        pairs: Number of pairs that were measured.
        groups: Number of their groups.
        left_out: Pairs that were not.
        notes: What a reader must know of these figures.
        lines: A measure each.
        comparisons: The headline with every other; every other with bicubic.
        verdict: Sentences, an opponent of the headline each, then the others against bicubic.
    """

    settings: dict[str, Any]
    contestants: tuple[ContestantRecord, ...]
    headline: str
    pairs: int
    groups: int
    left_out: tuple[LeftOutPair, ...]
    notes: tuple[str, ...]
    lines: tuple[Line, ...]
    comparisons: tuple[Comparison, ...]
    verdict: tuple[str, ...]


@dataclass(frozen=True)
class Figures:
    """One contestant on one pair.

    Attributes:
        values: By the measure's key; None where there is none, as the spectral angle of one band.
        shift_px: Best shift of the picture against the truth in high pixels, rows and columns.
    """

    values: dict[str, float | None]
    shift_px: tuple[int, int]


@dataclass(frozen=True)
class PairFigures:
    """All contestants on one pair.

    Attributes:
        pair: Its id.
        group: Its scene.
        of: By contestant.
    """

    pair: str
    group: str
    of: dict[str, Figures] = field(default_factory=dict)


def write_results(folder: Path, evaluation: Evaluation, figures: Sequence[PairFigures]) -> None:
    """Write ``results.json`` and ``pairs.csv``, a row a pair and contestant.

    Args:
        folder: Where to.
        evaluation: What was found.
        figures: What it was found from.

    Raises:
        OutputError: If a file cannot be written.
    """
    write_atomically(folder / RESULTS_NAME, (evaluation.model_dump_json(indent=1) + "\n").encode())
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    keys = [measure.key for measure in MEASURES]
    rows.writerow(["pair", "group", "contestant", *keys, "shift_rows_px", "shift_columns_px"])
    for pair in figures:
        for name, found in pair.of.items():
            values = ["" if (value := found.values.get(key)) is None else f"{value:.6g}" for key in keys]
            rows.writerow([pair.pair, pair.group, name, *values, *found.shift_px])
    write_atomically(folder / PAIRS_NAME, text.getvalue().encode())
