"""What a conversion of nuScenes tables gives as a whole, and what a fault in them costs."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from builders import bytes_of, differences
from nuscenes_sets import VIEWS, Change, Made, edit, make_set, rows_of, shots_of, tables_of
from PIL import Image
from pydantic import ValidationError

from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.converters.nuscenes.tables.index import read_scene
from domainvl.errors import ExitCode, NothingToDoError, UsageError
from domainvl.schema import Split
from domainvl.schema.validation import Severity, validate


def test_drv_10_views_come_in_the_fixed_order_and_are_named(standing_set: Made) -> None:
    six = [sample for sample in standing_set.samples if len(sample.images) > 1 and sample.images[0].frame is None]
    assert len(six) >= 6
    for sample in six:
        assert [image.view for image in sample.images] == VIEWS
        assert all(f"CAM_{image.view}__" in image.source.uri for image in sample.images)
        assert sample.turns[0].text.startswith("".join(f"{view}: <image>\n" for view in VIEWS))
        assert sample.turns[0].text.count("<image>") == 6


def test_drv_10_order_is_that_of_the_rig_whatever_is_asked_for(standing: Path, tmp_path: Path) -> None:
    made = make_set(standing, tmp_path, cameras="CAM_BACK,FRONT,BACK_LEFT", camera_samples_per_frame=0)
    assert {tuple(image.view for image in sample.images) for sample in made.samples if not sample.images[0].frame} == {
        ("FRONT", "BACK_LEFT", "BACK")
    }
    counting = [sample.question for sample in made.samples if "/counting" in sample.id]
    assert counting
    assert all(question.endswith(" are in the three views?") for question in counting)


def test_drv_12_images_are_copied_byte_for_byte(standing: Path, standing_set: Made) -> None:
    kept = {path.name for path in (standing_set.folder / "images").rglob("*.*")}
    for sample in standing_set.samples:
        for image in sample.images:
            assert (standing_set.folder / image.path).read_bytes() == (standing / image.source.uri).read_bytes()
            kept.discard(Path(image.path).name)
    assert not kept


def test_groups_are_scenes_and_tables_are_the_sources(standing: Path, standing_set: Made) -> None:
    assert {sample.group for sample in standing_set.samples} == {"scene-0001", "scene-0002", "scene-0003"}
    assert {sample.domain for sample in standing_set.samples} == {"driving"}
    sources = {source["uri"] for source in standing_set.manifest["sources"]}
    assert f"{tables_of(standing).name}/sample_data.json" in sources
    assert not any("map" in source for source in sources)
    assert standing_set.summary.exit_code is ExitCode.DONE
    assert standing_set.rejects == []


def test_two_conversions_are_byte_identical_whatever_the_order_of_rows(dataroot: Path, tmp_path: Path) -> None:
    make_set(dataroot, tmp_path / "a")
    make_set(dataroot, tmp_path / "b")
    original = bytes_of(tmp_path / "a" / "set")
    assert differences(tmp_path / "b" / "set", original) == []
    for table in tables_of(dataroot).iterdir():
        edit(dataroot, table.stem, random.Random(table.stem).shuffle)
    make_set(dataroot, tmp_path / "c")
    shuffled = bytes_of(tmp_path / "c" / "set")
    assert shuffled.keys() == original.keys()
    # The manifest and what repeats it hash the tables, which did change.
    assert [name for name in original if shuffled[name] != original[name]] == ["manifest.json"]


@pytest.mark.parametrize("asked", ["standing_set", "traffic_set", "raycast_set"])
def test_data_sets_have_no_faults(asked: str, request: pytest.FixtureRequest) -> None:
    made: Made = request.getfixturevalue(asked)
    report = validate(made.folder)
    assert report.samples == len(made.samples) > 10
    assert report.count(Severity.ERROR) == 0, report.findings


FIRST_FRAME = "scene-0001/0000"


def in_first(**columns: Any) -> Change:
    return lambda rows: rows[0].update(columns)


def twice(**columns: Any) -> Change:
    return lambda rows: rows.append({**rows[0], **columns})


@pytest.mark.parametrize(
    ("table", "change", "reason"),
    [
        ("sample_data", in_first(ego_pose_token="nowhere"), "dangling-token"),
        ("sample_data", in_first(calibrated_sensor_token="nowhere"), "dangling-token"),
        ("sample_data", in_first(filename="../outside.jpg"), "outside-dataroot"),
        ("sample_data", in_first(width=321), "image-size"),
        ("sample_data", in_first(width=0), "bad-image-size"),
        ("sample_data", twice(token="twice"), "duplicate-camera"),
        ("ego_pose", in_first(rotation=[0, 0, 0, 0]), "bad-rotation"),
        ("sample_annotation", in_first(instance_token="nowhere"), "dangling-token"),
        ("sample_annotation", in_first(rotation=[0, 0, 0, 0]), "bad-rotation"),
        ("sample_annotation", in_first(size=[0, 1, 1]), "bad-size"),
        ("sample_annotation", twice(token="twice"), "duplicate-instance"),
    ],
)
def test_drv_04_a_fault_costs_its_frame_only(
    standing_set: Made, dataroot: Path, tmp_path: Path, table: str, change: Change, reason: str
) -> None:
    edit(dataroot, table, change)
    made = make_set(dataroot, tmp_path)
    assert made.frames == standing_set.frames - {FIRST_FRAME}
    (reject,) = (reject for reject in made.rejects if reject["severity"] == "failed")
    assert (reject["input"], reject["reason"]) == (FIRST_FRAME, reason)
    assert reject["action"]
    assert made.summary.exit_code is ExitCode.PARTIAL
    assert made.reasons()[reason] == 1


def second_before_first(rows: list[dict[str, Any]]) -> None:
    rows[1]["timestamp"] = rows[0]["timestamp"] - 1


def loop(rows: list[dict[str, Any]]) -> None:
    rows[1]["next"] = rows[0]["token"]


@pytest.mark.parametrize(
    ("table", "change", "reasons", "lost"),
    [
        ("sample", second_before_first, {"backwards-timestamp": 2}, {"scene-0001/0000", "scene-0001/0001"}),
        ("sample", loop, {"link-loop": 2}, {"scene-0001/0000", "scene-0001/0001"}),
        (
            "sample",
            in_first(next="nowhere"),
            {"dangling-token": 1, "one-sided-link": 1},
            {"scene-0001/0000", "scene-0001/0001"},
        ),
        ("scene", twice(token="twice"), {"duplicate-scene": 1}, set()),
        ("scene", twice(token="twice", name="scene-0009"), {"empty-scene": 1}, set()),
        ("ego_pose", twice(translation=[0, 0, 0]), {"duplicate-token": 1}, set()),
        ("sample_annotation", twice(translation=[0, 0, 0]), {"duplicate-token": 1}, set()),
        ("sample_annotation", in_first(visibility_token="nowhere"), {"dangling-token": 1}, set()),
        (
            "sample_annotation",
            twice(token="lost", sample_token="nowhere"),
            {"dangling-token": 1},
            set(),
        ),
    ],
)
def test_drv_04_what_does_not_fit_together_is_told(
    standing_set: Made,
    dataroot: Path,
    tmp_path: Path,
    table: str,
    change: Change,
    reasons: dict[str, int],
    lost: set[str],
) -> None:
    edit(dataroot, table, change)
    made = make_set(dataroot, tmp_path)
    told = [reject for reject in made.rejects if reject["stage"] == "plan"]
    assert {reject["severity"] for reject in told} == {"failed"}
    assert {reason: made.reasons()[reason] for reason in reasons} == reasons
    assert len(told) == sum(reasons.values())
    assert made.frames == standing_set.frames - lost
    assert made.summary.exit_code is ExitCode.PARTIAL
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_drv_04_a_sample_of_no_scene_is_told(dataroot: Path, tmp_path: Path) -> None:
    last = rows_of(dataroot, "sample")[-1]["token"]
    edit(dataroot, "sample", lambda rows: rows[-1].update(scene_token="nowhere"))
    made = make_set(dataroot, tmp_path)
    (reject,) = (reject for reject in made.rejects if reject["input"] == f"sample {last}")
    assert reject["reason"] == "dangling-token"
    assert "nowhere" in reject["message"]
    assert "scene-0003/0001" not in made.frames


def test_drv_04_all_faults_at_once_cost_what_each_costs(dataroot: Path, tmp_path: Path, standing_set: Made) -> None:
    """One fault in each scene: a dangling token, a time that runs backwards, an image that is cut off."""
    shots = shots_of(dataroot, "BACK")
    edit(dataroot, "sample_data", lambda rows: [row.update(ego_pose_token="x") for row in rows if row == shots[0]])
    edit(dataroot, "sample", lambda rows: rows[3].update(timestamp=rows[2]["timestamp"] - 1))
    image = dataroot / shots[5]["filename"]
    image.write_bytes(image.read_bytes()[:2000])
    made = make_set(dataroot, tmp_path)
    assert made.frames == standing_set.frames - {FIRST_FRAME, "scene-0002/0000", "scene-0002/0001", "scene-0003/0001"}
    failed = {(reject["input"], reject["reason"]) for reject in made.rejects if reject["severity"] == "failed"}
    assert failed >= {
        (FIRST_FRAME, "dangling-token"),
        ("scene-0002/0000", "backwards-timestamp"),
        ("scene-0002/0001", "backwards-timestamp"),
        ("scene-0003/0001", "image-decode"),
    }
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_unknown_sensor_costs_every_frame_that_needs_it(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "calibrated_sensor", in_first(sensor_token="nowhere"))
    with pytest.raises(NothingToDoError, match="no such sensor"):
        make_set(dataroot, tmp_path)


def groups_of_scenes(made: Made) -> dict[str, set[str]]:
    """Groups by the scene that is named in the ids."""
    groups: dict[str, set[str]] = {}
    for sample in made.samples:
        groups.setdefault(sample.id.split("/")[0], set()).add(sample.group)
    return groups


def split_of_scenes(made: Made) -> dict[str, set[str]]:
    splits: dict[str, set[str]] = {}
    for split in Split:
        for line in (made.folder / f"{split.value}.jsonl").read_text().splitlines():
            splits.setdefault(json.loads(line)["id"].split("/")[0], set()).add(split.value)
    return splits


PAIRS = (("scene-0001", "scene-0002"), ("scene-0003", "scene-0004"))


@pytest.mark.parametrize(("split_by", "groups"), [("log", ("log-0000", "log-0001")), ("location", ("here", "there"))])
@pytest.mark.parametrize("seed", range(3))
def test_drv_40_a_log_or_a_location_is_never_divided(
    traffic: Path, tmp_path: Path, split_by: str, groups: tuple[str, str], seed: int
) -> None:
    made = make_set(
        traffic, tmp_path, split_by=split_by, split_seed=seed, test_fraction=0.4, val_fraction=0.3, tasks="counting"
    )
    assert groups_of_scenes(made) == {
        scene: {group} for pair, group in zip(PAIRS, groups, strict=True) for scene in pair
    }
    splits = split_of_scenes(made)
    for first, second in PAIRS:
        assert splits[first] == splits[second]
        assert len(splits[first]) == 1
    assert validate(made.folder).count(Severity.ERROR) == 0


def test_drv_40_official_validation_scenes_are_tested_on(driving: Path, tmp_path: Path) -> None:
    """Of the first four scenes the third is in nuScenes' validation set (splits.py of nuscenes-devkit)."""
    made = make_set(driving, tmp_path, split_by="official", test_fraction=0.0, tasks="counting")
    splits = split_of_scenes(made)
    assert splits["scene-0003"] == {"test"}
    assert all(splits[scene] <= {"train", "val"} for scene in ("scene-0001", "scene-0002", "scene-0004"))
    # One log each way: the second log has a scene in either set.
    assert any("divides 1 of 2 logs" in note for note in made.manifest["notes"])


