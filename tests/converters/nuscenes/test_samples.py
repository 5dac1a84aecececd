"""Objects and questions of a data set, held against rendered extents and worlds that are known."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from nuscenes_sets import Made, edit, make_set, rows_of
from raycast import Shown

from domainvl.converters.nuscenes.generate import write_dataroot
from domainvl.converters.nuscenes.generated.world import KINDS, Drive, Pose, Scene, Thing
from domainvl.schema import ChoiceAnswer, CountAnswer, MeasureAnswer, Object, Sample, Task, TextAnswer

World = tuple[Path, list[dict[str, dict[str, Shown]]]]

CAR, TRUCK, PEDESTRIAN, CONE = KINDS
STILL = Drive(Pose(0.0, 0.0, 0.0), 0.0, 0.0)


def objects_of_frame(made: Made, frame: int) -> dict[str, Object]:
    """All objects of a frame of the first scene."""
    sample = next(
        sample for sample in made.samples if sample.id.startswith(f"scene-0001/{frame:04d}/") and len(sample.images) > 1
    )
    return {thing.id: thing for thing in sample.objects}


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
    write_dataroot(folder / "root", [Scene("scene-0001", STILL, (placed,), look=1)])
    return make_set(folder / "root", folder, **settings).samples


HARD = [
    "car-ahead/FRONT",
    "car-at-border/FRONT",
    "car-at-border/FRONT_LEFT",
    "truck-beside/FRONT",
    "truck-beside/FRONT_RIGHT",
    "truck-beside/BACK_RIGHT",
    "two-corners/BACK",
    "one-corner/BACK",
    "around-front-left/FRONT_LEFT",
]


@pytest.mark.parametrize("name", HARD)
def test_drv_20_boxes_of_the_data_set_are_within_a_pixel_of_rendered_extents(
    raycast_world: World, raycast_set: Made, name: str
) -> None:
    thing, view = name.split("/")
    assert objects_of_frame(raycast_set, 0)[name].box_px == pytest.approx(
        raycast_world[1][0][view][thing].box_px, abs=1.0
    )


@pytest.mark.parametrize("frame", [0, 1])
def test_drv_20_a_box_is_in_the_data_set_where_a_camera_sees_it_and_nowhere_else(
    raycast_world: World, raycast_set: Made, frame: int
) -> None:
    found = objects_of_frame(raycast_set, frame)
    seen = {
        f"{thing}/{view}": shown for view, things in raycast_world[1][frame].items() for thing, shown in things.items()
    }
    for name, shown in seen.items():
        assert found[name].box_px == pytest.approx(shown.box_px, abs=1.0), name
    for name in found.keys() - seen.keys():
        x_min, y_min, x_max, y_max = found[name].box_px or (0, 0, 0, 0)
        assert min(x_max - x_min, y_max - y_min) < 1.0, name  # no ray need hit it


def test_drv_20_a_box_behind_the_camera_has_no_box(raycast_set: Made) -> None:
    found = objects_of_frame(raycast_set, 0)
    assert [name for name in found if name.startswith("car-behind/")] == ["car-behind/BACK"]
    assert [name for name in found if name.startswith("car-ahead/")] == ["car-ahead/FRONT"]


def test_drv_20_the_size_of_the_image_is_that_of_the_table(raycast_set: Made) -> None:
    """Not the 1600x900 px of nuScenes: what lies around the camera fills the 400x225 px that there are."""
    thing = objects_of_frame(raycast_set, 0)["around-front-left/FRONT_LEFT"]
    assert thing.box_px == (0.0, 0.0, 400.0, 225.0)


def test_drv_21_a_box_over_the_border_is_cut_as_it_is_seen(raycast_world: World, raycast_set: Made) -> None:
    """Corners that are clamped to the image would make the truck's box reach over its whole height."""
    found = objects_of_frame(raycast_set, 0)
    cut = [name for name, thing in found.items() if thing.truncated and name.split("/")[0] in ("truck-beside",)]
    assert cut
    for name in cut:
        thing, view = name.split("/")
        assert found[name].box_px == pytest.approx(raycast_world[1][0][view][thing].box_px, abs=1.0)
        assert found[name].visible_fraction < 1.0


