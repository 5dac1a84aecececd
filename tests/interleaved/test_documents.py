"""Each invariant of the format, broken one by one."""

from __future__ import annotations

import copy
import dataclasses
import hashlib

import pytest

from domainvl.errors import ItemError
from domainvl.interleaved.documents import (
    Document,
    ImageSlot,
    Origin,
    Similarity,
    TextKind,
    TextSlot,
    image_name,
    keep_slots,
    read_document,
    to_record,
)

RECORD = {
    "general_metadata": {"id": "d1", "url": "https://example.org"},
    "images": [None, "https://example.org/a", None, "https://example.org/b"],
    "texts": ["One.", None, "Two.", None],
    "metadata": [None, {"width": 3, "height": 4, "img_url_sha": "0"}, None, {}],
}


def test_a_record_becomes_slots_in_order():
    document = read_document(RECORD)
    assert document.id == "d1"
    assert document.slots == (
        TextSlot("One."),
        ImageSlot("https://example.org/a", 3, 4),
        TextSlot("Two."),
        ImageSlot("https://example.org/b", None, None),
    )


def test_an_image_can_be_switched_off_without_moving_the_others():
    slots = read_document(RECORD | {"valid_image": [False, True]}).slots
    assert [slot.valid for slot in slots if isinstance(slot, ImageSlot)] == [False, True]
    assert read_document(RECORD | {"valid_image": None}) == read_document(RECORD)


def broken(change):
    record = copy.deepcopy(RECORD)
    change(record)
    return record


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (None, "record"),
        ([1], "record"),
        (broken(lambda record: record.pop("general_metadata")), "id"),
        (broken(lambda record: record["general_metadata"].pop("id")), "id"),
        (broken(lambda record: record["general_metadata"].update(id="")), "id"),
        (broken(lambda record: record["general_metadata"].update(id=3)), "id"),
        (broken(lambda record: record.pop("texts")), "type"),
        (broken(lambda record: record.update(images="a")), "type"),
        (broken(lambda record: record["texts"].pop()), "lengths"),
        (broken(lambda record: record["metadata"].pop()), "lengths"),
        (broken(lambda record: record["images"].append(None)), "lengths"),
        (broken(lambda record: record["texts"].__setitem__(0, None)), "slots"),
        (broken(lambda record: record["texts"].__setitem__(1, "both")), "slots"),
        (broken(lambda record: record["texts"].__setitem__(0, 5)), "type"),
        (broken(lambda record: record["images"].__setitem__(1, 5)), "type"),
        (broken(lambda record: record["metadata"].__setitem__(1, None)), "metadata"),
        (broken(lambda record: record["metadata"].__setitem__(0, {})), "metadata"),
        (broken(lambda record: record["metadata"].__setitem__(1, "x")), "type"),
        (broken(lambda record: record["metadata"][1].update(width=0)), "metadata"),
        (broken(lambda record: record["metadata"][1].update(height=2.5)), "metadata"),
        (broken(lambda record: record["metadata"][1].update(height=True)), "metadata"),
        (broken(lambda record: record["metadata"][1].update(bytes=2**63)), "metadata"),
        (broken(lambda record: record["metadata"][1].update(aesthetic_prob=10**400)), "metadata"),
        (broken(lambda record: record["general_metadata"].update(toxic_prob=10**400)), "metadata"),
        (RECORD | {"valid_image": [True]}, "valid-image"),
        (RECORD | {"valid_image": [True, 1]}, "valid-image"),
        (RECORD | {"valid_image": "yes"}, "valid-image"),
    ],
)
def test_a_broken_record_is_refused_with_its_reason(record, reason):
    with pytest.raises(ItemError) as caught:
        read_document(record)
    assert caught.value.reason == reason
    assert caught.value.rule


