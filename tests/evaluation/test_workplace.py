"""The hidden folder of an evaluation: what stays, what goes, and that two runs never share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from domainvl.errors import UsageError
from domainvl.evaluation.workplace import journal_path, open_workplace


def test_only_what_this_run_wrote_is_published(tmp_path: Path) -> None:
    out = tmp_path / "scores"
    with pytest.raises(ZeroDivisionError), open_workplace(out) as work:
        journal_path(work, "adapted").write_text("kept")
        (work / "tiles.json").write_text("of a run with --sweep-tiles")
        (work / "inputs").mkdir()
        raise ZeroDivisionError
    assert not out.exists()
    with open_workplace(out) as work:
        assert journal_path(work, "adapted").read_text() == "kept"
        assert not (work / "tiles.json").exists()
        (work / "scores.json").write_text("new")
    assert [path.name for path in out.iterdir()] == ["scores.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["scores"]


def test_two_runs_never_share_it(tmp_path: Path) -> None:
    with open_workplace(tmp_path / "scores"):
        with pytest.raises(UsageError, match="another run is at work on it"), open_workplace(tmp_path / "scores"):
            pass
        with open_workplace(tmp_path / "others"):
            pass
    with pytest.raises(UsageError, match="the folder exists"), open_workplace(tmp_path / "scores"):
        pass
