"""The files of SLAKE: questions of one split, boxes and mask of one image, checked one by one.

- ``train.json``, ``validate.json``, ``test.json``: lists of objects with ``qid``, ``img_name`` (``xmlab0/source.jpg``),
  ``question``, ``answer``, ``q_lang`` (en or zh), ``location``, ``modality``, ``answer_type`` (OPEN or CLOSED),
  ``base_type``, ``content_type`` and ``triple``.
- ``imgs/xmlabN/detection.json``: a list of ``{"Liver": [x, y, width, height]}`` in pixels.
- ``imgs/xmlabN/mask.png``: one grey value a class; ``mask.txt`` names them, one a line (``70:Liver``), 0 being nothing.

Sources: huggingface.co/datasets/BoKelvin/SLAKE, which holds ``mask.txt`` and the lists; that boxes are corner and sides
is what code that draws them reads (x, y, x + width, y + height), for the layout itself is not written down.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError
from pydantic import JsonValue

from domainvl.errors import ItemError
from domainvl.schema.boxes import Box, Point, clip_box
from domainvl.schema.sample import Object
from domainvl.schema.writer import Reject

from .reading import clean_text, image_name_of, load_list, reject_of, row_error, text_of

FILES = {"train": "train.json", "val": "validate.json", "test": "test.json"}
"""The official splits, the most held out last, with their files."""

IMAGES = "imgs"
DETECTION = "detection.json"
MASK = "mask.png"
MASK_NAMES = "mask.txt"

_LANGUAGES = ("en", "zh")
_BACKGROUND = 0
_DETAILS = ("answer_type", "base_type", "content_type", "location", "modality", "q_lang")


@dataclass(frozen=True)
class SlakeRow:
    """One question: its number, split, language, text, answer and what else the file says about it."""

    qid: str
    official_split: str
    language: str
    question: str
    answer: str
    details: tuple[tuple[str, str | tuple[str, ...]], ...]

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{FILES[self.official_split]} qid {self.qid}"


def read_rows(source: Path, rejects: list[Reject]) -> Iterator[tuple[str, SlakeRow]]:
    """Yield the questions of all splits that are there, each with the path of its image below ``imgs``.

    Args:
        source: The input folder.
        rejects: Takes rows that cannot be used.

    Raises:
        DatasetError: If a file is no JSON list.
    """
    seen: set[str] = set()
    for official_split, name in FILES.items():
        if not (source / name).is_file():
            continue
        for number, content in enumerate(load_list(source / name), start=1):
            where = f"{name} row {number}"
            try:
                image, row = _row(content, official_split, where)
                if row.qid in seen:
                    raise row_error("qid-repeated", where, f"qid {row.qid} was used before")
            except ItemError as error:
                rejects.append(reject_of(where, error))
                continue
            seen.add(row.qid)
            yield image, row


def _row(content: object, official_split: str, where: str) -> tuple[str, SlakeRow]:
    if not isinstance(content, dict):
        raise row_error("row-invalid", where, f"a row must be an object, got {type(content).__name__}")
    language = text_of(content, "q_lang", where)
    if language not in _LANGUAGES:
        raise row_error("language-unknown", where, f"q_lang must be en or zh, got {language!r:.20}")
    details: list[tuple[str, str | tuple[str, ...]]] = [
        (key, text_of(content, key, where)) for key in _DETAILS if content.get(key) not in (None, "")
    ]
    triple = content.get("triple")
    if isinstance(triple, list):
        details.append(("triple", tuple(str(part) for part in triple)))
    return image_name_of(content, "img_name", where), SlakeRow(
        qid=text_of(content, "qid", where),
        official_split=official_split,
        language=language,
        question=text_of(content, "question", where),
        answer=text_of(content, "answer", where),
        details=tuple(details),
    )


def read_mask_names(path: Path) -> dict[int, str]:
    """Read which grey value of a mask stands for which class; a name of 0, the background, is passed over.

    Raises:
        ItemError: If a line is not "VALUE:NAME", or a value stands there twice.
    """
    names: dict[int, str] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{MASK_NAMES} line {number}"
        value, colon, name = (part.strip() for part in line.partition(":"))
        if not (colon and name and value.isascii() and value.isdigit() and int(value) < 256):
            raise row_error("mask-names", where, f"it must be VALUE:NAME with a value from 0 to 255, got {line!r:.40}")
        if int(value) in names:
            raise row_error("mask-names", where, f"value {value} was named before")
        names[int(value)] = name
    names.pop(_BACKGROUND, None)
    return names


def read_boxes(path: Path, name: str, width_px: int, height_px: int) -> tuple[list[Object], list[Reject]]:
    """Read the boxes of one image, cut to the image.

    Args:
        path: Its ``detection.json``.
        name: Names the file in messages.
        width_px: Width of the image.
        height_px: Height of the image.

    Returns:
        The objects, numbered by their place in the file, and the entries that cannot be used.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(entries, list):
            raise row_error("detection-invalid", name, f"it must be a list, got {type(entries).__name__}")
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        return [], [reject_of(name, row_error("detection-invalid", name, f"it must be JSON ({error})"), "convert")]
    except ItemError as error:
        return [], [reject_of(name, error, "convert")]
    objects: list[Object] = []
    rejects: list[Reject] = []
    for place, entry in enumerate(entries):
        where = f"{name} entry {place}"
        try:
            label, box = _entry(entry, where)
            objects.append(_object(str(place), label, box, width_px, height_px, where))
        except ItemError as error:
            rejects.append(reject_of(where, error, "convert"))
    return objects, rejects


