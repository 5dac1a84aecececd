"""Videos of 4 seconds whose brightness tells the time: 10 frames a second, each a step brighter than the last."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image as PillowImage

from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.corpus.sources.video import read_video
from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextSlot

_RATE_HZ = 10
_FRAMES = 40


def _brightness(frame: int) -> int:
    return 20 + 5 * frame


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "talk.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=_RATE_HZ, options={"g": "8"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(_FRAMES):
            pixels = np.full((48, 64, 3), _brightness(number), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.fixture
def talk(video: Path, tmp_path: Path) -> Path:
    path = tmp_path / "talk.mp4"
    path.write_bytes(video.read_bytes())
    return path


def srt(*cues: tuple[float, float, str]) -> str:
    def stamp(time_s: float) -> str:
        return f"00:00:{int(time_s):02d},{round(time_s % 1 * 1000):03d}"

    return "\n".join(
        f"{number}\n{stamp(start_s)} --> {stamp(end_s)}\n{text}\n"
        for number, (start_s, end_s, text) in enumerate(cues, start=1)
    )


def vtt(*cues: tuple[float, float, str]) -> str:
    return "WEBVTT\n\n" + srt(*cues).replace(",", ".")


def pages(path: Path, **settings: Any) -> Any:
    return read_video(SourceFile(path, f"talks/{path.name}", path.parent, "video"), ReadSettings(**settings))


def read(path: Path, **settings: Any) -> Page:
    (page,) = pages(path, **settings)
    return page


def told(page: Page) -> list[tuple[str, float | None, float | None]]:
    return [(slot.text, slot.start_s, slot.end_s) for slot in page.slots if isinstance(slot, TextSlot)]


CUES = ((0.5, 1.0, "Here is the <i>heart</i>."), (1.0, 2.0, "It beats,\nas you see."), (3.0, 3.5, "The lung."))


def test_frames_and_texts_come_in_the_order_of_time(talk: Path) -> None:
    talk.with_suffix(".srt").write_text(srt(*CUES))
    page = read(talk, frame_step_s=0.0)
    assert [(type(slot), slot.start_s) for slot in page.slots] == [
        (kind, start_s) for start_s in (0.5, 1.0, 3.0) for kind in (ImageSlot, TextSlot)
    ]
    assert told(page) == [
        ("Here is the heart.", 0.5, 1.0),
        ("It beats, as you see.", 1.0, 2.0),
        ("The lung.", 3.0, 3.5),
    ]
    assert [slot.url for slot in page.slots if isinstance(slot, ImageSlot)][1] == "talks/talk.mp4#t=1.000"
    assert page.rejects == ()


def test_a_frame_is_no_more_often_than_the_step(talk: Path) -> None:
    talk.with_suffix(".srt").write_text(srt(*CUES))
    page = read(talk, frame_step_s=2.0)
    assert [slot.start_s for slot in page.slots if isinstance(slot, ImageSlot)] == [0.5, 3.0]
    assert len(told(page)) == 3


@pytest.mark.parametrize("order", [(0.0, 0.55, 1.2, 3.9), (3.9, 0.55, 1.2, 0.0)], ids=["forward", "back"])
def test_a_frame_is_the_one_that_is_shown_at_the_time(talk: Path, order: tuple[float, ...]) -> None:
    talk.with_suffix(".srt").write_text(srt(*((start_s, start_s + 0.05, f"at {start_s}") for start_s in sorted(order))))
    reader = pages(talk, frame_step_s=0.0)
    page = next(reader)
    for time_s in order:
        with PillowImage.open(io.BytesIO(page.find_image(f"talks/talk.mp4#t={time_s:.3f}"))) as frame:
            assert (frame.format, frame.size) == ("JPEG", (64, 48))
            mean = float(np.asarray(frame).mean())
        assert abs(mean - _brightness(int(time_s * _RATE_HZ + 1e-6))) < 2.5  # half of a step
    with pytest.raises(ItemError) as raised:
        page.find_image("talks/talk.mp4#t=7.000")
    assert raised.value.reason == "no-frame"
    reader.close()


def test_rolling_subtitles_are_told_once(talk: Path) -> None:
    """As automatic subtitles roll: the line above was the line below, and short cues repeat what stays."""
    talk.with_suffix(".vtt").write_text(
        vtt(
            (0.0, 1.0, "we look at"),
            (1.0, 1.1, "we look at"),
            (1.1, 2.0, "we look at\nthe<00:00:01.500><c> heart</c>"),
            (2.0, 3.0, "the heart\nand then"),
            (3.0, 3.8, "the heart\nand then the lung"),
        )
    )
    page = read(talk)
    assert told(page) == [("we look at", 0.0, 1.1), ("the heart", 1.1, 2.0), ("and then the lung", 2.0, 3.8)]
    assert [(reject.reason, reject.message.split()[0]) for reject in page.rejects] == [("repeated-cue", "2")]


def test_a_line_that_comes_again_later_is_told_again(talk: Path) -> None:
    talk.with_suffix(".srt").write_text(srt((0.0, 0.5, "Again."), (3.0, 3.5, "Again.")))
    assert [text for text, *_ in told(read(talk))] == ["Again.", "Again."]


def test_subtitles_of_a_language_are_found_behind_those_of_the_very_name(talk: Path) -> None:
    (talk.parent / "talk.de.vtt").write_text(vtt((0.0, 1.0, "Das Herz.")))
    (talk.parent / "talk2.srt").write_text(srt((0.0, 1.0, "Another.")))
    page = read(talk)
    assert (page.language, told(page)[0][0]) == ("de", "Das Herz.")
    (talk.parent / "talk.srt").write_text(srt((0.0, 1.0, "The heart.")))
    page = read(talk)
    assert (page.language, told(page)[0][0]) == (None, "The heart.")


def test_broken_cues_are_counted(talk: Path) -> None:
    talk.with_suffix(".srt").write_text(srt((2.0, 1.0, "Backwards."), (1.0, 2.0, "Right.")))
    page = read(talk)
    assert [text for text, *_ in told(page)] == ["Right."]
    assert [reject.reason for reject in page.rejects] == ["broken-cue"]


def test_what_cannot_be_read_is_refused_by_its_reason(video: Path, talk: Path, tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(ItemError) as raised:
            read(path)
        return raised.value.reason

    assert reason(talk) == "no-subtitles"
    talk.with_suffix(".srt").write_text("")
    assert reason(talk) == "subtitles"
    talk.with_suffix(".srt").write_bytes(bytes(range(256)) * 40)
    assert reason(talk) == "subtitles"
    talk.with_suffix(".srt").write_text(srt((0.0, 1.0, "The heart.")))
    talk.write_bytes(b"no video")
    assert reason(talk) == "decode"
    (tmp_path / "other.mp4").write_bytes(video.read_bytes())
    talk.write_text("ffconcat version 1.0\nfile other.mp4\n")
    assert reason(talk) == "decode"
    talk.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:4\n#EXTINF:4,\nfile://{tmp_path / 'other.mp4'}\n#EXT-X-ENDLIST\n")
    assert reason(talk) == "decode"
    sound = tmp_path / "sound.avi"
    sound.with_suffix(".srt").write_text(srt((0.0, 1.0, "Listen.")))
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    assert reason(sound) == "no-video"


def test_a_video_that_is_cut_off_gives_the_frames_that_it_has(talk: Path) -> None:
    """Of the file without its end, in a container that needs none."""
    path = talk.with_suffix(".avi")
    with av.open(str(talk)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    content = path.read_bytes()
    path.write_bytes(content[: [match.start() for match in re.finditer(b"00dc", content)][20]])  # chunks of the stream
    path.with_suffix(".srt").write_text(srt((0.0, 0.5, "Early."), (3.5, 3.9, "Late.")))
    reader = pages(path)
    page = next(reader)
    assert page.find_image("talks/talk.avi#t=0.000")
    with pytest.raises(ItemError) as raised:
        page.find_image("talks/talk.avi#t=3.500")
    assert raised.value.reason in ("no-frame", "image-decode")
    reader.close()


def test_subtitles_that_lie_elsewhere_are_not_read(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "talk.srt"
    elsewhere.write_text(srt(*CUES))
    talk.with_suffix(".srt").symlink_to(elsewhere)
    with pytest.raises(ItemError) as caught:
        read(talk)
    assert caught.value.reason == "outside-source"
