import pickle
import zipfile

import numpy as np
import pytest
import rasterio
from scene_layouts import S2_NAME, write_safe

from domainvl.converters.geotiff.products import find_products
from domainvl.schema import Severity

L1C = "S2B_MSIL1C_20211231T104349_N0301_R008_T31UFT_20211231T124500"


def pixels(value, side=4):
    return np.full((side, side), value, np.uint16)


def read(folder, **options):
    (product,) = find_products(folder, **options).products
    return product


def reject(folder):
    found = find_products(folder)
    assert found.products == ()
    (only,) = found.rejects
    return only


def reflectance(band):
    with rasterio.open(band.path) as dataset:
        return dataset.read(band.number) * band.scale + band.offset


@pytest.fixture
def product(tmp_path):
    bands = {"B02": pixels(1100), "B04": pixels(2600), "B08": pixels(5000), "B11": pixels(3000, 2), "TCI": pixels(9)}
    write_safe(tmp_path / "in/sub", bands, missing={"B05": 20})
    return read(tmp_path / "in")


def test_geo_04_a_safe_folder_is_one_scene_with_its_metadata(product):
    assert product.uri == f"sub/{S2_NAME}.SAFE"
    assert product.name == f"sub/{S2_NAME}"
    assert (product.kind, product.sensor, product.date) == ("sentinel-2-safe", "sentinel-2", "2023-07-01")
    details = dict(product.details)
    assert (details["level"], details["processing_baseline"]) == ("L2A", "05.09")
    assert (details["missing_bands"], details["not_bands"]) == ("B05", "TCI")
    assert next(name for name, _ in product.files) == f"sub/{S2_NAME}.SAFE/MTD_MSIL2A.xml"
    assert len(product.files) == 1 + 4
    assert pickle.loads(pickle.dumps(product)) == product


def test_geo_01_bands_have_names_roles_and_sides_and_open_as_they_are_named(product):
    named = [(band.name, band.role, band.gsd_m, band.nodata) for band in product.bands]
    assert named == [
        ("B02", "blue", 10, 0),
        ("B04", "red", 10, 0),
        ("B08", "nir", 10, 0),
        ("B11", "swir1", 20, 0),
    ]
    for band, expected in zip(product.bands, (0.01, 0.16, 0.4, 0.2), strict=True):
        np.testing.assert_allclose(reflectance(band), expected, rtol=1e-6)


def test_geo_04_scenes_with_and_without_offset_have_the_same_reflectance(tmp_path):
    write_safe(tmp_path, {"B04": pixels(2600)}, baseline="05.09", offset=-1000)
    before = S2_NAME.replace("N0509", "N0301")
    write_safe(tmp_path, {"B04": pixels(1600)}, name=before, baseline="03.01", offset=None)
    one, two = find_products(tmp_path).products
    np.testing.assert_allclose(reflectance(one.bands[0]), reflectance(two.bands[0]))
    assert (one.bands[0].offset, two.bands[0].offset) == (0.0, -0.1)


def test_geo_04_the_offset_is_that_of_the_metadata_whatever_the_date(tmp_path):
    # Reprocessed by ESA (Collection 1): of 2018, with the offset of today.
    name = "S2A_MSIL2A_20180701T104631_N0500_R051_T31UFT_20230701T170000"
    write_safe(tmp_path, {"B04": pixels(2600)}, name=name, baseline="05.00", offset=-1000)
    assert read(tmp_path).bands[0].offset == -0.1


@pytest.mark.parametrize(
    ("baseline", "is_refused"), [("04.00", True), ("05.11", True), ("03.01", False), ("99.99", False)]
)
def test_geo_04_a_missing_offset_is_refused_where_the_baseline_has_one(tmp_path, baseline, is_refused):
    write_safe(tmp_path, {"B04": pixels(2600)}, baseline=baseline, offset=None)
    if is_refused:
        assert f"baseline {baseline}" in reject(tmp_path).message
    else:
        assert read(tmp_path).bands[0].offset == 0.0


def test_geo_38_the_date_is_that_of_the_datatake_as_in_the_name(tmp_path):
    metadata = write_safe(tmp_path, {"B04": pixels(1)}) / "MTD_MSIL2A.xml"
    metadata.write_text(
        metadata.read_text().replace("<PRODUCT_START_TIME>2023-07-01", "<PRODUCT_START_TIME>2023-07-02")
    )
    assert read(tmp_path).date == "2023-07-01"


