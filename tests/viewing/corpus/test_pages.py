"""Pages on what filters took: all of it told, nothing in them that runs or loads, texts of strangers escaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from filtered_corpora import HERE, make_document, prose, write_filtered
from toy_corpora import document, image, write_corpus

from domainvl.corpus.auditing.things import draw_sample
from domainvl.corpus.filtering.filtered import Filtered, FilteredCorpus
from domainvl.corpus.filtering.profiles import load_profile
from domainvl.corpus.filtering.removals import Level, Removal
from domainvl.corpus.filtering.step import filter_corpus
from domainvl.corpus.folder import IMAGES_NAME
from domainvl.errors import UsageError
from domainvl.interleaved.documents import TextSlot, image_name
from domainvl.viewing.corpus.audit import PAGE_NAME, write_audit
from domainvl.viewing.corpus.documents import Pictures, view_document
from domainvl.viewing.corpus.report import format_report, make_report, write_report_page

HOSTILE = "<script>alert(1)</script><img src=https://example.org/spy.png onerror=alert(2)> \"'</del></style>"


class Parsed(HTMLParser):
    """Elements of a page with their attributes, the text of each kind of element, and what is in none."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], {}, []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self._open[-1] if self._open else "", []).append(data.strip())


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    return FilteredCorpus.open(write_filtered(tmp_path_factory.mktemp("pages") / "filtered"))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A document whose every text and address is an attack, and which loses some."""
    folder = tmp_path_factory.mktemp("hostile")
    slots = [prose(1), TextSlot(HOSTILE), image(HOSTILE, width_px=9, height_px=9, alt=HOSTILE)]
    write_corpus(folder / "plain", [document(HOSTILE, *slots), document(f"{HOSTILE}2", HOSTILE)], run=HERE)
    filter_corpus(folder / "plain", folder / "out", load_profile("general"), run=HERE)
    return FilteredCorpus.open(folder / "out")


def report_page(corpus, folder):
    write_report_page(make_report(corpus, examples=2), corpus, folder / "report.html")
    return (folder / "report.html").read_text()


def audit_page(corpus, folder):
    write_audit(corpus, folder / "audit", sample=50, seed=0)
    return (folder / "audit" / PAGE_NAME).read_text()


@pytest.mark.parametrize("make", [report_page, audit_page])
def test_texts_of_strangers_are_texts(hostile, tmp_path, make):
    page = Parsed(make(hostile, tmp_path))
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "iframe", "object", "embed", "link", "form"})
    assert all(not name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "<script>alert(1)</script>" in "".join(text for own in page.texts.values() for text in own)


@pytest.mark.parametrize("make", [report_page, audit_page])
def test_nothing_is_loaded_from_anywhere(filtered, tmp_path, make):
    page = Parsed(make(filtered, tmp_path))
    links = [value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")]
    assert links
    assert all(re.match(r"data:image/jpeg;base64,|#m[0-9a-f]{16}$", link) for link in links)
    policy = next(one["content"] for _, one in page.elements if one.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_the_report_strikes_out_what_went_and_names_the_rule(filtered, tmp_path):
    assert report_page(filtered, tmp_path) == report_page(filtered, tmp_path)  # a page of ours may be replaced
    page = Parsed(report_page(filtered, tmp_path))
    assert set(page.texts["del"]) == {"No acute abnormality seen", "Scan of chest"}
    assert {"hf-four-words", "image-side", "gopher-words"} <= set(page.texts["code"])
    articles = [one["class"] for tag, one in page.elements if tag == "article"]
    assert articles == sorted(articles, reverse=True)  # kept on one side, dropped on the other
    assert set(articles) == {"document kept", "document dropped"}


def test_the_report_counts_by_rule_and_tells_the_steps_before(filtered):
    report = make_report(filtered, examples=2)
    counts = {one.rule.code: (one.removed, one.share) for level in report.levels for one in level.rules}
    assert counts == {"gopher-words": (4, 4 / 12), "hf-four-words": (8, 8 / 28), "image-side": (8, 8 / 24)}
    text = format_report(report)
    assert "8 of 12 documents kept" in text
    assert "corpus test, which left nothing out" in text
    row = next(line.split() for line in text.splitlines() if "hf-four-words" in line)
    assert row[:3] == ["hf-four-words", "8", "28.6%"]
    assert all(len(one.examples) == 2 for level in report.levels for one in level.rules)


def test_a_terminal_gets_no_control_characters(tmp_path):
    texts = ["\x1b[2J of the that and", "\x1b]0;title\x07 \u202e is"]
    write_corpus(tmp_path / "plain", [document("a", prose(1), *texts)], run=HERE)
    filter_corpus(tmp_path / "plain", tmp_path / "out", load_profile("general"), run=HERE)
    text = format_report(make_report(FilteredCorpus.open(tmp_path / "out"), examples=3))
    assert "hf-" in text or "c4-" in text
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", text)


def test_the_audit_shows_each_thing_once_with_the_slots_around_it(filtered, tmp_path):
    strata = write_audit(filtered, tmp_path / "audit", sample=3, seed=5)
    assert strata == draw_sample(filtered.documents(), sample=3, seed=5)
    page = Parsed((tmp_path / "audit" / PAGE_NAME).read_text())
    names = [thing.id for stratum in strata for thing in stratum.things]
    assert [one["id"] for tag, one in page.elements if "id" in one] == names
    asked = sum("asked" in one.get("class", "").split() for _, one in page.elements)
    assert asked == sum(thing.slot is not None for stratum in strata for thing in stratum.things)


def test_marks_that_were_made_are_not_written_over(filtered, tmp_path):
    (tmp_path / "audit").mkdir()
    (tmp_path / "audit" / "marks.csv").write_text("my work")
    with pytest.raises(UsageError, match="exists"):
        write_audit(filtered, tmp_path / "audit", sample=3, seed=0)
    assert (tmp_path / "audit" / "marks.csv").read_text() == "my work"


def test_a_file_that_is_no_page_of_ours_is_not_written_over(filtered, tmp_path):
    (tmp_path / "report.html").write_text("mine")
    with pytest.raises(UsageError):
        report_page(filtered, tmp_path)


def test_pictures_are_small_and_bounded_and_a_bad_one_is_told(tmp_path):
    folder = write_filtered(tmp_path / "filtered", 3)
    slots = make_document(0).images
    (folder / IMAGES_NAME / image_name(slots[1].url)).unlink()
    (folder / IMAGES_NAME / image_name(slots[1].url)).write_bytes(b"no picture")
    pictures = Pictures(folder, 1)
    assert pictures.find(slots[1]) == (None, "image-decode")
    assert pictures.find(image("nowhere")) == (None, "no file")
    uri, note = pictures.find(slots[0])
    assert uri.startswith("data:image/jpeg;base64,")
    assert note == ""
    assert pictures.find(make_document(1).images[0])[0] is None  # the page is full
    assert pictures.left_out == 1


def test_a_picture_that_comes_again_takes_its_room_again(tmp_path):
    """A logo in every document would else make the page as large as the sample is."""
    pictures = Pictures(write_filtered(tmp_path / "filtered", 3), 10_000)
    found = [pictures.find(make_document(0).images[0])[0] for _ in range(100)]
    shown = [uri for uri in found if uri is not None]
    assert found == shown + [None] * pictures.left_out
    assert len(set(shown)) == 1
    assert 10_000 <= sum(map(len, shown)) < 10_000 + len(shown[0])


def test_of_a_long_paragraph_both_ends_are_shown(tmp_path):
    text = " ".join(f"{prose(1)} {at}" for at in range(9))
    removed = Removal("a", Level.PARAGRAPH, "hf-credit", 0, 1, 0, text[:240])
    filtered = Filtered(document("a", text), "", (removed,))
    (part,) = view_document(filtered, Pictures(tmp_path, 0)).rows[0].parts
    assert part.is_removed
    assert len(part.text) < 800
    assert part.text[:300] == text[:300]
    assert part.text[-300:] == text[-300:]


@pytest.mark.parametrize(
    ("level", "excerpt", "struck"),
    [
        (Level.PARAGRAPH, "left it. Read more", "left it. Read more"),
        (Level.PARAGRAPH, "rewritten since", "They left it. Read more"),
        (Level.SPAN, "Read more", "Read more"),
        (Level.SPAN, "two stretches", ""),
    ],
)
def test_what_was_removed_is_struck_and_nothing_else(tmp_path, level, excerpt, struck):
    filtered = Filtered(document("a", "They left it. Read more"), "", (Removal("a", level, "x", 0, 1, 0, excerpt),))
    (row,) = view_document(filtered, Pictures(tmp_path, 0)).rows
    assert "".join(part.text for part in row.parts) == "They left it. Read more"
    assert "".join(part.text for part in row.parts if part.is_removed) == struck
    assert row.removals == filtered.removals


def test_a_long_document_shows_what_it_lost_and_counts_the_rest(tmp_path):
    texts = [f"{prose(number)} {number}." for number in range(200)]
    texts[100] = "A few words."
    write_corpus(tmp_path / "plain", [document("long", *texts)], run=HERE)
    codes = [code for code in load_profile("general").thresholds if code.startswith(("gopher", "omni"))]
    profile = load_profile("general").model_copy()
    profile = profile.model_validate({**profile.model_dump(), "rules": dict.fromkeys(codes, False)})
    filter_corpus(tmp_path / "plain", tmp_path / "out", profile, run=HERE)
    (one,) = FilteredCorpus.open(tmp_path / "out").documents()
    view = view_document(one, Pictures(tmp_path / "out", 0))
    struck = [row for row in view.rows if any(part.is_removed for part in row.parts)]
    assert ["".join(part.text for part in row.parts) for row in struck] == ["A few words."]
    left_out = sum(int(row.note.split()[0]) for row in view.rows if row.kind == "left-out")
    shown = sum(row.kind != "left-out" for row in view.rows)
    assert left_out + shown == 200
    assert shown <= 10
