"""The page in a browser: what is drawn where, and what the filters leave, with the controls that a person uses."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from builders import make_sample
from gallery import put_image

from domainvl.schema import Split, Task, TextAnswer, read_samples, to_box_px
from domainvl.viewing.show import write_page

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def files(gallery, tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    return {
        "folder": write_page(gallery, folder / "page").path,
        "embedded": write_page(gallery, folder / "page.html", embed=True).path,
    }


@pytest.fixture(params=["folder", "embedded"])
def page(request, browser, files):
    """The opened page; at the end there was no error on the console and nothing was fetched but files."""
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.set_default_timeout(10_000)
    said, fetched = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda asked: fetched.append(asked.url))
    opened.goto(files[request.param].as_uri())
    yield opened
    opened.close()
    assert said == []
    assert [url for url in fetched if not url.startswith(("file:", "data:"))] == []
    own = files[request.param]
    beside = {url for url in fetched if url.startswith("file:") and url.split("#")[0] != own.as_uri()}
    if request.param == "embedded":
        assert beside == set()
    else:
        assert beside
        assert beside <= {path.as_uri() for path in (own.parent / "images").iterdir()}


@pytest.fixture(scope="module")
def samples(gallery):
    return [sample for split in Split for sample in read_samples(gallery, split)]


def shown(page):
    return [card.get_attribute("data-id") for card in page.locator("article:visible").all()]


def wait_for_count(page, count):
    page.locator("output", has_text=re.compile(f"^{count}$")).wait_for()


def lay_out_all(page):
    """Lay out the cards that are out of sight too: images that come late push cards there while they are measured."""
    page.evaluate("document.querySelectorAll('.card').forEach(card => { card.style.contentVisibility = 'visible'; })")


def wait_for_image(page, picture):
    """Images are loaded when they come near the window; when that is, is the browser's affair."""
    picture.evaluate("image => image.scrollIntoView({ block: 'center' })")
    page.wait_for_function(
        "frame => { const image = frame.querySelector('img'); return image.complete && image.naturalWidth > 0; }",
        arg=picture.locator("..").element_handle(),  # in a page of one file the image itself is replaced by another
    )


def ids(samples, *tests):
    return [sample.id for sample in samples if all(test(sample) for test in tests)]


def test_nothing_of_the_data_set_ran(page, samples):
    assert shown(page) == [sample.id for sample in samples]
    assert page.title().startswith("gallery: 7 of 7 samples")


def test_each_filter_leaves_what_the_data_set_says(page, samples):
    filters = {
        "task": {
            task: ids(samples, lambda sample, task=task: sample.task == task)
            for task in {s.task.value for s in samples}
        },
        "split": {
            split: ids(samples, lambda sample, split=split: sample.split == split) for split in ("train", "val", "test")
        },
        "domain": {
            domain: ids(samples, lambda sample, domain=domain: sample.domain == domain)
            for domain in {s.domain for s in samples}
        },
        "class": {
            label: ids(samples, lambda sample, label=label: any(thing.label == label for thing in sample.objects))
            for label in {thing.label for sample in samples for thing in sample.objects}
        },
    }
    for control, values in filters.items():
        for value, expected in values.items():
            assert 0 < len(expected) < len(samples)
            page.get_by_label(control, exact=True).select_option(value)
            wait_for_count(page, len(expected))
            assert shown(page) == expected, (control, value)
        page.get_by_role("button", name="Reset").click()
        wait_for_count(page, len(samples))


def test_filters_are_combined_and_counted_for_each_other(page, samples):
    page.get_by_label("domain", exact=True).select_option("remote-sensing")
    page.get_by_label("split", exact=True).select_option("train")
    wait_for_count(page, 2)
    assert shown(page) == ["detection/0", "grounding/0"]

    # Of the other splits there is one card of this domain; of the other domains what train has.
    options = {
        control: [text for text in page.get_by_label(control, exact=True).locator("option").all_text_contents()]
        for control in ("split", "domain", "task")
    }
    assert options["split"] == ["all", "test (1)", "train (2)", "val (0)"]
    assert options["domain"] == ["all", "driving (1)", "medical (1)", "remote-sensing (2)"]
    assert options["task"][:4] == ["all", "counting (0)", "detection (1)", "grounding (1)"]

    page.get_by_label("task", exact=True).select_option("counting")
    wait_for_count(page, 0)
    assert page.get_by_text("No card fits all of these filters.").is_visible()


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("  BUSES   are", ["counting/0"]),  # a question, whatever its case and blanks
        ("document.title='uri'", ["choice/\"><script>document.title='id'</script>"]),  # a source
        ("12.5 of nothing", []),
    ],
)
def test_free_text(page, typed, expected):
    page.get_by_label("text", exact=True).fill(typed)
    wait_for_count(page, len(expected))

    assert shown(page) == expected


