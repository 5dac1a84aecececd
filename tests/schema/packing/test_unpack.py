"""Damage is found and told, and no packed data set can write outside of the folder that it is unpacked to."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest

from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.schema.packing import PackKind, pack_dataset, unpack_dataset

KINDS = list(PackKind)


@pytest.fixture(params=KINDS)
def packed(request, dataset, tmp_path):
    pack_dataset(dataset, tmp_path / "packed", to=request.param)
    return tmp_path / "packed"


def change_index(packed, change):
    path = packed / "index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    change(index)
    path.write_text(json.dumps(index), encoding="utf-8")


def first_shard(packed):
    index = json.loads((packed / "index.json").read_text(encoding="utf-8"))
    return packed / index["splits"][0]["shards"][0]["name"]


def left(packed):
    return [path.name for path in packed.parent.iterdir()]


@pytest.mark.parametrize("damage", ["bit", "end", "gone"])
@pytest.mark.parametrize("which", ["shard", "extra"])
def test_damaged_files_are_found(packed, which, damage):
    path = first_shard(packed) if which == "shard" else packed / "extra" / "manifest.json"
    content = bytearray(path.read_bytes())
    match damage:
        case "bit":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        case "end":
            path.write_bytes(content[:-1])
        case "gone":
            path.unlink()

    with pytest.raises((DatasetError, InputNotFoundError), match=path.name):
        unpack_dataset(packed, packed.parent / "back")
    assert left(packed) == ["packed"]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda index: index["splits"][0].update(sample_count=13), r"must have 13 lines .*, got 14 lines"),
        (lambda index: index["splits"][0].update(sha256="0"), "must have 14 lines with SHA-256 0, got 14 lines"),
        (lambda index: index["splits"][0].update(ends_with_line_break=False), "must have 14 lines"),
        (lambda index: index.update(format="zip"), "format must be one of wds, parquet and version 1, got 'zip', 1"),
        (lambda index: index.update(version=2), "version 1, got .*, 2"),
        (lambda index: index.pop("extra"), "extra: Field required"),
        (lambda index: index["splits"][0].update(name="../train.jsonl"), "Unsafe path"),
        (lambda index: index["splits"][0]["shards"][0].update(name="../x"), "Unsafe path"),
        (lambda index: index["extra"][0].update(name="/etc/passwd"), "Unsafe path"),
    ],
)
def test_an_index_that_lies_is_found(packed, change, rule):
    change_index(packed, change)

    with pytest.raises(DatasetError, match=rule):
        unpack_dataset(packed, packed.parent / "back")
    assert left(packed) == ["packed"]


def pack_by_hand(packed, record):
    """Pack a sample with one image that no data set of ours would hold."""
    packed.mkdir()
    line = json.dumps(record).encode()
    with tarfile.open(packed / "train-000000.tar", "w") as tar:
        for name, content in (("0.0.png", b"evil"), ("0.json", line)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    shard = (packed / "train-000000.tar").read_bytes()
    facts = {"name": "train-000000.tar", "size_bytes": len(shard), "sha256": hashlib.sha256(shard).hexdigest()}
    split = {"name": "train.jsonl", "sample_count": 1, "sha256": hashlib.sha256(line + b"\n").hexdigest()}
    index = {
        "format": "wds", "version": 1, "dataset": "d", "extra": [],
        "splits": [split | {"ends_with_line_break": True, "shards": [facts]}],
        "images": {"distinct_count": 1, "distinct_bytes": 4, "stored_count": 1, "stored_bytes": 4},
    }  # fmt: skip
    (packed / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize("path", ["../escaped.png", "/tmp/escaped.png", "images/../../escaped.png"])
def test_an_image_is_not_written_outside(tmp_path, path):
    pack_by_hand(tmp_path / "packed", {"image": path, "width": 1, "height": 1})

    with pytest.raises(DatasetError, match="Unsafe path"):
        unpack_dataset(tmp_path / "packed", tmp_path / "back")
    assert left(tmp_path / "packed") == ["packed"]


@pytest.mark.parametrize(
    "record",
    [
        {},
        [],
        {"image": 3, "width": 1, "height": 1},
        {"image": [3], "width_list": [1], "height_list": [1]},
        {"image": ["a.png", "b.png"], "width_list": [1, 1], "height_list": [1, 1]},
    ],
)
def test_a_line_that_does_not_fit_its_images_is_refused(tmp_path, record):
    pack_by_hand(tmp_path / "packed", record)

    with pytest.raises(DatasetError, match="Unreadable sample"):
        unpack_dataset(tmp_path / "packed", tmp_path / "back")


def test_what_is_no_packed_data_set(dataset, tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        unpack_dataset(tmp_path / "nowhere", tmp_path / "back")
    with pytest.raises(InputNotFoundError, match=r"index\.json is missing"):
        unpack_dataset(dataset, tmp_path / "back")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "index.json").write_text("{")
    with pytest.raises(DatasetError, match="Unreadable index"):
        unpack_dataset(tmp_path / "odd", tmp_path / "back")


def test_only_a_data_set_is_overwritten(packed):
    back = packed.parent / "back"
    unpack_dataset(packed, back)
    with pytest.raises(UsageError, match="it exists"):
        unpack_dataset(packed, back)
    (back / "stale").write_text("")
    unpack_dataset(packed, back, overwrite=True)
    assert not (back / "stale").exists()
    (back / "manifest.json").unlink()
    with pytest.raises(UsageError, match=r"it has no manifest\.json"):
        unpack_dataset(packed, back, overwrite=True)


def test_progress_counts_to_the_end(packed):
    seen = []

    unpack_dataset(packed, packed.parent / "back", on_progress=lambda done, total: seen.append((done, total)))

    assert seen == [(number, 17) for number in range(1, 18)]
