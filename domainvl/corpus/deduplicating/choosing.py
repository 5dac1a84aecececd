"""Which of the documents that are alike is kept: the latest, and each that goes is alike to one that stays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix  # type: ignore[import-untyped]
from scipy.sparse.csgraph import connected_components  # type: ignore[import-untyped]

from domainvl.corpus.deduplicating.comparing import NEIGHBOURS
from domainvl.corpus.extras import require


@dataclass(frozen=True)
class Duplicate:
    """A document that goes.

    Attributes:
        number: Its number.
        kept: Number of the document that stays for it.
        jaccard: How alike the two are; 1 for exact duplicates.
    """

    number: int
    kept: int
    jaccard: float


def rank_documents(ids: Any, modified_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Rank documents by which is to be kept: the latest, of equal time the first by id, of equal id the first.

    Args:
        ids: Arrow array of their ids.
        modified_us: When each was changed, in microseconds.

    Returns:
        Rank of each, from 0 for the one that is kept before all others.
    """
    pa = require("pyarrow")
    compute = require("pyarrow.compute")
    count = len(modified_us)
    table = pa.table({"modified": modified_us, "id": ids, "number": np.arange(count)})
    keys = [("modified", "descending"), ("id", "ascending"), ("number", "ascending")]
    order = compute.sort_indices(table, sort_keys=keys).to_numpy()
    ranks = np.empty(count, dtype=np.int64)
    ranks[order] = np.arange(count)
    return ranks


def exact_duplicates(digests: npt.NDArray[np.bytes_], ranks: npt.NDArray[np.int64]) -> Iterator[Duplicate]:
    """Yield all documents whose digest another one of better rank has.

    Args:
        digests: Digest of each document, of equal length; at least one.
        ranks: Rank of each.
    """
    order = np.lexsort((ranks, digests))
    is_first = np.concatenate([[True], digests[order][1:] != digests[order][:-1]])
    firsts = np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))
    for place in np.flatnonzero(~is_first).tolist():
        yield Duplicate(int(order[place]), int(order[firsts[place]]), 1.0)


def near_duplicates(
    lower: npt.NDArray[np.int64],
    higher: npt.NDArray[np.int64],
    similarities: npt.NDArray[np.float64],
    ranks: npt.NDArray[np.int64],
    similarity: Callable[[int, int], float],
    min_jaccard: float,
) -> Iterator[Duplicate]:
    """Yield the documents that are alike to one that is kept.

    Documents form clusters through pairs that are alike. In each, from the best rank down, a document goes where one
    that is kept is alike to it. So a chain of versions, each alike to the next, does not vanish into its last one.

    Args:
        lower: A document of each pair that is alike.
        higher: The other.
        similarities: How alike the two are.
        ranks: Rank of every document.
        similarity: Tells how alike two documents are, for those of a cluster that met in no band.
        min_jaccard: From which similarity on documents are alike.
    """
    members, places = np.unique(np.concatenate([lower, higher]), return_inverse=True)
    count = len(members)
    sides = places.reshape(2, -1)
    graph = coo_matrix((similarities, (sides[0], sides[1])), shape=(count, count))
    alike = (graph + graph.T).tocsr()
    _, labels = connected_components(alike, directed=False)
    order = np.lexsort((ranks[members], labels))
    for cluster in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        yield from _thin(cluster.tolist(), members, alike, similarity, min_jaccard)


def _thin(
    cluster: list[int],
    members: npt.NDArray[np.int64],
    alike: csr_matrix,
    similarity: Callable[[int, int], float],
    min_jaccard: float,
) -> Iterator[Duplicate]:
    """Go through a cluster from its best rank down."""
    kept: dict[int, int] = {}  # in order, each with minus its place in it
    for place in cluster:
        known = _neighbours(alike, place)
        found = [(known[other], kept[other], other) for other in known if other in kept]
        if not found:
            # Those that met in no band may be alike too; a few, so that a cluster of thousands takes no square.
            number = int(members[place])
            others = islice(kept, NEIGHBOURS)
            found = [(similarity(number, int(members[other])), kept[other], other) for other in others]
        best, _, other = max(found, default=(0.0, 0, -1))
        if best >= min_jaccard:
            yield Duplicate(int(members[place]), int(members[other]), best)
        else:
            kept[place] = -len(kept)


def _neighbours(alike: csr_matrix, place: int) -> dict[int, float]:
    begin, end = alike.indptr[place], alike.indptr[place + 1]
    return dict(zip(alike.indices[begin:end].tolist(), alike.data[begin:end].tolist(), strict=True))
