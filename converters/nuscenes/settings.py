"""What can be set when nuScenes data is converted."""

from __future__ import annotations

from pydantic import Field, field_validator

from domainvl.conversion import ConverterSettings

from .scenes import VIEW_ORDER


class NuscenesSettings(ConverterSettings):
    """Settings of the nuScenes converter."""

    plan_fields = frozenset({"version", "cameras"})

    version: str | None = Field(
        default=None,
        description="Folder of tables in the data root, such as v1.0-mini; may be left out where there is only one.",
    )
    cameras: str = Field(
        default=",".join(VIEW_ORDER),
        description="Views to use, without CAM_, separated by commas; whatever their order here, they are shown in "
        "that of the default.",
    )
    min_visible: float = Field(
        default=0.3,
        ge=0.0,
        le=1.0,
        description="Objects with a smaller share of their projected box inside the image are not asked about.",
    )
    min_side_px: float = Field(
        default=8.0, ge=0.0, description="Objects whose box has a shorter side in the image are not asked about."
    )
    camera_samples_per_frame: int | None = Field(
        default=None,
        ge=0,
        description="Images of a frame that are also asked about alone, chosen by the frame's name among those with "
        "objects; all of those where left out.",
    )

    @field_validator("cameras")
    @classmethod
    def _views_in_order(cls, cameras: str) -> str:
        names = [name.strip() for name in cameras.split(",")]
        if not set(names) <= set(VIEW_ORDER) or len(set(names)) != len(names):
            raise ValueError(f"it must name some of {', '.join(VIEW_ORDER)}, each once")
        return ",".join(view for view in VIEW_ORDER if view in names)

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the views, in the order in which they are shown."""
        return tuple(self.cameras.split(","))
