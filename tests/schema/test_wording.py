"""Each task is phrased as InternVL was trained, and text from outside cannot speak the model's special tokens."""

from __future__ import annotations

import json
import re

import pytest
from builders import make_image, make_sample
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domainvl.errors import DatasetError
from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    MeasureAnswer,
    Object,
    Task,
    TextAnswer,
    Turn,
    escape_special,
    word,
)

# Of InternVL's tokenizers, of its three language models, and the placeholders of its trainer.
SPECIAL = [
    "<image>", "<video>", "<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>",
    "<s>", "</s>", "<unk>", "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end|>", "<|user|>", "<|assistant|>",
    "<|system|>", "<|placeholder1|>",
]  # fmt: skip
SHORT = "Answer the question using a single word or phrase."


def talk(*, domain="general", task, question="?", answer, images=None, objects=()):
    images = [make_image()] if images is None else images
    human, assistant = word(
        domain=domain, task=task, question=question, answer=answer, images=images, objects=list(objects)
    )
    assert (human.role, assistant.role) == ("human", "assistant")
    return human.text, assistant.text


# In an image of 200 x 100 px: 50, 200, 150, 400 and 500, 500, 1000, 1000 thousandths.
CAR = Object(id="1", label="car", box_px=(10, 20, 30, 40))
BUS = Object(id="2", label="bus", box_px=(100, 50, 200, 100))
CAR_2 = Object(id="3", label="car", box_px=(0, 0, 20, 10))


@pytest.mark.parametrize(
    ("case", "human", "assistant"),
    [
        (
            {"task": Task.VQA, "question": "What organ is this?", "answer": TextAnswer(text="lung")},
            f"<image>\nWhat organ is this?\n{SHORT}",
            "lung",
        ),
        (
            {"task": Task.PRESENCE, "question": "Is there any car?", "answer": TextAnswer(text="yes")},
            f"<image>\nIs there any car?\n{SHORT}",
            "yes",
        ),
        (
            {"task": Task.COUNTING, "question": "How many cars?", "answer": CountAnswer(count=12)},
            f"<image>\nHow many cars?\n{SHORT}",
            "12",
        ),
        (
            {
                "task": Task.CLASSIFICATION,
                "question": "Classify the image within one of the given classes: farm, port.",
                "answer": TextAnswer(text="port"),
            },
            "<image>\nClassify the image within one of the given classes: farm, port.\n"
            "Answer with one word or short phrase.",
            "port",
        ),
        (
            {
                "task": Task.MULTIPLE_CHOICE,
                "question": "Which modality?",
                "answer": ChoiceAnswer(options=("CT", "MR", "X-ray"), correct=1),
            },
            "<image>\nWhich modality?\nA. CT\nB. MR\nC. X-ray\n"
            "Answer with the option's letter from the given choices directly.",
            "B",
        ),
        (
            {
                "domain": "driving",
                "task": Task.MULTIPLE_CHOICE,
                "question": "Predict the behavior of the ego vehicle.",
                "answer": ChoiceAnswer(options=("Going ahead.", "Turn left."), correct=0),
            },
            "<image>\nPredict the behavior of the ego vehicle. Please select the correct answer from the following "
            "options: A. Going ahead. B. Turn left.",
            "A",
        ),
        (
            {
                "task": Task.GROUNDING,
                "question": "the red car",
                "answer": BoxesAnswer(object_ids=("1",)),
                "objects": [CAR],
            },
            "<image>\nPlease provide the bounding box coordinate of the region this sentence describes: "
            "<ref>the red car</ref>",
            "<ref>the red car</ref><box>[[50, 200, 150, 400]]</box>",
        ),
        (
            {
                "domain": "remote-sensing",
                "task": Task.GROUNDING,
                "question": "1 overpass near some trees at the center",
                "answer": BoxesAnswer(object_ids=("1",)),
                "objects": [CAR],
            },
            "<image>\nDetect <ref>1 overpass near some trees at the center</ref>",
            "<ref>1 overpass near some trees at the center</ref><box>[[50, 200, 150, 400]]</box>",
        ),
        (
            {
                "task": Task.GROUNDING,
                "question": "cars",
                "answer": BoxesAnswer(object_ids=("3", "1")),
                "objects": [CAR, CAR_2],
            },
            "<image>\nPlease provide the bounding box coordinate of the region this sentence describes: "
            "<ref>cars</ref>",
            "<ref>cars</ref><box>[[0, 0, 100, 100], [50, 200, 150, 400]]</box>",
        ),
        (
            {
                "task": Task.DETECTION,
                "question": "Find all.",
                "answer": BoxesAnswer(object_ids=("1", "2", "3")),
                "objects": [CAR, BUS, CAR_2],
            },
            "<image>\nPlease detect and label all objects in the following image and mark their positions.",
            "<ref>car</ref><box>[[50, 200, 150, 400], [0, 0, 100, 100]]</box>\n"
            "<ref>bus</ref><box>[[500, 500, 1000, 1000]]</box>",
        ),
        (
            {"task": Task.DETECTION, "question": "Find all.", "answer": BoxesAnswer(object_ids=())},
            "<image>\nPlease detect and label all objects in the following image and mark their positions.",
            "None",
        ),
        (
            {"task": Task.REGION, "answer": BoxesAnswer(object_ids=("1",)), "objects": [BUS, CAR]},
            "<image>\nWhat object is in this location<box>[[50, 200, 150, 400]]</box>",
            "<ref>car</ref><box>[[50, 200, 150, 400]]</box>",
        ),
        (
            {"task": Task.CAPTION, "question": "Describe the image.", "answer": TextAnswer(text="A chest film.")},
            "<image>\nDescribe the image.",
            "A chest film.",
        ),
    ],
)
def test_phrasings(case, human, assistant):
    assert talk(**case) == (human, assistant)


