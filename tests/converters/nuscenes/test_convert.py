from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from pydantic import ValidationError

from domainvl.conversion import ConversionSummary, convert
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.converters.nuscenes.generate import VERSION, generate_dataroot, write_dataroot
from domainvl.converters.nuscenes.world import KINDS, Drive, Pose, Scene, Thing
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.schema import CountAnswer, Sample, Split, Task, TextAnswer, read_samples

VIEWS = ["FRONT_LEFT", "FRONT", "FRONT_RIGHT", "BACK_LEFT", "BACK", "BACK_RIGHT"]
CAR, TRUCK, PEDESTRIAN, CONE = KINDS


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("pristine")
    generate_dataroot(root, scene_count=3, frames_per_scene=2, seed=1)
    return root


@pytest.fixture
def dataroot(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "root"))


def samples_in(dataset: Path) -> list[Sample]:
    return [sample for split in Split for sample in read_samples(dataset, split)]


def rejects_in(dataset: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (dataset / "rejects.jsonl").read_text().splitlines()]


def frames_in(dataset: Path) -> set[str]:
    return {"/".join(sample.id.split("/")[:2]) for sample in samples_in(dataset)}


def edit(root: Path, table: str, change: Callable[[list[dict[str, Any]]], object]) -> None:
    path = root / VERSION / f"{table}.json"
    rows = json.loads(path.read_text())
    change(rows)
    path.write_text(json.dumps(rows))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def convert_things(folder: Path, *things: tuple[Any, float, float], **settings: Any) -> list[Sample]:
    """Convert one frame; each thing is a kind, a bearing in degrees to the left of ahead, and a distance."""
    placed = tuple(
        Thing(
            str(number),
            kind,
            distance_m * math.cos(math.radians(bearing)),
            distance_m * math.sin(math.radians(bearing)),
            kind.size_wlh_m,
            0.0,
        )
        for number, (kind, bearing, distance_m) in enumerate(things)
    )
    write_dataroot(folder / "root", [Scene("scene-0001", Drive(Pose(0.0, 0.0, 0.0), 0.0, 0.0), (placed,), look=1)])
    convert(CONVERTER, folder / "root", folder / "set", NuscenesSettings(**settings))
    return samples_in(folder / "set")


def test_views_come_in_the_fixed_order_and_are_named(pristine: Path, tmp_path: Path) -> None:
    convert(CONVERTER, pristine, tmp_path / "set")
    six = [sample for sample in samples_in(tmp_path / "set") if len(sample.images) > 1]
    assert len(six) >= 6
    for sample in six:
        assert [image.view for image in sample.images] == VIEWS
        assert all(f"CAM_{image.view}__" in image.source.uri for image in sample.images)
        assert sample.turns[0].text.startswith("".join(f"{view}: <image>\n" for view in VIEWS))


def test_images_are_copied_byte_for_byte(pristine: Path, tmp_path: Path) -> None:
    convert(CONVERTER, pristine, tmp_path / "set")
    for sample in samples_in(tmp_path / "set"):
        for image in sample.images:
            assert (tmp_path / "set" / image.path).read_bytes() == (pristine / image.source.uri).read_bytes()


def test_groups_are_scenes_and_tables_are_the_sources(pristine: Path, tmp_path: Path) -> None:
    summary = convert(CONVERTER, pristine, tmp_path / "set")
    samples = samples_in(tmp_path / "set")
    assert {sample.group for sample in samples} == {"scene-0001", "scene-0002", "scene-0003"}
    assert {sample.domain for sample in samples} == {"driving"}
    assert f"{VERSION}/sample_data.json" in {source["uri"] for source in summary.manifest["sources"]}
    assert summary.exit_code is ExitCode.DONE


def test_two_conversions_are_byte_identical_whatever_the_order_of_rows(dataroot: Path, tmp_path: Path) -> None:
    settings = NuscenesSettings(camera_samples_per_frame=1)
    convert(CONVERTER, dataroot, tmp_path / "a" / "set", settings)
    convert(CONVERTER, dataroot, tmp_path / "b" / "set", settings)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    for table in (dataroot / VERSION).iterdir():
        edit(dataroot, table.stem, random.Random(table.stem).shuffle)
    convert(CONVERTER, dataroot, tmp_path / "c" / "set", settings)
    shuffled, original = tree(tmp_path / "c" / "set"), tree(tmp_path / "a" / "set")
    assert shuffled.keys() == original.keys()
    # The manifest and what repeats it hash the tables, which did change.
    assert [name for name in original if shuffled[name] != original[name]] == ["manifest.json"]


