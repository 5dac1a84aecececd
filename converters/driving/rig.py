"""The cameras of a vehicle: what their views are called, and in which order they are shown.

After ``<image>`` nothing but the order and the name before it says which view an image is, so both are fixed.
"""

from __future__ import annotations

from collections.abc import Iterable

CHANNEL_PREFIX = "CAM_"

VIEW_ORDER = ("FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT")
"""The six views of nuScenes, in the order in which InternVL stitches them (internvl_chat_llava/DriveLM/tools,
images_stitching.py): row by row, the upper row to the front."""

DRIVELM_ORDER = ("FRONT", "FRONT_LEFT", "FRONT_RIGHT", "BACK", "BACK_LEFT", "BACK_RIGHT")
"""The order of ``image_paths`` in the files of DriveLM, which is not that of the stitched image."""


def view_of(channel: str) -> str:
    """Return the view of a camera's channel, such as ``"FRONT"`` of ``"CAM_FRONT"``."""
    return channel.removeprefix(CHANNEL_PREFIX)


def channel_of(view: str) -> str:
    """Return the channel of a view of nuScenes, such as ``"CAM_FRONT"`` of ``"FRONT"``."""
    return f"{CHANNEL_PREFIX}{view}"


def in_order(views: Iterable[str]) -> tuple[str, ...]:
    """Sort views: those of nuScenes as they are stitched, then others by name."""
    known = {view: place for place, view in enumerate(VIEW_ORDER)}
    return tuple(sorted(views, key=lambda view: (known.get(view, len(known)), view)))
