"""The data set's card for people (Markdown with the hub's YAML header) and for machines (Croissant)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

_CROISSANT = "http://mlcommons.org/croissant/1.0"


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
        f"Made by `domainvl convert {manifest['converter']}` from {len(manifest['sources'])} source files.",
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
    """Write the Croissant 1.0 description (mlcommons.org/croissant) of the JSONL files.

    Args:
        path: File to write.
        manifest: The data set's manifest.
    """
    splits = sorted({row["split"] for row in manifest["counts"]})
    content = {
        "@context": {
            "@vocab": "https://schema.org/",
            "cr": "http://mlcommons.org/croissant/",
            "sc": "https://schema.org/",
            "dct": "http://purl.org/dc/terms/",
        },
        "@type": "sc:Dataset",
        "name": manifest["name"],
        "dct:conformsTo": _CROISSANT,
        "license": manifest["licence"] or "unknown",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": f"{split}.jsonl",
                "contentUrl": f"{split}.jsonl",
                "encodingFormat": "application/jsonlines",
            }
            for split in splits
        ],
        "cr:recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": split,
                "cr:field": [
                    {
                        "@type": "cr:Field",
                        "@id": f"{split}/{field}",
                        "dataType": "sc:Text",
                        "source": {
                            "fileObject": {"@id": f"{split}.jsonl"},
                            "extract": {"jsonPath": f"$.{field}"},
                        },
                    }
                    for field in ("id", "image", "conversations")
                ],
            }
            for split in splits
        ],
    }
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