def test_drv_40_of_the_small_set_other_scenes_are_left_out(driving: Path, tmp_path: Path) -> None:
    names = {"scene-0001": "scene-0061", "scene-0002": "scene-0103"}
    edit(driving, "scene", lambda rows: [row.update(name=names.get(row["name"], row["name"])) for row in rows])
    tables_of(driving).rename(driving / "v1.0-mini")
    made = make_set(driving, tmp_path, split_by="official", tasks="caption", camera_samples_per_frame=0)
    splits = split_of_scenes(made)
    assert splits.keys() == {"scene-0061", "scene-0103"}
    assert splits["scene-0103"] == {"test"}
    assert splits["scene-0061"] <= {"train", "val"}
    assert [(reject["input"], reject["reason"], reject["severity"]) for reject in made.rejects] == [
        ("scene-0003", "no-official-split", "skipped"),
        ("scene-0004", "no-official-split", "skipped"),
    ]
    assert made.summary.exit_code is ExitCode.DONE


def test_drv_40_a_location_that_is_not_known_is_told(driving: Path, tmp_path: Path) -> None:
    edit(driving, "log", lambda rows: rows[0].update(location=""))
    made = make_set(driving, tmp_path, split_by="location", tasks="counting")
    assert split_of_scenes(made).keys() == {"scene-0003", "scene-0004"}
    assert made.reasons() == {"no-location": 2}


