"""What is different between two data sets, by sample id.

Of each sample only hashes of its parts are held, some 150 bytes; the few lines whose boxes have to be compared number
by number, or whose ids are named, are read again.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.errors import DatasetError, UsageError
from domainvl.schema.digests import digest_text
from domainvl.schema.operations.rows import InputSet, canonical, place
from domainvl.schema.sample import Record, Split

PARTS = (
    "domain", "task", "question", "answer", "images", "objects", "boxes", "turns", "split", "group", "source",
    "provenance", "warnings", "other",
)  # fmt: skip
"""What of a sample can change. ``images`` are compared by pixel hash, size, view and frame, not by file; ``boxes`` are
all outlines of objects in pixels, ``objects`` everything else that is said of them; ``other`` is what no other part
covers, such as keys of third parties."""

MANIFEST_KEYS = ("command", "settings", "versions", "licence", "rejects")
"""What of the manifests is compared. Names differ with the folder, counts and groups follow from the samples."""

_SPLITS = tuple(Split)
_OUTLINES = ("box_px", "polygons_px", "point_px", "oriented_box_px")
_INTERNVL_KEYS = frozenset(
    {"id", "image", "width", "height", "width_list", "height_list", "conversations", "domainvl"}
)  # fmt: skip
_IMAGE_KEYS = ("pixel_sha256", "view", "frame")
_AROUND_QUESTION = ("earlier", "preface", "phrasing")
_BOX_TEXT = re.compile(r"(<box>.*?</box>)", re.DOTALL)
_NUMBER = re.compile(r"\d+")
_BOXES, _TURNS = PARTS.index("boxes"), PARTS.index("turns")

_CHUNK_ROWS = 1 << 16

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DiffSettings:
    """How to compare.

    Attributes:
        tolerance_px: Outlines are equal where no coordinate is further away than this. The whole numbers in the text of
            a conversation's boxes may then differ by as much, and by one for rounding.
        limit: How many ids of each kind are named.
    """

    tolerance_px: float = 0.0
    limit: int = 20


@dataclass(frozen=True)
class ChangedSample:
    """A sample that is in both data sets and not the same.

    Attributes:
        id: Its id.
        parts: What changed; see ``PARTS``.
    """

    id: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class DatasetDiff:
    """What is different between a first and a second data set.

    Attributes:
        added_count: Samples that only the second has.
        removed_count: Samples that only the first has.
        changed_count: Samples that both have and that differ.
        same_count: Samples that are equal.
        changed_parts: For each part in how many samples it changed; parts that never did are left out.
        added: The first ids that only the second has, in its order.
        removed: The first ids that only the first has, in its order.
        changed: The first samples that differ, in the order of the first data set.
        counts: Samples by split and task: ``split``, ``task``, ``first``, ``second``.
        manifest: Values of the manifests that differ: ``key``, and ``first`` and ``second`` where they have the key.
    """

    added_count: int
    removed_count: int
    changed_count: int
    same_count: int
    changed_parts: dict[str, int]
    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[ChangedSample, ...]
    counts: tuple[dict[str, Any], ...]
    manifest: tuple[dict[str, Any], ...]

    @property
    def equal(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.added_count or self.removed_count or self.changed_count or self.manifest)

    def to_json(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"equal": self.equal, **asdict(self)}


def diff_datasets(first: Path, second: Path, settings: DiffSettings | None = None) -> DatasetDiff:
    """Compare two data sets.

    Args:
        first: Folder of the one that was there before.
        second: Folder of the other.
        settings: How to compare.

    Raises:
        InputNotFoundError: If a data set or one of its files is not there.
        DatasetError: If a line is no sample, or an id is there twice.
        UsageError: If the tolerance or the limit is below 0.
    """
    settings = settings or DiffSettings()
    for option, value in (("--tolerance-px", settings.tolerance_px), ("--limit", settings.limit)):
        if not value >= 0:
            raise UsageError("Cannot compare", rule=f"{option} must be 0 or more, got {value}")
    one, two = _Digests(InputSet.open(first)), _Digests(InputSet.open(second))
    _, rows_one, rows_two = np.intersect1d(one.ids, two.ids, assume_unique=True, return_indices=True)
    order = np.argsort(rows_one)
    rows_one, rows_two = rows_one[order], rows_two[order]
    differs = _different_parts(one, two, rows_one, rows_two)
    _look_closer(one, two, rows_one, rows_two, differs, settings.tolerance_px)
    changed = np.flatnonzero(differs.any(axis=1))
    removed = np.setdiff1d(np.arange(one.count), rows_one, assume_unique=True)
    added = np.setdiff1d(np.arange(two.count), rows_two, assume_unique=True)
    in_part = differs.sum(axis=0)
    return DatasetDiff(
        added_count=len(added),
        removed_count=len(removed),
        changed_count=len(changed),
        same_count=len(rows_one) - len(changed),
        changed_parts={part: int(count) for part, count in zip(PARTS, in_part, strict=True) if count},
        added=tuple(two.record(row)["id"] for row in added[: settings.limit]),
        removed=tuple(one.record(row)["id"] for row in removed[: settings.limit]),
        changed=tuple(
            ChangedSample(
                one.record(rows_one[pair])["id"],
                tuple(part for part, is_other in zip(PARTS, differs[pair], strict=True) if is_other),
            )
            for pair in changed[: settings.limit]
        ),
        counts=_counts(one.counts, two.counts),
        manifest=tuple(_manifest_changes(one.given.manifest, two.given.manifest)),
    )


class _Digests:
    """All samples of a data set as hashes of their parts.

    Args:
        given: The data set.

    Attributes:
        given: The data set.
        ids: Hash of the id of each sample.
        parts: Hashes of the parts of each sample.
        counts: Samples by split and task.
    """

    def __init__(self, given: InputSet) -> None:
        self.given = given
        self.counts: Counter[tuple[str, str]] = Counter()
        ids, parts, self._offsets, self._splits = array("Q"), array("Q"), array("Q"), array("B")
        self._numbers = array("I")
        for row, sample in given.checked_rows():
            ids.append(digest_text(sample.id))
            parts.extend(digest_text(canonical(part)) for part in _parts(row.record))
            self._offsets.append(row.offset)
            self._numbers.append(row.number)
            self._splits.append(_SPLITS.index(row.split))
            self.counts[sample.split.value, sample.task.value] += 1
        self.ids = np.frombuffer(ids, dtype=np.uint64)
        self.parts = np.frombuffer(parts, dtype=np.uint64).reshape(-1, len(PARTS))
        self._check_ids()

    @property
    def count(self) -> int:
        return len(self.ids)

    def record(self, row: int) -> Record:
        """Read a line again."""
        return self.given.record_at(_SPLITS[self._splits[row]], self._offsets[row])

    def _check_ids(self) -> None:
        order = np.argsort(self.ids, kind="stable")
        repeats = np.flatnonzero(self.ids[order][1:] == self.ids[order][:-1])
        if repeats.size:
            first, second = (
                place(self.given.folder, _SPLITS[self._splits[row]], self._numbers[row])
                for row in order[repeats[0] : repeats[0] + 2].tolist()
            )
            identifier = self.record(int(order[repeats[0]]))["id"]
            raise DatasetError(
                "Cannot compare",
                where=second,
                rule=f"ids must be unique, and {identifier!r} is also that of {first}",
                action="Remove one of them, or give it an id of its own",
            )


def _parts(record: Record) -> Iterator[object]:
    """Yield the parts of a record in the order of ``PARTS``."""
    truth = record["domainvl"]
    objects = truth.get("objects", [])
    yield truth["domain"]
    yield truth["task"]
    yield [truth["question"], *(truth.get(key) for key in _AROUND_QUESTION)]
    yield truth["answer"]
    sizes = [record.get(key) for key in ("width", "height", "width_list", "height_list")]
    yield [sizes, [[image.get(key) for key in _IMAGE_KEYS] for image in truth["images"]]]
    yield [{key: value for key, value in thing.items() if key not in _OUTLINES} for thing in objects]
    yield {thing["id"]: _outlines(thing) for thing in objects}
    yield record["conversations"]
    yield [truth["split"], truth.get("fixed_split")]
    yield truth["group"]
    yield [image["source"] for image in truth["images"]]
    yield truth["provenance"]
    yield truth.get("warnings", [])
    yield {key: value for key, value in record.items() if key not in _INTERNVL_KEYS}


def _outlines(thing: Mapping[str, Any]) -> dict[str, Any]:
    return {key: thing[key] for key in _OUTLINES if thing.get(key) is not None}


def _different_parts(one: _Digests, two: _Digests, rows_one: Rows, rows_two: Rows) -> npt.NDArray[np.bool_]:
    """Compare the hashes of pairs of samples, some at a time: all pairs side by side would double the memory."""
    differs = np.empty((len(rows_one), len(PARTS)), dtype=np.bool_)
    for start in range(0, len(rows_one), _CHUNK_ROWS):
        chunk = slice(start, start + _CHUNK_ROWS)
        np.not_equal(one.parts[rows_one[chunk]], two.parts[rows_two[chunk]], out=differs[chunk])
    return differs


def _look_closer(
    one: _Digests, two: _Digests, rows_one: Rows, rows_two: Rows, differs: npt.NDArray[np.bool_], tolerance_px: float
) -> None:
    """Compare outlines number by number where their hashes differ, and the boxes in conversations if that is allowed.

    Outlines of objects that only one of the samples has make a difference of ``objects``, not of ``boxes``.
    """
    with_numbers = differs[:, _BOXES].copy()
    if tolerance_px > 0:
        with_numbers |= differs[:, _TURNS]
    for pair in np.flatnonzero(with_numbers):
        ours, theirs = one.record(rows_one[pair]), two.record(rows_two[pair])
        differs[pair, _BOXES] = not _outlines_agree(ours, theirs, tolerance_px)
        if tolerance_px > 0 and differs[pair, _TURNS] and not differs[pair, _BOXES]:
            differs[pair, _TURNS] = not _turns_agree(ours, theirs, tolerance_px)


def _outlines_agree(ours: Record, theirs: Record, tolerance_px: float) -> bool:
    by_id = {thing["id"]: _outlines(thing) for thing in theirs["domainvl"].get("objects", [])}
    return all(
        _agree(_outlines(thing), by_id[thing["id"]], tolerance_px)
        for thing in ours["domainvl"].get("objects", [])
        if thing["id"] in by_id
    )


def _agree(ours: Any, theirs: Any, tolerance_px: float) -> bool:
    """Compare outlines; all numbers are pixels but angles, which must be equal."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(
            _agree(ours[key], theirs[key], 0.0 if key == "angle_deg" else tolerance_px) for key in ours
        )
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(
            _agree(one, two, tolerance_px) for one, two in zip(ours, theirs, strict=True)
        )
    return bool(abs(ours - theirs) <= tolerance_px)


