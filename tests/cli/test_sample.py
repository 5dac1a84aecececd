"""``domainvl sample``: options, what is printed, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_sets import Given, samples_of, write_set

from domainvl.cli.main import main
from domainvl.schema import CountAnswer, Split, Task, read_manifest

COUNTING = {"task": Task.COUNTING, "answer": CountAnswer(count=1)}


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command beside a data set of 20 samples in 5 groups, of which 5 samples count."""
    monkeypatch.chdir(tmp_path)
    write_set(
        Path("one"),
        [
            Given(f"s{n}", f"g{n % 5}", Split.TEST if n % 5 == 4 else Split.TRAIN, [n], COUNTING if n < 5 else {})
            for n in range(20)
        ],
    )

    def run(*arguments):
        code = main(["sample", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_what_was_chosen_is_printed(run):
    code, out, error = run("one", "--out", "two", "--count", 8, "--stratify", "task", "--seed", 3)

    assert (code, error) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("8 of 20 samples in two (groups: ")
    assert lines[1:] == ["  counting: 2 of 5", "  vqa: 6 of 15"]
    assert len(samples_of(Path("two"))) == 8
    assert read_manifest(Path("two"))["settings"]["seed"] == 3


def test_a_fraction_of_groups_and_the_rest(run):
    assert run("one", "--out", "two", "--fraction", 0.4, "--by", "group")[0] == 0
    assert run("one", "--out", "rest", "--fraction", 0.4, "--by", "group", "--complement")[0] == 0

    chosen, rest = ({sample.group for sample in samples_of(Path(name)).values()} for name in ("two", "rest"))
    assert len(chosen) == 2
    assert chosen | rest == {f"g{n}" for n in range(5)}
    assert not chosen & rest


def test_overwrite_replaces_a_data_set(run):
    write_set(Path("two"), [Given("old")])

    assert run("one", "--out", "two", "--count", 1)[0] == 2
    assert run("one", "--out", "two", "--count", 1, "--overwrite")[0] == 0
    assert "old" not in samples_of(Path("two"))


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["one", "--out", "two"], 2, "either --count or --fraction must be given"),
        (["one", "--out", "two", "--count", "1", "--fraction", "0.1"], 2, "either --count or --fraction must be given"),
        (["one", "--out", "two", "--count", "21"], 2, "--count must not be above 20, the number of samples, got 21"),
        (["one", "--out", "two", "--count", "0"], 2, "--count must be 1 or more, got 0"),
        (["one", "--out", "two", "--fraction", "2"], 2, "--fraction must lie above 0 and not above 1, got 2"),
        (["one", "--out", "two", "--count", "1", "--by", "image"], 2, "--by must be sample or group, got 'image'"),
        (["one", "--out", "two", "--count", "1", "--stratify", "x"], 2, "--stratify must be one of"),
        (["one", "--out", "two", "--count", "20", "--complement"], 3, "Nothing would be left in one"),
        (["one", "--out", "one", "--count", "1"], 2, "it must not be the input one"),
        (["one", "--count", "1"], 2, "--out"),
    ],
)
def test_errors_say_why(run, tmp_path, arguments, code, expected):
    got, out, error = run(*arguments)

    assert (got, out) == (code, "")
    assert expected in " ".join(error.split())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