def test_geo_04_quantification_is_that_of_the_metadata(tmp_path):
    write_safe(tmp_path, {"B04": pixels(260)}, quantification=1000, offset=-100)
    np.testing.assert_allclose(reflectance(read(tmp_path).bands[0]), 0.16)


def test_geo_01_level_1c_has_its_bands_in_native_resolution(tmp_path):
    bands = {"B01": pixels(100, 2), "B8A": pixels(200), "B10": pixels(300, 2)}
    write_safe(tmp_path, bands, name=L1C, baseline="03.01", offset=None)
    product = read(tmp_path)
    assert dict(product.details)["level"] == "L1C"
    assert dict(product.details)["quantity"] == "top-of-atmosphere reflectance"
    assert [(band.name, band.role, band.gsd_m) for band in product.bands] == [
        ("B01", "coastal", 60),
        ("B8A", "nir-narrow", 20),
        ("B10", "cirrus", 60),
    ]


def test_geo_04_level_1c_offsets_are_read_by_band_id(tmp_path):
    safe = write_safe(tmp_path, {"B08": pixels(2), "B8A": pixels(2)}, name=L1C, baseline="04.00")
    metadata = safe / "MTD_MSIL1C.xml"
    metadata.write_text(metadata.read_text().replace('band_id="8">-1000', 'band_id="8">-500'))
    assert [(band.name, band.offset) for band in read(tmp_path).bands] == [("B08", -0.1), ("B8A", -0.05)]


def test_geo_01_each_band_is_taken_in_the_finest_resolution_that_is_there(tmp_path):
    bands = {"B04_10m": pixels(10), "B04_20m": pixels(20, 2), "B02_60m": pixels(60, 1), "B02_20m": pixels(20, 2)}
    write_safe(tmp_path, bands, missing={"B02": 10})
    found = {band.name: (band.gsd_m, band.path.rsplit("_", 1)[1]) for band in read(tmp_path).bands}
    assert found == {"B02": (20, "20m.jp2"), "B04": (10, "10m.jp2")}
    # It is no missing band, but who wanted 10 m learns of it.
    assert read(tmp_path).missing == ()
    (reject,) = find_products(tmp_path).rejects
    assert (reject.input, reject.reason, reject.severity) == (f"{S2_NAME}.SAFE", "finer-file-missing", Severity.SKIPPED)
    assert "coarser ones are used: B02 with 20 m" in reject.message and "B04" not in reject.message


def test_geo_01_bands_whose_files_are_all_gone_are_missing(tmp_path):
    """Of B08 the metadata names two files; the finer one is what must be fetched."""
    stem = "T31UFT_20230701T104631"
    safe = write_safe(tmp_path, {"B04": pixels(10), "B08": pixels(8), "B08_20m": pixels(8, 2)}, missing={"SCL": 20})
    for name in (f"R10m/{stem}_B08_10m.jp2", f"R20m/{stem}_B08_20m.jp2"):
        next(safe.glob(f"GRANULE/*/IMG_DATA/{name}")).unlink()
    ((name, role, file),) = read(tmp_path).missing
    assert (name, role, file.rpartition("/")[2]) == ("B08", "nir", f"{stem}_B08_10m.jp2")


