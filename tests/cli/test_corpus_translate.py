"""``domainvl corpus translate``: options, what is printed, exit codes, and refusals."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
from chat_server import chat_server, completion
from pseudo_language import pseudo
from tiny_translators import write_marian
from typer.testing import CliRunner
from whole_sets import Given, samples_of, write_set

from domainvl.cli import corpus_translate
from domainvl.errors import DomainvlError
from domainvl.schema import Split, TextAnswer


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run the command beside a data set of two questions, one of them held out."""
    monkeypatch.chdir(tmp_path)
    fields = {"question": "where is the car?", "answer": TextAnswer(text="a car of 3 m", accepted=("red",))}
    write_set(
        Path("one"),
        [
            Given("a", fields=fields),
            Given("b", "h", Split.TEST, [9], {"question": "is it red?", "answer": TextAnswer(text="no")}),
        ],
    )
    app = typer.Typer()
    app.command()(corpus_translate.translate)

    def run(*arguments):
        result = CliRunner().invoke(app, [str(one) for one in arguments])
        if isinstance(result.exception, DomainvlError):
            return int(result.exception.exit_code), str(result.exception)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout

    return run


def test_with_a_model(run, tmp_path):
    model = write_marian(tmp_path / "en-de")
    code, said = run("one", "--to", "de", "--out", "two", "--model", model, "--device", "cpu")
    assert (code, said.splitlines()) == (0, ["two: 2 samples in de"])
    after = samples_of(Path("two"))
    assert after["a@de"].turns[0].text.startswith("<image>\nwo ist das auto?\n")
    assert after["a@de"].answer == TextAnswer(text="ein auto von 3 m", accepted=("rot",))
    assert after["b@de"].turns[-1].text == "no"
    assert after["b@de"].provenance.translation.by == "en-de"
    assert Path("two.translations.jsonl").is_file()


def test_with_a_server(run):
    Path("key").write_text("secret\n")
    Path("terms.csv").write_text("car,Auto\n")

    def answer(asked):
        line = asked["messages"][1]["content"]
        return completion(pseudo(line) + (" 5" if "it red" in line else ""))

    with chat_server(answer) as (url, seen):
        server = ("--endpoint", url, "--endpoint-model", "big", "--endpoint-key", "key")
        code, said = run("one", "--to", "xx", "--out", "two", *server, "--terms", "terms.csv", "--keep-source")
        assert (code, said.splitlines()) == (
            8,
            ["two: 1 samples in xx", "  1 kept in their own language: invented"],
        )
        assert seen[0]["headers"]["Authorization"] == "Bearer secret"
        after = samples_of(Path("two"))
        assert set(after) == {"a", "a@xx", "b"}
        assert after["a@xx"].answer.text == "«a» Auto «of» 3 m"
        count = len(seen)
        # Again, without what failed: nothing is asked for.
        code, said = run(
            "one", "--to", "xx", "--out", "two", *server, "--terms", "terms.csv", "--train-only", "--overwrite"
        )
        assert (code, said.splitlines()) == (0, ["two: 1 samples in xx", "  1 held-out samples as they were"])
        assert len(seen) == count


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--to", "de"], 2, "either --model or --endpoint"),
        (["--to", "de", "--endpoint", "http://a/v1"], 2, "--endpoint and --endpoint-model go together"),
        (["--to", "de", "--endpoint", "http://a/v1", "--endpoint-model", "m", "--model", "x"], 2, "either --model or"),
        (["--to", "de", "--endpoint", "http://a/v1", "--endpoint-model", "m", "--target-code", "x"], 2, "for --model"),
        (["--to", "de", "--model", "none"], 2, "there is no such folder"),
        (["--to", "to German", "--endpoint", "http://a/v1", "--endpoint-model", "m"], 2, "got 'to German'"),
        (["--to", "de", "--endpoint", "http://a/v1", "--endpoint-model", "m", "--terms", "none"], 2, "no such file"),
    ],
)
def test_errors_say_why(run, arguments, code, expected):
    got, said = run("one", "--out", "two", *arguments)
    assert got == code
    assert re.search(re.escape(expected), said)
    assert not Path("two").exists()
    assert not Path("two.translations.jsonl").exists()
