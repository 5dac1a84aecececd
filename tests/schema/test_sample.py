"""Every rule of a sample, broken once: the message names the field and the value seen."""

from __future__ import annotations

import copy
import math

import pytest
from builders import make_image, make_sample
from pydantic import ValidationError

from domainvl.errors import DatasetError
from domainvl.schema import BoxesAnswer, ChoiceAnswer, Object, Task, Turn
from domainvl.schema.record import from_record, to_record

BOX = (10, 20, 30, 40)


@pytest.fixture
def record():
    """The record of a grounding sample in one image of 200 x 100 px."""
    thing = Object(
        id="1",
        label="car",
        box_px=BOX,
        oriented_box_px={"center_x_px": 1, "center_y_px": 1, "width_px": 2, "height_px": 2, "angle_deg": 3},
    )
    return to_record(
        make_sample(task=Task.GROUNDING, question="car", answer=BoxesAnswer(object_ids=("1",)), objects=[thing])
    )


def changed(record, path, value):
    """Set (or, with KeyError, remove) the value at a path such as ``domainvl.objects.0.label``."""
    record = copy.deepcopy(record)
    *parents, last = [int(part) if part.isdigit() else part for part in path.split(".")]
    place = record
    for part in parents:
        place = place[part]
    if value is KeyError:
        del place[last]
    else:
        place[last] = value
    return record


def test_the_record_itself_is_right(record):
    assert from_record(record).answer_objects()[0].box_px == BOX


CONVERSATION = [{"from": "human", "value": "<image>\n?"}, {"from": "gpt", "value": "a"}]
CHOICE = {"kind": "choice", "options": ["a", "b"], "correct": 0}


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("id", "", ["id", "at least 1 character"]),
        ("domainvl.phrasing", 0, ["phrasing", "greater than or equal to 1"]),
        ("domainvl.preface", "", ["preface", "at least 1 character"]),
        ("domainvl.answer", {"kind": "text", "text": "a", "about": ["1", "7"]}, ["does not have", "['7']"]),
        ("domainvl.answer", {"kind": "measure", "value": -1.0, "unit": "%"}, ["value", "greater than or equal to 0"]),
        ("domainvl.answer", {"kind": "measure", "value": 1.0, "unit": "feet"}, ["unit", "'m2'"]),
        ("domainvl.answer", {"kind": "measure", "value": math.inf, "unit": "%"}, ["value", "finite"]),
        ("id", KeyError, ["'id'", "missing"]),
        ("width", 0, ["images.0.width_px", "greater than 0"]),
        ("height", -3, ["images.0.height_px", "greater than 0"]),
        ("width", KeyError, ["'width'", "missing"]),
        ("width", "wide", ["images.0.width_px", "integer"]),
        ("image", KeyError, ["image, width, height and domainvl.images", "0, 0, 0 and 1"]),
        ("image", ["a.png", "b.png"], ["'width_list'", "missing"]),
        ("conversations", KeyError, ["'conversations'", "missing"]),
        ("conversations", [], ["pairs of question and answer", "0 turns"]),
        ("conversations", CONVERSATION[:1], ["pairs of question and answer", "1 turns"]),
        ("conversations", CONVERSATION[::-1], ["turn 0", "human", "assistant"]),
        ("conversations", [CONVERSATION[0]] * 2, ["turn 1", "assistant", "human"]),
        ("conversations.0.from", "user", ["'from'", "'user'"]),
        ("conversations.0.value", "no picture", ["<image>", "0 placeholders, 1 images"]),
        ("conversations.0.value", "<image><image>", ["<image>", "2 placeholders, 1 images"]),
        ("conversations.1.value", "see <image>", ["turn 1", "must not hold <image>"]),
        ("conversations.1.value", " \n", ["turn 1", "empty"]),
        ("conversations.0.value", 5, ["turns.0.text", "string"]),
        ("domainvl", KeyError, ["'domainvl'", "missing"]),
        ("domainvl.schema_version", 2, ["schema_version", "got 2"]),
        ("domainvl.schema_version", KeyError, ["'schema_version'", "missing"]),
        ("domainvl.extra", 1, ["extra", "not permitted"]),
        ("domainvl.domain", KeyError, ["domain", "required"]),
        ("domainvl.task", "juggling", ["task", "'vqa'"]),
        ("domainvl.question", "", ["question", "at least 1 character"]),
        ("domainvl.split", "dev", ["split", "'train'"]),
        ("domainvl.group", "", ["group", "at least 1 character"]),
        ("domainvl.provenance.wording", KeyError, ["provenance.wording", "required"]),
        ("domainvl.images.0.source.uri", KeyError, ["images.0.source.uri", "required"]),
        ("domainvl.images.0.pixel_sha256", KeyError, ["images.0.pixel_sha256", "required"]),
        ("domainvl.images.0.frame", 0, ["images.0.frame", "greater than or equal to 1"]),
        ("domainvl.images.0.source.details", {"scale": math.nan}, ["images.0.source.details.scale", "finite"]),
        ("domainvl.images", [], ["domainvl.images", "1, 1, 1 and 0"]),
        ("domainvl.objects.0.label", "", ["objects.0.label", "at least 1 character"]),
        ("domainvl.objects.0.image", 1, ["object 1", "image 1", "there are 1"]),
        ("domainvl.objects.0.image", -1, ["objects.0.image", "greater than or equal to 0"]),
        ("domainvl.objects.0.box_px", [30, 20, 10, 40], ["objects.0.box_px", "x_min < x_max"]),
        ("domainvl.objects.0.box_px", [10, 20, 10, 40], ["objects.0.box_px", "x_min < x_max"]),
        ("domainvl.objects.0.box_px", [10, 40, 30, 20], ["objects.0.box_px", "y_min < y_max"]),
        ("domainvl.objects.0.box_px", [10, 20, math.inf, 40], ["objects.0.box_px", "finite"]),
        ("domainvl.objects.0.box_px", [10, 20, 30], ["objects.0.box_px", "required"]),
        ("domainvl.objects.0.box_px", [-0.5, 20, 30, 40], ["box_px of object 1", "inside", "200x100", "-0.5"]),
        ("domainvl.objects.0.box_px", [10, -1, 30, 40], ["box_px of object 1", "inside", "-1.0"]),
        ("domainvl.objects.0.box_px", [10, 20, 200.5, 40], ["box_px of object 1", "inside", "200.5"]),
        ("domainvl.objects.0.box_px", [10, 20, 30, 101], ["box_px of object 1", "inside", "101.0"]),
        ("domainvl.objects.0.point_px", [math.nan, 1], ["objects.0.point_px", "finite"]),
        ("domainvl.objects.0.visible_fraction", 1.1, ["objects.0.visible_fraction", "less than or equal to 1"]),
        ("domainvl.objects.0.oriented_box_px.width_px", 0, ["objects.0.oriented_box_px.width_px", "greater than 0"]),
        ("domainvl.answer.object_ids", ["1", "9"], ["answer", "does not have", "['9']"]),
        ("domainvl.answer", {"kind": "text", "text": ""}, ["answer.text.text", "at least 1 character"]),
        ("domainvl.answer", {"kind": "count", "count": -1}, ["answer.count.count", "greater than or equal to 0"]),
        ("domainvl.answer", {"kind": "guess"}, ["answer", "'guess'"]),
        ("domainvl.answer", CHOICE | {"correct": 2}, ["answer.choice", "correct must be below 2", "got 2"]),
        ("domainvl.answer", CHOICE | {"correct": -1}, ["answer.choice.correct", "greater than or equal to 0"]),
        ("domainvl.answer", CHOICE | {"options": ["a"]}, ["answer.choice.options", "at least 2"]),
        ("domainvl.answer", CHOICE | {"options": ["a"] * 27}, ["answer.choice.options", "at most 26"]),
    ],
)
def test_a_broken_rule_is_named(record, path, value, expected):
    with pytest.raises(DatasetError) as caught:
        from_record(changed(record, path, value))

    message = str(caught.value)
    assert [part for part in expected if part not in message] == []
    assert message.endswith("Make the data set again with domainvl convert.")


