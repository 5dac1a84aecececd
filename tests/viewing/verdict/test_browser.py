"""The report in a browser: its tables as a reader sees them, nothing fetched, nothing run, and where things lie."""

from __future__ import annotations

import pytest
from synthetic_results import ADAPTED, BASE, HEADLINE, LINES, leak, synthetic_results, write_evaluation

from domainvl.evaluation.results import write_results
from domainvl.viewing.verdict.inputs import ReportInput
from domainvl.viewing.verdict.page import write_report

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

ATTACK = "<img src=x onerror=\"document.title='run'\"></script><script>document.title='run'</script>"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_evaluation(folder / "scores", folder / "data", leaks=(leak(),), notes=(ATTACK,))
    (folder / "general").mkdir()
    write_results(folder / "general" / "scores.json", synthetic_results(title="General questions"))
    inputs = [ReportInput(folder / "scores"), ReportInput(folder / "general", "general")]
    return write_report(inputs, folder / "report.html").path


@pytest.fixture(params=[(1360, "light"), (400, "dark")], ids=["wide and light", "narrow and dark"])
def page(request, browser, report):
    """The opened page; at the end there was no error on the console and nothing was fetched but the file itself."""
    width_px, scheme = request.param
    opened = browser.new_page(viewport={"width": width_px, "height": 900}, color_scheme=scheme)
    opened.set_default_timeout(10_000)
    said, fetched = [], []
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda asked: fetched.append(asked.url))
    opened.goto(report.as_uri())
    yield opened
    opened.close()
    assert said == []
    assert [url for url in fetched if not url.startswith("data:")] == [report.as_uri()]


def test_its_tables_say_what_the_results_say(page):
    rows = page.locator("#scores tbody tr")
    read = {}
    for row in rows.all():
        cells = row.locator("td").all_inner_texts()[1:]
        read[row.locator("th b").inner_text()] = [cell.split()[0] for cell in cells]
    assert read == {
        name: ["–" if value is None else f"{value:.3f}" for value in values] for name, (_, _, values) in LINES.items()
    }
    against_base = page.get_by_role("table", name=f"Verdicts against {BASE}").locator("tbody tr")
    assert against_base.count() == len(LINES)
    assert f"On {HEADLINE}, {ADAPTED} is better than {BASE} by 0.249." in against_base.first.inner_text()
    assert page.title() == "Harbour questions: verdict on harbours"  # nothing ran


def test_the_alarm_comes_first_and_is_red(page):
    alarm = page.locator(".leaks")
    assert alarm.bounding_box()["y"] == 0
    red, green, blue = alarm.evaluate("node => getComputedStyle(node).backgroundColor.match(/\\d+/g).map(Number)")
    assert red > 150 > 80 > max(green, blue)


def test_it_is_as_wide_as_the_window_and_no_wider(page):
    width_px = page.viewport_size["width"]
    assert page.evaluate("document.documentElement.scrollWidth") == width_px
    bar = page.locator(".chart.headline .plot svg").first.bounding_box()
    drawn = page.locator(".chart.headline .bar").first.bounding_box()
    assert bar["width"] > 80
    assert drawn["width"] == pytest.approx(0.801 * bar["width"], abs=1)


def test_boxes_lie_on_their_images(page):
    frame = page.locator("[data-id^='grounding/'] .frame").first
    found = frame.evaluate(
        """frame => {
             const image = frame.querySelector("img"), drawn = frame.querySelector(".object .over rect");
             const [picture, box] = [image.getBoundingClientRect(), drawn.getBoundingClientRect()];
             return { loaded: image.naturalWidth, wide: picture.width, left: box.left - picture.left,
                      width: box.width, x: Number(drawn.getAttribute("x")) };
           }"""
    )
    assert found["loaded"] == 320
    assert found["left"] == pytest.approx(found["x"] / 320 * found["wide"], abs=3)
    assert found["width"] == pytest.approx(64 / 320 * found["wide"], abs=4)  # with its line


def test_a_screenshot(page, tmp_path):
    from PIL import Image

    page.screenshot(path=tmp_path / "report.png", full_page=True)
    with Image.open(tmp_path / "report.png") as picture:
        assert picture.width == page.viewport_size["width"]
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 100  # charts and images, no empty page
