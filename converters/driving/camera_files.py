"""Puts the image files of cameras into the data set, byte for byte, and tells one that its tables do not describe."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Protocol

from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.schema import ImageStore, Source, StoredImage


class CameraFile(Protocol):
    """What tables say of an image file."""

    @property
    def token(self) -> str:
        """Its token in ``sample_data``."""

    @property
    def filename(self) -> str:
        """The file, relative to the data root."""

    @property
    def timestamp_us(self) -> int:
        """When it was taken."""

    @property
    def width_px(self) -> int:
        """Its width."""

    @property
    def height_px(self) -> int:
        """Its height."""


def store_camera_file(store: ImageStore, path: Path, image: CameraFile) -> tuple[StoredImage, Source]:
    """Copy the file of an image.

    Args:
        store: Takes the file.
        path: The file.
        image: What the tables say of it.

    Raises:
        ItemError: If it does not decode, or has another size than the table says.
    """
    stored = store.put_file(path)
    check_size(image, stored.width_px, stored.height_px)
    # Tokens lead to pose and calibration in the tables.
    details: dict[str, JsonValue] = {"sample_data_token": image.token, "timestamp_us": image.timestamp_us}
    source = Source(
        uri=image.filename,
        sha256=PurePosixPath(stored.path).stem,  # a copied file is named by the hash of its bytes
        size_bytes=path.stat().st_size,
        details=details,
    )
    return stored, source


def describe_camera_file(image: CameraFile) -> tuple[StoredImage, Source]:
    """Describe an image as its table does, to see what would be asked; nothing is read or written."""
    return StoredImage("", image.width_px, image.height_px, ""), Source(uri=image.filename)


def check_size(image: CameraFile, width_px: int, height_px: int) -> None:
    """Compare the size of a file with that in the table.

    Raises:
        ItemError: If they differ.
    """
    if (width_px, height_px) != (image.width_px, image.height_px):
        raise ItemError(
            "Cannot use an image",
            reason="image-size",
            where=image.filename,
            rule=f"it must be {image.width_px}x{image.height_px} px as sample_data says, got {width_px}x{height_px}",
            action="Take the image that belongs to the tables; boxes would be misplaced on another size",
        )
