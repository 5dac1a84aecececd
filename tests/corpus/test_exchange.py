"""Records of MMC4 and OBELICS as their makers show them, and what comes back of ours."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from toy_corpora import caption, document, image, png, write_corpus
from typer.testing import CliRunner

from domainvl.cli.corpus_export import export
from domainvl.corpus.exchange import RecordFormat, from_record, recognise, to_format
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.corpus.sources.records import read_records
from domainvl.errors import ItemError
from domainvl.interleaved.documents import Document, ImageSlot, Similarity, TextSlot, image_name, to_record
from domainvl.schema.writer import Reject

MMC4: dict[str, Any] = {
    "url": "http://www.example.com/fit.html",
    "text_list": ["Lock the door.", "Press the switch.", "All doors lock."],
    "image_info": [
        {
            "face_detections": None,
            "image_name": "b9040a0dbb22.jpg",
            "matched_sim": 0.27,
            "matched_text_index": 2,
            "raw_url": "http://www.example.com/90.jpg",
        },
        {
            "face_detections": None,
            "image_name": "db1c21bc8474.jpg",
            "matched_sim": 0.32,
            "matched_text_index": 1,
            "raw_url": "http://www.example.com/91.jpg",
        },
    ],
    "similarity_matrix": [[0.24, 0.31, 0.27], [0.22, 0.32, 0.26]],
    "could_have_url_duplicate": 0,
}
"""A record with the fields of the example in allenai/mmc4's README; texts and addresses are ours."""

OBELICS: dict[str, Any] = {
    "images": ["http://example.com/a.jpg", None, "http://example.com/b.png"],
    "texts": [None, "One.\n\nTwo.\n\nEND_OF_DOCUMENT_TOKEN_TO_BE_REPLACED\n\nThree.", None],
    "metadata": json.dumps(
        [
            {
                "document_url": "http://example.com/page",
                "unformatted_src": "/a.jpg",
                "src": "http://example.com/a.jpg",
                "alt_text": "A film",
                "original_width": 640,
                "original_height": 480,
            },
            None,
            {"document_url": "http://example.com/page", "src": "http://example.com/b.png"},
        ]
    ),
    "general_metadata": json.dumps({"url": "http://example.com/page", "warc_filename": "crawl.warc.gz"}),
}


def order(read: Document) -> list[str]:
    return [slot.text if isinstance(slot, TextSlot) else slot.url for slot in read.slots]


def test_an_image_of_mmc4_stands_before_its_sentence_with_what_it_was_compared_with() -> None:
    read = from_record(MMC4)
    first, second = "http://www.example.com/90.jpg", "http://www.example.com/91.jpg"
    assert order(read) == ["Lock the door.", second, "Press the switch.", first, "All doors lock."]
    slots = [0, 2, 4]
    assert [slot.similar for slot in read.images] == [
        tuple(
            Similarity(slot, 0, len(text), score)
            for slot, text, score in zip(slots, MMC4["text_list"], MMC4["similarity_matrix"][row], strict=True)
        )
        for row in (1, 0)
    ]
    assert (read.url, read.domain) == (MMC4["url"], ("www.example.com",))
    assert read.origin is not None and read.origin.placement == "retrieval"


def test_a_record_of_mmc4_comes_back_but_for_the_order_and_names_of_images() -> None:
    back = to_format(from_record(MMC4), RecordFormat.MMC4)
    assert back["text_list"] == MMC4["text_list"]
    found = sorted(zip(back["image_info"], back["similarity_matrix"], strict=True), key=lambda pair: pair[0]["raw_url"])
    for (info, row), told, told_row in zip(found, MMC4["image_info"], MMC4["similarity_matrix"], strict=True):
        assert info == {**told, "image_name": image_name(told["raw_url"])}
        assert row == told_row


def test_empty_sentences_of_mmc4_are_no_texts_and_move_no_image() -> None:
    read = from_record({**MMC4, "text_list": ["Lock the door.", " ", "All doors lock."]})
    assert order(read) == [
        "Lock the door.", "http://www.example.com/91.jpg", "http://www.example.com/90.jpg", "All doors lock.",
    ]  # fmt: skip
    assert [one.slot for slot in read.images for one in slot.similar] == [0, 3, 0, 3]


