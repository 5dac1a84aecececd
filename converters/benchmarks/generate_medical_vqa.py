"""Writes small VQA-RAD, SLAKE, PathVQA and PMC-VQA in the exact layout of the published ones, to try the converters on.

The images show one or two bright ellipses, the organs, on a dark ground; questions, boxes and masks are about them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

_Pixels: TypeAlias = npt.NDArray[np.uint8]
_Box: TypeAlias = tuple[int, int, int, int]

SIDE_PX = 96
"""Side of the images."""

ORGANS = {70: "Liver", 230: "Spleen"}
"""Grey value in a mask and name, as in SLAKE's ``mask.txt``."""


def generate_vqa_rad(out: Path, *, image_count: int, seed: int) -> None:
    """Write VQA-RAD: ``trainset.json``, ``testset.json`` and ``images/``; every test image is trained on too.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; every third is in the test set as well.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 60])
    (out / "images").mkdir(parents=True, exist_ok=True)
    train: list[dict[str, Any]] = []
    test: list[dict[str, Any]] = []
    for number in range(image_count):
        name = f"synpic{10000 + number}.jpg"
        boxes = _boxes(rng)
        PillowImage.fromarray(_draw(rng, boxes)).save(out / "images" / name, quality=90)
        train.append(_rad_row(len(train), name, "Is the liver visible?", "Yes", "CLOSED", "freeform"))
        train.append(_rad_row(len(train), name, "How many organs are shown?", len(boxes), "OPEN", "freeform"))
        if number % 3 == 0:
            test.append(_rad_row(9000 + number, name, "Is the liver shown?", "Yes", "CLOSED", "test_para"))
    _write_json(out / "trainset.json", train)
    _write_json(out / "testset.json", test)


def _rad_row(qid: int, image: str, question: str, answer: str | int, answer_type: str, phrase: str) -> dict[str, Any]:
    return {
        "qid": qid,
        "image_name": image,
        "image_organ": "ABD",
        "answer": answer,
        "answer_type": answer_type,
        "question_type": "PRES",
        "question": question,
        "phrase_type": phrase,
    }


def generate_slake(out: Path, *, image_count: int, seed: int) -> None:
    """Write SLAKE: three JSON lists in English and Chinese, ``mask.txt`` and ``imgs/xmlabN`` with four files each.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; the first sixth is for testing, the second for validation.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 61])
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validate": [], "test": []}
    qid = 0
    for number in range(image_count):
        folder = out / "imgs" / f"xmlab{number}"
        folder.mkdir(parents=True, exist_ok=True)
        boxes = _boxes(rng)
        PillowImage.fromarray(_draw(rng, boxes)).save(folder / "source.jpg", quality=90)
        _write_slake_labels(folder, boxes)
        asked = [_slake_row(number, qid + place, *words) for place, words in enumerate(_slake_words(len(boxes)))]
        qid += len(asked)
        _write_json(folder / "question.json", asked)
        place = number * 6 // image_count
        rows[("test", "validate")[place] if place < 2 else "train"] += asked
    for split, own in rows.items():
        _write_json(out / f"{split}.json", own)
    names = "".join(f"{value}:{name}\n" for value, name in ORGANS.items())
    (out / "mask.txt").write_text(names, encoding="utf-8")


def _write_slake_labels(folder: Path, boxes: Sequence[_Box]) -> None:
    mask = np.zeros((SIDE_PX, SIDE_PX), dtype=np.uint8)
    detection = []
    for (value, name), box in zip(ORGANS.items(), boxes, strict=False):
        x_min, y_min, x_max, y_max = box
        mask[_ellipse(box)] = value
        detection.append({name: [float(x_min), float(y_min), float(x_max - x_min), float(y_max - y_min)]})
    PillowImage.fromarray(mask).save(folder / "mask.png")
    _write_json(folder / "detection.json", detection)


def _slake_words(organ_count: int) -> list[tuple[str, str, str, str, str]]:
    """Return language, question, answer, answer type and content type of each question."""
    spleen = organ_count == len(ORGANS)
    return [
        ("en", "What modality is used to take this image?", "MRI", "OPEN", "Modality"),
        ("en", "Does the picture contain spleen?", "Yes" if spleen else "No", "CLOSED", "Organ"),
        ("en", "How many organs are in this image?", str(organ_count), "OPEN", "Quantity"),
        ("zh", "图中包含脾脏吗？", "包含" if spleen else "不包含", "CLOSED", "Organ"),
    ]


def _slake_row(
    number: int, qid: int, language: str, question: str, answer: str, answer_type: str, content: str
) -> dict[str, Any]:
    return {
        "img_id": number,
        "img_name": f"xmlab{number}/source.jpg",
        "question": question,
        "answer": answer,
        "q_lang": language,
        "location": "Abdomen",
        "modality": "MRI",
        "answer_type": answer_type,
        "base_type": "vqa",
        "content_type": content,
        "triple": ["vhead", "_", "_"],
        "qid": qid,
    }


