"""A run that was killed anywhere goes on to the data set of a run that was not, byte for byte."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builders import ToyConverter, ToySettings, bytes_of, write_toys
from faults import DividedConverter, FaultyConverter

from domainvl.conversion import RunSettings, convert
from domainvl.conversion.versions import versions
from domainvl.errors import StoppedError
from domainvl.schema import read_manifest

KILL_POINTS = 10

CONVERT = """
import os, signal, sys
from pathlib import Path
from faults import FaultyConverter
from domainvl.conversion import RunSettings, convert
from domainvl.conversion.versions import versions

folder, workers, kill_at = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
changes = 0

def watch(event, arguments):
    # Every change of the file system below the folder is a point at which the machine may die.
    global changes
    if not arguments or not str(arguments[0]).startswith(str(folder)):
        return
    writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if writes or event in ("os.rename", "os.remove", "os.mkdir", "os.rmdir"):
        changes += 1
        if changes == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    sys.addaudithook(watch)
    convert(FaultyConverter(), folder / "toys", folder / "out", overwrite=len(sys.argv) > 4,
            run=RunSettings(workers=workers, log=folder / "log.jsonl"))
    print(changes)
"""


def start(folder: Path, *, workers: int = 0, kill_at: int = 0, overwrite: bool = False) -> subprocess.Popen[str]:
    script = folder / "convert.py"
    script.write_text(CONVERT)
    arguments = [str(folder), str(workers), str(kill_at), *(["overwrite"] if overwrite else [])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, script, *arguments], env=environment, stdout=subprocess.PIPE, text=True)


def run(folder: Path, **options) -> tuple[int, str]:
    with start(folder, **options) as process:
        output = process.communicate()[0]
    return process.returncode, output


def hidden(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name.startswith(".")]


def units_logged(folder: Path) -> int:
    log = folder / "log.jsonl"
    return log.read_text().count('"event": "unit"') if log.exists() else 0


def resumed(folder: Path) -> list[int]:
    lines = map(json.loads, (folder / "log.jsonl").read_text().splitlines())
    return [line["resumed"] for line in lines if line["event"] == "begin"]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    write_toys(folder / "toys", a="ok", b="bad", c="ok", d="skip", e="boom", f="ok", g="ok", h="ok")
    code, output = run(folder)
    assert code == 0
    return bytes_of(folder / "toys"), bytes_of(folder / "out"), int(output)


@pytest.mark.slow
@pytest.mark.parametrize("point", range(KILL_POINTS))
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_change_of_a_file(tmp_path, undisturbed, point, overwrite):
    toys, expected, change_count = undisturbed
    for name, content in toys.items():
        (tmp_path / "toys").mkdir(exist_ok=True)
        (tmp_path / "toys" / name).write_bytes(content)
    if overwrite:
        write_toys(tmp_path / "older", z="ok")
        convert(FaultyConverter(), tmp_path / "older", tmp_path / "out")
    kill_at = 1 + point * (change_count - 1) // (KILL_POINTS - 1)

    assert run(tmp_path, kill_at=kill_at, overwrite=overwrite)[0] == -signal.SIGKILL

    # What has its name is whole: nothing, the older set, or the new one.
    if (tmp_path / "out").exists():
        assert (tmp_path / "out" / "manifest.json").is_file()
    if bytes_of(tmp_path / "out") != expected:
        assert run(tmp_path, overwrite=overwrite)[0] == 0
    assert bytes_of(tmp_path / "out") == expected
    if len(resumed(tmp_path)) > 1 and point >= KILL_POINTS // 2:
        assert resumed(tmp_path)[-1] > 0
    # Killed while it cleaned up, it leaves something, which the next run removes.
    assert not hidden(tmp_path) or (point == KILL_POINTS - 1 and run(tmp_path, overwrite=True)[0] == 0)
    assert bytes_of(tmp_path / "out") == expected
    assert hidden(tmp_path) == []


@pytest.mark.slow
def test_killed_ten_times_at_random_while_workers_run(tmp_path):
    words = {f"t{number:02d}": "slow" for number in range(80)}
    write_toys(tmp_path / "toys", **words)
    convert(FaultyConverter(), write_toys(tmp_path / "whole" / "toys", **words), tmp_path / "whole" / "out")
    generator = random.Random(0)

    for _ in range(KILL_POINTS):
        seen = units_logged(tmp_path)
        with start(tmp_path, workers=2) as process:
            while units_logged(tmp_path) < seen + generator.randint(1, 6):
                time.sleep(0.005)
            process.kill()
        assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert run(tmp_path, workers=2)[0] == 0

    assert sorted(resumed(tmp_path)) == resumed(tmp_path)
    assert resumed(tmp_path)[-1] >= KILL_POINTS
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole" / "out")


class TestWhatIsDoneAgain:
    """Only what a change concerns."""

    @pytest.fixture
    def stopped(self, tmp_path):
        """A run of eight toys that was stopped after six."""
        toys = write_toys(tmp_path / "toys", **{name: "ok" for name in "abcdefgh"})

        def stop(progress):
            if progress.done == 6:
                raise KeyboardInterrupt

        with pytest.raises(StoppedError, match="6 of 8 units are done. Give the same command again"):
            convert(ToyConverter(), toys, tmp_path / "out", ToySettings(), on_progress=stop)
        assert not (tmp_path / "out").exists()
        return toys

    @staticmethod
    def go_on(toys, settings=None, **options):
        log = toys.parent / "log.jsonl"
        convert(ToyConverter(), toys, toys.parent / "out", settings, run=RunSettings(log=log), **options)
        fresh = toys.parent / "fresh" / "out"
        convert(ToyConverter(), toys, fresh, settings)
        assert bytes_of(toys.parent / "out") == bytes_of(fresh)
        return resumed(toys.parent)[-1]

    def test_nothing_where_nothing_changed(self, stopped):
        assert self.go_on(stopped) == 6
        assert [path.name for path in stopped.parent.iterdir() if path.name.startswith(".")] == []

    @pytest.mark.parametrize("change", [{"split_seed": 3}, {"val_fraction": 0.5}, {"licence": "MIT"}])
    def test_nothing_where_the_change_is_about_the_whole(self, stopped, change):
        assert self.go_on(stopped, ToySettings(**change)) == 6
        assert read_manifest(stopped.parent / "out")["settings"] == ToySettings(**change).public()

    def test_all_where_the_change_is_about_every_unit(self, stopped):
        assert self.go_on(stopped, ToySettings(grey=9)) == 0

    def test_one_where_its_file_changed(self, stopped):
        (stopped / "b.toy").write_text("skip")

        assert self.go_on(stopped) == 5

    def test_none_where_a_file_was_only_copied(self, stopped):
        content = (stopped / "b.toy").read_bytes()
        (stopped / "b.toy").unlink()
        (stopped / "b.toy").write_bytes(content)

        assert self.go_on(stopped) == 6

    def test_one_where_a_file_is_gone(self, stopped):
        (stopped / "b.toy").unlink()

        assert self.go_on(stopped) == 5

    def test_the_input_may_have_moved(self, stopped):
        assert self.go_on(stopped.rename(stopped.with_name("moved"))) == 6

    def test_all_where_another_library_was_installed(self, stopped, monkeypatch):
        found = versions()
        for module in ("work", "run"):
            monkeypatch.setattr(f"domainvl.conversion.{module}.versions", lambda _: found | {"gdal": "99.0"})

        assert self.go_on(stopped) == 0

    def test_one_whose_image_was_cut_short(self, stopped):
        """All toys of one grey show the same picture; it is one image, cut for all."""
        (image,) = (stopped.parent / ".out.conversion" / "dataset" / "images").rglob("*.png")
        image.write_bytes(image.read_bytes()[:-1])

        assert self.go_on(stopped) == 0

    def test_an_image_that_no_part_vouches_for_is_not_trusted(self, stopped):
        """Its unit had not ended when the power went; the rest of the file may never have reached the disk."""
        for part in (stopped.parent / ".out.conversion" / "parts").rglob("*.jsonl"):
            part.unlink()
        (image,) = (stopped.parent / ".out.conversion" / "dataset" / "images").rglob("*.png")
        image.write_bytes(b"")

        assert self.go_on(stopped) == 0

    def test_one_whose_part_was_cut_short(self, stopped):
        parts = sorted((stopped.parent / ".out.conversion" / "parts").rglob("*.jsonl"))
        assert len(parts) == 6
        parts[0].write_bytes(parts[0].read_bytes()[:-1])

        assert self.go_on(stopped) == 5

    def test_a_failure_is_tried_again_and_a_fault_of_the_input_is_not(self, tmp_path):
        toys = write_toys(tmp_path / "toys", a="ok", b="boom", c="bad", d="ok")

        def stop(progress):
            if progress.done == 4:
                raise KeyboardInterrupt

        with pytest.raises(StoppedError):
            convert(ToyConverter(), toys, tmp_path / "out", on_progress=stop)

        assert self.go_on(toys) == 3


def test_pieces_that_are_done_are_not_done_again(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok", b="boom2", c="ok", d="bad")
    whole = convert(DividedConverter(), toys, tmp_path / "whole" / "out")
    assert (whole.sample_count, whole.failed_count) == (11, 2)

    def stop(progress):
        if progress.done == 8:  # a and its four pieces, b and two of its
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        convert(DividedConverter(), toys, tmp_path / "out", on_progress=stop)
    seen = []

    def see(now):
        seen.append((now.resumed, now.planned, now.samples, now.failed))

    convert(DividedConverter(), toys, tmp_path / "out", on_progress=see)

    assert seen[-1] == (5 + 2, 4 + 3 * 4, 11, 2)
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole" / "out")


def test_pieces_of_another_converter_are_not_taken(tmp_path):
    """The pieces are the same; who makes what of them stands in the name of the whole alone."""
    toys = write_toys(
        tmp_path / "toys", a="skip", b="ok"
    )  # pieces without an image: those of another would be found out

    def stop(progress):
        if progress.done == 4:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        convert(DividedConverter(), toys, tmp_path / "out", ToySettings(val_fraction=0.2), on_progress=stop)
    seen = []
    other = Repainted()
    convert(other, toys, tmp_path / "out", on_progress=lambda now: seen.append(now.resumed))
    convert(other, toys, tmp_path / "fresh" / "out")

    assert seen[-1] == 0
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "fresh" / "out")


class Repainted(DividedConverter):
    """Divides as the other does, and is another converter."""

    name = "repainted"


def test_a_unit_is_done_again_when_a_file_that_was_missing_is_there(tmp_path):
    class Reading(ToyConverter):
        def unit_files(self, unit):
            return [unit, unit.with_suffix(".extra")]

        def convert(self, unit, settings, images, provenance):
            grey = 1 if unit.with_suffix(".extra").exists() else 2
            return super().convert(unit, settings.model_copy(update={"grey": grey}), images, provenance)

    toys = write_toys(tmp_path / "toys", a="ok", b="ok", c="ok")

    def stop(progress):
        if progress.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(StoppedError):
        convert(Reading(), toys, tmp_path / "out", on_progress=stop)
    (toys / "a.extra").write_text("")
    seen = []
    convert(Reading(), toys, tmp_path / "out", on_progress=lambda now: seen.append(now.resumed))

    assert seen[-1] == 1


def test_a_run_that_did_nothing_leaves_nothing(tmp_path):
    toys = write_toys(tmp_path / "toys", a="ok")

    class Unplannable(ToyConverter):
        def plan(self, source, settings):
            raise KeyboardInterrupt

    with pytest.raises(StoppedError, match="Give the same command again"):
        convert(Unplannable(), toys, tmp_path / "out")

    assert [path.name for path in tmp_path.iterdir()] == ["toys"]


def test_sigterm_keeps_what_is_done(tmp_path):
    """As a cluster ends a job; the command line answers with exit code 4."""
    script = tmp_path / "cli.py"
    script.write_text(
        "import sys, domainvl.conversion\n"
        "from faults import FaultyConverter\n"
        "from domainvl.cli.main import main\n"
        "domainvl.conversion.converter_names = lambda: ['faulty']\n"
        "domainvl.conversion.load_converter = lambda name: FaultyConverter()\n"
        "if __name__ == '__main__':\n"
        "    sys.exit(main(['convert', 'faulty', *sys.argv[1:]]))\n"
    )
    toys = write_toys(tmp_path / "toys", **{f"t{number:02d}": "slow" for number in range(30)})
    log = tmp_path / "log.jsonl"
    command = [sys.executable, script, toys, "--out", tmp_path / "out", "--workers", "1", "--log", log]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        while not (log.exists() and log.read_text().count('"unit"') >= 3):
            time.sleep(0.02)
        process.terminate()
        message = process.communicate()[1]

    assert process.returncode == 4
    assert "units are done. Give the same command again" in " ".join(message.split())
    assert not (tmp_path / "out").exists()
    assert subprocess.run(command, env=environment, capture_output=True).returncode == 0
    assert resumed(tmp_path)[-1] >= 3
    convert(FaultyConverter(), toys, tmp_path / "whole" / "out")
    assert bytes_of(tmp_path / "out") == bytes_of(tmp_path / "whole" / "out")
