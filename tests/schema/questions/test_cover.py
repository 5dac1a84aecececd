"""Shares of the ground: what is asked, what is too close to call, and that answers agree with the shares."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domainvl.schema import CoverQuestions, MeasureAnswer, Task, ask_about_cover, ask_about_cover_change

SHARES = {"forest": 0.6, "water": 0.25, "urban": 0.004, "snow": 0.0}


def ask(shares, *tasks, key="k", image_area_m2=None, **fields):
    settings = CoverQuestions(**({"tasks": tasks} if tasks else {}), **fields)
    return ask_about_cover(shares, key=key, image_area_m2=image_area_m2, settings=settings)


def test_all_questions_of_one_image():
    questions = {question.key.removeprefix("cover-"): question for question in ask(SHARES, image_area_m2=50_000.0)}
    assert all(question.key.startswith("cover-") for question in ask(SHARES))

    assert list(questions) == [
        "dominant", "area-share", "area-ground", "presence-yes", "presence-no", "comparison-yes", "comparison-no"
    ]  # fmt: skip
    dominant = questions["dominant"]
    assert (dominant.task, dominant.answer.text) == (Task.CLASSIFICATION, "forest")
    assert dominant.text == (
        "Which of the given classes covers the largest area in the image: forest, snow, urban, water?"
    )
    assert questions["presence-no"].text == "Is there any snow in the image?"
    assert questions["comparison-yes"].text == "Is more of the image covered by forest than by water?"
    assert questions["comparison-no"].text == "Is more of the image covered by water than by forest?"
    assert {questions[f"{key}-yes"].answer.text for key in ("presence", "comparison")} == {"yes"}
    assert {questions[f"{key}-no"].answer.text for key in ("presence", "comparison")} == {"no"}


def test_areas_in_percent_and_on_the_ground():
    asked = {
        tuple(
            (q.text, round(q.answer.value, 6), q.answer.unit)
            for q in ask(SHARES, Task.AREA, key=str(n), image_area_m2=30_000.0)
        )
        for n in range(20)
    }

    # 0.6 and 0.25 of 3 ha; urban, of 0.4 %, is not asked about.
    assert asked == {
        (
            ("What share of the image is covered by forest, in percent?", 60.0, "%"),
            ("How many hectares of the image are covered by forest?", 1.8, "ha"),
        ),
        (
            ("What share of the image is covered by water, in percent?", 25.0, "%"),
            ("How many square metres of the image are covered by water?", 7500.0, "m2"),
        ),
    }
    assert [question.key for question in ask(SHARES, Task.AREA)] == ["cover-area-share"]


@pytest.mark.parametrize(
    ("shares", "answer"),
    [
        ({"a": 0.5, "b": 0.375}, "a"),
        ({"a": 0.5, "b": 0.4375}, None),
        ({"a": 0.5, "b": 0.5}, None),
        ({"a": 0.5}, None),
        ({"a": 0.0, "b": 0.0}, None),
        ({"a": 0.125, "b": 0.0}, "a"),
        ({"a": 0.0625, "b": 0.0}, None),
    ],
)
def test_the_dominant_class_must_lead_clearly(shares, answer):
    assert [q.answer.text for q in ask(shares, Task.CLASSIFICATION)] == ([answer] if answer else [])


def test_a_few_pixels_are_neither_there_nor_absent():
    asked = {q.text for n in range(30) for q in ask(SHARES, Task.PRESENCE, Task.AREA, Task.COMPARISON, key=str(n))}

    assert not any("urban" in text for text in asked)
    (there,) = ask({"urban": 0.01}, Task.PRESENCE)
    assert (there.text, there.answer.text) == ("Is there any urban in the image?", "yes")


def test_what_differs_by_less_than_the_margin_is_not_compared():
    assert ask({"a": 0.5, "b": 0.46}, Task.COMPARISON) == []
    assert len(ask({"a": 0.5, "b": 0.44}, Task.COMPARISON)) == 2


SOME_SHARES = st.lists(st.integers(0, 40), min_size=1, max_size=5).map(
    lambda parts: {label: part / max(sum(parts) * 1.25, 1) for label, part in zip("abcde", parts, strict=False)}
)


@given(SOME_SHARES, st.text(max_size=3))
def test_answers_agree_with_the_shares(shares, key):
    questions = ask(shares, key=key, image_area_m2=1e6)

    assert len({question.key for question in questions}) == len(questions)
    for question in questions:
        text = question.text
        if question.task is Task.COMPARISON:
            label, other = re.fullmatch("Is more of the image covered by (.) than by (.)[?]", text).groups()
            assert question.answer.text == ("yes" if shares[label] > shares[other] else "no")
            assert abs(shares[label] - shares[other]) >= 0.05
        elif question.task is Task.PRESENCE:
            assert question.answer.text == ("yes" if shares[text[13]] > 0 else "no")
        elif question.task is Task.CLASSIFICATION:
            assert shares[question.answer.text] == max(shares.values())
        elif question.key == "cover-area-share":
            label = re.search("by (.),", text)[1]
            assert question.answer == MeasureAnswer(value=100 * shares[label], unit="%")
        else:
            label, factor = text[-2], {"m2": 1.0, "ha": 1e4}[question.answer.unit]
            assert question.answer.value * factor == pytest.approx(shares[label] * 1e6)


def test_place_and_prefix_tell_images_of_one_sample_apart():
    questions = ask(SHARES, place="in the image of 2020", prefix="image2-")

    assert all(question.key.startswith("image2-cover-") for question in questions)
    assert all("the image of 2020" in question.text for question in questions)


@pytest.mark.parametrize(
    "shares", [{"a": 1.2}, {"a": -0.1}, {"a": 0.7, "b": 0.7}, {"a": float("nan")}], ids=["above", "below", "sum", "nan"]
)
def test_what_are_no_shares_is_refused(shares):
    with pytest.raises(ValueError, match="shares must be"):
        ask(shares)
    with pytest.raises(ValueError, match="shares must be"):
        ask_about_cover_change([("1", {"a": 0.5}), ("2", shares)], key="k")


def test_tasks_that_shares_do_not_answer_are_passed_over():
    assert [question.key for question in ask(SHARES, *Task)] == [question.key for question in ask(SHARES, *sorted(
        (Task.CLASSIFICATION, Task.PRESENCE, Task.COMPARISON, Task.AREA), key=list(Task).index
    ))]  # fmt: skip
    assert ask(SHARES, Task.COUNTING) == []


# --- change


BEFORE = {"forest": 0.6, "water": 0.25, "urban": 0.1}
AFTER = {"forest": 0.45, "water": 0.27, "urban": 0.25, "snow": 0.03}


def change(*covers, key="k", **fields):
    return ask_about_cover_change(covers, key=key, settings=CoverQuestions(**fields))


def test_changes_of_shares():
    asked = {
        (q.key.removeprefix("cover-"), q.text, getattr(q.answer, "text", None) or round(q.answer.value, 6))
        for n in range(40)
        for q in change(("2018", BEFORE), ("2020", AFTER), key=str(n))
    }

    cover = "Is more of the image of {1} covered by {0} than of the image of {2}?"
    points = (
        "How much more of the image of {1} than of the image of {2} is covered by {0}, in percent of the whole image?"
    )
    # Water gained two points, less than the margin of a comparison; snow was not mapped in 2018.
    assert asked == {
        ("change-yes", cover.format("urban", 2020, 2018), "yes"),
        ("change-no", cover.format("urban", 2018, 2020), "no"),
        ("change-yes", cover.format("forest", 2018, 2020), "yes"),
        ("change-no", cover.format("forest", 2020, 2018), "no"),
        ("change-share", points.format("urban", 2020, 2018), 15.0),
        ("change-share", points.format("forest", 2018, 2020), 15.0),
        ("change-share", points.format("water", 2020, 2018), 2.0),
    }


def test_both_orders_of_the_dates_are_asked_of_the_same_class():
    for n in range(20):
        yes, no = change(("2018", BEFORE), ("2020", AFTER), key=str(n), tasks=(Task.COMPARISON,))
        assert (yes.answer.text, no.answer.text) == ("yes", "no")
        assert ("urban" in yes.text) == ("urban" in no.text)


def test_only_what_is_asked_for():
    assert [q.key for q in change(("1", BEFORE), ("2", AFTER), tasks=(Task.AREA,))] == ["cover-change-share"]
    assert change(("1", BEFORE), ("2", BEFORE)) == []


def test_images_must_be_told_apart():
    for covers in ([("1", BEFORE)], [("1", BEFORE), ("1", AFTER)]):
        with pytest.raises(ValueError, match="at least two images"):
            change(*covers)
