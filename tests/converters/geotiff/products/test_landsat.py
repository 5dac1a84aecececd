import pickle
import tarfile

import numpy as np
import pytest
import rasterio
from scene_layouts import LANDSAT_NAME, write_landsat

from domainvl.converters.geotiff.products import find_products

L1 = "LC08_L1TP_199025_20130616_20200912_02_T1"
ETM = "LE07_L1TP_038035_20190618_20200828_02_T1"
TM = "LT05_L2SP_046028_19840719_20200918_02_T1"
MSS = "LM05_L1TP_046028_19840719_20200918_02_T1"


def pixels(value, side=4):
    return np.full((side, side), value, np.uint16)


def read(folder):
    (product,) = find_products(folder).products
    return product


def reject(folder):
    found = find_products(folder)
    assert found.products == ()
    (only,) = found.rejects
    return only


def physical(band):
    with rasterio.open(band.path) as dataset:
        return float((dataset.read(band.number) * band.scale + band.offset)[0, 0])


@pytest.mark.parametrize("form", ["txt", "xml", "json"])
def test_geo_04_level_2_bands_have_the_factors_of_level_2(tmp_path, form):
    # 7273 is reflectance 0 and 44177 is 300 K (USGS, Landsat 8-9 Collection 2 Level 2 Science Product Guide).
    bands = {"4": pixels(7273), "5": pixels(43636), "ST_B10": pixels(44177)}
    write_landsat(tmp_path, bands, metadata=(form,), missing=("2",))
    product = read(tmp_path)
    assert (product.uri, product.name) == (LANDSAT_NAME, LANDSAT_NAME)
    assert (product.kind, product.sensor, product.date) == ("landsat-collection-2", "landsat-8", "2024-06-16")
    assert [(band.name, band.role, band.nodata, band.gsd_m) for band in product.bands] == [
        ("SR_B4", "red", 0, 30),
        ("SR_B5", "nir", 0, 30),
        ("ST_B10", "thermal1", 0, 30),
    ]
    assert [physical(band) for band in product.bands] == pytest.approx([0, 1, 300], abs=0.01)
    details = dict(product.details)
    assert (details["level"], details["spacecraft"], details["missing_bands"]) == ("L2SP", "LANDSAT_9", "SR_B2")
    assert product.missing == (("SR_B2", "blue", f"{LANDSAT_NAME}_SR_B2.TIF"),)
    assert (details["quantity"], details["thermal_quantity"]) == ("surface reflectance", "surface temperature in K")
    assert details["quality"] == f"{LANDSAT_NAME}_QA_PIXEL.TIF"
    assert next(name for name, _ in product.files) == f"{LANDSAT_NAME}/{LANDSAT_NAME}_MTL.{form}"
    assert len(product.files) == 1 + 3
    assert pickle.loads(pickle.dumps(product)) == product


def test_geo_04_level_1_is_reflectance_of_the_top_and_radiance_where_thermal(tmp_path):
    write_landsat(tmp_path, {"10": pixels(1000), "8": pixels(5000, 8), "3": pixels(10000)}, name=L1)
    product = read(tmp_path)
    assert [(band.name, band.role, band.gsd_m) for band in product.bands] == [
        ("B3", "green", 30),
        ("B8", "pan", 15),
        ("B10", "thermal1", 30),
    ]
    assert [physical(band) for band in product.bands] == pytest.approx([0.1, 0.0, 0.4342])
    details = dict(product.details)
    assert details["quantity"] == "top-of-atmosphere reflectance, not corrected for the sun"
    assert details["thermal_quantity"] == "radiance in W/(m2 sr um)"


@pytest.mark.parametrize(
    ("name", "keys", "sensor", "expected"),
    [
        (TM, ("3", "4", "7", "ST_B6"), "landsat-5", ["red", "nir", "thermal1", "swir2"]),
        (ETM, ("4", "6_VCID_1", "6_VCID_2", "8"), "landsat-7", ["nir", "thermal1", None, "pan"]),
        (MSS, ("1", "4"), None, [None, None]),
    ],
)
def test_geo_01_roles_are_those_of_the_satellite(tmp_path, name, keys, sensor, expected):
    write_landsat(tmp_path, {key: pixels(1) for key in keys}, name=name)
    product = read(tmp_path)
    assert product.sensor == sensor
    assert [band.role for band in product.bands] == expected
    # Thermal bands of Level 1 are radiance, with the high gain too.
    assert {band.scale for band in product.bands if "VCID" in band.name} <= {3.342e-4}


