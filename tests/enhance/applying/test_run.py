"""Enlarging many inputs: failures, going on, replacing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import rasterio
import rasterio.shutil
from PIL import Image
from repeating_upscaler import RepeatingUpscaler

from domainvl.enhance.applying.modes import Enhancement, Mode
from domainvl.enhance.applying.records import RECORDS_NAME
from domainvl.enhance.applying.run import apply
from domainvl.errors import ExitCode, OutputError, UsageError


@pytest.fixture
def folder(tmp_path, noise):
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    for name in ("a/x.png", "b.png", "c.jpg"):
        Image.fromarray(noise(10, 12, 3)).save(folder / name)
    return folder


@pytest.fixture
def enhancement():
    return Enhancement(RepeatingUpscaler(2), tile_px=32)


def _records(out):
    return [json.loads(line) for line in (out / RECORDS_NAME).read_text().splitlines()]


def _files(out):
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_folder_is_enhanced_and_recorded(folder, tmp_path, enhancement):
    result = apply([folder], tmp_path / "out", enhancement)

    assert (result.enhanced, result.kept, result.exit_code) == (3, 0, ExitCode.DONE)
    assert list(_files(tmp_path / "out")) == ["a/x.png", "b.png", "c.png", RECORDS_NAME]
    first = _records(tmp_path / "out")[0]
    assert first["input"] == str(folder / "a" / "x.png")
    assert (first["output"], first["status"]) == ("a/x.png", "done")
    assert (first["low_size_px"], first["high_size_px"]) == ([10, 12], [20, 24])
    assert first["enhancer"]["mode"] == "zero offset"
    assert len(first["input_sha256"]) == 64


def test_what_is_done_is_kept_and_what_changed_is_done_anew(folder, tmp_path, enhancement, noise):
    out = tmp_path / "out"
    apply([folder], out, enhancement)
    Image.fromarray(noise(9, 9, 3)).save(folder / "b.png")
    (out / "c.png").unlink()

    result = apply([folder], out, enhancement)

    assert (result.enhanced, result.kept) == (2, 1)
    with Image.open(out / "b.png") as again:
        assert again.size == (18, 18)
    assert [record["output"] for record in _records(out)] == ["a/x.png", "b.png", "c.png"]


def test_a_killed_run_that_goes_on_gives_what_one_in_one_go_gives(folder, tmp_path, enhancement):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    apply([folder], whole, enhancement)

    def kill(name, done, total):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply([folder], killed, enhancement, on_file=kill)
    with (killed / RECORDS_NAME).open("a") as records:
        records.write('{"input": "c')
    (killed / ".c.png.partial.tif").write_bytes(b"left by a kill")
    result = apply([folder], killed, enhancement)

    assert (result.enhanced, result.kept) == (1, 2)
    assert _files(killed) == _files(whole)


def test_inputs_that_fail_are_listed_and_tried_again(folder, tmp_path):
    Image.new("L", (8, 8)).save(folder / "grey.png")
    Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(folder / "alpha.png")
    (folder / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    enhancement = Enhancement(RepeatingUpscaler(2, in_bands=3, out_bands=3), tile_px=32)

    for _ in range(2):
        result = apply([folder], tmp_path / "out", enhancement)

        assert result.reasons == {"bands": 1, "open": 1}
        assert result.exit_code == ExitCode.PARTIAL
        failed = {record["output"]: record for record in _records(tmp_path / "out") if record["status"] == "failed"}
        assert sorted(failed) == ["broken.png", "grey.png"]
        assert "it has 1, and repeating-x2 takes 3" in failed["grey.png"]["error"]
        assert (tmp_path / "out" / "alpha.png").exists()
        assert not list((tmp_path / "out").rglob(".*"))
    assert result.kept == 4


def test_where_all_fail_nothing_was_done(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "grey.png")

    result = apply([tmp_path / "grey.png"], tmp_path / "out", Enhancement(RepeatingUpscaler(2, in_bands=3)))

    assert result.exit_code == ExitCode.NOTHING_DONE


def test_outputs_of_another_mode_are_replaced_only_when_asked(folder, tmp_path, enhancement):
    out = tmp_path / "out"
    apply([folder], out, enhancement)
    other = replace(enhancement, upscaler=RepeatingUpscaler(2, takes_reference=True), mode=Mode.SELF)

    with pytest.raises(UsageError, match="it was made otherwise: mode was zero offset and is own colours"):
        apply([folder], out, other)
    assert apply([folder], out, other, overwrite=True).enhanced == 3
    with Image.open(out / "b.png") as picture:
        assert picture.text["DOMAINVL_ENHANCED"] == "repeating-x2 mode=own colours scale=2"


def test_a_folder_of_something_else_is_not_written_in(folder, tmp_path, enhancement):
    with pytest.raises(UsageError, match=f"it is not empty and has no {RECORDS_NAME}"):
        apply([folder], folder, enhancement)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="it is a file"):
        apply([folder], tmp_path / "file", enhancement)


def test_an_output_that_nothing_is_known_of_is_not_replaced(folder, tmp_path, enhancement):
    apply([folder / "a"], tmp_path / "out", enhancement)
    (tmp_path / "out" / "b.png").write_text("mine")

    with pytest.raises(UsageError, match="nothing in enhanced.jsonl says what made it"):
        apply([folder], tmp_path / "out", enhancement)


def test_a_second_folder_is_added_to_the_records(folder, tmp_path, enhancement):
    out = tmp_path / "out"
    apply([folder / "b.png"], out, enhancement)
    apply([folder / "c.jpg"], out, enhancement)

    assert [record["output"] for record in _records(out)] == ["b.png", "c.png"]


def test_forced_medical_pictures_say_so(folder, tmp_path, enhancement):
    row = {"split": "train", "domain": "medical", "task": "vqa", "count": 3}
    (folder / "manifest.json").write_text(json.dumps({"counts": [row]}))
    (folder / "IM1.tif").write_bytes(b"\x00" * 128 + b"DICM" + b"\x00" * 99)

    with pytest.raises(UsageError, match="Medical images are not enhanced"):
        apply([folder], tmp_path / "out", enhancement)
    assert not (tmp_path / "out").exists()
    result = apply([folder], tmp_path / "out", replace(enhancement, forced=True))

    assert (result.enhanced, result.forced, result.reasons) == (3, 3, {"medical-format": 1})
    with Image.open(tmp_path / "out" / "b.png") as picture:
        assert picture.text["DOMAINVL_ENHANCED"].endswith(" forced=medical")
    assert _records(tmp_path / "out")[-1]["forced"] == "it is in the medical data set in"


def test_a_full_disk_stops_the_run_and_keeps_what_is_done(folder, tmp_path, enhancement, monkeypatch):
    monkeypatch.setattr("rasterio.shutil.copy", _failing_copy(2))
    with pytest.raises(OutputError, match="No space left on device.*Make room"):
        apply([folder], tmp_path / "out", enhancement)
    monkeypatch.undo()

    assert not list((tmp_path / "out").rglob(".*"))
    assert apply([folder], tmp_path / "out", enhancement).kept == 1


def _failing_copy(at):
    real, calls = rasterio.shutil.copy, []

    def copy(*arguments, **options):
        calls.append(arguments)
        if len(calls) == at:
            raise OSError(28, "No space left on device")
        return real(*arguments, **options)

    return copy


def test_geotiffs_and_pictures_are_told_apart_by_their_names(write, folder, tmp_path, enhancement):
    scene = write(np.ones((1, 8, 8), np.uint8), "scene.tiff")

    apply([scene, folder / "b.png"], tmp_path / "out", enhancement)

    with rasterio.open(tmp_path / "out" / "scene.tif") as high:
        assert high.res == (5, 5)
    assert (tmp_path / "out" / "b.png").exists()
