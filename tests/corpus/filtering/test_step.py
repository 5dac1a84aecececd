"""The step that filters a corpus: what it keeps of all that goes, and that thresholds change without measuring."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from filtered_corpora import HERE, make_document, prose, write_filtered, write_plain
from toy_corpora import document, write_corpus

from domainvl.conversion.run import convert
from domainvl.corpus import tables
from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.step import dedup_corpus
from domainvl.corpus.degrading.pairs import CorpusPairs, PairSettings
from domainvl.corpus.degrading.texts import TextSettings, degrade_to_text
from domainvl.corpus.degrading.windows import WindowSettings, degrade_to_windows
from domainvl.corpus.filtering import step
from domainvl.corpus.filtering.filtered import FilteredCorpus
from domainvl.corpus.filtering.profiles import load_profile, with_settings
from domainvl.corpus.filtering.removals import DROPPED, MEASURED
from domainvl.corpus.filtering.rules import RULES
from domainvl.corpus.folder import IMAGES_NAME, Corpus
from domainvl.corpus.tables import iterate_tables, to_documents
from domainvl.engine import Execution, Shard
from domainvl.errors import DomainvlError, ExitCode, UsageError
from domainvl.interleaved.documents import image_name
from domainvl.interleaved.reading import record_files
from domainvl.schema.writer import REJECTS_NAME

GENERAL = load_profile("general")
LENIENT = with_settings(
    GENERAL, ["hf-four-words=off", "gopher-words=off", "c4-sentences=off", "hf-words=off", "hf-short-paragraphs=off"]
)


def contents(folder, *, but=()):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in but
    }


def table(folder, name):
    return [one for part in iterate_tables(sorted((folder / name).glob("*.parquet"))) for one in to_documents(part)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Twelve documents in row groups of four, so that there are three units."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tables, "ROWS_PER_GROUP", 4)
        return write_plain(tmp_path_factory.mktemp("corpora") / "plain")


@pytest.fixture(scope="module")
def filtered(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("filtered") / "filtered"
    step.filter_corpus(plain, folder, GENERAL, run=HERE)
    return folder


def test_all_that_was_dropped_and_measured_is_kept_as_it_was(filtered):
    whole = [make_document(number) for number in range(12)]
    assert table(filtered, MEASURED) == whole
    assert table(filtered, DROPPED) == whole[2::3]
    kept = list(Corpus.open(filtered).documents())
    assert [one.id for one in kept] == [one.id for one in whole if one not in whole[2::3]]


def test_what_is_kept_has_lost_a_paragraph_and_one_image(filtered):
    for kept in Corpus.open(filtered).documents():
        number = int(kept.id[-2:])
        assert [slot.text for slot in kept.texts] == [prose(number), "A list of five words"]
        assert [slot.valid for slot in kept.images] == [False, True]


def test_images_of_dropped_documents_are_there(filtered):
    urls = {slot.url for number in range(12) for slot in make_document(number).images}
    assert {path.name for path in (filtered / IMAGES_NAME).iterdir()} == {image_name(url) for url in urls}


def test_everything_is_counted_by_rule(filtered):
    counts = Corpus.open(filtered).manifest["steps"][-1]["counts"]
    assert counts == {
        "documents": 12,
        "documents kept": 8,
        "paragraphs": 8 * 3 + 4,
        "images": 24,
        "document/gopher-words": 4,
        "paragraph/hf-four-words": 8,
        "image/image-side": 8,
    }


def test_each_dropped_document_is_listed_once_with_its_rule(filtered):
    rows = [json.loads(line) for line in (filtered / REJECTS_NAME).read_text().splitlines()]
    assert [row["input"] for row in rows] == ["doc-02", "doc-05", "doc-08", "doc-11"]
    assert {(row["stage"], row["reason"], row["severity"]) for row in rows} == {("filter", "gopher-words", "skipped")}
    assert "at least 50" in rows[0]["message"]


def test_a_document_that_breaks_several_rules_is_listed_once(tmp_path):
    corpus = tmp_path / "corpus"
    write_corpus(corpus, [document("good", prose(1)), document("bad", "{ # } " * 5)], run=HERE)
    summary = step.filter_corpus(corpus, tmp_path / "out", GENERAL, run=HERE)
    broken = [name for name in summary.manifest["steps"][-1]["counts"] if name.startswith("document/")]
    assert len(broken) > 1
    assert sum(summary.manifest["steps"][-1]["drops"].values()) == 1
    assert summary.exit_code is ExitCode.DONE


def test_other_thresholds_apply_without_measuring_and_to_all_documents(plain, filtered, tmp_path, monkeypatch):
    step.filter_corpus(plain, tmp_path / "a" / "lenient", LENIENT, run=HERE)
    monkeypatch.setattr(step, "measure", lambda *_: pytest.fail("it was measured again"))
    summary = step.filter_corpus(filtered, tmp_path / "b" / "lenient", LENIENT, run=HERE)
    assert summary.manifest["documents"] == 12
    assert contents(tmp_path / "b" / "lenient") == contents(tmp_path / "a" / "lenient")
    assert [one["command"] for one in summary.manifest["steps"]] == ["corpus test", "corpus filter"]


@pytest.mark.parametrize("why", ["words", "version"])
def test_what_does_not_hold_any_more_is_measured_again(plain, filtered, tmp_path, monkeypatch, why):
    profile = GENERAL
    if why == "words":
        profile = GENERAL.model_validate({**GENERAL.model_dump(), "flagged_words": ("river",)})
    else:
        monkeypatch.setattr("domainvl.corpus.filtering.filtered.__version__", "another")
    measured = []
    measure = step.measure
    monkeypatch.setattr(step, "measure", lambda *given: measured.append(given[0].id) or measure(*given))
    step.filter_corpus(filtered, tmp_path / "b" / "again", profile, run=HERE)
    assert measured == [f"doc-{number:02d}" for number in range(12)]
    step.filter_corpus(plain, tmp_path / "a" / "again", profile, run=HERE)
    assert contents(tmp_path / "b" / "again") == contents(tmp_path / "a" / "again")


@pytest.mark.slow
def test_two_workers_give_the_bytes_of_one(plain, filtered, tmp_path):
    step.filter_corpus(plain, tmp_path / "filtered", GENERAL, run=replace(HERE, execution=Execution(workers=2)))
    assert contents(tmp_path / "filtered") == contents(filtered)


def test_shards_join_to_the_bytes_of_one_run_with_the_images_of_dropped_documents(plain, filtered, tmp_path):
    out = tmp_path / "filtered"
    for name in ("1/2", "2/2"):
        step.filter_corpus(plain, out, GENERAL, run=replace(HERE, shard=Shard.parse(name)))
    step.filter_corpus(plain, out, GENERAL, run=HERE)
    assert contents(out) == contents(filtered)


def test_removals_come_back_with_their_documents(filtered):
    found = list(FilteredCorpus.open(filtered).documents())
    assert [one.document for one in found] == [make_document(number) for number in range(12)]
    for number, one in enumerate(found):
        assert one.is_kept is (number % 3 != 2)
        assert {removal.document for removal in one.removals} == {one.document.id}
        expected = {"gopher-words"} if number % 3 == 2 else {"hf-four-words", "image-side"}
        assert {removal.rule for removal in one.removals} == expected


def test_a_corpus_of_which_nothing_is_left_can_be_asked_why_and_filtered_anew(tmp_path):
    write_corpus(tmp_path / "corpus", [document("a", "Too short.")], run=HERE)
    summary = step.filter_corpus(tmp_path / "corpus", tmp_path / "out", GENERAL, run=HERE)
    assert summary.exit_code is ExitCode.NOTHING_DONE
    assert (summary.manifest["documents"], summary.manifest["files"]) == (0, [])
    filtered = FilteredCorpus.open(tmp_path / "out")
    (one,) = filtered.documents()
    assert not one.is_kept
    assert "gopher-words" in {removal.rule for removal in one.removals}
    off = with_settings(GENERAL, [f"{code}=off" for code in RULES])
    assert step.filter_corpus(tmp_path / "out", tmp_path / "again", off, run=HERE).manifest["documents"] == 1


@pytest.mark.parametrize("reader", ["text", "windows", "pairs", "dedup", "filter", "training"])
def test_whoever_reads_a_corpus_without_documents_says_so(tmp_path, reader):
    write_corpus(tmp_path / "corpus", [document("a", "Too short.")], run=HERE)
    step.filter_corpus(tmp_path / "corpus", tmp_path / "empty", GENERAL, run=HERE)
    (tmp_path / "empty" / "measured").rename(tmp_path / "measured")  # or else filter starts from there
    source, out = tmp_path / "empty", tmp_path / "out"
    readers = {
        "text": lambda: degrade_to_text(source, out, TextSettings(), run=HERE),
        "windows": lambda: degrade_to_windows(source, out, WindowSettings(), run=HERE),
        "pairs": lambda: convert(CorpusPairs(), source, out, PairSettings()),
        "dedup": lambda: dedup_corpus(source, out, DedupSettings(), HERE),
        "filter": lambda: step.filter_corpus(source, out, GENERAL, run=HERE),
        "training": lambda: record_files(source),
    }
    with pytest.raises(DomainvlError, match="the input has none|the corpus has no documents"):
        readers[reader]()
    assert not out.exists()


def test_a_corpus_that_was_not_filtered_is_refused(plain):
    with pytest.raises(UsageError, match="corpus filter"):
        FilteredCorpus.open(plain)


def test_documents_with_nothing_to_lose_come_through(tmp_path):
    folder = write_filtered(tmp_path / "all", 2, with_settings(LENIENT, ["image-side=off"]))
    assert list(Corpus.open(folder).documents()) == [make_document(0), make_document(1)]