def _turns_agree(ours: Record, theirs: Record, tolerance_px: float) -> bool:
    """Compare conversations; the thousandths of a side in a box's text may differ by the tolerance and by rounding."""
    sides_px = [ours[key] for key in ("width", "height") if key in ours]
    sides_px += [side for key in ("width_list", "height_list") for side in ours.get(key, [])]
    slack = tolerance_px * 1000 / min(sides_px, default=1) + 1
    one, two = canonical(ours["conversations"]), canonical(theirs["conversations"])
    pieces = _BOX_TEXT.split(one), _BOX_TEXT.split(two)
    if len(pieces[0]) != len(pieces[1]):
        return False
    for index, (left, right) in enumerate(zip(*pieces, strict=True)):
        is_box = index % 2 == 1
        if not is_box and left != right:
            return False
        if is_box and not _numbers_agree(left, right, slack):
            return False
    return True


def _numbers_agree(left: str, right: str, slack: float) -> bool:
    if _NUMBER.sub("#", left) != _NUMBER.sub("#", right):
        return False
    pairs = zip(_NUMBER.findall(left), _NUMBER.findall(right), strict=True)
    return all(abs(int(one) - int(two)) <= slack for one, two in pairs)


def _counts(one: Counter[tuple[str, str]], two: Counter[tuple[str, str]]) -> tuple[dict[str, Any], ...]:
    keys = sorted(one.keys() | two.keys(), key=lambda key: (_SPLITS.index(Split(key[0])), key[1]))
    return tuple({"split": key[0], "task": key[1], "first": one[key], "second": two[key]} for key in keys)


def _manifest_changes(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    leaves = [dict(_leaves({key: manifest.get(key) for key in MANIFEST_KEYS}, "")) for manifest in (one, two)]
    for key in dict.fromkeys([*leaves[0], *leaves[1]]):
        values = {name: part[key] for name, part in zip(("first", "second"), leaves, strict=True) if key in part}
        if len(values) == 1 or canonical(values["first"]) != canonical(values["second"]):
            yield {"key": key, **values}


def _leaves(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value:
        for index, part in enumerate(value):
            yield from _leaves(part, f"{key}[{index}]")
    else:
        yield key, value