@pytest.mark.parametrize("record", [None, 3, [], "text", {"domainvl": None}, {"domainvl": {"schema_version": 1}}])
def test_what_is_no_record_at_all_is_refused(record):
    with pytest.raises(DatasetError):
        from_record(record)


def test_a_box_may_touch_the_border_of_the_image():
    thing = Object(id="1", label="car", box_px=(0, 0, 200, 100))

    assert make_sample(objects=[thing]).objects == (thing,)


def test_several_turns_may_share_the_images():
    sample = make_sample(images=[make_image(), make_image()])
    turns = (
        Turn(role="human", text="<image>\nfirst?"),
        Turn(role="assistant", text="a"),
        Turn(role="human", text="<image>\nsecond?"),
        Turn(role="assistant", text="b"),
    )

    fields = {name: getattr(sample, name) for name in type(sample).model_fields}
    assert type(sample)(**fields | {"turns": turns}).turns == turns


def test_a_sample_cannot_be_changed():
    with pytest.raises(ValidationError, match="frozen"):
        make_sample().group = "other"


def test_the_objects_of_the_answer_come_in_its_order():
    things = [Object(id=name, label="car", box_px=BOX) for name in "abc"]
    sample = make_sample(task=Task.DETECTION, answer=BoxesAnswer(object_ids=("c", "a")), objects=things)

    assert [thing.id for thing in sample.answer_objects()] == ["c", "a"]
    assert make_sample(objects=things).answer_objects() == ()
    assert make_sample(answer=ChoiceAnswer(options=("a", "b"), correct=0)).answer_objects() == ()
