import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scene_layouts import S2_NAME, write_landsat, write_raster, write_safe

from domainvl.converters.geotiff.products import find_products
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Severity

PIXELS = np.full((4, 4), 7, np.uint16)

VRT = """<VRTDataset rasterXSize="4" rasterYSize="4"><VRTRasterBand dataType="UInt16" band="1"><SimpleSource>
<SourceFilename relativeToVRT="{relative}">{source}</SourceFilename><SourceBand>1</SourceBand>
</SimpleSource></VRTRasterBand></VRTDataset>"""


@pytest.fixture
def folder(tmp_path):
    """A folder with scenes of every kind, and files that are none."""
    folder = tmp_path / "in"
    for name in ("b.tif", "a.TIFF", "sub/c.tif", "d.jp2"):
        write_raster(folder / name, PIXELS, 10)
    write_safe(folder / "s2", {"B04": PIXELS})
    write_landsat(folder / "landsat", {"4": PIXELS}, own_folder=False)
    (folder / "notes.txt").write_text("no scene")
    (folder / "photo.png").write_bytes(b"taken only where that is asked for")
    return folder


def uris(source, **options):
    return [product.uri for product in find_products(source, **options).products]


def only_reject(source, **options):
    (only,) = find_products(source, **options).rejects
    return only


def test_scenes_of_all_kinds_are_found_below_a_folder_and_sorted(folder):
    found = find_products(folder)
    assert [(product.uri, product.kind) for product in found.products] == [
        ("a.TIFF", "file"),
        ("b.tif", "file"),
        ("d.jp2", "file"),
        ("landsat/LC09_L2SP_199025_20240616_20240617_02_T1", "landsat-collection-2"),
        (f"s2/{S2_NAME}.SAFE", "sentinel-2-safe"),
        ("sub/c.tif", "file"),
    ]
    assert found.rejects == ()
    for product in found.products:
        paths = [band.path for band in product.bands] or [product.path]
        for path in paths:
            with rasterio.open(path) as dataset:
                assert dataset.count == 1


def test_what_is_found_does_not_depend_on_where_the_folder_is(folder, tmp_path):
    before = find_products(folder)
    moved = folder.rename(tmp_path / "elsewhere")
    after = find_products(moved)

    def named(found):
        return [(product.uri, product.name, [name for name, _ in product.files]) for product in found.products]

    assert named(before) == named(after)
    assert not any(str(tmp_path) in name for product in after.products for name, _ in product.files)


def test_photos_are_taken_on_request_or_when_named(folder):
    assert "photo.png" not in uris(folder)
    assert "photo.png" in uris(folder, photos=True)
    assert uris(folder / "photo.png") == ["photo.png"]


@pytest.mark.parametrize(
    "name", ["b.tif.msk", "b.tif.aux.xml", "b.tif.ovr", "b.tfw", "b.TFW", "b.wld", "b_RPC.TXT", "b.rpb"]
)
def test_files_that_gdal_reads_beside_a_scene_belong_to_it(folder, name):
    (folder / name).write_bytes(b"")
    (folder / "sub" / name).write_bytes(b"of another scene")
    (product,) = (product for product in find_products(folder).products if product.uri == "b.tif")
    assert product.files == (("b.tif", str(folder / "b.tif")), (name, str(folder / name)))


def test_names_of_files_give_sensor_and_date(real_data):
    found = find_products(real_data / "remote_sensing/opengeos__data/naip")
    assert [(product.sensor, product.date) for product in found.products] == [
        ("naip", "2010-06-29"),
        ("naip", "2016-08-16"),
        ("naip", "2020-08-31"),
    ]


def test_the_second_scene_of_a_name_is_rejected(folder):
    write_raster(folder / "b.jp2", PIXELS, 10)
    found = find_products(folder)
    assert [(reject.input, reject.reason) for reject in found.rejects] == [("b.tif", "same-name")]
    assert "b.jp2" in [product.uri for product in found.products]


def test_one_bad_product_does_not_stop_the_others(folder):
    before = uris(folder)
    write_safe(folder / "bad", {"B04": PIXELS}, offset=None)
    found = find_products(folder)
    assert [product.uri for product in found.products] == before
    assert [(reject.input, reject.reason) for reject in found.rejects] == [(f"bad/{S2_NAME}.SAFE", "bad-metadata")]


