from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import re
import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nuscenes_tables import Tables

from domainvl.converters.nuscenes.tables import (
    IndexGoneError,
    SceneIndex,
    cached_index,
    index,
    open_index,
    read_scene,
    read_scene_names,
)
from domainvl.converters.nuscenes.tables.joining import SceneJoin
from domainvl.engine.work import attempt
from domainvl.errors import DatasetError, ExitCode, OutputError, UsageError
from domainvl.schema import Reject


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    broken = Tables()
    broken.row("sample_annotation", "s1/0/car")["size"] = [0, 0, 0]
    return broken.write(tmp_path / "root")


def open_in(tables: Path, *, sweeps: bool = False, folder: Path | None = None) -> SceneIndex:
    return open_index(tables.parent, tables, sweeps=sweeps, folder=folder)


def forbid_making(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        pytest.fail("the tables were read again")

    monkeypatch.setattr(index, "SceneJoin", refuse)


def test_drv_03_the_index_holds_what_was_joined(tables: Path) -> None:
    joined = SceneJoin(tables, sweeps=False)
    scenes = list(joined.scenes())
    found = open_in(tables)
    assert found.path.parent == tables.parent / ".domainvl"
    assert [(one.token, one.name, one.log, one.location) for one in found.summaries] == [
        ("s1", "scene-s1", "n015", "onenorth"),
        ("s2", "scene-s2", "n015", "onenorth"),
    ]
    assert [len(found.read(one.token).frames) for one in found.summaries] == [2, 3]
    assert [found.read(one.token) for one in found.summaries] == scenes
    assert [read_scene(found.path, one.token) for one in found.summaries] == scenes
    assert list(found.rejects) == joined.rejects()
    assert [type(reject) for reject in found.rejects] == [Reject]
    # No cuboid is an animal; views come in the order in which they are shown.
    assert found.classes == ("car", "traffic cone")
    assert found.camera_views == ("FRONT", "BACK")


def test_drv_03_hashes_are_those_of_the_packed_scenes(tables: Path, tmp_path: Path) -> None:
    found = open_in(tables)
    with sqlite3.connect(found.path) as database:
        packed = dict(database.execute("SELECT token, packed FROM scene"))
    for one in found.summaries:
        assert one.content_sha256 == hashlib.sha256(packed[one.token]).hexdigest()
    shutil.rmtree(found.path.parent)
    rows = Tables()
    rows.row("sample_annotation", "s1/0/car")["size"] = [0, 0, 0]
    rows.shuffle()
    rows.row("sample_annotation", "s2/0/car")["num_lidar_pts"] = 8
    again = open_in(rows.write(tmp_path / "root"))
    assert again.summaries[0] == found.summaries[0]
    assert again.summaries[1].content_sha256 != found.summaries[1].content_sha256


def test_drv_03_a_second_run_opens_the_index_and_reads_no_table(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = open_in(tables)
    forbid_making(monkeypatch)
    assert open_in(tables) == first
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_drv_03_each_reader_and_each_version_has_its_own(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Tables().write(tables.parent, "v1.0-trainval")
    without, with_sweeps, second = open_in(tables), open_in(tables, sweeps=True), open_in(other)
    assert len({without.path, with_sweeps.path, second.path}) == 3
    assert without.read("s1").sweeps == ()
    assert len(with_sweeps.read("s1").sweeps) == 10
    forbid_making(monkeypatch)
    assert open_in(tables) == without
    assert open_in(other) == second


def test_drv_03_a_changed_table_is_read_again(tables: Path) -> None:
    first = open_in(tables)
    path = tables / "sample_annotation.json"
    before = path.stat()
    # Another number of equal length: the size stays.
    path.write_text(path.read_text().replace('"num_lidar_pts": 7', '"num_lidar_pts": 9'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    second = open_in(tables)
    assert second.read("s1").frames[0].cuboids[0].lidar_points == 9
    assert second.path == first.path
    (tables / "visibility.json").unlink()
    assert {cuboid.visibility for cuboid in open_in(tables).read("s1").frames[0].cuboids} == {None}


def test_drv_03_a_table_in_whose_place_another_file_was_put_is_read_again(tables: Path) -> None:
    first = open_in(tables)
    path, other = tables / "sample_annotation.json", tables / "other.json"
    before = path.stat()
    other.write_text(path.read_text().replace('"num_lidar_pts": 7', '"num_lidar_pts": 9'))
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.replace(path)
    assert path.stat().st_ino != before.st_ino
    assert open_in(tables).read("s1").frames[0].cuboids[0].lidar_points == 9
    assert first.path == open_in(tables).path


@pytest.mark.parametrize("name", ["_FORMAT", "__version__"])
def test_drv_03_another_version_of_the_program_makes_its_own(
    tables: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    open_in(tables)
    monkeypatch.setattr(index, name, "another")
    monkeypatch.setattr(index, "label_of", str.upper)
    assert open_in(tables).classes == ("MOVABLE_OBJECT.TRAFFICCONE", "VEHICLE.CAR")


@pytest.mark.parametrize("content", [b"", b"no database", b"SQLite format 3\x00" + b"\xff" * 4000])
def test_a_damaged_index_is_made_again(tables: Path, content: bytes) -> None:
    first = open_in(tables)
    first.path.write_bytes(content)
    assert open_in(tables) == first
    with first.path.open("r+b") as file:
        file.truncate(8192)
    assert open_in(tables) == first
    first.path.unlink()
    with sqlite3.connect(first.path) as database:
        database.execute("CREATE TABLE about (key, value)")
    assert open_in(tables) == first


def test_drv_03_where_the_data_root_cannot_be_written_the_cache_is_used(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A file where the folder should be refuses everybody, root too.
    (tables.parent / ".domainvl").touch()
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    found = open_in(tables)
    assert found.path.parent == tmp_path / "home" / ".cache" / "domainvl"
    other = Tables().write(tmp_path / "other")
    (other.parent / ".domainvl").touch()
    assert open_in(other).path != found.path
    forbid_making(monkeypatch)
    assert open_in(tables) == found


def test_drv_03_a_folder_that_was_named_is_used_or_refused(tables: Path, tmp_path: Path) -> None:
    assert open_in(tables, folder=tmp_path / "index").path.parent == tmp_path / "index"
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="Cannot write the index .*--index"):
        open_in(tables, folder=tmp_path / "file")
    assert not (tables.parent / ".domainvl").exists()


def test_two_data_roots_share_a_folder(tables: Path, tmp_path: Path) -> None:
    other = Tables().write(tmp_path / "other")
    first, second = (open_in(folder, folder=tmp_path / "index") for folder in (tables, other))
    assert first.path != second.path
    assert [len(one.read(token).frames) for one in (first, second) for token in ("s1", "s2")] == [2, 3, 3, 3]


def test_drv_03_a_table_that_breaks_the_format_leaves_no_index(tables: Path) -> None:
    (tables / "ego_pose.json").write_text('[{"token": "a"}]')
    with pytest.raises(UsageError, match="ego_pose"):
        open_in(tables)
    assert list((tables.parent / ".domainvl").iterdir()) == []


def test_a_full_disk_leaves_no_index(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_SCHEMA", index._SCHEMA + "PRAGMA max_page_count = 9;")
    path = tables / "scene.json"
    path.write_text(path.read_text().replace("Rain", "Rain " * 20_000))
    with pytest.raises(OutputError, match="full"):
        open_in(tables)
    assert list((tables.parent / ".domainvl").iterdir()) == []


OPEN = """
import sys
from pathlib import Path
from domainvl.converters.nuscenes.tables import open_index, read_scene
tables = Path(sys.argv[1])
found = open_index(tables.parent, tables, sweeps=False, folder=None)
print(len(read_scene(found.path, "s2").frames), *(one.content_sha256 for one in found.summaries))
"""


def test_drv_03_several_processes_may_start_at_once(tables: Path) -> None:
    command = [sys.executable, "-c", OPEN, str(tables)]
    runs = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    printed = {run.communicate()[0] for run in runs}
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(printed) == 1
    assert printed.pop().startswith("3 ")
    assert len(list((tables.parent / ".domainvl").iterdir())) == 1


def test_drv_03_workers_read_without_writing(tables: Path) -> None:
    found = open_in(tables)
    before = found.path.stat()
    found.path.chmod(0o444)
    found.path.parent.chmod(0o555)
    try:
        with ThreadPoolExecutor(4) as pool:
            names = list(pool.map(lambda token: read_scene(found.path, token).name, ["s1", "s2"] * 8))
    finally:
        found.path.parent.chmod(0o755)
    assert names == ["scene-s1", "scene-s2"] * 8
    assert (found.path.stat().st_size, found.path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert pickle.loads(pickle.dumps(found)) == found


def test_an_index_or_scene_that_is_gone_is_named(tables: Path) -> None:
    found = open_in(tables)
    with pytest.raises(IndexGoneError, match="it has no scene nowhere"):
        found.read("nowhere")
    found.path.unlink()
    with pytest.raises(IndexGoneError) as caught:
        found.read("s1")
    error = caught.value
    assert (error.reason, error.exit_code) == ("index-gone", ExitCode.USAGE)
    assert re.search(
        r"in \.domainvl/v1\.0-mini-frames\.sqlite: .*\. Remove it, where it is still there, and give the command ",
        str(error),
    )
    assert str(tables.parent) not in str(error)
    # It comes from a worker as it is.
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.reason) == (IndexGoneError, str(error), "index-gone")


def test_drv_03_an_index_with_one_byte_flipped_is_made_again_or_costs_the_scene(tables: Path) -> None:
    """Whatever byte it is, no scene comes out as another, and no error comes out that is not the index's own."""
    first = open_in(tables)
    scenes = {one.token: first.read(one.token) for one in first.summaries}
    hashes = {one.token: one.content_sha256 for one in first.summaries}
    content = first.path.read_bytes()
    stamp = index._stamp(tables, "frames")
    # Pages are mostly empty; the step is prime to their size, so that all places in a page are met.
    places = [place for place in range(len(content)) if content[place]][::7]
    assert len(places) > 500
    lost = damaged = 0
    for number, place in enumerate(places):
        flipped = bytearray(content)
        flipped[place] ^= 1 << number % 8
        first.path.write_bytes(flipped)
        opened = index._open(first.path, stamp)
        damaged += opened is None
        assert opened in (None, first)
        for token, scene in scenes.items():
            try:
                assert read_scene(first.path, token, hashes[token]) == scene
            except IndexGoneError:
                lost += 1
            # Who does not say what was planned may be given another scene, but no other error.
            with contextlib.suppress(IndexGoneError):
                read_scene(first.path, token)
    assert lost > 100
    assert damaged > 100


def test_drv_03_a_worker_whose_index_went_away_loses_its_scene_by_reason(tables: Path) -> None:
    found = open_in(tables)
    found.path.write_bytes(b"")
    failure = attempt(lambda token: read_scene(found.path, token), "s1").failure
    assert failure is not None
    assert failure.reason == "index-gone"
    assert failure.action == "Remove it, where it is still there, and give the command again"


def test_an_index_that_another_program_removes_while_it_is_opened(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "_open", lambda *_: None)
    with pytest.raises(DatasetError, match=r"another program replaced or removed it\. Give the command again"):
        open_in(tables)


def test_drv_03_a_scene_of_an_index_that_was_made_anew_meanwhile_is_refused(tables: Path) -> None:
    first = open_in(tables)
    planned = {one.token: one.content_sha256 for one in first.summaries}
    assert read_scene(first.path, "s1", planned["s1"]) == first.read("s1")
    path = tables / "sample_annotation.json"
    path.write_text(
        path.read_text().replace('"s2/0/car"', '"s2/0/other"').replace('"num_lidar_pts": 7', '"num_lidar_pts": 10')
    )
    assert open_in(tables).path == first.path
    with pytest.raises(
        IndexGoneError,
        match="scene s1 must be as it was.*Remove it, where it is still there, and give the command again",
    ):
        read_scene(first.path, "s1", planned["s1"])
    assert read_scene(first.path, "s1").frames[0].cuboids[0].lidar_points == 10
    # Who opened it before has the old summaries, which do not fit what is there now.
    with pytest.raises(IndexGoneError):
        first.read("s1")


def test_drv_03_a_data_root_that_nobody_may_write_to_is_left_alone(
    tables: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    tables.parent.chmod(0o555)
    try:
        # Who may do everything, as root may, could write there all the same.
        found = open_in(tables)
    finally:
        tables.parent.chmod(0o755)
    assert found.path.parent == tmp_path / "home" / ".cache" / "domainvl"
    assert not (tables.parent / ".domainvl").exists()


def test_drv_03_what_a_killed_run_left_is_removed_a_day_later(tables: Path) -> None:
    folder = tables.parent / ".domainvl"
    folder.mkdir()
    an_hour, two_days = time.time() - 3600, time.time() - 2 * 86_400
    left = {
        f".v1.0-mini-sweeps.sqlite.{uuid.uuid4().hex}": two_days,
        f".v1.0-mini-frames.sqlite.{uuid.uuid4().hex}": an_hour,
        "v1.0-mini-sweeps.sqlite": two_days,
        ".v1.0-mini-sweeps.sqlite.mine": two_days,
    }
    for name, changed in left.items():
        (folder / name).touch()
        os.utime(folder / name, (changed, changed))
    found = open_in(tables)
    assert {path.name for path in folder.iterdir()} == {found.path.name, *list(left)[1:]}


def test_folders_with_awkward_names(tmp_path: Path) -> None:
    tables = Tables().write(tmp_path / "a #%20?é")
    assert open_in(tables).read("s1").name == "scene-s1"


def test_another_reader_writes_an_index_too(tables: Path, tmp_path: Path) -> None:
    scenes = list(SceneJoin(tables, sweeps=False).scenes())
    reject = Reject("scene s9", "plan", "gone", "Why.", "Do.")
    rejects: list[Reject] = []

    def one_by_one():  # type: ignore[no-untyped-def]
        yield from scenes
        rejects.append(reject)

    calls = []

    def make():  # type: ignore[no-untyped-def]
        calls.append(1)
        return one_by_one(), lambda: rejects

    for _ in range(2):
        cached = cached_index(tables.parent, tables, make, kind="devkit-frames", folder=tmp_path / "deep" / "er")
        assert cached.path.parent == tmp_path / "deep" / "er"
        assert [cached.read(scene.token) for scene in scenes] == scenes
        assert cached.rejects == (reject,)
    assert calls == [1]
    assert cached.summaries == open_in(tables).summaries


def test_opening_again_is_quick(tables: Path) -> None:
    open_in(tables)
    begin = time.process_time()
    open_in(tables)
    assert time.process_time() - begin < 0.2


def test_names_of_scenes_are_read_from_small_tables(tmp_path: Path) -> None:
    rows = Tables()
    rows.repeat("scene", "s1", name="another")
    for name in ("sample", "sample_data", "ego_pose", "sample_annotation", "sensor"):
        del rows.rows[name]
    names = read_scene_names(rows.write(tmp_path))
    assert {token: row.name for token, row in names.scenes.items()} == {"s1": "scene-s1", "s2": "scene-s2"}
    assert {token: (row.logfile, row.location) for token, row in names.logs.items()} == {"log": ("n015", "onenorth")}
    assert [(reject.input, reject.reason) for reject in names.rejects] == [("scene s1", "duplicate-token")]
    (tmp_path / "v1.0-mini" / "log.json").unlink()
    without = read_scene_names(tmp_path / "v1.0-mini")
    assert (without.scenes, without.logs) == (names.scenes, {})
