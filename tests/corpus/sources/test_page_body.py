"""What an extractor lost from the middle of a body comes back; what is around the body does not."""

from __future__ import annotations

from domainvl.corpus.sources.page_body import select_body
from domainvl.corpus.sources.page_tree import MarkedPage, mark_page, parse_page
from domainvl.interleaved.documents import ImageSlot

SENTENCE = "This is a sentence of the body that is long enough to be taken for one."


def page_of(*parts: str) -> MarkedPage:
    return mark_page(parse_page(f"<html><body>{''.join(parts)}</body></html>"), "page.html")


def select(page: MarkedPage, *kept: str) -> list[str]:
    """The body where an extractor kept texts that begin so; images by address."""
    names = [slot.url if isinstance(slot, ImageSlot) else slot.text for slot in page.slots]
    return [names[index] for index in select_body(page, {names.index(name) for name in kept})]


def test_without_anything_kept_the_page_is_the_body_but_for_what_is_named_otherwise() -> None:
    page = page_of("<div class='menu'>Menu</div><p>Short.</p><img src='a.png'><div id='comments'><p>Nice</p></div>")
    assert select(page) == ["Short.", "a.png"]
    assert select(page_of("<div class='menu'>Menu alone</div>")) == ["Menu alone"]


def test_images_captions_and_sentences_between_kept_texts_come_back() -> None:
    parts = f"<p>First</p><img src='a.png'><p class='caption'>An axe</p><p>{SENTENCE}</p><p>Read more</p><p>Last</p>"
    assert select(page_of(parts), "First", "Last") == ["First", "a.png", "An axe", SENTENCE, "Last"]


def test_advertisements_between_kept_texts_do_not() -> None:
    ad = f"<div class='ad-box'><img src='ad.png'><p>{SENTENCE}</p></div>"
    assert select(page_of(f"<p>First</p>{ad}<p>Last</p>"), "First", "Last") == ["First", "Last"]


def test_long_gaps_were_left_out_on_purpose() -> None:
    links = "".join(f"<li>{SENTENCE} {index}.</li>" for index in range(7))
    assert select(page_of(f"<p>First</p>{links}<p>Last</p>"), "First", "Last") == ["First", "Last"]


def test_the_title_and_the_picture_above_the_text() -> None:
    page = page_of("<p>Crumbs</p><h1>Title</h1><p>By me</p><img src='lead.png'><p>First</p>")
    assert select(page, "First") == ["Title", "lead.png", "First"]


def test_pictures_at_the_end_of_a_page_and_not_those_of_what_follows() -> None:
    assert select(page_of("<p>First</p><img src='a.png'>"), "First") == ["First", "a.png"]
    assert select(page_of("<p>First</p><img src='a.png'><p>Other pages</p>"), "First") == ["First"]


def test_figures_and_captions_keep_together() -> None:
    parts = "<p>First</p><figure><img src='a.png'><figcaption>An axe</figcaption></figure><p>Other pages</p>"
    assert select(page_of(parts), "First", "An axe") == ["First", "a.png", "An axe"]
    assert select(page_of(parts), "First", "a.png") == ["First", "a.png", "An axe"]


def test_what_was_kept_of_an_advertisement_stays() -> None:
    assert select(page_of("<p>First</p><p class='share'>Kept</p>"), "First", "Kept") == ["First", "Kept"]
