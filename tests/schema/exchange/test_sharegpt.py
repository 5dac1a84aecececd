"""The file is read by LLaMA-Factory's rules, written down here once more.

hiyouga/LLaMA-Factory: data/README.md (Sharegpt Format), src/llamafactory/data/converter.py and mm_plugin.py.
"""

from __future__ import annotations

import json
import os

import pytest
from builders import make_sample

from domainvl.errors import ItemError
from domainvl.schema import Split, TextAnswer
from domainvl.schema.exchange import ImageMode, load_format
from domainvl.schema.exchange.formats import ExportFacts


def read_by_the_rules(folder, name, cache):
    import datasets

    info = json.loads((folder / "dataset_info.json").read_text(encoding="utf-8"))[name]
    assert info["formatting"] == "sharegpt"
    path = folder / info["file_name"]
    assert path.suffix in {".json", ".jsonl"}  # FILEEXT2TYPE
    table = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(cache))
    for example in table:
        messages = example[info["columns"]["messages"]]
        for index, message in enumerate(messages):
            assert message["from"] in (("human", "observation"), ("gpt", "function_call"))[index % 2]
        assert len(messages) % 2 == 0
        images = example[info["columns"]["images"]] or []
        paths = [os.path.join(folder, image) for image in images]
        assert all(os.path.isfile(path) for path in paths)
        texts = [message["value"] for message in messages]
        for placeholder, count in (("<image>", len(images)), ("<video>", 0), ("<audio>", 0)):
            assert sum(text.count(placeholder) for text in texts) == count
        yield texts, images


@pytest.mark.parametrize("split", list(Split))
def test_a_reader_of_its_rules_sees_our_text_and_images(varied, exported, tmp_path, split):
    read = list(read_by_the_rules(exported("sharegpt"), f"varied_{split.value}", tmp_path))

    assert [texts for texts, _ in read] == [[turn.text for turn in sample.turns] for sample in varied.of(split)]
    assert [images for _, images in read] == [[image.path for image in sample.images] for sample in varied.of(split)]


def test_the_names_of_the_data_sets_hold_no_comma(tmp_path):
    facts = ExportFacts(name="ships, Oslo", dataset=tmp_path, mode=ImageMode.LINK, counts={Split.TRAIN: 3})

    load_format("sharegpt").finish(tmp_path, facts)

    assert list(json.loads((tmp_path / "dataset_info.json").read_text())) == ["ships_Oslo_train"]


@pytest.mark.parametrize("place", ["question", "answer"])
@pytest.mark.parametrize("token", ["<audio>", "<video>"])
def test_placeholders_of_other_media_cannot_be_said(place, token):
    fields = {"question": f"{token}?"} if place == "question" else {"answer": TextAnswer(text=token)}
    sample = make_sample(images=[], **fields)
    if token == "<video>":  # our wording escapes it; a conversation that was written otherwise may hold it
        turns = tuple(
            turn.model_copy(update={"text": turn.text.replace("&lt;video&gt;", token)}) for turn in sample.turns
        )
        sample = sample.model_copy(update={"turns": turns})

    with pytest.raises(ItemError, match=token) as caught:
        load_format("sharegpt").to_row(sample, [])
    assert caught.value.reason == "literal-placeholder"
