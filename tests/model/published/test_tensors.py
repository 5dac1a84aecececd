"""Reading and writing the tensors of a checkpoint, and what is refused."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import struct
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from published_checkpoints import read_json, write_json, write_weights
from safetensors.torch import load_file, save_file

from domainvl.errors import CheckpointError, OutputError
from domainvl.model.published.tensors import CheckpointTensors, TensorInfo, write_tensors


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "bf16": torch.randn(3, 4, generator=generator).bfloat16(),
        "f16": torch.randn(2, generator=generator).half(),
        "f32": torch.randn(2, 2, 3, generator=generator),
        "f64": torch.randn(1, generator=generator).double(),
        "scalar": torch.tensor(0.1),
        "empty": torch.zeros(0, 4),
        "i64": torch.tensor([-1, 1 << 40]),
        "u8": torch.tensor([0, 255], dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
    }


def infos(content: dict[str, torch.Tensor]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(value.dtype, tuple(value.shape)) for name, value in content.items()}


def equal(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return found.keys() == expected.keys() and all(
        found[name].dtype == expected[name].dtype and torch.equal(found[name], expected[name]) for name in expected
    )


def read_all(folder: Path) -> dict[str, torch.Tensor]:
    source = CheckpointTensors(folder)
    return {name: source.read(name).clone() for name in source.infos}


def test_what_is_written_is_what_safetensors_reads(tmp_path: Path) -> None:
    write_tensors(tmp_path, infos(tensors()), tensors().items())
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert equal(load_file(tmp_path / "model.safetensors"), tensors())


def test_header_by_the_format(tmp_path: Path) -> None:
    """Eight bytes of length, JSON, data that begins at a multiple of eight bytes and has no holes."""
    write_tensors(tmp_path, infos(tensors()), tensors().items())
    content = (tmp_path / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert length % 8 == 0
    assert header.pop("__metadata__") == {"format": "pt"}  # transformers refuses a file without it
    spans = [entry["data_offsets"] for entry in header.values()]
    assert spans[0][0] == 0
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))
    assert spans[-1][1] == len(content) - 8 - length
    assert header["f16"] == {"dtype": "F16", "shape": [2], "data_offsets": [24, 28]}


def test_shards_are_filled_in_order_and_a_large_tensor_is_alone(tmp_path: Path) -> None:
    content = {name: torch.full((side,), float(side)) for name, side in zip("abcdef", (1, 2, 1, 9, 2, 2), strict=True)}
    write_tensors(tmp_path, infos(content), content.items(), max_shard_bytes=16)
    index = read_json(tmp_path / "model.safetensors.index.json")
    assert index["metadata"] == {"total_size": 17 * 4}
    assert list(index["weight_map"].items()) == [
        ("a", "model-00001-of-00003.safetensors"),
        ("b", "model-00001-of-00003.safetensors"),
        ("c", "model-00001-of-00003.safetensors"),
        ("d", "model-00002-of-00003.safetensors"),
        ("e", "model-00003-of-00003.safetensors"),
        ("f", "model-00003-of-00003.safetensors"),
    ]
    assert list(load_file(tmp_path / "model-00002-of-00003.safetensors")) == ["d"]
    assert equal(read_all(tmp_path), content)


def test_a_part_of_a_larger_tensor_is_written_as_itself(tmp_path: Path) -> None:
    """Parts of a fused matrix are views, some of them not contiguous."""
    whole = torch.arange(12.0).reshape(3, 4)
    content = {"rows": whole[1:], "turned": whole.T, "every other": whole[:, ::2]}
    write_tensors(tmp_path, infos(content), content.items())
    assert equal(read_all(tmp_path), {name: value.clone() for name, value in content.items()})


@pytest.mark.parametrize(
    "delivered",
    [
        [("a", torch.ones(3))],
        [("b", torch.ones(2))],
        [("a", torch.ones(2).half())],
        [],
    ],
    ids=["shape", "name", "type", "nothing"],
)
def test_tensors_other_than_announced_are_never_written(
    tmp_path: Path, delivered: list[tuple[str, torch.Tensor]]
) -> None:
    with pytest.raises((ValueError, StopIteration)):
        write_tensors(tmp_path, {"a": TensorInfo(torch.float32, (2,))}, delivered)


@pytest.mark.parametrize("as_bin", [False, True])
@pytest.mark.parametrize("shards", [1, 3])
def test_all_kinds_of_files_are_read(tmp_path: Path, shards: int, as_bin: bool) -> None:
    write_weights(tmp_path, tensors(), shards=shards, as_bin=as_bin)
    source = CheckpointTensors(tmp_path)
    assert source.infos == infos(tensors())
    assert equal(read_all(tmp_path), tensors())
    suffix = ".bin" if as_bin else ".safetensors"
    assert source.where("bool").name.endswith(f"-00003-of-00003{suffix}" if shards == 3 else suffix)


def test_parameters_and_bytes() -> None:
    info = TensorInfo(torch.bfloat16, (3, 4, 5))
    assert (info.parameters, info.bytes) == (60, 120)
    assert TensorInfo(torch.float32, ()).parameters == 1


def test_older_bin_files_are_read(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "pytorch_model.bin", _use_new_zipfile_serialization=False)
    assert equal(read_all(tmp_path), tensors())


def test_bin_files_of_parameters_import_as_tensors(tmp_path: Path) -> None:
    """``dict(model.named_parameters())`` saved as it is: tensors that want a gradient."""
    parameters = {name: torch.nn.Parameter(value) for name, value in tensors().items() if value.is_floating_point()}
    torch.save(parameters, tmp_path / "pytorch_model.bin")
    source = CheckpointTensors(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    write_tensors(out, source.infos, ((name, source.read(name)) for name in source.infos))
    assert equal(load_file(out / "model.safetensors"), {name: value.detach() for name, value in parameters.items()})


def test_files_of_a_hub_cache_are_links(tmp_path: Path) -> None:
    """A snapshot of the hub's cache holds links to files that have hashes for names."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshot"
    blobs.mkdir()
    snapshot.mkdir()
    write_weights(blobs, tensors(), shards=2)
    for number, path in enumerate(sorted(blobs.iterdir())):
        blob = path.rename(blobs / f"{number:064x}")
        (snapshot / path.name).symlink_to(blob)
    assert equal(read_all(snapshot), tensors())


