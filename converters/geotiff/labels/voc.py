"""Pascal VOC annotations: an XML file an image.

VOC itself counts pixels from 1 and includes the last one: a box over a whole image of 500 columns has xmin 1 and xmax
500 (detectron2's reader, data/datasets/pascal_voc.py, takes 1 from the minima for this reason). Tools for other images
often write pixel edges counted from 0 instead: DeepForest reads its own files so. A file does not say which it means.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from pydantic import JsonValue

from domainvl.errors import ItemError

from ..products.metadata import parse_xml
from .pixel_labels import LabelRows, PixelLabels, PixelObject, number, unusable_file

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_FLAGS = ("difficult", "truncated", "occluded")


def read_voc(path: Path, uri: str, *, one_based: bool = False, one_class: str | None = None) -> tuple[str, PixelLabels]:
    """Read the annotation of one image.

    Args:
        path: The file.
        uri: Its name in messages.
        one_based: Whether pixels are counted from 1 and the last is included, as VOC does.
        one_class: The class of all objects instead of their own.

    Returns:
        The name that the file gives the image, empty where it gives none, and its labels.

    Raises:
        ItemError: If the file as a whole cannot be used.
    """
    try:
        root = parse_xml(path.read_bytes(), uri)
    except ItemError as error:
        raise unusable_file(uri, error.rule or str(error)) from error
    except OSError as error:
        raise unusable_file(uri, error.strerror or str(error)) from error
    if root.tag != "annotation":
        raise unusable_file(uri, f"a Pascal VOC file starts with <annotation>, this one with <{root.tag}>")
    rows = LabelRows(uri)
    for index, element in enumerate(root.findall("object"), start=1):
        _add_object(rows, str(index), element, one_based, one_class)
    return _text(root, "filename"), rows.labels(size_px=_size(root))


def _add_object(
    rows: LabelRows, row: str, element: ElementTree.Element, one_based: bool, one_class: str | None
) -> None:
    x_min, y_min, x_max, y_max = (number(_text(element, f"bndbox/{name}")) for name in _CORNERS)
    shift = 1.0 if one_based else 0.0
    attributes: dict[str, JsonValue] = {
        name: text in ("1", "true") for name in _FLAGS if (text := _text(element, name).lower())
    }
    name = _text(element, "name") if one_class is None else one_class
    thing = PixelObject(row, name, (x_min - shift, y_min - shift, x_max, y_max), attributes=attributes)
    if one_based and (x_min < 1 or y_min < 1):
        message = f"xmin and ymin must be at least 1 where pixels are counted from 1, got {x_min:g} and {y_min:g}"
        rows.refuse(thing, "invalid-box", message, "Leave out --voc-one-based if these files count from 0")
    else:
        rows.add(thing)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Return the size of the labelled image; some tools write 0 for what they do not know."""
    width, height = (number(_text(root, f"size/{name}")) for name in ("width", "height"))
    return (int(width), int(height)) if width >= 1 and height >= 1 else None


def _text(element: ElementTree.Element, path: str) -> str:
    return (element.findtext(path) or "").strip()
