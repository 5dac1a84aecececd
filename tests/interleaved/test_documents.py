"""Each invariant of the format, broken one by one."""

from __future__ import annotations

import copy

import pytest

from domainvl.errors import ItemError
from domainvl.interleaved.documents import ImageSlot, TextSlot, read_document

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