def generate_path_vqa(out: Path, *, image_count: int, seed: int) -> None:
    """Write PathVQA as Parquet: ``data/train-00000-of-00002.parquet`` and so on, two rows an image.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; the first sixth is for testing, the second for validation, and one image of the
            test set is trained on as well.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 62])
    rows: dict[str, list[dict[str, Any]]] = {"train": [], "validation": [], "test": []}
    first: list[dict[str, Any]] = []
    for number in range(image_count):
        content = io.BytesIO()
        PillowImage.fromarray(_draw(rng, _boxes(rng))).save(content, format="JPEG", quality=90)
        image = {"bytes": content.getvalue(), "path": None}
        asked = [
            {"image": image, "question": "where are the cells located?", "answer": f"in field {number}"},
            {"image": image, "question": "are cells present?", "answer": "yes"},
        ]
        first = first or asked
        place = number * 6 // image_count
        rows[("test", "validation")[place] if place < 2 else "train"] += asked
    rows["train"].append({**first[0], "question": "what is shown?", "answer": "cells"})
    _write_shards(out / "data", "train", rows["train"], shard_count=2)
    for split in ("validation", "test"):
        _write_shards(out / "data", split, rows[split], shard_count=1)


def _write_shards(folder: Path, split: str, rows: Sequence[dict[str, Any]], *, shard_count: int) -> None:
    import pyarrow
    import pyarrow.parquet

    folder.mkdir(parents=True, exist_ok=True)
    image = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    schema = pyarrow.schema([("image", image), ("question", pyarrow.string()), ("answer", pyarrow.string())])
    size = -(-len(rows) // shard_count)
    for number in range(shard_count):
        own = list(rows[number * size : (number + 1) * size])
        path = folder / f"{split}-{number:05}-of-{shard_count:05}.parquet"
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(own, schema=schema), path, row_group_size=4)


def generate_pmc_vqa(out: Path, *, paper_count: int, seed: int, version: str = "1") -> None:
    """Write PMC-VQA: CSV files of training and test, and two figures of each paper.

    Args:
        out: Folder, made where it is missing.
        paper_count: Number of papers; the first third is tested on, and the second figure of the first paper is trained
            on.
        seed: Equal seeds give equal files.
        version: "1" for whole figures in ``images/``, "2" for single panels in ``figures/``.
    """
    rng = np.random.default_rng([seed, 63])
    folder, suffix = (out / "images", "") if version == "1" else (out / "figures", "_2")
    folder.mkdir(parents=True, exist_ok=True)
    rows: dict[str, list[dict[str, str]]] = {"train": [], "test": []}
    for paper in range(paper_count):
        for figure in (1, 2):
            name = f"PMC{1000 + paper}_F{figure}.jpg" if version == "1" else f"PMC{1000 + paper}_Fig{figure}_1.jpg"
            boxes = _boxes(rng)
            PillowImage.fromarray(_draw(rng, boxes)).save(folder / name, quality=90)
            tested = paper < paper_count / 3 and (paper, figure) != (0, 2)
            rows["test" if tested else "train"].append(_pmc_row(name, len(boxes), version))
    for split, own in rows.items():
        _write_csv(out / f"{split}{suffix}.csv", own)
    if version == "1":
        _write_csv(out / "test_clean.csv", rows["test"][:1])


def _pmc_row(figure: str, organ_count: int, version: str) -> dict[str, str]:
    texts = ("No organ", "One organ", "Two organs", "Cannot be determined")
    choices = {f"Choice {letter}": f" {letter}:{text} " for letter, text in zip("ABCD", texts, strict=True)}
    letter, question = "ABCD"[organ_count], "How many organs are shown?"
    if version == "1":
        head = {"Figure_path": figure, "Question": question, "Answer": f"{texts[organ_count]} "}
        return {**head, **choices, "Answer_label": letter}
    return {"Figure_path": figure, "Caption": "Organs.", "Question": question, **choices, "Answer": letter}


def _boxes(rng: np.random.Generator) -> list[_Box]:
    """Draw the extents of one or two organs, each within its half of the image, in pixels."""
    half = SIDE_PX // 2
    boxes = []
    for number in range(int(rng.integers(1, len(ORGANS) + 1))):
        x_min, y_min = number * half + int(rng.integers(2, 10)), int(rng.integers(4, 40))
        boxes.append((x_min, y_min, x_min + int(rng.integers(16, 36)), y_min + int(rng.integers(20, 50))))
    return boxes


def _ellipse(box: _Box) -> npt.NDArray[np.bool_]:
    """Return which pixel centres lie in the ellipse of a box; shape (side, side)."""
    x_min, y_min, x_max, y_max = box
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] + 0.5
    across = (2 * x - x_min - x_max) / (x_max - x_min)
    down = (2 * y - y_min - y_max) / (y_max - y_min)
    inside: npt.NDArray[np.bool_] = across**2 + down**2 <= 1
    return inside


def _draw(rng: np.random.Generator, boxes: Sequence[_Box]) -> _Pixels:
    """Draw the organs; uint8 of shape (side, side, 3)."""
    pixels = rng.integers(10, 40, (SIDE_PX, SIDE_PX, 1)).repeat(3, axis=2)
    for box in boxes:
        pixels[_ellipse(box)] += 150
    return pixels.astype(np.uint8)


def _write_csv(path: Path, rows: Sequence[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def _write_json(path: Path, content: Sequence[Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")
