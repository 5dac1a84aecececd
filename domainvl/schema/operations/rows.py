"""What all operations on whole data sets share: lines as they stand, checked once, and what to say of an input.

Nothing here holds more than one record; what operations remember of a sample is a few numbers.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domainvl import __version__
from domainvl.errors import DatasetError, InputNotFoundError, UsageError
from domainvl.files import check_target, hash_file, hidden_sibling
from domainvl.schema.card import join_licences
from domainvl.schema.images import ImageStore
from domainvl.schema.reader import read_manifest
from domainvl.schema.record import from_record, image_paths
from domainvl.schema.sample import Record, Sample, Split
from domainvl.schema.writer import MANIFEST_NAME, REJECTS_NAME, Reject

_VALIDATE = "See all that is wrong with: domainvl validate"
_IMAGE_FOLDER = "images/"
_MANIFEST_KINDS: Mapping[str, tuple[type, ...]] = {
    "name": (str,),
    "command": (str,),
    "settings": (dict,),
    "versions": (dict,),
    "licence": (str, type(None)),
    "sources": (list,),
}
_KIND_NAMES = {str: "text", dict: "an object", list: "a list", type(None): "null"}


@dataclass(frozen=True)
class Row:
    """One line of a data set.

    Attributes:
        dataset: Folder of the data set.
        split: The split in whose file it stands.
        number: Number of the line, from 1.
        offset: Where it begins in the file, in bytes.
        record: What it says.
    """

    dataset: Path
    split: Split
    number: int
    offset: int
    record: Record

    @property
    def place(self) -> str:
        """File and line, for messages."""
        return place(self.dataset, self.split, self.number)

    @property
    def truth(self) -> dict[str, Any]:
        """The part of the record that is domainvl's."""
        truth: dict[str, Any] = self.record["domainvl"]
        return truth


def place(dataset: Path, split: Split, number: int) -> str:
    """Name a line by its file and number."""
    return f"{dataset / f'{split.value}.jsonl'}:{number}"


@dataclass(frozen=True)
class InputSet:
    """A data set that an operation reads.

    Attributes:
        folder: Where it lies.
        manifest: What made it.
    """

    folder: Path
    manifest: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, folder: Path) -> InputSet:
        """Open a data set.

        Raises:
            InputNotFoundError: If the folder or one of its files is not there.
            DatasetError: If the manifest is not a JSON object, or a value in it is of the wrong kind.
        """
        manifest = read_manifest(folder)
        for key, kinds in _MANIFEST_KINDS.items():
            if not isinstance(manifest.get(key), kinds):
                raise DatasetError(
                    "Unreadable manifest",
                    where=folder,
                    rule=f"{key} must be {' or '.join(_KIND_NAMES[kind] for kind in kinds)}, "
                    f"got {json.dumps(manifest.get(key))[:80]}",
                    action=_VALIDATE,
                )
        for name in (*(f"{split.value}.jsonl" for split in Split), REJECTS_NAME):
            if not (folder / name).is_file():
                raise InputNotFoundError("Cannot read a data set", where=folder, rule=f"{name} is missing")
        return cls(folder, manifest)

    @property
    def name(self) -> str:
        """The name that the data set has."""
        return str(self.manifest["name"])

    def rows(self) -> Iterator[Row]:
        """Yield all lines, split by split in file order, without looking at what they say.

        Raises:
            DatasetError: Naming file and line, if a line is not JSON.
        """
        for split in Split:
            offset = 0
            with (self.folder / f"{split.value}.jsonl").open("rb") as lines:
                for number, line in enumerate(lines, start=1):
                    yield Row(self.folder, split, number, offset, _parse(line, place(self.folder, split, number)))
                    offset += len(line)

    def checked_rows(self) -> Iterator[tuple[Row, Sample]]:
        """Yield all lines with their samples, after checking each.

        Raises:
            DatasetError: Naming file, line and rule, if a line is no sample, stands in the file of another split, or
                names an image outside of the data set's images.
        """
        for row in self.rows():
            try:
                sample = from_record(row.record)
            except DatasetError as error:
                raise DatasetError(error.what, where=row.place, rule=error.rule, action=_VALIDATE) from error
            if sample.split is not row.split:
                raise DatasetError(
                    "Misplaced sample",
                    where=row.place,
                    rule=f"it must stand in the file of its split, which is {sample.split.value}",
                    action="Move the line, or make the data set again with domainvl convert",
                )
            for path in image_paths(row.record):
                _check_image_path(path, row.place)
            yield row, sample

    def record_at(self, split: Split, offset: int) -> Record:
        """Read the line again that begins at ``offset`` of a split's file."""
        with (self.folder / f"{split.value}.jsonl").open("rb") as lines:
            lines.seek(offset)
            return _parse(lines.readline(), str(self.folder))

    def rejects(self) -> Iterator[Reject]:
        """Yield what was left out when the data set was made.

        Raises:
            DatasetError: Naming file and line, if a line is no reject.
        """
        path = self.folder / REJECTS_NAME
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                fields = _parse(line, f"{path}:{number}")
                try:
                    yield Reject.read(fields)
                except (KeyError, TypeError, ValueError) as error:
                    raise DatasetError(
                        "Unreadable reject", where=f"{path}:{number}", rule=str(error), action=_VALIDATE
                    ) from error

    def describe(self) -> dict[str, Any]:
        """Say for a manifest which data set this was: what made it, and hashes of its samples."""
        return {
            "name": self.name,
            **{key: self.manifest[key] for key in ("command", "settings", "versions", "licence")},
            "sha256": {f"{split.value}.jsonl": hash_file(self.folder / f"{split.value}.jsonl") for split in Split},
        }


