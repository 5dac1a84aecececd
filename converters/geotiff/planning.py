"""Finds the scenes of an input and what is known about each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from domainvl.conversion import Plan
from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.schema import Reject, Severity

from .settings import GeotiffSettings
from .vectors import VectorFile, look_at_vector_file

_SCENE_SUFFIXES = (".tif", ".tiff")
_SIDECARS = (".msk", ".aux.xml")
"""Files beside a scene, its name with these appended, in which GDAL keeps a mask or a CRS."""
_WORLD_FILES = (".tfw", ".tifw", ".tiffw", ".wld")
"""Files beside a scene, with these in place of its extension, that hold a geotransform (GDAL, GTiff driver)."""
_VECTOR_SUFFIXES = (".geojson", ".gpkg", ".shp", ".zip")
_SHAPEFILE_PARTS = (".dbf", ".shx", ".prj", ".cpg")
_CSV_COLUMNS = ("scene", "label")


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
class ObjectLabels:
    """Labelled objects in a scene.

    Attributes:
        file: The label file.
        classes: All classes that were annotated.
        shared: Whether the file covers several scenes; then one without any object was not annotated.
    """

    file: VectorFile
    classes: tuple[str, ...]
    shared: bool


Truth: TypeAlias = SceneLabel | ObjectLabels


@dataclass(frozen=True)
class Scene:
    """One scene to convert.

    Attributes:
        uri: Path relative to the input folder, with forward slashes.
        path: The file.
        truth: What is known about it.
    """

    uri: str
    path: Path
    truth: Truth

    @property
    def stem(self) -> str:
        """The uri without its extension: the group, and the start of all sample ids."""
        return self.uri.rpartition(".")[0]

    def files(self) -> list[Path]:
        """Return the files that are read to convert it: its own and those of its labels."""
        labels = _label_files(self.truth.file) if isinstance(self.truth, ObjectLabels) else {}
        return [*(path for _, path in _scene_files(self.uri, self.path)), *labels.values()]


@dataclass
class _Found:
    truths: dict[str, Truth] = field(default_factory=dict)
    sources: dict[str, Path] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)


def plan_scenes(source: Path, settings: GeotiffSettings) -> Plan[Scene]:
    """List the scenes and find the labels of each.

    Raises:
        UsageError: If a setting or the label file is wrong as a whole.
        NothingToDoError: If there is no scene.
    """
    settings.check()
    paths = _find_scenes(source)
    twins = _twins(paths)
    rejects = [
        Reject(uri, "plan", "same-name", "another scene has this name with another extension", "Rename one of them")
        for uri in twins
    ]
    scenes = {uri: path for uri, path in paths.items() if uri not in twins}
    found = _find_truths(scenes, settings)
    units = [Scene(uri, path, found.truths[uri]) for uri, path in scenes.items() if uri in found.truths]
    sources = {name: path for uri, path in paths.items() for name, path in _scene_files(uri, path)}
    return Plan(units=units, sources=sources | found.sources, rejects=(*rejects, *found.rejects))


def _find_scenes(source: Path) -> dict[str, Path]:
    if source.is_file():
        if source.suffix.lower() not in _SCENE_SUFFIXES:
            raise UsageError(
                "Cannot convert a scene",
                where=source,
                rule=f"its name must end in {' or '.join(_SCENE_SUFFIXES)}, got {source.suffix or 'no extension'}",
            )
        return {source.name: source}
    paths = {
        path.relative_to(source).as_posix(): path
        for path in source.rglob("*")
        if path.suffix.lower() in _SCENE_SUFFIXES and path.is_file()
    }
    if not paths:
        raise NothingToDoError(
            "There is no scene",
            where=source,
            rule=f"no file below it ends in {' or '.join(_SCENE_SUFFIXES)}",
            action="Name the folder with the GeoTIFF files",
        )
    return dict(sorted(paths.items()))


def _twins(paths: Mapping[str, Path]) -> list[str]:
    """Return scenes whose name without extension another scene has already."""
    seen: set[str] = set()
    twins = []
    for uri in paths:
        stem = uri.rpartition(".")[0]
        if stem in seen:
            twins.append(uri)
        seen.add(stem)
    return twins


def _scene_files(uri: str, path: Path) -> list[tuple[str, Path]]:
    names = [path.name + suffix for suffix in _SIDECARS]
    names += [path.stem + cased for suffix in _WORLD_FILES for cased in (suffix, suffix.upper())]
    folder = uri.removesuffix(path.name)
    present = [(folder + name, path.with_name(name)) for name in names if path.with_name(name).is_file()]
    return [(uri, path), *present]


def _find_truths(scenes: Mapping[str, Path], settings: GeotiffSettings) -> _Found:
    labels = settings.labels
    if labels is None:
        raise UsageError(
            "There is nothing to ask about the scenes",
            rule="no labels are given",
            action="Name in --labels a vector file (GeoJSON, Shapefile, GeoPackage), a folder with one for each scene, "
            "or a CSV with the columns scene,label",
        )
    if not labels.exists():
        raise InputNotFoundError("Cannot read labels", where=labels, rule="there is no such file or folder")
    if labels.is_dir():
        return _from_folder(labels, scenes, settings)
    if labels.suffix.lower() == ".csv":
        return _from_table(labels, scenes, settings)
    return _from_vector_file(labels, scenes, settings)


def _from_vector_file(labels: Path, scenes: Mapping[str, Path], settings: GeotiffSettings) -> _Found:
    file = _look(labels, settings)
    truth = ObjectLabels(file, _checked_classes([file], labels), shared=True)
    return _Found({uri: truth for uri in scenes}, _label_files(file))


def _from_folder(folder: Path, scenes: Mapping[str, Path], settings: GeotiffSettings) -> _Found:
    found = _Found()
    files: dict[str, VectorFile] = {}
    for uri, scene in scenes.items():
        matches = [path for suffix in _VECTOR_SUFFIXES if (path := folder / (scene.stem + suffix)).is_file()]
        if len(matches) > 1:
            raise UsageError(
                f"Cannot choose the labels of {uri}",
                where=folder,
                rule=f"there are {' and '.join(path.name for path in matches)}",
                action="Leave one of them",
            )
        if matches:
            files[uri] = _look(matches[0], settings)
            found.sources |= _label_files(files[uri])
        else:
            found.rejects.append(_no_labels(uri, f"{folder.name} has no {scene.stem}.geojson, .gpkg, .shp or .zip"))
    if files:
        classes = _checked_classes(list(files.values()), folder)
        found.truths = {uri: ObjectLabels(file, classes, shared=False) for uri, file in files.items()}
    return found


def _look(path: Path, settings: GeotiffSettings) -> VectorFile:
    return look_at_vector_file(
        path,
        f"labels/{path.name}",
        field=settings.label_field,
        one_class=settings.label_name,
        layer=settings.layer,
    )


def _label_files(file: VectorFile) -> dict[str, Path]:
    parts = [
        file.path.with_suffix(cased)
        for suffix in _SHAPEFILE_PARTS
        for cased in (suffix, suffix.upper())
        if file.path.suffix.lower() == ".shp"
    ]
    return {f"labels/{path.name}": path for path in (file.path, *parts) if path.is_file()}


def _checked_classes(files: Sequence[VectorFile], where: Path) -> tuple[str, ...]:
    names: set[str] = set()
    for file in files:
        names |= file.class_names()
    if not names:
        raise UsageError(
            "There are no labels", where=where, rule="no feature has a class", action="Check --label-field and the file"
        )
    return tuple(sorted(names))


def _from_table(table: Path, scenes: Mapping[str, Path], settings: GeotiffSettings) -> _Found:
    for name in ("label_field", "label_name", "layer"):
        if getattr(settings, name) is not None:
            raise UsageError(
                "Cannot read labels",
                where=table,
                rule=f"--{name.replace('_', '-')} is for vector labels, not for a CSV",
            )
    rows = _read_table(table)
    classes = tuple(sorted(set(rows.values())))
    found = _Found(sources={f"labels/{table.name}": table})
    used: set[str] = set()
    for uri, path in scenes.items():
        names = [name for name in (uri, path.name, path.stem) if name in rows]
        used.update(names)
        labels = {rows[name] for name in names}
        if len(labels) == 1:
            found.truths[uri] = SceneLabel(labels.pop(), classes)
        elif labels:
            found.rejects.append(_no_labels(uri, f"{table.name} gives it {' and '.join(sorted(labels))}"))
        else:
            found.rejects.append(_no_labels(uri, f"{table.name} has no row for it"))
    found.rejects += [
        Reject(f"labels/{table.name}#{name}", "plan", "no-such-scene", "there is no scene of this name")
        for name in sorted(rows.keys() - used)
    ]
    return found


def _read_table(table: Path) -> dict[str, str]:
    rows: dict[str, str] = {}
    try:
        with table.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines)
            missing = [name for name in _CSV_COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise UsageError(
                    "Cannot read labels",
                    where=table,
                    rule=f"the first line must name the columns scene,label; there is no {' and no '.join(missing)}",
                )
            for row in reader:
                scene, label = ((row[name] or "").strip() for name in _CSV_COLUMNS)
                if not scene or not label or rows.get(scene, label) != label:
                    rule = "a scene has two labels" if scene in rows and label else "scene and label must both be given"
                    raise UsageError("Cannot read labels", where=f"{table}:{reader.line_num}", rule=rule)
                rows[scene] = label
    except UnicodeDecodeError as error:
        raise UsageError("Cannot read labels", where=table, rule=f"it must be UTF-8 ({error})") from error
    if not rows:
        raise UsageError("There are no labels", where=table, rule="it has no rows")
    return rows


def _no_labels(uri: str, message: str) -> Reject:
    return Reject(uri, "plan", "no-labels", message, "Add its labels, or leave it out of the input", Severity.FAILED)
