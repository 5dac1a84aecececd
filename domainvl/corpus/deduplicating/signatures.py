"""MinHash signatures of sets of shingles, and the keys of their bands (rensa)."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
import numpy.typing as npt

from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.shingles import combine
from domainvl.corpus.extras import require

_SEED = 1
"""Of rensa's permutations; signatures of another seed cannot be compared with these."""


def signature_version() -> str:
    """Name what made signatures: those of another version may be others."""
    return f"rensa {version('rensa')}, algorithm {require('rensa').RMinHash.ALGORITHM_VERSION}"


def signatures(sets: Sequence[npt.NDArray[np.uint64]], permutations: int) -> npt.NDArray[np.uint32]:
    """Return MinHash signatures.

    Args:
        sets: Sets of shingles, none empty: uint64 of shape (shingles,).
        permutations: Length of a signature.

    Returns:
        uint32 of shape (sets, permutations).
    """
    if not sets:
        return np.empty((0, permutations), dtype=np.uint32)
    begins = np.cumsum([0, *(len(shingles) for shingles in sets)], dtype=np.uint64)
    make = require("rensa").RMinHash.digest_matrix_from_flat_token_hashes
    return np.array(make(np.concatenate(sets), begins, permutations, _SEED).to_rows(), dtype=np.uint32)


def band_keys(made: npt.NDArray[np.uint32], settings: DedupSettings) -> npt.NDArray[np.uint64]:
    """Hash each band of signatures to 64 bits.

    Args:
        made: Signatures, uint32 of shape (documents, bands * rows).
        settings: How many bands of how many rows.

    Returns:
        uint64 of shape (documents, bands).
    """
    places = made.reshape(len(made), settings.bands, settings.rows).astype(np.uint64)
    return combine([places[:, :, row] for row in range(settings.rows)])
