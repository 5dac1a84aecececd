"""Reads the annotations of OmniDrive: one JSON file a key frame in each of four folders.

``keywords``, ``desc``, ``vqa`` and ``conv`` lie in nuScenes' data root (docs/setup.md of NVlabs/OmniDrive), each with
``train`` and ``val``, and hold ``<sample token>.json`` (LoadAnnoatationVQA in
projects/mmdet3d_plugin/datasets/pipelines/transform_3d.py):

- ``keywords``: a text, the driving action in short;
- ``desc``: ``{"description", "action"}``, of which the official loaders use the description, as is done here;
- ``vqa`` and ``conv``: a list of ``{"question", "answer"}``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from domainvl.errors import DatasetError, InputNotFoundError, ItemError
from domainvl.schema.writer import Reject, Severity

from .reading import read_json, reject_of, row_error, text_of

KINDS = ("keywords", "desc", "vqa", "conv")
"""The folders."""

SPLITS = ("train", "val")
"""The folders in each of them."""

KEYWORDS_PROMPT = "Please shortly describe your driving action."
"""What the official loader asks for ``keywords``."""

DESCRIPTION_PROMPT = "Please describe the current driving conditions based on the images provided."
"""One of the twelve ways in which the official loader asks for ``desc``, drawn there at random."""

_LAYOUT = "conv, desc, keywords or vqa, each with train or val (unpacked from data_nusc.zip)"
_TOKEN = re.compile(r"[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Annotation:
    """One file.

    Attributes:
        kind: Its folder.
        official_split: The folder in it.
        token: The key frame that it is about.
        path: The file.
    """

    kind: str
    official_split: str
    token: str
    path: Path

    @property
    def name(self) -> str:
        """Names it in a reject."""
        return f"{self.kind}/{self.official_split}/{self.path.name}"


class Round(NamedTuple):
    """A question and its answer, with its place in the file from 1."""

    number: int
    question: str
    answer: str


def list_annotations(source: Path, rejects: list[Reject]) -> list[Annotation]:
    """List the files, sorted by folder and name; none is opened.

    Args:
        source: The folder that holds the four.
        rejects: Takes files whose names are no tokens.

    Raises:
        InputNotFoundError: If there is none of the folders.
    """
    folders = [(kind, split) for kind in KINDS for split in SPLITS if (source / kind / split).is_dir()]
    if not folders:
        raise InputNotFoundError(
            "Cannot read OmniDrive",
            where=source,
            rule=f"there is none of {', '.join(f'{kind}/{split}' for kind in KINDS for split in SPLITS)}",
            action=f"Name the folder that holds {_LAYOUT}, and the data root of nuScenes with --dataroot",
        )
    found = []
    for kind, split in folders:
        for path in sorted((source / kind / split).glob("*.json")):
            annotation = Annotation(kind, split, path.stem, path)
            if _TOKEN.fullmatch(path.stem):
                found.append(annotation)
            else:
                error = row_error("row-invalid", annotation.name, "its name must be the token of a key frame")
                rejects.append(reject_of(annotation.name, error))
    return found


def read_rounds(annotation: Annotation) -> tuple[list[Round], list[Reject]]:
    """Read the questions and answers of a file.

    Returns:
        The rounds, in order; and those that cannot be used, each named by its place from 1, or the file if there is
        none at all.

    Raises:
        ItemError: If nothing of the file can be used.
    """
    content = _load(annotation)
    if annotation.kind == "keywords":
        said = text_of({"the action": content}, "the action", annotation.name, keep_lines=True)
        return [Round(1, KEYWORDS_PROMPT, said)], []
    if annotation.kind == "desc":
        fields = _object(content, annotation.name)
        said = text_of(fields, "description", annotation.name, keep_lines=True)
        return [Round(1, DESCRIPTION_PROMPT, said)], []
    if not isinstance(content, list):
        raise row_error("row-invalid", annotation.name, f"it must be a list, got {type(content).__name__}")
    rounds: list[Round] = []
    rejects: list[Reject] = []
    for number, pair in enumerate(content, start=1):
        name = f"{annotation.name} round {number}"
        try:
            fields = _object(pair, name)
            question, answer = (text_of(fields, key, name, keep_lines=True) for key in ("question", "answer"))
            rounds.append(Round(number, question, answer))
        except ItemError as error:
            rejects.append(reject_of(name, error, "convert"))
    if not content:
        why, action = "its list holds no question", "Nothing needs to be done: nothing is asked in this file"
        rejects.append(Reject(annotation.name, "convert", "no-question", why, action, Severity.SKIPPED))
    return rounds, rejects


def _load(annotation: Annotation) -> Any:
    try:
        return read_json(annotation.path)
    except OSError as error:
        rule = f"it cannot be opened ({error.strerror})"
    except DatasetError as error:
        rule = error.rule or "it must be JSON"
    raise row_error("annotation-unreadable", annotation.name, rule)


def _object(content: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(content, dict):
        raise row_error("row-invalid", where, f"it must be an object, got {type(content).__name__}")
    return content
