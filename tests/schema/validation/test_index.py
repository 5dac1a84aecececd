"""The index: rows back to files and lines, and hashes back to what was read."""

from __future__ import annotations

import json

import numpy as np
import pytest

from domainvl.schema import Split
from domainvl.schema.validation.index import Index, hash_path, hash_text


@pytest.fixture
def index(tmp_path):
    index = Index(tmp_path)
    for split, count in ((Split.TRAIN, 2), (Split.VAL, 0), (Split.TEST, 3)):
        index.start_split(split)
        offset = 0
        with (tmp_path / f"{split.value}.jsonl").open("wb") as file:
            for number in range(count):
                record = {"id": f"{split.value}{number}", "image": ["x.png", f"{number}/./ü.png"]}
                line = json.dumps(record, ensure_ascii=False).encode() + b"\n"
                index.add_row(offset, record["id"], None if number else "g")
                index.add_image(f"{number}/./ü.png", 4, None, {"pixel_sha256": "00"})
                offset += file.write(line)
    return index


def test_rows_have_a_file_and_a_line(index):
    assert [index.place(row) for row in range(5)] == [
        ("train.jsonl", 1), ("train.jsonl", 2), ("test.jsonl", 1), ("test.jsonl", 2), ("test.jsonl", 3),
    ]  # fmt: skip
    assert list(index.split_numbers(np.arange(5))) == [0, 0, 2, 2, 2]


EXAMPLE = {"source": {"details": {"few_shot_example": "train0"}}}


def test_an_image_belongs_to_the_split_of_its_row_and_a_solved_example_to_the_training_split(index):
    index.add_image("e.png", None, None, EXAMPLE)  # of the last row, which is a test sample
    assert list(index.image_splits(np.arange(6))) == [0, 0, 2, 2, 2, 0]
    assert index.held_out_examples == 1


def test_without_training_rows_solved_examples_are_in_a_split_of_their_own(tmp_path):
    index = Index(tmp_path)
    for split in (Split.VAL, Split.TEST):
        index.start_split(split)
        index.add_row(0, split.value, None)
        for details in (EXAMPLE, {"source": []}, None):
            index.add_image("x.png", None, None, details)
    assert list(index.image_splits(np.arange(6))) == [2, 0, 0, 2, 1, 1]
    assert index.held_out_examples == 2


def test_a_row_can_be_read_again(index):
    assert [index.record(row)["id"] for row in range(5)] == ["train0", "train1", "test0", "test1", "test2"]


def test_a_path_is_found_by_its_hash_as_it_was_written(index):
    assert index.image_path(3, int(index.image_paths[3])) == "1/./ü.png"
    assert index.image_paths[3] == hash_path("1/ü.png") != hash_path("2/ü.png")


def test_what_is_not_there_is_zero(index):
    assert list(index.groups) == [hash_text("g"), 0, hash_text("g"), 0, 0]
    assert [list(column) for column in index.image_sizes_px] == [[4] * 5, [0] * 5]
    assert hash_text("") != 0


def test_lone_surrogates_have_a_hash():
    assert hash_text("\ud800") != hash_text("\ud801")