def test_geo_04_a_zipped_product_is_read_in_place(tmp_path):
    safe = write_safe(tmp_path / "unpacked", {"B04": pixels(2600)})
    (tmp_path / "in").mkdir()
    with zipfile.ZipFile(tmp_path / "in/a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(safe.rglob("*")):
            archive.write(path, path.relative_to(safe.parent))
    for source in (tmp_path / "in", tmp_path / "in/a.zip"):
        product = read(source)
        assert (product.uri, product.name) == ("a.zip", "a")
        assert product.files == (("a.zip", str(tmp_path / "in/a.zip")),)
        np.testing.assert_allclose(reflectance(product.bands[0]), 0.16, rtol=1e-6)


def test_geo_04_a_product_may_be_named_itself_or_by_its_metadata(tmp_path):
    safe = write_safe(tmp_path, {"B04": pixels(2600)})
    by_folder, by_metadata = read(safe), read(safe / "MTD_MSIL2A.xml")
    assert by_folder == by_metadata
    assert by_folder.uri == safe.name
    renamed = safe.rename(tmp_path / "berlin")
    assert (read(renamed).uri, read(renamed).name) == ("berlin", "berlin")


def test_a_product_with_geotiffs_in_place_of_jpeg_2000_is_read(tmp_path):
    write_safe(tmp_path, {"B04": pixels(2600)}, suffix=".tif")
    assert read(tmp_path).bands[0].path.endswith("_B04_10m.tif")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<PROCESSING_BASELINE>05.09</PROCESSING_BASELINE>", "", "PROCESSING_BASELINE must be there once, found none"),
        (">10000<", ">0<", "BOA_QUANTIFICATION_VALUE must be above 0, got 0"),
        (">10000<", ">nan<", "BOA_QUANTIFICATION_VALUE must be a finite number, got 'nan'"),
        ('band_id="3">-1000', 'band_id="3">x', "BOA_ADD_OFFSET must be a finite number, got 'x'"),
        ('band_id="3"', 'band_id="13"', "band_id of BOA_ADD_OFFSET must be 0 to 12, got '13'"),
        ('<BOA_ADD_OFFSET band_id="3">-1000</BOA_ADD_OFFSET>', "", "none for B04"),
        ("</n1:General_Info>", "", "it is no XML"),
        ("<n1:Level", '<!DOCTYPE a [<!ENTITY b "c">]>\n<n1:Level', "it has a DOCTYPE"),
        ("IMG_DATA/R10m", "IMG_DATA/../../../../../R10m", "none of the files that it names is there"),
        ("GRANULE/L2A", "/GRANULE/L2A", "none of the files that it names is there"),
    ],
)
def test_bad_metadata_is_a_reject_that_names_file_and_rule(tmp_path, old, new, message):
    safe = write_safe(tmp_path / "in", {"B04": pixels(1)})
    metadata = safe / "MTD_MSIL2A.xml"
    text = metadata.read_text()
    metadata.write_text(text.replace(old, new, 1))
    assert metadata.read_text() != text
    (tmp_path / "R10m").mkdir()
    (tmp_path / "R10m" / "T31UFT_20230701T104631_B04_10m.jp2").write_bytes(b"outside of the input")
    found = reject(tmp_path / "in")
    assert found.input == f"{S2_NAME}.SAFE"
    assert message in found.message
    assert "MTD_MSIL2A.xml" in found.message or S2_NAME in found.message
    assert found.action


def test_a_product_without_any_of_its_bands_is_rejected(tmp_path):
    write_safe(tmp_path, {"SCL": pixels(1)}, missing={"B04": 10})
    assert reject(tmp_path).reason == "no-bands"


@pytest.mark.parametrize(
    ("folder", "file", "message"),
    [
        ("S2A_OPER_PRD_MSIL1C_PDMC_20160119T144513.SAFE", "S2A_OPER_MTD_SAFL1C_PDMC_2016.xml", "before December 2016"),
        ("S1A_IW_GRDH_1SDV_20150705T064241_20150705T064306_006672_008EA0_24EE.SAFE", "manifest.safe", "Sentinel-1"),
        ("S2A_MSIL2A.SAFE", "manifest.safe", "no MTD_MSIL2A.xml or MTD_MSIL1C.xml"),
    ],
)
def test_folders_in_other_formats_are_rejected_with_the_way_out(tmp_path, folder, file, message):
    (tmp_path / folder / "measurement").mkdir(parents=True)
    (tmp_path / folder / file).write_text("<a/>")
    (tmp_path / folder / "measurement" / "inside.tiff").write_bytes(b"no scene of its own")
    found = reject(tmp_path)
    assert found.reason == "unsupported-product"
    assert message in found.message


def test_several_granules_are_the_old_format(tmp_path):
    safe = write_safe(tmp_path, {"B04": pixels(1), "B03": pixels(1)})
    metadata = safe / "MTD_MSIL2A.xml"
    metadata.write_text(metadata.read_text().replace("A041904", "A041905", 1))
    assert "one granule, got 2" in reject(tmp_path).message
