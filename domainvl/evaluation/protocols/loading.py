"""Finds and reads protocols: packaged ones by name, others by path; every mistake in a file is named with its key."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections import Counter
from collections.abc import Iterable
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model

from domainvl.errors import InputNotFoundError, RecipeError, UsageError
from domainvl.evaluation.facts import Facts
from domainvl.evaluation.protocols.protocol import Average, Column, Protocol, fits
from domainvl.evaluation.protocols.rules import FORMULAS, RULES, Rule
from domainvl.yaml_files import read_mapping

GENERIC = "generic"
"""The protocol of data sets that no benchmark's is for."""

LEAST_SHARE = 0.95
"""Least share of samples that must be of a benchmark's data set for its protocol to be taken unasked."""

LEAST_ASKED = 0.5
"""Least share of samples that it must then ask: SLAKE's set has groundings besides the questions of its benchmark."""

_SUFFIX = ".yaml"
_WHAT = "Cannot load a protocol"


def protocol_names() -> list[str]:
    """Return the names of the packaged protocols, sorted."""
    return sorted(entry.name.removesuffix(_SUFFIX) for entry in _folder().iterdir() if entry.name.endswith(_SUFFIX))


def load_protocol(name: str | Path) -> Protocol:
    """Read a protocol.

    Args:
        name: Of a packaged protocol, or the path of a file that ends in ``.yaml``.

    Raises:
        UsageError: If there is no such packaged protocol.
        InputNotFoundError: If there is no such file.
        RecipeError: Naming file, key and rule, if it is not a protocol, or calls a rule or formula that is not there.
    """
    source, where = _find(name)
    content = read_mapping(source, where, what=_WHAT)
    try:
        # By way of JSON, where a list may be strict and a tuple all the same.
        protocol = Protocol.model_validate_json(json.dumps(content, default=str), strict=True)
    except ValidationError as error:
        raise _refused(error, where) from error
    if protocol.name != Path(where).stem:
        raise RecipeError(_WHAT, where=where, rule=f"name: it must be that of the file, got {protocol.name!r}")
    for index, column in enumerate(protocol.columns):
        _check_rule(column, f"columns.{index}", where)
    for index, average in enumerate(protocol.averages):
        _check_kind(average, f"averages.{index}", where)
    return protocol


def protocol_sha256(name: str | Path) -> str:
    """Return the hash of a protocol's file, by which results say what they were scored by.

    Args:
        name: As of :func:`load_protocol`.

    Raises:
        UsageError: If there is no such protocol.
    """
    return hashlib.sha256(_find(name)[0].read_bytes()).hexdigest()


def choose_protocol(facts: Iterable[Facts]) -> Protocol:
    """Return the protocol of the benchmark that nearly all samples are of, a generic one where there is none.

    A benchmark's protocol is for the data sets of some converters, and for samples with some facts. It is taken where
    at least :data:`LEAST_SHARE` of the samples are of its data set and :data:`LEAST_ASKED` are asked; where they are
    fewer, a note of the generic one names it. Generic are ``generic``, for all tasks together, and ``generic-TASK``,
    which is taken where all samples are of one task.

    Args:
        facts: What is known of each sample (:func:`domainvl.evaluation.facts.sample_facts`).

    Raises:
        UsageError: If nearly all samples are of a data set of which several benchmarks ask parts.
    """
    names = protocol_names()
    benchmarks = [load_protocol(name) for name in names if name != GENERIC and not name.startswith(f"{GENERIC}-")]
    tasks: set[str] = set()
    asked: Counter[str] = Counter()
    of_set: Counter[str] = Counter()
    total = 0
    for known in facts:
        total += 1
        tasks.add(known["task"])
        own = {protocol.name for protocol in benchmarks if is_for(protocol, known)}
        asked.update(own)
        of_set.update(own | {protocol.name for protocol in benchmarks if known["converter"] in protocol.converters})
    # A few stray samples choose nothing, and stand in no one's way.
    possible = [
        name
        for name, count in asked.items()
        if of_set[name] >= LEAST_SHARE * total and count > (1 - LEAST_SHARE) * total
    ]
    if len(possible) > 1:
        raise UsageError(
            "Cannot choose a protocol",
            rule=f"one benchmark's must be for the samples, got {', '.join(sorted(possible))}",
            action="Name one with --protocol; samples of the others are then left out and counted",
        )
    if possible and asked[possible[0]] >= LEAST_ASKED * total:
        return load_protocol(possible[0])
    of_task = f"{GENERIC}-{next(iter(tasks))}" if len(tasks) == 1 else GENERIC
    generic = load_protocol(of_task if of_task in names else GENERIC)
    notes = [
        f"{count} of {total} samples are of {name}, whose protocol scores these alone: name it with --protocol"
        for name, count in sorted(asked.items())
    ]
    return generic.model_copy(update={"notes": (*generic.notes, *notes)})


