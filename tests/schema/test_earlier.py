"""Earlier rounds of a conversation: worded before the question, kept in the record, checked and exported."""

from __future__ import annotations

import json

import pytest
from builders import make_image, make_sample
from pydantic import ValidationError

from domainvl.model.chat import Chat, PieceKind, serialise
from domainvl.schema import BoxesAnswer, Object, Question, Sample, Split, Task, TextAnswer, Turn, samples_from_questions
from domainvl.schema.exchange.export import express
from domainvl.schema.exchange.formats import PlacedImage, format_names, load_format
from domainvl.schema.record import from_record, to_line, to_record
from domainvl.schema.validation.records import check_record
from domainvl.schema.wording import WORDING_VERSION, escape_but_marks, word
from domainvl.viewing.cards import boxes_in_text, find_disagreements

# In an image of 200 x 100 px: 50, 200, 150, 400 thousandths.
CAR = Object(id="1", label="car", box_px=(10, 20, 30, 40))
EARLIER = (
    Turn(role="human", text="Where is the car?"),
    Turn(role="assistant", text="The <ref>car</ref><box>[[50, 200, 150, 400]]</box> is on the left."),
)


def make_talk(earlier=EARLIER, images=None, question=None, **fields) -> Sample:
    question = question or Question("q", Task.VQA, "Is it red?", TextAnswer(text="yes"), earlier=earlier)
    plain = make_sample()
    provenance = plain.provenance.model_copy(update={"wording": WORDING_VERSION})
    (sample,) = samples_from_questions(
        [question],
        id_prefix="s",
        domain="remote-sensing",
        images=[make_image()] if images is None else images,
        objects=[CAR],
        group="g",
        provenance=provenance,
        **fields,
    )
    return sample


def test_the_image_is_named_before_the_first_round():
    assert [(turn.role, turn.text) for turn in make_talk().turns] == [
        ("human", "<image>\nWhere is the car?"),
        ("assistant", "The <ref>car</ref><box>[[50, 200, 150, 400]]</box> is on the left."),
        ("human", "Is it red?\nAnswer the question using a single word or phrase."),
        ("assistant", "yes"),
    ]


def test_several_images_are_all_named_before_the_first_round():
    turns = make_talk(images=[make_image("images/a.png"), make_image("images/b.png")]).turns
    assert turns[0].text == "Image-1: <image>\nImage-2: <image>\nWhere is the car?"
    assert "<image>" not in "".join(turn.text for turn in turns[1:])


SOLVED = (
    Turn(role="human", text="Before: <image>\nAfter: <image>\nHow many?"),
    Turn(role="assistant", text="2"),
    Turn(role="human", text="<image>\nWhere is the <ref>car</ref>? <img>"),
    Turn(role="assistant", text="<box>[[50, 200, 150, 400]]</box>"),
)
"""Solved examples about two images and about one."""


def test_images_of_earlier_rounds_stay_there_and_the_rest_is_named_before_the_question():
    sample = make_talk(SOLVED, [make_image(f"images/{name}.png") for name in "abcd"])
    asked = "Is it red?\nAnswer the question using a single word or phrase."
    assert [turn.text for turn in sample.turns] == [
        "Before: <image>\nAfter: <image>\nHow many?",
        "2",
        "<image>\nWhere is the <ref>car</ref>? &lt;img&gt;",
        "<box>[[50, 200, 150, 400]]</box>",
        f"<image>\n{asked}",
        "yes",
    ]
    assert from_record(json.loads(to_line(to_record(sample)))) == sample
    two = make_talk(SOLVED, [make_image(f"images/{name}.png", view=name) for name in "abcde"])
    assert two.turns[4].text == f"d: <image>\ne: <image>\n{asked}"  # the views of the last two


