"""One image file: how it looks from afar, and that no broken file breaks the check."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PillowImage

from domainvl.schema import ImageStore
from domainvl.schema.validation.pixels import ImageFacts, difference_hash, read_pixels


def encode(image: PillowImage.Image, kind: str = "PNG", **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def facts_of(pixels) -> ImageFacts:
    facts = read_pixels(encode(PillowImage.fromarray(np.asarray(pixels, np.uint8))))
    assert isinstance(facts, ImageFacts)
    return facts


def test_the_hash_says_where_grey_falls_to_the_right():
    thumbnail = np.tile(np.array([9, 8, 8, 9, 1, 0, 5, 4, 3], np.int16), (8, 1))

    # 9>8 yes, 8>8 no, 8>9 no, 9>1 yes, 1>0 yes, 0>5 no, 5>4 yes, 4>3 yes, in each of eight rows.
    assert difference_hash(thumbnail) == int("10011011" * 8, 2)


def test_a_ramp_has_all_bits_or_none():
    ramp = np.tile(np.arange(90, dtype=np.uint8), (64, 1))

    assert facts_of(ramp).looks == 0
    assert facts_of(ramp[:, ::-1]).looks == 2**64 - 1


def test_blank_and_flat():
    """Blank is all of it; flat is what the thumbnail shows: a fine checkerboard averages out."""
    board = np.indices((80, 90)).sum(axis=0) % 2 * 200

    assert (facts_of(np.full((80, 90), 7)).blank, facts_of(np.full((80, 90), 7)).flat) == (True, True)
    assert (facts_of(board).blank, facts_of(board).flat) == (False, True)
    # Eight grey levels are no longer blank.
    for span, blank in ((7, True), (8, False)):
        pixels = np.zeros((80, 90))
        pixels[:, 45:] = span
        assert (facts_of(pixels).blank, facts_of(pixels).flat) == (blank, blank)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "1"])
def test_the_pixel_hash_is_that_of_the_store(tmp_path, mode):
    image = PillowImage.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).convert(mode)
    (tmp_path / "a.png").write_bytes(encode(image))
    stored = ImageStore(tmp_path).put_file(tmp_path / "a.png")

    facts = read_pixels((tmp_path / "a.png").read_bytes())

    assert isinstance(facts, ImageFacts)
    assert (facts.width_px, facts.height_px, facts.pixel_sha256) == (8, 6, stored.pixel_sha256)
    assert facts.problems == ()


@pytest.mark.parametrize(
    ("image", "kind", "code"),
    [
        (PillowImage.fromarray(np.zeros((4, 4), np.uint16)), "PNG", "image-depth"),
        (PillowImage.fromarray(np.zeros((4, 4), np.float32)), "TIFF", "image-depth"),
        (PillowImage.new("RGB", (4, 4)), "GIF", "image-format"),
        (PillowImage.new("RGB", (4, 4)), "WEBP", "image-format"),
    ],
)
def test_what_trainers_would_read_otherwise_is_a_problem(image, kind, code):
    facts = read_pixels(encode(image, kind))

    assert isinstance(facts, ImageFacts)
    assert code in [problem for problem, _ in facts.problems]


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_file_cut_anywhere_is_a_finding_and_no_exception(kind):
    rng = np.random.default_rng(0)
    content = encode(PillowImage.fromarray(rng.integers(0, 256, (16, 16, 3), np.uint8)), kind)

    for length in range(0, len(content) - 20, 7):
        result = read_pixels(content[:length])
        assert isinstance(result, tuple), length
        assert result[0] == ("image-truncated" if length >= 8 else "image-unreadable") or 3 <= length < 8


@pytest.mark.parametrize("kind", [ValueError, EOFError, SyntaxError, IndexError])
def test_whatever_pillow_raises_is_a_finding(monkeypatch, kind):
    def fail(*arguments):
        raise kind("broken inside")

    monkeypatch.setattr(PillowImage, "open", fail)

    assert read_pixels(b"\xff\xd8\xff") == ("image-truncated", "the file does not decode (broken inside)")


def test_a_message_holds_no_address_in_memory():
    code, message = read_pixels(b"<html>")

    assert code == "image-unreadable"
    assert "0x" not in message
