"""The file is read by LLaVA's rules, written down here once more from its document and readers.

haotian-liu/LLaVA: docs/Finetune_Custom_Data.md, llava/train/train.py. LLaVA-VL/LLaVA-NeXT: llava/train/train.py.
"""

from __future__ import annotations

import json
import os

import pytest
from PIL import Image as PillowImage

from domainvl.schema import Split

ROLES = {"human": "USER", "gpt": "ASSISTANT"}


def load(folder, split):
    with open(folder / f"{split.value}.json", encoding="utf-8") as file:
        return json.load(file)


def open_image(folder, image_file):
    with PillowImage.open(os.path.join(folder, image_file)) as image:
        return image.convert("RGB").size


def read_llava_15(row, folder):
    """LazySupervisedDataset.__getitem__, preprocess_multimodal and the checks of preprocess_v1 of LLaVA-1.5."""
    images = [open_image(folder, row["image"])] if "image" in row else []
    turns = []
    for index, sentence in enumerate(row["conversations"]):
        value = sentence["value"]
        if images and "<image>" in value:
            value = ("<image>\n" + value.replace("<image>", "").strip()).strip()
        assert ROLES[sentence["from"]] == ("USER", "ASSISTANT")[index % 2]
        turns.append(value)
    return images, turns


def read_llava_next(row, folder):
    """The same of LLaVA-NeXT: a list of images, and a placeholder is moved only where a turn has one."""
    image_file = row.get("image", [])
    paths = image_file if isinstance(image_file, list) else [image_file]
    images = [open_image(folder, path) for path in paths]
    turns = []
    for index, sentence in enumerate(row["conversations"]):
        value = sentence["value"]
        if value.count("<image>") == 1 and not value.startswith("<image>"):
            value = ("<image>\n" + value.replace("<image>", "").strip()).strip()
        assert ROLES[sentence["from"]] == ("USER", "ASSISTANT")[index % 2]
        turns.append(value)
    # prepare_inputs_labels_for_multimodal takes one image for each placeholder.
    assert sum(turn.count("<image>") for turn in turns) == len(images)
    return images, turns


@pytest.mark.parametrize("split", list(Split))
def test_a_reader_of_llava_next_rules_sees_all_images_in_order(varied, exported, split):
    folder = exported("llava")

    for row, sample in zip(load(folder, split), varied.of(split), strict=True):
        images, turns = read_llava_next(row, folder)
        assert images == [(image.width_px, image.height_px) for image in sample.images]
        for turn, expected in zip(turns, sample.turns, strict=True):
            if expected.text.count("<image>") != 1 or expected.text.startswith("<image>"):
                assert turn == expected.text


@pytest.mark.parametrize("split", list(Split))
def test_a_reader_of_llava_15_rules_sees_samples_of_one_image_unchanged(varied, exported, split):
    folder = exported("llava")
    read = 0

    for row, sample in zip(load(folder, split), varied.of(split), strict=True):
        if len(sample.images) > 1:
            with pytest.raises(TypeError):  # as the documentation of the module says
                read_llava_15(row, folder)
            continue
        images, turns = read_llava_15(row, folder)
        assert images == [(image.width_px, image.height_px) for image in sample.images]
        if not sample.turns[0].text.startswith("Frame"):
            assert turns == [turn.text for turn in sample.turns]
            read += 1
    assert read == {Split.TRAIN: 12, Split.VAL: 1, Split.TEST: 0}[split]


def test_the_keys_are_those_of_the_document(varied, exported):
    rows = {row["id"]: row for split in Split for row in load(exported("llava"), split)}

    assert set(rows["task/vqa"]) == {"id", "image", "conversations"}
    assert isinstance(rows["task/vqa"]["image"], str)
    assert isinstance(rows["frames"]["image"], list)
    assert set(rows["no-image"]) == {"id", "conversations"}
    assert [set(said) for said in rows["turns"]["conversations"]] == [{"from", "value"}] * 4
    assert [said["from"] for said in rows["turns"]["conversations"]] == ["human", "gpt"] * 2
