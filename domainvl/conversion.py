"""The frame that all converters share: plan units, convert each, write one data set.

A converter is found through the entry-point group ``domainvl.converters``, so another package can add a
format. It states its settings as a pydantic model, from which the command line makes its options.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from domainvl import __version__
from domainvl.engine import run_units
from domainvl.errors import ExitCode, InputNotFoundError, NothingToDoError, UsageError
from domainvl.files import hash_file
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance, Sample
from domainvl.schema.splitting import SplitFractions, assign_split
from domainvl.schema.wording import WORDING_VERSION
from domainvl.schema.writer import DatasetWriter, Reject

ENTRY_POINT_GROUP = "domainvl.converters"


class ConverterSettings(BaseModel):
    """Settings that every converter has; each adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    val_fraction: float = Field(default=0.1, ge=0.0, lt=1.0, description="Share of groups held out for validation.")
    test_fraction: float = Field(default=0.1, ge=0.0, lt=1.0, description="Share of groups held out for testing.")
    split_seed: int = Field(default=0, description="Another seed gives another split of the same groups.")
    licence: str | None = Field(default=None, description="Licence of the source data, for the data set's card.")

    def split_fractions(self) -> SplitFractions:
        """Return the shares of the splits.

        Raises:
            UsageError: If nothing would be left for training.
        """
        if self.val_fraction + self.test_fraction >= 1.0:
            raise UsageError(
                "Cannot split",
                rule=f"--val-fraction and --test-fraction together must stay below 1, got "
                f"{self.val_fraction + self.test_fraction:g}",
            )
        return SplitFractions(val=self.val_fraction, test=self.test_fraction, seed=self.split_seed)

    def public(self) -> dict[str, Any]:
        """Return what the manifest may say; a converter leaves out what must stay secret or local."""
        return self.model_dump(mode="json")


SettingsT = TypeVar("SettingsT", bound=ConverterSettings)
UnitT = TypeVar("UnitT")


@dataclass(frozen=True)
class Plan(Generic[UnitT]):
    """What is to be converted.

    Attributes:
        units: Independent units of work, sorted; each is small and can be pickled.
        sources: The input files that are read, with the name under which each may be mentioned.
        rejects: Inputs that were left out already.
    """

    units: Sequence[UnitT]
    sources: Mapping[str, Path]
    rejects: Sequence[Reject] = ()


@dataclass(frozen=True)
class UnitResult:
    """What one unit gave."""

    samples: Sequence[Sample] = ()
    rejects: Sequence[Reject] = ()


class Converter(Protocol[SettingsT, UnitT]):
    """Turns one family of input files into samples."""

    name: str
    summary: str
    settings_type: type[SettingsT]
    licence: str | None

    def plan(self, source: Path, settings: SettingsT) -> Plan[UnitT]:
        """Look at the input, headers only, and divide the work.

        Raises:
            UsageError: If the input or a setting is wrong as a whole.
            NothingToDoError: If there is nothing to convert.
        """
        ...

    def convert(self, unit: UnitT, settings: SettingsT, images: ImageStore, provenance: Provenance) -> UnitResult:
        """Convert one unit; pixels go to ``images``.

        Raises:
            ItemError: If the unit as a whole cannot be used.
        """
        ...

    def unit_name(self, unit: UnitT) -> str:
        """Name a unit in a reject, without identifiers."""
        ...


@dataclass(frozen=True)
class ConversionSummary:
    """What a conversion did."""

    out: Path
    manifest: dict[str, Any]
    sample_count: int
    failed_count: int
    exit_code: ExitCode = field(default=ExitCode.DONE)


