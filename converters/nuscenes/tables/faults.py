"""What does not join: collected while tables are read, and told as rejects.

What is known of a key frame must be complete, or its counts would be wrong; a fault in an image or a cuboid therefore
costs the key frame.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

from domainvl.errors import ItemError
from domainvl.schema.writer import Reject

from .rows import Row
from .streaming import stream_rows

_ACTION = "Fetch the metadata again"

RowT = TypeVar("RowT", bound=Row)


class Fault(NamedTuple):
    """What is wrong: a stable code, and the rule with the value seen."""

    reason: str
    rule: str


class Faults:
    """Collects faults of key frames, and rejects of what belongs to none.

    Args:
        tables: Name of the folder of tables, to tell its rows from those of other folders; None where there is but one.
    """

    def __init__(self, tables: str | None = None) -> None:
        self._within = f"{tables}/" if tables else ""
        self._of_samples: dict[str, list[Fault]] = defaultdict(list)
        self._rejects: list[Reject] = []

    def cost_frame(self, sample_token: str, fault: Fault) -> None:
        """Note that a key frame cannot be used."""
        self._of_samples[sample_token].append(fault)

    def reject(self, what: str, fault: Fault, action: str = _ACTION) -> None:
        """Note that something else cannot be used.

        Args:
            what: Its kind and token.
            fault: What is wrong.
            action: What the user can do.
        """
        name = f"{self._within}{what}"
        error = ItemError(f"Cannot use {name}", reason=fault.reason, rule=fault.rule, action=action)
        self._rejects.append(Reject(name, "plan", fault.reason, str(error), action))

    def reject_frame(self, name: str, sample_token: str) -> bool:
        """Reject a key frame if it has a fault; of several, the first in the order of text is told.

        Returns:
            Whether it had one.
        """
        faults = self._of_samples.get(sample_token)
        if not faults:
            return False
        fault = min(faults)
        rule = fault.rule + (f" (and {len(faults) - 1} more)" if len(faults) > 1 else "")
        error = ItemError("Cannot use a key frame", reason=fault.reason, rule=rule, action=_ACTION)
        self._rejects.append(Reject(name, "plan", fault.reason, str(error), _ACTION))
        return True

    def sample_tokens(self) -> set[str]:
        """Return the tokens of the key frames that have a fault."""
        return set(self._of_samples)

    def rejects(self) -> list[Reject]:
        """Return the rejects in an order that does not depend on that of the rows."""
        return sorted(self._rejects, key=lambda reject: (reject.input, reject.reason, reject.message))


def first_rows(table: str, rows: Iterator[RowT], faults: Faults) -> dict[str, RowT]:
    """Return rows by token; of those with the same token the first stays."""
    kept: dict[str, RowT] = {}
    for row in rows:
        if kept.setdefault(row.token, row) is not row:
            reject_repeated(table, row.token, faults)
    return kept


def unique_rows(table: str, rows: Iterable[RowT], faults: Faults) -> Iterator[RowT]:
    """Yield rows as they come, and of those with the same token the first."""
    tokens: set[str] = set()
    for row in rows:
        if row.token in tokens:
            reject_repeated(table, row.token, faults)
        else:
            tokens.add(row.token)
            yield row


def reject_repeated(table: str, token: str, faults: Faults) -> None:
    """Reject a row whose token another row had before."""
    faults.reject(f"{table} {token}", Fault("duplicate-token", "its token must occur once; the first row stays"))


def read_table(folder: Path, table: str, row_type: type[RowT], faults: Faults) -> Mapping[str, RowT]:
    """Read all rows of a table by token.

    Raises:
        InputNotFoundError: If the table is not there.
        UsageError: If it breaks the format.
    """
    return first_rows(table, stream_rows(folder, table, row_type), faults)
