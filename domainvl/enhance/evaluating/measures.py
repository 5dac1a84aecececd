"""What is measured of every pair: names, directions and what each says, in one table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Direction = Literal["higher", "lower"]


@dataclass(frozen=True)
class Measure:
    """One measure.

    Attributes:
        key: Its name in files.
        title: Its name in tables.
        unit: Of its values; empty for a share or an index.
        better: Which values are better; None where it only describes.
        says: What it is, in a sentence.
        of_added: Whether it is about what was added to bicubic interpolation, so that bicubic itself has a value by
            definition and no comparison with it says anything.
        headline: Whether the console shows it.
        decides: Whether the sentences of a verdict name it: nearness to the truth, and what was made up.
        decimals: Digits after the point in tables.
    """

    key: str
    title: str
    unit: str
    better: Direction | None
    says: str
    of_added: bool = False
    headline: bool = False
    decides: bool = False
    decimals: int = 3

    @property
    def difference_decimals(self) -> int:
        """Digits after the point of differences, which are smaller than values."""
        return self.decimals + 1


MEASURES = (
    Measure(
        "psnr_db",
        "PSNR",
        "dB",
        "higher",
        "Peak signal-to-noise ratio, pixel on pixel; the peak is the high view's range. A pixel's shift costs much.",
        headline=True,
        decides=True,
        decimals=2,
    ),
    Measure(
        "ssim",
        "SSIM",
        "",
        "higher",
        "Structural similarity (Wang et al. 2004): Gaussian window of 11 x 11 px, sigma 1.5 px, mean over bands.",
        headline=True,
        decides=True,
    ),
    Measure(
        "cpsnr_db",
        "cPSNR",
        "dB",
        "higher",
        "PSNR at the best of 49 shifts of up to 3 high pixels, each band's mean difference removed (PROBA-V, Märtens "
        "et al. 2019; per band as in satlas-super-resolution, ssr/metrics/cpsnr.py).",
        headline=True,
        decides=True,
        decimals=2,
    ),
    Measure(
        "lpips",
        "LPIPS",
        "",
        "lower",
        "Learned perceptual distance (Zhang et al. 2018), AlexNet, with the weights that were given.",
        decides=True,
    ),
    Measure(
        "reflectance",
        "reflectance",
        "",
        "lower",
        "Consistency with the low view: mean absolute difference of the shrunk picture to the low view (opensr-test).",
        decimals=4,
    ),
    Measure(
        "spectral_deg",
        "spectral angle",
        "°",
        "lower",
        "Consistency with the low view: mean angle between the spectra of the picture, shrunk, and the low view "
        "(opensr-test).",
    ),
    Measure(
        "spatial_px",
        "spatial shift",
        "low px",
        "lower",
        "Consistency with the low view: shift between the picture, shrunk, and the low view by phase correlation "
        "(opensr-test).",
    ),
    Measure(
        "synthesis",
        "synthesis",
        "",
        None,
        "How much was added: mean absolute difference to bicubic interpolation, both harmonised to the high view "
        "(opensr-test). Neither better nor worse.",
        of_added=True,
        decimals=4,
    ),
    Measure(
        "improvement",
        "improvement",
        "",
        "higher",
        "Share of the detail that is like the truth (opensr-test).",
        of_added=True,
    ),
    Measure(
        "omission",
        "omission",
        "",
        "lower",
        "Share of the detail that is like bicubic interpolation: nothing was added (opensr-test).",
        of_added=True,
    ),
    Measure(
        "hallucination",
        "hallucination",
        "",
        "lower",
        "Share of the detail that is like neither: it was made up (opensr-test).",
        of_added=True,
        headline=True,
        decides=True,
    ),
)

MEASURE_OF = {measure.key: measure for measure in MEASURES}
