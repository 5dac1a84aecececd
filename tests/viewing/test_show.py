"""The page as a file: what it holds, that nothing in it can run or be fetched, and what it may replace."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from importlib import resources

import pytest
from builders import make_image, make_sample

from domainvl.errors import NothingToDoError, UsageError
from domainvl.schema import Split, read_samples
from domainvl.viewing.choosing import Wanted
from domainvl.viewing.show import MARKER, write_page

VOID = {"meta", "img", "input", "br", "wbr"}


class Page(HTMLParser):
    """Reads a page as a browser does: elements with their attributes, and the text within each."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements = []  # (tag, attributes, text pieces)
        self._open = []
        self.feed(html)
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag, attributes):
        element = (tag, dict(attributes), [])
        self.elements.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes), []))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag

    def handle_data(self, data):
        for element in self._open:
            element[2].append(data)

    def find(self, tag, **wanted):
        return [
            (attributes, "".join(text))
            for name, attributes, text in self.elements
            if name == tag and all(attributes.get(key.rstrip("_")) == value for key, value in wanted.items())
        ]


@pytest.fixture(scope="module", params=["folder", "embedded"])
def page(request, gallery, tmp_path_factory):
    out = tmp_path_factory.mktemp(request.param) / ("page" if request.param == "folder" else "page.html")
    summary = write_page(gallery, out, embed=request.param == "embedded")
    return Page(summary.path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def samples(gallery):
    return [sample for split in Split for sample in read_samples(gallery, split)]


def test_each_sample_has_its_card(page, samples):
    cards = {attributes["data-id"]: attributes for tag, attributes, _ in page.elements if tag == "article"}

    assert list(cards) == [sample.id for sample in samples]
    for sample in samples:
        card = cards[sample.id]
        assert card["data-task"] == sample.task
        assert card["data-split"] == sample.split
        assert card["data-domain"] == sample.domain
        assert json.loads(card["data-class"]) == sorted({thing.label for thing in sample.objects})


def test_text_of_the_data_set_is_text_on_the_page(page, samples):
    body = "".join(text for _, text in page.find("main"))

    for sample in samples:
        assert sample.id in body
        assert all(turn.text in body for turn in sample.turns)
        assert sample.group in body
        assert all(warning in body for warning in sample.warnings)
        assert all(thing.label in body and thing.id in body for thing in sample.objects)
        assert all(image.source.uri in body and image.path in body for image in sample.images)
        assert all((image.view or "") in body for image in sample.images)


def test_nothing_of_the_data_set_can_run(page):
    embedded = bool(page.find("script", id="pixels"))
    scripts = page.find("script")
    assert [attributes for attributes, _ in scripts] == (
        [{"type": "application/json", "id": "pixels"}, {}] if embedded else [{}]
    )
    for tag, attributes, _ in page.elements:
        assert tag not in {"iframe", "object", "embed", "base", "link"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"], (tag, attributes)


def test_nothing_is_fetched(page):
    embedded = bool(page.find("script", id="pixels"))
    for tag, attributes, _ in page.elements:
        for name in ("src", "href", "xlink:href", "action", "srcset", "data", "poster"):
            target = attributes.get(name)
            if target is not None:
                image = tag == "img" and not embedded and re.fullmatch(r"images/[0-9a-f]{32}\.png", target)
                assert image or (tag == "a" and target.startswith("#")), (tag, target)
    assert not re.search(r"url\(|@import", page.find("style")[0][1])


def test_the_policy_allows_this_script_and_this_style_only(page):
    (policy,) = [
        attributes["content"]
        for tag, attributes, _ in page.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))

    def own(text):
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    embedded = bool(page.find("script", id="pixels"))
    assert rules == {
        "default-src": "'none'",
        "img-src": "data:" if embedded else "'self' file:",
        "style-src": own(page.find("style")[0][1]),
        "script-src": own(page.find("script")[-1][1]),
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_filters_offer_what_there_is_with_counts(page):
    options = {}
    for attributes, text in page.find("select"):
        options[attributes["name"]] = [part.strip() for part in text.split("\n") if part.strip()]

    assert options["task"] == [
        "all", "counting (1)", "detection (1)", "grounding (2)", "multiple-choice (1)", "region (1)", "vqa (1)",
    ]  # fmt: skip
    assert options["split"] == ["all", "test (2)", "train (4)", "val (1)"]
    assert options["domain"] == ["all", "driving (2)", "medical (2)", "remote-sensing (3)"]
    # The car of detection/0 is counted once, although it is there twice.
    assert options["class"][1:] == [
        "<script>document.title='label'</script> (1)", "bus (2)", "car (3)", "field (1)", "plane (1)", "well (1)",
    ]  # fmt: skip


def test_shapes_are_drawn_in_pixels_of_the_image(page):
    """Each shape of detection/0 with the numbers of tests/gallery.py; twice, as each has a dark edge under it."""
    svg = next(
        index for index, (_, attributes, _) in enumerate(page.elements) if attributes.get("viewbox") == "0 0 200 100"
    )
    drawn = []
    for tag, attributes, _ in page.elements[svg + 1 :]:
        if tag == "svg":
            break
        if tag in ("rect", "polygon", "path"):
            drawn.append((tag, {key: value for key, value in attributes.items() if key != "class"}))

    def box(x, y, width, height, **others):
        return ("rect", {"x": x, "y": y, "width": width, "height": height} | others)

    once = [
        box("80.0", "40.0", "60.0", "20.0", transform="rotate(30.0 110.0 50.0)"),
        ("polygon", {"points": "5.0,60.0 40.0,60.0 40.0,95.0 "}),
        ("polygon", {"points": "50.0,70.0 60.0,70.0 55.0,90.0 "}),
        ("path", {"d": "M190.0 90.0h0"}),
        box("150.0", "0.0", "50.0", "30.0"),
    ]
    # The text says [100, 100, 300, 500] and [400, 200, 700, 800] of 1000: of 200 x 100 px the same boxes again.
    also_in_text = [box("20.0", "10.0", "40.0", "40.0"), box("80.0", "20.0", "60.0", "60.0")]
    assert [drawn.count(shape) for shape in once] == [2] * 5
    assert [drawn.count(shape) for shape in also_in_text] == [4] * 2
    assert len(drawn) == 2 * 5 + 4 * 2


def test_truth_and_text_that_disagree_are_drawn_and_said(page):
    classes = [attributes.get("class") for tag, attributes, _ in page.elements if tag == "g"]
    said = [text for attributes, text in page.find("li", class_="disagreement")]

    assert classes.count("text-box disagrees") == 2  # the box and its label
    assert said == [
        "No object has the box of the text: car [500, 500, 900, 900]",
        "The text does not have the box of the answer: car [20, 10, 60, 50] px = [100, 100, 300, 500] of 1000",
    ]


def test_the_page_says_what_it_shows(gallery, tmp_path):
    summary = write_page(gallery, tmp_path / "page", wanted=Wanted(limit=5, seed=3))
    page = Page(summary.path.read_text(encoding="utf-8"))
    (_, top), *_ = page.find("header", class_="top")

    assert (summary.shown, summary.available, summary.disagreeing) == (5, 7, 0)
    assert write_page(gallery, tmp_path / "all").disagreeing == 1  # grounding/1 is not among the five
    assert "5 of 7 samples are on this page: an even choice over split and task, seed 3." in " ".join(top.split())


def test_the_images_are_those_of_the_data_set(gallery, tmp_path, samples):
    write_page(gallery, tmp_path / "page")

    paths = {image.path for sample in samples for image in sample.images}
    expected = [hashlib.sha256((gallery / path).read_bytes()).hexdigest() for path in paths]
    found = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (tmp_path / "page" / "images").iterdir()]
    assert sorted(found) == sorted(expected)


def test_an_embedded_image_is_held_once(gallery, tmp_path, samples):
    summary = write_page(gallery, tmp_path / "page.html", embed=True)
    page = Page(summary.path.read_text(encoding="utf-8"))
    pixels = json.loads(page.find("script", id="pixels")[0][1])
    named = [attributes["data-pixels"] for tag, attributes, _ in page.elements if tag == "img"]

    paths = [image.path for sample in samples for image in sample.images]
    assert len(named) == len(paths) > len(set(paths)) == len(pixels)
    for name, path in zip(named, paths, strict=True):
        assert pixels[name] == "data:image/png;base64," + base64.b64encode((gallery / path).read_bytes()).decode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("images/../../secret.png", "its path leads out of the data set"),
        ("/etc/hostname", "its path leads out of the data set"),
        ("images\\..\\secret.png", "its path leads out of the data set"),
        ("images/none.png", "there is no such file"),
        ("images/note.png", "it is no image that can be read"),
        ("images/wrong.png", "it has 4x3 px, recorded are 200x100"),
        ("images/dots.gif", "it must be PNG or JPEG, got GIF"),
    ],
)
@pytest.mark.parametrize("embed", [False, True])
def test_images_that_cannot_be_shown_are_named(tmp_path, save, path, problem, embed):
    from PIL import Image as PillowImage

    dataset = save(tmp_path / "data", [make_sample(images=[make_image(path)])])
    (dataset / "images").mkdir()
    (tmp_path / "secret.png").write_bytes(b"\x89PNG secret")
    (dataset / "images" / "note.png").write_text("secret")
    PillowImage.new("RGB", (4, 3)).save(dataset / "images" / "wrong.png")
    PillowImage.new("P", (200, 100)).save(dataset / "images" / "dots.gif")

    summary = write_page(dataset, tmp_path / "page.html" if embed else tmp_path / "page", embed=embed)

    assert summary.problems == {path: problem}
    html = summary.path.read_text(encoding="utf-8")
    assert "Images that are missing or not as recorded: 1." in html
    assert problem in html
    assert "secret" not in html.replace("secret.png", "")
    shown = 1 if "wrong" in path else 0
    assert len(Page(html).find("img")) == shown
    if not embed:
        assert len(list((tmp_path / "page" / "images").iterdir())) == shown


