"""Turns the pairs of a frame into questions: tags in thousandths, options where there are some, and what was there.

What the file says of a question stands unchanged in the details of the sample's first image, under ``drivelm``: its
official id, category, tag, text and answer, all that a scorer or a submission needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pydantic import JsonValue

from domainvl.errors import ItemError, LeftOutError
from domainvl.schema import Answer, ChoiceAnswer, Image, Question, Reject, Severity, Task, TextAnswer, Turn
from domainvl.schema.wording import image_prefix, word

from ..driving.point_tags import Rewritten, Tag, find_tags, to_model
from ..driving.settings import DOMAIN
from .choices import Choice, read_choice, with_options
from .frames import Pair
from .key_objects import KeyObjects
from .pixel_boxes import boxes_to_model, view_asked_for_boxes
from .views import Views

DETAILS = "drivelm"
"""Key in the details of a sample's first image."""

PLACEHOLDER = "(no answer was published)"
"""Stands for the answer of an open question that has none."""

_TAGS = (
    "Objects are written as <c, CAM, [cx,cy]>: c is the identifier, CAM the camera in whose view the centre of the "
    "object's 2D box lies, cx and cy that centre, from 0 to 1000 across and down "
)
PREFACES = {"stitched": f"{_TAGS}the whole image.", "single": f"{_TAGS}that camera's image."}
"""What a prompt says of tags, by layout: Mini-InternVL's preface (arXiv 2410.16261, section 4.2.1) in other words."""

_UNKNOWN_IN_QUESTION = "the question names an object that is not among the key objects of the frame"
_OUTSIDE = "a tag names a point outside its image; the text has the nearest point in it"
_NO_ANSWER = "no answer was published: the one given is a placeholder, and no score against it means anything"
_UNREADABLE_OPTIONS = "its options cannot be read: it stands as it is in the file, and its answer goes out as it is"
_UNREADABLE_TAG = "a tag in it cannot be read and stands as it is in the file"


@dataclass(frozen=True)
class Asked:
    """A question that can be asked.

    Attributes:
        official_id: The id by which the official evaluation finds its answer.
        task: What kind of question it is.
        text: The question, tags in thousandths.
        answer: The answer.
        details: What the file says of it.
        warnings: What a careful reader should know.
    """

    official_id: str
    task: Task
    text: str
    answer: Answer
    details: dict[str, JsonValue]
    warnings: tuple[str, ...] = ()


