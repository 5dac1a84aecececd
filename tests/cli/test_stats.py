"""``domainvl stats``: text, JSON, pictures, and its exit codes."""

from __future__ import annotations

import json

import pytest
from builders import make_sample
from gallery import write_dataset, write_gallery

from domainvl.cli.main import main


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("stats") / "gallery")


def test_as_text(gallery, capsys):
    assert main(["stats", str(gallery)]) == 0

    captured = capsys.readouterr()
    assert captured.out.startswith("gallery: 7 samples, 3 groups\n\nsamples ")
    assert "tiles: at most 12 a sample" in captured.out
    assert captured.err == ""


def test_as_json_with_a_model(gallery, capsys):
    assert main(["stats", str(gallery), "--json", "--model", "tiny", "--max-tiles", "2"]) == 0

    stats = json.loads(capsys.readouterr().out)
    assert stats["samples"] == 7
    assert (stats["tiles"]["max_tiles"], stats["tiles"]["tokens_per_tile"]) == (2, 16)
    assert stats["text"]["text_tokens"]["count"] == 7


def test_pictures_are_named_apart_from_the_counts(gallery, tmp_path, capsys):
    assert main(["stats", str(gallery), "--json", "--out", str(tmp_path / "stats")]) == 0

    captured = capsys.readouterr()
    assert json.loads(captured.out) == json.loads((tmp_path / "stats" / "stats.json").read_text())
    written = [line.removeprefix("wrote ") for line in captured.err.splitlines()]
    assert sorted(written) == sorted(str(path) for path in (tmp_path / "stats").iterdir())
    assert len(written) == 8


def test_a_taken_folder_is_refused_before_anything_is_counted(gallery, capsys):
    assert main(["stats", str(gallery), "--out", str(gallery)]) == 2

    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Cannot write statistics" in captured.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-tiles", "41"], "--max-tiles"),
        (["--max-tiles", "0"], "--max-tiles"),
        (["--model", "nowhere"], "Cannot load a model in nowhere"),
    ],
)
def test_wrong_options(gallery, capsys, options, message):
    assert main(["stats", str(gallery), *options]) == 2

    assert message in capsys.readouterr().err


def test_nothing_to_count(tmp_path, capsys):
    dataset = write_dataset(tmp_path / "data", [])

    assert main(["stats", str(dataset)]) == 3
    assert "no split has a sample" in capsys.readouterr().err


def test_text_that_is_no_unicode_or_steers_a_terminal_is_printed(tmp_path, capsys):
    dataset = write_dataset(tmp_path / "data", [make_sample(images=[], domain="\x1b[2Jfield")])
    (dataset / "manifest.json").write_text(json.dumps({"name": "scan-\udcff"}))

    assert main(["stats", str(dataset)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("scan-\\udcff: 1 sample, 1 group\n")
    assert "\\x1b[2Jfield" in out
    assert "\x1b" not in out
