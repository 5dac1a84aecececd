"""Which address an image element of a page means, with lazy loading, and the images that are in the page itself."""

from __future__ import annotations

import base64
import binascii
import hashlib
import posixpath
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urljoin

from domainvl.errors import ItemError

_LAZY = ("data-src", "data-original", "data-lazy-src", "data-lazy", "data-url", "data-hi-res-src")
"""Where scripts that load images late keep the address; what ``src`` has then is a placeholder."""

_LAZY_SETS = ("srcset", "data-srcset", "data-lazy-srcset")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_WIDTH = re.compile(r"([\d.]+)\s*(?:px)?\s*\Z")
_STYLED = re.compile(r"(?:^|;)\s*(width|height)\s*:\s*([\d.]+)\s*px", re.I)
_CANDIDATE = re.compile(r"(?:\s|,)*(data:\S+|[^\s,]\S*?)(?:\s+([\d.]+)[wx])?\s*(?:,\s|,?\Z)")
_DATA = re.compile(r"data:([^,]*),", re.I)

_HELD_PREFIX = "data-sha256:"


def image_reference(attributes: Any, sets: Sequence[str] = ()) -> str | None:
    """Return what an image element refers to, as it stands in the page.

    Args:
        attributes: Those of the element.
        sets: ``srcset`` of the ``source`` elements beside it, in order.

    Returns:
        The late address if it has one, else ``src`` unless it is a placeholder and there is a set, else the largest of
        a set; None where there is none.
    """
    lazy = next((attributes[name] for name in _LAZY if attributes.get(name, "").strip()), None)
    plain: str = (lazy or attributes.get("src") or "").strip()
    if plain and not is_data(plain):
        return plain
    for candidates in (*(attributes.get(name) for name in _LAZY_SETS), *sets):
        found = _largest(candidates or "")
        if found is not None:
            return found
    return plain or None


def _largest(candidates: str) -> str | None:
    """Return the last of the largest of a ``srcset`` (WHATWG HTML, 4.8.4.2.1); sizes are widths or densities."""
    best, best_size = None, -1.0
    for address, size in _CANDIDATE.findall(candidates):
        told = _number(size, 1.0)
        if told >= best_size and not is_data(address):
            best, best_size = address, told
    return best


def is_tracking_pixel(attributes: Any) -> bool:
    """Say whether an image element declares that it has at most one pixel a side."""
    style = attributes.get("style")
    told = {name.lower(): size for name, size in _STYLED.findall(style)} if style else {}
    width, height = (_side_px(attributes.get(name) or told.get(name)) for name in ("width", "height"))
    return width is not None and height is not None and width <= 1 and height <= 1


def _side_px(text: str | None) -> float | None:
    found = _WIDTH.match(text.strip()) if text else None
    return _number(found.group(1), None) if found else None


def _number(text: str, otherwise: Any) -> Any:
    try:
        return float(text)
    except ValueError:
        return otherwise


def _take_data(reference: str) -> tuple[str, bytes]:
    """Take an image out of a ``data:`` address (RFC 2397).

    Returns:
        What stands for it as its address, and its bytes.

    Raises:
        ItemError: With reason ``data-uri`` if it cannot be decoded or is empty.
    """
    head = _DATA.match(reference)
    body = reference[head.end() :] if head else ""
    try:
        encoded = head is not None and head.group(1).lower().rstrip().endswith(";base64")
        content = base64.b64decode(_padded(unquote(body))) if encoded else unquote_to_bytes(body)
    except (binascii.Error, ValueError) as error:
        raise ItemError("Cannot use an image", reason="data-uri", where=reference[:60], rule=str(error)) from error
    if not content:
        rule = "a data: address must have content"
        raise ItemError("Cannot use an image", reason="data-uri", where=reference[:60], rule=rule)
    return f"{_HELD_PREFIX}{hashlib.sha256(content).hexdigest()}", content


def _padded(text: str) -> str:
    dense = "".join(text.split())
    return dense + "=" * (-len(dense) % 4)


def find_address(reference: str, page: str, held: dict[str, bytes]) -> str:
    """Return the address of an image, and keep its bytes if they are in the page itself.

    Args:
        reference: As it stands in the page.
        page: As :func:`resolve_address` takes it.
        held: Bytes by address, to which those of the image are added.

    Raises:
        ItemError: With reason ``data-uri`` if it is in the page and cannot be decoded.
    """
    if not is_data(reference):
        return resolve_address(reference, page)
    address, content = _take_data(reference)
    held[address] = content
    return address


def is_data(reference: str) -> bool:
    """Say whether an image is in the page itself."""
    return reference[:5].lower() == "data:"


def has_scheme(address: str) -> bool:
    """Say whether an address is absolute: with a scheme, or of a host (``//host/path``)."""
    return address.startswith("//") or _SCHEME.match(address) is not None


def resolve_address(reference: str, page: str, *, keep_folder: bool = False) -> str:
    """Make the address of an image absolute, or, of pages that are files, relative to the sources.

    Args:
        reference: As it stands in the page.
        page: Address of the page, or of its ``base``: absolute, or a path with forward slashes such as
            ``book/page.html``.
        keep_folder: Keep the slash at the end, as a ``base`` needs it.

    Returns:
        An absolute address, or a path without ``.``, without ``..`` unless it leads out of the sources, and with
        percent-encoding taken off.
    """
    reference = reference.replace("\n", "").partition("#")[0].strip()
    if has_scheme(page):
        return _joined(page, reference)
    if has_scheme(reference):
        return f"https:{reference}" if reference.startswith("//") else reference
    path, question, query = reference.partition("?")
    path = unquote(path).replace("\\", "/")
    slash = "/" if keep_folder and path.endswith("/") else ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) + slash + question + query


def _joined(page: str, reference: str) -> str:
    try:
        return urljoin(page, reference)
    except ValueError:  # such as a host in brackets that is no IPv6 address: not an address, kept as it stands
        return reference
