"""Pages become slots in the order of the page, whichever extractor finds the body, and bad pages are named as such."""

from __future__ import annotations

import sys
import types
from html import unescape
from pathlib import Path

import pytest

from domainvl.corpus.sources.extractors import EXTRACTORS
from domainvl.corpus.sources.html import read_html
from domainvl.corpus.sources.reading import Page, ReadSettings, SourceFile
from domainvl.errors import ItemError, UsageError
from domainvl.interleaved.documents import ImageSlot, TextKind, TextSlot

INSTALLED = ["trafilatura", "resiliparse"]
FILLER = "The survey followed the river from its mouth to the high valley, and noted what it found on either bank."


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    """magic-html as its README documents it; it cannot be installed here. Keeps what it was asked."""
    seen = types.SimpleNamespace(calls=[])

    class GeneralExtractor:
        def extract(self, html: str = "", **options: object) -> dict[str, object]:
            seen.calls.append((html, options))
            begin, end = html.index("<article"), html.index("</article>")
            return {"html": html[begin:end], "title": "", "base_url": options["base_url"]}

    module = types.ModuleType("magic_html")
    module.GeneralExtractor = GeneralExtractor  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "magic_html", module)
    return seen


def source_of(folder: Path, content: str | bytes, name: str = "site/page.html") -> SourceFile:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return SourceFile(path, f"{folder.name}/{name}", folder, "html")


def read(folder: Path, content: str | bytes, **settings: object) -> Page:
    (page,) = read_html(source_of(folder, content), ReadSettings(**settings))  # type: ignore[arg-type]
    assert isinstance(page, Page)
    return page


def outline(page: Page) -> list[str]:
    """Images by file name, texts by kind and text."""
    return [
        slot.url.rsplit("/", 1)[-1] if isinstance(slot, ImageSlot) else f"{slot.kind.value}: {slot.text}"
        for slot in page.slots
    ]


def images(page: Page) -> list[str]:
    return [slot.url for slot in page.slots if isinstance(slot, ImageSlot)]


def article(body: str) -> str:
    """A page with a body long enough to be found, and what sites put around it."""
    menu = "".join(f'<li><a href="/{index}">Menu {index}</a></li>' for index in range(12))
    return (
        f"<!DOCTYPE html><html lang='en-GB'><head><meta charset='utf-8'><title>T</title></head><body>"
        f"<nav><ul>{menu}</ul><img src='logo.png'></nav><article><h1>The river</h1><p>{FILLER}</p><p>{FILLER} One.</p>"
        f"{body}<p>{FILLER} Two.</p><p>{FILLER} Three.</p></article><footer><img src='foot.png'>Imprint</footer>"
        "</body></html>"
    )


@pytest.mark.parametrize("extractor", INSTALLED)
@pytest.mark.parametrize(
    "sign",
    [*map(chr, (1, 11, 12, 31, 0xFFFE, 0xFFFF)), "&#1;", "&#012;", "&#31;", "&#65535;", "&#xb;", "&#X1F;", "&#xfffe"],
    ids=ascii,
)
def test_characters_that_xml_has_none_of_are_blanks(tmp_path: Path, extractor: str, sign: str) -> None:
    page = read(
        tmp_path, article(f"<p>{FILLER} Old{sign} pages.</p><img src=a.png alt='A{sign} map'>"), extractor=extractor
    )
    assert [slot.text for slot in page.slots if isinstance(slot, TextSlot)][3] == f"{FILLER} Old pages."
    assert [slot.alt for slot in page.slots if isinstance(slot, ImageSlot)] == ["A map"]


@pytest.mark.parametrize("reference", ["&#9;", "&#10;", "&#13;", "&#x20;", "&#11141;", "&#x1f600;"])
def test_other_references_are_read(tmp_path: Path, reference: str) -> None:
    page = read(tmp_path, article(f"<p>{FILLER} A{reference}B.</p><img src=a.png>"))
    wanted = " ".join(f"{FILLER} A{unescape(reference)}B.".split())
    assert wanted in [slot.text for slot in page.slots if isinstance(slot, TextSlot)]


