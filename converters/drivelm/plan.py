"""Divides a DriveLM file into frames: which images each shows, which group it belongs to, whether it has answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from domainvl.errors import ItemError, NothingToDoError, UsageError
from domainvl.schema import Reject, Split

from ..driving.rig import view_of
from ..losses import counted
from .frames import Frame, read_frame
from .graph_file import SceneEntry, image_file
from .settings import DriveLmSettings


@dataclass(frozen=True)
class FrameUnit:
    """One key frame.

    Attributes:
        scene: Its scene's token in nuScenes.
        frame: Its token in nuScenes, table sample.
        group: What must not be divided over splits; the scene's token until it is known better.
        description: What the vehicle does in the scene.
        dataroot: Folder of the images.
        images: Of each view the name of its file in the data root.
        content: The JSON of the frame.
        scene_extra: JSON of what else the file says of the scene.
        is_answered: Whether questions of the scene have answers.
        fixed_split: Its split; None where that is drawn from the group.
    """

    scene: str
    frame: str
    group: str
    description: str
    dataroot: Path
    images: tuple[tuple[str, str], ...]
    content: str
    scene_extra: str
    is_answered: bool
    fixed_split: Split | None = None

    @property
    def prefix(self) -> str:
        """Scene and frame, with which official ids begin."""
        return f"{self.scene}_{self.frame}"


@dataclass
class Planner:
    """Plans the frames of a file.

    Attributes:
        dataroot: Folder of the images.
        settings: The settings.
        rejects: Takes what cannot be used.
        notes: Takes what the user should know of scenes with few answers.
    """

    dataroot: Path
    settings: DriveLmSettings
    rejects: list[Reject]
    notes: list[str] = field(default_factory=list)

    def units(self, scenes: Sequence[SceneEntry] | Iterator[SceneEntry], where: Path) -> list[FrameUnit]:
        """Return the frames that can be used, in the order of the file.

        Args:
            scenes: The scenes of the file.
            where: The file, for messages.

        Raises:
            UsageError: If the file has no answers, and nothing says what is to become of it.
            NothingToDoError: If no frame can be used.
        """
        units: list[FrameUnit] = []
        unanswered = 0
        mixed = _Mixed()
        for scene in scenes:
            found = list(self._frames(scene))
            is_answered = any(frame.is_answered for _, frame in found)
            if is_answered:
                mixed.count([frame for _, frame in found])
            if not is_answered and self.settings.questions_only == "refuse":
                unanswered += len(found)
                self.rejects += [_unanswered(f"{scene.token}_{token}") for token, _ in found]
                continue
            for token, frame in found:
                unit = self._unit(scene, token, frame, is_answered=is_answered)
                if unit is not None:
                    units.append(unit)
        if not units:
            raise _nothing(where, unanswered, self.rejects)
        self.notes += mixed.notes()
        if self.settings.challenge_subset and not any(unit.is_answered for unit in units):
            raise UsageError(
                "Cannot take the challenge's questions",
                where=where,
                rule="they are picked by their answers, and the file has none",
                action="Convert without --challenge-subset: a file without answers is that of the challenge already",
            )
        return units

    def _frames(self, scene: SceneEntry) -> Iterator[tuple[str, Frame]]:
        for token, content in scene.frames.items():
            try:
                yield token, read_frame(content)
            except ItemError as error:
                self._reject(f"{scene.token}_{token}", error)

    def _unit(self, scene: SceneEntry, token: str, frame: Frame, *, is_answered: bool) -> FrameUnit | None:
        try:
            images = tuple((view_of(channel), image_file(path)) for channel, path in frame.image_paths.items())
        except ItemError as error:
            self._reject(f"{scene.token}_{token}", error)
            return None
        return FrameUnit(
            scene=scene.token,
            frame=token,
            group=scene.token,
            description=scene.description,
            dataroot=self.dataroot,
            images=images,
            # Written anew: the file is padded to three times its size.
            content=msgspec.json.encode(msgspec.json.decode(scene.frames[token])).decode(),
            scene_extra=_json(scene.extra),
            is_answered=is_answered,
        )

    def _reject(self, name: str, error: ItemError) -> None:
        self.rejects.append(Reject(name, "plan", error.reason, str(error), error.action))


@dataclass
class _Mixed:
    """Counts the questions without an answer in scenes that have answers.

    Attributes:
        scenes: Scenes that have both.
        unanswered: Questions of these without an answer.
        questions: All questions of these.
    """

    scenes: int = 0
    unanswered: int = 0
    questions: int = 0

    def count(self, frames: Sequence[Frame]) -> None:
        """Count a scene."""
        pairs = [pair for frame in frames for pair in frame.pairs]
        unanswered = sum(pair.answer is None for pair in pairs)
        if unanswered:
            self.scenes += 1
            self.unanswered += unanswered
            self.questions += len(pairs)

    def notes(self) -> Iterator[str]:
        """Say what became of them."""
        if self.unanswered:
            yield (
                f"{self.unanswered} of {self.questions} questions are left out of {counted(self.scenes, 'scene')}: "
                "they have no answer, but others of their scene do, which makes it one to train or test on. To have "
                "them predicted, take the answers out of that scene and give --questions-only placeholder"
            )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


_CHOOSE = (
    "Give --questions-only placeholder to put its questions into the test split, for predictions that you submit; "
    "scores of such a data set mean nothing"
)


def _unanswered(name: str) -> Reject:
    return Reject(name, "plan", "no-answer", "no question of its scene has an answer", _CHOOSE)


def _nothing(where: Path, unanswered: int, rejects: Sequence[Reject]) -> UsageError | NothingToDoError:
    if unanswered:
        return UsageError(
            "Cannot convert questions without answers",
            where=where,
            rule=f"none of its {unanswered} key frames has an answer, as in the challenge's validation file",
            action=_CHOOSE,
        )
    rule = "no key frame can be used" + (f" (the first: {rejects[0].message})" if rejects else "")
    return NothingToDoError("Nothing to convert", where=where, rule=rule, action="Check the file")
