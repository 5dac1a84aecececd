"""What the DICOM converter can be told. Imports nothing heavy: the command line makes its options from here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

from pydantic import Field

from ..medical.settings import MedicalSettings

BurntIn: TypeAlias = Literal["quarantine", "allow"]
PixelText: TypeAlias = Literal["auto", "off", "all"]


class DicomSettings(MedicalSettings):
    """Settings of the DICOM converter."""

    plan_fields = frozenset(
        {
            "deid_key",
            "reid_map",
            "labels",
            "properties",
            "reports",
            "report_sections",
            "max_frames",
            "unpack_limit_gb",
            "for_processing",
        }
    )

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Whose images they are": (
            "deid_key",
            "reid_map",
            "dates",
            "burnt_in",
            "pixel_text",
            "blur_faces",
        ),
        "What is read": (
            "unpack_limit_gb",
            "labels",
            "properties",
            "reports",
            "report_sections",
            "for_processing",
            "videos",
            "max_frames",
        ),
        **MedicalSettings.panels,
        "Some modalities only": ("suv", "overlays", "left_facing", "crop_breast"),
    }

    deid_key: Path | None = Field(
        default=None,
        description="File with the secret key, at least 16 bytes, under which patient, study, series and instance "
        "identifiers are hashed. Required, but for --inspect. Make one with: openssl rand -hex 32 > deid.key",
    )
    reid_map: Path | None = Field(
        default=None,
        description="CSV file, outside of OUT, that says which pseudonym stands for which identifier and file. It "
        "names patients: keep it as you keep the images. Not written where left out.",
    )
    dates: Literal["drop", "shift"] = Field(
        default="drop",
        description="Leave dates out, or keep them moved by a number of days that is drawn for each patient from the "
        "key.",
    )
    burnt_in: BurntIn = Field(
        default="quarantine",
        description="Leave out images whose header suggests text in the pixels, or convert them. Ultrasound with "
        "regions is cut to its regions either way.",
    )
    pixel_text: PixelText = Field(
        default="auto",
        description="Look for text in the pixels with the extra ocr: auto where it is installed, in images that are no "
        "primary slices; all in all images (the extra is then required); off nowhere.",
    )
    blur_faces: bool = Field(
        default=False, description="Blur the front of the head in CT and MR slices of the head that show one."
    )
    unpack_limit_gb: float = Field(
        default=50.0, gt=0, description="Refuse an archive that holds more than this, unpacked."
    )
    labels: Path | None = Field(
        default=None,
        description="CSV or Excel table of labels; docs/dicom.md describes its columns. Boxes are in stored columns "
        "and rows, corners on pixel edges. A slice that was looked at and has nothing is listed once with nothing but "
        "its key; a slice that is not listed is not asked about findings.",
    )
    properties: str = Field(
        default="",
        description="Columns of --labels that describe the image, several with commas, such as density: what they hold "
        "is asked for in words. Other columns without a meaning of their own are not used.",
    )
    reports: Path | None = Field(
        default=None,
        description="Reports: a folder of .txt files named by accession number or study UID (also in the layout of "
        "MIMIC-CXR), or a CSV with accession_number or study_instance_uid, and text or sections as columns.",
    )
    report_sections: str = Field(
        default="findings,impression",
        description="Sections of reports that are asked for, by name; text is the whole report.",
    )
    suv: bool = Field(
        default=False,
        description="Convert PET to SUV by body weight before windows; images whose header does not allow it are left "
        "out.",
    )
    overlays: bool = Field(default=False, description="Draw the overlay planes (60xx) of a file, which may hold text.")
    for_processing: Literal["skip", "convert"] = Field(
        default="skip", description="What becomes of radiographs and mammograms FOR PROCESSING, raw detector values."
    )
    left_facing: bool = Field(default=False, description="Show all mammograms with the chest wall on the left.")
    crop_breast: bool = Field(default=False, description="Cut mammograms to the breast.")
    videos: Path | None = Field(
        default=None,
        description="Folder, outside of OUT, into which the bitstreams of MPEG and HEVC files go as they are, under "
        "pseudonyms. They are not looked at for text. Where left out, such files are listed.",
    )
    max_frames: int = Field(
        default=32,
        ge=1,
        description="At most this many frames of one multi-frame file that is no volume, such as a cine, evenly "
        "spread; the others are counted. Slices of a volume are chosen by --select.",
    )

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say: neither the key nor any path, which may hold names."""
        content = super().public()
        for name in ("deid_key", "reid_map"):
            del content[name]
        for name in ("labels", "reports", "videos", "exclude_hashes"):
            content[name] = getattr(self, name) is not None
        return content
