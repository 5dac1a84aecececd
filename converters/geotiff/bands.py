"""Which bands of a scene are shown as red, green and blue."""

from __future__ import annotations

from dataclasses import dataclass

import rasterio
from rasterio.enums import ColorInterp

from domainvl.errors import ItemError

_ROLES_BY_NAME = {
    # Sentinel-2 MSI bands (ESA Sentinel-2 products specification), with the leading zero: without it, B4 and
    # B8 are other bands on Landsat 5 to 9.
    "b02": "blue",
    "b03": "green",
    "b04": "red",
    "b08": "nir",
    "b11": "swir1",
    "b12": "swir2",
    "near infrared": "nir",
    "near-infrared": "nir",
    "swir": "swir1",
}
_RGB = ("red", "green", "blue")


@dataclass(frozen=True)
class BandChoice:
    """The bands to show.

    Attributes:
        numbers: One or three band numbers, from 1.
        palette: Whether the one band holds indexes into a colour table.
        warning: What a careful reader should know about the choice.
    """

    numbers: tuple[int, ...]
    palette: bool = False
    warning: str | None = None


def choose_bands(dataset: rasterio.DatasetReader, wanted: tuple[str, ...] | None, *, uri: str) -> BandChoice:
    """Find the bands to show.

    Args:
        dataset: The open scene.
        wanted: Numbers, roles or names; where None, red, green and blue by role, else the first three.
        uri: Name of the scene in messages.

    Raises:
        ItemError: If the scene does not have one of them.
    """
    names = _names(dataset)
    if wanted is not None:
        numbers = tuple(_find(name, dataset.count, names, uri) for name in wanted)
        return BandChoice(numbers, palette=len(numbers) == 1 and _has_palette(dataset, numbers[0]))
    if all(role in names for role in _RGB):
        return BandChoice(tuple(names[role] for role in _RGB))
    shown = [index for index in dataset.indexes if dataset.colorinterp[index - 1] is not ColorInterp.alpha]
    if not shown:
        raise ItemError("Cannot choose bands", reason="missing-band", where=uri, rule="it has an alpha band only")
    if len(shown) == 1:
        return BandChoice((shown[0],), palette=_has_palette(dataset, shown[0]))
    if len(shown) == 2:
        return BandChoice((shown[0],), warning="two bands without a role: the first is shown as grey")
    return BandChoice(tuple(shown[:3]), warning="no band has a role: the first three are shown as red, green, blue")


def _names(dataset: rasterio.DatasetReader) -> dict[str, int]:
    names: dict[str, int] = {}
    for index, description in zip(dataset.indexes, dataset.descriptions, strict=True):
        name = (description or "").strip().lower()
        for key in (name, _ROLES_BY_NAME.get(name), dataset.colorinterp[index - 1].name):
            if key:
                names.setdefault(key, index)
    return names


def _find(wanted: str, count: int, names: dict[str, int], uri: str) -> int:
    if wanted.isdecimal():
        if 1 <= int(wanted) <= count:
            return int(wanted)
        known = f"it has {count} bands, numbered from 1"
    else:
        name = wanted.lower()
        found = names.get(name) or names.get(_ROLES_BY_NAME.get(name, ""))
        if found is not None:
            return found
        known = f"it has {count} bands and names " + (", ".join(sorted(names)) or "none")
    raise ItemError(
        f"There is no band {wanted!r}",
        reason="missing-band",
        where=uri,
        rule=known,
        action="Name another band in --bands, by its number where the file does not name it",
    )


def _has_palette(dataset: rasterio.DatasetReader, index: int) -> bool:
    return bool(dataset.colorinterp[index - 1] is ColorInterp.palette)
