"""Files of polygons, read back with GDAL."""

from __future__ import annotations

import json

import pyogrio
import pytest
import shapely
from rasterio.crs import CRS

from domainvl.errors import UsageError
from domainvl.prediction.vector_files import Feature, check_crs, check_output, record_path, write_features

NAMES = ("label", "likelihood", "cut", "pieces")
FEATURES = [
    Feature([(10, 50), (10, 40), (20, 40), (20, 50)], {"label": "Ä\n", "likelihood": 0.5, "cut": True, "pieces": 2}),
    Feature([(0.1234567891, 1), (0, 0), (1, 0)], {"label": None, "likelihood": 1.0, "cut": False, "pieces": 1}),
]
LOCAL = CRS.from_proj4("+proj=tmerc +lat_0=51.3 +lon_0=12.7 +ellps=bessel +units=m")


@pytest.mark.parametrize("name", ["a.geojson", "a.gpkg", "a.json"])
@pytest.mark.parametrize("epsg", [4326, 4258, 32633])
def test_gdal_reads_geometry_crs_and_types(tmp_path, name, epsg):
    write_features(tmp_path / name, FEATURES, CRS.from_epsg(epsg), NAMES)
    meta, _, geometries, fields = pyogrio.raw.read(tmp_path / name)
    assert meta["crs"] == f"EPSG:{epsg}"
    assert shapely.from_wkb(geometries[0]).equals(shapely.box(10, 40, 20, 50))
    assert shapely.from_wkb(geometries[1]).area == pytest.approx(0.5, abs=1e-4)
    assert list(meta["fields"]) == list(NAMES)
    assert [field.tolist() for field in fields] == [["Ä\n", None], [0.5, 1.0], [True, False], [2, 1]]
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_degrees_of_wgs_84_go_without_a_crs_member(tmp_path):
    """RFC 7946 section 4: coordinates are WGS 84 longitude and latitude; a member crs must not be relied on."""
    write_features(tmp_path / "a.geojson", FEATURES, CRS.from_epsg(4326), NAMES)
    content = json.loads((tmp_path / "a.geojson").read_bytes())
    assert "crs" not in content
    assert content["features"][1]["geometry"]["coordinates"][0][0] == [0.123456789, 1]


def test_a_crs_without_a_code_goes_into_a_geopackage_alone(tmp_path):
    with pytest.raises(UsageError, match="Use --out-crs EPSG:4326"):
        check_crs(tmp_path / "a.geojson", LOCAL)
    check_crs(tmp_path / "a.gpkg", LOCAL)
    write_features(tmp_path / "a.gpkg", FEATURES, LOCAL, NAMES)
    assert CRS.from_user_input(pyogrio.read_info(tmp_path / "a.gpkg")["crs"]) == LOCAL


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    out = tmp_path / "a.geojson"
    check_output(out, overwrite=False)
    record_path(out).write_text("{}")
    with pytest.raises(UsageError, match=r"a\.geojson\.run\.json: it exists"):
        check_output(out, overwrite=False)
    check_output(out, overwrite=True)
    out.mkdir()
    with pytest.raises(UsageError, match="it exists"):
        check_output(out, overwrite=True)
