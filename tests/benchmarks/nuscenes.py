"""Shows what it costs to read nuScenes tables, to project boxes and to ask about frames, beside the devkit and others.

The tables are made up, as many rows as a quarter of ``v1.0-trainval``, and written into a temporary folder (0.7 GB with
the index). Seconds are processor time, each row of the table in a process of its own; memory is that process's peak.

    OMP_NUM_THREADS=1 python tests/benchmarks/nuscenes.py [--scenes 214] [--devkit PYTHON]

``--devkit`` names the Python of an environment with nuscenes-devkit, which then reads the same tables.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from large_nuscenes import FRAMES_PER_SCENE, VERSION, write_tables

from domainvl.converters.driving.projection import box_corners, into_frame, project_cuboids, rotation_matrices
from domainvl.converters.nuscenes import CONVERTER, NuscenesSettings
from domainvl.converters.nuscenes.pictures import DescribedPictures
from domainvl.converters.nuscenes.scene_samples import ask_about_scene
from domainvl.converters.nuscenes.scenes import Frame, Scene, Shot
from domainvl.converters.nuscenes.tables import open_index
from domainvl.schema import Provenance
from domainvl.schema.record import SampleLines

QUARTER_OF_TRAINVAL = 214
PROJECTED_SCENES = 60
"""Scenes whose boxes are projected; the devkit is given one key frame of each."""
CONVERTED_SCENES = 6
ROUNDS = 5
FloatArray = npt.NDArray[np.float64]

PEAK = """
import json, re, sys, time
from pathlib import Path
def tell(**measured):
    peak_kb = re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]
    print(json.dumps({"cpu_s": time.process_time(), "peak_gb": int(peak_kb) / 1e6, **measured}))
dataroot, version = Path(sys.argv[1]), sys.argv[2]
"""

OPEN_INDEX = """
from domainvl.converters.nuscenes.tables import open_index
begin = time.process_time()
found = open_index(dataroot, dataroot / version, sweeps=SWEEPS, folder=None)
tell(cpu_s=time.process_time() - begin, scenes=len(found.summaries), mb=found.path.stat().st_size / 1e6)
"""

STDLIB = """
begin = time.process_time()
tables = {path.stem: json.loads(path.read_bytes()) for path in sorted((dataroot / version).glob("*.json"))}
tell(cpu_s=time.process_time() - begin)
"""

DEVKIT = """
from nuscenes.nuscenes import NuScenes
from nuscenes.scripts import export_2d_annotations_as_json as export
begin = time.process_time()
devkit = export.nusc = NuScenes(version=version, dataroot=str(dataroot), verbose=False)
loaded_s = time.process_time() - begin
samples = [devkit.get("sample", scene["first_sample_token"]) for scene in devkit.scene[: int(sys.argv[3])]]
for _ in range(10):  # to the middle, where all things are there
    samples = [devkit.get("sample", sample["next"]) for sample in samples]
pairs = crashed = 0
begin = time.process_time()
for sample in samples:
    for channel, token in sample["data"].items():
        if channel.startswith("CAM_"):
            pairs += len(sample["anns"])
            try:
                export.get_2d_boxes(token, ["", "1", "2", "3", "4"])
            except AttributeError:
                crashed += 1
