"""Finds the JSON file of DriveLM and the images that it names, and divides it into key frames."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from domainvl.errors import DatasetError, InputNotFoundError, ItemError, UsageError
from domainvl.schema import Reject, Severity

from ..paths import is_inside

_FOLDER_OF_IMAGES = "nuscenes"
_SAMPLES = "samples"
_SHOWN = 5


class SceneContent(msgspec.Struct):
    """A scene as the file has it; its frames are not read yet."""

    key_frames: dict[str, msgspec.Raw]
    scene_description: str | None = None


@dataclass(frozen=True)
class SceneEntry:
    """A scene of the file.

    Attributes:
        token: Its token in nuScenes.
        description: What the vehicle does in it; empty where the file does not say.
        frames: JSON of each key frame, by its token in nuScenes (table sample).
        extra: What else the file says of the scene.
    """

    token: str
    description: str
    frames: Mapping[str, msgspec.Raw]
    extra: Mapping[str, Any]


def find_json(source: Path) -> Path:
    """Return the file of questions: the input itself, or the only JSON file directly in it.

    Raises:
        InputNotFoundError: If there is none in the folder.
        UsageError: If there are several.
    """
    if source.is_file():
        return source
    found = sorted(path for path in source.glob("*.json") if path.is_file())
    if len(found) == 1:
        return found[0]
    if not found:
        raise InputNotFoundError(
            "Cannot read DriveLM",
            where=source,
            rule="there is no JSON file in the folder",
            action="Name the file, such as v1_1_train_nus.json",
        )
    names = ", ".join(path.name for path in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    raise UsageError(
        "Cannot read DriveLM", where=source, rule=f"it holds several JSON files: {names}", action="Name one"
    )


def read_scenes(path: Path, rejects: list[Reject]) -> Iterator[SceneEntry]:
    """Read the scenes of a file, in its order.

    Args:
        path: The file.
        rejects: Takes scenes that cannot be read, and those without a key frame.

    Raises:
        DatasetError: If it is no JSON object of scenes, or none of them can be read.
    """
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")  # a byte order mark is no JSON
    try:
        scenes = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _no_scenes(path, str(error)) from error
    broken: list[Reject] = []
    for token, content_of_scene in scenes.items():
        try:
            scene = _scene(token, content_of_scene)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            message = f"a scene must be an object with key_frames by token ({error})"
            broken.append(Reject(token, "plan", "scene-invalid", message, "Correct the file"))
            continue
        if not scene.frames:
            message, action = "the scene has no key frame", "Nothing needs to be done, unless it should have some"
            rejects.append(Reject(token, "plan", "no-key-frame", message, action, Severity.SKIPPED))
        yield scene
    if broken and len(broken) == len(scenes):
        # That is no damaged file but one of another kind.
        raise _no_scenes(path, f"in {broken[0].input[:80]!r}: {broken[0].message}")
    rejects += broken


def _scene(token: str, content: msgspec.Raw) -> SceneEntry:
    """Read a scene, but not its frames.

    Raises:
        msgspec.DecodeError: If it is none.
    """
    known = msgspec.json.decode(content, type=SceneContent)
    said = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    extra = {
        key: msgspec.json.decode(value) for key, value in said.items() if key not in SceneContent.__struct_fields__
    }
    return SceneEntry(token, known.scene_description or "", known.key_frames, extra)


def _no_scenes(path: Path, why: str) -> DatasetError:
    return DatasetError(
        "Unreadable file",
        where=path,
        rule=f"it must be a JSON object of scenes, each with key_frames ({why})",
        action="Take v1_1_train_nus.json, v1_1_val_nus_q_only.json or a file in their layout",
    )


def find_dataroot(json_path: Path, given: Path | None) -> Path:
    """Return the folder that holds ``samples``.

    Raises:
        InputNotFoundError: If there is none.
    """
    # The file names its images from a folder beside that of the images: ../nuscenes/samples/...
    folder = json_path.parent
    likely = (folder, folder / _FOLDER_OF_IMAGES, folder.parent / _FOLDER_OF_IMAGES)
    candidates = [given] if given is not None else list(likely)
    for candidate in candidates:
        if (candidate / _SAMPLES).is_dir():
            return candidate
    raise InputNotFoundError(
        "Cannot find the images",
        where=given or folder,
        rule=f"there is no folder {_SAMPLES} in any of: {', '.join(str(candidate) for candidate in candidates)}",
        action="Name the nuScenes data root, the folder that holds samples, with --dataroot",
    )


def image_file(path: str) -> str:
    """Return where a file that DriveLM names lies in the data root: ``samples/...`` of ``../nuscenes/samples/...``.

    What stands before ``nuscenes`` says where the data root was on another machine, and does not count. A path without
    that name is taken from the data root.

    Raises:
        ItemError: If it does not lie in the data root.
    """
    parts = PurePosixPath(path).parts
    if _FOLDER_OF_IMAGES in parts:
        parts = parts[parts.index(_FOLDER_OF_IMAGES) + 1 :]
    inside = "/".join(parts)
    if not is_inside(inside):
        raise ItemError(
            "Cannot find an image",
            reason="outside-dataroot",
            rule=f"it must lie in the data root, as ../nuscenes/samples/... does, got {path!r}",
            action="Correct the file",
        )
    return inside
