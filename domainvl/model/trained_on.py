"""What a checkpoint was trained on, beside its weights: enough to tell whether held-out samples were among it.

Neither names nor pixels are kept, but 64-bit digests of groups and of pixel hashes. They say of a given group or image
whether it was trained on, to whoever has the checkpoint; and a group with a name that can be guessed, such as a number,
can be found by trying. What must not be told so is named by the converters under a key.

A group counts within its domain, not within its data set: data sets of one source name it alike on purpose, such as the
scenes of nuScenes in DriveLM and NuScenes-QA or a patient's series of two formats, and a data set that was split or
merged anew has another name and the same groups. Groups that are called alike by chance are then taken for one: a false
alarm can be looked into, a leak that nobody sees cannot.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.errors import CheckpointError
from domainvl.files import write_atomically
from domainvl.schema import Image, Sample
from domainvl.schema.digests import digest_pixels, digest_text

TRAINED_ON_NAME = "trained-on.digests"
"""A file in the format of safetensors; not named so, because all files named so in a checkpoint are weights."""

Digests: TypeAlias = npt.NDArray[np.uint64]

_VERSION = "1"
_AT_A_TIME = 1 << 20
"""Digests that are gathered before repeated ones go."""


def _no_digests() -> Digests:
    return np.zeros(0, np.uint64)


@dataclass(frozen=True, eq=False)
class TrainedOn:
    """What was trained on.

    Attributes:
        groups: Digests of the groups, each once, sorted.
        images: Digests of the pixel hashes of the images and of what these were made of, each once, sorted.
    """

    groups: Digests = field(default_factory=_no_digests)
    images: Digests = field(default_factory=_no_digests)

    def __or__(self, other: TrainedOn) -> TrainedOn:
        """Return what either was trained on."""
        return TrainedOn(np.union1d(self.groups, other.groups), np.union1d(self.images, other.images))

    def has_group(self, sample: Sample) -> bool:
        """Return whether a sample's group was trained on."""
        return _contains(self.groups, digest_group(sample))

    def has_image(self, image: Image) -> bool:
        """Return whether an image, or one that it was made of, was trained on."""
        return any(_contains(self.images, digest) for digest in digest_pixels([image]))


def digest_group(sample: Sample) -> int:
    """Stand for a sample's group within its domain."""
    return digest_text(f"{sample.domain}\n{sample.group}")


def trained_on(samples: Iterable[Sample]) -> TrainedOn:
    """Return what training on samples makes known: their groups, and all images, those of solved examples too.

    Args:
        samples: The samples; read once, in memory that grows with the number of different images alone.
    """
    groups, images = _Gathered(), _Gathered()
    for sample in samples:
        groups.add([digest_group(sample)])
        images.add(digest_pixels(sample.images))
    return TrainedOn(groups.all(), images.all())


def trained_on_images(images: Iterable[Image]) -> TrainedOn:
    """Return what training on images without groups, such as those of documents, makes known."""
    gathered = _Gathered()
    for image in images:
        gathered.add(digest_pixels([image]))
    return TrainedOn(images=gathered.all())


def write_trained_on(folder: Path, what: TrainedOn) -> None:
    """Write what was trained on beside a model's weights.

    Args:
        folder: Of the checkpoint or specialist.
        what: All of it, that of the model from which training started included.

    Raises:
        OutputError: If it cannot be written.
    """
    from safetensors.numpy import save

    content = save({"groups": what.groups, "images": what.images}, {"version": _VERSION})
    write_atomically(folder / TRAINED_ON_NAME, content)


def read_trained_on(folder: Path) -> TrainedOn | None:
    """Read what a model was trained on; None where it is not known.

    Args:
        folder: Of the checkpoint or specialist. An adapter's own file says what its base was trained on, too.

    Raises:
        CheckpointError: If the file is no such file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    path = folder / TRAINED_ON_NAME
    if not path.is_file():
        return None
    try:
        arrays = load(path.read_bytes())
    except SafetensorError as error:
        raise _unreadable(path, f"it must be in the format of safetensors ({error})") from error
    wanted = {"groups", "images"}
    if arrays.keys() != wanted or any(one.dtype != np.uint64 or one.ndim != 1 for one in arrays.values()):
        raise _unreadable(path, f"it must hold lists of 64-bit numbers called {', '.join(sorted(wanted))}")
    return TrainedOn(np.unique(arrays["groups"]), np.unique(arrays["images"]))


def copy_trained_on(source: Path, target: Path) -> None:
    """Give a model that was made of another, such as by merging, what that was trained on; nothing if not known.

    Raises:
        CheckpointError: If the source's file is no such file.
        OutputError: If it cannot be written.
    """
    what = read_trained_on(source)
    if what is not None:
        write_trained_on(target, what)


class _Gathered:
    """Digests, of which repeated ones go now and then."""

    def __init__(self) -> None:
        self._known: Digests = _no_digests()
        self._new = array("Q")

    def add(self, digests: Iterable[int]) -> None:
        self._new.extend(digests)
        if len(self._new) >= _AT_A_TIME:
            self._known, self._new = self.all(), array("Q")

    def all(self) -> Digests:
        """Return all, each once, sorted."""
        return np.union1d(self._known, np.frombuffer(self._new, dtype=np.uint64) if self._new else _no_digests())


def _contains(digests: Digests, digest: int) -> bool:
    place = int(np.searchsorted(digests, np.uint64(digest)))
    return place < len(digests) and int(digests[place]) == digest


def _unreadable(path: Path, rule: str) -> CheckpointError:
    return CheckpointError(
        "Cannot read what a model was trained on",
        where=path,
        rule=rule,
        action="Remove the file to evaluate without knowing, or train again",
    )
