"""Clips of one camera, and what the vehicle does, from its poses or the CAN bus."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from nuscenes_sets import Made, edit, keep, make_set, rows_of, shots_of

from domainvl.converters.nuscenes.generate import write_dataroot
from domainvl.converters.nuscenes.generated.world import KINDS, Drive, Pose, Scene, Thing
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import ChoiceAnswer, Image, Sample, TextAnswer
from domainvl.schema.validation import Severity, validate

CAR = KINDS[0]


def times_us(images: list[Image]) -> list[int]:
    times = [image.source.details["timestamp_us"] for image in images]
    return [time for time in times if isinstance(time, int)]


def scenes_of_images(root: Path) -> dict[str, str]:
    """The scene of each image, by the token of its row."""
    names = {row["token"]: row["name"] for row in rows_of(root, "scene")}
    samples = {row["token"]: names[row["scene_token"]] for row in rows_of(root, "sample")}
    return {row["token"]: samples[row["sample_token"]] for row in rows_of(root, "sample_data")}


def right_option(sample: Sample) -> str:
    assert isinstance(sample.answer, ChoiceAnswer)
    return sample.answer.options[sample.answer.correct]


CLIPS = {"tasks": "clip-behaviour,clip-motion,scene"}


def test_drv_30_clips_of_key_frames_are_at_2_hz_and_numbered(traffic: Path, traffic_set: Made) -> None:
    clips = traffic_set.clips
    # 6 key frames in 2.5 s are less than the 4 s that a clip takes.
    assert clips.keys() == {f"scene-000{number}/clip00" for number in range(1, 5)}
    for name, images in clips.items():
        assert [image.frame for image in images] == [1, 2, 3, 4, 5, 6]
        assert {image.view for image in images} == {"FRONT"}
        assert set(np.diff(times_us(images))) == {500_000}
        stamps = [row["timestamp"] for row in shots_of(traffic, "FRONT") if row["timestamp"] in times_us(images)]
        assert stamps == times_us(images)
        text = next(sample for sample in traffic_set.samples if sample.id.startswith(name)).turns[0].text
        assert text.startswith("".join(f"Frame{number}: <image>\n" for number in range(1, 7)))


def test_drv_30_frames_are_copied_byte_for_byte(traffic: Path, traffic_set: Made) -> None:
    for images in traffic_set.clips.values():
        for image in images:
            assert (traffic_set.folder / image.path).read_bytes() == (traffic / image.source.uri).read_bytes()


@pytest.mark.parametrize(
    ("fps", "clip_s", "spacing_us", "counts"),
    [
        (12.0, 1.0, 500_000 / 6, [12, 12, 7]),
        (6.0, 1.0, 1_000_000 / 6, [6, 6, 4]),
        (4.0, 1.5, 250_000, [6, 5]),
        (2.0, 1.0, 500_000, [2, 2, 2]),
    ],
)
def test_drv_30_clips_of_sweeps_are_at_the_rate_asked_for(
    traffic: Path, tmp_path: Path, fps: float, clip_s: float, spacing_us: float, counts: list[int]
) -> None:
    """In 2.5 s there are 31 images at 12 Hz; a raster on them holds every one, every second, every third or sixth."""
    made = make_set(traffic, tmp_path, clip_fps=fps, clip_s=clip_s, **CLIPS)
    first = [images for name, images in sorted(made.clips.items()) if name.startswith("scene-0001/")]
    assert [len(images) for images in first] == counts
    for images in first:
        spacings = np.diff(times_us(images))
        assert spacings == pytest.approx(np.full(len(spacings), spacing_us), abs=1.0)
    # Clips do not overlap, and what is seen goes on.
    assert all(times_us(before)[-1] < times_us(after)[0] for before, after in itertools.pairwise(first))


def test_drv_30_a_clip_has_at_most_as_many_frames_as_wanted(traffic: Path, tmp_path: Path) -> None:
    made = make_set(traffic, tmp_path, clip_fps=12.0, clip_s=2.0, clip_max_frames=5, **CLIPS)
    assert max(len(images) for images in made.clips.values()) == 5


@pytest.mark.parametrize("fps", [None, 12.0])
def test_drv_30_a_clip_is_never_of_two_scenes(traffic: Path, tmp_path: Path, fps: float | None) -> None:
    """Also where scenes follow one another without a pause, as scenes of one log may."""
    scene_of = scenes_of_images(traffic)
    made = make_set(traffic, tmp_path, clip_fps=fps, clip_s=1.0, **CLIPS)
    assert made.clips
    for name, images in made.clips.items():
        assert {scene_of[str(image.source.details["sample_data_token"])] for image in images} == {name.split("/")[0]}


def test_drv_30_a_gap_splits_the_clip(driving: Path, tmp_path: Path) -> None:
    """Without the third image of the front camera, one second passes from the second to the fourth."""
    gone = shots_of(driving, "FRONT")[2]["token"]
    keep(driving, "sample_data", lambda row: row["token"] != gone)
    edit(driving, "sample_data", lambda rows: [row.update(prev="", next="") for row in rows])
    made = make_set(driving, tmp_path, **CLIPS)
    clips = [images for name, images in sorted(made.clips.items()) if name.startswith("scene-0001/")]
    assert [len(images) for images in clips] == [2, 3]
    (gap,) = (reject for reject in made.rejects if reject["reason"] == "clip-gap")
    assert gap["input"] == "scene-0001/clips"
    assert gap["severity"] == "skipped"
    assert "1.000 s" in gap["message"]
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_drv_30_a_rate_above_that_of_the_images_is_refused_by_scene(traffic: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"20 images a second were asked for, there are 12"):
        make_set(traffic, tmp_path, clip_fps=20.0, tasks="clip-behaviour")


def test_drv_30_a_clip_of_less_than_two_frames_is_refused(traffic: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a clip needs 2"):
        make_set(traffic, tmp_path, clip_fps=2.0, clip_s=0.5, tasks="clip-behaviour")


def test_drv_30_clips_as_video_files_have_all_frames_at_their_times(traffic: Path, tmp_path: Path) -> None:
    av = pytest.importorskip("av", reason="the extra video is not installed")
    made = make_set(traffic, tmp_path, clip_fps=6.0, clip_s=1.0, clip_video=tmp_path / "videos", **CLIPS)
    files = {path.stem.replace("_", "/"): path for path in (tmp_path / "videos").iterdir()}
    assert files.keys() == made.clips.keys()
    for name, path in files.items():
        images = made.clips[name]
        with av.open(path) as video:
            frames = [
                (float(frame.pts * frame.time_base), frame.to_ndarray(format="rgb24")) for frame in video.decode()
            ]
        start_us = times_us(images)[0]
        expected_s = [(time_us - start_us) / 1e6 for time_us in times_us(images)]
        assert [time_s for time_s, _ in frames] == pytest.approx(expected_s, abs=1e-3)
        assert frames[0][1].shape == (180, 320, 3)


def test_drv_30_a_missing_image_costs_its_clip_and_no_video_is_written(driving: Path, tmp_path: Path) -> None:
    pytest.importorskip("av", reason="the extra video is not installed")
    (driving / shots_of(driving, "FRONT")[4]["filename"]).unlink()
    made = make_set(driving, tmp_path, clip_video=tmp_path / "videos", **CLIPS)
    assert {name.split("/")[0] for name in made.clips} == {"scene-0002", "scene-0003", "scene-0004"}
    assert {path.name for path in (tmp_path / "videos").iterdir()} == {
        "scene-0002_clip00.mp4",
        "scene-0003_clip00.mp4",
        "scene-0004_clip00.mp4",
    }
    (reject,) = (reject for reject in made.rejects if reject["input"] == "scene-0001/clip00")
    assert (reject["reason"], reject["severity"]) == ("missing-image", "skipped")


def test_drv_30_a_scene_of_one_key_frame_has_no_clip_and_that_is_no_failure(tmp_path: Path) -> None:
    things = (Thing("0", CAR, 9.0, 0.0, CAR.size_wlh_m, 0.0),)
    write_dataroot(tmp_path / "root", [Scene("scene-0001", Drive(Pose(0, 0, 0), 0, 0), (things,), look=1)])
    made = make_set(tmp_path / "root", tmp_path)
    (reject,) = made.rejects
    assert (reject["input"], reject["reason"], reject["severity"]) == ("scene-0001/clips", "too-few-images", "skipped")
    assert made.summary.exit_code is ExitCode.DONE


def test_object_motion_over_a_clip_is_true(tmp_path: Path) -> None:
    """The vehicle drives 8 m/s for a second towards a parked car: it does not move, and is 8 m nearer at the end."""
    car = (Thing("0", CAR, 30.0, -1.0, CAR.size_wlh_m, 0.0),)
    drive = Drive(Pose(0, 0, 0), 8.0, 0.0)
    # Which answer is wanted is drawn for each scene.
    names = [f"scene-{number:04d}" for number in range(1, 7)]
    write_dataroot(tmp_path / "root", [Scene(name, drive, (car,) * 3, look=1) for name in names])
    made = make_set(tmp_path / "root", tmp_path, tasks="clip-motion", questions_per_task=5)
    assert {sample.answer.text for sample in made.samples if isinstance(sample.answer, TextAnswer)} == {
        "not moving",
        "nearer",
    }
    for sample in made.samples:
        (thing,) = sample.objects
        assert thing.image == 2
        assert thing.attributes["distance_m"] == pytest.approx(math.hypot(22.0 - 8.0 * 0.008, 1.0), abs=0.02)
        assert "<box>[[" in sample.turns[0].text


def test_the_scene_is_described_by_the_table(traffic: Path, traffic_set: Made) -> None:
    words = {row["name"]: row["description"] for row in rows_of(traffic, "scene")}
    told = {sample.group: sample for sample in traffic_set.samples if sample.id.endswith("/scene")}
    assert told.keys() == words.keys()
    for name, sample in told.items():
        assert sample.turns[1].text == words[name]
        assert [image.frame for image in sample.images] == [1, 2, 3, 4, 5, 6]


STEERING = {
    "scene-0001": "The ego vehicle is going straight. The ego vehicle is driving fast.",
    "scene-0002": "The ego vehicle is steering to the left.",
    "scene-0003": "The ego vehicle is going straight. The ego vehicle is not moving.",
    "scene-0004": "The ego vehicle is steering to the right.",
}


@pytest.mark.parametrize("motion", ["pose", "can"])
def test_drv_31_behaviour_is_what_the_vehicle_does(traffic: Path, tmp_path: Path, motion: str) -> None:
    """8 m/s straight on; 14 degrees a second to the left, and to the right; standing."""
    made = make_set(traffic, tmp_path, motion=motion, tasks="behaviour,clip-behaviour", camera_samples_per_frame=0)
    asked = {name: [sample for sample in made.samples if sample.group == name] for name in STEERING}
    for name, samples in asked.items():
        # Of poses, the last two key frames have not a whole second after them; messages go on for half a second.
        named = [sample for sample in samples if not sample.id.endswith("-speed")]
        assert len(named) == {"pose": 4, "can": 5}[motion] + 1
        assert all(right_option(sample).startswith(STEERING[name]) for sample in named)
        changes = {right_option(sample) for sample in samples if sample not in named}
        assert changes == (set() if name == "scene-0003" else {"keeping its speed"})


def test_drv_31_a_scene_without_can_is_told_and_its_frames_are_asked_all_else(
    driving: Path, tmp_path: Path, traffic_set: Made
) -> None:
    for path in (driving / "can_bus").glob("scene-0002_*"):
        path.unlink()
    made = make_set(driving, tmp_path, motion="can")
    (reject,) = (reject for reject in made.rejects if reject["reason"] == "no-can")
    assert (reject["input"], reject["severity"]) == ("scene-0002/can", "skipped")
    assert "--motion pose" in reject["action"]
    behaviour = {sample.group for sample in made.samples if "behaviour" in sample.id}
    assert behaviour == {"scene-0001", "scene-0003", "scene-0004"}
    others = {sample.id for sample in traffic_set.samples if "behaviour" not in sample.id}
    assert others <= {sample.id for sample in made.samples}
    assert made.summary.exit_code is ExitCode.DONE
    sources = {source["uri"] for source in made.manifest["sources"] if source["uri"].startswith("can_bus/")}
    assert {"can_bus/scene-0001_pose.json", "can_bus/scene-0003_pose.json"} <= sources
    assert not any("scene-0002" in uri for uri in sources)


def test_drv_31_scene_0161_has_no_can(driving: Path, tmp_path: Path) -> None:
    """It is one of the 21 of nuScenes that were recorded without, whatever lies in the folder."""
    edit(driving, "scene", lambda rows: rows[0].update(name="scene-0161"))
    for path in (driving / "can_bus").glob("scene-0001_*"):
        path.rename(path.with_name(path.name.replace("0001", "0161")))
    made = make_set(driving, tmp_path, motion="can", tasks="behaviour,counting")
    (reject,) = (reject for reject in made.rejects if reject["reason"] == "no-can")
    assert reject["input"] == "scene-0161/can"
    assert "21 scenes" in reject["message"]


def test_drv_31_a_malformed_file_fails_its_scene_s_motion_only(driving: Path, tmp_path: Path) -> None:
    (driving / "can_bus" / "scene-0001_pose.json").write_text("[{]")
    made = make_set(driving, tmp_path, motion="can")
    (reject,) = (reject for reject in made.rejects if reject["severity"] == "failed")
    assert (reject["input"], reject["reason"]) == ("scene-0001/can", "bad-can")
    assert any(sample.group == "scene-0001" for sample in made.samples)
    assert made.summary.exit_code is ExitCode.PARTIAL


def test_drv_31_the_folder_of_the_can_bus_can_be_elsewhere_and_must_be_there(driving: Path, tmp_path: Path) -> None:
    (driving / "can_bus").rename(tmp_path / "elsewhere")
    with pytest.raises(InputNotFoundError, match="--motion pose"):
        make_set(driving, tmp_path / "none", motion="can")
    made = make_set(driving, tmp_path, motion="can", can_bus=tmp_path / "elsewhere", tasks="behaviour")
    assert made.samples


def test_drv_31_poses_need_no_can(driving: Path, tmp_path: Path, traffic_set: Made) -> None:
    for path in (driving / "can_bus").iterdir():
        path.unlink()
    (driving / "can_bus").rmdir()
    made = make_set(driving, tmp_path)
    assert [sample.turns for sample in made.samples] == [sample.turns for sample in traffic_set.samples]


@pytest.mark.parametrize("motion", ["pose", "can"])
def test_drv_31_the_record_says_by_which_thresholds_and_from_where(traffic: Path, tmp_path: Path, motion: str) -> None:
    made = make_set(traffic, tmp_path, motion=motion, tasks="behaviour")
    for facts in made.manifest["units"].values():
        assert facts["motion"] == motion
        thresholds = facts["behaviour_thresholds"]
        assert thresholds["still_below_m_s"] == 0.5
        assert thresholds["straight_below_deg_s"] < thresholds["slight_below_deg_s"] < math.degrees(0.25)


def test_drv_31_a_run_that_goes_on_takes_a_can_file_that_came_later(driving: Path, tmp_path: Path) -> None:
    """What a scene's unit is called depends on its messages, so that no earlier answer is kept for it."""
    from domainvl.conversion.work import ConversionWork, Staging
    from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings

    settings = NuscenesSettings(motion="can", index=tmp_path / "index")

    def keys() -> dict[str, str]:
        work = ConversionWork(CONVERTER, settings, driving, Staging(tmp_path / "staging"))
        return {unit.name: work.task(unit).key for unit in CONVERTER.plan(driving, settings).units}

    whole = keys()
    hidden: dict[Path, bytes] = {path: path.read_bytes() for path in (driving / "can_bus").glob("scene-0001_*")}
    for path in hidden:
        path.unlink()
    without = keys()
    assert {name for name in whole if whole[name] != without[name]} == {"scene-0001"}
    unit = next(unit for unit in CONVERTER.plan(driving, settings).units if unit.name == "scene-0002")
    assert driving / "can_bus" / "scene-0002_pose.json" in CONVERTER.unit_files(unit)


def test_drv_30_a_rate_without_sweeps_is_told(driving: Path, tmp_path: Path) -> None:
    keep(driving, "sample_data", lambda row: row["is_key_frame"])
    edit(driving, "sample_data", lambda rows: [row.update(prev="", next="") for row in rows])
    made = make_set(driving, tmp_path, clip_fps=6.0)
    assert made.reasons()["clip-rate"] == 4
    assert not made.clips
