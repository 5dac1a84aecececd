"""A corpus without its images: short and equal texts go, the latest stays, whoever did the work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from toy_corpora import caption, document, image, write_corpus

from domainvl.corpus.degrading.texts import LINES_NAME, TextSettings, degrade_to_text
from domainvl.corpus.folder import Corpus
from domainvl.corpus.stage import StageRun
from domainvl.engine import Execution, Shard
from domainvl.errors import NothingToDoError
from domainvl.interleaved.documents import TextSlot

LONG = "one two three four five"
PAGES = [
    document("old", LONG, image("a"), caption("six"), modified="2020-01-01T00:00:00+00:00"),
    document("short", "one two", image("b"), "three"),
    document("new", image("c"), LONG, "six", modified="2024-01-01T00:00:00+00:00"),
    document("undated", LONG, "six"),
    document("other", LONG, "seven", image("d")),
    document("chinese", "一二三四五"),
]
SETTINGS = TextSettings(min_words=5, lines=True)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts") / "corpus"
    write_corpus(folder, PAGES, per_unit=2)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_texts_stay_in_their_slots_and_the_rest_is_counted(corpus: Path, tmp_path: Path):
    summary = degrade_to_text(corpus, tmp_path / "texts", SETTINGS)
    kept = {one.id: one.slots for one in Corpus.open(summary.out).documents()}
    assert list(kept) == ["new", "other", "chinese"]
    assert kept["new"] == (TextSlot(LONG), TextSlot("six"))
    step = summary.manifest["steps"][-1]
    assert step["drops"] == {"text/same-text": 2, "text/too-few-words": 1}
    assert step["counts"] == {"documents kept": 3, "documents read": 6, "images taken out": 4}
    assert len(summary.manifest["steps"]) == 2
    assert "corpus dedup" in summary.manifest["notes"][0]
    rejects = [json.loads(line) for line in (summary.out / "rejects.jsonl").read_text().splitlines()]
    assert [one["input"] for one in rejects] == ["old", "short", "undated"]
    assert "that of new" in rejects[0]["message"]


def test_lines_for_other_trainers(corpus: Path, tmp_path: Path):
    degrade_to_text(corpus, tmp_path / "texts", SETTINGS)
    lines = [json.loads(line) for line in (tmp_path / "texts" / LINES_NAME).read_text("utf-8").splitlines()]
    assert lines[0] == {"id": "new", "url": "https://example.org/new", "text": f"{LONG}\nsix"}
    assert [line["id"] for line in lines] == ["new", "other", "chinese"]
    degrade_to_text(corpus, tmp_path / "without", TextSettings(min_words=5))
    assert not (tmp_path / "without" / LINES_NAME).exists()


def test_of_equal_texts_without_dates_the_first_stays(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [document(name, LONG) for name in "cab"])
    degrade_to_text(tmp_path / "corpus", tmp_path / "texts", SETTINGS)
    assert [one.id for one in Corpus.open(tmp_path / "texts").documents()] == ["c"]


def test_shards_give_the_same_bytes(corpus: Path, tmp_path: Path):
    degrade_to_text(corpus, tmp_path / "whole" / "texts", SETTINGS)
    for index in (1, 2):
        degrade_to_text(corpus, tmp_path / "texts", SETTINGS, run=StageRun(shard=Shard(index, 2)))
    degrade_to_text(corpus, tmp_path / "texts", SETTINGS)
    assert contents(tmp_path / "texts") == contents(tmp_path / "whole" / "texts")


@pytest.mark.slow
def test_processes_give_the_same_bytes(corpus: Path, tmp_path: Path):
    degrade_to_text(corpus, tmp_path / "one" / "texts", SETTINGS)
    degrade_to_text(corpus, tmp_path / "two" / "texts", SETTINGS, run=StageRun(Execution(workers=2)))
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_nothing_left_is_said(corpus: Path, tmp_path: Path):
    with pytest.raises(NothingToDoError, match="6 too-few-words"):
        degrade_to_text(corpus, tmp_path / "texts", TextSettings(min_words=99))
