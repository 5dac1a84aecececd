"""Videos: the frames and times that come out are those that went in. The videos are made here, so all is known."""

from __future__ import annotations

import io
import struct
import sys
from fractions import Fraction

import numpy as np
import pytest
import scipy.ndimage
from PIL import Image as PillowImage

from domainvl.converters.driving.read_video import read_frames, video_facts
from domainvl.converters.driving.write_video import encode_mp4
from domainvl.errors import ItemError, UsageError

av = pytest.importorskip("av")

BITS = 9


def numbered(number, *, width_px=144, height_px=32):
    """A frame that shows its number as black and white columns, and red in its upper left quarter's middle."""
    pixels = np.zeros((height_px, width_px, 3), dtype=np.uint8)
    for bit in range(BITS):
        pixels[height_px // 2 :, bit * width_px // BITS : (bit + 1) * width_px // BITS] = 255 * (number >> bit & 1)
    return pixels


def number_of(pixels):
    height_px, width_px = pixels.shape[:2]
    columns = [(2 * bit + 1) * width_px // (2 * BITS) for bit in range(BITS)]
    return sum(int(pixels[3 * height_px // 4, column, 0] > 127) << bit for bit, column in enumerate(columns))


def write_numbered(path, *, frame_count=300, rate=10, start=0, format=None, **context):
    """A video with frames between key frames, and frames that are stored out of order."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 144, 32, "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 12, 2
        for key, value in context.items():
            setattr(stream.codec_context, key, value)
        for number in range(frame_count):
            frame = av.VideoFrame.from_ndarray(numbered(number), format="rgb24")
            frame.pts, frame.time_base = start + number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return write_numbered(tmp_path_factory.mktemp("video") / "numbered.mp4")


@pytest.mark.parametrize(
    ("time_s", "number"),
    [(0.0, 0), (0.099, 0), (0.1, 1), (0.15, 1), (3.3, 33), (14.999, 149), (15.0, 150), (29.9, 299), (29.999, 299)],
)
def test_the_frame_at_a_time_is_the_last_at_or_before_it(video, time_s, number):
    assert [number_of(frame) for frame in read_frames(video, [time_s])] == [number]


def test_frames_come_in_the_order_of_the_times_also_far_apart_and_twice(video):
    times_s = [29.9, 0.0, 12.34, 12.35, 0.0, 1.05, 25.0]
    frames = read_frames(video, times_s)

    assert [number_of(frame) for frame in frames] == [299, 0, 123, 123, 0, 10, 250]
    assert all(frame.shape == (32, 144, 3) and frame.dtype == np.uint8 for frame in frames)
    assert read_frames(video, []) == []


def test_every_frame_can_be_read(video):
    times_s = np.arange(300) / 10
    assert [number_of(frame) for frame in read_frames(video, times_s.tolist())] == list(range(300))


def test_times_count_from_the_first_frame(tmp_path):
    late = write_numbered(tmp_path / "late.mkv", start=70)
    assert [number_of(frame) for frame in read_frames(late, [0.0, 1.25, 20.0])] == [0, 12, 200]


@pytest.mark.parametrize("name", ["numbered.avi", "numbered.ts"])
def test_containers_that_seek_badly_are_read_right_all_the_same(tmp_path, name):
    path = write_numbered(tmp_path / name, rate=25, max_b_frames=0)
    assert [number_of(frame) for frame in read_frames(path, [0.0, 11.5, 11.9])] == [0, 287, 297]


def test_facts(video):
    facts = video_facts(video)
    assert (facts.duration_s, facts.fps) == (pytest.approx(30.0), pytest.approx(10.0))
    assert (facts.width_px, facts.height_px, facts.rotation_deg) == (144, 32, 0)


# Matrix of the track header (ISO/IEC 14496-12, 6.2.2 and 8.3.2): (p, q) goes to (a p + c q + x, b p + d q + y).
TURNS = {
    # A quarter to the right: (p, q) to (32 - q, p), so that the upper left corner is at the upper right.
    "right": ((0, 1, -1, 0, 32, 0), -1),
    "half": ((-1, 0, 0, -1, 144, 32), 2),
    "left": ((0, -1, 1, 0, 0, 144), 1),
}


@pytest.mark.parametrize(("matrix", "quarters"), TURNS.values(), ids=TURNS.keys())
def test_frames_stand_upright(video, tmp_path, matrix, quarters):
    content = bytearray(video.read_bytes())
    a, b, c, d, x, y = (value << 16 for value in matrix)
    # Behind the type: version and flags, five words, two words, and four half words.
    struct.pack_into(">9i", content, content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8, a, b, 0, c, d, 0, x, y, 1 << 30)
    turned = tmp_path / "turned.mp4"
    turned.write_bytes(content)
    (frame,) = read_frames(turned, [7.7])
    (plain,) = read_frames(video, [7.7])

    assert np.array_equal(frame, np.rot90(plain, quarters))
    facts = video_facts(turned)
    assert (facts.height_px, facts.width_px) == frame.shape[:2]
    assert facts.rotation_deg == quarters * 90 % 360


@pytest.mark.parametrize("time_s", [-0.1, 30.1, 1e9, float("nan"), float("inf")])
def test_a_time_outside_the_video_is_refused(video, time_s):
    with pytest.raises(ItemError, match=r"must lie in the video, of 30.000 s") as caught:
        read_frames(video, [0.0, time_s])
    assert (caught.value.reason, caught.value.where) == ("outside-video", video.name)


def test_files_that_are_no_video_are_refused(tmp_path, video):
    (tmp_path / "text.mp4").write_text("no video")
    (tmp_path / "empty.mp4").write_bytes(b"")
    (tmp_path / "cut.mp4").write_bytes(video.read_bytes()[:2000])
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    for name in ("text.mp4", "empty.mp4", "cut.mp4", "sound.mp4"):
        for use in (video_facts, lambda path: read_frames(path, [0.0])):
            with pytest.raises(ItemError) as caught:
                use(tmp_path / name)
            assert (caught.value.reason, caught.value.where) == ("bad-video", name)
    with pytest.raises(ItemError, match="not on disk") as caught:
        video_facts(tmp_path / "none.mp4")
    assert caught.value.reason == "video-missing"


def test_without_pyav_it_says_how_to_get_it(monkeypatch, video):
    monkeypatch.setitem(sys.modules, "av", None)
    for use in (lambda: video_facts(video), lambda: encode_mp4([numbered(0), numbered(1)], [0.0, 0.5])):
        with pytest.raises(UsageError, match=r"pip install 'domainvl\[video\]'"):
            use()


TIMES_S = [0.0, 0.1, 0.15, 0.25, 0.35, 0.4, 0.5, 0.9]


def test_drv_30_a_written_clip_keeps_its_frames_and_times(tmp_path):
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_mp4([numbered(37 * k) for k in range(8)], TIMES_S))

    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
        found = [(float(frame.pts * frame.time_base), frame) for frame in container.decode(video=0)]
    assert [time_s for time_s, _ in found] == pytest.approx(TIMES_S, abs=1 / 60_000)
    assert [number_of(frame.to_ndarray(format="rgb24")) for _, frame in found] == [37 * k for k in range(8)]
    # The last is shown as long as the one before it.
    assert video_facts(path).duration_s == pytest.approx(1.3)
    assert [number_of(frame) for frame in read_frames(path, [0.89, 0.9, 1.29])] == [222, 259, 259]


@pytest.mark.parametrize("size", [(320, 180), (321, 181)])
def test_drv_30_a_written_clip_looks_like_its_frames(tmp_path, size):
    width_px, height_px = size
    # Leaves and asphalt: blurred noise, other in each frame.
    noise = np.random.default_rng(0).uniform(0, 255, (4, height_px, width_px, 1))
    frames = [np.repeat(scipy.ndimage.gaussian_filter(one, (1, 1, 0)), 3, axis=2).astype(np.uint8) for one in noise]
    path = tmp_path / "clip.mp4"
    path.write_bytes(encode_mp4(frames, [0.0, 0.5, 1.0, 1.5]))

    for written, read in zip(frames, read_frames(path, [0.0, 0.5, 1.0, 1.5]), strict=True):
        assert read.shape == written.shape
        assert np.abs(read.astype(int) - written).mean() < 2


def test_drv_30_the_same_frames_make_the_same_bytes_from_files_and_arrays(tmp_path):
    frames = [numbered(k) for k in range(4)]
    paths = [tmp_path / f"{k}.png" for k in range(4)]
    for path, pixels in zip(paths, frames, strict=True):
        PillowImage.fromarray(pixels).save(path)
    times_s = [0.0, 0.5, 1.0, 1.5]
    content = encode_mp4(frames, times_s)

    assert encode_mp4(frames, times_s) == content
    assert encode_mp4(paths, times_s) == content
    # From when it is counted does not matter, and nothing in it tells the version of FFmpeg.
    assert encode_mp4(frames, [time_s + 77 for time_s in times_s]) == content
    assert b"Lav" not in content
    with av.open(io.BytesIO(content)) as container:
        assert "creation_time" not in container.metadata


def test_frames_that_cannot_be_one_video_are_refused(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(ItemError, match="144x32 px; got 145x32") as caught:
        encode_mp4([numbered(0), numbered(0, width_px=145)], [0.0, 0.5])
    assert caught.value.reason == "image-size"
    with pytest.raises(ItemError) as caught:
        encode_mp4([numbered(0), tmp_path / "text.jpg"], [0.0, 0.5])
    assert (caught.value.reason, caught.value.where) == ("image-decode", "text.jpg")
    for frames, times_s in (([numbered(0)], [0.0]), ([numbered(0)] * 2, [0.0]), ([numbered(0)] * 2, [0.5, 0.5])):
        with pytest.raises(ValueError, match="rising time"):
            encode_mp4(frames, times_s)