def test_a_name_that_is_not_utf_8_is_shown(tmp_path, save):
    dataset = save(tmp_path / "data", [make_sample(images=[])])
    (dataset / "manifest.json").write_text(json.dumps({"name": "scan-\udcff"}))

    (title,) = Page(write_page(dataset, tmp_path / "page").path.read_text(encoding="utf-8")).find("h1")
    assert title[1] == "scan-\\udcff"


def test_its_own_page_is_replaced_whole(gallery, tmp_path):
    write_page(gallery, tmp_path / "page")
    first = {path.name for path in (tmp_path / "page" / "images").iterdir()}
    summary = write_page(gallery, tmp_path / "page", wanted=Wanted(splits=(Split.VAL,)))

    second = {path.name for path in (tmp_path / "page" / "images").iterdir()}
    assert summary.shown == 1
    assert len(first) == 4
    assert len(second) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["page"]  # nothing is left beside it


def test_an_empty_folder_is_taken(gallery, tmp_path):
    (tmp_path / "page").mkdir()

    assert write_page(gallery, tmp_path / "page").path.is_file()


def foreign_folder(path):
    path.mkdir()
    (path / "thesis.txt").write_text("mine")


def foreign_index(path):
    path.mkdir()
    (path / "index.html").write_text("<!doctype html>mine")


