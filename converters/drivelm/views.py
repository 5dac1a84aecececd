"""The images of a key frame: six files as they are, or one stitched image; and where a view's points lie in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.files import hash_file
from domainvl.schema import Image, ImageStore, Source
from domainvl.schema.boxes import Box, Point
from domainvl.schema.images import hash_pixels
from domainvl.schema.sample import MADE_OF

from ..driving.canvas import Canvas
from ..driving.canvas import Layout as CanvasLayout
from ..driving.pixels import read_pixels
from ..driving.rig import VIEW_ORDER, in_order
from ..driving.settings import ShownAs
from ..driving.stitching import stitch


@dataclass(frozen=True)
class Views:
    """The images of a frame.

    Attributes:
        images: The images of its samples, in the order in which the prompt names them.
        layout: What thousandths are of: the stitched image, or the image of a view.
        sizes_px: Width and height of each view's file, by view, in the rig's order.
    """

    images: tuple[Image, ...]
    layout: CanvasLayout
    sizes_px: Mapping[str, tuple[int, int]]

    def image_of(self, view: str) -> int:
        """Return the place of the image that shows a view."""
        return 0 if self.layout == "stitched" else list(self.sizes_px).index(view)

    def place_point(self, view: str, point_px: Point) -> Point:
        """Return where a pixel of a view's file lies in the image that shows it."""
        if self.layout == "single":
            return point_px
        return self._canvas.to_canvas(view, point_px, self.sizes_px[view])

    def place_box(self, view: str, box_px: Box) -> Box:
        """Return where a box of a view's file lies in the image that shows it."""
        if self.layout == "single":
            return box_px
        return self._canvas.box_to_canvas(view, box_px, self.sizes_px[view])

    @property
    def _canvas(self) -> Canvas:
        return Canvas.stitched(tuple(self.sizes_px))


def store_views(
    files: Mapping[str, tuple[str, Path]], images: ImageStore, *, layout: ShownAs, draw_labels: bool
) -> Views:
    """Put the images of a frame into the data set.

    Args:
        files: Of each view the name of its file in the data root, and the file.
        images: Takes the images.
        layout: How the views are shown.
        draw_labels: Whether a stitched image names its cameras.

    Raises:
        ItemError: If a file does not decode, or a view of the six is missing in a stitched image.
    """
    order = in_order(files)
    if layout == "stitched":
        return _stitched({view: files[view] for view in order}, images, draw_labels=draw_labels)
    stored = {}
    for view in order:
        name, path = files[view]
        image = images.put_file(path)
        stored[view] = image.to_image(_source(name, path), view=view)
    sizes_px = {view: (image.width_px, image.height_px) for view, image in stored.items()}
    return Views(tuple(stored.values()), "single", sizes_px)


def _stitched(files: Mapping[str, tuple[str, Path]], images: ImageStore, *, draw_labels: bool) -> Views:
    if not set(files) >= set(VIEW_ORDER):
        # The model learns each camera's place in the stitched image; five views would be laid out otherwise.
        lacking = ", ".join(view for view in VIEW_ORDER if view not in files)
        raise ItemError(
            "Cannot stitch a key frame",
            reason="missing-camera",
            rule=f"the file must name an image of each camera, there is none of {lacking}",
            action="Convert with --layout multi-image",
        )
    pixels = {view: read_pixels(path, name) for view, (name, path) in files.items()}
    sizes_px = {view: (image.shape[1], image.shape[0]) for view, image in pixels.items()}
    whole = stitch(pixels, labels=draw_labels, canvas=Canvas.stitched(tuple(files)))
    made_of: list[JsonValue] = [hash_pixels(image) for image in pixels.values()]
    sources: dict[str, JsonValue] = {
        view: _source(name, path).model_dump(mode="json", exclude_none=True, exclude={"details"})
        for view, (name, path) in files.items()
    }
    name, path = next(iter(files.values()))
    source = _source(name, path).model_copy(update={"details": {"files": sources, MADE_OF: made_of}})
    return Views((images.put_pixels(whole).to_image(source),), "stitched", sizes_px)


def _source(name: str, path: Path) -> Source:
    return Source(uri=name, sha256=hash_file(path), size_bytes=path.stat().st_size)
