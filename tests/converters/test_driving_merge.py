"""Sets on nuScenes that are split alike can be merged: no scene is in two splits, whoever asks about it."""

from __future__ import annotations

import json

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_driving import generate_nuscenes_qa, generate_omni_drive
from domainvl.converters.benchmarks.nuscenes_qa import CONVERTER as NUSCENES_QA
from domainvl.converters.benchmarks.omni_drive import CONVERTER as OMNI_DRIVE
from domainvl.converters.drivelm import CONVERTER as DRIVELM
from domainvl.converters.drivelm.generate import TRAIN_NAME, generate_drivelm
from domainvl.converters.nuscenes import CONVERTER as NUSCENES
from domainvl.converters.nuscenes.generate import VERSION
from domainvl.errors import ExitCode
from domainvl.schema import Split, read_samples
from domainvl.schema.operations import merge_datasets

NAMES = ("scene-0001", "scene-0002", "scene-0004", "scene-0005", "scene-0006", "scene-0007", "scene-0003")
"""The last is of the official validation set, the others are of the training set."""

LOGS = {name: f"log-{number // 2}" for number, name in enumerate(NAMES)}

FRACTIONS = {"val_fraction": 0.4, "test_fraction": 0.3, "split_seed": 3}
"""By which scenes and logs of :data:`NAMES` come into all splits, and scenes of a log into several."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """DriveLM, NuScenes-QA and OmniDrive over one data root of seven scenes of one key frame, two scenes a log."""
    folder = tmp_path_factory.mktemp("world")
    generate_drivelm(folder / "drivelm", scene_count=len(NAMES), frames_per_scene=1, seed=0)
    tables = folder / "drivelm" / "nuscenes" / VERSION
    scenes, logs = (json.loads((tables / f"{name}.json").read_text()) for name in ("scene", "log"))
    rows = {log: {**logs[0], "token": f"token of {log}", "logfile": log} for log in LOGS.values()}
    named = [
        {**row, "name": name, "log_token": rows[LOGS[name]]["token"]} for row, name in zip(scenes, NAMES, strict=True)
    ]
    (tables / "scene.json").write_text(json.dumps(named))
    (tables / "log.json").write_text(json.dumps([*rows.values()]))
    generate_nuscenes_qa(folder / "qa", tables)
    generate_omni_drive(folder / "omni", tables)
    return folder


@pytest.fixture(scope="module")
def dataroot(world):
    return world / "drivelm" / "nuscenes"


@pytest.fixture(scope="module")
def scene_of(dataroot):
    """Names of scenes by the files of their images."""
    scenes, frames, shots = (
        json.loads((dataroot / VERSION / f"{name}.json").read_text()) for name in ("scene", "sample", "sample_data")
    )
    names = {row["token"]: row["name"] for row in scenes}
    by_frame = {row["token"]: names[row["scene_token"]] for row in frames}
    return {row["filename"]: by_frame[row["sample_token"]] for row in shots}


@pytest.mark.parametrize("split_by", ["scene", "log", "official"])
def test_drv_40_sets_that_are_split_alike_merge_and_no_scene_is_in_two_splits(
    world, dataroot, scene_of, tmp_path, split_by
):
    options = {**FRACTIONS, "split_by": split_by}
    known = {"index": tmp_path / "index"}
    sets = [
        Converted(NUSCENES, dataroot, tmp_path / "a", tasks="presence", camera_samples_per_frame=1, **known, **options),
        Converted(
            DRIVELM, world / "drivelm" / TRAIN_NAME, tmp_path / "b", layout="multi-image", dataroot=dataroot, **options
        ),
        Converted(NUSCENES_QA, world / "qa", tmp_path / "c", dataroot=dataroot, **known, **options),
        Converted(OMNI_DRIVE, world / "omni", tmp_path / "d", dataroot=dataroot, **known, **options),
    ]
    assert all(done.summary.exit_code is ExitCode.DONE for done in sets)
    merge_datasets([done.out for done in sets], tmp_path / "all")
    splits = {}
    for split in Split:
        for sample in read_samples(tmp_path / "all", split):
            for image in sample.images:
                splits.setdefault(scene_of[image.source.uri], set()).add(split)
    assert splits.keys() == set(NAMES)
    assert all(len(found) == 1 for found in splits.values())
    together = {frozenset().union(*(splits[name] for name in NAMES if LOGS[name] == log)) for log in LOGS.values()}
    if split_by == "scene":
        assert any(len(found) > 1 for found in together)
    else:
        assert all(len(found) == 1 for found in together)
    if split_by == "official":
        assert {name for name, found in splits.items() if found == {Split.TEST}} == {"scene-0003"}
    assert set().union(*splits.values()) == set(Split)
