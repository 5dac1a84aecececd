"""Writes a data set: all of it or nothing, the same bytes for the same input.

Everything is written into a hidden folder beside the target, which takes the target's name at the very
end; a data set that is there is therefore complete.
"""

from __future__ import annotations

import contextlib
import enum
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any

from domainvl.errors import DatasetError
from domainvl.files import check_target, hidden_sibling, make_folder, take_name
from domainvl.schema.card import write_card, write_croissant
from domainvl.schema.digests import digest_text
from domainvl.schema.images import ImageStore
from domainvl.schema.record import image_paths, to_line, to_record
from domainvl.schema.sample import Record, Sample, Split
from domainvl.schema.shared_images import SharedImages

MANIFEST_NAME = "manifest.json"
REJECTS_NAME = "rejects.jsonl"
META_NAME = "meta.json"

_KEY_BITS = 128
"""Of the numbers that stand for ids and paths: a sample must not be refused for having the number of another."""


class Severity(enum.StrEnum):
    """Whether an input was left out as intended or could not be used."""

    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True)
class Reject:
    """One input that did not make it into the data set.

    Attributes:
        input: Which: a file, tile, slice, row or object, without identifiers.
        stage: Where it was stopped: ``"plan"``, ``"read"``, ``"label"``, ...
        reason: A stable code to count by.
        message: Why, with the rule and the value seen.
        action: What the user can do.
        severity: Left out as intended, or not usable.
    """

    input: str
    stage: str
    reason: str
    message: str
    action: str | None = None
    severity: Severity = Severity.FAILED

    @classmethod
    def read(cls, fields: Mapping[str, Any]) -> Reject:
        """Rebuild a reject from its JSON object.

        Raises:
            KeyError: If there is no severity.
            TypeError: If a field is missing or unknown.
            ValueError: If the severity is none.
        """
        return cls(**{**fields, "severity": Severity(fields["severity"])})


