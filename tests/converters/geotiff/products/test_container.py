import zipfile

import pytest

from domainvl.converters.geotiff.products import container
from domainvl.converters.geotiff.products.container import Folder, open_archive
from domainvl.errors import ItemError


def test_a_file_outside_of_the_product_is_not_there(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "a.tif").write_bytes(b"")
    folder = Folder(tmp_path / "in", "in")
    assert not folder.has("../a.tif")
    assert not folder.has(str(tmp_path / "a.tif"))


def test_metadata_that_is_far_too_large_is_not_read(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m.xml", "x" * 11)
    (tmp_path / "m.xml").write_text("x" * 11)
    monkeypatch.setattr(container, "METADATA_LIMIT_BYTES", 10)
    for place in (Folder(tmp_path, ""), open_archive(tmp_path / "a.zip", "a.zip", "zip")):
        with pytest.raises(ItemError, match=r"m\.xml: metadata has at most 10 bytes, this has 11"):
            place.read("m.xml")


def test_a_file_that_is_not_there_is_an_error_that_names_it(tmp_path):
    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    for place in (Folder(tmp_path, "in"), open_archive(tmp_path / "a.zip", "a.zip", "zip")):
        with pytest.raises(ItemError, match=rf"{place.uri}/m\.xml") as error:
            place.read("m.xml")
        assert error.value.reason == "metadata-open"
