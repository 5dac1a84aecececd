"""How often each group counts in each resample, drawn once for all scores and systems, and what follows for a score.

Questions about one patient, scene or log are not independent. Groups are resampled, never samples, so that a hundred
questions about one scene do not pass for a hundred scenes. All scores of one :class:`Resamples` see the same resamples,
so that differences between two systems are paired.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist

import numpy as np

from domainvl.evaluation.statistics.scores import CompositeScore, FloatArray, IntArray, Score, SumScore, WeightedScore
from domainvl.evaluation.statistics.student import tail_of_p

_CHUNK_BYTES = 1 << 25
"""Memory that the weights of some resamples may take at a time."""

EQUAL_TOLERANCE = 1e-12
"""Scores that differ by less, relative to those above 1, differ by rounding only."""


@dataclass(frozen=True)
class BootstrapSettings:
    """How intervals are made.

    Attributes:
        resamples: Number of bootstrap resamples.
        confidence: Confidence level, between 0 and 1.
        seed: Seed of the resampling.
    """

    resamples: int = 2000
    confidence: float = 0.95
    seed: int = 0


@dataclass(frozen=True)
class Estimate:
    """A score with its interval and what it was over each resample.

    Attributes:
        value: The score, each item counting once; None where there is none, such as an AUROC of one class.
        low: Lower end of the interval; None without a value, or where all resamples agree and the score has no bounds.
        high: Upper end, likewise.
        n: Number of items.
        groups: Number of their groups.
        bounds: Smallest and largest value that the score can have.
        confidence: Confidence level of the interval.
        left_out: Number of resamples without a value, such as those that drew no item; the interval is of the others.
        draws: The score of each resample, shape (resamples,); NaN where there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    groups: int
    bounds: tuple[float, float] | None
    confidence: float
    left_out: int
    draws: FloatArray = field(repr=False, compare=False)


