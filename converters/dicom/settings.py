"""What the DICOM converter can be told. Imports nothing heavy: the command line makes its options from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field

from domainvl.conversion import ConverterSettings


class DicomSettings(ConverterSettings):
    """Settings of the DICOM converter."""

    plan_fields = frozenset({"deid_key", "labels", "header_slices_per_series", "max_frames"})

    deid_key: Path | None = Field(
        default=None,
        description="File with the secret key, at least 16 bytes, under which patient, study, series and instance "
        "identifiers are hashed. Required. Make one with: openssl rand -hex 32 > deid.key",
    )
    labels: Path | None = Field(
        default=None,
        description="CSV of findings with the columns sop_instance_uid,label,x_min_px,y_min_px,x_max_px,y_max_px. "
        "Boxes are in stored columns and rows, corners on pixel edges. A slice that was looked at and has nothing "
        "is listed once with empty label and box; a slice that is not listed is not asked about findings.",
    )
    window: str = Field(
        default="auto",
        description="Grey levels to show: auto (the file's own first VOI LUT or window, else the 1st to 99th "
        "percentile), one of the CT windows soft, lung, bone, brain, mediastinum, liver (other modalities stay at "
        "auto), or CENTER/WIDTH in modality units for every grey image.",
    )
    header_slices_per_series: int | None = Field(
        default=None,
        ge=0,
        description="Slices of a series, evenly spread, that are asked for what the headers tell, modality and plane; "
        "all where left out.",
    )
    max_frames: int = Field(
        default=32,
        ge=1,
        description="At most this many frames of one multi-frame file, evenly spread; the others are counted.",
    )

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say: neither the key nor any path, which may hold names."""
        content = super().public()
        del content["deid_key"]
        content["labels"] = self.labels is not None
        return content