def is_for(protocol: Protocol, facts: Facts) -> bool:
    """Say whether a sample is of a protocol's benchmark: of one of its converters, if it names any, with its facts."""
    return facts.get("converter") in (protocol.converters or (facts.get("converter"),)) and fits(facts, protocol.where)


def _folder() -> Traversable:
    return files("domainvl.evaluation.protocols")


def _find(name: str | Path) -> tuple[Traversable, str]:
    """Return a protocol's file and what messages call it."""
    if isinstance(name, Path) or name.endswith(_SUFFIX):
        path = Path(name)
        if not path.is_file():
            raise InputNotFoundError(_WHAT, where=path, rule="there is no such file", action=_names_in_words())
        return path, str(path)
    packaged = _folder() / f"{name}{_SUFFIX}"
    if name not in protocol_names():
        raise UsageError(_WHAT, rule=f"there is none called {name!r}", action=_names_in_words())
    return packaged, packaged.name


def _names_in_words() -> str:
    return f"Name one of {', '.join(protocol_names())}, or a file that ends in {_SUFFIX}"


def _refused(error: ValidationError, where: str, key: str = "", *, action: str | None = None) -> RecipeError:
    faults = [
        f"{'.'.join([key] * bool(key) + [str(part) for part in fault['loc']]) or 'protocol'}: {fault['msg']}"
        for fault in error.errors()
    ]
    return RecipeError(_WHAT, where=where, rule="; ".join(faults), action=action)


def _check_rule(column: Column, key: str, where: str) -> None:
    rule = RULES.get(column.rule)
    if rule is None:
        known = ", ".join(sorted(RULES))
        raise RecipeError(
            _WHAT, where=where, rule=f"{key}.rule: there is no {column.rule!r}", action=f"Name one of {known}"
        )
    model = _settings_model(rule)
    try:
        model.model_validate_json(json.dumps(column.settings, default=str), strict=True)
    except ValidationError as error:
        takes = f"{column.rule} takes {', '.join(model.model_fields) or 'no settings'}"
        raise _refused(error, where, f"{key}.settings", action=takes) from error


def _settings_model(rule: Rule) -> type[BaseModel]:
    """Return what the settings of a rule must be, by its keyword-only arguments."""
    hints = get_type_hints(rule)
    fields: dict[str, Any] = {
        name: (hints[name], ... if parameter.default is parameter.empty else parameter.default)
        for name, parameter in inspect.signature(rule).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    return create_model("Settings", __config__=ConfigDict(extra="forbid"), **fields)


def _check_kind(average: Average, key: str, where: str) -> None:
    kinds = {"micro", "macro", *FORMULAS}
    if average.kind not in kinds:
        rule = f"{key}.kind: there is no {average.kind!r}"
        raise RecipeError(_WHAT, where=where, rule=rule, action=f"Name one of {', '.join(sorted(kinds))}")
