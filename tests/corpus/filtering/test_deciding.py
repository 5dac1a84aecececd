"""What is left of documents: order, rounds, neighbours, images, and the places that images point to."""

from __future__ import annotations

import pytest
from corpus.filtering.rule_cases import CHINESE, LONG, PROSE, Shorthand, image, make_document
from corpus.filtering.test_rules import GENERAL, apply, only

from domainvl.corpus.filtering.profiles import with_settings
from domainvl.corpus.filtering.removals import Level
from domainvl.interleaved.documents import (
    Document,
    ImageSlot,
    Similarity,
    TextSlot,
    read_document,
    to_record,
)


def texts_left(slots: Shorthand, *codes: str) -> list[str] | None:
    kept = apply(make_document(slots), only(*codes)).kept
    return None if kept is None else [slot.text for slot in kept.texts]


def test_a_good_document_is_kept_as_it_is() -> None:
    document = make_document([("h2", "The old house by the river"), *LONG, image()])
    decision = apply(document, GENERAL)
    assert decision.removals == ()
    assert decision.kept == document


def test_images_are_switched_off_and_keep_their_place() -> None:
    document = make_document([image("1.png"), "No.", image("2.png", 10, 10), *LONG, image("3.png")])
    kept = apply(document, GENERAL).kept
    assert kept is not None
    assert [slot.valid for slot in kept.images] == [True, False, True]
    assert [slot.url for slot in kept.images] == [slot.url for slot in document.images]
    assert [isinstance(slot, ImageSlot) for slot in kept.slots[:3]] == [True, True, False]
    assert read_document(to_record(kept)) == kept


def test_what_is_not_known_of_an_image_drops_nothing() -> None:
    document = make_document([*LONG, ImageSlot("https://example.org/a.png")])
    assert apply(document, GENERAL).removals == ()


def test_an_image_that_is_off_already_is_no_removal() -> None:
    document = make_document([*LONG, ImageSlot("https://example.org/a.png", 10, 10, valid=False)])
    decision = apply(document, GENERAL)
    assert decision.removals == ()
    assert decision.kept == document


@pytest.mark.parametrize(
    ("facts", "valid"),
    [
        ({"width_px": 150, "height_px": 300}, True),
        ({"width_px": 149, "height_px": 200}, False),
        ({"width_px": 600, "height_px": 300}, True),
        ({"width_px": 601, "height_px": 300}, False),
        ({"width_px": 299, "height_px": 600}, False),
        ({"aesthetic_prob": 3.7}, True),
        ({"unsafe_prob": 0.8}, True),
        ({"p_hash_dup_count": 10}, True),
        ({"d_hash_dup_count": 10}, True),
    ],
)
def test_bounds_themselves_are_kept(facts: dict[str, float], valid: bool) -> None:
    kept = apply(make_document([*LONG, image(**facts)]), GENERAL).kept  # type: ignore[arg-type]
    assert kept is not None
    assert kept.images[0].valid is valid


def test_similarities_follow_the_texts_that_they_are_about() -> None:
    similar = tuple(Similarity(slot, 0, 3, 0.5) for slot in (-1, 1, 2, 3))
    picture = ImageSlot("https://example.org/a.png", similar=similar)
    document = Document("a", (picture, TextSlot("House."), TextSlot(PROSE), TextSlot(f"{PROSE} And the")))
    kept = apply(document, only("hf-one-word", "hf-incomplete-ends")).kept
    assert kept is not None
    assert [slot.text for slot in kept.texts] == ["House.", PROSE, PROSE]  # near an image one word is spared
    assert [one.slot for one in kept.images[0].similar] == [-1, 1, 2]
    kept = apply(document, only("hf-two-words")).kept
    assert kept is not None
    assert [one.slot for one in kept.images[0].similar] == [-1, 1, 2]
    assert kept.slots[1] == document.slots[2]


@pytest.mark.parametrize(("distance", "spared"), [(10, True), (11, False)])
def test_a_graphic_within_ten_slots_spares(distance: int, spared: bool) -> None:
    slots = ["BUY NOW.", *[PROSE] * (distance - 1), image()]
    left = texts_left(slots, "hf-uppercase")
    assert left is not None
    assert ("BUY NOW." in left) is spared


def test_a_graphic_that_is_switched_off_spares_nothing() -> None:
    left = texts_left(["BUY NOW.", image("1.png", 10, 10), PROSE], "hf-uppercase", "image-side")
    assert left == [PROSE]


