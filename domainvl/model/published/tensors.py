"""Tensors of a checkpoint on disk, one at a time: reading shards, writing shards, never all in memory.

Read are safetensors files and, through ``weights_only=True``, PyTorch's ``.bin`` files; written is safetensors
(format: https://github.com/huggingface/safetensors, README: eight bytes of header length, a JSON header, data).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from domainvl.errors import CheckpointError
from domainvl.files import output_errors

if TYPE_CHECKING:
    import torch

MAX_SHARD_BYTES = 5_000_000_000
"""Largest file that is written; what transformers wrote until version 5."""

_REPAIR = "Download the checkpoint again"


@dataclass(frozen=True)
class TensorInfo:
    """What is known of a tensor without reading it.

    Attributes:
        dtype: Its type.
        shape: Its shape.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def parameters(self) -> int:
        """Number of elements."""
        count = 1
        for side in self.shape:
            count *= side
        return count

    @property
    def bytes(self) -> int:
        """Size in memory and on disk."""
        return self.parameters * self.dtype.itemsize


class TensorSource(Protocol):
    """Named tensors that are read when they are needed."""

    @property
    def infos(self) -> Mapping[str, TensorInfo]:
        """Type and shape of each, in the order in which they are best read."""

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor, on the CPU."""

    def where(self, name: str) -> Path:
        """Return the file it is in, for messages."""

    def close(self) -> None:
        """Let go of the files and of the memory that they are mapped to; what was read stays."""


class CheckpointTensors:
    """The tensors of a checkpoint folder, whatever its files.

    Args:
        folder: Holds ``model.safetensors`` or ``pytorch_model.bin``, or an index and its shards.

    Raises:
        CheckpointError: If a file is missing, truncated or holds anything but tensors, or the index names what
            is not there.
    """

    def __init__(self, folder: Path) -> None:
        self._shards: dict[Path, _Shard] = {}
        self._open: tuple[Path, _Shard] | None = None
        self._files: dict[str, Path] = {}
        infos: dict[str, TensorInfo] = {}
        for path, expected in _shard_files(folder).items():
            found = _open_shard(path).infos
            for name in found:
                if name in self._files:
                    raise CheckpointError(
                        "Cannot read a checkpoint",
                        where=path,
                        rule=f"the tensor {name} is in {self._files[name].name} too",
                        action=_REPAIR,
                    )
                self._files[name] = path
            for name in found:
                if expected and name not in expected:
                    raise CheckpointError(
                        "Cannot read a checkpoint",
                        where=path,
                        rule=f"the index must list all tensors of a shard, {name} is not in it",
                        action=_REPAIR,
                    )
            for name in expected:
                if name not in found:
                    raise CheckpointError(
                        "Cannot read a checkpoint",
                        where=path,
                        rule=f"the tensor {name}, which the index says is here, is missing",
                        action=_REPAIR,
                    )
            infos.update(found)
        self.infos: Mapping[str, TensorInfo] = infos

    def read(self, name: str) -> torch.Tensor:
        """Return one tensor; the file that it is in stays open until another is needed."""
        path = self._files[name]
        if self._open is None or self._open[0] != path:
            self._open = None  # lets go of the last shard before the next one is mapped
            self._open = (path, _open_shard(path))
        return self._open[1].read(name)

    def where(self, name: str) -> Path:
        """Return the file that a tensor is in."""
        return self._files[name]

    def close(self) -> None:
        """Let go of the file that is open."""
        self._open = None


class _Shard(Protocol):
    @property
    def infos(self) -> Mapping[str, TensorInfo]: ...

    def read(self, name: str) -> torch.Tensor: ...


def _shard_files(folder: Path) -> dict[Path, list[str]]:
    """Return the files with tensors, and which tensors the index expects in each."""
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (folder / index).is_file():
            return _indexed_files(folder / index)
        if (folder / single).is_file():
            return {folder / single: []}
    raise CheckpointError(
        "Cannot read a checkpoint",
        where=folder,
        rule="there is neither model.safetensors nor pytorch_model.bin, nor an index of shards",
        action="Name the folder that holds the weights",
    )


def _indexed_files(index: Path) -> dict[Path, list[str]]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        pairs = [(str(name), str(file)) for name, file in weight_map.items()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            "Cannot read a checkpoint", where=index, rule=f"it must hold a weight_map: {error!r}", action=_REPAIR
        ) from error
    files: dict[Path, list[str]] = {}
    for name, file in pairs:
        path = index.parent / file
        if path.parent != index.parent:
            raise CheckpointError(
                "Cannot read a checkpoint", where=index, rule=f"the shard of {name} must lie beside it, got {file}"
            )
        files.setdefault(path, []).append(name)
    for path, names in files.items():
        if not path.is_file():
            raise CheckpointError(
                "Cannot read a checkpoint",
                where=index.parent,
                rule=f"the shard {path.name} is missing; {names[0]} is in it",
                action=_REPAIR,
            )
    return files


def _open_shard(path: Path) -> _Shard:
    return _BinShard(path) if path.suffix == ".bin" else _SafetensorsShard(path)


class _SafetensorsShard:
    def __init__(self, path: Path) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            file: Any = safe_open(path, framework="pt")
            self._file = file
            self.infos = {name: self._info(name) for name in file.keys()}
        except (SafetensorError, KeyError, OSError) as error:
            raise CheckpointError(
                "Cannot read a checkpoint", where=path, rule=f"it is no whole safetensors file: {error}", action=_REPAIR
            ) from error

    def _info(self, name: str) -> TensorInfo:
        part = self._file.get_slice(name)
        return TensorInfo(_dtypes()[part.get_dtype()], tuple(part.get_shape()))

    def read(self, name: str) -> torch.Tensor:
        tensor: torch.Tensor = self._file.get_tensor(name)
        return tensor


class _BinShard:
    def __init__(self, path: Path) -> None:
        import zipfile

        import torch

        try:
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
        except Exception as error:  # damaged bytes lead an unpickler to any error at all
            raise CheckpointError(
                "Cannot read a checkpoint",
                where=path,
                rule=f"it must hold nothing but tensors: {first_line(error)}",
                action="Ask for the checkpoint as safetensors; a .bin file can hold code, which is not run",
            ) from error
        tensors = content if isinstance(content, dict) else {}
        wrong = [
            name for name, value in tensors.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))
        ]
        if wrong or not tensors:
            raise CheckpointError(
                "Cannot read a checkpoint",
                where=path,
                rule=f"it must be a table of tensors by name, got {wrong[0] if wrong else type(content).__name__}",
            )
        self._tensors: dict[str, torch.Tensor] = tensors
        self.infos = {name: TensorInfo(value.dtype, tuple(value.shape)) for name, value in tensors.items()}

    def read(self, name: str) -> torch.Tensor:
        return self._tensors[name]


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, or its name where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _dtypes() -> dict[str, torch.dtype]:
    """Types by the names of the safetensors format."""
    import torch

    return {
        "F64": torch.float64,
        "F32": torch.float32,
        "F16": torch.float16,
        "BF16": torch.bfloat16,
        "I64": torch.int64,
        "I32": torch.int32,
        "I16": torch.int16,
        "I8": torch.int8,
        "U8": torch.uint8,
        "BOOL": torch.bool,
    }


def widest_dtype(infos: Mapping[str, TensorInfo]) -> torch.dtype:
    """Return the type that holds all of some tensors' values."""
    return max((info.dtype for info in infos.values()), key=lambda dtype: dtype.itemsize)


