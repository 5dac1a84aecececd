"""What a card shows of a sample: shapes, the boxes in its text, and where truth and text disagree."""

from __future__ import annotations

import pytest
from builders import make_image, make_sample

from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    OrientedBox,
    Split,
    Task,
    TextAnswer,
    Turn,
    read_samples,
)
from domainvl.schema.operations.few_shot import FewShotSettings, few_shot_dataset
from domainvl.viewing.cards import (
    CROWD,
    HUES,
    assign_hues,
    boxes_in_text,
    describe_answer,
    draw_answer,
    image_name,
    make_card,
    object_extent,
    split_at_markers,
)

# Images are 200 x 100 px: (20, 10, 60, 50) px is [100, 100, 300, 500] of 1000.
CAR = Object(id="c", label="car", box_px=(20.0, 10.0, 60.0, 50.0))
BUS = Object(id="b", label="bus", box_px=(100.0, 50.0, 180.0, 90.0))


def talk(*texts):
    return tuple(Turn(role=("human", "assistant")[index % 2], text=text) for index, text in enumerate(texts))


def grounding(*texts, objects=(CAR, BUS), images=None, task=Task.GROUNDING, ids=("c",)):
    sample = make_sample(
        task=task, question="car", answer=BoxesAnswer(object_ids=ids), objects=objects, images=images
    )  # fmt: skip
    return sample.model_copy(update={"turns": talk(*texts)}) if texts else sample


def notes(sample):
    return make_card(sample, assign_hues([sample])).notes


def test_what_the_wording_wrote_agrees():
    sample = grounding()
    (box,), unread = boxes_in_text(sample)

    assert (box.label, box.box_1000, box.image, box.agrees, box.by) == (
        "car",
        (100, 100, 300, 500),
        0,
        True,
        "assistant",
    )
    assert unread == []
    assert notes(sample) == ()


@pytest.mark.parametrize(
    ("written", "agrees"),
    [
        ("[101, 99, 300, 500]", True),  # rounding and widening move an edge by one at most
        ("[102, 100, 300, 500]", False),
        ("[20, 10, 60, 50]", False),  # pixels
        ("[100, 100, 500, 300]", False),
    ],
)
def test_a_box_agrees_within_one_thousandth(written, agrees):
    sample = grounding("<image>\nWhere?", f"<ref>car</ref><box>[{written}]</box>")

    assert [box.agrees for box in boxes_in_text(sample)[0]] == [agrees]
    assert notes(sample) == (
        ()
        if agrees
        else (
            f"No object has the box of the text: car {written}",
            "The text does not have the box of the answer: car [20, 10, 60, 50] px = [100, 100, 300, 500] of 1000",
        )
    )


def test_a_box_with_another_objects_label_disagrees_except_in_grounding():
    texts = ("<image>\nAll?", "<ref>bus</ref><box>[[100, 100, 300, 500]]</box>")

    assert [box.agrees for box in boxes_in_text(grounding(*texts, task=Task.DETECTION))[0]] == [False]
    # There the name is an expression, such as "the vehicle on the left".
    assert [box.agrees for box in boxes_in_text(grounding(*texts))[0]] == [True]


def test_several_lists_and_both_speakers():
    sample = grounding(
        "<image>\nWhat is in <box>[[500, 500, 900, 900]]</box>?",
        "<ref>car</ref><box>[[100, 100, 300, 500], [0, 0, 10, 10]]</box>\n"
        "<ref>bus</ref><box>[[500, 500, 900, 900]]</box>",
        task=Task.DETECTION,
    )
    boxes, _ = boxes_in_text(sample)

    assert [(box.label, box.agrees, box.by) for box in boxes] == [
        (None, True, "human"),
        ("car", True, "assistant"),
        ("car", False, "assistant"),
        ("bus", True, "assistant"),
    ]


def test_a_list_that_cannot_be_read_is_noted():
    sample = grounding("<image>\nWhere?", "<ref>car</ref><box>[[1, 2, 3]]</box>")

    assert boxes_in_text(sample) == ([], ["[[1, 2, 3]]"])
    assert notes(sample)[0] == "The text has a list of boxes that cannot be read: [[1, 2, 3]]"


def test_of_several_images_the_box_goes_to_the_one_with_its_object():
    images = [make_image("a.png", view="LEFT"), make_image("b.png", view="RIGHT")]
    objects = [CAR, BUS.model_copy(update={"image": 1})]
    sample = grounding(
        "LEFT: <image>\nRIGHT: <image>\nWhere?",
        "<ref>bus</ref><box>[[500, 500, 900, 900], [510, 510, 900, 900], "
        "[100, 100, 300, 500], [0, 900, 10, 1000]]</box>",
        objects=objects,
        images=images,
        ids=("b",),
    )

    assert [box.image for box in boxes_in_text(sample)[0]] == [1, 1, 0, None]
    assert "Not drawn, because the text does not say in which image it is: bus [0, 900, 10, 1000]" in notes(sample)


def test_the_only_image_takes_every_box():
    sample = grounding("<image>\nWhere?", "<box>[[0, 900, 10, 1000]]</box>")

    assert [box.image for box in boxes_in_text(sample)[0]] == [0]


