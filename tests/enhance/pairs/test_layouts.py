"""Finding the pairs of a folder, or of two."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from domainvl.enhance.pairs.layouts import find_pairs, guess_layout
from domainvl.enhance.pairs.settings import RegisterSettings
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError


def _settings(layout: str, scale: int = 2) -> RegisterSettings:
    return RegisterSettings.model_validate({"scale": scale, "layout": layout})


def _touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def _photograph(path: Path, focal_length_mm: float | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    options: dict[str, Any] = {}
    if focal_length_mm is not None:
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x920A] = focal_length_mm
        options["exif"] = exif
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(path, **options)


def test_two_folders_are_matched_by_path_without_suffix(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.png", "low/deep/b.png", "high/a.tif", "high/deep/b.JPG")
    assert guess_layout(tmp_path / "low", tmp_path / "high") == "folders"
    sources, rejects = find_pairs(tmp_path / "low", tmp_path / "high", _settings("folders"))
    assert [(source.id, source.group, source.high.name) for source in sources] == [
        ("a", "a", "a.tif"),
        ("deep__b", "deep/b", "b.JPG"),
    ]
    assert rejects == []


def test_what_has_no_partner_is_listed_from_both_sides(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.png", "low/b.png", "high/a.png", "high/c.png", "high/a.jpg", "low/d.ARW", "low/.hidden.png")
    sources, rejects = find_pairs(tmp_path / "low", tmp_path / "high", _settings("folders"))
    assert [source.id for source in sources] == ["a"]
    assert sources[0].high.name == "a.jpg"
    assert sorted((Path(reject.input).name, reject.reason, str(reject.severity)) for reject in rejects) == [
        ("a.png", "same-name", "failed"),
        ("b.png", "no-partner", "failed"),
        ("c.png", "no-partner", "failed"),
        ("d.ARW", "no-picture", "skipped"),
    ]


def test_names_that_would_become_one_file_are_told(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a/b.png", "low/a__b.png", "high/a/b.png", "high/a__b.png")
    (source,), (reject,) = find_pairs(tmp_path / "low", tmp_path / "high", _settings("folders"))
    assert source.id == "a__b"
    assert reject.reason == "same-name"
    assert {Path(reject.input), source.low} == {tmp_path / "low/a/b.png", tmp_path / "low/a__b.png"}


def test_a_name_that_is_no_text_is_told(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.png", "high/a.png")
    (tmp_path / "low" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    _, (reject,) = find_pairs(tmp_path / "low", tmp_path / "high", _settings("folders"))
    assert reject.reason == "unfit-name"


def test_nothing_that_matches_is_a_message_with_names(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.png", "high/b.png")
    with pytest.raises(NothingToDoError, match=r"a\.png"):
        find_pairs(tmp_path / "low", tmp_path / "high", _settings("folders"))


def test_reasons_are_joined_without_their_full_stops(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.tif", "high/a.tif", "low/b.tif", "high/b.tif")
    with pytest.raises(NothingToDoError, match="; ") as caught:
        find_pairs(tmp_path / "low", tmp_path / "high", _settings("geotiffs"))
    assert ".;" not in str(caught.value)


def test_two_files_are_one_pair(tmp_path: Path) -> None:
    _touch(tmp_path, "wide.png", "tele.png")
    sources, _ = find_pairs(tmp_path / "wide.png", tmp_path / "tele.png", _settings("folders"))
    assert [(source.low.name, source.high.name) for source in sources] == [("wide.png", "tele.png")]


def test_a_file_and_a_folder_cannot_be_matched(tmp_path: Path) -> None:
    _touch(tmp_path, "wide.png", "high/wide.png")
    with pytest.raises(UsageError, match="two folders"):
        find_pairs(tmp_path / "wide.png", tmp_path / "high", _settings("folders"))


def test_city100_is_found_from_its_parent_and_from_one_camera(tmp_path: Path) -> None:
    names = ["City100_iPhoneX/001H.PNG", "City100_iPhoneX/001L.PNG", "City100_iPhoneX/002L.PNG"]
    names += ["City100_iPhoneX/overview.png", "City100_iPhoneX/notes.txt"]
    _touch(tmp_path, *names, "City100_NikonD5500/001H.PNG", "City100_NikonD5500/001L.PNG")
    assert guess_layout(tmp_path, None) == "city100"
    sources, rejects = find_pairs(tmp_path, None, _settings("city100"))
    assert [source.id for source in sources] == ["City100_NikonD5500-001", "City100_iPhoneX-001"]
    assert [(source.low.name, source.high.name) for source in sources] == [("001L.PNG", "001H.PNG")] * 2
    assert {source.group for source in sources} == {"scene-001"}  # both cameras took the same print
    assert [(Path(reject.input).name, reject.reason) for reject in rejects] == [
        ("overview.png", "other-name"),
        ("002L.PNG", "no-partner"),
    ]
    alone, _ = find_pairs(tmp_path / "City100_iPhoneX", None, _settings("city100"))
    assert [source.id for source in alone] == ["City100_iPhoneX-001"]


def test_sr_raw_pairs_the_frames_that_are_the_zoom_apart(tmp_path: Path) -> None:
    for number in range(1, 8):
        _photograph(tmp_path / "scene" / f"{number:05d}.jpg", 240.0 / number)
    _touch(tmp_path, "scene/tform.txt")
    assert guess_layout(tmp_path, None) == "sr-raw"
    four, rejects = find_pairs(tmp_path, None, _settings("sr-raw", 4))
    assert [(pair.high.stem, pair.low.stem, pair.group) for pair in four] == [
        ("00001", "00005", "scene"),
        ("00002", "00006", "scene"),
        ("00003", "00007", "scene"),
    ]
    assert [pair.zoom for pair in four] == pytest.approx([5.0, 3.0, 7 / 3], rel=1e-3)
    assert [(reject.reason, str(reject.severity)) for reject in rejects] == [("no-picture", "skipped")]
    eight, _ = find_pairs(tmp_path, None, _settings("sr-raw", 8))
    assert [(pair.high.stem, pair.low.stem) for pair in eight] == [("00001", "00006")]


def test_sr_raw_counts_pairs_that_lack_a_frame_and_names_that_are_none(tmp_path: Path) -> None:
    _touch(tmp_path, *(f"scene/{number:05d}.png" for number in (1, 2, 4, 5)), "scene/00001_copy.png")
    sources, rejects = find_pairs(tmp_path, None, _settings("sr-raw", 4))
    assert [source.id for source in sources] == ["scene-00001-00005"]
    assert [(Path(reject.input).name, reject.reason, str(reject.severity)) for reject in rejects] == [
        ("00001_copy.png", "other-name", "skipped"),
        ("00002.png", "no-partner", "skipped"),
    ]


def test_sr_raw_without_focal_lengths_takes_the_scale_for_the_zoom(tmp_path: Path) -> None:
    for number in (1, 5):
        _photograph(tmp_path / "scene" / f"{number:05d}.jpg", None)
    _touch(tmp_path, "other/00001.png")
    sources, rejects = find_pairs(tmp_path, None, _settings("sr-raw", 4))
    assert [source.zoom for source in sources] == [4.0]
    assert [(Path(reject.input).name, reject.reason) for reject in rejects] == [("other", "no-partner")]
    with pytest.raises(UsageError, match="--scale is 2"):
        find_pairs(tmp_path, None, _settings("sr-raw", 2))


def test_layouts_that_cannot_be_are_refused(tmp_path: Path) -> None:
    _touch(tmp_path, "low/a.png")
    with pytest.raises(UsageError, match="neither City100 nor SR-RAW"):
        guess_layout(tmp_path / "low", None)
    with pytest.raises(InputNotFoundError, match="gone"):
        guess_layout(tmp_path / "low", tmp_path / "gone")
    with pytest.raises(UsageError, match="takes two"):
        find_pairs(tmp_path / "low", None, _settings("folders"))
    with pytest.raises(UsageError, match="takes one folder"):
        find_pairs(tmp_path / "low", tmp_path / "low", _settings("city100"))
    with pytest.raises(UsageError, match="it is no folder"):
        find_pairs(tmp_path / "low" / "a.png", None, _settings("sr-raw", 4))