@pytest.mark.parametrize(
    ("bearing", "view"),
    [(55, "FRONT_LEFT"), (0, "FRONT"), (-55, "FRONT_RIGHT"), (110, "BACK_LEFT"), (180, "BACK"), (-110, "BACK_RIGHT")],
)
def test_view_question_names_the_view(tmp_path: Path, bearing: float, view: str) -> None:
    samples = convert_things(tmp_path, (PEDESTRIAN, bearing, 8.0))
    asked = next(sample for sample in samples if sample.task is Task.VQA)
    assert asked.question == "Which view shows the pedestrian?"
    assert asked.answer == TextAnswer(text=view)
    assert asked.id == "scene-0001/0000/view-pedestrian"
    alone = [sample for sample in samples if len(sample.images) == 1]
    assert {sample.id.split("/")[2] for sample in alone} == {view}


def test_a_thing_in_two_views_counts_once_and_is_in_no_single_view(tmp_path: Path) -> None:
    # Ahead and to the left, two cameras overlap.
    samples = convert_things(tmp_path, (PEDESTRIAN, 24, 8.0))
    (counting,) = (sample for sample in samples if sample.task is Task.COUNTING)
    assert [(thing.image, thing.ignore) for thing in counting.objects] == [(0, False), (1, False)]
    assert len({thing.id for thing in counting.objects}) == 2
    assert len({thing.id.split("/")[0] for thing in counting.objects}) == 1
    assert counting.answer == CountAnswer(count=1)
    assert counting.question == "How many instances of pedestrian are in the six views?"
    assert not any(sample.task is Task.VQA for sample in samples)


@pytest.mark.parametrize("bearing", [20.5, -20.5])
def test_a_thing_seen_well_in_one_view_and_barely_in_another_is_counted(tmp_path: Path, bearing: float) -> None:
    samples = convert_things(tmp_path, (PEDESTRIAN, bearing, 8.0))
    (counting,) = (sample for sample in samples if sample.task is Task.COUNTING)
    assert sorted(thing.ignore for thing in counting.objects) == [False, True]
    assert counting.answer == CountAnswer(count=1)


def test_three_cars_in_three_views_count_three(tmp_path: Path) -> None:
    samples = convert_things(tmp_path, (CAR, 0, 9.0), (CAR, 180, 8.0), (CAR, -110, 9.0))
    (counting,) = (sample for sample in samples if sample.task is Task.COUNTING)
    assert counting.answer == CountAnswer(count=3)


def test_grounding_finds_the_only_one_of_a_class_in_a_view(tmp_path: Path) -> None:
    samples = convert_things(tmp_path, (CAR, -8, 10.0), (CONE, 10, 6.0), (PEDESTRIAN, 0, 8.0), (PEDESTRIAN, 180, 8.0))
    front = [sample for sample in samples if sample.id.startswith("scene-0001/0000/FRONT/")]
    grounded = {sample.question: sample.answer_objects() for sample in front if sample.task is Task.GROUNDING}
    assert sorted(grounded) == ["car", "pedestrian", "traffic cone"]
    (pedestrian,) = grounded["pedestrian"]
    assert pedestrian.image == 0
    assert pedestrian.attributes["category"] == "human.pedestrian.adult"
    assert pedestrian.attributes["visibility"] == "v80-100"
    # 8 m ahead and 0.9 m up; the camera is 1.7 m ahead and 1.5 m up.
    assert pedestrian.attributes["distance_m"] == pytest.approx(math.hypot(6.3, 0.6), abs=0.01)
    presence = [sample for sample in front if sample.task is Task.PRESENCE]
    assert {sample.answer.text for sample in presence if isinstance(sample.answer, TextAnswer)} == {"yes"}


@pytest.mark.parametrize("settings", [{"min_visible": 1.0}, {"min_side_px": 100.0}])
def test_barely_visible_things_are_kept_but_not_asked_about(tmp_path: Path, settings: dict[str, float]) -> None:
    # The second stands on the border of the view ahead and is 30 px wide.
    samples = convert_things(tmp_path, (CAR, 180, 8.0), (PEDESTRIAN, 24, 8.0), **settings)
    clear = convert_things(tmp_path / "clear", (CAR, 180, 8.0), (PEDESTRIAN, 24, 8.0))
    unclear = [thing for thing in samples[0].objects if thing.label == "pedestrian" and thing.image <= 1]
    assert any(thing.ignore for thing in unclear)
    front = [sample.question for sample in samples if sample.id.startswith("scene-0001/0000/FRONT/")]
    assert "pedestrian" not in front
    assert "pedestrian" in [sample.question for sample in clear if sample.id.startswith("scene-0001/0000/FRONT/")]


