"""Rules about text that the official codes of several benchmarks share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TypeAlias

import numpy as np

from domainvl.evaluation.metrics.captions import Tokens, bleu_score, cider_score, rouge_l_score
from domainvl.evaluation.protocols.items import Item, Rule, RuleResult, true_text
from domainvl.evaluation.statistics.scores import SumScore, mean_score

_CaptionScore: TypeAlias = Callable[[Sequence[Tokens], Sequence[Sequence[Tokens]]], SumScore]

CAPTION_SCORES: Mapping[str, _CaptionScore] = MappingProxyType(
    {f"BLEU-{n}": partial(bleu_score, n=n) for n in range(1, 5)} | {"ROUGE-L": rouge_l_score, "CIDEr": cider_score}
)
"""Scores of texts, by the names that DriveLM and BDD-X report them under."""


def score_exact_text(items: Sequence[Item], *, ignore_case: bool = False) -> RuleResult:
    """Score answers that must be the true text to the letter: a blank or full stop at the end makes them wrong.

    With case: NuScenes-QA (``result_eval.py``); without: RSVQA (InternVL ``rs_vqa/score.py``).

    Args:
        items: The items.
        ignore_case: Whether both are brought to lower case first.
    """
    pairs = [(item.prediction.text, true_text(item.sample)) for item in items]
    right = [a.lower() == b.lower() if ignore_case else a == b for a, b in pairs]
    metric = "exact text, case ignored" if ignore_case else "exact text"
    return RuleResult(mean_score(right), metric, np.array(right, dtype=np.bool_))


RULES: Mapping[str, Rule] = {"exact-text": score_exact_text}
