"""Answers from the words of the question alone: what it gets right, no image was needed for."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import torch
from pydantic import JsonValue
from torch import nn

from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.results import FROM_SCRATCH
from domainvl.evaluation.specialists.answer_list import AnswerList
from domainvl.evaluation.specialists.answerer import Answerer, AnswerExample, read_text
from domainvl.schema.sample import Sample

_MOST_TERMS = 5_000
_LEAST_TIMES = 2
"""A term that stands in one question only says which question it is, and nothing about others."""

_WORD = re.compile(r"\w+")


class LanguageOnly(Answerer):
    """A linear model over which words and pairs of neighbouring words stand in the question.

    Args:
        answers: What it chooses from.
        terms: The words and pairs that it knows.
    """

    def __init__(self, answers: AnswerList, terms: Sequence[str]) -> None:
        self.answers = answers
        self.pretraining = FROM_SCRATCH
        self.image_px = 0
        self._terms = {term: place for place, term in enumerate(terms)}
        self.module = nn.EmbeddingBag(len(terms) + 1, len(answers.answers), mode="sum")
        nn.init.zeros_(self.module.weight)

    @classmethod
    def learn(cls, samples: Iterable[Sample], answers: AnswerList) -> LanguageOnly:
        """Make one that knows the most frequent words and pairs of training samples, untrained."""
        counts = Counter(term for sample in samples for term in _terms_of(read_text(sample)))
        common = [term for term, times in counts.items() if times >= _LEAST_TIMES]
        return cls(answers, sorted(common, key=lambda term: (-counts[term], term))[:_MOST_TERMS])

    @classmethod
    def of_details(cls, details: dict[str, JsonValue]) -> LanguageOnly:
        """Undo :meth:`details`; the weights are not yet those of training."""
        terms = details["terms"]
        if not isinstance(terms, list):
            raise ValueError(f"terms must be a list, got {type(terms).__name__}")
        return cls(AnswerList.model_validate(details["answers"]), [str(term) for term in terms])

    def details(self) -> dict[str, JsonValue]:
        """See :class:`Specialist`."""
        return {"answers": self.answers.model_dump(mode="json"), "terms": list(self._terms)}

    def look(self, sample: Sample, possible: tuple[int, ...]) -> AnswerExample:
        """See :class:`Answerer`."""
        return AnswerExample((), read_text(sample), possible)

    def logits(self, examples: Sequence[AnswerExample]) -> torch.Tensor:
        """See :class:`Answerer`."""
        constant = len(self._terms)  # stands in every question
        rows = [
            [constant, *(self._terms[term] for term in _terms_of(example.text) if term in self._terms)]
            for example in examples
        ]
        starts = list(itertools.accumulate((len(row) for row in rows[:-1]), initial=0))
        flat = torch.tensor([place for row in rows for place in row], device=self.device)
        logits: torch.Tensor = self.module(flat, torch.tensor(starts, device=self.device))
        return logits


def _terms_of(text: str) -> list[str]:
    """Return the words and pairs of neighbouring words of a text, each once, in alphabetical order."""
    words = _WORD.findall(normalise_text(text))
    return sorted({*words, *(f"{first} {second}" for first, second in itertools.pairwise(words))})
