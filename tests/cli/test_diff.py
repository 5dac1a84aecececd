"""``domainvl diff``: the exit code tells whether there is a difference, the text which."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from whole_sets import Given, content_of, edit_manifest, write_set

from domainvl.cli.main import main
from domainvl.schema import Object, Split


def ship(x_max_px):
    return {"objects": [Object(id="1", label="ship", box_px=(10, 10, x_max_px, 40))]}


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command beside a data set and another one."""
    monkeypatch.chdir(tmp_path)
    write_set(Path("old"), [Given("ü/1"), Given("b", fields=ship(60)), Given("c"), Given("d", "d", Split.TEST)])
    write_set(Path("new"), [Given("b", fields=ship(60.5)), Given("c", "other"), Given("e"), Given("f"), Given("g")])
    edit_manifest(Path("new"), settings={"grey": 2, "deep": True})

    def run(*arguments):
        code = main(["diff", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_equal_is_zero(run):
    code, out, error = run("old", "old")

    assert (code, error) == (0, "")
    assert out.splitlines() == ["added    0", "removed  0", "changed  0", "same     4"]


def test_different_is_eight_and_said(run):
    code, out, _ = run("old", "new")

    assert code == 8
    assert out.splitlines() == [
        "added    3",
        "  + e",
        "  + f",
        "  + g",
        "removed  2",
        "  - ü/1",
        "  - d",
        "changed  2 (boxes 1, group 1)",
        "  ~ b: boxes",
        "  ~ c: group",
        "same     0",
        "train vqa: 3 -> 5 samples",
        "test vqa: 1 -> 0 samples",
        "settings.grey: 1 -> 2",
        "settings.deep: (not there) -> true",
    ]


def test_another_setting_alone_is_a_difference(run, tmp_path):
    write_set(Path("same"), [Given("a")])
    write_set(Path("set"), [Given("a")], settings={"grey": 3})

    assert run("same", "set")[0] == 8


def test_a_tolerance_and_a_limit(run):
    code, out, _ = run("old", "new", "--tolerance-px", 0.5, "--limit", 1)

    assert code == 8
    assert out.splitlines()[:7] == [
        "added    3",
        "  + e",
        "  + and 2 more; name more with --limit",
        "removed  2",
        "  - ü/1",
        "  - and 1 more; name more with --limit",
        "changed  1 (group 1)",
    ]


def test_as_json(run):
    code, out, error = run("old", "new", "--json", "--limit", 1)

    assert (code, error) == (8, "")
    found = json.loads(out)
    assert (found["equal"], found["added"], found["added_count"]) == (False, ["e"], 3)
    assert found["changed"] == [{"id": "b", "parts": ["boxes"]}]
    assert found["manifest"][0] == {"key": "settings.grey", "first": 1, "second": 2}
    code, out, _ = run("new", "new", "--json")
    assert (code, json.loads(out)["equal"]) == (0, True)


def test_nothing_is_written(run, tmp_path):
    before = content_of(tmp_path)

    run("old", "new")

    assert content_of(tmp_path) == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["old", "nowhere"], "Cannot read a data set in nowhere: there is no such folder"),
        (["old", "new", "--tolerance-px", "-1"], "--tolerance-px must be 0 or more, got -1"),
        (["old", "new", "--limit", "-1"], "--limit must be 0 or more, got -1"),
        (["old"], "second"),
    ],
)
def test_errors_are_two_and_say_why(run, arguments, expected):
    code, out, error = run(*arguments)

    assert (code, out) == (2, "")
    assert expected in " ".join(error.split())


def test_help_says_the_exit_codes(run):
    assert "0 equal, 8 different" in " ".join(run("--help")[1].split())
