"""Questions about one place in two images: of what is there more now, and how many more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from domainvl.schema.questions.comparing import pick_to_count
from domainvl.schema.questions.known import Known
from domainvl.schema.questions.question import NO, YES, Question, make_question, pick
from domainvl.schema.questions.settings import ObjectQuestions
from domainvl.schema.sample import CountAnswer, Object, Task
from domainvl.schema.splitting import uniform_from_key


def ask_about_change(
    objects: Sequence[Object],
    classes: Iterable[str],
    *,
    key: str,
    images: Sequence[tuple[int, str]],
    settings: ObjectQuestions | None = None,
) -> list[Question]:
    """Ask in which of two images there are more objects of a class, and how many more.

    Comparison asks of one class that changed whether there are more in the image that has more (yes) and in the other
    (no), so that the order of the dates tells nothing. Counting asks how many more there are in the image that has
    more; in 1 of 4 samples of a class that is there and did not change: 0. Of more than two images two are drawn. A
    class with an ignored object in one of the two is not asked about.

    Args:
        objects: All labelled objects of all images.
        classes: All classes that were annotated in all of the images.
        key: Names the images; equal keys give equal choices.
        images: Index and name of each image, such as a date, in order of time; the names differ.
        settings: Its ``tasks`` (comparison and counting; others are passed over), ``max_count`` and scale are used.

    Raises:
        ValueError: If there are not two images, or two have the same name.
    """
    settings = replace(settings or ObjectQuestions(tasks=(Task.COMPARISON, Task.COUNTING)), several_images=True)
    if len(images) < 2 or len({name for _, name in images}) < len(images):
        raise ValueError(f"a change needs at least two images, each with its own name, got {list(images)}")
    classes = sorted(set(classes))
    pairs = [(first, second) for number, first in enumerate(images) for second in images[number + 1 :]]
    first, second = pairs[int(uniform_from_key(f"{key}/change/images") * len(pairs))]
    counts = [_counts(objects, classes, key, replace(settings, image=index)) for index, _ in (first, second)]
    both = {
        label: (counts[0][label], counts[1][label])
        for label in classes
        if label in counts[0] and label in counts[1] and counts[0][label] + counts[1][label] > 0
    }
    questions: list[Question] = []
    if Task.COMPARISON in settings.tasks:
        questions += _compare(both, key, first[1], second[1], settings.preface)
    if Task.COUNTING in settings.tasks:
        questions += _count(both, key, first[1], second[1], settings.preface)
    return questions


def image_of(name: str) -> str:
    """Return how a question calls an image with a name, such as a date."""
    return f"the image of {name}"


def in_order(first: str, second: str, *, has_grown: bool) -> tuple[str, str]:
    """Return the names of two images, the one with less first."""
    return (first, second) if has_grown else (second, first)


def _counts(objects: Sequence[Object], classes: Sequence[str], key: str, settings: ObjectQuestions) -> dict[str, int]:
    return Known.of(objects, classes, key, settings).counts


def _compare(
    both: dict[str, tuple[int, int]], key: str, first: str, second: str, preface: str | None
) -> Iterator[Question]:
    changed = [label for label, (before, after) in both.items() if before != after]
    if not changed:
        return
    label = pick(changed, f"{key}/change/compared")
    before, after = both[label]
    less, more = in_order(first, second, has_grown=after > before)
    for answer, images in ((YES, (less, more)), (NO, (more, less))):
        slots = {"label": label, "first": image_of(images[0]), "second": image_of(images[1])}
        yield make_question(f"change-{answer.text}", Task.COMPARISON, "change", answer, preface, **slots)


def _count(
    both: dict[str, tuple[int, int]], key: str, first: str, second: str, preface: str | None
) -> Iterator[Question]:
    changed = [label for label, (before, after) in both.items() if before != after]
    label = pick_to_count(changed, [label for label in both if label not in changed], f"{key}/change/count")
    if label is None:
        return
    before, after = both[label]
    # Where nothing changed the order is drawn, so that it does not give the 0 away.
    has_grown = after > before or (after == before and uniform_from_key(f"{key}/change/order") < 0.5)
    less, more = in_order(first, second, has_grown=has_grown)
    slots = {"label": label, "first": image_of(less), "second": image_of(more)}
    answer = CountAnswer(count=abs(after - before))
    yield make_question("change-count", Task.COUNTING, "change-count", answer, preface, **slots)
