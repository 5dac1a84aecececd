"""What filters took away, one row a thing, for reports and audits."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from domainvl.corpus.extras import require

REMOVALS = "removals"
"""Name of the table, and of its folder in a filtered corpus."""

DROPPED = "dropped"
"""Name of the table of documents that were dropped whole, as they were before any rule."""

MEASURED = "measured"
"""Name of the table of all documents with what was measured of them, from which other thresholds can be applied."""


class Level(enum.StrEnum):
    """What a rule takes away."""

    DOCUMENT = "document"
    PARAGRAPH = "paragraph"
    SPAN = "span"
    IMAGE = "image"


@dataclass(frozen=True)
class Removal:
    """One thing that a rule took away.

    Attributes:
        document: Id of the document.
        level: What was taken.
        rule: Code of the rule.
        slot: Index of the slot in the document as it was before any rule; None for a whole document.
        value: What was measured.
        threshold: The cut-off that it broke.
        excerpt: The text that was taken, or its beginning; the address of an image.
    """

    document: str
    level: Level
    rule: str
    slot: int | None
    value: float
    threshold: float | None
    excerpt: str


def removals_table(removals: Iterable[Removal]) -> Any:
    """Put removals into an Arrow table."""
    pa = require("pyarrow")
    schema = pa.schema(
        [
            ("document", pa.string()),
            ("level", pa.string()),
            ("rule", pa.string()),
            ("slot", pa.int64()),
            ("value", pa.float64()),
            ("threshold", pa.float64()),
            ("excerpt", pa.string()),
        ]
    )
    return pa.Table.from_pylist([dict(vars(removal)) for removal in removals], schema=schema)


def read_removals(table: Any) -> list[Removal]:
    """Read removals from an Arrow table."""
    return [Removal(**{**row, "level": Level(row["level"])}) for row in table.to_pylist()]
