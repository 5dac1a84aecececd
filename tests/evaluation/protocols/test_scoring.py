"""From rules to lines: which samples are asked, what averages are made of, and what cannot be averaged."""

from __future__ import annotations

import numpy as np
import pytest
from protocol_cases import make_case_sample, make_item, value_of

from domainvl.errors import DatasetError, NothingToDoError, RecipeError
from domainvl.evaluation.predictions import Prediction
from domainvl.evaluation.protocols.protocol import Protocol
from domainvl.evaluation.protocols.scoring import (
    empty_columns,
    mean_of_known,
    pair_items,
    score_protocol,
    select_samples,
)
from domainvl.evaluation.statistics.bootstrap import BootstrapSettings
from domainvl.evaluation.statistics.resampling import Resamples

ACCURACY = {"rule": "accuracy"}


def protocol(**changes):
    whole = {
        "name": "p",
        "version": 1,
        "title": "P",
        "domain": "medical",
        "sources": (),
        "columns": [
            {"name": "presence", "where": {"task": "presence"}, **ACCURACY},
            {"name": "vqa", "where": {"task": "vqa"}, **ACCURACY},
        ],
        "averages": [
            {"name": "micro", "of": ["presence", "vqa"], "kind": "micro"},
            {"name": "macro", "of": ["presence", "vqa"], "kind": "macro"},
        ],
        "headline": "presence",
    }
    return Protocol.model_validate(whole | changes)


def item(number, task, said, **more):
    truth = {"task": task, "answer": {"kind": "text", "text": "yes"}} | more
    return make_item(said, id=str(number), **truth)


THREE_OF_ONE = [
    item(0, "presence", "yes"),
    item(1, "vqa", "yes"),
    item(2, "presence", "no"),
    item(3, "presence", "no"),
    item(4, "presence", "maybe"),
]
"""One of four presence questions is right (one answer is neither yes nor no), and one of one other."""


def lines_of(items, **changes):
    return {line.name: line for line in score_protocol(protocol(**changes), items)}


def test_micro_and_macro_averages_are_lines_of_their_own():
    lines = lines_of(THREE_OF_ONE)
    assert {name: value_of(line.score) for name, line in lines.items()} == pytest.approx(
        {"presence": 1 / 4, "vqa": 1, "micro": 2 / 5, "macro": 5 / 8}
    )
    assert [line.average for line in lines.values()] == [None, None, "micro", "macro"]
    assert lines["macro"].unreadable == lines["presence"].unreadable == 1


def test_a_line_knows_its_items_and_which_are_right():
    lines = lines_of(THREE_OF_ONE)
    assert lines["presence"].members.tolist() == [0, 2, 3, 4]
    assert lines["presence"].right.tolist() == [True, False, False, False, False]
    assert lines["micro"].members.tolist() == [0, 1, 2, 3, 4]
    assert lines["micro"].right.tolist() == [True, True, False, False, False]
    assert lines["macro"].right is None
    assert lines["presence"].metric == "exact match"


def test_scores_are_over_all_items_so_that_groups_can_be_resampled():
    lines = lines_of(THREE_OF_ONE)
    assert all(part.terms.shape[0] == 5 for part in lines["macro"].score.parts)
    resamples = Resamples(["a", "b", "a", "c", "c"], BootstrapSettings(resamples=20))
    estimate = resamples.estimate(lines["macro"].score, lines["macro"].members)
    assert estimate.value == pytest.approx(5 / 8)
    assert estimate.groups == 3


def test_a_macro_average_is_over_the_columns_that_a_resample_has():
    values = np.array([[0.25, np.nan, np.nan], [1.0, 0.5, np.nan]])
    np.testing.assert_allclose(mean_of_known(values), [0.625, 0.5, np.nan])


def test_columns_without_a_sample_are_left_out_and_named():
    items = [item(0, "presence", "yes")]
    lines = lines_of(items)
    assert set(lines) == {"presence", "micro", "macro"}
    assert lines["macro"].missing == ("vqa",)
    assert lines["presence"].missing == ()
    assert empty_columns(protocol(), items) == ["vqa"]


def test_no_line_at_all_is_nothing_to_do():
    with pytest.raises(NothingToDoError, match=r"none of 1 samples is of a column of p \(presence, vqa\)"):
        score_protocol(protocol(), [item(0, "comparison", "yes")])


def test_a_formula_needs_all_of_its_columns():
    formula = [{"name": "sum", "of": ["presence", "vqa", "presence"], "kind": "drivelm-points-without-judge"}]
    assert value_of(lines_of(THREE_OF_ONE, averages=formula)["sum"].score) == pytest.approx(
        0.2 * 0.25 + 0.2 * 1 + 0.1 * 0.25
    )
    assert "sum" not in lines_of([item(0, "presence", "yes")], averages=formula)


