"""Rules of driving's benchmarks: MME-RealWorld's answer reader, BDD-X's clips and control signals.

What ends in ``as-published`` follows the official code flaw for flaw; each flaw is named where it is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from domainvl.evaluation.metrics.captions import tokenize
from domainvl.evaluation.metrics.regression import read_quantity, rmse_score, within_score
from domainvl.evaluation.protocols.items import Item, Rule, RuleResult, true_text, wrong_answer
from domainvl.evaluation.protocols.rules_text import CAPTION_SCORES
from domainvl.evaluation.statistics.scores import mean_score, spread_over
from domainvl.schema.sample import ChoiceAnswer
from domainvl.schema.wording import option_letter

_MME_PREFIXES = (
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option isThe correct option is",  # a comma is missing in the official list, so that two are one
    "Best answer:",
    "Best option:",
)
_MME_LONG = 10
"""An answer of more words than this without one of the letters is none."""

_LETTERS = re.compile("[ABCDE]")

_ACTION, _JUSTIFICATION = "action", "justification"
"""What the ids of BDD-X's samples about the two end with."""


def score_mme_realworld_as_published(items: Sequence[Item]) -> RuleResult:
    """Score multiple choice as InternVL's ``mme_rw/evaluate.py`` reads it.

    Known openings are taken away, all but "The best option is" and "The correct option is", which a missing comma makes
    one. Then the first capital from A to E counts, wherever it stands: that of "A car" and of "Cannot say" too. Else
    the first option that contains the answer counts; as every option contains nothing, an empty answer is A.
    """
    said = [_mme_letter(item.prediction.text, _mme_choices(_choice_of(item))) for item in items]
    right = [letter == option_letter(_choice_of(item).correct) for letter, item in zip(said, items, strict=True)]
    metric = "right letter (as read by MME-RealWorld)"
    return RuleResult(mean_score(right), metric, np.array(right, dtype=np.bool_), unreadable=said.count(""))


def score_full_description(items: Sequence[Item], *, measure: Literal["BLEU-4", "ROUGE-L", "CIDEr"]) -> RuleResult:
    """Score action and justification of a clip as one text, joined by a blank; truth and answer alike.

    DriveGPT4 (arXiv 2310.01412) calls it full; how it joins them is not published.

    Args:
        items: The actions and justifications; a clip without one of them is left out.
        measure: What is measured.
    """
    by_clip: dict[str, dict[str, int]] = {}
    for place, item in enumerate(items):
        clip, _, question = item.sample.id.rpartition("/")
        by_clip.setdefault(clip, {})[question] = place
    pairs = [
        (parts[_ACTION], parts[_JUSTIFICATION])
        for parts in by_clip.values()
        if _ACTION in parts and _JUSTIFICATION in parts
    ]
    said = [tokenize(" ".join(items[place].prediction.text for place in pair)) for pair in pairs]
    true = [[tokenize(" ".join(true_text(items[place].sample) for place in pair))] for pair in pairs]
    counted = np.zeros(len(items), dtype=np.bool_)
    counted[[place for pair in pairs for place in pair]] = True
    return RuleResult(
        # A clip's score stands at its action; both questions are of one group, so no resample divides them.
        spread_over(CAPTION_SCORES[measure](said, true), [action for action, _ in pairs], len(items)),
        measure,
        counted=counted,
        unreadable=sum(not words for words in said),
        uncounted=len(items) - 2 * len(pairs),
    )


def score_signal_error(
    items: Sequence[Item], *, unit: Literal["m/s", "degrees"], leave_out_unread: bool = False
) -> RuleResult:
    """Return the RMSE of a control signal; answers without a number count as the worst ones.

    Args:
        items: The items.
        unit: Of the signal.
        leave_out_unread: Leave answers without a number out, so that not to answer what is hard betters the score.
    """
    values, truths = _signals(items, unit)
    missing = values.count(None)
    return RuleResult(
        rmse_score(values, truths, leave_out_unread=leave_out_unread),
        f"RMSE ({unit}, {'of the answers with a number' if leave_out_unread else 'no number is the worst answer'})",
        counted=np.array([value is not None for value in values], dtype=np.bool_) if leave_out_unread else None,
        unreadable=missing,
        uncounted=missing if leave_out_unread else 0,
        higher_is_better=False,
    )


def score_signal_within(items: Sequence[Item], *, unit: Literal["m/s", "degrees"], tolerance: float) -> RuleResult:
    """Return A_tau of a control signal; answers without a number are wrong.

    Args:
        items: The items.
        unit: Of the signal.
        tolerance: tau, in this unit.
    """
    values, truths = _signals(items, unit)
    score = within_score(values, truths, tolerance)
    right = score.terms[:, 0] > 0
    return RuleResult(score, f"less than {tolerance:g} {unit} off", right, unreadable=values.count(None))


RULES: Mapping[str, Rule] = {
    "mme-realworld-as-published": score_mme_realworld_as_published,
    "bdd-x-full": score_full_description,
    "bdd-x-signal-error": score_signal_error,
    "bdd-x-signal-within": score_signal_within,
}


def _signals(items: Sequence[Item], unit: str) -> tuple[list[float | None], list[float]]:
    """Return what each answer says and what is true."""
    truths = []
    for item in items:
        text = true_text(item.sample)
        truth = read_quantity(text, unit)
        if truth is None:
            raise wrong_answer(item.sample, f"its true answer must be a number in {unit}, got {text!r}")
        truths.append(truth)
    return [read_quantity(item.prediction.text, unit) for item in items], truths


def _mme_letter(text: str, choices: Sequence[str]) -> str:
    answer = text.strip()
    for prefix in _MME_PREFIXES:
        answer = answer.replace(prefix, "")
    found = _LETTERS.search(answer)
    if found is not None:
        return found[0]
    if len(answer.split()) > _MME_LONG:
        return ""
    return next((choice[1] for choice in choices if answer.lower() in choice.lower()), "")


def _mme_choices(answer: ChoiceAnswer) -> list[str]:
    """Return the options as MME-RealWorld's file has them, such as "(A) a car"."""
    return [f"({option_letter(index)}) {option}" for index, option in enumerate(answer.options)]


def _choice_of(item: Item) -> ChoiceAnswer:
    answer = item.sample.answer
    if not isinstance(answer, ChoiceAnswer):
        raise wrong_answer(item.sample, f"it must have options, its answer is of kind {answer.kind}")
    return answer
