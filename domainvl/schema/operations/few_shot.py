"""Puts solved examples before the samples of a data set, as earlier turns of one conversation.

Examples are samples of the training split about other images. What is ranked for a sample is sets of images, of which
one question is drawn: by the seed, or by how alike the images look, the most alike placed last (RICES as OmniCorpus
uses it, arXiv 2406.08418; OpenGVLab/OmniCorpus, mllm_internvl/rices.py and scripts/convert_fewshot_sft.py). All choices
depend on ids, pixels and the seed, and not on the order of the lines.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from domainvl.errors import NothingToDoError, UsageError
from domainvl.files import output_errors
from domainvl.schema.digests import digest_pixels, digest_text
from domainvl.schema.operations.rows import InputSet, Row, check_output, unite_versions
from domainvl.schema.record import from_record
from domainvl.schema.sample import EXAMPLE_OF, Image, Sample, Split, placed_count
from domainvl.schema.splitting import uniform_from_key
from domainvl.schema.wording import escape_earlier
from domainvl.schema.writer import DatasetWriter, Reject, Severity

ImageFeatures: TypeAlias = Callable[[Sequence[Image]], npt.NDArray[np.float32]]
"""Turns images into one vector each, of shape (images, width)."""

Vector: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FewShotSettings:
    """What is put before samples.

    Attributes:
        shots: Examples a sample.
        by: ``random``, or ``similar`` for those whose images look most alike.
        seed: Another seed draws others.
        same_group: Allow examples of the sample's own group, such as the same patient.
        any_task: Allow examples of other tasks and domains.
        max_images: Most images of a sample and its examples; 6 as in OmniCorpus' training (section 5.1).
        held_out_too: Put training examples before samples of the other splits too; else these stay as they are.
    """

    shots: int = 2
    by: Literal["random", "similar"] = "random"
    seed: int = 0
    same_group: bool = False
    any_task: bool = False
    max_images: int = 6
    held_out_too: bool = False


@dataclass(frozen=True)
class FewShotSummary:
    """What was made.

    Attributes:
        out: Folder of the new data set.
        manifest: Its manifest.
        few_shot_count: Samples that have examples now.
        held_out_count: Those of them that are held out.
        unchanged_count: Held-out samples that stayed as they were.
        left_out: Samples that were left out, by reason.
    """

    out: Path
    manifest: dict[str, Any]
    few_shot_count: int
    held_out_count: int
    unchanged_count: int
    left_out: dict[str, int]


def few_shot_dataset(
    dataset: Path,
    out: Path,
    settings: FewShotSettings,
    *,
    features: ImageFeatures | None = None,
    features_of: str | None = None,
    overwrite: bool = False,
) -> FewShotSummary:
    """Make a data set whose training samples are preceded by solved examples.

    Time grows with the square of the number of image sets of a task; memory holds one vector an image set.

    Args:
        dataset: Folder of the data set.
        out: Folder of the new one.
        settings: What is put before samples.
        features: Looks at images, for ``by="similar"``.
        features_of: Which model that is, for the manifest.
        overwrite: Replace a data set that is there.

    Raises:
        InputNotFoundError: If the data set or one of its files is not there.
        DatasetError: If a line is no sample or an image is missing.
        NothingToDoError: If no sample would have examples.
        UsageError: If a setting is out of range, ``features`` and ``by`` do not fit, or the output folder is taken or
            is, contains or lies inside the input.
    """
    check_settings(settings, features_given=features is not None)
    check_output(out, [dataset], overwrite=overwrite)
    given = InputSet.open(dataset)
    pool = _Pool(given, settings)
    if features is not None:
        pool.look(features)
    left_out: Counter[str] = Counter()
    few_shot_count = held_out_count = unchanged_count = 0
    with output_errors(out), DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        for reject in given.rejects():
            writer.reject(reject)
        for row in given.rows():
            sample = from_record(row.record)
            if row.split is Split.TRAIN or settings.held_out_too:
                try:
                    sample = with_examples(sample, pool.examples(sample))
                except _LeftOutError as error:
                    left_out[error.reason] += 1
                    writer.reject(_reject(row, error))
                    continue
                few_shot_count += 1
                held_out_count += row.split is not Split.TRAIN
            else:
                unchanged_count += 1
            writer.add(sample)
            for image in sample.images:
                writer.images.adopt(dataset, image.path)
        if not few_shot_count:
            told = ", ".join(f"{count} {reason}" for reason, count in sorted(left_out.items())) or "it has none"
            raise NothingToDoError("No training sample would have examples", where=dataset, rule=told)
        manifest = writer.finish(
            command="few-shot",
            settings={**_told(settings, features_of), "data_set": given.describe()},
            sources=given.manifest["sources"],
            versions=unite_versions([given]),
            licence=given.manifest["licence"],
            notes=[_note(settings.shots, few_shot_count, held_out_count)],
        )
    return FewShotSummary(
        out, manifest, few_shot_count, held_out_count, unchanged_count, dict(sorted(left_out.items()))
    )


def examples_of(
    dataset: Path, samples: Sequence[Sample], settings: FewShotSettings, *, features: ImageFeatures | None = None
) -> list[list[Sample] | str]:
    """Choose training examples of samples that are given in memory, such as some of those that are held out.

    Args:
        dataset: Folder of the data set that they and the examples are of.
        samples: The samples.
        settings: How they are chosen; ``held_out_too`` does not matter.
        features: Looks at images, for ``by="similar"``.

    Returns:
        For each sample its examples in the order in which they are shown, so that the last ones are the first choice;
        where there are too few of them, a stable code of why.

    Raises:
        InputNotFoundError: If the data set or one of its files is not there.
        DatasetError: If a line is no sample or an image is missing.
        UsageError: If a setting is out of range or ``features`` and ``by`` do not fit.
    """
    check_settings(settings, features_given=features is not None)
    pool = _Pool(InputSet.open(dataset), replace(settings, held_out_too=False))
    if features is not None:
        pool.look(features, beside=samples)
    found: list[list[Sample] | str] = []
    for sample in samples:
        try:
            found.append(pool.examples(sample))
        except _LeftOutError as error:
            found.append(error.reason)
    return found


def with_examples(sample: Sample, examples: Sequence[Sample]) -> Sample:
    """Put solved examples before a sample.

    Earlier rounds of its own stay whole too, with what their first says before the question: the images, which the
    wording would name after the examples' else, and the preface, which is then part of the text.

    Args:
        sample: The sample; its answer is still the last turn, and its objects stay.
        examples: Whole conversations about images, first to last. What is known of their objects is not kept.

    Returns:
        The sample with the images of the examples before its own, in the order of the placeholders.
    """
    if not examples:
        return sample
    shown = [_mark(image, example.id) for example in examples for image in example.images]
    solved = [turn for example in examples for turn in example.turns]
    preface_said = bool(sample.earlier) and not placed_count(sample.earlier)
    moved = [thing.model_copy(update={"image": thing.image + len(shown)}) for thing in sample.objects]
    return Sample.model_validate(
        dict(sample)
        | {
            "earlier": (*solved, *sample.turns[: len(sample.earlier)]),
            "preface": None if preface_said else sample.preface,
            "images": (*shown, *sample.images),
            "objects": tuple(moved),
            "turns": (*solved, *sample.turns),
        }
    )


def _can_be_example(sample: Sample) -> bool:
    """Say whether the wording writes its turns before a question as they are.

    It does not where a mark is none of the plain form, such as a name with "<" in it: the mark would be escaped.
    """
    return all(escape_earlier(turn) == turn for turn in sample.turns)


def _note(shots: int, few_shot_count: int, held_out_count: int) -> str:
    held_out = f" {held_out_count} of these samples are held out, and show training images." if held_out_count else ""
    return (
        f"{few_shot_count} samples show {shots} solved examples of the training split before their question, with "
        f"their images: images therefore lie in several groups.{held_out} Do not draw its splits anew"
    )


def _mark(image: Image, sample_id: str) -> Image:
    details = {**image.source.details, EXAMPLE_OF: sample_id}
    return image.model_copy(update={"source": image.source.model_copy(update={"details": details})})


class _LeftOutError(Exception):
    """A sample cannot have its examples.

    Args:
        reason: A stable code to count by.
        message: Why.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def _reject(row: Row, error: _LeftOutError) -> Reject:
    return Reject(str(row.record["id"]), "few-shot", error.reason, str(error), severity=Severity.SKIPPED)