@pytest.mark.parametrize(
    ("images", "prefix"),
    [
        ([], ""),
        ([{}], "<image>\n"),
        ([{"view": "CAM_FRONT"}], "<image>\n"),
        ([{"frame": 1}, {"frame": 2}, {"frame": 5}], "Frame1: <image>\nFrame2: <image>\nFrame5: <image>\n"),
        ([{"frame": 1}], "Frame1: <image>\n"),
        ([{"view": "CAM_FRONT"}, {"view": "CAM_BACK"}], "CAM_FRONT: <image>\nCAM_BACK: <image>\n"),
        ([{}, {}], "Image-1: <image>\nImage-2: <image>\n"),
    ],
    ids=["text", "one", "one view", "video", "one frame", "views", "several"],
)
def test_how_images_are_named(images, prefix):
    human, _ = talk(task=Task.VQA, answer=TextAnswer(text="a"), images=[make_image(**fields) for fields in images])

    assert human == f"{prefix}?\n{SHORT}"


def test_what_is_said_first_stands_behind_the_images():
    images = [make_image(view="2018"), make_image(view="2020")]
    turns = word(
        domain="general", task=Task.VQA, question="?", answer=TextAnswer(text="a"), images=images,
        preface="<image> 0.3 m per pixel.",
    )  # fmt: skip

    assert turns[0].text == f"2018: <image>\n2020: <image>\n&lt;image&gt; 0.3 m per pixel.\n?\n{SHORT}"


def test_what_is_said_first_stands_before_the_first_round():
    earlier = [Turn(role="human", text="Hello?"), Turn(role="assistant", text="Yes.")]
    turns = word(
        domain="general", task=Task.CAPTION, question="Now?", answer=TextAnswer(text="a"), images=[make_image()],
        earlier=earlier, preface="0.3 m per pixel.",
    )  # fmt: skip

    assert [turn.text for turn in turns] == ["<image>\n0.3 m per pixel.\nHello?", "Yes.", "Now?", "a"]


