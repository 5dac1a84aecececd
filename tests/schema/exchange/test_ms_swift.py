"""The file is read by ms-swift's rules, written down here once more from its document and reader.

modelscope/ms-swift: docs/source_en/Customization/Custom-dataset.md (Grounding), swift/template/base.py,
swift/template/templates/internvl.py, swift/llm/dataset/preprocessor/core.py.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from builders import make_image, make_sample
from PIL import Image as PillowImage

from domainvl.errors import DatasetError, ItemError
from domainvl.schema import BoxesAnswer, Object, Sample, Split, Task
from domainvl.schema.exchange import ImageMode, load_format
from domainvl.schema.exchange.export import express
from domainvl.schema.exchange.formats import PlacedImage
from domainvl.schema.operations.few_shot import with_examples

SPECIAL = r"(<image>|<video>|<audio>|<bbox>|<ref-object>|<cot-process>|<start-image>)"


def check_objects(row):
    """core.py, _check_objects and _check_messages."""
    for message in row["messages"]:
        assert set(message) == {"role", "content"}
        assert message["role"] in {"user", "assistant"}
    objects = row.get("objects")
    if objects is None:
        return
    assert list(objects) == ["ref", "bbox", "bbox_type", "image_id"]
    for box in objects["bbox"]:
        assert len(box) in {2, 4}
        assert box[0] <= box[2]
        assert box[1] <= box[3]


def normalise(objects, images, to):
    """base.py, normalize_bbox."""
    boxes = [list(box) for box in objects["bbox"]]
    image_ids = list(objects.get("image_id") or [])
    image_ids += [0] * (len(boxes) - len(image_ids))
    for box, image_id in zip(boxes, image_ids, strict=True):
        width, height = images[image_id].size if objects.get("bbox_type", "real") == "real" else (1, 1)
        for i in (0, 2):
            out_width, out_height = (1000, 1000) if to == "norm1000" else images[image_id].size
            box[i] = round(box[i] / width * out_width)
            box[i + 1] = round(box[i + 1] / height * out_height)
    return boxes


def render(row, folder, *, norm_bbox="norm1000", write_box, write_ref):
    """Go through the messages as base.py does (_split_special_tokens, _pre_tokenize); return texts and images used."""
    check_objects(row)
    paths = row.get("images") or []
    images = [PillowImage.open(folder / path) for path in paths]
    objects = row.get("objects") or {}
    boxes = normalise(objects, images, norm_bbox) if images and objects else []
    waiting = {"<image>": list(paths), "<bbox>": boxes, "<ref-object>": list(objects.get("ref") or [])}
    seen, texts = [], []
    for message in row["messages"]:
        text = ""
        for part in re.split(SPECIAL, message["content"]):
            if not waiting.get(part):
                text += part
                continue
            item = waiting[part].pop(0)
            if part == "<image>":
                seen.append(item)
                text += part
            else:
                text += write_box(item) if part == "<bbox>" else write_ref(item)
        texts.append(text)
    for image in images:
        image.close()
    assert waiting == {"<image>": [], "<bbox>": [], "<ref-object>": []}
    return texts, seen


def internvl(row, folder):
    """templates/internvl.py, Internvl2Template."""
    return render(row, folder, write_box=lambda box: f"<box>[{box}]</box>", write_ref=lambda name: f"<ref>{name}</ref>")


def one_box_each(text):
    """Write a list of boxes as that template does: each on its own."""
    return re.sub(r"<box>\[(.*?\])\]</box>", lambda match: match[0].replace("], [", "]]</box><box>[["), text)


def rows_of(folder, split):
    lines = (folder / f"{split.value}.jsonl").read_bytes().split(b"\n")
    assert lines.pop() == b""
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("split", list(Split))
def test_a_reader_of_its_rules_trains_on_our_text(varied, exported, split):
    rows = rows_of(exported("ms-swift"), split)

    for row, sample in zip(rows, varied.of(split), strict=True):
        texts, images = internvl(row, exported("ms-swift"))
        assert texts == [one_box_each(turn.text) for turn in sample.turns], sample.id
        assert images == [image.path for image in sample.images]


def test_boxes_are_the_true_pixels_of_the_image_they_lie_in(varied, exported):
    (row,) = [row for row in rows_of(exported("ms-swift"), Split.TRAIN) if row["id"] == "views"]

    # By name, in the order of the answer: 1 and 2 are cars, 4 and 3 are vans. Objects 1 and 4 are in the second image.
    assert row["messages"][1]["content"] == "<ref-object><bbox><bbox>\n<ref-object><bbox><bbox>"
    assert row["objects"] == {
        "ref": ["car", "van"],
        "bbox": [[4.0, 9.0, 20.0, 45.0], [17.0, 6.0, 85.0, 30.0], [39.0, 89.0, 40.0, 90.0], [0.0, 0.0, 85.5, 30.25]],
        "bbox_type": "real",
        "image_id": [1, 0, 1, 0],
    }


def test_models_that_take_pixels_get_pixels(varied, exported):
    (row,) = [row for row in rows_of(exported("ms-swift"), Split.TRAIN) if row["id"] == "task/detection"]

    texts, _ = render(row, exported("ms-swift"), norm_bbox="none", write_box=str, write_ref=str)

    # (10.3, 5.0, 40.9, 31.7) and the whole image of 170 x 60 pixels; the tank's corner of 0.1 pixel rounds to the edge.
    assert texts[1].startswith("ship[10, 5, 41, 32][0, 0, 170, 60]\noil tank, <old>[170, 60, 170, 60]\nbuoy[80, 30, ")


def test_a_thing_too_small_for_thousandths_never_becomes_an_empty_box(varied, exported):
    (row,) = [row for row in rows_of(exported("ms-swift"), Split.TRAIN) if row["id"] == "task/detection"]

    texts, _ = internvl(row, exported("ms-swift"))

    assert "<ref>buoy</ref><box>[[470, 500, 471, 501]]</box>" in texts[1]
    # 470/1000 of 170 pixels, not the 80.001 at which the thing begins and ends.
    assert row["objects"]["bbox"][3] == pytest.approx([79.9, 30.0, 80.07, 30.06])


def test_names_without_boxes_are_names_all_the_same(varied, exported):
    (row,) = [row for row in rows_of(exported("ms-swift"), Split.TRAIN) if row["id"] == "none"]

    assert row["messages"][1]["content"] == "None"
    assert row["objects"] == {"ref": ["cat"], "bbox": [], "bbox_type": "real", "image_id": []}


def test_samples_without_marks_or_images_have_no_such_keys(varied, exported):
    (text_only,) = rows_of(exported("ms-swift"), Split.VAL)

    assert set(text_only) == {"id", "messages"}
    assert set(rows_of(exported("ms-swift"), Split.TEST)[0]) == {"id", "messages", "images"}


def test_datasets_reads_the_file(varied, exported, tmp_path):
    """ms-swift reads it with ``datasets``."""
    import datasets

    path = str(exported("ms-swift") / "train.jsonl")
    table = datasets.load_dataset("json", data_files=path, split="train", cache_dir=str(tmp_path))

    assert table["id"][:] == [sample.id for sample in varied.of(Split.TRAIN)]
    row = next(row for row in table if row["id"] == "views")
    assert row["objects"]["image_id"] == [1, 0, 1, 0]
    assert row["objects"]["bbox"][3] == [0.0, 0.0, 85.5, 30.25]


SHIP = Object(id="a", label="ship", box_px=(10.0, 20.0, 30.0, 40.0))  # of 200 x 100: [50, 200, 150, 400]


def sample_saying(text: str, *, images=1, objects=(SHIP,)) -> Sample:
    shown = [make_image(f"images/{number}.png") for number in range(images)]
    fields = make_sample(images=shown, objects=objects).model_dump()
    return Sample.model_validate(fields | {"turns": [fields["turns"][0], {"role": "assistant", "text": text}]})


def to_row(sample: Sample):
    placed = [PlacedImage(image.path, Path("/data") / image.path, ImageMode.LINK) for image in sample.images]
    return express(load_format("ms-swift"), sample, placed)


def test_a_box_of_no_object_is_scaled_where_there_is_one_image_only():
    assert to_row(sample_saying("<box>[[0, 500, 1000, 1000]]</box>"))["objects"] == {
        "ref": [],
        "bbox": [[0.0, 50.0, 200.0, 100.0]],
        "bbox_type": "real",
        "image_id": [0],
    }


@pytest.mark.parametrize(
    ("text", "options", "reason"),
    [
        ("<box>[[0, 500, 1000, 1000]]</box>", {"images": 2}, "box-image-unknown"),
        ("<box>[[0, 500, 1000, 1000]]</box>", {"images": 0, "objects": ()}, "box-image-unknown"),
        ("<box>[0, 500, 1000, 1000]</box>", {}, "box-form"),
        ("<box>[[0,500,1000,1000]]</box>", {}, "box-form"),
        ("<box>[[0, 500, 1000]]</box>", {}, "box-form"),
        ("<box>[[50, 200, 150, 400], ]</box>", {}, "box-form"),
        ("a <ref>ship", {}, "box-form"),
        ("<quad>[[1, 2, 3, 4]]</quad>", {}, "box-form"),
        ("<box>[[50, 200, 150, 400]]</box> in <bbox>", {}, "literal-placeholder"),
        ("<ref>ship</ref> is a <ref-object>", {}, "literal-placeholder"),
        # Two lists that stand side by side would come back as one.
        ("<box>[[50, 200, 150, 400]]</box><box>[[0, 0, 5, 5]]</box>", {}, "text-changes"),
        ("<box>[[050, 200, 150, 400]]</box>", {}, "text-changes"),
        ("<box>[[0, 0, 2000, 4000]]</box>", {}, "text-changes"),
    ],
)
def test_what_it_cannot_say_is_refused(text, options, reason):
    with pytest.raises(ItemError) as caught:
        to_row(sample_saying(text, **options))
    assert caught.value.reason == reason


def test_literal_placeholders_alone_stay_as_text():
    row = to_row(sample_saying("Write <bbox> or <ref-object>, not <audio>."))

    assert "objects" not in row
    assert row["messages"][1]["content"] == "Write <bbox> or <ref-object>, not <audio>."


def test_a_placeholder_in_a_name_is_no_placeholder():
    row = to_row(sample_saying("<ref>a <bbox> thing</ref><box>[[50, 200, 150, 400]]</box>"))

    assert row["messages"][1]["content"] == "<ref-object><bbox>"
    assert row["objects"]["ref"] == ["a <bbox> thing"]
    assert row["objects"]["bbox"] == [[10.0, 20.0, 30.0, 40.0]]


def test_the_name_before_a_box_tells_which_of_two_things_is_meant():
    there = Object(id="b", label="boat", image=1, box_px=SHIP.box_px)

    row = to_row(sample_saying("<ref>boat</ref><box>[[50, 200, 150, 400]]</box>", images=2, objects=(SHIP, there)))

    assert row["objects"]["image_id"] == [1]


def test_what_the_answer_names_comes_before_what_else_is_there():
    there = Object(id="b", label="ship", image=1, box_px=SHIP.box_px)
    images = [make_image("images/0.png"), make_image("images/1.png")]

    row = to_row(
        make_sample(task=Task.REGION, answer=BoxesAnswer(object_ids=("b",)), images=images, objects=(SHIP, there))
    )

    assert row["objects"]["image_id"] == [1, 1]  # in the question and in the answer


def test_a_box_of_a_solved_example_lies_in_the_image_of_the_example():
    """Where the thing that is asked for has equal coordinates, too: it is in an image that comes later."""

    def ship(name, box_px, size_px):
        images = [make_image(f"images/{name}.png", size_px=size_px)]
        thing = Object(id="a", label="ship", box_px=box_px)
        answer = BoxesAnswer(object_ids=("a",))
        return make_sample(
            name, task=Task.GROUNDING, question="ship", answer=answer, images=images, objects=[thing], group=name
        )

    first, second = ship("0", (1.0, 2.0, 3.0, 4.0), (10, 10)), ship("1", (20.0, 10.0, 60.0, 50.0), (200, 100))
    asked = ship("2", (10.0, 20.0, 30.0, 40.0), (100, 100))

    row = to_row(with_examples(asked, [first, second]))

    assert row["objects"]["image_id"] == [0, 1, 2]
    assert row["objects"]["bbox"] == [[1.0, 2.0, 3.0, 4.0], [20.0, 10.0, 60.0, 50.0], [10.0, 20.0, 30.0, 40.0]]


def test_a_box_of_a_solved_example_about_two_images_is_refused():
    example = sample_saying("<box>[[50, 200, 150, 400]]</box>", images=2)
    asked = make_sample("q", images=[make_image("images/q.png")], objects=[SHIP])
    with pytest.raises(ItemError) as caught:
        to_row(with_examples(asked, [example]))
    assert caught.value.reason == "box-image-unknown"


def test_reading_boxes_given_as_fractions_and_without_images_ids():
    row = {
        "messages": [{"role": "user", "content": "<image>Where?"}, {"role": "assistant", "content": "<bbox><bbox>"}],
        "images": ["a.png"],
        "objects": {"ref": [], "bbox": [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]], "bbox_type": "norm1"},
    }

    back = load_format("ms-swift").from_row(row, {}.__getitem__)

    assert back.id is None
    assert back.turns[1].text == "<box>[[100, 200, 300, 400], [0, 0, 1000, 1000]]</box>"


def test_reading_more_placeholders_than_boxes():
    row = {
        "messages": [{"role": "user", "content": "<image>Where?"}, {"role": "assistant", "content": "<bbox><bbox>!"}],
        "images": ["a.png"],
        "objects": {"ref": [], "bbox": [[20, 10, 60, 50]], "bbox_type": "real", "image_id": [0]},
    }

    back = load_format("ms-swift").from_row(row, {"a.png": (200, 100)}.__getitem__)

    assert back.turns[1].text == "<box>[[100, 100, 300, 500]]</box><bbox>!"


def test_image_ids_that_do_not_fit_are_refused():
    row = {
        "messages": [{"role": "user", "content": "<image>Where?"}, {"role": "assistant", "content": "<bbox>"}],
        "images": ["a.png"],
        "objects": {"ref": [], "bbox": [[20, 10, 60, 50]], "bbox_type": "real", "image_id": [1]},
    }

    with pytest.raises(DatasetError, match="Unreadable row"):
        load_format("ms-swift").from_row(row, {"a.png": (200, 100)}.__getitem__)
