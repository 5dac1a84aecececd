"""The way back: which converter writes answers, to which samples, and what is said of the others."""

from __future__ import annotations

import json

import pytest
from builders import make_sample

from domainvl.conversion import answers as answers_module
from domainvl.conversion.answers import AnsweringConverter, WrittenAnswers, write_answers
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import ChoiceAnswer, DatasetWriter, Provenance, Reject, Severity, Split, Task, TextAnswer

CHOICE = ChoiceAnswer(options=("One.", "Two."), correct=1)


class Scribe:
    """Writes what it is given, a line each."""

    name = "scribe"

    def __init__(self, rejects=()):
        self.rejects = rejects

    def write_answers(self, given, out, about):
        lines = [f"{one.sample.id}|{one.text}|{one.option}|{one.is_reference}" for one in given]
        (out / "lines.txt").write_text("\n".join([json.dumps(dict(about)), *lines]))
        return WrittenAnswers(["lines.txt"], len(lines), self.rejects, ["Done."])


class Mute:
    """Writes no answers."""


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The installed converters, which a test may add to."""
    converters = {"scribe": Scribe(), "mute": Mute()}
    monkeypatch.setattr(answers_module, "load_converter", converters.__getitem__)
    return converters


def sample_of(name, made_by="scribe", answer=None, split=Split.TEST):
    answer = answer or TextAnswer(text="Yes")
    task = Task.VQA if isinstance(answer, TextAnswer) else Task.MULTIPLE_CHOICE
    provenance = Provenance(converter=made_by, version="1", settings_sha256="0" * 64, wording="internvl-1")
    return make_sample(
        name, domain="general", task=task, question="Q?", answer=answer, images=(), split=split,
        group=f"g{name}", provenance=provenance,
    )  # fmt: skip


@pytest.fixture
def write(tmp_path):
    def write(*samples):
        with DatasetWriter(tmp_path / "data", name="data") as writer:
            for sample in samples:
                writer.add(sample)
            writer.finish(command="convert scribe", settings={}, sources=[], versions={})
        return tmp_path / "data"

    return write


def lines(out):
    return (out / "lines.txt").read_text().splitlines()


def rejects(out):
    return [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]


def test_only_what_writes_answers_is_an_answering_converter():
    assert isinstance(Scribe(), AnsweringConverter)
    assert not isinstance(Mute(), AnsweringConverter)


def test_without_predictions_the_references_are_written(write, tmp_path):
    data = write(sample_of("a"), sample_of("b", answer=CHOICE), sample_of("c", split=Split.TRAIN))
    summary = write_answers(data, tmp_path / "out", about={"team": "T"})

    assert lines(tmp_path / "out") == ['{"team": "T"}', "a|Yes|None|True", "b|B|1|True"]
    assert (summary.count, summary.files, summary.notes) == (2, [tmp_path / "out" / "lines.txt"], ["Done."])
    assert (summary.failed, summary.skipped, summary.exit_code) == ({}, {}, ExitCode.DONE)
    about = json.loads((tmp_path / "out" / "answers.json").read_text())
    assert (about["dataset"], about["converter"], about["split"]) == ("data", "scribe", "test")
    assert (about["answers"], about["files"], about["count"], about["rejects"]) == ("reference", ["lines.txt"], 2, [])


def test_another_split_has_other_samples(write, tmp_path):
    data = write(sample_of("a"), sample_of("c", split=Split.TRAIN))
    write_answers(data, tmp_path / "out", split=Split.TRAIN)

    assert lines(tmp_path / "out")[1:] == ["c|Yes|None|True"]


def test_predictions_stand_for_references_and_options_are_read(write, tmp_path):
    data = write(sample_of("a"), sample_of("b", answer=CHOICE), sample_of("c", answer=CHOICE))
    said = {"a": " No\n", "b": "Two.", "c": "?"}
    write_answers(data, tmp_path / "out", predictions=said, read_choice=lambda text, options: {"Two.": 1}.get(text))
    assert (tmp_path / "out" / "lines.txt").read_text() == "{}\na| No\n|None|False\nb|Two.|1|False\nc|?|None|False"

    write_answers(data, tmp_path / "out", predictions=said, overwrite=True)
    assert lines(tmp_path / "out")[3] == "b|Two.|None|False"


def test_empty_predictions_are_written_and_counted(write, tmp_path):
    data = write(sample_of("a"), sample_of("b"), sample_of("c"))
    summary = write_answers(data, tmp_path / "out", predictions={"a": "", "b": " \n", "c": "x"})

    assert summary.count == 3
    assert summary.notes == ["Done.", "2 of the predictions are empty, and written so"]


def test_what_has_no_partner_is_counted_and_listed(write, tmp_path):
    data = write(sample_of("a"), sample_of("b"), sample_of("c", split=Split.TRAIN))
    summary = write_answers(data, tmp_path / "out", predictions={"b": "x", "c": "y", "d": "z"})

    assert summary.failed == {"no-prediction": 1, "no-sample": 2}
    assert summary.exit_code is ExitCode.PARTIAL
    assert [(one["input"], one["reason"]) for one in rejects(tmp_path / "out")] == [
        ("a", "no-prediction"),
        ("c", "no-sample"),
        ("d", "no-sample"),
    ]
    assert all(one["action"] for one in rejects(tmp_path / "out"))


def test_samples_of_others_are_left_out_as_intended(write, tmp_path):
    data = write(sample_of("a"), sample_of("b", made_by="mute"))
    summary = write_answers(data, tmp_path / "out", predictions={"a": "x", "b": "y"})

    assert (summary.count, summary.failed, summary.skipped) == (1, {}, {"other-converter": 1})
    assert rejects(tmp_path / "out")[0]["action"].startswith("Nothing needs to be done")
    assert summary.exit_code is ExitCode.DONE


def test_what_the_converter_leaves_out_is_listed_too(write, tmp_path, installed):
    installed["scribe"] = Scribe([Reject("a", "answers", "odd", "it is odd", severity=Severity.FAILED)])
    summary = write_answers(write(sample_of("a")), tmp_path / "out")

    assert (summary.failed, summary.exit_code) == ({"odd": 1}, ExitCode.PARTIAL)
    assert rejects(tmp_path / "out")[0]["message"] == "it is odd"


def test_a_data_set_of_no_answering_converter_is_refused(write, tmp_path):
    with pytest.raises(UsageError, match="no converter of its samples writes answers, got mute"):
        write_answers(write(sample_of("a", made_by="mute")), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_answering_converters_are_one_too_many(write, tmp_path, installed):
    installed["other"] = Scribe()
    with pytest.raises(UsageError, match="several converters that write answers: other, scribe"):
        write_answers(write(sample_of("a"), sample_of("b", made_by="other")), tmp_path / "out")


def test_nothing_to_answer_is_said(write, tmp_path):
    data = write(sample_of("a"))
    with pytest.raises(NothingToDoError, match="the split val has no samples"):
        write_answers(data, tmp_path / "out", split=Split.VAL)
    with pytest.raises(NothingToDoError, match="a: no prediction is about it"):
        write_answers(data, tmp_path / "out", predictions={})
    assert not (tmp_path / "out").exists()


def test_a_folder_of_another_kind_is_not_replaced(write, tmp_path):
    data = write(sample_of("a"))
    write_answers(data, tmp_path / "out")
    with pytest.raises(UsageError, match="it exists"):
        write_answers(data, tmp_path / "out")
    write_answers(data, tmp_path / "out", overwrite=True)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rejects.jsonl").write_text("")
    with pytest.raises(UsageError, match=r"no answers\.json"):
        write_answers(data, tmp_path / "mine", overwrite=True)
    with pytest.raises(UsageError, match="outside"):
        write_answers(data, data / "out")


def test_a_data_set_that_is_not_there_or_broken_is_said(write, tmp_path):
    with pytest.raises(InputNotFoundError):
        write_answers(tmp_path / "none", tmp_path / "out")
    data = write(sample_of("a"))
    (data / "test.jsonl").write_text("{}\n")
    with pytest.raises(DatasetError, match=r"test\.jsonl:1"):
        write_answers(data, tmp_path / "out")
