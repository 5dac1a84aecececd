"""Products are the same wherever their input lies, and say so in messages."""

from pathlib import Path

import pytest

from domainvl.converters.geotiff.products import Band, Product


def product_of(path, *more, bands=()):
    files = tuple((name, str(file)) for name, file in (("a.tif", path), *more))
    return Product("a.tif", "a", "file", str(path), files, bands=tuple(Band("1", None, str(file), 1) for file in bands))


@pytest.mark.parametrize("folder", ["/data", "/data/", "/"])
def test_paths_below_the_input_are_places_in_it(folder):
    root = Path(folder)
    product = product_of(root / "sub/a.tif", ("b.msk", root / "b.msk"), bands=[root / "sub/a.tif"]).below(root)
    assert product.path == "{root}/sub/a.tif"
    assert product.files == (("a.tif", "{root}/sub/a.tif"), ("b.msk", "{root}/b.msk"))
    assert product.bands[0].path == "{root}/sub/a.tif"
    assert Path(product.locate(product.path)) == root / "sub/a.tif"


def test_the_input_itself_is_a_place_in_it():
    product = product_of("/data/X.SAFE").below(Path("/data/X.SAFE"))
    assert product.path == "{root}"
    assert product.locate(product.path) == "/data/X.SAFE"


@pytest.mark.parametrize("systems", ["/vsizip/", "/vsitar//vsigzip/"])
def test_a_place_in_an_archive_begins_with_that_of_the_archive(systems):
    inner = f"{systems}/data/x.zip/data/a.tif"
    product = product_of(inner).below(Path("/data"))
    assert product.path == systems + "{root}/x.zip/data/a.tif"
    assert product.locate(product.path) == inner


@pytest.mark.parametrize(
    "path",
    [
        "/database/a.tif",  # begins with the text of the folder, and lies elsewhere
        "/elsewhere/data/a.tif",
        "/vsicurl/https://example.org/data/a.tif",
        "/vsizip//elsewhere/data/x.zip/a.tif",
    ],
)
def test_other_paths_stay_as_they_are(path):
    product = product_of(path).below(Path("/data"))
    assert product.path == path
    assert product.locate(path) == path


@pytest.mark.parametrize("root", [".", "in", "in/.", "absolute"])
def test_a_relative_input_is_the_same_as_an_absolute_one(tmp_path, monkeypatch, root):
    folder = tmp_path / "in"
    folder.mkdir()
    monkeypatch.chdir(folder if root == "." else tmp_path)
    given = folder if root == "absolute" else Path(root)
    product = product_of(given / "sub.d/a.b.tif", ("x", f"/vsizip/{given / 'x.zip'}")).below(given)
    assert product.path == "{root}/sub.d/a.b.tif"
    assert Path(product.locate(product.path)).absolute() == folder / "sub.d/a.b.tif"
    assert product.files[0][1] == product.path


def test_messages_name_files_by_their_names_in_the_data_set(tmp_path):
    folder = tmp_path / "in"
    more = [("outside.tif", tmp_path / "outside.tif"), ("a.tif.msk", folder / "sub/a.tif.msk")]
    product = product_of(folder / "sub/a.tif", *more).below(folder)
    message = (
        f"{folder}/sub/a.tif.msk, {folder}/sub/a.tif and {tmp_path}/outside.tif: {folder}/b.ovr not found in {folder}"
    )
    assert product.without_folders(message) == "a.tif.msk, a.tif and outside.tif: b.ovr not found in ."


def test_messages_about_a_relative_input_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    product = product_of("in/a.tif").below(Path("in"))
    assert (
        product.without_folders(f"in/a.tif or {tmp_path}/in/a.tif or the main/point")
        == "a.tif or a.tif or the main/point"
    )
