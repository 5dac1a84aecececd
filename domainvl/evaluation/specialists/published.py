"""What others have reported by a protocol, from the tables in ``published.yaml`` beside this module.

A number keeps its source, its split and the variant of its metric, and says what is doubtful about it: averages of
another kind, other splits, typing errors, secondary sources.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from domainvl.errors import RecipeError
from domainvl.evaluation.results import PublishedNumber

PublishedKind: TypeAlias = Literal["specialist", "general", "ours"]
"""``ours`` are the published models that domainvl rebuilds."""

_FILE = "published.yaml"
_DIGITS = 6
"""More than any source prints; hundredths are no exact binary numbers."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Row(_Part):
    """One model's numbers.

    Attributes:
        model: The model.
        kind: Whether it is a specialist of the field.
        values: As printed, one a column; None where there is none.
        doubt: What is doubtful about all of them.
        doubts: What is doubtful about single ones, by column; in the place of ``doubt``.
    """

    model: str
    kind: PublishedKind
    values: tuple[float | None, ...]
    doubt: str | None = None
    doubts: dict[str, str] = Field(default_factory=dict)


class Table(_Part):
    """Numbers of one source on one split.

    Attributes:
        source: Where they stand.
        split: On which samples.
        metric: Variant of metric and average of all columns.
        metrics: Of single columns.
        percent: Whether they are hundredths.
        columns: Names of lines of the protocol.
        without_line: Columns that the protocol has no line for, and why.
        doubt: What is doubtful about the whole table.
        rows: The models.
    """

    source: str
    split: str
    metric: str
    metrics: dict[str, str] = Field(default_factory=dict)
    percent: bool = True
    columns: tuple[str, ...] = Field(min_length=1)
    without_line: dict[str, str] = Field(default_factory=dict)
    doubt: str | None = None
    rows: tuple[Row, ...]

    @model_validator(mode="after")
    def _fits(self) -> Table:
        for row in self.rows:
            if len(row.values) != len(self.columns):
                raise ValueError(f"{row.model} must have {len(self.columns)} values, got {len(row.values)}")
            unknown = sorted(set(row.doubts) - set(self.columns))
            if unknown:
                raise ValueError(f"doubts of {row.model} must be about columns, got {unknown}")
        return self

    def numbers(self) -> Iterator[PublishedNumber]:
        """Yield what is there, row by row."""
        for row in self.rows:
            for name, value in zip(self.columns, row.values, strict=True):
                if value is not None:
                    yield PublishedNumber(
                        model=row.model,
                        kind=row.kind,
                        name=name,
                        value=round(value / 100, _DIGITS) if self.percent else value,
                        split=self.split,
                        metric=self.metrics.get(name, self.metric),
                        source=self.source,
                        doubt=row.doubts.get(name, row.doubt or self.doubt),
                    )


def numbers_of(protocol: str) -> list[PublishedNumber]:
    """Return what others have reported by a protocol, as its tables list it; empty where nothing is known.

    Args:
        protocol: Name of the protocol.

    Raises:
        RecipeError: If the packaged tables are damaged.
    """
    return [number for table in published_tables().get(protocol, ()) for number in table.numbers()]


def numbers_without_line(protocol: str) -> dict[str, str]:
    """Return the names of published numbers that a protocol has no line for, and why."""
    return {name: why for table in published_tables().get(protocol, ()) for name, why in table.without_line.items()}


def published_tables() -> dict[str, tuple[Table, ...]]:
    """Return all tables by the name of their protocol.

    Raises:
        RecipeError: If the packaged file is damaged.
    """
    content: Any = yaml.safe_load((files("domainvl.evaluation.specialists") / _FILE).read_text(encoding="utf-8"))
    try:
        return TypeAdapter(dict[str, tuple[Table, ...]]).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        rule = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise RecipeError("Cannot read published numbers", where=_FILE, rule=rule, action="Install again") from error
