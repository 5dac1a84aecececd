"""The run of unpacking: the data set that was packed, byte for byte, or an error."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import DatasetError
from domainvl.files import write_atomically
from domainvl.schema.exchange.folder import output_folder, path_inside
from domainvl.schema.packing import parquet, webdataset
from domainvl.schema.packing.shards import (
    EXTRA_FOLDER,
    PackIndex,
    ShardReader,
    SplitFacts,
    UnpackedSample,
    check_file,
)
from domainvl.schema.record import image_paths
from domainvl.schema.writer import MANIFEST_NAME

_READERS: dict[str, ShardReader] = {webdataset.FORMAT: webdataset.read_tar, parquet.FORMAT: parquet.read_parquet}
_AGAIN = "Pack the data set again with domainvl pack"


@dataclass(frozen=True)
class UnpackSummary:
    """What unpacking did: the folder that was made, and how many samples are in it."""

    out: Path
    sample_count: int


def unpack_dataset(
    packed: Path, out: Path, *, overwrite: bool = False, on_progress: Callable[[int, int], None] | None = None
) -> UnpackSummary:
    """Give back the data set that was packed, byte for byte.

    Every file is checked against the hash in the index before it is read, and the lines against that of the data set.

    Args:
        packed: Folder that :func:`~domainvl.schema.packing.pack.pack_dataset` made.
        out: Folder of the data set to make.
        overwrite: Replace a data set that is there.
        on_progress: Called with the number of samples done and the number of all.

    Raises:
        InputNotFoundError: If the folder, its index or a file that it lists is not there.
        DatasetError: If a file is damaged or would be written outside of the data set.
        UsageError: If ``out`` is taken or a package is missing.
        OutputError: If the output cannot be written.
    """
    index = PackIndex.read(packed)
    reader = _READERS.get(index.format)
    if reader is None or index.version != 1:
        raise DatasetError(
            "Unreadable index",
            where=packed,
            rule=f"format must be one of {', '.join(_READERS)} and version 1, got {index.format!r}, {index.version}",
            action="Unpack it with the version of domainvl that packed it",
        )
    total = sum(split.sample_count for split in index.splits)
    done = 0
    with output_folder(out, packed, marker=MANIFEST_NAME, overwrite=overwrite) as work:
        for split in index.splits:
            digest = hashlib.sha256()
            count = 0
            with path_inside(work, split.name).open("wb") as lines:
                for facts in split.shards:
                    for sample in reader(check_file(packed, facts)):
                        _put_images(work, sample, packed / facts.name)
                        count += 1
                        is_last = count == split.sample_count and not split.ends_with_line_break
                        line = sample.line if is_last else sample.line + b"\n"
                        lines.write(line)
                        digest.update(line)
                        done += 1
                        if on_progress is not None:
                            on_progress(done, total)
            _check_split(packed, split, count, digest.hexdigest())
        for facts in index.extra:
            target = path_inside(work, facts.name.removeprefix(f"{EXTRA_FOLDER}/"))
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(check_file(packed, facts), target)
    return UnpackSummary(out, done)


def _put_images(work: Path, sample: UnpackedSample, where: Path) -> None:
    try:
        paths = image_paths(json.loads(sample.line))
        if not all(isinstance(path, str) for path in paths):
            raise ValueError(f"image must hold paths, got {paths!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DatasetError("Unreadable sample", where=where, rule=str(error), action=_AGAIN) from error
    if len(paths) != len(sample.images):
        raise DatasetError(
            "Unreadable sample",
            where=where,
            rule=f"it names {len(paths)} images and comes with {len(sample.images)}",
            action=_AGAIN,
        )
    for path, content in zip(paths, sample.images, strict=True):
        target = path_inside(work, path)
        if not target.exists():
            write_atomically(target, content)


def _check_split(packed: Path, split: SplitFacts, count: int, sha256: str) -> None:
    if count != split.sample_count or sha256 != split.sha256:
        raise DatasetError(
            "Damaged data set",
            where=packed,
            rule=f"{split.name} must have {split.sample_count} lines with SHA-256 {split.sha256}, got {count} lines "
            f"with {sha256}",
            action=_AGAIN,
        )
