"""The body on which longitudes and latitudes of a CRS lie, and true lengths on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from rasterio.crs import CRS


@dataclass(frozen=True)
class Ellipsoid:
    """An ellipsoid of revolution.

    Attributes:
        semi_major_m: Its radius at the equator.
        flattening: How much shorter it is between the poles, 0 for a sphere.
    """

    semi_major_m: float
    flattening: float

    def to_space(self, lonlat_rad: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Bring longitudes and latitudes to places in space, between which straight lines are measured.

        Neither the poles nor the antimeridian are special there. OGP Publication 373-7-2, Geographic/geocentric
        conversions (EPSG method 9602), at height 0.

        Args:
            lonlat_rad: Shape (n, 2).

        Returns:
            Metres from the middle of the body, shape (n, 3).
        """
        longitude, latitude = lonlat_rad[:, 0], lonlat_rad[:, 1]
        eccentricity2 = self.flattening * (2.0 - self.flattening)
        prime_vertical_m = self.semi_major_m / np.sqrt(1.0 - eccentricity2 * np.sin(latitude) ** 2)
        from_axis_m = prime_vertical_m * np.cos(latitude)
        along_axis_m = prime_vertical_m * (1.0 - eccentricity2) * np.sin(latitude)
        return np.column_stack([from_axis_m * np.cos(longitude), from_axis_m * np.sin(longitude), along_axis_m])


def ellipsoid_of(crs: CRS) -> Ellipsoid:
    """Return the ellipsoid of a geographic or projected CRS."""
    described = crs.to_dict(projjson=True)
    while not {"datum", "datum_ensemble"} & described.keys():
        # Projected, bound, or horizontal and vertical together: the first part is the horizontal one.
        described = described.get("base_crs") or described.get("source_crs") or described["components"][0]
    ellipsoid = (described.get("datum") or described["datum_ensemble"])["ellipsoid"]
    semi_major_m = _length_m(ellipsoid.get("semi_major_axis", ellipsoid.get("radius")))
    if "semi_minor_axis" in ellipsoid:
        return Ellipsoid(semi_major_m, 1.0 - _length_m(ellipsoid["semi_minor_axis"]) / semi_major_m)
    inverse = float(ellipsoid.get("inverse_flattening", 0.0))
    return Ellipsoid(semi_major_m, 1.0 / inverse if inverse else 0.0)


def _length_m(length: Any) -> float:
    """Read a length of PROJJSON: a number of metres, or a value with a unit."""
    if isinstance(length, dict):
        unit = length["unit"]
        return float(length["value"]) * (1.0 if unit == "metre" else float(unit["conversion_factor"]))
    return float(length)
