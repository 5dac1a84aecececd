"""Clips: what belongs together in time, and what is told about the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.converters.driving.clips import make_clips
from domainvl.errors import ItemError, UsageError

START_US = 1_531_883_530_412_470


@dataclass(frozen=True)
class Shot:
    token: str
    view: str
    timestamp_us: int


@dataclass(frozen=True)
class Frame:
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Scene:
    frames: tuple[Frame, ...] = ()
    sweeps: tuple[Shot, ...] = ()
    name: str = field(default="scene-0001")


def shots(times_s, view="FRONT"):
    return tuple(Shot(f"{view}-{time:.3f}", view, START_US + round(time * 1e6)) for time in times_s)


def key_scene(times_s):
    """Key frames of two cameras, the other 30 ms later."""
    pairs = zip(shots(times_s), shots([time + 0.03 for time in times_s], "BACK"), strict=True)
    return Scene(tuple(Frame(pair) for pair in pairs))


def sweep_scene(times_s, *, key_every=6):
    """All images of two cameras; each sixth is a key frame."""
    front = shots(times_s)
    frames = tuple(Frame((shot,)) for shot in front[::key_every])
    return Scene(frames, tuple(sorted((*front, *shots(times_s, "BACK")), key=lambda shot: shot.timestamp_us)))


def nuscenes_times(seconds):
    """Twelve images a second as nuScenes has them: 100, 50, 100, 100, 50 and 100 ms apart."""
    steps = np.tile([0.1, 0.05, 0.1, 0.1, 0.05, 0.1], seconds * 2)
    return np.concatenate([[0.0], np.cumsum(steps)])


def seconds_of(clip):
    return [(shot.timestamp_us - START_US) / 1e6 for shot in clip.shots]


def test_drv_30_key_frames_become_clips_that_do_not_overlap():
    cut = make_clips(key_scene(np.arange(20) / 2), view="FRONT", clip_s=4.0)

    # Eight frames at 2 Hz are 4 s: the next clip begins half a second after the last frame.
    assert [seconds_of(clip) for clip in cut.clips] == [
        [0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5],
        [4.0, 4.5, 5.0, 5.5, 6.0, 6.5, 7.0, 7.5],
        [8.0, 8.5, 9.0, 9.5],
    ]
    assert [clip.index for clip in cut.clips] == [0, 1, 2]
    assert cut.clips[1].times_s == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    assert cut.clips[1].frames == tuple(range(8, 16))
    assert cut.clips[0].period_s == pytest.approx(0.5)
    assert {shot.view for clip in cut.clips for shot in clip.shots} == {"FRONT"}
    assert (cut.gaps, cut.left_over) == ((), ())


def test_drv_30_clips_keep_the_timestamps_of_the_images():
    scene = key_scene([0.0, 0.499_975, 1.000_012])
    (clip,) = make_clips(scene, view="BACK", clip_s=2.0).clips

    assert [shot.timestamp_us for shot in clip.shots] == [frame.shots[1].timestamp_us for frame in scene.frames]
    assert clip.times_s == pytest.approx((0.0, 0.499_975, 1.000_012))


@pytest.mark.parametrize(("gap_s", "splits"), [(0.74, False), (0.75, False), (0.76, True), (5.0, True)])
def test_drv_30_gaps_of_more_than_one_and_a_half_periods_split_a_clip(gap_s, splits):
    times_s = [0.0, 0.5, 1.0, 1.5, 1.5 + gap_s, 2.0 + gap_s, 2.5 + gap_s]
    cut = make_clips(key_scene(times_s), view="FRONT", clip_s=60.0)

    assert [len(clip.shots) for clip in cut.clips] == ([4, 3] if splits else [7])
    assert len(cut.gaps) == splits
    if splits:
        assert cut.gaps[0].gap_s == pytest.approx(gap_s)
        assert (cut.gaps[0].after, cut.gaps[0].before) == ("FRONT-1.500", f"FRONT-{1.5 + gap_s:.3f}")
        assert f"{gap_s:.3f} s, more than 1.5 times the usual 0.500 s" in cut.gaps[0].message


def test_drv_30_a_missing_key_frame_is_a_gap():
    times_s = [time for time in np.arange(12) / 2 if time != 2.5]
    cut = make_clips(key_scene(times_s), view="FRONT", clip_s=60.0)

    assert [seconds_of(clip) for clip in cut.clips] == [[0.0, 0.5, 1.0, 1.5, 2.0], [3.0, 3.5, 4.0, 4.5, 5.0, 5.5]]


def test_a_single_image_is_left_over_and_told():
    cut = make_clips(key_scene([0.0, 0.5, 1.0, 3.0, 6.0, 6.5, 7.0, 7.5, 8.0]), view="FRONT", clip_s=2.0)

    assert [seconds_of(clip) for clip in cut.clips] == [[0.0, 0.5, 1.0], [6.0, 6.5, 7.0, 7.5]]
    assert [left.token for left in cut.left_over] == ["FRONT-3.000", "FRONT-8.000"]
    assert "needs 2" in cut.left_over[0].message


def test_no_clip_has_more_than_the_most_frames():
    cut = make_clips(key_scene(np.arange(20) / 2), view="FRONT", clip_s=60.0, max_frames=6)

    assert [len(clip.shots) for clip in cut.clips] == [6, 6, 6]
    assert [left.count for left in cut.left_over] == [2]


@pytest.mark.parametrize(("frames", "clips", "left_over"), [(19, [8, 8], [3]), (20, [8, 8, 4], []), (17, [8, 8], [1])])
def test_drv_30_less_than_half_a_clip_at_the_end_is_left_over_and_told(frames, clips, left_over):
    cut = make_clips(key_scene(np.arange(frames) / 2), view="FRONT", clip_s=4.0)

    assert [len(clip.shots) for clip in cut.clips] == clips
    assert [left.count for left in cut.left_over] == left_over
    for left in cut.left_over:
        assert (left.token, left.needed) == ("FRONT-8.000", 4)
        assert f"{left_over[0]} " in left.message or "One image is left over" in left.message
        assert "needs 4" in left.message


@pytest.mark.parametrize("frames", [2, 3, 7])
def test_drv_30_a_short_drive_keeps_its_only_clip(frames):
    cut = make_clips(key_scene(np.arange(frames) / 2), view="FRONT", clip_s=20.0)

    assert [len(clip.shots) for clip in cut.clips] == [frames]
    assert cut.left_over == ()


def test_drv_30_sweeps_are_sampled_at_an_exact_rate_by_the_nearest_time():
    times_s = nuscenes_times(8)
    (first, second) = make_clips(sweep_scene(times_s), view="FRONT", clip_s=4.0, fps=4.0).clips[:2]

    assert len(first.shots) == len(second.shots) == 16
    assert first.period_s == 0.25
    raster = START_US / 1e6 + np.arange(32) / 4
    for shot, target_s in zip((*first.shots, *second.shots), raster, strict=True):
        nearest_s = np.abs(START_US / 1e6 + times_s - target_s).min()
        assert abs(shot.timestamp_us / 1e6 - target_s) == pytest.approx(nearest_s, abs=1e-6)
    # Every second image of 4 a second is a key frame; its place is told.
    assert first.frames == (0, None, 1, None, 2, None, 3, None, 4, None, 5, None, 6, None, 7, None)


def test_drv_30_twelve_a_second_takes_each_image_of_a_nuscenes_camera():
    times_s = nuscenes_times(2)
    cut = make_clips(sweep_scene(times_s), view="FRONT", clip_s=3.0, fps=12.0)

    assert [time for clip in cut.clips for time in seconds_of(clip)] == pytest.approx(times_s.tolist())
    assert cut.left_over == ()


def test_drv_30_a_point_without_an_image_near_ends_the_clip():
    # Ten a second, and one image that is 0.14 s late: less than 1.5 periods, so no gap.
    times_s = [*(np.arange(11) / 10), *(1.14 + np.arange(11) / 10)]
    cut = make_clips(sweep_scene(times_s, key_every=5), view="FRONT", clip_s=60.0, fps=1 / 0.107)

    assert cut.gaps == ()
    assert len(cut.clips) > 1
    for clip in cut.clips:
        offsets = np.array(clip.times_s) - np.arange(len(clip.shots)) * 0.107
        assert np.abs(offsets).max() <= 0.05 + 1e-6


def test_drv_30_the_clip_after_a_missing_image_begins_with_the_one_that_follows():
    times_s = [*(np.arange(11) / 10), *(1.14 + np.arange(11) / 10)]
    # The sixth point, at 1.07 s, is 0.07 s from an image on either side; that at 1.0 s lies before it.
    cut = make_clips(sweep_scene(times_s, key_every=5), view="FRONT", clip_s=60.0, fps=1 / 0.214)

    assert seconds_of(cut.clips[0]) == [0.0, 0.2, 0.4, 0.6, 0.9]
    assert seconds_of(cut.clips[1])[0] == 1.14


def test_drv_30_no_image_is_taken_twice():
    # The image at 0.125 s is the nearest to two points of twelve a second.
    times_s = np.concatenate([[0.0], np.cumsum([0.125, *[0.1] * 5, *[0.05] * 5])])
    cut = make_clips(sweep_scene(times_s), view="FRONT", clip_s=60.0, fps=12.0)

    # So the first piece ends after two images, which are less than half as many as the longest has.
    assert [(left.token, left.count) for left in cut.left_over][:1] == [("FRONT-0.000", 2)]
    assert seconds_of(cut.clips[0])[0] == 0.225
    times = [time for clip in cut.clips for time in seconds_of(clip)]
    assert len(set(times)) == len(times)


def test_drv_30_images_behind_the_last_point_are_no_left_over():
    cut = make_clips(sweep_scene(np.arange(44) / 10, key_every=5), view="FRONT", clip_s=60.0, fps=2.0)

    assert [seconds_of(clip) for clip in cut.clips] == [[0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]]
    assert cut.left_over == ()


def test_drv_30_a_slow_clock_costs_no_frame():
    # 7.98 periods of 0.501 s are 4 s.
    assert len(make_clips(key_scene(np.arange(20) * 0.501), view="FRONT", clip_s=4.0).clips[0].shots) == 8


def test_drv_30_sampled_clips_split_at_gaps_too_and_begin_anew_after_them():
    times_s = [*(np.arange(20) / 10), *(5.03 + np.arange(20) / 10)]
    cut = make_clips(sweep_scene(times_s, key_every=5), view="FRONT", clip_s=60.0, fps=5.0)

    assert [seconds_of(clip)[0] for clip in cut.clips] == [0.0, 5.03]
    assert cut.clips[1].times_s == pytest.approx(np.arange(10) / 5)
    assert [gap.gap_s for gap in cut.gaps] == [pytest.approx(3.13)]


def test_a_rate_above_that_of_the_images_is_refused():
    scene = sweep_scene(nuscenes_times(4))
    with pytest.raises(ItemError, match="20 images a second were asked for, there are 12") as caught:
        make_clips(scene, view="FRONT", clip_s=4.0, fps=20.0)
    assert caught.value.reason == "clip-rate"
    assert caught.value.where == "scene-0001"


def test_a_rate_without_sweeps_says_what_is_missing():
    with pytest.raises(ItemError, match="FRONT has 0 images") as caught:
        make_clips(key_scene(np.arange(8) / 2), view="FRONT", clip_s=4.0, fps=4.0)
    assert caught.value.reason == "too-few-images"


def test_settings_that_leave_no_two_frames_are_refused():
    with pytest.raises(UsageError, match=r"0.2 s at 4 images a second .* make 0"):
        make_clips(sweep_scene(nuscenes_times(1)), view="FRONT", clip_s=0.2, fps=4.0)
    with pytest.raises(ItemError, match=r"0.9 s at 2 images a second .* make 1") as caught:
        make_clips(key_scene(np.arange(8) / 2), view="FRONT", clip_s=0.9)
    assert caught.value.reason == "clip-too-short"


def test_a_view_that_no_camera_has_makes_no_clip():
    with pytest.raises(ItemError, match="ROOF has 0 images"):
        make_clips(key_scene(np.arange(8) / 2), view="ROOF", clip_s=4.0)


@given(
    st.lists(st.floats(0.02, 0.4), min_size=2, max_size=60),
    st.floats(0.5, 5.0),
    st.one_of(st.none(), st.floats(0.5, 3.0)),
    st.integers(2, 12),
)
def test_clips_never_overlap_never_bridge_a_gap_and_lose_nothing_silently(steps_s, clip_s, fps, max_frames):
    times_s = np.concatenate([[0.0], np.cumsum(steps_s)])
    scene = key_scene(times_s) if fps is None else sweep_scene(times_s)
    try:
        cut = make_clips(scene, view="FRONT", clip_s=clip_s, fps=fps, max_frames=max_frames)
    except (ItemError, UsageError):
        return
    tokens = [shot.token for clip in cut.clips for shot in clip.shots]
    times = [shot.timestamp_us for clip in cut.clips for shot in clip.shots]
    stamps = np.sort([shot.timestamp_us for shot in scene.sweeps or [f.shots[0] for f in scene.frames]
                      if shot.view == "FRONT"])  # fmt: skip
    period_us = np.median(np.diff(np.unique(stamps)))

    assert times == sorted(set(times))
    assert not set(tokens) & {left.token for left in cut.left_over}
    for clip in cut.clips:
        assert 2 <= len(clip.shots) <= max_frames
        inside = stamps[(stamps >= clip.shots[0].timestamp_us) & (stamps <= clip.shots[-1].timestamp_us)]
        assert np.diff(inside).max() <= 1.5 * period_us
        assert len(clip.shots) * 2 >= max(len(other.shots) for other in cut.clips)
    if fps is None:
        assert len(tokens) + sum(left.count for left in cut.left_over) == len(stamps)
