"""BDD-X: ragged segments become clips of the right frames, with what was said and, where recorded, how it moved."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
from converted import Converted
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image as PillowImage
from pydantic import ValidationError

from domainvl.converters.benchmarks.bdd_x import CONVERTER, frame_times, one_decimal, reduced
from domainvl.converters.benchmarks.bdd_x_motion import read_motion
from domainvl.converters.benchmarks.generate_driving import (
    generate_bdd_x,
    grey_of,
    write_bdd_x_rows,
    write_info,
    write_video,
)
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, ItemError, NothingToDoError
from domainvl.schema import Split, Task

pytest.importorskip("av")

FIRST = "00000001-00000001"
LAST = "00000004-00000004"
WHY = "because the road is clear."


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bdd") / "BDD-X-Dataset"
    generate_bdd_x(folder, video_count=4)
    return folder


@pytest.fixture
def single(tmp_path):
    """One video of 8 s, whose rows a test writes."""
    folder = tmp_path / "single"
    write_video(folder / "videos" / f"{FIRST}.mov")
    (folder / "train.txt").write_text(f"7_{FIRST}\n")
    return folder


def grey(out, image):
    with PillowImage.open(out / image.path) as picture:
        return float(np.asarray(picture).mean())


def frames_of(done, sample):
    """Place in the video of each frame that a sample shows, told by its grey."""
    greys = [grey(done.out, image) for image in sample.images]
    return [int(np.argmin([abs(seen - grey_of(index)) for index in range(40)])) for seen in greys]


def test_drv_61_bdd_x_asks_four_questions_of_each_clip(published, tmp_path):
    done = Converted(CONVERTER, published, tmp_path / "out")
    assert done.summary.exit_code is ExitCode.DONE
    clip = {key.rpartition("/")[2]: sample for key, sample in done.samples.items() if f"{FIRST}/2-1/" in key}
    told = {key: (sample.task, sample.answer.text) for key, sample in clip.items()}
    # The vehicle gains 1 m/s and turns left by 10 degrees each second; the clip goes from 0 to 3 s.
    assert told == {
        "action": (Task.CAPTION, "The car goes ahead."),
        "justification": (Task.CAPTION, WHY),
        "speed": (Task.VQA, "3.0 m/s"),
        "turning-angle": (Task.VQA, "30.0 degrees"),
    }
    assert clip["action"].question == "What is the action of the ego car?"
    frames = "".join(f"Frame{number}: <image>\n" for number in range(1, 9))
    assert clip["action"].turns[0].text == f"{frames}What is the action of the ego car?"
    assert all((sample.domain, sample.group) == ("driving", FIRST) for sample in clip.values())
    second = done.samples[f"bdd-x/{FIRST}/2-2/turning-angle"]
    assert second.answer.text == "40.0 degrees"


def test_drv_61_bdd_x_shows_the_frames_in_the_middles_of_equal_parts(published, tmp_path):
    done = Converted(CONVERTER, published, tmp_path / "out", frames=5)
    sample = done.samples[f"bdd-x/{FIRST}/2-2/action"]
    # From 4 to 8 s in five parts: 4.4, 5.2, 6.0, 6.8 and 7.6 s, at 5 frames a second.
    assert frames_of(done, sample) == [22, 26, 30, 34, 38]
    assert [image.frame for image in sample.images] == [1, 2, 3, 4, 5]
    assert [image.source.details["time_s"] for image in sample.images] == pytest.approx([4.4, 5.2, 6.0, 6.8, 7.6])
    content = (published / "videos" / f"{FIRST}.mov").read_bytes()
    for image in sample.images:
        assert image.path.endswith(".png")
        assert image.source.uri == f"videos/{FIRST}.mov"
        assert image.source.sha256 == hashlib.sha256(content).hexdigest()


def test_drv_61_bdd_x_splits_are_the_official_lists(published, tmp_path):
    done = Converted(CONVERTER, published, tmp_path / "out", frames=1)
    groups = {split: {sample.group for sample in samples} for split, samples in done.of_split.items()}
    names = [f"0000000{number}-0000000{number}" for number in range(1, 5)]
    assert groups == {Split.TRAIN: set(names[:2]), Split.VAL: {names[2]}, Split.TEST: {names[3]}}
    assert all(sample.fixed_split is split for split, samples in done.of_split.items() for sample in samples)
    with pytest.raises(ValidationError):
        CONVERTER.settings_type(val_fraction=0.1)


def test_drv_61_bdd_x_a_video_in_two_lists_stays_in_the_more_held_out_one(published, tmp_path):
    folder = tmp_path / "bdd"
    write_bdd_x_rows_and_lists(folder, published, train=[FIRST, LAST], test=[LAST])
    done = Converted(CONVERTER, folder, tmp_path / "out", frames=1, videos=published / "videos")
    assert {sample.group for sample in done.of_split[Split.TEST]} == {LAST}
    assert any(re.match(rf"1 videos are named in several .* such as {LAST}", note) for note in done.manifest["notes"])


def write_bdd_x_rows_and_lists(folder, published, **lists):
    folder.mkdir()
    (folder / "BDD-X-Annotations_v1.csv").write_bytes((published / "BDD-X-Annotations_v1.csv").read_bytes())
    for split, names in lists.items():
        (folder / f"{split}.txt").write_text("".join(f"1_{name}\n" for name in names))


def test_drv_61_bdd_x_ragged_rows_are_read_and_bad_segments_rejected_by_reason(single, tmp_path):
    groups = [
        (0, 2, "The car waits", WHY),  # 1
        ("", "", "", ""),  # 2: no segment
        (2, 4, "", WHY),  # 3: no action
        (2, 4, "The car goes", ""),  # 4: no justification
        ("", 4, "The car goes", WHY),  # 5: no start
        (5, 5, "The car stops", WHY),  # 6: a single second
        (6, 4, "The car stops", WHY),  # 7: the wrong way round
        ("soon", 7, "The car stops", WHY),  # 8: no number
        (7, 9, "The car\nturns", WHY),  # 9: ends a second after the video
        (7, 10, "The car turns", WHY),  # 10: ends two seconds after it
        (8, 9, "The car turns", WHY),  # 11: starts where it ends
        (-1, 2, "The car turns", WHY),  # 12: before the video
        ("nan", 2, "The car turns", WHY),  # 13
        *[("", "", "", "")],  # 14
        (3, 4, "The car is parked", WHY),  # 15: the last group
    ]
    write_bdd_x_rows(single, [[], [FIRST, *(cell for group in groups for cell in group)], []])
    done = Converted(CONVERTER, single, tmp_path / "out")
    assert {key for key in done.samples if key.endswith("/action")} == {
        f"bdd-x/{FIRST}/3-{number}/action" for number in (1, 6, 9, 15)
    }
    assert set(done.reasons()) == {
        (f"{FIRST}/3-3", "segment-incomplete"),
        (f"{FIRST}/3-4", "segment-incomplete"),
        (f"{FIRST}/3-5", "segment-incomplete"),
        (f"{FIRST}/3-7", "segment-reversed"),
        (f"{FIRST}/3-8", "segment-time"),
        (f"{FIRST}/3-10", "segment-beyond-video"),
        (f"{FIRST}/3-11", "segment-beyond-video"),
        (f"{FIRST}/3-12", "segment-time"),
        (f"{FIRST}/3-13", "segment-time"),
    }
    cut = done.samples[f"bdd-x/{FIRST}/3-9/action"]
    assert cut.answer.text == "The car turns"
    assert cut.warnings == ("The segment goes from 7 s to 9 s, beyond the video; shown is from 7.00 s to 8.00 s",)
    # One second is left, which has five frames; eight were asked for.
    assert frames_of(done, cut) == [35, 36, 37, 38, 39]
    assert done.samples[f"bdd-x/{FIRST}/3-1/action"].warnings == ()


def test_drv_61_bdd_x_a_segment_that_ends_where_it_starts_is_one_second(single, tmp_path):
    groups = [(0, 3, "The car waits", WHY), (4, 4, "The car goes", WHY), (5, 7, "The car turns", WHY)]
    write_bdd_x_rows(single, [[FIRST, *(cell for group in groups for cell in group), 8, 8, "The car stops", WHY]])
    write_info(single / "info" / f"{FIRST}.json", [(second, float(second), 0.0) for second in range(9)])
    done = Converted(CONVERTER, single, tmp_path / "out")
    assert done.rejects == []
    second = done.samples[f"bdd-x/{FIRST}/2-2/action"]
    # Five frames a second: from 4 to 5 s those from 20 on.
    assert (frames_of(done, second), second.warnings) == ([20, 21, 22, 23, 24], ())
    details = second.images[0].source.details
    assert (details["start_s"], details["end_s"]) == (4.0, 4.0)
    assert done.samples[f"bdd-x/{FIRST}/2-2/speed"].answer.text == "5.0 m/s"
    # 8-8 begins where the video ends: its last second is shown.
    last = done.samples[f"bdd-x/{FIRST}/2-4/action"]
    assert frames_of(done, last) == [35, 36, 37, 38, 39]
    assert last.warnings == ("The segment goes from 8 s to 9 s, beyond the video; shown is from 7.00 s to 8.00 s",)
    # What shares its neighbours' seconds is taken as published.
    assert frames_of(done, done.samples[f"bdd-x/{FIRST}/2-3/action"])[-1] < 35


@pytest.mark.parametrize(("strict", "severity"), [(False, "skipped"), (True, "failed")])
def test_drv_61_bdd_x_a_video_that_is_not_there_counts_as_not_fetched(published, tmp_path, strict, severity):
    folder = tmp_path / "bdd"
    write_bdd_x_rows_and_lists(folder, published, train=[FIRST], test=[LAST])
    write_video(folder / "videos" / f"{FIRST}.mov")
    done = Converted(CONVERTER, folder, tmp_path / "out", frames=1, strict=strict)
    missing = {item["input"]: item["severity"] for item in done.rejects if item["reason"] == "video-missing"}
    assert missing == {LAST: severity}
    assert done.summary.exit_code is (ExitCode.PARTIAL if strict else ExitCode.DONE)


def test_drv_61_bdd_x_videos_that_cannot_be_used_are_rejected_with_their_segments(published, tmp_path):
    folder = tmp_path / "bdd"
    names = [f"0000000{number}-0000000{number}" for number in range(1, 5)]
    write_bdd_x_rows_and_lists(folder, published, train=names[:3])
    write_video(folder / "videos" / f"{names[0]}.mov")
    (folder / "videos" / f"{names[1]}.mov").write_bytes(b"no video at all")
    rows = (folder / "BDD-X-Annotations_v1.csv").read_text()
    (folder / "BDD-X-Annotations_v1.csv").write_text(rows + ",0,1,The car goes,why\n")
    done = Converted(CONVERTER, folder, tmp_path / "out", frames=1)
    assert set(done.reasons()) == {
        (names[1], "bad-video"),
        (names[2], "video-missing"),
        (names[3], "split-unknown"),
        ("BDD-X-Annotations_v1.csv row 6", "video-unnamed"),
    }
    by_input = {item["input"]: item for item in done.rejects}
    assert all("2 segments" in by_input[name]["message"] for name in names[1:])
    assert by_input[names[3]]["severity"] == "skipped"
    assert str(tmp_path) not in (done.out / "rejects.jsonl").read_text()
    assert {sample.group for sample in done.samples.values()} == {names[0]}


def test_drv_61_bdd_x_of_two_videos_of_one_name_none_is_taken(published, tmp_path):
    folder = tmp_path / "bdd"
    write_bdd_x_rows_and_lists(folder, published, train=[FIRST, LAST])
    for name in (f"train/{FIRST}", f"val/{FIRST}", LAST):
        write_video(folder / "videos" / f"{name}.mov")
    done = Converted(CONVERTER, folder, tmp_path / "out", frames=1)
    assert (FIRST, "video-repeated") in done.reasons()
    assert {sample.group for sample in done.samples.values()} == {LAST}


def test_drv_61_bdd_x_speed_and_turning_angle_are_asked_only_where_they_are_known(single, tmp_path):
    write_bdd_x_rows(single, [[FIRST, 0, 2, "The car goes", WHY, 4, 6, "The car turns", WHY]])
    done = Converted(CONVERTER, single, tmp_path / "none", frames=1)
    assert {key.rpartition("/")[2] for key in done.samples} == {"action", "justification"}
    assert "1 of 1 videos have no file of speed and course" in done.manifest["notes"][0]
    # The speed is unknown from 5 s on, the course at all times.
    write_info(tmp_path / "info" / f"{FIRST}.json", [(t, 3.5 if t < 5 else -1, -1) for t in range(9)])
    done = Converted(CONVERTER, single, tmp_path / "some", frames=1, info=tmp_path / "info")
    asked = {key: sample.answer.text for key, sample in done.samples.items() if sample.task is Task.VQA}
    assert asked == {f"bdd-x/{FIRST}/2-1/speed": "3.5 m/s"}
    assert "notes" not in done.manifest
    told = {item["input"]: (item["reason"], item["severity"], item["message"]) for item in done.rejects}
    assert told.keys() == {f"{FIRST} speed", f"{FIRST} turning angle"}
    assert {value[:2] for value in told.values()} == {("motion-unknown", "skipped")}
    assert "for 1 of 2 clips" in told[f"{FIRST} speed"][2]
    assert "for 2 of 2 clips" in told[f"{FIRST} turning angle"][2]
    assert done.summary.exit_code is ExitCode.DONE


def test_drv_61_bdd_x_names_of_the_lists_without_a_row_are_counted(single, tmp_path):
    write_bdd_x_rows(single, [[FIRST, 0, 2, "The car goes", WHY]])
    (single / "test.txt").write_text(f"8_{LAST}\n9_00000009-00000009\n")
    (note,) = [text for text in Converted(CONVERTER, single, tmp_path / "out").manifest["notes"] if "lists" in text]
    assert note.startswith("2 videos of the official lists have no usable segment")
    assert LAST in note


def test_drv_61_bdd_x_the_file_of_annotations_stands_for_its_folder(published, tmp_path):
    whole = Converted(CONVERTER, published, tmp_path / "folder", frames=1)
    named = Converted(CONVERTER, published / "BDD-X-Annotations_v1.csv", tmp_path / "file", frames=1)
    assert named.samples == whole.samples
    with pytest.raises(InputNotFoundError, match=r"a file must be BDD-X-Annotations_v1.csv, got train.txt.*folder"):
        Converted(CONVERTER, published / "train.txt", tmp_path / "other")


def test_drv_61_bdd_x_frames_may_be_jpeg(published, tmp_path):
    png, jpeg = (
        Converted(CONVERTER, published, tmp_path / name, frames=2, frame_format=name) for name in ("png", "jpeg")
    )
    assert jpeg.samples.keys() == png.samples.keys()
    for key, sample in jpeg.samples.items():
        for seen, exact in zip(sample.images, png.samples[key].images, strict=True):
            with PillowImage.open(jpeg.out / seen.path) as lossy, PillowImage.open(png.out / exact.path) as lossless:
                assert (lossy.format, lossless.format) == ("JPEG", "PNG")
                assert [layer[1:3] for layer in lossy.layer] == [(1, 1)] * 3  # no channel is subsampled
                difference = np.asarray(lossy).astype(int) - np.asarray(lossless).astype(int)
                assert np.abs(difference).max() <= 4


def test_drv_61_bdd_x_a_damaged_file_of_speed_costs_those_questions_only(single, tmp_path):
    write_bdd_x_rows(single, [[FIRST, 0, 2, "The car goes", WHY]])
    (single / "info").mkdir()
    (single / "info" / f"{FIRST}.json").write_text('{"startTime": 0, "locations": [{"timestamp": "now"}]}')
    done = Converted(CONVERTER, single, tmp_path / "out", frames=1)
    assert done.reasons() == [(f"{FIRST} speed and course", "motion-unreadable")]
    assert "timestamp must be a number, got 'now'" in done.rejects[0]["message"]
    assert len(done.samples) == 2


def test_wide_frames_are_reduced_and_keep_their_proportions(published, tmp_path):
    done = Converted(CONVERTER, published, tmp_path / "out", frames=1, max_width_px=64)
    (image,) = done.samples[f"bdd-x/{FIRST}/2-1/action"].images
    assert (image.width_px, image.height_px) == (64, 36)  # of 128 x 72
    small = np.zeros((36, 64, 3), dtype=np.uint8)
    assert reduced(small, 64) is small
    # Of columns that are dark and bright in turn each pixel covers one of each.
    stripes = np.repeat(np.tile(np.uint8([0, 200]), 100)[None, :, None], 3, axis=2)
    assert np.abs(reduced(stripes, 100)[0, 5:-5].astype(int) - 100).max() <= 5


def test_tables_and_lists_of_another_layout_are_refused(published, tmp_path):
    folder = tmp_path / "bdd"
    write_bdd_x_rows_and_lists(folder, published)
    with pytest.raises(InputNotFoundError, match=r"none of train.txt, val.txt, test.txt"):
        Converted(CONVERTER, folder, tmp_path / "out")
    (folder / "train.txt").write_text(f"1_{FIRST}\n")
    with pytest.raises(InputNotFoundError, match="--videos must name a folder"):
        Converted(CONVERTER, folder, tmp_path / "out", videos=tmp_path / "nowhere")
    with pytest.raises(NothingToDoError, match=r"none of the 4 videos.*--videos"):
        Converted(CONVERTER, folder, tmp_path / "out")
    path = folder / "BDD-X-Annotations_v1.csv"
    path.write_text(path.read_text().replace("Answer.3end", "Answer.3stop"))
    with pytest.raises(DatasetError, match=r"missing: Answer.3end"):
        Converted(CONVERTER, folder, tmp_path / "out")
    path.unlink()
    with pytest.raises(InputNotFoundError, match="BDD-X-Annotations_v1.csv is missing"):
        Converted(CONVERTER, folder, tmp_path / "out")


@given(
    start_s=st.floats(0, 100),
    length_s=st.floats(0.01, 60),
    count=st.integers(1, 40),
    fps=st.floats(1, 60) | st.none(),
)
def test_times_of_frames_divide_a_clip_evenly_and_hit_each_frame_once(start_s, length_s, count, fps):
    times = frame_times(start_s, start_s + length_s, count, fps)
    assert 1 <= len(times) <= count
    assert all(start_s < time < start_s + length_s for time in times)
    steps = np.diff([start_s - length_s / len(times) / 2, *times, start_s + length_s * (1 + 0.5 / len(times))])
    assert steps == pytest.approx(length_s / len(times), abs=1e-6)
    if fps is not None and len(times) > 1:
        assert np.diff(times).min() >= 1 / fps - 1e-6
    if fps is None or length_s * fps >= count + 1e-6:
        assert len(times) == count


@pytest.fixture
def motion_of(tmp_path):
    """Read what a phone recorded, each record a time, a speed and a course; -1 for what it did not know."""

    def read(*records):
        write_info(tmp_path / "a.json", records)
        return read_motion(tmp_path / "a.json", "a.json")

    return read


def test_speed_lies_on_the_line_between_records(motion_of):
    motion = motion_of((0.5, 2.0, -1), (1.5, 4.0, -1), (2.5, -1, -1), (3.5, 6.0, -1), (7.0, 9.0, -1))
    assert motion.speed_at(1.0) == pytest.approx(3.0)
    assert motion.speed_at(1.5) == pytest.approx(4.0)
    # Before the first, beside an unknown one, in a gap, after the last.
    assert [motion.speed_at(time) for time in (0.4, 2.0, 3.0, 5.0, 7.1)] == [None] * 5


@pytest.mark.parametrize("turn_deg_s", [-50.0, -7.0, 0.0, 7.0, 50.0])
def test_turning_angle_follows_the_course_across_north_and_around(motion_of, turn_deg_s):
    # The course is clockwise, so that a turn to the left makes it smaller.
    motion = motion_of(*((float(t), 5.0, (5.0 - turn_deg_s * t) % 360) for t in range(12)))
    assert motion.turn_deg(0.5, 10.5) == pytest.approx(10 * turn_deg_s)


def test_turning_angle_is_unknown_where_a_course_is(motion_of):
    records = [(float(t), 5.0, 10.0 * t) for t in range(8)]
    assert motion_of(*records).turn_deg(1.0, 6.0) == pytest.approx(-50.0)
    hole = [(t, speed, -1 if t == 3 else course) for t, speed, course in records]
    assert motion_of(*hole).turn_deg(1.0, 6.0) is None
    assert motion_of(*hole).turn_deg(4.0, 6.0) == pytest.approx(-20.0)
    gap = [record for record in records if record[0] not in (3, 4)]
    assert motion_of(*gap).turn_deg(1.0, 6.0) is None
    assert motion_of(*records).turn_deg(1.0, 8.0) is None


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda content: content.pop("locations"), "a list under locations"),
        (lambda content: content.update(startTime=None), "startTime must be a number"),
        (lambda content: content["locations"].append(7), "a location must be an object"),
        (lambda content: content["locations"].append(content["locations"][0]), "timestamps of locations must increase"),
    ],
)
def test_files_of_speed_in_another_layout_are_refused(tmp_path, change, rule):
    path = tmp_path / "a.json"
    write_info(path, [(0, 1, 2), (1, 1, 2)])
    content = json.loads(path.read_text())
    assert read_motion(path, "a.json").speed_at(1.0) == 1.0
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ItemError, match=rule):
        read_motion(path, "a.json")
    path.write_text("{")
    with pytest.raises(ItemError, match="it must be JSON"):
        read_motion(path, "a.json")


def test_numbers_are_written_with_one_decimal_and_zero_without_a_sign():
    assert [one_decimal(value) for value in (-0.04, 0.0, 3.0, 12.34, -7.26)] == ["0.0", "0.0", "3.0", "12.3", "-7.3"]
