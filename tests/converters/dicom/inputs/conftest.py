"""Runs the two steps of reading inputs, and makes archives of small files."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from domainvl.converters.dicom.inputs.files import FileList, find_files
from domainvl.converters.dicom.inputs.header_pass import HeaderPass, read_headers
from domainvl.converters.dicom.privacy.pseudonyms import Pseudonyms

LIMIT_BYTES = 10**8


@pytest.fixture
def pseudonyms() -> Pseudonyms:
    return Pseudonyms(b"0123456789abcdef")


@pytest.fixture
def find(pseudonyms) -> Callable[..., FileList]:
    def run(source: Path, *, leave_out: Any = (), limit_bytes: int = LIMIT_BYTES) -> FileList:
        return find_files(source, leave_out, unpack_limit_bytes=limit_bytes, pseudonyms=pseudonyms)

    return run


@pytest.fixture
def look(find, pseudonyms) -> Callable[..., HeaderPass]:
    """Find and read; the rejects of both steps together."""

    def run(source: Path, *, identifiers: bool = False, **settings: Any) -> HeaderPass:
        found = find(source, **settings)
        read = read_headers(found.refs, collect_identifiers=identifiers, pseudonyms=pseudonyms)
        return HeaderPass(
            read.instances, [*found.rejects, *read.rejects], read.identifiers, {**found.files, **read.files}
        )

    return run


@pytest.fixture
def reasons() -> Callable[..., dict[str, int]]:
    return lambda result: dict(Counter(reject.reason for reject in result.rejects))


@pytest.fixture
def as_bytes() -> Callable[[Dataset], bytes]:
    def run(made: Dataset) -> bytes:
        file = io.BytesIO()
        made.save_as(file, enforce_file_format=True)
        return file.getvalue()

    return run


@pytest.fixture
def slices(dataset, as_bytes) -> dict[str, bytes]:
    """Three slices of one series by name."""
    return {f"d/{n}": as_bytes(dataset(SOPInstanceUID=f"1.2.{n}", InstanceNumber=n)) for n in range(3)}


@pytest.fixture
def make_zip(tmp_path) -> Callable[..., Path]:
    def run(members: dict[str, bytes], name: str = "a.bin", method: int = zipfile.ZIP_DEFLATED) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(path, "w", method) as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        return path

    return run


@pytest.fixture
def make_tar(tmp_path) -> Callable[..., Path]:
    """Write a tar; members may be bytes or a TarInfo of something that has none."""

    def run(members: dict[str, Any], name: str = "a.bin", mode: str = "w", **settings: Any) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(path, mode, **settings) as archive:
            for member, content in members.items():
                if isinstance(content, tarfile.TarInfo):
                    archive.addfile(content)
                    continue
                info = tarfile.TarInfo(member)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        return path

    return run
