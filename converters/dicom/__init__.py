"""DICOM files to windowed slices with questions from headers and from a table of findings.

Patients, studies, series and instances appear only as keyed hashes, and of the header only an allow-list of
technical facts. Importing this package imports no pydicom.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Plan, UnitResult
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance

from .settings import DicomSettings

if TYPE_CHECKING:
    from .plan import StackUnit

__all__ = ["CONVERTER", "DicomConverter", "DicomSettings"]


class DicomConverter:
    """Converts DICOM series, one unit a stack."""

    name = "dicom"
    summary = "DICOM series to windowed slices with questions about modality, plane and labelled findings"
    settings_type = DicomSettings
    licence: str | None = None

    def plan(self, source: Path, settings: DicomSettings) -> Plan[StackUnit]:
        """Read all headers below ``source`` and divide the images into stacks.

        Raises:
            UsageError: If key, labels or window are wrong.
            NothingToDoError: If there is no file.
        """
        from .plan import plan_series

        return plan_series(source, settings)

    def convert(
        self, unit: StackUnit, settings: DicomSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Render the slices of one stack and ask about them."""
        from .convert import convert_stack

        return convert_stack(unit, settings, images=images, provenance=provenance)

    def unit_name(self, unit: StackUnit) -> str:
        """Name a stack by its pseudonyms and slices."""
        return unit.name

    def unit_files(self, unit: StackUnit) -> list[Path]:
        """Name the files of its slices, each once."""
        return sorted({thing.path for thing in unit.slices})


CONVERTER = DicomConverter()