@pytest.mark.parametrize("extractor", INSTALLED)
def test_images_captions_and_texts_stand_in_page_order(tmp_path: Path, extractor: str) -> None:
    body = (
        "<figure><img src='a.jpg' alt='Axe'><figcaption>An axe of stone</figcaption></figure>"
        f"<h2>Finds</h2><p>Before <img src='b.png'> after it. {FILLER}</p>"
        "<div><p><img src='c.png'></p><p class='wp-caption-text'>A bowl</p></div>"
        "<p><img src='d.png'></p><p>Fig. 10. A flute with two holes</p>"
    )
    page = read(tmp_path, article(body), extractor=extractor)
    begin = outline(page).index("a.jpg")
    assert outline(page)[begin:] == [
        "a.jpg",
        "caption: An axe of stone",
        "header: Finds",
        "text: Before",
        "b.png",
        f"text: after it. {FILLER}",
        "c.png",
        "caption: A bowl",
        "d.png",
        "caption: Fig. 10. A flute with two holes",
        f"text: {FILLER} Two.",
        f"text: {FILLER} Three.",
    ]
    assert outline(page)[:begin] == ["header: The river", f"text: {FILLER}", f"text: {FILLER} One."]
    assert "Menu 3" not in " ".join(outline(page)) and "logo.png" not in outline(page)
    assert page.slots[outline(page).index("a.jpg")].alt == "Axe"
    assert page.language == "en-GB" and page.url == f"{tmp_path.name}/site/page.html"


@pytest.mark.parametrize("extractor", INSTALLED)
def test_no_image_of_the_body_is_lost_or_moved(tmp_path: Path, extractor: str) -> None:
    wrapped = [
        "<img src='{}.jpg'>",
        "<p><img src='{}.jpg'></p>",
        "<a href='big'><img src='{}.jpg'></a>",
        "<p><a href='big'><img src='{}.jpg'></a></p>",
        "<figure><a href='big'><img src='{}.jpg'></a></figure>",
        "<div><div><img src='{}.jpg'></div></div>",
        "<table><tr><td><img src='{}.jpg'></td></tr></table>",
        "<ul><li><img src='{}.jpg'></li></ul>",
        "<center><font><img src='{}.jpg'></font></center>",
        "<picture><source srcset='x.webp'><img src='{}.jpg'></picture>",
        "<blockquote><img src='{}.jpg'></blockquote>",
        "<p><span><b><img src='{}?id=7&w=9'></b></span></p>",
    ]
    body = "".join(f"{way.format(index)}<p>{FILLER} {index}.</p>" for index, way in enumerate(wrapped))
    page = read(tmp_path, article(body), extractor=extractor)
    found = [name.split("?")[0].split(".")[0] for name in outline(page) if ": " not in name]
    assert found == [str(index) for index in range(len(wrapped))]
    for index in range(len(wrapped)):
        place = next(i for i, name in enumerate(outline(page)) if name.split("?")[0] in (f"{index}.jpg", f"{index}"))
        assert outline(page)[place + 1].endswith(f"{FILLER} {index}.")


def test_kinds_and_levels(tmp_path: Path) -> None:
    body = (
        f"<h3>Level <i>three</i></h3><ul><li>First item</li><li>Second item: {FILLER}</li></ul><blockquote>"
        "<p>Quoted words</p></blockquote><pre>if x:\n    y()</pre>"
        "<table><tr><th>Name</th><th>Side</th></tr><tr><td>Tile</td><td>448</td>"
        "</tr></table><p>One<br>line</p>"
    )
    page = read(tmp_path, article(body))
    found = {slot.text: slot for slot in page.slots if isinstance(slot, TextSlot)}
    assert (found["Level three"].kind, found["Level three"].level) == (TextKind.HEADER, 3)
    assert found["First item"].kind == found[f"Second item: {FILLER}"].kind == TextKind.LIST
    assert found["Quoted words"].kind == TextKind.QUOTE
    assert found["if x:\n    y()"].kind == TextKind.CODE
    assert found["Name | Side"].kind == found["Tile | 448"].kind == TextKind.TABLE
    assert found["One\nline"].kind == TextKind.TEXT and found["One\nline"].level is None


