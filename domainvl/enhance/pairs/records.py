"""Registered pairs on disk: a folder with pairs.json, pairs.jsonl, rejects.jsonl, and the pixels in low/ and high/.

The two views of a pair are TIFFs of one field of view; the high one has exactly ``scale`` times the rows and columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from domainvl.enhance.rasters import Raster, read_raster
from domainvl.errors import DatasetError, InputNotFoundError

INDEX_NAME = "pairs.json"
RECORDS_NAME = "pairs.jsonl"
REJECTS_NAME = "rejects.jsonl"
LOW_FOLDER = "low"
HIGH_FOLDER = "high"

Split = Literal["train", "val", "test"]
_Model = TypeVar("_Model", bound=BaseModel)
SPLITS: tuple[Split, ...] = ("train", "val", "test")


class View(BaseModel):
    """What all low or all high views of a set of pairs have in common.

    Attributes:
        bands: How many bands.
        dtype: The type of their values.
        low: Per band, the value that the network sees as 0.
        high: Per band, the value that the network sees as 1.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    bands: int = Field(ge=1)
    dtype: str
    low: tuple[float, ...]
    high: tuple[float, ...]


class PairIndex(BaseModel):
    """What ``pairs.json`` holds.

    Attributes:
        scale: How many times the high view has the rows and columns of the low one.
        layout: How the pairs were found: folders, geotiffs, city100, sr-raw.
        mosaic: Whether low views are raw Bayer mosaics of one band.
        low_view: The low views' bands, type and range of values.
        high_view: The high views' bands, type and range of values.
        settings: What ``enhance register`` was asked for, as typed.
        counts: Pairs per split.
        rejected: Pairs that were rejected, by reason.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    scale: Literal[2, 4, 8]
    layout: str
    mosaic: bool = False
    low_view: View
    high_view: View
    settings: dict[str, Any]
    counts: dict[str, int]
    rejected: dict[str, int]


class PairRecord(BaseModel):
    """One pair: a line of ``pairs.jsonl``.

    Attributes:
        id: Its name, unique in the set, and that of its files.
        group: The scene that it is a part of; a group is in one split only.
        split: The split that the group is in.
        low: The low view, relative to the folder.
        high: The high view, relative to the folder.
        low_source: The file that the low view was cut from.
        high_source: The file that the high view was cut from.
        shift_px: The global shift (rows, columns) of the high view against the low one that was found, in low pixels;
            with an affine transform that of the first pixel.
        affine: The linear part of the global transform (row-major 2 x 2), identity if only a shift was looked for.
        residual_px: The shift (its length) that is left after registration, in low pixels.
        similarity: Correlation of the two views' gradients after registration, -1 to 1.
        similarity_before: The same before registration.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    group: str
    split: Split
    low: str
    high: str
    low_source: str
    high_source: str
    shift_px: tuple[float, float]
    affine: tuple[float, float, float, float]
    residual_px: float
    similarity: float
    similarity_before: float


class PairSet:
    """Registered pairs, read from disk.

    Args:
        folder: What ``enhance register`` wrote.

    Raises:
        InputNotFoundError: If the folder or its index does not exist.
        DatasetError: If the index or a record breaks the format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not (folder / INDEX_NAME).is_file():
            raise InputNotFoundError(
                "No registered pairs",
                where=folder,
                rule=f"it has no {INDEX_NAME}",
                action="Run domainvl enhance register",
            )
        self.index = _parse(PairIndex, (folder / INDEX_NAME).read_text("utf-8"), folder / INDEX_NAME)
        try:
            lines = (folder / RECORDS_NAME).read_text("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            action = "Run domainvl enhance register anew"
            raise DatasetError("Cannot read", where=folder / RECORDS_NAME, rule=str(error), action=action) from error
        self.records = [
            _parse(PairRecord, line, f"{folder / RECORDS_NAME}, line {number}")
            for number, line in enumerate(lines, start=1)
        ]

    def of_split(self, split: Split) -> list[PairRecord]:
        """Return the records of a split in the file's order."""
        return [record for record in self.records if record.split == split]

    def read(self, record: PairRecord) -> tuple[Raster, Raster]:
        """Read the low and the high view of a pair.

        Raises:
            RasterError: If a file cannot be read.
            DatasetError: If the sizes do not fit the scale or the bands differ from the index.
        """
        low, high = read_raster(self.folder / record.low), read_raster(self.folder / record.high)
        scale = self.index.scale
        if high.size_px != (low.size_px[0] * scale, low.size_px[1] * scale):
            raise DatasetError(
                "A pair does not fit its scale",
                where=f"{self.folder / RECORDS_NAME}, {record.id}",
                rule=f"{low.size_px} low pixels against {high.size_px} high ones at x{scale}",
                action="Run domainvl enhance register anew",
            )
        for raster, view, name in ((low, self.index.low_view, record.low), (high, self.index.high_view, record.high)):
            if raster.bands != view.bands:
                raise DatasetError(
                    "A view has other bands than the set",
                    where=self.folder / name,
                    rule=f"{raster.bands} bands against {view.bands}",
                    action="Run domainvl enhance register anew",
                )
        return low, high


def _parse(model: type[_Model], text: str, where: str | Path) -> _Model:
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise DatasetError(
            "Registered pairs break the format",
            where=where,
            rule=f"{'.'.join(map(str, first['loc']))}: {first['msg']}",
            action="Run domainvl enhance register anew",
        ) from error
