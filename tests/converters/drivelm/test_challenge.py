"""DRV-55: the questions that the challenge's script picks, told by hand from its rules."""

from __future__ import annotations

import json

import pytest
from drivelm_files import LIGHT, OBJECTS, SUV, make_frame, make_scenes, pair

from domainvl.converters.drivelm.challenge import challenge_subset
from domainvl.converters.drivelm.frames import read_frame
from domainvl.errors import ItemError, UsageError

STILL = "The ego vehicle is going straight. The ego vehicle is not moving."


def picked(*args, **kwargs):
    frame = read_frame(json.dumps(make_frame(*args, **kwargs)))
    return [(pair.question, pair.tag) for pair in challenge_subset(frame)]


def test_drv_55_the_first_of_each_kind_is_picked_and_tagged():
    assert picked(
        [
            pair("no", "A red van."),
            pair("names all", "A DIM LAMP and a red van"),
            pair("later", "A dim lamp and a red van"),
            pair("What is the Moving Status of object x?", "Stopped."),
            pair("What is the moving status of object y?", "Stopped."),
        ],
        [
            pair("one only", SUV),
            pair("both", f"{LIGHT.upper()} {SUV}"),
            pair("yes", "Yes."),
            pair("no", "No."),
        ],
        [
            pair("no such", "x"),
            pair("What actions could the ego vehicle take first?", "x"),
            pair("What actions could the ego vehicle take then?", "x"),
            pair("What may lead to a collision?", "x"),
            pair("Which SAFE actions are there?", "x"),
            pair("Other safe actions?", "x"),
        ],
        [pair("b1", "x"), pair("b2", "x")],
    ) == [
        ("names all", (2,)),
        ("What is the Moving Status of object x?", (0,)),
        ("both", (3,)),
        ("yes", (0,)),
        ("What actions could the ego vehicle take first?", (1,)),
        ("What may lead to a collision?", (1,)),
        ("Which SAFE actions are there?", (1,)),
        ("b1", (0,)),
        ("b2", (0,)),
    ]


@pytest.mark.parametrize("answer", ["Now.", "Do not.", "They notice it.", "None.", "YES"])
def test_drv_55_no_and_yes_are_found_within_words(answer):
    assert picked(prediction=[pair("first", "Left."), pair("hit", answer), pair("late", "No.")])[-1] == ("hit", (0,))


def test_drv_55_without_key_objects_the_first_question_fits():
    assert picked([pair("a", "x"), pair("b", "x")], [pair("c", "x")], objects={}) == [("a", (2,)), ("c", (3,))]


def test_drv_55_a_question_picked_twice_stands_twice_with_its_last_tag():
    assert picked(prediction=[pair("q", "No.")], objects={}) == [("q", (0,)), ("q", (0,))]
    both = "What actions could the ego vehicle take that lead to a collision?"
    assert picked(planning=[pair(both, "x")]) == [(both, (1,)), (both, (1,))]


def test_drv_55_a_description_counts_up_to_its_first_full_stop():
    objects = {SUV: {**OBJECTS[SUV], "Visual_description": "Red van. Seen before."}}
    assert picked([pair("q", "a red van")], objects=objects) == [("q", (2,))]


@pytest.mark.parametrize("objects", [None, {SUV: {"Category": "Vehicle"}}, {SUV: "x"}])
def test_drv_55_a_frame_that_the_script_could_not_read_is_refused(objects):
    with pytest.raises(ItemError) as error:
        picked([pair("q", "x")], objects=objects)
    assert error.value.reason == "no-key-objects"


def test_drv_55_ids_count_what_was_picked_and_rows_say_where_it_was(given):
    frame = make_frame(
        [pair("skip?", "Red van."), pair("all?", f"Red van {SUV}, dim lamp {LIGHT}.")],
        [pair("skip too?", "Left.")],
        [pair("safe actions?", "x")],
        [pair("Predict.", STILL)],
    )
    _, samples, rejects = given.convert(make_scenes(frame), challenge_subset=True)
    kept = [sample.images[0].source.details["drivelm"] for sample in samples]

    assert rejects == []
    assert [(one["id"], one["row"], one["tag"]) for one in kept] == [
        ("s_f_0", 1, [2]),
        ("s_f_1", 3, [1]),
        ("s_f_2", 4, [0]),
    ]
    # Of the whole file other questions have these ids: both sets can be merged all the same.
    assert [sample.id for sample in samples] == [f"drivelm-challenge/s_f_{number}" for number in range(3)]


def test_drv_55_answers_are_needed_to_pick_by(given):
    with pytest.raises(UsageError, match="picked by their answers"):
        given.convert(make_scenes(make_frame([pair("Q?")])), challenge_subset=True, questions_only="placeholder")
