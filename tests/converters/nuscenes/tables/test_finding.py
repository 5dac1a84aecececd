from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.converters.nuscenes.labels import label_of
from domainvl.converters.nuscenes.tables import find_tables
from domainvl.errors import UsageError


@pytest.mark.parametrize("name", ["v1.0-mini", "v1.0-trainval", "v1.0-test", "v1.0-generated", "annotation"])
def test_drv_01_the_only_folder_of_tables_is_found(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    (tmp_path / "samples").mkdir()
    assert find_tables(tmp_path, None) == tmp_path / name
    assert find_tables(tmp_path, name) == tmp_path / name


def test_of_several_one_must_be_named(tmp_path: Path) -> None:
    for name in ("v1.0-mini", "v1.0-trainval"):
        (tmp_path / name).mkdir()
    with pytest.raises(UsageError, match=r"present are: v1\.0-mini, v1\.0-trainval\. Name one with --version"):
        find_tables(tmp_path, None)
    with pytest.raises(UsageError, match=r"no folder of tables 'v1\.0-test'"):
        find_tables(tmp_path, "v1.0-test")
    assert find_tables(tmp_path, "v1.0-trainval").name == "v1.0-trainval"


def test_a_folder_without_tables_is_refused(tmp_path: Path) -> None:
    (tmp_path / "v1.0-mini").touch()
    with pytest.raises(UsageError, match="none is present. Name the data root"):
        find_tables(tmp_path, None)


@pytest.mark.parametrize(
    ("category", "label"),
    [
        ("vehicle.car", "car"),
        ("human.pedestrian.police_officer", "pedestrian"),
        ("human.pedestrian.stroller", "stroller"),
        ("vehicle.bus.bendy", "bus"),
        ("movable_object.trafficcone", "traffic cone"),
        ("static_object.bicycle_rack", "bicycle rack"),
        ("traffic_cone", "traffic cone"),
    ],
)
def test_labels(category: str, label: str) -> None:
    assert label_of(category) == label
