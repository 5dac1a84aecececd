"""Files that are never half written, and hashes of files: what everything that touches a disk shares."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import OutputError

_READ_CHUNK_BYTES = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that under its name there is all of it or nothing, whoever else writes it at that moment.

    Args:
        path: File to write; missing folders are made.
        content: What is to be in it.

    Raises:
        OutputError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name; where the file system cannot do that, copy it. A target that exists is kept.

    Raises:
        OutputError: If it cannot be written.
    """
    if target.exists():
        return
    with output_errors(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except FileExistsError:
            return
        except OSError:  # another file system, or one without links
            partial = target.with_name(f".{target.name}.{os.getpid()}")
            shutil.copyfile(source, partial)
            os.replace(partial, target)


@contextlib.contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an operating system's refusal to write into one of our errors.

    Raises:
        OutputError: Instead of OSError.
    """
    try:
        yield
    except OSError as error:
        raise OutputError.of(error, path) from error


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
