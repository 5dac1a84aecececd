"""The made-up DriveLM: converts whole in every form, and its chain there and back closes."""

from __future__ import annotations

import json

import pytest

from domainvl.conversion import answers as answers_module
from domainvl.conversion import convert
from domainvl.conversion.answers import write_answers
from domainvl.converters.drivelm import CONVERTER, DriveLmSettings
from domainvl.converters.drivelm.generate import TRAIN_NAME, VAL_NAME, generate_drivelm
from domainvl.converters.nuscenes.generate import VERSION
from domainvl.schema import Split, assign_split, read_samples
from domainvl.schema.splitting import SplitFractions
from domainvl.schema.validation.run import validate

FRAMES = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    generate_drivelm(folder, scene_count=3, frames_per_scene=FRAMES, seed=0, questions_only=1)
    return folder


def samples_of(folder):
    return [sample for split in Split for sample in read_samples(folder, split)]


def content(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_equal_seeds_give_equal_files(made, tmp_path):
    generate_drivelm(tmp_path, scene_count=3, frames_per_scene=FRAMES, seed=0, questions_only=1)
    assert content(tmp_path) == content(made)


@pytest.mark.parametrize("settings", [{}, {"layout": "multi-image", "rounds": "graph"}, {"challenge_subset": True}])
def test_all_of_it_converts_and_is_valid(made, tmp_path, settings):
    summary = convert(CONVERTER, made / TRAIN_NAME, tmp_path / "out", DriveLmSettings(**settings))
    samples = samples_of(tmp_path / "out")

    assert summary.manifest["rejects"] == []
    assert validate(tmp_path / "out").findings == []
    frames = {sample.images[0].source.details["drivelm"]["frame"] for sample in samples}
    assert len(frames) == 2 * FRAMES
    if "rounds" in settings:
        assert len(samples) == 2 * FRAMES
    # The tables that lie beside the images name the scenes, as the nuscenes converter does.
    assert {sample.group for sample in samples} == {"scene-0001", "scene-0002"}
    assert all(sample.split is assign_split(sample.group, SplitFractions()) for sample in samples)


def test_points_lie_in_their_boxes(made):
    scenes = json.loads((made / TRAIN_NAME).read_text())
    infos = [frame["key_object_infos"] for scene in scenes.values() for frame in scene["key_frames"].values()]
    assert sum(map(len, infos)) > FRAMES
    for tag, info in (item for one in infos for item in one.items()):
        x_px, y_px = map(float, tag.strip("<>").split(",")[2:])
        x_min, y_min, x_max, y_max = info["2d_bbox"]
        assert x_min <= x_px <= x_max
        assert y_min <= y_px <= y_max


def test_answers_close_the_chain(made, tmp_path, monkeypatch):
    monkeypatch.setattr(answers_module, "load_converter", {"drivelm": CONVERTER}.__getitem__)
    settings = DriveLmSettings(questions_only="placeholder")
    convert(CONVERTER, made / VAL_NAME, tmp_path / "val", settings)
    said = {sample.id: sample.turns[-1].text for sample in read_samples(tmp_path / "val", Split.TEST)}
    summary = write_answers(tmp_path / "val", tmp_path / "answers", predictions=said)

    asked = json.loads((made / VAL_NAME).read_text())
    output = json.loads((tmp_path / "answers" / "output.json").read_text())
    expected = [
        (f"{scene}_{frame}_{number}", question["Q"])
        for scene, known in asked.items()
        for frame, one in known["key_frames"].items()
        for number, question in enumerate(
            one["QA"]["perception"] + one["QA"]["prediction"] + one["QA"]["planning"] + one["QA"]["behavior"]
        )
    ]
    assert sorted((row["id"], row["question"]) for row in output) == sorted(expected)
    assert summary.count == len(expected)


def test_the_tables_are_those_of_a_made_up_nuscenes(made):
    assert (made / "nuscenes" / VERSION / "scene.json").is_file()
