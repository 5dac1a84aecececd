"""The converter as the frame sees it; the libraries that it needs are imported when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Plan, UnitResult

from .settings import GeotiffSettings

if TYPE_CHECKING:
    from domainvl.schema import Provenance
    from domainvl.schema.images import ImageStore

    from .planning import Scene


class GeotiffConverter:
    """Turns GeoTIFF scenes with vector or scene labels into tiles with questions."""

    name = "geotiff"
    summary = "GeoTIFF scenes with vector labels (GeoJSON, Shapefile, GeoPackage) or one label a scene (CSV)"
    settings_type = GeotiffSettings
    licence: str | None = None

    def plan(self, source: Path, settings: GeotiffSettings) -> Plan[Scene]:
        """List the scenes and find the labels of each.

        Raises:
            UsageError: If a setting or the label file is wrong as a whole.
            NothingToDoError: If there is no scene.
        """
        from .planning import plan_scenes

        return plan_scenes(source, settings)

    def convert(self, unit: Scene, settings: GeotiffSettings, images: ImageStore, provenance: Provenance) -> UnitResult:
        """Convert one scene.

        Raises:
            ItemError: If the scene as a whole cannot be used.
        """
        from .scene import convert_scene

        return convert_scene(unit, settings, images, provenance)

    def unit_name(self, unit: Scene) -> str:
        """Name a scene by its path below the input folder."""
        return unit.uri


CONVERTER = GeotiffConverter()
