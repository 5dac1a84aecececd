"""Versions of what decides pixels and coordinates, for the manifest; parts made with others are not used."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from importlib import metadata

from domainvl import __version__

_PACKAGES = (
    "highdicom", "nibabel", "numpy", "pillow", "pydicom", "pyjpegls", "pylibjpeg", "pyogrio", "python-gdcm",
    "rapidocr-onnxruntime", "rasterio", "shapely", "zlib-ng",
)  # fmt: skip
"""What pixels and coordinates pass through; absent ones are not mentioned."""


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Return the versions of what takes part in a conversion.

    Args:
        more: Packages that do so by the settings of this one.
    """
    import rasterio
    from openjpeg.utils import get_openjpeg_version

    found = {"domainvl": __version__, "gdal": rasterio.__gdal_version__, "zlib": zlib.ZLIB_RUNTIME_VERSION}
    found["openjpeg"] = ".".join(map(str, get_openjpeg_version()))
    for name in (*_PACKAGES, *more):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
