"""Takes the products that a search comes across: Sentinel-2, Landsat, STAC items, packed ones; notes what is none."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from domainvl.errors import ItemError, UsageError
from domainvl.schema import Reject, Severity

from .container import Archive, ArchiveKind, Container, Folder, join_uri, open_archive
from .landsat import METADATA_SUFFIXES, product_id_of, read_landsat
from .plain import SCENE_SUFFIXES
from .product import Product
from .roles import detect_sensor
from .safe import METADATA_NAMES, explain_no_metadata, read_safe
from .stac import read_stac_item

SAFE_SUFFIX = ".SAFE"


@dataclass
class Search:
    """A search under way: what is allowed, and what has been found.

    Attributes:
        allow_remote: Whether what lies on the network may be taken.
        photos: Whether .png and .jpg below a folder are taken.
        products: Found so far.
        rejects: Left out or not usable, so far.
    """

    allow_remote: bool
    photos: bool
    products: list[Product] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)

    def add(self, uri: str, read: Callable[[], Product]) -> None:
        """Take a product, or list why it is none; the others go on."""
        try:
            product = read()
        except ItemError as error:
            self.refuse(uri, error)
            return
        self.products.append(product)
        coarser = dict(product.details).get("coarser_bands")
        if coarser is not None:
            message = f"the finest files of some bands are not there, so coarser ones are used: {coarser}"
            self.leave_out(uri, "finer-file-missing", message, "Fetch the whole product again")

    def refuse(self, uri: str, error: ItemError) -> None:
        """List something that cannot be used."""
        self.rejects.append(Reject(uri, "plan", error.reason, str(error), error.action))

    def leave_out(self, uri: str, reason: str, message: str, action: str) -> None:
        """List something that is left out as intended."""
        self.rejects.append(Reject(uri, "plan", reason, message, action, Severity.SKIPPED))


def add_safe(container: Container, names: Sequence[str], search: Search) -> None:
    """Take a Sentinel-2 product, or say why a folder that is called one is none.

    Args:
        container: The folder.
        names: Files directly in it.
        search: Takes what is found.
    """
    uri = container.uri
    metadata = next((name for name in METADATA_NAMES if name in names), None)
    if metadata is None:
        search.refuse(uri, explain_no_metadata(sorted(names), uri))
    else:
        search.add(
            uri, lambda: read_safe(container, metadata, uri=uri, name=without_suffix(uri, SAFE_SUFFIX, ".zip", ".tar"))
        )


def add_landsat(container: Folder, names: Sequence[str], search: Search) -> list[str]:
    """Take the products whose metadata lies in a folder; return what the names of their files begin with."""
    metadata = _landsat_metadata(names)
    for product_id, name in metadata.items():
        is_own_folder = container.uri.rpartition("/")[2] == product_id
        uri = container.uri if is_own_folder else join_uri(container.uri, product_id)
        _add_landsat_product(container, name, uri, search)
    return list(metadata)


def _add_landsat_product(container: Container, metadata_name: str, uri: str, search: Search) -> None:
    name = without_suffix(uri, ".zip", ".tar")
    search.add(uri, lambda: read_landsat(container, metadata_name, uri=uri, name=name))


def _landsat_metadata(names: Sequence[str]) -> dict[str, str]:
    """Return the metadata file of each Landsat product, by product id."""
    found: dict[str, str] = {}
    for end in METADATA_SUFFIXES:
        for name in names:
            if product_id := product_id_of(name, end):
                found.setdefault(product_id, name)
    return dict(sorted(found.items()))


def add_archive(path: Path, uri: str, search: Search, *, is_named: bool) -> None:
    """Take the products in an archive; others, such as zipped labels, are left alone unless they hold scenes.

    Raises:
        UsageError: If it is the input itself and holds no product.
    """
    kind: ArchiveKind = "zip" if path.suffix.lower() == ".zip" else "tar"
    try:
        archive = open_archive(path, uri, kind)
    except ItemError as error:
        if is_named or detect_sensor(path.stem):
            search.refuse(uri, error)
        return
    roots = _product_roots(archive)
    for root, label, metadata in roots:
        inner = uri if len(roots) == 1 else join_uri(uri, label)
        container = replace(archive, uri=inner, root=root)
        if metadata in METADATA_NAMES:
            add_safe(container, [metadata], search)
        else:
            _add_landsat_product(container, metadata, inner, search)
    if not roots:
        _leave_out_archive(archive, search, is_named=is_named)


def _leave_out_archive(archive: Archive, search: Search, *, is_named: bool) -> None:
    """Say why an archive without products is not read, where it is meant to be or holds scenes.

    Raises:
        UsageError: If it is the input itself.
    """
    scenes = sorted(name for name in archive.names if name.lower().endswith(SCENE_SUFFIXES))
    rule = "it holds no Sentinel-2 or Landsat product with its metadata; other scenes are not read from archives"
    action = "Unpack it"
    if is_named:
        if scenes:
            action += f", or name one of its {len(scenes)} scenes: {archive.address(scenes[0])}"
        raise UsageError("Cannot convert an archive", where=archive.path, rule=rule, action=action)
    if scenes:
        action += f", or name a scene in it as input: /vsi{archive.kind}/ARCHIVE/{scenes[0]}"
        search.leave_out(archive.uri, "archive-not-read", rule, action)


def _product_roots(archive: Archive) -> list[tuple[str, str, str]]:
    """Return folder, name and metadata file of each product in an archive."""
    by_root: dict[str, list[str]] = {}
    for name in archive.names:
        folder, slash, file = name.rpartition("/")
        by_root.setdefault(folder + slash, []).append(file)
    roots = []
    for root, files in sorted(by_root.items()):
        safe = next((name for name in METADATA_NAMES if name in files), None)
        landsat = {} if safe else _landsat_metadata(files)
        roots += [(root, root.rstrip("/"), safe)] if safe else []
        roots += [(root, root + product_id, name) for product_id, name in landsat.items()]
    return roots


def add_stac(path: Path, uri: str, search: Search) -> None:
    """Take a STAC item."""
    name = without_suffix(uri, ".json")
    search.add(uri, lambda: read_stac_item(path, uri=uri, name=name, allow_remote=search.allow_remote))


def without_suffix(uri: str, *suffixes: str) -> str:
    """Return a name without one of these endings, in any case."""
    return next((uri[: -len(end)] for end in suffixes if uri.lower().endswith(end.lower())), uri)
