"""The data set's card for people (Markdown with the Hub's YAML header) and for machines (Croissant).

Both are written from the manifest and the files beside it, hold no time stamp and no path, and are therefore equal
for equal data sets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from domainvl.files import hash_file
from domainvl.schema.sample import Split, Task

UNKNOWN_LICENCE = "unknown"
"""Stands for a licence that nobody has named; also the Hub's word for it."""

_LICENCE_JOINER = " AND "  # of SPDX expressions: both apply (SPDX 2.3, annex D.4)

# Identifiers of the Hub (huggingface.co/docs/hub/repositories-licenses) with those of SPDX (spdx.org/licenses);
# families of licences and licences that SPDX does not list have none.
_SPDX_BY_HUB_ID: Mapping[str, str | None] = {
    "afl-3.0": "AFL-3.0", "agpl-3.0": "AGPL-3.0-only", "apache-2.0": "Apache-2.0", "artistic-2.0": "Artistic-2.0",
    "bsd": None, "bsd-2-clause": "BSD-2-Clause", "bsd-3-clause": "BSD-3-Clause",
    "bsd-3-clause-clear": "BSD-3-Clause-Clear", "bsl-1.0": "BSL-1.0", "c-uda": "C-UDA-1.0", "cc": None,
    "cc-by-2.0": "CC-BY-2.0", "cc-by-2.5": "CC-BY-2.5", "cc-by-3.0": "CC-BY-3.0", "cc-by-4.0": "CC-BY-4.0",
    "cc-by-nc-2.0": "CC-BY-NC-2.0", "cc-by-nc-3.0": "CC-BY-NC-3.0", "cc-by-nc-4.0": "CC-BY-NC-4.0",
    "cc-by-nc-nd-3.0": "CC-BY-NC-ND-3.0", "cc-by-nc-nd-4.0": "CC-BY-NC-ND-4.0", "cc-by-nc-sa-2.0": "CC-BY-NC-SA-2.0",
    "cc-by-nc-sa-3.0": "CC-BY-NC-SA-3.0", "cc-by-nc-sa-4.0": "CC-BY-NC-SA-4.0", "cc-by-nd-4.0": "CC-BY-ND-4.0",
    "cc-by-sa-3.0": "CC-BY-SA-3.0", "cc-by-sa-4.0": "CC-BY-SA-4.0", "cc0-1.0": "CC0-1.0",
    "cdla-permissive-1.0": "CDLA-Permissive-1.0", "cdla-permissive-2.0": "CDLA-Permissive-2.0",
    "cdla-sharing-1.0": "CDLA-Sharing-1.0", "ecl-2.0": "ECL-2.0", "epl-1.0": "EPL-1.0", "epl-2.0": "EPL-2.0",
    "etalab-2.0": "etalab-2.0", "eupl-1.1": "EUPL-1.1", "gfdl": None, "gpl": None, "gpl-2.0": "GPL-2.0-only",
    "gpl-3.0": "GPL-3.0-only", "isc": "ISC", "lgpl": None, "lgpl-2.1": "LGPL-2.1-only", "lgpl-3.0": "LGPL-3.0-only",
    "lgpl-lr": "LGPLLR", "lppl-1.3c": "LPPL-1.3c", "mit": "MIT", "mpl-2.0": "MPL-2.0", "ms-pl": "MS-PL", "ncsa": "NCSA",
    "odbl": "ODbL-1.0", "odc-by": "ODC-By-1.0", "ofl-1.1": "OFL-1.1", "openrail": None, "osl-3.0": "OSL-3.0",
    "pddl": "PDDL-1.0", "postgresql": "PostgreSQL", UNKNOWN_LICENCE: None, "unlicense": "Unlicense", "wtfpl": "WTFPL",
    "zlib": "Zlib",
}  # fmt: skip

