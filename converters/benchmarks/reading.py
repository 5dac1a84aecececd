"""What the converters of benchmarks share: JSON rows, image files, and images that lie in several official splits."""

from __future__ import annotations

import enum
import json
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from pydantic import Field

from domainvl.conversion import ConverterSettings, UnitResult
from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore, StoredImage
from domainvl.schema.sample import Answer, CountAnswer, Source, TextAnswer
from domainvl.schema.writer import Reject, Severity

TIFF_SUFFIXES = frozenset({".tif", ".tiff"})
IMAGE_SUFFIXES = TIFF_SUFFIXES | {".jpg", ".jpeg", ".png"}
"""Endings of the image files that :func:`put_image` takes, in lower case."""

_HELD_OUT = ("train", "val", "test", "test_phili")
"""Names of official splits, the most held out last."""

_TRAIN = _HELD_OUT[0]

_COUNT = re.compile(r"0|[1-9][0-9]{0,8}")


class OfficialSplitSettings(ConverterSettings):
    """Settings of a converter whose splits are all official: nothing is drawn, and to ask for it is an error."""

    val_fraction: float = Field(default=0.0, ge=0.0, le=0.0, description="Always 0: the splits are the official ones.")
    test_fraction: float = Field(default=0.0, ge=0.0, le=0.0, description="Always 0: the splits are the official ones.")
    split_seed: int = Field(default=0, ge=0, le=0, description="Always 0: no split is drawn.")


class Leakage(enum.StrEnum):
    """What becomes of an image that lies in several official splits."""

    EXCLUDE_TEST_IMAGES = "exclude-test-images"
    AS_PUBLISHED = "as-published"


class OfficialRow(Protocol):
    """One question or expression of a benchmark."""

    @property
    def official_split(self) -> str:
        """Name of its official split."""
        ...

    @property
    def name(self) -> str:
        """Names it in a reject."""
        ...


RowT = TypeVar("RowT", bound=OfficialRow)


def keep_most_held_out(image: str, rows: Sequence[RowT], rejects: list[Reject]) -> list[RowT]:
    """Keep the rows of one image that are in its most held-out split, so that no split sees an image of another.

    Args:
        image: Names the image.
        rows: All rows about it.
        rejects: Takes those that are left out.
    """
    held_out = max((row.official_split for row in rows), key=_HELD_OUT.index)
    rejects.extend(
        Reject(
            row.name,
            "plan",
            f"image-in-{held_out}",
            f"{image} is an image of the official {held_out} set and must be in no other split",
            "To reproduce the published split, set --leakage as-published",
            Severity.SKIPPED,
        )
        for row in rows
        if row.official_split != held_out
    )
    return [row for row in rows if row.official_split == held_out]


def group_of(group: str, official_split: str, splits: Iterable[str]) -> tuple[str, list[str]]:
    """Name the group of a sample, and what its reader should know about it.

    A group lies in one split. Published as it is, an image may lie in several; its groups are then named apart to
    make that possible.

    Args:
        group: Name of the group where it lies in one split.
        official_split: The sample's official split.
        splits: All official splits in which the group lies.

    Returns:
        The group, and the sample's warnings.
    """
    if official_split == _TRAIN or len(set(splits)) == 1:
        return group, []
    warnings_ = [f"The image of this {official_split} sample was also trained on (--leakage as-published)"]
    return f"{group} (official {official_split})", warnings_ if _TRAIN in splits else []


def check_input(source: Path, names: Iterable[str], *, benchmark: str, layout: str) -> None:
    """Check that files and folders are there.

    Args:
        source: The input folder.
        names: What must be in it; folders end in a slash.
        benchmark: Name of the benchmark, for the message.
        layout: What the folder must hold, for the message.

    Raises:
        InputNotFoundError: Naming the first that is missing.
    """
    for name in names:
        path = source / name
        if not (path.is_dir() if name.endswith("/") else path.is_file()):
            raise InputNotFoundError(
                f"Cannot read {benchmark}",
                where=source,
                rule=f"{name.removesuffix('/')} is missing",
                action=f"Name the folder that holds {layout}",
            )


def load_list(path: Path) -> list[Any]:
    """Read a JSON file that must hold a list.

    Raises:
        DatasetError: If it does not.
    """
    return expect_list(read_json(path), path)


