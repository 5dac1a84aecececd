"""Finds what is known about each scene of a plan: its label, its labelled objects, or its raster of classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from domainvl.errors import ItemError, UsageError
from domainvl.schema import Reject

from ..products import Product
from ..settings import GeotiffSettings
from .census import Census, take_census
from .class_raster import ClassRaster, look_at_class_raster
from .label_folder import RASTER_SUFFIXES, match_label_files, no_labels
from .pixel_labels import PixelLabels
from .pixel_sources import PixelLabelOptions, look_at_pixel_labels, pixel_label_kind
from .text_files import check_columns, read_table
from .vector_file import VectorFile, look_at_vector_file, unreadable

_SHAPEFILE_PARTS = (".dbf", ".shx", ".prj", ".cpg")
_TABLE_COLUMNS = ("scene", "label")


@dataclass(frozen=True)
class SceneLabel:
    """One label for all of a scene.

    Attributes:
        label: The label.
        classes: All labels that any scene has.
    """

    label: str
    classes: tuple[str, ...]


@dataclass(frozen=True)
class VectorObjects:
    """Labelled objects of a vector file.

    Attributes:
        file: The label file.
        classes: All classes that were annotated.
        shared: Whether the file covers several scenes; then one without any object was not annotated.
        unclear: Classes with a feature that lies nobody knows where.
        placeless_count: How many such features there are.
    """

    file: VectorFile
    classes: tuple[str, ...]
    shared: bool
    unclear: frozenset[str] = frozenset()
    placeless_count: int = 0


@dataclass(frozen=True)
class PixelObjects:
    """Labelled objects in stored pixels of the scene.

    Attributes:
        labels: The objects.
        path: The label file.
        classes: All classes that were annotated.
    """

    labels: PixelLabels
    path: Path
    classes: tuple[str, ...]

    @property
    def unclear(self) -> frozenset[str]:
        """Classes of which something is in the image, nobody knows where."""
        return frozenset(self.labels.unclear)


@dataclass(frozen=True)
class ClassCover:
    """The class of each pixel.

    Attributes:
        raster: The raster of class numbers.
        classes: All classes that it may have.
    """

    raster: ClassRaster
    classes: tuple[str, ...]


Truth: TypeAlias = SceneLabel | VectorObjects | PixelObjects | ClassCover


@dataclass
class FoundTruths:
    """What is known about the scenes.

    Attributes:
        truths: By the uri of the scene.
        sources: The label files, with the name under which each may be mentioned.
        rejects: Scenes without labels, and labels without a scene.
    """

    truths: dict[str, Truth] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


def find_truths(products: Sequence[Product], settings: GeotiffSettings) -> FoundTruths:
    """Find what is known about each scene.

    Args:
        products: The scenes.
        settings: Names the labels and how they are read.

    Raises:
        UsageError: If there are no labels, or the labels are wrong as a whole.
    """
    labels = settings.labels
    if labels is None:
        raise UsageError(
            "There is nothing to ask about the scenes",
            rule="no labels are given",
            action="Name in --labels a vector file (GeoJSON, Shapefile, GeoPackage, FlatGeobuf), a folder with one for "
            "each scene, boxes in pixels (CSV, COCO, Pascal VOC, DOTA), a raster of class numbers, or a CSV with the "
            "columns scene,label",
        )
    if labels.is_dir():
        return _from_folder(labels, products, settings)
    if pixel_label_kind(labels) is not None:
        return _from_pixels(labels, products, settings)
    if labels.suffix.lower() == ".csv":
        return _from_table(labels, products, settings)
    if labels.suffix.lower() in RASTER_SUFFIXES:
        raster = _look_at_raster(labels, f"labels/{labels.name}", settings)
        return FoundTruths({product.uri: raster for product in products}, label_files(raster))
    file, census = _look_at_vectors(labels, f"labels/{labels.name}", settings)
    truth = _vector_objects(file, census, _checked_classes([census], labels), shared=True)
    return FoundTruths({product.uri: truth for product in products}, label_files(truth), list(census.rejects))


def label_files(truth: Truth | None) -> dict[str, Path]:
    """Return the files of what is known about a scene, each with the name under which it may be mentioned."""
    match truth:
        case VectorObjects(file=file):
            parts = [
                file.path.with_suffix(cased)
                for suffix in _SHAPEFILE_PARTS
                for cased in (suffix, suffix.upper())
                if file.path.suffix.lower() == ".shp"
            ]
            folder = file.uri.rpartition("/")[0]
            return {f"{folder}/{path.name}": path for path in (file.path, *parts) if path.is_file()}
        case PixelObjects(labels=labels, path=path):
            return {labels.uri: path}
        case ClassCover(raster=raster):
            return {raster.uri: raster.path}
        case _:
            return {}


def _from_folder(folder: Path, products: Sequence[Product], settings: GeotiffSettings) -> FoundTruths:
    matched = match_label_files(folder, products)
    if not matched.by_scene and pixel_label_kind(folder) is not None:
        return _from_pixels(folder, products, settings)
    found = FoundTruths(rejects=list(matched.rejects))
    files: dict[str, tuple[VectorFile, Census]] = {}
    broken: dict[str, UsageError] = {}
    for uri, path in matched.by_scene.items():
        name = f"labels/{path.relative_to(folder).as_posix()}"
        try:
            if path.suffix.lower() in RASTER_SUFFIXES:
                found.truths[uri] = _look_at_raster(path, name, settings)
            else:
                files[uri] = _look_at_vectors(path, name, settings)
        except UsageError as error:  # one bad file costs its scene only
            broken[uri] = error
    if broken and not files and not found.truths:
        raise next(iter(broken.values()))
    for uri, cause in broken.items():
        found.rejects.append(Reject(uri, "plan", "label-file", _message(cause, folder), cause.action))
    if files:
        classes = _checked_classes([census for _, census in files.values()], folder)
        for uri, (file, census) in files.items():
            found.truths[uri] = _vector_objects(file, census, classes, shared=False)
            found.rejects += census.rejects
    for truth in found.truths.values():
        found.sources |= label_files(truth)
    return found


def _message(error: UsageError, folder: Path) -> str:
    """Say what is wrong without the folder, which must not enter the data set."""
    return str(error).replace(f"{folder}/", "labels/")


def _vector_objects(file: VectorFile, census: Census, classes: tuple[str, ...], *, shared: bool) -> VectorObjects:
    return VectorObjects(file, classes, shared, census.unclear, census.placeless_count)


def _look_at_vectors(path: Path, uri: str, settings: GeotiffSettings) -> tuple[VectorFile, Census]:
    file = look_at_vector_file(
        path, uri, field=settings.label_field, one_class=settings.label_name, layer=settings.layer
    )
    try:
        return file, take_census(file)
    except ItemError as error:
        raise unreadable(path, error) from error


def _look_at_raster(path: Path, uri: str, settings: GeotiffSettings) -> ClassCover:
    _refuse(path, settings, ("label_field", "label_name", "layer"), "a raster of class numbers")
    raster = look_at_class_raster(path, uri, class_names=settings.class_names)
    return ClassCover(raster, raster.classes)


def _checked_classes(censuses: Sequence[Census], where: Path) -> tuple[str, ...]:
    names: set[str] = set().union(*(census.classes for census in censuses))
    if not names:
        raise UsageError(
            "There are no labels", where=where, rule="no feature has a class", action="Check --label-field and the file"
        )
    return tuple(sorted(names))


def _from_pixels(labels: Path, products: Sequence[Product], settings: GeotiffSettings) -> FoundTruths:
    _refuse(labels, settings, ("layer", "class_names"), "labels in pixels")
    options = PixelLabelOptions(settings.label_field, settings.label_name, settings.voc_one_based)
    source = look_at_pixel_labels(labels, options)
    matched = source.match([product.uri for product in products])
    found = FoundTruths(sources=dict(source.sources), rejects=list(matched.rejects))
    rejected = {reject.input for reject in matched.rejects}
    for product in products:
        if product.uri in matched.labels:
            of_scene = matched.labels[product.uri]
            found.truths[product.uri] = PixelObjects(of_scene, source.sources[of_scene.uri], source.classes)
        elif product.uri not in rejected:
            found.rejects.append(no_labels(product.uri, f"{labels.name} says nothing about it"))
    return found


def _from_table(table: Path, products: Sequence[Product], settings: GeotiffSettings) -> FoundTruths:
    _refuse(table, settings, ("label_field", "label_name", "layer", "class_names"), "a CSV of scenes")
    rows = _read_scene_table(table)
    classes = tuple(sorted(set(rows.values())))
    found = FoundTruths(sources={f"labels/{table.name}": table})
    used: set[str] = set()
    for product in products:
        path = Path(product.uri)
        names = [name for name in dict.fromkeys((product.uri, path.name, path.stem)) if name in rows]
        used.update(names)
        labels = {rows[name] for name in names}
        if len(labels) == 1:
            found.truths[product.uri] = SceneLabel(labels.pop(), classes)
        elif labels:
            found.rejects.append(no_labels(product.uri, f"{table.name} gives it {' and '.join(sorted(labels))}"))
        else:
            found.rejects.append(no_labels(product.uri, f"{table.name} has no row for it"))
    found.rejects += [
        Reject(f"labels/{table.name}#{name}", "plan", "no-such-scene", "there is no scene of this name")
        for name in sorted(rows.keys() - used)
    ]
    return found


def _refuse(labels: Path, settings: GeotiffSettings, names: Sequence[str], kind: str) -> None:
    """Refuse options that mean nothing for labels of this kind."""
    for name in names:
        if getattr(settings, name) is not None:
            option = f"--{name.replace('_', '-')}"
            raise UsageError("Cannot read labels", where=labels, rule=f"{option} means nothing for {kind}")


def _read_scene_table(table: Path) -> Mapping[str, str]:
    labels: dict[str, str] = {}
    try:
        names, rows = read_table(table, table.name)
        check_columns(table.name, names, [name for name in _TABLE_COLUMNS if name not in names])
        for line, row in rows:
            scene, label = (row[name] for name in _TABLE_COLUMNS)
            if not scene or not label or labels.get(scene, label) != label:
                rule = "a scene has two labels" if scene in labels and label else "scene and label must both be given"
                raise UsageError("Cannot read labels", where=f"{table}:{line}", rule=rule)
            labels[scene] = label
    except ItemError as error:
        raise unreadable(table, error) from error
    if not labels:
        raise UsageError("There are no labels", where=table, rule="it has no rows")
    return labels
