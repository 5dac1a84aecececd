"""What a converter is: its settings, its plan of units, and what one unit gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, Self, TypeVar, runtime_checkable

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from domainvl.errors import UsageError
from domainvl.schema.images import ImageStore
from domainvl.schema.sample import Provenance, Sample
from domainvl.schema.splitting import SplitFractions
from domainvl.schema.writer import Reject

ENTRY_POINT_GROUP = "domainvl.converters"


class ConverterSettings(BaseModel):
    """Settings that every converter has; each adds its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    plan_fields: ClassVar[frozenset[str]] = frozenset()
    """Settings of a converter that act on its plan alone: what they decide stands in the units. A finished unit stays
    valid when one of them changes, and ``convert`` sees their defaults."""

    panels: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    """Headings under which the command line lists settings, with their names; the others stand under no heading."""

    not_enhanced: ClassVar[str] = "only scenes are enlarged, by domainvl convert geotiff"
    """Why ``--enhance`` is refused by a converter that has no such setting."""

    val_fraction: float = Field(default=0.1, ge=0.0, lt=1.0, description="Share of groups held out for validation.")
    test_fraction: float = Field(default=0.1, ge=0.0, lt=1.0, description="Share of groups held out for testing.")
    split_seed: int = Field(default=0, description="Another seed gives another split of the same groups.")
    licence: str | None = Field(default=None, description="Licence of the source data, for the data set's card.")
    exclude_hashes: Path | None = Field(
        default=None,
        description="Images to leave out wherever they come from, told by their pixels: a data set, whose val and "
        "test images are meant, or a text file with one pixel_sha256 a line. It keeps a benchmark's test images out.",
    )

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
        """Return what the manifest may say, files by their name only; a converter leaves out what must stay secret."""
        return self.model_dump(mode="json") | {name: value.name for name, value in self if isinstance(value, Path)}

    def packages(self) -> tuple[str, ...]:
        """Name packages that decide pixels because of these settings, beyond those of every conversion."""
        return ()

    def for_units(self) -> Self:
        """Return the settings as units see them: what acts on the plan or on the data set as a whole is at default."""
        own = type(self).model_fields
        hidden = {*ConverterSettings.model_fields, *self.plan_fields} & own.keys()
        return self.model_copy(
            update={name: own[name].get_default(call_default_factory=True) for name in sorted(hidden)}
        )


SettingsT = TypeVar("SettingsT", bound=ConverterSettings)
UnitT = TypeVar("UnitT")


@dataclass(frozen=True)
class Plan(Generic[UnitT]):
    """What is to be converted.

    Attributes:
        units: Independent units of work, sorted; each is small, can be pickled and holds plain values only (see
            :func:`domainvl.engine.fingerprint`).
        sources: The input files that are read, with the name under which each may be mentioned.
        rejects: Inputs that were left out already.
        notes: What the user should know about the input as a whole; kept in the manifest.
        licence: Licence of the source data, where the input tells which it is.
        source_key: Key under which the manifest writes the hashes of sources, where whoever holds the files must not
            find them in it; empty for none.
    """

    units: Sequence[UnitT]
    sources: Mapping[str, Path]
    rejects: Sequence[Reject] = ()
    notes: Sequence[str] = ()
    licence: str | None = None
    source_key: bytes = b""


@dataclass(frozen=True)
class UnitResult:
    """What one unit gave.

    Attributes:
        samples: Its samples.
        rejects: What of it was left out.
        facts: What the manifest says about it; None for nothing, or where :class:`Division` has said it.
    """

    samples: Sequence[Sample] = ()
    rejects: Sequence[Reject] = ()
    facts: Mapping[str, JsonValue] | None = None


@dataclass(frozen=True)
class Division(Generic[UnitT]):
    """A unit that was found to be too large for one go, in parts.

    Attributes:
        units: The parts, in order. What they need to know of the whole, a stretch for one, stands in them.
        rejects: What was left out of the whole.
        facts: What the manifest says about the whole: what was found in it and decided for it; None for nothing.
    """

    units: Sequence[UnitT]
    rejects: Sequence[Reject] = ()
    facts: Mapping[str, JsonValue] | None = None


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
        """Convert one unit; pixels go to ``images``. May run in any process on any machine.

        Raises:
            ItemError: If the unit as a whole cannot be used.
        """
        ...

    def unit_name(self, unit: UnitT) -> str:
        """Name a unit in a reject, without identifiers."""
        ...

    def unit_files(self, unit: UnitT) -> Iterable[Path]:
        """Name the files that a planned unit reads; where the content of one changes, the unit is done again."""
        ...


@runtime_checkable
class DividingConverter(Protocol):
    """A converter whose units may be too large for one go."""

    def divide(self, unit: Any, settings: Any) -> Division[Any]:
        """Look at a planned unit and divide it; runs where ``convert`` does.

        Raises:
            ItemError: If the unit as a whole cannot be used.
        """
        ...


@runtime_checkable
class AddressConverter(Protocol):
    """A converter whose input need not be a path of this machine."""

    def is_address(self, source: Path) -> bool:
        """Say whether an input is an address and no path; of a URL that was made a path, one slash is missing."""
        ...


@runtime_checkable
class CommandConverter(Protocol):
    """A converter that is reached by a command of its own and not by ``convert``."""

    command: str


def command_of(converter: Converter[Any, Any]) -> str:
    """Return the command that the manifest names."""
    return converter.command if isinstance(converter, CommandConverter) else f"convert {converter.name}"


def is_address(converter: Converter[Any, Any], source: Path) -> bool:
    """Say whether an input is an address that the converter opens itself."""
    return isinstance(converter, AddressConverter) and converter.is_address(source)


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
