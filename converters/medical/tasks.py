"""What can be asked about a medical image, by the names that the settings use."""

from __future__ import annotations

from domainvl.errors import UsageError
from domainvl.schema.questions import MARK_FORMS, MarkForm

HEADER_TASKS = ("modality", "body-part", "view", "laterality", "plane")
"""What a header answers."""

OBJECT_TASKS = ("presence", "counting", "grounding", "region", "detection", "caption")
"""What things on a slice answer, asked as of any image."""

TASKS = (*HEADER_TASKS, *OBJECT_TASKS, "choice", "marked", "measurement", "label", "report")

NOT_AUTO = frozenset({"region", "detection", "caption"})
"""Asked only where they are named: they want complete labels, or say what other questions say already."""

AUTO, ALL = "auto", "all"


def parse_tasks(text: str) -> frozenset[str]:
    """Read the setting ``tasks``.

    Args:
        text: Names with commas between them, ``auto`` or ``all``.

    Raises:
        UsageError: If a name is unknown, given twice or empty.
    """
    if text.strip() == ALL:
        return frozenset(TASKS)
    if text.strip() == AUTO:
        return frozenset(TASKS) - NOT_AUTO
    return frozenset(_names(text, "--tasks", TASKS, (AUTO, ALL)))


def parse_marks(text: str) -> tuple[MarkForm, ...]:
    """Read the setting ``marks``: forms with commas between them.

    Returns:
        The forms, in an order of their own, so that the order in which they are named changes nothing.

    Raises:
        UsageError: If a form is unknown, given twice or empty.
    """
    names = _names(text, "--marks", MARK_FORMS, ())
    return tuple(form for form in MARK_FORMS if form in names)


def _names(text: str, option: str, known: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in known:
            other = f", or be {' or '.join(words)}" if words else ""
            rule = f"it must list some of {', '.join(known)}{other}, got {name!r}"
            raise UsageError(f"Cannot read {option}", rule=rule)
        if names.count(name) > 1:
            raise UsageError(f"Cannot read {option}", rule=f"{name} is named twice")
    return names
