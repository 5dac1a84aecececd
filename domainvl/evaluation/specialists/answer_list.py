"""The closed set of words that a classifier of answers chooses from, learnt from the training split.

Words, options and counts are such answers; measures, boxes, captions and conversations are not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from domainvl.evaluation.items import FREE_TEXT_TASKS
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.specialists.specialist import CannotAnswerError
from domainvl.schema.sample import ChoiceAnswer, CountAnswer, Sample, TextAnswer
from domainvl.schema.wording import option_letter

LISTED_OPTIONS = 100
"""Up to so many possible answers, the likelihood of each is written beside the one that is given."""

LEAST_SAMPLES = 8
"""So often a question must be asked in training for a classifier of images to have classes for it."""

Key = tuple[str, ...]

ItemT = TypeVar("ItemT", str, tuple[Key, str])


class AnswerGroup(BaseModel):
    """The answers to one kind of question.

    Attributes:
        key: The kind: domain, task, kind of answer, and where answers are kept apart by it the question, normalised.
        answers: Places in the list.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Key
    answers: tuple[int, ...]


class AnswerList(BaseModel):
    """Answers, and which of them can answer what.

    Attributes:
        by: ``question``: the classes of one question are its own, for networks that do not read the question.
            ``task``: equal answers are one class, for networks that do.
        answers: One a class, as it is written.
        groups: Which classes can answer which kind of question.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Literal["question", "task"]
    answers: tuple[str, ...]
    groups: tuple[AnswerGroup, ...]

    @classmethod
    def learn(cls, samples: Iterable[Sample], *, by: Literal["question", "task"], most: int) -> AnswerList:
        """Collect the most frequent answers of training samples.

        An answer is written as it is most often, the first in alphabetical order among equals.

        Args:
            samples: The training samples.
            by: See the class. Questions that are asked less than ``LEAST_SAMPLES`` times are left out if ``question``.
            most: Largest number of classes.
        """
        counts: Counter[tuple[Key, str]] = Counter()
        spelled: dict[str, Counter[str]] = defaultdict(Counter)
        asked: Counter[Key] = Counter()
        for sample in samples:
            if (text := closed_answer(sample)) is not None:
                key, word = _key(sample, by), normalise_text(text)
                counts[key, word] += 1
                asked[key] += 1
                spelled[word][text.strip()] += 1
        if by == "question":
            counts = Counter({pair: n for pair, n in counts.items() if asked[pair[0]] >= LEAST_SAMPLES})
            classes = _most_frequent(counts, most)
            places = {pair: place for place, pair in enumerate(classes)}
            words = [word for _, word in classes]
        else:
            totals: Counter[str] = Counter()
            for (_, word), n in counts.items():
                totals[word] += n
            words = _most_frequent(totals, most)
            place_of = {word: place for place, word in enumerate(words)}
            places = {pair: place_of[pair[1]] for pair in counts if pair[1] in place_of}
        by_key: dict[Key, list[int]] = defaultdict(list)
        for (key, _), place in places.items():
            by_key[key].append(place)
        groups = tuple(AnswerGroup(key=key, answers=tuple(sorted(by_key[key]))) for key in sorted(by_key))
        answers = tuple(min(spelled[word], key=lambda text: (-spelled[word][text], text)) for word in words)
        return cls(by=by, answers=answers, groups=groups)

    def possible(self, sample: Sample) -> tuple[int, ...]:
        """Return the classes that can answer a sample, rising.

        Of a question with options those whose answer is one of them.

        Raises:
            CannotAnswerError: If there is none.
        """
        if closed_answer(sample) is None:
            raise CannotAnswerError(f"{_kind_of(sample)} are no closed answers")
        places = self._by_key.get(_key(sample, self.by))
        if places is None:
            raise CannotAnswerError(f"the {self.by} was not trained")
        if isinstance(sample.answer, ChoiceAnswer):
            options = {normalise_text(option) for option in sample.answer.options}
            places = tuple(place for place in places if normalise_text(self.answers[place]) in options)
            if not places:
                raise CannotAnswerError("no option is a known answer")
        return places

    def target(self, sample: Sample, possible: Sequence[int]) -> int:
        """Return where among the possible classes the true answer is.

        Raises:
            CannotAnswerError: If it is none of them.
        """
        text = closed_answer(sample)
        words = [normalise_text(self.answers[place]) for place in possible]
        if text is None or normalise_text(text) not in words:
            raise CannotAnswerError("the answer is too rare")
        return words.index(normalise_text(text))

    def prediction(self, sample: Sample, possible: Sequence[int], probabilities: npt.NDArray[np.float64]) -> Prediction:
        """Write the likeliest answer.

        Args:
            sample: The sample.
            possible: The classes.
            probabilities: Of each, together 1; float of shape (classes,).
        """
        best = int(np.argmax(probabilities))
        words = [self.answers[place] for place in possible]
        options: dict[str, float] | None = None
        text = words[best]
        if isinstance(sample.answer, ChoiceAnswer):
            letters: dict[str, str] = {}
            for index, option in enumerate(sample.answer.options):  # of equal options the first
                letters.setdefault(normalise_text(option), option_letter(index))
            options = {option_letter(index): 0.0 for index in range(len(sample.answer.options))}
            for word, probability in zip(words, probabilities, strict=True):
                options[letters[normalise_text(word)]] += float(probability)
            text = letters[normalise_text(text)]
        elif len(words) <= LISTED_OPTIONS:
            options = {word: float(probability) for word, probability in zip(words, probabilities, strict=True)}
        return Prediction(sample_id=sample.id, text=text, likelihood=float(probabilities[best]), options=options)

    @cached_property
    def _by_key(self) -> dict[Key, tuple[int, ...]]:
        return {group.key: group.answers for group in self.groups}


def closed_answer(sample: Sample) -> str | None:
    """Return the true answer in words if it can be one of a closed set: a text, an option's text or a count."""
    if sample.task in FREE_TEXT_TASKS:
        return None
    match sample.answer:
        case TextAnswer(text=text):
            return text
        case ChoiceAnswer(options=options, correct=correct):
            return options[correct]
        case CountAnswer(count=count):
            return str(count)
    return None


def _kind_of(sample: Sample) -> str:
    return f"{sample.task.value}s" if sample.task in FREE_TEXT_TASKS else f"answers of kind {sample.answer.kind}"


def _key(sample: Sample, by: Literal["question", "task"]) -> Key:
    key = (sample.domain, sample.task.value, sample.answer.kind)
    return (*key, normalise_text(sample.question)) if by == "question" else key


def _most_frequent(counts: Counter[ItemT], most: int) -> list[ItemT]:
    return sorted(counts, key=lambda item: (-counts[item], item))[:most]
