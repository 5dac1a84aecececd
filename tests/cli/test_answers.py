"""``domainvl answers``: options, exit codes and what is said, on a data set of DriveLM."""

from __future__ import annotations

import json

import pytest
from drivelm_files import Given, make_frame, make_scenes, pair, write_plain_images

from domainvl.cli.main import main
from domainvl.conversion import answers as answers_module
from domainvl.converters.drivelm import CONVERTER
from domainvl.evaluation.predictions import Prediction, write_predictions

STATUS = "What is the moving status of object <c1,CAM_BACK,800.0,450.0>?"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drivelm")
    (folder / "plain").mkdir()
    write_plain_images(folder / "plain")
    given = Given(folder, folder / "plain")
    frame = make_frame([pair("Q0?", "<c1,CAM_BACK,800.0,450.0>"), pair(STATUS, "Stopped.")], objects=None)
    _, samples, _ = given.convert(make_scenes(frame))
    return given.out, samples


@pytest.fixture
def run(capsys, monkeypatch):
    monkeypatch.setattr(answers_module, "load_converter", {"drivelm": CONVERTER}.__getitem__)

    def run(*arguments):
        code = main(["answers", *map(str, arguments)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return code, captured.out.splitlines(), " ".join(captured.err.split())

    return run


def test_references_are_written_and_what_is_missing_is_named(data, tmp_path, run):
    folder, _ = data
    out = tmp_path / "out"
    code, said, error = run(folder, "--split", "train", "--out", out, "--team", "Us")

    assert (code, error) == (0, "")
    assert said == [
        f"2 answers in {out / 'output.json'}, {out / 'submission.json'}",
        "  note: submission.json does not say method, authors, email, institution, country; name them in a YAML file "
        "with --about",
    ]
    assert json.loads((out / "submission.json").read_text())["team"] == "Us"


def test_predictions_are_read_with_their_options(data, tmp_path, run):
    folder, samples = data
    said = ["<c1,CAM_BACK,[500,500]>", "stopped."]
    write_predictions(
        tmp_path / "p.jsonl",
        [Prediction(sample_id=one.id, text=text, likelihood=0.5) for one, text in zip(samples, said, strict=True)],
    )
    (tmp_path / "about.yaml").write_text("method: M\nteam: T\nauthors: [A]\nemail: e\ninstitution: I\ncountry: C\n")
    arguments = ("--predictions", tmp_path / "p.jsonl", "--about", tmp_path / "about.yaml", "--team", "Other")
    code, out, _ = run(folder, "--split", "train", "--out", tmp_path / "out", *arguments)

    assert (code, len(out)) == (0, 1)
    submission = json.loads((tmp_path / "out" / "submission.json").read_text())
    assert (submission["team"], submission["method"]) == ("Other", "M")
    right = "ABCD"[samples[1].answer.options.index("Stopped.")]
    assert [row["answer"] for row in submission["results"]] == ["<c1,CAM_BACK,800.0,450.0>", right]


def test_a_sample_without_a_prediction_is_eight(data, tmp_path, run):
    folder, samples = data
    write_predictions(tmp_path / "p.jsonl", [Prediction(sample_id=samples[0].id, text="x", likelihood=0.5)])
    code, out, _ = run(folder, "--split", "train", "--out", tmp_path / "out", "--predictions", tmp_path / "p.jsonl")

    assert code == 8
    assert out[0].startswith("1 answers in")
    assert "  failed: 1 x no-prediction" in out
    assert out[-1] == f"  each is listed in {tmp_path / 'out' / 'rejects.jsonl'}"


@pytest.mark.parametrize(
    ("content", "words", "action"),
    [
        ("- a\n", "names with values", "team: Name"),
        ("a: [\n", "must be YAML", "team: Name"),
        ("teem: T\n", "teem: ", "Say method, team"),
        ("1: T\n", "names with", "team: Name"),
    ],
)
def test_a_wrong_about_is_two(data, tmp_path, run, content, words, action):
    (tmp_path / "about.yaml").write_text(content)
    code, out, error = run(data[0], "--split", "train", "--out", tmp_path / "out", "--about", tmp_path / "about.yaml")

    assert (code, out) == (2, [])
    assert words in error
    assert action in error
    assert not (tmp_path / "out").exists()


def test_wrong_arguments_are_two(data, tmp_path, run):
    out = ("--out", tmp_path / "out")
    code, _, error = run(data[0], *out, "--split", "dev")
    assert (code, "Name the split" in error) == (2, True)
    assert run(data[0], *out, "--predictions", tmp_path / "none.jsonl")[0] == 2
    code, _, error = run(data[0], *out, "--about", tmp_path / "none.yaml")
    assert (code, "Check the path" in error) == (2, True)
    assert run(tmp_path / "none", *out)[0] == 2


def test_an_empty_split_is_three(data, tmp_path, run):
    assert run(data[0], "--out", tmp_path / "out")[0] == 3
