"""Names of scenes and logs, for readers whose own files hold only tokens.

Only the small tables are read: ``scene`` and, where it is there, ``log``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from domainvl.schema.writer import Reject

from .faults import Fault, Faults, read_table
from .finding import has_table
from .rows import LogRow, SceneRow


@dataclass(frozen=True, slots=True)
class SceneNames:
    """What scenes are called.

    Attributes:
        scenes: The scenes by token.
        logs: The logs by token; empty where there is no table of logs.
        rejects: Rows whose token another row had before, and scenes without a name.
    """

    scenes: Mapping[str, SceneRow]
    logs: Mapping[str, LogRow]
    rejects: tuple[Reject, ...]


def read_scene_names(tables: Path) -> SceneNames:
    """Read the names of all scenes.

    Args:
        tables: The folder of tables.

    Raises:
        InputNotFoundError: If there is no table of scenes.
        UsageError: If a table breaks the format.
    """
    faults = Faults()
    rows = read_table(tables, "scene", SceneRow, faults)
    scenes = {token: row for token, row in rows.items() if not reject_nameless(row, faults)}
    logs = read_logs(tables, faults)
    return SceneNames(scenes, logs, tuple(faults.rejects()))


def reject_nameless(scene: SceneRow, faults: Faults) -> bool:
    """Reject a scene whose name is empty or blank: names make ids and groups.

    Returns:
        Whether it is one.
    """
    if scene.name.strip():
        return False
    faults.reject(f"scene {scene.token}", Fault("empty-name", f"it must have a name, got {scene.name!r}"))
    return True


def read_logs(tables: Path, faults: Faults) -> Mapping[str, LogRow]:
    """Read the table of logs; empty where there is none.

    Raises:
        UsageError: If it breaks the format.
    """
    return read_table(tables, "log", LogRow, faults) if has_table(tables, "log") else {}


def name_of_log(scene: SceneRow, log: LogRow | None) -> str:
    """Return the name of a scene's log file; where the tables do not name it, the log's token or else the scene's."""
    return (log.logfile if log is not None else None) or scene.log_token or scene.token


def location_of(log: LogRow | None) -> str | None:
    """Return where a log was driven; None where the tables do not say."""
    return (log.location if log is not None else None) or None
