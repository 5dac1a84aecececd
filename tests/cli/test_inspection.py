"""``domainvl convert --inspect`` and ``--dry-run``."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from domainvl.cli.main import main
from domainvl.converters.geotiff.generate import generate_scenes
from domainvl.errors import ExitCode


@pytest.fixture
def scenes(tmp_path, monkeypatch):
    generate_scenes(tmp_path / "scenes", scene_count=2, seed=0)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "scenes"


def run(*arguments):
    return main(["convert", *map(str, arguments)])


def test_inspect_prints_a_table_and_draws_a_sheet(scenes, tmp_path, capsys):
    labels = ["--labels", scenes / "labels.geojson", "--label-field", "class", "--tile-px", "128"]
    assert run("geotiff", scenes, *labels, "--inspect") == ExitCode.DONE
    printed = capsys.readouterr().out
    assert "scene_0000.tif" in printed and "scene_0001.tif" in printed
    assert "EPSG:32633" in printed
    assert "8 tiles before those" in printed
    with Image.open(tmp_path / "contact-sheet.png") as sheet:
        assert np.asarray(sheet).std() > 0
    assert not (tmp_path / "scenes" / "contact-sheet.png").exists()


def test_the_sheet_goes_where_it_is_told(scenes, tmp_path):
    assert run("geotiff", scenes, "--inspect", "--contact-sheet", tmp_path / "look.png") == ExitCode.DONE
    assert (tmp_path / "look.png").is_file()
    assert not (tmp_path / "contact-sheet.png").exists()


@pytest.mark.parametrize("options", [["--dry-run"], ["--dry-run", "--inspect"]])
def test_a_dry_run_writes_nothing(scenes, tmp_path, capsys, options):
    before = sorted(tmp_path.rglob("*"))
    arguments = ["--labels", scenes / "labels.geojson", "--label-field", "class", "--out", tmp_path / "out"]
    assert run("geotiff", scenes, *arguments, *options) == ExitCode.DONE
    assert "scene_0001.tif" in capsys.readouterr().out
    assert sorted(tmp_path.rglob("*")) == before


def test_a_converter_that_cannot_look_has_a_dry_run_of_its_plan(tmp_path, capsys):
    for name in ("forest", "lake"):
        (tmp_path / "classes" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "classes" / name / "a.png")
    assert run("class-folders", tmp_path / "classes", "--dry-run") == ExitCode.DONE
    assert "2 units would be converted, from 2 files" in capsys.readouterr().out
    assert run("class-folders", tmp_path / "classes", "--inspect") == ExitCode.USAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes"]


def test_a_dry_run_of_nuscenes_tells_what_would_be_asked_and_draws_nothing(tmp_path, capsys, monkeypatch):
    from domainvl.converters.nuscenes.generate import generate_dataroot

    monkeypatch.chdir(tmp_path)
    generate_dataroot(tmp_path / "dataroot", scene_count=2, frames_per_scene=1, seed=0)
    assert run("nuscenes", tmp_path / "dataroot", "--index", tmp_path / "index", "--dry-run") == ExitCode.DONE
    assert "2 scenes, 2 key frames, 2 with all images" in capsys.readouterr().out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dataroot", "index"]


def test_what_cannot_be_used_is_listed_and_makes_it_partial(scenes, capsys):
    (scenes / "broken.tif").write_bytes(b"II*\0 and no more")
    assert run("geotiff", scenes, "--dry-run") == ExitCode.PARTIAL
    printed = capsys.readouterr().out
    assert "failed: 1 x scene-open" in printed
    assert "broken.tif" in printed


def test_without_out_nothing_is_converted(scenes, capsys):
    assert run("geotiff", scenes, "--labels", scenes / "labels.geojson", "--label-field", "class") == ExitCode.USAGE
    assert "--out is not given" in capsys.readouterr().err


def test_a_missing_input_is_named(tmp_path, capsys):
    assert run("geotiff", tmp_path / "nowhere", "--inspect") == ExitCode.USAGE
    assert "there is no such file or folder" in capsys.readouterr().err


def test_an_address_is_no_missing_input(scenes, tmp_path):
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.write(scenes / "scene_0000.tif", "deep/scene_0000.tif")
    address = f"/vsizip/{{{tmp_path / 'in.zip'}}}/deep/scene_0000.tif"
    labels = ["--labels", scenes / "labels.geojson", "--label-field", "class", "--tile-px", "128"]
    assert run("geotiff", address, *labels, "--out", tmp_path / "out", "--workers", "0") == ExitCode.DONE
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert [source["uri"] for source in manifest["sources"]] == ["in.zip", "labels/labels.geojson"]
    assert [unit["tiles"] for unit in manifest["units"].values()] == [4]
