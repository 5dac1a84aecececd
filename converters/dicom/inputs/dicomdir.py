"""The files that a DICOMDIR names (PS3.10 8, PS3.3 F). Its tree is of no interest: series are found by headers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError
from pydicom.uid import MediaStorageDirectoryStorage

from domainvl.errors import ItemError, UsageError

from ..headers import PARSE_ERRORS, number_of, text_of, value_of
from .deflated import check_deflated_file
from .quiet import quiet_pydicom

_INACTIVE = 0x0000
"""RecordInUseFlag of a record that was taken out of the file set (PS3.3 F.3.2.2)."""


def is_dicomdir(dataset: Dataset) -> bool:
    """Whether a data set is a directory of others."""
    is_named_so = text_of(meta_of(dataset), "MediaStorageSOPClassUID") == MediaStorageDirectoryStorage
    return is_named_so or "DirectoryRecordSequence" in dataset


def meta_of(dataset: Dataset) -> Dataset:
    """Return the file meta information of a data set, the data set itself where it has none."""
    meta = getattr(dataset, "file_meta", None)
    return meta if isinstance(meta, Dataset) else dataset


def read_dicomdir(path: Path) -> list[tuple[str, ...]] | None:
    """Return the components of the names of the files that a DICOMDIR lists, each once, in its order.

    Returns:
        None for a file that is no DICOMDIR.

    Raises:
        UsageError: If it is one and cannot be read.
    """
    with quiet_pydicom():
        try:
            with path.open("rb") as file:
                check_deflated_file(file)
            dataset = dcmread(path, stop_before_pixels=True, specific_tags=["DirectoryRecordSequence"])
        except (InvalidDicomError, ItemError, *PARSE_ERRORS):
            return None  # as a file like others, it is looked at again
        if not is_dicomdir(dataset):
            return None
        try:
            return list(dict.fromkeys(_names(dataset)))
        except PARSE_ERRORS as error:
            raise UsageError(
                "Cannot read the DICOMDIR",
                where=path,
                rule=f"its records are damaged ({type(error).__name__})",
                action="Name the folder instead: the files in it are found without a DICOMDIR",
            ) from error


def _names(dataset: Dataset) -> Iterator[tuple[str, ...]]:
    for record in value_of(dataset, "DirectoryRecordSequence") or ():
        file_id = value_of(record, "ReferencedFileID")
        if file_id is None or number_of(record, "RecordInUseFlag") == _INACTIVE:
            continue
        parts = [file_id] if isinstance(file_id, str) else list(file_id)
        # Components never hold separators (PS3.10 8.2); some writers put the whole path into one.
        yield tuple(part for text in parts for part in str(text).replace("\\", "/").split("/"))


def locate(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """Find a file below the folder of its DICOMDIR; upper and lower case are one, as on the CDs that these come from.

    Returns:
        None where there is no such file.
    """
    at = folder
    for part in parts:
        exact = at / part
        if not exact.exists():
            if not at.is_dir():
                return None
            same = sorted(entry.name for entry in at.iterdir() if entry.name.casefold() == part.casefold())
            if not same:
                return None
            exact = at / same[0]
        at = exact
    return at if at.is_file() else None


def leads_out(parts: tuple[str, ...]) -> bool:
    """Whether a name does not stay below the folder of its DICOMDIR."""
    return not parts or any(part in ("", ".", "..") or ":" in part for part in parts)
