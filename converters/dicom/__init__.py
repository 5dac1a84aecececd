"""DICOM objects to windowed slices, and questions from headers, segmentations, contours, reports and tables.

Patients, studies, series and instances appear only as keyed hashes, and of the header only an allow-list of
technical facts. Importing this package imports no pydicom.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Inspection, Plan, UnitResult
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance

from .settings import DicomSettings

if TYPE_CHECKING:
    from .units import StackUnit, VideoUnit

__all__ = ["CONVERTER", "DicomConverter", "DicomSettings"]


class DicomConverter:
    """Converts DICOM series, one unit a stack."""

    name = "dicom"
    summary = "DICOM series, with segmentations, contours, reports and tables of labels, to windowed slices"
    settings_type = DicomSettings
    licence: str | None = None

    def plan(self, source: Path, settings: DicomSettings) -> Plan[StackUnit | VideoUnit]:
        """Read all headers below ``source`` and divide the images into stacks.

        Raises:
            UsageError: If a setting cannot be used.
            NothingToDoError: If there is no image.
        """
        from .plan import plan_series

        return plan_series(source, settings)

    def convert(
        self, unit: StackUnit | VideoUnit, settings: DicomSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Show the slices of one stack and ask about them."""
        from .convert import convert_unit

        return convert_unit(unit, settings, images=images, provenance=provenance)

    def inspect(self, source: Path, settings: DicomSettings) -> Inspection:
        """Say what is there: a row a series, and a sheet of slices. No key is needed."""
        from .inspection import inspect_series

        return inspect_series(source, settings)

    def unit_name(self, unit: StackUnit | VideoUnit) -> str:
        """Name a unit by pseudonyms and slices."""
        return unit.name

    def unit_files(self, unit: StackUnit | VideoUnit) -> list[Path]:
        """Name the files that it is read from, each once."""
        return sorted(unit.files)


CONVERTER = DicomConverter()
