"""Image files on their way into a corpus: what is taken is what training takes, and hashes are imagehash's."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import imagehash
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import features

from domainvl.corpus.pictures import inspect_picture
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, image_name
from domainvl.interleaved.images import ImageFolder

URL = "https://example.org/a"


def scene(width_px: int = 300, height_px: int = 200) -> PillowImage.Image:
    coarse = np.random.default_rng(3).integers(0, 256, (7, 9, 3), np.uint8)
    return PillowImage.fromarray(coarse).resize((width_px, height_px), PillowImage.Resampling.BICUBIC)


def encode(image: PillowImage.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def reason_of(content: bytes) -> str:
    with pytest.raises(ItemError) as caught:
        inspect_picture(content, URL)
    return caught.value.reason


MODES = {
    "JPEG": ("L", "RGB", "CMYK"),
    "PNG": ("L", "RGB", "P", "RGBA"),
    "WEBP": ("L", "RGB", "CMYK", "P", "RGBA"),
    "GIF": ("L", "RGB", "P", "RGBA"),
    "BMP": ("L", "RGB", "P", "RGBA"),
    "TIFF": ("L", "RGB", "CMYK", "P", "RGBA"),
}
"""What Pillow can write in each format."""


@pytest.mark.parametrize(("kind", "mode"), [(kind, mode) for kind, modes in MODES.items() for mode in modes])
def test_what_is_taken_can_be_trained_on_and_shows_the_same(tmp_path, kind, mode):
    content = encode(scene().convert(mode), kind)
    picture = inspect_picture(content, URL)
    (tmp_path / image_name(URL)).write_bytes(picture.content)
    trained = ImageFolder(tmp_path).image(ImageSlot(URL))
    assert (trained.width_px, trained.height_px) == (picture.width_px, picture.height_px) == (300, 200)
    assert picture.byte_count == len(picture.content)
    with PillowImage.open(io.BytesIO(content)) as given, PillowImage.open(io.BytesIO(picture.content)) as stored:
        assert stored.format == (kind if kind in ("JPEG", "PNG", "WEBP") else "PNG")
        assert (picture.content == content) == (kind in ("JPEG", "PNG", "WEBP"))
        assert np.array_equal(np.asarray(given.convert("RGBA")), np.asarray(stored.convert("RGBA")))
        if kind != "JPEG":
            assert picture.d_hash == str(imagehash.dhash(given))
            assert picture.p_hash == str(imagehash.phash(given))


def test_hashes_of_real_jpegs_are_a_few_bits_from_those_of_a_whole_decode(real_data: Path):
    paths = [*(real_data / "driving").rglob("*.jpg"), *sorted((real_data / "medical").rglob("*.jpg"))[:40]]
    bits: dict[str, list[int]] = {"d_hash": [], "p_hash": []}
    for path in paths:
        picture = inspect_picture(path.read_bytes(), path.name)
        with PillowImage.open(path) as image:
            for name, whole in (("d_hash", imagehash.dhash(image)), ("p_hash", imagehash.phash(image))):
                bits[name].append(imagehash.hex_to_hash(getattr(picture, name)) - whole)
    assert len(paths) > 40
    assert all(np.median(found) <= 2 and max(found) <= 12 for found in bits.values())


@pytest.mark.parametrize("options", [{}, {"progressive": True}], ids=["baseline", "progressive"])
def test_a_jpeg_that_ends_too_early_is_refused_where_a_whole_decode_refuses_it(options):
    content = encode(scene(640, 480), "JPEG", quality=90, **options)
    for share in (0.01, 0.1, 0.5, 0.9, 0.99):
        cut = content[: int(len(content) * share)]
        with pytest.raises(OSError), PillowImage.open(io.BytesIO(cut)) as image:
            image.load()
        assert reason_of(cut) == "image-decode"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "GIF", "TIFF"])
def test_other_files_that_end_too_early_are_refused(kind):
    content = encode(scene(), kind)
    assert reason_of(content[: len(content) // 2]) == "image-decode"


def test_what_is_no_bitmap_is_told_apart_from_what_is_broken():
    assert reason_of(b"<svg xmlns='http://www.w3.org/2000/svg'/>") == "image-format"
    assert reason_of(encode(scene(), "EPS")) == "image-format"
    assert reason_of(b"<html>not found</html>") == "image-format"
    assert reason_of(b"") == "image-format"
    assert reason_of(b"\xff\xd8\xff\xe0 and no more") == "image-decode"


@pytest.mark.skipif(not features.check("avif"), reason="Pillow was built without AVIF")
def test_an_avif_whose_parts_are_not_found_is_refused():
    """Pillow raises RuntimeError on it, unlike on other broken files."""
    buffer = io.BytesIO()
    PillowImage.new("RGB", (32, 24)).save(buffer, "AVIF")
    content = buffer.getvalue().replace(b"iloc", b"ilox")
    with pytest.raises(RuntimeError), PillowImage.open(io.BytesIO(content)) as opened:
        opened.load()
    with pytest.raises(ItemError) as caught:
        inspect_picture(content, "a.avif")
    assert caught.value.reason == "image-decode"


def test_more_than_8_bits_are_refused():
    deep = PillowImage.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 1000)
    assert reason_of(encode(deep, "PNG")) == "image-depth"
    assert reason_of(encode(deep, "TIFF")) == "image-depth"


@pytest.mark.parametrize("limit_px", [300 * 200 - 1, 20_000], ids=["above the limit", "above twice the limit"])
def test_too_many_pixels_are_refused_by_the_header(monkeypatch, limit_px):
    content = encode(scene(), "PNG")
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", limit_px)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("pixels were decoded"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
        assert reason_of(content) == "too-large"


def test_of_an_animation_the_first_frame_is_stored():
    red, blue = (PillowImage.new("RGB", (8, 6), colour) for colour in ("red", "blue"))
    picture = inspect_picture(encode(red, "GIF", save_all=True, append_images=[blue]), URL)
    with PillowImage.open(io.BytesIO(picture.content)) as stored:
        assert stored.convert("RGB").getcolors() == [(48, (255, 0, 0))]


def test_a_note_on_orientation_is_not_followed():
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # turn by 90 degrees to see it upright
    picture = inspect_picture(encode(scene(), "JPEG", exif=exif), URL)
    assert (picture.width_px, picture.height_px) == (300, 200)
