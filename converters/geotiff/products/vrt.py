"""Finds out which files a GDAL virtual raster reads, before it is opened."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from .addresses import gdal_address, is_remote, local_file, public_name
from .container import Folder
from .metadata import local_name, parse_xml

_REFERENCES = ("SourceFilename", "SourceDataset", "SourceVRTFilename")
"""Elements that name a file (GDAL, VRT driver, XML schema)."""

_CONNECTION = re.compile(r"^(?:<|\w{2,}:)")
"""What begins so is no path: a description of a service, or a data set inside a file (``NETCDF:"a.nc":name``)."""

_URL = re.compile(r"\b(?:https?|ftp)://", re.IGNORECASE)


@dataclass(frozen=True)
class VrtSources:
    """What a virtual raster reads.

    Attributes:
        files: On disk.
        missing: Names of files that are not there.
        remote: Addresses that may need the network.
    """

    files: tuple[Path, ...]
    missing: tuple[str, ...]
    remote: tuple[str, ...]


def read_vrt_sources(path: Path, uri: str) -> VrtSources:
    """List what a virtual raster reads; nothing is opened.

    Args:
        path: The file.
        uri: Its name in messages.

    Raises:
        ItemError: If it is no XML.
    """
    content = Folder(path.parent, uri.rpartition("/")[0]).read(path.name)
    files: set[Path] = set()
    missing: set[str] = set()
    remote: set[str] = set()
    for element in parse_xml(content, uri).iter():
        text = (element.text or "").strip()
        if local_name(element) not in _REFERENCES or not text:
            continue
        address = gdal_address(text)
        if _URL.search(text) or (address is not None and is_remote(address)):
            remote.add(address or text)
            continue
        file = _file_of(path.parent, text, address)
        if file is not None:
            files.add(file)
        elif not _CONNECTION.match(address or text):
            missing.add(public_name(address or text))
    return VrtSources(tuple(sorted(files)), tuple(sorted(missing)), tuple(sorted(remote)))


def _file_of(folder: Path, text: str, address: str | None) -> Path | None:
    """Return the file on disk that a reference names; None where there is none."""
    if address is not None and address.startswith("/vsi"):
        return local_file(address)
    # GDAL takes some references from the folder of the virtual raster and others from the current one.
    candidates = (folder / (address or text), Path(address or text))
    return next((file for file in candidates if file.is_file()), None)