def convert(
    converter: Converter[Any, Any],
    source: Path,
    out: Path,
    settings: ConverterSettings | None = None,
    *,
    overwrite: bool = False,
    on_progress: Callable[[int, int], None] | None = None,
) -> ConversionSummary:
    """Convert an input into a data set.

    Args:
        converter: What reads the input.
        source: File or folder.
        out: Folder of the data set to make.
        settings: The converter's settings; its defaults where None.
        overwrite: Replace a data set that is there.
        on_progress: Called with the number of units done and planned.

    Returns:
        What was done; its exit code says whether anything failed.

    Raises:
        InputNotFoundError: If ``source`` does not exist.
        NothingToDoError: If no sample came out.
    """
    if not source.exists():
        raise InputNotFoundError(
            f"Cannot convert {converter.name} input", where=source, rule="there is no such file or folder"
        )
    settings = settings if settings is not None else converter.settings_type()
    _check_inputs_outlive_output(source, settings, out)
    public_settings = settings.public()
    provenance = Provenance(
        converter=converter.name,
        version=__version__,
        settings_sha256=hashlib.sha256(json.dumps(public_settings, sort_keys=True).encode()).hexdigest(),
        wording=WORDING_VERSION,
    )
    with DatasetWriter(out, name=out.name, overwrite=overwrite) as writer:
        plan = converter.plan(source, settings)
        for reject in plan.rejects:
            writer.reject(reject)
        for reject_or_sample in _run(converter, plan, settings, writer.images, provenance, on_progress):
            if isinstance(reject_or_sample, Sample):
                split = reject_or_sample.fixed_split or assign_split(reject_or_sample.group, settings.split_fractions())
                writer.add(reject_or_sample.model_copy(update={"split": split}))
            else:
                writer.reject(reject_or_sample)
        if writer.sample_count == 0:
            raise _nothing_converted(converter, source, writer, len(plan.units))
        manifest = writer.finish(
            command=f"convert {converter.name}",
            settings=public_settings,
            sources=_describe_sources(plan.sources),
            versions=_versions(),
            licence=settings.licence or converter.licence,
        )
        failed = writer.failed_count
        return ConversionSummary(
            out, manifest, writer.sample_count, failed, ExitCode.PARTIAL if failed else ExitCode.DONE
        )


def _check_inputs_outlive_output(source: Path, settings: ConverterSettings, out: Path) -> None:
    """Refuse an output folder that holds an input: replacing it would delete the input, a key for one."""
    named = [source, *(value for _, value in settings if isinstance(value, Path))]
    inside = [path for path in named if path.resolve().is_relative_to(out.resolve())]
    if inside:
        raise UsageError(
            "Cannot write a data set", where=out, rule=f"the input {inside[0]} lies inside it", action="Name another"
        )


def _run(
    converter: Converter[Any, Any],
    plan: Plan[Any],
    settings: ConverterSettings,
    images: ImageStore,
    provenance: Provenance,
    on_progress: Callable[[int, int], None] | None,
) -> Iterator[Sample | Reject]:
    outcomes = run_units(plan.units, lambda unit: converter.convert(unit, settings, images, provenance))
    for done, outcome in enumerate(outcomes, start=1):
        if outcome.failure is not None:
            failure = outcome.failure
            yield Reject(converter.unit_name(outcome.unit), "convert", failure.reason, failure.message, failure.action)
        elif outcome.result is not None:
            yield from outcome.result.samples
            yield from outcome.result.rejects
        if on_progress is not None:
            on_progress(done, len(plan.units))


def _nothing_converted(
    converter: Converter[Any, Any], source: Path, writer: DatasetWriter, unit_count: int
) -> NothingToDoError:
    rule = f"none of {unit_count} planned units gave a sample, {writer.failed_count} inputs failed"
    if writer.first_reject is not None:
        rule += f" (the first: {writer.first_reject.message})"
    return NothingToDoError(
        f"Nothing was converted by {converter.name}", where=source, rule=rule, action="Check the input and the settings"
    )


def _describe_sources(sources: Mapping[str, Path]) -> list[dict[str, Any]]:
    return [
        {"uri": uri, "sha256": hash_file(path), "size_bytes": path.stat().st_size}
        for uri, path in sorted(sources.items())
    ]


def _versions() -> dict[str, str]:
    names = ("numpy", "pillow", "pydicom", "pyogrio", "rasterio", "shapely")
    versions = {"domainvl": __version__}
    for name in names:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def converter_names() -> list[str]:
    """Return the names of all installed converters, sorted."""
    return sorted(entry.name for entry in metadata.entry_points(group=ENTRY_POINT_GROUP))


def load_converter(name: str) -> Converter[Any, Any]:
    """Load a converter by name.

    Raises:
        UsageError: If there is none of that name.
    """
    for entry in metadata.entry_points(group=ENTRY_POINT_GROUP):
        if entry.name == name:
            converter: Converter[Any, Any] = entry.load()
            return converter
    raise UsageError(f"There is no converter {name!r}", action=f"Installed are: {', '.join(converter_names())}")
