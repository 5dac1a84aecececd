"""What the converters of detection benchmarks share: large images with labels in pixels, cut to tiles as any scene."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from domainvl.conversion import ConverterSettings, Division, UnitResult
from domainvl.schema import Reject, Severity, Split

from ..geotiff.converter import GeotiffConverter
from ..geotiff.settings import Assign, Edge, GeotiffSettings

if TYPE_CHECKING:
    from domainvl.schema import Provenance
    from domainvl.schema.images import ImageStore

    from ..geotiff.labels.pixel_labels import PixelLabels
    from ..geotiff.labels.pixel_sources import PixelLabelSource
    from ..geotiff.labels.truth import PixelObjects
    from ..geotiff.planning import Site
    from ..geotiff.products import Product
    from ..geotiff.scene import SiteBand

_MAC_PREFIX = "._"
"""Files in which macOS keeps attributes of others; xView was published with some (xView1_baseline, issue 3)."""


def _as_in_geotiff(name: str) -> Any:
    """Return a setting of the GeoTIFF converter: its default, limits and description."""
    return copy(GeotiffSettings.model_fields[name])


class TiledSettings(ConverterSettings):
    """Settings of a converter that cuts labelled images to tiles: those of the GeoTIFF converter that matter here."""

    tile_px: int = _as_in_geotiff("tile_px")
    overlap_px: int = _as_in_geotiff("overlap_px")
    edge: Edge = _as_in_geotiff("edge")
    assign: Assign = _as_in_geotiff("assign")
    min_visible: float = _as_in_geotiff("min_visible")
    min_object_px: float = _as_in_geotiff("min_object_px")
    oriented_boxes: bool = _as_in_geotiff("oriented_boxes")
    tasks: str = _as_in_geotiff("tasks")
    phrasing: Literal["published", "varied"] = _as_in_geotiff("phrasing")
    phrasing_seed: int = _as_in_geotiff("phrasing_seed")
    prompt_gsd: bool = _as_in_geotiff("prompt_gsd")

    def for_tiles(self) -> GeotiffSettings:
        """Return the settings as the GeoTIFF converter has them."""
        return GeotiffSettings(**{name: getattr(self, name) for name in TiledSettings.model_fields})


class TiledConverter:
    """Converts planned images as the GeoTIFF converter does; a benchmark adds its plan."""

    def __init__(self) -> None:
        self._tiles = GeotiffConverter()

    def divide(self, unit: Site, settings: TiledSettings) -> Division[SiteBand]:
        """Divide an image into bands of tiles.

        Raises:
            ItemError: If the image as a whole cannot be used.
        """
        return self._tiles.divide(unit, settings.for_tiles())

    def convert(
        self, unit: SiteBand, settings: TiledSettings, images: ImageStore, provenance: Provenance
    ) -> UnitResult:
        """Convert one band of an image.

        Raises:
            ItemError: If the band as a whole cannot be used.
        """
        return self._tiles.convert(unit, settings.for_tiles(), images, provenance)

    def unit_name(self, unit: Site | SiteBand) -> str:
        """Name an image by its path below the input folder, and a band by its rows of tiles too."""
        return unit.uri

    def unit_files(self, unit: Site) -> list[Path]:
        """Name the files of an image and of its labels."""
        return unit.files()


class ImagesWithLabels:
    """The images of a folder, each with its labels.

    Args:
        root: The input folder.
        folder: The folder of the images, below it.
        labels: Their labels, read.
        classes: All classes that were looked for, in other folders too.
        split: The split of all of them; None where it is drawn.
        gsd_m: Side of a pixel in metres, where the makers state one for all; what a label file says goes before.

    Attributes:
        sites: What to convert, sorted.
        sources: The files that are read, with the name under which each may be mentioned.
        rejects: Images without labels, and labels without an image.
    """

    def __init__(
        self,
        root: Path,
        folder: Path,
        labels: PixelLabelSource,
        classes: tuple[str, ...],
        *,
        split: Split | None,
        gsd_m: float | None = None,
    ) -> None:
        from ..geotiff.labels.truth import PixelObjects
        from ..geotiff.products.discovery import find_products

        below = folder.relative_to(root).as_posix()
        found = find_products(folder, photos=True)
        named = {f"{below}/{product.uri}": product for product in found.products}
        matched = labels.match(named)
        self.sites: list[Site] = []
        self.sources: dict[str, Path] = dict(labels.sources)
        self.rejects = [replace(reject, input=f"{below}/{reject.input}") for reject in found.rejects]
        self.rejects += matched.rejects
        told = {reject.input for reject in matched.rejects}
        for uri, product in named.items():
            self.sources |= {f"{below}/{own}": Path(path) for own, path in product.files}
            if uri in matched.labels:
                found_labels = matched.labels[uri]
                truth = PixelObjects(found_labels, labels.sources[found_labels.uri], classes)
                named_product = replace(_renamed(product, uri, root), gsd_m=_gsd_m(found_labels) or gsd_m)
                self.sites.append(_site(named_product, truth, split))
            elif uri not in told:
                self.rejects.append(_without_labels(uri))


def _site(product: Product, truth: PixelObjects, split: Split | None) -> Site:
    from ..geotiff.planning import Scene, Site
    from ..geotiff.splitting import SplitRule

    facts = tuple((name, str(value)) for name, value in sorted(truth.labels.details.items()))
    scene = Scene(replace(product, details=(*product.details, *facts)), truth)
    return Site(product.name, product.uri, (scene,), SplitRule(product.name, split=split))


def _gsd_m(labels: PixelLabels) -> float | None:
    """Return the side of a pixel in metres, where the label file states it."""
    value = labels.details.get("gsd_m")
    return value if isinstance(value, float) else None


def _renamed(product: Product, uri: str, root: Path) -> Product:
    """Name an image by its path below the input folder; what a number in its name may mean as a date is left out."""
    folder = uri.removesuffix(product.uri)
    files = tuple((folder + own, path) for own, path in product.files)
    named = replace(product, uri=uri, name=folder + product.name, files=files, date=None, sensor=None)
    return named.below(root)


def _without_labels(uri: str) -> Reject:
    if _is_of_mac(uri):
        message = "a file in which macOS keeps attributes of another is no image"
        return Reject(uri, "plan", "no-image", message, severity=Severity.SKIPPED)
    message = "nothing is known about it: no label file names it"
    return Reject(uri, "plan", "no-labels", message, "Add its labels, or leave it out of the input")


def _is_of_mac(uri: str) -> bool:
    return uri.rpartition("/")[2].startswith(_MAC_PREFIX)


def merged_sources(parts: Sequence[ImagesWithLabels]) -> dict[str, Path]:
    """Return the files of all parts of a benchmark."""
    return {name: path for part in parts for name, path in part.sources.items()}
