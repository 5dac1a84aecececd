"""Proposes cut-offs that fit a reviewer's marks better than those that were used."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from domainvl.corpus.auditing.rates import kept_level
from domainvl.corpus.auditing.things import Marked, Stratum
from domainvl.corpus.filtering.deciding import decide
from domainvl.corpus.filtering.filtered import Filtered
from domainvl.corpus.filtering.profiles import Profile
from domainvl.corpus.filtering.removals import Level
from domainvl.corpus.filtering.rules import RULES, SCORE_PREFIX, rule_of
from domainvl.errors import UsageError
from domainvl.files import write_atomically

_NOTHING_PASSES = 1e300
"""A lower bound, or its negative an upper one, that no value keeps, so that every value is told."""


@dataclass(frozen=True)
class Proposal:
    """A cut-off for one bound of a rule.

    Attributes:
        rule: Code of the rule.
        bound: ``min`` or ``max``.
        used: The cut-off that was used.
        proposed: The cut-off that makes the fewest errors on the marks.
        errors_used: Wrongly removed and wrongly kept things that the marks stand for in the corpus, with the old one.
        errors_proposed: The same with the new one, on the marks that chose it: less than on others.
        marks: Number of marked things that it was chosen by.
    """

    rule: str
    bound: str
    used: float
    proposed: float
    errors_used: float
    errors_proposed: float
    marks: int

    @property
    def is_change(self) -> bool:
        """Whether it is another cut-off than the one that was used."""
        return self.proposed != self.used


@dataclass(frozen=True)
class _Point:
    """A marked thing as a rule sees it."""

    value: float
    keep: bool
    weight: float


def propose(
    profile: Profile,
    strata: Sequence[Stratum],
    marked: Sequence[Marked],
    documents: Iterable[Filtered],
    *,
    min_marks: int,
) -> list[Proposal]:
    """Choose for each rule with a number the cut-off that makes the fewest errors.

    A removed thing counts where this rule removed it. A kept thing counts with what the rule measures of it where it
    was marked keep, or drop with this rule named; another reason to drop it says nothing of this rule. Each counts as
    many times as things of its stratum stand behind a mark. Tried are cut-offs halfway between neighbouring values, and
    one that keeps them all; of equally good ones the nearest to the one that was used is taken.

    Args:
        profile: The profile that was applied.
        strata: How many things there are in the corpus to be marked.
        marked: Things with their marks.
        documents: All documents that were filtered.
        min_marks: Nothing is proposed for a bound that fewer marks tell of.
    """
    weights = _weights(strata, marked)
    kept_names = {one.thing.document for one in marked if one.thing.rule is None}
    kept_documents = {one.document.id: one for one in documents if one.document.id in kept_names}
    proposals = []
    for code, numbers in profile.thresholds.items():
        for bound in ("min", "max"):
            if bound in numbers and rule_of(code).level is not Level.SPAN:
                removed = _removed_points(code, numbers[bound], marked, weights)
                if not removed and not any(one.missed_rule == code for one in marked):
                    continue  # no error of this rule was seen
                points = [*removed, *_kept_points(profile, code, bound, marked, weights, kept_documents)]
                if len(points) >= min_marks:
                    proposals.append(_best(code, bound, numbers[bound], points))
    return proposals


def _weights(strata: Sequence[Stratum], marked: Sequence[Marked]) -> dict[tuple[Level, str | None], float]:
    sizes = {(one.level, one.rule): one.size for one in strata}
    counts: dict[tuple[Level, str | None], int] = {}
    for one in marked:
        key = one.thing.level, one.thing.rule
        counts[key] = counts.get(key, 0) + 1
    return {key: sizes[key] / count for key, count in counts.items()}


def _removed_points(
    code: str, used: float, marked: Sequence[Marked], weights: Mapping[tuple[Level, str | None], float]
) -> list[_Point]:
    return [
        _Point(one.thing.value, one.keep, weights[one.thing.level, code])
        for one in marked
        if one.thing.rule == code and one.thing.threshold == used and one.thing.value is not None
    ]


def _kept_points(
    profile: Profile,
    code: str,
    bound: str,
    marked: Sequence[Marked],
    weights: Mapping[tuple[Level, str | None], float],
    documents: Mapping[str, Filtered],
) -> list[_Point]:
    level = kept_level(rule_of(code).level)
    telling = with_bound(profile, code, bound, _NOTHING_PASSES if bound == "min" else -_NOTHING_PASSES)
    values: dict[str, dict[int | None, float]] = {}
    points = []
    for one in marked:
        if one.thing.rule is not None or one.thing.level is not level or not (one.keep or one.missed_rule == code):
            continue
        name = one.thing.document
        if name not in values:
            values[name] = _values(telling, code, documents[name])
        if one.thing.slot in values[name]:
            points.append(_Point(values[name][one.thing.slot], one.keep, weights[level, None]))
    return points


def _values(telling: Profile, code: str, filtered: Filtered) -> dict[int | None, float]:
    """Return what a rule measures of a document or of its slots: with a bound that nothing passes, it says so."""
    removals = decide(filtered.document, filtered.measured, telling).removals
    return {removal.slot: removal.value for removal in removals if removal.rule == code}


def with_bound(profile: Profile, code: str, bound: str, value: float) -> Profile:
    """Return a profile with another number.

    Args:
        profile: The profile.
        code: Code of the rule.
        bound: ``min`` or ``max``.
        value: The number.
    """
    content = profile.model_dump()
    if code in RULES:
        content["rules"] = {**profile.rules, code: {**profile.thresholds[code], bound: value}}
    else:
        name = code.removeprefix(SCORE_PREFIX)
        content["scores"][name][bound] = value
    return Profile.model_validate(content)  # no copy: that would take over the old numbers, which are cached


def _best(code: str, bound: str, used: float, points: Sequence[_Point]) -> Proposal:
    values = sorted({point.value for point in points})
    keeps_all = values[0] if bound == "min" else values[-1]  # a value on the bound is kept
    tried = [used, *((low + high) / 2 for low, high in itertools.pairwise(values)), keeps_all]
    errors = {cut: _errors(points, bound, cut) for cut in tried}
    best = min(tried, key=lambda cut: (errors[cut], abs(cut - used)))
    return Proposal(code, bound, used, best, errors[used], errors[best], len(points))


def _errors(points: Sequence[_Point], bound: str, cut: float) -> float:
    return sum(point.weight for point in points if _is_removed(point.value, bound, cut) == point.keep)


def _is_removed(value: float, bound: str, cut: float) -> bool:
    return value < cut if bound == "min" else value > cut


def write_profile(path: Path, profile: Profile, proposals: Sequence[Proposal]) -> None:
    """Write a profile with the proposed cut-offs, complete, so that ``corpus filter --profile`` takes it as it is.

    Flagged words lie beside it in a file of their own.

    Args:
        path: YAML file to write.
        profile: The profile that was applied.
        proposals: What to change in it.

    Raises:
        UsageError: If the file exists.
        OutputError: If it cannot be written.
    """
    words = path.with_name(f"{path.stem}-flagged-words.txt")
    taken = next((one for one in (path, words) if one.exists()), None)
    if taken is not None:
        raise UsageError("Cannot write a profile", where=taken, rule="it exists", action="Name another file")
    changed = profile
    changes = [one for one in proposals if one.is_change]
    for one in changes:
        changed = with_bound(changed, one.rule, one.bound, one.proposed)
    content = {
        "name": f"{profile.name}-audited",
        "flagged_words": words.name,
        "rules": dict(changed.rules),
        "scores": {name: bounds.model_dump(exclude_none=True) for name, bounds in changed.scores.items()},
    }
    notes = [f"# {one.rule}: {one.bound} was {one.used:g}, by {one.marks} marks" for one in changes]
    head = [f"# The profile {profile.name}, with cut-offs that fit a reviewer's marks.", *notes]
    text = "\n".join(head) + "\n" + yaml.safe_dump(content, sort_keys=False)
    write_atomically(words, ("\n".join(profile.flagged_words) + "\n").encode())
    write_atomically(path, text.encode())
