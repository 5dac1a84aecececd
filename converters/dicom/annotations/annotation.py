"""What one annotation says about the slices that it is brought to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from domainvl.schema.writer import Reject, Severity

from ...medical.findings import Finding

STAGE = "label"


@dataclass(frozen=True)
class Annotation:
    """What one annotation says about some slices.

    Attributes:
        per_slice: The things on each slice.
        classes: Classes that were searched for on each slice: of them, what is not among its things is not there.
            None where the annotation says nothing about the slice; empty where it names things and says of no class
            that it named all.
        described: Name and value of properties of each slice.
        key_slices: Indices of the slices that a key object note names.
        texts: Heading and text of what a report says in words. They may name a person.
        rejects: What could not be used.
    """

    per_slice: tuple[tuple[Finding, ...], ...]
    classes: tuple[tuple[str, ...] | None, ...]
    described: tuple[tuple[tuple[str, str], ...], ...]
    key_slices: tuple[int, ...] = ()
    texts: tuple[tuple[str, str], ...] = ()
    rejects: tuple[Reject, ...] = ()

    @classmethod
    def of(
        cls,
        per_slice: Sequence[Sequence[Finding]],
        classes: Sequence[Sequence[str] | None],
        *,
        described: Sequence[Sequence[tuple[str, str]]] = (),
        texts: Sequence[tuple[str, str]] = (),
        rejects: Sequence[Reject] = (),
    ) -> Annotation:
        """Freeze what was gathered, one entry a slice."""
        return cls(
            per_slice=tuple(tuple(findings) for findings in per_slice),
            classes=tuple(None if names is None else tuple(names) for names in classes),
            described=tuple(tuple(facts) for facts in described or [()] * len(per_slice)),
            texts=tuple(texts),
            rejects=tuple(rejects),
        )

    @classmethod
    def nothing(cls, count: int, *rejects: Reject) -> Annotation:
        """Return what an annotation that cannot be used says about so many slices."""
        return cls.of([()] * count, [None] * count, rejects=rejects)


@dataclass(frozen=True)
class Fault:
    """Why parts of an annotation are not used.

    Attributes:
        message: The rule; ``{count}`` stands for how many parts break it.
        action: What the user can do.
        severity: Left out as intended, or not usable.
    """

    message: str
    action: str
    severity: Severity = Severity.FAILED


def rejects_of(name: str, counts: Counter[str], faults: Mapping[str, Fault]) -> tuple[Reject, ...]:
    """Make a reject of each reason that was counted.

    Args:
        name: Names the annotation, such as ``"seg-1"``.
        counts: How many parts of it break which rule.
        faults: The rules, by reason.
    """
    return tuple(
        Reject(name, STAGE, reason, fault.message.format(count=counts[reason]), fault.action, fault.severity)
        for reason, fault in faults.items()
        if counts[reason]
    )