@pytest.mark.parametrize("extractor", INSTALLED)
def test_captions_below_a_row_of_figures_go_to_their_columns(tmp_path: Path, extractor: str) -> None:
    row = "<table><tr><td><img src='a.png'></td><td><img src='b.png'></td><td><img src='c.png'></td></tr>"
    captions = "<tr><td>Fig. 1. Bowl</td><td colspan='2'>Fig. 2. Flute, two views</td></tr></table>"
    page = read(tmp_path, article(row + captions), extractor=extractor)
    begin = outline(page).index("a.png")
    assert outline(page)[begin : begin + 5] == [
        "a.png",
        "caption: Fig. 1. Bowl",
        "b.png",
        "c.png",
        "caption: Fig. 2. Flute, two views",
    ]


@pytest.mark.parametrize("extractor", INSTALLED)
def test_captions_below_a_row_of_numbered_figures_go_to_their_columns(tmp_path: Path, extractor: str) -> None:
    cells = "".join(f"<td><img src='{n}.png'><br>Fig. {n}.</td>" for n in (1, 2, 3))
    captions = "<tr><td class='caption' colspan='2'>Two bowls</td><td class='caption'>A flute</td></tr>"
    page = read(tmp_path, article(f"<table><tr>{cells}</tr>{captions}</table>"), extractor=extractor)
    begin = outline(page).index("1.png")
    assert outline(page)[begin : begin + 8] == [
        "1.png",
        "caption: Fig. 1.",
        "2.png",
        "caption: Fig. 2.",
        "caption: Two bowls",
        "3.png",
        "caption: Fig. 3.",
        "caption: A flute",
    ]


@pytest.mark.parametrize("extractor", INSTALLED)
def test_a_page_of_one_image_and_one_sentence(tmp_path: Path, extractor: str) -> None:
    page = read(
        tmp_path, "<html><body><img src='knee.png'><p>MRI of the left knee.</p></body></html>", extractor=extractor
    )
    assert outline(page) == ["knee.png", "text: MRI of the left knee."]


def test_late_addresses_sets_and_base(tmp_path: Path) -> None:
    body = (
        "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' data-src='late.jpg'>"
        "<p>x1</p><img srcset='small.jpg 320w, large.jpg 1280w, mid.jpg 640w'>"
        "<p>x2</p><picture><source srcset='p1.webp 1x, p2.webp 2x'><img></picture>"
        "<p>x3</p><img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='><noscript><img src='real.jpg'></noscript>"
        "<p>x4</p><img src='/top.jpg'><p>x5</p><img src='https://other.org/far.jpg#part'>"
    )
    head = "<head><base href='https://site.org/deep/er/index.html'></head>"
    page = read(tmp_path, f"<html>{head}<body>{body}<p>{FILLER}</p></body></html>", extractor="resiliparse")
    assert images(page) == [
        "https://site.org/deep/er/late.jpg",
        "https://site.org/deep/er/large.jpg",
        "https://site.org/deep/er/p2.webp",
        "https://site.org/deep/er/real.jpg",
        "https://site.org/top.jpg",
        "https://other.org/far.jpg",
    ]


def test_what_gets_no_slot_is_listed(tmp_path: Path) -> None:
    body = (
        "<img src='pixel.gif' width='1' height='1'><img src='styled.gif' style='width:0px; height: 1px'>"
        "<img alt='nothing'><img src='data:image/png;base64,%%%'><img src='line.gif' width='600' height='1'>"
    )
    page = read(tmp_path, article(body))
    assert [(one.reason, one.severity.value) for one in page.rejects] == [
        ("tracking-pixel", "skipped"),
        ("tracking-pixel", "skipped"),
        ("no-address", "skipped"),
        ("data-uri", "skipped"),
    ]
    assert [name.rsplit("/", 1)[-1] for name in images(page)] == ["line.gif"]


