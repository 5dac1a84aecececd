"""Which samples a page shows: an even, seeded choice over split and task, never the first ones."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import Sample, Split, Task, read_samples
from domainvl.schema.splitting import uniform_from_key


@dataclass(frozen=True)
class Wanted:
    """What to choose from, and how many.

    Attributes:
        splits: The splits to choose from.
        tasks: The tasks to choose from.
        limit: Most samples to choose.
        seed: Another seed gives another choice.
    """

    splits: tuple[Split, ...] = tuple(Split)
    tasks: tuple[Task, ...] = tuple(Task)
    limit: int = 200
    seed: int = 0

    @classmethod
    def from_options(cls, *, splits: Sequence[str], tasks: Sequence[str], limit: int, seed: int) -> Wanted:
        """Make it from command line options; no split or task named means all.

        Raises:
            UsageError: If there is no such split or task.
        """
        for option, names, known in (("--split", splits, list(Split)), ("--task", tasks, list(Task))):
            for name in names:
                if name not in known:
                    raise UsageError("Cannot choose samples", rule=f"{option} must be {_any_of(known)}, got {name!r}")
        return cls(
            tuple(split for split in Split if not splits or split in splits),
            tuple(task for task in Task if not tasks or task in tasks),
            limit,
            seed,
        )


def _any_of(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"


@dataclass(frozen=True)
class Stratum:
    """The samples of one split and task: how many there are and how many were chosen."""

    split: Split
    task: Task
    available: int
    chosen: int


@dataclass(frozen=True)
class Choice:
    """What was chosen.

    Attributes:
        samples: The chosen samples, in the order of the data set.
        strata: How many of how many, by split and task.
    """

    samples: tuple[Sample, ...]
    strata: tuple[Stratum, ...]

    @property
    def available(self) -> int:
        """Number of samples that there were to choose from."""
        return sum(stratum.available for stratum in self.strata)


def choose_samples(dataset: Path, wanted: Wanted) -> Choice:
    """Choose samples evenly over split and task.

    Whether a sample is chosen depends on the seed, its id and the others of its stratum, never on its place in the
    file. The data set is read twice, so that memory grows with the limit and not with the data set.

    Args:
        dataset: The data set's folder.
        wanted: What to choose from, and how many.

    Raises:
        NothingToDoError: If there is no sample to choose from.
    """
    available: dict[tuple[Split, Task], int] = {}
    lowest: dict[tuple[Split, Task], list[tuple[float, int]]] = {}
    for number, sample in _read(dataset, wanted):
        key = sample.split, sample.task
        available[key] = available.get(key, 0) + 1
        heap = lowest.setdefault(key, [])
        # The heap holds negative draws: its first element is the largest draw that is still in.
        entry = (-uniform_from_key(f"{wanted.seed}/{sample.id}"), number)
        if len(heap) < wanted.limit:
            heapq.heappush(heap, entry)
        else:
            heapq.heappushpop(heap, entry)
    if not available:
        raise NothingToDoError(
            "Nothing to show",
            where=dataset,
            rule=f"there is no sample of split {' or '.join(wanted.splits)} and task {' or '.join(wanted.tasks)}",
            action="domainvl stats counts what there is",
        )
    keys = [(split, task) for split in Split for task in Task if (split, task) in available]
    shares = share_evenly([available[key] for key in keys], wanted.limit)
    chosen = {
        (key[0], number)
        for key, share in zip(keys, shares, strict=True)
        for _, number in heapq.nlargest(share, lowest[key])
    }
    return Choice(
        tuple(sample for number, sample in _read(dataset, wanted) if (sample.split, number) in chosen),
        tuple(Stratum(*key, available[key], share) for key, share in zip(keys, shares, strict=True)),
    )


def _read(dataset: Path, wanted: Wanted) -> Iterator[tuple[int, Sample]]:
    for split in wanted.splits:
        for number, sample in enumerate(read_samples(dataset, split)):
            if sample.task in wanted.tasks:
                yield number, sample


def share_evenly(available: Sequence[int], limit: int) -> list[int]:
    """Share a limit over strata: each gets the same, and what a small one leaves over goes to the larger ones.

    What cannot be divided goes to the first that have more.

    Args:
        available: Size of each stratum.
        limit: How many to give out.
    """
    shares = [0] * len(available)
    left = min(limit, sum(available))
    while left:
        open_strata = [index for index, size in enumerate(available) if shares[index] < size]
        each = max(1, left // len(open_strata))
        for index in open_strata:
            given = min(each, available[index] - shares[index], left)
            shares[index] += given
            left -= given
    return shares