def _parse(line: bytes, where: str) -> Record:
    try:
        record: object = json.loads(line, parse_constant=_refuse_constant)
    except ValueError as error:  # not JSON, or not UTF-8
        raise DatasetError(
            "Unreadable line", where=where, rule=f"each line must be one JSON object ({error})", action=_VALIDATE
        ) from error
    if not isinstance(record, dict):
        raise DatasetError("Unreadable line", where=where, rule="each line must be one JSON object", action=_VALIDATE)
    return record


def _refuse_constant(name: str) -> None:
    raise ValueError(f"numbers must be finite, got {name}")


def _check_image_path(path: str, where: str) -> None:
    """Refuse a path that would be written beside the images: it could reach any file of the machine."""
    inside = path.startswith(_IMAGE_FOLDER) and posixpath.normpath(path) == path and "\\" not in path
    if not inside:
        raise DatasetError(
            "Cannot take over an image",
            where=where,
            rule=f"its path must lie below {_IMAGE_FOLDER} and be in its shortest form, got {path!r}",
            action=_VALIDATE,
        )


def check_output(out: Path, inputs: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse an output folder that is taken or that would be mixed up with an input.

    The hidden folders beside it count as well: they are emptied.

    Raises:
        UsageError: If it is taken, or if it is an input, contains one or lies inside one.
    """
    for folder in (out, hidden_sibling(out, "partial"), hidden_sibling(out, "old")):
        ours = folder.resolve()
        for given in inputs:
            theirs = given.resolve()
            if theirs.is_relative_to(ours) or ours.is_relative_to(theirs):
                raise UsageError(
                    "Cannot write a data set",
                    where=out,
                    rule=f"it must not be the input {given}, contain it or lie inside it",
                    action="Name another folder",
                )
    check_target(out, marker=MANIFEST_NAME, overwrite=overwrite)


def adopt_images(store: ImageStore, row: Row) -> None:
    """Take over the images of a line without decoding them.

    Raises:
        DatasetError: If one is not there.
        OutputError: If one cannot be written.
    """
    for path in image_paths(row.record):
        store.adopt(row.dataset, path)


def unite_sources(inputs: Sequence[InputSet]) -> list[dict[str, Any]]:
    """List the source files of several data sets, each once, in the order in which they are named."""
    sources: dict[str, dict[str, Any]] = {}
    for given in inputs:
        for source in given.manifest["sources"]:
            sources.setdefault(json.dumps(source, sort_keys=True), source)
    return list(sources.values())


def unite_versions(inputs: Sequence[InputSet]) -> dict[str, str]:
    """List the versions of what took part in several data sets, all of them where they differ; of domainvl ours."""
    found: dict[str, list[str]] = {}
    for given in inputs:
        for name, version in given.manifest["versions"].items():
            found.setdefault(str(name), []).append(str(version))
    united = {name: ", ".join(dict.fromkeys(versions)) for name, versions in sorted(found.items())}
    return {"domainvl": __version__} | {name: text for name, text in united.items() if name != "domainvl"}


def unite_licences(inputs: Sequence[InputSet]) -> str | None:
    """Name the licence on which all data sets agree, or all of them."""
    return join_licences([given.manifest["licence"] for given in inputs])


def canonical(value: object) -> str:
    """Write a JSON value so that equal values are equal texts, whatever the order of their keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