def test_images_in_the_page_are_at_hand(tmp_path: Path) -> None:
    page = read(tmp_path, article("<img src='data:image/png;base64,aGVsbG8='>"))
    # sha256sum of the five bytes of "hello"
    address = "data-sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"
    assert images(page) == [address]
    assert page.find_image(address) == b"hello"


@pytest.mark.parametrize("extractor", INSTALLED)
@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("10<sup>3</sup> Bq", "10^3 Bq"),
        ("E = <i>mc</i><sup>2</sup>.", "E = mc^2."),
        ("10<sup><b>-3</b></sup> and x<sup>n+1</sup>y", "10^-3 and x^(n+1)y"),
        ("Ca<sup>2+</sup> and H<sub>2</sub>O", "Ca^2+ and H2O"),
        ("the 1<sup>st</sup>, the 2<sup>nd</sup>, the XIX<sup>e</sup>", "the 1st, the 2nd, the XIXe"),
        ("Bollaert,<sup>19</sup> who wrote.<sup>2, 3</sup> So", "Bollaert, who wrote. So"),
        ("word<sup><a href='#n1'>1</a></sup> and <a href='#n2'><sup>2</sup></a> after", "word and after"),
        ("word<sup class='footnote-ref'>1</sup> after", "word after"),
        ("wiki<sup class='reference'><a href='#cite_note-7'>[12]</a></sup> text", "wiki[12] text"),
        ("figurine.<a class='tag' href='#note20'>20</a> Then", "figurine. Then"),
        ("see Fig. <a href='#fig20' class='tag'>20</a> and (<a href='#ref3'>3</a>)", "see Fig. 20 and (3)"),
        ("a link to 10 m<a href='#x'><sup>2</sup> of it</a>", "a link to 10 m2 of it"),
    ],
)
def test_superscripts_keep_their_meaning(tmp_path: Path, extractor: str, content: str, wanted: str) -> None:
    page = read(tmp_path, article(f"<p>{content} {FILLER}</p>"), extractor=extractor)
    assert f"text: {wanted} {FILLER}" in outline(page)


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        ("<math><mfrac><mn>1</mn><mn>2</mn></mfrac></math>", "1/2"),
        ("<math><msup><mi>x</mi><mrow><mi>n</mi><mo>+</mo><mn>1</mn></mrow></msup></math>", "x^(n+1)"),
        ("<math><mi>A</mi><mo>=</mo><msubsup><mi>a</mi><mn>0</mn><mn>2</mn></msubsup></math>", "A=a_0^2"),
        ("<math><msqrt><mi>x</mi><mo>+</mo><mn>1</mn></msqrt></math>", "√(x+1)"),
        (
            "<math><semantics><mrow><mi>x</mi></mrow><annotation encoding='application/x-tex'>x_{1}^2"
            "</annotation></semantics></math>",
            "x_{1}^2",
        ),
        (
            "<span class='katex'><span class='katex-mathml'><math><mi>y</mi></math></span>"
            "<span class='katex-html' aria-hidden='true'>y</span></span>",
            "y",
        ),
    ],
    ids=["fraction", "power", "indices", "root", "tex", "katex"],
)
def test_formulas_are_text(tmp_path: Path, content: str, wanted: str) -> None:
    page = read(tmp_path, article(f"<p>Take {content} of it. {FILLER}</p>"))
    assert f"text: Take {wanted} of it. {FILLER}" in outline(page)


def test_drawings_with_text_are_counted(tmp_path: Path) -> None:
    drawing = "<svg><g><text>label</text></g></svg>"
    page = read(tmp_path, article(f"<p>{FILLER} {drawing}{drawing}<svg><path d='M0 0'/></svg> end.</p>"))
    assert f"text: {FILLER} end." in outline(page)
    assert [(one.reason, one.message[:2]) for one in page.rejects] == [("svg-text", "2 ")]


def test_a_picture_keeps_its_sources_to_itself(tmp_path: Path) -> None:
    inline = "<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw='>"
    page = read(tmp_path, article(f"<picture><source srcset='b.png'>{inline}</picture><p>{FILLER}</p>{inline}"))
    first, second = images(page)
    assert first.endswith("/site/b.png") and second.startswith("data-sha256:")


