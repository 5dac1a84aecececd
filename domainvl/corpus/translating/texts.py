"""Which texts of a sample are translated, and the sample with the translations in their places.

What is translated is the truth: question, preface, answer, options, labels, earlier rounds. The conversation is then
written again by the wording layer, so that both say the same. Three things stay as they are: what the wording layer
itself says (a model is asked for a form of answer in the words that it was trained with), the names of images, and
"yes" and "no" as answers to closed questions, which the rules of benchmarks and the certainty of a model look for.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

from domainvl.corpus.translating.protecting import count_words, mark_names
from domainvl.errors import DatasetError, ItemError, LeftOutError
from domainvl.schema.sample import (
    EXAMPLE_OF,
    Answer,
    ChoiceAnswer,
    Sample,
    Task,
    TextAnswer,
    Turn,
    placed_count,
)
from domainvl.schema.wording import word_sample

_FREE_TASKS = frozenset({Task.CAPTION, Task.CONVERSATION})
"""Tasks whose answers are no labels: :data:`domainvl.evaluation.items.FREE_TEXT_TASKS`, which corpora cannot import."""

_YES_NO = frozenset({"yes", "no"})

Translate = Callable[[str], str]


class WantedTexts:
    """The distinct lines of a data set that are to be translated, by what is to be heeded.

    A line that is both is a label; one that is asked and said is a question.

    Attributes:
        labels: Labels of objects, answers to closed questions, names that are marked: each is translated by itself.
        questions: What closed questions ask, in which labels must be called what they are called as answers.
        free: Everything else.
    """

    def __init__(self) -> None:
        self.labels: dict[str, None] = {}
        self.questions: dict[str, None] = {}
        self.free: dict[str, None] = {}
        self._classes: dict[str, None] = {}

    def see(self, sample: Sample) -> None:
        """Take in the texts of a sample."""
        self._classes.update(dict.fromkeys(_classes_of(sample)))
        self._add(self.labels, _label_texts(sample))
        self._add(self.questions if _is_closed(sample) else self.free, _question_texts(sample))
        free = [*_earlier_texts(sample), *([] if _is_closed(sample) else _answer_texts(sample))]
        self._add(self.free, free)
        self._add(self.labels, (name for text in (*free, *_question_texts(sample)) for name in mark_names(text)))

    def label_terms(self, translate: Translate) -> dict[str, str]:
        """Return what each class is to be called in questions.

        Args:
            translate: Translates a line; an :class:`ItemError` says that it cannot.
        """
        terms: dict[str, str] = {}
        for label in self._classes:
            # Samples that are about a class without a translation stay as they are; others may name it in passing.
            with contextlib.suppress(ItemError):
                terms[label] = translate(label)
        return terms

    @staticmethod
    def _add(to: dict[str, None], texts: Iterable[str]) -> None:
        to.update(dict.fromkeys(line.strip() for text in texts for line in text.splitlines() if line.strip()))


def check_translatable(sample: Sample) -> None:
    """Refuse a sample whose conversation could not be written again after the translation.

    Raises:
        LeftOutError: With the reason ``few-shot`` or ``other-wording``.
    """
    what = "Cannot translate a sample"
    shown = any(EXAMPLE_OF in image.source.details for image in sample.images)
    if shown or placed_count(sample.earlier):
        raise LeftOutError(
            what,
            reason="few-shot",
            rule="its earlier rounds must not be solved examples, which are whole conversations with images",
            action="Translate the data set that it was made of, then put examples before the samples",
        )
    try:
        words_itself = word_sample(sample) == sample.turns
    except DatasetError:
        words_itself = False
    if not words_itself:
        raise LeftOutError(
            what,
            reason="other-wording",
            rule="its turns must be what the wording layer writes of its question and answer",
            action="See what is wrong with: domainvl validate",
        )


def translate_sample(sample: Sample, translate: Translate) -> Sample:
    """Put the translations of a sample's texts in their places and write its conversation again.

    Args:
        sample: A sample that :func:`check_translatable` accepts.
        translate: Translates a text; an :class:`ItemError` says that it cannot.

    Raises:
        ItemError: If a text cannot be translated, or with the reason ``same`` if options or labels that are told apart
            would be called alike.
    """
    answer = _translated_answer(sample, translate)
    objects = tuple(thing.model_copy(update={"label": translate(thing.label)}) for thing in sample.objects)
    _check_told_apart("labels", [one.label for one in sample.objects], [one.label for one in objects])
    if isinstance(sample.answer, ChoiceAnswer) and isinstance(answer, ChoiceAnswer):
        _check_told_apart("options", sample.answer.options, answer.options)
    draft = sample.model_copy(
        update={
            "question": translate(sample.question),
            "preface": None if sample.preface is None else translate(sample.preface),
            "earlier": tuple(_translated_turn(sample, turn, translate) for turn in sample.earlier),
            "answer": answer,
            "objects": objects,
        }
    )
    return Sample.model_validate(dict(draft) | {"turns": word_sample(draft)})


def _translated_answer(sample: Sample, translate: Translate) -> Answer:
    answer = sample.answer
    if isinstance(answer, ChoiceAnswer):
        return answer.model_copy(update={"options": tuple(map(translate, answer.options))})
    if not isinstance(answer, TextAnswer):
        return answer
    text, *accepted = (one if _stays(sample, one) else translate(one) for one in (answer.text, *answer.accepted))
    return answer.model_copy(update={"text": text, "accepted": tuple(accepted)})


def _translated_turn(sample: Sample, turn: Turn, translate: Translate) -> Turn:
    stays = turn.role == "assistant" and _stays(sample, turn.text)
    return turn if stays else Turn(role=turn.role, text=translate(turn.text))


def _check_told_apart(what: str, sources: Sequence[str], targets: Sequence[str]) -> None:
    """Refuse translations in which two of the sources could not be told apart any more."""
    source_of: dict[str, str] = {}
    for source, target in zip(sources, targets, strict=True):
        other = source_of.setdefault(_compared(target), source)
        if _compared(other) != _compared(source):
            rule = f"different {what} must have different translations, {other!r} and {source!r} are both {target!r}"
            action = "Say in --terms what each is to be called"
            raise ItemError("Cannot use translations", reason="same", rule=rule, action=action)


def _compared(text: str) -> str:
    """Bring a text to the form in which answers are compared: domainvl.evaluation.metrics.text, normalise_text."""
    return " ".join(text.lower().split()).removesuffix(".").rstrip()


def _is_closed(sample: Sample) -> bool:
    return sample.task not in _FREE_TASKS


def _stays(sample: Sample, answer: str) -> bool:
    """Say whether an answer must stay as it is: yes and no to closed questions."""
    return _is_closed(sample) and _compared(answer) in _YES_NO


def _answer_texts(sample: Sample) -> Iterator[str]:
    """Yield the texts of an answer that are translated."""
    if isinstance(sample.answer, ChoiceAnswer):
        yield from sample.answer.options
    elif isinstance(sample.answer, TextAnswer):
        yield from (one for one in (sample.answer.text, *sample.answer.accepted) if not _stays(sample, one))


def _label_texts(sample: Sample) -> Iterator[str]:
    yield from (thing.label for thing in sample.objects)
    if _is_closed(sample):
        yield from _answer_texts(sample)


def _question_texts(sample: Sample) -> Iterator[str]:
    yield sample.question
    if sample.preface is not None:
        yield sample.preface


def _earlier_texts(sample: Sample) -> Iterator[str]:
    yield from (turn.text for turn in sample.earlier if turn.role == "human" or not _stays(sample, turn.text))


def _classes_of(sample: Sample) -> Iterator[str]:
    """Yield what must be called the same in questions and in answers.

    Labels of objects, classes, and any other answer that its own question names, such as left in "left or right?".
    """
    yield from (thing.label.strip() for thing in sample.objects if thing.label.strip())
    if not _is_closed(sample):
        return
    for text in _answer_texts(sample):
        name = text.strip()
        if name and (sample.task is Task.CLASSIFICATION or count_words(sample.question.lower(), name.lower())):
            yield name
