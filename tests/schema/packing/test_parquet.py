"""``datasets`` and pyarrow read the Parquet files as tables with images."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet
import pytest
from PIL import Image as PillowImage
from varied import write_noise

import domainvl.schema.packing.parquet as parquet
from domainvl.errors import DatasetError
from domainvl.schema import Split, read_samples
from domainvl.schema.packing import PackKind, pack_dataset, unpack_dataset


@pytest.fixture(scope="module")
def packed(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "out"
    pack_dataset(dataset, out, to=PackKind.PARQUET)
    return out


@pytest.mark.parametrize("split", list(Split))
def test_datasets_reads_columns_and_images(dataset, packed, tmp_path, split):
    import datasets

    files = {split.value: str(packed / "data" / f"{split.value}-*.parquet")}
    read = datasets.load_dataset("parquet", data_files=files, split=split.value, cache_dir=str(tmp_path))

    lines = (dataset / f"{split.value}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]
    assert read["record"][:] == lines
    for row, sample in zip(read, read_samples(dataset, split), strict=True):
        assert row["id"] == sample.id
        assert [said["value"] for said in row["conversations"]] == [turn.text for turn in sample.turns]
        assert [said["from"] for said in row["conversations"]] == ["human", "gpt"] * (len(sample.turns) // 2)
        truth = (sample.domain, sample.task.value, sample.question, sample.split.value, sample.group)
        assert tuple(row[name] for name in ("domain", "task", "question", "split", "group")) == truth
        for image, ours in zip(row["images"], sample.images, strict=True):
            with PillowImage.open(dataset / ours.path) as expected:
                assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_datasets_finds_the_splits_by_itself(packed, tmp_path):
    import datasets

    loaded = datasets.load_dataset(str(packed), cache_dir=str(tmp_path))

    assert {name: len(table) for name, table in loaded.items()} == {"train": 14, "val": 1, "test": 2}


def test_the_bytes_are_those_of_the_files(dataset, packed):
    rows = pyarrow.parquet.read_table(packed / "data" / "train-00000-of-00001.parquet")["images"].to_pylist()

    for images, sample in zip(rows, read_samples(dataset, Split.TRAIN), strict=True):
        assert [image["path"] for image in images] == [image.path for image in sample.images]
        assert [image["bytes"] for image in images] == [(dataset / one.path).read_bytes() for one in sample.images]


def test_row_groups_are_small(tmp_path):
    data = write_noise(tmp_path / "data", 230, size_px=4)
    pack_dataset(data, tmp_path / "packed", to=PackKind.PARQUET)

    with pyarrow.parquet.ParquetFile(tmp_path / "packed" / "data" / "train-00000-of-00001.parquet") as file:
        groups = [file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)]
        # No smallest and largest image in the footer.
        columns = [file.metadata.row_group(0).column(index) for index in range(file.metadata.num_columns)]
    assert groups == [100, 100, 30]
    statistics = {column.path_in_schema: column.is_stats_set for column in columns}
    assert statistics["id"] is True
    assert [set_ for path, set_ in statistics.items() if path.startswith("images")] == [False, False]


def test_large_images_make_smaller_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet, "_GROUP_BYTES", 600_000)
    data = write_noise(tmp_path / "data", 7)  # 0.27 MB each: three fill a group
    pack_dataset(data, tmp_path / "packed", to=PackKind.PARQUET, shard_mb=1)

    groups = []
    for path in sorted((tmp_path / "packed" / "data").iterdir()):
        with pyarrow.parquet.ParquetFile(path) as file:
            groups.append([file.metadata.row_group(index).num_rows for index in range(file.num_row_groups)])
    # A shard ends when it holds 1 MB: after two groups of 0.81 MB.
    assert groups == [[3, 3], [1]]
    names = [path.name for path in sorted((tmp_path / "packed" / "data").iterdir())]
    assert names == ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"]
    unpack_dataset(tmp_path / "packed", tmp_path / "back")
    assert (tmp_path / "back" / "train.jsonl").read_bytes() == (data / "train.jsonl").read_bytes()


def test_the_schema_names_the_features(packed):
    metadata = pyarrow.parquet.read_schema(packed / "data" / "test-00000-of-00001.parquet").metadata

    features = json.loads(metadata[b"huggingface"])["info"]["features"]
    assert features["images"] == [{"_type": "Image"}]
    assert features["id"] == {"dtype": "string", "_type": "Value"}


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"x" * 2000)
    pyarrow.parquet.write_table(pyarrow.table({"id": ["a"]}), tmp_path / "y.parquet")

    for name in ("x", "y"):
        with pytest.raises(DatasetError, match="Unreadable shard"):
            list(parquet.read_parquet(tmp_path / f"{name}.parquet"))
