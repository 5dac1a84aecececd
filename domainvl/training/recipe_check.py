"""Whether a recipe and a data set go together, found by their records alone: no image and no weights are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from domainvl.errors import CheckpointError
from domainvl.model.checkpoint import find_checkpoint, read_spec
from domainvl.model.preprocessing import Preprocessing
from domainvl.schema import Sample, SampleFile, Split
from domainvl.training.recipe import Recipe

DATASET_COORDINATES = "0-1000"
"""What the boxes in a data set's conversations are written in (``domainvl.schema.to_box_1000``)."""


@dataclass(frozen=True)
class Finding:
    """Something about a recipe and a data set.

    Attributes:
        severity: ``contradiction``: a run would refuse to start or learn what is not meant. ``note``: good to know.
        key: The recipe's key that it is about.
        said: What is the case.
        action: What can be done.
    """

    severity: Literal["contradiction", "note"]
    key: str
    said: str
    action: str


@dataclass
class _Needs:
    """What the training samples need under a recipe's preprocessing.

    Attributes:
        samples: How many there are.
        wordings: Versions of the wording of their conversations.
        too_large: Samples whose images alone are too much for a pack.
        never_fitting: The first sample that is too much with one tile an image; None if there is none.
        beyond_share: Samples with more still images than tiles: each gets one tile all the same.
        shrunk: Images that are shrunk to less than half their side.
        images: Images in all, each as often as it is shown.
        largest_px: Width and height of the largest image.
    """

    samples: int
    wordings: set[str]
    too_large: int = 0
    never_fitting: str | None = None
    beyond_share: int = 0
    shrunk: int = 0
    images: int = 0
    largest_px: tuple[int, int] = (0, 0)


def check_against_dataset(recipe: Recipe, dataset: Path) -> list[Finding]:
    """Find where a recipe contradicts a data set.

    Args:
        recipe: The recipe. If its model is on this machine, its preprocessing counts; else that of Mini-InternVL.
        dataset: The data set's folder.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If a sample breaks a rule.
        CheckpointError: If what belongs to the recipe's model cannot be read.
    """
    train = SampleFile(dataset, Split.TRAIN)
    has_val = (dataset / f"{Split.VAL.value}.jsonl").is_file()  # a run does without
    held_out = len(SampleFile(dataset, Split.VAL)) if has_val else 0
    stored = _stored_preprocessing(recipe)
    preprocessing = recipe.preprocessing.applied_to(stored or Preprocessing())
    found = [*_check_splits(recipe, len(train), held_out)]
    if stored is None:
        said = f"the checkpoint {recipe.model} is not on this machine: its tiles are taken to be Mini-InternVL's"
        found.append(Finding("note", "model", said, "Name one with --model"))
    if train:
        needs = _count_needs(recipe, preprocessing, train)
        found += _check_wording(preprocessing, needs)
        found += _check_tiles(recipe, preprocessing, needs)
    if recipe.mixture.general_ratio or recipe.mixture.general_repeat:
        key = "general_ratio" if recipe.mixture.general_ratio else "general_repeat"
        said = f"it is {getattr(recipe.mixture, key)}: the run needs general data besides this data set"
        found.append(Finding("note", f"mixture.{key}", said, f"Without any: --set mixture.{key}=null"))
    return found


def _stored_preprocessing(recipe: Recipe) -> Preprocessing | None:
    """Return the preprocessing of the recipe's model; None if the model is not here."""
    try:
        folder = find_checkpoint(recipe.model)
    except CheckpointError:
        return None
    return read_spec(folder).preprocessing