@pytest.mark.parametrize(
    ("answer", "reply", "noted"),
    [
        (TextAnswer(text="a lung"), "A lung.", False),
        (TextAnswer(text="a lung"), "a heart", True),
        (CountAnswer(count=2), "2", False),
        (CountAnswer(count=2), "3", True),
        (ChoiceAnswer(options=("a", "b"), correct=1), "B", False),
        (ChoiceAnswer(options=("a", "b"), correct=1), "A", True),
    ],
)
def test_an_answer_that_does_not_count_is_noted(answer, reply, noted):
    task = {"text": Task.VQA, "count": Task.COUNTING, "choice": Task.MULTIPLE_CHOICE}[answer.kind]
    sample = make_sample(task=task, answer=answer).model_copy(update={"turns": talk("<image>\nWhat?", reply)})

    expected = (f"The answer in the conversation does not count as the true one: {reply}",) if noted else ()
    assert notes(sample) == expected


def test_a_longer_conversation_is_not_judged_by_its_end():
    sample = make_sample().model_copy(update={"turns": talk("<image>\nWhat?", "a lung", "And where?", "left")})

    assert notes(sample) == ()


def test_marks_of_drawn_objects():
    objects = [CAR, BUS.model_copy(update={"ignore": True}), Object(id="p", label="pole", point_px=(3.0, 4.0))]
    sample = grounding(objects=objects)
    card = make_card(sample, assign_hues([sample]))
    drawn = {it.thing.id: it for it in card.images[0].objects}

    # Hues follow the alphabet: bus, car, pole.
    assert {key: it.classes for key, it in drawn.items()} == {
        "c": "object hue-1 answer",
        "b": "object hue-0 ignored",
        "p": "object hue-2",
    }
    assert [it.thing.id for it in card.images[0].objects] == ["b", "p", "c"]  # the answer is drawn last, on top
    assert card.labels == ("bus", "car", "pole")
    assert card.images[0].alternative == "bus, pole, car"


def test_hues_repeat():
    objects = [Object(id=str(number), label=f"{number:02d}", box_px=(0, 0, 1, 1)) for number in range(HUES + 1)]
    hues = assign_hues([make_sample(objects=objects)])

    assert hues["00"] == hues[f"{HUES:02d}"] == 0
    assert sorted(set(hues.values())) == list(range(HUES))


def test_labels_stay_inside_the_image():
    at_top = Object(id="t", label="top", box_px=(10.0, 2.0, 30.0, 40.0))
    right = Object(id="r", label="right", box_px=(150.0, 50.0, 190.0, 70.0))
    sample = make_sample(objects=[at_top, right])
    labels = {it.thing.id: it.label for it in make_card(sample, assign_hues([sample])).images[0].objects}

    assert (labels["t"].x_px, labels["t"].y_px, labels["t"].above, labels["t"].at_end) == (10, 2, False, False)
    assert (labels["r"].x_px, labels["r"].y_px, labels["r"].above, labels["r"].at_end) == (190, 50, True, True)


def test_a_crowd_is_named():
    objects = [Object(id=str(number), label="ship", box_px=(0, 0, 1, 1)) for number in range(CROWD + 1)]
    crowded, clear = (make_sample(objects=things) for things in (objects, objects[1:]))

    assert [make_card(sample, {"ship": 0}).images[0].crowded for sample in (crowded, clear)] == [True, False]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"box_px": (1.0, 2.0, 3.0, 4.0), "point_px": (9.0, 9.0)}, (1, 2, 3, 4)),
        ({"polygons_px": (((0.0, 5.0), (4.0, 1.0)), ((7.0, 2.0),)), "point_px": (9.0, 9.0)}, (0, 1, 7, 5)),
        # Half the diagonal of 6 x 8 is 5.
        (
            {"oriented_box_px": OrientedBox(center_x_px=10, center_y_px=20, width_px=6, height_px=8, angle_deg=0)},
            (5, 15, 15, 25),
        ),
        ({"point_px": (9.0, 8.0)}, (9, 8, 9, 8)),
        ({}, None),
    ],
)
def test_extent(fields, expected):
    assert object_extent(Object(id="0", label="x", **fields)) == expected


def test_an_object_without_a_place_is_not_labelled():
    sample = make_sample(objects=[Object(id="0", label="rain")])

    assert make_card(sample, {"rain": 0}).images[0].objects[0].label is None


@pytest.mark.parametrize(
    ("fields", "count", "expected"),
    [
        ({}, 1, ""),
        ({}, 2, "image 2"),
        ({"view": "FRONT"}, 1, "FRONT"),
        ({"view": "FRONT", "frame": 3}, 2, "FRONT, frame 3"),
    ],
)
def test_image_names(fields, count, expected):
    assert image_name(make_image(**fields), 1, count) == expected


