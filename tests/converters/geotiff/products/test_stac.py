import json
import pickle

import numpy as np
import pytest
import rasterio
from scene_layouts import write_raster, write_stac_item

from domainvl.converters.geotiff.products import find_products
from domainvl.errors import NothingToDoError

SCALED = {"scale": 0.0001, "offset": -0.1, "nodata": 0, "spatial_resolution": 10}


def asset(href, *, name=None, common=None, **fields):
    """An asset of STAC 1.0 with one band, of role data."""
    band = {key: value for key, value in (("name", name), ("common_name", common)) if value}
    return {"href": href, "type": "image/tiff; application=geotiff", "roles": ["data"], "eo:bands": [band]} | fields


@pytest.fixture
def image(tmp_path):
    def write(name, count=1):
        return write_raster(tmp_path / "in" / name, np.full((count, 4, 4), 2600, np.uint16), 10)

    return write


@pytest.fixture
def item(tmp_path):
    def write(assets, **options):
        return write_stac_item(tmp_path / "in/scene.json", assets, **options)

    return write


def read(source, **options):
    (product,) = find_products(source, **options).products
    return product


def reject(source, **options):
    found = find_products(source, **options)
    assert found.products == ()
    (only,) = found.rejects
    return only


def bands(product):
    return {band.role or band.name: band for band in product.bands}


def test_geo_04_an_item_of_version_1_0_has_bands_with_factors(image, item):
    image("B04.tif"), image("sub/B08.tif")
    source = item(
        {
            "red": asset("./B04.tif", name="B04", common="red", **{"raster:bands": [SCALED]}),
            "nir": asset("sub/B08.tif", name="B08", common="nir", **{"raster:bands": [SCALED]}),
            "thumbnail": {"href": "no.jpg", "roles": ["thumbnail"], "type": "image/jpeg"},
        },
        platform="sentinel-2a",
        processing_baseline="05.09",
    )
    product = read(source)
    assert (product.uri, product.name, product.kind) == ("scene.json", "scene", "stac-item")
    assert (product.sensor, product.date) == ("sentinel-2", "2023-07-01")
    red = bands(product)["red"]
    assert (red.name, red.scale, red.offset, red.nodata, red.gsd_m) == ("B04", 0.0001, -0.1, 0, 10)
    with rasterio.open(red.path) as dataset:
        np.testing.assert_allclose(dataset.read(1) * red.scale + red.offset, 0.16)
    assert [name for name, _ in product.files] == ["scene.json", "B04.tif", "sub/B08.tif"]
    details = dict(product.details)
    assert (details["stac_id"], details["processing_baseline"], details["not_bands"]) == ("scene", "05.09", "thumbnail")
    assert pickle.loads(pickle.dumps(product)) == product


def test_geo_04_an_item_of_version_1_1_has_the_same(image, item):
    image("a.tif", count=2)
    source = item(
        {
            "data": {
                "href": "a.tif",
                "type": "image/tiff",
                "roles": ["data"],
                "raster:scale": 0.0001,
                "nodata": "nan",
                "gsd": 3,
                "bands": [
                    {"name": "r", "eo:common_name": "red", "raster:offset": -0.1},
                    {"name": "n", "eo:common_name": "nir", "raster:scale": 0.5, "nodata": 7},
                ],
            }
        },
        version="1.1.0",
    )
    red, nir = read(source).bands
    assert (red.role, red.number, red.scale, red.offset, red.gsd_m) == ("red", 1, 0.0001, -0.1, 3)
    assert np.isnan(red.nodata)
    assert (nir.role, nir.number, nir.scale, nir.offset, nir.nodata) == ("nir", 2, 0.5, 0.0, 7)


def test_geo_04_an_offset_that_is_in_the_pixels_already_is_not_applied_again(image, item):
    image("B04.tif")
    assets = {"red": asset("B04.tif", common="red", **{"raster:bands": [SCALED]})}
    for is_applied, offset in ((True, 0.0), (False, -0.1)):
        product = read(item(assets, platform="sentinel-2b", boa_offset_applied=is_applied))
        assert product.bands[0].offset == offset
    assert read(item(assets, **{"sentinel:boa_offset_applied": True})).bands[0].offset == 0.0


