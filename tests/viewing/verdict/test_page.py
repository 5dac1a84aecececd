"""The report as a file: its tables say what the results say, and nothing in it can run or be fetched."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest
from html_page import read_page
from synthetic_results import (
    ADAPTED,
    BASE,
    HEADLINE,
    LINES,
    MAJORITY,
    NAMES,
    SCRATCH,
    VILT,
    leak,
    synthetic_results,
    write_evaluation,
)

from domainvl.errors import UsageError
from domainvl.evaluation.results import Results, write_results
from domainvl.viewing.verdict.gallery import Gallery
from domainvl.viewing.verdict.inputs import Evaluations, ReportInput
from domainvl.viewing.verdict.page import render, write_report


def show(results, general=None):
    return read_page(render(Evaluations((), results, general), Gallery(problem="not asked for")))


@pytest.fixture(scope="module")
def results():
    return synthetic_results()


@pytest.fixture(scope="module")
def page(results):
    return show(results)


def test_the_headline_in_words_and_figures(page, results):
    hero = page.one("div", class_="hero")
    value = next(line for line in results.lines if line.name == HEADLINE).values[ADAPTED]
    assert hero.one("p", class_="big").numbers() == [0.801]
    assert hero.numbers() == [0.801, value.low, value.high]
    sentences = [item.text for item in hero.one("ul", class_="sentences").find("li")]
    headline = [one.words for one in results.comparisons if one.name == HEADLINE]
    assert len(sentences) == 4
    for sentence, words in zip(sentences, headline, strict=True):
        assert words in sentence


def test_each_verdict_stands_with_its_numbers_in_colour_and_words(page, results):
    tables = page.find("table", class_="verdicts")
    assert [table.one("caption").text for table in tables] == [
        f"Verdicts against {name}" for name in (BASE, VILT, SCRATCH, MAJORITY)
    ]
    seen = []
    for table, name in zip(tables, (BASE, VILT, SCRATCH, MAJORITY), strict=True):
        for row in table.rows():
            line_name = row[0].one("b").text
            line = next(one for one in results.lines if one.name == line_name and one.variant == "strict")
            it = next(one for one in results.comparisons if (one.name, one.b) == (line_name, name))
            ours, theirs = line.values[ADAPTED], line.values[name]
            assert row[2].numbers() == [ours.value, ours.low, ours.high]
            assert row[3].numbers() == [theirs.value, theirs.low, theirs.high]
            assert row[4].numbers() == [it.difference, it.low, it.high]
            assert row[5].numbers() == [it.p_holm]
            assert row[6].numbers() == ([] if it.p_mcnemar is None else [it.p_mcnemar])
            assert row[7].numbers() == [it.smallest_difference]
            (chip,) = row[8].find("span", class_="verdict")
            # Better than a network from scratch is not coloured as a success.
            is_idle = name == SCRATCH and it.verdict == "better"
            assert ("not-distinguishable" if is_idle else it.verdict.replace(" ", "-")) in chip.classes
            assert it.verdict in chip.text
            assert it.words in row[8].text
            seen.append((line_name, name))
    assert sorted(seen) == sorted((one.name, one.b) for one in results.comparisons)


def test_numbers_are_written_short_with_their_sign(page):
    first = page.find("table", class_="verdicts")[0].rows()[0]
    assert first[0].one("b").text == HEADLINE
    assert first[4].text == "+0.249 [+0.224, +0.274]"  # 0.801 - 0.552, and 0.025 on each side
    assert first[5].text == "0.001"
    assert first[6].text == "< 0.001"
    negative = page.find("table", class_="verdicts")[1].rows()[-1]
    assert negative[4].text == "−0.007 [−0.032, +0.018]"


def test_the_table_of_all_systems(page, results):
    table = page.one("table", id="scores")
    rows = {row[0].one("b").text: row for row in table.rows()}
    assert next(iter(rows)) == HEADLINE
    assert set(rows) == set(LINES)
    for name, (_, _, values) in LINES.items():
        assert [cell.numbers()[0] if cell.numbers() else None for cell in rows[name][2:]] == list(values)
    headings = [cell.text for cell in table.one("thead").find("th")[2:]]
    assert [heading.startswith(name) for heading, name in zip(headings, NAMES, strict=True)] == [True] * 5


def test_micro_and_macro_are_said(page):
    rows = {row[0].one("b").text: row[0].text for row in page.one("table", id="scores").rows()}
    assert "micro average" in rows["overall"]
    assert "macro average" in rows["mean of columns"]
    assert "average" not in rows["presence"]


def test_what_a_specialist_was_pretrained_on_stands_beside_its_name(page):
    headings = [cell.text for cell in page.one("table", id="scores").one("thead").find("th")]
    assert f"{VILT} specialist, pretrained on ImageNet-1k, GCC, SBU, COCO" in headings
    scratch = next(heading for heading in headings if heading.startswith(SCRATCH))
    assert "trained from scratch, no stand-in for the specialist" in scratch


def test_a_flaw_is_named_in_a_table_of_its_own(page):
    (row,) = page.one("table", id="as-published").rows()
    assert row[0].one("b").text == "overall"
    assert row[1].text == "“no” counts as right in “not sure”"
    assert [cell.numbers()[0] for cell in row[3:]] == [0.823, 0.571, 0.79, 0.765, 0.51]
    assert "0.823" not in page.one("table", id="scores").text


def test_bars_end_where_the_values_are(page):
    charts = page.find("figure", class_="chart")
    assert [chart.one("figcaption").one("b").text for chart in charts] == [
        HEADLINE,
        "presence",
        "counting",
        "grounding",
        "mean of columns",
    ]
    bars = [bar.attributes["width"] for bar in charts[0].find("rect", class_="bar")]
    assert [float(width.rstrip("%")) for width in bars] == [80.1, 55.2, 76.8, 74.1, 49.8]
    (published,) = charts[0].find("tr", class_="published")
    assert published.one("svg", class_="mark").attributes["x"] == "79.080%"
    assert not published.find("path", class_="doubted")
    assert charts[1].find("path", class_="doubted")


def test_published_numbers_with_source_and_doubt_beside_ours(page):
    rows = page.one("table", id="published").rows()
    assert [cell.text for cell in rows[0][:3]] == ["RSVQA (Lobry et al.)", "specialist", "overall"]
    assert [cell.numbers() for cell in rows[0][3:6]] == [[0.7908], [0.823], [0.801]]
    assert rows[0][7].text == "Lobry et al., RSVQA, 2020, table 3"
    assert [cell.numbers() for cell in rows[1][3:6]] == [[0.9109], [], [0.912]]
    assert rows[1][8].text == "the split of the table is not named"


def test_breakdowns_say_of_which_line_they_are(page, results):
    assert page.one("section", id="breakdowns").one("h2").text == f"Breakdowns of {HEADLINE}"
    parts = tuple(part.model_copy(update={"line": "all questions"}) for part in results.breakdowns)
    other = show(results.model_copy(update={"breakdowns": parts}))
    assert other.one("section", id="breakdowns").one("h2").text == "Breakdowns of all questions"


def test_breakdowns_with_counts_and_small_groups_in_grey(page, results):
    panels = page.find("figure", class_="panel")
    assert [panel.one("figcaption").text for panel in panels] == ["question type", "sensor", "GSD (m)", "object size"]
    found = {}
    for panel in panels:
        for row in panel.one("tbody").find("tr"):
            cells = [*row.find("th"), *row.find("td")]
            found[panel.one("figcaption").text, cells[0].text] = (cells[1].text, "small" in row.classes, row.numbers())
    assert found["sensor", "WorldView-3"][:2] == ("36 (7)", True)
    assert found["sensor", "Sentinel-2"][:2] == ("2,900 (180)", False)
    assert sum(small for _, small, _ in found.values()) == 2
    part = next(one for one in results.breakdowns if one.level == "counting")
    assert found["question type", "counting"][2] == [part.values[name].value for name in NAMES]


def test_the_confusion_matrix(page):
    first, other = page.find("table", class_="matrix")
    assert [[cell.text for cell in row] for row in first.rows()] == [
        ["yes", "911", "82", "3", "996", "0.915"],
        ["no", "90", "921", "3", "1,014", "0.908"],
    ]
    assert [[("right" in cell.classes) for cell in row[1:4]] for row in first.rows()] == [
        [True, False, False],
        [False, True, False],
    ]
    assert other.rows()[1][1].text == "399"


def test_the_reliability_plot(page, results):
    plots = page.find("figure", class_="reliability")
    assert [plot.one("figcaption").one("b").text for plot in plots] == [ADAPTED, BASE]
    for plot, calibration in zip(plots, results.calibration, strict=True):
        ece = calibration.ece
        assert plot.one("figcaption").numbers() == [ece.value, ece.low, ece.high]
        rows = plot.one("table").rows()
        assert [row[2].numbers() + row[3].numbers() for row in rows] == [
            [part.confidence, part.accuracy] for part in calibration.bins
        ]


def test_what_was_run(page, results):
    run = page.one("section", id="run")
    assert run.one("pre").text == results.run.command
    assert results.data.sha256 in run.text
    assert "95 %, 2,000 resamples, seed 0" in run.text
    assert "area questions, whose answers are ranges 311" in run.text
    assert "checkpoint runs/harbour-lora" in run.text


def test_cost(page):
    rows = page.one("table", id="costs").rows()
    assert [cell.text for cell in rows[0]][1:] == [
        "NVIDIA H100",
        "81.40",
        "333.7",
        "4,006",
        "5,127,680",
        "16,411",
        "3.812",
        "0",
        "3",
    ]
    assert [cell.text for cell in rows[4]][1:] == ["not measured in this run", "0", "0"]


def test_at_most_three_opponents_are_laid_open_and_no_baseline(results, page):
    def is_open(page):
        return ["open" in node.attributes for node in page.find("details", class_="opponent")]

    assert is_open(page) == [True, True, True, False]
    more = [results.systems[2].model_copy(update={"name": f"other {number}"}) for number in range(2)]
    verdicts = [one.model_copy(update={"b": other.name}) for one in results.comparisons[:2] for other in more]
    wider = {"systems": (*results.systems, *more), "comparisons": (*results.comparisons, *verdicts)}
    assert is_open(show(results.model_copy(update=wider))) == [True] * 3 + [False] * 3


def test_leakage_is_red_and_before_all_else():
    page = show(synthetic_results(leaks=(leak(),), unchecked=(BASE, VILT)))
    first, second = [node for node in page.one("body").children if not isinstance(node, str)][:2]
    assert {"alarm", "leaks"} <= set(first.classes)
    assert "harbour-lora: 176 of 4,006 held-out samples are about what it was trained on" in first.text
    assert [code.text for code in first.find("code")] == ["a/1", "a/2", "b/7"]
    assert "unchecked" in second.classes
    assert f"{BASE}, {VILT} were trained on" in second.text


def test_no_alarm_without_leakage(page):
    assert not page.find("section", class_="alarm")
    assert not page.find("section", class_="caution")
    assert "Images of the test split are 251" in page.one("div", class_="notice").text


def test_forgetting_is_the_general_set_before_and_after(results):
    general = synthetic_results(title="General questions")
    section = show(results, general).one("section", id="forgetting")
    (table,) = section.find("table")
    assert [cell.text for cell in table.one("thead").find("th")][2:4] == [f"{ADAPTED}, after", f"{BASE}, before"]
    assert len(table.rows()) == len(LINES)
    assert not show(results).find("section", id="forgetting")
    leaking = show(results, general.model_copy(update={"leaks": (leak(),)}))
    assert "General set: Leakage" in leaking.one("section", class_="leaks").text


def test_a_general_set_without_the_base_says_nothing_on_forgetting(results):
    general = synthetic_results(comparisons=())
    section = show(results, general).one("section", id="forgetting")
    assert not section.find("table")
    assert "nothing can be said on forgetting" in section.text


def test_one_system_alone():
    results = synthetic_results()
    alone = results.model_copy(update={"systems": results.systems[:1], "comparisons": (), "published": ()})
    page = show(alone)
    assert "nothing to compare it with" in page.one("ul", class_="sentences").text
    assert not page.find("table", class_="verdicts")
    assert not page.find("table", id="published")


def test_a_headline_that_no_sample_is_of(results):
    page = show(results.model_copy(update={"headline": "area"}))
    assert page.one("ul", class_="sentences").text == "No system has a value of area; the other lines are below."
    assert not page.find("p", class_="big")
    assert len(page.find("table", class_="verdicts")) == 4


def test_what_there_is_not_is_a_dash():
    results = synthetic_results()
    dump = results.model_dump(mode="json")
    dump["lines"][0]["values"][ADAPTED] = {"value": None, "unreadable": 7, "uncounted": 3}
    dump["comparisons"][0] |= {"difference": None, "low": None, "high": None, "p_holm": None}
    page = show(Results(**dump))
    rows = {row[0].one("b").text: row for row in page.one("table", id="scores").rows()}
    assert rows["presence"][2].text == "– 7 unreadable 3 not counted"
    rows = {row[0].one("b").text: row for row in page.find("table", class_="verdicts")[0].rows()}
    assert [cell.text for cell in rows["presence"][4:6]] == ["–", "–"]
    assert len(page.find("rect", class_="bar")) == 22  # five systems on four lines and three on grounding, less one


def hostile(value):
    """Put markup into every text of some results, but for names that texts are looked up by."""
    attack = "</script></style><img src=x onerror=\"document.title='run'\"><script>document.title='run'</script>"
    if isinstance(value, dict):
        kept = {"kind", "variant", "verdict", "schema_version"}
        return {
            (key if isinstance(key, str) and key.isidentifier() and key.islower() else f"{key}{attack}"): (
                item if key in kept else hostile(item)
            )
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [hostile(item) for item in value]
    return f"{value}{attack}" if isinstance(value, str) else value


def test_hostile_text_is_text():
    results = synthetic_results(leaks=(leak(),), unchecked=(BASE,))
    dump = hostile(results.model_dump(mode="json"))
    dump["data"]["excluded"] = {key: 1 for key in dump["data"]["excluded"]}
    attacked = Results(**dump)
    page = show(attacked, attacked)
    assert not page.find("script")
    assert not page.find("img")
    assert "onerror" in page.one("section", id="run").text  # it is there, as text
    for node in page.walk():
        assert node.tag not in {"script", "iframe", "object", "embed", "base", "link", "form"}
        assert not [name for name in node.attributes if name.startswith("on") or name == "style"], node.tag


def test_the_policy_allows_this_style_and_embedded_images_only(page):
    policy = page.one("meta", **{"http-equiv": "Content-Security-Policy"}).attributes["content"]
    style = "".join(child for child in page.one("style").children)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not re.search(r"url\(|@import", style)


def test_the_file_holds_its_images_and_replaces_only_its_own_kind(tmp_path):
    write_evaluation(tmp_path / "scores", tmp_path / "data")
    out = tmp_path / "new" / "report.html"
    summary = write_report([tmp_path / "scores"], out)
    assert (summary.path, summary.shown, summary.gallery_problem) == (out, 24, None)
    assert summary.sentences[0] == f"On overall, {ADAPTED} is better than {BASE} by 0.249."
    html = out.read_text(encoding="utf-8")
    assert html.startswith("<!doctype html>")
    for node in read_page(html).walk():
        for name in ("src", "href", "srcset", "data", "poster", "action"):
            target = node.attributes.get(name) if node.tag != "data" else None
            if target is not None:
                assert target.startswith("data:image/jpeg;base64," if node.tag == "img" else "#")
    assert write_report([ReportInput(tmp_path / "scores")], out).path == out
    assert out.read_text(encoding="utf-8") == html  # the same results give the same page

    other = tmp_path / "mine.html"
    other.write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match="no page of domainvl"):
        write_report([tmp_path / "scores"], other)
    assert other.read_text(encoding="utf-8") == "mine"


def test_without_the_data_set_the_gallery_says_so(tmp_path):
    (tmp_path / "scores").mkdir()
    write_results(tmp_path / "scores" / "scores.json", synthetic_results())
    summary = write_report([tmp_path / "scores"], tmp_path / "report.html")
    assert summary.shown == 0
    page = read_page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "is not at nowhere/harbours any more" in page.one("section", id="gallery").text