def test_geo_01_files_of_a_product_that_are_no_bands_are_no_scenes(tmp_path):
    folder = write_landsat(tmp_path, {"4": pixels(1)})
    (folder / f"{LANDSAT_NAME}_ST_TRAD.TIF").write_bytes(b"belongs to the product")
    (folder / f"{LANDSAT_NAME}_MTL.xml").write_text("another form of the same metadata, not read")
    found = find_products(tmp_path)
    assert [product.uri for product in found.products] == [LANDSAT_NAME]
    assert found.rejects == ()


def test_products_in_one_folder_are_kept_apart(tmp_path):
    write_landsat(tmp_path, {"4": pixels(1)}, own_folder=False)
    write_landsat(tmp_path, {"4": pixels(1)}, name=L1, own_folder=False)
    assert [product.uri for product in find_products(tmp_path).products] == [L1, LANDSAT_NAME]
    by_metadata = read(tmp_path / f"{L1}_MTL.txt")
    assert by_metadata == find_products(tmp_path).products[0]


def test_geo_04_a_packed_product_is_read_in_place(tmp_path):
    folder = write_landsat(tmp_path / "unpacked", {"4": pixels(7273 + 3637)})
    (tmp_path / "in").mkdir()
    with tarfile.open(tmp_path / f"in/{LANDSAT_NAME}.tar", "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.add(path, path.name)
    for source in (tmp_path / "in", tmp_path / f"in/{LANDSAT_NAME}.tar"):
        product = read(source)
        assert (product.uri, product.name) == (f"{LANDSAT_NAME}.tar", LANDSAT_NAME)
        assert physical(product.bands[0]) == pytest.approx(0.1, abs=1e-4)


def test_a_compressed_archive_is_refused_with_the_way_out(tmp_path):
    (tmp_path / f"{LANDSAT_NAME}.tar.gz").write_bytes(b"")
    assert (reject(tmp_path).reason, reject(tmp_path).action) == ("archive-compressed", "Unpack it")


def test_another_collection_is_refused_and_its_files_are_no_scenes(tmp_path):
    write_landsat(tmp_path, {"4": pixels(1)}, collection="01")
    found = reject(tmp_path)
    assert found.reason == "unsupported-product"
    assert "must be of Collection 2, got COLLECTION_NUMBER 01" in found.message


@pytest.mark.parametrize(
    ("form", "old", "new", "message"),
    [
        (
            "txt",
            "REFLECTANCE_MULT_BAND_4 = 2.75e-05",
            "",
            "no LEVEL2_SURFACE_REFLECTANCE_PARAMETERS/REFLECTANCE_MULT_BAND_4",
        ),
        ("txt", "REFLECTANCE_ADD_BAND_4 = -0.2", "REFLECTANCE_ADD_BAND_4 = low", "must be a finite number, got 'low'"),
        ("txt", "SPACECRAFT_ID", "SPACECRAFT", "no IMAGE_ATTRIBUTES/SPACECRAFT_ID"),
        (
            "txt",
            "GROUP = IMAGE_ATTRIBUTES\n",
            "GROUP = IMAGE_ATTRIBUTES\nEND_GROUP = IMAGE_ATTRIBUTES\n",
            "no IMAGE_ATTRIBUTES/SPACECRAFT_ID",
        ),
        ("txt", "GROUP", "GRUPPE", "must be of Collection 2, got COLLECTION_NUMBER none"),
        ("json", '{"LANDSAT_METADATA_FILE"', '{"METADATA"', "must hold LANDSAT_METADATA_FILE"),
        ("json", '{"LANDSAT_METADATA_FILE"', '["LANDSAT_METADATA_FILE"', "it is no JSON"),
        ("xml", "<LANDSAT_METADATA_FILE>", "<!DOCTYPE a><LANDSAT_METADATA_FILE>", "it has a DOCTYPE"),
        ("txt", "_SR_B4.TIF", "_SR_B4X.TIF", "none of the 1 files that it names is there"),
        ("txt", LANDSAT_NAME + "_SR_B4.TIF", "../" + LANDSAT_NAME + "_SR_B4.TIF", "none of the 1 files"),
    ],
)
def test_bad_metadata_is_a_reject_that_names_file_and_rule(tmp_path, form, old, new, message):
    folder = write_landsat(tmp_path / "in", {"4": pixels(1)}, metadata=(form,))
    metadata = folder / f"{LANDSAT_NAME}_MTL.{form}"
    text = metadata.read_text()
    metadata.write_text(text.replace(old, new))
    assert metadata.read_text() != text
    found = reject(tmp_path / "in")
    assert found.input == LANDSAT_NAME
    assert message in found.message
    assert metadata.name in found.message
    assert found.action


def test_metadata_that_is_no_utf_8_is_a_reject(tmp_path):
    folder = write_landsat(tmp_path, {"4": pixels(1)})
    (folder / f"{LANDSAT_NAME}_MTL.txt").write_bytes(b"GROUP = \xff\xfe")
    assert "must be UTF-8" in reject(tmp_path).message
