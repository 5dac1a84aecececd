"""The converter as the frame sees it; the libraries that it needs are imported when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Division, Plan, UnitResult

from .settings import GeotiffSettings

if TYPE_CHECKING:
    from domainvl.schema import Provenance
    from domainvl.schema.images import ImageStore

    from .planning import Scene
    from .scene import SceneBand
    from .vectors import LabelReader


class GeotiffConverter:
    """Turns GeoTIFF scenes with vector or scene labels into tiles with questions.

    A planned unit is a scene; what is converted at once is a band of rows of its tiles.
    """

    name = "geotiff"
    summary = "GeoTIFF scenes with vector labels (GeoJSON, Shapefile, GeoPackage) or one label a scene (CSV)"
    settings_type = GeotiffSettings
    licence: str | None = None

    def __init__(self) -> None:
        self._labels: LabelReader | None = None

    def plan(self, source: Path, settings: GeotiffSettings) -> Plan[Scene]:
        """List the scenes and find the labels of each.

        Raises:
            UsageError: If a setting or the label file is wrong as a whole.
            NothingToDoError: If there is no scene.
        """
        from .planning import plan_scenes

        return plan_scenes(source, settings)

    def divide(self, unit: Scene, settings: GeotiffSettings) -> Division[SceneBand]:
        """Find the stretch of a scene, and divide it into bands of tiles.

        Raises:
            ItemError: If the scene as a whole cannot be used.
        """
        from .scene import divide_scene

        return divide_scene(unit, settings, self._reader())

    def convert(
        self, unit: SceneBand, settings: GeotiffSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Convert one band of a scene.

        Raises:
            ItemError: If the band as a whole cannot be used.
        """
        from .scene import convert_band

        return convert_band(unit, settings, images, provenance, self._reader())

    def unit_name(self, unit: Scene | SceneBand) -> str:
        """Name a scene by its path below the input folder, and a band by its rows of tiles too."""
        return unit.uri

    def unit_files(self, unit: Scene) -> list[Path]:
        """Name the files of a scene and of its labels."""
        return unit.files()

    def _reader(self) -> LabelReader:
        """Return the reader of labels, which this process keeps for the next unit."""
        if self._labels is None:
            from .vectors import LabelReader

            self._labels = LabelReader()
        return self._labels


CONVERTER = GeotiffConverter()
