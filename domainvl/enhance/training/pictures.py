"""Pictures of a run: what the network makes of held-out pairs, and the flow that it found."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from domainvl.enhance.rasters import Mask, Pixels
from domainvl.enhance.training.look import Seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI, _PANEL_IN = 110, 3.2
_ARROWS = 16
"""Arrows along the longer side of a flow field."""
_GREY = 0.5
"""Of pixels that are not valid: what they were filled with would look like data."""


def draw_panel(seen: Seen) -> bytes:
    """Draw what was given, what came of it, and what should have come of it, side by side; a PNG.

    Of more than three bands the first three are shown, values below 0 and above 1 as 0 and 1, and what is not valid in
    both views as grey.
    """
    from matplotlib.figure import Figure

    low = seen.window.low if seen.bicubic is None else seen.bicubic
    shown: list[tuple[str, Pixels]] = [
        ("low view" if seen.bicubic is None else "low view, bicubic", low),
        ("output, zero offset", seen.picture),
    ]
    if seen.guided is not None:
        shown.append(("output aligned to the truth\n(in training only)", seen.guided))
    shown.append(("high view", seen.window.high))
    figure = Figure(figsize=(_PANEL_IN * len(shown), _PANEL_IN + 0.6), layout="constrained")
    for axes, (title, pixels) in zip(figure.subplots(1, len(shown), squeeze=False)[0], shown, strict=True):
        axes.imshow(
            _shown(pixels, valid_in(seen.window.valid, pixels.shape[1:])),
            cmap="gray",
            vmin=0,
            vmax=1,
            interpolation="nearest",
        )
        axes.set_title(title, fontsize="small")
        axes.set_axis_off()
    figure.suptitle(seen.id, fontsize="small", parse_math=False)
    return _as_png(figure)


def draw_flow(flow_px: Pixels, name: str, valid: Mask | None = None) -> bytes:
    """Draw a flow field: its direction as hue, its length as depth of colour, with arrows and a wheel; a PNG.

    Args:
        flow_px: (2, rows, columns), rows first, in low pixels.
        name: The pair's.
        valid: (rows, columns); the rest is grey and in no number, unless all is. None where all is valid.
    """
    from matplotlib.figure import Figure

    if valid is None or not valid.any():
        valid = np.ones(flow_px.shape[1:], dtype=bool)
    lengths = np.hypot(*flow_px)[valid]
    longest = max(float(np.percentile(lengths, 99)), 1e-3)
    figure = Figure(figsize=(2 * _PANEL_IN, _PANEL_IN + 0.8), layout="constrained")
    field, wheel = figure.subplots(1, 2, width_ratios=(3, 1))
    field.imshow(np.where(valid[..., None], _coloured(flow_px, longest), _GREY), interpolation="nearest")
    _draw_arrows(field, np.where(valid, flow_px, np.float32(0)), longest)
    said = f"mean {lengths.mean():.2f}, longest {lengths.max():.2f} low px"
    field.set_title(f"{name}\naligned to the truth: {said}", fontsize="small", parse_math=False)
    field.set_axis_off()
    steps = np.linspace(-longest, longest, 101, dtype=np.float32)
    directions = np.stack(np.meshgrid(steps, steps, indexing="ij"))
    inside = np.hypot(*directions) <= longest
    wheel.imshow(
        np.where(inside[..., None], _coloured(directions, longest), 1.0), extent=(-longest, longest, longest, -longest)
    )
    wheel.set_title("flow, low px", fontsize="small")
    wheel.tick_params(labelsize="x-small")
    wheel.locator_params(nbins=4)
    return _as_png(figure)


def _draw_arrows(axes: Axes, flow_px: Pixels, longest: float) -> None:
    stride = max(1, max(flow_px.shape[1:]) // _ARROWS)
    rows, columns = (np.arange(stride // 2, size, stride) for size in flow_px.shape[1:])
    down, right = flow_px[:, rows[:, None], columns]
    # The longest arrow is as long as the distance between two.
    axes.quiver(columns, rows, right, down, angles="xy", scale_units="xy", scale=longest / stride, width=0.004)


def _coloured(flow_px: npt.NDArray[Any], longest: float) -> npt.NDArray[Any]:
    from matplotlib.colors import hsv_to_rgb

    down, right = flow_px
    hue = (np.arctan2(down, right) / (2 * np.pi)) % 1.0
    depth = np.clip(np.hypot(down, right) / longest, 0, 1)
    return np.asarray(hsv_to_rgb(np.stack([hue, depth, np.ones_like(hue)], axis=-1)))


def valid_in(valid: Mask, size_px: tuple[int, ...]) -> Mask:
    """Bring a mask to a size that its own is a multiple of: a pixel is valid where any of those that it holds is.

    Args:
        valid: (scale * rows, scale * columns).
        size_px: Rows and columns.
    """
    rows, columns = size_px
    held = valid.reshape(rows, valid.shape[0] // rows, columns, valid.shape[1] // columns)
    return np.asarray(held.any(axis=(1, 3)))


def _shown(pixels: Pixels, valid: Mask) -> npt.NDArray[Any]:
    """Return (rows, columns, 3), or (rows, columns) where there are fewer than three bands."""
    clipped = np.where(valid, np.clip(pixels, 0, 1), _GREY)
    return np.moveaxis(clipped[:3], 0, -1) if len(clipped) >= 3 else clipped[0]


def _as_png(figure: Figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, dpi=_DPI, format="png")
    return content.getvalue()