@pytest.mark.parametrize(
    ("version", "name", "licence"),
    [
        ("v1.0-mini", "scene-0061", "CC-BY-NC-SA-4.0"),
        ("v1.0-trainval", "scene-0061", "CC-BY-NC-SA-4.0"),
        ("v1.0-test", "scene-0077", "CC-BY-NC-SA-4.0"),
        ("v1.0-trainval", "my-drive", None),
        ("v1.0-mine", "scene-0061", None),
    ],
)
def test_drv_62_the_licence_of_nuscenes_is_that_of_its_own_tables(
    dataroot: Path, tmp_path: Path, version: str, name: str, licence: str | None
) -> None:
    edit(dataroot, "scene", lambda rows: rows[0].update(name=name))
    tables_of(dataroot).rename(dataroot / version)
    made = make_set(dataroot, tmp_path, tasks="counting", camera_samples_per_frame=0)
    assert made.manifest["licence"] == licence
    card = (made.folder / "card.md").read_text()
    assert ("- non-commercial" in card) == (licence is not None)
    assert ("Not for commercial use." in card) == (licence is not None)


def test_a_licence_that_is_named_wins(dataroot: Path, tmp_path: Path) -> None:
    tables_of(dataroot).rename(dataroot / "v1.0-trainval")
    made = make_set(dataroot, tmp_path, licence="Apache-2.0", tasks="counting")
    assert made.manifest["licence"] == "Apache-2.0"


