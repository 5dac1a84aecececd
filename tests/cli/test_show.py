"""``domainvl show``: options, what it prints, and its exit codes."""

from __future__ import annotations

import re

import pytest
from builders import make_image, make_sample
from gallery import write_dataset, write_gallery

from domainvl.cli.main import main


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    return write_gallery(tmp_path_factory.mktemp("show") / "gallery")


def cards(html):
    return re.findall(r'<article class="[^"]*" aria-labelledby="id-\d+" data-id="([^"]*)"', html)


def test_a_page(gallery, tmp_path, capsys):
    assert main(["show", str(gallery), "--out", str(tmp_path / "page")]) == 0

    index = tmp_path / "page" / "index.html"
    assert capsys.readouterr().out.splitlines() == [
        f"7 of 7 samples in {index}",
        "1 of them has a conversation that disagrees with the truth",
    ]
    assert len(cards(index.read_text(encoding="utf-8"))) == 7


def test_the_options_narrow_the_choice(gallery, tmp_path, capsys):
    out = tmp_path / "page.html"
    narrow = ["--split", "train", "--split", "test", "--task", "grounding", "--task", "counting", "--limit", "2"]

    assert main(["show", str(gallery), "--out", str(out), "--embed", "--seed", "5", *narrow]) == 0

    assert capsys.readouterr().out.splitlines()[0] == f"2 of 3 samples in {out}"
    html = out.read_text(encoding="utf-8")
    assert cards(html) == ["grounding/0", "counting/0"]
    assert "seed 5" in html


def test_an_image_that_is_missing_is_named_and_ends_with_8(tmp_path, capsys):
    dataset = write_dataset(tmp_path / "data", [make_sample(images=[make_image("images/none.png")])])

    assert main(["show", str(dataset), "--out", str(tmp_path / "page")]) == 8

    captured = capsys.readouterr()
    assert captured.out == f"1 of 1 samples in {tmp_path / 'page' / 'index.html'}\n"
    assert captured.err == "image 'images/none.png': there is no such file\n"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--split", "dev"], 2, "--split must be train, val or test, got 'dev'"),
        (["--task", "juggling"], 2, "got 'juggling'"),
        (["--limit", "0"], 2, "--limit"),
        (["--split", "val", "--task", "vqa"], 3, "there is no sample of split val and task vqa"),
    ],
)
def test_wrong_options(gallery, tmp_path, capsys, options, code, message):
    assert main(["show", str(gallery), "--out", str(tmp_path / "page"), *options]) == code

    assert message in capsys.readouterr().err
    assert not (tmp_path / "page").exists()


def test_the_data_set_itself_is_not_overwritten(gallery, capsys):
    before = sorted(gallery.rglob("*"))

    assert main(["show", str(gallery), "--out", str(gallery)]) == 2

    assert "the folder holds no page of domainvl" in capsys.readouterr().err
    assert sorted(gallery.rglob("*")) == before


def test_no_data_set(tmp_path, capsys):
    assert main(["show", str(tmp_path / "none"), "--out", str(tmp_path / "page")]) == 2

    assert "there is no such folder" in capsys.readouterr().err