def test_an_answer_places_no_image():
    earlier = (EARLIER[0], Turn(role="assistant", text="<image>"))
    fields = {"domain": "general", "task": Task.CAPTION, "question": "Now?", "answer": TextAnswer(text="a")}
    turns = word(**fields, images=[make_image()], earlier=earlier)
    assert [turn.text for turn in turns] == ["<image>\nWhere is the car?", "&lt;image&gt;", "Now?", "a"]


def test_the_preface_stands_behind_the_images_that_are_left():
    turns = word(
        domain="general",
        task=Task.CAPTION,
        question="Now?",
        answer=TextAnswer(text="a"),
        images=[make_image()] * 4,
        earlier=SOLVED,
        preface="0.3 m per pixel.",
    )
    assert turns[4].text == "<image>\n0.3 m per pixel.\nNow?"
    assert "0.3 m" not in "".join(turn.text for turn in turns[:4])


def test_a_sample_with_images_in_earlier_rounds_is_valid_and_a_moved_image_is_not():
    sample = make_talk(SOLVED[2:], [make_image("images/a.png"), make_image("images/b.png")])
    record = to_record(sample)
    assert [code for code, _ in check_record(record, Split.TRAIN)[0]] == []
    for index, prefix in enumerate(("<image>\n<image>\n", "")):
        utterance = record["conversations"][2 * index]
        utterance["value"] = prefix + utterance["value"].removeprefix("<image>\n")
    assert [code for code, _ in check_record(record, Split.TRAIN)[0]] == ["wording-stale"]


def test_the_record_keeps_them_and_they_come_back():
    sample = make_talk()
    record = json.loads(to_line(to_record(sample)))
    assert record["domainvl"]["earlier"] == [
        {"role": "human", "text": "Where is the car?"},
        {"role": "assistant", "text": "The <ref>car</ref><box>[[50, 200, 150, 400]]</box> is on the left."},
    ]
    assert from_record(record) == sample


def test_the_record_of_a_sample_without_them_does_not_name_them():
    assert "earlier" not in to_line(to_record(make_talk(earlier=())))


def test_a_sample_with_earlier_rounds_is_valid():
    assert check_record(to_record(make_talk()), Split.TRAIN)[0] == []


def test_a_change_of_an_earlier_round_is_stale_wording():
    record = to_record(make_talk())
    record["conversations"][1]["value"] = "On the right."
    assert [code for code, _ in check_record(record, Split.TRAIN)[0]] == ["wording-stale"]


def test_a_mark_in_the_question_is_still_refused():
    record = to_record(make_talk())
    record["conversations"][2]["value"] = "Is <box>[[50, 200, 150, 400]]</box> red?"
    assert "special-token" in [code for code, _ in check_record(record, Split.TRAIN)[0]]


@pytest.mark.parametrize(
    ("earlier", "message"),
    [
        (EARLIER[:1], "pairs of question and answer, got 1 turns"),
        (EARLIER[::-1], "turn 0 must be by human"),
        ((EARLIER[0], Turn(role="assistant", text=" ")), "turn 1 is empty"),
        ((Turn(role="human", text="<image>\n<image>\nWhere?"), EARLIER[1]), "2 placeholders, 1 images"),
        ((EARLIER[0], Turn(role="assistant", text="<image>")), "turn 1 is an answer and must not hold <image>"),
    ],
)
def test_what_is_no_conversation_is_refused(earlier, message):
    fields = make_talk().model_dump()
    with pytest.raises(ValidationError, match=message):
        Sample.model_validate(fields | {"earlier": [turn.model_dump() for turn in earlier]})


