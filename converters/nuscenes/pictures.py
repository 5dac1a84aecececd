"""Puts the images of a scene into the data set: camera files byte for byte, or views side by side as one image."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import JsonValue

from domainvl.files import hash_file
from domainvl.schema import Image, ImageStore, Object, Source, StoredImage
from domainvl.schema.images import hash_pixels
from domainvl.schema.sample import MADE_OF

from ..driving.camera_files import check_size, describe_camera_file, store_camera_file
from ..driving.canvas import Canvas
from ..driving.pixels import read_pixels
from ..driving.stitching import stitch
from .scenes import Shot

_STITCHED = "stitched"


class Pictures:
    """The images of one scene.

    Args:
        dataroot: Folder to which file names are relative.
        store: Takes the images.
    """

    def __init__(self, dataroot: Path, store: ImageStore) -> None:
        self._dataroot = dataroot
        self._store = store
        self._stored: dict[str, tuple[StoredImage, Source]] = {}

    def path_of(self, shot: Shot) -> Path:
        """Return the file of an image."""
        return self._dataroot / shot.filename

    def missing(self, shots: Sequence[Shot]) -> list[Shot]:
        """Return the images that are not on disk."""
        return [shot for shot in shots if not self.path_of(shot).is_file()]

    def of(self, shot: Shot, *, frame: int | None = None) -> Image:
        """Copy the file of an image, once however often it is asked for.

        Args:
            shot: The image.
            frame: Its number in a clip, from 1; it is then called by that, else by its view.

        Raises:
            ItemError: If the file does not decode, or has another size than the table says.
        """
        if shot.token not in self._stored:
            self._stored[shot.token] = self._put(shot)
        stored, source = self._stored[shot.token]
        return stored.to_image(source, view=shot.view, frame=frame)

    def stitched(self, shots: Sequence[Shot], *, labels: bool) -> Image:
        """Store the views of a frame as one image.

        Args:
            shots: One image a view.
            labels: Whether the name of each camera is written into it.

        Raises:
            ItemError: If a file does not decode, or has another size than the table says.
        """
        canvas = Canvas.stitched([shot.view for shot in shots])
        views = {shot.view: read_pixels(self.path_of(shot), shot.filename) for shot in shots}
        for shot in shots:
            check_size(shot, views[shot.view].shape[1], views[shot.view].shape[0])
        stored = self._store.put_pixels(stitch(views, labels=labels, canvas=canvas))
        sha256 = {shot.view: hash_file(self.path_of(shot)) for shot in shots}
        files: dict[str, JsonValue] = {
            shot.view: {
                "uri": shot.filename,
                "sha256": sha256[shot.view],
                "sample_data_token": shot.token,
                "timestamp_us": shot.timestamp_us,
            }
            for shot in shots
        }
        made_of: list[JsonValue] = [hash_pixels(pixels) for pixels in views.values()]
        source = Source(
            uri=shots[0].filename,
            sha256=sha256[shots[0].view],
            size_bytes=self.path_of(shots[0]).stat().st_size,
            details={"layout": _STITCHED, "files": files, MADE_OF: made_of},
        )
        return stored.to_image(source)

    def _put(self, shot: Shot) -> tuple[StoredImage, Source]:
        return store_camera_file(self._store, self.path_of(shot), shot)


class DescribedPictures(Pictures):
    """Images as the tables describe them, to see what would be asked: nothing is read or written.

    Args:
        dataroot: Folder to which file names are relative.
    """

    def __init__(self, dataroot: Path) -> None:
        super().__init__(dataroot, ImageStore(dataroot))

    def stitched(self, shots: Sequence[Shot], *, labels: bool) -> Image:
        """Describe the views of a frame as one image; see :meth:`Pictures.stitched`."""
        width_px, height_px = Canvas.stitched([shot.view for shot in shots]).size_px
        return StoredImage("", width_px, height_px, "").to_image(Source(uri=""))

    def _put(self, shot: Shot) -> tuple[StoredImage, Source]:
        return describe_camera_file(shot)


def on_canvas(objects: Sequence[Object], shots: Sequence[Shot]) -> list[Object]:
    """Move the boxes of the views of a frame to their places in the stitched image.

    Args:
        objects: Objects of the views, in whose order ``shots`` are.
        shots: The views.
    """
    canvas = Canvas.stitched([shot.view for shot in shots])
    moved = []
    for thing in objects:
        shot = shots[thing.image]
        box_px = thing.box_px and canvas.box_to_canvas(shot.view, thing.box_px, (shot.width_px, shot.height_px))
        moved.append(thing.model_copy(update={"image": 0, "box_px": box_px}))
    return moved