def test_drv_01_version_must_be_clear(dataroot: Path, tmp_path: Path) -> None:
    tables_of(dataroot).rename(dataroot / "v1.0-mini")
    (dataroot / "v1.0-test").mkdir()
    with pytest.raises(UsageError, match=r"present are: v1\.0-mini, v1\.0-test\. Name one with --version"):
        make_set(dataroot, tmp_path)
    with pytest.raises(UsageError, match=r"no folder of tables 'v1\.0-trainval'"):
        make_set(dataroot, tmp_path, version="v1.0-trainval")
    assert make_set(dataroot, tmp_path, version="v1.0-mini").samples
    with pytest.raises(UsageError, match="none is present"):
        make_set(dataroot / "samples", tmp_path / "none")


@pytest.mark.parametrize("cameras", ["", "FRONT,FRONT", "FRONT,CAM_FRONT", "FRONT,"])
def test_cameras_are_named_once(cameras: str) -> None:
    with pytest.raises(ValidationError, match="must name cameras, each once"):
        NuscenesSettings(cameras=cameras)


def test_a_camera_that_the_rig_lacks_is_refused_with_those_that_it_has(standing: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"got REAR.*The rig has FRONT_LEFT, FRONT, FRONT_RIGHT, BACK_LEFT"):
        make_set(standing, tmp_path, cameras="FRONT,REAR")


@pytest.mark.parametrize("tasks", ["", "everything", "counting,counting"])
def test_tasks_are_named_once(tasks: str) -> None:
    with pytest.raises(ValidationError, match="must name some of view, presence"):
        NuscenesSettings(tasks=tasks)


@pytest.mark.parametrize("task", ["view", "counting", "distance", "motion", "caption", "behaviour", "scene"])
def test_one_task_alone_asks_as_it_does_among_all(traffic: Path, traffic_set: Made, tmp_path: Path, task: str) -> None:
    try:
        alone = make_set(traffic, tmp_path, tasks=task, camera_samples_per_frame=0)
    except NothingToDoError:
        assert task == "view"  # in traffic nothing is the only one of its kind
        return
    prefix = {"scene": "/scene"}.get(task, f"/{task}")
    wanted = {sample.id: sample.turns for sample in traffic_set.samples if sample.id.count("/") < 3}
    assert alone.samples
    for sample in alone.samples:
        assert prefix in sample.id
        assert sample.turns == wanted[sample.id]


