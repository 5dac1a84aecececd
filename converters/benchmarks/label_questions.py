"""Yes-no questions from labels that say of a whole image what is there and what is not."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping

from domainvl.schema.questions import Question
from domainvl.schema.questions.question import NO, YES, make_question
from domainvl.schema.sample import Task
from domainvl.schema.splitting import uniform_from_key

_NO_LETTER = re.compile(r"[^a-z0-9]+")

_TEXTS = {"no-finding": "Is {whole} without any finding?"}
"""Questions about labels to which "Is there any ...?" does not fit, by the label in the form of a key."""


class Ask(enum.StrEnum):
    """Which of the labels of an image are asked about.

    Attributes:
        BALANCED: Those that are there, and as many that are not, at least one.
        ALL: Every label.
    """

    BALANCED = "balanced"
    ALL = "all"


ASK_HELP = (
    "Of an image with several labels: ask about those that are there and as many that are not (balanced), or about "
    "every one (all), as scores for each label need it."
)


def ask_about_labels(
    labels: Mapping[str, bool],
    *,
    key: str,
    ask: Ask,
    whole: str = "the image",
) -> Iterator[Question]:
    """Ask of each label whether it is there.

    Args:
        labels: What is known: whether each label is there. What is not known is left out.
        key: Names the image; it decides which of the absent labels are asked about.
        ask: Which labels are asked about.
        whole: What the question calls what is shown.

    Yields:
        Questions in the order of the labels.
    """
    present = {label for label, there in labels.items() if there}
    absent = [label for label, there in labels.items() if not there]
    if ask is Ask.BALANCED:
        absent.sort(key=lambda label: (uniform_from_key(f"{key}/absent/{label}"), label))
        absent = absent[: max(1, len(present))]
    asked = present | set(absent)
    keys = _keys(labels)
    for label, there in labels.items():
        if label not in asked:
            continue
        answer = YES if there else NO
        text = _TEXTS.get(_key(label))
        if text is not None:
            yield Question(keys[label], Task.PRESENCE, text.format(whole=whole), answer)
        else:
            slots = {"label": label, "place": f"in {whole}", "whole": whole}
            yield make_question(keys[label], Task.PRESENCE, "presence", answer, **slots)


def _key(label: str) -> str:
    return _NO_LETTER.sub("-", label.lower()).strip("-")


def _keys(labels: Mapping[str, bool]) -> dict[str, str]:
    """Name the question about each label; where two labels would share a name, by their place too."""
    names = {label: _key(label) for label in labels}
    taken = list(names.values())
    return {
        label: f"presence-{name}" if name and taken.count(name) == 1 else f"presence-{name}-{place}"
        for place, (label, name) in enumerate(names.items())
    }
