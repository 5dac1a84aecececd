"""``domainvl pack`` and ``domainvl unpack``: there and back, and exit codes."""

from __future__ import annotations

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
        code = main([*map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out.splitlines(), " ".join(captured.err.split())

    return run


def files_of(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("kind", ["wds", "parquet"])
def test_there_and_back(dataset, tmp_path, run, kind):
    code, out, error = run("pack", dataset, "--to", kind, "--out", tmp_path / "packed")

    assert (code, error) == (0, "")
    assert out[0] == f"17 samples in 3 shards in {tmp_path / 'packed'}"
    # One image in each of nine tasks, none, named, strange and frame; two in views and turns; three in frames.
    assert out[1].startswith("  4 images of 0.0 MB; each sample holds its own, which makes 20 of ")
    code, out, error = run("unpack", tmp_path / "packed", "--out", tmp_path / "back")
    assert (code, out, error) == (0, [f"17 samples in {tmp_path / 'back'}"], "")
    assert files_of(tmp_path / "back") == files_of(dataset)


def test_overwrite(dataset, tmp_path, run):
    pack = ("pack", dataset, "--to", "wds", "--out", tmp_path / "packed")
    unpack = ("unpack", tmp_path / "packed", "--out", tmp_path / "back")
    for command in (pack, unpack):
        assert run(*command)[0] == 0
        assert run(*command)[0] == 2
        assert run(*command, "--overwrite")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["pack", "data", "--to", "zip", "--out", "out"], "--to must be one of wds, parquet, got 'zip'"),
        (["pack", "data", "--to", "wds", "--out", "out", "--shard-mb", "0"], "--shard-mb"),
        (["pack", "nowhere", "--to", "wds", "--out", "out"], "there is no such folder"),
        (["pack", "data", "--out", "out"], "--to"),
        (["unpack", "data", "--out", "out"], "index.json is missing"),
        (["unpack", "nowhere", "--out", "out"], "there is no such folder"),
    ],
)
def test_bad_input_is_two(dataset, tmp_path, run, monkeypatch, arguments, expected):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dataset, tmp_path / "data")

    code, out, error = run(*arguments)

    assert (code, out) == (2, [])
    assert expected in error
    assert not (tmp_path / "out").exists()


def test_nothing_to_do_is_three(dataset, tmp_path, run):
    data = shutil.copytree(dataset, tmp_path / "data")
    for split in ("train", "val", "test"):
        (data / f"{split}.jsonl").write_text("")

    code, _, error = run("pack", data, "--to", "parquet", "--out", tmp_path / "out")

    assert code == 3
    assert "Nothing to pack" in error


def test_damage_is_two_and_says_what_to_do(dataset, tmp_path, run):
    run("pack", dataset, "--to", "wds", "--out", tmp_path / "packed")
    shard = tmp_path / "packed" / "val-000000.tar"
    shard.write_bytes(shard.read_bytes()[:-512])

    code, _, error = run("unpack", tmp_path / "packed", "--out", tmp_path / "back")

    assert code == 2
    assert "Damaged file" in error
    assert "Fetch it again, or pack the data set again." in error
    assert not (tmp_path / "back").exists()
