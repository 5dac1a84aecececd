"""The CAN bus expansion: units, signs, holes, and the scenes that have none."""

from __future__ import annotations

import json
import math

import pytest

from domainvl.converters.driving.behaviour import behaviour_after
from domainvl.converters.nuscenes.can_bus import SCENES_OFF_ROUTE, SCENES_WITHOUT_CAN, CanBus
from domainvl.errors import InputNotFoundError, ItemError

START_US = 1_531_883_530_440_378
SCENE = "scene-0001"


def pose(time_s, *, speed_m_s=5.0, yaw_rate_rad_s=0.0):
    return {
        "accel": [0.0, 0.0, 9.8], "orientation": [1.0, 0.0, 0.0, 0.0], "pos": [0.0, 0.0, 0.0],
        "rotation_rate": [0.9, 0.9, yaw_rate_rad_s], "utime": START_US + round(time_s * 1e6),
        "vel": [speed_m_s, 0.0, 0.0],
    }  # fmt: skip


def monitor(time_s, *, km_h=36.0):
    # The keys that are not read stand there as in the real files.
    return {"available_distance": 150, "battery_level": 80, "brake": 0, "brake_switch": 1, "gear_position": 7,
            "steering": 90.0, "throttle": 100, "utime": START_US + round(time_s * 1e6), "vehicle_speed": km_h,
            "yaw_rate": 55.5}  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(message, rows, scene=SCENE):
        (tmp_path / f"{scene}_{message}.json").write_text(json.dumps(rows), encoding="utf-8")
        return CanBus(tmp_path)

    return write


def test_drv_31_there_are_21_scenes_without_can_and_87_off_their_route():
    assert (len(SCENES_WITHOUT_CAN), len(SCENES_OFF_ROUTE)) == (21, 87)
    assert not SCENES_WITHOUT_CAN & SCENES_OFF_ROUTE
    # The first and last of each run, by hand from can_bus_api.py, and the neighbours that are not in it.
    assert {f"scene-0{n}" for n in (161, 168, 170, 176, 309, 314)} <= SCENES_WITHOUT_CAN
    assert not {f"scene-0{n}" for n in (160, 169, 177, 308, 315)} & SCENES_WITHOUT_CAN
    inside = (71, 73, 76, 85, 100, 101, 106, 110, 112, 119, 261, 264, 276, 302, 306, 334, 388, 390, 436, 499, 502, 504,
              515, 517, 518, 547, 551, 556, 565, 730, 731, 733, 738, 778, 780, 784, 904, 905, 1073, 1074)  # fmt: skip
    outside = (72, 77, 105, 111, 120, 260, 265, 301, 307, 387, 391, 498, 503, 516, 519, 546, 552, 555, 566, 732, 739,
               779, 785, 906, 1075)  # fmt: skip
    assert {f"scene-{n:04d}" for n in inside} <= SCENES_OFF_ROUTE
    assert not {f"scene-{n:04d}" for n in outside} & SCENES_OFF_ROUTE


def test_drv_31_scene_0161_has_no_can_even_where_files_lie_there(write):
    bus = write("pose", [pose(0.0), pose(1.0)], scene="scene-0161")

    with pytest.raises(ItemError, match=r"No CAN bus data of scene-0161: .*21 scenes.*--motion pose") as caught:
        bus.of("scene-0161")
    assert caught.value.reason == "no-can"


def test_drv_31_a_scene_without_files_has_no_can(write):
    bus = write("meta", {"pose": {}})
    with pytest.raises(ItemError, match="scene-0001_pose.json") as caught:
        bus.of(SCENE)
    assert caught.value.reason == "no-can"
    assert bus.files_of(SCENE) == []


def test_drv_31_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(InputNotFoundError, match="--can-bus"):
        CanBus(tmp_path / "can_bus")


def test_drv_31_only_routes_of_scenes_off_their_route_are_bad(write):
    write("pose", [pose(0.0), pose(1.0)], scene="scene-0071")
    bus = write("pose", [pose(0.0), pose(1.0)])

    off, on = bus.of("scene-0071"), bus.of(SCENE)
    messages = {"speed": "pose", "yaw_rate": "pose"}
    assert off.facts() == {"can_messages": messages, "off_route": True}
    assert on.facts() == {"can_messages": messages, "off_route": False}
    # Its speed is as good as that of others.
    assert off.motion(START_US, START_US + 1_000_000) == on.motion(START_US, START_US + 1_000_000) is not None


