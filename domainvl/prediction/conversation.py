"""A conversation about one picture: rounds are kept, boxes are told in pixels, and nothing is cut in silence."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domainvl.errors import DomainvlError, UsageError
from domainvl.files import write_atomically
from domainvl.prediction.answering import LIKELIHOOD_DECIMALS, CheckpointModel, Model
from domainvl.prediction.asking import BOX_TASKS, Asked, samples_to_ask
from domainvl.prediction.found_boxes import place_found
from domainvl.prediction.pictures import Picture
from domainvl.schema import Box, Sample, Task, Turn, escape_special
from domainvl.schema.wording import escape_but_marks, image_prefix

TASKS = tuple(task for task in Task if task not in (Task.REGION, Task.MULTIPLE_CHOICE))
"""Tasks whose questions are a line of text."""

HELP = """A line is a question. Beside questions:
  /find THING    ask for the box of something
  /task NAME     ask what follows in the words of another task, such as vqa for short answers
  /image PATH    talk about another picture, from the start
  /reset         forget what was said
  /save FILE     write the conversation as JSON
  /quit          end"""


@dataclass(frozen=True)
class Context:
    """How much a model can read.

    Attributes:
        limit: Most tokens of prompt and answer.
        max_new_tokens: Longest answer.
        count: Counts the tokens of a sample's prompt.
    """

    limit: int
    max_new_tokens: int
    count: Callable[[Sample], int]

    def check(self, sample: Sample) -> None:
        """Check that a prompt and its answer have room.

        Raises:
            UsageError: If they have not.
        """
        count = self.count(sample)
        if count + self.max_new_tokens > self.limit:
            raise UsageError(
                "The conversation is too long for the model",
                rule=f"its {count} tokens and an answer of up to {self.max_new_tokens} must fit into {self.limit}",
                action="Begin anew with /reset; nothing was left out, and nothing was asked",
            )


def context_of(model: CheckpointModel, max_new_tokens: int) -> Context:
    """Return how much a checkpoint can read: its language model's ``max_position_embeddings``."""
    from domainvl.model.answer_groups import encode_questions

    loaded = model.loaded

    def count(sample: Sample) -> int:
        return encode_questions(loaded.encoder(), model.preprocessing, [sample], {})[0].length

    return Context(int(loaded.internvl.config.text_config.max_position_embeddings), max_new_tokens, count)


@dataclass(frozen=True)
class Round:
    """A question with its answer.

    Attributes:
        task: In whose words it was asked.
        question: The question.
        answer: As the model wrote it.
        likelihood: Of its tokens.
        boxes: What it says is where: labels, and boxes in pixels of the picture.
        unread: Why it has fewer boxes than it should; None where it has not.
        cut_off: Whether the answer met the limit of tokens before its end.
    """

    task: Task
    question: str
    answer: str
    likelihood: float
    boxes: tuple[tuple[str, Box], ...] = ()
    unread: str | None = None
    cut_off: bool = False

    def record(self) -> dict[str, Any]:
        """Return it as values of JSON."""
        return {
            "task": self.task.value,
            "question": self.question,
            "answer": self.answer,
            "likelihood": self.likelihood,
            "boxes": [{"label": label, "box_px": list(box)} for label, box in self.boxes],
            "unread": self.unread,
            "cut_off": self.cut_off,
        }


@dataclass
class Conversation:
    """What is said about a picture.

    Attributes:
        model: Answers.
        folder: Where the paths of the picture's images start.
        picture: What is talked about.
        context: How much the model can read; not checked where None.
        rounds: What was said.
    """

    model: Model
    folder: Path
    picture: Picture
    context: Context | None = None
    rounds: list[Round] = field(default_factory=list)
    _earlier: list[Turn] = field(default_factory=list)

    def show(self, picture: Picture) -> None:
        """Talk about another picture, from the start."""
        self.picture = picture
        self.reset()

    def reset(self) -> None:
        """Forget what was said."""
        self.rounds.clear()
        self._earlier.clear()

    def ask(self, text: str, task: Task) -> Round:
        """Ask a question; what was said before is part of the prompt, but for questions with an empty answer.

        Raises:
            UsageError: If the prompt is too long for the model; then nothing is asked.
        """
        picture = self.picture
        sample = samples_to_ask(
            [Asked(task, text)],
            name=f"round-{len(self.rounds) + 1}",
            domain=picture.domain,
            images=picture.images,
            earlier=self._earlier,
            preface=picture.preface,
        )[0]
        if self.context is not None:
            self.context.check(sample)
        answer = self.model.answer([sample], self.folder)[0]
        boxes, unread = self._boxes(task, text, answer.text)
        said = Round(
            task, text, answer.text, round(answer.likelihood, LIKELIHOOD_DECIMALS), boxes, unread, answer.cut_off
        )
        heard = escape_but_marks(answer.text)  # nothing that a model writes is a marker of the prompt
        if heard.strip():
            self._earlier += [Turn(role="human", text=self._prompt(sample)), Turn(role="assistant", text=heard)]
        self.rounds.append(said)
        return said

    def record(self) -> dict[str, Any]:
        """Return the conversation as values of JSON."""
        return {
            "model": self.model.identity.record(),
            "picture": self.picture.name,
            "box_px": self.picture.pixels,
            "rounds": [said.record() for said in self.rounds],
        }

    def _prompt(self, sample: Sample) -> str:
        """Return the question as it was put, without what stands before the first one."""
        text = sample.turns[-2].text
        if self._earlier:
            return text
        preface = f"{escape_special(self.picture.preface)}\n" if self.picture.preface else ""
        return text.removeprefix(image_prefix(self.picture.images) + preface)

    def _boxes(self, task: Task, question: str, text: str) -> tuple[tuple[tuple[str, Box], ...], str | None]:
        """Read the boxes of an answer; one to an open question may have some too, each with its label."""
        if self.picture.to_px is None:
            return (), "no-place" if task in BOX_TASKS else None
        asked = task if task in BOX_TASKS else Task.DETECTION
        placed, unread = place_found(asked, question, text, self.picture.to_px, self.picture.size_px)
        return tuple(placed), unread if task in BOX_TASKS else None


