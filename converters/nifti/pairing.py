"""Which mask belongs to which volume, by their names.

Without a folder of masks a mask lies beside its volume, named as it with an ending: ``scan.nii.gz`` and
``scan_seg.nii.gz``. With one, it is named as its volume, with such an ending or without: ``imagesTr/scan.nii.gz`` and
``labelsTr/scan.nii.gz``. A contrast or channel at the end of a volume's name may be missing in that of the mask, so
that one mask serves all contrasts: ``scan_t1``, ``scan_flair`` and ``scan_seg``; ``scan_0000`` and ``scan`` (nnU-Net);
``sub-01_T1w`` and ``sub-01_dseg`` (BIDS). A pattern replaces these rules.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from domainvl.errors import UsageError

from .files import NiftiFile

_WORDS = ("seg", "segmentation", "mask", "label", "labels", "dseg", "gt")
_ENDINGS = tuple(f"{sign}{word}" for word in _WORDS for sign in "_-.")

_CONTRAST = re.compile(
    r"[-_](\d{4}|t1|t1c|t1ce|t1gd|t1n|t1w|t2|t2f|t2w|t2star|pdw|flair|adc|dwi|bold|ct|mri?|pet)$", flags=re.IGNORECASE
)
"""Endings of volumes of one patient: channels of nnU-Net (four digits), contrasts of BraTS, suffixes of BIDS."""

_PLACES = ("stem", "case", "number")


@dataclass(frozen=True)
class Pairing:
    """Volumes and their masks.

    Attributes:
        volumes: Each volume with its masks, in the order of the files.
        unmatched: Masks that belong to no volume.
        ambiguous: Volumes that several files of one name could be the mask of.
    """

    volumes: tuple[tuple[NiftiFile, tuple[NiftiFile, ...]], ...]
    unmatched: tuple[NiftiFile, ...] = ()
    ambiguous: tuple[NiftiFile, ...] = ()


def case_of(stem: str) -> str:
    """Return a name without the contrast or channel at its end."""
    return _CONTRAST.sub("", stem) or stem


def parse_pattern(text: str | None) -> tuple[str, ...]:
    """Read the setting ``mask_pattern``; nothing where it is left out.

    Raises:
        UsageError: If a pattern names something else than stem, case and number, or none of them.
    """
    if text is None:
        return ()
    patterns = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    for pattern in patterns:
        places = re.findall(r"\{([^{}]*)\}", pattern)
        rest = re.sub(r"\{[^{}]*\}", "", pattern)
        if not places or not set(places) <= set(_PLACES) or set(rest) & set("{}/"):
            raise UsageError(
                "Cannot use --mask-pattern",
                rule=f"it must be a name without folder and ending with {{stem}}, {{case}} or {{number}} in it, "
                f"got {pattern!r}",
                action="For instance: --mask-pattern '{stem}_seg'",
            )
    return patterns


def pair(files: Sequence[NiftiFile], masks: Sequence[NiftiFile] | None, patterns: Sequence[str] = ()) -> Pairing:
    """Give each volume its masks.

    Args:
        files: All files of the input.
        masks: The files of a folder of masks; None where masks lie beside their volumes.
        patterns: See :func:`parse_pattern`.
    """
    if masks is None:
        return _pair_beside(files, patterns)
    named = [file for file in files if not patterns and _has_ending(file.stem)]
    volumes = [file for file in files if file not in set(named)]
    by_stem: dict[str, list[NiftiFile]] = {}
    for mask in masks:
        by_stem.setdefault(mask.stem, []).append(mask)
    pairs, ambiguous = [], []
    for volume in volumes:
        found = []
        for stem in _mask_stems(volume.stem, patterns, with_bare=True):
            candidates = by_stem.get(stem, [])
            near = [mask for mask in candidates if mask.folder == volume.folder] or candidates
            if len(near) > 1:
                ambiguous.append(volume)
            else:
                found += near
        pairs.append((volume, tuple(found)))
    used = {mask for _, found in pairs for mask in found}
    maybe = {stem for volume in ambiguous for stem in _mask_stems(volume.stem, patterns, with_bare=True)}
    unused = [mask for mask in masks if mask not in used and mask.stem not in maybe]
    return Pairing(tuple(pairs), (*named, *unused), tuple(dict.fromkeys(ambiguous)))


def _pair_beside(files: Sequence[NiftiFile], patterns: Sequence[str]) -> Pairing:
    by_place: dict[tuple[str, str], list[NiftiFile]] = {}
    for file in files:
        by_place.setdefault((file.folder, file.stem), []).append(file)
    wanted = {
        file: [(file.folder, stem) for stem in _mask_stems(file.stem, patterns, with_bare=False)] for file in files
    }
    if patterns:
        named = {place for places in wanted.values() for place in places}
        masks = {file for file in files if (file.folder, file.stem) in named}
    else:
        masks = {file for file in files if _has_ending(file.stem)}
    pairs, ambiguous = [], []
    for volume in files:
        if volume in masks:
            continue
        found = [by_place[place] for place in wanted[volume] if place in by_place]
        if any(len(same) > 1 for same in found):
            ambiguous.append(volume)
        pairs.append((volume, tuple(same[0] for same in found if len(same) == 1)))
    used = {mask for _, found in pairs for mask in found}
    maybe = {place for volume in ambiguous for place in wanted[volume]}
    unused = [mask for mask in files if mask in masks - used and (mask.folder, mask.stem) not in maybe]
    return Pairing(tuple(pairs), tuple(unused), tuple(ambiguous))


def _has_ending(stem: str) -> bool:
    return stem.casefold().endswith(_ENDINGS)


def _mask_stems(stem: str, patterns: Sequence[str], *, with_bare: bool) -> list[str]:
    """Return the names that a mask of a volume may have, without the volume's own where it lies beside it."""
    if patterns:
        digits = re.findall(r"\d+", stem)
        values = {"stem": stem, "case": stem.rpartition("_")[0] or stem, "number": digits[-1] if digits else None}
        usable = [pattern for pattern in patterns if values["number"] is not None or "{number}" not in pattern]
        names = [pattern.format(**values) for pattern in usable]
    else:
        bases = dict.fromkeys((stem, case_of(stem)))
        names = [f"{base}{ending}" for base in bases for ending in (("",) if with_bare else ()) + _ENDINGS]
    return [name for name in dict.fromkeys(names) if with_bare or name != stem]
