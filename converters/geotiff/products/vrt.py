"""Finds out which files a GDAL virtual raster reads, before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .addresses import gdal_address, is_remote
from .container import Folder
from .metadata import local_name, parse_xml

_REFERENCES = ("SourceFilename", "SourceDataset", "SourceVRTFilename")
"""Elements that name a file (GDAL, VRT driver, XML schema)."""


@dataclass(frozen=True)
class VrtSources:
    """What a virtual raster reads.

    Attributes:
        files: On disk, as far as they are there.
        remote: Addresses that may need the network.
    """

    files: tuple[Path, ...]
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
    remote: set[str] = set()
    for element in parse_xml(content, uri).iter():
        text = (element.text or "").strip()
        if local_name(element) not in _REFERENCES or not text:
            continue
        address = gdal_address(text)
        if address is not None and is_remote(address):
            remote.add(address)
        else:
            files.add(path.parent / (address or text))
    return VrtSources(tuple(sorted(file for file in files if file.is_file())), tuple(sorted(remote)))