def read_json(path: Path, **options: Any) -> Any:
    """Read a JSON file.

    Args:
        path: The file.
        options: Passed on to :func:`json.loads`.

    Raises:
        DatasetError: If it is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"), **options)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError("Unreadable file", where=path, rule=f"it must be JSON ({error})") from error


def expect_list(content: object, path: Path) -> list[Any]:
    """Check that what a JSON file holds is a list.

    Raises:
        DatasetError: If it is something else.
    """
    if not isinstance(content, list):
        raise DatasetError("Unreadable file", where=path, rule=f"it must be a list, got {type(content).__name__}")
    return content


def text_of(row: dict[str, Any], key: str, where: str) -> str:
    """Return a field as text; numbers become text, blanks are collapsed.

    Raises:
        ItemError: If it is missing, empty or of another kind.
    """
    value = row.get(key)
    if value is None:
        raise row_error("field-missing", where, f"{key} is missing")
    return clean_text(value, key, where)


def clean_text(value: object, key: str, where: str) -> str:
    """Return a value as text; numbers become text, blanks are collapsed.

    Raises:
        ItemError: If it is empty or of another kind.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise row_error("row-invalid", where, f"{key} must be text or a number, got {value!r}")
    text = " ".join(str(value).split())
    if not text:
        raise row_error("field-missing", where, f"{key} is empty")
    return text


def row_error(reason: str, where: str, rule: str) -> ItemError:
    """Return the error of a row that cannot be used."""
    return ItemError("Cannot use a question", reason=reason, where=where, rule=rule, action="Correct the file")


def reject_of(name: str, error: ItemError, stage: str = "plan") -> Reject:
    """Turn the error of one input into its reject."""
    return Reject(name, stage, error.reason, str(error), error.action)


def count_or_text(text: str) -> Answer:
    """Return a count where the text is exactly how a count is written, else the text as it is ("12m2", "two")."""
    return CountAnswer(count=int(text)) if _COUNT.fullmatch(text) else TextAnswer(text=text)


def image_rejected(name: str, error: ItemError, lost: str) -> UnitResult:
    """Return the result of a unit whose image cannot be used.

    Args:
        name: Names the image.
        error: Why.
        lost: What is left out with it, such as ``"100 questions"``.
    """
    message = f"{error} Left out with it: {lost}."
    return UnitResult(rejects=[Reject(name, "convert", error.reason, message, error.action)])


def source_of(path: Path, uri: str, **details: Any) -> Source:
    """Describe the file of an image.

    Args:
        path: The file.
        uri: Its path in the input.
        details: What the benchmark says.
    """
    return Source(uri=uri, sha256=hash_file(path), size_bytes=path.stat().st_size, details=details)


def put_image(images: ImageStore, path: Path) -> StoredImage:
    """Store an image file: JPEG and PNG byte for byte, TIFF of 8 bits as PNG with the same pixels.

    Raises:
        ItemError: If it cannot be decoded, or would have to be stretched or reduced to three bands.
    """
    if path.suffix.lower() not in TIFF_SUFFIXES:
        return images.put_file(path)
    return images.put_pixels(_read_tiff(path))


def _read_tiff(path: Path) -> Any:
    """Read a TIFF; uint8 of shape (height, width, 3), or (height, width) where it has one band."""
    import numpy as np
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioIOError

    with rasterio.Env(), warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # benchmarks are made of plain pictures
        try:
            with rasterio.open(path) as dataset:
                _check_bands(dataset.dtypes, [interpretation.name for interpretation in dataset.colorinterp], path.name)
                bands = dataset.read()
        except RasterioIOError as error:
            raise ItemError(
                "Cannot decode an image",
                reason="image-decode",
                where=path.name,
                rule=str(error.__cause__ or error).replace(str(path), path.name),
                action="Fetch the file again; it is incomplete or no image",
            ) from error
    return bands[0] if len(bands) == 1 else np.ascontiguousarray(np.moveaxis(bands, 0, -1))


def _check_bands(dtypes: Sequence[str], colours: Sequence[str], name: str) -> None:
    if set(dtypes) == {"uint8"} and (len(dtypes) == 3 or (len(dtypes) == 1 and "palette" not in colours)):
        return
    raise ItemError(
        "Cannot take an image as it is",
        reason="image-bands",
        where=name,
        rule=f"it must have one grey or three colour bands of 8 bits, got {len(dtypes)} of "
        f"{', '.join(sorted(set(dtypes)))}{' with a palette' if 'palette' in colours else ''}",
        action="Take the RGB edition of the data set; or let domainvl convert geotiff choose bands by their role "
        "(the 13 of EuroSAT are in Sentinel-2's order) and stretch them",
    )
