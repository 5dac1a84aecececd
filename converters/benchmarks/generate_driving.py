"""Writes small NuScenes-QA, OmniDrive, LingoQA and BDD-X in the exact layouts of the published ones.

The first two need a data root of nuScenes, such as :mod:`domainvl.converters.nuscenes.generate` writes. Texts and
pictures are made up. A frame of a video can be told by its mean grey: see :func:`grey_of`.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as PillowImage

VIDEO_FPS = 5
"""Frames a second of the videos."""

VIDEO_S = 8
"""Length of the videos."""

_BLOCKS_DOWN, _BLOCKS_ACROSS, _BLOCK_PX = 9, 16, 8
_CONTRAST = 20
_START_MS = 1_500_000_000_000
_GROUPS = 15


def generate_nuscenes_qa(out: Path, tables: Path) -> None:
    """Write ``NuScenes_train_questions.json`` and ``NuScenes_val_questions.json``: a question of each type a key frame.

    Args:
        out: Folder, made where it is missing.
        tables: Folder of nuScenes tables; the last scene is for the val set.
    """
    questions: dict[str, list[dict[str, Any]]] = {"train": [], "val": []}
    for split, tokens in _tokens(tables).items():
        for number, token in enumerate(tokens):
            for template, text, answer in (
                ("exist", "Are there any buses?", ("yes", "no")[number % 2]),
                ("count", "What number of cars are there?", number % 11),
                ("object", "What is the moving thing to the back?", "car"),
                ("status", "What is the status of the truck?", "parked"),
                ("comparison", "Is the status of the car the same as that of the truck?", "no"),
            ):
                row = {"sample_token": token, "question": text, "answer": str(answer)}
                questions[split].append(row | {"template_type": template, "num_hop": number % 2})
    for split, rows in questions.items():
        _write_json(out / f"NuScenes_{split}_questions.json", {"info": {"split": split}, "questions": rows})


def generate_omni_drive(out: Path, tables: Path) -> None:
    """Write ``keywords``, ``desc``, ``vqa`` and ``conv`` with ``train`` and ``val``: a file each a key frame.

    Args:
        out: Folder, made where it is missing.
        tables: Folder of nuScenes tables; the last scene is for the val set.
    """
    for split, tokens in _tokens(tables).items():
        for number, token in enumerate(tokens):
            pairs = [
                {"question": "What is ahead?", "answer": f"{number} cars:\n- the first is near\n- others follow"},
                {"question": "May I turn?", "answer": "No, the road is closed."},
            ]
            contents: dict[str, Any] = {
                "keywords": "keep the lane, keep speed",
                "desc": {"description": f"A street, frame {number}.", "action": "Go on."},
                "vqa": [{"question": "What if I speed up?", "answer": "It would be unsafe."}],
                "conv": pairs,
            }
            for kind, content in contents.items():
                _write_json(out / kind / split / f"{token}.json", content)


def generate_lingo_qa(out: Path, *, segment_count: int, seed: int) -> None:
    """Write ``scenery``, ``action`` and ``evaluation``, each with its Parquet table and five frames a segment.

    Args:
        out: Folder, made where it is missing.
        segment_count: Number of segments of each part.
        seed: Equal seeds give equal frames.
    """
    import pyarrow
    from pyarrow import parquet

    rng = np.random.default_rng([seed, 71])
    for part, split in (("scenery", "train"), ("action", "train"), ("evaluation", "val")):
        rows = []
        for number in range(segment_count):
            segment = f"{part}-{number:04d}"
            frames = [f"images/{split}/{segment}/{place}.jpg" for place in range(5)]
            for name in frames:
                (out / part / name).parent.mkdir(parents=True, exist_ok=True)
                pixels = rng.integers(0, 255, (36, 64, 3), dtype=np.uint8)
                PillowImage.fromarray(pixels).save(out / part / name, quality=90)
            row = {"question_id": "q-lights", "segment_id": segment, "images": frames}
            row["question"] = "What colour is the traffic light?"
            answers = ["It is red.", "The light shows red."] if part == "evaluation" else ["The light is green."]
            rows += [row | {"answer": answer} for answer in answers]
        parquet.write_table(pyarrow.Table.from_pylist(rows), out / part / f"{split}.parquet")


def generate_bdd_x(out: Path, *, video_count: int) -> None:
    """Write the CSV file, three lists, ``videos`` and ``info``.

    Each video has two segments; in the files of speed and course the vehicle gains 1 m/s and turns left by 10 degrees
    each second, across north.

    Args:
        out: Folder, made where it is missing.
        video_count: Number of videos; the last is for testing, the one before it for validation.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [f"0{number:07x}-{number:08x}" for number in range(1, video_count + 1)]
    rows = []
    for number, name in enumerate(names):
        write_video(out / "videos" / f"{name}.mov", number)
        records = [(second, float(second), (20.0 - 10 * second) % 360) for second in range(VIDEO_S + 1)]
        write_info(out / "info" / f"{name}.json", records)
        rows.append(
            [name, 0, 3, "The car goes ahead.", "because the road is clear.", 4, 8, "The car stops", "at a light"]
        )
    write_bdd_x_rows(out, rows)
    splits = {"train": names[:-2], "val": names[-2:-1], "test": names[-1:]}
    for split, own in splits.items():
        lines = "".join(f"{names.index(name) + 1}_{name}\n" for name in own)
        (out / f"{split}.txt").write_text(lines, encoding="utf-8")


