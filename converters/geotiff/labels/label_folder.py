"""Finds in a folder the label file of each scene: one named as the scene, in the folder of the same name or in none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from domainvl.errors import UsageError
from domainvl.schema import Reject, Severity

from ..products import Product
from .pixel_sources import pixel_label_kind

VECTOR_SUFFIXES = (".geojson", ".json", ".gpkg", ".shp", ".zip", ".fgb")
RASTER_SUFFIXES = (".tif", ".tiff")
_SCENE_SUFFIXES = (*RASTER_SUFFIXES, ".zip")
"""What lies in a folder with scenes may be one, or a part of one."""


@dataclass(frozen=True)
class MatchedFiles:
    """The label files of a folder.

    Attributes:
        by_scene: The file of each scene that has one, by the uri of the scene.
        rejects: Scenes without labels, and label files without a scene.
    """

    by_scene: Mapping[str, Path]
    rejects: tuple[Reject, ...]


def match_label_files(folder: Path, products: Sequence[Product]) -> MatchedFiles:
    """Give each scene the vector file or class raster that is named as it is, whatever the case of the extension.

    A file that lies in the folder as the scene does in the input counts before one directly in the folder; that must
    fit one scene only.

    Args:
        folder: The folder with the label files; scenes may lie in it too.
        products: The scenes.

    Raises:
        UsageError: If a scene has two files of equal standing.
    """
    files = _files_by_name(folder, products)
    found: dict[str, Path] = {}
    by_flat_name: dict[str, list[str]] = {}
    for product in products:
        name = _name_of(product)
        if name in files:
            found[product.uri] = _only(files[name], product.uri, folder)
        elif PurePosixPath(name).name in files:
            by_flat_name.setdefault(PurePosixPath(name).name, []).append(product.uri)
    rejects: list[Reject] = []
    ambiguous = {name: uris for name, uris in by_flat_name.items() if len(uris) > 1}
    for name, uris in by_flat_name.items():
        if name in ambiguous:
            rejects += [_ambiguous(uri, name, uris) for uri in uris]
        else:
            found[uris[0]] = _only(files[name], uris[0], folder)
    told = {uri for uris in ambiguous.values() for uri in uris}
    rejects += [_without(folder, product) for product in products if product.uri not in {*found, *told}]
    used = {*found.values(), *(path for name in ambiguous for path in files[name])}
    unused = sorted(path for paths in files.values() for path in paths if path not in used)
    rejects += [_no_scene(folder, path) for path in unused if not _may_be_scene(path, folder, products)]
    return MatchedFiles(
        {product.uri: found[product.uri] for product in products if product.uri in found}, tuple(rejects)
    )


def no_labels(uri: str, message: str) -> Reject:
    """Say that a scene has no labels."""
    return Reject(uri, "plan", "no-labels", message, "Add its labels, or leave it out of the input", Severity.FAILED)


def _files_by_name(folder: Path, products: Sequence[Product]) -> dict[str, list[Path]]:
    """Return the vector files and class rasters, but for the scenes, by their path below the folder without suffix."""
    scenes = {_located(product, path) for product in products for _, path in product.files}
    scenes |= {_located(product, product.path) for product in products}
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        is_label = path.suffix.lower() in (*VECTOR_SUFFIXES, *RASTER_SUFFIXES) and not path.name.startswith(".")
        if is_label and path.resolve() not in scenes and path.is_file() and pixel_label_kind(path) is None:
            files.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return files


def _name_of(product: Product) -> str:
    """Return what the label file of a scene is called: as its file without the extension, or as its folder."""
    path = PurePosixPath(product.uri)
    return str(path if product.bands else path.with_suffix(""))


def _only(paths: Sequence[Path], uri: str, folder: Path) -> Path:
    if len(paths) > 1:
        raise UsageError(
            f"Cannot choose the labels of {uri}",
            where=folder,
            rule=f"there are {' and '.join(path.name for path in paths)}",
            action="Leave one of them",
        )
    return paths[0]


def _ambiguous(uri: str, name: str, uris: Sequence[str]) -> Reject:
    message = f"{name} may mean {' or '.join(uris)}"
    action = "Put the labels of each into a folder that is named as that of the scene"
    return Reject(uri, "plan", "ambiguous-labels", message, action)


def _without(folder: Path, product: Product) -> Reject:
    name = PurePosixPath(_name_of(product)).name
    return no_labels(product.uri, f"{folder.name} has no {name}.geojson, .gpkg, .shp, .fgb, .zip or .tif")


def _no_scene(folder: Path, path: Path) -> Reject:
    name = path.relative_to(folder).as_posix()
    return Reject(f"labels/{name}", "plan", "no-such-scene", "there is no scene of this name")


def _may_be_scene(path: Path, folder: Path, products: Sequence[Product]) -> bool:
    """Say whether a file may be of a scene and no label: it is a raster in a folder that holds scenes too."""
    if path.suffix.lower() not in _SCENE_SUFFIXES:
        return False
    return any(_located(product, product.path).is_relative_to(folder.resolve()) for product in products)


def _located(product: Product, path: str) -> Path:
    return Path(product.locate(path)).resolve()
