"""What the NIfTI converter can be told. Imports nothing heavy: the command line makes its options from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field

from ..medical.settings import MedicalSettings

Modality: TypeAlias = Literal["CT", "MR", "PT", "unknown"]
Plane: TypeAlias = Literal["axial", "coronal", "sagittal", "acquired"]

_PATHS_AND_PATTERNS = ("labels", "masks", "class_names", "exclude_hashes", "patient_from")


class NiftiSettings(MedicalSettings):
    """Settings of the NIfTI converter."""

    plan_fields = frozenset(
        {
            "masks",
            "mask_pattern",
            "class_names",
            "labels",
            "properties",
            "patient_from",
            "deid_key",
            "reid_map",
            "volume_index",
            "max_volumes",
        }
    )

    plane: Plane = Field(
        default="axial",
        description="Plane in which volumes are cut into slices, by the voxel axis that is nearest to its normal; "
        "acquired: across the axis with the largest spacing.",
    )
    modality: Modality = Field(
        default="unknown",
        description="What made the volumes: CT, MR or PT (PET). The format does not say; where it is given, CT windows "
        "work, and it is asked for.",
    )
    masks: Path | None = Field(
        default=None,
        description="Folder of masks, each named as its volume or with one of the endings of masks "
        "(such as _seg, _mask, _dseg). Where left out, masks are looked for beside their volumes, with such an ending.",
    )
    mask_pattern: str | None = Field(
        default=None,
        description="Names of the masks of a volume without .nii.gz, several with commas, instead of the endings: "
        "{stem} stands for its name, {case} for that without its last part (_t1, _0000), {number} for the last "
        "number in it. For instance segmentation-{number}.",
    )
    class_names: Path | None = Field(
        default=None,
        description="What the values of masks mean: CSV, TSV or Excel with the columns value (or index) and name, or "
        "JSON or YAML of values and names, such as dataset.json of nnU-Net. Where left out, the table NAME.tsv beside "
        "a mask (BIDS). 0 is background. Values without a name are not asked about.",
    )
    labels: Path | None = Field(
        default=None,
        description="CSV or Excel table of labels with the column file_name, relative to SOURCE; frame is the slice "
        "along the axis that is cut, from 1 in the order of the file. Boxes are in stored voxels: x along the first "
        "of the other axes, y along the second, corners on voxel edges.",
    )
    properties: str = Field(
        default="",
        description="Columns of --labels that describe the image, several with commas, such as density: what they hold "
        "is asked for in words. Other columns without a meaning of their own are not used.",
    )
    patient_from: str | None = Field(
        default=None,
        description="Regular expression with one group, searched for in the path relative to SOURCE: what it finds "
        "names the patient. Where left out: sub-XXX (BIDS), else the uppermost folder, else the name of the file; "
        "folders such as imagesTr name nobody.",
    )
    deid_key: Path | None = Field(
        default=None,
        description="File with a secret key, at least 16 bytes, under which patients and files are hashed. Where left "
        "out they are numbered in the order of their names. Make one with: openssl rand -hex 32 > deid.key",
    )
    reid_map: Path | None = Field(
        default=None,
        description="CSV file, outside of OUT, that says which pseudonym stands for which patient and file; needs "
        "--deid-key. It may name patients: keep it as you keep the images.",
    )
    volume_index: int | None = Field(
        default=None, ge=0, description="The one volume of a 4D file to convert, from 0; all where left out."
    )
    max_volumes: int = Field(
        default=8,
        ge=1,
        description="At most this many volumes of one 4D file, evenly spread; the others are counted.",
    )
    unpack_limit_gb: float = Field(
        default=16.0,
        gt=0,
        description="Refuse a volume that takes more than this, unpacked; it goes to a scratch file.",
    )

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say: neither the key nor any path or expression, which may hold names."""
        content = super().public()
        for name in ("deid_key", "reid_map"):
            del content[name]
        for name in _PATHS_AND_PATTERNS:
            content[name] = getattr(self, name) is not None
        return content
