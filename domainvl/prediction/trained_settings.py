"""How images were made when a model was trained, so that new imagery is shown to it in the same way.

A checkpoint records the conversion settings of each data set that it was trained on; a data set's manifest records its
own. What several of them disagree about the user has to decide; what they agree about must not be contradicted.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from domainvl.errors import UsageError
from domainvl.schema import read_manifest

_ACTION = "Name the data set whose images it must be shown, with --settings-of DATASET, or give the options of convert"


def recorded_settings(command: Any, settings: Any, converter: str) -> Iterator[Mapping[str, Any]]:
    """Find the settings of a converter in a record, through merging, splitting and sampling of data sets.

    Args:
        command: What made the data set, as its manifest says.
        settings: Its settings.
        converter: Name of the converter.
    """
    if not isinstance(settings, dict):
        return
    if command == f"convert {converter}":
        yield settings
    one = settings.get("data_set")
    several = settings.get("data_sets")
    for part in [*([one] if one else []), *(several if isinstance(several, list) else [])]:
        if isinstance(part, dict):
            yield from recorded_settings(part.get("command"), part.get("settings"), converter)


def settings_of_training(training: Mapping[str, Any], converter: str) -> list[Mapping[str, Any]]:
    """List the settings of a converter that a checkpoint records, those of its domain's data only."""
    sources = training.get("sources")
    return [
        settings
        for source in (sources.values() if isinstance(sources, dict) else ())
        if source.get("role", "domain") == "domain"
        for settings in recorded_settings(source.get("command"), source.get("conversion_settings"), converter)
    ]


def settings_of_dataset(dataset: Path, converter: str) -> list[Mapping[str, Any]]:
    """List the settings of a converter that made a data set.

    Raises:
        InputNotFoundError: If there is no data set.
        DatasetError: If its manifest is unreadable.
        UsageError: If this converter had no part in it.
    """
    manifest = read_manifest(dataset)
    found = list(recorded_settings(manifest.get("command"), manifest.get("settings"), converter))
    if not found:
        raise UsageError(
            "Cannot take the settings of a data set",
            where=dataset,
            rule=f"it must be made by domainvl convert {converter}, got {manifest.get('command')!r}",
            action="Name the data set that the model was trained on",
        )
    return found


def agree(
    found: list[Mapping[str, Any]], given: Mapping[str, Any], *, fixed: Collection[str], free: Collection[str] = ()
) -> dict[str, Any]:
    """Join what was recorded with what the user gave.

    Args:
        found: Settings on record: of each data set that counts.
        given: What the user gave, as values of JSON, by name; options that were left out are not in it.
        fixed: Settings that decide what the model sees: what is on record must not be contradicted.
        free: Settings that a new image may need otherwise: the user's come first, else those on record are taken.

    Returns:
        Values by name, of those settings only; names that are nowhere said are left out.

    Raises:
        UsageError: If nothing is on record and nothing given, the data sets disagree about a setting that is not
            given, or one that is given contradicts them all.
    """
    if not found and not set(given) & set(fixed):
        rule = "the checkpoint does not say how its images were made"
        raise UsageError("Cannot show the model what it was trained on", rule=rule, action=_ACTION)
    joined: dict[str, Any] = {}
    for name in [*fixed, *free]:
        values = _different([settings[name] for settings in found if name in settings])
        if name in given:
            if name in fixed and values and given[name] not in values:
                raise UsageError(
                    "Cannot show the model what it was trained on",
                    rule=f"{_option(name)} must be {_list(values)}, as the model was trained, got {_show(given[name])}",
                    action="Leave the option out, or name another model",
                )
            joined[name] = given[name]
        elif len(values) > 1:
            raise UsageError(
                "Cannot show the model what it was trained on",
                rule=f"it was trained with different values of {_option(name)}: {_list(values)}",
                action=_ACTION,
            )
        elif values:
            joined[name] = values[0]
    return joined


def _different(values: list[Any]) -> list[Any]:
    different: list[Any] = []
    for value in values:
        if value not in different:
            different.append(value)
    return different


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _list(values: list[Any]) -> str:
    return " or ".join(map(_show, values))


def _show(value: Any) -> str:
    return "left out" if value is None or value == [] else json.dumps(value)
