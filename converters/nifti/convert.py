"""One volume to samples: what its masks and the table of labels say about its slices, and the slices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from domainvl.conversion import UnitResult
from domainvl.errors import ItemError
from domainvl.files import hash_file, keyed
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance
from domainvl.schema.writer import Reject

from ..dicom.header_questions import MODALITY_CLASSES
from ..medical.findings import SliceTruth, one_spelling
from ..medical.stack import SliceFacts, StackFacts
from ..medical.stack_samples import convert_stack
from .cutting import Cut, cut_of, warning_of
from .header import VolumeHeader, read_header
from .masks import load_mask
from .settings import NiftiSettings
from .stack_reader import NiftiStackReader
from .units import VolumeUnit
from .voxels import open_voxels


def convert_unit(
    unit: VolumeUnit, settings: NiftiSettings, *, images: ImageStore, provenance: Provenance
) -> UnitResult:
    """Convert a volume.

    Args:
        unit: Which.
        settings: The converter's settings.
        images: Where pixels go.
        provenance: What makes the samples.

    Raises:
        ItemError: If it cannot be read.
    """
    with open_volume(unit, settings) as (header, cut, reader):
        known = what_is_known(unit, header, cut, settings)
        result = convert_stack(_facts(unit, header, cut, known, settings), reader, settings, images, provenance)
    return UnitResult(result.samples, (*known.rejects, *result.rejects))


@contextmanager
def open_volume(unit: VolumeUnit, settings: NiftiSettings) -> Iterator[tuple[VolumeHeader, Cut, NiftiStackReader]]:
    """Open a volume for its slices.

    Raises:
        ItemError: If it cannot be read.
    """
    header = read_header(unit.file)
    cut = cut_of(header, settings.plane)
    with open_voxels(unit.file, header, unpack_limit_bytes=limit_bytes(settings)) as voxels:
        sha256 = keyed(hash_file(unit.file.pixels), unit.source_key)
        yield header, cut, NiftiStackReader(unit, settings, voxels, cut, sha256=sha256)


def limit_bytes(settings: NiftiSettings) -> int:
    """Return how many bytes a packed file may hold."""
    return int(settings.unpack_limit_gb * 1e9)


@dataclass
class Known:
    """What masks and the table of labels say about the slices of a volume.

    Attributes:
        truths: What is known of each slice, in anatomical order; None where nobody looked.
        rejects: What could not be used.
        warnings: What a careful reader should know.
    """

    truths: list[SliceTruth | None]
    rejects: list[Reject] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def what_is_known(unit: VolumeUnit, header: VolumeHeader, cut: Cut, settings: NiftiSettings) -> Known:
    """Join what masks and the table of labels say about each slice.

    Args:
        unit: The volume.
        header: Its header.
        cut: How it is cut.
        settings: The converter's settings.
    """
    known = Known([unit.truths[index] if unit.truths else None for index in cut.order])
    for ref in unit.masks:
        try:
            mask = load_mask(
                ref,
                header,
                cut,
                unit.volume,
                source=unit.source,
                components=settings.components,
                unpack_limit_bytes=limit_bytes(settings),
            )
        except ItemError as error:
            known.rejects.append(Reject(f"{unit.source} {ref.name}", "label", error.reason, str(error), error.action))
            continue
        known.rejects += mask.rejects
        known.warnings += mask.warnings
        known.truths = [_joined(one, other) for one, other in zip(known.truths, mask.truths, strict=True)]
    known.truths = one_spelling(known.truths)
    return known


def _joined(one: SliceTruth | None, other: SliceTruth | None) -> SliceTruth | None:
    if one is None or other is None:
        return one or other
    return SliceTruth(
        findings=(*one.findings, *other.findings),
        classes=tuple(sorted({*one.classes, *other.classes})),
        stated=(*one.stated, *other.stated),
        described=(*one.described, *other.described),
    )


def _facts(unit: VolumeUnit, header: VolumeHeader, cut: Cut, known: Known, settings: NiftiSettings) -> StackFacts:
    irregular = warning_of(cut)
    return StackFacts(
        name=unit.name,
        group=unit.patient,
        slices=tuple(
            SliceFacts(place, cut.positions_mm[place] if cut.positions_mm else None, truth)
            for place, truth in enumerate(known.truths)
        ),
        plane=cut.named_plane,
        along_axis=True if cut.geometries else None,
        modality=MODALITY_CLASSES.get(settings.modality),
        warnings=(*header.warnings, *([irregular] if irregular else []), *known.warnings),
    )
