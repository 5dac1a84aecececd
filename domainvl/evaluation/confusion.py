"""What a system said where something else was true, for tasks that have few different answers."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

from domainvl.evaluation.metrics.reading import read_choice, read_count
from domainvl.evaluation.metrics.text import normalise_text
from domainvl.evaluation.protocols.items import Item
from domainvl.evaluation.results import Confusion
from domainvl.schema import ChoiceAnswer, CountAnswer, Sample, TextAnswer
from domainvl.schema.wording import escape_special

MOST_LABELS = 12
"""More would not be read; the rarer ones go together as ``RARER``."""

RARER = "(Rarer)"
"""Row of the true labels that are not shown. Labels are normalised to lower case, so that none can be this one."""

OTHER = "(Other)"
"""Column of what is said besides the labels that are shown. Not ``RARER``: one rare label said of another is wrong."""

_MOST_DIFFERENT = 60
"""A task with more different true answers is an open one: its matrix says nothing."""


def confusion_matrices(system: str, items: Sequence[Item]) -> list[Confusion]:
    """Count, for each task that has few different answers, what was said where what was true.

    Words are compared normalised, choices by the text of their options, counts as numbers. Only answers of words,
    choices and counts take part.

    Args:
        system: Name of the system.
        items: What was asked, with its answers.

    Returns:
        One matrix a task with at least two different true answers, sorted by task.
    """
    pairs: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for item in items:
        true = _true_label(item.sample)
        if true is not None:
            pairs[item.sample.task.value].append((true, _said_label(item)))
    return [
        _matrix(system, task, pairs[task])
        for task in sorted(pairs)
        if 2 <= len({true for true, _ in pairs[task]}) <= _MOST_DIFFERENT
    ]


def _matrix(system: str, task: str, pairs: Sequence[tuple[str, str]]) -> Confusion:
    frequencies = Counter(true for true, _ in pairs)
    ordered = sorted(frequencies, key=lambda label: (-frequencies[label], label))
    shown = ordered if len(ordered) <= MOST_LABELS else ordered[: MOST_LABELS - 1]
    labels = tuple(shown if len(shown) == len(ordered) else [*shown, RARER])
    said = (*shown, OTHER)
    counts = Counter((true if true in shown else RARER, answer if answer in shown else OTHER) for true, answer in pairs)
    return Confusion(
        system=system,
        name=task,
        labels=labels,
        said=said,
        counts=tuple(tuple(counts[true, answer] for answer in said) for true in labels),
    )


def _true_label(sample: Sample) -> str | None:
    match sample.answer:
        case TextAnswer() as answer:
            return normalise_text(escape_special(answer.text))
        case ChoiceAnswer() as answer:
            return normalise_text(answer.options[answer.correct])
        case CountAnswer() as answer:
            return str(answer.count)
    return None


def _said_label(item: Item) -> str:
    text = item.prediction.text
    match item.sample.answer:
        case TextAnswer() as answer:
            said = normalise_text(escape_special(text))
            accepted = {normalise_text(escape_special(one)) for one in answer.accepted}
            return normalise_text(escape_special(answer.text)) if said in accepted else said
        case ChoiceAnswer() as answer:
            option = read_choice(text, answer.options)
            return normalise_text(text) if option is None else normalise_text(answer.options[option])
        case CountAnswer():
            count = read_count(text)
            return normalise_text(text) if count is None else str(count)
    return normalise_text(text)
