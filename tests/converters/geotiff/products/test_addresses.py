from pathlib import Path

import pytest

from domainvl.converters.geotiff.products.addresses import gdal_address, is_remote, public_name


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("https://example.org/a.tif", "/vsicurl/https://example.org/a.tif"),
        ("https:/example.org/a.tif", "/vsicurl/https://example.org/a.tif"),  # after pathlib
        ("/vsicurl/https:/example.org/a.tif", "/vsicurl/https://example.org/a.tif"),
        ("s3://bucket/a.tif", "/vsis3/bucket/a.tif"),
        ("/vsizip//data/a.zip/b.tif", "/vsizip//data/a.zip/b.tif"),
        ("file:///data/a%20b.tif", "/data/a b.tif"),
        ("/data/a.tif", None),
        ("a:b.tif", None),
        ("data/vsi/a.tif", None),
    ],
)
def test_addresses_are_told_from_paths(text, address):
    assert gdal_address(text) == address


def test_slashes_that_pathlib_folded_are_restored(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"")
    inner = f"{tmp_path}/x.zip/in/a.tif"
    for address in (
        f"/vsizip/{inner}",
        f"/vsitar//vsigzip/{inner}",
        "/vsizip//vsicurl/https://example.org/a.zip/b.tif",
    ):
        folded = str(Path(address))
        assert folded != address
        assert gdal_address(folded) == gdal_address(address) == address


def test_an_archive_in_the_current_folder_stays_there(tmp_path, monkeypatch):
    (tmp_path / "x.zip").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert gdal_address("/vsizip/x.zip/a.tif") == "/vsizip/x.zip/a.tif"
    assert gdal_address("/vsizip/gone.zip/a.tif") == "/vsizip/gone.zip/a.tif"


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/vsimem/a.tif", False),
        ("/vsizip//vsimem/a.zip/a.tif", False),
        ("/vsicurl/https://example.org/a.tif", True),
        ("/vsis3/bucket/a.tif", True),
        ("/vsizip//vsicurl/https://example.org/a.zip/b.tif", True),
        ("/vsizip/https://example.org/a.zip/b.tif", True),
        ("/vsinew/a.tif", True),  # what is not known is not taken for local
        ("/vsizip//data/a.zip/b.tif", False),
        ("/vsitar/vsigzip//data/a.tar.gz/b.tif", False),
    ],
)
def test_an_address_is_remote_unless_it_is_known_to_be_local(address, expected):
    assert is_remote(address) == expected


def test_a_data_set_names_no_password_signature_or_local_folder(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"")
    assert public_name("/vsicurl/https://me:word@example.org/a.tif?sig=x") == "https://example.org/a.tif"
    assert public_name("/vsis3/bucket/a.tif") == "vsis3/bucket/a.tif"
    assert public_name(f"/vsizip/{tmp_path}/a.zip/b/c.tif") == "a.zip/b/c.tif"
