"""Sentences, what an image is compared with, and where images go: against brute force and by hand."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from toy_corpora import caption, document, image

from domainvl.corpus.scoring.placement import assign_images, place_images
from domainvl.corpus.scoring.stretches import compared_stretches, document_sentences, find_sentences
from domainvl.interleaved.documents import Document, ImageSlot, Origin, Similarity, TextKind, TextSlot


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two!  Three", ["One.", "Two!", "Three"]),
        (' He said "No." Then 3.5 mm was left.', ['He said "No."', "Then 3.5 mm was left."]),
        ("左肺无异常。右肺？「有」。", ["左肺无异常。", "右肺？", "「有」。"]),
        ("no end", ["no end"]),
        (" \n ", []),
    ],
    ids=["plain", "closer", "chinese", "open", "blank"],
)
def test_sentences_end_where_they_end(text, sentences):
    assert [text[begin:end] for begin, end in find_sentences(text)] == sentences


def texts_of(found):
    return {stretch.text for stretch in found}


def test_an_image_is_compared_with_its_neighbours():
    one = document(
        "d", "Far. Before.", caption("Of another."), image("a", alt="Alt"), image("b"), caption("Its own."), "Behind."
    )
    found = compared_stretches(one)
    assert set(found) == {2, 3}
    whole = {"Far. Before.", "Of another.", "Its own.", "Behind."}
    assert texts_of(found[2]) == whole | {"Far.", "Before.", "Alt"}
    assert texts_of(found[3]) == whole | {"Far.", "Before."}
    for index, some in found.items():
        for stretch in some:
            text = one.slots[index].alt if stretch.slot == -1 else one.slots[stretch.slot].text
            assert text[stretch.begin : stretch.end] == stretch.text


def test_captions_are_passed_on_the_way_to_the_nearest_text_and_nothing_else_is():
    many = [f"S{n}." for n in range(50)]
    one = document("d", *many, caption("C."), image("a"), caption("D."), *many)
    assert texts_of(compared_stretches(one)[51]) == {"C.", "D.", *(f"S{n}." for n in (*range(41, 50), *range(9)))}


def test_an_image_of_a_gallery_is_not_compared_with_all_captions():
    """Three on each side, beside the ten nearest sentences: each caption has three sentences here."""
    slots = [slot for n in range(30) for slot in (image(f"i{n}"), caption(f"Cat {n}. Dog {n}. Cow {n}."))]
    found = compared_stretches(document("d", *slots))
    whole = {stretch.slot for stretch in found[30] if stretch.text.count(".") == 3}
    assert whole == {25, 27, 29, 31, 33, 35}


def test_images_that_are_switched_off_are_compared_with_nothing():
    assert compared_stretches(document("d", "Text.", image("a", valid=False))) == {}


@pytest.mark.parametrize("shape", [(1, 4), (3, 3), (3, 5), (4, 4)], ids=str)
def test_the_assignment_is_the_best_of_all(shape):
    similarity = np.random.default_rng(sum(shape)).normal(size=shape)
    chosen = assign_images(similarity)
    rows = range(shape[0])
    best = max(sum(similarity[row, column] for row, column in zip(rows, some, strict=True))
               for some in permutations(range(shape[1]), shape[0]))  # fmt: skip
    assert len(set(chosen)) == shape[0]
    assert sum(similarity[rows, chosen]) == pytest.approx(best)


def test_surplus_images_go_where_they_are_most_alike():
    """Best for two of three images is 0.9 + 0.8, of the first and the third; the second likes the sentence 0 more."""
    assert assign_images(np.array([[0.9, 0.1], [0.6, 0.2], [0.3, 0.8]])) == [0, 0, 1]


def without_layout(*slots) -> Document:
    return replace(document("d", *slots), origin=Origin("mmc4", "d", placement="none"))


def place(one: Document, similarity: list[list[float]], least: float = 0.15):
    images = [index for index, slot in enumerate(one.slots) if isinstance(slot, ImageSlot) and slot.valid]
    return place_images(one, images, document_sentences(one), np.array(similarity), least)


def shown(one: Document) -> list[str]:
    return [slot.text if isinstance(slot, TextSlot) else f"<{slot.url[20:-4]}{'' if slot.valid else ' off'}>"
            for slot in one.slots]  # fmt: skip


def test_images_stand_before_their_sentences_and_texts_are_divided_there_alone():
    heading = TextSlot("Title", TextKind.HEADER, level=1)
    body = TextSlot("First one. Second one. Third one.", page=3)
    one = without_layout(heading, body, image("a"), image("b"), image("c"))
    placed = place(one, [[0, 0, 0.9, 0], [0.8, 0, 0, 0], [0, 0.3, 0, 0.1]])
    assert shown(placed.document) == ["<b>", "Title", "<c>", "First one.", "<a>", "Second one. Third one."]
    assert placed.switched_off == 0
    assert placed.document.origin.placement == "retrieval"
    assert [slot.page for slot in placed.document.texts] == [None, 3, 3]
    assert placed.document.slots[1] == heading


def test_an_image_that_is_like_no_sentence_is_switched_off_and_takes_no_sentence():
    one = without_layout("First. Second.", image("a"), image("b"), image("c", valid=False))
    placed = place(one, [[0.149, 0.1], [0.15, 0.14]])
    assert shown(placed.document) == ["<b>", "First. Second.", "<a off>", "<c off>"]
    assert placed.switched_off == 1


def test_similarities_that_name_other_slots_are_forgotten():
    one = without_layout("First. Second.", image("a", similar=(Similarity(0, 0, 6, 0.5),)))
    assert [slot.similar for slot in place(one, [[0, 1]]).document.images] == [()]


def test_placement_loses_and_adds_nothing():
    rng = np.random.default_rng(5)
    for images in range(1, 9):
        texts = [" ".join(f"Sentence {n} of {slot}." for n in range(rng.integers(1, 4))) for slot in range(3)]
        one = without_layout(*texts, *(image(f"i{n}") for n in range(images)))
        placed = place(one, rng.random((images, len(document_sentences(one)))), 0.5).document
        assert " ".join(slot.text for slot in placed.texts) == " ".join(texts)
        assert sorted(slot.url for slot in placed.images) == sorted(slot.url for slot in one.images)
