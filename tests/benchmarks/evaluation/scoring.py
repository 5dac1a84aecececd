"""Scores 100,000 predictions of two systems with intervals of 2,000 resamples, and prints CPU-seconds for each step.

Every column is a mean of items, as accuracy is: some hold all samples and the others divide them, as question types
do. The systems are compared on every column. Beside it stands the obvious alternative, a Python loop over resamples,
with ``numpy.random.choice`` to draw groups, whose items it puts together; of a few resamples, scaled to all. BLEU and
CIDEr are timed by themselves: counting n-grams, and intervals from the counts. Run as
``OMP_NUM_THREADS=1 python tests/benchmarks/evaluation/scoring.py [--samples N] [--columns N] [--caption-samples N]``.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from domainvl.evaluation.metrics.captions import bleu_scores, cider_score
from domainvl.evaluation.results import System
from domainvl.evaluation.statistics.resampling import BootstrapSettings, Resamples
from domainvl.evaluation.statistics.scores import FloatArray, IntArray, Score, mean_score, spread_over
from domainvl.evaluation.verdict import ScoredSystem, SystemLine, compare

RESAMPLES = 2000
WHOLE_COLUMNS = 4
"""Number of columns that hold all samples, such as the micro average; the others divide the samples."""

LIMIT_CPU_S = 30.0
LOOP_RESAMPLES = 5
WORDS = np.array([f"word{number}" for number in range(2000)], dtype=object)

_ResultT = TypeVar("_ResultT")


def timed(work: Callable[[], _ResultT]) -> tuple[_ResultT, float]:
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def draw_groups(rng: np.random.Generator, samples: int, groups: int) -> list[str]:
    """Groups of various sizes, a few of them large; as many groups as samples are one each."""
    if groups == samples:
        return [f"image-{number}" for number in range(samples)]
    shares = rng.pareto(2.0, size=groups) + 0.2
    return [f"scene-{number}" for number in rng.choice(groups, size=samples, p=shares / shares.sum())]


def draw_columns(rng: np.random.Generator, samples: int, columns: int) -> list[IntArray]:
    """The members of each column."""
    types = rng.integers(columns - WHOLE_COLUMNS, size=samples)
    whole = [np.arange(samples)] * WHOLE_COLUMNS
    return whole + [np.flatnonzero(types == number) for number in range(columns - WHOLE_COLUMNS)]


def make_scores(rng: np.random.Generator, columns: Sequence[IntArray], samples: int, accuracy: float) -> list[Score]:
    """The mean of right and wrong answers of each column."""
    right = (rng.random(samples) < accuracy).astype(np.float64)
    return [spread_over(mean_score(right[members]), members, samples) for members in columns]


def run_all(groups: Sequence[str], columns: Sequence[IntArray], systems: Sequence[Sequence[Score]]) -> None:
    """Estimate every column of every system and compare the systems, as an evaluation does."""
    resamples = Resamples(groups, BootstrapSettings(resamples=RESAMPLES))
    scores = [score for of_system in systems for score in of_system]
    estimates = iter(resamples.estimates(scores, [*columns] * len(systems)))
    scored = [
        ScoredSystem(
            System(name=f"system {number}", kind="other", predictions="none"),
            [SystemLine(f"column {place}", "strict", s, next(estimates)) for place, s in enumerate(of_system)],
        )
        for number, of_system in enumerate(systems)
    ]
    compare(scored, resamples)


def items_by_group(groups: Sequence[str]) -> dict[str, IntArray]:
    """The items of each group."""
    names = np.array(groups)
    order = np.argsort(names, kind="stable")
    unique, starts = np.unique(names[order], return_index=True)
    return dict(zip(unique.tolist(), np.split(order, starts[1:]), strict=True))


def loop(items_of: dict[str, IntArray], values: FloatArray) -> list[float]:
    """The obvious alternative: draw groups, put their items together, average."""
    names = list(items_of)
    means = []
    for _ in range(LOOP_RESAMPLES):
        drawn = np.random.choice(len(names), size=len(names))
        means.append(float(values[np.concatenate([items_of[names[place]] for place in drawn])].mean()))
    return means


def show_means(samples: int, column_count: int) -> None:
    """Print the rows of means of items."""
    print(f"{samples} predictions, 2 systems, {column_count} columns, {RESAMPLES} resamples; CPU-seconds")
    print(f"{'groups':>8} {'all of it':>10} {'loop, scaled':>13} {'times':>7}")
    for group_count in (100, 5000, samples):
        rng = np.random.default_rng(0)
        groups = draw_groups(rng, samples, group_count)
        columns = draw_columns(rng, samples, column_count)
        systems = [make_scores(rng, columns, samples, accuracy) for accuracy in (0.62, 0.6)]
        _, all_s = timed(lambda g=groups, c=columns, s=systems: run_all(g, c, s))
        values = rng.random(samples)
        items_of = items_by_group(groups)
        _, loop_s = timed(lambda i=items_of, v=values: loop(i, v))
        # Each column that holds all samples costs one such loop, and all the others together cost one more.
        scaled_s = loop_s * RESAMPLES / LOOP_RESAMPLES * len(systems) * (WHOLE_COLUMNS + 1)
        verdict = "" if all_s < LIMIT_CPU_S else f"   more than {LIMIT_CPU_S:g}"
        print(f"{len(set(groups)):8} {all_s:10.1f} {scaled_s:13.0f} {scaled_s / all_s:7.0f}{verdict}", flush=True)


def show_captions(samples: int) -> None:
    """Print the rows of BLEU and CIDEr of short answers with one reference each."""
    rng = np.random.default_rng(1)
    # Frequent words are frequent, and half of each answer stands in its reference.
    lengths = rng.integers(6, 16, size=samples)
    sentences = [tuple(WORDS[(rng.pareto(1.0, size=length) * 5).astype(int) % len(WORDS)]) for length in lengths]
    references = [((*words[: len(words) // 2], *WORDS[:3]),) for words in sentences]
    resamples = Resamples([f"image-{number}" for number in range(samples)], BootstrapSettings(resamples=RESAMPLES))
    print(f"\n{samples} captions of 6 to 15 words in as many groups, one system; CPU-seconds")
    print(f"{'metric':>9} {'counting':>10} {'intervals':>10}")
    metrics: dict[str, Callable[[], Sequence[Score]]] = {
        "BLEU-1..4": lambda: bleu_scores(sentences, references),
        "CIDEr": lambda: [cider_score(sentences, references)],
    }
    for name, count in metrics.items():
        scores, counting_s = timed(count)
        _, intervals_s = timed(lambda s=scores: resamples.estimates(s))
        print(f"{name:>9} {counting_s:10.1f} {intervals_s:10.1f}", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--caption-samples", type=int, default=100_000)
    arguments = parser.parse_args()
    show_means(arguments.samples, arguments.columns)
    show_captions(arguments.caption_samples)


if __name__ == "__main__":
    main()