def page_with_a_file_beside(path):
    (path / "images").mkdir(parents=True)
    (path / "index.html").write_text(MARKER)
    (path / "notes.txt").write_text("mine")


def page_with_a_file_among_the_images(path):
    (path / "images").mkdir(parents=True)
    (path / "index.html").write_text(MARKER)
    (path / "images" / "holiday.jpg").write_text("mine")


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (foreign_folder, "the folder holds no page of domainvl, but thesis.txt"),
        (foreign_index, "the folder holds no page of domainvl, but index.html"),
        (page_with_a_file_beside, "beside the page there is notes.txt"),
        (page_with_a_file_among_the_images, "beside the page there is images/holiday.jpg"),
        (lambda path: path.write_text("mine"), "it is a file"),
    ],
)
def test_anything_else_is_left_alone(gallery, tmp_path, make, rule):
    target = tmp_path / "page"
    make(target)
    before = sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file())

    with pytest.raises(UsageError, match=rule):
        write_page(gallery, target)

    assert sorted((path, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()) == before


def test_one_file_replaces_its_own_kind_only(gallery, tmp_path):
    target = tmp_path / "page.html"
    write_page(gallery, target, embed=True)
    assert write_page(gallery, target, embed=True, wanted=Wanted(limit=1)).shown == 1

    target.write_text("mine")
    with pytest.raises(UsageError, match="the file is no page of domainvl"):
        write_page(gallery, target, embed=True)
    with pytest.raises(UsageError, match="it is a folder"):
        write_page(gallery, tmp_path, embed=True)
    assert target.read_text() == "mine"


def test_a_failure_leaves_the_old_page(tmp_path, save, gallery):
    write_page(gallery, tmp_path / "page")
    before = (tmp_path / "page" / "index.html").read_bytes()

    with pytest.raises(NothingToDoError):
        write_page(save(tmp_path / "none", []), tmp_path / "page")

    assert (tmp_path / "page" / "index.html").read_bytes() == before


def luminance(colour):
    """Relative luminance (W3C, WCAG 2.2)."""
    channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_contrasts_with_what_it_stands_on(scheme):
    """At least 4.5 : 1 (W3C, WCAG 2.2, success criterion 1.4.3)."""
    css = resources.files("domainvl.viewing").joinpath("page.css").read_text(encoding="utf-8")
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    light, dark = (dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block)) for block in blocks)
    colours = light if scheme == "light" else dark
    assert set(light) == set(dark)

    pairs = [(ink, paper) for ink in ("ink", "soft", "link") for paper in ("paper", "card", "field")]
    pairs += [("ink", paper) for paper in ("human", "assistant", "chip", "train", "val", "test")]
    pairs += [("soft", "human"), ("soft", "assistant"), ("truth-ink", "truth")]
    pairs += [("alarm-ink", "alarm"), ("alarm-ink", "paper")]
    for ink, paper in pairs:
        bright, deep = sorted((luminance(colours[ink]), luminance(colours[paper])), reverse=True)
        assert (bright + 0.05) / (deep + 0.05) >= 4.5, (ink, paper)
