"""Boxes of a whole frame, held against a world seen by casting a ray through every pixel."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import shapely
from raycast import MOUNTS, RIDE, Block, Mount, Ride, Shown, known_blocks, look

from domainvl.converters.driving.frame_questions import FrameQuestions, ask_about_one_view, ask_about_views
from domainvl.converters.driving.rig import VIEW_ORDER
from domainvl.converters.nuscenes.labels import label_of
from domainvl.converters.nuscenes.objects import BoxRules, objects_of, speeds_of
from domainvl.converters.nuscenes.scenes import Camera, Cuboid, Frame, Pose, Scene, Shot
from domainvl.converters.nuscenes.settings import FRAME_TASKS, NuscenesSettings
from domainvl.schema import BoxesAnswer, CountAnswer, MeasureAnswer, Object

WIDTH_PX, HEIGHT_PX = 400, 225
ALL = BoxRules(min_visible=0.0, max_occluded=1.0, min_side_px=0.0)


def cuboid_of(block: Block, **facts: object) -> Cuboid:
    attributes = (block.attribute,) if block.attribute else ()
    known = {"visibility": "v80-100", "lidar_points": 20} | facts
    place = (block.center_m, block.size_wlh_m, block.quaternion_wxyz())
    return Cuboid(block.name, block.category, attributes, known["visibility"], *place, known["lidar_points"])  # type: ignore[arg-type]


def scene_of(blocks: Sequence[Block], *, ride: Ride = RIDE, mounts: Sequence[Mount] = MOUNTS, frames: int = 1) -> Scene:
    cameras = tuple(
        Camera(
            mount.channel,
            Pose(mount.position_m, mount.quaternion_wxyz()),
            ((mount.focal_px, 0.0, WIDTH_PX / 2), (0.0, mount.focal_px, HEIGHT_PX / 2), (0.0, 0.0, 1.0)),
        )
        for mount in mounts
    )
    made = []
    for frame in range(frames):
        time_s = frame * 0.5
        shots = tuple(
            Shot(
                f"{mount.channel}-{frame}",
                mount.channel.removeprefix("CAM_"),
                index,
                "",
                round((time_s + mount.delay_s) * 1e6),
                WIDTH_PX,
                HEIGHT_PX,
                Pose(ride.at(time_s + mount.delay_s), ride.quaternion_wxyz()),
            )
            for index, mount in enumerate(mounts)
        )
        cuboids = tuple(cuboid_of(block.at(time_s)) for block in sorted(blocks, key=lambda block: block.name))
        made.append(Frame(frame, f"sample-{frame}", round(time_s * 1e6), shots, cuboids))
    return Scene("scene", "scene-0001", "", "log", None, cameras, tuple(made))


def see(
    scene: Scene, rules: BoxRules = ALL, frame: int = 0, speeds: Mapping[int, Mapping[str, float]] | None = None
) -> dict[str, Object]:
    here = scene.frames[frame]
    return {thing.id: thing for thing in objects_of(scene, here, here.shots, rules, speeds or {})}


def rendered(blocks: Sequence[Block], ride: Ride = RIDE, time_s: float = 0.0) -> dict[str, Shown]:
    """What each camera shows, under the ids of objects."""
    here = [block.at(time_s) for block in blocks]
    return {
        f"{name}/{mount.channel.removeprefix('CAM_')}": shown
        for mount in MOUNTS
        for name, shown in look(here, ride.eye(mount, time_s + mount.delay_s)).items()
    }


def assert_as_rendered(things: Mapping[str, Object], seen: Mapping[str, Shown]) -> None:
    for identifier, shown in seen.items():
        assert things[identifier].box_px == pytest.approx(shown.box_px, abs=1.0), identifier
    for identifier in set(things) - set(seen):
        x_min, y_min, x_max, y_max = things[identifier].box_px or (0, 0, 0, 0)
        # Less than a pixel wide: no ray need hit it.
        assert min(x_max - x_min, y_max - y_min) < 1.0, identifier


@pytest.fixture(scope="module")
def truth() -> dict[str, Shown]:
    return rendered(known_blocks())


@pytest.mark.parametrize(
    "identifier",
    [
        "car-ahead/FRONT",
        "walker/FRONT",
        "car-at-border/FRONT",
        "car-at-border/FRONT_LEFT",
        "truck-beside/FRONT",
        "truck-beside/FRONT_RIGHT",
        "truck-beside/BACK_RIGHT",
        "two-corners/BACK",
        "one-corner/BACK",
        "around-front-left/FRONT_LEFT",
        "car-behind/BACK",
    ],
)
def test_drv_20_boxes_are_within_a_pixel_of_rendered_extents(identifier: str, truth: dict[str, Shown]) -> None:
    assert see(scene_of(known_blocks()))[identifier].box_px == pytest.approx(truth[identifier].box_px, abs=1.0)


def test_drv_20_all_views_of_all_frames_are_as_rendered() -> None:
    blocks = known_blocks()
    scene = scene_of(blocks, frames=2)
    for frame in range(2):
        assert_as_rendered(see(scene, frame=frame), rendered(blocks, time_s=frame * 0.5))


def test_the_known_world_has_blocks_with_one_and_two_corners_in_front() -> None:
    eye = RIDE.eye(MOUNTS[3], MOUNTS[3].delay_s)
    ahead = np.array([math.cos(eye.yaw_rad), math.sin(eye.yaw_rad), 0.0])
    for block in known_blocks():
        halves = np.array(list(itertools.product((-0.5, 0.5), repeat=3))) * np.array(block.size_wlh_m)[[1, 0, 2]]
        corners_m = np.array(block.center_m) + halves @ block.axes()
        in_front = np.count_nonzero((corners_m - eye.position_m) @ ahead > 0.1)
        expected = {"two-corners": 2, "one-corner": 1}.get(block.name)
        assert expected is None or in_front == expected


def test_drv_20_a_box_behind_the_camera_has_no_box() -> None:
    things = see(scene_of(known_blocks()))
    assert [name for name in things if name.startswith("car-behind")] == ["car-behind/BACK"]
    assert "truck-beside/BACK_LEFT" not in things
    assert "car-ahead/BACK" not in things


def test_drv_20_a_box_around_the_camera_fills_its_image() -> None:
    thing = see(scene_of(known_blocks()))["around-front-left/FRONT_LEFT"]
    assert thing.box_px == (0.0, 0.0, WIDTH_PX, HEIGHT_PX)
    assert thing.truncated


def test_drv_20_the_size_of_the_image_is_that_of_the_table() -> None:
    scene = scene_of(known_blocks())
    (frame,) = scene.frames
    # The camera is the same; less of its image was stored.
    shots = [Shot(s.token, s.view, s.camera, s.filename, s.timestamp_us, 300, 200, s.ego) for s in frame.shots]
    thing = {thing.id: thing for thing in objects_of(scene, frame, shots, ALL, {})}["around-front-left/FRONT_LEFT"]
    assert thing.box_px == (0.0, 0.0, 300.0, 200.0)


def turned_back(point: np.ndarray, quaternion_wxyz: Sequence[float]) -> np.ndarray:
    """Turn a point by the inverse of a quaternion, as q* v q."""

    def times(a: Sequence[float], b: Sequence[float]) -> list[float]:
        return [
            a[0] * b[0] - a[1] * b[1] - a[2] * b[2] - a[3] * b[3],
            a[0] * b[1] + a[1] * b[0] + a[2] * b[3] - a[3] * b[2],
            a[0] * b[2] - a[1] * b[3] + a[2] * b[0] + a[3] * b[1],
            a[0] * b[3] + a[1] * b[2] - a[2] * b[1] + a[3] * b[0],
        ]

    w, x, y, z = quaternion_wxyz
    return np.array(times(times([w, -x, -y, -z], [0.0, *point]), [w, x, y, z])[1:])


def test_drv_20_boxes_wholly_inside_equal_the_arithmetic_of_the_devkit() -> None:
    # nuscenes-devkit: Box.translate and Box.rotate to vehicle and camera, view_points, extents of all corners.
    blocks, scene = known_blocks(), scene_of(known_blocks())
    things = see(scene)
    compared = 0
    for block, shot in itertools.product(blocks, scene.frames[0].shots):
        mounting = scene.cameras[shot.camera].mounting
        pixels = []
        for sign in itertools.product((-0.5, 0.5), repeat=3):
            point = np.array(block.center_m) + np.array(sign) * np.array(block.size_wlh_m)[[1, 0, 2]] @ block.axes()
            for pose in (shot.ego, mounting):
                point = turned_back(point - pose.translation_m, pose.rotation_wxyz)
            x, y, depth = np.array(scene.cameras[shot.camera].intrinsic) @ point
            pixels.append((x / depth, y / depth, depth))
        columns, rows, depths = zip(*pixels, strict=True)
        inside = 0 <= min(columns) and max(columns) <= WIDTH_PX and 0 <= min(rows) and max(rows) <= HEIGHT_PX
        if min(depths) > 0.1 and inside:
            thing = things[f"{block.name}/{shot.view}"]
            assert thing.box_px == pytest.approx((min(columns), min(rows), max(columns), max(rows)), abs=0.01)
            assert (thing.visible_fraction, thing.truncated) == (1.0, False)
            compared += 1
    assert compared >= 4


def test_drv_13_each_image_uses_its_own_pose() -> None:
    # At 20 m/s the last camera fires 0.86 m after the first.
    ride = Ride((5.0, 7.0), math.radians(-20.0), 20.0)
    walker = Block("walker", ride.place(5.0, 8.0, 0.9), (0.7, 0.7, 1.8), ride.yaw_rad)
    scene = scene_of([walker], ride=ride)
    (frame,) = scene.frames
    shown = rendered([walker], ride)["walker/FRONT_LEFT"].box_px
    own = see(scene)["walker/FRONT_LEFT"].box_px
    first = next(shot.ego for shot in frame.shots if shot.view == "FRONT")
    borrowed = [
        Shot(s.token, s.view, s.camera, s.filename, s.timestamp_us, s.width_px, s.height_px, first) for s in frame.shots
    ]
    things = {thing.id: thing for thing in objects_of(scene, frame, borrowed, ALL, {})}
    other = things["walker/FRONT_LEFT"].box_px
    assert own is not None
    assert other is not None
    assert np.abs(np.subtract(own, shown)).max() < 1.0
    assert np.abs(np.subtract(other, shown)).max() > 5.0


def test_drv_21_a_box_over_the_border_is_not_that_of_clamped_corners() -> None:
    # Low and long, running out of the image to the right: its lower corners leave it below.
    plank = Block("plank", RIDE.place(6.2, -6.0, 0.2), (12.0, 1.0, 0.4), RIDE.yaw_rad + math.radians(35.0))
    scene = scene_of([plank])
    shot = scene.frames[0].shots[0]
    camera = scene.cameras[shot.camera]
    corners_px = []
    for sign in itertools.product((-0.5, 0.5), repeat=3):
        point = np.array(plank.center_m) + np.array(sign) * np.array(plank.size_wlh_m)[[1, 0, 2]] @ plank.axes()
        for pose in (shot.ego, camera.mounting):
            point = turned_back(point - pose.translation_m, pose.rotation_wxyz)
        assert point[2] > 0.1
        x, y, depth = np.array(camera.intrinsic) @ point
        corners_px.append((min(max(x / depth, 0), WIDTH_PX), min(max(y / depth, 0), HEIGHT_PX)))
    clamped = shapely.MultiPoint(corners_px).bounds
    box = see(scene)["plank/FRONT"].box_px
    assert box == pytest.approx(rendered([plank])["plank/FRONT"].box_px, abs=1.0)
    assert box is not None
    assert np.abs(np.subtract(clamped, box)).max() > 10.0


def test_drv_22_a_thing_in_two_views_keeps_one_instance(truth: dict[str, Shown]) -> None:
    things = see(scene_of(known_blocks()))
    assert {"car-at-border/FRONT", "car-at-border/FRONT_LEFT"} <= set(things)
    for identifier, thing in things.items():
        shot = scene_of([]).frames[0].shots[thing.image]
        assert identifier.split("/")[1] == shot.view
    assert {thing.id.split("/")[0] for thing in things.values()} == {name.split("/")[0] for name in truth}


def test_drv_22_a_sliver_that_rounds_to_nothing_is_no_object() -> None:
    # The border of the image, at 45 degrees to the right, passes 10 m to the right of the camera 10 m ahead of it.
    ride, reach_m = Ride((0.0, 0.0), 0.0, 0.0), 1e-6
    plate = Block("plate", (11.7, -10.5 + reach_m, 1.5), (1.0, 1e-7, 1.0))
    assert see(scene_of([plate], ride=ride, mounts=MOUNTS[:1])) == {}
    plate = Block("plate", (11.7, -10.4, 1.5), (1.0, 0.001, 1.0))
    assert list(see(scene_of([plate], ride=ride, mounts=MOUNTS[:1]))) == ["plate/FRONT"]


def test_drv_22_occlusion_is_as_rendered(truth: dict[str, Shown]) -> None:
    things = see(scene_of(known_blocks()))
    for identifier, shown in truth.items():
        assert things[identifier].attributes["occluded_fraction"] == pytest.approx(shown.hidden_fraction, abs=0.04)


def solid_angle(width_m: float, height_m: float, distance_m: float) -> float:
    """Of a rectangle of which one corner is straight ahead (a textbook's double integral)."""
    return math.atan(width_m * height_m / (distance_m * math.sqrt(width_m**2 + height_m**2 + distance_m**2)))


def test_drv_22_truncation_and_share_inside_the_image() -> None:
    things = see(scene_of(known_blocks()))
    # Of the truck beside it, from 3 m behind to 6 m ahead, the front camera shows the end, from 45 degrees on.
    flank = [solid_angle(reach_m, 1.6, 2.75) for reach_m in (3.0, 2.75, 6.0)]
    assert things["truck-beside/FRONT"].truncated
    assert things["truck-beside/FRONT"].visible_fraction == pytest.approx(
        (flank[2] - flank[1]) / (flank[0] + flank[2]), abs=0.02
    )
    assert not things["walker/FRONT"].truncated
    half = Block("half", RIDE.place(10.0, 8.3, 1.5), (1.0, 0.01, 1.0), RIDE.yaw_rad)
    # A plate 8.3 m ahead of the camera, from 7.8 to 8.8 m to the left: the border runs through its middle.
    thing = see(scene_of([half], mounts=MOUNTS[:1]))["half/FRONT"]
    inside, whole = (solid_angle(side_m, 0.5, 8.3) - solid_angle(7.8, 0.5, 8.3) for side_m in (8.3, 8.8))
    assert thing.visible_fraction == pytest.approx(inside / whole, abs=0.002)
    assert thing.truncated


@pytest.mark.parametrize(
    ("rules", "facts", "ignored"),
    [
        (BoxRules(), {}, False),
        (BoxRules(), {"visibility": "v0-40"}, True),
        (BoxRules(), {"visibility": "none"}, True),
        (BoxRules(), {"visibility": "v40-60"}, False),
        (BoxRules(), {"visibility": "partial"}, False),
        (BoxRules(), {"visibility": None}, False),
        (BoxRules(min_lidar_points=20), {}, False),
        (BoxRules(min_lidar_points=21), {}, True),
        (BoxRules(min_lidar_points=21), {"lidar_points": None}, False),
        # Seen 22 px wide and 51 px high, 9.1 m from the vehicle.
        (BoxRules(min_side_px=20.0), {}, False),
        (BoxRules(min_side_px=30.0), {}, True),
        (BoxRules(max_distance_m=9.5), {}, False),
        (BoxRules(max_distance_m=9.0), {}, True),
    ],
)
def test_drv_22_what_falls_short_of_a_rule_is_kept_but_ignored(
    rules: BoxRules, facts: dict[str, object], ignored: bool
) -> None:
    scene = scene_of([])
    (walker,) = (block for block in known_blocks() if block.name == "walker")
    frame = scene.frames[0]
    frame = Frame(frame.index, frame.token, frame.timestamp_us, frame.shots, (cuboid_of(walker, **facts),))
    (thing,) = objects_of(scene, frame, frame.shots, rules, {})
    assert thing.ignore == ignored


def test_drv_22_much_hidden_and_much_cut_off_things_are_ignored() -> None:
    scene = scene_of(known_blocks())
    assert not see(scene, BoxRules())["walker/FRONT"].ignore
    # The end of a plate beside the car, 14 px wide and 180 px high: 2.8 % of the image.
    plate = Block("plate", RIDE.place(2.2, -3.47, 1.5), (6.0, 0.01, 0.45), RIDE.yaw_rad)
    thing = see(scene_of([plate], mounts=MOUNTS[:1]), BoxRules(min_side_px=0.0))["plate/FRONT"]
    assert thing.visible_fraction < 0.1
    assert thing.ignore
    # The car in front hides about half of the bus.
    assert not see(scene, BoxRules(max_occluded=0.6))["bus-half-hidden/FRONT"].ignore
    assert see(scene, BoxRules(max_occluded=0.4))["bus-half-hidden/FRONT"].ignore


def beside(distance_m: float = 2.0) -> list[Block]:
    """A truck that stands to the right of the vehicle, its flank so far from the camera to the front right."""
    return [
        Block(
            "truck",
            RIDE.place(1.0, -0.5 - distance_m - 1.25, 1.6),
            (2.5, 9.0, 3.2),
            RIDE.yaw_rad,
            category="vehicle.truck",
        ),
        Block("walker", RIDE.place(12.0, 0.5, 0.9), (0.7, 0.7, 1.8), RIDE.yaw_rad, category="human.pedestrian.adult"),
    ]


def test_drv_22_a_truck_beside_the_car_that_fills_the_image_is_asked_about() -> None:
    blocks = beside(0.5)
    things = see(scene_of(blocks), BoxRules())
    shown = rendered(blocks)["truck/FRONT_RIGHT"]
    truck = things["truck/FRONT_RIGHT"]
    assert shown.pixels > 0.5 * WIDTH_PX * HEIGHT_PX
    # Most of it lies beside the image.
    assert truck.visible_fraction < BoxRules().min_visible
    assert not truck.ignore
    counted = ask_about_views(
        list(things.values()),
        VIEW_ORDER,
        ["truck"],
        key="frame",
        settings=FrameQuestions(frozenset({"counting", "distance"})),
    )
    assert [question.answer for question in counted if isinstance(question.answer, CountAnswer)] == [
        CountAnswer(count=1)
    ]
    assert [question.answer.value for question in counted if isinstance(question.answer, MeasureAnswer)] == [
        pytest.approx(math.hypot(1.0, 2.25), abs=0.2)
    ]
    alone = [truck.model_copy(update={"image": 0})]
    grounded = ask_about_one_view(
        alone, view="FRONT_RIGHT", classes=["truck"], key="view", settings=FrameQuestions(frozenset({"grounding"}))
    )
    assert [question.answer for question in grounded] == [BoxesAnswer(object_ids=("truck/FRONT_RIGHT",))]
    assert truck.box_px == pytest.approx(shown.box_px, abs=1.0)


def test_drv_22_what_covers_a_tenth_of_an_image_is_never_ignored_for_being_cut_off() -> None:
    kept_for_its_size, ignored = 0, 0
    for distance_m in (0.5, 1.0, 2.0, 2.5, 3.0, 4.0, 8.0):
        blocks = beside(distance_m)
        things = see(scene_of(blocks), BoxRules(max_occluded=1.0))
        for name, shown in rendered(blocks).items():
            covered, thing = shown.pixels / (WIDTH_PX * HEIGHT_PX), things[name]
            if thing.visible_fraction < BoxRules().min_visible and not 0.09 < covered < 0.11:
                assert thing.ignore == (covered < 0.1), (name, distance_m)
                kept_for_its_size += covered > 0.1
                ignored += covered < 0.1
            else:
                assert not thing.ignore or covered < 0.11, (name, distance_m)
    assert kept_for_its_size
    assert ignored


def test_drv_22_a_box_around_the_camera_hides_nothing() -> None:
    shell = Block("shell", RIDE.place(1.0, 0.0, 1.0), (2.2, 4.6, 2.0), RIDE.yaw_rad)
    things = see(scene_of([*beside(), shell]), BoxRules())
    assert things["shell/FRONT"].box_px == (0.0, 0.0, WIDTH_PX, HEIGHT_PX)
    assert {name: thing.attributes["occluded_fraction"] for name, thing in things.items() if "shell" not in name} == {
        name: thing.attributes["occluded_fraction"] for name, thing in see(scene_of(beside()), BoxRules()).items()
    }
    assert not things["walker/FRONT"].ignore


@pytest.mark.parametrize("rules", [BoxRules(), ALL], ids=["by default", "without other rules"])
def test_drv_22_a_thing_is_not_asked_about_in_the_view_of_a_camera_within_it(rules: BoxRules) -> None:
    # The front camera is inside, 1.5 m before the rear face; the other looks at that face from 3.5 m away.
    mounts = [Mount("CAM_FRONT", (1.5, 0.0, 1.5), 0.0, 0.0), Mount("CAM_FRONT_FAR", (-3.5, 0.0, 1.5), 0.0, 0.0)]
    shell = Block("shell", RIDE.place(2.25, 0.0, 1.0), (2.0, 4.5, 2.0), RIDE.yaw_rad)
    things = see(scene_of([shell], mounts=mounts), rules)
    assert {name: thing.ignore for name, thing in things.items()} == {"shell/FRONT": True, "shell/FRONT_FAR": False}
    # Its class is neither counted nor denied, and it is neither named nor looked for.
    inside = things["shell/FRONT"]
    every = FrameQuestions(frozenset(FRAME_TASKS), per_task=9)
    assert ask_about_views([inside], ["FRONT"], ["car"], key="frame", settings=every) == []
    assert ask_about_one_view([inside], view="FRONT", classes=["car"], key="view", settings=every) == []


def test_drv_22_rules_come_from_the_settings() -> None:
    settings = NuscenesSettings(
        min_visible=0.1, max_occluded=0.2, min_side_px=3.0, min_lidar_points=4, max_distance_m=50.0
    )
    assert BoxRules.from_settings(settings) == BoxRules(0.1, 0.2, 3.0, 4, 50.0)
    assert BoxRules.from_settings(NuscenesSettings()) == BoxRules()


def test_drv_23_projected_boxes_say_that_they_are() -> None:
    things = see(scene_of(known_blocks()))
    assert {thing.attributes["box_source"] for thing in things.values()} == {"3d-projection"}


def test_drv_24_distance_and_bearing_are_from_the_vehicle_and_depth_is_along_the_camera() -> None:
    ride = Ride((100.0, -50.0), math.radians(160.0), 0.0)
    blocks = [
        Block("left", ride.place(3.0, 4.0, 7.0), (1.0, 1.0, 1.0)),
        Block("right", ride.place(0.0, -6.0, 1.0), (1.0, 1.0, 1.0)),
        Block("back", ride.place(-8.0, 0.0, 1.0), (1.0, 1.0, 1.0)),
    ]
    wide = [Mount(mount.channel, mount.position_m, mount.yaw_rad, 0.0, 40.0) for mount in MOUNTS]
    things = see(scene_of(blocks, ride=ride, mounts=wide))
    left, right, back = (things[name].attributes for name in ("left/FRONT_LEFT", "right/BACK_RIGHT", "back/BACK"))
    assert (left["distance_m"], left["bearing_deg"]) == (5.0, pytest.approx(math.degrees(math.atan2(4, 3)), abs=0.01))
    # The camera lies at (1.5, 0.5) and looks 60 degrees to the left.
    expected = (3.0 - 1.5) * 0.5 + (4.0 - 0.5) * math.sqrt(0.75)
    assert left["depth_m"] == pytest.approx(expected, abs=0.01)
    assert (right["distance_m"], right["bearing_deg"]) == (6.0, -90.0)
    assert back["distance_m"] == 8.0
    assert abs(float(str(back["bearing_deg"]))) == 180.0
    assert back["depth_m"] == 8.0


def test_drv_24_speed_motion_and_attribute() -> None:
    blocks = known_blocks()
    scene = scene_of(blocks, frames=3)
    speeds = speeds_of(scene)
    things = see(scene, speeds=speeds)
    beside, parked, still = (things[f"{name}/FRONT"].attributes for name in ("truck-beside", "car-ahead", "walker"))
    assert (beside["speed_m_s"], beside["motion"]) == (12.0, "moving")
    assert "attribute" not in beside
    assert (parked["speed_m_s"], parked["motion"], parked["attribute"]) == (0.0, "not moving", "vehicle.parked")
    assert (still["speed_m_s"], still["motion"]) == (0.0, "not moving")
    assert (still["category"], still["visibility"], still["lidar_points"]) == (
        "human.pedestrian.adult",
        "v80-100",
        20,
    )
    assert {instance for known in speeds.values() for instance in known} == {block.name for block in blocks}


def test_drv_24_what_is_not_known_is_not_there() -> None:
    (walker,) = (block for block in known_blocks() if block.name == "walker")
    scene = scene_of([walker])
    assert speeds_of(scene) == {0: {}}
    frame = scene.frames[0]
    cuboid = cuboid_of(walker, visibility=None, lidar_points=None)
    frame = Frame(frame.index, frame.token, frame.timestamp_us, frame.shots, (cuboid,))
    (thing,) = objects_of(scene, frame, frame.shots, ALL, speeds_of(scene))
    assert sorted(thing.attributes) == [
        "bearing_deg",
        "box_source",
        "category",
        "depth_m",
        "distance_m",
        "occluded_fraction",
    ]


def test_of_several_attributes_the_one_that_says_motion_is_named() -> None:
    (walker,) = (block for block in known_blocks() if block.name == "walker")
    place = (walker.center_m, walker.size_wlh_m, walker.quaternion_wxyz())
    scene = scene_of([])
    frame = scene.frames[0]
    cuboid = Cuboid("walker", "pedestrian", ("occlusion.none", "pedestrian.moving"), None, *place)
    frame = Frame(frame.index, frame.token, frame.timestamp_us, frame.shots, (cuboid,))
    (thing,) = objects_of(scene, frame, frame.shots, ALL, {})
    assert (thing.attributes["attribute"], thing.attributes["motion"]) == ("pedestrian.moving", "moving")


def test_boxes_of_a_reader_replace_projected_ones_and_nothing_else() -> None:
    scene = scene_of(known_blocks())
    (frame,) = scene.frames
    peers = {
        "FRONT": {"car-ahead": (1.0, 2.0, 3.00049, 4.0), "walker": (5.0, 5.0, 5.0001, 9.0)},
        "BACK": {"car-behind": (10.0, 20.0, 30.0, 40.0)},
    }
    given = Frame(frame.index, frame.token, frame.timestamp_us, frame.shots, frame.cuboids, peers)
    expected = objects_of(scene, frame, frame.shots, BoxRules(), {})
    found = objects_of(scene, given, frame.shots, BoxRules(), {})
    replaced = {"car-ahead/FRONT": (1.0, 2.0, 3.0, 4.0), "car-behind/BACK": (10.0, 20.0, 30.0, 40.0)}
    # A box without an area is no box.
    assert found == [
        thing.model_copy(update={"box_px": replaced[thing.id]}) if thing.id in replaced else thing for thing in expected
    ]


def test_objects_come_by_image_in_the_order_of_the_shots_that_are_asked_for() -> None:
    scene = scene_of(known_blocks())
    (frame,) = scene.frames
    shots = [next(shot for shot in frame.shots if shot.view == view) for view in ("BACK", "FRONT")]
    found = objects_of(scene, frame, shots, ALL, {})
    assert [thing.id for thing in found] == sorted(
        [thing.id for thing in found], key=lambda name: (name.split("/")[1] == "FRONT", name)
    )
    assert {thing.image: thing.id.split("/")[1] for thing in found} == {0: "BACK", 1: "FRONT"}
    all_views = see(scene)
    assert {thing.id: thing.box_px for thing in found} == {thing.id: all_views[thing.id].box_px for thing in found}


def test_nothing_to_see_gives_no_objects() -> None:
    scene = scene_of([])
    assert objects_of(scene, scene.frames[0], scene.frames[0].shots, ALL, {}) == []
    full = scene_of(known_blocks())
    assert objects_of(full, full.frames[0], (), ALL, {}) == []


@pytest.mark.parametrize(
    ("category", "label"),
    [
        ("human.pedestrian.adult", "pedestrian"),
        ("human.pedestrian.construction_worker", "pedestrian"),
        ("human.pedestrian.wheelchair", "wheelchair"),
        ("human.pedestrian.personal_mobility", "personal mobility device"),
        ("movable_object.pushable_pullable", "pushable object"),
        ("movable_object.trafficcone", "traffic cone"),
        ("static_object.bicycle_rack", "bicycle rack"),
        ("vehicle.bus.bendy", "bus"),
        ("vehicle.construction", "construction vehicle"),
        ("vehicle.emergency.police", "police car"),
        ("vehicle.emergency.ambulance", "ambulance"),
        ("vehicle.car", "car"),
        ("animal", "animal"),
        # Of T4.
        ("pedestrian", "pedestrian"),
        ("pedestrian.adult", "pedestrian"),
        ("police_officer", "pedestrian"),
        ("police_car", "police car"),
        ("traffic_cone", "traffic cone"),
    ],
)
def test_class_names_can_be_read(category: str, label: str) -> None:
    assert label_of(category) == label
