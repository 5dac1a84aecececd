"""Strata: what is to be spread evenly when samples are chosen or split."""

from __future__ import annotations

import enum
from array import array
from collections import Counter

import numpy as np
import numpy.typing as npt

from domainvl.errors import UsageError
from domainvl.schema.sample import ChoiceAnswer, Sample, Task, TextAnswer

ALL = "all"
NO_CLASS = "(no class)"


class Stratify(enum.StrEnum):
    """By what samples are put into strata.

    ``CLASS`` is what the sample is about: the labels of the objects that its answer names; for a classification its
    answer; else the labels of all its clear objects. A sample with several classes belongs to the rarest of them in the
    data set (of equally rare ones, to the first by name), so that rare classes are spread as well.
    """

    NONE = "none"
    TASK = "task"
    CLASS = "class"
    DOMAIN = "domain"

    @classmethod
    def parse(cls, text: str) -> Stratify:
        """Read an option.

        Raises:
            UsageError: If it is none of the values.
        """
        try:
            return cls(text)
        except ValueError as error:
            raise UsageError(
                "Cannot stratify", rule=f"--stratify must be one of {', '.join(cls)}, got {text!r}"
            ) from error


class Strata:
    """Puts samples into strata, in two steps: which class is rarest is known only after all were seen.

    Args:
        by: By what.
    """

    def __init__(self, by: Stratify) -> None:
        self._by = by
        self._codes: dict[tuple[str, ...], int] = {}
        self._of_rows = array("I")

    def add(self, sample: Sample) -> None:
        """Look at the next sample."""
        self._of_rows.append(self._codes.setdefault(self._key(sample), len(self._codes)))

    def _key(self, sample: Sample) -> tuple[str, ...]:
        match self._by:
            case Stratify.TASK:
                return (sample.task.value,)
            case Stratify.DOMAIN:
                return (sample.domain,)
            case Stratify.CLASS:
                return _classes(sample) or (NO_CLASS,)
            case Stratify.NONE:
                return (ALL,)

    def finish(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """Decide.

        Returns:
            The names of the strata, sorted, and for each sample the index of its own.
        """
        frequency: Counter[str] = Counter()
        of_codes = Counter(self._of_rows)
        for key, code in self._codes.items():
            frequency.update(dict.fromkeys(key, of_codes[code]))
        chosen = {code: min(key, key=lambda name: (frequency[name], name)) for key, code in self._codes.items()}
        names = sorted(set(chosen.values()))
        index_of = {name: index for index, name in enumerate(names)}
        index_of_code = np.array([index_of[chosen[code]] for code in range(len(chosen))], dtype=np.int64)
        return names, index_of_code[np.frombuffer(self._of_rows, dtype=np.uintc)]


def _classes(sample: Sample) -> tuple[str, ...]:
    named = {thing.label for thing in sample.answer_objects()}
    if named:
        return tuple(sorted(named))
    if sample.task is Task.CLASSIFICATION:
        answer = sample.answer
        if isinstance(answer, TextAnswer):
            return (answer.text,)
        if isinstance(answer, ChoiceAnswer):
            return (answer.options[answer.correct],)
    return tuple(sorted({thing.label for thing in sample.objects if not thing.ignore}))
