"""Unpacking what was packed gives the same data set, byte for byte; or there is nothing."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import sys
import tracemalloc
from pathlib import Path

import pytest
from varied import write_noise

from domainvl.errors import DatasetError, InputNotFoundError, NothingToDoError, OutputError, UsageError
from domainvl.schema import Split, read_samples
from domainvl.schema.packing import PackKind, pack_dataset, unpack_dataset

KINDS = list(PackKind)


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def there_and_back(dataset: Path, scratch: Path, kind: PackKind, **options) -> Path:
    pack_dataset(dataset, scratch / "packed", to=kind, **options)
    unpack_dataset(scratch / "packed", scratch / "back")
    return scratch / "back"


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_comes_back(dataset, tmp_path, kind):
    back = there_and_back(dataset, tmp_path, kind)

    assert files_of(back) == files_of(dataset)


@pytest.mark.parametrize("kind", KINDS)
def test_many_shards_keep_the_order(tmp_path, kind):
    data = write_noise(tmp_path / "data", 11, images=3)

    summary = pack_dataset(data, tmp_path / "packed", to=kind, shard_mb=1)
    unpack_dataset(tmp_path / "packed", tmp_path / "back")

    if kind is PackKind.WDS:  # three images of 0.27 MB fit into 1 MB
        assert summary.shard_count == 4
    assert files_of(tmp_path / "back") == files_of(data)
    assert [sample.id for sample in read_samples(tmp_path / "back", Split.TRAIN)] == [f"s{n}" for n in range(11)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", ["no-line-break", "carriage-returns", "spaces", "bom"])
def test_lines_that_others_wrote_come_back(dataset, tmp_path, kind, change):
    data = shutil.copytree(dataset, tmp_path / "data")
    path = data / "train.jsonl"
    content = path.read_bytes()
    match change:
        case "no-line-break":
            content = content.removesuffix(b"\n")
        case "carriage-returns":
            content = content.replace(b"\n", b"\r\n")
        case "spaces":
            records = [json.loads(line) for line in content.split(b"\n")[:-1]]
            content = "".join(json.dumps(record, indent=None) + "\n" for record in records).encode()
        case "bom":
            content = b"\xef\xbb\xbf" + content
    path.write_bytes(content)

    assert (there_and_back(data, tmp_path, kind) / "train.jsonl").read_bytes() == content


@pytest.mark.parametrize("kind", KINDS)
def test_two_packings_are_byte_identical(dataset, tmp_path, kind):
    pack_dataset(dataset, tmp_path / "one", to=kind)
    moved = shutil.copytree(dataset, tmp_path / "elsewhere" / "data")
    for path in moved.rglob("*"):
        path.touch()
    pack_dataset(moved, tmp_path / "two", to=kind)

    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_tells_sizes_and_hashes(dataset, tmp_path, kind):
    pack_dataset(dataset, tmp_path / "packed", to=kind)

    index = json.loads((tmp_path / "packed" / "index.json").read_text(encoding="utf-8"))
    assert (index["format"], index["version"], index["dataset"]) == (kind.value, 1, "varied")
    assert [(split["name"], split["sample_count"]) for split in index["splits"]] == [
        ("train.jsonl", 14),
        ("val.jsonl", 1),
        ("test.jsonl", 2),
    ]
    for split in index["splits"]:
        assert split["sha256"] == hashlib.sha256((dataset / split["name"]).read_bytes()).hexdigest()
    listed = [shard for split in index["splits"] for shard in split["shards"]] + index["extra"]
    files = files_of(tmp_path / "packed")
    assert {shard["name"] for shard in listed} | {"index.json"} == set(files)
    for shard in listed:
        assert shard["size_bytes"] == len(files[shard["name"]])
        assert shard["sha256"] == hashlib.sha256(files[shard["name"]]).hexdigest()
    assert [extra["name"] for extra in index["extra"]] == [
        "extra/card.md",
        "extra/croissant.json",
        "extra/images/unused.png",
        "extra/manifest.json",
        "extra/meta.json",
        "extra/notes/deep/read me: ä.txt",
        "extra/rejects.jsonl",
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_the_index_tells_what_shared_images_cost(tmp_path, kind):
    data = write_noise(tmp_path / "data", 6, images=2, size_px=20)
    sizes = [path.stat().st_size for path in (data / "images").rglob("*.png")]

    images = pack_dataset(data, tmp_path / "packed", to=kind).index.images

    assert (images.distinct_count, images.stored_count) == (2, 6)
    assert images.distinct_bytes == sum(sizes)
    assert images.stored_bytes == 3 * sum(sizes)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_image_is_told_with_its_line(dataset, tmp_path, kind):
    data = shutil.copytree(dataset, tmp_path / "data")
    next((data / "images").rglob("*.jpg")).unlink()

    with pytest.raises(DatasetError, match=r"train\.jsonl:14: its image images/.*\.jpg cannot be read: No such file"):
        pack_dataset(data, tmp_path / "packed", to=kind)
    assert names_in(tmp_path) == ["data"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("line", [b"", b"{", b"[]", b"\xff", b"{}"])
def test_a_broken_line_is_told_with_its_number(dataset, tmp_path, kind, line):
    data = shutil.copytree(dataset, tmp_path / "data")
    lines = (data / "train.jsonl").read_bytes().split(b"\n")
    lines[2] = line
    (data / "train.jsonl").write_bytes(b"\n".join(lines))

    with pytest.raises(DatasetError, match=r"train\.jsonl:3"):
        pack_dataset(data, tmp_path / "packed", to=kind)
    assert names_in(tmp_path) == ["data"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_outside_is_not_packed(tmp_path, kind):
    data = write_noise(tmp_path / "data", 1, size_px=4)
    (tmp_path / "secret.png").write_bytes(b"secret")
    record = json.loads((data / "train.jsonl").read_text())
    record["image"] = "../secret.png"
    (data / "train.jsonl").write_text(json.dumps(record) + "\n")

    with pytest.raises(DatasetError, match="Unsafe path"):
        pack_dataset(data, tmp_path / "packed", to=kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_samples_is_nothing_to_do(dataset, tmp_path, kind):
    data = shutil.copytree(dataset, tmp_path / "data")
    for split in Split:
        (data / f"{split.value}.jsonl").write_bytes(b"")

    with pytest.raises(NothingToDoError, match="no samples"):
        pack_dataset(data, tmp_path / "packed", to=kind)
    assert names_in(tmp_path) == ["data"]


def test_a_split_without_a_file_stays_without(dataset, tmp_path):
    data = shutil.copytree(dataset, tmp_path / "data")
    (data / "val.jsonl").unlink()

    assert files_of(there_and_back(data, tmp_path, PackKind.WDS)) == files_of(data)


def test_what_is_refused(dataset, tmp_path):
    with pytest.raises(InputNotFoundError, match="no such folder"):
        pack_dataset(tmp_path / "nowhere", tmp_path / "packed", to=PackKind.WDS)
    with pytest.raises(UsageError, match="--shard-mb must be at least 1, got 0"):
        pack_dataset(dataset, tmp_path / "packed", to=PackKind.WDS, shard_mb=0)
    with pytest.raises(UsageError, match="outside"):
        pack_dataset(dataset, dataset / "packed", to=PackKind.WDS)
    assert names_in(tmp_path) == []


def test_only_a_packed_data_set_is_overwritten(dataset, tmp_path):
    data = write_noise(tmp_path / "data", 2, size_px=4)
    pack_dataset(dataset, tmp_path / "packed", to=PackKind.WDS)

    with pytest.raises(UsageError, match="it exists"):
        pack_dataset(data, tmp_path / "packed", to=PackKind.PARQUET)
    with pytest.raises(UsageError, match=r"it has no index\.json"):
        pack_dataset(dataset, data, to=PackKind.PARQUET, overwrite=True)
    pack_dataset(data, tmp_path / "packed", to=PackKind.PARQUET, overwrite=True)

    assert names_in(tmp_path / "packed") == ["data", "extra", "index.json"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, kind):
    data = write_noise(tmp_path / "data", 2, size_px=100)
    list(read_samples(data, Split.TRAIN))

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a write beyond fails with EFBIG
    try:
        with pytest.raises(OutputError, match="Cannot write in"):
            pack_dataset(data, tmp_path / "packed", to=kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names_in(tmp_path) == ["data"]


def peak_of_packing(data, out, kind):
    """Pack and unpack, and return the most memory that Python held."""
    tracemalloc.start()
    pack_dataset(data, out, to=kind, shard_mb=1)
    unpack_dataset(out, out.with_name(f"{out.name}-back"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("kind", KINDS)
def test_memory_does_not_grow_with_the_samples(tmp_path, kind):
    peaks = []
    noisy_small = {"size_px": 8, "text": "What is this? " * 400}
    pack_dataset(write_noise(tmp_path / "warm", 1), tmp_path / "warm-packed", to=kind)  # imports what it needs
    for count in (400, 1000):
        data = write_noise(tmp_path / f"data{count}", count, **noisy_small)
        # The lower of two: Python's own table of path names grows by megabytes at a time, now and then.
        peaks.append(min(peak_of_packing(data, tmp_path / f"out{count}-{attempt}", kind) for attempt in range(2)))
    # 600 more samples hold 3.4 MB of text alone.
    assert peaks[1] - peaks[0] < 1_000_000


def test_without_pyarrow_it_says_how_to_get_it(dataset, tmp_path, monkeypatch):
    pack_dataset(dataset, tmp_path / "packed", to=PackKind.PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(UsageError, match=r"pip install 'domainvl\[parquet\]'"):
        pack_dataset(dataset, tmp_path / "again", to=PackKind.PARQUET)
    with pytest.raises(UsageError, match=r"pip install 'domainvl\[parquet\]'"):
        unpack_dataset(tmp_path / "packed", tmp_path / "back")
    assert names_in(tmp_path) == ["packed"]
