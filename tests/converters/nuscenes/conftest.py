"""Data roots that several tests convert; none of them changes one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from nuscenes_sets import Made, make_set
from raycast import Shown, known_blocks, write_world

from domainvl.converters.nuscenes.generate import generate_dataroot


@pytest.fixture(scope="session")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scenes of two key frames among things that stand about."""
    root = tmp_path_factory.mktemp("standing") / "root"
    generate_dataroot(root, scene_count=3, frames_per_scene=2, seed=1)
    return root


@pytest.fixture(scope="session")
def standing_set(standing: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_set(standing, tmp_path_factory.mktemp("standing-set"))


@pytest.fixture
def dataroot(standing: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(standing, tmp_path / "root"))


@pytest.fixture(scope="session")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four scenes of six key frames in traffic, two a log, with images between them and messages of the CAN bus.

    In the first the vehicle drives straight on at 8 m/s, in the second it turns left, in the third it stands, in the
    fourth it turns right.
    """
    root = tmp_path_factory.mktemp("traffic") / "root"
    generate_dataroot(
        root,
        scene_count=4,
        frames_per_scene=6,
        seed=3,
        traffic=True,
        sweeps=("CAM_FRONT",),
        can_bus=True,
        locations=("here", "there"),
        scenes_per_log=2,
    )
    return root


@pytest.fixture(scope="session")
def traffic_set(traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_set(traffic, tmp_path_factory.mktemp("traffic-set"))


@pytest.fixture
def driving(traffic: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may change."""
    return Path(shutil.copytree(traffic, tmp_path / "root"))


@pytest.fixture(scope="session")
def raycast_world(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, dict[str, Shown]]]]:
    """A data root with things in all positions that are hard, and what each view of each key frame shows of them."""
    root = tmp_path_factory.mktemp("raycast") / "root"
    return root, write_world(root, known_blocks())


@pytest.fixture(scope="session")
def raycast_set(
    raycast_world: tuple[Path, list[dict[str, dict[str, Shown]]]], tmp_path_factory: pytest.TempPathFactory
) -> Made:
    return make_set(raycast_world[0], tmp_path_factory.mktemp("raycast-set"))
