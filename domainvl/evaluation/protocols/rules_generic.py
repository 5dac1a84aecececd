"""Rules for any data set: those of :mod:`domainvl.evaluation.items` and the usual metrics of each kind of answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from domainvl.errors import RecipeError
from domainvl.evaluation.box_answers import BoxMatch, match_boxes, match_oriented_boxes
from domainvl.evaluation.items import score
from domainvl.evaluation.metrics.boxes import IOU_THRESHOLD
from domainvl.evaluation.metrics.boxes import f1_score as box_f1_score
from domainvl.evaluation.metrics.captions import Tokens, bleu_score, cider_score, rouge_l_score, tokenize
from domainvl.evaluation.metrics.detection import (
    DetectionItem,
    average_precision,
    average_precision_name,
    detection_counts,
    read_detection,
)
from domainvl.evaluation.metrics.diagnosis import (
    auroc_score,
    balanced_accuracy_score,
    kappa_score,
    sensitivity_score,
    specificity_score,
)
from domainvl.evaluation.metrics.diagnosis import f1_score as yes_f1_score
from domainvl.evaluation.metrics.factuality import factuality_score, factuality_scorers, load_factuality_scorer
from domainvl.evaluation.metrics.measures import (
    SHARE_TOLERANCE_POINTS,
    measure_distance,
    read_measure,
    tolerance_name,
)
from domainvl.evaluation.metrics.meteor import meteor_missing, meteor_score
from domainvl.evaluation.metrics.reading import read_choice, read_count
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.protocols.items import Item, Rule, RuleResult, true_text, wrong_answer
from domainvl.evaluation.statistics.scores import BoolArray, SumScore, mean_score, ratio, spread_over
from domainvl.schema.sample import Answer, BoxesAnswer, ChoiceAnswer, CountAnswer, MeasureAnswer, TextAnswer
from domainvl.schema.wording import escape_special

_YES_NO = ("yes", "no")


def accuracy(items: Sequence[Item]) -> RuleResult:
    """Return the share of right answers by :func:`domainvl.evaluation.items.score`, whatever the kind of answer."""
    right = np.array([score(item.sample, item.prediction).correct for item in items])
    metrics = dict.fromkeys(_right_means(item.sample.answer) for item in items)
    return RuleResult(mean_score(right), " / ".join(metrics), right=right, unreadable=_unreadable(items))


def macro_accuracy(items: Sequence[Item], *, fact: str) -> RuleResult:
    """Return the mean of the shares of right answers of the samples that agree in a fact.

    Args:
        items: What is scored; samples without the fact are left out.
        fact: Its name.
    """
    known = [place for place, item in enumerate(items) if fact in item.facts]
    levels = [items[place].facts[fact] for place in known]
    right = [score(items[place].sample, items[place].prediction).correct for place in known]
    said = [level if is_right else None for level, is_right in zip(levels, right, strict=True)]
    return RuleResult(
        spread_over(balanced_accuracy_score(levels, said), known, len(items)),
        f"accuracy, mean over {fact.replace('_', ' ')} ({len(set(levels))})",
        counted=_mask(known, len(items)),
        unreadable=_unreadable(items),
        uncounted=len(items) - len(known),
    )


def macro_recall(items: Sequence[Item]) -> RuleResult:
    """Return the mean over true classes of the share of their samples that are recognised: balanced accuracy."""
    return RuleResult(balanced_accuracy_score(*_classes(items)), "macro recall", unreadable=_unreadable(items))


def kappa(items: Sequence[Item]) -> RuleResult:
    """Return Cohen's kappa between true and answered classes; whatever is no true class of any sample is one class."""
    return RuleResult(kappa_score(*_classes(items)), "Cohen's kappa", unreadable=_unreadable(items))


def sensitivity(items: Sequence[Item]) -> RuleResult:
    """Return the share of the samples whose answer is yes that are answered so."""
    return RuleResult(sensitivity_score(*_yes_or_no(items)), "sensitivity of yes", unreadable=_unreadable(items))


def specificity(items: Sequence[Item]) -> RuleResult:
    """Return the share of the samples whose answer is no that are answered so."""
    return RuleResult(specificity_score(*_yes_or_no(items)), "specificity of yes", unreadable=_unreadable(items))


