"""Joins whole data sets: their samples in the order given, each sample once, no group divided.

The inputs are read twice. The first time each line leaves five numbers behind, by which samples that are there twice
and groups that lie in two splits are found; the second time the lines are written.
"""

from __future__ import annotations

import filecmp
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import DatasetError, NothingToDoError, UsageError
from domainvl.files import output_errors
from domainvl.schema.digests import digest_text
from domainvl.schema.operations.rows import (
    InputSet,
    Row,
    adopt_images,
    canonical,
    check_output,
    unite_licences,
    unite_sources,
    unite_versions,
)
from domainvl.schema.record import image_paths
from domainvl.schema.sample import Record, Split
from domainvl.schema.writer import DatasetWriter

_SPLITS = tuple(Split)

_USUAL = ("official", "scene")
"""By what converters of nuScenes split where nobody says it, whichever the tables allow."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class MergedInput:
    """What became of one of the data sets.

    Attributes:
        folder: Where it lies.
        prefix: What stands before its ids and groups now; empty where nothing does.
        sample_count: Samples taken from it.
        repeated_count: Samples left out because an identical one was there already.
    """

    folder: Path
    prefix: str
    sample_count: int
    repeated_count: int


@dataclass(frozen=True)
class MergeSummary:
    """What was merged.

    Attributes:
        out: Folder of the new data set.
        manifest: Its manifest.
        sample_count: Number of samples.
        inputs: The data sets that were merged.
        notes: What the user should know; kept in the manifest.
    """

    out: Path
    manifest: dict[str, Any]
    sample_count: int
    inputs: tuple[MergedInput, ...]
    notes: tuple[str, ...] = ()


def merge_datasets(
    datasets: Sequence[Path], out: Path, *, prefix: bool = False, overwrite: bool = False
) -> MergeSummary:
    """Join data sets into one.

    Samples keep their split. A sample that is there twice in identical form is taken once. Equal ids of different
    samples are refused, unless ``prefix`` puts ``<name of the data set>/`` before ids and groups; of data sets of the
    same name the later ones are then called ``<name>-2`` and so on. With ``prefix`` groups of the same name in two data
    sets count as different groups.

    Args:
        datasets: Folders of the data sets, in order.
        out: Folder of the new one.
        prefix: Put the name of the data set before ids and groups.
        overwrite: Replace a data set that is there.

    Raises:
        InputNotFoundError: If a data set or one of its files is not there.
        DatasetError: If a line is no sample, different samples have the same id, a group lies in different splits, or
            different images have the same path.
        NothingToDoError: If no data set has a sample.
        UsageError: If there are fewer than two data sets, one is named twice, or the output folder is taken or is,
            contains or lies inside an input.
    """
    _check_inputs(datasets)
    check_output(out, datasets, overwrite=overwrite)
    inputs = [InputSet.open(folder) for folder in datasets]
    prefixes = _prefixes(inputs) if prefix else [""] * len(inputs)
    survey = _Survey(inputs, prefixes)
    keep = survey.first_of_identical()
    survey.check_ids(keep)
    survey.check_groups(keep)
    merged = tuple(
        MergedInput(given.folder, prefix_of, int(kept.sum()), int((~kept).sum()))
        for given, prefix_of, kept in zip(inputs, prefixes, survey.by_input(keep), strict=True)
    )
    notes = _notes(inputs)
    with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        for given in inputs:
            for reject in given.rejects():
                writer.reject(reject)
        images = _Images(writer, inputs)
        for (index, row), wanted in zip(survey.rows(), keep.tolist(), strict=True):
            if wanted:
                _put_prefix(row.record, prefixes[index])
                writer.add_record(row.record)
                images.adopt(index, row)
        manifest = writer.finish(
            command="merge",
            settings={
                "prefix": prefix,
                "data_sets": [
                    given.describe()
                    | {"prefix": part.prefix, "samples": part.sample_count, "repeated": part.repeated_count}
                    for given, part in zip(inputs, merged, strict=True)
                ],
            },
            sources=unite_sources(inputs),
            versions=unite_versions(inputs),
            licence=unite_licences(inputs),
            notes=notes,
        )
        return MergeSummary(out, manifest, writer.sample_count, merged, tuple(manifest.get("notes", ())))


def _check_inputs(datasets: Sequence[Path]) -> None:
    if len(datasets) < 2:
        raise UsageError("Cannot merge", rule=f"it takes two data sets or more, got {len(datasets)}")
    seen: dict[Path, Path] = {}
    for folder in datasets:
        other = seen.setdefault(folder.resolve(), folder)
        if other is not folder:
            raise UsageError("Cannot merge", where=folder, rule="this data set is named twice", action="Name it once")


def _prefixes(inputs: Sequence[InputSet]) -> list[str]:
    names: list[str] = []
    for given in inputs:
        name, number = given.name, 1
        while name in names:
            number += 1
            name = f"{given.name}-{number}"
        names.append(name)
    return [f"{name}/" for name in names]


def _put_prefix(record: Record, prefix: str) -> None:
    record["id"] = prefix + record["id"]
    record["domainvl"]["group"] = prefix + record["domainvl"]["group"]


class _Survey:
    """All lines of all inputs, in the order in which they are written, as a few numbers each.

    Args:
        inputs: The data sets.
        prefixes: What is put before the ids and groups of each.
    """

    def __init__(self, inputs: Sequence[InputSet], prefixes: Sequence[str]) -> None:
        self._inputs = inputs
        self._starts: list[int] = []
        ids, groups, splits = array("Q"), array("Q"), array("B")
        # A line is told by 128 bits: were two different ones taken for one, a sample would be lost.
        contents = (array("Q"), array("Q"))
        for given, prefix in zip(inputs, prefixes, strict=True):
            self._starts.append(len(ids))
            for row, sample in given.checked_rows():
                ids.append(digest_text(prefix + sample.id))
                groups.append(digest_text(prefix + sample.group))
                splits.append(_SPLITS.index(sample.split))
                content = canonical(row.record)
                contents[0].append(digest_text(content))
                contents[1].append(digest_text(f"again {content}"))
        if not ids:
            raise NothingToDoError("There is nothing to merge", rule="none of the data sets has a sample")
        self._ids, self._groups = np.frombuffer(ids, dtype=np.uint64), np.frombuffer(groups, dtype=np.uint64)
        self._splits = np.frombuffer(splits, dtype=np.uint8)
        self._contents = tuple(np.frombuffer(part, dtype=np.uint64) for part in contents)

    def rows(self) -> Iterator[tuple[int, Row]]:
        """Yield all lines again, each with the index of its data set."""
        for index, given in enumerate(self._inputs):
            for row in given.rows():
                yield index, row

    def by_input(self, of_rows: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.bool_]]:
        """Cut an array with one entry a line into one for each data set."""
        return np.split(of_rows, self._starts[1:])

    def first_of_identical(self) -> npt.NDArray[np.bool_]:
        """Say for each line whether no identical one comes before it."""
        first, second = self._contents
        order = np.lexsort((np.arange(len(first)), second, first))
        repeats = (first[order][1:] == first[order][:-1]) & (second[order][1:] == second[order][:-1])
        keep = np.ones(len(first), dtype=np.bool_)
        keep[order[1:][repeats]] = False
        return keep

    def check_ids(self, keep: npt.NDArray[np.bool_]) -> None:
        """Refuse different samples with the same id.

        Raises:
            DatasetError: Naming both.
        """
        pair = _first_pair(np.flatnonzero(keep), self._ids)
        if pair is None:
            return
        first, second = (self._row(index) for index in pair)
        raise DatasetError(
            "Cannot merge",
            where=second.place,
            rule=f"ids must be unique, and {second.record['id']!r} is also that of another sample, in {first.place}",
            action="Add --prefix to put the name of the data set before ids and groups, if these are different things",
        )

    def check_groups(self, keep: npt.NDArray[np.bool_]) -> None:
        """Refuse a group that lies in two splits.

        Raises:
            DatasetError: Naming it.
        """
        for index in range(1, len(_SPLITS)):
            later = np.flatnonzero(keep & (self._splits == index))
            earlier = np.flatnonzero(keep & (self._splits < index))
            clashing = later[np.isin(self._groups[later], self._groups[earlier])]
            if not clashing.size:
                continue
            of_group = earlier[self._groups[earlier] == self._groups[clashing[0]]]
            first, second = self._row(int(of_group[0])), self._row(int(clashing[0]))
            raise DatasetError(
                "Cannot merge",
                where=second.place,
                rule=f"a group is never divided, but {second.truth['group']!r} is in {second.split.value} here and in "
                f"{first.split.value} in {first.place}",
                action=_draw_alike(first, second),
            )

    def _row(self, index: int) -> Row:
        return next(row for number, (_, row) in enumerate(self.rows()) if number == index)


def _draw_alike(first: Row, second: Row) -> str:
    """Say how two samples of one group get into one split."""
    if first.truth.get("fixed_split") or second.truth.get("fixed_split"):
        return (
            "The source fixes this split, which domainvl split leaves as it is: convert both again with the same "
            "options for splits, such as --split-by, --val-fraction, --test-fraction and --split-seed; where official "
            "lists contradict each other, with --split-by scene"
        )
    return (
        "Draw the splits of both data sets with domainvl split, with the same fractions and seed and without "
        "--stratify: a group then lands in the same split in each"
    )


def _notes(inputs: Sequence[InputSet]) -> list[str]:
    """Warn of data sets whose splits keep different things together: equal names of groups say nothing then."""
    told = [part for given in inputs for part in _split_by(given.name, given.manifest["settings"])]
    if not told or set.intersection(*(values for _, values in told)):
        return []
    said = ", ".join(f"{name}: {' or '.join(sorted(values))}" for name, values in told)
    return [
        f"The data sets were not split by the same thing ({said}), so that what one has in training another may have "
        "in its test split under another name. domainvl validate finds images that are in two splits; to be safe, "
        "convert them again with the same --split-by"
    ]


def _split_by(name: str, settings: Any) -> Iterator[tuple[str, set[str]]]:
    """Yield by what a data set, or each that it was merged of, may have been split: all that a default may choose."""
    if not isinstance(settings, dict):
        return
    if "split_by" in settings:
        value = settings["split_by"]
        yield name, set(_USUAL) if value is None else {str(value)}
    parts = settings.get("data_sets")
    for part in parts if isinstance(parts, list) else []:
        if isinstance(part, dict):
            yield from _split_by(str(part.get("name")), part.get("settings"))


def _first_pair(rows: npt.NDArray[np.intp], hashes: Hashes) -> tuple[int, int] | None:
    """Return the first line whose hash an earlier one has, after that earlier one."""
    of_rows = hashes[rows]
    order = np.lexsort((rows, of_rows))
    repeats = np.flatnonzero(of_rows[order][1:] == of_rows[order][:-1])
    if not repeats.size:
        return None
    best = repeats[np.argmin(rows[order[repeats + 1]])]
    return int(rows[order[best]]), int(rows[order[best + 1]])


class _Images:
    """Takes over images, after making sure that one path does not stand for two pictures.

    Args:
        writer: Where to.
        inputs: The data sets.
    """

    def __init__(self, writer: DatasetWriter, inputs: Sequence[InputSet]) -> None:
        self._store = writer.images
        self._inputs = inputs
        self._last: tuple[int, frozenset[str]] = (0, frozenset())

    def adopt(self, index: int, row: Row) -> None:
        """Take over the images of a line of the data set with this index.

        Raises:
            DatasetError: If an earlier data set has another picture under the same path.
        """
        paths = image_paths(row.record)
        last_index, last_paths = self._last
        for path, image in zip(paths, row.truth["images"], strict=True):
            # Most lines show what the line before shows.
            if index != last_index or path not in last_paths:
                self._check(index, path, str(image["pixel_sha256"]), row.place)
        self._last = (index, frozenset(paths))
        adopt_images(self._store, row)

    def _check(self, index: int, path: str, pixel_sha256: str, where: str) -> None:
        if PurePosixPath(path).stem == pixel_sha256:
            return  # named by what it shows: whoever has this name shows the same, however it was encoded
        ours = self._inputs[index].folder / path
        for earlier in self._inputs[:index]:
            theirs = earlier.folder / path
            if theirs.is_file() and ours.is_file() and not filecmp.cmp(theirs, ours, shallow=False):
                raise DatasetError(
                    "Cannot merge",
                    where=where,
                    rule=f"the image {path} is another one than that of {earlier.folder}",
                    action="Convert one of the data sets again: images are then named by what is in them",
                )
