"""Joins the tables of a data set into scenes: key frames with the images of all cameras and all cuboids.

What does not join, such as a token that no table has, is found here and costs the key frame that it belongs to, never
the run. Maps, lidar and radar are not touched; nothing but the tables is opened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from domainvl.schema.writer import Reject

from ..scenes import Frame, Scene, frame_name
from .cuboids import Cuboids
from .faults import Fault, Faults, read_table
from .images import Images
from .links import faults_of_samples
from .names import location_of, name_of_log, read_logs, reject_nameless
from .rows import SampleRow, SceneRow


class SceneJoin:
    """Scenes of a folder of tables.

    Args:
        tables: The folder of tables.
        sweeps: Whether images between key frames are wanted.

    Raises:
        InputNotFoundError: If a table that is needed is not there.
        UsageError: If a table breaks the format.
    """

    def __init__(self, tables: Path, *, sweeps: bool) -> None:
        self._faults = Faults()
        self._sweeps = sweeps
        self._scenes = read_table(tables, "scene", SceneRow, self._faults)
        self._logs = read_logs(tables, self._faults)
        self._samples = self._read_samples(tables)
        self._images = Images(tables, self._faults, sweeps=sweeps)
        self._cuboids = Cuboids(tables, self._faults)
        named = self._images.sample_tokens() | self._cuboids.sample_tokens() | self._faults.sample_tokens()
        known = {sample.token for samples in self._samples.values() for sample in samples}
        for token in named - known - self._without_scene:
            self._faults.reject(
                f"sample {token}", Fault("dangling-token", "images or annotations name it, no table has it")
            )

    def scenes(self) -> Iterator[Scene]:
        """Yield the scenes with at least one key frame, by name, once; each is forgotten then."""
        names: set[str] = set()
        for token, row in sorted(self._scenes.items(), key=lambda item: (item[1].name, item[0])):
            if reject_nameless(row, self._faults):
                continue
            if row.name in names:
                # Names make ids and groups.
                rule = f"its name {row.name!r} must be its own, another scene has it"
                self._faults.reject(f"scene {token}", Fault("duplicate-scene", rule))
                continue
            names.add(row.name)
            if token not in self._samples:
                self._faults.reject(f"scene {row.name}", Fault("empty-scene", "no sample belongs to it"))
                continue
            scene = self._scene(row)
            if scene.frames:
                yield scene

    def rejects(self) -> list[Reject]:
        """Return what did not join; complete once all scenes were taken."""
        return self._faults.rejects()

    def _read_samples(self, tables: Path) -> dict[str, list[SampleRow]]:
        """Return the key frames of each scene in time, by its token."""
        samples = read_table(tables, "sample", SampleRow, self._faults)
        for token, fault in faults_of_samples(samples):
            self._faults.cost_frame(token, fault)
        by_scene: dict[str, list[SampleRow]] = defaultdict(list)
        self._without_scene: set[str] = set()
        for sample in samples.values():
            if sample.scene_token in self._scenes:
                by_scene[sample.scene_token].append(sample)
            else:
                self._without_scene.add(sample.token)
                fault = Fault("dangling-token", f"no table has its scene {sample.scene_token}")
                self._faults.reject(f"sample {sample.token}", fault)
        for those in by_scene.values():
            those.sort(key=lambda sample: (sample.timestamp, sample.token))
        return dict(by_scene)

    def _scene(self, row: SceneRow) -> Scene:
        samples = self._samples[row.token]
        images = self._images.of_scene([sample.token for sample in samples])
        frames = [
            Frame(
                index,
                sample.token,
                sample.timestamp,
                tuple(images.of_frames.get(sample.token, ())),
                self._cuboids.of_sample(sample.token),
            )
            for index, sample in enumerate(samples)
            if not self._faults.reject_frame(frame_name(row.name, index), sample.token)
        ]
        log = self._logs.get(row.log_token or "")
        return Scene(
            row.token,
            row.name,
            row.description or "",
            name_of_log(row, log),
            location_of(log),
            images.cameras,
            tuple(frames),
            tuple(images.in_time) if self._sweeps else (),
        )
