"""The illustrated book of the real files becomes one document whose figures stand where they stand in the page.

What is expected is found with regular expressions and lxml, without anything of ours.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from lxml import html

from domainvl.corpus.sources.html import read_html
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot

# Of the 365 images 13 are staves of music and one is a map; those have no caption. The 3 other files of the 368 are
# larger versions that the page links to and does not show.
FIGURES = 351  # all with a caption
MARKS = "//span[@class='pagenum'] | //a[@class='tag']"  # numbers of printed pages and of notes
PART_LABEL = re.compile(r"[a-z](\n.{1,40})?\Z", re.DOTALL)  # below one of the views of a figure, in its cell


@pytest.fixture(scope="module")
def path(real_data: Path) -> Path:
    found = sorted((real_data / "general").glob("GITenberg__*/30621-h/30621-h.htm"))
    if not found:
        pytest.skip("the book is not among the real files")
    return found[0]


@pytest.fixture(scope="module", params=["trafilatura", "resiliparse"])
def page(path: Path, request: pytest.FixtureRequest) -> Page:
    source = SourceFile(path, "30621-h/30621-h.htm", path.parent, "html")
    (read,) = read_html(source, ReadSettings(extractor=request.param))
    assert isinstance(read, Page)
    return read


def words(text: str) -> str:
    return " ".join(text.split())


def columns(cell: html.HtmlElement) -> range:
    """The columns of a cell; in this book a cell that reaches down into other rows is the first of its own."""
    before = [(distance, row) for distance, row in enumerate(cell.getparent().itersiblings("tr", preceding=True), 1)]
    begin = sum(int(one.get("rowspan", 1)) > distance for distance, row in before for one in row[:1])
    begin += sum(int(one.get("colspan", 1)) for one in cell.itersiblings("td", preceding=True))
    return range(begin, begin + int(cell.get("colspan", 1)))


def expected_captions(path: Path) -> dict[str, str]:
    """For each image the caption that follows at once, or, in a table, its cell's own or the first below."""
    tree = html.fromstring(path.read_bytes().decode())
    found: dict[str, str] = {}
    for image in tree.iter("img"):
        cell = next(image.iterancestors("td"), None)
        if cell is None:
            texts = image.xpath("following::p[1][@class='caption']")
        else:
            rows = list(cell.getparent().itersiblings("tr"))[int(cell.get("rowspan", 1)) - 1 :]
            captions = [one for row in rows for one in row if one.get("class") == "caption"]
            below = [one for one in captions if columns(cell)[0] in columns(one)]
            texts = [cell] if words(cell.text_content()).startswith("Fig. ") else below[:1]
        if texts:
            found[image.get("src")] = words(texts[0].text_content())
    return found


def test_figures_stand_in_the_order_of_the_page(page: Page, path: Path) -> None:
    source = path.read_text()
    in_page = re.findall(r'<img\s+src = "([^"]+)"', source)
    linked = re.findall(r'href = "(images/[^"]+)"', source)
    assert (len(in_page), len(linked), len(list((path.parent / "images").iterdir()))) == (365, 3, 368)
    assert [slot.url for slot in page.slots if isinstance(slot, ImageSlot)] == [f"30621-h/{name}" for name in in_page]


def test_every_figure_is_found_on_disk(page: Page, path: Path) -> None:
    for slot in page.slots:
        if isinstance(slot, ImageSlot):
            name = slot.url.removeprefix("30621-h/")
            assert page.find_image(slot.url) == (path.parent / name).read_bytes()


def test_captions_are_next_to_their_figures(page: Page, path: Path) -> None:
    expected = expected_captions(path)
    assert len(expected) == FIGURES
    texts: dict[str, TextSlot] = {}
    for index, slot in enumerate(page.slots):
        if isinstance(slot, ImageSlot):
            following = (one for one in page.slots[index + 1 :] if isinstance(one, TextSlot))
            caption = next(one for one in following if not PART_LABEL.match(one.text))
            texts[slot.url.removeprefix("30621-h/")] = caption
    pairs = {name: (caption, words(texts[name].text)) for name, caption in expected.items()}
    wrong = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    assert not wrong
    assert {texts[name].kind for name in expected} == {TextKind.CAPTION}


def test_the_text_around_a_figure_is_that_of_the_page(page: Page, path: Path) -> None:
    """The paragraph before and after each figure that stands between two paragraphs of more than 80 characters."""
    tree = html.fromstring(path.read_bytes().decode())
    for mark in tree.xpath(MARKS):
        mark.drop_tree()
    texts = [slot.text for slot in page.slots if isinstance(slot, TextSlot)]
    places = {text: place for place, text in enumerate(texts)}
    checked = 0
    for block in tree.xpath("//p[@class='illustration']"):
        before, caption, after = block.xpath("preceding-sibling::*[1]/self::p"), block.getnext(), None
        if caption is not None and caption.get("class") == "caption":
            after = caption.getnext()
        if not before or after is None or after.tag != "p" or before[0].get("class") or after.get("class"):
            continue
        first, second = (words(one.text_content()) for one in (before[0], after))
        if min(len(first), len(second)) > 80:
            checked += 1
            assert places[first] < places[words(caption.text_content())] < places[second]
    assert checked > 50


def test_no_part_of_the_book_is_lost(page: Page, path: Path) -> None:
    """Of the body between the introduction and the footnotes all paragraphs are there, under either extractor."""
    tree = html.fromstring(path.read_bytes().decode())
    for mark in tree.xpath(MARKS):
        mark.drop_tree()
    paragraphs = [words(one.text_content()) for one in tree.xpath("//div[@class='maintext']//p[not(@class)]")]
    long = [text for text in paragraphs if len(text) > 60]
    texts = {slot.text for slot in page.slots if isinstance(slot, TextSlot)}
    missing = [text for text in long if text not in texts]
    assert len(long) > 300 and not missing
