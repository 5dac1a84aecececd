"""What a scene is as it is delivered: one file with all bands, or a folder with a file a band and a metadata file.

Whatever the delivery, a scene becomes a :class:`Product`: bands with names and roles, each in some file, with the
scale and offset that turn what is stored into a physical value. How to find products is in :mod:`.discovery`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from .addresses import split_systems

ProductKind: TypeAlias = Literal["file", "sentinel-2-safe", "landsat-collection-2", "stac-item"]

_ROOT = "{root}"
"""Stands for the input folder at the beginning of paths."""


@dataclass(frozen=True)
class Band:
    """One band of a product.

    Attributes:
        name: As the product calls it: ``"B04"``, ``"SR_B4"``; of a plain file its description, or its number.
        role: What it measures, in lower case: ``"red"``, ``"nir"``, ``"swir1"``, ``"vv"``; None where unknown.
        path: The file, or an address that GDAL opens (``/vsizip/...``).
        number: Number of the band in that file, from 1.
        scale: Physical value = stored value x scale + offset.
        offset: See ``scale``.
        nodata: Stored value of missing pixels where the product's metadata, not the file, names it.
        gsd_m: Nominal side of a pixel, where the product states one.
    """

    name: str
    role: str | None
    path: str
    number: int
    scale: float = 1.0
    offset: float = 0.0
    nodata: float | None = None
    gsd_m: float | None = None


@dataclass(frozen=True)
class Product:
    """One scene.

    Attributes:
        uri: Path relative to the input folder, with forward slashes; of a folder product that of the folder.
        name: What samples and groups are named after: ``uri`` without the extension.
        kind: How it was delivered.
        path: The file, folder or address.
        files: All local files that are read, with the name under which each may be mentioned. The first is the
            one whose hash stands for the scene. Empty where all is remote.
        bands: Bands by metadata; empty for a plain file, whose bands its own header tells when it is opened.
        sensor: Key into the presets of :mod:`.sensors`, or None where unknown.
        is_sensor_stated: Whether the user named the sensor.
        date: Acquisition as far as it is known: ``YYYY-MM-DD``, ``YYYY-MM`` or ``YYYY``, or None.
        details: Further facts worth keeping, such as the processing baseline, as (key, value).
        gsd_m: Side of a pixel, where metadata says it and the pixels have no georeference.
        missing: Bands that the metadata names but whose file is not there: name, role and file of each.
        root: Folder that ``{root}`` stands for in paths, so that a scene is the same wherever the input lies.
    """

    uri: str
    name: str
    kind: ProductKind
    path: str
    files: tuple[tuple[str, str], ...]
    bands: tuple[Band, ...] = ()
    sensor: str | None = None
    is_sensor_stated: bool = False
    date: str | None = None
    details: tuple[tuple[str, str], ...] = ()
    gsd_m: float | None = None
    missing: tuple[tuple[str, str | None, str], ...] = ()
    root: Path | None = None

    def locate(self, path: str) -> str:
        """Return a path or address as GDAL opens it here."""
        systems, rest = split_systems(path)
        if self.root is None or not _is_below(rest, _ROOT):
            return path
        return systems + (str(self.root).rstrip("/") + rest.removeprefix(_ROOT) or "/")

    def below(self, root: Path) -> Product:
        """Return the product with its paths as places below a folder, as far as they are below it."""
        folder = str(root.absolute()).rstrip("/")

        def relative(path: str) -> str:
            systems, rest = split_systems(path)
            rest = str(Path(rest).absolute())
            return systems + _ROOT + rest.removeprefix(folder) if _is_below(rest, folder) else path

        return replace(
            self,
            root=root,
            path=relative(self.path),
            files=tuple((uri, relative(path)) for uri, path in self.files),
            bands=tuple(replace(band, path=relative(band.path)) for band in self.bands),
        )

    def without_folders(self, message: str) -> str:
        """Return a message of another library with the names of files in place of where they lie here.

        What a data set says must not depend on the folder of its input.
        """
        names: dict[str, str] = {}
        for uri, path in self.files:
            located = self.locate(path)
            names |= {located: uri, str(Path(located).absolute()): uri}
        folder = None if self.root is None else str(self.root.absolute())
        if folder is not None and folder != "/":
            names |= {f"{folder}/": "", folder: "."}
        for path in sorted(names, key=len, reverse=True):
            message = message.replace(path, names[path])
        return message


def _is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")
