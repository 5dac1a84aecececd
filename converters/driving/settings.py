"""What all converters of driving data have in common to be set."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import Field

from domainvl.conversion import ConverterSettings

DOMAIN = "driving"
"""The field of all samples."""

ShownAs: TypeAlias = Literal["multi-image", "stitched"]


class ViewSettings(ConverterSettings):
    """How the views of a key frame are shown, and what becomes of one that is not all there."""

    strict: bool = Field(
        default=False,
        description="A key frame of which an image is not on disk counts as failed. It is left out in any case; "
        "by default it counts as one that was not downloaded.",
    )
    layout: ShownAs = Field(
        default="multi-image",
        description="How the views of a frame are shown together: as images of their own, copied byte for byte, or "
        "stitched to one (2688x896 px of six views) as Mini-InternVL's authors do for DriveLM.",
    )
    draw_labels: bool = Field(default=True, description="Write the name of each camera into a stitched image.")


class TableSettings(ConverterSettings):
    """Where nuScenes tables lie, and the index of them."""

    version: str | None = Field(
        default=None,
        description="Folder of tables in the data root, such as v1.0-mini; may be left out where there is only one.",
    )
    index: Path | None = Field(
        default=None,
        description="Folder for the index of the tables, which the next run opens in no time. Left out: .domainvl in "
        "the data root, or the user's cache where nothing can be written there.",
    )
