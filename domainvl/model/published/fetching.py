"""Downloading a checkpoint from a model hub: on request only, pinned to a commit, weights as safetensors only."""

from __future__ import annotations

import errno
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from domainvl.errors import CheckpointError, DomainvlError, OutputError, UsageError
from domainvl.files import check_target, hidden_sibling, make_folder, take_name
from domainvl.model.published.json_files import read_object
from domainvl.model.published.tensors import first_line

ORIGIN_NAME = "origin.json"
"""Says where a downloaded folder came from; an import keeps it."""

_WANTED = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja", "*.py"]
_ERRORS_OF_THE_DISK = (errno.ENOSPC, errno.EROFS, errno.EDQUOT, errno.EACCES)
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class FetchSummary:
    """What was downloaded.

    Attributes:
        out: The folder that was made.
        commit: The commit that the revision names.
        files: Number of files.
        bytes: Their size.
    """

    out: Path
    commit: str
    files: int
    bytes: int


class Hub(Protocol):
    """The part of ``huggingface_hub.HfApi`` that is needed."""

    def model_info(self, repo_id: str, *, revision: str) -> Any:
        """Return what the hub says of a model; ``sha`` is the commit, ``siblings`` are its files."""

    def snapshot_download(self, repo_id: str, *, revision: str, local_dir: Path, allow_patterns: list[str]) -> str:
        """Download files."""


def fetch_checkpoint(hub_id: str, revision: str, out: Path, *, hub: Hub | None = None) -> FetchSummary:
    """Download a checkpoint.

    The Python files beside the weights come along as text: the system message is read from one of them, and the
    official loader wants them beside an export. Nothing runs them.

    Args:
        hub_id: Such as ``OpenGVLab/Mini-InternVL2-1B-DA-RS``.
        revision: Commit, tag or branch; it is resolved to a commit, which is recorded.
        out: Folder to make.
        hub: Where to ask; Hugging Face where None.

    Raises:
        UsageError: If the id is none, or ``out`` is taken.
        CheckpointError: If the hub has no such model or revision, cannot be reached, or has no safetensors.
    """
    from huggingface_hub import HfApi

    if not _HUB_ID.fullmatch(hub_id):
        raise UsageError("Cannot fetch a model", rule=f"its id must be OWNER/NAME, got {hub_id!r}")
    check_target(out, marker=ORIGIN_NAME, overwrite=False)
    api: Hub = hub if hub is not None else HfApi()
    work = hidden_sibling(out, "partial")
    try:
        info = api.model_info(hub_id, revision=revision)
        _require_safetensors(info, hub_id)
        make_folder(work, out, empty=True)
        api.snapshot_download(hub_id, revision=info.sha, local_dir=work, allow_patterns=_WANTED)
        _finish(work, out, {"name": hub_id, "revision": revision, "commit": info.sha})
    except DomainvlError:
        raise
    except Exception as error:  # the hub's client lets the errors of its HTTP library through
        if isinstance(error, OSError) and error.errno in _ERRORS_OF_THE_DISK:
            raise OutputError.of(error, out) from error
        raise CheckpointError(
            "Cannot fetch a model",
            where=f"{hub_id} at {revision}",
            rule=f"{type(error).__name__}: {first_line(error)}",
            action="Check id, revision and network; a private model needs a login with the command hf",
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    files = [path for path in out.rglob("*") if path.is_file()]
    return FetchSummary(out, info.sha, len(files), sum(path.stat().st_size for path in files))


def _finish(work: Path, out: Path, origin: dict[str, str]) -> None:
    (work / ORIGIN_NAME).write_text(json.dumps(origin, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(work / ".cache", ignore_errors=True)  # the hub's own notes on the download
    take_name(work, out)


def _require_safetensors(info: Any, hub_id: str) -> None:
    if not any(file.rfilename.endswith(".safetensors") for file in info.siblings or []):
        raise CheckpointError(
            "Cannot fetch a model",
            where=hub_id,
            rule="it must have weights as .safetensors; other files can hold code",
            action="Ask its owner to publish safetensors",
        )


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Return where a folder was downloaded from, None where it was not by ``domainvl model fetch``."""
    path = folder / ORIGIN_NAME
    return read_object(path) if path.is_file() else None
