"""Polygons that are written with longitudes on both sides of the antimeridian."""

import numpy as np
import pytest
import shapely
from rasterio.crs import CRS

from domainvl.converters.geotiff.labels.antimeridian import joined_at_antimeridian

DEGREES = CRS.from_epsg(4326)


def joined(*geometries, crs=DEGREES):
    column = np.empty(len(geometries), dtype=object)
    column[:] = geometries
    return joined_at_antimeridian(column, crs)


def test_geo_16_corners_that_jump_are_brought_to_one_turn():
    (found,) = joined(shapely.Polygon([(179, 5), (-179, 5), (-179, 6), (179, 6)]))
    assert found.equals(shapely.box(179, 5, 181, 6))
    (found,) = joined(shapely.Polygon([(-179, 5), (179, 5), (179, 6), (-179, 6)]))
    assert found.equals(shapely.box(-181, 5, -179, 6))


def test_geo_16_a_hole_goes_with_its_shell():
    hole = [(-179.5, 5.4), (-179.2, 5.4), (-179.2, 5.6), (-179.5, 5.6)]
    (found,) = joined(shapely.Polygon([(179, 5), (-179, 5), (-179, 6), (179, 6)], holes=[hole]))
    assert found.is_valid
    assert found.area == pytest.approx(2 - 0.3 * 0.2)


def test_geo_16_each_part_is_joined_by_itself():
    jumping, plain = shapely.Polygon([(179, 5), (-179, 5), (-179, 6), (179, 6)]), shapely.box(10, 5, 11, 6)
    (found,) = joined(shapely.MultiPolygon([jumping, plain]))
    assert sorted(part.bounds for part in found.geoms) == [(10, 5, 11, 6), (179, 5, 181, 6)]


@pytest.mark.parametrize(
    "geometry",
    [
        shapely.box(-180, -90, 180, 90),
        shapely.box(-80, 5, 80, 6),
        shapely.Polygon([(-120, -70), (0, -80), (120, -70)]),  # around the pole: after a turn it is where it began
        shapely.LineString([(179, 5), (-179, 5)]),
        None,
    ],
)
def test_what_goes_around_the_world_or_is_no_polygon_stays(geometry):
    assert joined(geometry, shapely.box(1, 1, 2, 2))[0] is geometry


def test_metres_do_not_jump():
    wide = shapely.box(0, 0, 500_000, 10)
    assert joined(wide, crs=CRS.from_epsg(32633))[0] is wide