WHOLE = Document(
    id="d",
    slots=(
        TextSlot("Findings", TextKind.HEADER, level=2, page=3),
        ImageSlot(
            "https://example.org/a", 640, 480, 1234, "00ff00ff00ff00ff", "ff00ff00ff00ff00", 3, 2, 4.5, 0.25,
            valid=False, alt="A chest.", page=3, similar=(Similarity(0, 0, 8, 0.25), Similarity(-1, 0, 8, 0.5)),
        ),
        TextSlot("Spoken.", start_s=1.5, end_s=2.25),
        ImageSlot("https://example.org/b", start_s=1.5),
    ),
    url="https://example.org/",
    domain=("example.org", "medical"),
    probabilities={"toxic_prob": 0.125},
    scores={"radiology": 0.75},
    origin=Origin("pdf", "a.pdf", "0" * 64, "pypdfium2 5", "en", "2026-01-01T00:00:00Z", "retrieval"),
)  # fmt: skip


def test_a_record_holds_all_of_a_document():
    assert read_document(to_record(WHOLE)) == WHOLE


def test_what_is_written_is_a_record_of_omnicorpus():
    """The assertions of OmniCorpus' loader (mllm_llava/llava/train/datasets.py, L340-345) and the names of its card."""
    record = to_record(WHOLE)
    assert len(record["images"]) == len(record["texts"]) == len(record["metadata"]) == 4
    assert [url is None for url in record["images"]] == [text is not None for text in record["texts"]]
    assert [url is None for url in record["images"]] == [facts is None for facts in record["metadata"]]
    assert record["valid_image"] == [False, True]
    assert record["metadata"][1] == {
        "img_url_sha": hashlib.sha256(b"https://example.org/a").hexdigest(),
        "width": 640, "height": 480, "bytes": 1234, "d_hash": "00ff00ff00ff00ff", "p_hash": "ff00ff00ff00ff00",
        "d_hash_dup_count": 3, "p_hash_dup_count": 2, "aesthetic_prob": 4.5, "unsafe_prob": 0.25,
    }  # fmt: skip
    assert record["general_metadata"] == {
        "url": "https://example.org/", "id": "d", "domain": ["example.org", "medical"], "toxic_prob": 0.125,
        "fluency_prob": None, "non_advertisement_prob": None, "porn_prob": None, "politics_prob": None,
    }  # fmt: skip


def test_the_file_of_an_image_is_named_by_its_address():
    assert image_name("https://example.org/a") == hashlib.sha256(b"https://example.org/a").hexdigest()


@pytest.mark.parametrize(
    "ours",
    [
        "text",
        {"slots": []},
        {"slots": [{}, {}, {}, {"kind": "poem"}]},
        {"slots": [{}, {}, {}, {}], "origin": {"format": "html"}},
        {"slots": [{}, {}, {}, {"page": 2**63}]},
        {"slots": [{}, {"similar": [{"slot": 2**63, "begin": 0, "end": 1, "score": 0.5}]}, {}, {}]},
    ],
)
def test_a_broken_part_of_ours_is_refused_too(ours):
    with pytest.raises(ItemError) as caught:
        read_document(RECORD | {"domainvl": ours})
    assert caught.value.reason == "domainvl"


def test_similarities_point_at_the_places_of_their_texts_in_what_is_left():
    """Gone, changed, moved and unmoved texts, the alternative text, and an image that was switched off besides."""
    similar = tuple(Similarity(slot, 0, 3, slot / 10) for slot in (-1, 0, 1, 3, 4))
    picture = ImageSlot("a", similar=similar)
    slots = (TextSlot("gone"), TextSlot("moved"), picture, TextSlot("whole text"), TextSlot("last"))
    off = dataclasses.replace(picture, valid=False)
    kept = keep_slots(slots, [(1, slots[1]), (2, off), (3, TextSlot("whole")), (3, TextSlot("text")), (4, slots[4])])
    assert [getattr(slot, "text", None) for slot in kept] == ["moved", None, "whole", "text", "last"]
    assert kept[1] == ImageSlot("a", valid=False, similar=(similar[0], Similarity(0, 0, 3, 0.1), similar[4]))
    assert keep_slots(slots, list(enumerate(slots))) == slots
