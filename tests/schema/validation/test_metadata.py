"""The words beside the pixels, as Pillow writes them, and that a broken file breaks nothing."""

from __future__ import annotations

import io

import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from domainvl.schema.validation.metadata import metadata_text

IMAGE = PillowImage.new("RGB", (4, 4))
ARTIST, XP_AUTHOR, SOFTWARE = 0x013B, 0x9C9D, 0x0131


def encoded(kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    IMAGE.save(buffer, format=kind, **options)
    return buffer.getvalue()


def png_with(*, packed: bool = False, international: bool = False) -> bytes:
    information = PngInfo()
    if international:
        information.add_itxt("Author", "Hieronymus Ö", zip=packed)
    else:
        information.add_text("Author", "Hieronymus", zip=packed)
    return encoded("PNG", pnginfo=information)


def exif() -> PillowImage.Exif:
    tags = PillowImage.Exif()
    tags[ARTIST] = "Hieronymus"
    tags[XP_AUTHOR] = "Avelina Ashdown".encode("utf-16-le")
    return tags


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("international", [False, True])
def test_png_text(packed, international):
    content = png_with(packed=packed, international=international)

    assert (b"Hieronymus" in content) is not packed
    assert ("Hieronymus Ö" if international else "Hieronymus") in metadata_text(content)
    assert "Author" in metadata_text(content)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_exif(kind):
    text = metadata_text(encoded(kind, exif=exif()))

    assert "Hieronymus" in text.splitlines()
    assert "Avelina Ashdown" in text.splitlines()


def test_jpeg_comment_and_xmp():
    assert "by Hieronymus" in metadata_text(encoded("JPEG", comment=b"by Hieronymus"))
    assert "<creator>Hieronymus</creator>" in metadata_text(encoded("JPEG", xmp=b"<creator>Hieronymus</creator>"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_pixels_and_colour_profiles_are_not_words(kind):
    content = encoded(kind, icc_profile=b"ICC profile by Hieronymus")

    assert metadata_text(content) == ""


def test_another_format_says_nothing():
    assert metadata_text(encoded("BMP")) == ""
    assert metadata_text(b"") == ""


@pytest.mark.parametrize("content", [png_with(packed=True), encoded("JPEG", exif=exif())], ids=["png", "jpeg"])
def test_a_file_cut_anywhere_breaks_nothing(content):
    for length in range(len(content)):
        metadata_text(content[:length])


def test_a_packed_text_that_is_damaged_is_left_out():
    content = png_with(packed=True)
    start = content.index(b"zTXt") + len(b"zTXtAuthor\0\0")

    assert "Hieronymus" not in metadata_text(content[:start] + b"damaged" + content[start + 7 :])


def test_behind_the_start_of_a_jpegs_scan_are_no_words():
    segment = b"\xff\xfe\x00\x0cHieronymus"

    assert metadata_text(b"\xff\xd8" + segment) == "Hieronymus"
    assert metadata_text(b"\xff\xd8\xff\xda\x00\x02" + segment) == ""


def test_a_text_that_would_unpack_without_end_is_cut():
    """A zip bomb in a text chunk: 20 MB of spaces in 20 kB."""
    information = PngInfo()
    information.add_text("Bomb", " " * 20_000_000, zip=True)

    assert len(metadata_text(encoded("PNG", pnginfo=information))) < 2_000_000