def test_things_that_all_cameras_barely_see_are_ignored(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_annotation", lambda rows: [row.update(visibility_token="1") for row in rows[:-1]])
    convert(CONVERTER, dataroot, tmp_path / "set")
    objects = [thing for sample in samples_in(tmp_path / "set") for thing in sample.objects]
    assert {thing.ignore for thing in objects if thing.attributes["visibility"] == "v0-40"} == {True}
    assert {thing.ignore for thing in objects if thing.attributes["visibility"] == "v80-100"} == {False}


def test_single_views_can_be_limited(pristine: Path, tmp_path: Path) -> None:
    def single_views(limit: int | None) -> dict[str, set[str]]:
        out = tmp_path / f"set-{limit}"
        convert(CONVERTER, pristine, out, NuscenesSettings(camera_samples_per_frame=limit))
        views: dict[str, set[str]] = {frame: set() for frame in frames_in(out)}
        for sample in samples_in(out):
            if len(sample.images) == 1:
                views["/".join(sample.id.split("/")[:2])].add(str(sample.images[0].view))
        return views

    everything, one, none = single_views(None), single_views(1), single_views(0)
    assert max(len(views) for views in everything.values()) > 1
    assert {len(views) for views in one.values()} == {1}
    assert all(one[frame] <= everything[frame] for frame in everything)
    assert set(map(len, none.values())) == {0}


def break_first(field: str) -> Callable[[list[dict[str, Any]]], None]:
    return lambda rows: rows[0].update({field: "nowhere"})


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("sample_data", break_first("ego_pose_token"), "dangling-token"),
        ("sample_data", break_first("calibrated_sensor_token"), "dangling-token"),
        ("sample_data", lambda rows: rows[0].update(filename="../outside.jpg"), "outside-dataroot"),
        ("sample_data", lambda rows: rows[0].update(filename="samples/none.jpg"), "missing-image"),
        ("sample_data", lambda rows: rows[0].update(width=321), "image-size"),
        ("sample_data", lambda rows: rows.append({**rows[0], "token": "twice"}), "duplicate-camera"),
        ("sample_annotation", break_first("instance_token"), "dangling-token"),
        ("sample_annotation", lambda rows: rows[0].update(rotation=[0, 0, 0, 0]), "bad-rotation"),
        ("sample_annotation", lambda rows: rows[0].update(size=[0, 1, 1]), "bad-size"),
        ("sample_annotation", lambda rows: rows.append({**rows[0], "token": "twice"}), "duplicate-instance"),
    ],
)
def test_a_fault_costs_its_frame_only(
    dataroot: Path, tmp_path: Path, table: str, change: Callable[[list[dict[str, Any]]], None], reason: str
) -> None:
    convert(CONVERTER, dataroot, tmp_path / "whole")
    edit(dataroot, table, change)
    summary = convert(CONVERTER, dataroot, tmp_path / "set")
    assert frames_in(tmp_path / "set") == frames_in(tmp_path / "whole") - {"scene-0001/0000"}
    (reject,) = rejects_in(tmp_path / "set")
    assert (reject["input"], reject["reason"], reject["severity"]) == ("scene-0001/0000", reason, "failed")
    assert reject["action"]
    assert summary.exit_code is ExitCode.PARTIAL