class Chat:
    """Takes lines of a user, and gives back what is to be printed.

    Args:
        conversation: The conversation.
        open_picture: Opens another picture.
        task: In whose words questions are asked.
    """

    def __init__(self, conversation: Conversation, open_picture: Callable[[str], Picture], task: str) -> None:
        self._conversation = conversation
        self._open_picture = open_picture
        self._task = _task(task)
        self.error_count = 0
        self.is_over = False
        self._commands: Mapping[str, Callable[[str], str]] = {
            "/find": self._find,
            "/task": self._choose_task,
            "/image": self._show,
            "/reset": self._reset,
            "/save": self._save,
            "/help": lambda rest: HELP,
            "/quit": self._quit,
        }

    def respond(self, line: str) -> str:
        """Do what a line says.

        Args:
            line: A question, or a command that begins with ``/``.

        Returns:
            What is to be printed; what was wrong too, which is counted.
        """
        text = line.strip()
        if not text:
            return ""
        try:
            if not text.startswith("/"):
                return self._told(self._conversation.ask(text, self._task))
            name, _, rest = text.partition(" ")
            if name not in self._commands:
                raise UsageError(f"There is no command {name}", action=f"There are {', '.join(self._commands)}")
            return self._commands[name](rest.strip())
        except DomainvlError as error:
            self.error_count += 1
            return f"Error: {error}"

    def introduction(self) -> str:
        """Say what is shown."""
        picture = self._conversation.picture
        images = f"{len(picture.images)} images" if len(picture.images) > 1 else "1 image"
        return "\n".join([f"{picture.name}: {images}; /help lists commands", *(f"  {note}" for note in picture.notes)])

    def _find(self, thing: str) -> str:
        if not thing:
            raise UsageError("Cannot look for nothing", action="Name it, such as /find car")
        return self._told(self._conversation.ask(thing, Task.GROUNDING))

    def _choose_task(self, name: str) -> str:
        self._task = _task(name)
        return f"Questions are asked as {self._task.value}"

    def _show(self, name: str) -> str:
        if not name:
            raise UsageError("Cannot show a picture", rule="no path is given", action="Use /image PATH")
        self._conversation.show(self._open_picture(name))
        return self.introduction()

    def _reset(self, _: str) -> str:
        self._conversation.reset()
        return "Nothing was said yet"

    def _save(self, name: str) -> str:
        if not name:
            raise UsageError("Cannot save the conversation", rule="no file is named", action="Use /save FILE")
        path = Path(name)
        if path.exists():
            raise UsageError("Cannot save the conversation", where=path, rule="it exists", action="Name another file")
        content = json.dumps(self._conversation.record(), ensure_ascii=False, indent=1) + "\n"
        write_atomically(path, content.encode())
        return f"{len(self._conversation.rounds)} rounds in {path}"

    def _quit(self, _: str) -> str:
        self.is_over = True
        return ""

    def _told(self, said: Round) -> str:
        lines = [said.answer if said.answer.strip() else _EMPTY]
        for label, box in said.boxes:
            x_min, y_min, x_max, y_max = box
            lines.append(f"  {label}: x {x_min:.1f} to {x_max:.1f}, y {y_min:.1f} to {y_max:.1f}")
        if said.boxes:
            lines.append(f"  in {self._conversation.picture.pixels}")
        if said.unread is not None:
            lines.append(f"  {_UNREAD[said.unread]}")
        if said.cut_off:
            lines.append("  the answer met the limit of tokens before its end: raise --max-new-tokens")
        return "\n".join([*lines, f"  likelihood {said.likelihood:.3f}"])


_EMPTY = "(empty answer; what follows is asked as if this had not been)"

_UNREAD = {
    "no-box": "no box can be read from it",
    "box-without-area": "a box of it lies outside of the picture, or has no area",
    "no-place": "boxes are not placed where several images are shown",
}


def _task(name: str) -> Task:
    if name not in TASKS:
        raise UsageError("Cannot ask so", rule=f"the task must be one of {', '.join(TASKS)}, got {name!r}")
    return Task(name)