class DatasetWriter:
    """Writes one data set; use it as a context manager and call :meth:`finish` at the end.

    Args:
        out: Folder to make. It must not exist, unless ``overwrite``.
        name: Name of the data set.
        overwrite: Replace what is there.
        staging: Folder to write in until the end, with images in it perhaps; it is not removed where something fails.
            Where None, a hidden folder beside ``out`` that is.

    Raises:
        UsageError: If ``out`` is there already or cannot be written.
    """

    def __init__(self, out: Path, *, name: str, overwrite: bool = False, staging: Path | None = None) -> None:
        check_target(out, marker=MANIFEST_NAME, overwrite=overwrite)
        self._out = out
        self._name = name
        self._keep_staging = staging is not None
        self._work = staging or hidden_sibling(out, "partial")
        make_folder(self._work, out, empty=staging is None)
        self.images = ImageStore(self._work)
        self._stack = contextlib.ExitStack()
        self._files: dict[Split, TextIOWrapper] = {split: self._open(f"{split.value}.jsonl") for split in Split}
        self._rejects = self._open(REJECTS_NAME)
        self._ids: set[int] = set()
        self._image_keys: set[int] = set()
        self._groups: dict[str, Split] = {}
        self._shared = SharedImages()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._enhanced: Counter[str] = Counter()
        self._rejected: Counter[tuple[Severity, str, str]] = Counter()
        self._units: dict[str, dict[str, Any]] = {}
        self.first_reject: Reject | None = None

    def _open(self, name: str) -> TextIOWrapper:
        # backslashreplace: a file name that is not UTF-8 holds lone surrogates, which JSON can only escape.
        path = self._work / name
        return self._stack.enter_context(path.open("w", encoding="utf-8", errors="backslashreplace", newline="\n"))

    def __enter__(self) -> DatasetWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError):
            # What is still buffered cannot be written either; the first refusal is the one to report.
            with contextlib.suppress(OSError):
                self._stack.close()
        else:
            self._stack.close()
        if self._work.exists() and not self._keep_staging:
            shutil.rmtree(self._work)

    def add(self, sample: Sample) -> None:
        """Append a sample.

        Raises:
            DatasetError: If its id was used before or its group already lies in another split.
        """
        self.add_record(to_record(sample))

    def add_record(self, record: Record) -> None:
        """Append the record of a sample that was checked when the record was made.

        Raises:
            DatasetError: As :meth:`add`.
        """
        truth = record["domainvl"]
        split, group = Split(truth["split"]), truth["group"]
        if self.holds(record["id"]):
            raise DatasetError("Cannot add a sample", rule=f"ids must be unique, {record['id']!r} was used before")
        other = self._groups.setdefault(group, split)
        if other is not split:
            raise DatasetError(
                "Cannot add a sample", rule=f"group {group!r} is in {other.value}, not also in {split.value}"
            )
        self._ids.add(digest_text(record["id"], bits=_KEY_BITS))
        self._image_keys.update(digest_text(path, bits=_KEY_BITS) for path in image_paths(record))
        self._shared.see(record)
        self._counts[split.value, truth["domain"], truth["task"]] += 1
        if enhanced := truth["provenance"].get("enhanced"):
            self._enhanced[json.dumps(enhanced, sort_keys=True)] += 1
        self._files[split].write(to_line(record) + "\n")

    def holds(self, sample_id: str) -> bool:
        """Say whether a sample of this id was added."""
        return digest_text(sample_id, bits=_KEY_BITS) in self._ids

    def reject(self, reject: Reject) -> None:
        """Record an input that did not make it."""
        self.first_reject = self.first_reject or reject
        self._rejected[reject.severity, reject.stage, reject.reason] += 1
        self._rejects.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")

    def describe_unit(self, name: str, facts: Mapping[str, Any]) -> None:
        """Record what the manifest says about one input: what was found in it and decided for it."""
        self._units[name] = dict(facts)

    @property
    def sample_count(self) -> int:
        """Number of samples added so far."""
        return len(self._ids)

    @property
    def reject_count(self) -> int:
        """Number of inputs that did not make it."""
        return sum(self._rejected.values())

    @property
    def failed_count(self) -> int:
        """Number of inputs that could not be used."""
        return sum(count for (severity, _, _), count in self._rejected.items() if severity is Severity.FAILED)

    def finish(
        self,
        *,
        command: str,
        settings: Mapping[str, Any],
        sources: Iterable[Mapping[str, Any]],
        versions: Mapping[str, str],
        licence: str | None = None,
        notes: Sequence[str] = (),
    ) -> dict[str, Any]:
        """Write manifest, meta file and card, and give the folder its name.

        Args:
            command: The command of domainvl that made the data set, such as ``convert geotiff``.
            settings: What it was set to.
            sources: The input files, each with ``uri``, ``sha256`` and ``size_bytes``.
            versions: Versions of what took part.
            licence: Licence of the source data, where it is known.
            notes: What a user should know about the data set as a whole.

        Returns:
            The manifest.
        """
        self._stack.close()
        self._remove_unused_images()
        manifest: dict[str, Any] = {
            "name": self._name,
            "command": command,
            "settings": dict(settings),
            "versions": dict(versions),
            "licence": licence,
            "counts": self._count_table(),
            "groups": {split.value: sum(1 for where in self._groups.values() if where is split) for split in Split},
            "rejects": [
                {"severity": severity.value, "stage": stage, "reason": reason, "count": count}
                for (severity, stage, reason), count in sorted(self._rejected.items())
            ],
            "sources": [dict(source) for source in sources],
        }
        if said := [*notes, *self._shared.notes()]:
            manifest["notes"] = said
        if self._enhanced:
            manifest["enhanced"] = [
                {**json.loads(made_by), "samples": count} for made_by, count in sorted(self._enhanced.items())
            ]
        if self._units:
            manifest["units"] = dict(sorted(self._units.items()))
        _write_json(self._work / MANIFEST_NAME, manifest)
        train_count = sum(row["count"] for row in manifest["counts"] if row["split"] == Split.TRAIN)
        # Only train.jsonl is named, so that no trainer sees held-out rows. The root is relative: the
        # official trainer is started from this folder, and the file says the same wherever it lies.
        meta = {
            self._name: {
                "root": "./",
                "annotation": "train.jsonl",
                "data_augment": False,
                "repeat_time": 1,
                "length": train_count,
            }
        }
        _write_json(self._work / META_NAME, meta)
        write_card(self._work / "card.md", manifest)
        write_croissant(self._work / "croissant.json", manifest)
        take_name(self._work, self._out)
        return manifest

    def _remove_unused_images(self) -> None:
        """Delete images that were stored for an item that was rejected afterwards."""
        unused = [
            path
            for path in (self._work / "images").rglob("*.*")
            if digest_text(path.relative_to(self._work).as_posix(), bits=_KEY_BITS) not in self._image_keys
        ]
        for path in unused:
            path.unlink()
            # Folders that hold nothing any more go too, up to the first that does.
            for folder in path.relative_to(self._work).parents[:-1]:
                if any((self._work / folder).iterdir()):
                    break
                (self._work / folder).rmdir()

    def _count_table(self) -> list[dict[str, Any]]:
        return [
            {"split": split, "domain": domain, "task": task, "count": count}
            for (split, domain, task), count in sorted(self._counts.items())
        ]


def _write_json(path: Path, content: object) -> None:
    text = json.dumps(content, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
