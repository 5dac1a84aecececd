"""Draws the splits of a data set anew, whole groups only.

Unstratified, a group's split follows from its name alone (:func:`domainvl.schema.assign_split`): adding data never
moves a group. Stratified, it follows from all groups:

* Groups whose samples have a fixed split go there first.
* The others come in order of their size, by powers of two, and of equal powers in an order drawn from the seed and
  their name.
* Each goes to the split where it raises chi-squared least: the sum over strata and splits of (count - expected)² /
  expected, where the expected count is the split's fraction of the stratum. The data set as a whole counts as one more
  stratum, with less weight. Strata in too few groups to give the smallest split one are counted together: each of them
  alone would always fall to the largest split.

Of each size every split so gets its share, and with one stratum no split is further from its fraction than the largest
group has samples: adding a group of size g to a split of fraction f that holds c raises chi-squared by
(2 c g + g²) / (f N), so that the split with the smallest (c + g/2) / f gets it, which is the apportionment of
Sainte-Laguë. The idea of dividing groups greedily, large ones first, is that of scikit-learn's StratifiedGroupKFold.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.files import output_errors
from domainvl.schema.digests import digest_text
from domainvl.schema.operations.rows import (
    InputSet,
    Row,
    adopt_images,
    check_output,
    place,
    unite_versions,
)
from domainvl.schema.operations.strata import Strata, Stratify
from domainvl.schema.sample import Split
from domainvl.schema.splitting import SplitFractions, assign_split, uniform_from_key
from domainvl.schema.writer import DatasetWriter

_SPLITS = tuple(Split)
_FREE = len(_SPLITS)  # in place of the index of a fixed split
# Weight of the data set as a whole beside its strata. With 0 the strata are best, and many small ones that all round
# the same way spoil the whole; in 3,000 simulated divisions 0.3 halved that and left each stratum within one group.
_WHOLE_WEIGHT = 0.3

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SplitSummary:
    """How a data set was divided.

    Attributes:
        out: Folder of the new data set.
        manifest: Its manifest.
        sample_count: Number of samples.
        moved_count: Samples that are in another split than before.
        fixed_group_count: Groups whose split the makers of the source had chosen.
        strata: For each stratum its samples by split; a single one called ``all`` where unstratified.
    """

    out: Path
    manifest: dict[str, Any]
    sample_count: int
    moved_count: int
    fixed_group_count: int
    strata: dict[str, dict[Split, int]]


@dataclass(frozen=True)
class _Groups:
    """All groups of a data set, by the hash of their name, sorted.

    Attributes:
        hashes: 64-bit hash of the name.
        of_rows: Index of the group of each row.
        fixed: Index of the split that a group has to keep, ``_FREE`` where there is none.
        drawn: Index of the split that follows from the name.
        keys: Number in [0, 1) that follows from seed and name.
    """

    hashes: npt.NDArray[np.uint64]
    of_rows: Counts
    fixed: Counts
    drawn: Counts
    keys: npt.NDArray[np.float64]

    @property
    def count(self) -> int:
        return len(self.hashes)


def split_dataset(
    dataset: Path,
    out: Path,
    *,
    fractions: SplitFractions | None = None,
    stratify: Stratify = Stratify.NONE,
    overwrite: bool = False,
) -> SplitSummary:
    """Draw the splits of a data set anew; everything else stays as it is.

    A group is never divided. Where the makers of the source chose the split of a sample (``fixed_split``), it and its
    group keep it.

    Args:
        dataset: Folder of the data set.
        out: Folder of the new one.
        fractions: Shares of validation and test, and the seed; 0.1, 0.1 and 0 where None.
        stratify: What is to be spread evenly over the splits.
        overwrite: Replace a data set that is there.

    Raises:
        InputNotFoundError: If the data set or one of its files is not there.
        DatasetError: If a line is no sample, or a group is fixed to two splits.
        NothingToDoError: If it has no samples.
        UsageError: If the fractions leave nothing for training, a split would be empty although its fraction is not 0,
            or the output folder is taken or is, contains or lies inside the input.
    """
    fractions = fractions if fractions is not None else SplitFractions()
    shares = _shares(fractions)
    check_output(out, [dataset], overwrite=overwrite)
    given = InputSet.open(dataset)
    names, stratum_of_rows, groups = _survey(given, fractions, stratify)
    if stratify is Stratify.NONE:
        assigned = np.where(groups.fixed == _FREE, groups.drawn, groups.fixed)
    else:
        assigned = _assign_stratified(groups, stratum_of_rows, len(names), shares)
    _check_none_empty(given, groups, assigned, shares)
    table = np.zeros((len(names), len(_SPLITS)), dtype=np.int64)
    np.add.at(table, (stratum_of_rows, assigned[groups.of_rows]), 1)
    manifest, moved = _write(given, out, groups.hashes, assigned, fractions, stratify, overwrite=overwrite)
    return SplitSummary(
        out=out,
        manifest=manifest,
        sample_count=len(groups.of_rows),
        moved_count=moved,
        fixed_group_count=int((groups.fixed != _FREE).sum()),
        strata={
            name: {split: int(count) for split, count in zip(_SPLITS, row, strict=True)}
            for name, row in zip(names, table, strict=True)
        },
    )


def _shares(fractions: SplitFractions) -> tuple[float, ...]:
    """Return the fraction of each split, in the order of the splits.

    Raises:
        UsageError: If nothing is left for training.
    """
    held_out = fractions.val + fractions.test
    if held_out >= 1.0:
        raise UsageError(
            "Cannot split",
            rule=f"--val-fraction and --test-fraction together must stay below 1, got {held_out:g}",
        )
    by_split = {Split.TRAIN: 1.0 - held_out, Split.VAL: fractions.val, Split.TEST: fractions.test}
    return tuple(by_split[split] for split in _SPLITS)


def _survey(
    given: InputSet, fractions: SplitFractions, stratify: Stratify
) -> tuple[list[str], npt.NDArray[np.int64], _Groups]:
    """Read all samples once and remember what decides their split: some 30 bytes each."""
    strata = Strata(stratify)
    hashes, keys = array("Q"), array("d")
    fixed, drawn = array("B"), array("B")
    places: array[int] = array("Q")
    for row, sample in given.checked_rows():
        strata.add(sample)
        hashes.append(digest_text(sample.group))
        keys.append(uniform_from_key(f"{fractions.seed}/{sample.group}"))
        fixed.append(_FREE if sample.fixed_split is None else _SPLITS.index(sample.fixed_split))
        drawn.append(_SPLITS.index(assign_split(sample.group, fractions)))
        places.append(row.number * len(_SPLITS) + _SPLITS.index(row.split))
    if not hashes:
        raise NothingToDoError("There is nothing to split", where=given.folder, rule="it has no samples")
    unique, first, of_rows = np.unique(np.frombuffer(hashes, dtype=np.uint64), return_index=True, return_inverse=True)
    fixed_of_rows = np.frombuffer(fixed, dtype=np.uint8)
    groups = _Groups(
        hashes=unique,
        of_rows=of_rows.astype(np.int64),
        fixed=_fixed_of_groups(given, of_rows, fixed_of_rows, np.frombuffer(places, dtype=np.uint64)),
        drawn=np.frombuffer(drawn, dtype=np.uint8)[first].astype(np.int64),
        keys=np.frombuffer(keys, dtype=np.float64)[first],
    )
    names, stratum_of_rows = strata.finish()
    return names, stratum_of_rows, groups


def _fixed_of_groups(
    given: InputSet,
    group_of_rows: npt.NDArray[np.integer[Any]],
    fixed_of_rows: npt.NDArray[np.uint8],
    places: npt.NDArray[np.uint64],
) -> Counts:
    fixed = np.full(int(group_of_rows.max()) + 1, _FREE, dtype=np.int64)
    for index in range(len(_SPLITS)):
        rows = np.flatnonzero(fixed_of_rows == index)
        before = fixed[group_of_rows[rows]]
        clashing = rows[(before != _FREE) & (before != index)]
        if clashing.size:
            other = np.flatnonzero((group_of_rows == group_of_rows[clashing[0]]) & (fixed_of_rows < index))
            raise _fixed_twice(given, int(places[other[0]]), int(places[clashing[0]]))
        fixed[group_of_rows[rows]] = index
    return fixed


def _fixed_twice(given: InputSet, first_place: int, second_place: int) -> DatasetError:
    told: list[tuple[Row, str]] = []
    for packed in (first_place, second_place):
        number, split = divmod(packed, len(_SPLITS))
        row = next(row for row in given.rows() if row.split is _SPLITS[split] and row.number == number)
        told.append((row, row.truth["fixed_split"]))
    (first, first_split), (second, second_split) = told
    return DatasetError(
        "Cannot split",
        where=place(given.folder, second.split, second.number),
        rule=f"a group is never divided, but the source puts {second.truth['group']!r} into {second_split} here and "
        f"into {first_split} in {first.place}",
        action="Mend the split that the source names, or the group, and convert again",
    )


def _assign_stratified(groups: _Groups, stratum_of_rows: Counts, stratum_count: int, shares: Sequence[float]) -> Counts:
    """Return the index of the split of each group; see the module's description for the rule."""
    parts = _Parts.of(groups, stratum_of_rows, stratum_count, shares)
    counts = [[0] * len(_SPLITS) for _ in range(stratum_count)]
    whole = [0] * len(_SPLITS)
    assigned = groups.fixed.copy()
    open_splits = [index for index, share in enumerate(shares) if share > 0]
    # Equal powers of two have equal exponents; the order within is the seed's, and the hash decides between equal keys.
    size_class = np.frexp(parts.sizes.astype(np.float64))[1]
    for group in np.lexsort((groups.hashes, groups.keys, -size_class, groups.fixed == _FREE)).tolist():
        members = parts.members(group)
        size = int(parts.sizes[group])
        split = int(assigned[group])
        if split == _FREE:
            weight = _WHOLE_WEIGHT * size / len(groups.of_rows)
            # fsum rounds once, whatever the order: the same choice on every machine.
            costs = [
                math.fsum(
                    [weight * (2 * whole[index] + size) / shares[index]]
                    + [
                        count / parts.totals[stratum] * (2 * counts[stratum][index] + count) / shares[index]
                        for stratum, count in members
                    ]
                )
                for index in open_splits
            ]
            split = open_splits[costs.index(min(costs))]
            assigned[group] = split
        whole[split] += size
        for stratum, count in members:
            counts[stratum][split] += count
    return assigned


