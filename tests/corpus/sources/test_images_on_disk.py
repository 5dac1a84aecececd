"""Images of files are found below the source folder and nowhere else; addresses follow the rules for URLs."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urljoin

import pytest

from domainvl.corpus.sources.images_on_disk import ImagesOnDisk, page_address
from domainvl.corpus.sources.page_images import resolve_address
from domainvl.corpus.sources.reading import ReadSettings, SourceFile
from domainvl.errors import ItemError


@pytest.fixture
def source(tmp_path: Path) -> SourceFile:
    root = tmp_path / "book"
    (root / "deep" / "images").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(b"secret")
    (tmp_path / "bookend.png").write_bytes(b"secret")
    (root / "deep/images/fig 1.png").write_bytes(b"one")
    (root / "deep/images/Fig2.PNG").write_bytes(b"two")
    (root / "deep/images/x.png?v=3").write_bytes(b"three")
    (root / "deep/images/large.png").write_bytes(b"x" * 101)
    (root / "link.png").symlink_to(tmp_path / "secret.png")
    (root / "linked").symlink_to(tmp_path)
    (root / "inside.png").symlink_to(root / "deep/images/fig 1.png")
    (root / "loop").symlink_to(root / "loop")
    os.mkfifo(root / "pipe.png")
    (root / "deep/page.html").write_bytes(b"x")
    return SourceFile(root / "deep/page.html", "book/deep/page.html", root, "html")


def find(source: SourceFile, reference: str, base_url: str | None = None) -> bytes:
    settings = ReadSettings(max_image_bytes=100, base_url=base_url)
    address = resolve_address(reference, page_address(source, settings))
    return ImagesOnDisk.of(source, settings)(address)


@pytest.mark.parametrize(
    ("reference", "content"),
    [
        ("images/fig%201.png", b"one"),
        ("./images/../images/fig 1.png#part", b"one"),
        ("images\\fig 1.png", b"one"),
        ("images/fig%201.png?width=3", b"one"),
        ("images/x.png?v=3", b"three"),
        ("IMAGES/fig2.png", b"two"),
        ("../inside.png", b"one"),
    ],
)
def test_images_below_the_folder(source: SourceFile, reference: str, content: bytes) -> None:
    assert find(source, reference) == content


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("../../secret.png", "outside-source"),
        ("../../../../../../../../etc/passwd", "outside-source"),
        ("%2e%2e/%2e%2e/secret.png", "outside-source"),
        ("..\\..\\secret.png", "outside-source"),
        ("../../bookend.png", "outside-source"),
        ("/etc/passwd", "outside-source"),
        ("file:///etc/passwd", "outside-source"),
        ("C:\\Windows\\win.ini", "outside-source"),
        ("../link.png", "outside-source"),
        ("../linked/secret.png", "outside-source"),
        ("../LINKED/secret.png", "outside-source"),
        ("http://site.org/a.png", "remote"),
        ("//site.org/a.png", "remote"),
        ("blob:x", "address"),
        ("none.png", "missing"),
        ("../deep", "missing"),
        ("../loop", "missing"),
        ("../pipe.png", "missing"),
        ("a" * 5000, "missing"),
        ("x%00.png", "missing"),
        ("images/large.png", "too-large"),
    ],
)
def test_what_is_refused(source: SourceFile, reference: str, reason: str) -> None:
    with pytest.raises(ItemError) as caught:
        find(source, reference)
    assert caught.value.reason == reason


def test_with_an_address_for_the_folder(source: SourceFile) -> None:
    base = "https://site.org/library"
    assert page_address(source, ReadSettings(base_url=base)) == "https://site.org/library/deep/page.html"
    assert find(source, "images/fig%201.png", base) == b"one"
    assert find(source, "https://site.org/library/deep/images/fig%201.png", base) == b"one"
    assert find(source, "/library/deep/images/fig%201.png", base) == b"one"
    for reference in ("https://site.org/other.png", "https://other.org/library/deep/images/fig%201.png"):
        with pytest.raises(ItemError) as caught:
            find(source, reference, base)
        assert caught.value.reason == "remote"
    with pytest.raises(ItemError) as caught:
        find(source, "https://site.org/library/%2e%2e/secret.png", base)
    assert caught.value.reason in ("missing", "outside-source")


def test_a_single_file_as_source(source: SourceFile) -> None:
    alone = SourceFile(source.path, "page.html", source.path.parent, "html")
    assert resolve_address("images/Fig2.PNG", page_address(alone, ReadSettings())) == "images/Fig2.PNG"
    assert find(alone, "images/Fig2.PNG") == b"two"
    with pytest.raises(ItemError) as caught:
        find(alone, "../link.png")
    assert caught.value.reason == "outside-source"


@pytest.mark.parametrize(
    "reference", ["a.png", "../a.png", "/a.png", "//h.org/a.png", "?q=1", "b/./c/../a.png", "http://x/y"]
)
def test_relative_addresses_agree_with_the_standard_library(reference: str) -> None:
    page = "https://site.org/one/two/page.html"
    assert resolve_address(reference, page) == urljoin(page, reference)
