"""The data set's card for people (Markdown with the hub's YAML header) and for machines (Croissant)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from domainvl.files import hash_file

_CROISSANT = "http://mlcommons.org/croissant/1.0"
# The terms of its context that stand for themselves (Croissant Format Specification 1.0, appendix 1).
_CROISSANT_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip


def write_card(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the Markdown card.

    Args:
        path: File to write.
        manifest: The data set's manifest.
    """
    header = yaml.safe_dump(
        {"pretty_name": manifest["name"], "license": manifest["licence"] or "unknown", "tags": ["domainvl"]},
        sort_keys=True,
    )
    lines = [
        "---",
        header.rstrip(),
        "---",
        "",
        f"# {manifest['name']}",
        "",
        f"Made by `domainvl {manifest['command']}` from {len(manifest['sources'])} source files.",
        "",
        "| split | domain | task | samples |",
        "| --- | --- | --- | --- |",
        *(f"| {row['split']} | {row['domain']} | {row['task']} | {row['count']} |" for row in manifest["counts"]),
        "",
        "Groups (patients, scenes, logs) by split: "
        + ", ".join(f"{split} {count}" for split, count in manifest["groups"].items())
        + ". No group is in two splits.",
        "",
        "## What was left out",
        "",
        *(
            [f"- {row['count']} x {row['severity']} at {row['stage']}: {row['reason']}" for row in manifest["rejects"]]
            or ["Nothing."]
        ),
        "",
        "Each is listed in `rejects.jsonl`. Boxes in the conversations are 0-1000; `domainvl.objects` holds them "
        "in pixels. Start InternVL's trainer in this folder with `--meta_path meta.json`.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")


def write_croissant(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the Croissant 1.0 description (mlcommons.org/croissant) of the JSONL files beside it.

    Args:
        path: File to write, in the data set's folder.
        manifest: The data set's manifest.
    """
    splits = sorted({row["split"] for row in manifest["counts"]})
    content = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": manifest["name"],
        "conformsTo": _CROISSANT,
        "license": manifest["licence"] or "unknown",
        "distribution": [_file_object(path.parent / f"{split}.jsonl") for split in splits],
        "recordSet": [_record_set(split) for split in splits],
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _context() -> dict[str, Any]:
    """Return the JSON-LD context of the specification; readers refuse a file with another."""
    return {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": "http://mlcommons.org/croissant/",
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
        "data": {"@id": "cr:data", "@type": "@json"},
        "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
        "examples": {"@id": "cr:examples", "@type": "@json"},
        **{term: f"cr:{term}" for term in _CROISSANT_TERMS},
    }


def _file_object(path: Path) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "encodingFormat": "application/jsonlines",
        "sha256": hash_file(path),
    }


def _record_set(split: str) -> dict[str, Any]:
    turns = f"{split}/conversations"
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "field": [
            _field(f"{split}/id", split, "id"),
            _field(f"{split}/image", split, "image"),
            {
                "@type": "cr:Field",
                "@id": turns,
                "name": "conversations",
                "subField": [
                    _field(f"{turns}/{part}", split, "conversations", json_path=f"$[*].{part}")
                    for part in ("from", "value")
                ],
            },
        ],
    }


def _field(identifier: str, split: str, column: str, *, json_path: str | None = None) -> dict[str, Any]:
    source: dict[str, Any] = {"fileObject": {"@id": f"{split}.jsonl"}, "extract": {"column": column}}
    if json_path is not None:
        source["transform"] = {"jsonPath": json_path}
    name = identifier.rsplit("/", 1)[1]
    return {"@type": "cr:Field", "@id": identifier, "name": name, "dataType": "sc:Text", "source": source}
