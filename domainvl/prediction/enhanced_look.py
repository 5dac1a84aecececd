"""What enlarged the scenes that a model was trained on: new scenes are enlarged by the same, or not asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from domainvl.converters.geotiff.enhancing import find_enhancement
from domainvl.errors import UsageError

ENHANCE = "enhance"
"""The setting of the converter; on record it is what enlarged, as in the provenance of samples, or None."""

_WHAT = "Cannot show the model what it was trained on"


def choose_enhancement(found: Sequence[Mapping[str, Any]], given: str | None) -> str | None:
    """Choose what enlarges a scene.

    Args:
        found: Settings of the converter on record, of each data set that counts; what lacks the setting is older than
            it, and enlarged nothing.
        given: What the user named: a folder, or a name that needs none.

    Returns:
        The same as ``given``, or a name on record that needs no folder; None where nothing enlarges.

    Raises:
        UsageError: If what is given is not what is on record by the hash of its weights, a network is on record and
            its folder is not given, or data sets disagree.
        CheckpointError: If the checkpoint that is given is broken.
    """
    recorded: list[Mapping[str, Any] | None] = []
    for settings in found:
        if (record := settings.get(ENHANCE)) not in recorded:
            recorded.append(record)
    if given is not None:
        mine = find_enhancement(given).record()
        if recorded and not any(_same(record, mine) for record in recorded):
            raise UsageError(
                _WHAT,
                rule=f"it was trained on scenes {_list(recorded)}, and --enhance names {_describe(mine)}",
                action=_action(recorded),
            )
        return given
    if len(recorded) > 1:
        raise UsageError(
            _WHAT,
            rule=f"it was trained on scenes {_list(recorded)}",
            action="Name one of these enhancers in --enhance, or the data set that counts with --settings-of DATASET",
        )
    record = recorded[0] if recorded else None
    if record is None:
        return None
    if record.get("sha256") is None:
        return str(record["name"])
    raise UsageError(
        _WHAT,
        rule=f"it was trained on scenes {_list(recorded)}, and --enhance is not given: the model's checkpoint holds no "
        "weights of an enhancer",
        action=_action(recorded),
    )


def _same(record: Mapping[str, Any] | None, mine: Mapping[str, Any]) -> bool:
    keys = ("name", "scale", "mode", "sha256")
    return record is not None and all(record.get(key) == mine[key] for key in keys)


def _list(recorded: Sequence[Mapping[str, Any] | None]) -> str:
    return " and others ".join("as the sensor took them" if one is None else _enlarged(one) for one in recorded)


def _enlarged(record: Mapping[str, Any]) -> str:
    return f"that {_describe(record)} enlarged"


def _describe(record: Mapping[str, Any]) -> str:
    sha256 = record.get("sha256")
    return f"{record['name']} (weights with SHA-256 {sha256})" if sha256 else str(record["name"])


def _action(recorded: Sequence[Mapping[str, Any] | None]) -> str:
    if recorded == [None]:
        return "Leave --enhance out, or name another model"
    return "Name the folder of that enhancer in --enhance: what domainvl enhance train wrote"