def test_obelics_is_read_by_paragraph_and_its_marks_are_no_text() -> None:
    read = from_record(OBELICS)
    assert order(read) == ["http://example.com/a.jpg", "One.", "Two.", "Three.", "http://example.com/b.png"]
    assert read.images[0] == ImageSlot("http://example.com/a.jpg", width_px=640, height_px=480, alt="A film")
    assert (read.url, read.domain) == ("http://example.com/page", ("example.com",))


def test_fields_that_are_json_in_some_files_are_read_as_objects_too() -> None:
    plain = {**OBELICS, **{key: json.loads(OBELICS[key]) for key in ("metadata", "general_metadata")}}
    assert from_record(plain) == from_record(OBELICS)


SAMPLE = document(
    "sample",
    "Before all.",
    image("a", alt="A film", width_px=8, height_px=6),
    caption("Figure 1. A film."),
    "After it.",
    image("off", valid=False),
    image("last"),
)


def test_through_obelics_order_alt_sizes_and_id_come_back() -> None:
    back = from_record(to_format(SAMPLE, RecordFormat.OBELICS))
    assert order(back) == [one for one in order(SAMPLE) if "off" not in one]
    assert back.images == tuple(slot for slot in SAMPLE.images if slot.valid)
    assert (back.id, back.url) == (SAMPLE.id, SAMPLE.url)


def test_through_mmc4_texts_images_and_id_come_back_in_order_but_for_an_image_at_the_end() -> None:
    back = from_record(to_format(SAMPLE, RecordFormat.MMC4))
    found = order(back)
    assert found == [
        "Before all.", image("a").url, "Figure 1. A film.", image("last").url, "After it.",
    ]  # fmt: skip
    assert (back.id, back.url) == (SAMPLE.id, SAMPLE.url)
    assert [info["matched_sim"] for info in to_format(SAMPLE, RecordFormat.MMC4)["image_info"]] == [None, None]


def test_through_omnicorpus_all_comes_back() -> None:
    assert from_record(to_format(SAMPLE, RecordFormat.OMNICORPUS)) == SAMPLE


def test_formats_are_told_apart_by_their_fields() -> None:
    found = [recognise(record) for record in (MMC4, OBELICS, to_record(SAMPLE))]
    assert found == [RecordFormat.MMC4, RecordFormat.OBELICS, RecordFormat.OMNICORPUS]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "record"),
        ([], "record"),
        ({"text": "plain"}, "record"),
        ({**MMC4, "text_list": "one"}, "type"),
        ({**MMC4, "text_list": [1]}, "type"),
        ({**MMC4, "image_info": ["a.jpg"]}, "type"),
        ({**MMC4, "image_info": [{"matched_text_index": 0}], "similarity_matrix": None}, "type"),
        ({**MMC4, "text_list": ["one"]}, "matched-text"),
        ({**MMC4, "image_info": [{"raw_url": "a", "matched_text_index": None}]}, "matched-text"),
        ({**MMC4, "similarity_matrix": [[0.1]]}, "similarity"),
        ({**OBELICS, "images": "a"}, "type"),
        ({**OBELICS, "texts": [None, "One."]}, "lengths"),
        ({**OBELICS, "metadata": "[broken"}, "lengths"),
        ({**OBELICS, "texts": ["both", "One.", None]}, "slots"),
        ({**OBELICS, "images": [None, None, None]}, "slots"),
        ({**OBELICS, "images": [1, None, "b"]}, "slots"),
    ],
)
def test_a_record_that_breaks_a_rule_is_refused_by_its_reason(record: object, reason: str) -> None:
    with pytest.raises(ItemError) as raised:
        from_record(record)
    assert raised.value.reason == reason


def test_mmc4_has_no_place_for_a_document_without_text() -> None:
    with pytest.raises(ItemError) as raised:
        to_format(document("bare", image("a")), RecordFormat.MMC4)
    assert raised.value.reason == "no-text"


