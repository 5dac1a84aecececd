"""Where an enlarged raster lies: the georeference of the input, for pixels that are smaller."""

from __future__ import annotations

from affine import Affine
from rasterio.control import GroundControlPoint
from rasterio.rpc import RPC


def scaled_transform(transform: Affine, scale: int) -> Affine:
    """Return the transform of pixels that are ``scale`` times as small; the upper left corner stays where it is."""
    return transform @ Affine.scale(1 / scale)


def scaled_points(points: list[GroundControlPoint], scale: int) -> list[GroundControlPoint]:
    """Return ground control points of the enlarged raster; rows and columns are counted from pixels' corners."""
    return [
        GroundControlPoint(point.row * scale, point.col * scale, point.x, point.y, point.z, point.id, point.info)
        for point in points
    ]


def scaled_rpcs(rpcs: RPC, scale: int) -> RPC:
    """Return rational polynomials of the enlarged raster.

    Lines and samples are counted from the centre of the first pixel (GDAL RFC 22), so that line ``l`` becomes
    ``scale (l + 1/2) - 1/2``.
    """
    values = rpcs.to_dict() | {
        "line_off": scale * (rpcs.line_off + 0.5) - 0.5,
        "samp_off": scale * (rpcs.samp_off + 0.5) - 0.5,
        "line_scale": scale * rpcs.line_scale,
        "samp_scale": scale * rpcs.samp_scale,
    }
    return RPC(**values)
