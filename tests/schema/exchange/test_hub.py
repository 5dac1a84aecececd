"""``datasets`` itself reads the DatasetDict, and finds the bytes of the files in it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from builders import make_sample
from PIL import Image as PillowImage

import domainvl.schema.exchange.hub as hub
from domainvl.errors import DatasetError, UsageError
from domainvl.schema import DatasetWriter, Source, Split
from domainvl.schema.exchange import ImageMode, export_dataset, read_exported


def test_load_from_disk_gives_every_split(varied, exported):
    import datasets

    loaded = datasets.load_from_disk(str(exported("hub")))

    assert isinstance(loaded, datasets.DatasetDict)
    assert {name: len(table) for name, table in loaded.items()} == {"train": 14, "val": 1, "test": 2}
    assert str(loaded["test"].split) == "test"
    for split in Split:
        for row, sample in zip(loaded[split.value], varied.of(split), strict=True):
            assert row["id"] == sample.id
            assert (row["domain"], row["task"]) == (sample.domain, sample.task.value)
            assert [message["content"] for message in row["messages"]] == [turn.text for turn in sample.turns]
            assert [message["role"] for message in row["messages"]] == ["user", "assistant"] * (len(sample.turns) // 2)
            for image, ours in zip(row["images"], sample.images, strict=True):
                assert image.size == (ours.width_px, ours.height_px)
                with PillowImage.open(varied.folder / ours.path) as expected:
                    assert np.array_equal(np.asarray(image), np.asarray(expected))


def test_the_bytes_are_those_of_the_files(varied, exported):
    import datasets

    table = datasets.load_from_disk(str(exported("hub")))["test"].with_format("arrow")[:]

    for images, sample in zip(table["images"].to_pylist(), varied.of(Split.TEST), strict=True):
        assert [image["path"] for image in images] == [image.path for image in sample.images]
        assert [image["bytes"] for image in images] == [
            (varied.folder / image.path).read_bytes() for image in sample.images
        ]


def test_references_are_opened_where_they_are(varied, tmp_path):
    import datasets

    export_dataset(varied.folder, tmp_path / "out", format_name="hub", images=ImageMode.REFERENCE)
    loaded = datasets.load_from_disk(str(tmp_path / "out"))

    assert loaded["test"][0]["images"][0].size == (64, 48)
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) < 100_000


def test_many_samples_make_several_files_in_order(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setattr(hub, "_BATCH_ROWS", 3)
    monkeypatch.setattr(hub, "_SHARD_BYTES", 20_000)
    with DatasetWriter(tmp_path / "data", name="d") as writer:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 30, 3), dtype=np.uint8)  # 2.7 kB
        image = writer.images.put_pixels(pixels).to_image(Source(uri="a"))
        for number in range(20):
            writer.add(make_sample(f"s{number}", images=[image]))
        writer.finish(command="d", settings={}, sources=[], versions={})

    export_dataset(tmp_path / "data", tmp_path / "out", format_name="hub")

    files = sorted(path.name for path in (tmp_path / "out" / "train").glob("*.arrow"))
    # Batches of three hold 8.5 kB and three of them end a file: 9, 9 and 2 samples.
    assert files == [f"data-0000{index}-of-00003.arrow" for index in range(3)]
    assert datasets.load_from_disk(str(tmp_path / "out"))["train"]["id"][:] == [f"s{number}" for number in range(20)]
    assert [sample.id for sample in read_exported(tmp_path / "out", "hub", Split.TRAIN)][17] == "s17"


def test_reading_back_writes_nothing(exported):
    before = sorted(path for path in exported("hub").rglob("*"))

    assert len(list(read_exported(exported("hub"), "hub", Split.TRAIN))) == 14
    assert sorted(path for path in exported("hub").rglob("*")) == before


def test_what_datasets_does_not_read_is_no_export(varied, tmp_path, monkeypatch):
    original = hub._ArrowRows.close

    def careless(self):
        original(self)
        path = self._folder / "state.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"_data_files": self.kept}))
        return ()

    first = [{"filename": "data-00000-of-00002.arrow"}]
    monkeypatch.setattr(hub._ArrowRows, "kept", first, raising=False)
    monkeypatch.setattr(hub._ArrowRows, "close", careless)
    monkeypatch.setattr(hub, "_BATCH_ROWS", 7)
    monkeypatch.setattr(hub, "_SHARD_BYTES", 1)

    with pytest.raises(DatasetError, match=r"must read \{'train': 14\} rows, got \{'train': 7\}"):
        export_dataset(varied.folder, tmp_path / "out", format_name="hub", splits=[Split.TRAIN])
    assert list(tmp_path.iterdir()) == []


def test_without_the_package_it_says_how_to_get_it(varied, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(UsageError, match=r"pip install 'domainvl\[hub\]'"):
        export_dataset(varied.folder, tmp_path / "out", format_name="hub")
    assert list(tmp_path.iterdir()) == []
