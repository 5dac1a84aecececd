"""Finds the scenes of an input: folder products, packed or not, and plain files that belong to none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from domainvl.errors import InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.schema import Reject

from .addresses import gdal_address, is_in_memory, is_remote, local_file, public_name
from .container import Folder, join_uri
from .dates import date_from_name
from .landsat import METADATA_SUFFIXES, product_id_of, read_landsat
from .plain import PHOTO_SUFFIXES, SCENE_SUFFIXES, plain_product
from .product import Product
from .roles import detect_sensor
from .safe import METADATA_NAMES
from .search import SAFE_SUFFIX, Search, add_archive, add_landsat, add_safe, add_stac

_PACKED_TWICE = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
"""Archives in which a pixel is found only by unpacking all that lies before it."""


@dataclass(frozen=True)
class Found:
    """What an input holds.

    Attributes:
        products: Scenes, sorted by uri; no two have the same name.
        rejects: What was left out or cannot be used.
    """

    products: tuple[Product, ...]
    rejects: tuple[Reject, ...]


def find_products(source: Path | str, *, allow_remote: bool = False, photos: bool = False) -> Found:
    """Find the scenes of an input. Metadata is read, pixels are not, and nothing is fetched.

    Args:
        source: A folder, searched with all below it; a scene; the folder or metadata file of a product; an archive
            with products; a STAC item; a /vsi address or URL of one file.
        allow_remote: Take what lies on the network: such an address, assets of STAC items, files of virtual rasters.
        photos: Take .png and .jpg below a folder; one that is named itself is always taken.

    Raises:
        InputNotFoundError: If there is no such input.
        UsageError: If it is a file of another kind, or remote and that is not allowed.
        NothingToDoError: If there is nothing in it.
    """
    search = Search(allow_remote, photos)
    address = gdal_address(str(source))
    path = Path(source if address is None else address)
    if address is not None and address.startswith("/vsi"):
        search.products.append(_product_at_address(address, allow_remote=allow_remote))
    elif path.is_dir():
        _search_folder(path, search)
    elif path.is_file():
        _search_file(path, search)
    else:
        raise InputNotFoundError("Cannot convert scenes", where=path, rule="there is no such file or folder")
    if not search.products and not search.rejects:
        raise NothingToDoError(
            "There is no scene",
            where=path,
            rule=f"it holds no product and no file that ends in {', '.join(SCENE_SUFFIXES)}",
            action="Name the folder with the scenes",
        )
    return _settle(search)


def _search_folder(source: Path, search: Search) -> None:
    def refuse(error: OSError) -> None:
        uri = _relative(Path(error.filename), source) or "."
        search.rejects.append(Reject(uri, "plan", "folder-open", str(error.strerror), "Make the folder readable"))

    for root, folders, names in os.walk(source, onerror=refuse):
        folder, uri = Path(root), _relative(Path(root), source)
        folders.sort()
        for name in folders:
            if (folder / name).is_symlink():
                message = "it is a link to a folder, which is not followed"
                search.leave_out(join_uri(uri, name), "linked-folder", message, "Name the folder itself as input")
        if folder.suffix.upper() == SAFE_SUFFIX or any(name in names for name in METADATA_NAMES):
            folders.clear()
            add_safe(Folder(folder, uri or folder.resolve().name), names, search)
        else:
            _add_files(folder, uri, sorted(names), search)


def _add_files(folder: Path, uri: str, names: list[str], search: Search) -> None:
    product_ids = add_landsat(Folder(folder, uri), names, search)
    beside = frozenset(names)
    for name in names:
        if not any(name.startswith(product_id + "_") for product_id in product_ids):
            _add_file(folder / name, join_uri(uri, name), beside, search)


def _add_file(path: Path, uri: str, beside: frozenset[str], search: Search) -> None:
    suffix = path.suffix.lower()
    if suffix in SCENE_SUFFIXES or (search.photos and suffix in PHOTO_SUFFIXES):
        if path.is_file():
            search.add(uri, lambda: plain_product(path, uri, beside, allow_remote=search.allow_remote))
        else:
            search.rejects.append(Reject(uri, "plan", "scene-open", "it is a broken link", "Fetch the file again"))
    elif suffix in (".zip", ".tar"):
        add_archive(path, uri, search, is_named=False)
    elif path.name.lower().endswith(_PACKED_TWICE) and detect_sensor(path.name.split(".")[0]):
        search.refuse(uri, _packed_twice(uri))


def _search_file(path: Path, search: Search) -> None:
    """Take one file that is named itself."""
    suffix, name = path.suffix.lower(), path.name
    if suffix in (*SCENE_SUFFIXES, *PHOTO_SUFFIXES):
        beside = frozenset(os.listdir(path.parent))
        search.add(name, lambda: plain_product(path, name, beside, allow_remote=search.allow_remote))
    elif name in METADATA_NAMES:
        add_safe(Folder(path.parent, path.parent.resolve().name), [name], search)
    elif product_id := product_id_of(name):
        search.add(product_id, lambda: read_landsat(Folder(path.parent, ""), name, uri=product_id, name=product_id))
    elif suffix in (".zip", ".tar"):
        add_archive(path, name, search, is_named=True)
    elif name.lower().endswith(_PACKED_TWICE):
        raise UsageError("Cannot convert an archive", where=path, rule=_packed_twice(name).rule, action="Unpack it")
    elif suffix == ".json":
        add_stac(path, name, search)
    else:
        suffixes = (*SCENE_SUFFIXES, *PHOTO_SUFFIXES, ".zip", ".tar", ".json", *METADATA_NAMES, *METADATA_SUFFIXES)
        raise UsageError(
            "Cannot convert a scene",
            where=path,
            rule=f"its name must end in {', '.join(suffixes)}, got {path.suffix or 'no extension'}",
        )


def _product_at_address(address: str, *, allow_remote: bool) -> Product:
    uri, archive = public_name(address), local_file(address)
    if is_remote(address) and not allow_remote:
        raise UsageError(
            "Cannot convert a scene",
            where=uri,
            rule="it lies on the network, and nothing is fetched unasked",
            action="Fetch it, or allow the network with --remote",
        )
    if is_in_memory(address):
        raise UsageError(
            "Cannot convert a scene",
            where=uri,
            rule="it lies in the memory of one process, and scenes are read by several",
            action="Write it to a file",
        )
    if not is_remote(address) and archive is None:
        raise InputNotFoundError("Cannot convert scenes", where=address, rule="there is no such archive")
    name = _stem(uri.partition("://")[2] or uri)
    return Product(
        uri=uri,
        name=name,
        kind="file",
        path=address,
        files=((archive.name, str(archive)),) if archive else (),
        sensor=detect_sensor(name.rpartition("/")[2]),
        date=date_from_name(name.rpartition("/")[2]),
    )


def _settle(search: Search) -> Found:
    """Sort, and see to it that no pixels and no names are there twice."""
    owned = {path for product in search.products if product.kind != "file" for _, path in product.files}
    scenes = {path for product in search.products for _, path in product.files[:1]}
    kept: dict[str, Product] = {}
    for product in sorted(search.products, key=lambda product: product.uri):
        if product.kind == "file" and product.path in owned:
            continue
        if product.path.lower().endswith(".vrt") and {path for _, path in product.files[1:]} & (owned | scenes):
            message = "it shows files that are scenes of the same input themselves"
            search.leave_out(product.uri, "vrt-of-scenes", message, "Name it itself as input to convert it instead")
        elif product.name in kept:
            message = "another scene has this name with another extension"
            search.rejects.append(Reject(product.uri, "plan", "same-name", message, "Rename one of them"))
        else:
            kept[product.name] = product
    rejects = sorted(search.rejects, key=lambda reject: (reject.input, reject.reason))
    return Found(tuple(kept.values()), tuple(rejects))


def _packed_twice(uri: str) -> ItemError:
    return ItemError(
        "Cannot read a packed product",
        reason="archive-compressed",
        where=uri,
        rule="a compressed .tar cannot be read in place",
        action="Unpack it",
    )


def _relative(path: Path, source: Path) -> str:
    relative = path.relative_to(source).as_posix()
    return "" if relative == "." else relative


def _stem(uri: str) -> str:
    folder, slash, name = uri.rpartition("/")
    return folder + slash + (name.rpartition(".")[0] or name)