def test_rows_that_belong_to_no_frame_are_reported(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_annotation", lambda rows: rows.append({**rows[0], "token": "a", "sample_token": "gone"}))
    edit(dataroot, "sample", lambda rows: rows[-1].update(scene_token="nowhere"))
    summary = convert(CONVERTER, dataroot, tmp_path / "set")
    assert [reject["reason"] for reject in rejects_in(tmp_path / "set")] == ["dangling-token"] * 2
    assert {"sample gone"} < {reject["input"] for reject in rejects_in(tmp_path / "set")}
    assert summary.exit_code is ExitCode.PARTIAL


def test_unknown_sensor_costs_every_frame_that_needs_it(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "calibrated_sensor", break_first("sensor_token"))
    with pytest.raises(NothingToDoError, match="no such sensor"):
        convert(CONVERTER, dataroot, tmp_path / "set")


def test_truncated_image_is_rejected(dataroot: Path, tmp_path: Path) -> None:
    image = min((dataroot / "samples" / "CAM_BACK").iterdir())
    image.write_bytes(image.read_bytes()[:2000])
    convert(CONVERTER, dataroot, tmp_path / "set")
    (reject,) = rejects_in(tmp_path / "set")
    assert (reject["input"], reject["reason"]) == ("scene-0001/0000", "image-decode")


def test_frame_without_a_camera_is_skipped_and_counted(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_data", lambda rows: rows.pop(0))
    summary = convert(CONVERTER, dataroot, tmp_path / "set")
    assert summary.manifest["rejects"] == [
        {"severity": "skipped", "stage": "plan", "reason": "missing-camera", "count": 1}
    ]
    assert "scene-0001/0000" not in frames_in(tmp_path / "set")
    assert "no image of FRONT_LEFT" in rejects_in(tmp_path / "set")[0]["message"]
    assert summary.exit_code is ExitCode.DONE
    # Without that camera the frame is whole.
    convert(
        CONVERTER, dataroot, tmp_path / "five", NuscenesSettings(cameras="BACK,FRONT,FRONT_RIGHT,BACK_LEFT,BACK_RIGHT")
    )
    five = next(sample for sample in samples_in(tmp_path / "five") if sample.id == "scene-0001/0000/counting")
    assert [image.view for image in five.images] == VIEWS[1:]
    assert five.question.endswith("in the five views?")


def test_frame_that_nothing_can_be_asked_about_is_counted(tmp_path: Path) -> None:
    scene = Scene(
        "scene-0001",
        Drive(Pose(0.0, 0.0, 0.0), 0.0, 0.0),
        ((Thing("0", CAR, 9.0, 0.0, CAR.size_wlh_m, 0.0),), (Thing("0", CAR, 400.0, 0.0, CAR.size_wlh_m, 0.0),)),
        look=1,
    )
    write_dataroot(tmp_path / "root", [scene])
    convert(CONVERTER, tmp_path / "root", tmp_path / "set")
    (reject,) = rejects_in(tmp_path / "set")
    assert (reject["input"], reject["reason"], reject["severity"]) == ("scene-0001/0001", "no-question", "skipped")


def test_map_log_and_visibility_are_not_needed(dataroot: Path, tmp_path: Path) -> None:
    convert(CONVERTER, dataroot, tmp_path / "whole")
    shutil.rmtree(dataroot / "maps")
    for table in ("map", "log", "attribute", "visibility"):
        (dataroot / VERSION / f"{table}.json").unlink()
    convert(CONVERTER, dataroot, tmp_path / "set")
    asked = [(sample.id, sample.question, sample.answer) for sample in samples_in(tmp_path / "set")]
    assert asked == [(sample.id, sample.question, sample.answer) for sample in samples_in(tmp_path / "whole")]


def test_no_annotations_no_questions(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_annotation", list.clear)
    with pytest.raises(NothingToDoError, match="no key frame has an annotation"):
        convert(CONVERTER, dataroot, tmp_path / "set")


def test_version_must_be_clear(dataroot: Path, tmp_path: Path) -> None:
    (dataroot / VERSION).rename(dataroot / "v1.0-mini")
    (dataroot / "v1.0-test").mkdir()
    with pytest.raises(UsageError, match=r"present are: v1\.0-mini, v1\.0-test\. Name one with --version"):
        convert(CONVERTER, dataroot, tmp_path / "set")
    with pytest.raises(UsageError, match=r"no folder of tables 'v1\.0-trainval'"):
        convert(CONVERTER, dataroot, tmp_path / "set", NuscenesSettings(version="v1.0-trainval"))
    summary: ConversionSummary = convert(CONVERTER, dataroot, tmp_path / "set", NuscenesSettings(version="v1.0-mini"))
    assert summary.sample_count
    with pytest.raises(UsageError, match="none is present"):
        convert(CONVERTER, dataroot / "samples", tmp_path / "none")


@pytest.mark.parametrize("cameras", ["", "FRONT,FRONT", "CAM_FRONT", "FRONT,REAR"])
def test_cameras_must_be_known_and_named_once(cameras: str) -> None:
    with pytest.raises(ValidationError, match="must name some of FRONT_LEFT"):
        NuscenesSettings(cameras=cameras)


def test_listing_the_converter_loads_no_geometry() -> None:
    heavy = {"pydicom", "rasterio", "shapely", "torch"}
    code = f"import sys, domainvl.converters.nuscenes; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_tables_of_t4_join(real_data: Path, tmp_path: Path) -> None:
    """T4 has the same tables in another folder; this one has two cameras and three key frames."""
    source = real_data / "driving" / "tier4__t4-devkit" / "tests" / "sample" / "t4dataset"
    if not source.is_dir():
        pytest.skip(f"no T4 sample in {source}")
    plan = CONVERTER.plan(source, NuscenesSettings(cameras="FRONT,BACK"))
    (scene,) = plan.units
    assert scene.name == "minimal_test_scene"
    # There is a category of cones too, but nothing was labelled so.
    assert scene.classes == ("bicycle", "car", "pedestrian")
    assert [[cuboid.category for cuboid in frame.cuboids] for frame in scene.frames] == [
        ["pedestrian", "car"],
        ["car", "bicycle"],
        [],
    ]
    assert [shot.filename for shot in scene.frames[1].shots] == ["data/CAM_FRONT/002.jpg", "data/CAM_BACK/002.jpg"]
    with Image.open(source / scene.frames[1].shots[0].filename) as image:
        assert image.size == (scene.frames[1].shots[0].width_px, scene.frames[1].shots[0].height_px)
    assert convert(CONVERTER, source, tmp_path / "set", NuscenesSettings(cameras="FRONT,BACK")).sample_count