def write_bdd_x_rows(out: Path, rows: Sequence[Sequence[object]]) -> None:
    """Write ``BDD-X-Annotations_v1.csv``.

    Args:
        out: Folder.
        rows: A video's name and start, end, action and justification of its segments; nothing for an empty row.
    """
    fields = ("start", "end", "action", "justification")
    header = ["Input.Video", *(f"Answer.{group}{field}" for group in range(1, _GROUPS + 1) for field in fields)]
    with (out / "BDD-X-Annotations_v1.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in rows:
            address = [f"https://bucket.example/samples-1k/{row[0]}.mov"] if row else [""]
            writer.writerow([*address, *row[1:], *[""] * (len(header) - max(1, len(row)))])


def write_info(path: Path, records: Sequence[tuple[float, float, float]]) -> None:
    """Write a file of speed and course.

    Args:
        path: The file.
        records: Time in seconds from the start of the video, speed in m/s and course in degrees of each record.
    """
    locations = [
        {
            "timestamp": _START_MS + round(1000 * time_s),
            "longitude": -122.0,
            "latitude": 37.0,
            "course": course_deg,
            "speed": speed_m_s,
            "accuracy": 5.0,
        }
        for time_s, speed_m_s, course_deg in records
    ]
    times = {"startTime": _START_MS, "endTime": _START_MS + 1000 * VIDEO_S}
    _write_json(path, times | {"filename": path.stem, "locations": locations})


def write_video(path: Path, number: int = 0) -> None:
    """Write a video of a pattern that grows brighter from frame to frame.

    Args:
        path: The file.
        number: Another one gives another pattern.
    """
    from ..driving.write_video import encode_mp4

    blocks = np.repeat([-_CONTRAST, _CONTRAST], _BLOCKS_DOWN * _BLOCKS_ACROSS // 2)
    shuffled = np.random.default_rng([number, 72]).permutation(blocks).reshape(_BLOCKS_DOWN, _BLOCKS_ACROSS)
    pattern = np.kron(shuffled, np.ones((_BLOCK_PX, _BLOCK_PX), dtype=int))
    count = VIDEO_FPS * VIDEO_S
    frames = [np.repeat((pattern + grey_of(index))[..., None], 3, axis=2).astype(np.uint8) for index in range(count)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_mp4(frames, [index / VIDEO_FPS for index in range(count)]))


def grey_of(index: int) -> int:
    """Return the mean grey of a frame of the videos, by its place from 0; decoded, it may be off by one or two."""
    return 30 + 5 * index


def _tokens(tables: Path) -> dict[str, list[str]]:
    """Return the sample tokens of each split, in the order of the table."""
    scenes = json.loads((tables / "scene.json").read_text(encoding="utf-8"))
    samples = json.loads((tables / "sample.json").read_text(encoding="utf-8"))
    held_out = scenes[-1]["token"]
    return {
        "train": [row["token"] for row in samples if row["scene_token"] != held_out],
        "val": [row["token"] for row in samples if row["scene_token"] == held_out],
    }


def _write_json(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
