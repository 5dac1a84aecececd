"""``domainvl export``: options, exit codes, and what is said of what was left out."""

from __future__ import annotations

import json
import shutil

import pytest
from varied import write_varied

from domainvl.cli.main import main


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("varied") / "data"
    write_varied(folder)
    return folder


@pytest.fixture
def run(capsys):
    def run(*arguments):
        code = main(["export", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out.splitlines(), " ".join(captured.err.split())

    return run


@pytest.mark.parametrize("name", ["hub", "internvl", "ms-swift", "openai", "sharegpt"])
def test_done_is_zero(dataset, tmp_path, run, name):
    code, out, error = run(dataset, "--format", name, "--out", tmp_path / "out")

    assert (code, error) == (0, "")
    assert out == [f"17 samples in {tmp_path / 'out'} (14 train, 1 val, 2 test)"]


def test_what_readers_do_not_agree_on_is_said(dataset, tmp_path, run):
    code, out, _ = run(dataset, "--format", "llava", "--out", tmp_path / "out")

    assert code == 0
    assert out[1:] == ["  3 of them show several images: a list of images is read by LLaVA-NeXT, not by LLaVA-1.5"]


def test_nothing_is_said_of_several_images_where_there_are_none(dataset, tmp_path, run):
    assert run(dataset, "--format", "llava", "--out", tmp_path / "out", "--splits", "val")[1] == [
        f"1 samples in {tmp_path / 'out'} (1 val)"
    ]


def test_left_out_is_eight_and_counted(dataset, tmp_path, run):
    data = shutil.copytree(dataset, tmp_path / "data")
    next((data / "images").rglob("*.jpg")).unlink()

    code, out, _ = run(data, "--format", "openai", "--out", tmp_path / "out")

    assert code == 8
    assert out == [
        f"14 samples in {tmp_path / 'out'} (13 train, 1 val)",
        "  failed: 3 x image-missing",
        f"  each is listed in {tmp_path / 'out' / 'rejects.jsonl'}",
    ]
    assert len((tmp_path / "out" / "rejects.jsonl").read_text().splitlines()) == 3


def test_nothing_to_do_is_three(dataset, tmp_path, run):
    data = shutil.copytree(dataset, tmp_path / "data")
    (data / "val.jsonl").write_text("")

    code, out, error = run(data, "--format", "llava", "--out", tmp_path / "out", "--splits", "val")

    assert (code, out) == (3, [])
    assert "Nothing to export" in error
    assert not (tmp_path / "out").exists()


def test_splits_and_images_are_passed_on(dataset, tmp_path, run):
    out = tmp_path / "out"

    code, lines, _ = run(dataset, "--format", "openai", "--out", out, "--splits", " test,train", "--images", "embed")

    assert code == 0
    assert lines == [f"16 samples in {out} (14 train, 2 test)"]
    assert json.loads((out / "export.json").read_text())["images"] == "embed"
    assert "data:image/jpeg;base64," in (out / "test.jsonl").read_text()
    assert run(dataset, "--format", "openai", "--out", out)[0] == 2
    assert run(dataset, "--format", "openai", "--out", out, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["--format", "coco"],
            "--format must be one of hub, internvl, llava, ms-swift, openai, sharegpt, vlmevalkit, got 'coco'",
        ),
        (["--format", "llava", "--images", "embed"], "--images must be one of link, copy, reference, got embed"),
        (["--format", "llava", "--images", "move"], "--images must be one of link, copy, reference, embed, got 'move'"),
        (["--format", "llava", "--splits", "train,dev"], "--splits must be among train, val, test, got 'dev'"),
        (["--format", "llava", "--splits", ""], "--splits must be among train, val, test, got ''"),
        ([], "--format"),
    ],
)
def test_bad_options_are_two(dataset, tmp_path, run, arguments, expected):
    code, out, error = run(dataset, "--out", tmp_path / "out", *arguments)

    assert (code, out) == (2, [])
    assert expected in error
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_data_set_is_two(tmp_path, run):
    (tmp_path / "data").mkdir()

    code, _, error = run(tmp_path / "data", "--format", "llava", "--out", tmp_path / "out")

    assert code == 2
    assert "manifest.json is missing" in error


def test_a_disk_that_fails_is_four(dataset, tmp_path, run, monkeypatch):
    import domainvl.schema.exchange.export as export

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(export, "write_json", full)

    code, _, error = run(dataset, "--format", "llava", "--out", tmp_path / "out")

    assert code == 4
    assert "Cannot write in" in error
    assert "No space left on device" in error
    assert list(tmp_path.iterdir()) == []
