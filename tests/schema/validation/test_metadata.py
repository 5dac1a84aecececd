"""The words beside the pixels, as Pillow writes them, and that a broken file breaks nothing."""

from __future__ import annotations

import io

import pytest
from PIL import Image as PillowImage
from PIL.PngImagePlugin import PngInfo

from domainvl.schema.validation.metadata import beside_pixels, metadata_text

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


def segment(marker: int, data: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(data) + 2).to_bytes(2, "big") + data


COMMENT = segment(0xFE, b"Hieronymus")
SCAN = segment(0xDA, b"") + b"pixels by Dagobert \xff\x00\xff\xd0 more by Dagobert"


@pytest.mark.parametrize(
    "content",
    [
        COMMENT,
        segment(0xE1, b"Exif\0\0" + encoded("JPEG")) + COMMENT,  # a thumbnail, whose scan is not that of the image
        b"\xff\xff\xff" + COMMENT,  # fill bytes (ITU-T T.81 B.1.1.2)
        SCAN + COMMENT + SCAN,
        SCAN + b"\xff\xff" + COMMENT,
        SCAN + b"\xff\xd9" + b"\0\0" + b"\xff\xd8" + COMMENT + SCAN,  # a second picture behind the first
    ],
)
def test_med_60_words_of_a_jpeg_are_found_in_whatever_segment(content):
    whole = b"\xff\xd8" + content + b"\xff\xd9"

    assert "Hieronymus" in metadata_text(whole).splitlines()
    assert b"Hieronymus" in beside_pixels(whole).content
    assert b"Dagobert" not in beside_pixels(whole).content
    assert "Dagobert" not in metadata_text(whole)


def test_med_60_of_a_broken_jpeg_all_is_looked_at():
    assert b"Hieronymus" in beside_pixels(b"\xff\xd8\xff\xe1\0\4ab and then Hieronymus").content


@pytest.mark.parametrize("content", [png_with(packed=True), encoded("JPEG", exif=exif(), comment=b"by Hieronymus")])
def test_what_is_beside_the_pixels_of_a_file_cut_anywhere(content):
    for length in range(8, len(content)):
        assert len(beside_pixels(content[:length]).content) <= 2 * length


def test_med_60_all_of_a_real_jpeg_but_its_pixels():
    """Pillow writes tables, frame and scan; what it calls progressive has several scans."""
    noise = PillowImage.effect_noise((64, 64), 60)
    buffer = io.BytesIO()
    noise.save(buffer, format="JPEG", progressive=True, quality=95)
    content = buffer.getvalue()
    assert content.count(b"\xff\xda") > 3
    start = content.rindex(b"\xff\xda")
    between = content[:start] + COMMENT + content[start:]
    PillowImage.open(io.BytesIO(between)).load()

    assert "Hieronymus" in metadata_text(between).splitlines()
    assert len(beside_pixels(between).content) < len(between) / 2


@pytest.mark.parametrize(("blanks", "found", "unread"), [(2_000_000, True, 0), (70_000_000, False, 2)])
def test_med_60_packed_text_is_looked_through_far_and_else_counted(blanks, found, unread):
    """Of the second, only so much as is left; a bomb must not fill the memory either."""
    information = PngInfo()
    information.add_text("Bomb", " " * blanks + "Hieronymus", zip=True)
    information.add_text("Another", " " * 100_000 + "Dagobert", zip=True)
    beside = beside_pixels(encoded("PNG", pnginfo=information))

    assert (b"Hieronymus" in beside.content, b"Dagobert" in beside.content) == (found, found)
    assert beside.unread == unread
    assert len(beside.content) < 70_000_000


def test_med_60_packed_text_that_is_broken_is_counted():
    content = png_with(packed=True)
    start = content.index(b"zTXt") + len(b"zTXtAuthor\0\0")

    assert beside_pixels(content[:start] + b"damaged" + content[start + 7 :]).unread == 1
    assert beside_pixels(content).unread == 0


def test_a_text_that_would_unpack_without_end_is_cut():
    """A zip bomb in a text chunk: 20 MB of spaces in 20 kB."""
    information = PngInfo()
    information.add_text("Bomb", " " * 20_000_000, zip=True)

    assert len(metadata_text(encoded("PNG", pnginfo=information))) < 2_000_000