def test_a_virtual_raster_of_scenes_in_the_same_folder_is_left_out(folder):
    (folder / "mosaic.vrt").write_text(VRT.format(relative=1, source="sub/c.tif"))
    reject = only_reject(folder)
    assert (reject.input, reject.reason, reject.severity) == ("mosaic.vrt", "vrt-of-scenes", Severity.SKIPPED)
    (product,) = find_products(folder / "mosaic.vrt").products
    assert [name for name, _ in product.files] == ["mosaic.vrt", "sub/c.tif"]
    with rasterio.open(product.path) as dataset:
        assert (dataset.read(1) == 7).all()


def test_a_virtual_raster_of_other_files_is_a_scene_without_their_folder_in_its_names(folder, tmp_path):
    outside = write_raster(tmp_path / "outside.tif", PIXELS, 10)
    (folder / "view.vrt").write_text(VRT.format(relative=0, source=outside))
    (product,) = (product for product in find_products(folder).products if product.uri == "view.vrt")
    assert product.files[1:] == (("outside.tif", str(outside)),)


def test_a_virtual_raster_that_reads_the_network_is_refused_unless_allowed(folder):
    (folder / "far.vrt").write_text(VRT.format(relative=0, source="/vsicurl/https://example.org/a.tif"))
    assert only_reject(folder).reason == "remote-not-allowed"
    assert "far.vrt" in uris(folder, allow_remote=True)


@pytest.mark.parametrize("service", ["WMS:https://example.org/a", "<GDAL_WMS><ServerUrl>http://a.org/</ServerUrl>"])
def test_a_virtual_raster_that_asks_a_service_reads_the_network(folder, service):
    (folder / "far.vrt").write_text(VRT.format(relative=0, source=service.replace("<", "&lt;")))
    assert only_reject(folder).reason == "remote-not-allowed"


@pytest.mark.parametrize(
    ("source", "name"),
    [("sub/gone.tif", "gone.tif"), ("/nowhere/gone.tif", "gone.tif"), ("/vsizip/no.zip/a.tif", "a.tif")],
)
def test_a_virtual_raster_names_the_file_that_it_lacks(folder, source, name):
    (folder / "view.vrt").write_text(VRT.format(relative=1, source=source))
    reject = only_reject(folder)
    assert (reject.input, reject.reason) == ("view.vrt", "missing-file")
    assert f"1 files that are not there, such as {name}." in reject.message
    assert "nowhere" not in reject.message


def test_a_virtual_raster_may_read_a_data_set_inside_a_file(folder):
    (folder / "view.vrt").write_text(VRT.format(relative=0, source="NETCDF:&quot;a.nc&quot;:t"))
    assert "view.vrt" in uris(folder)