def write_tensors(
    folder: Path,
    infos: Mapping[str, TensorInfo],
    tensors: Iterable[tuple[str, torch.Tensor]],
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Write tensors to one safetensors file, or to shards with an index, holding one tensor at a time.

    Args:
        folder: An existing folder.
        infos: All that will be written, in that order.
        tensors: The same, with content.
        max_shard_bytes: Largest file; a tensor larger than that gets one of its own.

    Raises:
        OutputError: If the disk is full or cannot be written.
    """
    shards = _divide(infos, max_shard_bytes)
    names = [_shard_name(number, len(shards)) for number in range(len(shards))]
    following = iter(tensors)
    for name, shard in zip(names, shards, strict=True):
        _write_shard(folder / name, {key: infos[key] for key in shard}, following)
    if len(shards) > 1:
        index = {
            "metadata": {"total_size": sum(info.bytes for info in infos.values())},
            "weight_map": {key: name for name, shard in zip(names, shards, strict=True) for key in shard},
        }
        path = folder / "model.safetensors.index.json"
        with output_errors(path):
            path.write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def _shard_name(number: int, count: int) -> str:
    return "model.safetensors" if count == 1 else f"model-{number + 1:05d}-of-{count:05d}.safetensors"


def _divide(infos: Mapping[str, TensorInfo], max_shard_bytes: int) -> list[list[str]]:
    shards: list[list[str]] = []
    room = 0
    for name, info in infos.items():
        if not shards or info.bytes > room:
            shards.append([])
            room = max_shard_bytes
        shards[-1].append(name)
        room -= info.bytes
    return shards


def _write_shard(path: Path, infos: Mapping[str, TensorInfo], tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
    with output_errors(path), path.open("wb") as file:
        file.write(_header(infos))
        for expected, info in infos.items():
            name, tensor = next(tensors)
            if (name, tensor.dtype, tuple(tensor.shape)) != (expected, info.dtype, info.shape):
                raise ValueError(f"{name} was not announced as {expected} {info}")
            file.write(_content(tensor))


def _header(infos: Mapping[str, TensorInfo]) -> bytes:
    names = {dtype: name for name, dtype in _dtypes().items()}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    start = 0
    for name, info in infos.items():
        end = start + info.bytes
        header[name] = {"dtype": names[info.dtype], "shape": list(info.shape), "data_offsets": [start, end]}
        start = end
    encoded = json.dumps(header, separators=(",", ":")).encode()
    encoded += b" " * (-len(encoded) % 8)  # data must begin at a multiple of eight bytes
    return struct.pack("<Q", len(encoded)) + encoded


def _content(tensor: torch.Tensor) -> memoryview:
    import torch

    content: memoryview = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data
    return content
