"""What is injected into a conversion costs the input it is in, and nothing else."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from builders import bytes_of, write_toys
from faults import FaultyConverter, NoisyConverter

from domainvl.conversion import RunSettings, convert
from domainvl.converters.geotiff import CONVERTER as GEOTIFF
from domainvl.converters.geotiff import GeotiffSettings
from domainvl.converters.geotiff.generate import LABELS_NAME, generate_scenes
from domainvl.errors import ExitCode, StoppedError, UsageError

MEGABYTE = 1 << 20
GOOD = {"a": "ok", "c": "ok", "e": "ok", "g": "ok"}
SAMPLE_FILES = ("train.jsonl", "val.jsonl", "test.jsonl")


def rejects_of(out: Path) -> list[tuple[str, str]]:
    lines = (out / "rejects.jsonl").read_text().splitlines()
    return [(row["input"], row["reason"]) for row in map(json.loads, lines)]


def samples_and_images(out: Path) -> dict[str, bytes]:
    return {name: data for name, data in bytes_of(out).items() if name in SAMPLE_FILES or name.startswith("images")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    convert(FaultyConverter(), write_toys(folder / "toys", **GOOD), folder / "out")
    return samples_and_images(folder / "out")


@pytest.mark.parametrize(
    ("word", "reason", "limits"),
    [
        ("boom", "internal-error", {}),
        ("exit", "crash", {}),
        ("segv", "crash", {}),
        ("memory", "out-of-memory", {}),
        ("hang", "timeout", {"unit_timeout_s": 1.0}),
        ("hog", "out-of-memory", {"unit_memory_bytes": 500 * MEGABYTE}),
    ],
)
def test_a_unit_that_goes_wrong_costs_itself(tmp_path, undisturbed, word, reason, limits):
    toys = write_toys(tmp_path / "toys", **GOOD, b=word)

    summary = convert(FaultyConverter(), toys, tmp_path / "out", run=RunSettings(workers=2, **limits))

    assert samples_and_images(tmp_path / "out") == undisturbed
    assert rejects_of(tmp_path / "out") == [("b.toy", reason)]
    assert (summary.exit_code, summary.failed_count) == (ExitCode.PARTIAL, 1)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_duplicate_id_keeps_the_first_in_the_order_of_the_plan(tmp_path, undisturbed, workers):
    toys = write_toys(tmp_path / "toys", **GOOD, b="twin")

    summary = convert(FaultyConverter(), toys, tmp_path / "out", run=RunSettings(workers=workers))

    assert samples_and_images(tmp_path / "out") == undisturbed
    assert rejects_of(tmp_path / "out") == [("b.toy", "duplicate-id")]
    assert summary.exit_code is ExitCode.PARTIAL


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


@pytest.mark.parametrize("harm", [cut, empty])
def test_a_broken_file_costs_what_is_in_it(tmp_path, harm):
    scenes = tmp_path / "scenes"
    generate_scenes(scenes, scene_count=4, seed=0)
    settings = GeotiffSettings(labels=scenes / LABELS_NAME, label_field="class", tile_px=128)
    convert(GEOTIFF, scenes, tmp_path / "whole", settings)
    harm(scenes / "scene_0002.tif")

    summary = convert(GEOTIFF, scenes, tmp_path / "out", settings, run=RunSettings(workers=2))

    def of_others(out: Path) -> list[bytes]:
        lines = b"".join((out / name).read_bytes() for name in SAMPLE_FILES).splitlines()
        return sorted(line for line in lines if b"scene_0002" not in line)

    assert of_others(tmp_path / "out") == of_others(tmp_path / "whole") != []
    assert all(name.startswith("scene_0002") for name, _ in rejects_of(tmp_path / "out"))
    assert rejects_of(tmp_path / "out")
    assert summary.exit_code is ExitCode.PARTIAL


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of 600 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600k", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_stops_the_run_which_goes_on_when_there_is_room(tmp_path, small_disk, workers):
    toys = write_toys(tmp_path / "toys", **{chr(97 + number): "ok" for number in range(20)})
    convert(NoisyConverter(), toys, tmp_path / "undisturbed" / "out")
    run = RunSettings(workers=workers, log=tmp_path / "log.jsonl")

    with pytest.raises(StoppedError, match="No space left on device.* give the same command again") as caught:
        convert(NoisyConverter(), toys, small_disk / "out", run=run)

    assert caught.value.exit_code == 4
    assert not (small_disk / "out").exists()
    subprocess.run(["mount", "-o", "remount,size=4m", small_disk], check=True)
    summary = convert(NoisyConverter(), toys, small_disk / "out", run=run)
    assert bytes_of(small_disk / "out") == bytes_of(tmp_path / "undisturbed" / "out")
    assert summary.exit_code is ExitCode.DONE
    begins = [row for row in map(json.loads, run.log.read_text().splitlines()) if row["event"] == "begin"]
    assert begins[0]["resumed"] == 0 < begins[1]["resumed"] < 20


def test_a_disk_that_fills_while_the_parts_are_put_together_stops_the_run(tmp_path, small_disk):
    toys = write_toys(tmp_path / "toys", **GOOD)
    convert(FaultyConverter(), toys, tmp_path / "out")

    def fill(progress):
        if progress.done == progress.planned:
            with (small_disk / "ballast").open("wb", buffering=0) as file, pytest.raises(OSError):
                while True:
                    file.write(bytes(4096))

    with pytest.raises(StoppedError, match="No space left on device"):
        convert(FaultyConverter(), toys, small_disk / "out", on_progress=fill)

    assert not (small_disk / "out").exists()
    (small_disk / "ballast").unlink()
    convert(FaultyConverter(), toys, small_disk / "out")
    assert bytes_of(small_disk / "out") == bytes_of(tmp_path / "out")


def test_a_read_only_output_is_refused_before_anything_is_read(tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)

    class Unread(FaultyConverter):
        def plan(self, source, settings):
            raise AssertionError("the input was read")

    with pytest.raises(UsageError, match="Read-only file system"):
        convert(Unread(), write_toys(tmp_path / "toys", **GOOD), small_disk / "out")


def test_too_many_failures_stop_the_run_and_what_was_done_is_kept(tmp_path):
    toys = write_toys(tmp_path / "toys", **GOOD, h="boom", i="boom", j="boom")

    with pytest.raises(StoppedError, match=r"2 of 7 failed, more than --max-error-rate 0\.2 \(2 internal-error\)"):
        convert(FaultyConverter(), toys, tmp_path / "out", run=RunSettings(max_error_rate=0.2))

    for name in "hij":
        (toys / f"{name}.toy").write_text("ok")
    seen = []
    convert(FaultyConverter(), toys, tmp_path / "out", on_progress=lambda now: seen.append(now.resumed))
    assert seen[-1] == 4


def test_as_many_failures_as_allowed_do_not_stop_it(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok", b="boom")

    assert convert(FaultyConverter(), toys, tmp_path / "out", run=RunSettings(max_error_rate=0.5)).sample_count == 1


def test_two_runs_into_one_folder_are_kept_apart(tmp_path):
    toys = write_toys(tmp_path / "toys", **GOOD)

    def second(progress):
        with pytest.raises(UsageError, match="another run is at work on it"):
            convert(FaultyConverter(), toys, tmp_path / "out")

    convert(FaultyConverter(), toys, tmp_path / "out", on_progress=second)
    assert (tmp_path / "out").is_dir()
