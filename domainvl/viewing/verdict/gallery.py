"""Chooses answers to look at, right and wrong ones, and lays them out with their images."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from domainvl.errors import DatasetError, InputNotFoundError, NothingToDoError, UsageError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.loading import load_protocol
from domainvl.evaluation.protocols.scoring import select_samples
from domainvl.evaluation.results import Results
from domainvl.schema import Sample, Split, TextAnswer, read_samples
from domainvl.schema.splitting import uniform_from_key
from domainvl.viewing.cards import CardImage, DrawnText, assign_hues, draw_answer, make_card
from domainvl.viewing.choosing import share_evenly
from domainvl.viewing.show import PageImage, find_images
from domainvl.viewing.truths import Truth, describe_answer
from domainvl.viewing.verdict.charts import tints
from domainvl.viewing.verdict.inputs import read_answers
from domainvl.viewing.verdict.judging import Judgement, judge

LIMIT = 24
"""Most answers on a page."""

_SIDE_PX = 512
_JPEG_QUALITY = 82
_MOST_IMAGES = 6
_LONGEST_TEXT = 500

LOST = "wrong where another system is right"
WRONG = "wrong as every other system is"
WON = "right where another system is wrong"
RIGHT = "right as every other system is"
WRONG_ALONE = "wrong"
RIGHT_ALONE = "right"
NOT_JUDGED = "not judged one by one"
_ORDER = (LOST, WRONG, WRONG_ALONE, WON, RIGHT, RIGHT_ALONE, NOT_JUDGED)


@dataclass(frozen=True)
class Given:
    """What a system answered: its name and colour, the text, and whether it is right; None where that is not judged."""

    system: str
    tint: int
    text: str
    right: bool | None


@dataclass(frozen=True)
class GalleryImage:
    """An image as it is shown.

    Attributes:
        shown: The image, and what is drawn on it.
        file: Its file.
        answers: Boxes of the first system's answer.
    """

    shown: CardImage
    file: PageImage
    answers: tuple[DrawnText, ...]

    @cached_property
    def uri(self) -> str | None:
        """Its pixels, made smaller, as a data URI; None where they cannot be read."""
        return None if self.file.file is None else _small_copy(self.file.file)

    @property
    def label_px(self) -> float:
        """Size of labels, in pixels of the image: about 11 pixels on a card of 300."""
        return max(self.shown.image.width_px / 28, 1.0)


@dataclass(frozen=True)
class GalleryCard:
    """A sample with what the systems answered.

    Attributes:
        sample: The sample.
        outcome: How the first system did beside the others.
        line: Line of the protocol that judges it.
        images: The images.
        left_out: Number of images that are not shown.
        truth: The true answer.
        given: What was answered, the first system first.
    """

    sample: Sample
    outcome: str
    line: str
    images: tuple[GalleryImage, ...]
    left_out: int
    truth: Truth
    given: tuple[Given, ...]

    @property
    def outcome_rank(self) -> int:
        """Place of its outcome on the page."""
        return _ORDER.index(self.outcome)


@dataclass(frozen=True)
class Gallery:
    """What is shown of the answers.

    Attributes:
        cards: Chosen answers.
        available: Number of answers by outcome, among which they were chosen.
        problem: Why there is none.
        unread: Systems whose answers are not there.
    """

    cards: tuple[GalleryCard, ...] = ()
    available: Mapping[str, int] | None = None
    problem: str | None = None
    unread: tuple[str, ...] = ()


def build_gallery(results: Results, folders: Sequence[Path], dataset: Path | None, *, limit: int = LIMIT) -> Gallery:
    """Choose answers and lay them out.

    They are chosen evenly over outcomes and lines, by the hash of the sample's id: the same results give the same
    page. Whether an answer is right is said by the protocol (:func:`domainvl.viewing.verdict.judging.judge`).

    Args:
        results: The results.
        folders: Folders of the evaluations, which hold the answers.
        dataset: The data set's folder; the one named in the results where None.
        limit: Most answers.
    """
    folder = dataset or Path(results.data.folder)
    problem = _data_problem(folder, results)
    if problem is not None:
        return Gallery(problem=problem)
    answers, unread = _read_all(results, folders)
    if not answers or results.systems[0].name not in answers:
        return Gallery(problem="the answers of the first system cannot be read", unread=unread)
    try:
        protocol = load_protocol(results.protocol)
        selection = select_samples(protocol, read_samples(folder, Split(results.data.split)))
    except (UsageError, NothingToDoError) as error:
        return Gallery(problem=str(error), unread=unread)
    judged = {name: judge(protocol, selection, given) for name, given in answers.items()}
    drawn = _draw(judged, _rivals(results))
    chosen = _choose(drawn, limit)
    samples = [sample for sample in selection.samples if sample.id in chosen]
    cards = _lay_out(samples, chosen, _Answered(answers, judged, tints(results)), folder)
    available = {outcome: sum(len(ids) for key, ids in drawn.items() if key[0] == outcome) for outcome in _ORDER}
    return Gallery(tuple(cards), available, unread=unread)


def _read_all(results: Results, folders: Sequence[Path]) -> tuple[dict[str, Mapping[str, Prediction]], tuple[str, ...]]:
    """Return the answers of the systems by name, and the names of those whose answers cannot be read."""
    answers: dict[str, Mapping[str, Prediction]] = {}
    unread = []
    for system in results.systems:
        try:
            answers[system.name] = read_answers(system, folders)
        except (InputNotFoundError, DatasetError):
            unread.append(system.name)
    return answers, tuple(unread)


def _data_problem(folder: Path, results: Results) -> str | None:
    """Say why the samples of the data set cannot be shown."""
    if results.data.split not in list(Split):
        return f"the data set has no split {results.data.split}"
    file = folder / f"{results.data.split}.jsonl"
    if not file.is_file():
        return f"the data set is not at {folder} any more; name its folder to see the images"
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return None if found == results.data.sha256 else f"the data set at {folder} is not the one that was scored"


def _rivals(results: Results) -> list[str]:
    """Return the first system and those that it is held against: no baselines, if other systems are there."""
    first, *others = results.systems
    models = [system.name for system in others if system.kind != "baseline"]
    return [first.name, *(models or [system.name for system in others])]


_Key = tuple[str, str]  # outcome and line


@dataclass(frozen=True)
class _Answered:
    """Answers, what became of them, and colours, by name of the system."""

    answers: Mapping[str, Mapping[str, Prediction]]
    judged: Mapping[str, Mapping[str, Judgement]]
    colours: Mapping[str, int]


def _draw(judged: Mapping[str, Mapping[str, Judgement]], rivals: Sequence[str]) -> dict[_Key, list[tuple[float, str]]]:
    """Return for each outcome and line the ids of its samples, each with its draw."""
    drawn: dict[_Key, list[tuple[float, str]]] = {}
    known = [judged[name] for name in rivals if name in judged]
    for sample_id, own in known[0].items():
        others = [found[sample_id].right for found in known[1:] if sample_id in found]
        key = _outcome(own.right, others), own.line
        drawn.setdefault(key, []).append((uniform_from_key(sample_id), sample_id))
    return drawn


def _outcome(own: bool | None, others: Sequence[bool | None]) -> str:
    if own is None:
        return NOT_JUDGED
    if not others:
        return RIGHT_ALONE if own else WRONG_ALONE
    if own:
        return WON if False in others else RIGHT
    return LOST if True in others else WRONG


def _choose(drawn: Mapping[_Key, list[tuple[float, str]]], limit: int) -> dict[str, _Key]:
    """Choose evenly over outcomes, and within each over lines."""
    chosen: dict[str, _Key] = {}
    outcomes = [outcome for outcome in _ORDER if any(key[0] == outcome for key in drawn)]
    sizes = [sum(len(ids) for key, ids in drawn.items() if key[0] == outcome) for outcome in outcomes]
    for outcome, share in zip(outcomes, share_evenly(sizes, limit), strict=True):
        keys = sorted(key for key in drawn if key[0] == outcome)
        for key, number in zip(keys, share_evenly([len(drawn[key]) for key in keys], share), strict=True):
            chosen |= {sample_id: key for _, sample_id in sorted(drawn[key])[:number]}
    return chosen


def _lay_out(
    samples: Sequence[Sample], chosen: Mapping[str, _Key], answered: _Answered, dataset: Path
) -> list[GalleryCard]:
    files = find_images(dataset, samples)
    hues = assign_hues(samples)
    first = next(iter(answered.answers))
    cards = []
    for sample in sorted(samples, key=lambda one: (_ORDER.index(chosen[one.id][0]), chosen[one.id][1], one.id)):
        images = _images(sample, answered.answers[first][sample.id].text, files, hues)
        outcome, line = chosen[sample.id]
        cards.append(
            GalleryCard(
                sample=sample,
                outcome=outcome,
                line=line,
                images=images[:_MOST_IMAGES],
                left_out=max(0, len(images) - _MOST_IMAGES),
                truth=describe_answer(sample),
                given=tuple(_given(sample, answered)),
            )
        )
    return cards


def _given(sample: Sample, answered: _Answered) -> Iterator[Given]:
    for system, answers in answered.answers.items():
        if sample.id in answers:
            text = answers[sample.id].text.strip()
            short = text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"
            yield Given(system, answered.colours[system], short, answered.judged[system][sample.id].right)


def _images(
    sample: Sample, answer: str, files: Mapping[str, PageImage], hues: Mapping[str, int]
) -> tuple[GalleryImage, ...]:
    about = (sample.answer.about or ()) if isinstance(sample.answer, TextAnswer) else ()
    boxes = draw_answer(sample, answer)
    shown = []
    for index, image in enumerate(make_card(sample, hues).images):
        objects = tuple(drawn for drawn in image.objects if drawn.is_answer or drawn.thing.id in about)
        file = files[image.image.path]
        card_image = CardImage(image.image, image.name, objects, (), image.alternative, "")
        shown.append(GalleryImage(card_image, file, tuple(boxes.get(index, ()))))
    # Images with something drawn on them come first where not all can be shown.
    return tuple(sorted(shown, key=lambda one: not (one.shown.objects or one.answers)))


def _small_copy(file: Path) -> str:
    """Return a smaller JPEG of an image as a data URI."""
    from PIL import Image as PillowImage

    with PillowImage.open(file) as opened:
        picture = opened.convert("RGB")
    picture.thumbnail((_SIDE_PX, _SIDE_PX))
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=_JPEG_QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}"