def test_drv_31_signals_are_interpolated_to_the_time_of_a_frame_in_our_units(write):
    write("pose", [pose(0.0, speed_m_s=4.0), pose(0.02, speed_m_s=5.0, yaw_rate_rad_s=math.pi / 6)])
    write("steeranglefeedback", [{"utime": START_US, "value": 0.0}])
    bus = write("vehicle_monitor", [monitor(0.0), monitor(0.5)])
    scene = bus.of(SCENE)

    assert scene.sources == {"speed": "pose", "yaw_rate": "pose"}
    assert scene.speed.at(START_US + 5_000) == pytest.approx(4.25)
    # Radians, positive to the left.
    assert scene.yaw_rate.at(START_US + 10_000) == pytest.approx(15.0)
    assert [path.name for path in bus.files_of(SCENE)] == [
        f"{SCENE}_{message}.json" for message in ("pose", "vehicle_monitor")
    ]


def test_drv_31_the_vehicle_monitor_speaks_in_km_h(write):
    scene = write("vehicle_monitor", [monitor(0.0, km_h=36.0), monitor(0.5, km_h=72.0)]).of(SCENE)

    assert scene.facts() == {"can_messages": {"speed": "vehicle_monitor"}, "off_route": False}
    assert scene.speed.at(START_US + 250_000) == pytest.approx(15.0)
    # No document says on which side its yaw rate is positive.
    assert scene.yaw_rate is None
    assert scene.motion(START_US, START_US + 500_000) is None


def test_drv_31_an_empty_file_is_passed_over(write):
    write("vehicle_monitor", [])  # as of scene-0419
    write("zoe_veh_info", [{"utime": START_US, "odom_speed": 18.0, "steer_corrected": 7.0}])
    scene = write("pose", []).of(SCENE)

    assert scene.sources == {"speed": "zoe_veh_info"}
    assert scene.speed.at(START_US) == pytest.approx(5.0)
    assert scene.yaw_rate is None


def test_drv_31_the_angle_of_the_steering_wheel_alone_is_no_motion(write):
    with pytest.raises(ItemError, match="nor another file of it with a signal"):
        write("steeranglefeedback", [{"utime": START_US, "value": 0.0}]).of(SCENE)


@pytest.mark.parametrize("time_s", [-0.001, 4.001, 2.0])
def test_drv_31_outside_the_messages_and_in_holes_all_is_unknown(write, time_s):
    scene = write("pose", [pose(time) for time in (0.0, 0.5, 1.0, 3.0, 3.5, 4.0)]).of(SCENE)

    assert scene.speed.at(START_US + round(time_s * 1e6)) is None
    assert scene.yaw_rate.at(START_US + round(time_s * 1e6)) is None
    assert scene.motion(START_US + 500_000, START_US + 3_000_000) is None
    assert scene.motion(START_US, START_US + 1_000_000).speed_m_s == pytest.approx(5.0)


def test_drv_31_behaviour_of_the_can_bus_has_the_words_of_that_of_poses(write):
    # 5 m/s and 20 degrees a second to the left.
    rows = [pose(step / 50, yaw_rate_rad_s=math.radians(20.0)) for step in range(151)]
    scene = write("pose", rows).of(SCENE)

    behaviour = behaviour_after(scene, START_US, 1.0)
    assert behaviour.text == "The ego vehicle is steering to the left. The ego vehicle is driving with normal speed."
    assert behaviour_after(scene, START_US + 2_500_000, 1.0) is None


@pytest.mark.parametrize(
    "content", ["", "[", "{}", '[{"utime": 1}]', '[{"utime": 1, "vel": [1, 2], "rotation_rate": [0, 0, 0]}]',
                '[{"utime": "x", "vel": [1, 2, 3], "rotation_rate": [0, 0, 0]}]']
)  # fmt: skip
def test_drv_31_a_malformed_file_is_refused_by_name(tmp_path, content):
    (tmp_path / f"{SCENE}_pose.json").write_text(content, encoding="utf-8")

    with pytest.raises(ItemError, match=f"{SCENE}_pose.json") as caught:
        CanBus(tmp_path).of(SCENE)
    assert caught.value.reason == "bad-can"