def f1(items: Sequence[Item]) -> RuleResult:
    """Return F1 of yes."""
    return RuleResult(yes_f1_score(*_yes_or_no(items)), "F1 of yes", unreadable=_unreadable(items))


def auroc(items: Sequence[Item]) -> RuleResult:
    """Return the area under the ROC curve of the likelihood of yes, over the predictions that store it."""
    truths, _ = _yes_or_no(items)
    likelihoods = [_likelihood_of_yes(item) for item in items]
    known = [place for place, likelihood in enumerate(likelihoods) if likelihood is not None]
    found = auroc_score([truths[place] for place in known], [likelihoods[place] or 0.0 for place in known])
    return RuleResult(
        spread_over(found, known, len(items)),
        "AUROC of yes",
        counted=_mask(known, len(items)),
        uncounted=len(items) - len(known),
    )


def iou_accuracy(items: Sequence[Item], *, threshold: float = IOU_THRESHOLD) -> RuleResult:
    """Return the share of answers with as many boxes as are true, each matched with at least this IoU."""
    matches = [match_boxes(item.sample, item.prediction.text) for item in items]
    return _share_matched(matches, threshold, f"IoU >= {threshold:g}")


def oriented_iou_accuracy(items: Sequence[Item], *, threshold: float = IOU_THRESHOLD) -> RuleResult:
    """Return the same of oriented boxes (:func:`domainvl.evaluation.box_answers.match_oriented_boxes`)."""
    matches = [match_oriented_boxes(item.sample, item.prediction.text) for item in items]
    return _share_matched(matches, threshold, f"IoU of oriented boxes >= {threshold:g}")


def _share_matched(matches: Sequence[BoxMatch], threshold: float, metric: str) -> RuleResult:
    right = np.array([match.is_right(threshold) for match in matches])
    unreadable = sum(not match.is_readable for match in matches)
    return RuleResult(mean_score(right), metric, right=right, unreadable=unreadable)


def mean_iou(items: Sequence[Item]) -> RuleResult:
    """Return the mean IoU of the boxes of an answer, missed and surplus ones counting 0, over the answers."""
    matches = [match_boxes(item.sample, item.prediction.text) for item in items]
    unreadable = sum(not match.is_readable for match in matches)
    return RuleResult(mean_score([match.mean_iou for match in matches]), "mean IoU", unreadable=unreadable)


def detection_f1(items: Sequence[Item], *, threshold: float = IOU_THRESHOLD) -> RuleResult:
    """Return F1 over all boxes of all answers, those of equal labels paired with at least this IoU."""
    counts = detection_counts(_detections(items), threshold)
    return RuleResult(box_f1_score(counts), f"F1, IoU >= {threshold:g}", unreadable=_unreadable(items))


def detection_ap(items: Sequence[Item], *, thresholds: Sequence[float] = (IOU_THRESHOLD,)) -> RuleResult:
    """Return mean average precision (:func:`domainvl.evaluation.metrics.detection.average_precision`)."""
    found = _detections(items)
    metric = average_precision_name(found, thresholds)
    return RuleResult(average_precision(found, thresholds), metric, unreadable=_unreadable(items))


def count_error(items: Sequence[Item]) -> RuleResult:
    """Return the mean distance of counts from the truth; an answer without a count is as far off as 0, at least 1."""
    answers = [item.sample.answer for item in items]
    asked = np.array([isinstance(answer, CountAnswer) for answer in answers])
    errors = [
        _count_error(answer.count, read_count(item.prediction.text)) if isinstance(answer, CountAnswer) else 0.0
        for item, answer in zip(items, answers, strict=True)
    ]
    return _error_result(items, errors, asked, "mean count error (none read: as 0)")


