"""NIfTI volumes with masks to windowed slices, and questions from masks and tables of labels.

Patients and files appear as numbers, or as keyed hashes, and none of the text of a header is read. Importing this
package imports no nibabel.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Inspection, Plan, UnitResult
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance

from .settings import NiftiSettings

if TYPE_CHECKING:
    from .units import VolumeUnit

__all__ = ["CONVERTER", "NiftiConverter", "NiftiSettings"]


class NiftiConverter:
    """Converts NIfTI volumes, one unit a volume."""

    name = "nifti"
    summary = "NIfTI volumes, with masks and tables of labels, to windowed slices"
    settings_type = NiftiSettings
    licence: str | None = None

    def plan(self, source: Path, settings: NiftiSettings) -> Plan[VolumeUnit]:
        """Read all headers below ``source`` and give each volume its masks.

        Raises:
            UsageError: If a setting cannot be used.
            NothingToDoError: If there is no volume.
        """
        from .plan import plan_volumes

        return plan_volumes(source, settings)

    def convert(
        self, unit: VolumeUnit, settings: NiftiSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Show the slices of one volume and ask about them.

        Raises:
            ItemError: If the volume cannot be read.
        """
        from .convert import convert_unit

        return convert_unit(unit, settings, images=images, provenance=provenance)

    def inspect(self, source: Path, settings: NiftiSettings) -> Inspection:
        """Say what is there: a row a file, and a sheet of slices. No key is needed."""
        from .inspection import inspect_volumes

        return inspect_volumes(source, settings)

    def unit_name(self, unit: VolumeUnit) -> str:
        """Name a unit by pseudonyms."""
        return unit.name

    def unit_files(self, unit: VolumeUnit) -> list[Path]:
        """Name the files that it is read from, each once."""
        return unit.files


CONVERTER = NiftiConverter()
