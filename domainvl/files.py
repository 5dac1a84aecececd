"""Files that are never half written, and hashes of files: what everything that touches a disk shares."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from domainvl.errors import OutputError, UsageError

_READ_CHUNK_BYTES = 1 << 20


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that under its name there is all of it or nothing, whoever else writes it at that moment.

    Args:
        path: File to write; missing folders are made.
        content: What is to be in it.

    Raises:
        OutputError: If it cannot be written.
    """
    partial = _hidden_name(path)
    with output_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise


def keyed(sha256: str, key: bytes) -> str:
    """Return what stands for the hash of a file that must not be told by it: a hash under a key, of equal length.

    Args:
        sha256: Hash of the content.
        key: The key; empty to return the hash as it is.
    """
    return hmac.new(key, sha256.encode(), hashlib.sha256).hexdigest() if key else sha256


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
            os.link(source.resolve(), target)  # the file itself: a link to a link breaks when that moves
        except FileExistsError:
            return
        except OSError:  # another file system, or one without links
            partial = _hidden_name(target)
            shutil.copyfile(source, partial)
            os.replace(partial, target)


def _hidden_name(path: Path) -> Path:
    """Return a name beside a file that nobody else uses; process numbers are the same on many machines."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}")


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


def hidden_sibling(out: Path, suffix: str) -> Path:
    """Return a hidden folder beside the target, on the same file system."""
    return out.with_name(f".{out.name}.{suffix}")


def check_target(out: Path, *, marker: str, overwrite: bool) -> None:
    """Refuse a target that is taken; ``overwrite`` replaces a folder of the same kind and nothing else.

    Args:
        out: Folder to make.
        marker: File at the top of every folder of this kind.
        overwrite: Replace one that is there.

    Raises:
        UsageError: If it is taken, or has no name of its own.
    """
    if out.name in ("", ".."):
        raise UsageError("Cannot write", where=out, rule="it must be named", action="Name a folder to make")
    if not out.exists():
        return
    if not overwrite:
        raise UsageError("Cannot write", where=out, rule="it exists", action="Name another, or add --overwrite")
    if not out.is_dir() or (any(out.iterdir()) and not (out / marker).is_file()):
        raise UsageError(
            "Cannot overwrite",
            where=out,
            rule=f"it is not of the kind that would replace it: it has no {marker}",
            action="Name another folder, or remove it yourself",
        )


def make_folder(folder: Path, out: Path, *, empty: bool) -> None:
    """Make a folder to write in.

    Args:
        folder: Folder to make.
        out: The target that the user named, for messages.
        empty: Remove what is in it.

    Raises:
        UsageError: If it cannot be made.
    """
    try:
        if empty and folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(
            "Cannot write", where=out, rule=error.strerror, action="Name a folder that can be written"
        ) from error


def take_name(work: Path, out: Path) -> None:
    """Give a folder the name of the target; an older one steps aside first, so that none is ever half deleted.

    What is in it is on the disk by then, so that after a power cut too what has its name is complete.

    Raises:
        OSError: If the file system refuses.
    """
    os.sync()
    old = hidden_sibling(out, "old")
    if out.exists():
        if old.exists():
            shutil.rmtree(old)
        out.rename(old)
    work.rename(out)
    if old.exists():
        shutil.rmtree(old)


@contextlib.contextmanager
def complete_folder(out: Path) -> Iterator[Path]:
    """Write in a hidden folder beside the target, which takes the target's name at the end of the block.

    Args:
        out: Folder to make; what may be replaced is checked by :func:`check_target` before.

    Yields:
        The hidden folder. It is removed if the block fails.

    Raises:
        UsageError: If it cannot be made.
        OutputError: If something in it cannot be written.
    """
    work = hidden_sibling(out, "partial")
    make_folder(work, out, empty=True)
    try:
        with output_errors(out):
            yield work
            take_name(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
