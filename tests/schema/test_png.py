"""PNG files keep to the standard, and other decoders get back every pixel."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
import rasterio
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of
from PIL import Image as PillowImage

from domainvl.errors import DatasetError, UsageError
from domainvl.schema.png import Compressor, best_compressor, encode_png

SIDES = {"min_side": 1, "max_side": 40}
SHAPES = arrays_of.array_shapes(min_dims=2, max_dims=2, **SIDES).flatmap(lambda s: st.sampled_from([s, (*s, 3)]))
IMAGES = st.one_of(
    arrays_of.arrays(np.uint8, SHAPES),
    arrays_of.arrays(np.uint8, SHAPES, elements=st.sampled_from([0, 255])),  # differences that wrap
)
RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
GREY = np.ascontiguousarray(RGB[:, :, 0])


@pytest.fixture(params=Compressor, ids=str, scope="module")
def compressor(request):
    if request.param is Compressor.ZLIB_NG:
        pytest.importorskip("zlib_ng")
    return request.param


def read_with_pillow(content):
    with PillowImage.open(io.BytesIO(content)) as image:
        return image.format, image.mode, np.asarray(image)


def read_with_gdal(content):
    """GDAL brings a libpng of its own."""
    with warnings.catch_warnings(), rasterio.MemoryFile(content, ext=".png") as memory:
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with memory.open() as dataset:
            assert dataset.driver == "PNG"
            bands = dataset.read()
    return bands[0] if len(bands) == 1 else np.moveaxis(bands, 0, 2)


def crc_by_the_standard(data):
    """The remainder of a division of polynomials over one bit (Annex D, without its table)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def chunks_of(content):
    """Take a file apart by clause 5: the signature, then chunks of length, type, data and checksum."""
    assert content[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10])
    chunks, place = [], 8
    while place < len(content):
        length, kind = struct.unpack(">I4s", content[place : place + 8])
        data, (crc,) = content[place + 8 : place + 8 + length], struct.unpack_from(">I", content, place + 8 + length)
        chunks.append((kind, data, crc))
        place += 12 + length
    assert place == len(content)
    return chunks


def packed_rows_of(content):
    return b"".join(data for kind, data, _ in chunks_of(content) if kind == b"IDAT")


def rows_of(packed, row_bytes):
    """Undo the filters None and Up by their definition (table 9.1); no other stands here."""
    scanlines = zlib.decompress(packed)
    above, rows = [0] * row_bytes, []
    for start in range(0, len(scanlines), row_bytes + 1):
        assert scanlines[start] in (0, 2)
        line = scanlines[start + 1 : start + 1 + row_bytes]
        above = [(x + b) % 256 for x, b in zip(line, above, strict=True)] if scanlines[start] == 2 else list(line)
        rows.append(above)
    return rows


@given(pixels=IMAGES)
def test_other_decoders_get_every_pixel_back(compressor, pixels):
    before = pixels.copy()

    content = encode_png(pixels, compressor)

    kind, mode, seen = read_with_pillow(content)
    assert (kind, mode) == ("PNG", "L" if pixels.ndim == 2 else "RGB")
    assert np.array_equal(seen, before)
    assert np.array_equal(read_with_gdal(content), before)
    assert np.array_equal(pixels, before)


@pytest.mark.parametrize(("pixels", "colour_type"), [(GREY, 0), (RGB, 2)], ids=["grey", "rgb"])
def test_the_file_is_what_the_standard_says(compressor, pixels, colour_type):
    chunks = chunks_of(encode_png(pixels, compressor))
    (first, header, _), *middle, (last, nothing, _) = chunks

    # Clause 11.2.2: width, height, bit depth, colour type, compression, filter and interlace method.
    assert (first, struct.unpack(">IIBBBBB", header)) == (b"IHDR", (30, 20, 8, colour_type, 0, 0, 0))
    assert {kind for kind, _, _ in middle} == {b"IDAT"}
    assert (last, nothing) == (b"IEND", b"")
    assert [crc for _, _, crc in chunks] == [crc_by_the_standard(kind + data) for kind, data, _ in chunks]
    assert rows_of(b"".join(data for _, data, _ in middle), pixels[0].size) == pixels.reshape(20, -1).tolist()


@pytest.mark.parametrize(
    "pixels",
    [
        RGB[::2, ::-1],
        RGB[:, :, 1],
        RGB[:, :, ::-1],
        np.asfortranarray(RGB),
        np.asfortranarray(GREY),
        GREY.T,
        np.broadcast_to(np.uint8(7), (9, 11)),
        RGB[:1, :1],
        GREY[:1],
        RGB[:, :1],
    ],
    ids=["stepped", "channel", "bgr", "fortran", "fortran-grey", "transposed", "broadcast", "dot", "row", "column"],
)
def test_any_memory_layout(compressor, pixels):
    assert np.array_equal(read_with_pillow(encode_png(pixels, compressor))[2], pixels)


@pytest.mark.parametrize("shape", [(700, 800, 3), (1_200_000, 1), (3, 1_300_000), (2, 500_000, 3)], ids=str)
def test_images_larger_than_a_band(compressor, shape):
    """Several bands, many narrow rows, and rows of which one is more than a band."""
    pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)

    scanlines = zlib.decompress(packed_rows_of(encode_png(pixels, compressor)))

    lines = np.frombuffer(scanlines, np.uint8).reshape(shape[0], -1)
    assert set(lines[:, 0].tolist()) == {2}
    assert np.array_equal(np.cumsum(lines[:, 1:], axis=0, dtype=np.uint8).reshape(shape), pixels)


