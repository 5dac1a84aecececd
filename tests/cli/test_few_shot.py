"""``domainvl few-shot``: options, what is printed, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
from whole_sets import Given, samples_of, write_set

from domainvl.cli.main import main
from domainvl.schema import Split, read_manifest


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """Run the command beside a data set of 8 training samples, one of them without an image, and 2 of testing."""
    monkeypatch.chdir(tmp_path)
    samples = [Given(f"s{n}", f"g{n}", Split.TEST if n > 7 else Split.TRAIN, [n] if n else []) for n in range(10)]
    write_set(Path("one"), samples)

    def run(*arguments):
        code = main(["few-shot", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out, captured.err

    return run


def test_what_was_made_is_printed(run):
    code, out, _ = run("one", "--out", "two", "--shots", 3, "--seed", 7)
    assert code == 0
    assert out.splitlines() == [
        "7 samples with 3 examples each in two",
        "  2 held-out samples as they were",
        "  1 left out: no-image",
    ]
    assert read_manifest(Path("two"))["settings"]["seed"] == 7
    assert {len(sample.turns) for sample in samples_of(Path("two")).values()} == {2, 8}


def test_examples_that_look_alike(run, untrained):
    code, out, _ = run("one", "--out", "two", "--by", "similar", "--features", untrained, "--device", "cpu")
    assert (code, out.splitlines()[0]) == (0, "7 samples with 2 examples each in two")
    told = read_manifest(Path("two"))["settings"]
    assert (told["by"], told["features"]) == ("similar", str(untrained))


def test_held_out_samples_too(run):
    assert run("one", "--out", "two", "--held-out-too")[1].splitlines()[:2] == [
        "9 samples with 2 examples each in two",
        "  2 of them are held out, and show images of the training split",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["one", "--out", "two", "--by", "luck"], 2, "--by must be random or similar, got 'luck'"),
        (["one", "--out", "two", "--by", "similar"], 2, "--by similar needs a model"),
        (["one", "--out", "two", "--features", "none"], 2, "there is no such folder"),
        (["one", "--out", "two", "--shots", "7", "--max-images", "20"], 3, "No training sample would have examples"),
        (["one", "--out", "one"], 2, "it must not be the input one"),
        (["none", "--out", "two"], 2, "there is no such folder"),
    ],
)
def test_errors_say_why(run, tmp_path, arguments, code, expected):
    got, out, error = run(*arguments)
    assert (got, out) == (code, "")
    assert expected in " ".join(error.split())
    assert [path.name for path in tmp_path.iterdir()] == ["one"]
