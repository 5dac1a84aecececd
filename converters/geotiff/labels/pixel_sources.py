"""Label files in pixels, of whatever format: found by their look, read once, and given out by scene."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Literal, TypeAlias

from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema import Reject

from .box_table import is_box_table, read_box_table
from .coco import CocoFile
from .dota import read_dota
from .pixel_labels import PixelLabels
from .voc import read_voc
from .xview import XVIEW_CLASSES, is_xview, read_xview

PixelLabelKind: TypeAlias = Literal["box-table", "voc", "coco", "dota", "xview"]

_SUFFIXES: dict[str, Callable[[Path], PixelLabelKind | None]] = {
    ".xml": lambda path: "voc",
    ".txt": lambda path: "dota",
    ".csv": lambda path: "box-table" if is_box_table(path) else None,
    ".json": lambda path: "xview" if is_xview(path) else None if _is_geojson(path) else "coco",
    ".geojson": lambda path: "xview" if is_xview(path) else None,
}
_GDAL_SIDECAR = ".aux.xml"
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class PixelLabelOptions:
    """How label files are read.

    Attributes:
        label_field: Column of a table of boxes that holds the class.
        one_class: One class for all objects instead of their own.
        voc_one_based: Whether VOC files count pixels from 1 and include the last.
    """

    label_field: str | None = None
    one_class: str | None = None
    voc_one_based: bool = False


@dataclass(frozen=True)
class MatchedLabels:
    """What the scenes of an input have of some labels.

    Attributes:
        labels: By the uri of the scene; one that nobody labelled is not in it.
        rejects: Scenes whose labels cannot be used, and labels without a scene.
    """

    labels: Mapping[str, PixelLabels]
    rejects: tuple[Reject, ...]


@dataclass(frozen=True)
class _Entry:
    """What a source has of one image.

    Attributes:
        place: Where in the source it stands, for messages.
        names: The names by which the image may be known, the best first.
        found: Its labels, or why they cannot be used.
    """

    place: str
    names: tuple[str, ...]
    found: PixelLabels | ItemError


@dataclass
class PixelLabelSource:
    """A label file or folder that was read.

    Attributes:
        kind: Its format.
        classes: All classes that were annotated, sorted.
        sources: The files, with the name under which each may be mentioned.
        rejects: What of it belongs to no image.
    """

    kind: PixelLabelKind
    classes: tuple[str, ...] = ()
    sources: dict[str, Path] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)
    _entries: list[_Entry] = field(default_factory=list)

    def match(self, uris: Iterable[str]) -> MatchedLabels:
        """Give each scene its labels, by path below the input, by file name, or by name without extension.

        Args:
            uris: The scenes, as paths below the input with forward slashes.
        """
        index = _index(uris)
        rejects = list(self.rejects)
        claims: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            scenes = _scenes_of(entry, index)
            if not scenes:
                message = f"there is no scene named {' or '.join(dict.fromkeys(entry.names))}"
                rejects.append(Reject(entry.place, "plan", "no-such-scene", message))
            for uri in scenes:
                claims.setdefault(uri, []).append(entry if len(scenes) == 1 else _ambiguous(entry, scenes))
        labels: dict[str, PixelLabels] = {}
        for uri, entries in sorted(claims.items()):
            found = entries[0].found if len(entries) == 1 else _two_labels(uri, entries)
            if isinstance(found, PixelLabels):
                labels[uri] = found
            else:
                rejects.append(Reject(uri, "plan", found.reason, str(found), found.action))
        return MatchedLabels(labels, tuple(rejects))

    def _take(self, path: Path, uri: str, options: PixelLabelOptions) -> set[str]:
        """Read one file; returns the classes that it says were looked for.

        Raises:
            ItemError: If it cannot be used.
        """
        self.sources[uri] = path
        one_class = options.one_class
        if self.kind == "coco":
            file = CocoFile(path, uri, one_class=one_class)
            self.rejects += file.rejects
            self._entries += [_Entry(f"{uri}#{name}", (name,), labels) for name, labels in file.images.items()]
            return file.classes
        if self.kind in ("voc", "dota"):
            self._entries.append(_read_one_image(self.kind, path, uri, options))
            return set()
        if self.kind == "box-table":
            images = read_box_table(path, uri, label_field=options.label_field, one_class=one_class)
        else:
            images = read_xview(path, uri, one_class=one_class)
        self._entries += [_Entry(f"{uri}#{name}", (name,), labels) for name, labels in images.items()]
        return set(XVIEW_CLASSES.values()) if self.kind == "xview" and one_class is None else set()

    def _used_classes(self) -> set[str]:
        labels = [entry.found for entry in self._entries if isinstance(entry.found, PixelLabels)]
        return {thing.name for found in labels for thing in found.objects}


def pixel_label_kind(path: Path) -> PixelLabelKind | None:
    """Say of which format a label file or folder is; None where it holds no labels in pixels.

    A CSV is a table of boxes by its columns, a GeoJSON one of xView by its properties, any other .json is COCO. A
    folder is of the format of its files.

    Raises:
        UsageError: If a folder holds several of these formats.
    """
    if path.is_file():
        look = _SUFFIXES.get(path.suffix.lower())
        return look(path) if look is not None else None
    kinds = {pixel_label_kind(file) for file in _files_in(path)} - {None}
    if len(kinds) > 1:
        raise UsageError(
            "Cannot read labels",
            where=path,
            rule=f"files of several formats are in it: {', '.join(sorted(map(str, kinds)))}",
            action="Leave files of one format",
        )
    return kinds.pop() if kinds else None


def look_at_pixel_labels(
    path: Path, options: PixelLabelOptions | None = None, *, name: str | None = None
) -> PixelLabelSource:
    """Read labels in pixels.

    In a folder with a file an image, one that cannot be read costs its scene only.

    Args:
        path: File or folder.
        options: How it is read.
        name: How it is mentioned; as ``labels/NAME`` where None, and the files of a folder as ``labels/FILE``.

    Raises:
        UsageError: If it is of none of the formats, or the one file cannot be used.
        NothingToDoError: If no object is in it.
    """
    options = options or PixelLabelOptions()
    kind = pixel_label_kind(path)
    if kind is None:
        raise UsageError(
            "Cannot read labels", where=path, rule="it is no table of boxes, COCO, Pascal VOC, DOTA or xView"
        )
    source = PixelLabelSource(kind)
    classes: set[str] = set()
    for file in [path] if path.is_file() else _files_in(path):
        if pixel_label_kind(file) != kind:
            continue
        try:
            classes |= source._take(file, _label_uri(file, path, name), options)
        except ItemError as error:
            if path.is_file() or kind not in ("voc", "dota"):
                raise UsageError(error.what, where=error.where, rule=error.rule, action=error.action) from error
            source._entries.append(_Entry(_label_uri(file, path, name), (file.stem,), error))
    source.classes = tuple(sorted(classes | source._used_classes()))
    if not source.classes:
        raise NothingToDoError("There are no labels", where=path, rule="no object that can be used is in it")
    return source


def _read_one_image(kind: PixelLabelKind, path: Path, uri: str, options: PixelLabelOptions) -> _Entry:
    if kind == "dota":
        return _Entry(uri, (path.stem,), read_dota(path, uri, one_class=options.one_class))
    name, labels = read_voc(path, uri, one_based=options.voc_one_based, one_class=options.one_class)
    return _Entry(uri, (path.stem, name) if name else (path.stem,), labels)


def _files_in(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and not path.name.endswith(_GDAL_SIDECAR)
    )


def _label_uri(path: Path, root: Path, name: str | None) -> str:
    """Return the name by which a label file is mentioned, the same wherever it lies."""
    if path == root:
        return name or f"labels/{path.name}"
    return f"{name or 'labels'}/{path.relative_to(root).as_posix()}"


def _is_geojson(path: Path) -> bool:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    return b'"FeatureCollection"' in head or b'"Feature"' in head


def _index(uris: Iterable[str]) -> dict[str, list[str]]:
    """Return scenes by file name, and by that without its extension."""
    index: dict[str, list[str]] = {}
    for uri in uris:
        name = PurePosixPath(uri).name
        for key in dict.fromkeys((name, PurePosixPath(name).stem)):
            index.setdefault(key, []).append(uri)
    return index


def _scenes_of(entry: _Entry, index: Mapping[str, list[str]]) -> list[str]:
    """Return the scenes that the first name with any may mean."""
    for name in entry.names:
        path = PurePosixPath(name.replace("\\", "/"))
        scenes = [uri for uri in index.get(path.name, ()) if _same_folder(path, PurePosixPath(uri))]
        exact = [uri for uri in scenes if uri == path.as_posix()]
        if scenes:
            return exact or scenes
    return []


def _same_folder(named: PurePosixPath, scene: PurePosixPath) -> bool:
    """Say whether two folders agree as far as both are told."""
    first, second = named.parent.parts, scene.parent.parts
    shared = min(len(first), len(second))
    return first[len(first) - shared :] == second[len(second) - shared :]


def _ambiguous(entry: _Entry, scenes: list[str]) -> _Entry:
    error = ItemError(
        "Cannot choose the scene of labels",
        reason="ambiguous-labels",
        where=entry.place,
        rule=f"{entry.names[0]} may be {' or '.join(scenes)}",
        action="Name scenes in the label file by their path below the input folder",
    )
    return replace(entry, found=error)


def _two_labels(uri: str, entries: list[_Entry]) -> ItemError:
    return ItemError(
        "Cannot choose the labels of a scene",
        reason="ambiguous-labels",
        where=uri,
        rule=f"{' and '.join(entry.place for entry in entries)} may mean it",
        action="Leave one of them, or name scenes by their path below the input folder",
    )