@pytest.mark.parametrize(("baseline", "is_refused"), [("05.09", True), ("02.14", False)])
def test_geo_04_an_offset_that_the_baseline_has_and_nobody_states_is_refused(image, item, baseline, is_refused):
    image("B04.tif")
    source = item({"B04": asset("B04.tif", name="B04")}, processing_baseline=baseline, platform="sentinel-2a")
    if is_refused:
        assert reject(source).reason == "no-offset"
        assert f"baseline {baseline}" in reject(source).message
    else:
        assert read(source).bands[0].role == "red"


@pytest.mark.parametrize(
    ("platform", "key", "name", "common", "role"),
    [
        ("sentinel-2a", "B8A", "B8A", "rededge", "nir-narrow"),  # as the Planetary Computer calls it
        ("sentinel-2a", "B06", "B06", "rededge", "rededge2"),
        ("sentinel-2a", "rededge3", "rededge3", "rededge", "rededge3"),  # as Earth Search does
        (None, "x", "y", "rededge", "rededge1"),
        ("landsat-8", "nir08", "OLI_B5", "nir08", "nir"),
        ("landsat-5", "x", "SR_B4", None, "nir"),
        (None, "x", "B4", None, None),
        (None, "vh", None, None, "vh"),
        (None, "swir16", None, None, "swir1"),
        (None, "x", None, "nir09", "water-vapour"),
    ],
)
def test_geo_01_roles_come_from_the_sensor_then_the_common_name_then_the_key(
    image, item, platform, key, name, common, role
):
    image("a.tif")
    properties = {"platform": platform} if platform else {}
    assert read(item({key: asset("a.tif", name=name, common=common)}, **properties)).bands[0].role == role


def test_geo_01_of_several_assets_of_one_band_the_finest_has_the_role(image, item):
    for gsd_m in (10, 20, 60):
        image(f"{gsd_m}.tif")
    sides = {"a": 60, "b": 10, "c": 20}
    assets = {key: asset(f"{gsd}.tif", name="B04", common="red", gsd=gsd) for key, gsd in sides.items()}
    found = read(item(assets, platform="sentinel-2a")).bands
    assert [(band.path.rsplit("/")[-1], band.role) for band in found] == [
        ("60.tif", None),
        ("10.tif", "red"),
        ("20.tif", None),
    ]


def test_geo_01_bands_of_the_multispectral_scanner_are_not_taken_for_those_of_the_thematic_mapper(image, item):
    image("a.tif")
    source = item({"x": asset("a.tif", name="B4")}, platform="landsat-5", instruments=["mss"])
    assert (read(source).sensor, read(source).bands[0].role) == (None, None)


def test_geo_01_several_bands_that_nobody_names_have_numbers_and_no_roles(image, item):
    image("a.tif", count=2)
    bands = {"raster:bands": [{"scale": 1}, {"scale": 2}]}
    product = read(item({"vv": {"href": "a.tif", "type": "image/tiff", "roles": ["data"], **bands}}))
    assert [(band.name, band.role, band.number, band.scale) for band in product.bands] == [
        ("1", None, 1, 1.0),
        ("2", None, 2, 2.0),
    ]


def test_an_asset_without_roles_counts_if_it_is_a_raster_with_bands(image, item):
    image("a.tif"), image("b.tif"), image("c.tif")
    assets = {
        "a": {"href": "a.tif", "type": "image/tiff", "eo:bands": [{"common_name": "red"}]},
        "b": {"href": "b.tif", "type": "image/tiff"},
        "preview": asset("c.tif", common="green", roles=["overview", "data"]),
        "visual": asset("c.tif", common="blue"),
    }
    product = read(item(assets))
    assert [band.role for band in product.bands] == ["red"]
    assert dict(product.details)["not_bands"] == "b, preview, visual"


