"""Where the pixels of a file lie in the image that is made of it: flipped, turned, resampled, cropped, tiled."""

from __future__ import annotations

from dataclasses import dataclass

from domainvl.schema.boxes import Box, Point


@dataclass(frozen=True)
class PixelMap:
    """An affine map between pixel coordinates: x to the right, y down, whole numbers on pixel edges.

    Attributes:
        matrix: (a, b, c, d, e, f) with x' = a x + b y + c and y' = d x + e y + f.
        width_px: Width of the image that it leads to.
        height_px: Height of that image.
    """

    matrix: tuple[float, float, float, float, float, float]
    width_px: int
    height_px: int

    @classmethod
    def identity(cls, width_px: int, height_px: int) -> PixelMap:
        """Return the map of an image to itself."""
        return cls((1.0, 0.0, 0.0, 0.0, 1.0, 0.0), width_px, height_px)

    @classmethod
    def scaling(cls, from_px: tuple[int, int], to_px: tuple[int, int]) -> PixelMap:
        """Return the map between two sizes of one image, each as width and height."""
        x, y = to_px[0] / from_px[0], to_px[1] / from_px[1]
        return cls((x, 0.0, 0.0, 0.0, y, 0.0), *to_px)

    @classmethod
    def cropping(cls, box_px: tuple[int, int, int, int]) -> PixelMap:
        """Return the map from an image to what a box cuts out of it."""
        x_min, y_min, x_max, y_max = box_px
        return cls((1.0, 0.0, float(-x_min), 0.0, 1.0, float(-y_min)), x_max - x_min, y_max - y_min)

    @classmethod
    def placing(cls, at_px: tuple[int, int], within_px: tuple[int, int]) -> PixelMap:
        """Return the map from an image to a larger one that has its upper left corner at a point of it."""
        return cls((1.0, 0.0, float(at_px[0]), 0.0, 1.0, float(at_px[1])), *within_px)

    def then(self, after: PixelMap) -> PixelMap:
        """Return the map that does this one first and ``after`` next."""
        a, b, c, d, e, f = self.matrix
        p, q, r, s, t, u = after.matrix
        matrix = (p * a + q * d, p * b + q * e, p * c + q * f + r, s * a + t * d, s * b + t * e, s * c + t * f + u)
        return PixelMap(matrix, after.width_px, after.height_px)

    def inverse(self, width_px: int, height_px: int) -> PixelMap:
        """Return the way back, to an image of the given size."""
        a, b, c, d, e, f = self.matrix
        det = a * e - b * d
        matrix = (e / det, -b / det, (b * f - c * e) / det, -d / det, a / det, (c * d - a * f) / det)
        return PixelMap(matrix, width_px, height_px)

    def point(self, point: Point) -> Point:
        """Map a point."""
        a, b, c, d, e, f = self.matrix
        x, y = point
        return a * x + b * y + c, d * x + e * y + f

    def box(self, box_px: Box) -> Box:
        """Map a box to the box around it; it is not cut to the image."""
        x_min, y_min, x_max, y_max = box_px
        corners = [self.point(corner) for corner in ((x_min, y_min), (x_max, y_min), (x_min, y_max), (x_max, y_max))]
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def ring(self, ring: tuple[Point, ...]) -> tuple[Point, ...]:
        """Map the corners of a polygon."""
        return tuple(self.point(point) for point in ring)