def test_text_from_outside_cannot_speak_tokens_in_an_earlier_round():
    dirty = (Turn(role="human", text="a<img>b"), Turn(role="assistant", text="<|im_end|><ref>x</ref><box>[[1]]</box>"))
    turns = make_talk(earlier=dirty).turns
    assert turns[0].text == "<image>\na&lt;img&gt;b"
    assert turns[1].text == "&lt;|im_end|&gt;<ref>x</ref>&lt;box&gt;[[1]]&lt;/box&gt;"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<ref>a</ref> b <box>[[1, 2, 3, 4], [5, 6, 7, 1000]]</box>",) * 2,
        ("<ref>a<ref>b</ref>", "&lt;ref&gt;a<ref>b</ref>"),
        ("</ref><box>[[1, 2, 3]]</box>", "&lt;/ref&gt;&lt;box&gt;[[1, 2, 3]]&lt;/box&gt;"),
        ("<quad></quad>", "&lt;quad&gt;&lt;/quad&gt;"),
    ],
)
def test_only_marks_that_are_well_formed_stay(text, expected):
    assert escape_but_marks(text) == expected


def test_all_answers_are_trained_on_and_the_last_is_evaluated():
    sample = make_talk()
    chat = Chat(format="Hermes-2", system_message=None)
    supervised = "".join(piece.text for piece in serialise(sample.turns, chat) if piece.answer)
    assert supervised == f"{EARLIER[1].text}<|im_end|>yes<|im_end|>"
    prompt = "".join(piece.text for piece in serialise(sample.turns[:-1], chat) if piece.kind is not PieceKind.IMAGE)
    assert "is on the left." in prompt
    assert prompt.endswith("<|im_start|>assistant\n")


@pytest.mark.parametrize("name", [name for name in format_names() if name != "vlmevalkit"])
def test_every_format_expresses_them(name, tmp_path):
    sample = make_talk()
    file = tmp_path / "a.png"
    file.write_bytes(b"")
    kind = load_format(name)
    row = express(kind, sample, [PlacedImage(path="images/a.png", file=file, mode=kind.image_modes[0])])
    assert "on the left" in json.dumps(row, default=str)  # express itself compares all turns


@pytest.mark.parametrize("name", [name for name in format_names() if name != "vlmevalkit"])
def test_every_format_expresses_images_in_earlier_rounds(name, tmp_path):
    sample = make_talk(SOLVED[2:], [make_image("images/a.png"), make_image("images/b.png")])
    for image in sample.images:
        (tmp_path / image.path).parent.mkdir(exist_ok=True)
        (tmp_path / image.path).write_bytes(b"")
    kind = load_format(name)
    placed = [PlacedImage(image.path, tmp_path / image.path, kind.image_modes[0]) for image in sample.images]
    row = express(kind, sample, placed)  # express itself compares all turns, and how many images there are
    text = json.dumps(row, default=str)
    assert text.index("Where is the") < text.index("Is it red?")
    if name == "openai":
        kinds = [[part["type"] for part in message["content"]] for message in row["messages"][::2]]
        assert kinds == [["image_url", "text"], ["image_url", "text"]]


def test_conversation_keeps_marks_and_its_boxes_are_those_of_objects():
    text = "A <ref>car</ref><box>[[50, 200, 150, 400]]</box>."
    sample = make_talk(question=Question("q", Task.CONVERSATION, "Describe <ref>it</ref>", TextAnswer(text=text)))
    assert [turn.text for turn in sample.turns] == ["<image>\nDescribe <ref>it</ref>", text]
    assert check_record(to_record(sample), Split.TRAIN)[0] == []
    assert list(find_disagreements(sample, *boxes_in_text(sample))) == []


def test_a_wrong_answer_after_earlier_rounds_is_noticed():
    sample = make_talk()
    turns = (*sample.turns[:-1], Turn(role="assistant", text="no"))
    changed = sample.model_copy(update={"turns": turns})
    assert any(
        "does not count as the true one" in said for said in find_disagreements(changed, *boxes_in_text(changed))
    )
    assert list(find_disagreements(sample, *boxes_in_text(sample))) == []


def test_boxes_are_asked_for_after_earlier_rounds():
    sample = make_talk(question=Question("q", Task.GROUNDING, "car", BoxesAnswer(object_ids=("1",)), earlier=EARLIER))
    assert sample.turns[-1].text == "<ref>car</ref><box>[[50, 200, 150, 400]]</box>"
