"""Questions become samples, in the default phrases or in drawn ones, with what the prompt says before them."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from builders import PROVENANCE, make_image

from domainvl.schema import (
    ClassQuestions,
    CoverQuestions,
    Object,
    ObjectQuestions,
    Phrasing,
    Split,
    Task,
    ask_about_change,
    ask_about_cover,
    ask_about_cover_change,
    ask_about_objects,
    ask_for_class,
    samples_from_questions,
    word_sample,
)
from domainvl.schema.questions.question import scale_note
from domainvl.schema.record import from_record, to_line, to_record

ALL = (Task.PRESENCE, Task.COUNTING, Task.COMPARISON, Task.AREA, Task.GROUNDING, Task.REGION, Task.CAPTION,
       Task.DETECTION, Task.CLASSIFICATION)  # fmt: skip


def thing(name, label, box_px):
    x_min, y_min, x_max, y_max = box_px
    ring = ((x_min, y_min), (x_max, y_min), (x_max, y_max), (x_min, y_max))
    return Object(id=name, label=label, box_px=box_px, polygons_px=(ring,))


OBJECTS = [
    thing("1", "car", (10, 20, 30, 40)),
    thing("2", "bus", (100, 50, 180, 90)),
    thing("3", "bus", (0, 60, 40, 99)),
]


def test_samples_carry_questions_images_and_origin():
    objects = [thing("1", "car", (10, 20, 30, 40))]
    questions = ask_about_objects(objects, ["car", "bus"], key="k")

    samples = list(
        samples_from_questions(
            questions,
            id_prefix="scene/1",
            domain="remote-sensing",
            images=[make_image()],
            objects=objects,
            fixed_split=Split.VAL,
            group="scene",
            provenance=PROVENANCE,
            warnings=["no CRS"],
        )
    )

    assert [sample.id for sample in samples] == [
        "scene/1/presence-yes",
        "scene/1/presence-no",
        "scene/1/counting",
        "scene/1/grounding-1",
    ]
    assert [sample.answer for sample in samples] == [question.answer for question in questions]
    assert samples[3].turns[0].text == "<image>\nDetect <ref>car</ref>"
    assert samples[3].answer_objects() == tuple(objects)
    assert {(sample.split, sample.group, sample.warnings) for sample in samples} == {(Split.VAL, "scene", ("no CRS",))}


def make_samples(questions, *, prefix="s", **fields):
    return list(
        samples_from_questions(
            questions, id_prefix=prefix, domain="remote-sensing", images=[make_image()], objects=OBJECTS, group="g",
            provenance=PROVENANCE, **fields,
        )
    )  # fmt: skip


def ask(**fields):
    settings = ObjectQuestions(**{"tasks": ALL, "size_px": (200, 100), **fields})
    return ask_about_objects(OBJECTS, ["bus", "car", "ship"], key="k", settings=settings)


def test_without_variety_nothing_is_stored_of_it():
    samples = make_samples(ask())

    assert {question.task for question in ask()} == set(ALL)
    for sample, question in zip(samples, ask(), strict=True):
        truth = to_record(sample)["domainvl"]
        assert not {"phrasing", "preface", "about"} & (truth.keys() | (truth["answer"].keys() - {"about"}))
        assert sample.question == question.text
    assert [to_line(to_record(sample)) for sample in make_samples(ask(), phrasing=Phrasing(seed=5))] == [
        to_line(to_record(sample)) for sample in samples
    ]


def test_drawn_phrases_are_stored_so_that_the_wording_writes_the_same_again():
    tables = {"prompts": set(), "questions": set()}
    for number in range(60):
        for sample in make_samples(ask(), prefix=str(number), phrasing=Phrasing(varied=True)):
            again = from_record(json.loads(to_line(to_record(sample))))
            assert again == sample
            assert word_sample(again) == sample.turns
            tables["prompts"].add((sample.task, sample.phrasing))
            tables["questions"].add((sample.task, sample.question))
    # Four prompts of grounding, three of detection and regions, two of classification; of the rest one.
    assert Counter(task for task, _ in tables["prompts"]) == Counter(
        {task: 1 for task in ALL} | {Task.GROUNDING: 4, Task.DETECTION: 3, Task.REGION: 3, Task.CLASSIFICATION: 2}
    )
    presence = {question for task, question in tables["questions"] if task is Task.PRESENCE}
    assert {question for question in presence if "ship" in question} == {
        "Is there any ship in the image?", "Can any ship be seen in the image?", "Does the image show any ship?"
    }  # fmt: skip


def test_the_draw_follows_from_seed_and_id():
    def drawn(seed, prefix="s"):
        samples = make_samples(ask(), prefix=prefix, phrasing=Phrasing(varied=True, seed=seed))
        return [(sample.question, sample.phrasing) for sample in samples]

    assert drawn(1) == drawn(1)
    assert len({str(drawn(seed)) for seed in range(5)}) > 1
    assert len({str(drawn(0, prefix)) for prefix in "abcde"}) > 1


def test_drawn_phrases_do_not_change_answers():
    plain, varied = make_samples(ask()), make_samples(ask(), phrasing=Phrasing(varied=True, seed=3))

    assert [sample.answer for sample in plain] == [sample.answer for sample in varied]
    assert [sample.turns[1] for sample in plain if sample.task is not Task.GROUNDING] == [
        sample.turns[1] for sample in varied if sample.task is not Task.GROUNDING
    ]


def test_geo_35_counts_are_those_of_the_kept_objects_and_ignored_ones_are_listed():
    cut = Object(id="4", label="ship", box_px=(0, 0, 9, 3), visible_fraction=0.2, truncated=True, ignore=True)
    objects = [*OBJECTS, cut]
    settings = ObjectQuestions(tasks=(Task.COUNTING,))
    counted = {}
    for number in range(20):
        questions = ask_about_objects(objects, ["bus", "car", "ship"], key=str(number), settings=settings)
        (sample,) = samples_from_questions(
            questions, id_prefix="s", domain="general", images=[make_image()], objects=objects, group="g",
            provenance=PROVENANCE,
        )  # fmt: skip
        counted[sample.question] = sample.answer.count
        assert [thing.id for thing in sample.objects if thing.ignore] == ["4"]

    assert counted == {
        "How many instances of bus are in the image?": 2,
        "How many instances of car are in the image?": 1,
    }


# --- the size of a pixel


@pytest.mark.parametrize(
    ("gsd_m", "text"),
    [(0.3, "0.3"), (0.29858, "0.299"), (10.0, "10"), (1234.4, "1234"), (0.00012, "0.00012"), (999.7, "1000")],
)
def test_geo_38_the_size_of_a_pixel_in_words(gsd_m, text):
    assert scale_note(gsd_m) == f"The image has {text} m per pixel."
    assert scale_note(gsd_m, several_images=True) == f"The images have {text} m per pixel."


def test_geo_38_the_prompt_states_the_size_of_a_pixel():
    samples = make_samples(ask(gsd_m=0.3, prompt_gsd=True))

    assert {sample.task for sample in samples} == set(ALL)
    for sample, plain in zip(samples, make_samples(ask(gsd_m=0.3)), strict=True):
        human, assistant = (turn.text for turn in sample.turns)
        assert human == plain.turns[0].text.replace("<image>\n", "<image>\nThe image has 0.3 m per pixel.\n")
        assert (sample.question, assistant) == (plain.question, plain.turns[1].text)
        assert word_sample(sample) == sample.turns


def test_geo_38_a_size_that_is_not_known_is_not_stated():
    assert {question.preface for question in ask(prompt_gsd=True)} == {None}


@pytest.mark.parametrize(("several", "said"), [(False, "The image has"), (True, "The images have")])
def test_geo_38_all_kinds_of_questions_can_state_it(several, said):
    settings = {"gsd_m": 0.3, "prompt_gsd": True, "several_images": several}
    moved = [each.model_copy(update={"image": 1, "id": f"{each.id}b"}) for each in OBJECTS[:2]]
    images, shares = [(0, "2018"), (1, "2020")], {"forest": 0.6, "water": 0.2}
    questions = [
        ask_for_class("car", ["bus", "car"], key="k", settings=ClassQuestions(**settings)),
        *ask_about_cover(shares, key="k", image_area_m2=5.0, settings=CoverQuestions(**settings)),
        *ask(**settings),
    ]
    of_dates = [
        *ask_about_cover_change(
            [("2018", shares), ("2020", {"forest": 0.4, "water": 0.4})], key="k", settings=CoverQuestions(**settings)
        ),
        *ask_about_change(
            [*OBJECTS, *moved], ["bus", "car"], key="k", images=images,
            settings=ObjectQuestions(tasks=(Task.COMPARISON, Task.COUNTING), **settings),
        ),
        *(each for each in ask(image=0, place="in the image of 2018", **settings) if each.task is Task.COUNTING),
    ]  # fmt: skip

    assert len(questions) > 15
    assert {question.preface for question in questions} == {f"{said} 0.3 m per pixel."}
    assert len(of_dates) == 7
    assert {question.preface for question in of_dates} == {"The images have 0.3 m per pixel."}