tell(cpu_s=loaded_s, pairs=pairs, crashed=crashed, boxes_per_s=pairs / (time.process_time() - begin))
"""


@dataclass(frozen=True)
class Measured:
    """What a process measured of itself."""

    cpu_s: float
    peak_gb: float
    more: dict[str, float]


def run(script: str, dataroot: Path, *arguments: str, python: str = sys.executable) -> Measured:
    """Run a script in a process of its own."""
    command = [python, "-c", PEAK + script, str(dataroot), VERSION, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{python} failed:\n{done.stderr}")
    more = json.loads(done.stdout.splitlines()[-1])
    return Measured(more.pop("cpu_s"), more.pop("peak_gb"), more)


def show(what: str, measured: Measured, note: str = "") -> None:
    print(f"{what:<38} {measured.cpu_s:>7.2f} CPU-s {measured.peak_gb:>6.2f} GB  {note}".rstrip())


def show_reading(dataroot: Path, devkit: str | None) -> Measured | None:
    """Show what reading and indexing costs, and opening the index again; return what the devkit measured."""
    own = run(OPEN_INDEX.replace("SWEEPS", "False"), dataroot)
    show("tables read and indexed", own, f"{own.more['scenes']:.0f} scenes, index of {own.more['mb']:.0f} MB")
    show("index opened again", run(OPEN_INDEX.replace("SWEEPS", "False"), dataroot))
    show("the same with all camera images", run(OPEN_INDEX.replace("SWEEPS", "True"), dataroot))
    show("standard library, no join", run(STDLIB, dataroot))
    if devkit is not None:
        theirs = run(DEVKIT, dataroot, str(PROJECTED_SCENES), python=devkit)
        ratios = f"{theirs.cpu_s / own.cpu_s:.1f} times the time, {theirs.peak_gb / own.peak_gb:.1f} times the memory"
        show("nuscenes-devkit", theirs, ratios)
        return theirs
    return None


def cpu_s_of(function: Callable[[], object]) -> float:
    begin = time.process_time()
    function()
    return time.process_time() - begin


def show_boxes(dataroot: Path, devkit: Measured | None) -> None:
    """Show boxes projected a second: cuboids of key frames into all their cameras, wherever they are."""
    index = open_index(dataroot, dataroot / VERSION, sweeps=False, folder=None)
    scenes = [index.read(one.token) for one in index.summaries[:PROJECTED_SCENES]]
    frames = [(scene, frame) for scene in scenes for frame in scene.frames if frame.cuboids]
    views = [(into_cameras(scene, frame), *cameras_of(scene, frame)) for scene, frame in frames]
    pairs = sum(len(corners_m) for corners_m, *_ in views)

    def project() -> int:
        return sum(
            int(project_cuboids(corners_m, matrices, width_px=width_px, height_px=height_px).seen.sum())
            for corners_m, matrices, width_px, height_px in views
        )

    seen = project()
    alone = pairs / cpu_s_of(project)
    whole = pairs / (cpu_s_of(project) + cpu_s_of(lambda: [into_cameras(*place) for place in frames]))
    print(
        f"boxes projected: {alone:,.0f} a CPU-s, {whole:,.0f} with the way into each camera; {pairs:,} pairs of cuboid "
        f"and camera, {seen / pairs:.0%} of them in the image"
    )
    if devkit is not None:
        theirs = devkit.more["boxes_per_s"]
        print(
            f"get_2d_boxes of the devkit: {theirs:,.0f} a CPU-s, {whole / theirs:.0f} times fewer; stopped with an "
            f"error in {devkit.more['crashed']:.0f} images of {devkit.more['pairs']:,.0f} pairs"
        )


class AssumedPictures(DescribedPictures):
    """Images as the tables describe them, all of them taken to be there."""

    def missing(self, shots: Sequence[Shot]) -> list[Shot]:
        return []


def show_frames(dataroot: Path) -> None:
    """Show key frames converted a second without touching pixels: read, projected, asked about, written as records.

    The least of several rounds counts: what else runs on the machine only ever adds.
    """
    settings = NuscenesSettings()
    units = CONVERTER.plan(dataroot, settings).units[:CONVERTED_SCENES]
    made_by = Provenance(converter=CONVERTER.name, version="", settings_sha256="", wording="")
    best = dict.fromkeys((unit.name for unit in units), float("inf"))
    frames = samples = size_bytes = 0
    for _ in range(ROUNDS):
        frames = samples = size_bytes = 0
        for unit in units:
            begin = time.process_time()
            result = ask_about_scene(unit, settings, AssumedPictures(unit.dataroot), made_by)
            lines = SampleLines()
            size_bytes += sum(len(lines.line(sample)) for sample in result.samples)
            best[unit.name] = min(best[unit.name], time.process_time() - begin)
            frames += FRAMES_PER_SCENE
            samples += len(result.samples)
    print(
        f"key frames converted without pixels: {frames / sum(best.values()):,.0f} a CPU-s, of six images and "
        f"34 cuboids each; {samples / frames:.1f} samples a frame, {size_bytes / samples:,.0f} bytes each"
    )


def into_cameras(scene: Scene, frame: Frame) -> FloatArray:
    """Return the corners of all cuboids in the frame of each camera, shape (cameras * cuboids, 8, 3)."""
    corners_m = box_corners(
        np.array([cuboid.center_m for cuboid in frame.cuboids]),
        np.array([cuboid.size_wlh_m for cuboid in frame.cuboids]),
        rotation_matrices(np.array([cuboid.rotation_wxyz for cuboid in frame.cuboids])),
    )
    poses = [(shot.ego, scene.cameras[shot.camera].mounting) for shot in frame.shots]
    rotations = rotation_matrices(np.array([pose.rotation_wxyz for both in poses for pose in both]))
    seen = []
    for place, (ego, mounting) in enumerate(poses):
        in_ego_m = into_frame(corners_m, ego.translation_m, rotations[2 * place])
        seen.append(into_frame(in_ego_m, mounting.translation_m, rotations[2 * place + 1]))
    return np.concatenate(seen)


def cameras_of(scene: Scene, frame: Frame) -> tuple[FloatArray, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return matrix, width and height of the image for each row of :func:`into_cameras`."""
    count = len(frame.cuboids)
    matrices = np.array([scene.cameras[shot.camera].intrinsic for shot in frame.shots])
    sizes_px = np.array([(shot.width_px, shot.height_px) for shot in frame.shots])
    return matrices.repeat(count, axis=0), sizes_px[:, 0].repeat(count), sizes_px[:, 1].repeat(count)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=QUARTER_OF_TRAINVAL, help="scenes of 40 key frames")
    parser.add_argument("--devkit", metavar="PYTHON", help="Python of an environment with nuscenes-devkit")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        dataroot = Path(name)
        counts = write_tables(dataroot, options.scenes)
        rows = ", ".join(f"{count:,} {table}" for table, count in sorted(counts.items(), key=lambda item: -item[1])[:5])
        size_mb = sum(path.stat().st_size for path in (dataroot / VERSION).iterdir()) / 1e6
        print(f"{rows}; {size_mb:,.0f} MB of tables")
        show_boxes(dataroot, show_reading(dataroot, options.devkit))
        show_frames(dataroot)


if __name__ == "__main__":
    main()
