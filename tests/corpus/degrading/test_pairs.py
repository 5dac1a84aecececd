"""Pairs as a data set: images and captions of synthetic pages and of the real book, and what was left out."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage
from toy_corpora import caption, document, image, png, write_corpus

from domainvl.conversion.run import RunSettings, convert
from domainvl.conversion.shards import convert_shard, merge_shards
from domainvl.corpus.degrading.pairs import CorpusPairs, PairSettings
from domainvl.corpus.folder import Corpus
from domainvl.corpus.sources.html import read_html
from domainvl.corpus.sources.reading import ReadSettings, SourceFile
from domainvl.corpus.stage import put_image
from domainvl.engine import Shard
from domainvl.interleaved.documents import Document, ImageSlot, image_name
from domainvl.schema import Sample, Split, Task, read_samples
from domainvl.schema.validation import validate

EVERYTHING = PairSettings(val_fraction=0.0, test_fraction=0.0)


def pairs_of(corpus: Path, out: Path, settings: PairSettings = EVERYTHING) -> tuple[list[Sample], dict[str, int]]:
    summary = convert(CorpusPairs(), corpus, out, settings)
    samples = [sample for split in Split for sample in read_samples(out, split)]
    return samples, {row["reason"]: row["count"] for row in summary.manifest["rejects"]}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    pages = [
        document(f"d{n}", image(f"a{n}", alt="A cup of clay"), caption(f"Fig. {n}. Cup {n}."), "Text.")
        for n in range(12)
    ]
    odd = document(
        "odd", image("x", valid=False), caption("Gone."), "Text", image("y", alt="map"), "w " * 70,
        image("twin"), "A cup.", image("twin"), "Again a cup.",
    )  # fmt: skip
    write_corpus(folder / "corpus", [*pages, odd])
    return folder


def test_a_sample_is_an_image_its_caption_and_how_it_was_found(made: Path, tmp_path: Path):
    samples, reasons = pairs_of(made / "corpus", tmp_path / "pairs", PairSettings(field="medical"))
    by_id = {sample.id: sample for sample in samples}
    sample = by_id["d3/0/caption"]
    assert (sample.task, sample.domain, sample.group) == (Task.CAPTION, "medical", "d3")
    assert sample.turns[0].text == "<image>\nDescribe what is in the image."
    assert sample.turns[1].text == "Cup 3."
    details = sample.images[0].source.details
    assert details["pair_method"] == "caption"
    assert details["pair_score"] is None
    assert (details["pair_images"], details["pair_label"], details["slot"]) == (1, "Fig. 3.", 0)
    stored = (tmp_path / "pairs" / sample.images[0].path).read_bytes()
    assert stored == (made / "corpus" / "images" / image_name("https://example.org/a3.png")).read_bytes()
    assert reasons == {"switched-off": 1, "long-text": 1, "repeated-image": 1}
    assert len(samples) == 13  # twelve pages and one image of the odd one
    assert not [finding for finding in validate(tmp_path / "pairs").findings if finding.severity == "error"]


def test_all_pairs_of_a_document_are_in_one_split(tmp_path: Path):
    pages = [document(f"d{n}#w{m}", image(f"{n}-{m}"), caption("A cup.")) for n in range(30) for m in (1, 2, 3)]
    write_corpus(tmp_path / "corpus", pages)
    samples, _ = pairs_of(tmp_path / "corpus", tmp_path / "pairs", PairSettings(val_fraction=0.3, test_fraction=0.3))
    splits: dict[str, set[Split]] = {}
    for sample in samples:
        splits.setdefault(sample.group, set()).add(sample.split)
    assert len(splits) == 30
    assert all(len(found) == 1 for found in splits.values())
    assert len({split for found in splits.values() for split in found}) == 3


def test_other_formats_become_png_with_the_same_pixels(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [document("d", image("w"), caption("A cup."))])
    pixels = np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8)
    buffer = io.BytesIO()
    PillowImage.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    (tmp_path / "corpus" / "images" / image_name("https://example.org/w.png")).write_bytes(buffer.getvalue())
    ((sample,), _) = pairs_of(tmp_path / "corpus", tmp_path / "pairs")
    assert sample.images[0].path.endswith(".png")
    np.testing.assert_array_equal(np.asarray(PillowImage.open(tmp_path / "pairs" / sample.images[0].path)), pixels)


def test_images_that_are_gone_or_broken_are_counted(tmp_path: Path):
    write_corpus(tmp_path / "corpus", [document("d", *(part for n in "abc" for part in (image(n), caption("A cup."))))])
    folder = tmp_path / "corpus" / "images"
    (folder / image_name("https://example.org/a.png")).unlink()
    (folder / image_name("https://example.org/b.png")).write_bytes(png()[:60])
    samples, reasons = pairs_of(tmp_path / "corpus", tmp_path / "pairs")
    assert [sample.id for sample in samples] == ["d/4/caption"]
    assert reasons == {"missing": 1, "image-decode": 1}
    told = [json.loads(line) for line in (tmp_path / "pairs" / "rejects.jsonl").read_text().splitlines()]
    assert {one["reason"]: one["severity"] for one in told} == {"missing": "skipped", "image-decode": "failed"}


def test_shards_joined_are_the_data_set_of_one_job(made: Path, tmp_path: Path):
    pairs_of(made / "corpus", tmp_path / "whole")
    shards = [
        convert_shard(CorpusPairs(), made / "corpus", tmp_path / "parts", Shard(index, 2), EVERYTHING).folder
        for index in (1, 2)
    ]
    merge_shards(shards, tmp_path / "joined")
    assert (tmp_path / "joined" / "train.jsonl").read_bytes() == (tmp_path / "whole" / "train.jsonl").read_bytes()
    assert json.loads((tmp_path / "joined" / "manifest.json").read_text())["command"] == "corpus degrade"


@pytest.mark.slow
def test_processes_give_the_same_bytes_as_this_process(made: Path, tmp_path: Path):
    pairs_of(made / "corpus", tmp_path / "one")
    convert(CorpusPairs(), made / "corpus", tmp_path / "two", EVERYTHING, run=RunSettings(workers=2))
    for name in ("train.jsonl", "rejects.jsonl"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.fixture(scope="module")
def book(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page of the book, and its corpus."""
    pages = sorted(real_data.glob("general/GITenberg__*/*/*.htm"))
    if not pages:
        pytest.skip("the book is not there")
    source = SourceFile(pages[0], pages[0].name, pages[0].parent, "html")
    (page,) = read_html(source, ReadSettings())
    corpus = tmp_path_factory.mktemp("book") / "corpus"
    write_corpus(corpus, [Document("book", page.slots)])  # type: ignore[union-attr]
    for slot in page.slots:  # type: ignore[union-attr]
        if isinstance(slot, ImageSlot):
            (corpus / "images" / image_name(slot.url)).unlink(missing_ok=True)
            put_image(corpus / "images", slot.url, page.find_image(slot.url))  # type: ignore[union-attr]
    return pages[0], corpus