# What the Hub calls our tasks (huggingface.js, packages/tasks/src/pipelines.ts; those hidden for data sets left out).
_HUB_TASKS: Mapping[Task, str] = {
    Task.VQA: "visual-question-answering",
    Task.CLASSIFICATION: "image-classification",
    Task.MULTIPLE_CHOICE: "visual-question-answering",
    Task.PRESENCE: "visual-question-answering",
    Task.COUNTING: "visual-question-answering",
    Task.COMPARISON: "visual-question-answering",
    Task.AREA: "visual-question-answering",
    Task.LENGTH: "visual-question-answering",
    Task.GROUNDING: "object-detection",
    Task.DETECTION: "object-detection",
    Task.REGION: "visual-question-answering",
    Task.CAPTION: "image-to-text",
    Task.CONVERSATION: "visual-question-answering",
}

# Numbers of samples below which the Hub's categories end (huggingface_hub, templates/datasetcard_template.md).
_HUB_SIZES = (
    (10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"),
    (10**8, "10M<n<100M"), (10**9, "100M<n<1B"), (10**10, "1B<n<10B"), (10**11, "10B<n<100B"), (10**12, "100B<n<1T"),
)  # fmt: skip

_CROISSANT = "http://mlcommons.org/croissant/1.0"
# The terms of its context that stand for themselves (Croissant Format Specification 1.0, appendix 1).
_CROISSANT_TERMS = (
    "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty", "fileSet", "format",
    "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path", "recordSet", "references", "regex",
    "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform",
)  # fmt: skip
# Croissant Format Specification 1.0, section "Splits".
_CROISSANT_SPLITS = {Split.TRAIN: "cr:TrainingSplit", Split.VAL: "cr:ValidationSplit", Split.TEST: "cr:TestSplit"}
_IMAGE_SET = "images"


def write_card(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the Markdown card.

    Args:
        path: File to write.
        manifest: The data set's manifest.
    """
    header = yaml.safe_dump(_header(manifest), sort_keys=True, allow_unicode=True)
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
        "## Licence",
        "",
        *_licence_lines(manifest["licence"]),
        "",
        *_synthesis_lines(manifest.get("enhanced", ()), sum(row["count"] for row in manifest["counts"])),
        "## What was left out",
        "",
        *(
            [f"- {row['count']} x {row['severity']} at {row['stage']}: {row['reason']}" for row in manifest["rejects"]]
            or ["Nothing."]
        ),
        "",
        "Each is listed in `rejects.jsonl`. Boxes in the conversations are 0-1000; `domainvl.objects` holds them "
        "in pixels. Start InternVL's trainer in this folder with `--meta_path meta.json`. The Hub reads this card "
        "where it is called `README.md`.",
        "",
    ]
    _write(path, "\n".join(lines))


def _header(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return the Hub's metadata (huggingface/hub-docs, datasetcard.md); what there is none of is left out."""
    counts = manifest["counts"]
    licences = licence_header(manifest["licence"])
    tags = ["domainvl", *sorted({row["domain"] for row in counts} - {"domainvl"})]
    if any(_is_non_commercial(part) for part in split_licences(manifest["licence"])):
        tags.append("non-commercial")
    header = {
        **licences,
        "pretty_name": manifest["name"],
        "tags": tags,
        "task_categories": sorted({_HUB_TASKS[Task(row["task"])] for row in counts}),
        "size_categories": [_hub_size(sum(row["count"] for row in counts))],
        "configs": _configs(counts),
    }
    return {key: value for key, value in header.items() if value}


def _is_non_commercial(licence: str) -> bool:
    """Say whether a licence forbids commercial use: one of Creative Commons by its id, another by its words."""
    words = licence.casefold().replace("-", " ")
    return "-nc-" in (_hub_id(licence) or "") or "non commercial" in words or "not for profit" in words


def _configs(counts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Name the file of each split that has samples; a reader of the Hub stumbles over an empty one."""
    files = [{"split": split.value, "path": f"{split.value}.jsonl"} for split in _splits_with_rows(counts)]
    return [{"config_name": "default", "data_files": files}] if files else []


def _hub_size(sample_count: int) -> str:
    return next((name for limit, name in _HUB_SIZES if sample_count < limit), "n>1T")


def join_licences(licences: Sequence[str | None]) -> str | None:
    """Name the licence of a data set made of several parts.

    Args:
        licences: Those of the parts; None where it is not known.

    Returns:
        The one on which all agree, else each once, joined by ``AND`` as in SPDX expressions (SPDX 2.3, annex D.4).
    """
    single = [part for licence in licences for part in split_licences(licence)]
    distinct = list(dict.fromkeys(single))
    return None if distinct in ([], [UNKNOWN_LICENCE]) else _LICENCE_JOINER.join(distinct)


def split_licences(licence: str | None) -> list[str]:
    """Undo :func:`join_licences`; an unknown licence is called ``unknown``."""
    return (licence or UNKNOWN_LICENCE).split(_LICENCE_JOINER)


def licence_header(licence: str | None) -> dict[str, str | list[str]]:
    """Express a licence in the keys of the Hub's header.

    Args:
        licence: As the manifest has it.

    Returns:
        ``license`` with the Hub's identifier, or a list of them where there are several (``DatasetCardData`` of
        huggingface_hub); where the Hub does not know one of them, ``other`` with ``license_name``.
    """
    known = [_hub_id(part) for part in split_licences(licence)]
    identifiers = list(dict.fromkeys(identifier for identifier in known if identifier is not None))
    if None in known:
        name = re.sub(r"[^a-z0-9.+]+", "-", str(licence).lower()).strip("-")
        return {"license": "other", "license_name": name or "other"}
    return {"license": identifiers[0] if len(identifiers) == 1 else identifiers}


def _hub_id(licence: str) -> str | None:
    """Find the Hub's identifier of a licence, written as SPDX or the Hub does or with spaces: "CC BY 4.0"."""
    name = re.sub(r"[\s_-]+", "-", licence.strip().lower())
    if name in _SPDX_BY_HUB_ID:
        return name
    return next((hub_id for hub_id, spdx in _SPDX_BY_HUB_ID.items() if spdx is not None and spdx.lower() == name), None)


def _licence_lines(licence: str | None) -> list[str]:
    parts = split_licences(licence)
    lines = [f"{parts[0]}." if len(parts) == 1 else "Its parts have different licences, and each goes on to hold:"]
    if len(parts) > 1:
        lines += ["", *(f"- {part}" for part in parts)]
        lines += ["", "`settings` in `manifest.json` says which part has which."]
    if UNKNOWN_LICENCE in parts:
        lines += ["", "Where the licence is unknown, ask the source before you pass it on."]
    if any(_is_non_commercial(part) for part in parts):
        lines += ["", "Not for commercial use."]
    return lines


def _synthesis_lines(enhanced: Sequence[Mapping[str, Any]], sample_count: int) -> list[str]:
    """Say which samples show pixels that no sensor took; nothing where there are none."""
    if not enhanced:
        return []
    return [
        "## Synthesised pixels",
        "",
        "Images of these samples were enlarged before they were cut. No sensor took the pixels in between:",
        "",
        "| enlarged by | times | mode | SHA-256 of the weights | samples |",
        "| --- | --- | --- | --- | --- |",
        *(
            f"| {row['name']} | {row['scale']} | {row['mode']} | {row.get('sha256') or '-'} | "
            f"{row['samples']} of {sample_count} |"
            for row in enhanced
        ),
        "",
        "Objects and details smaller than the resolution of the sensor may be invented, displaced or left out: an "
        "answer that rests on them is a guess. `provenance.enhanced` of each sample says what enlarged its images.",
        "",
    ]


def write_croissant(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write the Croissant 1.0 description (docs.mlcommons.org/croissant/docs/croissant-spec.html) of what is beside it.

    Each split that has samples is a file and a set of records; they name their split as section "Splits" asks.
    ``url``, ``creator`` and ``datePublished`` are for the person who publishes the data set to add.

    Args:
        path: File to write, in the data set's folder.
        manifest: The data set's manifest.
    """
    splits = _splits_with_rows(manifest["counts"])
    with_images = [split for split in splits if _has_images(path.parent / f"{split.value}.jsonl")]
    total = sum(row["count"] for row in manifest["counts"])
    content = {
        "@context": _context(),
        "@type": "sc:Dataset",
        "name": manifest["name"],
        "description": f"{total} samples: images, questions and true answers. Made by domainvl {manifest['command']}.",
        "conformsTo": _CROISSANT,
        "license": [_croissant_licence(part) for part in split_licences(manifest["licence"])],
        "keywords": sorted({row[key] for row in manifest["counts"] for key in ("domain", "task")}),
        "distribution": [
            *(_file_object(path.parent / f"{split.value}.jsonl") for split in splits),
            *([_image_set()] if with_images else []),
        ],
        "recordSet": [
            *([_split_names(splits)] if splits else []),
            *(_record_set(split.value, with_image=split in with_images) for split in splits),
        ],
    }
    _write(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def _croissant_licence(licence: str) -> str | dict[str, str]:
    spdx = _SPDX_BY_HUB_ID.get(_hub_id(licence) or "")
    return f"https://spdx.org/licenses/{spdx}.html" if spdx else {"@type": "sc:CreativeWork", "name": licence}


def _splits_with_rows(counts: Sequence[Mapping[str, Any]]) -> list[Split]:
    named = {row["split"] for row in counts}
    return [split for split in Split if split.value in named]


def _has_images(path: Path) -> bool:
    """Say whether a line of the file names an image; in most files the first one does."""
    with path.open("rb") as lines:
        return any(b'"image":' in line and "image" in json.loads(line) for line in lines)


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
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": "application/jsonlines",
        "sha256": hash_file(path),
    }


def _image_set() -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": _IMAGE_SET,
        "name": _IMAGE_SET,
        "description": "The stored images; the samples name them by their path.",
        "encodingFormat": ["image/png", "image/jpeg"],
        "includes": ["images/*/*/*.png", "images/*/*/*.jpg"],
    }


def _split_names(splits: Sequence[Split]) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": "splits",
        "name": "splits",
        "dataType": "cr:Split",
        "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": ["sc:URL", "cr:Split"]},
        ],
        "data": [{"splits/name": split.value, "splits/url": _CROISSANT_SPLITS[split]} for split in splits],
    }


def _record_set(split: str, *, with_image: bool) -> dict[str, Any]:
    turns = f"{split}/conversations"
    return {
        "@type": "cr:RecordSet",
        "@id": split,
        "name": split,
        "key": {"@id": f"{split}/id"},
        "field": [
            _field(f"{split}/id", split, {"column": "id"}),
            {
                # The pattern also matches the bare name, so that applying it twice, as mlcroissant does where a field
                # refers to another, changes nothing.
                **_field(f"{split}/split", split, {"fileProperty": "filename"}, {"regex": rf"^({split})(?:\.jsonl)?$"}),
                "references": {"field": {"@id": "splits/name"}},
            },
            *([_field(f"{split}/image", split, {"column": "image"})] if with_image else []),
            *(
                _field(f"{split}/{name}", split, {"column": "domainvl"}, {"jsonPath": f"$.{name}"})
                for name in ("domain", "task", "question", "group")
            ),
            {
                "@type": "cr:Field",
                "@id": turns,
                "name": "conversations",
                "repeated": True,
                "subField": [
                    _field(f"{turns}/{part}", split, {"column": "conversations"}, {"jsonPath": f"$.{part}"})
                    for part in ("from", "value")
                ],
            },
        ],
    }


def _field(
    identifier: str, split: str, extract: Mapping[str, str], transform: Mapping[str, str] | None = None
) -> dict[str, Any]:
    source: dict[str, Any] = {"fileObject": {"@id": f"{split}.jsonl"}, "extract": dict(extract)}
    if transform is not None:
        source["transform"] = dict(transform)
    name = identifier.rsplit("/", 1)[1]
    return {"@type": "cr:Field", "@id": identifier, "name": name, "dataType": "sc:Text", "source": source}


def _as_list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _write(path: Path, text: str) -> None:
    # backslashreplace: a folder's name that is not UTF-8 holds lone surrogates, which cannot be written otherwise.
    path.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
