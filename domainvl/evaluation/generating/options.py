"""Which answers a sample can have, where these are few: a model's certainty is normalised over them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from domainvl.evaluation.metrics.reading import read_choice
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.schema import ChoiceAnswer, Sample, Task, TextAnswer
from domainvl.schema.wording import escape_special, option_letter

MOST_OPTIONS = 26
"""Questions with more different answers are taken for open ones; as many as there are letters."""

_PAIRS = (("yes", "no"), ("Yes", "No"), ("YES", "NO"))


class Options:
    """The options of the samples of a set, as a model would write them.

    Multiple choice: its letters. A question that is truly answered by yes or no: these two, written as the set writes
    them most often, so that the way in which they are written does not tell which is true. Classification: all classes
    that the set holds for the same question, if they are few. All others have none.
    Whether a question is one of yes and no is read from its true answer; which of the two is not told by that.

    Args:
        samples: The whole set; the classes are gathered from it.
    """

    def __init__(self, samples: Iterable[Sample]) -> None:
        classes: dict[tuple[str, str], set[str]] = defaultdict(set)
        written: Counter[tuple[str, str]] = Counter()
        for sample in samples:
            written.update(_pairs(sample))
            if sample.task is Task.CLASSIFICATION and isinstance(sample.answer, TextAnswer):
                classes[_question(sample)].add(sample.answer.text)
        self._yes_no = min(written, key=lambda pair: (-written[pair], pair), default=_PAIRS[0])
        self._classes = {
            question: tuple(sorted(map(escape_special, names)))
            for question, names in classes.items()
            if 2 <= len(names) <= MOST_OPTIONS
        }

    def __call__(self, sample: Sample) -> tuple[str, ...] | None:
        """Return the options of a sample; None where it has none."""
        answer = sample.answer
        if isinstance(answer, ChoiceAnswer):
            return tuple(option_letter(index) for index in range(len(answer.options)))
        if not isinstance(answer, TextAnswer):
            return None
        if _pairs(sample):
            return self._yes_no
        if sample.task is Task.CLASSIFICATION:
            return self._classes.get(_question(sample))
        return None


def true_option(sample: Sample, options: Iterable[str]) -> str | None:
    """Return which of the options that a system names is true; None if none is.

    Args:
        sample: The sample.
        options: Their names; of a choice by letter or text.
    """
    answer = sample.answer
    if isinstance(answer, ChoiceAnswer):
        return next((option for option in options if read_choice(option, answer.options) == answer.correct), None)
    if not isinstance(answer, TextAnswer):
        return None
    accepted = {normalise_text(escape_special(text)) for text in (answer.text, *answer.accepted)}
    return next((option for option in options if normalise_text(option) in accepted), None)


def _pairs(sample: Sample) -> list[tuple[str, str]]:
    """Return the way of writing yes and no that the true answer has; nothing where it is neither."""
    text = sample.answer.text if isinstance(sample.answer, TextAnswer) else ""
    return [pair for pair in _PAIRS if text in pair]


def _question(sample: Sample) -> tuple[str, str]:
    return sample.domain, normalise_text(sample.question)
