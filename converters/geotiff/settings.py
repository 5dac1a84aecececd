"""What the converter can be told."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal, TypeAlias

from pydantic import Field, field_validator

from domainvl.conversion import ConverterSettings
from domainvl.errors import InputNotFoundError, UsageError

from .parsing import (
    NodataRule,
    StretchMode,
    check_view_names,
    parse_bands,
    parse_nodata,
    parse_stretch,
    parse_tasks,
    parse_views,
)

Edge: TypeAlias = Literal["pad", "shift", "drop"]
Assign: TypeAlias = Literal["all", "best"]
SplitBy: TypeAlias = Literal["scene", "block", "area", "date"]
SarValues: TypeAlias = Literal["power", "amplitude", "db"]
ResamplingName: TypeAlias = Literal["auto", "nearest", "bilinear", "cubic", "average"]

__all__ = ["Edge", "GeotiffSettings", "NodataRule", "StretchMode"]

_DATE = re.compile(r"\d{4}(-\d{2}(-\d{2})?)?")


class GeotiffSettings(ConverterSettings):
    """Settings of the GeoTIFF converter."""

    plan_fields = frozenset(
        {
            "labels",
            "label_field",
            "label_name",
            "layer",
            "label_date",
            "class_names",
            "voc_one_based",
            "remote",
            "sensor",
            "series",
            "split_by",
            "split_block_m",
            "split_buffer_px",
            "split_areas",
            "val_from",
            "test_from",
            "stretch_scope",
            "enhance",
        }
    )

    # What is known about the scenes
    labels: Path | None = Field(
        default=None,
        description="What is known about the scenes: a vector file (GeoJSON, Shapefile, zipped Shapefile, GeoPackage, "
        "FlatGeobuf), pixel boxes (CSV with image_path,xmin,ymin,xmax,ymax,label; COCO JSON), a CSV with the columns "
        "scene,label, a raster of class numbers, or a folder with one file for each scene, named as the scene: "
        "any of these formats, Pascal VOC .xml or DOTA .txt. Objects are taken to be labelled completely wherever a "
        "scene has labels.",
    )
    label_field: str | None = Field(
        default=None, description="Attribute with the class name; may be left out where there is only one."
    )
    label_name: str | None = Field(default=None, description="One class name for all features, such as building.")
    layer: str | None = Field(default=None, description="Layer of a GeoPackage with several layers.")
    class_names: Path | None = Field(
        default=None, description="CSV with the columns value,name: the classes of a raster of class numbers."
    )
    voc_one_based: bool = Field(
        default=False,
        description="Boxes of Pascal VOC files count pixels from 1 and include the last, as VOC itself does.",
    )
    label_date: str | None = Field(
        default=None,
        description="With --series: the date (YYYY-MM-DD, or the start of one) of the scenes that the labels describe; "
        "the latest if left out.",
    )
    # Which pixels
    sensor: str | None = Field(
        default=None,
        description="What took the scenes, where the files do not say it: sentinel-1, sentinel-2, landsat-8, naip, "
        "planetscope, rgb, ... It gives bands without names their roles.",
    )
    remote: bool = Field(default=False, description="Follow addresses in the network that a STAC item names.")
    bands: str | None = Field(
        default=None,
        description="The one or three bands to show, by number from 1, role or name: 4,3,2 or red,green,blue or "
        "B08. By default red,green,blue where the file names them, else the first three.",
    )
    view: list[str] = Field(
        default_factory=list,
        description="A view of each scene; give it several times for several images in each sample. true-colour, "
        "false-colour, swir, agriculture, urban, an index (ndvi, ndwi, mndwi, ndbi, nbr), sar-db, hillshade, "
        "or NAME=BANDS with one or three bands as in --bands.",
    )
    sar_values: SarValues = Field(
        default="power", description="What the bands of a SAR scene hold, for the view sar-db: power, amplitude or db."
    )
    series: bool = Field(
        default=False,
        description="Make one sample of all scenes of one place, an image a date in the order of the dates, on one "
        "grid.",
    )
    crs: str | None = Field(default=None, description="CRS to which all scenes are warped, such as EPSG:32633.")
    gsd_m: float | None = Field(
        default=None,
        gt=0.0,
        description="Side of a pixel to which they are warped, in metres of the CRS; those of Web Mercator are shorter "
        "on the ground.",
    )
    align: Literal["pixel", "geo"] = Field(
        default="pixel",
        description="geo snaps the tiles to multiples of their size in the CRS, so that all scenes of a place have the "
        "same tiles; it resamples where pixels do not coincide.",
    )
    resampling: ResamplingName = Field(
        default="auto",
        description="How images are resampled where they must be; auto is average where pixels become much larger and "
        "bilinear else. Rasters of classes always take the nearest.",
    )
    enhance: str | None = Field(
        default=None,
        description="What scenes are enlarged with before they are tiled: the folder of a checkpoint or run of "
        "domainvl enhance train, or bicubic-x2, -x4 or -x8. No sensor took the pixels in between; each sample says so.",
    )
    tile_px: int = Field(default=512, ge=16, description="Side of a tile in pixels.")
    overlap_px: int = Field(default=0, ge=0, description="Pixels that neighbouring tiles share.")
    edge: Edge = Field(
        default="pad",
        description="What happens to the last row and column of tiles: pad fills them up, shift moves them back into "
        "the scene, drop leaves them out.",
    )
    # From values to 8 bits
    stretch: str = Field(
        default="auto",
        description="How values become 8 bits: percentile:LOW,HIGH, stddev:K (mean and K standard deviations), "
        "fixed:LOW,HIGH (values times the scale and plus the offset of the band), dtype (whole range of the integer "
        "type), none (uint8 only); auto is none for uint8 and percentile:2,98 for the rest.",
    )
    stretch_scope: Literal["scene", "dataset"] = Field(
        default="scene", description="Whether the limits of the stretch are found for each scene or for all together."
    )
    scaling: Literal["apply", "ignore"] = Field(
        default="apply", description="Whether scale and offset of the bands, from tags or metadata, are applied."
    )
    nodata: str | None = Field(
        default=None,
        description="Value of missing pixels, nan too, instead of what the file says about them; none takes all "
        "pixels as valid.",
    )
    fill_grey: int = Field(default=128, ge=0, le=255, description="Grey level of missing and padded pixels, 0 to 255.")
    min_valid: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Tiles are left out if a smaller share of what they show of the scene is valid pixels.",
    )
    min_filled: float = Field(
        default=0.1,
        ge=0.0,
        le=1.0,
        description="Padded tiles are left out if the scene fills a smaller share of them; not where the scene is "
        "smaller than a tile.",
    )
    # Objects and questions
    min_visible: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="Objects of which a smaller share lies in the tile are ignored: neither asked about nor counted.",
    )
    min_object_px: float = Field(
        default=0.5,
        ge=0.0,
        description="Objects of which less than this is seen on a side are left out of a tile, though their class is "
        "not said to be absent; half a pixel is what labels can be placed to.",
    )
    too_little: Literal["ignore", "mask"] = Field(
        default="ignore",
        description="What happens to objects that are too little visible: ignore keeps them out of questions, mask "
        "fills their pixels, so that they can be counted as not there.",
    )
    assign: Assign = Field(
        default="all",
        description="Where tiles overlap: all keeps an object in each tile, best in the one that shows most of it.",
    )
    multipart: Literal["union", "split"] = Field(
        default="union",
        description="One box around all parts of an object that a tile cuts in parts, or a box for each.",
    )
    oriented_boxes: bool = Field(default=False, description="Give objects a rotated box too.")
    tasks: str = Field(
        default="auto",
        description="What is asked: presence, counting, comparison, area, grounding, region, caption, detection, "
        "classification, change (between dates); or all. auto is presence, counting and grounding for objects, "
        "classification, area, presence and comparison for a raster of classes, and change.",
    )
    phrasing: Literal["published", "varied"] = Field(
        default="published", description="Ask in the published words only, or in varied ones."
    )
    phrasing_seed: int = Field(default=0, description="Another seed varies the words in another way.")
    prompt_gsd: bool = Field(default=False, description="Say in each question how many metres a pixel has.")
    location: Literal["keep", "coarse", "drop"] = Field(
        default="keep",
        description="What a sample says of its place: the exact geotransform, longitude and latitude to a tenth of a "
        "degree, or nothing. Names of scenes are kept.",
    )
    # Splits
    split_by: SplitBy = Field(
        default="scene",
        description="What is never divided over the splits: scenes (those that overlap together), blocks of ground, "
        "or the areas of --split-areas; date goes by --val-from and --test-from.",
    )
    split_block_m: float | None = Field(
        default=None,
        gt=0.0,
        description="Side of a block in metres; that of four tiles of the first scene if left out.",
    )
    split_buffer_px: int | None = Field(
        default=None,
        ge=0,
        description="Tiles closer than this to ground of another split are left out; the overlap if left out.",
    )
    split_areas: Path | None = Field(
        default=None, description="Vector file of polygons with a field split that says train, val or test."
    )
    val_from: str | None = Field(default=None, description="First date of validation, with --split-by date.")
    test_from: str | None = Field(default=None, description="First date of testing, with --split-by date.")

    @field_validator("enhance")
    @classmethod
    def _enhance_is_found_from_anywhere(cls, enhance: str | None) -> str | None:
        """Processes on other machines of a cluster start in folders of their own."""
        if enhance is None or enhance.startswith("bicubic-"):
            return enhance
        return str(Path(enhance).absolute())

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say, with what ``enhance`` names instead of where it lies."""
        public = super().public()
        if self.enhance is not None:
            from .enhancing import find_enhancement

            public["enhance"] = find_enhancement(self.enhance).record()
        return public

    def packages(self) -> tuple[str, ...]:
        """Name what computes the pixels in between."""
        return () if self.enhance is None else ("torch",)

    def check(self) -> None:
        """Check what one field alone cannot say.

        Raises:
            UsageError: Naming the setting and the value seen.
            InputNotFoundError: If a named file is not there.
        """
        if self.overlap_px >= self.tile_px:
            raise UsageError(
                "Cannot tile", rule=f"--overlap-px must be below --tile-px {self.tile_px}, got {self.overlap_px}"
            )
        if self.bands is not None and self.view:
            raise UsageError(
                "Cannot choose bands", rule="--bands and --view are both given", action="Use --view NAME=BANDS"
            )
        parse_bands(self.bands)
        check_view_names(parse_views(self.view))
        self._check_crs()
        self._check_idle()
        parse_stretch(self.stretch)
        parse_nodata(self.nodata)
        parse_tasks(self.tasks)
        self._check_split()
        for name, path in self:
            if isinstance(path, Path) and not path.exists():
                option = f"--{name.replace('_', '-')}"
                raise InputNotFoundError(f"Cannot read {option}", where=path, rule="there is no such file or folder")

    def _check_crs(self) -> None:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        if self.crs is None:
            return
        try:
            crs = CRS.from_user_input(self.crs)
        except (CRSError, ValueError) as error:
            raise UsageError(
                "Cannot read --crs", rule=f"it must name a CRS, such as EPSG:32633, got {self.crs!r}"
            ) from error
        if self.gsd_m is not None and not crs.is_projected:
            raise UsageError("Cannot warp", rule=f"--gsd-m needs a --crs in metres, {self.crs} has degrees")

    def _check_idle(self) -> None:
        """Refuse what would do nothing."""
        if self.phrasing_seed != 0 and self.phrasing == "published":
            raise UsageError("Cannot vary the words", rule="--phrasing-seed is for --phrasing varied")
        if self.sar_values != "power" and self.view and "sar-db" not in self.view:
            raise UsageError("Cannot show a scene", rule=f"--sar-values {self.sar_values} is for --view sar-db")

    def _check_split(self) -> None:
        for name in ("val_from", "test_from", "label_date"):
            value = getattr(self, name)
            if value is not None and not _DATE.fullmatch(value):
                raise UsageError(
                    f"Cannot read --{name.replace('_', '-')}",
                    rule=f"it must be YYYY-MM-DD, YYYY-MM or YYYY, got {value!r}",
                )
        wants = {"area": ("split_areas",), "date": ("val_from", "test_from"), "block": ("split_block_m",), "scene": ()}
        for split_by, names in wants.items():
            given = [name for name in names if getattr(self, name) is not None]
            if given and split_by != self.split_by:
                raise UsageError(
                    "Cannot split",
                    rule=f"--{given[0].replace('_', '-')} is for --split-by {split_by}, not {self.split_by}",
                )
            if split_by == self.split_by and split_by in ("area", "date") and not given:
                options = " or ".join(f"--{name.replace('_', '-')}" for name in names)
                raise UsageError("Cannot split", rule=f"--split-by {split_by} needs {options}")
        if self.val_from is not None and self.test_from is not None and self.val_from >= self.test_from:
            rule = f"--val-from must be before --test-from {self.test_from}, got {self.val_from}"
            raise UsageError("Cannot split", rule=rule, action="Validation lies between training and testing")
        if self.label_date is not None and not self.series:
            raise UsageError("Cannot read labels", rule="--label-date is for --series")