@pytest.mark.parametrize("extractor", INSTALLED)
def test_cells_keep_their_columns(tmp_path: Path, extractor: str) -> None:
    rows = (
        "<tr><th>a</th><th>b</th><th>c</th></tr><tr><td>1</td><td></td><td>3</td></tr>"
        "<tr><td rowspan='2'>r</td><td>4<br><br>5</td><td>6</td></tr><tr><td>7</td></tr>"
        "<tr><td colspan='3'>A heading within</td></tr><tr><td></td><td>8</td><td>9</td></tr>"
    )
    page = read(tmp_path, article(f"<p>{FILLER}</p><table>{rows}</table>"), extractor=extractor)
    begin = outline(page).index("table: a | b | c")
    assert outline(page)[begin : begin + 6] == [
        "table: a | b | c",
        "table: 1 |  | 3",
        "table: r | 4 5 | 6",
        "table:  | 7 | ",
        "text: A heading within",
        "table:  | 8 | 9",
    ]


def test_a_table_with_one_text_a_row_is_layout(tmp_path: Path) -> None:
    rows = "".join(f"<tr><td></td><td>{FILLER} {name}.</td></tr>" for name in "AB")
    page = read(tmp_path, article(f"<table>{rows}</table>"))
    assert [f"text: {FILLER} A.", f"text: {FILLER} B."] == [one for one in outline(page) if one[-2:] in ("A.", "B.")]


def test_few_bytes_do_not_make_a_wide_table(tmp_path: Path) -> None:
    rows = "<tr><td>1</td><td>2</td></tr>" * 50
    page = read(tmp_path, article(f"<table><tr><td colspan='1000'>x</td><td>y</td></tr>{rows}</table>"))
    assert outline(page).count("table: 1 | 2") == 50


def test_all_images_keep_their_places(tmp_path: Path) -> None:
    body = "".join(f"<img src='{index}.jpg'><p>{FILLER}</p>" for index in range(5))
    assert len(images(read(tmp_path, article(body), max_images=3))) == 5  # the build switches those behind off


def test_when_the_page_was_changed(tmp_path: Path) -> None:
    meta = "<meta property='article:published_time' content='2020-01-01'>"
    assert read(tmp_path, f"<head>{meta}</head><p>x</p>").modified == "2020-01-01T00:00:00+00:00"
    later = "<meta property='article:modified_time' content='2021-05-06T07:08:09+02:00'>"
    assert read(tmp_path, f"<head>{meta}{later}</head><p>x</p>").modified == "2021-05-06T05:08:09+00:00"
    assert read(tmp_path, "<head><meta name='last-modified' content='soon'></head><p>x</p>").modified is None


def test_hidden_texts_and_scripts_are_no_texts(tmp_path: Path) -> None:
    body = "<p style='display: none'>hidden one</p><p hidden>hidden two</p><script>var three</script><p>seen</p>"
    page = read(tmp_path, f"<html><body>{body}</body></html>")
    assert outline(page) == ["text: seen"]


def test_private_use_characters_of_a_page_do_not_pass_for_marks(tmp_path: Path) -> None:
    # Were they taken for marks, slots 0 to 5 would be kept though they are in the menu.
    forged = "".join(f"&#x{0xF0000 + index:x};" for index in range(6))
    page = read(tmp_path, article(f"<p>{forged}{FILLER} Forged.</p>").replace("<nav>", "<div class='menu'>"))
    assert f"text: {FILLER} Forged." in outline(page)
    assert not any("Menu" in name for name in outline(page))


BAD = {
    "empty": (b"", "empty"),
    "blank": (b" \r\n\t ", "empty"),
    "binary": (bytes(range(256)) * 40, "decode"),
    "png": (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + bytes(200), "decode"),
    "comment": (b"<!-- nothing -->", "empty"),
    "deep": (b"<div>" * 100_000 + b"<p>x</p>", "too-deep"),
}


