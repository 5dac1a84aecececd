"""Putting units of known size into packs of limited size: deterministic, close to the fewest packs possible.

Units are taken in a given order in windows, so that what meets in a pack is as random as the order; within a window the
largest goes first, each into the fullest pack that still has room for it (best fit decreasing). Packs that are left
half-empty at a window's end are opened again in the next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from domainvl.errors import UsageError

WINDOW = 4096
"""Units that are packed together."""

_WELL_FILLED = 0.97
"""A pack with this share of its scarcest limit used is not opened again; any other once, in the next window."""


def pack(
    sizes: npt.NDArray[np.int64], limits: Sequence[int], order: npt.NDArray[np.int64], window: int = WINDOW
) -> list[list[int]]:
    """Divide units into packs none of which exceeds a limit.

    Args:
        sizes: Shape (units, dimensions), such as tokens and tiles.
        limits: Of each dimension.
        order: Indices of the units to pack, in the order in which they are taken.
        window: Units that are packed together.

    Returns:
        Packs of indices; within a pack units stand in the given order.

    Raises:
        UsageError: If a unit alone exceeds a limit.
    """
    limit = np.asarray(limits, np.int64)
    own = sizes[order]  # by place in the order, so that the cost does not grow with units that are not in it
    too_large = np.flatnonzero((own > limit).any(axis=1))
    if len(too_large):
        first = int(too_large[0])
        raise UsageError(
            "Cannot pack",
            rule=f"no unit may exceed {tuple(limits)}, but unit {order[first]} has {tuple(own[first].tolist())}",
        )
    done: list[list[int]] = []
    waiting: list[int] = []
    for start in range(0, len(order), window):
        end = min(start + window, len(order))
        packs = _best_fit([*waiting, *range(start, end)], own, limit)
        reopened, waiting = set(waiting), []
        for one in packs:
            filled = (own[one].sum(axis=0) >= _WELL_FILLED * limit).any()
            if filled or end == len(order) or reopened & set(one):
                done.append(one)
            else:
                waiting += one
    return [order[sorted(one)].tolist() for one in done]


def _best_fit(units: Sequence[int], sizes: npt.NDArray[np.int64], limit: npt.NDArray[np.int64]) -> list[list[int]]:
    shares = (sizes[units] / limit).max(axis=1)
    room = np.tile(limit, (len(units), 1))
    packs: list[list[int]] = []
    for position in np.argsort(-shares, kind="stable"):
        unit = units[position]
        opened = room[: len(packs)]
        left = opened - sizes[unit]
        fitting = np.flatnonzero((left >= 0).all(axis=1))
        if len(fitting):
            chosen = int(fitting[np.argmin((left[fitting] / limit).max(axis=1))])
        else:
            chosen = len(packs)
            packs.append([])
        packs[chosen].append(unit)
        room[chosen] -= sizes[unit]
    return packs


def fewest_packs(sizes: npt.NDArray[np.int64], limits: Sequence[int]) -> float:
    """Return how many packs there would be at least if units could be cut at will: the larger of the sums over limits.

    Args:
        sizes: Shape (units, dimensions).
        limits: Of each dimension.
    """
    return float((sizes.sum(axis=0) / np.asarray(limits)).max()) if len(sizes) else 0.0
