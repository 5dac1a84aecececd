"""How much of each source a run sees in an epoch, and which samples those are: drawn by seed, never a file's head."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from domainvl.conversion.exclusion import excluded_image, held_out_groups, held_out_images
from domainvl.errors import InputNotFoundError, UsageError
from domainvl.interleaved import WindowLimits
from domainvl.schema import Split
from domainvl.schema.writer import MANIFEST_NAME
from domainvl.training.recipe import Mixture
from domainvl.training.recipe_yaml import Layer, validate
from domainvl.training.sources import DatasetSource, InterleavedSource, ModelInput, NoSamples, Role, Source
from domainvl.yaml_files import read_mapping


class SourceSpec(BaseModel):
    """One source of a mixture.

    Attributes:
        path: Folder of a data set, or of interleaved documents.
        kind: Which of the two.
        role: What the model is adapted to, or what is mixed in so that it does not forget.
        repeat: How often its samples are seen in an epoch; 0.5 is half of them, others in each epoch.
        weight: Its share of an epoch instead, relative to the weights of all others.
        text_only: Take stretches of documents without an image too, for a share of language alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Path
    kind: Literal["dataset", "interleaved"] = "dataset"
    text_only: bool = False
    role: Role = "domain"
    repeat: Annotated[float, Field(gt=0)] | None = None
    weight: Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _documents_alone_can_be_text(self) -> SourceSpec:
        if self.text_only and self.kind != "interleaved":
            raise ValueError("text_only is for sources of kind interleaved")
        return self


