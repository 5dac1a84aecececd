"""Which questions are answered together: those of one image share what is computed of it, and batches are full.

An answer may not depend on what is answered beside it, so this also keeps apart what would disturb each other. It is
arithmetic on lengths and ids alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from domainvl.model.encoding import ConversationEncoder
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Image, Sample, Turn
from domainvl.tiling import TileGrid

ImageKey: TypeAlias = tuple[str, TileGrid]
"""Hash of the pixels, and how they are cut: where both are equal, the model sees the same."""

_Company = Literal["before", "beyond", "alone"]
"""Where a question lies to a border of the model: answers before it, prompts beyond it, and what may cross it."""


@dataclass(frozen=True)
class Question:
    """One question, as tokens.

    Attributes:
        sample_id: Of its sample.
        images: What it shows.
        keys: Of the images.
        shared_ids: Its prompt up to the last visual token; other questions of these images may begin so.
        own_ids: The rest of its prompt.
        option_ids: What the model would write to give each option, the end included.
    """

    sample_id: str
    images: tuple[Image, ...]
    keys: tuple[ImageKey, ...]
    shared_ids: tuple[int, ...]
    own_ids: tuple[int, ...]
    option_ids: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Tokens of the prompt."""
        return len(self.shared_ids) + len(self.own_ids)


@dataclass(frozen=True)
class Group:
    """Questions whose prompts are equal up to the last visual token, or a single one.

    Attributes:
        prefix_ids: What is read once for all of them; nothing where the one prompt must be read as a whole.
        questions: At least one.
    """

    prefix_ids: tuple[int, ...]
    questions: tuple[Question, ...]

    def rest(self, question: Question) -> tuple[int, ...]:
        """Return what is read of a question behind the prefix."""
        return question.own_ids if self.prefix_ids else question.shared_ids + question.own_ids


@dataclass(frozen=True)
class Load:
    """Groups that are held together; either each has a prefix or none has.

    Attributes:
        groups: Several only if all their questions fit into one batch.
        alone: Whether not even the options of a question may be looked at together.
    """

    groups: tuple[Group, ...]
    alone: bool

    def batches(self, size: int) -> Iterator[list[tuple[int, Question]]]:
        """Divide the questions into batches, each question with the number of its group."""
        rows = [(number, question) for number, group in enumerate(self.groups) for question in group.questions]
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


@dataclass(frozen=True)
class Borders:
    """Lengths at which a model changes how it tells positions; None where it does not.

    Attributes:
        longrope: Of Phi-3: :attr:`domainvl.model.checkpoint.LoadedModel.rope_border`.
        dynamic: Of InternLM2: :func:`domainvl.model.checkpoint.dynamic_border_of`.
    """

    longrope: int | None = None
    dynamic: int | None = None

    def company(self, question: Question, max_new_tokens: int) -> _Company:
        """Say where a question lies, whatever is written after it."""
        longest = question.length + max(max_new_tokens, *map(len, question.option_ids.values()), 0)
        if self.dynamic is not None and longest > self.dynamic:
            return "alone"
        if self.longrope is None or longest <= self.longrope:
            return "before"
        return "beyond" if question.length > self.longrope else "alone"

    def can_divide(self, question: Question, company: _Company) -> bool:
        """Say whether the prefix of a question alone lies where its whole prompt does."""
        if company == "beyond" and self.longrope is not None:
            return len(question.shared_ids) > self.longrope
        return company == "before" and bool(question.shared_ids)


def encode_questions(
    encoder: ConversationEncoder,
    preprocessing: Preprocessing,
    samples: Iterable[Sample],
    options: Mapping[str, Sequence[str]],
) -> list[Question]:
    """Encode the last question of each sample.

    Args:
        encoder: Of the checkpoint.
        preprocessing: Of the checkpoint.
        samples: What to ask.
        options: By sample id, for those that have some.
    """
    known: dict[tuple[int, ...], tuple[int, ...]] = {}  # equal prefixes are held once, they are long
    answers: dict[str, tuple[int, ...]] = {}
    found = []
    for sample in samples:
        grids = preprocessing.grids(sample.images)
        ids = encoder.encode(sample.turns[:-1], [grid.tile_count for grid in grids]).input_ids
        end = encoder.last_image_token(ids) + 1
        for option in options.get(sample.id, ()):
            if option not in answers:
                answers[option] = answer_ids(encoder, option)
        found.append(
            Question(
                sample.id,
                tuple(sample.images),
                tuple((image.pixel_sha256, grid) for image, grid in zip(sample.images, grids, strict=True)),
                known.setdefault(ids[:end], ids[:end]),
                ids[end:],
                {option: answers[option] for option in options.get(sample.id, ())},
            )
        )
    return found


def answer_ids(encoder: ConversationEncoder, text: str) -> tuple[int, ...]:
    """Return the tokens that a model writes to answer so, the end included; the same after any question."""
    encoded = encoder.encode([Turn(role="assistant", text=text)], [])
    return tuple(token for token, said in zip(encoded.input_ids, encoded.supervised, strict=True) if said)


def divide(questions: Iterable[Question], batch_size: int, max_new_tokens: int, borders: Borders) -> list[Load]:
    """Group questions by their images, and put groups together until a batch is full.

    Loads are in order of the visual tokens, then of the length of the prompts, so that little is padded. Where the
    model changes its positions at a border, prompts beyond it go together, those that stay before it go together, and
    each that may cross it while it is answered goes alone. One beyond it whose prefix is not is read at once.

    Args:
        questions: What to answer.
        batch_size: Questions at a time.
        max_new_tokens: Longest answer.
        borders: Of the model.
    """
    together: dict[tuple[_Company, bool], dict[object, list[Question]]] = {}
    for question in questions:
        company = borders.company(question, max_new_tokens)
        divided = borders.can_divide(question, company)
        by_prefix = together.setdefault((company, divided), {})
        by_prefix.setdefault((question.keys, question.shared_ids) if divided else question.sample_id, []).append(
            question
        )
    loads = []
    for (company, divided), by_prefix in together.items():
        groups = [_group(members, divided) for members in by_prefix.values()]
        groups.sort(key=lambda group: (len(group.prefix_ids), _longest(group), group.questions[0].sample_id))
        alone = company == "alone"
        loads += [Load(some, alone) for some in _loads(groups, 1 if alone else batch_size)]
    return loads


def _group(questions: Iterable[Question], divided: bool) -> Group:
    ordered = sorted(questions, key=lambda question: (len(question.own_ids), question.sample_id))
    return Group(ordered[0].shared_ids if divided else (), tuple(ordered))


def _longest(group: Group) -> int:
    return max(question.length for question in group.questions)


def _loads(groups: Iterable[Group], batch_size: int) -> Iterator[tuple[Group, ...]]:
    load: list[Group] = []
    count = 0
    for group in groups:
        if load and count + len(group.questions) > batch_size:
            yield tuple(load)
            load, count = [], 0
        load.append(group)
        count += len(group.questions)
    if load:
        yield tuple(load)
