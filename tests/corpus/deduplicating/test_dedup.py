"""Duplicates of a corpus: planted ones are found, others are kept, and it does not matter who did the work."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from toy_corpora import caption, document, image, write_corpus

from domainvl.corpus.deduplicating.settings import DedupSettings
from domainvl.corpus.deduplicating.step import dedup_corpus
from domainvl.corpus.filtering.removals import DROPPED, REMOVALS, Level, read_removals
from domainvl.corpus.folder import Corpus
from domainvl.corpus.stage import StageRun
from domainvl.corpus.tables import read_table, to_documents
from domainvl.engine import Execution, Shard
from domainvl.errors import UsageError
from domainvl.interleaved.documents import Document, Origin, Similarity, TextKind, TextSlot

WORDS = [f"word{number}" for number in range(4000)]
FRESH = ["\u6f22", "\u5b57"]
CHARACTERS = [chr(0x4E00 + number) for number in range(3000)]


def exact_jaccard(one: str, other: str, *, split=str.split) -> float:
    """By the definition, of runs of five."""
    sets = [
        {tuple(units[at : at + 5]) for at in range(len(units) - 4)} for units in (list(split(one)), list(split(other)))
    ]
    return len(sets[0] & sets[1]) / len(sets[0] | sets[1])


def changed(units: list[str], changes: int, draw: random.Random) -> list[str]:
    given = list(units)
    for place in draw.sample(range(len(given)), changes):
        given[place] = draw.choice(FRESH)
    return given


def plant(pair_count: int, vocabulary: list[str], joiner: str, split) -> tuple[list[Document], dict[str, float]]:
    """Pairs of texts that differ in 1 to 25 places of 150, and how alike each pair is."""
    draw = random.Random(7)
    documents, alike = [], {}
    for number in range(pair_count):
        units = draw.choices(vocabulary, k=150)
        texts = [joiner.join(units), joiner.join(changed(units, 1 + number % 25, draw))]
        documents += [document(f"{number:04d}-{side}", text) for side, text in zip("ab", texts, strict=True)]
        alike[f"{number:04d}"] = exact_jaccard(*texts, split=split)
    return documents, alike


def dedup(tmp_path: Path, documents: list[Document], run: StageRun | None = None, **settings) -> Corpus:
    if not (tmp_path / "in").exists():
        write_corpus(tmp_path / "in", documents, per_unit=500)
    out = tmp_path / "out"
    dedup_corpus(tmp_path / "in", out, DedupSettings(**settings), run or StageRun(overwrite=True))
    return Corpus.open(out)


def ids(corpus: Corpus) -> list[str]:
    return [one.id for one in corpus.documents()]


def drops(corpus: Corpus) -> dict[str, dict]:
    lines = (corpus.folder / "rejects.jsonl").read_text(encoding="utf-8").splitlines()
    return {line["input"].removesuffix(".html"): line for line in map(json.loads, lines)}


def text(seed: int, count: int = 60) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=count))


@pytest.mark.parametrize(
    ("vocabulary", "joiner", "split"), [(WORDS, " ", str.split), (CHARACTERS, "", list)], ids=["words", "characters"]
)
def test_planted_near_duplicates_are_found_and_nothing_else(tmp_path, vocabulary, joiner, split):
    documents, alike = plant(400, vocabulary, joiner, split)
    corpus = dedup(tmp_path, documents)
    found = drops(corpus)
    pairs = {name.split("-")[0] for name in found}
    planted = [name for name, value in alike.items() if value >= 0.8]
    assert len(planted) > 30
    assert sum(name in pairs for name in planted) >= 0.95 * len(planted)
    for name, line in found.items():
        kept = re.search(r"document (\S+), .* ([0-9.]+)$", line["message"])
        assert kept is not None
        assert kept[1].split("-")[0] == name.split("-")[0]
        assert float(kept[2]) == pytest.approx(alike[name.split("-")[0]], abs=6e-4)
        assert alike[name.split("-")[0]] >= 0.8
    assert sorted(ids(corpus) + list(found)) == sorted(one.id for one in documents)
    assert {line["severity"] for line in found.values()} == {"skipped"}


def test_of_versions_the_latest_stays_and_what_is_alike_to_none_that_stays_stays_too(tmp_path):
    draw = random.Random(1)
    versions = [draw.choices(WORDS, k=300)]
    for _ in range(4):
        versions.append([f"v{len(versions)}x{at}" if 40 * len(versions) <= at < 40 * len(versions) + 30 else word
                         for at, word in enumerate(versions[-1])])  # fmt: skip
    texts = [" ".join(version) for version in versions]
    assert exact_jaccard(texts[0], texts[1]) >= 0.75 > exact_jaccard(texts[0], texts[2])
    documents = [
        document(f"v{number}", one, modified=f"2024-0{number + 1}-01T00:00:00Z") for number, one in enumerate(texts)
    ]
    draw.shuffle(documents)
    corpus = dedup(tmp_path, documents, min_jaccard=0.75, bands=32, rows=4)
    assert sorted(ids(corpus)) == ["v0", "v2", "v4"]  # v3 is alike to v4, v1 to v2
    assert "document v4," in drops(corpus)["v3"]["message"]


def test_a_dropped_document_and_the_one_that_stays_are_told_by_source_and_id(tmp_path):
    old = document("aa01", text(1), modified="2024-05-01T12:00:00Z")
    new = replace(document("bb02", text(1)), origin=Origin("pdf", "papers/new.pdf", modified="2024-06-01T00:00:00Z"))
    bare = Document("cc03", (TextSlot(text(1)),), url="https://example.org/copy")
    corpus = dedup(tmp_path, [old, new, bare])
    told = [json.loads(line) for line in (corpus.folder / "rejects.jsonl").read_text().splitlines()]
    assert [one["input"] for one in told] == ["aa01.html", "https://example.org/copy"]
    assert "document aa01, is alike to document bb02, which is kept (papers/new.pdf)" in told[0]["message"]


def test_the_latest_is_told_by_time_then_by_id(tmp_path):
    copies = [
        document("none", text(1)),
        document("early", text(1), modified="2024-05-01T12:00:00Z"),
        document("late-b", text(1), modified="2024-05-01T12:00:00+00:00"),
        document("late-a", text(1), modified="2024-05-01T14:00:00+02:00"),
        document("bad", text(1), modified="yesterday"),
    ]
    corpus = dedup(tmp_path, copies)
    assert ids(corpus) == ["early"]  # three are of the same moment
    assert {line["reason"] for line in drops(corpus).values()} == {"exact-duplicate"}


def test_exact_duplicates_have_equal_texts_and_equal_images(tmp_path):
    same = {"d_hash": "0" * 16, "p_hash": "1" * 16, "byte_count": 9}
    documents = [
        document("a", "Normal chest.", image("x")),
        document("b", "normal  CHEST.", image("x")),
        document("c", "Normal chest.", image("y")),  # shorter than a shingle: another patient
        document("d", image("p")),
        document("e", image("q")),
        document("f", image("r", **same)),
        document("g", image("s", **same)),  # the same image at another address
    ]
    assert ids(dedup(tmp_path, documents)) == ["a", "c", "d", "e", "f"]


@pytest.mark.parametrize("same_images", [False, True])
def test_documents_that_read_alike_with_other_images_are_kept_where_images_count(tmp_path, same_images):
    documents = [
        document("a", text(1), image("x")),
        document("b", text(1), image("y")),
        document("c", text(2) + " one", image("x"), image("z")),
        document("d", text(2) + " two", image("x")),
        document("e", text(3) + " one"),
        document("f", text(3) + " two"),
    ]
    kept = ids(dedup(tmp_path, documents, same_images=same_images))
    assert kept == (["a", "b", "c", "e"] if same_images else ["a", "c", "e"])


def test_a_frequent_paragraph_is_kept_in_the_latest_document_alone(tmp_path):
    notice = "All rights to these pages are reserved."
    documents = [
        document(
            f"d{number}", notice, text(number), TextSlot(notice, TextKind.HEADER), "short one", image(f"i{number}"),
            notice, TextSlot("end of it"), modified=f"2024-01-{number + 1:02d}",
        )
        for number in range(4)
    ]  # fmt: skip
    scored = replace(documents[0].images[0], similar=(Similarity(1, 0, 4, 0.5), Similarity(0, 0, 3, 0.2)))
    documents[0] = replace(documents[0], slots=(*documents[0].slots[:4], scored, *documents[0].slots[5:]))
    corpus = dedup(tmp_path, [*documents, document("only", notice)], max_paragraph_documents=4)
    cleaned = {one.id: one for one in corpus.documents()}
    assert set(cleaned) == {"d0", "d1", "d2", "d3"}
    # The heading and the one beside the image stay everywhere; the first stays in the latest.
    assert [sum(slot.text == notice for slot in cleaned[f"d{number}"].texts) for number in range(4)] == [2, 2, 2, 3]
    assert cleaned["d3"].slots == documents[3].slots
    assert cleaned["d0"].images[0].similar == (Similarity(0, 0, 4, 0.5),)
    assert drops(corpus)["only"]["reason"] == "frequent-paragraph"
    taken = read_removals(read_table(corpus.folder / REMOVALS / "documents-00000.parquet"))
    assert [(one.document, one.slot, one.value, one.threshold) for one in taken if one.level is Level.PARAGRAPH] == [
        (f"d{number}", 0, 5.0, 4.0) for number in range(3)
    ]
    assert to_documents(read_table(corpus.folder / DROPPED / "documents-00000.parquet"))[0].id == "only"
    assert len(ids(dedup(tmp_path, [], max_paragraph_documents=0))) == 5


def test_images_are_counted_in_the_documents_that_stay(tmp_path):
    draw = random.Random(5)
    hashes = [f"{draw.getrandbits(64):016x}" for _ in range(6)]
    documents = [
        document(
            f"d{number}", text(number),
            *(image(f"{number}-{place}", d_hash=draw.choice(hashes), p_hash=draw.choice(hashes)) for place in range(3)),
            image(f"{number}-none"), image(f"{number}-other", d_hash="no hash", p_hash="8" * 40),
        )
        for number in range(30)
    ]  # fmt: skip
    copy = replace(documents[0], id="z")
    corpus = dedup(tmp_path, [*documents, copy])
    for name in ("d_hash", "p_hash"):
        expected = Counter(h for one in documents for h in {getattr(slot, name) for slot in one.images if slot.d_hash})
        for one in corpus.documents():
            for slot in one.images[:3]:
                assert getattr(slot, f"{name}_dup_count") == expected[getattr(slot, name)]
            assert [getattr(slot, f"{name}_dup_count") for slot in one.images[3:]] == [None, None]


def mixed_documents() -> list[Document]:
    documents, _ = plant(60, WORDS, " ", str.split)
    notice = "This notice stands under every page of ours."
    return [
        replace(
            one,
            slots=(*one.slots, image(f"i{at % 7}", d_hash=f"{at % 7:016x}"), caption("A figure."), TextSlot(notice)),
        )
        for at, one in enumerate(documents)
    ]


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_it_does_not_matter_who_did_the_work(tmp_path, monkeypatch):
    monkeypatch.setattr("domainvl.corpus.tables.ROWS_PER_GROUP", 25)
    corpus = dedup(tmp_path, mixed_documents())
    assert len(Corpus.open(tmp_path / "in").groups()) == 5
    alone = bytes_below(corpus.folder)
    assert len(list(corpus.images.iterdir())) == 7
    dedup(tmp_path, [], run=StageRun(Execution(workers=2), overwrite=True))
    assert bytes_below(corpus.folder) == alone
    (tmp_path / "away").mkdir()
    corpus.folder.rename(tmp_path / "away" / "out")
    for index in (2, 1):
        dedup_corpus(tmp_path / "in", tmp_path / "out", DedupSettings(), StageRun(shard=Shard(index, 2)))
    dedup(tmp_path, [], run=StageRun())
    assert bytes_below(corpus.folder) == alone


def test_the_order_of_documents_does_not_matter(tmp_path):
    documents = mixed_documents()
    random.Random(3).shuffle(documents)
    for name, given in (("a", mixed_documents()), ("b", documents)):
        (tmp_path / name).mkdir()
        dedup(tmp_path / name, given)
    kept = [sorted(Corpus.open(tmp_path / name / "out").documents(), key=lambda one: one.id) for name in ("a", "b")]
    assert kept[0] == kept[1]


def test_settings_that_mean_nothing_are_refused():
    for wrong in ({"min_jaccard": 0.0}, {"min_jaccard": 1.1}, {"bands": 0}, {"shingle_words": 0}):
        with pytest.raises(UsageError):
            DedupSettings(**wrong)