def test_only_what_has_a_warning_or_disagreement(page):
    page.get_by_label("only with a warning or disagreement (2)").check()
    wait_for_count(page, 2)

    assert shown(page) == ["choice/\"><script>document.title='id'</script>", "grounding/1"]


def test_the_address_reproduces_the_filters(page, browser):
    page.get_by_label("class", exact=True).select_option("car")
    page.get_by_label("split", exact=True).select_option("train")
    page.get_by_label("text", exact=True).fill("remote")
    page.get_by_label("labels", exact=True).uncheck()
    wait_for_count(page, 2)
    page.wait_for_url("**#*text=remote*hide=labels*")

    other = browser.new_page()
    other.goto(page.url)
    wait_for_count(other, 2)
    assert shown(other) == shown(page) == ["detection/0", "grounding/0"]
    assert other.get_by_label("class", exact=True).input_value() == "car"
    assert other.get_by_label("text", exact=True).input_value() == "remote"
    assert other.locator(".card .labels").first.is_hidden()
    other.close()


def test_a_cards_link_shows_it_alone(page):
    page.get_by_role("link", name="region/0").click()
    wait_for_count(page, 1)

    assert shown(page) == ["region/0"]


def test_the_keyboard_reaches_the_controls(page):
    page.get_by_label("task", exact=True).focus()
    page.keyboard.type("count")  # a list jumps to what is typed
    page.keyboard.press("Tab")
    wait_for_count(page, 1)
    assert shown(page) == ["counting/0"]
    assert page.evaluate("document.activeElement.name") == "split"

    page.get_by_role("button", name="Enlarge LEFT").focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").is_visible()
    page.keyboard.press("Escape")
    assert page.locator("dialog").is_hidden()


def on_screen(frame, shape):
    """The rectangles of a frame's picture and of a shape in it, the shape's without its line, at one moment.

    Two questions would get answers of two moments: images that come late move the cards.
    """
    return frame.evaluate(
        """(frame, shape) => {
             const picture = frame.querySelector("img").getBoundingClientRect();
             const drawn = frame.querySelector(shape), box = drawn.getBBox(), matrix = drawn.getScreenCTM();
             const corner = (x, y) => new DOMPoint(x, y).matrixTransform(matrix);
             const low = corner(box.x, box.y), high = corner(box.x + box.width, box.y + box.height);
             return [[picture.left, picture.top, picture.right, picture.bottom], [low.x, low.y, high.x, high.y]];
           }""",
        shape,
    )


def test_every_image_is_there_however_the_window_changes(page):
    """Chromium often never laid out an image that was on the page before it had a source."""
    for _ in range(8):
        page.set_viewport_size({"width": 1280, "height": 900})
        page.reload()
        page.set_viewport_size({"width": 390, "height": 800})
        for frame in page.locator(".card .frame").all():
            frame.evaluate("frame => frame.scrollIntoView({ block: 'center' })")
            page.wait_for_function(
                """frame => {
                     const image = frame.querySelector("img");
                     return image.complete && image.naturalWidth > 0 && image.getBoundingClientRect().height > 0;
                   }""",
                arg=frame.element_handle(),
            )