def measure_error(items: Sequence[Item]) -> RuleResult:
    """Return the mean distance of measures from the truth; an answer without a measure is as far off as 0.

    Shares differ in percentage points, by at least 1 where none was read; areas and lengths relative to the truth, so
    that those of a true 0 are left out.

    Raises:
        RecipeError: If shares are mixed with others.
    """
    answers = [item.sample.answer for item in items]
    units = sorted({answer.unit for answer in answers if isinstance(answer, MeasureAnswer)})
    if "%" in units and len(units) > 1:
        raise RecipeError(
            "Cannot average measures",
            rule=f"shares and others must be columns of their own, got the units {', '.join(units)}",
            action="Select by unit with where: {unit: ...}",
        )
    asked = np.array(
        [isinstance(answer, MeasureAnswer) and (answer.unit == "%" or answer.value > 0) for answer in answers]
    )
    errors = [
        _measure_error(item.sample.answer, item.prediction.text) if is_asked else 0.0
        for item, is_asked in zip(items, asked, strict=True)
    ]
    words = "mean error in percentage points" if units == ["%"] else "mean relative error"
    return _error_result(items, errors, asked, f"{words} (none read: as 0)")


def bleu(items: Sequence[Item], *, n: int = 4) -> RuleResult:
    """Return corpus BLEU of runs of up to n words (:func:`domainvl.evaluation.metrics.captions.bleu_score`)."""
    return RuleResult(bleu_score(*_texts(items), n), f"BLEU-{n}", unreadable=_unreadable(items))


def rouge_l(items: Sequence[Item]) -> RuleResult:
    """Return mean ROUGE-L."""
    return RuleResult(rouge_l_score(*_texts(items)), "ROUGE-L", unreadable=_unreadable(items))


def cider(items: Sequence[Item]) -> RuleResult:
    """Return mean CIDEr, between 0 and 10; document frequencies are those of the references of these items."""
    return RuleResult(cider_score(*_texts(items)), "CIDEr", unreadable=_unreadable(items))


def meteor(items: Sequence[Item]) -> RuleResult:
    """Return METEOR where Java and its package are there, else no value and why."""
    missing = meteor_missing()
    found = None if missing else meteor_score(*_texts(items))
    if found is None:
        return _not_available(items, missing or "METEOR is not available")
    return RuleResult(found, "METEOR", unreadable=_unreadable(items))


def factuality(items: Sequence[Item], *, scorer: str | None = None) -> RuleResult:
    """Return what an installed scorer of the factuality of reports says; no value where there is none.

    Args:
        items: What is scored.
        scorer: Its name (:func:`domainvl.evaluation.metrics.factuality.factuality_scorers`); the first where None.
    """
    names = factuality_scorers()
    if scorer is None and not names:
        return _not_available(items, "factuality: no scorer is installed")
    loaded = load_factuality_scorer(scorer or names[0])
    references = [_true_texts(item) for item in items]
    found = factuality_score(loaded, [item.prediction.text for item in items], references)
    return RuleResult(found, f"factuality by {loaded.name}", unreadable=_unreadable(items))


def _not_available(items: Sequence[Item], metric: str) -> RuleResult:
    none = np.zeros(len(items), dtype=np.bool_)
    return RuleResult(SumScore(np.zeros((len(items), 2)), ratio), metric, counted=none, uncounted=len(items))


def _texts(items: Sequence[Item]) -> tuple[list[Tokens], list[list[Tokens]]]:
    """Return the words of each answer and of all texts that are true of it."""
    return [tokenize(item.prediction.text) for item in items], [
        [tokenize(text) for text in _true_texts(item)] for item in items
    ]


def _true_texts(item: Item) -> tuple[str, ...]:
    answer = item.sample.answer
    return (true_text(item.sample), *(answer.accepted if isinstance(answer, TextAnswer) else ()))


def _detections(items: Sequence[Item]) -> list[DetectionItem]:
    return [read_detection(item.sample, item.prediction) for item in items]


def _count_error(truth: int, count: int | None) -> float:
    return float(max(truth, 1) if count is None else abs(count - truth))


def _measure_error(answer: Answer, text: str) -> float:
    if not isinstance(answer, MeasureAnswer):
        return math.nan
    measured = read_measure(text, answer.unit)
    if measured is not None:
        return measure_distance(measured, answer.value, answer.unit)
    least = SHARE_TOLERANCE_POINTS if answer.unit == "%" else 0.0
    return max(measure_distance(0.0, answer.value, answer.unit), least)