class Resamples:
    """Bootstrap resamples of groups of items.

    Each resample draws as many groups as there are, with replacement (Davison and Hinkley, Bootstrap Methods and their
    Application, 1997, section 3.8). They are drawn anew from the seed whenever values are asked for, always the same
    ones, because the weights of 100,000 groups in 2,000 resamples would take 1.6 GB: ask for many scores at once.
    Neither the order of the items nor what else is asked for matters.

    Args:
        groups: Group of each item, at least one.
        settings: How many resamples, from which seed, for which confidence.

    Raises:
        ValueError: If there is no item or a setting is out of range.
    """

    def __init__(self, groups: Sequence[str], settings: BootstrapSettings | None = None) -> None:
        self.settings = settings or BootstrapSettings()
        resamples, confidence = self.settings.resamples, self.settings.confidence
        if resamples < 1 or not 0.0 < confidence < 1.0:
            raise ValueError(f"resamples must be >= 1 and confidence in (0, 1), got {resamples} and {confidence}")
        if len(groups) == 0:
            raise ValueError("there must be at least one item to resample, got none")
        # By name, so that the order of the items does not decide which group is drawn.
        place_of = {group: place for place, group in enumerate(sorted(set(groups)))}
        self._group_of_item: IntArray = np.array([place_of[group] for group in groups], dtype=np.int64)
        self._group_count = len(place_of)

    @property
    def item_count(self) -> int:
        """Number of items."""
        return len(self._group_of_item)

    def count_groups(self, members: Sequence[int] | IntArray | None = None) -> int:
        """Return the number of groups that some items belong to.

        Args:
            members: Indices of the items; all where None.
        """
        return self._group_count if members is None else len(np.unique(self._group_of_item[_indices(members)]))

    def count_differing_groups(self, a: Score, b: Score) -> int | None:
        """Return the number of groups that add something else to one score than to the other.

        Args:
            a: A score of one system.
            b: The same of another.

        Returns:
            The number; None where a part of the score is no function of sums, or of different sums.
        """
        differs = np.zeros(self.item_count, dtype=np.bool_)
        for of_a, of_b in zip(_leaves(a), _leaves(b), strict=True):
            if not (isinstance(of_a, SumScore) and isinstance(of_b, SumScore) and of_a.terms.shape == of_b.terms.shape):
                return None
            differs |= (of_a.terms != of_b.terms).any(axis=1)
        return self.count_groups(np.flatnonzero(differs))

    def values(self, score: Score) -> FloatArray:
        """Return the score of each resample, shape (resamples,), NaN where there is none; see :meth:`estimates`."""
        return self._compute([score])[0][1:]

    def estimate(self, score: Score, members: Sequence[int] | IntArray | None = None) -> Estimate:
        """Estimate one score; see :meth:`estimates`."""
        return self.estimates([score], [members])[0]

    def estimates(
        self, scores: Sequence[Score], members: Sequence[Sequence[int] | IntArray | None] | None = None
    ) -> list[Estimate]:
        """Estimate scores and their intervals: percentiles, further out for few groups (:mod:`.student`).

        Where all resamples give the same value, as when every answer is right, the bootstrap would claim certainty
        from any number of groups. The interval then comes from the number G of groups: of G groups none deviates, so
        the share of deviating groups is at most ``z^2 / (G + z^2)``, the upper Wilson score limit (Wilson, JASA 22,
        1927) of 0 in G, and a deviating group may have any value within the bounds of the score. For a mean of all
        right and all wrong this is the Wilson interval of G in G and of 0 in G. A macro average counts all its groups.

        Args:
            scores: Over all items of the resamples, in their order.
            members: Of each score, the indices of the items that take part in it; all where None. They decide ``n``
                and ``groups``; what an item adds is the score's own affair.

        Returns:
            One estimate a score.

        Raises:
            ValueError: If a score is over another number of items or has terms that are not finite.
        """
        of_scores = [None] * len(scores) if members is None else members
        return [
            self._estimate(score, values, of_score)
            for score, values, of_score in zip(scores, self._compute(scores), of_scores, strict=True)
        ]

    def _estimate(self, score: Score, values: FloatArray, members: Sequence[int] | IntArray | None) -> Estimate:
        value, draws = values[0], values[1:]
        n, groups = self.item_count if members is None else len(members), self.count_groups(members)
        low, high = interval_limits(value, draws, groups, score.bounds, self.settings.confidence)
        return Estimate(
            value=None if np.isnan(value) else float(value),
            low=low,
            high=high,
            n=n,
            groups=groups,
            bounds=score.bounds,
            confidence=self.settings.confidence,
            left_out=int(np.isnan(draws).sum()),
            draws=draws,
        )

    def _compute(self, scores: Sequence[Score]) -> list[FloatArray]:
        """Return the values of each score, shape (1 + resamples,): each item counted once, then the resamples."""
        leaves = [leaf for score in scores for leaf in _leaves(score)]
        for leaf in leaves:
            self._check(leaf)
        summed = [leaf for leaf in leaves if isinstance(leaf, SumScore)]
        # One product for all scores: what is costly is to draw the weights and to go through them.
        sums = np.concatenate([np.zeros((self._group_count, 0)), *map(self._sum_by_group, summed)], axis=1)
        ends = np.cumsum([leaf.terms.shape[1] for leaf in summed])[:-1]
        parts: list[list[FloatArray]] = [[] for _ in leaves]
        for weights in self._draw_weights():
            of_summed = iter(np.split(weights @ sums, ends, axis=1))
            for leaf, values in zip(leaves, parts, strict=True):
                if isinstance(leaf, SumScore):
                    values.append(leaf.combine(next(of_summed)))
                else:
                    values.append(np.array([leaf.compute(row[self._group_of_item]) for row in weights]))
        of_leaves = iter([np.concatenate(values) for values in parts])
        return [_combine(score, of_leaves) for score in scores]

    def _check(self, leaf: SumScore | WeightedScore) -> None:
        count = len(leaf.terms) if isinstance(leaf, SumScore) else leaf.item_count
        if count != self.item_count:
            raise ValueError(f"a score must be over all {self.item_count} items that are resampled, got {count}")
        if isinstance(leaf, SumScore) and not np.isfinite(leaf.terms).all():
            raise ValueError("the terms of a score must be finite, got some that are not")

    def _sum_by_group(self, score: SumScore) -> FloatArray:
        sums = np.zeros((self._group_count, score.terms.shape[1]))
        for place, column in enumerate(score.terms.T):
            items = np.flatnonzero(column)
            values, groups = column[items], self._group_of_item[items]
            # Sorted, because a sum of floats depends on its order.
            order = np.lexsort((values, groups))
            sums[:, place] = np.bincount(groups[order], weights=values[order], minlength=self._group_count)
        return sums

    def _draw_weights(self) -> Iterator[FloatArray]:
        """Yield how often each group counts, shape (some resamples, groups); first a single row of ones."""
        yield np.ones((1, self._group_count))
        rng = np.random.default_rng(self.settings.seed)
        at_a_time = max(1, _CHUNK_BYTES // (8 * self._group_count))
        for start in range(0, self.settings.resamples, at_a_time):
            rows = min(at_a_time, self.settings.resamples - start)
            weights = np.empty((rows, self._group_count))
            for row in weights:
                drawn = rng.integers(self._group_count, size=self._group_count, dtype=np.int32)
                row[:] = np.bincount(drawn, minlength=self._group_count)
            yield weights


def interval_limits(
    value: float, draws: FloatArray, groups: int, bounds: tuple[float, float] | None, confidence: float
) -> tuple[float | None, float | None]:
    """Return the ends of the interval of a value; see :meth:`Resamples.estimates` for what they are.

    Args:
        value: The value; NaN where there is none.
        draws: The value of each resample, shape (resamples,); NaN where there is none.
        groups: Number of groups that the value is about.
        bounds: Smallest and largest value that there can be; None where there is no largest.
        confidence: Confidence level.
    """
    known = draws[~np.isnan(draws)]
    if np.isnan(value) or len(known) == 0:
        return None, None
    if not all_equal(draws):
        tail = tail_of_p(1 - confidence, groups)
        low, high = np.quantile(known, [tail, 1 - tail])
        return float(low), float(high)
    if bounds is None:
        return None, None
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    deviating = z**2 / (groups + z**2)
    return float(value - deviating * (value - bounds[0])), float(value + deviating * (bounds[1] - value))


def all_equal(draws: FloatArray) -> bool:
    """Return whether all resamples that have a value have the same, but for rounding; shape (resamples,)."""
    known = draws[~np.isnan(draws)]
    return len(known) == 0 or bool(np.ptp(known) <= EQUAL_TOLERANCE * max(1.0, float(np.abs(known).max())))


def _leaves(score: Score) -> Iterator[SumScore | WeightedScore]:
    if isinstance(score, CompositeScore):
        for part in score.parts:
            yield from _leaves(part)
    else:
        yield score


def _combine(score: Score, of_leaves: Iterator[FloatArray]) -> FloatArray:
    """Return the values of a score from those of its leaves, which are taken from the iterator in order."""
    if isinstance(score, CompositeScore):
        return score.combine(np.stack([_combine(part, of_leaves) for part in score.parts]))
    return next(of_leaves)


def _indices(members: Sequence[int] | IntArray) -> IntArray:
    return np.asarray(members, dtype=np.int64)