class MixtureSpec(BaseModel):
    """All sources of a run, by the names that the log calls them.

    Attributes:
        sources: The sources.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: Annotated[dict[str, SourceSpec], Field(min_length=1)]


def mixture_of(data: Sequence[Path], general: Sequence[Path] = ()) -> MixtureSpec:
    """Make a mixture of folders, each named as its last part.

    Args:
        data: Data sets of the domain.
        general: General data sets.

    Raises:
        UsageError: If a folder is named twice.
    """
    sources: dict[str, SourceSpec] = {}
    roles: list[tuple[Path, Role]] = [*((path, "domain") for path in data), *((path, "general") for path in general)]
    for path, role in roles:
        if any(path.resolve() == other.path.resolve() for other in sources.values()):
            raise UsageError(
                "Cannot mix data sets",
                where=path,
                rule="it is named twice",
                action="Name it once; a mixture file can repeat it",
            )
        name = path.resolve().name
        number = 2
        while name in sources:
            name, number = f"{path.resolve().name}-{number}", number + 1
        sources[name] = SourceSpec(path=path, role=role)
    return MixtureSpec(sources=sources)


def load_mixture(path: Path) -> MixtureSpec:
    """Read a mixture from YAML; paths are relative to the file.

    Raises:
        InputNotFoundError: If there is no such file.
        RecipeError: If it breaks a rule.
    """
    what, where = "Cannot read a mixture", str(path)
    if not path.is_file():
        raise InputNotFoundError(what, where=path, rule="there is no such file")
    layer = Layer(where, read_mapping(path, where, what=what))
    spec = validate(MixtureSpec, [layer], own=where, what="Invalid mixture", where=where)
    return MixtureSpec(
        sources={
            name: source.model_copy(update={"path": path.parent / source.path}) for name, source in spec.sources.items()
        }
    )


def open_sources(
    spec: MixtureSpec,
    model: ModelInput,
    max_tokens: int,
    split: Split = Split.TRAIN,
    at_most: int | None = None,
) -> list[Source]:
    """Open the sources of a mixture.

    Documents that a data set of the mixture holds out, by their ids or by one of their images, are left out of
    training: windows and pairs may be made of one corpus, and divide it in different shares.

    Args:
        spec: The sources.
        model: What they are encoded for.
        max_tokens: Longest window of interleaved documents.
        split: Which split.
        at_most: Take so many samples of each, evenly spread; all where None.

    Raises:
        InputNotFoundError: If one is missing.
        DatasetError: If one breaks a rule.
        NothingToDoError: If one has no training samples.
    """
    withheld = _held_out_by_data_sets(spec) if split is Split.TRAIN else frozenset()

    def opened(name: str, source: SourceSpec) -> Source:
        if source.kind == "interleaved":
            limits = WindowLimits(max_tokens=max_tokens, text_only=source.text_only)
            return InterleavedSource(source.path, name, source.role, model, limits, split, at_most, withheld)
        if split is not Split.TRAIN and not (source.path / f"{split.value}.jsonl").is_file():
            return NoSamples(name, source.role, source.path)
        return DatasetSource(source.path, name, source.role, split, at_most)

    return [opened(name, source) for name, source in spec.sources.items()]


def _held_out_by_data_sets(spec: MixtureSpec) -> frozenset[str]:
    """Return the groups and pixel hashes that data sets hold out; nothing where no documents ask for them."""
    sources = spec.sources.values()
    if all(source.kind == "dataset" for source in sources):
        return frozenset()
    folders = [source.path for source in sources if source.kind == "dataset"]
    made = [folder for folder in folders if (folder / MANIFEST_NAME).is_file()]  # others are refused when opened
    return frozenset[str]().union(*(held_out_groups(folder) | held_out_images(folder) for folder in made))


def check_held_out(spec: MixtureSpec) -> None:
    """Refuse data sets of which one trains on images that another holds out.

    Images that a data set both trains on and holds out are its own business, which ``domainvl validate`` looks at.

    Raises:
        UsageError: If there are such images, with their number.
    """
    folders = {name: source.path for name, source in spec.sources.items() if source.kind == "dataset"}
    if len(folders) < 2:
        return
    held_out = {name: held_out_images(folder) for name, folder in folders.items()}
    for name, folder in folders.items():
        foreign = {other: hashes - held_out[name] for other, hashes in held_out.items() if other != name}
        shown: dict[str, list[str]] = {other: [] for other in foreign}
        with (folder / f"{Split.TRAIN.value}.jsonl").open(encoding="utf-8") as lines:
            for record in map(json.loads, lines):
                for other, samples in shown.items():
                    if excluded_image(record, foreign[other]):
                        samples.append(record["id"])
        for other, samples in shown.items():
            if samples:
                raise UsageError(
                    "Cannot mix",
                    rule=f"{len(samples):,} training samples of {name} show images that {other} holds out, for example "
                    f"{samples[0]}",
                    action=f"Convert {name} again with --exclude-hashes {folders[other]}, or train on one of them",
                )


def samples_per_epoch(spec: MixtureSpec, sizes: Sequence[int], settings: Mixture) -> list[int]:
    """Say how many samples of each source an epoch has.

    Args:
        spec: The sources.
        sizes: Their numbers of samples.
        settings: The recipe's.

    Raises:
        UsageError: If weights and repeats contradict each other, or the recipe wants general data and there is none.
    """
    specs = list(spec.sources.values())
    general = [index for index, source in enumerate(specs) if source.role == "general"]
    wanted = settings.general_ratio or settings.general_repeat
    if wanted and not general:
        key = "general_ratio" if settings.general_ratio else "general_repeat"
        raise UsageError(
            "Cannot mix",
            rule=f"mixture.{key} is {wanted}, but no source is general data",
            action=f"Name general data sets with --general, or go without: --set mixture.{key}=null",
        )
    if general and len(general) == len(specs) and settings.general_ratio is not None:
        raise UsageError("Cannot mix", rule="mixture.general_ratio is set, but all sources are general data")
    if settings.general_repeat is not None and any(specs[index].repeat is not None for index in general):
        raise UsageError(
            "Cannot mix",
            rule="mixture.general_repeat is set, and a general source has a repeat of its own",
            action="Take one of them away",
        )
    counts = _own_counts(specs, sizes)
    if settings.general_repeat is not None:
        for index in general:
            counts[index] = round(sizes[index] * settings.general_repeat)
    if settings.general_ratio is not None and general:
        domain = sum(count for index, count in enumerate(counts) if index not in general)
        shares = _divide(round(settings.general_ratio * domain), [counts[index] for index in general])
        for index, share in zip(general, shares, strict=True):
            counts[index] = share
    for name, source, count in zip(spec.sources, specs, counts, strict=True):
        if not count and (source.role == "domain" or wanted):
            raise UsageError(
                "Cannot mix",
                rule=f"by its weight, repeat or ratio no sample of {name} would be seen in an epoch",
                action="Raise it, or leave the source out",
            )
    return counts


def _own_counts(specs: Sequence[SourceSpec], sizes: Sequence[int]) -> list[int]:
    weights = [source.weight for source in specs]
    if all(weight is None for weight in weights):
        return [
            round(size * (1.0 if source.repeat is None else source.repeat))
            for source, size in zip(specs, sizes, strict=True)
        ]
    if any(weight is None for weight in weights) or any(source.repeat is not None for source in specs):
        raise UsageError("Cannot mix", rule="either each source has a weight and none a repeat, or none has a weight")
    return _divide(sum(sizes), [weight or 0.0 for weight in weights])


def _divide(total: int, shares: Sequence[float]) -> list[int]:
    """Divide a number in proportion, by largest remainders."""
    exact = [total * share / sum(shares) for share in shares]
    counts = [int(value) for value in exact]
    by_remainder = sorted(range(len(exact)), key=lambda index: (counts[index] - exact[index], index))
    for index in by_remainder[: total - sum(counts)]:
        counts[index] += 1
    return counts


def draw(passes: Sequence[range], count: int, random: np.random.Generator) -> list[range]:
    """Draw samples: each as often as ``count`` has room for all of them, and a random rest.

    Args:
        passes: The samples, those about the same images together.
        count: How many samples.
        random: Decides which make the rest.

    Returns:
        Passes with ``count`` samples in all; at most one is cut short.
    """
    size = sum(len(one) for one in passes)
    drawn = list(passes) * (count // size)
    rest = count % size
    for index in random.permutation(len(passes)) if rest else ():
        one = passes[index][:rest]
        drawn.append(one)
        rest -= len(one)
        if not rest:
            break
    return drawn
