"""Tables say what may not be mixed up, and hold every line and system."""

from __future__ import annotations

from domainvl.evaluation.results import Comparison, Data, Line, Results, Run, System, Value
from domainvl.evaluation.tables import format_markdown, line_name, score_cells, score_table, value_cell, verdict_table


def line(name: str, **changes: object) -> Line:
    values = {"a": Value(value=0.8349, low=0.7, high=0.9), "b": Value(value=None)}
    return Line(**{"name": name, "metric": "m", "variant": "strict", "n": 4, "groups": 3, "values": values, **changes})


def results(*lines: Line, comparisons: tuple[Comparison, ...] = ()) -> Results:
    return Results(
        protocol="p", protocol_version=1, title="t", headline="x",
        data=Data(name="d", folder="d", split="test", sha256="0", samples=4, groups=3),
        run=Run(domainvl="0", command="", resamples=2, confidence=0.95, seed=0),
        systems=(System(name="a", kind="adapted", predictions="a"), System(name="b", kind="base", predictions="b")),
        lines=lines, comparisons=comparisons,
    )  # fmt: skip


def test_a_value_has_its_interval_and_nothing_is_a_dash() -> None:
    assert value_cell(Value(value=0.8349, low=0.7, high=0.905)) == "0.83 [0.70, 0.91]"
    assert value_cell(Value(value=-0.5)) == "-0.50"
    assert value_cell(Value(value=1234.5, low=1.0, high=2000.0)) == "1234 [1.00, 2000]"
    assert value_cell(Value(value=None)) == value_cell(None) == "-"


def test_micro_macro_and_published_are_named() -> None:
    assert line_name(line("presence")) == "presence"
    assert line_name(line("average", average="micro")) == "average (micro)"
    assert line_name(line("average", average="macro", variant="as-published")) == "average (macro, as-published)"


def test_strict_lines_come_first_and_may_be_chosen() -> None:
    found = results(line("late", variant="as-published"), line("one"), line("two"))
    assert [cells[0] for cells in score_cells(found)] == ["one", "two", "late (as-published)"]
    assert score_cells(found, names={"two"}) == [["two", "m", "4", "3", "0.83 [0.70, 0.90]", "-"]]


def test_a_table_is_one_of_markdown() -> None:
    rows = [row.strip("|").split("|") for row in score_table(results(line("one"))).splitlines()]
    assert [cell.strip() for cell in rows[0]] == ["line", "metric", "n", "groups", "a", "b"]
    assert {len(row) for row in rows} == {6}
    assert format_markdown([["a|b", "c"], ["d", "e"]]).splitlines()[0] == "| a\\|b | c |"


def test_the_verdict_holds_difference_interval_and_corrected_p() -> None:
    comparison = Comparison(
        name="one", variant="strict", a="a", b="b", difference=-0.1234, low=-0.2, high=None, p_bootstrap=0.01,
        p_mcnemar=None, p_holm=0.0321, smallest_difference=0.1, verdict="worse", words="",
    )  # fmt: skip
    table = verdict_table(results(line("one"), comparisons=(comparison, comparison.model_copy(update={"high": -0.1}))))
    first, second = ([cell.strip() for cell in row.strip("|").split("|")] for row in table.splitlines()[2:])
    assert first == ["one", "b", "-0.123", "0.032", "worse"]
    assert second == ["one", "b", "-0.123 [-0.200, -0.100]", "0.032", "worse"]


def test_an_opponent_from_scratch_is_marked_at_its_name() -> None:
    comparison = Comparison(
        name="one", variant="strict", a="a", b="vilt", difference=0.2, low=0.1, high=0.3, p_bootstrap=0.01,
        p_mcnemar=None, p_holm=0.01, smallest_difference=0.1, verdict="better", words="",
    )  # fmt: skip
    found = results(comparisons=(comparison, comparison.model_copy(update={"b": "b"})))
    for pretraining, name in (("None", "vilt (from scratch)"), ("ImageNet-1k", "vilt"), (None, "vilt")):
        vilt = System(name="vilt", kind="specialist", predictions="v", pretraining=pretraining)
        table = verdict_table(found.model_copy(update={"systems": (*found.systems, vilt)}))
        opponents = [row.strip("|").split("|")[1].strip() for row in table.splitlines()[2:]]
        assert opponents == [name, "b"]