@pytest.mark.parametrize(
    ("slots", "left"),
    [
        ([("h2", "A"), ("h2", "B"), ("h2", "C"), PROSE], ["C", PROSE]),
        ([("h2", "A"), ("h3", "B"), PROSE], ["A", "B", PROSE]),
        ([("h2", "A"), image(), ("h2", "B"), PROSE], ["A", "B", PROSE]),
        ([("h2", "A"), "One.", ("h2", "B"), PROSE], ["A", "One.", "B", PROSE]),
        ([("header", "A"), ("header", "B"), PROSE], ["A", "B", PROSE]),
    ],
)
def test_a_heading_with_nothing_under_it_goes(slots: Shorthand, left: list[str]) -> None:
    assert texts_left(slots, "hf-empty-heading") == left


def test_a_heading_goes_when_all_under_it_went() -> None:
    slots = [("h2", "Our old houses there"), "BUY NOW.", ("h2", "Our long river there"), PROSE]
    assert texts_left(slots, "hf-empty-heading", "hf-uppercase") == ["Our long river there", PROSE]


def test_one_rule_uncovers_work_for_another() -> None:
    """Two half sentences hide the remark in brackets."""
    slots = [PROSE, "(The owner has not read this.)", "Two words", "The end of"]
    assert texts_left(slots, "hf-incomplete-ends", "hf-bracketed-end") == [PROSE]
    assert texts_left(slots, "hf-bracketed-end") == slots


def test_no_more_than_three_rounds() -> None:
    ends = [f"(Remark {number}.)" for number in range(5)]
    assert texts_left([PROSE, *ends], "hf-bracketed-end") == [PROSE, *ends[:2]]


def test_half_sentences_at_both_ends_go() -> None:
    slots = ["in the middle of", ("h2", "Heading"), f"{PROSE} And then", ("caption", "A house")]
    assert texts_left(slots, "hf-incomplete-ends") == ["Heading", PROSE, "A house"]


def test_marks_go_with_the_list_that_they_point_to() -> None:
    entries = ["[1] A. Mason. Houses. 2001.", "[2] B. Miller. Rivers. 2003."]
    text = "It is old [1] and wet [2], as in array[3]."
    assert texts_left([text, *entries], "hf-numbered-references", "hf-citation-marks") == [
        "It is old and wet, as in array[3]."
    ]
    assert texts_left([*entries, *[text] * 5], "hf-numbered-references", "hf-citation-marks") == [*entries, *[text] * 5]


def test_references_count_in_the_last_quarter() -> None:
    section = [("h2", "References"), "Mason, Houses."]
    assert texts_left([*LONG, *section], "hf-reference-section") == LONG
    assert texts_left([*section, *LONG], "hf-reference-section") == ["References", "Mason, Houses.", *LONG]


def test_a_text_between_caption_and_image_parts_them() -> None:
    assert texts_left([PROSE, "Photo of it", PROSE, image()], "hf-image-caption") == [PROSE, "Photo of it", PROSE]
    assert texts_left([("h2", "Photo of it"), image(), PROSE], "hf-image-caption") == ["Photo of it", PROSE]


def test_the_document_is_judged_by_what_is_left_of_it() -> None:
    slots = [PROSE, *["BUY ALL OF OUR OLD HOUSES NOW."] * 10]
    assert texts_left(slots, "hf-words") is not None
    assert texts_left(slots, "hf-words", "hf-uppercase") is None


def test_pieces_of_a_slot_become_slots() -> None:
    assert texts_left([f"{PROSE}{'_' * 15}{PROSE}", "End."], "hf-underscores") == [PROSE, PROSE, "End."]


def test_removals_say_what_broke_which_bound() -> None:
    decision = apply(make_document([*LONG, "12345 67890 12345.", image("1.png", 100, 100)]), GENERAL)
    told = [(one.level, one.rule, one.slot, one.value, one.threshold, one.excerpt) for one in decision.removals]
    assert told == [
        (Level.IMAGE, "image-side", 41, 100, 150, "https://example.org/1.png"),
        (Level.PARAGRAPH, "hf-digits", 40, 15 / 18, 0.8, "12345 67890 12345."),
    ]


def test_all_rules_that_a_document_breaks_at_once_are_told() -> None:
    decision = apply(make_document(["# # #"]), GENERAL)
    assert decision.kept is None
    codes = [removal.rule for removal in decision.removals]
    assert {"gopher-words", "gopher-word-length", "gopher-symbols", "gopher-letters", "gopher-stop-words"} <= set(codes)
    assert all(removal.level is Level.DOCUMENT and removal.slot is None for removal in decision.removals)