# ---- what is refused -------------------------------------------------------------------------------------------


class Bomb:
    """Creates a file when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return (os.mkdir, (str(self._marker),))


@pytest.mark.parametrize("zipped", [True, False])
def test_code_in_a_bin_file_is_not_run(tmp_path: Path, zipped: bool) -> None:
    path, marker = tmp_path / "pytorch_model.bin", tmp_path / "exploded"
    content = {"a": torch.ones(2), "b": Bomb(marker)}
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin: it must hold nothing but tensors"):
        CheckpointTensors(tmp_path)
    assert not marker.exists()
    torch.load(path, weights_only=False)  # the bomb is a real one
    assert marker.exists()


def test_code_in_a_bare_pickle_is_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "exploded"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps({"a": Bomb(marker)}))
    with pytest.raises(CheckpointError, match="nothing but tensors"):
        CheckpointTensors(tmp_path)
    assert not marker.exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": torch.ones(1), "epoch": 3}, "got epoch"),
        ({"state_dict": {"a": torch.ones(1)}}, "got state_dict"),
        ([torch.ones(1)], "got list"),
        ({}, "got dict"),
        (torch.ones(1), "got Tensor"),
        ({3: torch.ones(1)}, "3"),
    ],
    ids=["number", "nested", "list", "nothing", "one tensor", "name that is no text"],
)
def test_bin_files_of_anything_but_tensors_are_refused(tmp_path: Path, content: object, message: str) -> None:
    torch.save(content, tmp_path / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=rf"pytorch_model.bin.*{message}"):
        CheckpointTensors(tmp_path)


@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_bin_files_are_refused(tmp_path: Path, zipped: bool) -> None:
    """Cut short at many places, and with bytes turned: an error of ours or the true tensors' names, never a crash."""
    path = tmp_path / "pytorch_model.bin"
    torch.save({"a": torch.ones(30), "b": torch.zeros(3)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    for end in [0, 1, 2, 3, 8, 20, *range(30, len(whole) - 1, 37)]:
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match="pytorch_model.bin"):
            read_all(tmp_path)
    for place in range(0, len(whole), 11):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            read_all(tmp_path)
        except CheckpointError as error:
            assert "pytorch_model.bin" in str(error)


def test_truncated_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(tensors(), path)
    whole = path.read_bytes()
    for end in [0, 4, 8, 100, len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:end])
        with pytest.raises(CheckpointError, match="model.safetensors: it is no whole safetensors file"):
            CheckpointTensors(tmp_path)


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    write_weights(tmp_path, {name: torch.ones(2) for name in "abcd"}, shards=2)
    return tmp_path


FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"


def edit_index(folder: Path, **changes: str | None) -> None:
    index = read_json(folder / "model.safetensors.index.json")
    for name, file in changes.items():
        if file is None:
            del index["weight_map"][name]
        else:
            index["weight_map"][name] = file
    write_json(folder / "model.safetensors.index.json", index)


def test_a_missing_shard_is_named_with_a_tensor_of_it(sharded: Path) -> None:
    (sharded / SECOND).unlink()
    with pytest.raises(CheckpointError, match=rf"the shard {SECOND} is missing; c is in it"):
        CheckpointTensors(sharded)


def test_a_tensor_of_the_index_that_is_nowhere(sharded: Path) -> None:
    edit_index(sharded, e=SECOND)
    with pytest.raises(CheckpointError, match=rf"{SECOND}: the tensor e, which the index says is here, is missing"):
        CheckpointTensors(sharded)


def test_a_tensor_in_another_shard_than_the_index_says(sharded: Path) -> None:
    edit_index(sharded, c=FIRST)
    with pytest.raises(CheckpointError, match=rf"{FIRST}: the tensor c"):
        CheckpointTensors(sharded)


def test_a_tensor_that_the_index_does_not_list(sharded: Path) -> None:
    edit_index(sharded, b=None)
    with pytest.raises(CheckpointError, match=rf"{FIRST}.*\bb\b"):
        CheckpointTensors(sharded)


def test_a_tensor_in_two_shards(sharded: Path) -> None:
    save_file({name: torch.ones(2) for name in "bcd"}, sharded / SECOND)
    with pytest.raises(CheckpointError, match=rf"{SECOND}: the tensor b is in {FIRST} too"):
        CheckpointTensors(sharded)


@pytest.mark.parametrize("file", ["../model.safetensors", "sub/model.safetensors", "/etc/passwd", "", "."])
def test_shards_lie_beside_the_index(sharded: Path, file: str) -> None:
    edit_index(sharded, a=file)
    with pytest.raises(CheckpointError, match="a must lie beside it|is missing"):
        CheckpointTensors(sharded)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"weight_map": []}', "\x00"])
def test_a_damaged_index(sharded: Path, content: str) -> None:
    (sharded / "model.safetensors.index.json").write_text(content)
    with pytest.raises(CheckpointError, match="index.json"):
        CheckpointTensors(sharded)


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither model.safetensors nor pytorch_model.bin"):
        CheckpointTensors(tmp_path)


def test_safetensors_win_over_bin_files(tmp_path: Path) -> None:
    save_file({"a": torch.ones(1)}, tmp_path / "model.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pytorch_model.bin")
    assert read_all(tmp_path)["a"] == 1.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 64 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True)
    if done.returncode:
        pytest.skip("a file system can be mounted by root only")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(small_disk: Path) -> None:
    content = {"a": torch.ones(4000), "b": torch.ones(40000)}
    with pytest.raises(OutputError, match="model.safetensors: No space left on device"):
        write_tensors(small_disk, infos(content), content.items())