def test_drv_13_boxes_are_off_where_all_images_share_one_pose(
    raycast_world: World, raycast_set: Made, tmp_path: Path
) -> None:
    """At 12 m/s the vehicle is half a metre further when the last camera fires, 43 ms after the first."""
    root, truth = raycast_world
    copy = Path(shutil.copytree(root, tmp_path / "root"))
    poses = {row["token"]: row for row in rows_of(copy, "ego_pose")}

    def share(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            first = poses[f"CAM_FRONT-{row['token'].rsplit('-', 1)[1]}"]
            row.update(translation=first["translation"], rotation=first["rotation"])

    edit(copy, "ego_pose", share)
    wrong = objects_of_frame(make_set(copy, tmp_path), 0)["car-at-border/FRONT_LEFT"].box_px
    right = objects_of_frame(raycast_set, 0)["car-at-border/FRONT_LEFT"].box_px
    shown = truth[0]["FRONT_LEFT"]["car-at-border"].box_px
    assert wrong is not None
    assert right is not None
    assert max(abs(a - b) for a, b in zip(right, shown, strict=True)) < 1.0
    assert max(abs(a - b) for a, b in zip(wrong, shown, strict=True)) > 5.0


def test_drv_22_a_thing_in_two_cameras_keeps_one_instance(raycast_set: Made) -> None:
    found = objects_of_frame(raycast_set, 0)
    views = {name.split("/")[1] for name in found if name.startswith("truck-beside/")}
    assert views == {"FRONT", "FRONT_RIGHT", "BACK_RIGHT"}


def test_drv_22_the_share_that_nearer_things_hide_is_as_rendered(raycast_world: World, raycast_set: Made) -> None:
    found = objects_of_frame(raycast_set, 0)
    hidden = raycast_world[1][0]["FRONT"]["bus-half-hidden"].hidden_fraction
    assert 0.1 < hidden < 0.9
    assert found["bus-half-hidden/FRONT"].attributes["occluded_fraction"] == pytest.approx(hidden, abs=0.05)
    assert found["walker/FRONT"].attributes["occluded_fraction"] == 0.0


@pytest.mark.parametrize(
    ("settings", "frame", "lost"),
    [
        ({"max_occluded": 0.1}, 0, "bus-half-hidden/FRONT"),
        # A strip of 26 px at the border; what is cut and still large in the image is asked about.
        ({"min_visible": 0.3}, 1, "car-ahead/FRONT_LEFT"),
        ({"min_side_px": 60.0}, 0, "walker/FRONT"),
        ({"min_lidar_points": 21}, 0, "walker/FRONT"),
        ({"max_distance_m": 15.0}, 0, "bus-half-hidden/FRONT"),
    ],
)
def test_drv_22_what_a_rule_leaves_out_is_kept_but_not_asked_about(
    raycast_world: World, tmp_path: Path, settings: dict[str, float], frame: int, lost: str
) -> None:
    everything = {"min_visible": 0.0, "max_occluded": 1.0, "min_side_px": 0.0}
    kept = {"tasks": "counting,caption,clip-behaviour,behaviour", "camera_samples_per_frame": 0, "behaviour_s": 0.4}
    all_of_them = objects_of_frame(make_set(raycast_world[0], tmp_path / "all", **everything, **kept), frame)
    # The camera is within it, which no rule changes.
    assert {name for name, thing in all_of_them.items() if thing.ignore} == {"around-front-left/FRONT_LEFT"}
    few = make_set(raycast_world[0], tmp_path / "few", **{**everything, **settings}, **kept)
    fewer = objects_of_frame(few, frame)
    assert fewer.keys() == all_of_them.keys()
    assert fewer[lost].ignore
    assert not all(thing.ignore for thing in fewer.values()) or "min_lidar_points" in settings


def test_drv_22_things_that_all_cameras_barely_see_are_ignored(dataroot: Path, tmp_path: Path) -> None:
    edit(dataroot, "sample_annotation", lambda rows: [row.update(visibility_token="1") for row in rows[:-1]])
    objects = [thing for sample in make_set(dataroot, tmp_path).samples for thing in sample.objects]
    assert {thing.ignore for thing in objects if thing.attributes["visibility"] == "v0-40"} == {True}
    assert {thing.ignore for thing in objects if thing.attributes["visibility"] == "v80-100"} == {False}


def test_drv_22_a_visibility_that_is_empty_is_not_known(dataroot: Path, tmp_path: Path, standing_set: Made) -> None:
    edit(dataroot, "sample_annotation", lambda rows: [row.update(visibility_token="") for row in rows])
    made = make_set(dataroot, tmp_path)
    assert not any("visibility" in thing.attributes for sample in made.samples for thing in sample.objects)
    assert [sample.turns for sample in made.samples] == [sample.turns for sample in standing_set.samples]


@pytest.mark.parametrize("name", ["traffic_set", "raycast_set", "standing_set"])
def test_drv_23_boxes_say_that_they_are_projections(name: str, request: pytest.FixtureRequest) -> None:
    made: Made = request.getfixturevalue(name)
    things = [thing for sample in made.samples for thing in sample.objects]
    assert {thing.attributes["box_source"] for thing in things} == {"3d-projection"}
    assert all(thing.id.count("/") == 1 and thing.box_px is not None for thing in things)


def test_drv_24_speeds_are_those_at_which_things_move(traffic_set: Made) -> None:
    """Of the generated road: what is oncoming drives 7 m/s, a pedestrian walks 1.4 m/s, all parked things stand."""
    speeds: dict[tuple[str, str], set[float]] = {}
    for sample in traffic_set.samples:
        for thing in sample.objects:
            key = thing.label, str(thing.attributes.get("attribute", ""))
            speed_m_s = thing.attributes.get("speed_m_s")
            if isinstance(speed_m_s, float):
                speeds.setdefault(key, set()).add(speed_m_s)
    # On a curve the chord is shorter than the way, by the distance from the middle of the road longer or shorter.
    assert speeds["car", "vehicle.parked"] == speeds["traffic cone", ""] == {0.0}
    assert speeds["pedestrian", "pedestrian.standing"] == {0.0}
    assert max(abs(speed - 1.4) for speed in speeds["pedestrian", "pedestrian.moving"]) < 0.6
    vehicles = [speed for label in ("car", "truck") for speed in speeds[label, "vehicle.moving"]]
    # Straight on, what drives ahead keeps the distance to the ego vehicle.
    assert {7.0, 8.0} <= {round(speed, 1) for speed in vehicles}
    assert max(vehicles) < 8.7


def test_drv_24_regions_are_told_by_class_state_distance_and_sector(tmp_path: Path) -> None:
    samples = convert_things(
        tmp_path, (CAR, -8, 12.0), (PEDESTRIAN, 180, 7.0), camera_samples_per_frame=6, questions_per_task=9
    )
    told = {
        sample.id.split("/")[2]: (sample.turns[0].text, sample.turns[1].text)
        for sample in samples
        if "/description" in sample.id
    }
    assert told.keys() == {"FRONT", "BACK"}
    assert told["FRONT"][1] == "car, parked, 10 to 20 m away, to the front of the ego vehicle."
    assert told["BACK"][1] == "pedestrian, standing, 5 to 10 m away, to the back of the ego vehicle."
    assert all(f"This is the {view} view of the ego vehicle.\n" in asked for view, (asked, _) in told.items())


def test_drv_24_one_key_frame_tells_no_speed(tmp_path: Path) -> None:
    samples = convert_things(tmp_path, (CONE, 0, 6.0), (CAR, 180, 9.0))
    assert not any("speed_m_s" in thing.attributes for sample in samples for thing in sample.objects)
    (caption,) = (sample for sample in samples if sample.id.endswith("/caption"))
    assert caption.turns[1].text == (
        "From near to far: traffic cone, 5 to 10 m away, to the front of the ego vehicle, in the FRONT view; "
        "car, parked, 5 to 10 m away, to the back of the ego vehicle, in the BACK view."
    )


def test_drv_24_over_a_gap_in_time_there_is_no_speed(traffic: Path, driving: Path, tmp_path: Path) -> None:
    """Key frames are half a second apart; of two that are 2 s apart no speed follows."""
    kept = [row["token"] for row in rows_of(traffic, "sample") if row["scene_token"] == scene_token(traffic)]
    gone = set(kept[1:4])
    for table, column in (("sample", "token"), ("sample_data", "sample_token"), ("sample_annotation", "sample_token")):
        edit(driving, table, lambda rows, column=column: drop(rows, column, gone))
    edit(driving, "sample", lambda rows: [row.update(prev="", next="") for row in rows])
    made = make_set(driving, tmp_path, tasks="counting,caption,region")
    first = [s for s in made.samples if s.id.startswith("scene-0001/0000/")]
    later = [s for s in made.samples if s.id.startswith("scene-0001/0002/")]
    assert first
    assert later
    assert not any("speed_m_s" in thing.attributes for sample in first for thing in sample.objects)
    assert any("speed_m_s" in thing.attributes for sample in later for thing in sample.objects)
    assert "NaN" not in json.dumps([turn.text for sample in made.samples for turn in sample.turns])


def scene_token(root: Path) -> str:
    return next(str(row["token"]) for row in rows_of(root, "scene") if row["name"] == "scene-0001")


def drop(rows: list[dict[str, Any]], column: str, gone: set[str]) -> None:
    rows[:] = [row for row in rows if row[column] not in gone]


@pytest.mark.parametrize(
    ("bearing", "view"),
    [(55, "FRONT_LEFT"), (0, "FRONT"), (-55, "FRONT_RIGHT"), (110, "BACK_LEFT"), (180, "BACK"), (-110, "BACK_RIGHT")],
)
def test_view_question_names_the_view(tmp_path: Path, bearing: float, view: str) -> None:
    samples = convert_things(tmp_path, (PEDESTRIAN, bearing, 8.0), tasks="view,region")
    (asked,) = (sample for sample in samples if sample.task is Task.VQA)
    assert asked.question == "Which view shows the pedestrian?"
    assert asked.answer == TextAnswer(text=view)
    assert asked.id == "scene-0001/0000/view-1"
    alone = [sample for sample in samples if len(sample.images) == 1]
    assert {sample.id.split("/")[2] for sample in alone} == {view}


def test_a_thing_in_two_views_counts_once_and_is_in_no_single_view(tmp_path: Path) -> None:
    # Ahead and to the left, two cameras overlap.
    samples = convert_things(tmp_path, (PEDESTRIAN, 24, 8.0))
    (counting,) = (sample for sample in samples if sample.task is Task.COUNTING)
    assert [(thing.image, thing.ignore) for thing in counting.objects] == [(0, False), (1, False)]
    assert len({thing.id.split("/")[0] for thing in counting.objects}) == 1
    assert counting.answer == CountAnswer(count=1)
    assert counting.question == "How many instances of pedestrian are in the six views?"
    assert not any("/view" in sample.id for sample in samples)


@pytest.mark.parametrize("bearing", [20.0, -20.0])
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
    samples = convert_things(
        tmp_path,
        (CAR, -8, 10.0),
        (CONE, 10, 6.0),
        (PEDESTRIAN, 0, 8.0),
        (PEDESTRIAN, 180, 8.0),
        questions_per_task=5,
        camera_samples_per_frame=6,
    )
    front = [sample for sample in samples if sample.id.startswith("scene-0001/0000/FRONT/")]
    grounded = {sample.question: sample.answer_objects() for sample in front if sample.task is Task.GROUNDING}
    assert sorted(grounded) == ["car", "pedestrian", "traffic cone"]
    (pedestrian,) = grounded["pedestrian"]
    assert pedestrian.image == 0
    assert pedestrian.attributes["category"] == "human.pedestrian.adult"
    assert pedestrian.attributes["visibility"] == "v80-100"
    # 8 m ahead of the vehicle; the camera is 1.7 m ahead of its origin.
    assert pedestrian.attributes["distance_m"] == pytest.approx(8.0, abs=0.01)
    assert pedestrian.attributes["depth_m"] == pytest.approx(6.3, abs=0.01)
    assert pedestrian.attributes["bearing_deg"] == pytest.approx(0.0, abs=0.01)
    presence = [sample for sample in front if sample.task is Task.PRESENCE]
    assert {sample.answer.text for sample in presence if isinstance(sample.answer, TextAnswer)} <= {"yes", "no"}


def test_distance_is_asked_in_metres_from_the_vehicle(tmp_path: Path) -> None:
    samples = convert_things(tmp_path, (CAR, -8, 12.34), tasks="distance")
    (sample,) = samples
    assert isinstance(sample.answer, MeasureAnswer)
    assert sample.answer.unit == "m"
    assert sample.answer.value == pytest.approx(12.34, abs=0.01)
    assert sample.turns[1].text == "12.3 m"


def test_images_asked_about_alone_are_as_many_as_wanted(traffic: Path, tmp_path: Path) -> None:
    def alone(limit: int) -> dict[str, set[str]]:
        made = make_set(traffic, tmp_path / str(limit), camera_samples_per_frame=limit, tasks="caption,region")
        views: dict[str, set[str]] = {frame: set() for frame in made.frames}
        for sample in made.samples:
            if len(sample.images) == 1:
                views["/".join(sample.id.split("/")[:2])].add(str(sample.images[0].view))
        return views

    everything, one, none = alone(6), alone(1), alone(0)
    assert max(len(views) for views in everything.values()) > 2
    assert max(len(views) for views in one.values()) == 1
    assert all(one[frame] <= everything[frame] for frame in everything)
    assert set(map(len, none.values())) == {0}


def test_frame_that_nothing_can_be_asked_about_is_counted(tmp_path: Path) -> None:
    frames = (
        (Thing("0", CAR, 9.0, 0.0, CAR.size_wlh_m, 0.0),),
        (Thing("0", CAR, 400.0, 0.0, CAR.size_wlh_m, 0.0),),
    )
    write_dataroot(tmp_path / "root", [Scene("scene-0001", STILL, frames, look=1)])
    made = make_set(tmp_path / "root", tmp_path, tasks="caption,distance")
    (reject,) = made.rejects
    assert (reject["input"], reject["reason"], reject["severity"]) == ("scene-0001/0001", "no-question", "skipped")


def test_behaviour_is_the_multiple_choice_question_of_the_paper(traffic_set: Made) -> None:
    """Question, options in one line, answer the letter (Mini-InternVL, section on autonomous driving)."""
    sample = traffic_set.by_id["scene-0001/0000/behaviour"]
    assert isinstance(sample.answer, ChoiceAnswer)
    right = "The ego vehicle is going straight. The ego vehicle is driving fast."
    assert sample.answer.options[sample.answer.correct] == right
    assert len(set(sample.answer.options)) == 4
    letter = "ABCD"[sample.answer.correct]
    asked = sample.turns[0].text
    options = " ".join(f"{name}. {text}" for name, text in zip("ABCD", sample.answer.options, strict=True))
    assert asked.endswith(
        "Predict the behavior of the ego vehicle. "
        f"Please select the correct answer from the following options: {options}"
    )
    assert sample.turns[1].text == letter