def _check_splits(recipe: Recipe, train_count: int, held_out_count: int) -> Iterator[Finding]:
    if train_count == 0:
        yield Finding("contradiction", "data", "train.jsonl is empty", "Convert again, or see domainvl split")
    if held_out_count == 0 and recipe.validation.max_samples:
        wanted = [key for key in ("keep_best", "patience") if getattr(recipe.validation, key)]
        if wanted:
            said = f"validation.{wanted[0]} is set, but val.jsonl is empty or missing"
            yield Finding("contradiction", f"validation.{wanted[0]}", said, "Hold samples out with domainvl split")
        else:
            said = "val.jsonl is empty or missing: nothing is looked at during training"
            yield Finding("note", "validation.max_samples", said, "Hold samples out with domainvl split")


def _count_needs(recipe: Recipe, preprocessing: Preprocessing, samples: Sequence[Sample]) -> _Needs:
    limits = recipe.packing
    most_tokens = min(limits.max_tokens, limits.max_sample_tokens)
    needs = _Needs(len(samples), set())
    for sample in samples:
        needs.wordings.add(sample.provenance.wording)
        grids = preprocessing.grids(sample.images)

        def too_many(tiles: int) -> bool:
            return tiles > limits.max_tiles or tiles * preprocessing.tokens_per_tile >= most_tokens

        if too_many(sum(grid.tile_count for grid in grids)):
            needs.too_large += 1
            if too_many(len(sample.images)) and needs.never_fitting is None:
                needs.never_fitting = sample.id
        stills = sum(image.frame is None for image in sample.images)
        needs.beyond_share += stills > preprocessing.max_tiles
        side = preprocessing.tile_side_px
        for image, grid in zip(sample.images, grids, strict=True):
            needs.images += 1
            needs.shrunk += grid.columns * grid.rows * side**2 * 4 < image.width_px * image.height_px
            needs.largest_px = max(needs.largest_px, (image.width_px, image.height_px), key=lambda px: px[0] * px[1])
    return needs


def _check_wording(preprocessing: Preprocessing, needs: _Needs) -> Iterator[Finding]:
    if preprocessing.coordinate_space != DATASET_COORDINATES:
        said = (
            f"the model reads and writes boxes in {preprocessing.coordinate_space}, "
            f"the data set's conversations have them in {DATASET_COORDINATES}"
        )
        yield Finding("contradiction", "model", said, "Start from another checkpoint")
    others = sorted(needs.wordings - {preprocessing.wording})
    if others:
        said = f"the model was trained with wording {preprocessing.wording}, the data set has {', '.join(others)}"
        yield Finding("contradiction", "model", said, "Make the data set again with domainvl convert")


def _check_tiles(recipe: Recipe, preprocessing: Preprocessing, needs: _Needs) -> Iterator[Finding]:
    rule = recipe.packing.over_long
    if needs.too_large:
        said = f"{needs.too_large} of {needs.samples} samples have more tiles than a pack or a sample may have"
        if rule == "refuse":
            yield Finding("contradiction", "packing.over_long", said, "Raise packing.max_tiles or take fewer tiles")
        elif needs.never_fitting is not None:
            said += f"; {needs.never_fitting} even with one tile an image"
            severity: Literal["contradiction", "note"] = "note" if rule == "leave-out" else "contradiction"
            yield Finding(severity, "packing.over_long", said, "Raise packing.max_tiles and packing.max_sample_tokens")
        else:
            yield Finding(
                "note", "packing.over_long", said, "They get fewer tiles; raise packing.max_tiles to keep them"
            )
    if needs.beyond_share:
        said = (
            f"{needs.beyond_share} samples have more images than preprocessing.max_tiles "
            f"({preprocessing.max_tiles}): each image gets one tile"
        )
        yield Finding("note", "preprocessing.max_tiles", said, "Nothing need be done")
    if needs.shrunk:
        width, height = needs.largest_px
        side = preprocessing.tile_side_px
        filling = -(-width // side) * -(-height // side)
        said = (
            f"{needs.shrunk} of {needs.images} images are shrunk to less than half their side, and small things "
            f"vanish; the largest, {width}x{height} px, would fill {filling} tiles"
        )
        yield Finding("note", "preprocessing.max_tiles", said, "Allow more tiles, or cut the images when converting")
