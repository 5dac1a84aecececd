"""The converter as the frame sees it; the libraries that it needs are imported when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from domainvl.conversion import Division, Inspection, Plan, UnitResult

from .settings import GeotiffSettings

if TYPE_CHECKING:
    from domainvl.schema import Provenance
    from domainvl.schema.images import ImageStore

    from .enhancing import Enlargers
    from .labels.vector_file import LabelReader
    from .planning import Site
    from .scene import SiteBand


class GeotiffConverter:
    """Turns GeoTIFF scenes with vector or scene labels into tiles with questions.

    A planned unit is a scene; what is converted at once is a band of rows of its tiles.
    """

    name = "geotiff"
    summary = (
        "Scenes (GeoTIFF, Sentinel-2 SAFE, Landsat, STAC) with labels: vectors, boxes in pixels, rasters of classes, "
        "or one a scene"
    )
    settings_type = GeotiffSettings
    licence: str | None = None

    def __init__(self) -> None:
        self._labels: LabelReader | None = None
        self._enlargers: Enlargers | None = None

    def plan(self, source: Path, settings: GeotiffSettings) -> Plan[Site]:
        """List the scenes and find the labels of each.

        Raises:
            UsageError: If a setting or the label file is wrong as a whole.
            NothingToDoError: If there is no scene.
        """
        from .planning import plan_sites

        return plan_sites(source, settings)

    def divide(self, unit: Site, settings: GeotiffSettings) -> Division[SiteBand]:
        """Find the stretch of a scene, and divide it into bands of tiles.

        Raises:
            ItemError: If the scene as a whole cannot be used.
        """
        from .scene import divide_site

        return divide_site(unit, settings, self._reader())

    def convert(
        self, unit: SiteBand, settings: GeotiffSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Convert one band of a scene.

        Raises:
            ItemError: If the band as a whole cannot be used.
        """
        from .scene import convert_band

        enlarger = self._enlarging().of(unit.site.enhancement)
        return convert_band(unit, settings, images, provenance, self._reader(), enlarger)

    def inspect(self, source: Path, settings: GeotiffSettings) -> Inspection:
        """Look at scenes before they are converted.

        Raises:
            UsageError: If the input or a setting is wrong as a whole.
            NothingToDoError: If there is no scene.
        """
        from .inspection import inspect_scenes

        return inspect_scenes(source, settings)

    def is_address(self, source: Path) -> bool:
        """Say whether an input is an address that GDAL opens, and no path."""
        from .products.addresses import gdal_address

        return gdal_address(str(source)) is not None

    def unit_name(self, unit: Site | SiteBand) -> str:
        """Name a scene by its path below the input folder, and a band by its rows of tiles too."""
        return unit.uri

    def unit_files(self, unit: Site) -> list[Path]:
        """Name the files of a scene and of its labels."""
        return unit.files()

    def _reader(self) -> LabelReader:
        """Return the reader of labels, which this process keeps for the next unit."""
        if self._labels is None:
            from .labels.vector_file import LabelReader

            self._labels = LabelReader()
        return self._labels

    def _enlarging(self) -> Enlargers:
        """Return what enlarges scenes, which this process keeps for the next unit."""
        if self._enlargers is None:
            from .enhancing import Enlargers

            self._enlargers = Enlargers()
        return self._enlargers


CONVERTER = GeotiffConverter()
