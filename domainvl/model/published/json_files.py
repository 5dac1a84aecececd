"""Reading the small JSON files of a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from domainvl.errors import CheckpointError


def read_object(
    path: Path, *, what: str = "Cannot read a checkpoint", action: str = "Download the checkpoint again"
) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Args:
        path: The file.
        what: What fails if it cannot be read.
        action: What the user can do then.

    Raises:
        CheckpointError: If it cannot be read, or holds anything else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(
            what, where=path, rule=f"the file must be readable: {error.strerror}", action=action
        ) from error
    except UnicodeDecodeError as error:
        raise CheckpointError(what, where=path, rule=f"it must be UTF-8: {error}", action=action) from error
    except ValueError as error:
        raise CheckpointError(what, where=path, rule=f"it must be JSON: {error}", action=action) from error
    if not isinstance(content, dict):
        rule = f"it must be a JSON object, got {type(content).__name__}"
        raise CheckpointError(what, where=path, rule=rule, action=action)
    return content
