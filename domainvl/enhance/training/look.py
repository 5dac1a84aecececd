"""A look at held-out pairs: what the network makes of fixed parts of them, and how far that is from the high views."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from domainvl.enhance.evaluating.metrics import psnr_db
from domainvl.enhance.network.losses import pair_losses
from domainvl.enhance.network.sdan import MisalignedSR
from domainvl.enhance.rasters import Pixels
from domainvl.enhance.resampling import enlarge
from domainvl.enhance.training.views import LeftOut, LoadedPair, Window

_Scalar = TypeVar("_Scalar", bound=np.generic)

LOOKED_AT = 16
"""Held-out pairs that are looked at: the first ones."""
_LARGEST_PX = 96
"""Side of the part from the middle of a held-out low view that is looked at."""


@dataclass(frozen=True)
class Seen:
    """What was made of one held-out pair, in the network's units; arrays are (bands, rows, columns).

    Attributes:
        id: The pair.
        window: What it was made of.
        bicubic: The low view enlarged; None where the bands differ.
        picture: The output with zero offsets, as it would be used.
        guided: The output with the high view itself as reference, as in training; None without alignment.
        flow_px: (2, rows, columns): its offsets in low pixels, rows first; None without alignment.
    """

    id: str
    window: Window
    bicubic: Pixels | None
    picture: Pixels
    guided: Pixels | None
    flow_px: Pixels | None


class HeldOut:
    """Looks at held-out pairs.

    Args:
        pairs: The pairs, of low views of 8 x 8 pixels at least; the first of them are looked at.
        scale: High pixels a low pixel, along a side.
        compares_with_bicubic: Whether low views have the bands of high ones.

    Attributes:
        left_out: Pairs without a valid pixel in the part that would be looked at.
    """

    def __init__(self, pairs: Sequence[LoadedPair], *, scale: int, compares_with_bicubic: bool) -> None:
        self._scale = scale
        self._windows: list[tuple[str, Window]] = []
        self.left_out: list[LeftOut] = []
        for pair in pairs[:LOOKED_AT]:
            window = _middle(pair)
            if self._inside(window.valid).any():
                self._windows.append((pair.id, window))
            else:
                said = f"{pair.id} has no valid pixel in its middle, which would be looked at"
                self.left_out.append(LeftOut(pair.id, "no-valid-middle", said))
        self._bicubic = [
            enlarge(window.low, np.ones(window.low.shape[1:], dtype=bool), scale) if compares_with_bicubic else None
            for _, window in self._windows
        ]

    @property
    def count(self) -> int:
        """How many pairs are looked at."""
        return len(self._windows)

    def look(self, network: MisalignedSR, *, keep: int) -> tuple[dict[str, Any], list[Seen]]:
        """Return the means over the pairs, and what was made of the first ones.

        The numbers are ``psnr_db`` of the output with zero offsets, ``bicubic_psnr_db`` and ``gain_db`` against the low
        view enlarged (1 is the peak, values beyond 0 and 1 are left there, a low pixel at each side does not count),
        and of the network given the high view itself as reference: ``mean_flow_px``, the mean length of its offsets,
        and ``alignment_loss`` against ``zero_offset_alignment_loss``. They are of pairs that may not line up: what is
        left of a displacement makes all of them worse.

        Args:
            network: What to look with; it is left in the mode it was in.
            keep: How many pairs' pictures to return.
        """
        rows: list[dict[str, float]] = []
        seen: list[Seen] = []
        if not self._windows:
            return {"pairs": 0}, seen
        was_training = network.training
        network.eval()
        with torch.inference_mode():
            for (name, window), bicubic in zip(self._windows, self._bicubic, strict=True):
                numbers, one = self._look_at(network, name, window, bicubic)
                rows.append(numbers)
                seen += [one][: max(0, keep - len(seen))]
        network.train(was_training)
        means: dict[str, Any] = {key: sum(row[key] for row in rows) / len(rows) for key in rows[0]}
        return means | {"pairs": len(rows)}, seen

    def _look_at(
        self, network: MisalignedSR, name: str, window: Window, bicubic: Pixels | None
    ) -> tuple[dict[str, float], Seen]:
        device = next(network.parameters()).device
        low, reference, high = (
            torch.from_numpy(part)[None].to(device) for part in (window.low, window.reference, window.high)
        )
        valid = torch.from_numpy(window.valid)[None, None].float().to(device)
        zero = network(low)
        picture = _array(zero.picture)
        numbers = {"psnr_db": self._psnr_db(picture, window)}
        if bicubic is not None:
            numbers["bicubic_psnr_db"] = self._psnr_db(bicubic, window)
            numbers["gain_db"] = numbers["psnr_db"] - numbers["bicubic_psnr_db"]
        if zero.aligned is None:
            return numbers, Seen(name, window, bicubic, picture, None, None)
        guided = network(low, reference)
        losses = [pair_losses(one, high, reference, valid, border_px=self._scale) for one in (zero, guided)]
        numbers |= {
            "mean_flow_px": guided.flow_px.norm(dim=1).mean().item(),
            "zero_offset_alignment_loss": losses[0]["alignment"].item(),
            "alignment_loss": losses[1]["alignment"].item(),
        }
        return numbers, Seen(name, window, bicubic, picture, _array(guided.picture), _array(guided.flow_px))

    def _psnr_db(self, picture: Pixels, window: Window) -> float:
        return psnr_db(self._inside(picture), self._inside(window.high), self._inside(window.valid))

    def _inside(self, values: npt.NDArray[_Scalar]) -> npt.NDArray[_Scalar]:
        inner = slice(self._scale, -self._scale)
        return values[..., inner, inner]


def _middle(pair: LoadedPair) -> Window:
    """Cut out the middle; it begins at even pixels, so that a mosaic's colours stay where they are."""
    rows, columns = (min(size, _LARGEST_PX) for size in pair.size_px)
    row, column = ((size - part) // 4 * 2 for size, part in zip(pair.size_px, (rows, columns), strict=True))
    return pair.window(row, column, (rows, columns))


def _array(value: Tensor) -> Pixels:
    return np.asarray(value[0].cpu().numpy(), dtype=np.float32)