def test_the_captions_of_the_book_are_found(book: tuple[Path, Path], tmp_path: Path):
    """By an oracle that knows no pairs: files are named after the numbers that stand in the captions of the page."""
    page, corpus = book
    words = " ".join(re.sub(r"<[^>]*>", "", page.read_text("utf-8")).replace("&nbsp;", " ").split())
    samples, reasons = pairs_of(corpus, tmp_path / "pairs")
    assert len(samples) + sum(reasons.values()) == len(next(Corpus.open(corpus).documents()).images) >= 360
    assert reasons == {"useless-alt": 1}  # the map, which has no caption
    checked = 0
    for sample in samples:
        number = re.search(r"/fig(\d+)", sample.images[0].source.uri)
        label = sample.images[0].source.details["pair_label"]
        if number is not None and label is not None:
            assert re.fullmatch(rf"Fig\. {number[1]}a?\.", str(label)), (sample.images[0].source.uri, label)
            beginning = sample.turns[1].text.split("—")[0][:40]
            assert f"{label} {beginning}" in words
            checked += 1
    assert checked > 300
    methods = Counter(sample.images[0].source.details["pair_method"] for sample in samples)
    assert methods["alt"] == 13  # the music is what its alternative text says
    assert methods["caption"] == len(samples) - 13
