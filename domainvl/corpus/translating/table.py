"""Translates each line once: in batches of like length, checked, tried twice, kept on disk as it comes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from domainvl.corpus.translating.memory import TranslationMemory
from domainvl.corpus.translating.protecting import MARKERS, Protected, Terms, protect
from domainvl.errors import ItemError

Progress = Callable[[int, int], None]
"""Is told how many lines are done, and how many there are."""


class Translator(Protocol):
    """What translates lines."""

    @property
    def name(self) -> str:
        """Name of the model."""

    @property
    def identity(self) -> Mapping[str, str]:
        """What its translations depend on, by name."""

    @property
    def batch_size(self) -> int:
        """How many lines it is given at a time."""

    def translate(self, lines: Sequence[str]) -> list[str | None]:
        """Translate lines, in order; None for one that is too long or that it could not finish."""


class TranslationTable:
    """What each line is in the other language.

    Args:
        translator: Translates the lines.
        memory: Keeps what is finished.
    """

    def __init__(self, translator: Translator, memory: TranslationMemory) -> None:
        self._translator = translator
        self._memory = memory
        self._targets: dict[str, str] = {}
        self._errors: dict[str, ItemError] = {}

    def text(self, text: str) -> str:
        """Return a text in the other language; its lines and the blanks around them stay.

        Raises:
            ItemError: If one of its lines could not be translated.
        """
        return "".join(self._line(line) for line in text.splitlines(keepends=True))

    def fill(self, lines: Iterable[str], terms: Terms, progress: Progress) -> None:
        """Translate lines that are not there yet.

        The batches depend on all lines, not on what the memory knows already, so that a model whose numbers depend on
        its batch says the same after a kill. What the memory knows is not asked for again; what failed is.

        Args:
            lines: Each without blanks around it.
            terms: What is not left to the translator.
            progress: Told after each batch.
        """
        left: list[tuple[str, Protected]] = []
        for line in lines:
            if line in self._targets or line in self._errors:
                continue
            try:
                protected = protect(line, terms, self._line)
            except ItemError as error:
                self._errors[line] = error
                continue
            if protected.has_words:
                left.append((line, protected))
            else:
                self._targets[line] = protected.unmarked
        left.sort(key=lambda one: (len(one[0]), one[0]))
        size = self._translator.batch_size
        for start in range(0, len(left), size):
            self._fill_batch(left[start : start + size])
            progress(min(start + size, len(left)), len(left))

    def _line(self, line: str) -> str:
        core = line.strip()
        if not core:
            return line
        if core in self._errors:
            raise self._errors[core]
        start = line.index(core)
        return line[:start] + self._targets[core] + line[start + len(core) :]

    def _fill_batch(self, batch: Sequence[tuple[str, Protected]]) -> None:
        keys = {line: _key(line, protected) for line, protected in batch}
        known = {line: target for line, key in keys.items() if (target := self._memory.get(key)) is not None}
        self._targets.update(known)
        wanted = [(line, protected) for line, protected in batch if line not in known]
        for form in range(len(MARKERS)):
            if not wanted:
                break
            failed = []
            answers = self._translator.translate([protected.marked(form) for _, protected in wanted])
            for (line, protected), answer in zip(wanted, answers, strict=True):
                try:
                    self._targets[line] = _restored(protected, answer, form)
                    self._errors.pop(line, None)
                except ItemError as error:
                    self._errors[line] = error
                    failed.append((line, protected))
            wanted = failed
        self._memory.add((keys[line], line, self._targets[line]) for line in keys if line in self._targets)


def _restored(protected: Protected, answer: str | None, form: int) -> str:
    if answer is None:
        rule = "it must be short enough for the model, and so must its translation"
        raise ItemError("Cannot translate a line", reason="too-long", rule=rule, action="Shorten the text")
    return protected.restore(answer, form)


def _key(line: str, protected: Protected) -> str:
    """Stand for a line and for what stays of it, which depends on the terms."""
    content = json.dumps([line, protected.words, protected.pieces])
    return hashlib.sha256(content.encode()).hexdigest()
