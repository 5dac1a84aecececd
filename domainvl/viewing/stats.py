"""Counts a data set in one pass: samples, groups, images, tiles, tokens, answers, objects and warnings."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from domainvl.errors import InputNotFoundError, NothingToDoError
from domainvl.schema import Box, Object, Sample, Split, read_manifest, read_samples
from domainvl.viewing.answers import AnswerKey, AnswerTally, answer_dict, answer_kind, constant_rows
from domainvl.viewing.tally import BoundedCounter, DistinctSample, summarise, summarise_shares
from domainvl.viewing.tokens import TextTally, TokenRules

_TOP = 10
_NUMBER = re.compile(r"\d+(?:\.\d+)?")


@dataclass(slots=True)
class ImageFacts:
    """What is counted of one distinct image."""

    width_px: int = 0
    height_px: int = 0
    uses: int = 0
    boxes: int = 0
    splits: set[Split] = field(default_factory=set)


@dataclass(slots=True)
class GroupFacts:
    """What is counted of one group."""

    splits: set[Split] = field(default_factory=set)


@dataclass(slots=True)
class ObjectFacts:
    """What is counted of one distinct object of an image; polygons themselves would fill the memory.

    Attributes:
        label: Its class.
        ignore: Whether it is too little visible to be asked about.
        truncated: Whether the image border cuts it.
        shapes: Which shapes it has, by their names in :data:`SHAPES`.
        box: Its box in shares of the image sides.
    """

    label: str = ""
    ignore: bool = False
    truncated: bool = False
    shapes: tuple[str, ...] = ()
    box: Box | None = None


SHAPES = ("box", "polygon", "oriented_box", "point")
"""Names of the shapes that an object can have."""


class DatasetStats:
    """All that is counted of one data set; feed it with :meth:`add`.

    Args:
        name: Name of the data set.
        rules: What decides how many tokens a sample has.
    """

    def __init__(self, name: str, rules: TokenRules) -> None:
        self.name = name
        self.rules = rules
        self.samples: Counter[tuple[str, str, Split]] = Counter()
        self.groups: DistinctSample[GroupFacts] = DistinctSample(GroupFacts)
        self.images: DistinctSample[ImageFacts] = DistinctSample(ImageFacts)
        self.images_per_sample: Counter[int] = Counter()
        self.tiles: Counter[int] = Counter()
        self.text = TextTally()
        self.answers: dict[AnswerKey, AnswerTally] = defaultdict(AnswerTally)
        self.objects: DistinctSample[ObjectFacts] = DistinctSample(ObjectFacts)
        self.warnings = BoundedCounter()
        self.with_warnings = 0

    def add(self, sample: Sample) -> None:
        """Count a sample."""
        self.samples[sample.domain, sample.task.value, sample.split] += 1
        if (group := self.groups.record(sample.group)) is not None:
            group.splits.add(sample.split)
        self._add_images(sample)
        tiles = sum(grid.tile_count for grid in self.rules.preprocessing.grids(sample.images))
        self.tiles[tiles] += 1
        self.text.add(sample, self.rules, tiles * self.rules.preprocessing.tokens_per_tile)
        self.answers[sample.domain, sample.task.value, answer_kind(sample)].add(sample)
        for thing in sample.objects:
            self._add_object(thing, sample)
        self.with_warnings += bool(sample.warnings)
        for warning in sample.warnings:
            self.warnings.add(warning_kind(warning))

    def _add_images(self, sample: Sample) -> None:
        self.images_per_sample[len(sample.images)] += 1
        boxes = Counter(thing.image for thing in sample.objects if thing.box_px is not None and not thing.ignore)
        for index, image in enumerate(sample.images):
            facts = self.images.record(image.path)
            if facts is not None:
                facts.width_px, facts.height_px = image.width_px, image.height_px
                facts.uses += 1
                facts.splits.add(sample.split)
                # Samples may carry some of an image's objects only.
                facts.boxes = max(facts.boxes, boxes[index])

    def _add_object(self, thing: Object, sample: Sample) -> None:
        image = sample.images[thing.image]
        shapes = dict(
            zip(SHAPES, (thing.box_px, thing.polygons_px, thing.oriented_box_px, thing.point_px), strict=True)
        )
        facts = self.objects.record(f"{image.path}\0{thing.label}\0{tuple(shapes.values())}")
        if facts is None or facts.label:
            return
        facts.label, facts.ignore, facts.truncated = thing.label, thing.ignore, thing.truncated
        facts.shapes = tuple(name for name, shape in shapes.items() if shape is not None)
        if thing.box_px is not None:
            x_min, y_min, x_max, y_max = thing.box_px
            width, height = image.width_px, image.height_px
            facts.box = (x_min / width, y_min / height, x_max / width, y_max / height)

    def classes(self) -> list[tuple[str, int]]:
        """Return how many objects of each class there are, without the ignored ones; the most frequent first."""
        counts = Counter(facts.label for facts in self.objects.records if not facts.ignore)
        return [
            (label, self.objects.scale(count))
            for label, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        ]

    def boxes(self) -> list[Box]:
        """Return the boxes in shares of the image sides, without the ignored ones; an even sample where too many."""
        return [facts.box for facts in self.objects.records if facts.box is not None and not facts.ignore]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; the keys are the same for every data set."""
        return {
            "name": self.name,
            "samples": self.samples.total(),
            "counts": [
                {"domain": domain, "task": task, "split": split.value, "count": count}
                for (domain, task, split), count in sorted(self.samples.items())
            ],
            "groups": self._group_dict(),
            "images": self._image_dict(),
            "tiles": self._tile_dict(),
            "text": self.text.to_dict(),
            "answers": [answer_dict(key, tally) for key, tally in sorted(self.answers.items())],
            "constant_answers": [
                row for key, tally in sorted(self.answers.items()) for row in constant_rows(key, tally)
            ],
            "objects": self._object_dict(),
            "warnings": {
                "samples": self.with_warnings,
                "kinds": [{"kind": kind, "count": count} for kind, count in self.warnings.top()],
                "other": self.warnings.other,
            },
        }

    def _group_dict(self) -> dict[str, Any]:
        records = self.groups.records
        in_split = {split: sum(split in facts.splits for facts in records) for split in Split}
        return {
            "distinct": self.groups.distinct,
            "exact": self.groups.exact,
            "by_split": {split.value: self.groups.scale(count) for split, count in in_split.items()},
            "in_several_splits": self.groups.scale(sum(len(facts.splits) > 1 for facts in records)),
        }

    def _image_dict(self) -> dict[str, Any]:
        records, scale = self.images.records, self.images.scale
        sizes = Counter((facts.width_px, facts.height_px) for facts in records)
        largest = sorted(sizes.items(), key=lambda item: (-item[1], item[0]))[:_TOP]
        return {
            "distinct": self.images.distinct,
            "exact": self.images.exact,
            "uses": sum(number * times for number, times in self.images_per_sample.items()),
            "per_sample": summarise(self.images_per_sample),
            "width_px": summarise(Counter(facts.width_px for facts in records)),
            "height_px": summarise(Counter(facts.height_px for facts in records)),
            "distinct_sizes": len(sizes),
            "sizes": [
                {"width_px": width, "height_px": height, "count": scale(count)} for (width, height), count in largest
            ],
            "used_by_several_samples": scale(sum(facts.uses > 1 for facts in records)),
            "most_uses": max((facts.uses for facts in records), default=0),
            "in_several_splits": scale(sum(len(facts.splits) > 1 for facts in records)),
            "boxes_per_image": summarise(Counter(facts.boxes for facts in records)),
        }

    def _tile_dict(self) -> dict[str, Any]:
        preprocessing = self.rules.preprocessing
        tokens = Counter({tiles * preprocessing.tokens_per_tile: count for tiles, count in self.tiles.items()})
        return {
            "max_tiles": preprocessing.max_tiles,
            "tile_side_px": preprocessing.tile_side_px,
            "tokens_per_tile": preprocessing.tokens_per_tile,
            "use_thumbnail": preprocessing.use_thumbnail,
            "per_sample": summarise(self.tiles),
            "histogram": {str(tiles): count for tiles, count in sorted(self.tiles.items())},
            "visual_tokens": summarise(tokens),
            "visual_tokens_total": sum(number * times for number, times in tokens.items()),
        }

    def _object_dict(self) -> dict[str, Any]:
        records, scale = self.objects.records, self.objects.scale
        ignored = sum(facts.ignore for facts in records)
        return {
            "distinct": self.objects.distinct,
            "exact": self.objects.exact,
            "ignored": scale(ignored),
            "ignored_share": ignored / len(records) if records else None,
            "truncated": scale(sum(facts.truncated for facts in records)),
            "shapes": {name: scale(sum(name in facts.shapes for facts in records)) for name in SHAPES},
            "classes": [{"label": label, "count": count} for label, count in self.classes()],
            "box_area_share": summarise_shares(
                (x_max - x_min) * (y_max - y_min) for x_min, y_min, x_max, y_max in self.boxes()
            ),
        }


def warning_kind(warning: str) -> str:
    """Return what kind of warning this is: its text with each number as ``#``."""
    return _NUMBER.sub("#", warning)


def collect_stats(dataset: Path, rules: TokenRules, *, splits: Sequence[Split] = tuple(Split)) -> DatasetStats:
    """Count a data set, one sample at a time.

    Args:
        dataset: The data set's folder.
        rules: What decides how many tokens a sample has.
        splits: Which splits.

    Raises:
        NothingToDoError: If there is no sample.
    """
    try:
        name = str(read_manifest(dataset).get("name") or dataset.name)
    except InputNotFoundError:  # samples can be counted without what says how they were made
        name = dataset.resolve().name
    stats = DatasetStats(name, rules)
    for split in splits:
        for sample in read_samples(dataset, split):
            stats.add(sample)
    if not stats.samples:
        raise NothingToDoError("Nothing to count", where=dataset, rule="no split has a sample")
    return stats
