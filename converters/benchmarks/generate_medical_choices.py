"""Makes small inputs in the exact layouts of OmniMedVQA and GMAI-MMBench, to try the converters on."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

_OPTIONS = ("CT scan", "Fundus imaging", "PET scan", "Ultrasound")
_GMAI_COLUMNS = (
    "index", "image", "question", "A", "B", "C", "D", "E", "category", "l2-category", "split",
    "clinical vqa task", "department", "perceptual granularity", "modality",
)  # fmt: skip


def generate_omni_med_vqa(out: Path, *, image_count: int = 8, seed: int = 0) -> None:
    """Write ``QA_information/Open-access/ACRIMA.json``, a restricted set without images, and ``Images/``.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images, with two questions each.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 2402])
    rows: list[dict[str, Any]] = []
    for number in range(image_count):
        name = f"Images/ACRIMA/Im{number:03d}_ACRIMA.png"
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(_png(rng))
        for kind in ("Modality Recognition", "Disease Diagnosis"):
            rows.append(_omni_row("ACRIMA", len(rows), name, kind, number))
    restricted = [_omni_row("AIDA", 0, "Images/AIDA/1.png", "Disease Diagnosis", 0)]
    for access, name, content in (("Open-access", "ACRIMA", rows), ("Restricted-access", "AIDA", restricted)):
        path = out / "QA_information" / access / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content, indent=1), encoding="utf-8")


def _omni_row(data_set: str, number: int, image: str, kind: str, place: int) -> dict[str, Any]:
    is_modality = kind == "Modality Recognition"
    options = _OPTIONS if is_modality else ("Glaucoma", "No, It's normal.")
    question = "What imaging technique was used?" if is_modality else "Is a disease seen in this image?"
    row: dict[str, Any] = {
        "dataset": data_set,
        "question_id": f"{data_set}_{number:04d}",
        "question_type": kind,
        "question": question,
        "gt_answer": options[1] if is_modality else options[place % 2],
        "image_path": image,
    }
    row |= {f"option_{letter}": option for letter, option in zip("ABCD", options, strict=False)}
    return row | {"modality_type": "Fundus Photography"}


def generate_gmai_mmbench(out: Path, *, row_count: int = 12, seed: int = 0) -> None:
    """Write ``GMAI_mm_bench_VAL.tsv``, and ``GMAI_mm_bench_TEST_part_1.tsv`` without answers.

    Args:
        out: Folder, made where it is missing.
        row_count: Rows of each table; each image is in two of them.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 3361])
    out.mkdir(parents=True, exist_ok=True)
    images = [base64.b64encode(_png(rng)).decode() for _ in range((row_count + 1) // 2)]
    for name, has_answers in (("VAL", True), ("TEST_part_1", False)):
        columns = [*_GMAI_COLUMNS[:8], *(["answer"] if has_answers else []), *_GMAI_COLUMNS[8:]]
        lines = ["\t".join(columns)]
        for number in range(row_count):
            answer = number % 4
            fields = {
                "index": str(number),
                "image": images[number // 2],
                "question": 'Which option matches "the marked region" best?',
                **dict(zip("ABCD", ("cyst", "lipoma", "nodule", "stone"), strict=True)),
                "answer": "ABCD"[answer],
                "category": ("cyst", "lipoma", "nodule", "stone")[answer],
                "l2-category": "Disease Diagnosis",
                "split": name.partition("_")[0].lower(),
                "clinical vqa task": ("Disease Diagnosis", "Severity Grading")[number % 2],
                "department": ("Urology", "General Surgery", "Ophthalmology")[number % 3],
                "perceptual granularity": ("Box Level", "Contour Level", "Image Level", "Mask Level")[number % 4],
                "modality": "CT",
            }
            lines.append("\t".join(_quoted(fields.get(column, "")) for column in columns))
        (out / f"GMAI_mm_bench_{name}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def _quoted(field: str) -> str:
    """Quote a field as pandas does: only where it must be."""
    if any(sign in field for sign in '"\t\n'):
        return '"' + field.replace('"', '""') + '"'
    return field


def _png(rng: np.random.Generator) -> bytes:
    file = io.BytesIO()
    PillowImage.fromarray(rng.integers(0, 256, (16, 20, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()
