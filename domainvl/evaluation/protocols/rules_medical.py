"""Rules of medical benchmarks: those of LLaVA-Med for VQA-RAD, SLAKE and PathVQA, of OmniMedVQA and of GMAI-MMBench.

Rules called as published follow the official code flaw for flaw; what is wrong with it is said at each.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

import numpy as np

from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.protocols.items import Item, Rule, RuleResult, true_text, wrong_answer
from domainvl.evaluation.statistics.scores import SumScore, mean_score, ratio
from domainvl.schema.sample import ChoiceAnswer, TextAnswer
from domainvl.schema.wording import option_letter

_LLAVA_MED_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_NUMBER_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_LLAVA_MED_NUMBERS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBER_WORDS)}
_LLAVA_MED_ARTICLES = frozenset({"a", "an", "the"})
_THOUSANDS = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_FULL_STOPS_TAKEN = int(re.UNICODE)

_VLMEVALKIT_BLANKS = str.maketrans(dict.fromkeys(".()[],:;!*#{}", " "))
_VLMEVALKIT_REFUSALS = (
    "Sorry, I can't help with images of people yet.",
    "I can't process this file.",
    "I'm sorry, but without the image provided",
    "Cannot determine the answer",
    "Failed to obtain answer via API",
)
_LETTER_LIST = re.compile(r"\(?[A-Za-z]\)?\.?(?:\s*(?:,|;|and|&|\s)\s*\(?[A-Za-z]\)?\.?)*")


def normalise_llava_med(text: str) -> str:
    """Bring text to the form in which LLaVA-Med compares it.

    (microsoft/LLaVA-Med, llava/eval/eval_metrics/glossary.py, normalize_word, which is VQA v2's with its mistakes.)
    Lower case; each mark is taken away if it stands beside a blank anywhere in the text, or if the text holds a number
    such as 1,000, else it becomes a blank; the first 32 full stops that no digit follows are taken away, for the flag
    of the expression is given as the number of replacements; number words up to ten become digits and "none" 0;
    articles are taken away. Its table of contractions ("dont" to "don't") is left out.
    """
    changed = text
    has_thousands = _THOUSANDS.search(text) is not None
    for mark in _LLAVA_MED_MARKS:
        beside_blank = f"{mark} " in text or f" {mark}" in text
        changed = changed.replace(mark, "" if beside_blank or has_thousands else " ")
    changed = _FULL_STOP.sub("", changed, count=_FULL_STOPS_TAKEN)
    words = (_LLAVA_MED_NUMBERS.get(word, word) for word in changed.lower().split())
    return " ".join(word for word in words if word not in _LLAVA_MED_ARTICLES)


def llava_med_closed(items: Sequence[Item]) -> RuleResult:
    """Return the share of closed questions answered rightly, as published.

    (microsoft/LLaVA-Med, llava/eval/run_eval.py, evaluate.) An answer that holds "yes" or "no" anywhere, also within
    "normal", is right if it holds the truth anywhere; if not, it is **left out** of the mean instead of being wrong.
    One without either is wrong, though it may be the true answer of a question such as "left or right".
    """
    pairs = [_llava_med_texts(item) for item in items]
    counted = np.array([truth in said or not _says_yes_or_no(said) for said, truth in pairs])
    right = np.array([truth in said and _says_yes_or_no(said) for said, truth in pairs])
    terms = np.stack([right, counted], axis=1).astype(np.float64)
    return RuleResult(
        SumScore(terms, ratio),
        "truth contained, wrong yes/no left out",
        counted=counted,
        unreadable=sum(not _says_yes_or_no(said) for said, _ in pairs),
        uncounted=int(np.sum(~counted)),
    )


def llava_med_recall(items: Sequence[Item]) -> RuleResult:
    """Return the mean share of the true words that open answers hold, as published.

    (microsoft/LLaVA-Med, llava/eval/eval_metrics/evaluate_metrics.py, calculate_f1score.) A true word that the answer
    repeats counts as often as it is said, so that repeating the right word outweighs the missing ones; a long answer
    costs nothing.
    """
    return RuleResult(mean_score([_llava_med_recall(*_llava_med_words(item)) for item in items]), "token recall")


def token_recall(items: Sequence[Item]) -> RuleResult:
    """Return the mean share of the true words that open answers hold, each as often as it is true at most."""
    values = []
    for item in items:
        said, truth = _llava_med_words(item)
        values.append((said & truth).total() / truth.total() if truth else 0.0)
    return RuleResult(mean_score(values), "token recall, clipped")


def omni_med_similar(items: Sequence[Item]) -> RuleResult:
    """Return the share of answers whose most similar option is right, as published.

    (OpenGVLab/Multi-Modality-Arena, MedicalEval/Question-answering_Score/utils/medicalqa.py, MedicalEval.) Similarity
    is difflib's ratio of matching letters; the first of equally similar options counts. Something is nearly always
    similar, and a letter such as "B" is compared with the options' texts. An answer that shares no letter is wrong.
    """
    places = [_most_similar(item.prediction.text, _choice(item).options) for item in items]
    right = np.array([place == _choice(item).correct for place, item in zip(places, items, strict=True)])
    unreadable = sum(place is None for place in places)
    return RuleResult(mean_score(right), "most similar option", right=right, unreadable=unreadable)


def most_likely_option(items: Sequence[Item]) -> RuleResult:
    """Return the share of questions whose likeliest option is right, of those with likelihoods of options.

    Like OmniMedVQA's prefix-based score (arXiv 2402.09181), which needs no answer: what the model thinks likely, not
    what it says. Which likelihoods are stored, is said at :class:`domainvl.evaluation.predictions.Prediction`.
    """
    counted = np.array([bool(item.prediction.options) for item in items])
    right = np.array([_likeliest(item) == _choice(item).correct for item in items])
    terms = np.stack([right & counted, counted], axis=1).astype(np.float64)
    uncounted = int(np.sum(~counted))
    return RuleResult(SumScore(terms, ratio), "likeliest option", right & counted, counted, uncounted=uncounted)


def vlmevalkit_choice(items: Sequence[Item]) -> RuleResult:
    """Return the share of right options, read as published.

    (open-compass/VLMEvalKit, vlmeval/utils/matching_util.py, can_infer, as of 2024, without a judge model.) Marks
    become blanks; if one letter of an option alone stands there as a word, it is the answer, also the article "A"; else
    the option whose text alone the answer contains, so that "no mass" names the option "mass". Later versions demand
    more.
    """
    places = [_vlmevalkit_place(item.prediction.text, _choice(item).options) for item in items]
    right = np.array([place == _choice(item).correct for place, item in zip(places, items, strict=True)])
    unreadable = sum(place is None for place in places)
    return RuleResult(mean_score(right), "right option, inferred", right=right, unreadable=unreadable)


def several_letters(items: Sequence[Item], *, of: str) -> RuleResult:
    """Return how well questions with several right options are answered, as a mean over questions.

    (GMAI-MMBench, arXiv 2408.03361, section on metrics.) The true answer is a text of letters such as "A, C".

    Args:
        items: What is scored.
        of: ``predicted``: right letters over predicted ones, which the paper calls ACC; ``true``: over the true ones,
            recall. An answer without a letter has 0.

    Raises:
        DatasetError: If a true answer is not such a text.
        ValueError: If ``of`` is something else.
    """
    if of not in ("predicted", "true"):
        raise ValueError(f"of must be predicted or true, got {of!r}")
    values, unreadable = [], 0
    for item in items:
        truth = read_letters(true_text(item.sample)) if isinstance(item.sample.answer, TextAnswer) else frozenset()
        if not truth:
            raise wrong_answer(item.sample, "its true answer must be letters such as 'A, C'")
        said = read_letters(item.prediction.text)
        unreadable += not said
        below = said if of == "predicted" else truth
        values.append(len(said & truth) / len(below) if below else 0.0)
    metric = "right of predicted letters" if of == "predicted" else "right of true letters"
    return RuleResult(mean_score(values), metric, unreadable=unreadable)


def read_letters(text: str) -> frozenset[str]:
    """Read the letters of options from an answer that lists nothing else, such as "A, C" or "(a) and (c)", or "AC"."""
    answer = text.strip()
    if answer.isascii() and answer.isalpha() and answer.isupper() and len(set(answer)) == len(answer):
        return frozenset(answer)
    if not _LETTER_LIST.fullmatch(answer):
        return frozenset()
    letters = (letter.upper() for letter in re.findall(r"\b[A-Za-z]\b", answer))
    return frozenset(letter for letter in letters if letter in ascii_uppercase)


def _llava_med_texts(item: Item) -> tuple[str, str]:
    """Return answer and truth; both are normalised twice there where words are counted, which changes nothing else."""
    return normalise_llava_med(item.prediction.text.lower()), normalise_llava_med(true_text(item.sample).lower())


def _llava_med_words(item: Item) -> tuple[Counter[str], Counter[str]]:
    said, truth = (normalise_llava_med(text).split() for text in _llava_med_texts(item))
    return Counter(said), Counter(truth)


def _says_yes_or_no(text: str) -> bool:
    return "yes" in text or "no" in text


def _llava_med_recall(said: Mapping[str, int], truth: Mapping[str, int]) -> float:
    found = sum(count for word, count in said.items() if word in truth)
    missed = sum(count for word, count in truth.items() if word not in said)
    return found / (found + missed) if found else 0.0


def _choice(item: Item) -> ChoiceAnswer:
    if not isinstance(item.sample.answer, ChoiceAnswer):
        raise wrong_answer(item.sample, f"its true answer must be an option, got {item.sample.answer.kind}")
    return item.sample.answer


def _most_similar(text: str, options: Sequence[str]) -> int | None:
    ratios = [difflib.SequenceMatcher(None, option, text).ratio() for option in options]
    best = max(ratios)
    return ratios.index(best) if best > 0 else None


def _likeliest(item: Item) -> int | None:
    """Return the place of the likeliest option, which is named by its letter or text."""
    likelihoods = item.prediction.options
    if not likelihoods:
        return None
    return read_choice(max(likelihoods, key=lambda name: likelihoods[name]), _choice(item).options)


def _vlmevalkit_place(text: str, options: Sequence[str]) -> int | None:
    if any(refusal in text for refusal in _VLMEVALKIT_REFUSALS):
        return None
    words = text.translate(_VLMEVALKIT_BLANKS).split()
    named = [place for place in range(len(options)) if option_letter(place) in words]
    if len(named) == 1:
        return named[0]
    if not named and "Z" in words:
        return None
    contained = [place for place, option in enumerate(options) if option.lower() in text.lower()]
    return contained[0] if len(contained) == 1 else None


RULES: Mapping[str, Rule] = {
    "llava-med-closed": llava_med_closed,
    "llava-med-recall": llava_med_recall,
    "token-recall": token_recall,
    "omni-med-similar": omni_med_similar,
    "most-likely-option": most_likely_option,
    "vlmevalkit-choice": vlmevalkit_choice,
    "several-letters": several_letters,
}
