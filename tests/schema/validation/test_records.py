"""One record by itself: every rule that it breaks, and never an exception, whatever stands in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from builders import PROVENANCE, make_image, make_sample

from domainvl.errors import DatasetError
from domainvl.schema import (
    WORDING_VERSION,
    BoxesAnswer,
    ChoiceAnswer,
    MeasureAnswer,
    Object,
    OrientedBox,
    Sample,
    Split,
    Task,
    TextAnswer,
    word_sample,
)
from domainvl.schema.record import from_record, to_record
from domainvl.schema.validation import RULES, Severity
from domainvl.schema.validation import records as records_module
from domainvl.schema.validation.image_columns import path_problem
from domainvl.schema.validation.records import check_record

THING = Object(
    id="1",
    label="pond",
    box_px=(1.0, 2.0, 30.0, 40.0),
    polygons_px=(((1.0, 2.0), (3.0, 4.0)),),
    oriented_box_px=OrientedBox(center_x_px=5, center_y_px=5, width_px=2, height_px=2, angle_deg=10),
    attributes={"height_m": 2.5},
)


def rewritten(**fields: Any) -> Sample:
    """Make a sample of which the conversation knows all fields."""
    sample = make_sample(**fields)
    return sample.model_copy(update={"turns": word_sample(sample)})


SAMPLES = {
    "one image": make_sample(objects=[THING], images=[make_image(view="FRONT", frame=2)]),
    "two images": make_sample(
        images=[make_image("a.png"), make_image("b.png")],
        objects=[THING.model_copy(update={"image": 1})],
        task=Task.GROUNDING,
        question="pond",
        answer=BoxesAnswer(object_ids=("1",)),
        domain="remote-sensing",
        fixed_split=Split.TRAIN,
    ),
    "measure": make_sample(task=Task.AREA, answer=MeasureAnswer(value=12.5, unit="ha")),
    "phrase": rewritten(
        objects=[THING], task=Task.CAPTION, answer=TextAnswer(text="A pond.", about=("1",)), preface="0.3 m per pixel."
    ),
    "prompt": rewritten(
        objects=[THING], task=Task.REGION, answer=BoxesAnswer(object_ids=("1",)), phrasing=2, question="What?"
    ),
    "choice": make_sample(task=Task.MULTIPLE_CHOICE, answer=ChoiceAnswer(options=("a", "b"), correct=1), images=[]),
}
# 10**400 is no float.
ODD_VALUES: list[Any] = [
    None, True, 0, -1, 1.5, 7, 10**400, float("nan"), float("inf"), "", " ", "x", "\ud800", "<image>", "1",
    [], ["1"], [[]], {}, {"kind": "boxes"}, {"x": {}},
]  # fmt: skip
DELETED = object()


def record_of(sample: Any) -> dict[str, Any]:
    return json.loads(json.dumps(to_record(sample)))


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*place, key)
        yield from places(part, (*place, key))


def replaced(record: dict[str, Any], place: tuple[Any, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(record)
    parent: Any = changed
    for key in place[:-1]:
        parent = parent[key]
    if value is DELETED:
        del parent[place[-1]]
    else:
        parent[place[-1]] = value
    return changed


def reader_takes(record: dict[str, Any]) -> bool:
    try:
        from_record(record)
    except DatasetError:
        return False
    return True


def codes(record: Any, split: Split = Split.TRAIN) -> list[str]:
    return [code for code, _ in check_record(record, split)[0]]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_right_record_has_no_problems(name):
    problems, columns = check_record(record_of(SAMPLES[name]), Split.TRAIN)

    assert problems == []
    assert columns.paths == [image.path for image in SAMPLES[name].images]
    assert columns.widths_px == [200] * len(SAMPLES[name].images)
    assert columns.heights_px == [100] * len(SAMPLES[name].images)


@pytest.mark.parametrize("name", SAMPLES)
def test_whatever_the_reader_refuses_has_an_error_of_a_named_rule(name):
    """Each value of a record in turn is deleted or replaced by each of a list of odd ones."""
    record = record_of(SAMPLES[name])
    refused = 0
    for place in places(record):
        for value in [DELETED, *ODD_VALUES]:
            changed = replaced(record, place, value)
            found = set(codes(changed))
            assert found <= set(RULES), (place, value, found)
            assert "record-invalid" not in found, (place, value)
            if not reader_takes(changed):
                refused += 1
                assert any(RULES[code].severity is Severity.ERROR for code in found), (place, str(value)[:20])

    assert refused > 500


@pytest.mark.parametrize("value", [{}, {"domainvl": {}}, {"conversations": [None]}, {"image": [None]}, {"image": {}}])
def test_hardly_anything_left(value):
    assert codes(value)


def test_a_refusal_that_no_rule_explains_is_reported_all_the_same(monkeypatch):
    monkeypatch.setattr(records_module, "diagnose", lambda record, columns: [])
    record = record_of(SAMPLES["choice"])
    record["domainvl"]["answer"]["correct"] = 9

    assert check_record(record, Split.TRAIN)[0] == [
        ("record-invalid", "answer.choice: correct must be below 2, the number of options; got 9")
    ]


def test_all_faults_of_a_record_are_told_not_only_the_first():
    record = record_of(SAMPLES["two images"])
    record["colour"] = "red"
    record["image"][0] = "../a.png"
    record["height_list"] = [100, 0]
    record["conversations"] += [{"from": "human", "value": ""}, {"from": "robot", "value": "<image>"}]
    truth = record["domainvl"]
    truth["schema_version"] = 9
    truth["question"] = ""
    truth["split"] = "test"
    truth["provenance"]["converter"] = ""
    truth["objects"] += [
        {"id": "1", "label": "", "box_px": [-1, 2, 3, 4]},
        {"id": "2", "label": "x", "box_px": [5, 6, 5, 8], "image": 2},
        {"id": "3", "label": "x", "box_px": [1, 2, float("nan"), 8]},
        {"id": "4", "label": "x", "box_px": [1, 2, 3], "colour": 1},
    ]
    truth["answer"] = {"kind": "boxes", "object_ids": ["1", "9"]}

    assert sorted(set(codes(record))) == sorted(
        {"key-extra", "image-path", "value-invalid", "turn-empty", "turn-role", "placeholder-count", "schema-version"}
        | {"question-empty", "split-mismatch", "split-fixed", "provenance", "object-id-duplicate", "box-bounds"}
        | {"box-order", "object-image", "box-not-finite", "box-form", "key-unknown", "answer-object"}
    )


def test_messages_hold_the_place_and_the_value():
    record = record_of(SAMPLES["two images"])
    record["domainvl"]["objects"][0]["box_px"] = [1, 2, 300.5, 40]

    assert check_record(record, Split.TRAIN)[0] == [
        ("box-bounds", "box_px of object '1' must lie in x from 0 to 200, got [1, 2, 300.5, 40]")
    ]


def test_a_long_value_is_cut():
    record = record_of(SAMPLES["one image"])
    record["id"] = ["x" * 100_000]

    [(code, message)] = check_record(record, Split.TRAIN)[0]
    assert code == "value-type"
    assert len(message) < 300


def test_turns_out_of_order_are_told_once():
    record = record_of(SAMPLES["choice"])
    record["conversations"] = [{"from": speaker, "value": "x"} for speaker in ("gpt", "human", "gpt", "human")]

    assert codes(record) == ["turn-order"]


@pytest.mark.parametrize("turn", [None, {"from": "human", "value": 7}])
def test_placeholders_of_a_turn_that_is_no_text_are_not_counted(turn):
    record = record_of(SAMPLES["two images"])
    record["conversations"][0] = turn

    assert codes(record) == ["value-type"]


def test_half_a_surrogate_pair_where_a_message_would_tell_it():
    record = record_of(SAMPLES["one image"])
    record["domainvl"]["objects"][0] |= {"id": "\ud800", "box_px": [0, 0, 201, 5]}

    assert codes(record) == ["box-bounds"]


def test_boxes_are_compared_with_their_own_image():
    record = record_of(SAMPLES["two images"])
    record["width_list"] = [200, 20]

    assert [code for code in codes(record) if code.startswith("box")] == ["box-bounds"]


def test_wording_is_compared_for_the_current_version_only():
    record = record_of(SAMPLES["one image"])
    record["conversations"][1]["value"] = "a liver"
    assert codes(record) == []

    record["domainvl"]["provenance"]["wording"] = "internvl-1"
    assert codes(record) == ["wording-stale"]


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("phrase", {"preface": "0.4 m per pixel."}), ("phrase", {"preface": None}),
        ("prompt", {"phrasing": 1}), ("prompt", {"phrasing": None}),
    ],
)  # fmt: skip
def test_preface_and_phrasing_belong_to_the_wording(name, change):
    provenance = PROVENANCE.model_copy(update={"wording": WORDING_VERSION})
    sample = SAMPLES[name].model_copy(update={"provenance": provenance})

    assert codes(record_of(sample)) == []
    assert codes(record_of(sample.model_copy(update=change))) == ["wording-stale"]


def test_a_prompt_that_the_task_does_not_have():
    record = replaced(record_of(SAMPLES["prompt"]), ("domainvl", "phrasing"), 3)

    (problem,) = check_record(record, Split.TRAIN)[0]

    assert problem == ("value-invalid", "phrasing must be below 3 for this task, got 3")


def test_what_a_question_points_at_must_be_there():
    record = replaced(record_of(SAMPLES["phrase"]), ("domainvl", "answer", "about"), ["1", "2"])

    (problem,) = check_record(record, Split.TRAIN)[0]

    assert problem == ("answer-object", "the answer names objects that the sample does not have: ['2']")


def test_names_and_boxes_may_be_marked_where_the_task_points():
    """The grounding conversation itself holds <ref> and <box>; in another task they come from outside."""
    record = record_of(SAMPLES["two images"])
    assert "<box>" in record["conversations"][1]["value"]
    assert codes(record) == []

    record["domainvl"] |= {"task": "vqa", "answer": {"kind": "text", "text": "x"}}
    assert set(codes(record)) == {"special-token"}


@pytest.mark.parametrize("token", ["</img>", "<IMG_CONTEXT>", "<|im_start|>", "<s>", "<quad>"])
@pytest.mark.parametrize("turn", [0, 1])
def test_tokens_of_the_model_are_nowhere_allowed(token, turn):
    record = record_of(SAMPLES["two images"])
    record["conversations"][turn]["value"] += token

    [(code, message)] = check_record(record, Split.TRAIN)[0]
    assert code == "special-token"
    assert f"turn {turn} holds {token!r}" in message


@pytest.mark.parametrize(
    "path", ["a.png", "images/ab/cd/x.png", "./a.png", "images/a b ü.png", "a/../b.png", "..a/b.png"]
)
def test_paths_inside(path):
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/a.png", "absolute"),
        ("//host/a.png", "absolute"),
        ("C:/a.png", "absolute"),
        ("c:a.png", "absolute"),
        ("file:///a.png", "absolute"),
        ("s3://bucket/a.png", "absolute"),
        ("images\\a.png", "backslash"),
        ("\\\\host\\a.png", "backslash"),
        ("../a.png", "does not name a file"),
        ("a/../../b.png", "does not name a file"),
        ("..", "does not name a file"),
        (".", "does not name a file"),
        ("", "does not name a file"),
        ("a\nb.png", "control character"),
    ],
)
def test_paths_outside(path, problem):
    assert problem in (path_problem(path) or "")