@pytest.mark.parametrize("name", sorted(BAD))
@pytest.mark.parametrize("extractor", INSTALLED)
def test_bad_pages_are_refused_with_a_reason(tmp_path: Path, name: str, extractor: str) -> None:
    content, reason = BAD[name]
    with pytest.raises(ItemError) as caught:
        read(tmp_path, content, extractor=extractor)
    assert caught.value.reason == reason


def test_a_page_of_500_mb_is_refused_unread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = source_of(tmp_path, b"")
    with source.path.open("r+b") as file:
        file.truncate(500_000_000)  # sparse: it takes no room
    monkeypatch.setattr(Path, "open", lambda *_: pytest.fail("it was opened"))
    with pytest.raises(ItemError) as caught:
        list(read_html(source, ReadSettings()))
    assert caught.value.reason == "too-large"


@pytest.mark.parametrize(
    "content",
    [
        f"<p>{FILLER}<div><b><i>x</p></b>",
        f"<p>{FILLER}</p><table><td><tr><p>x</table></div></span>",
        f"<p {'a=1 ' * 1000}>{FILLER}</p>",
        f"<p>{FILLER}\0 and NUL</p>",
        f"<<<>>><p>{FILLER}</p><![CDATA[ x ]]>",
        f"{FILLER} without any element",
    ],
    ids=["overlapping", "table", "attributes", "nul", "junk", "text"],
)
@pytest.mark.parametrize("extractor", INSTALLED)
def test_broken_pages_are_read_all_the_same(tmp_path: Path, content: str, extractor: str) -> None:
    page = read(tmp_path, content, extractor=extractor)
    assert FILLER in " ".join(slot.text for slot in page.slots if isinstance(slot, TextSlot))


@pytest.mark.parametrize("extractor", INSTALLED)
def test_entities_of_a_page_are_not_expanded(tmp_path: Path, extractor: str) -> None:
    entities = "".join(f'<!ENTITY e{rank} "{f"&e{rank - 1};" * 10}">' for rank in range(1, 10))
    head = f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY e0 "lol">{entities}]>'
    page = read(tmp_path, f"{head}<html><body><p>{FILLER} &e9; end</p></body></html>", extractor=extractor)
    assert sum(len(slot.text) for slot in page.slots if isinstance(slot, TextSlot)) < 1000


def test_mixed_encodings_are_told(tmp_path: Path) -> None:
    page = read(tmp_path, b"<meta charset='utf-8'><p>caf\xc3\xa9 and caf\xe9 \x93quoted\x94</p>")
    assert outline(page) == ["text: café and café “quoted”"]
    assert [one.reason for one in page.rejects] == ["encoding"]
    assert page.rejects[0].message.startswith("3 ")


def test_magic_html_is_asked_as_it_is_documented(tmp_path: Path, stand_in: types.SimpleNamespace) -> None:
    page = read(tmp_path, article("<img src='a.jpg'>"), extractor="magic-html", base_url="https://site.org/x")
    assert outline(page) == [
        "header: The river",
        f"text: {FILLER}",
        f"text: {FILLER} One.",
        "a.jpg",
        f"text: {FILLER} Two.",
        f"text: {FILLER} Three.",
    ]
    ((html, options),) = stand_in.calls
    assert html.startswith("<html") and options == {"base_url": "https://site.org/x/site/page.html"}


def test_a_missing_or_unknown_extractor_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "magic_html", None)
    with pytest.raises(UsageError, match=r"pip install 'domainvl\[magic-html\]'"):
        read(tmp_path, "<p>x</p>", extractor="magic-html")
    with pytest.raises(UsageError, match="must be one of trafilatura, resiliparse, magic-html, got 'other'"):
        read(tmp_path, "<p>x</p>", extractor="other")
    assert EXTRACTORS["magic-html"].version == "magic-html"


def test_reading_twice_gives_the_same(tmp_path: Path) -> None:
    first, second = (read(tmp_path, article("<img src='a.jpg'><p>Fig. 1. x</p>")) for _ in range(2))
    assert first.slots == second.slots and first.sha256 == second.sha256 and first.rejects == second.rejects
