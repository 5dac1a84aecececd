"""The images of a distillation: found, looked at, divided into trained and held-out, and listed in a file.

Images need no labels. Of a plain folder each file stands for itself and some are held out; of a data set of ours the
split that its groups were given holds: training images are trained on, validation images are held out, and test
images are left alone.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image as PillowImage

from domainvl.errors import DatasetError, InputNotFoundError, ItemError, NothingToDoError, UsageError
from domainvl.files import hash_file, write_atomically
from domainvl.schema import Image, SampleFile, Source, Split
from domainvl.schema.images import check_depth
from domainvl.training.distillation.recipe import ImageSettings

INVENTORY_NAME = "images.jsonl"
_MANIFEST_NAME = "manifest.json"
_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_HEADER_BYTES = 32  # more than up to the depth of a PNG
_NAMED_IMAGES = 3

Use = Literal["train", "held-out", "left-out", "repeated", "unusable"]
"""``left-out``: of a test split, or of a validation split and more than are needed; ``repeated``: the bytes of an
earlier file."""


@dataclass(frozen=True)
class FoundImage:
    """A file that was found.

    Attributes:
        path: Absolute.
        use: What it is for; only ``train`` and ``held-out`` are read again.
        sha256: Of the file; empty where it cannot be read.
        width_px: As the header says; 0 where it cannot be read.
        height_px: Likewise.
        why: Why it is unusable.
    """

    path: str
    use: Use
    sha256: str = ""
    width_px: int = 0
    height_px: int = 0
    why: str = ""

    def as_image(self) -> Image:
        """Return it in the schema's form, of which only path and size are read."""
        return Image(
            path=self.path,
            width_px=self.width_px,
            height_px=self.height_px,
            pixel_sha256=self.sha256,
            source=Source(uri=self.path),
        )


@dataclass(frozen=True)
class Inventory:
    """All files that were found, in a fixed order.

    Attributes:
        images: In order of folders as given, and of paths in each.
    """

    images: tuple[FoundImage, ...]

    def of(self, use: Use) -> list[FoundImage]:
        """Return the images of one use, in order."""
        return [image for image in self.images if image.use == use]

    def counts(self) -> dict[str, int]:
        """Return the number of images of each use that there is."""
        return dict(sorted(Counter(image.use for image in self.images).items()))

    def sha256(self) -> str:
        """Hash what decides the run: content and use of each image that is read, in order."""
        read = [f"{image.sha256} {image.use}" for image in self.images if image.use in ("train", "held-out")]
        return hashlib.sha256("\n".join(read).encode()).hexdigest()


def take_inventory(folders: Sequence[Path], settings: ImageSettings, *, seed: int, readers: int = 2) -> Inventory:
    """Find and look at all images; each file is read once, for its hash.

    Files of equal bytes are one image: it is trained on only if none of them is held out or for testing.

    Args:
        folders: Plain folders, searched with all that is in them, and data sets of ours.
        settings: How many are held out, and how many may be unusable.
        seed: Of the choice of what is held out.
        readers: Threads.

    Raises:
        InputNotFoundError: If a folder is not there.
        NothingToDoError: If no image is left to train on, or none to hold out.
        DatasetError: If too many are unusable.
    """
    named: list[tuple[Path, Split | None]] = []
    for folder in folders:
        if not folder.is_dir():
            raise InputNotFoundError("Cannot read images", where=folder, rule="there is no such folder")
        named += _of_dataset(folder) if (folder / _MANIFEST_NAME).is_file() else _of_folder(folder)
    with ThreadPoolExecutor(readers, thread_name_prefix="hashes") as pool:
        looked_at = list(pool.map(_look_at, (path for path, _ in named)))
    splits = [split for _, split in named]
    inventory = Inventory(tuple(_divide(looked_at, splits, settings, seed)))
    _check(inventory, settings, folders)
    return inventory


def write_inventory(inventory: Inventory, path: Path) -> None:
    """Write one line an image."""
    lines = [json.dumps(asdict(image), ensure_ascii=False) for image in inventory.images]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def read_inventory(path: Path) -> Inventory:
    """Read what :func:`write_inventory` wrote.

    Raises:
        UsageError: If it is not there.
    """
    if not path.is_file():
        raise UsageError("Cannot resume", where=path, rule="the list of images is missing", action="Start a new run")
    lines = path.read_text(encoding="utf-8").splitlines()
    return Inventory(tuple(FoundImage(**json.loads(line)) for line in lines))