def test_a_large_image_is_never_copied_as_a_whole(compressor):
    pixels = np.zeros((4000, 4000, 3), np.uint8)[:, ::-1]
    encode_png(GREY, compressor)  # what is imported is not counted

    tracemalloc.start()
    try:
        encode_png(pixels, compressor)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < pixels.nbytes / 8


def test_real_imagery_comes_back(compressor, real_data):
    scene = real_data / "remote_sensing/opengeos__data/naip/m_4709963_se_14_1_20160816.tif"
    with rasterio.open(scene) as dataset:
        pixels = dataset.read([1, 2, 3]).transpose(1, 2, 0)
    road = np.asarray(PillowImage.open(real_data / "driving/udacity__CarND-Advanced-Lane-Lines/test_images/test1.jpg"))
    for image in (pixels, road, pixels[:, :, 0]):
        content = encode_png(image, compressor)

        assert np.array_equal(read_with_pillow(content)[2], image)
        assert np.array_equal(read_with_gdal(content), image)
        assert len(content) < 0.9 * image.size  # it does compress


def test_equal_pixels_make_equal_files(compressor):
    assert encode_png(RGB, compressor) == encode_png(np.asfortranarray(RGB), compressor)


@pytest.mark.parametrize(
    ("pixels", "seen"),
    [
        (RGB.astype(np.uint16), "uint16 (20, 30, 3)"),
        (RGB.astype(np.float32), "float32"),
        (RGB > 0, "bool"),
        (RGB.astype(np.int8), "int8"),
        (RGB[0, 0], "uint8 (3,)"),
        (RGB[:, :, :2], "(20, 30, 2)"),
        (RGB[:, :, :1], "(20, 30, 1)"),
        (np.zeros((20, 30, 4), np.uint8), "(20, 30, 4)"),
        (RGB[None], "(1, 20, 30, 3)"),
        (GREY[:0], "got 0 and 30"),
        (GREY[:, :0], "got 20 and 0"),
        (RGB[:0, :0], "got 0 and 0"),
        (np.broadcast_to(np.uint8(0), (2**31, 1)), f"got {2**31} and 1"),
        (np.broadcast_to(np.uint8(0), (1, 2**31)), f"got 1 and {2**31}"),
    ],
    ids=lambda value: value if isinstance(value, str) else "pixels",
)
def test_what_is_no_image_is_refused(pixels, seen):
    with pytest.raises(DatasetError) as caught:
        encode_png(pixels)

    assert str(caught.value).startswith("Cannot encode a PNG: ")
    assert seen in str(caught.value)


def test_zlib_is_taken_and_zlib_ng_refused_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "zlib_ng", None)

    assert best_compressor() is Compressor.ZLIB
    with pytest.raises(UsageError, match=r"pip install 'domainvl\[fast\]'"):
        encode_png(RGB, Compressor.ZLIB_NG)


def test_zlib_ng_is_taken_where_it_is_installed(monkeypatch):
    zlib_ng = pytest.importorskip("zlib_ng.zlib_ng")
    opened = []
    monkeypatch.setattr(zlib_ng, "compressobj", lambda *given: opened.append(given) or zlib.compressobj(*given))

    encode_png(RGB, best_compressor())

    assert best_compressor() is Compressor.ZLIB_NG
    assert len(opened) == 1


def noise(rng, shape):
    """Whatever the filter makes of it, it does not pack."""
    return rng.integers(0, 256, shape, dtype=np.uint8)


def flat_areas(rng, shape):
    height_px, width_px = rng.integers(1, 400, 2)
    coarse = noise(rng, (shape[0] // height_px + 1, shape[1] // width_px + 1, *shape[2:]))
    return coarse.repeat(height_px, axis=0)[: shape[0]].repeat(width_px, axis=1)[:, : shape[1]]


def grains(rng, shape):
    """Grey with noise of some width, as on a CT slice."""
    return rng.normal(128, rng.uniform(0.2, 40), shape).clip(0, 255).astype(np.uint8)


def noise_beside_flat_areas(rng, shape):
    """Stretches that a compressor stores as they are beside those that it packs."""
    pixels = noise(rng, shape)
    pixels[shape[0] // 3 : shape[0] // 2] = 7
    pixels[:, shape[1] // 2 :] = 9
    return pixels


@pytest.mark.parametrize("pixels_of", [noise, flat_areas, grains, noise_beside_flat_areas])
def test_both_compressors_pack_into_the_same_bytes(pixels_of):
    pytest.importorskip("zlib_ng")
    rng = np.random.default_rng(3)
    shapes = [tuple(rng.integers(1, 90, 2).tolist()) for _ in range(100)]
    shapes += [(1100, 960), (3, 1_100_000), (70_000, 16)]  # each more than a band
    for shape in [*shapes, *((*shape, 3) for shape in shapes)]:
        pixels = pixels_of(rng, shape)

        assert encode_png(pixels, Compressor.ZLIB) == encode_png(pixels, Compressor.ZLIB_NG), shape


def test_no_time_is_spent_on_searching_for_strings(compressor):
    """Z_RLE finds repetitions at a distance of one byte alone, says zlib's manual: those of 64 bytes do not pack."""
    pattern = np.random.default_rng(2).integers(0, 256, (100, 64), dtype=np.uint8)

    packed = packed_rows_of(encode_png(np.tile(pattern, (1, 10)), compressor))

    assert len(packed) > pattern.size * 10 * 0.95
    assert len(zlib.compress(zlib.decompress(packed))) < pattern.size * 2  # they would, if it searched
