"""The rule of captions: which candidate counts, with scores and without, and what is no caption."""

from __future__ import annotations

import pytest
from toy_corpora import caption, image

from domainvl.corpus.degrading.alternatives import says_something
from domainvl.corpus.degrading.choosing import CaptionRule, Chosen, Method, NoCaption, choose_captions
from domainvl.interleaved.documents import Similarity, Slot, TextKind, TextSlot

ALT = "Grave with four pillars"


def choose(*slots: str | Slot, **rule: float) -> list[Chosen | NoCaption]:
    made = [TextSlot(slot) if isinstance(slot, str) else slot for slot in slots]
    return list(choose_captions(made, CaptionRule(**rule)).values())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "alt",
    [
        None, "", "  ", "see caption", "See the caption", "image", "Photo", "map", "Figure 3", "fig. 12a", "image 4",
        "IMG_0001", "DSC 0042", "grave.png", "a file named grave.JPG", "old-map-of-panama", "click to enlarge",
        "Open image in new tab", "Featured image", "Image of the article", "no description available", "1888", "图片",
    ],
)  # fmt: skip
def test_alternative_texts_that_stand_for_any_image_say_nothing(alt: str | None):
    assert not says_something(alt)


@pytest.mark.parametrize(
    "alt",
    [
        ALT,
        "MRI image of the left knee",
        "chest radiograph",
        "Map of Panama",
        "No acute fracture",
        "左膝磁共振图像",
        "X-ray of hand",
    ],
)
def test_alternative_texts_of_a_field_say_something(alt: str):
    assert says_something(alt)


def test_without_scores_a_caption_goes_before_an_alternative_text_and_that_before_the_text_behind():
    shown = image("a", alt=ALT)
    (one,) = choose("Before.", shown, caption("Fig. 3. Grave,\nfrom the north."), "After it.")
    assert one == Chosen("Grave, from the north.", Method.CAPTION, 2, 1, "Fig. 3.")
    (one,) = choose("Before.", shown, "After it.")
    assert one == Chosen(ALT, Method.ALT, -1)
    (one,) = choose("Before.", image("a", alt="see caption"), "After it.")
    assert one == Chosen("After it.", Method.AFTER, 2)


def test_the_text_behind_must_be_short_and_no_heading():
    long = " ".join(["word"] * 61)
    assert choose("Before.", image("a"), long)[0].reason == "long-text"  # type: ignore[union-attr]
    assert isinstance(choose(image("a"), long[5:])[0], Chosen)
    assert choose(image("a"), "字" * 61)[0].reason == "long-text"  # type: ignore[union-attr]
    assert choose(image("a"), TextSlot("Heading", TextKind.HEADER), "After.")[0].reason == "no-caption"  # type: ignore[union-attr]
    assert choose(image("a", alt="map"))[0].reason == "useless-alt"  # type: ignore[union-attr]


def test_a_text_behind_a_row_says_how_many_images_it_stands_behind():
    assert choose(image("a"), image("b"), "Two cups.") == [Chosen("Two cups.", Method.AFTER, 2, 2)] * 2


def similar(*scores: tuple[int, int, int, float]) -> tuple[Similarity, ...]:
    return tuple(Similarity(*one) for one in scores)


def test_with_scores_the_most_alike_of_the_neighbours_counts():
    near = similar((0, 0, 7, 0.31), (2, 0, 6, 0.25), (-1, 0, 23, 0.27))
    (one,) = choose("Before.", image("a", similar=near, alt=ALT), "A cup.")
    assert one == Chosen("Before.", Method.BEFORE, 0, 1, "", 0.31)
    (one,) = choose("Before.", image("a", similar=near[1:], alt=ALT), "A cup.")
    assert one == Chosen(ALT, Method.ALT, -1, 1, "", 0.27)
    (one,) = choose("Before.", image("a", similar=near[1:2], alt=ALT), "A cup.")
    assert one == Chosen("A cup.", Method.AFTER, 2, 1, "", 0.25)


@pytest.mark.parametrize(
    ("printed", "label"), [(caption("A cup."), ""), (TextSlot("Fig. 2. A cup."), "Fig. 2.")], ids=["marked", "begun"]
)
@pytest.mark.parametrize("score", [0.25, 0.01, None])
def test_a_printed_caption_counts_whatever_the_scores_say(printed: TextSlot, label: str, score: float | None):
    near = similar((0, 0, 7, 0.31), *([] if score is None else [(2, 0, 6, score)]))
    (one,) = choose("Before.", image("a", similar=near, alt=ALT), printed, "After")
    assert one == Chosen("A cup.", Method.CAPTION, 2, 1, label, score)


def test_a_heading_is_no_caption_however_alike():
    near = similar((0, 0, 7, 0.9), (1, 0, 6, 0.3))
    (one,) = choose(TextSlot("Heading", TextKind.HEADER), "A cup.", image("a", similar=near))
    assert one == Chosen("A cup.", Method.BEFORE, 1, 1, "", 0.3)
    (one,) = choose(TextSlot("Heading", TextKind.HEADER), image("a", similar=near[:1]))
    assert isinstance(one, NoCaption) and one.reason == "low-similarity"


def test_the_sentence_that_is_most_alike_counts_where_no_neighbour_is():
    text = "First. A cup of clay."
    near = similar((0, 7, 21, 0.4), (2, 0, 6, 0.3))
    (one,) = choose(text, TextSlot("Heading", TextKind.HEADER), "Beside", image("a", similar=near))
    assert one == Chosen("A cup of clay.", Method.SENTENCE, 0, 1, "", 0.4)


def test_of_a_caption_all_of_it_is_taken_although_one_sentence_is_most_alike():
    near = similar((1, 0, 6, 0.1), (1, 7, 12, 0.4))
    for order in (near, near[::-1]):
        (one,) = choose(image("a", similar=order), caption("A cup. Clay."))
        assert one == Chosen("A cup. Clay.", Method.CAPTION, 1, 1, "", 0.4)


def test_an_alternative_text_that_says_nothing_hides_no_sentence():
    near = similar((-1, 0, 3, 0.9), (0, 0, 6, 0.5))
    (one,) = choose("A cup.", TextSlot("Heading", TextKind.HEADER), image("a", alt="map", similar=near))
    assert one == Chosen("A cup.", Method.SENTENCE, 0, 1, "", 0.5)


def test_what_is_not_alike_is_no_caption():
    near = similar((1, 0, 6, 0.199))
    assert choose(image("a", similar=near), "A cup.")[0].reason == "low-similarity"  # type: ignore[union-attr]
    assert isinstance(choose(image("a", similar=near), "A cup.", min_similarity=0.199)[0], Chosen)


def test_comparisons_that_point_nowhere_are_as_none():
    near = similar((9, 0, 6, 0.9), (0, 0, 3, 0.9), (1, 30, 40, 0.9), (-1, 0, 3, 0.9))
    assert choose(image("a", similar=near, alt="map"), "A cup.")[0].reason == "low-similarity"  # type: ignore[union-attr]