def test_what_is_no_mean_has_no_micro_average():
    columns = [
        {"name": "kappa", "where": {"task": "presence"}, "rule": "kappa"},
        {"name": "vqa", "where": {"task": "vqa"}, **ACCURACY},
    ]
    averages = [{"name": "micro", "of": ["kappa", "vqa"], "kind": "micro"}]
    with pytest.raises(
        RecipeError, match=r"in p, average micro: a micro average is of means over items; kappa is none"
    ):
        score_protocol(protocol(columns=columns, averages=averages, headline="vqa"), THREE_OF_ONE)


def test_columns_that_share_samples_have_no_micro_average():
    columns = [{"name": "presence", "where": {"task": "presence"}, **ACCURACY}, {"name": "vqa", **ACCURACY}]
    with pytest.raises(RecipeError, match="share samples, which would count twice"):
        score_protocol(protocol(columns=columns), THREE_OF_ONE)


def test_errors_and_shares_have_no_average():
    count = {"task": "counting", "answer": {"kind": "count", "count": 3}}
    columns = [
        {"name": "presence", "where": {"task": "presence"}, **ACCURACY},
        {"name": "vqa", "where": {"task": "counting"}, "rule": "count-error"},
    ]
    items = [item(0, "presence", "yes"), make_item("5", id="1", **count)]
    with pytest.raises(RecipeError, match="must all be errors or all be none"):
        score_protocol(protocol(columns=columns), items)


def test_samples_that_are_left_out_are_counted_by_reason():
    wanted = protocol(
        converters=["mine"], excluded=[{"where": {"task": "caption"}, "reason": "captions are scored elsewhere"}]
    )
    text = {"answer": {"kind": "text", "text": "yes"}}
    samples = [
        make_case_sample("a", converter="mine", **text),
        make_case_sample("b", converter="mine", task="caption", **text),
        make_case_sample("c", converter="other", task="caption", **text),
        make_case_sample("d", converter="other", **text),
    ]
    selection = select_samples(wanted, samples)
    assert [sample.id for sample in selection.samples] == ["a"]
    assert selection.facts[0]["task"] == "vqa"
    assert selection.left_out == ("b", "c", "d")
    assert selection.reasons == {"captions are scored elsewhere": 1, "not of the benchmark": 2}
    with pytest.raises(NothingToDoError, match="asks none of the samples: 2 not of the benchmark"):
        select_samples(wanted, samples[2:])


def test_samples_of_no_column_are_left_out_and_told_with_what_they_have():
    wanted = protocol(
        columns=[{"name": "presence", "where": {"question_type": ["presence", "count"]}, **ACCURACY}], averages=[]
    )
    kinds = ["presence", "color", "size", "count", "color", "color", None]
    samples = [
        make_case_sample(
            str(number), answer={"kind": "text", "text": "yes"}, details={"question_type": kind} if kind else {}
        )
        for number, kind in enumerate(kinds)
    ]
    selection = select_samples(wanted, samples)
    assert [sample.id for sample in selection.samples] == ["0", "3"]
    assert selection.left_out == ("1", "2", "4", "5", "6")
    assert selection.reasons == {
        "of no line of the protocol (question_type: color, size, not known), for example 1, 2, 4, ...": 5
    }
    with pytest.raises(NothingToDoError, match="asks none of the samples: 1 of no line of the protocol"):
        select_samples(wanted, samples[1:2])


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"A": 0.5, "B": 0.5}, None),
        ({"a lung": 0.5, "A heart": 0.5}, None),
        ({"A": 1.0}, None),
        ({"A": 0.5, "C": 0.5}, "1 predictions have others (s: A, C)"),
        ({"a lung": 0.5, "a liver": 0.5}, "1 predictions have others (s: a lung, a liver)"),
        ({"A": 0.5, "a lung": 0.5}, "1 predictions have others (s: A, a lung)"),
    ],
)
def test_likelihoods_must_be_those_of_the_options(options, told):
    choice = {"kind": "choice", "options": ["a lung", "a heart"], "correct": 0}
    sample = make_case_sample("s", task="multiple-choice", answer=choice)
    wanted = protocol(columns=[{"name": "presence", **ACCURACY}], averages=[])
    predictions = [Prediction(sample_id="s", text="A", options=options)]
    if told is None:
        assert len(pair_items(select_samples(wanted, [sample]), predictions)) == 1
    else:
        with pytest.raises(DatasetError) as raised:
            pair_items(select_samples(wanted, [sample]), predictions)
        assert told in str(raised.value)


def test_every_asked_sample_needs_its_answer_and_no_other():
    samples = [make_case_sample(sample_id, answer={"kind": "text", "text": "yes"}) for sample_id in "ab"]
    selection = select_samples(protocol(where={"task": "vqa"}), samples)
    with pytest.raises(DatasetError, match=r"1 missing \(b\)"):
        pair_items(selection, [Prediction(sample_id="a", text="yes")])
    items = pair_items(selection, [Prediction(sample_id=sample_id, text="yes") for sample_id in "ba"])
    assert [(one.sample.id, one.prediction.sample_id) for one in items] == [("a", "a"), ("b", "b")]
    assert items[0].facts["id_suffix"] == "a"
