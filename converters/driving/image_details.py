"""Adds what a data set says of a moment to the images that show it."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import JsonValue

from domainvl.schema import Image


def with_details(image: Image, details: Mapping[str, JsonValue]) -> Image:
    """Return an image with more details of its source; those of the same name are replaced.

    Args:
        image: The image.
        details: What is added.
    """
    source = image.source.model_copy(update={"details": {**image.source.details, **details}})
    return image.model_copy(update={"source": source})
