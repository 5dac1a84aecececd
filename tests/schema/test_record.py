"""A record is a superset of InternVL's chat data format, and a sample comes back from it unchanged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from builders import PROVENANCE, make_image, make_sample
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from domainvl.errors import DatasetError
from domainvl.schema import (
    BoxesAnswer,
    ChoiceAnswer,
    CountAnswer,
    DatasetWriter,
    Enhanced,
    Image,
    Object,
    OrientedBox,
    Sample,
    Source,
    Split,
    Task,
    TextAnswer,
    Turn,
)
from domainvl.schema.record import SampleLines, from_record, to_line, to_record

# --- InternVL's rules, stated again -------------------------------------------------------------------------------
# OpenGVLab/InternVL: documentation, chat_data_format; internvl_chat/internvl/train/internvl_chat_finetune.py,
# LazySupervisedDataset. Nothing of domainvl is used here.


def read_as_internvl(meta_path: Path) -> list[dict]:
    """Read all rows that a meta file names, as InternVL's trainer does, started in the meta file's folder."""
    rows = []
    for entry in json.loads(meta_path.read_text(encoding="utf-8")).values():
        assert entry["annotation"].endswith("jsonl")
        assert isinstance(entry["data_augment"], bool)
        assert isinstance(entry["length"], int)
        with (meta_path.parent / entry["annotation"]).open(encoding="utf-8") as file:
            lines = file.readlines()
        repeat_time = entry["repeat_time"]
        if repeat_time < 1:
            lines = lines[: int(len(lines) * repeat_time)]
        else:
            assert isinstance(repeat_time, int)
            lines *= repeat_time
        assert len(lines) == entry["length"] * max(1, int(repeat_time))
        rows += [read_row_as_internvl(json.loads(line), meta_path.parent / entry["root"]) for line in lines]
    return rows


def read_row_as_internvl(row: dict, root: Path) -> dict:
    conversations = row["conversations"]
    assert len(conversations) % 2 == 0
    assert [turn["from"] for turn in conversations] == ["human", "gpt"] * (len(conversations) // 2)
    assert all(isinstance(turn["value"], str) and turn["value"] for turn in conversations)
    assert "video" not in row
    if row.get("image"):
        single = isinstance(row["image"], str)
        paths = [row["image"]] if single else row["image"]
        widths, heights = ([row["width"]], [row["height"]]) if single else (row["width_list"], row["height_list"])
        sizes = list(zip(widths, heights, strict=True))
    else:
        single, paths, sizes = True, [], []
    humans = "".join(turn["value"] for turn in conversations[::2])
    answers = "".join(turn["value"] for turn in conversations[1::2])
    if single and paths:
        assert "<image>" in conversations[0]["value"]  # otherwise the trainer would put it there itself
    assert humans.count("<image>") == len(paths)
    assert "<image>" not in answers
    images = [PillowImage.open(root / path).convert("RGB") for path in paths]
    assert [image.size for image in images] == sizes
    return {"id": row["id"], "images": images, "conversations": conversations}


# ------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(tmp_path):
    """One sample of each form: one image, several, frames, views, none, and one held out."""
    source = Source(uri="scene.tif")
    with DatasetWriter(tmp_path / "data", name="forms") as writer:

        def put(grey, width_px, **fields):
            return writer.images.put_pixels(np.full((10, width_px), grey, np.uint8)).to_image(source, **fields)

        thing = Object(id="1", label="car", box_px=(1, 2, 3, 4))
        writer.add(
            make_sample(
                "single", task=Task.GROUNDING, question="car", answer=BoxesAnswer(object_ids=("1",)),
                images=[put(10, 20)], objects=[thing],
            )
        )  # fmt: skip
        writer.add(make_sample("several", images=[put(20, 30), put(30, 40), put(20, 30)]))
        writer.add(make_sample("frames", images=[put(40, 50, frame=1), put(50, 50, frame=2)]))
        writer.add(make_sample("views", images=[put(60, 60, view="CAM_FRONT"), put(70, 60, view="CAM_BACK")]))
        writer.add(make_sample("text", images=[], question="Is <image> a token of <box>?\u2028\x85\r\n"))
        writer.add(make_sample("held out", images=[put(80, 70)], split=Split.TEST, group="other"))
        writer.finish(command="toy", settings={}, sources=[], versions={})
    return tmp_path / "data"


def test_internvls_trainer_reads_the_training_rows(dataset):
    rows = read_as_internvl(dataset / "meta.json")

    assert [row["id"] for row in rows] == ["single", "several", "frames", "views", "text"]
    assert [len(row["images"]) for row in rows] == [1, 3, 2, 2, 0]
    assert [image.getpixel((0, 0))[0] for row in rows for image in row["images"]] == [10, 20, 30, 20, 40, 50, 60, 70]
    assert rows[2]["conversations"][0]["value"].startswith("Frame1: <image>\nFrame2: <image>\n")


def test_the_meta_file_names_the_training_rows_only(tmp_path):
    with DatasetWriter(tmp_path / "data", name="two") as writer:
        image = writer.images.put_pixels(np.zeros((2, 3), np.uint8)).to_image(Source(uri="a"))
        writer.add(make_sample("seen", images=[image]))
        writer.add(make_sample("checked", images=[image], split=Split.VAL, group="h"))
        writer.add(make_sample("unseen", images=[image], split=Split.TEST, group="i"))
        writer.finish(command="toy", settings={}, sources=[], versions={})

    rows = read_as_internvl(tmp_path / "data" / "meta.json")

    assert [row["id"] for row in rows] == ["seen"]
    assert json.loads((tmp_path / "data" / "meta.json").read_text()) == {
        "two": {"root": "./", "annotation": "train.jsonl", "data_augment": False, "repeat_time": 1, "length": 1}
    }


def test_only_internvls_keys_stand_beside_domainvl(dataset):
    for line in (dataset / "train.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        keys = set(json.loads(line)) - {"id", "conversations", "domainvl"}
        assert keys in ({"image", "width", "height"}, {"image", "width_list", "height_list"}, set())


def test_a_record_by_hand():
    thing = Object(id="1", label="car", box_px=(10, 20, 30, 40))
    sample = make_sample(
        "a/1", task=Task.GROUNDING, question="car", answer=BoxesAnswer(object_ids=("1",)), objects=[thing]
    )

    record = to_record(sample)

    ours = record.pop("domainvl")
    assert record == {
        "id": "a/1",
        "image": "images/a.png",
        "width": 200,
        "height": 100,
        "conversations": [
            {
                "from": "human",
                "value": "<image>\nPlease provide the bounding box coordinate of the region this sentence describes: "
                "<ref>car</ref>",
            },
            {"from": "gpt", "value": "<ref>car</ref><box>[[50, 200, 150, 400]]</box>"},
        ],
    }
    assert ours["schema_version"] == 1
    assert ours["objects"][0]["box_px"] == [10, 20, 30, 40]
    assert {"task", "domain", "objects", "split", "group", "warnings", "provenance"} <= set(ours)
    assert ours["images"][0]["source"]["uri"] == "a.tif"


def test_a_value_that_json_lacks_is_never_written():
    image = make_image()
    image = image.model_copy(update={"source": Source(uri="a").model_copy(update={"details": {"x": float("nan")}})})

    with pytest.raises(ValueError, match="JSON compliant"):
        to_line(to_record(make_sample(images=[image])))


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | NUMBER | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
FACTS = st.dictionaries(TEXT, JSON, max_size=3)
POINT = st.tuples(NUMBER, NUMBER)


@st.composite
def samples(draw):
    count = draw(st.integers(0, 3))
    images = tuple(
        Image(
            path=draw(TEXT),
            width_px=draw(st.integers(1, 5000)),
            height_px=draw(st.integers(1, 5000)),
            pixel_sha256=draw(TEXT),
            view=draw(st.none() | TEXT),
            frame=draw(st.none() | st.integers(1, 99)),
            source=Source(uri=draw(TEXT), size_bytes=draw(st.none() | st.integers(0)), details=draw(FACTS)),
        )
        for _ in range(count)
    )
    objects = []
    for index in range(draw(st.integers(0, 2)) if images else 0):
        place = draw(st.integers(0, count - 1))
        x = draw(st.floats(0, images[place].width_px, exclude_max=True))
        y = draw(st.floats(0, images[place].height_px, exclude_max=True))
        oriented = OrientedBox(center_x_px=x, center_y_px=y, width_px=1, height_px=0.1, angle_deg=draw(NUMBER))
        objects.append(
            Object(
                id=str(index),
                label=draw(TEXT),
                image=place,
                box_px=draw(st.sampled_from([None, (x, y, images[place].width_px, images[place].height_px)])),
                polygons_px=draw(st.none() | st.just(()) | st.lists(st.lists(POINT, max_size=3), max_size=2)),
                point_px=draw(st.none() | POINT),
                oriented_box_px=draw(st.sampled_from([None, oriented])),
                visible_fraction=draw(st.floats(0, 1)),
                truncated=draw(st.booleans()),
                ignore=draw(st.booleans()),
                attributes=draw(FACTS),
            )
        )
    answer = draw(
        st.one_of(
            st.builds(TextAnswer, text=TEXT, accepted=st.lists(TEXT, max_size=2)),
            st.builds(ChoiceAnswer, options=st.lists(TEXT, min_size=2, max_size=4), correct=st.integers(0, 1)),
            st.builds(CountAnswer, count=st.integers(0, 10**6)),
            st.just(BoxesAnswer(object_ids=tuple(thing.id for thing in objects))),
        )
    )
    return Sample(
        id=draw(TEXT),
        domain=draw(TEXT),
        task=draw(st.sampled_from(list(Task))),
        question=draw(TEXT),
        answer=answer,
        images=images,
        objects=tuple(objects),
        turns=(Turn(role="human", text="<image>" * count + "q"), Turn(role="assistant", text="a")),
        split=draw(st.sampled_from(list(Split))),
        group=draw(TEXT),
        provenance=PROVENANCE,
        warnings=tuple(draw(st.lists(TEXT, max_size=2))),
    )


@settings(max_examples=150, deadline=None)
@given(samples())
def test_a_sample_comes_back_from_its_line(sample):
    line = to_line(to_record(sample))

    assert "\n" not in line and "\r" not in line
    assert from_record(json.loads(line)) == sample
    assert to_line(to_record(from_record(json.loads(line)))) == line


@settings(max_examples=100, deadline=None)
@given(samples(), samples())
def test_parts_that_are_written_once_give_the_same_records(first, second):
    """A writer that has seen a part, or a part of the same name, writes what one that has not would."""
    asked_again = first.model_copy(update={"id": f"{first.id}b", "question": "?"})
    mixed = [first, second, asked_again, second, first]
    lines = SampleLines()

    for sample in mixed:
        line = lines.line(sample)
        assert "\n" not in line and "\r" not in line
        # The order of keys counts too: a data set has the same bytes whoever wrote its parts.
        assert to_line(json.loads(line)) == to_line(to_record(sample))


def test_a_file_name_that_is_not_utf8_is_written_too():
    image = make_image()
    image = image.model_copy(update={"source": Source(uri="caf\udce9.jpg")})
    sample = make_sample(images=[image])

    assert json.loads(SampleLines().line(sample)) == json.loads(to_line(to_record(sample)))


@pytest.mark.parametrize(
    ("place", "key", "value"), [("images", "path", "b.png"), ("top", "id", "t"), ("top", "turns", [])]
)
def test_what_is_said_twice_is_refused(place, key, value):
    """One of the two would win without a word."""
    record = to_record(make_sample())
    (record["domainvl"]["images"][0] if place == "images" else record["domainvl"])[key] = value

    with pytest.raises(DatasetError, match=f"must not stand below too, got .*{key}"):
        from_record(record)


def test_half_a_surrogate_pair_in_a_broken_rule_is_told_like_any_other():
    record = to_record(make_sample())
    record["domainvl"]["objects"] = [{"id": "\udc80", "label": "x", "image": 7}]

    with pytest.raises(DatasetError, match="not Unicode"):
        from_record(record)


def test_what_enlarged_the_images_comes_back():
    for sha256 in (None, "0" * 64):
        enhanced = Enhanced(name="x", scale=2, mode="zero offset", sha256=sha256)
        sample = make_sample("a", provenance=PROVENANCE.model_copy(update={"enhanced": enhanced}))
        record = to_record(sample)
        assert json.loads(SampleLines().line(sample)) == record and from_record(record) == sample
    assert "enhanced" not in to_record(make_sample("a"))["domainvl"]["provenance"]
