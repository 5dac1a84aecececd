"""Chooses a smaller data set; who is chosen depends on the seed and the name of the sample or group alone.

Each cell (split and stratum) gives its share of the count, by the apportionment of Sainte-Laguë: one by one, the next
place goes to the cell with the largest n / (2 a + 1), where n is what it has and a what it gave. A larger count never
lowers a share, and within a cell those with the smallest number drawn from seed and name are taken, so a smaller choice
is always part of a larger one with the same seed.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import NothingToDoError, UsageError
from domainvl.files import output_errors
from domainvl.schema.digests import digest_text
from domainvl.schema.operations.rows import (
    InputSet,
    adopt_images,
    check_output,
    unite_versions,
)
from domainvl.schema.operations.strata import Strata, Stratify
from domainvl.schema.sample import Split
from domainvl.schema.splitting import uniform_from_key
from domainvl.schema.writer import DatasetWriter

_SPLITS = tuple(Split)

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SampleSettings:
    """What to choose.

    Attributes:
        count: How many samples, or groups where ``by_group``; either this or ``fraction`` is given.
        fraction: Which share of them, rounded to a whole number.
        by_group: Choose whole groups.
        stratify: What is to keep its share; a group belongs to the stratum of most of its samples.
        seed: Another seed gives another choice.
        complement: Take what would be left out, and leave out the rest.
    """

    count: int | None = None
    fraction: float | None = None
    by_group: bool = False
    stratify: Stratify = Stratify.NONE
    seed: int = 0
    complement: bool = False

    @property
    def unit(self) -> str:
        """What is counted."""
        return "groups" if self.by_group else "samples"


@dataclass(frozen=True)
class SampleSummary:
    """What was chosen.

    Attributes:
        out: Folder of the new data set.
        manifest: Its manifest.
        sample_count: Number of samples in it.
        available_count: Number of samples that there are.
        chosen_units: Samples or groups in it.
        available_units: Samples or groups that there are.
        strata: For each stratum the samples taken and those that there are.
    """

    out: Path
    manifest: dict[str, Any]
    sample_count: int
    available_count: int
    chosen_units: int
    available_units: int
    strata: dict[str, tuple[int, int]]


def sample_dataset(dataset: Path, out: Path, settings: SampleSettings, *, overwrite: bool = False) -> SampleSummary:
    """Make a smaller data set of a larger one; splits and groups stay as they are, images in use are taken over.

    Args:
        dataset: Folder of the data set.
        out: Folder of the new one.
        settings: What to choose.
        overwrite: Replace a data set that is there.

    Raises:
        InputNotFoundError: If the data set or one of its files is not there.
        DatasetError: If a line is no sample.
        NothingToDoError: If nothing is there to choose from, or nothing would be left.
        UsageError: If the count cannot be met, or the output folder is taken or is, contains or lies inside the input.
    """
    _check_settings(settings)
    check_output(out, [dataset], overwrite=overwrite)
    given = InputSet.open(dataset)
    units = _survey(given, settings)
    count = _wanted_count(given, units.count, settings)
    chosen = _choose(units, count)
    if settings.complement:
        chosen = ~chosen
    if not chosen.any():
        raise NothingToDoError("Nothing would be left", where=dataset, rule=f"all {units.count} {settings.unit} go")
    keep = chosen[units.of_rows]
    manifest = _write(given, out, keep, settings, overwrite=overwrite)
    taken = np.bincount(units.stratum_of_rows[keep], minlength=len(units.strata))
    there = np.bincount(units.stratum_of_rows, minlength=len(units.strata))
    return SampleSummary(
        out=out,
        manifest=manifest,
        sample_count=int(keep.sum()),
        available_count=len(keep),
        chosen_units=int(chosen.sum()),
        available_units=units.count,
        strata=dict(zip(units.strata, zip(taken.tolist(), there.tolist(), strict=True), strict=True)),
    )


def _check_settings(settings: SampleSettings) -> None:
    if (settings.count is None) == (settings.fraction is None):
        raise UsageError("Cannot choose", rule="either --count or --fraction must be given")
    if settings.count is not None and settings.count < 1:
        raise UsageError("Cannot choose", rule=f"--count must be 1 or more, got {settings.count}")
    if settings.fraction is not None and not 0 < settings.fraction <= 1:
        raise UsageError(
            "Cannot choose", rule=f"--fraction must lie above 0 and not above 1, got {settings.fraction:g}"
        )


def _wanted_count(given: InputSet, available: int, settings: SampleSettings) -> int:
    count = settings.count if settings.count is not None else round((settings.fraction or 0.0) * available)
    if count > available:
        raise UsageError(
            "Cannot choose",
            where=given.folder,
            rule=f"--count must not be above {available}, the number of {settings.unit}, got {count}",
        )
    if count == 0:
        raise UsageError(
            "Cannot choose",
            where=given.folder,
            rule=f"--fraction {settings.fraction:g} of {available} {settings.unit} is none",
            action="Ask for a larger one, or for --count 1",
        )
    return count


@dataclass(frozen=True)
class _Units:
    """What is chosen among: samples or groups.

    Attributes:
        of_rows: Index of the unit of each line.
        cells: Number of the cell (split and stratum) of each unit.
        keys: Number in [0, 1) that follows from seed and name of each unit.
        strata: Names of the strata.
        stratum_of_rows: Stratum of each line.
    """

    of_rows: Numbers
    cells: Numbers
    keys: npt.NDArray[np.float64]
    strata: list[str]
    stratum_of_rows: Numbers

    @property
    def count(self) -> int:
        return len(self.cells)


def _survey(given: InputSet, settings: SampleSettings) -> _Units:
    """Read all samples once and remember what decides the choice: some 30 bytes each."""
    strata = Strata(settings.stratify)
    groups, keys, splits = array("Q"), array("d"), array("B")
    for _, sample in given.checked_rows():
        strata.add(sample)
        splits.append(_SPLITS.index(sample.split))
        keys.append(uniform_from_key(f"{settings.seed}/{sample.group if settings.by_group else sample.id}"))
        if settings.by_group:
            groups.append(digest_text(sample.group))
    if not keys:
        raise NothingToDoError("There is nothing to choose from", where=given.folder, rule="it has no samples")
    names, stratum_of_rows = strata.finish()
    split_of_rows = np.frombuffer(splits, dtype=np.uint8).astype(np.int64)
    key_of_rows = np.frombuffer(keys, dtype=np.float64)
    if not settings.by_group:
        cells = split_of_rows * len(names) + stratum_of_rows
        return _Units(np.arange(len(cells)), cells, key_of_rows, names, stratum_of_rows)
    _, first, of_rows = np.unique(np.frombuffer(groups, dtype=np.uint64), return_index=True, return_inverse=True)
    of_rows = of_rows.astype(np.int64)
    cells = split_of_rows[first] * len(names) + _most_frequent(of_rows, stratum_of_rows, len(names))
    return _Units(of_rows, cells, key_of_rows[first], names, stratum_of_rows)


def _most_frequent(of_rows: Numbers, stratum_of_rows: Numbers, stratum_count: int) -> Numbers:
    """Return for each group the stratum of most of its lines; of equally many, the first."""
    pairs, counts = np.unique(of_rows * stratum_count + stratum_of_rows, return_counts=True)
    groups, strata = pairs // stratum_count, pairs % stratum_count
    order = np.lexsort((strata, -counts, groups))
    _, first = np.unique(groups[order], return_index=True)
    most: Numbers = strata[order][first]
    return most


def _choose(units: _Units, count: int) -> npt.NDArray[np.bool_]:
    cells, of_units, sizes = np.unique(units.cells, return_inverse=True, return_counts=True)
    quotas = apportion(sizes.tolist(), count)
    order = np.lexsort((units.keys, of_units))
    chosen = np.zeros(units.count, dtype=np.bool_)
    start = 0
    for index in range(len(cells)):
        chosen[order[start : start + quotas[index]]] = True
        start += int(sizes[index])
    return chosen


def apportion(sizes: Sequence[int], count: int) -> list[int]:
    """Share out ``count`` places in proportion to sizes, by the method of Sainte-Laguë.

    Args:
        sizes: Sizes, each 1 or more; of equal claims the first is served first.
        count: Number of places, at most the sum of the sizes; then no share is above its size.

    Returns:
        The shares; they add up to ``count``.
    """
    shares = [0] * len(sizes)
    claims = [(-float(size), index) for index, size in enumerate(sizes)]
    heapq.heapify(claims)
    for _ in range(count):
        _, index = claims[0]
        shares[index] += 1
        heapq.heapreplace(claims, (-sizes[index] / (2 * shares[index] + 1), index))
    return shares


def _write(
    given: InputSet, out: Path, keep: npt.NDArray[np.bool_], settings: SampleSettings, *, overwrite: bool
) -> dict[str, Any]:
    with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        for reject in given.rejects():
            writer.reject(reject)
        for row, wanted in zip(given.rows(), keep, strict=True):
            if wanted:
                writer.add_record(row.record)
                adopt_images(writer.images, row)
        return writer.finish(
            command="sample",
            settings={
                "by": "group" if settings.by_group else "sample",
                "count": settings.count,
                "fraction": settings.fraction,
                "stratify": settings.stratify.value,
                "seed": settings.seed,
                "complement": settings.complement,
                "data_set": given.describe(),
            },
            sources=given.manifest["sources"],
            versions=unite_versions([given]),
            licence=given.manifest["licence"],
        )
