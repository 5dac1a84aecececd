"""Which split an image of a class folder is in: listed in a file, or drawn within its class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from domainvl.errors import InputNotFoundError
from domainvl.schema.sample import Split
from domainvl.schema.splitting import SplitFractions, uniform_from_key
from domainvl.schema.writer import Reject, Severity

from .image_files import IMAGE_SUFFIXES

LISTS = {"train_list": Split.TRAIN, "val_list": Split.VAL, "test_list": Split.TEST}
"""The settings that name a list, and the split of what it lists."""


class SplitLists:
    """The lists of images that belong to one split each.

    Args:
        files: The lists, by the name of the setting.
        drawn: Shares of the splits that are drawn because there is no list of them.
        by_class: The images.
        rejects: Takes lines that name no image, or one that is named already.
    """

    def __init__(
        self,
        files: Mapping[str, Path | None],
        drawn: SplitFractions,
        by_class: Mapping[str, Sequence[Path]],
        rejects: list[Reject],
    ) -> None:
        self.sources: dict[str, Path] = {}
        self._split_of: dict[Path, Split] = {}
        self.fractions = {
            Split.TEST: drawn.test if files["test_list"] is None else 0.0,
            Split.VAL: drawn.val if files["val_list"] is None else 0.0,
        }
        self._leave_out = files["train_list"] is not None
        by_name: dict[str, list[Path]] = {}
        for path in (path for paths in by_class.values() for path in paths):
            for name in (_stem(class_uri(path)), path.stem):
                by_name.setdefault(name, []).append(path)
        for field, split in LISTS.items():
            file = files[field]
            if file is not None:
                self.sources[f"{field}/{file.name}"] = file
                self._read(file, split, by_name, rejects)

    def _read(self, file: Path, split: Split, by_name: Mapping[str, Sequence[Path]], rejects: list[Reject]) -> None:
        """Read one list; a name may be given with or without its class and its ending."""
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputNotFoundError(
                "Cannot read a list of images", where=file, rule=f"it must be a text file ({error})"
            ) from error
        for number, line in enumerate(lines, start=1):
            name = line.strip().replace("\\", "/").removeprefix("./")
            if not name:
                continue
            found = by_name.get(_stem(name), ())
            rule: str | None = None
            if len(found) != 1:
                rule = f"{name!r:.100} must name one image, it names {len(found)}"
            elif found[0] in self._split_of:
                rule = f"{name!r:.100} is in the list of {self._split_of[found[0]].value} already"
            if rule is None:
                self._split_of[found[0]] = split
            else:
                rejects.append(Reject(f"{file.name} line {number}", "plan", "list-entry", rule, "Correct the list"))

    def divide(self, label: str, paths: Sequence[Path], rejects: list[Reject]) -> tuple[dict[Path, Split], list[Path]]:
        """Return the images of a class whose split is listed, and those for which it is to be drawn."""
        known = {path: self._split_of[path] for path in paths if path in self._split_of}
        free = [path for path in paths if path not in known]
        if not self._leave_out:
            return known, free
        rejects.extend(
            Reject(f"{label}/{path.name}", "plan", "in-no-list", "no list names it", None, Severity.SKIPPED)
            for path in free
        )
        return known, []


def draw_splits(paths: Sequence[Path], label: str, fractions: Mapping[Split, float], seed: int) -> dict[Path, Split]:
    """Divide the images of one class, each split getting its share to the nearest whole image.

    Args:
        paths: The images.
        label: The class.
        fractions: Shares of the splits that are drawn; the rest is for training.
        seed: Another seed gives another division.
    """
    order = sorted(paths, key=lambda path: (uniform_from_key(f"{seed}/{label}/{path.name}"), path.name))
    splits: dict[Path, Split] = dict.fromkeys(order, Split.TRAIN)
    start = 0
    for split, fraction in fractions.items():
        end = start + int(fraction * len(order) + 0.5)
        splits |= dict.fromkeys(order[start:end], split)
        start = end
    return splits


def class_uri(path: Path) -> str:
    """Name an image by its class and file name."""
    return f"{path.parent.name}/{path.name}"


def _stem(name: str) -> str:
    """Return a name without the ending of an image; "tile.1" has none."""
    head, dot, ending = name.rpartition(".")
    return head if dot and f".{ending.lower()}" in IMAGE_SUFFIXES else name
