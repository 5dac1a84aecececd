"""Questions about shares of the ground, as a class raster gives them: what is there, of which more, how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from domainvl.schema.questions.area import ask_for_area
from domainvl.schema.questions.change import image_of, in_order
from domainvl.schema.questions.comparing import dominant, pick_more
from domainvl.schema.questions.question import NO, YES, Question, make_question, pick, scale_note
from domainvl.schema.sample import MeasureAnswer, Task, TextAnswer
from domainvl.schema.splitting import uniform_from_key

LEAD = 0.1
"""How far the dominant class must be ahead of the next one, as a share of the image; ours. Below it, which one is
dominant is a matter of a few pixels at borders."""

MARGIN = 0.05
"""The same between two classes, or two dates, that are compared."""

LEAST = 0.01
"""Share below which a class that is there is not asked about, nor a change: a few pixels may be noise. Ours."""

_SUM_SLACK = 1e-6


@dataclass(frozen=True)
class CoverQuestions:
    """Which questions to ask about shares of the ground.

    Attributes:
        tasks: Classification, area, presence and comparison are asked; others are passed over, for shares
            do not answer them.
        place: How the question names where to look; it begins with "in".
        prefix: Begins the keys of the questions, before "cover-"; it tells those about several images apart.
        gsd_m: Side of a pixel on the ground.
        prompt_gsd: Whether the prompt states it, where it is known.
        several_images: Whether the sample has several images, of all of which it is stated.
    """

    tasks: tuple[Task, ...] = (Task.CLASSIFICATION, Task.AREA, Task.PRESENCE, Task.COMPARISON)
    place: str = "in the image"
    prefix: str = ""
    gsd_m: float | None = None
    prompt_gsd: bool = False
    several_images: bool = False

    @property
    def whole(self) -> str:
        """What is looked at as a thing."""
        return self.place.removeprefix("in ")

    @property
    def preface(self) -> str | None:
        """What the prompt says before the question."""
        return scale_note(self.gsd_m, several_images=self.several_images) if self.prompt_gsd else None


def ask_about_cover(
    shares: Mapping[str, float], *, key: str, image_area_m2: float | None, settings: CoverQuestions | None = None
) -> list[Question]:
    """Ask what the shares of classes in one image allow to be answered.

    - Classification: the dominant class, among all; it must lead by ``LEAD``.
    - Area: one class, in percent of the image and, where it is known, on the ground.
    - Presence: one class that is there and one of which there is not a single pixel.
    - Comparison: two classes of which the first covers more, and the same the other way round; both are there
      and differ by ``MARGIN``.

    Args:
        shares: Share of the image, from 0 to 1, of every class that the raster covers; 0 where it is absent.
        key: Names the image; equal keys give equal choices.
        image_area_m2: Area of the image on the ground.
        settings: Which questions to ask.

    Raises:
        ValueError: If the shares are none.
    """
    settings = settings or CoverQuestions()
    _check_shares(shares)
    shares = {label: shares[label] for label in sorted(shares)}
    there = {label: share for label, share in shares.items() if share >= LEAST}
    questions: list[Question] = []
    for task in settings.tasks:
        match task:
            case Task.CLASSIFICATION:
                questions += _classification(shares, settings)
            case Task.AREA:
                questions += _area(there, key, image_area_m2, settings)
            case Task.PRESENCE:
                questions += _presence(list(there), [label for label in shares if shares[label] == 0], key, settings)
            case Task.COMPARISON:
                questions += _comparison(there, key, settings)
    return questions


def ask_about_cover_change(
    covers: Sequence[tuple[str, Mapping[str, float]]], *, key: str, settings: CoverQuestions | None = None
) -> list[Question]:
    """Ask in which of two images a class covers more, and by how much.

    Comparison asks of one class that changed by at least ``MARGIN`` whether it covers more of the image of which it
    covers more (yes) and of the other (no), so that the order of the dates tells nothing. Area asks for the difference
    in percent of the image. Of more than two images two are drawn.

    Args:
        covers: Name of each image, such as a date, and its shares, in order of time; the names differ.
        key: Names the images; equal keys give equal choices.
        settings: Its ``tasks`` (comparison and area; others are passed over) and scale are used.

    Raises:
        ValueError: If there are not two images, two have the same name, or the shares are none.
    """
    settings = replace(settings or CoverQuestions(), several_images=True)
    if len(covers) < 2 or len({name for name, _ in covers}) < len(covers):
        raise ValueError(
            f"a change needs at least two images, each with its own name, got {[name for name, _ in covers]}"
        )
    for _, shares in covers:
        _check_shares(shares)
    pairs = [(first, second) for number, first in enumerate(covers) for second in covers[number + 1 :]]
    (first, before), (second, after) = pairs[int(uniform_from_key(f"{key}/change/images") * len(pairs))]
    gains = {label: after[label] - before[label] for label in sorted(before.keys() & after.keys())}
    questions: list[Question] = []
    for task in settings.tasks:
        if task is Task.COMPARISON:
            questions += _change(gains, key, first, second, settings)
        elif task is Task.AREA:
            questions += _change_share(gains, key, first, second, settings)
    return questions


def _check_shares(shares: Mapping[str, float]) -> None:
    # Comparisons are written so that NaN fails them.
    if not all(0 <= share <= 1 for share in shares.values()) or not sum(shares.values()) <= 1 + _SUM_SLACK:
        raise ValueError(f"shares must be from 0 to 1 and not exceed 1 together, got {dict(shares)}")


def _classification(shares: Mapping[str, float], settings: CoverQuestions) -> Iterator[Question]:
    label = dominant(shares, LEAD)
    if label is not None:
        listed = ", ".join(shares)
        yield _make("dominant", Task.CLASSIFICATION, "dominant-area", TextAnswer(text=label), settings, classes=listed)


def _area(
    there: Mapping[str, float], key: str, image_area_m2: float | None, settings: CoverQuestions
) -> Iterator[Question]:
    if there:
        label = pick(list(there), f"{key}/cover/area")
        area_m2 = None if image_area_m2 is None else there[label] * image_area_m2
        yield from ask_for_area(
            f"{settings.prefix}cover-",
            label,
            there[label],
            area_m2,
            place=settings.place,
            whole=settings.whole,
            preface=settings.preface,
        )


def _presence(there: list[str], absent: list[str], key: str, settings: CoverQuestions) -> Iterator[Question]:
    for answer, labels in ((YES, there), (NO, absent)):
        if labels:
            label = pick(labels, f"{key}/cover/presence/{answer.text}")
            yield _make(f"presence-{answer.text}", Task.PRESENCE, "presence", answer, settings, label=label)


def _comparison(there: Mapping[str, float], key: str, settings: CoverQuestions) -> Iterator[Question]:
    for answer in (YES, NO):
        pair = pick_more(there, f"{key}/cover/comparison/{answer.text}", margin=MARGIN)
        if pair is not None:
            label, other = pair if answer is YES else pair[::-1]
            name = f"comparison-{answer.text}"
            yield _make(name, Task.COMPARISON, "more-area", answer, settings, label=label, other=other)


def _change(
    gains: Mapping[str, float], key: str, first: str, second: str, settings: CoverQuestions
) -> Iterator[Question]:
    changed = [label for label, gain in gains.items() if abs(gain) >= MARGIN]
    if not changed:
        return
    label = pick(changed, f"{key}/cover/change/compared")
    less, more = in_order(first, second, has_grown=gains[label] > 0)
    for answer, images in ((YES, (less, more)), (NO, (more, less))):
        slots = {"label": label, "first": image_of(images[0]), "second": image_of(images[1])}
        yield _make(f"change-{answer.text}", Task.COMPARISON, "change-area", answer, settings, **slots)


def _change_share(
    gains: Mapping[str, float], key: str, first: str, second: str, settings: CoverQuestions
) -> Iterator[Question]:
    changed = [label for label, gain in gains.items() if abs(gain) >= LEAST]
    if changed:
        label = pick(changed, f"{key}/cover/change/share")
        less, more = in_order(first, second, has_grown=gains[label] > 0)
        slots = {"label": label, "first": image_of(less), "second": image_of(more)}
        answer = MeasureAnswer(value=100 * abs(gains[label]), unit="%")
        yield _make("change-share", Task.AREA, "change-share", answer, settings, **slots)


def _make(
    name: str, task: Task, stem: str, answer: TextAnswer | MeasureAnswer, settings: CoverQuestions, **slots: str
) -> Question:
    slots = {"place": settings.place, "whole": settings.whole, **slots}
    return make_question(f"{settings.prefix}cover-{name}", task, stem, answer, settings.preface, **slots)
