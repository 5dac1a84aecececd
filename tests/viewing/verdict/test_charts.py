"""The geometry of the charts, against positions worked out by hand."""

from __future__ import annotations

import pytest
from synthetic_results import synthetic_results

from domainvl.evaluation.results import Calibration, Confusion, Line, PublishedNumber, ReliabilityBin, Value
from domainvl.viewing.verdict import charts
from domainvl.viewing.verdict.charts import Scale


@pytest.mark.parametrize(
    ("values", "low", "high", "ticks"),
    [
        ([0.2, 0.9], 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)),  # shares have the whole axis, however large they are
        ([], 0.0, 1.0, (0.0, 0.25, 0.5, 0.75, 1.0)),
        ([3.2, 7.9], 0.0, 8.0, (0.0, 2.0, 4.0, 6.0, 8.0)),
        ([-0.1, 0.7], -0.2, 0.8, (-0.2, 0.0, 0.2, 0.4, 0.6, 0.8)),
        ([1.14], 0.0, 1.5, (0.0, 0.5, 1.0, 1.5)),
    ],
)
def test_an_axis_holds_zero_and_all_values(values, low, high, ticks):
    scale = Scale.around(values)
    assert (scale.low, scale.high) == pytest.approx((low, high))
    assert scale.ticks == pytest.approx(ticks)


def test_places_on_an_axis():
    scale = Scale(-1.0, 3.0, ())
    assert [scale.percent(value) for value in (-1, 0, 1, 3)] == [0, 25, 50, 100]


def test_a_bar_chart_has_room_for_what_others_published():
    results = synthetic_results(
        published=(
            PublishedNumber(
                model="m", kind="general", name="speed RMSE", value=4.0, split="test", metric="m/s", source="s"
            ),
        )
    )
    name = results.systems[1].name
    line = Line(
        name="speed RMSE",
        metric="m/s",
        variant="strict",
        n=10,
        groups=5,
        higher_is_better=False,
        values={name: Value(value=2.0, low=1.0, high=3.0)},
    )
    chart = charts.bar_chart(line, results)
    assert (chart.scale.low, chart.scale.high, chart.zero) == (0.0, 4.0, 0.0)
    (row,) = chart.rows
    assert (row.system.name, row.tint) == (name, 1)
    assert (row.mark.x, row.mark.low, row.mark.high) == (50.0, 25.0, 75.0)
    assert [one.x for one in chart.published] == [100.0]


def test_a_value_that_is_not_there_has_no_mark():
    results = synthetic_results()
    line = results.lines[0].model_copy(update={"values": {results.systems[0].name: Value(value=None)}})
    (row,) = charts.bar_chart(line, results).rows
    assert (row.mark.x, row.mark.low, row.mark.high) == (None, None, None)


def test_colours_repeat_after_the_last():
    results = synthetic_results()
    many = tuple(results.systems[0].model_copy(update={"name": str(number)}) for number in range(10))
    assert list(charts.tints(results.model_copy(update={"systems": many})).values()) == [*range(8), 0, 1]


def test_a_reliability_plot():
    bins = (
        ReliabilityBin(low=0, high=0.5, n=25, confidence=0.25, accuracy=0.0),
        ReliabilityBin(low=0.5, high=1, n=100, confidence=1.0, accuracy=0.5),
    )
    plot = charts.reliability(Calibration(system="a", ece=Value(value=0.4), n=125, bins=bins), 3)
    assert [(dot.x_px, dot.y_px) for dot in plot.dots] == [(55.0, 220.0), (220.0, 110.0)]
    assert [dot.radius_px for dot in plot.dots] == [5.75, 9.0]  # a quarter of the answers: half as far
    assert plot.path == "M55.0 220.0L220.0 110.0"
    assert charts.reliability(Calibration(system="a", ece=Value(value=None), n=0, bins=()), 0).path == ""


def test_a_confusion_matrix_with_other_labels():
    confusion = Confusion(
        system="a",
        name="class",
        labels=("ship", "other", "quay", "(Rarer)"),
        said=("ship", "other", "quay", "(Other)"),
        counts=((9, 1, 0, 0), (0, 3, 0, 1), (0, 0, 0, 0), (1, 0, 1, 2)),
    )
    ship, named_other, quay, rarer = charts.matrix(confusion).rows
    assert [cell.heat for cell in ship[1]] == [9, 1, 0, 0]
    assert [cell.right for cell in ship[1]] == [True, False, False, False]
    assert named_other[2:] == (4, 0.75)  # a class of this name is a class
    assert ship[2:] == (10, 0.9)
    assert quay[2:] == (0, None)  # of nothing no share is right
    assert rarer[2:] == (4, None)  # what is no shown label to both need not be the same
    assert not any(cell.right for cell in rarer[1])
