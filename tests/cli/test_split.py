"""``domainvl split``: options, the shares that are printed, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_sets import Given, samples_of, splits_by_group, write_set

from domainvl.cli.main import main
from domainvl.schema import CountAnswer, Split, SplitFractions, Task, assign_split, read_manifest

COUNTING = {"task": Task.COUNTING, "answer": CountAnswer(count=1)}


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command in the folder of the data sets."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        code = main(["split", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_the_shares_reached_are_printed(run):
    samples = [Given(f"v{n}", f"v{n}", greys=[]) for n in range(10)]
    samples += [Given(f"c{n}", f"c{n}", greys=[], fields=COUNTING) for n in range(20)]
    write_set(Path("one"), samples)

    code, out, error = run("one", "--out", "two", "--stratify", "task")

    assert (code, error) == (0, "")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines == [
        "30 samples in two (groups: 24 train, 3 val, 3 test)",
        "6 are in another split than before",
        "stratum train val test",
        "counting 16 80.0% 2 10.0% 2 10.0%",
        "vqa 8 80.0% 1 10.0% 1 10.0%",
    ]


def test_options_reach_the_division(run):
    write_set(Path("one"), [Given(f"s{n}", f"g{n}", greys=[]) for n in range(30)])

    assert run("one", "--out", "two", "--val-fraction", 0.3, "--test-fraction", 0.2, "--seed", 7)[0] == 0

    fractions = SplitFractions(val=0.3, test=0.2, seed=7)
    assert splits_by_group(Path("two")) == {f"g{n}": {assign_split(f"g{n}", fractions)} for n in range(30)}
    settings = read_manifest(Path("two"))["settings"]
    assert (settings["val_fraction"], settings["test_fraction"], settings["seed"]) == (0.3, 0.2, 7)


def test_fixed_groups_are_told(run):
    fixed = {"fixed_split": Split.TEST}
    write_set(
        Path("one"), [Given(f"s{n}", f"g{n}", greys=[]) for n in range(9)] + [Given("t", "t", Split.TEST, [], fixed)]
    )

    code, out, _ = run("one", "--out", "two", "--val-fraction", 0, "--test-fraction", 0)

    assert code == 0
    assert "  1 groups keep the split that the source gave them" in out.splitlines()


def test_overwrite_replaces_a_data_set(run):
    write_set(Path("one"), [Given("new")])
    write_set(Path("two"), [Given("old")])
    options = ["one", "--out", "two", "--val-fraction", 0, "--test-fraction", 0]

    assert run(*options)[0] == 2
    assert run(*options, "--overwrite")[0] == 0
    assert set(samples_of(Path("two"))) == {"new"}


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["one", "--out", "two"], 2, "would be empty: there are 2 groups"),
        (["one", "--out", "two", "--stratify", "size"], 2, "--stratify must be one of none, task, class, domain"),
        (["one", "--out", "two", "--val-fraction", "1"], 2, "--val-fraction must be 0 or more and below 1, got 1"),
        (["one", "--out", "two", "--test-fraction", "-0.1"], 2, "--test-fraction must be 0 or more and below 1"),
        (["one", "--out", "two", "--val-fraction", "nan"], 2, "--val-fraction must be 0 or more and below 1, got nan"),
        (["one", "--out", "two", "--val-fraction", "0.6", "--test-fraction", "0.4"], 2, "must stay below 1, got 1"),
        (["one", "--out", "one"], 2, "it must not be the input one"),
        (["empty", "--out", "two"], 3, "There is nothing to split in empty: it has no samples"),
        (["nowhere", "--out", "two"], 2, "Cannot read a data set in nowhere"),
        (["one"], 2, "--out"),
    ],
)
def test_errors_say_why(run, tmp_path, arguments, code, expected):
    write_set(Path("one"), [Given("a", "a"), Given("b", "b")])
    write_set(Path("empty"), [])

    got, out, error = run(*arguments)

    assert (got, out) == (code, "")
    assert expected in " ".join(error.split())
    assert not (tmp_path / "two").exists()