@pytest.mark.parametrize(
    ("fields", "phrasing", "human"),
    [
        ({"task": Task.GROUNDING, "question": "car"}, 0,
         "Please provide the bounding box coordinate of the region this sentence describes: <ref>car</ref>"),
        ({"task": Task.GROUNDING, "question": "car"}, 1, "Detect <ref>car</ref>"),
        ({"task": Task.GROUNDING, "question": "car", "domain": "remote-sensing"}, 0, "Detect <ref>car</ref>"),
        ({"task": Task.GROUNDING, "question": "car"}, 2, "Where is <ref>car</ref>?"),
        ({"task": Task.REGION}, 1, "Name the object in this location<box>[[50, 200, 150, 400]]</box>"),
        ({"task": Task.DETECTION, "question": "Detect all cars."}, 1, "Detect all cars. Mark their positions."),
    ],
)  # fmt: skip
def test_other_prompts(fields, phrasing, human):
    fields = {"domain": "general", "question": "?", **fields}
    turns = word(
        **fields, answer=BoxesAnswer(object_ids=("1",)), images=[make_image()], objects=[CAR], phrasing=phrasing
    )

    assert turns[0].text == f"<image>\n{human}"


def test_a_prompt_that_is_not_there_is_refused():
    with pytest.raises(DatasetError, match="vqa sample: phrasing must be below 1, the number of its prompts; got 1"):
        word(domain="general", task=Task.VQA, question="?", answer=TextAnswer(text="a"), images=[], phrasing=1)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (37.4, "%", "37%"), (37.6, "%", "38%"), (100.0, "%", "100%"), (0.0, "%", "0%"),
        (1234.5, "m2", "1230 m2"), (999.6, "m2", "1000 m2"), (99.96, "m2", "100 m2"), (12.34, "m2", "12.3 m2"),
        (12.0, "ha", "12 ha"), (1.207, "ha", "1.21 ha"), (0.0123456, "ha", "0.0123 ha"), (0.0, "m2", "0 m2"),
        (123456789.0, "ha", "123000000 ha"), (12.345, "mm", "12.3 mm"),
        (140.4, "mm", "140 mm"), (1234.5, "mm2", "1230 mm2"), (0.5, "mm2", "0.5 mm2"),
        (100.0, "m2", "100 m2"), (10.0, "m2", "10 m2"),
    ],
)  # fmt: skip
def test_measures_are_rounded(value, unit, text):
    _, assistant = talk(task=Task.AREA, answer=MeasureAnswer(value=value, unit=unit))

    assert assistant == text


def test_a_caption_of_an_object_points_at_it():
    human, assistant = talk(
        task=Task.CAPTION, question="Describe the object in this location",
        answer=TextAnswer(text="A bus.", about=("2",)), objects=[CAR, BUS],
    )  # fmt: skip

    assert human == "<image>\nDescribe the object in this location<box>[[500, 500, 1000, 1000]]</box>"
    assert assistant == "A bus."


def test_a_box_is_measured_in_its_own_image():
    images = [make_image(size_px=(200, 100)), make_image(size_px=(400, 400))]
    thing = Object(id="1", label="car", image=1, box_px=(40, 80, 120, 400))

    _, answer = talk(task=Task.GROUNDING, answer=BoxesAnswer(object_ids=("1",)), images=images, objects=[thing])

    assert answer == "<ref>?</ref><box>[[100, 200, 300, 1000]]</box>"


@pytest.mark.parametrize("task", [Task.MULTIPLE_CHOICE, Task.REGION])
def test_an_answer_of_another_kind_is_refused(task):
    with pytest.raises(DatasetError, match=f"{task} sample: its answer must be a"):
        talk(task=task, answer=TextAnswer(text="a"))


def test_an_object_without_box_cannot_be_pointed_at():
    with pytest.raises(DatasetError, match="object 7: it must have box_px"):
        talk(
            task=Task.GROUNDING,
            answer=BoxesAnswer(object_ids=("7",)),
            objects=[Object(id="7", label="car", point_px=(1, 1))],
        )


@pytest.mark.parametrize("token", SPECIAL)
def test_special_tokens_are_escaped(token):
    assert escape_special(f"a{token}b") == f"a&lt;{token[1:-1]}&gt;b"