def _entry(entry: object, where: str) -> tuple[str, Box]:
    """Return name and box of an entry; [x, y, width, height] becomes two corners."""
    if not isinstance(entry, dict) or len(entry) != 1:
        raise row_error("row-invalid", where, "an entry must be an object with one name and its box")
    ((label, numbers),) = entry.items()
    try:
        x, y, width, height = (float(number) for number in numbers)
    except (TypeError, ValueError) as error:
        raise row_error("box-invalid", where, f"a box must be four numbers, got {numbers!r:.80}") from error
    if not all(math.isfinite(number) for number in (x, y, width, height)):
        raise row_error("box-invalid", where, f"a box must be four finite numbers, got {numbers!r:.80}")
    return clean_text(label, "the name", where), (x, y, x + width, y + height)


def _object(object_id: str, label: str, whole: Box, width_px: int, height_px: int, where: str) -> Object:
    box_px = clip_box(whole, width_px, height_px)
    if not (box_px[0] < box_px[2] and box_px[1] < box_px[3]):
        rule = f"the box must have an area inside the image of {width_px}x{height_px} px, got {whole}"
        raise row_error("box-invalid", where, rule)
    attributes: dict[str, JsonValue] = {"from": DETECTION}
    return Object(id=object_id, label=label, box_px=box_px, truncated=box_px != whole, attributes=attributes)


Rings = list[tuple[Point, ...]]


def read_mask(path: Path, name: str, names: Mapping[int, str], size_px: tuple[int, int]) -> dict[str, Rings]:
    """Read the regions of a mask, by class.

    Args:
        path: The ``mask.png``.
        name: Names the file in messages.
        names: What its values stand for.
        size_px: Width and height of the image.

    Returns:
        Exterior rings along pixel edges, in pixels, one a connected region (4 neighbours); without background.

    Raises:
        ItemError: If it cannot be decoded, has another size than the image, or holds values that nothing is known of.
    """
    values = _mask_values(path, name)
    if values.shape != (size_px[1], size_px[0]):
        got = f"{values.shape[1]}x{values.shape[0]}"
        raise row_error("mask-size", name, f"it must be of {size_px[0]}x{size_px[1]} px as the image, got {got}")
    unknown = sorted(set(np.unique(values).tolist()) - {_BACKGROUND, *names})
    if unknown:
        listed = ", ".join(map(str, unknown[:5]))
        raise row_error("mask-values", name, f"each value must be in {MASK_NAMES}, got {len(unknown)} others: {listed}")
    return _regions(values, names)