def check_settings(settings: FewShotSettings, *, features_given: bool) -> None:
    """Refuse settings that are out of range or do not fit, before anything is read.

    Raises:
        UsageError: Naming the option.
    """
    rule = None
    if settings.shots < 1:
        rule = f"--shots must be 1 or more, got {settings.shots}"
    elif settings.max_images <= settings.shots:
        rule = f"--max-images must be above {settings.shots}, the number of shots, got {settings.max_images}"
    elif settings.by == "similar" and not features_given:
        rule = "--by similar needs a model whose vision encoder looks at the images: --features CHECKPOINT"
    elif settings.by == "random" and features_given:
        rule = "--features is for --by similar"
    if rule is not None:
        raise UsageError("Cannot choose examples", rule=rule)


def _told(settings: FewShotSettings, features_of: str | None) -> dict[str, Any]:
    return {
        "shots": settings.shots,
        "by": settings.by,
        "features": features_of,
        "seed": settings.seed,
        "same_group": settings.same_group,
        "any_task": settings.any_task,
        "max_images": settings.max_images,
        "held_out_too": settings.held_out_too,
    }


@dataclass
class _Picture:
    """A set of images of training samples of one kind and group, and the samples about it.

    Attributes:
        name: Its pixels and group, by which pictures are put in order.
        group: Number that stands for the group.
        pixels: Numbers that stand for the pixels of its images, and of what these were made of.
        images: The images, of which the features are taken.
        samples: For each sample its id and where its line begins.
    """

    name: str
    group: int
    pixels: frozenset[int]
    images: tuple[Image, ...]
    samples: list[tuple[str, int]] = field(default_factory=list)


