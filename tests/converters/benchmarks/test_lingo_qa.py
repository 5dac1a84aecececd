"""LingoQA: five frames a question, two references to test on, official evaluation set held out."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from converted import Converted

from domainvl.converters.benchmarks.generate_driving import generate_lingo_qa
from domainvl.converters.benchmarks.lingo_qa import CONVERTER
from domainvl.errors import DatasetError, ExitCode, InputNotFoundError, NothingToDoError
from domainvl.schema import Split, Task

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def lingo(tmp_path):
    folder = tmp_path / "lingo"
    generate_lingo_qa(folder, segment_count=3, seed=0)
    return folder


def rewrite(path, change):
    table = parquet.read_table(path)
    rows = table.to_pylist()
    change(rows)
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=table.schema), path)


def test_drv_61_lingo_qa_asks_about_five_numbered_frames_copied_as_they_are(lingo, tmp_path):
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    assert done.summary.exit_code is ExitCode.DONE
    sample = done.samples["lingo-qa/scenery/1"]
    assert (sample.domain, sample.task, sample.group) == ("driving", Task.CONVERSATION, "scenery-0000")
    assert [image.frame for image in sample.images] == [1, 2, 3, 4, 5]
    for place, image in enumerate(sample.images):
        uri = f"scenery/images/train/scenery-0000/{place}.jpg"
        content = (lingo / uri).read_bytes()
        assert (done.out / image.path).read_bytes() == content
        assert (image.source.uri, image.source.sha256) == (uri, hashlib.sha256(content).hexdigest())
    frames = "".join(f"Frame{number}: <image>\n" for number in range(1, 6))
    assert [turn.text for turn in sample.turns] == [
        f"{frames}What colour is the traffic light?",
        "The light is green.",
    ]


def test_drv_61_lingo_qa_keeps_both_references_of_a_question_to_test_on(lingo, tmp_path):
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    tested = {sample.id: sample for sample in done.of_split[Split.TEST]}
    assert tested.keys() == {f"lingo-qa/evaluation/evaluation-000{number}/q-lights" for number in range(3)}
    for sample in tested.values():
        assert sample.answer.text == "It is red."
        assert sample.answer.accepted == ("The light shows red.",)
        details = sample.images[0].source.details
        assert (details["question_id"], details["segment_id"]) == ("q-lights", sample.group)
    others = done.of_split[Split.TRAIN] + done.of_split[Split.VAL]
    assert {sample.id for sample in others} == {
        f"lingo-qa/{part}/{number}" for part in ("scenery", "action") for number in (1, 2, 3)
    }
    assert all(sample.fixed_split is None and sample.answer.accepted == () for sample in others)


def test_drv_61_lingo_qa_keeps_a_reference_given_twice_once(lingo, tmp_path):
    rewrite(lingo / "evaluation" / "val.parquet", lambda rows: rows[1].update(answer="It is red."))
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    assert done.samples["lingo-qa/evaluation/evaluation-0000/q-lights"].answer.accepted == ()


def test_drv_61_lingo_qa_does_not_train_on_segments_that_it_tests_on(lingo, tmp_path):
    def share(rows):
        rows[1]["segment_id"] = "evaluation-0002"

    rewrite(lingo / "action" / "train.parquet", share)
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    assert "lingo-qa/action/2" not in done.samples
    assert done.reasons() == [("action/train.parquet row 2", "image-in-test")]
    assert done.manifest["notes"][0].startswith("1 of the 3 segments of the official test set also occur")
    kept = Converted(CONVERTER, lingo, tmp_path / "kept", leakage="as-published")
    assert "lingo-qa/action/2" in kept.samples


def test_drv_61_lingo_qa_rows_that_cannot_be_used_are_rejected_by_reason(lingo, tmp_path):
    def spoil(rows):
        rows[0].update(answer=" ")
        rows[1].update(images=[])
        rows[2].update(images=["../../../etc/passwd"])

    rewrite(lingo / "scenery" / "train.parquet", spoil)
    rewrite(lingo / "evaluation" / "val.parquet", lambda rows: rows[1].update(question="Another one?"))
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    assert done.summary.exit_code is ExitCode.PARTIAL
    assert set(done.reasons()) == {
        ("scenery/train.parquet row 1", "field-missing"),
        ("scenery/train.parquet row 2", "row-invalid"),
        ("scenery/train.parquet row 3", "row-invalid"),
        ("evaluation/val.parquet row 2", "references-differ"),
    }


@pytest.mark.parametrize(("strict", "severity"), [(False, "skipped"), (True, "failed")])
def test_drv_61_lingo_qa_frames_that_are_missing_or_damaged_cost_their_questions(lingo, tmp_path, strict, severity):
    (lingo / "action" / "images" / "train" / "action-0000" / "3.jpg").unlink()
    (lingo / "action" / "images" / "train" / "action-0001" / "0.jpg").write_bytes(b"no image")
    done = Converted(CONVERTER, lingo, tmp_path / "out", strict=strict)
    assert {(item["input"], item["reason"], item["severity"]) for item in done.rejects} == {
        ("segment action-0000", "image-missing", severity),
        ("segment action-0001", "image-decode", "failed"),
    }
    assert all("1 question" in item["message"] for item in done.rejects)
    assert {key for key in done.samples if "/action/" in key} == {"lingo-qa/action/3"}


def test_a_single_part_is_enough(lingo, tmp_path):
    shutil.rmtree(lingo / "scenery")
    shutil.rmtree(lingo / "action")
    done = Converted(CONVERTER, lingo, tmp_path / "out")
    assert len(done.samples) == len(done.of_split[Split.TEST]) == 3


def test_a_folder_of_something_else_is_refused(lingo, tmp_path):
    with pytest.raises(InputNotFoundError, match="scenery/train.parquet"):
        Converted(CONVERTER, lingo / "scenery", tmp_path / "out")
    shutil.rmtree(lingo / "scenery" / "images")
    (lingo / "scenery" / "images.zip").write_bytes(b"")
    with pytest.raises(InputNotFoundError, match=r"images.zip is not unpacked.*unzip images.zip"):
        Converted(CONVERTER, lingo, tmp_path / "out")


def test_a_table_without_a_column_is_refused(lingo, tmp_path):
    path = lingo / "evaluation" / "val.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns(["segment_id"]), path)
    with pytest.raises(DatasetError, match="missing: segment_id"):
        Converted(CONVERTER, lingo, tmp_path / "out")


def test_without_any_frame_there_is_nothing_to_do(lingo, tmp_path):
    for part in ("scenery", "action", "evaluation"):
        shutil.rmtree(lingo / part / "images")
        (lingo / part / "images").mkdir()
    with pytest.raises(NothingToDoError, match=r"none of 9 segments.*images.zip"):
        Converted(CONVERTER, lingo, tmp_path / "out")