@pytest.mark.parametrize("viewport", [(1280, 900), (390, 800)])
def test_boxes_lie_where_the_pixels_are(page, samples, viewport):
    page.set_viewport_size({"width": viewport[0], "height": viewport[1]})
    lay_out_all(page)
    checked = 0
    for sample in samples:
        card = page.locator("article").nth(samples.index(sample))
        for index, image in enumerate(sample.images):
            frame = card.locator(".frame").nth(index)
            picture = frame.locator("img")
            wait_for_image(page, picture)
            assert picture.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [
                image.width_px,
                image.height_px,
            ]
            expected = [
                thing.box_px for thing in sample.objects if thing.image == index and thing.box_px and not thing.ignore
            ]
            for box_px in expected:
                corner = f'rect[x="{box_px[0]}"][y="{box_px[1]}"]'
                (left, top, right, bottom), drawn = on_screen(frame, f".object:not(.ignored) > .over {corner}")
                across, down = (right - left) / image.width_px, (bottom - top) / image.height_px
                assert across == pytest.approx(down, rel=0.01)
                x_min, y_min, x_max, y_max = box_px
                assert drawn == pytest.approx(
                    [left + x_min * across, top + y_min * down, left + x_max * across, top + y_max * down], abs=1
                )
                checked += 1
    # detection/0 has two, grounding/0 and /1 one, choice one, counting/0 and region/0 one.
    assert checked == 7


def test_a_box_of_the_text_lies_where_the_text_says(page, samples):
    lay_out_all(page)
    number = [sample.id for sample in samples].index("grounding/1")
    frame = page.locator("article").nth(number).locator(".frame")
    wait_for_image(page, frame.locator("img"))
    (left, top, right, bottom), drawn = on_screen(frame, ".text-box.disagrees > rect.over")
    x_min, y_min, x_max, y_max = to_box_px((500, 500, 900, 900), 1, 1)

    assert drawn == pytest.approx(
        [
            left + x_min * (right - left),
            top + y_min * (bottom - top),
            left + x_max * (right - left),
            top + y_max * (bottom - top),
        ],
        abs=1,
    )


def test_labels_keep_their_size_on_the_screen(page):
    lay_out_all(page)
    heights = []
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        label = page.locator("article").first.locator(".labels text").first
        page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        heights.append(label.evaluate("text => text.getBoundingClientRect().height"))

    assert heights[0] == pytest.approx(heights[1], abs=1)


def pixels(screenshot):
    from PIL import Image as PillowImage

    return np.asarray(PillowImage.open(io.BytesIO(screenshot)).convert("RGB")).astype(int)


def test_a_screenshot_shows_the_boxes(page, tmp_path):
    frame = page.locator("article").first.locator(".frame")
    wait_for_image(page, frame.locator("img"))
    path = Path(tmp_path / "page.png")
    page.screenshot(path=path)
    with_boxes = pixels(path.read_bytes())
    assert with_boxes.shape == (900, 1280, 3)
    assert with_boxes.std() > 20  # not blank

    for layer in ("objects", "answers", "ignored", "boxes in text", "labels"):
        page.get_by_label(layer, exact=True).uncheck()
    bare = pixels(frame.screenshot())
    for layer in ("objects", "answers", "ignored", "boxes in text", "labels"):
        page.get_by_label(layer, exact=True).check()
        drawn = pixels(frame.screenshot())
        assert (drawn != bare).any(), layer
        bare = drawn


def test_dark_where_the_system_is_dark(page):
    page.emulate_media(color_scheme="light")
    light = pixels(page.screenshot())[5, 5]
    page.emulate_media(color_scheme="dark")
    dark = pixels(page.screenshot())[5, 5]

    assert light.min() > 200
    assert dark.max() < 60


@pytest.mark.parametrize("width_px", [1280, 800])
def test_a_stitched_image_takes_the_full_row_and_its_text_stands_below(browser, save, tmp_path, width_px):
    def sample(name, size_px):
        image = put_image(tmp_path / "data", size_px=size_px)
        return make_sample(name, task=Task.VQA, question="Q?", answer=TextAnswer(text="A"), images=(image,))

    data = save(tmp_path / "data", [sample("a", (200, 100)), sample("b", (1500, 500)), sample("c", (200, 100))])
    page = browser.new_page(viewport={"width": width_px, "height": 900})
    page.goto(write_page(data, tmp_path / "page").path.as_uri())
    lay_out_all(page)
    row = page.locator("#cards").evaluate(
        "main => main.clientWidth - 2 * parseFloat(getComputedStyle(main).paddingLeft)"
    )
    cards = {card.get_attribute("data-id"): card for card in page.locator("article").all()}
    assert cards["b"].bounding_box()["width"] == pytest.approx(row, abs=1)
    assert cards["a"].bounding_box()["width"] <= 513
    image, words = (cards["b"].locator(part).bounding_box() for part in (".frame", ".words"))
    assert image["width"] > row - 40
    assert words["y"] >= image["y"] + image["height"]
    page.close()
