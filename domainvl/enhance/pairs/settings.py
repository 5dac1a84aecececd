"""What ``enhance register`` can be asked for, and the pairs of files that it works on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Layout = Literal["folders", "geotiffs", "city100", "sr-raw"]
LAYOUTS: tuple[Layout, ...] = ("folders", "geotiffs", "city100", "sr-raw")
Method = Literal["shift", "affine", "none"]
METHODS: tuple[Method, ...] = ("shift", "affine", "none")


class RegisterSettings(BaseModel):
    """How pairs are found, registered, judged and split.

    Attributes:
        scale: How many times the rows and columns of the low view the high one has.
        layout: How the files lie.
        method: What is looked for: a shift, an affine transform, or nothing.
        shrink_low: Low views are stored at the size of the high ones and are shrunk by the scale first.
        mosaic: Low views are raw mosaics of one band.
        largest_shift_px: Pairs that are further apart are rejected, in low pixels; None for a quarter of the low view.
        least_similarity: Pairs whose gradients correlate less after registration are rejected. Of windows of City100 of
            128 pixels, 40 drawn at random from different scenes reached 0.11, and 40 of the same scene 0.38 or more.
        least_size_px: Pairs with fewer low rows or columns left are rejected.
        least_valid: Pairs with a smaller share of pixels that are valid in both views are rejected.
        window_px: Side of the windows that GeoTIFFs are cut into, in low pixels.
        largest_mpx: Pictures of more megapixels are rejected, for they are read whole; a megapixel takes about 0.1 GB.
        val_share: Share of the groups that is for validation.
        test_share: Share of the groups that is for the test.
        seed: Decides which groups these are.
        force_medical: Let medical views through, for research; whoever reads the set can see it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Literal[2, 4, 8]
    layout: Layout
    method: Method = "shift"
    shrink_low: bool = False
    mosaic: bool = False
    largest_shift_px: float | None = Field(default=None, gt=0)
    least_similarity: float = Field(default=0.25, ge=-1, le=1)
    least_size_px: int = Field(default=32, ge=16)
    least_valid: float = Field(default=0.5, ge=0, le=1)
    window_px: int = Field(default=128, ge=32)
    largest_mpx: float = Field(default=50.0, gt=0)
    val_share: float = Field(default=0.1, ge=0, lt=1)
    test_share: float = Field(default=0.2, ge=0, lt=1)
    seed: int = 0
    force_medical: bool = False

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        windows_mpx = (self.window_px * self.scale) ** 2 / 1e6
        broken = {
            f"--val-share and --test-share must leave something, got {self.val_share:g} and {self.test_share:g}": (
                self.val_share + self.test_share >= 1
            ),
            "--shrink-low does not go with --mosaic: it would mix the colours": self.shrink_low and self.mosaic,
            f"--shrink-low does not go with {self.layout}, whose views are brought to the scale by their fields": (
                self.shrink_low and self.layout in ("geotiffs", "sr-raw")
            ),
            f"--window-px must be even with --mosaic, got {self.window_px}": (
                self.layout == "geotiffs" and self.mosaic and self.window_px % 2 == 1
            ),
            f"high windows have {windows_mpx:.1f} megapixels, --largest-mpx is {self.largest_mpx:g}": (
                self.layout == "geotiffs" and windows_mpx > self.largest_mpx
            ),
            "--largest-shift-px does not go with --register none": (
                self.method == "none" and self.largest_shift_px is not None
            ),
        }
        for rule, is_broken in broken.items():
            if is_broken:
                raise ValueError(rule)
        return self


@dataclass(frozen=True)
class PairSource:
    """Two files, or a window of them, that may be a pair.

    Attributes:
        id: Its name, unique in the set and fit for a file.
        group: What must not be divided between splits.
        low: File of the low view.
        high: File of the high view.
        window: Row, column, rows and columns of the low file that are meant; None for all of it.
        zoom: How many times narrower the high view's field is, where both frames are of one sensor; None where both
            views show one field.
    """

    id: str
    group: str
    low: Path
    high: Path
    window: tuple[int, int, int, int] | None = None
    zoom: float | None = None