@pytest.mark.parametrize(
    ("answer", "text", "lines"),
    [
        (TextAnswer(text="a lung", accepted=("lung", "lungs")), "a lung", ("also right: lung, lungs",)),
        (TextAnswer(text="a lung"), "a lung", ()),
        (
            TextAnswer(text="a car", about=("c",)),
            "a car",
            ("about: car [20, 10, 60, 50] px = [100, 100, 300, 500] of 1000",),
        ),
        (CountAnswer(count=3), "3", ()),
        (MeasureAnswer(value=37.25, unit="%"), "37%", ("not rounded: 37.25 %",)),
        (MeasureAnswer(value=1234.5, unit="m2"), "1230 m2", ("not rounded: 1234.5 m2",)),
        (ChoiceAnswer(options=("a pond", "a tank"), correct=1), "B. a tank", ("A. a pond", "B. a tank")),
        (BoxesAnswer(object_ids=()), "no object", ()),
        (BoxesAnswer(object_ids=("c",)), "car [20, 10, 60, 50] px = [100, 100, 300, 500] of 1000", ()),
        (
            BoxesAnswer(object_ids=("b", "c")),
            "2 boxes",
            (
                "bus [100, 50, 180, 90] px = [500, 500, 900, 900] of 1000",
                "car [20, 10, 60, 50] px = [100, 100, 300, 500] of 1000",
            ),
        ),
    ],
)
def test_the_truth_in_words(answer, text, lines):
    task = {"choice": Task.MULTIPLE_CHOICE, "boxes": Task.DETECTION}.get(answer.kind, Task.VQA)
    truth = describe_answer(make_sample(task=task, answer=answer, objects=[CAR, BUS]))

    assert (truth.text, truth.lines) == (text, lines)


def test_markers_are_told_from_text():
    assert split_at_markers("<image>\n<ref>a <b></ref>") == (
        ("<image>", True),
        ("\n", False),
        ("<ref>", True),
        ("a <b>", False),
        ("</ref>", True),
    )


@pytest.mark.parametrize(
    ("sizes", "is_wide"),
    [
        ([(2688, 896)], True),
        ([(100, 100), (2688, 896)], True),
        ([(1600, 800)], False),  # 2:1 exactly
        ([(1602, 800)], True),
        ([(512, 100)], False),  # shown in full in any card
        ([(800, 2400)], False),
        ([], False),
    ],
)
def test_a_card_with_an_image_too_wide_for_a_column_has_a_row_of_its_own(sizes, is_wide):
    images = [make_image(size_px=size_px) for size_px in sizes]
    sample = make_sample(task=Task.VQA, question="Q?", answer=TextAnswer(text="A"), images=images)
    assert make_card(sample, {}).wide is is_wide


def test_boxes_of_solved_examples_are_passed_over(squares, tmp_path):
    """The sample holds its own objects and not those of its examples."""
    few_shot_dataset(squares, tmp_path / "shots", FewShotSettings(shots=1, held_out_too=True))
    asked = [sample for sample in read_samples(tmp_path / "shots", Split.TEST) if sample.task is Task.GROUNDING]
    assert asked
    for sample in asked:
        assert "<box>" in sample.earlier[1].text
        found, unread = boxes_in_text(sample)
        assert [box.agrees for box in found] == [True]
        assert not unread


def test_boxes_of_an_answer_with_their_iou():
    # Boxes of thousandths in an image of 200x100 px: one moved by half its width, one that is no box of the truth.
    sample = make_sample(
        task=Task.DETECTION,
        question="car",
        answer=BoxesAnswer(object_ids=("0", "1")),
        objects=[
            Object(id="0", label="car", box_px=(20.0, 10.0, 60.0, 50.0)),
            Object(id="1", label="car", box_px=(100.0, 10.0, 140.0, 50.0)),
        ],
    )
    text = "<ref>car</ref><box>[[100, 100, 300, 500], [600, 100, 800, 500]]</box>"
    first, second = draw_answer(sample, text)[0]
    assert first.box_px == pytest.approx((20, 10, 60, 50))
    assert first.agrees
    assert first.label.text == "answer: car, IoU 1.00"
    assert second.box_px == pytest.approx((120, 10, 160, 50))
    assert not second.agrees
    assert second.label.text == "answer: car, IoU 0.33"  # 20 of 60 px are shared


def test_an_answer_without_boxes_that_can_be_read_or_drawn():
    sample = make_sample(answer=TextAnswer(text="yes"))
    assert draw_answer(sample, "yes") == {}
    ((drawn,),) = draw_answer(sample, "[[100, 100, 300, 500]]").values()
    assert (drawn.label.text, drawn.agrees) == ("answer", True)  # nothing that it could agree with
    assert draw_answer(sample, "[[500, 100, 400, 200]]") == {}  # corners are swapped


def test_a_box_of_an_answer_on_one_of_several_images():
    images = [make_image("a.png", view="LEFT"), make_image("b.png", view="RIGHT")]
    sample = make_sample(
        task=Task.GROUNDING,
        question="the bus",
        answer=BoxesAnswer(object_ids=("0",)),
        images=images,
        objects=[Object(id="0", label="bus", image=1, box_px=(20.0, 10.0, 60.0, 50.0))],
    )
    assert list(draw_answer(sample, "[[100, 100, 300, 480]]")) == [1]
    assert draw_answer(sample, "[[700, 700, 900, 900]]") == {}
