"""Writes small benchmarks in the exact layout of the published ones, to try the converters on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

_Pixels: TypeAlias = npt.NDArray[np.uint8]

CLASSES = ("forest", "harbor", "residential", "river")
"""Classes of the miniature class folders."""


def generate_rsvqa(
    out: Path,
    *,
    image_count: int,
    seed: int,
    questions_an_image: int = 4,
    splits: Sequence[str] = ("train", "val", "test"),
) -> None:
    """Write RSVQA-LR: three JSON files a split, padded with inactive entries, and ``Images_LR/N.tif``.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images; the first tenth of them is for testing, the second for validation.
        seed: Equal seeds give equal files.
        questions_an_image: Questions about each image.
        splits: Names of the splits; with ``test_phili`` among them the files are named as those of RSVQA-HR.
    """
    rng = np.random.default_rng([seed, 50])
    prefix = "USGS_split_" if "test_phili" in splits else "LR_split_"
    of_image = [_rsvqa_split(number, image_count, splits) for number in range(image_count)]
    folder = out / "Images_LR"
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(image_count):
        _write_tiff(folder / f"{number}.tif", _texture(rng, 32))
    questions = [_rsvqa_question(number, questions_an_image) for number in range(image_count * questions_an_image)]
    for split in splits:
        entries: dict[str, list[dict[str, Any]]] = {"images": [], "questions": [], "answers": []}
        for number, own in enumerate(of_image):
            numbers = list(range(number * questions_an_image, (number + 1) * questions_an_image))
            image = {"id": number, "active": True, "original_name": f"tile_{number}.tif", "questions_ids": numbers}
            entries["images"].append(image if own == split else {"id": number, "active": False})
            for question_id in numbers:
                question, answer = questions[question_id]
                entries["questions"].append(question if own == split else {"id": question_id, "active": False})
                entries["answers"].append(answer if own == split else {"id": question_id, "active": False})
        for part, rows in entries.items():
            _write_json(out / f"{prefix}{split}_{part}.json", {part: rows})


def _rsvqa_split(number: int, image_count: int, splits: Sequence[str]) -> str:
    held_out = [split for split in splits if split != "train"][::-1]
    place = number * 10 // image_count
    return held_out[place] if place < len(held_out) else "train"


def _rsvqa_question(number: int, questions_an_image: int) -> tuple[dict[str, Any], dict[str, Any]]:
    kind, text, answer = (
        ("presence", "Is a road present?", ("yes", "no")[number % 2]),
        ("count", "How many residential buildings are there?", str(number % 7)),
        ("comp", "Are there more roads than water areas?", ("no", "yes")[number % 2]),
        ("rural_urban", "Is it a rural or an urban area", ("rural", "urban")[number % 2]),
    )[number % 4]
    image_id = number // questions_an_image
    question = {"id": number, "img_id": image_id, "type": kind, "question": text, "answers_ids": [number]}
    return (question | {"active": True}, {"id": number, "question_id": number, "answer": answer, "active": True})


def generate_dior_rsvg(out: Path, *, image_count: int, seed: int) -> None:
    """Write DIOR-RSVG: ``Annotations/*.xml`` with two expressions each, ``JPEGImages/*.jpg`` of 800 px and three lists.

    Args:
        out: Folder, made where it is missing.
        image_count: Number of images.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 51])
    for name in ("Annotations", "JPEGImages"):
        (out / name).mkdir(parents=True, exist_ok=True)
    for number in range(1, image_count + 1):
        picture = PillowImage.fromarray(_texture(rng, 100)).resize((800, 800))
        picture.save(out / "JPEGImages" / f"{number:05}.jpg", quality=50)
        boxes = [(100, 120, 260, 300), (420, 500, 700, 640)]
        things = "".join(_dior_object(side, box) for side, box in zip(("left", "right"), boxes, strict=True))
        (out / "Annotations" / f"{number:05}.xml").write_text(
            f"<annotation><filename>{number:05}.jpg</filename><source><database>DIOR</database></source>"
            "<size><width>800</width><height>800</height><depth>3</depth></size><segmented>0</segmented>"
            f"{things}</annotation>\n",
            encoding="utf-8",
        )
    order = rng.permutation(2 * image_count)
    parts = np.split(order, [int(1.4 * image_count), int(1.6 * image_count)])
    for split, indexes in zip(("train", "val", "test"), parts, strict=True):
        (out / f"{split}.txt").write_text("".join(f"{index}\n" for index in sorted(indexes)), encoding="utf-8")


def _dior_object(side: str, box: tuple[int, int, int, int]) -> str:
    corners = "".join(
        f"<{tag}>{value}</{tag}>" for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
    )
    return (
        f"<object><name>vehicle</name><pose>Unspecified</pose><bndbox>{corners}</bndbox>"
        f"<description>A vehicle on the {side}</description></object>"
    )


def generate_vrsbench(out: Path, *, scene_count: int, seed: int) -> None:
    """Write VRSBench: ``Annotations_train/``, ``Annotations_val/`` and patches of 512 px, two of each scene.

    Args:
        out: Folder, made where it is missing.
        scene_count: Number of scenes, of which the first third is in val.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 52])
    for scene in range(scene_count):
        split = "val" if scene < scene_count / 3 else "train"
        for name in (f"Annotations_{split}", f"Images_{split}"):
            (out / name).mkdir(parents=True, exist_ok=True)
        for patch in range(2):
            stem = f"P{scene:04}_{patch:04}"
            PillowImage.fromarray(_texture(rng, 64)).resize((512, 512)).save(out / f"Images_{split}" / f"{stem}.png")
            _write_json(out / f"Annotations_{split}" / f"{stem}.json", _vrsbench_annotation(f"{stem}.png"))


def _vrsbench_annotation(image: str) -> dict[str, Any]:
    return {
        "image": image,
        "caption": "The high-resolution image shows a ship near the upper left corner.",
        "objects": [
            {
                "obj_id": 0,
                "obj_cls": "ship",
                "obj_corner": [0.125, 0.25, 0.25, 0.25, 0.25, 0.375, 0.125, 0.375],
                "obj_coord": [0.12, 0.25, 0.25, 0.38],
                "is_unique": True,
                "obj_position": "top-left",
                "obj_size": "",
                "referring_sentence": "The only ship in the image.",
            }
        ],
        "qa_pairs": [
            {"ques_id": 1, "question": "Is there a ship?", "type": "object existence", "answer": "Yes"},
            {"ques_id": 2, "question": "How many ships are there?", "type": "object quantity", "answer": "1"},
            {"ques_id": 3, "question": "Where is the ship?", "type": "object position", "answer": "Top-left"},
        ],
    }


def generate_class_folders(out: Path, *, images_a_class: int, seed: int) -> None:
    """Write class folders as EuroSAT has them: ``forest/forest_1.jpg`` and so on, 64 px.

    Args:
        out: Folder, made where it is missing.
        images_a_class: Number of images of each class.
        seed: Equal seeds give equal files.
    """
    rng = np.random.default_rng([seed, 54])
    for label in CLASSES:
        (out / label).mkdir(parents=True, exist_ok=True)
        for number in range(1, images_a_class + 1):
            PillowImage.fromarray(_texture(rng, 64)).save(out / label / f"{label}_{number}.jpg")


def _texture(rng: np.random.Generator, side_px: int) -> _Pixels:
    """Draw noise over a colour; shape (side, side, 3)."""
    colour = rng.integers(40, 216, 3)
    return (colour + rng.integers(-40, 40, (side_px, side_px, 3))).astype(np.uint8)


def _write_tiff(path: Path, pixels: _Pixels) -> None:
    PillowImage.fromarray(pixels).save(path, format="TIFF")


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content) + "\n", encoding="utf-8")
