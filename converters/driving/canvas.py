"""How the pixels of one image are laid out in which one or several views are shown, and how points get there and back.

The six views of nuScenes are stitched as the authors of Mini-InternVL do it for DriveLM (OpenGVLab/InternVL,
internvl_chat/tools/images_stitching.py): each view squeezed into a cell of 896x448 px, three in a row, two rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from domainvl.errors import ItemError
from domainvl.schema.boxes import Box, Point

from .rig import VIEW_ORDER, in_order

Layout: TypeAlias = Literal["stitched", "single"]
"""What a view is shown in: the stitched image of all views, or an image of its own."""

CELL_SIZE_PX = (896, 448)
"""Width and height of one view in a stitched image: two tiles of 448 px (images_stitching.py)."""

_ROWS = 2


@dataclass(frozen=True)
class Canvas:
    """A grid of equal cells, each of which shows one whole view; the proportions of a view need not be kept.

    Attributes:
        views: The views, row by row from the upper left.
        columns: Number of cells in a row.
        cell_width_px: Width of a cell.
        cell_height_px: Height of a cell.
    """

    views: tuple[str, ...]
    columns: int
    cell_width_px: int
    cell_height_px: int

    @classmethod
    def stitched(cls, views: Sequence[str] = VIEW_ORDER) -> Canvas:
        """Lay out views of any rig as those of nuScenes are: in two rows, the upper one taking the odd view.

        There are ``ceil(n / 2)`` columns, and a single view stands alone. Six views make 2688x896 px.

        Args:
            views: The views to show; their order does not matter, they are shown as the rig orders them.
        """
        return cls(in_order(views), -(-len(views) // _ROWS), *CELL_SIZE_PX)

    @classmethod
    def single(cls, view: str, width_px: int, height_px: int) -> Canvas:
        """Lay out one view alone, as it is."""
        return cls((view,), 1, width_px, height_px)

    @classmethod
    def of(cls, layout: Layout, view: str, sizes_px: Mapping[str, tuple[int, int]]) -> Canvas:
        """Lay out the image that shows a view.

        Args:
            layout: Whether all views are stitched to one image, or each is one.
            view: The view.
            sizes_px: Width and height of the image of each view.
        """
        return cls.stitched(tuple(sizes_px)) if layout == "stitched" else cls.single(view, *sizes_px[view])

    @staticmethod
    def clamp(point_px: Point, size_px: tuple[int, int]) -> Point:
        """Return the point of an image that is nearest to a point.

        Args:
            point_px: (x, y).
            size_px: Width and height of the image.
        """
        # In this order, which makes 0.0 of -0.0.
        return min(max(0.0, point_px[0]), float(size_px[0])), min(max(0.0, point_px[1]), float(size_px[1]))

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height of the whole."""
        rows = -(-len(self.views) // self.columns)
        return self.columns * self.cell_width_px, rows * self.cell_height_px

    def corner_of(self, view: str) -> tuple[int, int]:
        """Return the upper left corner (x, y) of a view's cell.

        Raises:
            ItemError: If the view is not shown.
        """
        if view not in self.views:
            raise ItemError(
                "Cannot place a view",
                reason="unknown-camera",
                rule=f"it must be one of {', '.join(self.views)}, got {view!r}",
                action="Name a camera of the rig",
            )
        row, column = divmod(self.views.index(view), self.columns)
        return column * self.cell_width_px, row * self.cell_height_px

    def to_canvas(self, view: str, point_px: Point, source_size_px: tuple[int, int]) -> Point:
        """Bring a point of a view's own image to the canvas; a point outside its image leaves its cell.

        Args:
            view: The view.
            point_px: (x, y) in the view's image.
            source_size_px: Width and height of that image.

        Raises:
            ItemError: If the view is not shown.
        """
        left_px, top_px = self.corner_of(view)
        width_px, height_px = source_size_px
        x_px, y_px = point_px
        return x_px / width_px * self.cell_width_px + left_px, y_px / height_px * self.cell_height_px + top_px

    def from_canvas(self, view: str, point_px: Point, source_size_px: tuple[int, int]) -> Point:
        """Bring a point of the canvas to a view's own image; the inverse of :meth:`to_canvas`, nothing is clamped.

        Raises:
            ItemError: If the view is not shown.
        """
        left_px, top_px = self.corner_of(view)
        width_px, height_px = source_size_px
        x_px, y_px = point_px
        return (x_px - left_px) / self.cell_width_px * width_px, (y_px - top_px) / self.cell_height_px * height_px

    def box_to_canvas(self, view: str, box_px: Box, source_size_px: tuple[int, int]) -> Box:
        """Bring a box of a view's own image to the canvas, as :meth:`to_canvas` does its corners."""
        low = self.to_canvas(view, box_px[:2], source_size_px)
        return (*low, *self.to_canvas(view, box_px[2:], source_size_px))

    def box_from_canvas(self, view: str, box_px: Box, source_size_px: tuple[int, int]) -> Box:
        """Bring a box of the canvas to a view's own image, as :meth:`from_canvas` does its corners."""
        low = self.from_canvas(view, box_px[:2], source_size_px)
        return (*low, *self.from_canvas(view, box_px[2:], source_size_px))