@dataclass
class Asker:
    """Asks the questions of one frame.

    Attributes:
        prefix: Scene and frame, with which official ids begin.
        views: Its images.
        key_objects: Its objects.
        seed: Changes the drawn options.
        rejects: Takes the questions that cannot be asked.
    """

    prefix: str
    views: Views
    key_objects: KeyObjects
    seed: int
    rejects: list[Reject] = field(default_factory=list)

    def ask(self, pairs: Sequence[Pair], *, keep_unanswered: bool) -> Iterator[Asked]:
        """Yield the questions that can be asked; each has the number that it has among all, asked or not.

        Args:
            pairs: The pairs, in the order in which the official evaluation counts them.
            keep_unanswered: Whether a question without an answer gets a placeholder, even where its tags or options
                cannot be read: a submission must answer it. Else it is left out.
        """
        for number, pair in enumerate(pairs):
            official_id = f"{self.prefix}_{number}"
            try:
                yield self._ask(official_id, pair, keep_unanswered=keep_unanswered)
            except ItemError as error:
                severity = Severity.SKIPPED if isinstance(error, LeftOutError) else Severity.FAILED
                self.rejects.append(Reject(official_id, "convert", error.reason, str(error), error.action, severity))

    def _ask(self, official_id: str, pair: Pair, *, keep_unanswered: bool) -> Asked:
        _check_said(pair, keep_unanswered=keep_unanswered)
        if pair.answer is None:
            return self._ask_openly(official_id, pair)
        choice = read_choice(pair, key=self._key(pair))
        # Tags are judged where the file has them: a drawn option has none, a given one may.
        said = pair.question if choice is None else " ".join([choice.question, *choice.answer.options])
        question = self._rewrite(pair.question if choice is None else choice.question)
        unknown = self._unknown(said)
        answer, outside = self._answer(pair.question, pair.answer, choice)
        warnings = [_UNKNOWN_IN_QUESTION] * bool(unknown)
        warnings += [_OUTSIDE] * bool(question.outside or outside)
        return Asked(
            official_id=official_id,
            task=Task.CONVERSATION if choice is None else Task.MULTIPLE_CHOICE,
            text=question.text.strip(),
            answer=answer,
            details=self._details(official_id, pair, choice),
            warnings=tuple(warnings),
        )

    def _ask_openly(self, official_id: str, pair: Pair) -> Asked:
        """Ask a question without an answer.

        It is an open one, options or not, in the same words that it would have with an answer: no comparison with a
        placeholder then counts as a score.
        """
        choice, warnings = None, []
        try:
            choice = read_choice(pair, key=self._key(pair))
        except ItemError:
            warnings.append(_UNREADABLE_OPTIONS)
        drawn = choice is not None and choice.drawn
        said = with_options(pair.question, choice.answer.options) if choice is not None and drawn else pair.question
        question = self._to_model(said)
        warnings += [_UNREADABLE_TAG] * bool(question.faults)
        warnings += [_UNKNOWN_IN_QUESTION] * bool(self._unknown(said))
        warnings += [_OUTSIDE] * bool(question.outside)
        details = self._details(official_id, pair, choice)
        if choice is not None:
            details["options"] = [self._to_model(option).text for option in choice.answer.options]
        return Asked(
            official_id=official_id,
            task=Task.CONVERSATION,
            text=question.text.strip(),
            answer=TextAnswer(text=PLACEHOLDER),
            details=details,
            warnings=(*warnings, _NO_ANSWER),
        )

    def _key(self, pair: Pair) -> str:
        return f"{self.seed}/{self.prefix}/{pair.category}/{pair.question}"

    def _answer(self, question: str, answer: str, choice: Choice | None) -> tuple[Answer, tuple[Tag, ...]]:
        """Return the answer, and the tags in it that lie outside their images."""
        if choice is not None:
            options = [self._rewrite(option) for option in choice.answer.options]
            named = ChoiceAnswer(options=tuple(option.text for option in options), correct=choice.answer.correct)
            return named, tuple(tag for option in options for tag in option.outside)
        unknown = self._unknown(answer)
        if unknown:
            raise ItemError(
                "Cannot use an answer",
                reason="unknown-object",
                rule=f"each object that it names must be a key object of the frame, {unknown[0].text} is none",
                action="Correct the file",
            )
        written = self._rewrite(answer)
        text = written.text.strip()
        view = view_asked_for_boxes(question, self.views.sizes_px)
        if view is not None:
            text = boxes_to_model(text, view, self.views.layout, self.views.sizes_px)
        return TextAnswer(text=text), written.outside

    def _to_model(self, text: str) -> Rewritten:
        return to_model(text, self.views.layout, self.views.sizes_px)

    def _rewrite(self, text: str) -> Rewritten:
        written = self._to_model(text)
        if written.faults:
            raise ItemError(
                "Cannot read the tag of an object",
                reason="bad-tag",
                rule=written.faults[0].rule,
                action="Correct the file",
            )
        return written

    def _unknown(self, text: str) -> list[Tag]:
        """Return the tags of a text that name no key object; those with faults are found otherwise."""
        tags = [tag for tag in find_tags(text) if tag.unit == "pixels" and tag.point is not None]
        return [tag for tag in tags if not self.key_objects.lists(tag)]

    def _details(self, official_id: str, pair: Pair, choice: Choice | None) -> dict[str, JsonValue]:
        details: dict[str, JsonValue] = {
            "id": official_id,
            "category": pair.category,
            "row": pair.row,
            "tag": [*pair.tag],
            "question": pair.question,
            "answer": pair.answer,
        }
        if choice is not None and choice.drawn:
            details["drawn_options"] = [*choice.answer.options]
        view = view_asked_for_boxes(pair.question, self.views.sizes_px)
        if view is not None:
            details["boxes_of_view"] = view
        return details | ({"extra": dict(pair.extra)} if pair.extra else {})


def single_questions(asked: Sequence[Asked], layout: str) -> list[tuple[Question, Asked]]:
    """Return one question each.

    Args:
        asked: What is asked of the frame.
        layout: Layout of its images, a key of :data:`PREFACES`.
    """
    return [(_question(item, item.official_id, PREFACES[layout]), item) for item in asked]


def graph_question(asked: Sequence[Asked], prefix: str, views: Views) -> Question:
    """Return one question for all of a frame: the last is asked, the others were asked and answered before.

    Args:
        asked: What is asked of the frame, in the order of the graph.
        prefix: Scene and frame.
        views: The images of the frame.
    """
    *before, last = asked
    earlier = tuple(turn for item in before for turn in _turns(item, views.images))
    return replace(_question(last, prefix, PREFACES[views.layout]), earlier=earlier)


def _question(item: Asked, key: str, preface: str) -> Question:
    return Question(key, item.task, item.text, item.answer, preface=preface)


def _turns(item: Asked, images: Sequence[Image]) -> Iterator[Turn]:
    """Word an earlier round; images and preface stand once, before the first."""
    for turn in word(domain=DOMAIN, task=item.task, question=item.text, answer=item.answer, images=images):
        yield Turn(role=turn.role, text=turn.text.removeprefix(image_prefix(images)))


def _check_said(pair: Pair, *, keep_unanswered: bool) -> None:
    if not pair.question:
        raise ItemError(
            "Cannot ask a question",
            reason="no-question",
            rule="Q must be a text and not empty",
            action="Correct the file",
        )
    if pair.answer is None and not keep_unanswered:
        raise LeftOutError(
            "Cannot ask a question without an answer",
            reason="no-answer",
            rule="A must be a text and not empty where other questions of the scene have answers",
            action="Complete the file",
        )
