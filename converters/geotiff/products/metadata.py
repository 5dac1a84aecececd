"""Reads metadata files that others wrote: XML without entities, JSON, numbers; what is wrong is said by name."""

from __future__ import annotations

import json
import math
from typing import Any
from xml.etree import ElementTree
from xml.parsers import expat

from domainvl.errors import ItemError


def bad_metadata(where: str, rule: str, action: str = "Fetch the product again") -> ItemError:
    """Say that a metadata file does not hold what it must."""
    return ItemError("Cannot use metadata", reason="bad-metadata", where=where, rule=rule, action=action)


def parse_xml(content: bytes, where: str) -> ElementTree.Element:
    """Parse XML; a document type, through which entities could grow without bound or name files, is refused.

    Args:
        content: The file.
        where: Its name in messages.

    Raises:
        ItemError: If it is no XML or has a document type.
    """

    def refuse(*_: Any) -> None:
        raise bad_metadata(where, "it has a DOCTYPE, which metadata never has", "Fetch the product from its producer")

    scan = expat.ParserCreate()
    scan.StartDoctypeDeclHandler = refuse
    try:
        scan.Parse(content, True)
        return ElementTree.fromstring(content)
    except (expat.ExpatError, ElementTree.ParseError, LookupError, ValueError) as error:
        raise bad_metadata(where, f"it is no XML ({error})") from error


def local_name(element: ElementTree.Element) -> str:
    """Return a tag without its namespace, which differs between versions of a format."""
    return element.tag.rpartition("}")[2]


def texts(root: ElementTree.Element, name: str) -> list[str]:
    """Return the texts of all elements of a name, in document order."""
    return [(element.text or "").strip() for element in root.iter() if local_name(element) == name]


def only_text(root: ElementTree.Element, name: str, where: str) -> str:
    """Return the text that all elements of a name share.

    Raises:
        ItemError: If there is none, or they differ.
    """
    found = sorted({text for text in texts(root, name) if text})
    if len(found) != 1:
        rule = f"{name} must be there once, found {', '.join(found) or 'none'}"
        raise bad_metadata(where, rule)
    return found[0]


def parse_json_object(content: bytes, where: str) -> dict[str, Any]:
    """Parse a JSON object.

    Raises:
        ItemError: If it is none.
    """
    try:
        value = json.loads(content.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise bad_metadata(where, f"it is no JSON ({error})") from error
    if not isinstance(value, dict):
        raise bad_metadata(where, f"it must be a JSON object, got {type(value).__name__}")
    return value


def finite(text: Any, name: str, where: str) -> float:
    """Read a finite number.

    Args:
        text: The number, as text or as JSON has it.
        name: The field in messages.
        where: The file in messages.

    Raises:
        ItemError: If it is none.
    """
    try:
        value = math.nan if isinstance(text, bool) else float(text)
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise bad_metadata(where, f"{name} must be a finite number, got {text!r}")
    return value


def decode_text(content: bytes, where: str) -> str:
    """Decode UTF-8.

    Raises:
        ItemError: If it is something else.
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise bad_metadata(where, f"it must be UTF-8 ({error})") from error