def test_a_missing_asset_is_named_and_without_any_the_item_is_rejected(image, item):
    image("a b.tif")
    both = item({"red": asset("a%20b.tif", common="red"), "nir": asset("gone.tif", common="nir")})
    assert dict(read(both).details)["missing_assets"] == "nir"
    assert read(both).missing == (("nir", "nir", "gone.tif"),)
    assert reject(item({"nir": asset("gone.tif", common="nir")})).reason == "no-bands"


def test_geo_01_a_missing_asset_is_no_missing_band_where_another_has_its_role(image, item):
    image("red.tif")
    both = item({"red": asset("red.tif", common="red"), "red-10m": asset("https/x/red_10m.tif", common="red")})
    assert read(both).missing == (("red-10m", None, "red_10m.tif"),)


def test_geo_01_what_a_missing_asset_says_of_its_values_does_not_matter(image, item):
    image("red.tif")
    blue = asset("blue.tif", name="B2", common="blue", **{"raster:bands": [{"scale": "none"}]})
    (missing,) = read(item({"red": asset("red.tif", common="red"), "blue": blue})).missing
    assert missing == ("B2", "blue", "blue.tif")


@pytest.mark.parametrize(
    ("href", "path"),
    [
        ("https://example.org/a/B04.tif?sig=secret", "/vsicurl/https://example.org/a/B04.tif?sig=secret"),
        ("s3://bucket/a/B04.tif", "/vsis3/bucket/a/B04.tif"),
        ("/vsicurl/https://example.org/B04.tif", "/vsicurl/https://example.org/B04.tif"),
    ],
)
def test_assets_on_the_network_are_taken_only_where_that_is_allowed(item, href, path):
    source = item({"red": asset(href, common="red")})
    found = reject(source)
    assert found.reason == "remote-not-allowed"
    assert "secret" not in found.message
    product = read(source, allow_remote=True)
    assert product.bands[0].path == path
    assert [name for name, _ in product.files] == ["scene.json"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "must be a JSON object, got list"),
        ("{", "it is no JSON"),
        ('{"type": "FeatureCollection"}', "assets must be an object, got NoneType"),
        (
            '{"type": "Feature", "stac_version": "0.9.0", "assets": {}}',
            "must be a STAC item of version 1, got stac_version '0.9.0'",
        ),
        ('{"type": "Feature", "stac_version": "1.0.0", "assets": {}, "properties": {}}', "no asset is a data raster"),
    ],
)
def test_a_file_that_is_no_item_is_a_reject_that_says_so(tmp_path, content, message):
    source = tmp_path / "scene.json"
    source.write_text(content)
    assert message in reject(source).message


def test_an_item_with_a_byte_order_mark_is_read(image, item):
    image("a.tif")
    source = item({"red": asset("a.tif", common="red")})
    source.write_bytes(b"\xef\xbb\xbf" + source.read_bytes())
    assert read(source).bands[0].role == "red"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"raster:bands": [{"scale": "x"}]}, "scale must be a finite number, got 'x'"),
        ({"raster:bands": [{"scale": True}]}, "scale must be a finite number, got True"),
        ({"raster:bands": {"scale": 1}}, "the bands of assets/red must be lists"),
        ({"raster:bands": [{"nodata": "none"}]}, "nodata must be a finite number, got 'none'"),
        ({"href": 3}, "assets/red/href must be a path or URL, got 3"),
    ],
)
def test_a_bad_value_is_a_reject_that_names_it(image, item, fields, message):
    image("a.tif")
    source = item({"red": asset("a.tif", common="red") | fields})
    assert message in reject(source).message
    assert json.loads(source.read_text())["assets"]["red"]


def test_a_folder_with_an_item_alone_is_empty_unless_items_are_asked_for(item, tmp_path):
    item({})
    with pytest.raises(NothingToDoError):
        find_products(tmp_path / "in")
