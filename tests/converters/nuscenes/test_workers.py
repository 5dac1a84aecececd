"""The index that all workers share: tables are read once, and any number of workers, shards or runs makes one set."""

from __future__ import annotations

import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import bytes_of, differences
from nuscenes_sets import Made, edit, make_set, tables_of

from domainvl.conversion import RunSettings, convert, merge_shards
from domainvl.conversion.shards import convert_shard
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.converters.nuscenes.tables import joining
from domainvl.engine import Shard
from domainvl.schema import ImageStore, Provenance

SETTINGS = {"questions_per_task": 2, "clip_fps": 4.0, "clip_s": 1.0}


@pytest.fixture(scope="module")
def alone(traffic: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return make_set(traffic, tmp_path_factory.mktemp("alone"), **SETTINGS)


def test_drv_03_workers_read_the_index_and_no_table(driving: Path, tmp_path: Path, alone: Made) -> None:
    settings = NuscenesSettings(index=tmp_path / "index", **SETTINGS)
    plan = CONVERTER.plan(driving, settings)
    shutil.rmtree(tables_of(driving))
    store = ImageStore(tmp_path / "set")
    provenance = Provenance(converter="nuscenes", version="", settings_sha256="", wording="")
    results = [CONVERTER.convert(unit, settings, store, provenance) for unit in plan.units]
    found = {sample.id: sample.turns for result in results for sample in result.samples}
    assert found == {sample.id: sample.turns for sample in alone.samples}
    # What a worker is handed does not grow with the data.
    assert max(len(pickle.dumps(unit)) for unit in plan.units) < 2000


def test_drv_03_a_second_plan_opens_the_index(driving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = NuscenesSettings(index=tmp_path / "index")
    first = CONVERTER.plan(driving, settings)
    opened: list[str] = []
    stream = joining.read_table
    monkeypatch.setattr(joining, "read_table", lambda *given: opened.append(given[1]) or stream(*given))
    second = CONVERTER.plan(driving, settings)
    assert second.units == first.units
    assert second.notes == first.notes
    assert opened == []
    # Tables that were changed are read again.
    edit(driving, "scene", lambda rows: rows[0].update(description="Changed."))
    third = CONVERTER.plan(driving, settings)
    assert "scene" in opened
    assert [unit.name for unit in third.units if unit not in first.units] == ["scene-0001"]


def test_drv_03_the_index_lies_beside_the_tables_where_nothing_else_is_said(driving: Path, tmp_path: Path) -> None:
    before = {path.name for path in driving.iterdir()}
    make_set(driving, tmp_path, index=None, tasks="counting")
    assert {path.name for path in driving.iterdir()} - before == {".domainvl"}
    assert {path.name for path in (driving / ".domainvl").iterdir()} == {f"{tables_of(driving).name}-frames.sqlite"}


def test_drv_03_two_workers_make_what_one_process_makes(traffic: Path, tmp_path: Path, alone: Made) -> None:
    made = make_set(traffic, tmp_path, workers=2, **SETTINGS)
    assert differences(made.folder, bytes_of(alone.folder)) == []


def test_drv_03_merged_shards_are_what_one_run_makes(traffic: Path, tmp_path: Path, alone: Made) -> None:
    settings = NuscenesSettings(index=tmp_path / "index", **SETTINGS)
    shards = [
        convert_shard(CONVERTER, traffic, tmp_path / "sharded" / "set", Shard(number, 3), settings)
        for number in (3, 1, 2)
    ]
    merge_shards([shard.folder for shard in shards], tmp_path / "set")
    assert differences(tmp_path / "set", bytes_of(alone.folder)) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from domainvl.conversion import RunSettings, convert
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings

def kill(progress):
    if progress.done == 2:
        os.kill(os.getpid(), signal.SIGKILL)

root, folder = Path(sys.argv[1]), Path(sys.argv[2])
settings = NuscenesSettings(index=folder / "index", questions_per_task=2, clip_fps=4.0, clip_s=1.0)
convert(CONVERTER, root, folder / "set", settings, run=RunSettings(), on_progress=kill)
"""


def test_drv_03_a_run_that_was_killed_goes_on(traffic: Path, tmp_path: Path, alone: Made) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, str(traffic), str(tmp_path)]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "set").exists()
    log = tmp_path / "log.jsonl"
    settings = NuscenesSettings(index=tmp_path / "index", **SETTINGS)
    convert(CONVERTER, traffic, tmp_path / "set", settings, run=RunSettings(log=log))
    assert '"resumed": 2' in log.read_text().splitlines()[0]
    assert differences(tmp_path / "set", bytes_of(alone.folder)) == []
