"""Scenes that were enlarged before they were given: what the tags of ``domainvl enhance apply`` say of them."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from domainvl.errors import ItemError
from domainvl.schema import Enhanced

from .reading import OpenProduct
from .views import View

_TAG, _HASH_TAG, _EARLIER_TAG = "DOMAINVL_ENHANCED", "DOMAINVL_ENHANCER_SHA256", "DOMAINVL_ENHANCED_EARLIER"

_ONE_TIME = re.compile(r"(?P<name>\S+) mode=(?P<mode>.+?) scale=(?P<scale>[2-9]|[1-9]\d+)(?P<more> .*)?")
"""What the tag says of one enlargement."""

_FORCED = "forced=medical"
"""What it says at its end of a picture of a patient."""


def parse_mark(said: str, sha256: str | None, earlier: str | None = None) -> Enhanced | None:
    """Read what the tags of a file say of its enlargement.

    Args:
        said: ``NAME mode=MODE scale=TIMES``.
        sha256: Hash of the weights; None where there is none.
        earlier: The same of enlargements before it, the first first, parted by semicolons.

    Returns:
        What enlarged it, from the pixels of the sensor on: names and modes in their order, and all times together;
        the hash is that of the last. None if it cannot be read.
    """
    times = [_ONE_TIME.fullmatch(one) for one in [*(earlier.split("; ") if earlier else []), said]]
    known = [time for time in times if time is not None]
    if len(known) != len(times):
        return None
    modes = [time["mode"] + (f", {_FORCED}" if _FORCED in (time["more"] or "") else "") for time in known]
    return Enhanced(
        name=" + ".join(time["name"] for time in known),
        scale=math.prod(int(time["scale"]) for time in known),
        mode=" + ".join(dict.fromkeys(modes)),
        sha256=sha256,
    )


def marks_of(opened: OpenProduct, views: Sequence[View]) -> Iterator[tuple[str, dict[str, str]]]:
    """Find the files that are shown of a scene and say that something enlarged them.

    Args:
        opened: The open scene.
        views: What is shown of it.

    Yields:
        Path and tags of each.

    Raises:
        ItemError: If a file cannot be opened.
    """
    for path in dict.fromkeys(band.path for view in views for band in view.bands):
        tags = opened.dataset(path).tags()
        if _TAG in tags:
            yield path, tags


def enhanced_already(products: Sequence[OpenProduct], views: Sequence[Sequence[View]]) -> Enhanced | None:
    """Say what enlarged the scenes of a site before they were given; None where the tags of none say that anything did.

    Args:
        products: The open scenes.
        views: What is shown of each.

    Raises:
        ItemError: If the tags cannot be read, or name several enhancers: a sample has room for one.
    """
    found: dict[Enhanced, str] = {}
    for opened, of_scene in zip(products, views, strict=True):
        for path, tags in marks_of(opened, of_scene):
            enhanced = parse_mark(tags[_TAG], tags.get(_HASH_TAG), tags.get(_EARLIER_TAG))
            if enhanced is None:
                raise ItemError(
                    "Cannot tell what enlarged a scene",
                    reason="enhanced-tag",
                    where=opened.name_of(path),
                    rule=f"its tag {_TAG} must be NAME mode=MODE scale=TIMES, got {tags[_TAG]!r}",
                    action="Enlarge the original again with domainvl enhance apply",
                )
            found.setdefault(enhanced, opened.name_of(path))
    if len(found) > 1:
        (one, first), (other, second), *_ = found.items()
        raise ItemError(
            "Cannot say what enlarged a sample",
            reason="enhanced-differently",
            where=first,
            rule=f"{one.name} ({one.mode}) enlarged it, and {other.name} ({other.mode}) enlarged {second}; "
            "a sample names one",
            action="Enlarge what is shown together with one network in one mode, or leave --series out",
        )
    return next(iter(found), None)
