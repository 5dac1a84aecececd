"""Pixels are stored once, under the hash of what they show; broken files become rejects."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from domainvl.errors import DatasetError, ItemError
from domainvl.schema import ImageStore, Source
from domainvl.schema.images import hash_pixels

RGB = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
GREY = RGB[:, :, 0]


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path / "data")


def files_of(tmp_path):
    return sorted(path for path in (tmp_path / "data").rglob("*") if path.is_file())


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("pixels", [RGB, GREY, RGB[::2, ::-1], np.asfortranarray(GREY)])
def test_pixels_come_back(store, tmp_path, pixels):
    stored = store.put_pixels(pixels)

    assert (stored.width_px, stored.height_px) == (pixels.shape[1], pixels.shape[0])
    assert stored.path == f"images/{stored.pixel_sha256[:2]}/{stored.pixel_sha256[2:4]}/{stored.pixel_sha256}.png"
    assert np.array_equal(np.asarray(PillowImage.open(tmp_path / "data" / stored.path)), pixels)


def test_equal_pixels_are_stored_once(store, tmp_path):
    assert store.put_pixels(RGB) == store.put_pixels(RGB.copy())
    store.put_pixels(GREY)

    assert len(files_of(tmp_path)) == 2


def test_shape_and_values_tell_images_apart():
    shapes = {hash_pixels(np.zeros(shape, np.uint8)) for shape in [(2, 6), (6, 2), (2, 2, 3), (3, 4)]}
    one_off = GREY.copy()
    one_off[-1, -1] ^= 1

    assert len(shapes) == 4
    assert hash_pixels(GREY) != hash_pixels(one_off)
    assert hash_pixels(GREY) == hash_pixels(np.asfortranarray(GREY))
    assert hash_pixels(GREY) != hash_pixels(GREY.astype(np.uint16))


def test_identity_is_that_of_the_pixels_not_of_the_encoder(store, tmp_path):
    """Yet each copied file is kept: which of them came first must not matter."""
    digests = {store.put_pixels(RGB).pixel_sha256}
    for level in (0, 9):
        path = tmp_path / f"{level}.png"
        path.write_bytes(encode(PillowImage.fromarray(RGB), "PNG", compress_level=level))
        digests.add(store.put_file(path).pixel_sha256)

    assert len(digests) == 1
    assert {path.read_bytes() for path in files_of(tmp_path)} >= {
        (tmp_path / f"{level}.png").read_bytes() for level in (0, 9)
    }
    assert len(files_of(tmp_path)) == 3


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", ".jpg"), ("PNG", ".png")])
def test_a_file_is_copied_byte_for_byte(store, tmp_path, kind, extension):
    source = tmp_path / "photo.upload"  # the content decides, not the name
    source.write_bytes(encode(PillowImage.fromarray(RGB), kind))

    stored = store.put_file(source)

    copied = tmp_path / "data" / stored.path
    assert copied.suffix == extension
    assert copied.read_bytes() == source.read_bytes()
    assert (stored.width_px, stored.height_px) == (50, 40)
    assert stored.pixel_sha256 == hash_pixels(np.asarray(PillowImage.open(source)))


@pytest.mark.parametrize(("kind", "keep"), [("JPEG", 0.5), ("PNG", 0.5), ("JPEG", 0.98), ("PNG", 0.9), ("PNG", 0.01)])
def test_a_truncated_file_is_refused(store, tmp_path, kind, keep):
    content = encode(PillowImage.fromarray(RGB), kind)
    path = tmp_path / "cut.img"
    path.write_bytes(content[: int(len(content) * keep)])

    with pytest.raises(ItemError, match="cut.img") as caught:
        store.put_file(path)

    assert caught.value.reason == "image-decode"
    assert caught.value.action
    assert files_of(tmp_path) == []


@pytest.mark.parametrize("content", [b"", b"GIF", b"no image at all", b"\x89PNG\r\n\x1a\n"])
def test_the_reason_is_the_same_each_time_and_holds_no_address(store, tmp_path, content):
    path = tmp_path / "notes.png"
    path.write_bytes(content)
    messages = set()
    keep_alive = []  # so that a second buffer cannot lie where the first one lay
    for _ in range(3):
        with pytest.raises(ItemError) as caught:
            store.put_file(path)
        messages.add(str(caught.value))
        keep_alive.append(caught.value)

    assert len(messages) == 1
    assert "0x" not in messages.pop()


def test_a_missing_file_is_a_reject_without_the_path_of_this_machine(store, tmp_path):
    with pytest.raises(ItemError, match="gone.png: No such file") as caught:
        store.put_file(tmp_path / "gone.png")

    assert str(tmp_path) not in str(caught.value)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_another_format_is_refused_by_name(store, tmp_path, kind):
    path = tmp_path / "image.png"
    path.write_bytes(encode(PillowImage.fromarray(RGB), kind))

    with pytest.raises(ItemError, match=f"must be JPEG or PNG, got {kind}") as caught:
        store.put_file(path)

    assert caught.value.reason == "image-format"


def deep_rgb_png():
    """A PNG of one pixel with 16 bits a channel in colour, put together by hand: Pillow cannot write one."""
    import struct
    import zlib

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0)
    pixel = zlib.compress(b"\0" + b"\x12\x34" * 3)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixel) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "content",
    [encode(PillowImage.fromarray(GREY.astype(np.uint16) * 200), "PNG"), deep_rgb_png()],
    ids=["grey", "colour"],
)
def test_sixteen_bits_are_refused(store, tmp_path, content):
    path = tmp_path / "deep.png"
    path.write_bytes(content)

    with pytest.raises(ItemError, match="deep.png: it must have 8 bits a channel, got 16 bits") as caught:
        store.put_file(path)

    assert caught.value.reason == "image-depth"


def test_images_of_other_colours_with_equal_palette_codes_are_two_images(store, tmp_path):
    stored = []
    for colour in ((255, 0, 0), (0, 255, 0)):
        image = PillowImage.new("P", (4, 3), 0)
        image.putpalette([*colour, 0, 0, 255])
        path = tmp_path / "palette.png"
        path.write_bytes(encode(image, "PNG"))
        stored.append(store.put_file(path))
        shown = PillowImage.open(tmp_path / "data" / stored[-1].path).convert("RGB")
        assert shown.getpixel((0, 0)) == colour

    assert stored[0].pixel_sha256 != stored[1].pixel_sha256


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_a_file_of_each_mode_of_eight_bits_is_identified_by_what_it_shows(store, tmp_path, mode):
    image = PillowImage.fromarray(RGB).convert("L").convert(mode) if mode in ("1", "LA") else None
    image = image or PillowImage.fromarray(RGB).convert(mode)
    path = tmp_path / "file"
    path.write_bytes(encode(image, "JPEG" if mode == "CMYK" else "PNG"))

    stored = store.put_file(path)

    shown_mode = {"1": "L", "LA": "RGBA", "P": "RGB", "CMYK": "RGB"}.get(mode, mode)
    shown = np.asarray(PillowImage.open(path).convert(shown_mode))
    assert stored.pixel_sha256 == hash_pixels(shown)
    assert (stored.width_px, stored.height_px) == (50, 40)


@pytest.mark.parametrize(
    "pixels", [RGB.astype(np.uint16), RGB.astype(float), RGB[None], np.zeros((4, 4, 4), np.uint8), RGB[0, 0], RGB > 9]
)
def test_pixels_of_another_type_or_shape_are_refused(store, pixels):
    with pytest.raises(DatasetError, match=r"must be uint8 of shape .* got"):
        store.put_pixels(pixels)


def test_a_stored_image_completes_to_one_of_a_sample(store):
    stored = store.put_pixels(GREY)

    image = stored.to_image(Source(uri="a.tif"), view="CAM_FRONT", frame=3)

    assert (image.path, image.width_px, image.height_px) == (stored.path, 50, 40)
    assert (image.view, image.frame, image.source.uri) == ("CAM_FRONT", 3, "a.tif")
    assert image.pixel_sha256 == stored.pixel_sha256