def _error_result(items: Sequence[Item], errors: Sequence[float], counted: BoolArray, metric: str) -> RuleResult:
    terms = np.stack([np.where(counted, errors, 0.0), counted.astype(np.float64)], axis=1)
    return RuleResult(
        SumScore(terms, ratio, None),
        metric,
        counted=counted,
        unreadable=_unreadable(items),
        uncounted=int(np.sum(~counted)),
        higher_is_better=False,
    )


def _unreadable(items: Sequence[Item]) -> int:
    return sum(not _is_readable(item) for item in items)


def _mask(places: Sequence[int], length: int) -> BoolArray:
    mask = np.zeros(length, dtype=np.bool_)
    mask[list(places)] = True
    return mask


def _classes(items: Sequence[Item]) -> tuple[list[str], list[str | None]]:
    """Return the true class of each sample, and the class that is answered; None where it is true of no sample."""
    truths = [normalise_text(escape_special(true_text(item.sample))) for item in items]
    known = set(truths)
    said = [_class_said(item, truth) for item, truth in zip(items, truths, strict=True)]
    return truths, [name if name in known else None for name in said]


def _class_said(item: Item, truth: str) -> str:
    if score(item.sample, item.prediction).correct:
        return truth
    answer, text = item.sample.answer, item.prediction.text
    if isinstance(answer, ChoiceAnswer):
        place = read_choice(text, answer.options)
        text = "" if place is None else answer.options[place]
    return normalise_text(escape_special(text))


def _yes_or_no(items: Sequence[Item]) -> tuple[list[bool], list[bool | None]]:
    """Return whether yes is true, and whether it is answered; None where neither yes nor no is."""
    truths = []
    for item in items:
        truth = normalise_text(true_text(item.sample))
        if truth not in _YES_NO:
            raise wrong_answer(item.sample, f"its true answer must be yes or no, got {truth!r:.40}")
        truths.append(truth == "yes")
    said = [normalise_text(item.prediction.text) for item in items]
    return truths, [None if text not in _YES_NO else text == "yes" for text in said]


def _likelihood_of_yes(item: Item) -> float | None:
    options = item.prediction.options or {}
    return next((likelihood for name, likelihood in options.items() if normalise_text(name) == "yes"), None)


def _right_means(answer: Answer) -> str:
    """Return what makes an answer right, in words."""
    match answer:
        case TextAnswer():
            return "exact match"
        case ChoiceAnswer():
            return "right option"
        case CountAnswer():
            return "exact count"
        case MeasureAnswer():
            return tolerance_name(answer.unit)
        case BoxesAnswer():
            return f"IoU >= {IOU_THRESHOLD:g}"


def _is_readable(item: Item) -> bool:
    """Say whether an answer is of the kind that was asked for; any text is, where none but yes and no are asked for."""
    text = item.prediction.text
    match item.sample.answer:
        case ChoiceAnswer() as answer:
            return read_choice(text, answer.options) is not None
        case CountAnswer():
            return read_count(text) is not None
        case MeasureAnswer() as answer:
            return read_measure(text, answer.unit) is not None
        case BoxesAnswer():
            return match_boxes(item.sample, text).is_readable
        case TextAnswer() as answer:
            said = normalise_text(text)
            return said in _YES_NO if normalise_text(answer.text) in _YES_NO else bool(said)


RULES: Mapping[str, Rule] = {
    "accuracy": accuracy,
    "macro-accuracy": macro_accuracy,
    "macro-recall": macro_recall,
    "kappa": kappa,
    "sensitivity": sensitivity,
    "specificity": specificity,
    "f1": f1,
    "auroc": auroc,
    "iou-accuracy": iou_accuracy,
    "oriented-iou-accuracy": oriented_iou_accuracy,
    "mean-iou": mean_iou,
    "detection-f1": detection_f1,
    "detection-ap": detection_ap,
    "count-error": count_error,
    "measure-error": measure_error,
    "bleu": bleu,
    "rouge-l": rouge_l,
    "cider": cider,
    "meteor": meteor,
    "factuality": factuality,
}