def test_listing_the_converter_loads_nothing_heavy() -> None:
    heavy = {"av", "nuscenes", "pydicom", "rasterio", "shapely", "torch"}
    code = f"import sys, domainvl.converters.nuscenes; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_drv_40_scenes_of_nuscenes_itself_are_divided_officially_where_nobody_decides(
    driving: Path, tmp_path: Path
) -> None:
    tables_of(driving).rename(driving / "v1.0-trainval")
    splits = split_of_scenes(make_set(driving, tmp_path / "full", tasks="counting", test_fraction=0.8))
    assert splits["scene-0003"] == {"test"}
    assert all(splits[scene] <= {"train", "val"} for scene in ("scene-0001", "scene-0002", "scene-0004"))
    # Of the small set's lists these are on none: nothing is left out that nobody asked to leave out.
    tables_of(driving).rename(driving / "v1.0-mini")
    small = make_set(driving, tmp_path / "small", tasks="counting")
    assert split_of_scenes(small).keys() == splits.keys()
    assert small.reasons()["no-official-split"] == 0


@pytest.fixture
def t4(real_data: Path) -> Path:
    """Tables of T4: the same as those of nuScenes in another folder, with two cameras and three key frames."""
    source = real_data / "driving" / "tier4__t4-devkit" / "tests" / "sample" / "t4dataset"
    if not source.is_dir():
        pytest.skip(f"no T4 sample in {source}")
    return source


def test_tables_of_t4_join(t4: Path, tmp_path: Path) -> None:
    plan = CONVERTER.plan(t4, NuscenesSettings(index=tmp_path / "index"))
    (unit,) = plan.units
    assert unit.name == "minimal_test_scene"
    assert unit.views == ("FRONT", "BACK")
    # There is a category of cones too, but nothing was labelled so.
    assert unit.classes == ("bicycle", "car", "pedestrian")
    frames = read_scene(unit.index, unit.token).frames
    assert [sorted(cuboid.category for cuboid in frame.cuboids) for frame in frames] == [
        ["car", "pedestrian"],
        ["bicycle", "car"],
        [],
    ]
    shots = {shot.view: shot for shot in frames[1].shots}
    assert {view: shot.filename for view, shot in shots.items()} == {
        "FRONT": "data/CAM_FRONT/002.jpg",
        "BACK": "data/CAM_BACK/002.jpg",
    }
    with Image.open(t4 / shots["FRONT"].filename) as image:
        assert image.size == (shots["FRONT"].width_px, shots["FRONT"].height_px)


def test_t4_becomes_a_data_set_and_says_that_its_cameras_look_at_nothing(t4: Path, tmp_path: Path) -> None:
    before = set(t4.rglob("*"))
    made = make_set(t4, tmp_path)
    assert made.manifest["licence"] is None
    assert {sample.group for sample in made.samples} == {"minimal_test_scene"}
    assert made.reasons()["nothing-in-view"] == 1
    assert {reject["severity"] for reject in made.rejects} == {"skipped"}
    (scene,) = (sample for sample in made.samples if sample.id == "minimal_test_scene/scene")
    assert scene.turns[1].text == "Minimal T4 dataset scene for unit testing"
    assert validate(made.folder).count(Severity.ERROR) == 0
    assert set(t4.rglob("*")) == before


def test_drv_04_t4_with_one_token_broken(t4: Path, tmp_path: Path) -> None:
    whole = make_set(t4, tmp_path / "whole")
    root = Path(shutil.copytree(t4, tmp_path / "root"))
    path = root / "annotation" / "sample_data.json"
    rows = json.loads(path.read_text())
    broken = next(row for row in rows if row["filename"].endswith("CAM_BACK/002.jpg"))
    broken["ego_pose_token"] = "nowhere"
    path.unlink()
    path.write_text(json.dumps(rows))
    made = make_set(root, tmp_path)
    assert "minimal_test_scene/0001" in whole.frames - made.frames
    failed = [reject for reject in made.rejects if reject["severity"] == "failed"]
    assert [(reject["input"], reject["reason"]) for reject in failed] == [("minimal_test_scene/0001", "dangling-token")]