@dataclass(frozen=True)
class _Kind:
    """The pictures that examples of one task and domain are drawn from.

    Attributes:
        pictures: In the order of their names.
        groups: Number of the group of each.
        of_pixels: Indices of the pictures that show some pixels.
    """

    pictures: list[_Picture]
    groups: npt.NDArray[np.uint64]
    of_pixels: dict[int, list[int]]


class _Pool:
    """The training samples, as what examples are drawn from.

    Args:
        given: The data set.
        settings: What may be drawn.
    """

    def __init__(self, given: InputSet, settings: FewShotSettings) -> None:
        self._given = given
        self._settings = settings
        self._shown: dict[str, Image] = {}
        found: dict[tuple[str, str], dict[str, _Picture]] = {}
        for row, sample in given.checked_rows():
            if not sample.images or (row.split is not Split.TRAIN and not settings.held_out_too):
                continue
            self._shown.update((image.pixel_sha256, image) for image in sample.images)
            if row.split is Split.TRAIN and _can_be_example(sample):
                name = "/".join([*(image.pixel_sha256 for image in sample.images), sample.group])
                new = _Picture(name, digest_text(sample.group), digest_pixels(sample.images), sample.images)
                picture = found.setdefault(self._kind_of(sample), {}).setdefault(name, new)
                picture.samples.append((sample.id, row.offset))
        self._kinds = {kind: _arranged(pictures.values()) for kind, pictures in found.items()}
        self._vectors: dict[str, Vector] = {}
        self._matrices: dict[tuple[str, str], Vector] = {}
        self._last: tuple[tuple[tuple[str, str], tuple[str, ...]], Vector] | None = None

    def look(self, features: ImageFeatures, beside: Sequence[Sample] = ()) -> None:
        """Take the features of all images, and of those of samples beside, in the order of their pixels."""
        self._shown.update((image.pixel_sha256, image) for sample in beside for image in sample.images)
        names = sorted(self._shown)
        vectors = _normalised(np.asarray(features([self._shown[name] for name in names]), np.float64))
        self._vectors = dict(zip(names, vectors, strict=True))
        self._matrices = {
            name: np.stack([self._mean(picture.images) for picture in kind.pictures])
            for name, kind in self._kinds.items()
        }

    def examples(self, sample: Sample) -> list[Sample]:
        """Choose the examples of a sample, in the order in which they are shown.

        Raises:
            _LeftOutError: If there are not enough.
        """
        settings = self._settings
        if not sample.images:
            raise _LeftOutError("no-image", "it has no image, and examples are chosen by images")
        kind = self._kinds.get(self._kind_of(sample))
        allowed = np.zeros(0, np.intp) if kind is None else self._allowed(kind, sample)
        if kind is None or len(allowed) < settings.shots:
            rule = f"there must be {settings.shots} examples of other images, got {len(allowed)}"
            raise _LeftOutError("too-few-examples", rule)
        ranked = self._ranked(kind, sample, allowed)
        room = settings.max_images - len(sample.images)
        chosen = _choose([kind.pictures[index] for index in ranked], settings.shots, room)
        if chosen is None:
            raise _LeftOutError(
                "too-many-images",
                f"with {settings.shots} examples it must have at most {settings.max_images} images, no two alike; "
                f"its own are {len(sample.images)}",
            )
        return [self._draw(picture, sample) for picture in reversed(chosen)]

    def _kind_of(self, sample: Sample) -> tuple[str, str]:
        return ("", "") if self._settings.any_task else (sample.task.value, sample.domain)

    def _allowed(self, kind: _Kind, sample: Sample) -> npt.NDArray[np.intp]:
        """Return the pictures of other groups that show other pixels."""
        mask = np.ones(len(kind.pictures), np.bool_)
        if not self._settings.same_group:
            mask &= kind.groups != np.uint64(digest_text(sample.group))
        mask[[index for pixels in digest_pixels(sample.images) for index in kind.of_pixels.get(pixels, ())]] = False
        return np.flatnonzero(mask)

    def _ranked(self, kind: _Kind, sample: Sample, allowed: npt.NDArray[np.intp]) -> list[int]:
        """Put the pictures in order, the first choice first; of equally similar ones the seed chooses."""
        draw = np.random.default_rng([self._settings.seed, digest_text(sample.id)])
        order = allowed[draw.permutation(len(allowed))]
        if self._settings.by == "similar":
            order = order[np.argsort(-self._likeness(sample)[order], kind="stable")]
        ranked: list[int] = order.tolist()
        return ranked

    def _likeness(self, sample: Sample) -> Vector:
        """Return the cosine with each picture of the sample's kind; neighbouring lines often ask for the same."""
        key = (self._kind_of(sample), tuple(image.pixel_sha256 for image in sample.images))
        if self._last is None or self._last[0] != key:
            self._last = (key, self._matrices[key[0]] @ self._mean(sample.images))
        return self._last[1]

    def _mean(self, images: Sequence[Image]) -> Vector:
        vectors = np.stack([self._vectors[image.pixel_sha256] for image in images])
        mean: Vector = _normalised(vectors.mean(axis=0, keepdims=True))[0]
        return mean

    def _draw(self, picture: _Picture, sample: Sample) -> Sample:
        """Draw one of the samples about a picture."""
        seed = self._settings.seed
        _, offset = min(picture.samples, key=lambda one: (uniform_from_key(f"{seed}/{sample.id}/{one[0]}"), one[0]))
        return from_record(self._given.record_at(Split.TRAIN, offset))


def _arranged(pictures: Iterable[_Picture]) -> _Kind:
    in_order = sorted(pictures, key=lambda picture: picture.name)
    of_pixels: dict[int, list[int]] = {}
    for index, picture in enumerate(in_order):
        for pixels in picture.pixels:
            of_pixels.setdefault(pixels, []).append(index)
    return _Kind(in_order, np.array([picture.group for picture in in_order], np.uint64), of_pixels)


def _choose(ranked: Sequence[_Picture], shots: int, room: int) -> list[_Picture] | None:
    """Take the first pictures that leave room for the others, one image each at least, and show nothing twice."""
    chosen: list[_Picture] = []
    seen: set[int] = set()
    for picture in ranked:
        still_to_come = shots - len(chosen) - 1
        if len(picture.images) <= room - still_to_come and seen.isdisjoint(picture.pixels):
            chosen.append(picture)
            seen |= picture.pixels
            room -= len(picture.images)
            if not still_to_come:
                return chosen
    return None


def _normalised(vectors: Vector) -> Vector:
    """Scale each row to length 1; a row of zeros stays."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vector = vectors / np.where(lengths > 0, lengths, 1.0)
    return scaled
