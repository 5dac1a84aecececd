"""Shows the views of one moment as one picture, as Mini-InternVL's authors do for DriveLM, and says which is where.

Each view is squeezed to its cell, its camera's name is written into the upper left corner, and the cells are joined
(OpenGVLab/InternVL, internvl_chat/tools/images_stitching.py). That tool resizes with Pillow's default, which is
bicubic for RGB (Pillow, Image.resize), loads DejaVuSans-Bold from a folder of one Linux distribution and saves JPEG;
here the font comes with matplotlib, so that every machine draws the same, and pixels are handed on as they are.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib import metadata
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from domainvl.errors import ItemError

from .canvas import Canvas
from .rig import channel_of
from .words import count_words

Picture: TypeAlias = PillowImage.Image | npt.NDArray[np.uint8]

LABEL_SIZE_PX = 50
LABEL_COLOUR = (255, 0, 255)
"""Of images_stitching.py."""

_FONT = "matplotlib/mpl-data/fonts/ttf/DejaVuSans-Bold.ttf"
"""Where matplotlib brings it."""


def stitch(
    images: Mapping[str, Picture], *, labels: bool = True, canvas: Canvas | None = None
) -> npt.NDArray[np.uint8]:
    """Join the views of one moment, in the order of the canvas whatever theirs is.

    Args:
        images: By view; uint8 arrays of shape (height, width) or (height, width, 3), or Pillow's images, of any sizes.
        labels: Whether each camera's channel is written into its cell.
        canvas: Where each view goes; that of the six views of nuScenes, 2688x896 px, where None.

    Returns:
        uint8 of shape (height, width, 3). A cell that no view is for is black.

    Raises:
        ItemError: If a view of the canvas is missing, or an image is of a view that it does not show.
    """
    canvas = canvas or Canvas.stitched()
    _check_views(images, canvas)
    whole = PillowImage.new("RGB", canvas.size_px)
    for view in canvas.views:
        cell = _cell(images[view], canvas)
        if labels:
            # Before it is joined: a long name must not reach into the next view.
            ImageDraw.Draw(cell).text((0, 0), channel_of(view), fill=LABEL_COLOUR, font=_label_font())
        whole.paste(cell, canvas.corner_of(view))
    return np.asarray(whole)


def views_note(canvas: Canvas) -> str:
    """Say which views an image shows and where each is, to stand before a question; ours.

    ``"The image shows six views of the ego vehicle. Upper row: FRONT_LEFT, FRONT, FRONT_RIGHT; lower row: BACK_LEFT,
    BACK, BACK_RIGHT."`` An image of one view is that view: see :func:`view_note`.
    """
    views, columns = canvas.views, canvas.columns
    if len(views) == 1:
        return view_note(views[0])
    rows = [", ".join(views[start : start + columns]) for start in range(0, len(views), columns)]
    if len(rows) == 1:
        listed = f"From left to right: {rows[0]}"
    elif len(rows) == 2:
        listed = f"Upper row: {rows[0]}; lower row: {rows[1]}"
    else:
        listed = "; ".join(f"{'Row' if number == 1 else 'row'} {number}: {row}" for number, row in enumerate(rows, 1))
    return f"The image shows {count_words(len(views))} views of the ego vehicle. {listed}."


def view_note(view: str) -> str:
    """Say which view an image shows, to stand before a question; ours."""
    return f"This is the {view} view of the ego vehicle."


def _check_views(images: Mapping[str, Picture], canvas: Canvas) -> None:
    missing = [view for view in canvas.views if view not in images]
    if missing:
        raise ItemError(
            "Cannot stitch the views of a frame",
            reason="missing-image",
            rule=f"each view must have an image, there is none of {', '.join(missing)}",
            action="Fetch the missing images, or name the cameras that are there",
        )
    for view in images:
        canvas.corner_of(view)


def _cell(image: Picture, canvas: Canvas) -> PillowImage.Image:
    picture = image if isinstance(image, PillowImage.Image) else PillowImage.fromarray(image)
    size_px = (canvas.cell_width_px, canvas.cell_height_px)
    return picture.convert("RGB").resize(size_px, PillowImage.Resampling.BICUBIC)


@functools.cache
def _label_font() -> ImageFont.FreeTypeFont:
    # Found without importing matplotlib, which takes long. Simple layout: libraqm, which not every machine has, may
    # place letters otherwise.
    path = metadata.distribution("matplotlib").locate_file(_FONT)
    return ImageFont.truetype(str(path), LABEL_SIZE_PX, layout_engine=ImageFont.Layout.BASIC)
