"""Which files are no views to learn from: medical ones, and high views that are enlargements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.enhance.applying.medical import MedicalCheck, refuse_medical
from domainvl.enhance.pairs.settings import PairSource
from domainvl.errors import ItemError
from domainvl.schema.writer import Reject

if TYPE_CHECKING:
    from rasterio.io import DatasetReader

SWAP = "Swap the two: domainvl enhance register LOW HIGH takes the low views first"
"""What to do if what was named as high is the coarser one."""
ENHANCED_TAG = "DOMAINVL_ENHANCED"
"""The tag of whatever ``enhance apply`` wrote."""


def refuse_synthesised(high: DatasetReader, path: Path) -> None:
    """Refuse a high view that ``enhance apply`` made: its detail is no truth.

    Args:
        high: The open file.
        path: Where it is, for the message.

    Raises:
        ItemError: By ``synthesised``, if its tags say so.
    """
    said = high.tags().get(ENHANCED_TAG)
    if said is not None:
        raise ItemError(
            "The high view is an enlargement",
            reason="synthesised",
            where=path,
            rule=f"its tag {ENHANCED_TAG} says {said}",
            action="Give the picture that was taken, or leave it out",
        )


def refuse_medical_pairs(sources: Sequence[PairSource], rejects: Iterable[Reject]) -> None:
    """Refuse medical views, and those that lie beside medical files.

    Args:
        sources: The pairs.
        rejects: What was found beside them: a file that is no picture may tell what the pictures are of.

    Raises:
        UsageError: If any is medical.
    """
    views = [path for source in sources for path in (source.low, source.high)]
    beside = [Path(reject.input) for reject in rejects if reject.reason == "no-picture"]
    check = MedicalCheck()
    found = {path: why for path in dict.fromkeys((*views, *beside)) if (why := check.why(path)) is not None}
    refuse_medical(found)
