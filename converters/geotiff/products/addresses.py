"""Addresses of files that are not plain paths: GDAL's /vsi file systems and the web; which of them need the network."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOCAL_SYSTEMS = ("vsizip", "vsitar", "vsigzip", "vsi7z", "vsirar", "vsisubfile", "vsisparse", "vsicached")
"""GDAL virtual file systems that read another file."""

_MEMORY_SYSTEMS = ("vsimem", "vsistdin")
"""Those that read what one process alone has. All others read the network."""

_SYSTEM = re.compile(r"^/(vsi\w+)/")
_LEADING_SYSTEMS = re.compile(rf"^(?:/(?:{'|'.join(_LOCAL_SYSTEMS)})/)*")
_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+):/+", re.IGNORECASE)
_SYSTEM_OF_SCHEME = {
    "http": "/vsicurl/http://",
    "https": "/vsicurl/https://",
    "s3": "/vsis3/",
    "gs": "/vsigs/",
    "az": "/vsiaz/",
}
"""How GDAL reaches what a scheme names (GDAL, Virtual File Systems)."""


def gdal_address(text: str) -> str | None:
    """Return the address under which GDAL opens something that is no plain path.

    Args:
        text: A /vsi address or a URL; of one that has been through :class:`~pathlib.Path`, which folds double slashes,
            these are mended.

    Returns:
        The address; the path itself of a ``file:`` URL; None where it is a plain path.
    """
    if _SYSTEM.match(text):
        return _with_slashes(re.sub(r"(https?|ftp):/+", r"\1://", text))
    match = _SCHEME.match(text)
    if match is None:
        return None
    scheme = match[1].lower()
    if scheme == "file":
        return unquote(urlsplit(text).path)
    return _SYSTEM_OF_SCHEME[scheme] + text[match.end() :] if scheme in _SYSTEM_OF_SCHEME else None


def _with_slashes(address: str) -> str:
    """Restore the second slash of ``/vsizip//folder/a.zip``: after a system that reads another file stands its path."""
    match = _SYSTEM.match(address)
    if match is None or match[1] not in _LOCAL_SYSTEMS:
        return address
    inner = address[match.end() :]
    if re.match(r"vsi\w+/", inner) or (local_file("/" + inner) is not None and local_file(inner) is None):
        inner = "/" + inner
    return match[0] + _with_slashes(inner)


def split_systems(address: str) -> tuple[str, str]:
    """Divide an address into the file systems that read another file, and what they read."""
    end = _LEADING_SYSTEMS.match(address).end()  # type: ignore[union-attr]  # it matches the empty text too
    return address[:end], address[end:]


def is_in_memory(address: str) -> bool:
    """Say whether an address names what no other process can read."""
    return any(system in _MEMORY_SYSTEMS for system in _systems(address))


def _systems(address: str) -> list[str]:
    return re.findall(r"/(vsi\w+)(?=[/?])", address)


def is_remote(address: str) -> bool:
    """Say whether opening an address may need the network: all that is not known to be local.

    Args:
        address: For GDAL; chains such as ``/vsizip//vsicurl/...`` count by their last link.
    """
    return any(system not in _LOCAL_SYSTEMS + _MEMORY_SYSTEMS for system in _systems(address)) or "://" in address


def public_name(address: str) -> str:
    """Return what a data set may say of an address: no password, signature or local folder."""
    if is_remote(address):
        stripped = re.sub(r"(?<=//)[^/@]*@", "", address.split("?", 1)[0])
        system = _SYSTEM.match(stripped)
        return stripped[system.end() :] if system and system[1] == "vsicurl" else stripped.lstrip("/")
    archive = local_file(address)
    if archive is None:
        return Path(address).name
    return archive.name + address.split(str(archive), 1)[1].rstrip("}")


def local_file(address: str) -> Path | None:
    """Return the archive on disk that a local /vsi address reads; None where there is none."""
    rest = address
    while match := _SYSTEM.match(rest):
        rest = rest[match.end() :].lstrip("{")
        rest = rest if rest.startswith("/vsi") else rest.replace("}", "")
    path = Path(rest)
    return next((folder for folder in (path, *path.parents) if folder.is_file()), None)