def _of_folder(folder: Path) -> list[tuple[Path, Split | None]]:
    found = (path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    return [(path.resolve(), None) for path in sorted(found)]


def _of_dataset(folder: Path) -> list[tuple[Path, Split | None]]:
    """Name each image of a data set once, with its split; a video's frames are images like any other."""
    root = folder.resolve()
    uses: dict[str, Split] = {}
    for split in (Split.TRAIN, Split.VAL, Split.TEST):
        for sample in SampleFile(folder, split):
            uses.update({image.path: split for image in sample.images})
    return [(root / path, split) for path, split in sorted(uses.items())]


def _look_at(path: Path) -> FoundImage:
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER_BYTES)
        with warnings.catch_warnings():
            # An image above Pillow's limit is refused when its turn comes, with its size.
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(path) as opened:
                width_px, height_px = opened.size
                if opened.mode != "YCbCr":  # which has 8 bits a channel
                    check_depth(opened.mode, head, path.name)
        return FoundImage(str(path), "train", hash_file(path), width_px, height_px)
    except ItemError as error:
        return FoundImage(str(path), "unusable", why=error.rule or error.what)
    except (OSError, SyntaxError, ValueError, PillowImage.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        return FoundImage(str(path), "unusable", why=reason or "it is no image that can be recognised")


def _divide(
    looked_at: Sequence[FoundImage], splits: Sequence[Split | None], settings: ImageSettings, seed: int
) -> Iterator[FoundImage]:
    known = {Split.TEST: set[str](), Split.VAL: set[str](), Split.TRAIN: set[str]()}
    free = set[str]()
    for image, split in zip(looked_at, splits, strict=True):
        if image.use != "unusable":
            (free if split is None else known[split]).add(image.sha256)
    test = known[Split.TEST]
    validation = known[Split.VAL] - test
    free -= test | validation | known[Split.TRAIN]
    wanted = min(settings.max_held_out, max(1, round(settings.held_out_share * len(free))))
    held_out = set(_drawn(validation | set(_drawn(free, wanted, seed)), settings.max_held_out, seed))
    left_out = test | (validation - held_out)
    seen: set[str] = set()
    for image in looked_at:
        use: Use = "train"
        if image.use == "unusable":
            use = "unusable"
        elif image.sha256 in left_out:
            use = "left-out"
        elif image.sha256 in seen:
            use = "repeated"
        elif image.sha256 in held_out:
            use = "held-out"
        seen.add(image.sha256)
        yield replace(image, use=use)


def _drawn(hashes: set[str], count: int, seed: int) -> list[str]:
    """Draw by content and seed, so that neither names nor order of files decide."""
    return sorted(hashes, key=lambda one: hashlib.sha256(f"{seed} {one}".encode()).digest())[:count]


def _check(inventory: Inventory, settings: ImageSettings, folders: Sequence[Path]) -> None:
    where = ", ".join(map(str, folders))
    unusable = inventory.of("unusable")
    if len(unusable) > settings.error_budget * len(inventory.images):
        raise over_budget({image.path: image.why for image in unusable}, len(inventory.images), settings)
    for use, what in (("train", "to train on"), ("held-out", "to hold out")):
        if not inventory.of(use):  # type: ignore[arg-type]
            raise NothingToDoError(
                "Cannot distil",
                where=where,
                rule=f"there is no image {what}; found: {inventory.counts()}",
                action="Name folders with images that Pillow reads, or a data set with validation samples",
            )


def over_budget(unusable: Mapping[str, str], count: int, settings: ImageSettings) -> DatasetError:
    """Return the error that ends a run with too many unusable images.

    Args:
        unusable: Why each cannot be used, by path.
        count: Of all images.
        settings: Hold the budget.
    """
    named = "; ".join(f"{path}: {why}" for path, why in list(unusable.items())[:_NAMED_IMAGES])
    return DatasetError(
        "Too many images cannot be used",
        rule=f"images.error_budget allows {settings.error_budget:.2%} of {count}, got {len(unusable)}, such as {named}",
        action="Repair or remove them, or raise images.error_budget",
    )
