"""Images that lie in several official splits of a benchmark: in which they stay, and what the splits share."""

from __future__ import annotations

import enum
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import combinations
from typing import Protocol, TypeVar

from pydantic import Field

from domainvl.conversion import ConverterSettings
from domainvl.schema.writer import Reject, Severity

_HELD_OUT = ("train", "val", "test", "test_phili")
"""Names of official splits, the most held out last."""

_TRAIN = _HELD_OUT[0]


class OfficialSplitSettings(ConverterSettings):
    """Settings of a converter whose splits are all official: nothing is drawn, and to ask for it is an error."""

    val_fraction: float = Field(default=0.0, ge=0.0, le=0.0, description="Always 0: the splits are the official ones.")
    test_fraction: float = Field(default=0.0, ge=0.0, le=0.0, description="Always 0: the splits are the official ones.")
    split_seed: int = Field(default=0, ge=0, le=0, description="Always 0: no split is drawn.")


class Leakage(enum.StrEnum):
    """What becomes of an image that lies in several official splits.

    Attributes:
        EXCLUDE_TEST_IMAGES: It stays in its most held-out split alone: nothing is trained on that is tested on.
        EXCLUDE_TRAIN_IMAGES: It stays in its least held-out split alone: nothing is tested on that is trained on.
        AS_PUBLISHED: It stays in all of them.
    """

    EXCLUDE_TEST_IMAGES = "exclude-test-images"
    EXCLUDE_TRAIN_IMAGES = "exclude-train-images"
    AS_PUBLISHED = "as-published"


class OfficialRow(Protocol):
    """One question or expression of a benchmark."""

    @property
    def official_split(self) -> str:
        """Name of its official split."""
        ...

    @property
    def name(self) -> str:
        """Names it in a reject."""
        ...


RowT = TypeVar("RowT", bound=OfficialRow)


class OfficialSplits:
    """Settles, image by image, in which official split its rows stay, and counts what several splits share.

    Args:
        leakage: What becomes of an image that lies in several.
        rejects: Takes the rows that are left out.
        things: What no two splits should share: images, or what several images are of, such as scenes.
        rows: What the rows are.
    """

    def __init__(
        self, leakage: Leakage, rejects: list[Reject], *, things: str = "images", rows: str = "questions"
    ) -> None:
        self._leakage = leakage
        self._rejects = rejects
        self._things, self._rows = things, rows
        self._thing_counts: Counter[str] = Counter()
        self._row_counts: Counter[str] = Counter()
        self._shared: Counter[tuple[str, str]] = Counter()
        self._shared_rows: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def settle(self, name: str, rows: Sequence[RowT]) -> list[RowT]:
        """Return the rows that stay; the others are rejected.

        Args:
            name: Names the image, scene and so on.
            rows: All rows about it.
        """
        counts = Counter(row.official_split for row in rows)
        splits = sorted(counts, key=_HELD_OUT.index)
        self._thing_counts.update(splits)
        self._row_counts.update(counts)
        for pair in combinations(splits, 2):
            self._shared[pair] += 1
            self._shared_rows[pair].update({split: counts[split] for split in pair})
        if self._leakage is Leakage.AS_PUBLISHED or len(splits) < 2:
            return list(rows)
        kept = splits[-1 if self._leakage is Leakage.EXCLUDE_TEST_IMAGES else 0]
        others = [row for row in rows if row.official_split != kept]
        self._rejects.extend(_in_other_split(row, name, kept, self._leakage) for row in others)
        return [row for row in rows if row.official_split == kept]

    def notes(self) -> list[str]:
        """Say how much each two splits share, what was done about it and what else can be; nothing if they do not."""
        return [
            f"{self._shared[pair]} of the {self._thing_counts[pair[1]]} {self._things} of the official {pair[1]} set "
            f"also occur in the official {pair[0]} set. {self._rows.capitalize()} about them: {self._about(pair)}. "
            f"{_DONE[self._leakage].format(less=pair[0], more=pair[1])} Otherwise: {_WAYS_OUT[self._leakage]}."
            for pair in sorted(self._shared, key=lambda pair: [_HELD_OUT.index(split) for split in pair])
        ]

    def _about(self, pair: tuple[str, str]) -> str:
        rows = self._shared_rows[pair]
        return " and ".join(f"{rows[split]} of {self._row_counts[split]} in {split}" for split in pair)


_DONE = {
    Leakage.EXCLUDE_TEST_IMAGES: "Those in {less} are left out.",
    Leakage.EXCLUDE_TRAIN_IMAGES: "Those in {more} are left out.",
    Leakage.AS_PUBLISHED: "All are kept, so that results on {more} are partly results on {less}.",
}

_WAYS = {
    Leakage.EXCLUDE_TEST_IMAGES: "keeps shared ones for testing",
    Leakage.EXCLUDE_TRAIN_IMAGES: "keeps shared ones for training",
    Leakage.AS_PUBLISHED: "keeps the published split",
}

_WAYS_OUT = {
    chosen: ", ".join(f"--leakage {other} {way}" for other, way in _WAYS.items() if other is not chosen)
    for chosen in Leakage
}
"""What else can be set, for each setting."""


def _in_other_split(row: OfficialRow, name: str, kept: str, leakage: Leakage) -> Reject:
    message = f"{name} is kept in the official {kept} set and must be in no other split"
    return Reject(row.name, "plan", f"image-in-{kept}", message, f"Otherwise: {_WAYS_OUT[leakage]}", Severity.SKIPPED)


def group_of(group: str, official_split: str, splits: Iterable[str], thing: str = "image") -> tuple[str, list[str]]:
    """Name the group of a sample, and what its reader should know about it.

    A group lies in one split. Published as it is, an image may lie in several; its groups are then named apart to
    make that possible.

    Args:
        group: Name of the group where it lies in one split.
        official_split: The sample's official split.
        splits: All official splits in which the group lies.
        thing: What the group is, in the singular.

    Returns:
        The group, and the sample's warnings.
    """
    if official_split == _TRAIN or len(set(splits)) == 1:
        return group, []
    warnings_ = [f"The {thing} of this {official_split} sample was also trained on (--leakage as-published)"]
    return f"{group} (official {official_split})", warnings_ if _TRAIN in splits else []
