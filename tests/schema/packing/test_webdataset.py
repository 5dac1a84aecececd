"""The shards are plain ustar files that ``webdataset``, ``datasets`` and tar itself read."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile

import pytest
import webdataset
from varied import write_noise

from domainvl.errors import DatasetError
from domainvl.schema import Split, read_samples
from domainvl.schema.packing import PackKind, pack_dataset
from domainvl.schema.packing.webdataset import read_tar

# webdataset leaves the files that it opened to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def packed(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("packed") / "out"
    pack_dataset(dataset, out, to=PackKind.WDS)
    return out


@pytest.mark.parametrize("split", list(Split))
def test_webdataset_reads_samples_with_their_images(dataset, packed, split):
    read = list(webdataset.WebDataset(str(packed / f"{split.value}-000000.tar"), shardshuffle=False))
    lines = (dataset / f"{split.value}.jsonl").read_bytes().split(b"\n")[:-1]

    assert [sample["json"] for sample in read] == lines
    for sample, ours in zip(read, read_samples(dataset, split), strict=True):
        fields = [f"{index}.{image.path.rsplit('.', 1)[1]}" for index, image in enumerate(ours.images)]
        assert [key for key in sample if not key.startswith("__")] == [*fields, "json"]
        assert [sample[name] for name in fields] == [(dataset / image.path).read_bytes() for image in ours.images]


def test_webdataset_decodes_them(dataset, packed):
    (first, _) = webdataset.WebDataset(str(packed / "test-000000.tar"), shardshuffle=False).decode("pil")

    assert first["0.jpg"].size == (64, 48)
    assert first["json"]["id"] == "frame"


def test_datasets_reads_them(packed, tmp_path):
    import datasets

    files = {"test": str(packed / "test-000000.tar")}
    features = datasets.Features(
        {"0.jpg": datasets.Image(), "1.png": datasets.Image(), "2.jpg": datasets.Image()}
        | {"json": {"id": datasets.Value("string")}}
    )
    read = datasets.load_dataset(
        "webdataset", data_files=files, split="test", streaming=True, features=features, cache_dir=str(tmp_path)
    )

    rows = list(read)
    assert [row["json"]["id"] for row in rows] == ["frame", "frames"]
    assert rows[1]["1.png"].size == (40, 90)


def test_headers_say_nothing_of_the_machine(packed):
    for path in packed.glob("*.tar"):
        with tarfile.open(path) as tar:
            members = tar.getmembers()
        assert all(member.isreg() for member in members)
        assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in members} == {(0, 0, 0, "", "", 0o644)}
        content = path.read_bytes()
        for member in members:
            header = content[member.offset : member.offset + 512]
            # POSIX.1-1988: the name has 100 bytes; magic and version follow the link's name at byte 257.
            assert header[257:265] == b"ustar\x0000"
            assert header[:100].rstrip(b"\0").decode("ascii") == member.name
        assert len(content) % 10_240 == 0  # whole records


def test_keys_are_numbers_and_the_line_comes_last(packed):
    with tarfile.open(packed / "train-000000.tar") as tar:
        names = tar.getnames()

    keys = [name.split(".", 1)[0] for name in names]
    assert list(dict.fromkeys(keys)) == [f"{number:09d}" for number in range(14)]
    assert keys == sorted(keys)
    for key in set(keys):
        fields = [name.split(".", 1)[1] for name in names if name.startswith(f"{key}.")]
        assert fields[-1] == "json"
        assert [field.split(".")[0] for field in fields[:-1]] == [str(index) for index in range(len(fields) - 1)]


def test_tar_unpacks_them(packed, tmp_path):
    if shutil.which("tar") is None:
        pytest.skip("there is no tar")
    subprocess.run(["tar", "-xf", packed / "val-000000.tar", "-C", tmp_path], check=True)

    assert json.loads((tmp_path / "000000000.json").read_bytes())["id"] == "no-image"


def test_a_sample_larger_than_a_shard_has_one_of_its_own(tmp_path):
    data = write_noise(tmp_path / "data", 3, size_px=700)  # 1.5 MB each

    index = pack_dataset(data, tmp_path / "packed", to=PackKind.WDS, shard_mb=1).index

    assert [shard.name for shard in index.splits[0].shards] == [f"train-00000{number}.tar" for number in range(3)]


def make_tar(path, names):
    with tarfile.open(path, "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            if name.endswith("/"):
                member.type = tarfile.DIRTYPE
            tar.addfile(member)
    return path


@pytest.mark.parametrize(
    "names",
    [
        ["a.1.png", "a.json"],
        ["a.0.png", "a.0.png", "a.json"],
        ["a.0.png", "b.json"],
        ["a.0.png"],
        ["a.txt"],
        ["a.0.png/", "a.json"],
        ["a.0.png", "a.1.png", "b.0.png", "b.json"],
    ],
)
def test_members_in_disorder_are_refused(tmp_path, names):
    with pytest.raises(DatasetError, match="Unreadable shard"):
        list(read_tar(make_tar(tmp_path / "x.tar", names)))


def test_order_is_all_that_is_asked_of_members(tmp_path):
    samples = list(read_tar(make_tar(tmp_path / "x.tar", ["a.0.png", "a.1", "a.json", "b.json"])))

    assert [len(sample.images) for sample in samples] == [2, 0]


def test_what_is_no_tar_is_refused(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"x" * 2000)

    with pytest.raises(DatasetError, match="it must be a tar file"):
        list(read_tar(tmp_path / "x.tar"))