def test_special_tokens_of_the_official_tokenizers_are_escaped(golden):
    tokens = set()
    for path in golden.glob("checkpoints/*/tokenizer_config.json"):
        tokens |= {entry["content"] for entry in json.loads(path.read_text())["added_tokens_decoder"].values()}

    assert {"<img>", "<|im_end|>", "<|end|>", "<unk>"} <= tokens
    assert [token for token in sorted(tokens) if token in escape_special(f"x{token}y")] == []


@pytest.mark.parametrize(
    "text", ["a < b > c", "<b>bold</b>", "<sub>2</sub>", "x<<y", "|im_end|", "<size 5>", "5 <s 7>", "<Image>", "{0} {}"]
)
def test_ordinary_text_stays(text):
    assert escape_special(text) == text
    assert talk(task=Task.GROUNDING, question=text, answer=TextAnswer(text=text)) == (
        f"<image>\nPlease provide the bounding box coordinate of the region this sentence describes: <ref>{text}</ref>",
        text,
    )


DIRTY = st.lists(
    st.one_of(st.sampled_from([*SPECIAL, "<", ">", "<|", "|>", "</", "<ima", "ge>", "\n", "{}"]), st.text(max_size=3)),
    min_size=1,
    max_size=6,
).map(lambda pieces: "".join(["x", *pieces]))


@st.composite
def dirty_samples(draw):
    task = draw(st.sampled_from(list(Task)))
    count = draw(st.integers(1 if task in (Task.GROUNDING, Task.DETECTION, Task.REGION) else 0, 4))
    kind = draw(st.sampled_from(["plain", "view", "frame"]))
    images = [
        make_image(view=draw(DIRTY) if kind == "view" else None, frame=index + 1 if kind == "frame" else None)
        for index in range(count)
    ]
    objects = ()
    if task in (Task.GROUNDING, Task.DETECTION, Task.REGION):
        objects = tuple(Object(id=str(n), label=draw(DIRTY), box_px=(1, 2, 3, 4)) for n in range(2))
        answer = BoxesAnswer(object_ids=tuple(thing.id for thing in objects))
    elif task is Task.MULTIPLE_CHOICE:
        answer = ChoiceAnswer(options=tuple(draw(st.lists(DIRTY, min_size=2, max_size=4))), correct=1)
    elif task is Task.COUNTING:
        answer = CountAnswer(count=draw(st.integers(0, 9)))
    else:
        answer = TextAnswer(text=draw(DIRTY))
    domain = draw(st.sampled_from(["general", "remote-sensing", "driving"]))
    return make_sample(
        task=task, question=draw(DIRTY), answer=answer, images=images, objects=objects, domain=domain
    )  # a Sample whose placeholders do not fit its images does not validate


@settings(max_examples=300)
@given(dirty_samples())
def test_text_from_outside_never_becomes_a_token(sample):
    human, assistant = (turn.text for turn in sample.turns)

    assert human.count("<image>") == len(sample.images)
    assert "<image>" not in assistant
    # What the wording writes itself is well formed; nothing else may be there.
    for well_formed in (r"<ref>((?!<ref>|</ref>).)*</ref>", r"<box>\[[\d, \[\]]*\]</box>", "<image>"):
        human = re.sub(well_formed, "", human, flags=re.DOTALL)
        assistant = re.sub(well_formed, "", assistant, flags=re.DOTALL)
    assert [token for token in SPECIAL if token in human or token in assistant] == []


@settings(max_examples=100)
@given(dirty_samples())
def test_marks_are_only_those_of_the_task(sample):
    assume(sample.task is not Task.CONVERSATION)  # what it marks stands in its text
    human, assistant = (turn.text for turn in sample.turns)
    refs_human = int(sample.task is Task.GROUNDING)
    boxes_human = int(sample.task is Task.REGION)
    if sample.task is Task.GROUNDING:
        marks = 1
    elif sample.task in (Task.DETECTION, Task.REGION):
        marks = len({thing.label for thing in sample.objects})
    else:
        marks = 0

    assert (human.count("<ref>"), human.count("</ref>")) == (refs_human, refs_human)
    assert (human.count("<box>"), human.count("</box>")) == (boxes_human, boxes_human)
    assert [assistant.count(mark) for mark in ("<ref>", "</ref>", "<box>", "</box>")] == [marks] * 4
