"""What holds over all lines: ids are unique, and no group and no picture is in two splits."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from domainvl.schema.validation.findings import Findings, show
from domainvl.schema.validation.images import ImageTable
from domainvl.schema.validation.index import Hashes, Index, Numbers

NEAR_BITS = 3
"""Two pictures are nearly the same if their difference hashes differ in this many of 64 bits or fewer.

Of 6.1 million pairs of 128 px tiles that share no ground, from three NAIP scenes of farmland and three aerial images of
trees, none differs in 8 bits or fewer. Of copies, 96 to 100 % at JPEG quality 90, 74 to 100 % at 50, and 67 to
93 % at half the size differ in 3 or fewer.
"""

# By the pigeonhole principle hashes that differ in 3 bits agree in one of 4 bands at least.
_BANDS = NEAR_BITS + 1
_BAND_BITS = 64 // _BANDS

_ONES = np.array([bin(number).count("1") for number in range(1 << 16)], np.uint8)


def check_ids(index: Index, findings: Findings) -> None:
    """Find ids that were used before, in the same split or another."""
    order = np.argsort(index.ids, kind="stable")
    ids = index.ids[order]
    for start, end in _runs(ids):
        if ids[start] == 0:
            continue
        for row in order[start + 1 : end]:
            message = partial(_describe_id, index, int(row), int(order[start]))
            findings.add("id-duplicate", *index.place(int(row)), message)


def _describe_id(index: Index, row: int, first: int) -> str:
    name, line = index.place(first)
    return f"the id {show(index.record(row)['id'])} was used in {name}:{line}"


def check_groups(index: Index, findings: Findings) -> dict[str, int]:
    """Find groups that are in two splits.

    Returns:
        The number of groups in each split.
    """
    rows = np.flatnonzero(index.groups)
    keys, splits, firsts = _by_split(index.groups[rows], index.split_numbers(rows), rows)
    for start, end in _runs(keys):
        for position in range(start + 1, end):
            row = int(firsts[position])
            message = partial(_describe_group, index, row, int(firsts[start]))
            findings.add("group-in-two-splits", *index.place(row), message)
    counted = np.bincount(splits, minlength=len(index.splits))
    return {split.value: int(count) for split, count in zip(index.splits, counted, strict=True)}


def _describe_group(index: Index, row: int, earlier: int) -> str:
    name, line = index.place(earlier)
    return f"the group {show(index.record(row)['domainvl']['group'])} is also in {name}:{line}"


def check_pictures(index: Index, table: ImageTable, findings: Findings) -> None:
    """Find pixels that are in two splits, and pictures that look nearly like one in another split."""
    references = np.flatnonzero(table.pixels[table.members])
    members = table.members[references]
    splits = index.image_splits(references)
    keys, splits, firsts = _by_split(table.pixels[members], splits, references)
    for start, end in _runs(keys):
        for position in range(start + 1, end):
            image = int(table.members[firsts[start]])
            code = "blank-image-in-two-splits" if table.blank[image] else "image-in-two-splits"
            report_pair(code, int(firsts[position]), int(firsts[start]), "has the same pixels as", index, findings)
    usable = np.flatnonzero(table.comparable[table.members[firsts]])
    kept = firsts[usable]
    for later, earlier, bits in near_pairs(table.looks[table.members[kept]], splits[usable], keys[usable]):
        relation = f"differs in {bits} of 64 bits from"
        report_pair("near-duplicate", int(kept[later]), int(kept[earlier]), relation, index, findings)


def check_parts(index: Index, table: ImageTable, findings: Findings) -> None:
    """Find images that were made of pixels, stitched views for one, which are in another split by themselves or so."""
    parts, owners = index.image_parts
    if not parts.size:
        return
    references = np.flatnonzero(table.pixels[table.members])
    pixels = np.concatenate([table.pixels[table.members[references]], parts])
    holders = np.concatenate([references, owners.astype(references.dtype)])
    is_part = np.arange(len(pixels)) >= len(references)
    # The last bit says whether it is a part; where a split has the pixels both ways, the image itself comes first.
    items = holders * 2 + is_part
    keys, _, firsts = _by_split(pixels, index.image_splits(holders), items)
    for start, end in _runs(keys):
        for position in range(start + 1, end):
            later, earlier = int(firsts[position]), int(firsts[start])
            if later % 2 or earlier % 2:
                relation = "is made of or has the same pixels as"
                report_pair("image-in-two-splits", later // 2, earlier // 2, relation, index, findings)


def report_pair(code: str, later: int, earlier: int, relation: str, index: Index, findings: Findings) -> None:
    """Report an image for what it has in common with one of an earlier split; both are named with their samples.

    Args:
        code: Of the rule.
        later: Reference of the image.
        earlier: Reference of the other image.
        relation: What they have in common.
        index: The references.
        findings: Takes it.
    """

    def message() -> str:
        name, line = index.place(int(index.image_rows[earlier]))
        return f"{_name(index, later)} {relation} {_name(index, earlier)} in {name}:{line}"

    findings.add(code, *index.place(int(index.image_rows[later])), message)


def _name(index: Index, reference: int) -> str:
    row = int(index.image_rows[reference])
    path = index.image_path(row, int(index.image_paths[reference]))
    return f"{show(path)} of sample {show(index.record(row).get('id'))}"


def near_pairs(looks: npt.NDArray[np.uint64], splits: Numbers, pixels: Hashes) -> Iterator[tuple[int, int, int]]:
    """Find pictures that look nearly like one of an earlier split.

    Candidates agree in one of four bands of 16 bits, so not every picture is compared with every other.

    Args:
        looks: Difference hash of each picture.
        splits: Position of its split; it is compared with those of smaller positions.
        pixels: Key of its pixels; pictures of the same pixels are not compared.

    Yields:
        For each picture that has one: its position, the position of the nearest earlier one, and the bits in which
        they differ.
    """
    later = np.flatnonzero(splits > 0)
    nearest = np.full(len(later), -1, np.int64)
    distances = np.full(len(later), NEAR_BITS + 1, np.int64)
    for band in range(_BANDS):
        parts = looks >> np.uint64(band * _BAND_BITS) & np.uint64((1 << _BAND_BITS) - 1)
        order = np.argsort(parts, kind="stable")
        ordered = parts[order]
        starts = np.searchsorted(ordered, parts[later], side="left")
        ends = np.searchsorted(ordered, parts[later], side="right")
        for number in range(len(later)):
            picture = int(later[number])
            others = order[starts[number] : ends[number]]
            others = others[(splits[others] < splits[picture]) & (pixels[others] != pixels[picture])]
            if not others.size:
                continue
            differing = _count_ones(looks[others] ^ looks[picture])
            best = int(np.argmin(differing))
            if differing[best] < distances[number]:
                distances[number], nearest[number] = differing[best], others[best]
    for found in np.flatnonzero(nearest >= 0):
        yield int(later[found]), int(nearest[found]), int(distances[found])


def _count_ones(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    return np.asarray(_ONES[numbers.view(np.uint16)].reshape(-1, 4).sum(axis=1, dtype=np.int64))


def _by_split(
    keys: Hashes, splits: Numbers, items: npt.NDArray[np.signedinteger[Any]]
) -> tuple[Hashes, Numbers, Numbers]:
    """Return each pair of key and split once, by key and then split, with the first item that has it."""
    order = np.lexsort((items, splits, keys))
    keys, splits = keys[order], splits[order]
    new = np.ones(len(keys), np.bool_)
    new[1:] = (keys[1:] != keys[:-1]) | (splits[1:] != splits[:-1])
    return keys[new], splits[new], items[order][new]


def _runs(keys: Hashes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each run of equal keys that is longer than one."""
    same = keys[1:] == keys[:-1]
    edges = np.flatnonzero(np.diff(np.concatenate([[False], same, [False]]).astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        yield int(start), int(end) + 1