def test_scores_are_compared_where_a_profile_names_them() -> None:
    document = Document("a", tuple(map(TextSlot, LONG)), probabilities={"fluency_prob": 0.4}, scores={"mine": 2.0})
    assert apply(document, GENERAL).removals == ()
    for name, bounds, kept in (
        ("fluency_prob", {"min": 0.5}, False),
        ("fluency_prob", {"min": 0.4}, True),
        ("mine", {"max": 1.0}, False),
        ("absent", {"min": 0.9}, True),
    ):
        profile = type(GENERAL).model_validate({**GENERAL.model_dump(), "scores": {name: bounds}})
        decision = apply(document, profile)
        assert (decision.kept is not None) is kept
        assert [removal.rule for removal in decision.removals] == ([] if kept else [f"score-{name}"])


def test_chinese_documents_show_an_image_once() -> None:
    kept = apply(make_document([CHINESE, image(), image("b.png"), image()]), only("zh-duplicates")).kept
    assert kept is not None
    assert [slot.valid for slot in kept.images] == [True, True, False]
    english = apply(make_document([PROSE, image(), image()]), only("zh-duplicates"))
    assert english.removals == ()


def test_comments_end_at_the_next_heading_of_their_rank() -> None:
    slots = [PROSE, ("h2", "3 comments"), ("h3", "Anna"), "Fine.", ("h2", "Rivers"), PROSE]
    assert texts_left(slots, "hf-comments") == [PROSE, "Rivers", PROSE]


@pytest.mark.parametrize(("words", "dropped"), [(10, True), (11, False), (101, False)])
def test_short_means_as_many_words_as_the_number_says(words: int, dropped: bool) -> None:
    text = " ".join(["house"] * (words - 2) + ["sign", "in"])
    assert (texts_left([text, PROSE], "hf-short-keyword") == [PROSE]) is dropped


def test_what_was_shortened_is_looked_at_again() -> None:
    slots = [PROSE, "End. And more words that follow", "BUY NOW."]
    assert texts_left(slots, "hf-incomplete-ends", "hf-uppercase", "hf-four-words") == [PROSE]


@pytest.mark.parametrize(("images", "kept"), [(2, True), (3, False)])
def test_words_an_image_are_asked_of_documents_with_more_than_two(images: int, kept: bool) -> None:
    slots = [PROSE, *(image(f"{number}.png") for number in range(images))]
    assert (texts_left(slots, "hf-words-an-image") is not None) is kept


@pytest.mark.parametrize(
    ("text", "codes", "named"),
    [
        ("FOR DETAILS ON THE HOUSE.", ("hf-download-link", "hf-uppercase"), "hf-download-link"),
        ("CALL US AT", ("hf-uppercase", "hf-social-ending"), "hf-uppercase"),
    ],
)
def test_of_several_rules_the_first_of_the_table_is_named(text: str, codes: tuple[str, str], named: str) -> None:
    assert [removal.rule for removal in apply(make_document([text, PROSE]), only(*codes)).removals] == [named]


def test_an_ellipsis_ends_no_line() -> None:
    assert texts_left(["It is old...", f"{PROSE}”", PROSE], "c4-terminal-punctuation") == [f"{PROSE}”", PROSE]


def test_a_document_without_text_is_dropped() -> None:
    assert apply(Document("a", ()), only("document-texts")).kept is None
    assert apply(Document("a", ()), with_settings(only("document-texts"), ["document-texts.min=0"])).kept is not None


HOSTILE = {
    "hyphens": "a-" * 500_000,
    "one word": "x" * 1_000_000,
    "addresses": "http://" * 140_000,
    "dots behind an address": "http://" + "." * 1_000_000,
    "line breaks": "\n" * 1_000_000,
    "words and breaks": "a \n" * 100_000,
    "underscores": "_" * 14 + (" " + "_" * 14) * 60_000,
    "brackets": "(" * 500_000 + ")" * 500_000,
    "marks": "[1" * 300_000 + "]",
    "handles": "@" * 1_000_000,
    "digits": "1:" * 500_000,
    "commas": "(" + ", " * 400_000 + "2020)",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_text_takes_linear_time(name: str) -> None:
    """Not timed: anything quadratic would take hours here."""
    document = make_document([HOSTILE[name], f"By {HOSTILE[name][:1000]}"])
    apply(document, GENERAL)


def test_many_slots_take_linear_time() -> None:
    slots = [*["Photo of the"] * 20_000, *[image(f"{number}.png") for number in range(5_000)]]
    kept = apply(make_document(slots), only("hf-incomplete-ends", "hf-image-caption", "hf-one-word")).kept
    assert kept is not None
    assert len(kept.images) == 5_000
