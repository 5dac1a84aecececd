"""DriveLM files written by hand, with six plain images of full size."""

from __future__ import annotations

import json
import os
from pathlib import Path

from PIL import Image

from domainvl.conversion import convert
from domainvl.converters.drivelm import CONVERTER, DriveLmSettings
from domainvl.schema import Split, read_samples

CHANNELS = ("CAM_FRONT", "CAM_FRONT_LEFT", "CAM_FRONT_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_BACK_RIGHT")
"""In the order in which DriveLM's files name them."""

SUV, LIGHT = "<c1,CAM_BACK,1050.5,480.3>", "<c2,CAM_FRONT,1020.7,90.4>"
OBJECTS = {
    SUV: {
        "Category": "Vehicle",
        "Status": "Moving",
        "Visual_description": "Red van.",
        "2d_bbox": [940.2, 400.1, 1180.9, 570.6],
    },
    LIGHT: {
        "Category": "Traffic element",
        "Status": None,
        "Visual_description": "Dim lamp.",
        "2d_bbox": [660.3, 0.0, 1400.8, 180.6],
    },
}


def pair(question, answer=None, **more):
    said = {} if answer is None else {"A": answer}
    return {"Q": question, **said, "C": None, "con_up": None, "con_down": None, "cluster": None, "layer": None, **more}


def image_paths(frame="f"):
    return {channel: f"../nuscenes/samples/{channel}/{frame}.jpg" for channel in CHANNELS}


def make_frame(perception=(), prediction=(), planning=(), behavior=(), *, objects=OBJECTS, images="f", **more):
    asked = {"perception": perception, "prediction": prediction, "planning": planning, "behavior": behavior}
    known = {} if objects is None else {"key_object_infos": objects}
    return {
        **known,
        "QA": {name: list(pairs) for name, pairs in asked.items()},
        "image_paths": image_paths(images),
        **more,
    }


def make_scenes(frame, *, scene="s", token="f", **more):
    return {scene: {"scene_description": "It drives.", "key_frames": {token: frame}, **more}}


def write_plain_images(folder):
    """Write one image a camera, each of its own grey."""
    for number, channel in enumerate(CHANNELS):
        Image.new("RGB", (1600, 900), (40 * number + 20,) * 3).save(folder / f"{channel}.jpg")


class Given:
    """A DriveLM file and a nuScenes data root beside its folder."""

    def __init__(self, folder: Path, plain: Path) -> None:
        self.folder = folder
        self.plain = plain
        self.dataroot = folder / "data" / "nuscenes"
        self.source = folder / "data" / "QA" / "train.json"
        self.out = folder / "out"

    def write(self, scenes, *, images=("f",)):
        self.source.parent.mkdir(parents=True, exist_ok=True)
        self.source.write_text(json.dumps(scenes), encoding="utf-8")
        for channel in CHANNELS:
            target = self.dataroot / "samples" / channel
            target.mkdir(parents=True, exist_ok=True)
            for name in images:
                if not (target / f"{name}.jpg").exists():
                    os.link(self.plain / f"{channel}.jpg", target / f"{name}.jpg")
        return self.source

    def convert(self, scenes=None, *, out=None, images=("f",), **settings):
        """Return the summary, the samples in the file's order of ids, and the rejects."""
        if scenes is not None:
            self.write(scenes, images=images)
        out = out or self.out
        # Stitching takes most of the time of a conversion.
        quick = {"val_fraction": 0.0, "test_fraction": 0.0, "layout": "multi-image"}
        chosen = DriveLmSettings(**{**quick, **settings})
        summary = convert(CONVERTER, self.source, out, chosen)
        samples = [sample for split in Split for sample in read_samples(out, split)]
        rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_text().splitlines()]
        return summary, samples, rejects