def test_a_virtual_raster_of_an_archive_depends_on_it(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(folder / "b.tif", "b.tif")
    (folder / "view.vrt").write_text(VRT.format(relative=0, source=f"/vsizip/{tmp_path}/a.zip/b.tif"))
    (product,) = find_products(folder / "view.vrt").products
    assert product.files[1:] == (("a.zip", str(tmp_path / "a.zip")),)


def test_a_virtual_raster_with_entities_is_refused(folder):
    (folder / "bomb.vrt").write_text('<!DOCTYPE a [<!ENTITY b "c">]><VRTDataset/>')
    assert "DOCTYPE" in only_reject(folder).message


@pytest.mark.parametrize(("name", "reason"), [("scenes.zip", "archive-not-read"), ("labels.zip", None)])
def test_an_archive_with_scenes_is_named_and_one_without_is_left_alone(folder, name, reason):
    with zipfile.ZipFile(folder / name, "w") as archive:
        archive.writestr("a.tif" if reason else "labels.shp", b"")
    found = find_products(folder)
    assert [(reject.input, reject.reason) for reject in found.rejects] == ([(name, reason)] if reason else [])


def test_an_archive_that_is_named_says_how_its_scenes_are_read(tmp_path):
    scene = write_raster(tmp_path / "a.tif", PIXELS, 10)
    with zipfile.ZipFile(tmp_path / "scenes.zip", "w") as archive:
        for name in ("in/b.tif", "in/a.tif", "notes.txt"):
            archive.write(scene, name)
    with pytest.raises(UsageError, match=r"scenes\.zip.*or name one of its 2 scenes: (/vsizip/\S+)\.$") as error:
        find_products(tmp_path / "scenes.zip")
    address = str(error.value).rsplit(" ", 1)[1].rstrip(".")
    assert uris(address) == ["scenes.zip/in/a.tif"]


def test_a_broken_archive_of_a_product_is_rejected(folder):
    (folder / f"{S2_NAME}.zip").write_bytes(b"PK")
    (folder / "other.zip").write_bytes(b"PK")
    reject = only_reject(folder)
    assert (reject.input, reject.reason) == (f"{S2_NAME}.zip", "archive-open")


def test_two_products_in_one_archive_are_two_scenes(tmp_path):
    other = S2_NAME.replace("T31UFT", "T31UFS")
    for name in (S2_NAME, other):
        write_safe(tmp_path / "unpacked", {"B04": PIXELS}, name=name)
    with zipfile.ZipFile(tmp_path / "both.zip", "w") as archive:
        for path in sorted((tmp_path / "unpacked").rglob("*")):
            archive.write(path, path.relative_to(tmp_path / "unpacked"))
    found = find_products(tmp_path / "both.zip")
    assert [product.name for product in found.products] == [f"both.zip/{other}", f"both.zip/{S2_NAME}"]
    assert {product.files for product in found.products} == {(("both.zip", str(tmp_path / "both.zip")),)}


def test_links_to_folders_are_named_and_broken_links_rejected(folder, tmp_path):
    os.symlink(tmp_path, folder / "more")
    os.symlink(tmp_path / "gone.tif", folder / "gone.tif")
    found = find_products(folder)
    assert [(reject.input, reject.reason) for reject in found.rejects] == [
        ("gone.tif", "scene-open"),
        ("more", "linked-folder"),
    ]


def test_a_file_in_an_archive_is_read_by_its_address(tmp_path):
    scene = write_raster(tmp_path / "m_4709963_se_14_1_20100629.tif", PIXELS, 10)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(scene, f"x/{scene.name}")
    address = f"/vsizip/{tmp_path}/a.zip/x/{scene.name}"
    (product,) = find_products(address).products
    assert find_products(Path(address)).products == (product,)
    assert (product.uri, product.name) == (f"a.zip/x/{scene.name}", f"a.zip/x/{scene.stem}")
    assert (product.sensor, product.date) == ("naip", "2010-06-29")
    assert product.files == (("a.zip", str(tmp_path / "a.zip")),)
    with rasterio.open(product.path) as dataset:
        assert (dataset.read(1) == 7).all()


@pytest.mark.parametrize(
    "source", ["https://example.org/a/b.tif?sig=secret", Path("https://example.org/a/b.tif?sig=secret" + "x" * 300)]
)
def test_a_file_on_the_network_is_taken_only_where_that_is_allowed(source):
    with pytest.raises(UsageError, match=r"https://example\.org/a/b\.tif: it lies on the network.*--remote") as error:
        find_products(source)
    assert "secret" not in str(error.value)
    (product,) = find_products(source, allow_remote=True).products
    assert (product.uri, product.name) == ("https://example.org/a/b.tif", "example.org/a/b")
    assert product.path.startswith("/vsicurl/https://example.org/a/b.tif?sig=secret")
    assert product.files == ()


def test_a_file_in_memory_is_not_on_the_network_and_cannot_be_shared():
    with pytest.raises(UsageError, match="it lies in the memory of one process.*Write it to a file"):
        find_products("/vsimem/a.tif")


@pytest.mark.parametrize("source", ["gone", "/vsizip//gone/a.zip/b.tif", "file:///gone/a.tif"])
def test_an_input_that_is_not_there_is_an_error(tmp_path, source):
    with pytest.raises(InputNotFoundError):
        find_products(tmp_path / source if source == "gone" else source)


def test_a_file_of_another_kind_and_an_empty_folder_are_errors(tmp_path):
    (tmp_path / "notes.txt").write_text("no scene")
    with pytest.raises(UsageError, match=r"must end in \.tif, .*got \.txt"):
        find_products(tmp_path / "notes.txt")
    with pytest.raises(NothingToDoError, match="no product and no file that ends in"):
        find_products(tmp_path)


def test_real_folders_are_searched_as_they_are(real_data):
    data = real_data / "remote_sensing"
    found = find_products(data / "rasterio__rasterio")
    on_disk = sorted(path.name for path in (data / "rasterio__rasterio").rglob("*.tif"))
    assert (
        sorted(product.uri.rpartition("/")[2] for product in found.products if not product.uri.endswith("vrt"))
        == on_disk
    )
    assert {reject.reason for reject in found.rejects} <= {"vrt-of-scenes", "same-name", "missing-file"}
    (gone,) = (reject for reject in found.rejects if reject.reason == "missing-file")
    assert gone.input.endswith("white-gemini-iv.vrt") and "389225main_sw_1965_1024.jpg" in gone.message
