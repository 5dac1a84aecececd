"""What every converter of medical volumes can be told: which slices, in which form, and what is asked about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, TypeAlias

from pydantic import Field

from domainvl.conversion import ConverterSettings

Pack: TypeAlias = Literal["images", "rgb"]
Display: TypeAlias = Literal["anatomical", "stored"]


class MedicalSettings(ConverterSettings):
    """Settings that the converters of medical volumes share."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "How images are shown": ("windows", "pack", "percentiles", "display", "keep_aspect"),
        "What a sample shows": ("select", "forms", "images_per_sample", "slab_mm"),
        "What is asked": (
            "tasks",
            "header_slices_per_stack",
            "components",
            "marks",
            "phrasing",
            "phrasing_seed",
        ),
    }

    not_enhanced: ClassVar[str] = (
        "pixels of patients are not synthesised: details that no scanner saw may look like findings"
    )

    windows: str = Field(
        default="auto",
        description="Grey levels to show, several with commas: auto (the file's own first VOI LUT or window, else "
        "percentiles), file:N (its Nth window, from 1) or file:NAME (by its explanation), a CT window: soft, lung, "
        "bone, brain, mediastinum, liver, stroke, subdural (others than CT stay at auto), or CENTER/WIDTH in modality "
        "units.",
    )
    pack: Pack = Field(
        default="images", description="Several windows as several images of a sample, or three as red, green and blue."
    )
    percentiles: str = Field(
        default="1,99",
        description="LOW,HIGH: percentiles of the pixels of an image that become black and white where neither the "
        "file nor --windows names a window. Padding and air outside of the field of view do not count.",
    )
    display: Display = Field(
        default="anatomical",
        description="Flip and turn slices to the customary display of their plane, or leave them as they are stored.",
    )
    keep_aspect: bool = Field(
        default=False, description="Leave pixels as they are stored where they are not square, instead of resampling."
    )
    select: str = Field(
        default="all",
        description="Slices of a stack: all, every:MM (one each so many mm), even:N (N of them, evenly over its "
        "length), or around:MM (those within so many mm of a finding, or of a slice that a key object note names).",
    )
    forms: str = Field(
        default="slices",
        description="What a sample shows, several with commas: slices (one each), series (images of a stack in "
        "anatomical order, their positions in the prompt), montage (these in one image), mip (maximum-intensity "
        "projections of slabs), video (frames of a cine or of a stack).",
    )
    images_per_sample: int = Field(
        default=8, ge=2, le=64, description="Images of a series, montage or video: so many, evenly spread."
    )
    slab_mm: float = Field(default=10.0, gt=0, description="Thickness of the slabs of mip.")
    header_slices_per_stack: int | None = Field(
        default=None,
        ge=0,
        description="Slices of a stack, evenly spread, that are asked for what the header tells, such as modality and "
        "plane; all where left out.",
    )
    components: bool = Field(
        default=False, description="Take each connected region of a segment on a slice as a thing of its own."
    )
    tasks: str = Field(
        default="auto",
        description="What is asked, several with commas: modality, body-part, view, laterality, plane, presence, "
        "counting, choice, grounding, region, detection, marked (the region drawn on the image), measurement, caption, "
        "report, label; or all. auto is all but region, detection and caption.",
    )
    marks: str = Field(
        default="contour,mask,box", description="How a region is marked on the image; each sample draws one of these."
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed varies the words in another way.")