def _mask_values(path: Path, name: str) -> npt.NDArray[np.uint8]:
    """Decode a mask: uint8 of shape (height, width)."""
    try:
        with PillowImage.open(path) as image:
            mode, pixels = image.mode, np.asarray(image)
    except (OSError, SyntaxError, UnidentifiedImageError, PillowImage.DecompressionBombError) as error:
        raise row_error("mask-decode", name, "it cannot be decoded, or is far too large") from error
    if mode in ("RGB", "RGBA") and (pixels[..., :1] == pixels[..., :3]).all():
        return np.ascontiguousarray(pixels[..., 0])  # grey, written in colour
    if mode != "L":
        raise row_error("mask-format", name, f"it must be grey of 8 bits, got mode {mode}")
    return np.asarray(pixels, dtype=np.uint8)


def _regions(values: npt.NDArray[np.uint8], names: Mapping[int, str]) -> dict[str, Rings]:
    from ..medical.masks import polygons_of  # brings GDAL, which other parts of the converter do without

    found: dict[str, Rings] = {}
    for value in np.unique(values[values != _BACKGROUND]).tolist():
        found.setdefault(names[value], []).extend(polygons_of(values == value).polygons_px)
    return {label: sorted(found[label]) for label in sorted(found)}


def add_regions(objects: list[Object], regions: Mapping[str, Rings]) -> tuple[list[Object], dict[str, int]]:
    """Give the boxed objects the regions of their class, and add classes that only the mask has.

    Of several boxes of one class, a region goes to the one that shares most with the box around it. A class without a
    box becomes one object, with the box around all its regions. An object that has both a box and regions says under
    ``mask_iou`` how well they agree.

    Args:
        objects: The objects with their boxes.
        regions: The regions of each class.

    Returns:
        All objects, and how many regions of a class touch none of its boxes; names are compared without regard to case.
    """
    by_label: dict[str, list[int]] = defaultdict(list)
    for index, thing in enumerate(objects):
        by_label[thing.label.casefold()].append(index)
    own: dict[int, Rings] = defaultdict(list)
    added: list[Object] = []
    strays: Counter[str] = Counter()
    for label, rings in regions.items():
        candidates = by_label.get(label.casefold(), [])
        if not candidates:
            added.append(_from_mask(label, rings))
        for ring in rings if candidates else []:
            shared = {index: _shared_px(objects[index].box_px, _extent([ring])) for index in candidates}
            best = max(candidates, key=lambda index: shared[index])
            if shared[best] > 0:
                own[best].append(ring)
            else:
                strays[label] += 1
    kept = [_with_regions(thing, own[index]) if index in own else thing for index, thing in enumerate(objects)]
    return kept + added, dict(strays)


def _from_mask(label: str, rings: Rings) -> Object:
    attributes: dict[str, JsonValue] = {"from": MASK}
    object_id = "mask-" + "-".join(label.casefold().split())
    return Object(id=object_id, label=label, box_px=_extent(rings), polygons_px=tuple(rings), attributes=attributes)


def _with_regions(thing: Object, rings: Rings) -> Object:
    attributes = {**thing.attributes, "mask_iou": round(_iou(thing.box_px, _extent(rings)), 3)}
    return thing.model_copy(update={"polygons_px": tuple(rings), "attributes": attributes})


def _extent(rings: Rings) -> Box:
    xs = [x for ring in rings for x, _ in ring]
    ys = [y for ring in rings for _, y in ring]
    return min(xs), min(ys), max(xs), max(ys)


def _shared_px(first: Box | None, second: Box) -> float:
    """Return the area that two boxes share, in square pixels."""
    if first is None:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    return max(width, 0.0) * max(height, 0.0)


def _iou(first: Box | None, second: Box) -> float:
    shared = _shared_px(first, second)
    return shared / (_shared_px(first, first or second) + _shared_px(second, second) - shared)
