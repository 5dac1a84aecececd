"""A scene that is one file: which files belong to it, and what its name tells."""

from __future__ import annotations

from collections.abc import Container
from pathlib import Path, PurePosixPath

from domainvl.errors import ItemError

from .container import LocalFiles
from .dates import date_from_name
from .product import Product
from .roles import detect_sensor
from .vrt import read_vrt_sources

SCENE_SUFFIXES = (".tif", ".tiff", ".jp2", ".vrt")
PHOTO_SUFFIXES = (".png", ".jpg", ".jpeg")
"""Images that are scenes only where someone says so: folders of scenes often hold previews."""

_APPENDED = (".msk", ".msk.ovr", ".aux.xml", ".ovr")
"""Files beside a scene, its name with these appended, in which GDAL keeps a mask, a CRS, statistics or overviews."""

_REPLACED = (".tfw", ".tifw", ".tiffw", ".j2w", ".jp2w", ".pgw", ".pngw", ".jgw", ".jpgw", ".jpegw", ".wld", ".rpb")
"""Files with these in place of its extension, with a geotransform or rational polynomials (GDAL, raster drivers)."""

_STEM_APPENDED = ("_rpc.txt", "_RPC.TXT")
"""Files with these in place of its extension that hold rational polynomials (GDAL, GTiff driver)."""


def plain_product(path: Path, uri: str, beside: Container[str], *, allow_remote: bool) -> Product:
    """Describe a scene that is one file; only a virtual raster is read.

    Args:
        path: The file.
        uri: Path relative to the input folder.
        beside: Names of all files in its folder, which is faster than to ask for each.
        allow_remote: Let a virtual raster read the network.

    Raises:
        ItemError: If it is a virtual raster that is no XML, reads a file that is not there, or reads the network where
            that is not allowed.
    """
    files = [(uri, str(path)), *_sidecars(path, uri, beside)]
    if path.suffix.lower() == ".vrt":
        files += _vrt_files(path, uri, allow_remote=allow_remote)
    return Product(
        uri=uri,
        name=uri.rpartition(".")[0],
        kind="file",
        path=str(path),
        files=tuple(files),
        sensor=detect_sensor(path.stem),
        date=date_from_name(path.stem),
    )


def _sidecars(path: Path, uri: str, beside: Container[str]) -> LocalFiles:
    names = [path.name + suffix for suffix in _APPENDED]
    names += [path.stem + cased for suffix in _REPLACED for cased in (suffix, suffix.upper())]
    names += [path.stem + suffix for suffix in _STEM_APPENDED]
    folder = uri.removesuffix(path.name)
    return tuple((folder + name, str(path.with_name(name))) for name in names if name in beside)


def _vrt_files(path: Path, uri: str, *, allow_remote: bool) -> LocalFiles:
    sources = read_vrt_sources(path, uri)
    if sources.remote and not allow_remote:
        raise ItemError(
            "Cannot use a virtual raster",
            reason="remote-not-allowed",
            where=uri,
            rule=f"it reads {len(sources.remote)} files on the network",
            action="Fetch them and name the local files in it, or allow the network with --remote",
        )
    if sources.missing:
        raise ItemError(
            "Cannot use a virtual raster",
            reason="missing-file",
            where=uri,
            rule=f"it reads {len(sources.missing)} files that are not there, such as {sources.missing[0]}",
            action="Fetch them, or put them where it names them",
        )
    folder = PurePosixPath(uri).parent
    return tuple((_label(file, path.parent, folder), str(file)) for file in sources.files)


def _label(file: Path, base: Path, folder: PurePosixPath) -> str:
    """Name a file relative to the input folder where it lies beside or below the raster, else by its name alone."""
    inside = file.is_relative_to(base) and ".." not in file.parts
    return (folder / file.relative_to(base)).as_posix() if inside else file.name
