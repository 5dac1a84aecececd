"""One picture to talk about: an image as it is, a tile of a scene, or a slice of a study, drawn as for training.

A file is named by its path; of a scene a tile, of a study a slice is named behind ``#``: ``scene.tif#r2c3``,
``study#17``. Where none is named, the one in the middle is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from domainvl.errors import InputNotFoundError, NothingToDoError, UsageError
from domainvl.prediction.asking import Asked
from domainvl.schema import Box, Image, ImageStore, Source, Task, to_box_px

PLACE_MARK = "#"
"""Stands between a path and a place in it."""

_PLAIN = frozenset({".png", ".jpg", ".jpeg"})
_SCENES = frozenset({".tif", ".tiff", ".jp2", ".vrt", ".safe"})

_WHAT = "Cannot show a picture"

_ANYTHING = Asked(Task.CONVERSATION, "?")


@dataclass(frozen=True)
class Picture:
    """What is talked about.

    Attributes:
        name: What the user called it, and which part of it this is.
        domain: The field; it decides some phrases.
        images: Its views, as a model is shown them.
        size_px: Width and height of what boxes are told in.
        to_px: Brings a box from thousandths of the first image to these pixels; None where a box has no place.
        pixels: What these pixels are.
        preface: What the prompt says before the first question.
        notes: What the user should know.
    """

    name: str
    domain: str
    images: tuple[Image, ...]
    size_px: tuple[int, int]
    to_px: Callable[[Box], Box] | None
    pixels: str
    preface: str | None = None
    notes: tuple[str, ...] = ()


def open_picture(
    name: str,
    store: ImageStore,
    training: Mapping[str, Any],
    settings_of: Path | None = None,
    domain: str | None = None,
) -> Picture:
    """Open a picture.

    Args:
        name: Path, with a place in it.
        store: Where the images go that are shown.
        training: What a checkpoint says of its training.
        settings_of: A data set whose settings count in place of those in the checkpoint.
        domain: The field; by the format of the picture where None.

    Raises:
        InputNotFoundError: If there is no such file or folder.
        UsageError: If there is no such place, or it cannot be shown as the model was trained.
        NothingToDoError: If nothing can be shown.
        ItemError: If the image cannot be read.
    """
    path, place = _divided(name)
    if not path.exists():
        raise InputNotFoundError(_WHAT, where=path, rule="there is no such file or folder", action="Check the path")
    if path.suffix.lower() in _PLAIN:
        picture = _open_file(path, place, store)
    elif path.suffix.lower() in _SCENES:
        picture = _open_tile(path, place, store, training, settings_of)
    else:
        picture = _open_slice(path, place, store, training, settings_of)
    return picture if domain is None else replace(picture, domain=domain)


def _divided(name: str) -> tuple[Path, str | None]:
    whole = Path(name)
    if whole.exists() or PLACE_MARK not in name:
        return whole, None
    path, _, place = name.rpartition(PLACE_MARK)
    return Path(path), place


def _open_file(path: Path, place: str | None, store: ImageStore) -> Picture:
    if place is not None:
        raise UsageError(_WHAT, where=path, rule=f"it is one image, and has no place {place!r}")
    image = store.put_file(path).to_image(Source(uri=path.name))
    size_px = (image.width_px, image.height_px)
    to_px = partial(to_box_px, width_px=size_px[0], height_px=size_px[1])
    return Picture(path.name, "general", (image,), size_px, to_px, "pixels of the file")


def _open_tile(
    path: Path, place: str | None, store: ImageStore, training: Mapping[str, Any], settings_of: Path | None
) -> Picture:
    """Open a tile of a scene."""
    from domainvl.converters.geotiff.tile_samples import DOMAIN
    from domainvl.prediction.scene_tiles import (
        TileLeftOutError,
        choose_settings,
        find_site,
        open_scene,
        shared_limits_of,
    )
    from domainvl.schema.questions.question import scale_note

    settings, _ = choose_settings(training, settings_of, {})
    site = find_site(path, settings, shared_limits_of(settings, settings_of))
    with open_scene(site, settings) as scene:
        names = [f"r{tile.row}c{tile.col}" for tile in scene.tiles]
        tile = scene.tiles[_chosen(path, place, names, "tiles")]
        try:
            shown = scene.show(tile, store)
        except TileLeftOutError as error:
            rule = f"the tile r{tile.row}c{tile.col} shows too little ({error.reason})"
            raise NothingToDoError(_WHAT, where=path, rule=rule, action="Name another tile") from error
        gsd_m = scene.gsd_m(tile) if settings.prompt_gsd else None

    def to_px(box_1000: Box) -> Box:
        left, top, right, bottom = to_box_px(box_1000, settings.tile_px, settings.tile_px)
        return left + tile.x_px, top + tile.y_px, right + tile.x_px, bottom + tile.y_px

    return Picture(
        f"{path.name}{PLACE_MARK}{shown.name}",
        DOMAIN,
        shown.images,
        (tile.x_px + tile.width_px, tile.y_px + tile.height_px),
        to_px,
        "pixels of the scene as it was sampled for the model",
        scale_note(gsd_m, several_images=len(shown.images) > 1),
        (f"tile {shown.name} of {len(names)}",),
    )


def _open_slice(
    path: Path, place: str | None, store: ImageStore, training: Mapping[str, Any], settings_of: Path | None
) -> Picture:
    """Open a slice of a study, or all of it where the model was trained on series."""
    from domainvl.converters.medical.stack import DOMAIN
    from domainvl.converters.medical.stack_samples import SLICES
    from domainvl.prediction.dicom import open_study, show_stack

    study = open_study(path, training, settings_of, {"select": "all"})
    if not study.units:
        first = f": {study.rejects[0].message}" if study.rejects else ""
        raise NothingToDoError(_WHAT, where=path, rule=f"none of its images is shown{first}")
    unit = max(study.units, key=lambda unit: len(unit.slices))
    number = None
    if study.form == SLICES:
        several = [(one, ref) for one in study.units for ref in one.slices]
        if place is None:
            chosen = unit.slices[len(unit.slices) // 2]
            number = next(number for number, (_, ref) in enumerate(several) if ref is chosen)
        else:
            number = _chosen(path, place, [str(number) for number in range(1, len(several) + 1)], "slices")
        unit = replace(several[number][0], slices=(several[number][1],))
    elif place is not None:
        raise UsageError(_WHAT, where=path, rule=f"the model was trained on {study.form}, not on slices, got #{place}")
    samples, shown = show_stack(study, unit, [_ANYTHING], store)
    if not samples:
        reject = study.rejects[-1]
        raise NothingToDoError(_WHAT, where=path, rule=reject.message, action=reject.action)
    image = next(iter(shown.values()))
    part = study.form if number is None else f"{number + 1}"
    return Picture(
        f"{path.name}{PLACE_MARK}{part}",
        DOMAIN,
        samples[0].images,
        (image.columns, image.rows),
        None if number is None else image.to_stored,
        "pixels of the stored image",
        samples[0].preface,
        (f"instance {image.ref.sop_instance_uid}", *study.notes),
    )


def _chosen(path: Path, place: str | None, names: Sequence[str], what: str) -> int:
    """Return which of some parts is named; the one in the middle where none is."""
    if place is None:
        return len(names) // 2
    if place not in names:
        rule = f"it has no {place!r}: its {len(names)} {what} are {names[0]} to {names[-1]}"
        raise UsageError(_WHAT, where=path, rule=rule)
    return names.index(place)