@dataclass(frozen=True)
class _Parts:
    """How many samples of each stratum each group has.

    Attributes:
        starts: Where the entries of a group begin in the two lists.
        strata: Stratum of each entry.
        counts: Samples of each entry.
        sizes: Samples of each group.
        totals: Samples of each stratum.
    """

    starts: Counts
    strata: Counts
    counts: Counts
    sizes: Counts
    totals: list[int]

    @classmethod
    def of(cls, groups: _Groups, stratum_of_rows: Counts, stratum_count: int, shares: Sequence[float]) -> _Parts:
        """Count, after joining the strata that are in too few groups to give each split one."""
        pairs, counts = np.unique(groups.of_rows * stratum_count + stratum_of_rows, return_counts=True)
        strata = pairs % stratum_count
        smallest = min(share for share in shares if share > 0)
        rare = np.bincount(strata, minlength=stratum_count) * smallest < 1
        joined = np.where(rare, int(np.flatnonzero(rare)[0]) if rare.any() else 0, np.arange(stratum_count))
        pairs, counts = _sum_equal((pairs // stratum_count) * stratum_count + joined[strata], counts)
        strata = pairs % stratum_count
        return cls(
            starts=np.searchsorted(pairs // stratum_count, np.arange(groups.count + 1)),
            strata=strata,
            counts=counts,
            sizes=np.bincount(groups.of_rows),
            totals=np.bincount(strata, weights=counts, minlength=stratum_count).astype(np.int64).tolist(),
        )

    def members(self, group: int) -> list[tuple[int, int]]:
        """Return the strata of a group with their samples."""
        entries = slice(int(self.starts[group]), int(self.starts[group + 1]))
        return list(zip(self.strata[entries].tolist(), self.counts[entries].tolist(), strict=True))


def _sum_equal(keys: Counts, counts: Counts) -> tuple[Counts, Counts]:
    """Return each key once, sorted, with the sum of its counts."""
    unique, of_keys = np.unique(keys, return_inverse=True)
    sums = np.zeros(len(unique), dtype=np.int64)
    np.add.at(sums, of_keys, counts)
    return unique, sums


def _check_none_empty(given: InputSet, groups: _Groups, assigned: Counts, shares: Sequence[float]) -> None:
    used = np.bincount(assigned, minlength=len(_SPLITS))
    empty = [_SPLITS[index].value for index, share in enumerate(shares) if share > 0 and not used[index]]
    if empty:
        fixed_count = int((groups.fixed != _FREE).sum())
        fixed = f", {fixed_count} of them fixed by the source" if fixed_count else ""
        raise UsageError(
            "Cannot split",
            where=given.folder,
            rule=f"{' and '.join(empty)} would be empty: there are {groups.count} groups{fixed}",
            action="Ask for larger fractions, for 0 where a split is not wanted, or for another --seed",
        )


def _write(
    given: InputSet,
    out: Path,
    hashes: npt.NDArray[np.uint64],
    assigned: Counts,
    fractions: SplitFractions,
    stratify: Stratify,
    *,
    overwrite: bool,
) -> tuple[dict[str, Any], int]:
    known = array("Q", hashes.tobytes())
    split_of = array("B", assigned.astype(np.uint8).tobytes())
    moved = 0
    with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        for reject in given.rejects():
            writer.reject(reject)
        for row in given.rows():
            split = _SPLITS[split_of[bisect_left(known, digest_text(row.truth["group"]))]]
            moved += split is not row.split
            row.truth["split"] = split.value
            writer.add_record(row.record)
            adopt_images(writer.images, row)
        manifest = writer.finish(
            command="split",
            settings={
                "by": "group",
                "val_fraction": fractions.val,
                "test_fraction": fractions.test,
                "seed": fractions.seed,
                "stratify": stratify.value,
                "data_set": given.describe(),
            },
            sources=given.manifest["sources"],
            versions=unite_versions([given]),
            licence=given.manifest["licence"],
        )
    return manifest, moved
