"""What a protocol says: which samples it takes, how they are asked, and which numbers it reports."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.evaluation.facts import Facts

Variant: TypeAlias = Literal["strict", "as-published"]
"""``as-published`` follows the official code flaw for flaw, to be comparable; ``strict`` is right."""

Where: TypeAlias = dict[str, str | tuple[str, ...]]
"""Facts that a sample must have, each with its value or one of its values."""


def fits(facts: Facts, where: Where) -> bool:
    """Say whether a sample has all of the facts."""
    return all(facts.get(name) in ((values,) if isinstance(values, str) else values) for name, values in where.items())


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Asking(_Part):
    """How the official evaluation asks; what differs in a run is said in its results.

    Attributes:
        prompt_suffix: What the prompt ends with; None where nothing is added.
        max_new_tokens: Longest answer in tokens.
        max_tiles: Most tiles an image; None where the source does not say.
        decoding: Ours is always greedy; said where the source is not.
    """

    prompt_suffix: str | None = None
    max_new_tokens: Annotated[int, Field(ge=1)] = 64
    max_tiles: Annotated[int, Field(ge=1)] | None = None
    decoding: str = "greedy"


class Column(_Part):
    """One number that the protocol reports.

    Attributes:
        name: Of the number, such as ``presence``.
        where: Which of the protocol's samples it is about; all where empty.
        rule: Name of the rule that scores them (:data:`domainvl.evaluation.protocols.rules.RULES`).
        settings: What the rule takes besides, such as a threshold.
        variant: Whether it follows the official code's flaws.
        flaw: What the flaw is, where there is one.
    """

    name: str
    where: Where = Field(default_factory=dict)
    rule: str
    settings: dict[str, Any] = Field(default_factory=dict)
    variant: Variant = "strict"
    flaw: str | None = None


class Average(_Part):
    """A number made of columns.

    Attributes:
        name: Of the number.
        of: Names of columns, or of averages before it, of the same variant.
        kind: ``micro``: over all their items; ``macro``: mean of the columns; else the name of a formula
            (:data:`domainvl.evaluation.protocols.rules.FORMULAS`), which takes the columns in this order.
        variant: Whose columns.
    """

    name: str
    of: tuple[str, ...] = Field(min_length=1)
    kind: str
    variant: Variant = "strict"


class Exclusion(_Part):
    """Samples that are not scored, and why. They are counted."""

    where: Where
    reason: str


class Protocol(_Part):
    """How a benchmark is asked and scored.

    Attributes:
        name: Name of its file.
        version: Counts up when a number can change.
        title: In words.
        domain: The field.
        sources: Where its rules come from: paper tables, repository files.
        converters: Whose data sets it is for; those of any where empty.
        where: Facts that the samples must have; others are of another benchmark and are counted.
        asking: How it is asked.
        excluded: What is not scored.
        columns: What is reported. Names are unique within a variant.
        averages: Numbers made of columns.
        headline: Name of the column or average that the verdict is about.
        verdicts: Names of the strict columns and averages that get a verdict, one a task: Holm's correction is over
            them. All strict ones where empty.
        breakdown_of: Name of the strict column or average that is broken down; the headline where None.
        breakdowns: Facts by which it is broken down.
        notes: What a reader should know, such as that images are in training and test.
    """

    name: str
    version: int = Field(ge=1)
    title: str
    domain: str
    sources: tuple[str, ...]
    converters: tuple[str, ...] = ()
    where: Where = Field(default_factory=dict)
    asking: Asking = Field(default_factory=Asking)
    excluded: tuple[Exclusion, ...] = ()
    columns: tuple[Column, ...] = Field(min_length=1)
    averages: tuple[Average, ...] = ()
    headline: str
    verdicts: tuple[str, ...] = ()
    breakdown_of: str | None = None
    breakdowns: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _names_agree(self) -> Protocol:
        names = [(column.variant, column.name) for column in self.columns]
        names += [(average.variant, average.name) for average in self.averages]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"names must be unique within a variant, got {repeated}")
        known = {(column.variant, column.name) for column in self.columns}
        for average in self.averages:
            missing = [part for part in average.of if (average.variant, part) not in known]
            if missing:
                raise ValueError(
                    f"{average.name} must be made of columns and earlier averages of its variant; there is no {missing}"
                )
            known.add((average.variant, average.name))
        if ("strict", self.headline) not in names:
            raise ValueError(f"headline must name a strict column or average, got {self.headline!r}")
        if self.breakdown_of is not None and ("strict", self.breakdown_of) not in names:
            raise ValueError(f"breakdown_of must name a strict column or average, got {self.breakdown_of!r}")
        unknown = [name for name in self.verdicts if ("strict", name) not in names]
        if unknown or (self.verdicts and self.headline not in self.verdicts):
            raise ValueError(f"verdicts must name strict columns or averages, the headline among them, got {unknown}")
        return self
