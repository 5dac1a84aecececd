"""xView annotations: one GeoJSON for all images, whose boxes stand in a property and not in the geometry.

``bounds_imcoords`` is "xmin,ymin,xmax,ymax" in pixels of the image ``image_id``; ``type_id`` numbers the class
(DIUx-xView/xView1_baseline, scoring/score.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from domainvl.errors import ItemError
from domainvl.schema import Severity

from .ogr import read_raw
from .pixel_labels import LabelRows, PixelLabels, PixelObject, number, unusable_file

_COLUMNS = ("image_id", "type_id", "bounds_imcoords")
_HEAD_BYTES = 1 << 16

XVIEW_CLASSES: Mapping[float, str] = {
    11: "Fixed-wing Aircraft",
    12: "Small Aircraft",
    13: "Passenger/Cargo Plane",
    15: "Helicopter",
    17: "Passenger Vehicle",
    18: "Small Car",
    19: "Bus",
    20: "Pickup Truck",
    21: "Utility Truck",
    23: "Truck",
    24: "Cargo Truck",
    25: "Truck Tractor w/ Box Trailer",
    26: "Truck Tractor",
    27: "Trailer",
    28: "Truck Tractor w/ Flatbed Trailer",
    29: "Truck Tractor w/ Liquid Tank",
    32: "Crane Truck",
    33: "Railway Vehicle",
    34: "Passenger Car",
    35: "Cargo/Container Car",
    36: "Flat Car",
    37: "Tank car",
    38: "Locomotive",
    40: "Maritime Vessel",
    41: "Motorboat",
    42: "Sailboat",
    44: "Tugboat",
    45: "Barge",
    47: "Fishing Vessel",
    49: "Ferry",
    50: "Yacht",
    51: "Container Ship",
    52: "Oil Tanker",
    53: "Engineering Vehicle",
    54: "Tower crane",
    55: "Container Crane",
    56: "Reach Stacker",
    57: "Straddle Carrier",
    59: "Mobile Crane",
    60: "Dump Truck",
    61: "Haul Truck",
    62: "Scraper/Tractor",
    63: "Front loader/Bulldozer",
    64: "Excavator",
    65: "Cement Mixer",
    66: "Ground Grader",
    71: "Hut/Tent",
    72: "Shed",
    73: "Building",
    74: "Aircraft Hangar",
    76: "Damaged Building",
    77: "Facility",
    79: "Construction Site",
    83: "Vehicle Lot",
    84: "Helipad",
    86: "Storage Tank",
    89: "Shipping container lot",
    91: "Shipping Container",
    93: "Pylon",
    94: "Tower",
}
"""The 60 classes by their numbers (DIUx-xView/xView1_baseline, xview_class_labels.txt)."""

_NOISE = (75, 82)
"""Numbers in the training file that mean nothing: artefacts of the labelling (xView1_baseline, issue 3)."""


def is_xview(path: Path) -> bool:
    """Say whether a GeoJSON is one of xView, from its beginning."""
    with path.open("rb") as file:
        return b'"bounds_imcoords"' in file.read(_HEAD_BYTES)


def read_xview(path: Path, uri: str, *, one_class: str | None = None) -> dict[str, PixelLabels]:
    """Read the boxes of all images.

    Args:
        path: The file.
        uri: Its name in messages.
        one_class: The class of all boxes instead of their own.

    Returns:
        The labels of each image, by file name.

    Raises:
        ItemError: If the file as a whole cannot be used.
    """
    fids, images, numbers, bounds = _read_columns(path, uri)
    rows: dict[str, LabelRows] = {}
    for fid, image, type_id, box in zip(fids, images, numbers, bounds, strict=True):
        _add_box(rows.setdefault(str(image), LabelRows(uri)), str(fid), number(type_id), str(box), one_class)
    return {image: found.labels() for image, found in rows.items()}


def _read_columns(path: Path, uri: str) -> tuple[Any, ...]:
    try:
        info, fids, _, columns = read_raw(path, uri, columns=list(_COLUMNS), read_geometry=False)
    except ItemError as error:
        raise unusable_file(uri, f"it is no GeoJSON ({error.rule})") from error
    by_name = dict(zip(info["fields"], columns, strict=True))
    missing = [name for name in _COLUMNS if name not in by_name]
    if missing:
        raise unusable_file(
            uri, f"features of xView have the properties {', '.join(_COLUMNS)}; no {missing[0]} is there"
        )
    return fids.tolist(), *(by_name[name].tolist() for name in _COLUMNS)


def _add_box(rows: LabelRows, row: str, type_id: float, bounds: str, one_class: str | None) -> None:
    name = one_class if one_class is not None else XVIEW_CLASSES.get(type_id)
    values = [number(text) for text in bounds.split(",")]
    box_px = (values[0], values[1], values[2], values[3]) if len(values) == 4 else None
    thing = PixelObject(row, name or "", box_px)
    unknown = f"type_id {type_id:g} is none of the 60 classes"
    if name is None and type_id in _NOISE:
        message = f"{unknown}; the makers call it an artefact of the labelling"
        rows.reject(row, "unknown-class", message, None, Severity.SKIPPED)
    elif name is None:
        rows.refuse(thing, "unknown-class", unknown)
    elif box_px is None:
        rows.refuse(thing, "invalid-box", f"bounds_imcoords must be xmin,ymin,xmax,ymax, got {bounds[:80]}")
    else:
        rows.add(thing)
