"""Makes small inputs in the exact layouts of GeoChat-Instruct and FIT-RS, to try the converters on.

The images show bright rectangles on a dark ground; the conversations ask for them in the words and notations of the
two data sets.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw

from domainvl.schema.oriented import corners_of
from domainvl.schema.sample import OrientedBox

from .rotated_text import FIT_RS, GEOCHAT, write_box

_SIDE_PX = 96
_GROUND = (40, 60, 40)
_COLOURS = {"white": (230, 230, 230), "blue": (60, 90, 220)}


def generate_geochat(folder: Path, image_count: int = 6, seed: int = 0) -> None:
    """Write ``GeoChat_Instruct.json`` and images: boxes to find, to name and to describe, and several rounds.

    Args:
        folder: Where to.
        image_count: How many images.
        seed: Changes the boxes.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    images = folder / "share" / "softwares" / "kartik" / "GeoChat_finetuning" / "final_images_llava"
    for index in range(image_count):
        name = f"P{index:04d}_0000.png"
        boxes = _draw(images / name, rng)
        texts = [write_box(box, GEOCHAT, _SIDE_PX, _SIDE_PX) for box in boxes]
        rows += [_llava(name, name, turns) for turns in _geochat_turns(texts)]
    (folder / "GeoChat_Instruct.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")


def generate_fit_rs(folder: Path, image_count: int = 6, seed: int = 0) -> None:
    """Write a training file, a test file and FIT-RSRC's questions, with images; one scene is for testing.

    Args:
        folder: Where to.
        image_count: How many images.
        seed: Changes the boxes.
    """
    rng = np.random.default_rng(seed)
    train: list[dict[str, Any]] = []
    test: list[dict[str, Any]] = []
    choices: list[dict[str, Any]] = []
    for index in range(image_count):
        name = f"{index:04d}__{_SIDE_PX}__0___0.png"
        boxes = _draw(folder / "imgv2_split_512_100_vaild" / name, rng)
        turns = _fit_rs_turns([write_box(box, FIT_RS, _SIDE_PX, _SIDE_PX) for box in boxes])
        if index:
            train.append(_llava(str(index), name, turns))
            continue
        test.append(_truth(index, name, {"question": turns[0], "ground_truth": turns[1], "category": "task1"}))
        text = "What is in the image?\nA. a ship\nB. a forest\nC. a glacier\nAnswer with the option's letter."
        choices.append(_truth(index, name, {"text": text, "ground_truth": "A", "category": "object"}))
    (folder / "FIT-RS-train-1415k.json").write_text(json.dumps(train, indent=1), encoding="utf-8")
    _write_lines(folder / "test_FITRS_complex_comprehension_eval.jsonl", test)
    _write_lines(folder / "FIT-RSRC_Questions_2k.jsonl", choices)


def _draw(path: Path, rng: np.random.Generator) -> list[OrientedBox]:
    """Draw a white and a blue rectangle, each within its half of the image."""
    picture = PillowImage.new("RGB", (_SIDE_PX, _SIDE_PX), _GROUND)
    boxes = []
    for half, colour in enumerate(_COLOURS.values()):
        box = OrientedBox(
            center_x_px=_SIDE_PX * (0.25 + 0.5 * half) + rng.integers(-4, 5),
            center_y_px=_SIDE_PX / 2 + int(rng.integers(-16, 17)),
            width_px=int(rng.integers(20, 33)),
            height_px=int(rng.integers(8, 15)),
            angle_deg=int(rng.integers(-80, 81)),
        )
        ImageDraw.Draw(picture).polygon(corners_of(box), fill=colour)
        boxes.append(box)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)
    return boxes


def _geochat_turns(boxes: Sequence[str]) -> list[list[str]]:
    white, blue = boxes
    short = "Answer in one word or a short phrase."
    return [
        ["[refer] where is <p>1 white ship on the left</p> ?", white],
        ["[refer] give me the location of <p>2 ships</p>", f"{white}<delim>{blue}"],
        [f"[identify] the object in {blue} is", "<p>1 blue ship on the right</p>"],
        [
            "[grounding] describe the image",
            f"There is <p>1 white ship</p> {white} on the left and <p>1 blue ship</p> {blue} on the right.",
        ],
        [f"Is it a rural or an urban area? {short}", "rural"],
        ["How many ships are there?", "There are 2 ships.", "[refer] where is <p>1 blue ship</p> ?", blue],
    ]


def _fit_rs_turns(boxes: Sequence[str]) -> list[str]:
    question = "[detection]Detect all the ships in the image and output their locations."
    return [question, f"There are {len(boxes)} ships in the image: <rbox>({', '.join(boxes)})</rbox>"]


def _llava(identifier: str, image: str, turns: Sequence[str]) -> dict[str, Any]:
    conversations = [
        {"from": "gpt" if index % 2 else "human", "value": text if index else f"<image>\n{text}"}
        for index, text in enumerate(turns)
    ]
    return {"id": identifier, "image": image, "conversations": conversations}


def _truth(number: int, image: str, fields: dict[str, str]) -> dict[str, Any]:
    return {"question_id": number, "image": image, **fields}


def _write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
