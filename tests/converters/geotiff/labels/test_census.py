"""What a vector file says before any scene is looked at."""

import numpy as np
import pyogrio
import pytest
import shapely

from domainvl.converters.geotiff.labels.census import take_census
from domainvl.converters.geotiff.labels.vector_file import look_at_vector_file

DRIVERS = {"l.geojson": "GeoJSON", "l.gpkg": "GPKG", "l.shp": "ESRI Shapefile"}


def write(path, geometries, names):
    wkb = np.array([None if each is None else shapely.to_wkb(each) for each in geometries], dtype=object)
    pyogrio.raw.write(
        path,
        wkb,
        [np.array(names, dtype=object)],
        ["class"],
        driver=DRIVERS[path.name],
        crs="EPSG:4326",
        geometry_type="Polygon" if path.suffix == ".shp" else "Unknown",
    )
    return look_at_vector_file(path, f"labels/{path.name}", field="class", one_class=None, layer=None)


@pytest.mark.parametrize("name", DRIVERS)
def test_geo_35_features_without_a_place_are_found_whatever_the_format(tmp_path, name):
    geometries = [shapely.box(0, 0, 1, 1), None, shapely.Polygon(), None, shapely.box(0, 0, 2, 2)]
    census = take_census(write(tmp_path / name, geometries, ["barn", "silo", "mill", None, None]))
    first = 1 if name == "l.gpkg" else 0
    assert census.classes == {"barn", "silo", "mill"}
    assert census.unclear == {"silo", "mill", "unknown class"}
    assert census.placeless_count == 3
    assert [(reject.input, reject.reason) for reject in census.rejects] == [
        (f"labels/{name}#{first + row}", "empty-geometry") for row in (1, 2, 3)
    ]


def test_a_point_where_the_meridian_meets_the_equator_has_a_place(tmp_path):
    census = take_census(write(tmp_path / "l.gpkg", [shapely.Point(0, 0), shapely.Polygon()], ["buoy", "barn"]))
    assert census.unclear == {"barn"}


def test_one_class_for_all_is_the_class_of_what_has_no_place(tmp_path):
    write(tmp_path / "l.gpkg", [shapely.box(0, 0, 1, 1), None], ["a", "b"])
    file = look_at_vector_file(tmp_path / "l.gpkg", "l", field=None, one_class="roof", layer=None)
    assert (take_census(file).classes, take_census(file).unclear) == ({"roof"}, {"roof"})
