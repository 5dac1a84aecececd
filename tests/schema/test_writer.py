"""A data set is written as a whole or not at all, and equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest
from builders import make_sample

from domainvl.errors import DatasetError, ExitCode, UsageError
from domainvl.schema import CountAnswer, DatasetWriter, Reject, Severity, Source, Split, Task, read_manifest

SOURCES = [{"uri": "a.tif", "sha256": "0", "size_bytes": 3}]


def finish(writer, **fields):
    given = {"command": "toy", "settings": {"grey": 1}, "sources": SOURCES, "versions": {"domainvl": "0"}}
    return writer.finish(**given | fields)


def write(out, **options):
    """Write three samples in two groups, one image and three rejects."""
    with DatasetWriter(out, name="things", **options) as writer:
        image = writer.images.put_pixels(np.full((2, 3), 7, np.uint8)).to_image(Source(uri="a.tif"))
        writer.add(make_sample("a/1", images=[image], group="a"))
        writer.add(make_sample("a/2", images=[image], group="a", task=Task.COUNTING, answer=CountAnswer(count=2)))
        writer.add(make_sample("b/1", images=[image], group="b", split=Split.TEST, domain="medical"))
        writer.reject(Reject("c.tif", "read", "decode", "it is cut short", "Fetch it again"))
        writer.reject(Reject("d.tif", "plan", "unwanted", "no label", severity=Severity.SKIPPED))
        writer.reject(Reject("e.tif", "read", "decode", "it is cut short", "Fetch it again"))
        return finish(writer)


def content_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_what_lies_on_disk(tmp_path):
    write(tmp_path / "out")

    files = content_of(tmp_path / "out")
    images = [name for name in files if name.startswith("images/")]
    assert sorted(set(files) - set(images)) == [
        "card.md",
        "croissant.json",
        "manifest.json",
        "meta.json",
        "rejects.jsonl",
        "test.jsonl",
        "train.jsonl",
        "val.jsonl",
    ]
    assert len(images) == 1
    assert [json.loads(line)["id"] for line in files["train.jsonl"].splitlines()] == ["a/1", "a/2"]
    assert [json.loads(line)["id"] for line in files["test.jsonl"].splitlines()] == ["b/1"]
    assert files["val.jsonl"] == b""


def test_the_manifest_counts_everything(tmp_path):
    returned = write(tmp_path / "out")

    manifest = read_manifest(tmp_path / "out")
    assert manifest == returned
    assert manifest["counts"] == [
        {"split": "test", "domain": "medical", "task": "vqa", "count": 1},
        {"split": "train", "domain": "general", "task": "counting", "count": 1},
        {"split": "train", "domain": "general", "task": "vqa", "count": 1},
    ]
    assert manifest["groups"] == {"train": 1, "val": 0, "test": 1}
    assert manifest["rejects"] == [
        {"severity": "failed", "stage": "read", "reason": "decode", "count": 2},
        {"severity": "skipped", "stage": "plan", "reason": "unwanted", "count": 1},
    ]
    assert {key: manifest[key] for key in ("name", "command", "settings", "sources", "versions", "licence")} == {
        "name": "things",
        "command": "toy",
        "settings": {"grey": 1},
        "sources": SOURCES,
        "versions": {"domainvl": "0"},
        "licence": None,
    }


def test_every_reject_is_listed(tmp_path):
    write(tmp_path / "out")

    rows = [json.loads(line) for line in (tmp_path / "out" / "rejects.jsonl").read_text().splitlines()]
    assert [row["input"] for row in rows] == ["c.tif", "d.tif", "e.tif"]
    assert rows[0] == {
        "input": "c.tif",
        "stage": "read",
        "reason": "decode",
        "message": "it is cut short",
        "action": "Fetch it again",
        "severity": "failed",
    }
    assert rows[1]["severity"] == "skipped"


def test_only_what_failed_counts_as_failed(tmp_path):
    with DatasetWriter(tmp_path / "out", name="n") as writer:
        assert (writer.sample_count, writer.failed_count, writer.first_reject) == (0, 0, None)
        skipped = Reject("d", "plan", "unwanted", "m", severity=Severity.SKIPPED)
        writer.reject(skipped)
        assert writer.failed_count == 0
        writer.reject(Reject("e", "plan", "r", "m"))
        writer.reject(Reject("f", "read", "r", "m"))
        writer.add(make_sample())
        assert (writer.sample_count, writer.failed_count, writer.first_reject) == (1, 2, skipped)


def test_two_writes_are_byte_identical(tmp_path):
    write(tmp_path / "one" / "out")
    for path in (tmp_path / "one").rglob("*"):
        os.utime(path, (0, 0))
    write(tmp_path / "two" / "out")

    assert content_of(tmp_path / "one" / "out") == content_of(tmp_path / "two" / "out")


def test_the_meta_file_names_the_training_rows_only(tmp_path):
    write(tmp_path / "out")

    text = (tmp_path / "out" / "meta.json").read_text()
    assert json.loads(text)["things"]["annotation"] == "train.jsonl"
    assert json.loads(text)["things"]["length"] == 2
    assert "test" not in text
    assert "val" not in text


@pytest.mark.parametrize("fault", [ValueError, KeyboardInterrupt])
def test_an_exception_inside_leaves_nothing(tmp_path, fault):
    with pytest.raises(fault), DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.images.put_pixels(np.zeros((2, 2), np.uint8))
        writer.add(make_sample())
        raise fault

    assert names_in(tmp_path) == []


def test_a_writer_that_is_not_finished_leaves_nothing(tmp_path):
    with DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.add(make_sample())

    assert names_in(tmp_path) == []


def test_nothing_has_the_name_before_the_end(tmp_path):
    with DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.add(make_sample())
        assert not (tmp_path / "out").exists()
        finish(writer)
        assert (tmp_path / "out" / "manifest.json").is_file()

    assert names_in(tmp_path) == ["out"]


def test_what_a_killed_run_left_is_swept_away(tmp_path):
    (tmp_path / ".out.partial" / "images").mkdir(parents=True)
    (tmp_path / ".out.partial" / "images" / "stale.png").write_bytes(b"stale")

    write(tmp_path / "out")

    assert names_in(tmp_path) == ["out"]
    assert "images/stale.png" not in content_of(tmp_path / "out")


def test_an_existing_folder_is_refused_and_kept(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")

    with pytest.raises(UsageError, match=r"out: it exists.*--overwrite") as caught:
        DatasetWriter(tmp_path / "out", name="n")

    assert caught.value.exit_code == ExitCode.USAGE
    assert content_of(tmp_path / "out") == {"mine.txt": b"mine"}
    assert names_in(tmp_path) == ["out"]


def test_overwrite_replaces_a_data_set(tmp_path):
    with DatasetWriter(tmp_path / "out", name="old") as writer:
        writer.add(make_sample("old"))
        finish(writer)
    (tmp_path / "out" / "stray.txt").write_text("stray")

    write(tmp_path / "out", overwrite=True)
    write(tmp_path / "fresh")

    assert content_of(tmp_path / "out") == content_of(tmp_path / "fresh")
    assert names_in(tmp_path) == ["fresh", "out"]


def test_a_failed_overwrite_keeps_the_older_data_set(tmp_path):
    write(tmp_path / "out")
    before = content_of(tmp_path / "out")

    with pytest.raises(ValueError, match="^$"), DatasetWriter(tmp_path / "out", name="n", overwrite=True) as writer:
        writer.add(make_sample("new"))
        raise ValueError

    assert content_of(tmp_path / "out") == before
    assert names_in(tmp_path) == ["out"]


def test_overwrite_never_deletes_what_is_no_data_set(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")

    for name in ("thesis", "file"):
        with pytest.raises(UsageError, match=f"Cannot overwrite in .*{name}: it is not of the kind"):
            DatasetWriter(tmp_path / name, name="n", overwrite=True)

    assert content_of(tmp_path) == {"file": b"a file", "thesis/chapter.tex": b"years of work"}


def test_overwrite_takes_an_empty_folder(tmp_path):
    (tmp_path / "out").mkdir()

    write(tmp_path / "out", overwrite=True)

    assert (tmp_path / "out" / "manifest.json").is_file()


@pytest.mark.parametrize("name", [".", "..", "sub/.."])
def test_a_target_without_a_name_is_refused(tmp_path, monkeypatch, name):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    with pytest.raises(UsageError):
        DatasetWriter(Path(name), name="n", overwrite=True)

    assert names_in(tmp_path) == ["here"]


def test_a_target_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(UsageError, match="Cannot write in .*file/out: "):
        DatasetWriter(tmp_path / "file" / "out", name="n")


def test_an_id_is_used_once(tmp_path):
    with DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.add(make_sample("a/1"))
        with pytest.raises(DatasetError, match="ids must be unique, 'a/1'"):
            writer.add(make_sample("a/1", question="Another?"))


def test_a_group_is_in_one_split(tmp_path):
    with DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.add(make_sample("1", group="patient 7", split=Split.TRAIN))
        writer.add(make_sample("2", group="patient 8", split=Split.TEST))
        with pytest.raises(DatasetError, match="group 'patient 7' is in train, not also in test"):
            writer.add(make_sample("3", group="patient 7", split=Split.TEST))
        writer.add(make_sample("4", group="patient 7", split=Split.TRAIN))


def test_a_name_that_is_not_utf_8_does_not_stop_the_run(tmp_path):
    name = os.fsdecode(b"scene-\xff.tif")
    source = {"uri": name, "sha256": hashlib.sha256().hexdigest(), "size_bytes": 0}

    with DatasetWriter(tmp_path / "out", name="n") as writer:
        writer.add(make_sample())
        writer.reject(Reject(name, "read", "decode", "it is cut short"))
        finish(writer, sources=[source])

    (row,) = (tmp_path / "out" / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(row)["input"] == name
    assert read_manifest(tmp_path / "out")["sources"] == [source]