def test_records_are_read_with_the_images_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "shard_0.jsonl"
    lines = [json.dumps(MMC4), "{broken", json.dumps(OBELICS), json.dumps(to_record(SAMPLE))]
    path.write_text("\n".join(lines))
    beside = {
        "shard_0_images/b9040a0dbb22.jpg": png(seed=1),
        f"images/{image_name('http://example.com/a.jpg')}.jpg": png(seed=2),
        f"images/{image_name(image('a').url)}": png(seed=3),
    }
    for name, content in beside.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    pages = list(read_records(SourceFile(path, "s/shard_0.jsonl", tmp_path, "records"), ReadSettings()))
    mmc4, broken, obelics, ours = pages
    assert isinstance(broken, Reject) and (broken.input, broken.reason) == ("s/shard_0.jsonl#2", "record")
    found = [
        (mmc4, "http://www.example.com/90.jpg", png(seed=1)),
        (obelics, "http://example.com/a.jpg", png(seed=2)),
        (ours, image("a").url, png(seed=3)),
    ]
    for page, url, content in found:
        assert isinstance(page, Page)
        assert page.find_image(url) == content
    assert isinstance(ours, Page) and ours.document == SAMPLE
    for name in ("http://www.example.com/91.jpg", "../shard_0.jsonl"):
        with pytest.raises(ItemError) as raised:
            assert isinstance(mmc4, Page)
            mmc4.find_image(name)
        assert raised.value.reason == "missing"


def test_what_no_column_can_hold_costs_its_own_record_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    scored = MMC4 | {"similarity_matrix": [[10**400] * len(MMC4["text_list"])] * len(MMC4["image_info"])}
    wide = OBELICS | {"metadata": [{"original_width": 2**63} if url else None for url in OBELICS["images"]]}
    ours = to_record(SAMPLE) | {"image_info": 5}
    path.write_text("\n".join(["[" * 100_000, *(json.dumps(one) for one in (scored, wide, ours))]))
    pages = list(read_records(SourceFile(path, "a.jsonl", tmp_path, "records"), ReadSettings()))
    assert [one.reason if isinstance(one, Reject) else "" for one in pages] == ["record", "similarity", "", ""]
    documents = [one.document for one in pages if isinstance(one, Page) and one.document is not None]
    assert {slot.width_px for slot in documents[0].images} == {None}
    assert documents[1] == SAMPLE


def test_images_of_records_are_files_inside_the_source(tmp_path: Path) -> None:
    (tmp_path / "source/images").mkdir(parents=True)
    path = tmp_path / "source" / "a.jsonl"
    path.write_text(json.dumps(to_record(SAMPLE)))
    (tmp_path / "secret.png").write_bytes(png())
    (path.parent / "images" / image_name("out")).symlink_to("../../secret.png")
    os.mkfifo(path.parent / "images" / image_name("pipe"))
    (page,) = read_records(SourceFile(path, "a.jsonl", path.parent, "records"), ReadSettings())
    assert isinstance(page, Page)
    for url, reason in (("out", "outside-source"), ("pipe", "missing")):
        with pytest.raises(ItemError) as raised:
            page.find_image(url)
        assert raised.value.reason == reason


def test_no_parquet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(b"no Parquet")
    with pytest.raises(ItemError) as raised:
        list(read_records(SourceFile(path, "a.parquet", tmp_path, "records"), ReadSettings()))
    assert raised.value.reason == "decode"


@pytest.mark.parametrize("name", [str(one) for one in RecordFormat])
def test_an_export_is_read_again_with_its_images(tmp_path: Path, name: str) -> None:
    import typer

    write_corpus(tmp_path / "corpus", [SAMPLE, document("bare", image("b"))])
    app = typer.Typer()
    app.command()(export)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, [str(tmp_path / "corpus"), "--out", str(out), "--format", name])
    assert result.exit_code == 0, result.output
    told = json.loads((out / "export.json").read_text())
    pages = list(read_records(SourceFile(out / "documents.jsonl", "d", out, "records"), ReadSettings()))
    ids = []
    for page in pages:
        assert isinstance(page, Page) and page.document is not None
        ids.append(page.document.id)
        for slot in page.slots:
            if isinstance(slot, ImageSlot) and slot.valid:
                assert page.find_image(slot.url) == (tmp_path / "corpus/images" / image_name(slot.url)).read_bytes()
    is_mmc4 = name == "mmc4"
    assert ids == (["sample"] if is_mmc4 else ["sample", "bare"])
    assert (told["documents"], told["images"]) == (len(ids), 2 if is_mmc4 else 3)
    assert told["left_out"] == ({"no-text": 1} if is_mmc4 else {})
    again = CliRunner().invoke(app, [str(tmp_path / "corpus"), "--out", str(out), "--format", name])
    assert again.exit_code != 0
