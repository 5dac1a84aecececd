"""WebDataset: tar files in which the members of one sample follow each other under one key.

Sources: webdataset/webdataset, src/webdataset/tariterators.py (``base_plus_ext``, ``group_by_keys``): the key of a
member ends at the first dot of its name, what follows is the name of a field, and members of one key must be
neighbours. POSIX.1-1988 (ustar): a name has 100 bytes at most.

The key is the number of the sample in its split, so it has no dots. Its images are ``<key>.0.png``, ``<key>.1.jpg``
and so on, then comes its line as ``<key>.json``: who has seen that has seen the whole sample. Owner, times and rights
say nothing of the machine, so that equal data sets give equal bytes. A reader of a stream cannot look back, so each
sample holds its own images: one that twelve questions show is stored twelve times.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import DatasetError
from domainvl.schema.packing.shards import PackedSample, UnpackedSample
from domainvl.schema.sample import Split

FORMAT = "wds"
_BLOCK_BYTES = tarfile.BLOCKSIZE
_MODE = 0o644


class TarWriter:
    """Writes ``<split>-000000.tar`` and so on.

    Args:
        folder: Folder to write in.
        split: The split.
        shard_bytes: Size that a shard does not exceed, unless it holds a single sample.
    """

    def __init__(self, folder: Path, split: Split, shard_bytes: int) -> None:
        self._folder = folder
        self._split = split
        self._shard_bytes = shard_bytes
        self._count = 0
        self._shards: list[Path] = []
        self._tar: tarfile.TarFile | None = None
        self._used_bytes = 0

    def add(self, packed: PackedSample) -> None:
        """Append a sample."""
        needed = sum(_member_bytes(len(content)) for content in (*packed.images, packed.line))
        if self._tar is not None and self._used_bytes + needed > self._shard_bytes:
            self._end_shard()
        if self._tar is None:
            self._shards.append(self._folder / f"{self._split.value}-{len(self._shards):06d}.tar")
            self._tar = tarfile.open(self._shards[-1], "w", format=tarfile.USTAR_FORMAT)
            self._used_bytes = 0
        key = f"{self._count:09d}"
        for index, (image, content) in enumerate(zip(packed.sample.images, packed.images, strict=True)):
            _add_member(self._tar, f"{key}.{index}{_extension(image.path)}", content)
        _add_member(self._tar, f"{key}.json", packed.line)
        self._used_bytes += needed
        self._count += 1

    def _end_shard(self) -> None:
        tar, self._tar = self._tar, None
        if tar is not None:
            tar.close()

    def close(self) -> list[Path]:
        """End the last shard and return all."""
        self._end_shard()
        return self._shards


def read_tar(path: Path) -> Iterator[UnpackedSample]:
    """Read the samples of a shard in order.

    Raises:
        DatasetError: If members are missing or in another order.
    """
    try:
        with tarfile.open(path, "r|") as tar:
            yield from _group(tar, path)
    except tarfile.TarError as error:
        raise DatasetError("Unreadable shard", where=path, rule=f"it must be a tar file ({error})") from error


def _group(tar: tarfile.TarFile, path: Path) -> Iterator[UnpackedSample]:
    images: list[bytes] = []
    sample_key: str | None = None
    for member in tar:
        key, _, field = member.name.partition(".")
        file = tar.extractfile(member)
        is_next = field == "json" or re.fullmatch(rf"{len(images)}(\.\w+)?", field) is not None
        if file is None or not is_next or sample_key not in (None, key):
            raise DatasetError(
                "Unreadable shard",
                where=path,
                rule=f"the images 0, 1, ... of a sample must be followed by its .json, got {member.name!r}",
            )
        if field == "json":
            yield UnpackedSample(file.read(), images)
            images, sample_key = [], None
        else:
            images.append(file.read())
            sample_key = key
        _forget(tar)
    if images:
        raise DatasetError("Unreadable shard", where=path, rule=f"sample {sample_key} has no .json")


def _add_member(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    member = tarfile.TarInfo(name)  # its defaults: time 0, owner 0 without a name
    member.size = len(content)
    member.mode = _MODE
    tar.addfile(member, io.BytesIO(content))
    _forget(tar)


def _forget(tar: tarfile.TarFile) -> None:
    """Empty tarfile's list of all members so far, which grows with the shard and which a stream has no use for."""
    tar.members = []  # type: ignore[attr-defined]


def _member_bytes(size_bytes: int) -> int:
    return _BLOCK_BYTES * (1 + -(-size_bytes // _BLOCK_BYTES))


def _extension(path: str) -> str:
    """Return the extension by which readers choose a decoder, or none where it could not be part of a name."""
    suffix = Path(path).suffix.lower()
    return suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ""
